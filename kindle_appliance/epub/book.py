"""What the appliance knows of a book. Pure.

A position in a book is a number of characters from its beginning, in reading order. What counts is the text as a
reader sees it: any white space is one character, and so is the end of a paragraph. So a position is the same for
every reading of the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..sentences import Sentence


class Passage(NamedTuple):
    """A few hundred characters of a book: whole paragraphs, each with its line end, or a piece of a long one.
    `start`: its position. The next passage begins where this one ends.
    """

    start: int
    text: str

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Chapter(NamedTuple):
    """An entry of a book's table of contents. `start`: its position; `number`: as the book counts, or else as the
    appliance does, 0 for what stands before and behind the chapters; `title`: its name without the number, "" if it
    has none; `level`: 0 for a part or a chapter, 1 for what is within one, and so on.
    """

    start: int
    number: int
    title: str
    level: int = 0


@dataclass(frozen=True)
class Book:
    """What was read of a file, besides the passages.

    `title` is never empty; `creator` may be. `language`: two or three letters, "" if the file does not tell;
    `direction`: "ltr" or "rtl". `length`: of the whole text. `chapters` stand in reading order. `faults`: what
    could not be read.
    """

    title: str
    creator: str
    language: str
    direction: str
    length: int
    chapters: Sequence[Chapter] = ()
    faults: Sequence[Sentence] = ()
