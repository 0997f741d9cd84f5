"""Lines of a book to passages. Pure, and fed bit by bit: it holds a passage or two, never the book."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from .book import Passage
from .unreadable import MOST_CHARACTERS, TOO_LONG, Unreadable

MOST_IN_PASSAGE = 500
"""Characters, the last line end included."""

_SENTENCE_END = re.compile("[.!?…][\"'”’»)\\]]* |[。！？](?:[」』”’）])*|[؟۔।॥] ?")
_NOT_FIRST = ("Mn", "Me", "Mc", "Cf")
"""Categories of what belongs to the character before it."""


class Passages:
    """Takes the text of a book in any pieces and hands it on as passages, which together are the text.

    A passage has at most `MOST_IN_PASSAGE` characters: as many whole lines as fit, or a piece of a long one. Such a
    line is cut at the end of a sentence, else behind a word, else between characters.
    """

    def __init__(self, take: Callable[[Passage], None]) -> None:
        self.length = 0
        self._take = take
        self._start = 0  # of what has not been handed on
        self._lines = ""  # whole ones
        self._line = ""

    def write(self, text: str) -> None:
        """Append to the current line. Raises Unreadable when the book becomes too long."""
        self.length += len(text)
        if self.length > MOST_CHARACTERS:
            raise Unreadable(TOO_LONG)
        text, at = self._line + text, 0
        while len(text) - at >= MOST_IN_PASSAGE:
            self.end_passage()
            end = _place_to_cut(text, at, at + MOST_IN_PASSAGE - 1)
            self._hand_on(text[at:end])
            at = end
        self._line = text[at:]

    def end_line(self) -> None:
        """End the current line, which has text."""
        if len(self._lines) + len(self._line) >= MOST_IN_PASSAGE:
            self.end_passage()
        self._lines += self._line + "\n"
        self._line = ""
        self.length += 1

    def end_passage(self) -> None:
        """Hand on the lines that are whole. What follows them is in another passage."""
        if self._lines:
            self._hand_on(self._lines)
            self._lines = ""

    def _hand_on(self, text: str) -> None:
        self._take(Passage(self._start, text))
        self._start += len(text)


def _place_to_cut(text: str, start: int, most: int) -> int:
    """Where the piece of a long line ends that begins at `start`: at `most` at the latest, and not far before."""
    least = (start + most) // 2
    sentences = [found.end() for found in _SENTENCE_END.finditer(text, least, most)]
    if sentences:
        return sentences[-1]
    space = text.rfind(" ", least, most)
    if space >= 0:
        return space + 1
    end = most
    while end > least and unicodedata.category(text[end]) in _NOT_FIRST:
        end -= 1
    return end
