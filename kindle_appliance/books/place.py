"""A reader's place in a book: a position, told as per cent or by a chapter. Pure.

Per cent are those of all characters of the book, rounded down. Kindles count alike within a little.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..epub.book import Chapter

END = 100


def per_cent(position: int, length: int) -> int:
    """How far a position is in a book of this length; 100 only at its end."""
    return END * position // length if length else 0


def at_per_cent(figure: int, length: int) -> int:
    """The first position at which a book of this length is so far. Figures beyond 0 and 100 count as these."""
    return -(-min(max(figure, 0), END) * length // END)


def index_of_chapter(chapters: Sequence[Chapter], position: int) -> int | None:
    """Which chapter a position is in, the innermost one; None before the first."""
    within = [index for index, chapter in enumerate(chapters) if chapter.start <= position]
    return within[-1] if within else None


def end_of_chapter(chapters: Sequence[Chapter], index: int, length: int) -> int:
    """The position at which a chapter is finished, with all that is within it."""
    level = chapters[index].level
    return next((each.start for each in chapters[index + 1 :] if each.level <= level), length)
