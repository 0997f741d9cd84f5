"""Web pages in the place of an answer: a network's sign-in page (a captive portal), or a filter's. Pure.

Such a network answers every request itself, mostly with status 200. A model server sends no HTML with that status;
its front ends send some when they are overloaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import SignInPage, WebPage

_BEFORE_TEXT = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"  # white space, byte order marks, and what UTF-16 puts between
_PAGES = ("text/html", "application/xhtml+xml")


def check(
    provider: str, status: int, headers: Mapping[str, str], start: bytes, *, is_at_home: bool = False
) -> None:
    """Raise `SignInPage` if a response is not the server's but a page, by its headers (names in lower case) and its
    first bytes. No sign-in page stands before a computer of the house: it has sent a page itself (`WebPage`), and a
    page with a refusal says what its status says.
    """
    if not (200 <= status < 300 or 400 <= status < 500) or status == 429 or (is_at_home and status >= 400):
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _PAGES or visible(start)[:1] == b"<":
        raise (WebPage if is_at_home else SignInPage)(provider, f"a web page with status {status}")


def visible(start: bytes) -> bytes:
    """The first bytes from the first one on that shows something."""
    return start.lstrip(_BEFORE_TEXT)
