"""The chapters that a reader may see the names of, and places in words."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub.book import Chapter
from kindle_appliance.sentences import CHINESE
from kindle_appliance.web.chapter_list import (
    FRONT_MATTER,
    NAMED_AHEAD,
    NEAR,
    PAGE,
    chapters_shown,
    index_of_next,
    number_at,
    place_in_short,
    place_in_words,
)

LENGTH = 1000
NOVEL = [
    Chapter(0, 0, "A note"),
    Chapter(50, 1, "Name 1"),
    *(Chapter(100 * number, number, f"Name {number}") for number in range(2, 10)),
]
WITHOUT_NUMBERS = [
    *(Chapter(60 * number, 0, f"Name {number}") for number in range(15)),
    Chapter(950, 1, "How the next book begins"),
]
PARTS = [
    Chapter(0, 0, "Part One"),
    Chapter(10, 1, "", 1),
    Chapter(200, 2, "", 1),
    Chapter(250, 0, "A letter", 2),
    Chapter(500, 0, "Part Two"),
    Chapter(510, 3, "", 1),
    Chapter(900, 0, "Afterword"),
]


def named(place: int | None, chapters: Sequence[Chapter] = NOVEL, *, has_names: bool = False) -> list[int]:
    """Which chapters' names are shown, on all pages of the list."""
    start, found = 0, list[int]()
    while True:
        shown = chapters_shown(chapters, LENGTH, place, near=0, start=start, has_names=has_names)
        found += [row.position for row in shown.rows if row.title]
        if shown.later is None:
            return found
        start = shown.later


def test_names_are_told_up_to_three_chapters_behind_the_place() -> None:
    assert named(0) == [0, 1, 2, 3]
    assert named(499) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert named(LENGTH) == list(range(10))
    assert named(None) == [0, 1, 2, 3], "without a place those of the first three, and of what stands before them"
    assert named(None, has_names=True) == list(range(10))


def test_only_what_stands_before_the_first_few_per_cent_is_front_matter() -> None:
    """The excerpt at the end of a novel without numbers is not its first chapter."""
    assert named(None, WITHOUT_NUMBERS) == [0, 1, 2]
    assert named(0, WITHOUT_NUMBERS) == [0, 1, 2, 3]
    assert chapters_shown(WITHOUT_NUMBERS, LENGTH, None, near=0).rows[0].position == 0
    late = [Chapter(each.start + 20, *each[1:]) for each in WITHOUT_NUMBERS[:-1]] + WITHOUT_NUMBERS[-1:]
    assert named(10, late) == [0, 1, 2], "a place before the first of them"
    shown = chapters_shown(late, LENGTH, 10, near=10)
    assert shown.rows[0].position == 0 and shown.earlier is None


def test_front_matter_does_not_count_as_chapters() -> None:
    book = [*(Chapter(number, 0, f"Front {number}") for number in range(6)), *NOVEL[1:]]
    assert named(None, book) == named(0, book) == named(3, book) == [*range(6), 6, 7, 8]
    assert chapters_shown(book, LENGTH, None, near=0).rows[0].number == 1


def test_whether_later_chapters_have_names_is_not_told() -> None:
    """What the reader has not reached changes nothing."""
    without = [*NOVEL[:6], *(each._replace(title="") for each in NOVEL[6:])]
    for start in (None, 0, 2):
        for place in (None, 0, 250):
            assert chapters_shown(NOVEL, LENGTH, place, near=0, start=start) == chapters_shown(
                without, LENGTH, place, near=0, start=start
            )


def test_a_later_name_is_hidden_and_its_number_and_per_cent_are_not() -> None:
    row = chapters_shown(NOVEL, LENGTH, 100, near=100, start=8).rows[0]
    assert (row.number, row.title, row.figure) == (8, None, 80)


def test_the_chapters_around_the_place_come_first_and_all_others_by_links() -> None:
    shown = chapters_shown(NOVEL, LENGTH, 450, near=450)
    assert [row.number for row in shown.rows] == [2, 3, 4, 5, 6]
    assert [row.number for row in shown.rows if row.is_here] == [4]
    assert (shown.earlier, shown.later) == (0, 7)
    assert [row.number for row in chapters_shown(NOVEL, LENGTH, LENGTH, near=LENGTH).rows] == [5, 6, 7, 8, 9]
    at_start = chapters_shown(NOVEL, LENGTH, None, near=0)
    assert [row.number for row in at_start.rows] == [1, 2, 3, 4, 5], "without what stands before the first"
    assert at_start.earlier == 0
    assert not any(row.is_here for row in at_start.rows)


def test_a_finished_chapter_has_the_per_cent_of_its_end_with_all_that_is_within_it() -> None:
    rows = chapters_shown(PARTS, LENGTH, 0, near=0, start=0, are_finished=True).rows
    assert [row.figure for row in rows] == [50, 20, 50, 50, 90, 90, 100]


def test_what_is_within_a_chapter_is_set_so_and_chapters_of_a_part_are_not() -> None:
    rows = chapters_shown(PARTS, LENGTH, 0, near=0, start=0).rows
    assert [row.number for row in rows if not row.is_within] == [0, 1, 2, 0, 3, 0]


def test_a_place_is_told_by_the_number_of_its_chapter() -> None:
    assert str(place_in_short(NOVEL, 419, LENGTH)) == "chapter 4, at about 41\u00a0%"
    assert str(place_in_words(NOVEL, 419, LENGTH)) == "You are in chapter 4, at about 41\u00a0%."
    assert place_in_words(NOVEL, 419, LENGTH).to(CHINESE) == "您读到第 4 章，大约 41\u00a0%。"


def test_a_place_outside_of_numbered_chapters_is_told_by_a_name_or_by_per_cent_alone() -> None:
    assert str(place_in_words(NOVEL, 5, LENGTH)) == "You are in “A note”, at about 0\u00a0%."
    assert str(place_in_short(NOVEL, 5, LENGTH)) == "at about 0\u00a0%", "a find tells no name"
    assert str(place_in_words([], 500, LENGTH)) == "You are at about 50\u00a0%."
    assert str(place_in_words([Chapter(0, 0, "")], 500, LENGTH)) == "You are at about 50\u00a0%."


def test_a_part_of_a_chapter_is_in_that_chapter_and_a_part_of_the_book_in_none() -> None:
    assert [number_at(PARTS, each) for each in (5, 15, 260, 505, 515, 950)] == [0, 1, 2, 0, 3, 0]


def test_the_next_chapter_is_the_next_with_a_number() -> None:
    assert [index_of_next(PARTS, each) for each in (0, 200, 260, 515, 950)] == [1, 5, 5, 6, None]
    assert index_of_next([], 5) is None


@given(
    starts=st.lists(st.integers(0, LENGTH), max_size=40),
    levels=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    numbers=st.lists(st.integers(0, 3), min_size=40, max_size=40),
    place=st.none() | st.integers(0, LENGTH),
    start=st.none() | st.integers(0, 10**15),
    are_finished=st.booleans(),
)
def test_any_list_has_bounded_pages_that_lead_to_all_chapters(
    starts: list[int],
    levels: list[int],
    numbers: list[int],
    place: int | None,
    start: int | None,
    are_finished: bool,
) -> None:
    chapters = [
        Chapter(at, number, f"Name {at}", level)
        for at, number, level in zip(sorted(starts), numbers, levels, strict=False)
    ]

    # How many chapters the reader has begun, or may be taken for a title page and a dedication.
    begun = 0 if place is None else sum(each.start <= place for each in chapters)
    early = [each.number for each in chapters if each.start * 100 <= FRONT_MATTER * LENGTH]
    begun = max(begun, next((index for index, number in enumerate(early) if number), 0))

    def shown(first: int | None) -> tuple[list[int], int | None, int | None]:
        part = chapters_shown(chapters, LENGTH, place, near=place or 0, start=first, are_finished=are_finished)
        assert all(row.position < begun + NAMED_AHEAD for row in part.rows if row.title)
        assert len(part.rows) <= (NEAR if first is None else PAGE)
        assert all(0 <= row.figure <= 100 for row in part.rows)
        return [row.position for row in part.rows], part.earlier, part.later

    seen, earlier, later = shown(start)
    assert bool(seen) == bool(chapters)
    while later is not None:
        more, _, later = shown(later)
        seen += more
    while earlier is not None:
        more, earlier, _ = shown(earlier)
        seen = more + seen
    assert sorted(set(seen)) == list(range(len(chapters)))
