"""The cookies, all plain words. `device` names a browser, so that it finds its own chats again; `look` is its text
size and weight; `hyphens` tells whether it breaks lines at soft hyphens; `unread` has the ids of its answers whose
end it has not seen; `places`, which our script writes, has how far it has read its last answers; `pin` is the
session of a browser in which the PIN has been entered. Only that is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bottle import HTTPResponse, request

from .look import Look
from .paths import is_number

YEAR_SECONDS = 365 * 86400
_KEEP_SECONDS = 400 * 86400  # the longest that browsers keep a cookie (RFC 6265bis, 5.5)
_MOST_UNREAD = 20
_MOST_PLACES = 20
_PLACE = re.compile("([0-9a-z]{1,9})(?:[.][0-9a-z]{1,9}){3}[.]([0-9a-z]{1,5})[.]([0-9a-z]{1,5})", re.ASCII)
_COOKIE = re.compile("(?:^|;) *(device|hyphens|look|pin|places|unread)=([0-9A-Za-z._-]*) *(?=;|$)")


def only_ours(header: str) -> str:
    """A `Cookie` header with nothing but these. Behind a malformed cookie, which another program on this machine
    may have set, Python would see no more of them, and quoted ones cost it seconds (CVE-2024-7592).
    """
    cookies = dict(_COOKIE.findall(header))
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def device() -> str:
    """The name that this browser was given, "" if it has none yet."""
    name = str(request.get_cookie("device", ""))
    return name if re.fullmatch(r"[\w-]{8,64}", name, re.ASCII) else ""


def look() -> Look | None:
    """The look that this browser's reader has chosen."""
    return Look.read(request.get_cookie("look", ""))


def breaks_at_hyphens() -> bool:
    """Whether this browser breaks lines at soft hyphens: a page of ours has tried it there (static/hyphens.js)."""
    return bool(request.get_cookie("hyphens") == "1")


def unread() -> tuple[int, ...]:
    """The answers whose end this browser has not seen, oldest first."""
    ids = str(request.get_cookie("unread", "")).split(".")
    return tuple(int(each) for each in ids if is_number(each))[-_MOST_UNREAD:]


def places() -> dict[int, tuple[int, int]]:
    """The answers that this browser has left behind their first page: id, and that page of so many."""
    return read_places(str(request.get_cookie("places", "")))


def read_places(text: str) -> dict[int, tuple[int, int]]:
    """From the cookie that static/place.js writes. An entry without a number of pages says nothing yet."""
    entries = [_PLACE.fullmatch(each) for each in text.split("_")[-_MOST_PLACES:]]
    found = [[int(number, 36) for number in each.groups()] for each in entries if each]
    return {answer: (page, pages) for answer, page, pages in found if 1 < page <= pages}


def session() -> str:
    """What this browser has of a session that was opened with the PIN."""
    return str(request.get_cookie("pin", ""))


def with_session(token: str) -> str:
    """The `Cookie` header of a browser with this session."""
    return f"pin={token}"


def keep_device(response: HTTPResponse, name: str) -> None:
    _keep(response, "device", name, httponly=True)


def keep_look(response: HTTPResponse, chosen: Look) -> None:
    _keep(response, "look", str(chosen))


def add_unread(response: HTTPResponse, answer: int) -> None:
    """This browser has asked for the answer last, and not seen its end."""
    _keep_unread(response, [*_unread_but(answer), answer])


def drop_unread(response: HTTPResponse, answer: int) -> None:
    """This browser has no end of the answer to see any more."""
    if answer in unread():
        _keep_unread(response, _unread_but(answer))


def _unread_but(answer: int) -> list[int]:
    return [each for each in unread() if each != answer]


def _keep_unread(response: HTTPResponse, answers: Sequence[int]) -> None:
    _keep(response, "unread", ".".join(map(str, answers[-_MOST_UNREAD:])))


def keep_session(response: HTTPResponse, token: str) -> None:
    _keep(response, "pin", token, httponly=True, seconds=YEAR_SECONDS)


def _keep(
    response: HTTPResponse, name: str, value: str, *, httponly: bool = False, seconds: int = _KEEP_SECONDS
) -> None:
    """Give the browser a cookie, which other sites cannot make it send."""
    response.set_cookie(name, value, path="/", max_age=seconds, httponly=httponly, samesite="lax")
