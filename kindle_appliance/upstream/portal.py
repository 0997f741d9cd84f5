"""Web pages in the place of an answer: a network's sign-in page (a captive portal), or a filter's. Pure.

Such a network answers every request itself, with status 200. A model server sends no HTML with that status.
"""

from __future__ import annotations

from collections.abc import Mapping

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PAGES = ("text/html", "application/xhtml+xml")


def is_web_page(headers: Mapping[str, str], start: bytes) -> bool:
    """Whether a response of status 200 is a web page, by its headers (names in lower case) and its first bytes."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _PAGES or start.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"<"
