"""The direction of blocks, the language that selects East Asian glyphs, and which paragraphs are verse. No I/O.

The first letters of a block decide, which stand in its first line on the screen. So what has been drawn below stays
while the block grows and when it settles, and it does not matter which of its pieces are drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markdown_it.token import Token

from ..text.verse import is_verse
from ..text.writing import beginning, east_asian_language, is_right_to_left
from .pieces import Continuation


class Script:
    """What is written on the pieces of a text, one after the other."""

    def __init__(self) -> None:
        self._is_rtl: bool | None = None  # the direction of the last block; None before its first letter
        self._has_language = False  # whether the letters have come that decide the language of the last block,
        self._language: str | None = None  # which is this one
        self._east_asian: str | None = None  # the last East Asian language of a block
        self._has_begun = False  # whether a piece came before; the first one is not indented in any case

    def attributes(self, piece: Sequence[Token], continued: Continuation | None) -> dict[str, str]:
        """The attributes of a piece, which continues this. All pieces of a block have the same, but each item of a
        list has a language of its own.
        """
        text = _first_letters(piece)
        if continued is None or self._is_rtl is None:
            self._is_rtl = is_right_to_left(text)
        if continued is None or not continued.is_inside:
            self._has_language = False
        if not self._has_language and text:
            self._has_language = True
            self._language = east_asian_language(text, self._east_asian)
            self._east_asian = self._language or self._east_asian
        language = self._language if self._has_language else None
        paragraph = piece[0] if piece[0].type == "paragraph_open" else None
        may_be_verse = self._has_begun and paragraph is not None and not paragraph.attrs
        self._has_begun = True
        direction = {"dir": "rtl"} if self._is_rtl else {}
        verse = {"class": "verse"} if may_be_verse and is_verse(piece[1].content) else {}
        return direction | ({"lang": language} if language else {}) | verse


def _first_letters(piece: Sequence[Token]) -> str:
    """The beginning of the first text that has a letter: that of a paragraph, a heading, or the head of a table."""
    text = ""
    for before, token in pairwise(piece):
        if token.type == "inline":
            is_cell = before.type == "th_open"
            text = beginning(text + token.content if is_cell else token.content)
            if not is_cell and any(map(str.isalpha, text)):
                return text
        elif token.type == "tbody_open" and any(map(str.isalpha, text)):
            return text
    return text if any(map(str.isalpha, text)) else ""
