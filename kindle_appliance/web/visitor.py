"""Who a request is from, as far as routes ask: its address, its browser, the language and look of its reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bottle import request

from ..host.network import source_of
from ..sentences import choose_language
from ..storage.buckets import Buckets
from ..storage.rate_limit import Asker
from . import cookies
from .look import USUAL_LOOK, Look
from .reader import Reader

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

    def own_language(self) -> str:
        """The language that this request's reader likes best, as two or three letters, whether pages are in it or
        not; "" if the browser does not tell.
        """
        wished = re.match("[a-z]*", (self.house_language or request.get_header("Accept-Language", "")).lower())
        return wished[0] if wished else ""

    def reader(self) -> Reader:
        """The reader of the page that this request asks for."""
        return Reader(self.language(), cookies.look() or self.usual_look, cookies.unread(), cookies.places())


def client() -> str:
    """The client's address, as the guard has found it."""
    return str(request.environ[CLIENT])


def source() -> str:
    """What limits count this client by, whatever cookies it brings: its address, or the network of that."""
    return source_of(client())


def take(buckets: Buckets, per_address: int, in_all: int) -> float:
    """Take a token from the bucket of this client's address and from that of the house; see `Buckets.take()`."""
    return buckets.take(_sizes(per_address, in_all))


def give_back(buckets: Buckets, per_address: int, in_all: int) -> None:
    """Put back the tokens that `take()` took."""
    buckets.give_back(_sizes(per_address, in_all))


def _sizes(per_address: int, in_all: int) -> dict[tuple[str, str], int]:
    return {("address", source()): per_address, ("house", ""): in_all}


def asker() -> Asker:
    """Who asks a question: a browser by its name, or a client by its address where no cookies are kept."""
    return Asker(cookies.device() or client(), source())


def wants_json() -> bool:
    """Whether a script asks: one of our pages', or somebody's own."""
    return request.path.startswith("/api/") or "application/json" in request.get_header("Accept", "")


def is_gone() -> Callable[[], bool]:
    """A function that tells from anywhere whether the client of this request has left."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone
