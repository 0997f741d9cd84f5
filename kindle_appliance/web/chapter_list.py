"""A book's chapters as a reader may see them, and a place in words. Pure.

The name of a later chapter may tell what happens in it. So names are shown up to a few chapters behind the reader's
place, and further on only numbers and per cent, unless the reader asks for all. There, a chapter without a name
looks like one whose name is not told: pages are to be the same for two books that differ only behind that, so they
do not tell either whether a later chapter has a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..books.place import END, end_of_chapter, index_of_chapter, per_cent
from ..epub.book import Chapter
from ..sentences import Sentence
from .typed import Typed, without_signs

NAMED_AHEAD = 3
"""So many chapters behind the one in hand have their names."""
FRONT_MATTER = 5
"""Before the first chapter with a number, a title page and a dedication may have entries of their own. If it begins
further on than at so many per cent, what stands before it are chapters with names (4 % were seen, 2026-12).
"""
NEAR = 5
PAGE = 8
"""Rows around the place, and those of a page of the whole list."""


class ChapterRow(NamedTuple):
    """A chapter in the list. `position`: which of the book's; `number`: 0 if it has none; `title`: "" if it has
    none, None if it is not told; `figure`: at how many per cent it begins or ends; `is_within`: whether it is a
    part of a chapter; `is_here`: whether the place is in it.
    """

    position: int
    number: int
    title: Typed | None
    figure: int
    is_within: bool
    is_here: bool


class ChapterList(NamedTuple):
    """A part of a book's chapters. `earlier` and `later`: from which one the parts beside it begin, None where
    there is none; `hides`: whether chapters follow whose names are not told.
    """

    rows: Sequence[ChapterRow]
    earlier: int | None
    later: int | None
    hides: bool


def chapters_shown(
    chapters: Sequence[Chapter],
    length: int,
    place: int | None,
    *,
    near: int,
    start: int | None = None,
    are_finished: bool = False,
    has_names: bool = False,
) -> ChapterList:
    """Those around the position `near`, or a page of them from `start` on. `place`: the reader's position, if there
    is one, from which it depends which names are told; `are_finished`: their ends count, not their beginnings.
    """
    count = len(chapters)
    here = None if place is None else index_of_chapter(chapters, place)
    front = _front_matter(chapters, length)
    last_named = count - 1 if has_names else max(-1 if here is None else here, front - 1) + NAMED_AHEAD
    if start is None:
        first = (index_of_chapter(chapters, near) or 0) - NEAR // 2
        if here is None and not near:
            first = front  # nobody looks for the title page
        first = max(0, min(first, count - NEAR))
        end = min(first + NEAR, count)
    else:
        first = max(0, min(start, count - 1))
        end = min(first + PAGE, count)
    least = min((each.level for each in chapters if each.number), default=0)
    rows = [
        ChapterRow(
            index,
            chapter.number,
            Typed(without_signs(chapter.title)) if index <= last_named else None,
            per_cent(end_of_chapter(chapters, index, length) if are_finished else chapter.start, length),
            chapter.level > least,
            index == here,
        )
        for index, chapter in enumerate(chapters[first:end], first)
    ]
    hides = last_named < count - 1
    return ChapterList(rows, max(0, first - PAGE) if first else None, end if end < count else None, hides)


def _front_matter(chapters: Sequence[Chapter], length: int) -> int:
    """How many entries stand before the first chapter, as far as they are none themselves."""
    first = next((index for index, each in enumerate(chapters) if each.number), 0)
    return first if first and chapters[first].start * END <= FRONT_MATTER * length else 0


def index_of_next(chapters: Sequence[Chapter], position: int) -> int | None:
    """The next chapter with a number, or if none follows, the next one of any kind."""
    ahead = [index for index, each in enumerate(chapters) if each.start > position]
    return next((index for index in ahead if chapters[index].number), ahead[0] if ahead else None)


def number_at(chapters: Sequence[Chapter], position: int) -> int:
    """The number of the chapter that a position is in, also of one that has parts without numbers; 0 if none."""
    index = index_of_chapter(chapters, position)
    if index is None:
        return 0
    level = chapters[index].level
    for each in reversed(chapters[: index + 1]):
        if each.number and (each is chapters[index] or each.level < level):
            return each.number
        level = min(level, each.level)
    return 0


def _about(position: int, length: int) -> str:
    """Per cent as sentences tell them."""
    return f"{per_cent(position, length)}\u00a0%"


def place_in_short(chapters: Sequence[Chapter], position: int, length: int) -> Sentence:
    """A place in a list: the chapter's number, if it has one, and per cent."""
    number = number_at(chapters, position)
    if number:
        return Sentence("chapter %(number)d, at about %(figure)s", number=number, figure=_about(position, length))
    return Sentence("at about %(figure)s", figure=_about(position, length))


def place_in_words(chapters: Sequence[Chapter], position: int, length: int) -> Sentence:
    """A reader's own place: the chapter's number, or else its name, and per cent."""
    number, index = number_at(chapters, position), index_of_chapter(chapters, position)
    about = _about(position, length)
    if number:
        return Sentence("You are in chapter %(number)d, at about %(figure)s.", number=number, figure=about)
    if index is not None and chapters[index].title:
        name = Typed(without_signs(chapters[index].title)).short
        return Sentence("You are in “%(name)s”, at about %(figure)s.", name=name, figure=about)
    return Sentence("You are at about %(figure)s.", figure=about)
