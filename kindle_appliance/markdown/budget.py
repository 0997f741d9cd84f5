"""The budget of an answer: how much HTML its text may become. No I/O.

A model, or a web page that has made it write so, can repeat what costs a few characters and becomes much HTML: a
reference to a long address, a short row of a wide table. Each answer would then be a page of megabytes, for every
reader, again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ..text.emoji import without_emoji

HTML_PER_BYTE = 12
"""The HTML of an answer may have so many bytes for each byte of its text, both in UTF-8, ..."""

HTML_BESIDES = 64 * 1024
"""... and so many besides. At every settled block the bound holds for all the text and all the HTML up to there."""


class Budget:
    """`room`: the bytes of HTML that are left."""

    def __init__(self) -> None:
        self.room = HTML_BESIDES

    def earn(self, text: str) -> None:
        """Get the room for a text."""
        self.room += HTML_PER_BYTE * size(text)

    def spend(self, html: str) -> None:
        self.room -= size(html)


def size(text: str) -> int:
    """The bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def as_lines(lines: Sequence[str], attributes: Mapping[str, str], room: int) -> str:
    """The lines as they were written, one below the other, as HTML; without the attributes if that would have more
    than `room` bytes.

    A line end becomes 7 bytes and any other character at most 5 for each of its own, so there is always room.
    """
    text = escape(without_emoji("".join(lines).strip("\n")), quote=False).replace("\n", "<br />\n")
    opening = "".join(f' {name}="{value}"' for name, value in attributes.items())
    html = f"<p{opening}>{text}</p>"
    return html if size(html) <= room else f"<p>{text}</p>"
