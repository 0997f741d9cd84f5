"""Who a request is from, as far as routes ask: its address, its browser, the language and look of its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bottle import request

from ..sentences import choose_language
from . import cookies
from .look import USUAL_LOOK, Look
from .pages import Reader

CLIENT = "kindle_appliance.client"
"""Where the guard leaves the client's address, in the environment of the request."""


@dataclass(frozen=True)
class Visitors:
    """`house_language`: the language of all pages, None for what each browser asks for; `usual_look`: until a
    reader chooses another.
    """

    house_language: str | None = None
    usual_look: Look = USUAL_LOOK

    def language(self) -> str:
        """The language of this request's reader."""
        return choose_language(request.get_header("Accept-Language", ""), self.house_language)

    def reader(self) -> Reader:
        """The reader of the page that this request asks for."""
        return Reader(self.language(), cookies.look() or self.usual_look, cookies.unread())


def client() -> str:
    """The client's address, as the guard has found it."""
    return str(request.environ[CLIENT])


def identity() -> str:
    """Tells readers apart: the browser's name, or the client's address where no cookies are kept."""
    return cookies.device() or client()


def wants_json() -> bool:
    """Whether a script asks: one of our pages', or somebody's own."""
    return request.path.startswith("/api/") or "application/json" in request.get_header("Accept", "")


def is_gone() -> Callable[[], bool]:
    """A function that tells from anywhere whether the client of this request has left."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone
