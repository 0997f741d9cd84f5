"""A place as per cent and by chapters, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.books.place import at_per_cent, end_of_chapter, index_of_chapter, per_cent
from kindle_appliance.epub.book import Chapter

CHAPTERS = (
    Chapter(10, 0, "Part One", 0),
    Chapter(12, 1, "A Beginning", 1),
    Chapter(40, 2, "A Middle", 1),
    Chapter(70, 0, "Part Two", 0),
    Chapter(70, 3, "An End", 1),
)


@given(st.integers(1, 3_000_000), st.integers(0, 100))
def test_a_figure_that_was_set_is_the_figure_that_is_told(length: int, figure: int) -> None:
    position = at_per_cent(figure, length)
    assert 0 <= position <= length
    if length >= 100:
        assert per_cent(position, length) == figure
        assert not position or per_cent(position - 1, length) < figure


@pytest.mark.parametrize(("position", "figure"), [(0, 0), (199, 99), (200, 100), (81, 40), (82, 41)])
def test_per_cent_are_rounded_down(position: int, figure: int) -> None:
    assert per_cent(position, 200) == figure


def test_figures_beyond_the_book_are_its_ends_and_an_empty_book_has_one_place() -> None:
    assert (at_per_cent(-5, 300), at_per_cent(105, 300)) == (0, 300)
    assert (at_per_cent(50, 0), per_cent(0, 0)) == (0, 0)


@pytest.mark.parametrize(
    ("position", "index"), [(0, None), (9, None), (10, 0), (11, 0), (12, 1), (39, 1), (40, 2), (70, 4), (99, 4)]
)
def test_a_place_is_in_the_innermost_chapter_that_has_begun(position: int, index: int | None) -> None:
    assert index_of_chapter(CHAPTERS, position) == index


@pytest.mark.parametrize(("index", "end"), [(0, 70), (1, 40), (2, 70), (3, 100), (4, 100)])
def test_a_chapter_is_finished_with_all_that_is_within_it(index: int, end: int) -> None:
    assert end_of_chapter(CHAPTERS, index, 100) == end
