"""The JSON that a script sends."""

from __future__ import annotations

import json

from bottle import request

from ..errors import ReaderError
from ..sentences import Sentence

CONTENT_TYPE = "application/json"


def read_json() -> object:
    """The body of this request, decoded. Raises `ReaderError` for another content type, or for what is no JSON."""
    if request.environ["CONTENT_TYPE"] != CONTENT_TYPE:
        raise ReaderError(Sentence("The request must be JSON, with the content type application/json."), 415)
    try:
        return json.loads(request.body.read())
    except (ValueError, RecursionError):
        raise ReaderError(Sentence("The request is not valid JSON.")) from None
