"""The forms that pages send: their one-time ids, their content type, and a cap on their fields."""

from __future__ import annotations

import re
import secrets

from bottle import HTTPError, request

from .json_body import CONTENT_TYPE as JSON

_CONTENT_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 64  # ours have four


def new_form_id() -> str:
    """The one-time id of a form: sent twice, it is one question."""
    return secrets.token_urlsafe(9)


def sent_form_id() -> str:
    """The id of the form that this request has sent, a new one if it has none that can be ours."""
    form = str(request.forms.getunicode("form", ""))
    return form if re.fullmatch(r"[\w-]{1,64}", form, re.ASCII) else new_form_id()


def is_form() -> bool:
    """Whether this request brings a form as our pages send it."""
    return str(request.environ["CONTENT_TYPE"]) == _CONTENT_TYPE


def limit_fields() -> None:
    """Bottle would make an entry of each field: 32,000 fit into the largest body that the server takes."""
    if request.environ["CONTENT_TYPE"] != JSON and request.body.read().count(b"&") >= _MOST_FIELDS:
        raise HTTPError(413)
