"""What the server itself answers to a request that reaches no route: a status, and one sentence."""

from __future__ import annotations

import json
from http import HTTPStatus

from ..errors import BUSY, NOT_UNDERSTOOD, OWN_MISTAKE, TOO_MUCH
from ..sentences import Sentence
from . import templates
from .headers import NO_PAGE, SECURITY_HEADERS, TRY_SOON

_SENTENCES = {
    400: NOT_UNDERSTOOD,
    408: Sentence("The request took too long to arrive. Please try again."),
    411: Sentence("The request does not say how long it is."),
    413: TOO_MUCH,
    414: Sentence("This address is too long."),
    431: Sentence("The browser sends too much along with its request. Deleting its cookies helps."),
    500: OWN_MISTAKE,
    503: BUSY,
}


def refusal(status: int, language: str, is_script: bool) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the status line, the headers and the body: a page, or JSON for a script."""
    sentence = _SENTENCES.get(status, _SENTENCES[400]).to(language)
    if is_script:
        kind, body = "application/json", json.dumps({"error": sentence}, ensure_ascii=False)
    else:
        kind, title = "text/html", f"{status} {HTTPStatus(status).phrase}"
        body = templates.refusal(language, title, sentence)
    headers = [("Content-Type", f"{kind}; charset=utf-8"), NO_PAGE, *SECURITY_HEADERS]
    if status == 503:
        headers += TRY_SOON.items()
    return f"{status} {HTTPStatus(status).phrase}", headers, body.encode()
