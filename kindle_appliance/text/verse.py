"""Verse, addresses and lists without marks: paragraphs whose first line is short and has another one below it."""

from __future__ import annotations

from unicodedata import east_asian_width

_COLUMNS = 36
"""A short first line has at most so many columns, two for a wide character. At the usual size it is one line on a
screen, so nothing that has been drawn above another line moves when the second one begins.
"""


def is_verse(text: str) -> bool:
    """Whether a paragraph begins with a short line that has another one below it. Its first line must not be
    indented, because it would stand apart from the others.
    """
    line, end, _ = text[: _COLUMNS + 1].partition("\n")
    return bool(end) and sum(1 + (east_asian_width(character) in "WF") for character in line) <= _COLUMNS
