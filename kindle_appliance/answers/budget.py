"""The budget of an answer: how much HTML its text may become. No I/O.

A model, or a web page that has made it write so, can repeat what costs a few characters and becomes much HTML: a
reference to a long address, a short row of a wide table. Each answer would then be a page of megabytes, for every
reader, again and again.
"""

from __future__ import annotations

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
