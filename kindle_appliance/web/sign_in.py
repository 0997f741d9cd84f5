"""Routes: the PIN, where there is one. Every other route asks here first whether the client has signed in."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from bottle import HTTPResponse, request

from ..clock import now
from ..sentences import Sentence
from . import cookies, replies, visitor
from .pages import Pages
from .paths import is_own_page
from .pin import Gate
from .visitor import Visitors

_OPEN_ROUTES = (("POST", "/pin"), ("GET", "/healthz"), ("HEAD", "/healthz"))
_PIN_DIGITS = 12

_PIN_FIRST = Sentence("Please enter the PIN of the house first.")
_WRONG_PIN = Sentence("That is not the PIN.")


@dataclass(frozen=True)
class SignIn:
    """`GET` and `POST /pin`, and the check that comes before every other route.

    `log_once`: logs an event that may happen many times a second, once.
    """

    visitors: Visitors
    pages: Pages
    gate: Gate
    log_once: Callable[[str], None]

    def check(self) -> HTTPResponse | None:
        """None if this request may go on; else the response that asks for the PIN."""
        if (request.method, request.path) in _OPEN_ROUTES or self.is_signed_in():
            return None
        page = request.path + (f"?{request.query_string}" if request.query_string else "")
        note = _WRONG_PIN if "HTTP_AUTHORIZATION" in request.environ else None
        return self._locked(page if is_own_page(page) else "/", note)

    def is_signed_in(self) -> bool:
        """Whether a browser has brought its session, or a script the PIN."""
        if self.gate.is_session(cookies.session(), now()):
            return True
        scheme, _, pin = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return scheme.lower() == "bearer" and self.gate.is_right(pin.strip(), visitor.source(), time.monotonic())

    def go_to_first_page(self) -> HTTPResponse:
        """`GET /pin`, as after a reload: any page asks for the PIN if it is needed."""
        return replies.see_other("/")

    def enter_pin(self) -> HTTPResponse:
        """`POST /pin`: a form with `pin`, the digits so far; `key`, which is one more or takes one back, or none if
        that was all; and `back`, the page that was wanted.
        """
        back, key = request.forms.get("back", ""), request.forms.get("key", "")
        back = back if is_own_page(back) else "/"
        typed = request.forms.get("pin", "") + (key if key != "delete" else "")
        digits = re.sub("[^0-9]", "", typed)[:_PIN_DIGITS]
        if key:
            digits = digits[:-1] if key == "delete" else digits
            return replies.html(self.pages.pin(self.visitors.reader(), back, digits))
        if not digits:
            return self._locked(back, _PIN_FIRST)
        if not self.gate.is_right(digits, visitor.source(), time.monotonic()):
            return self._locked(back, _WRONG_PIN)
        response = replies.see_other(back)
        cookies.keep_session(response, self.gate.open_session(now() + cookies.YEAR_SECONDS))
        return response

    def _locked(self, back: str, note: Sentence | None) -> HTTPResponse:
        """The response without the PIN, or after a wrong one."""
        # With a status of 401 some old browsers would ask for a name and a password, and show no page.
        status, headers = 403, {}
        if pause := self.gate.pause(visitor.source(), time.monotonic()):
            self.log_once(f"too many wrong PINs, the last from {visitor.client()}")
            status, headers = 429, {"Retry-After": str(pause)}
            note = Sentence(
                "Too many wrong PINs. Please try again in %(count)d minute.",
                plural="Too many wrong PINs. Please try again in %(count)d minutes.",
                count=math.ceil(pause / 60),
            )
        if visitor.wants_json():
            status, headers = (status, headers) if pause else (401, {"WWW-Authenticate": "Bearer"})
            return replies.json_error(status, note or _PIN_FIRST, self.visitors.language(), headers)
        page = replies.html(self.pages.pin(self.visitors.reader(), back, note=note), status)
        page.headers.update(headers)
        return page
