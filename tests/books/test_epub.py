"""EPUB files, real ones and those of a builder, to text and chapters."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.epub_file import make_epub

from kindle_appliance.books.book import Book, Passage
from kindle_appliance.books.epub import read


def read_all(path: Path) -> tuple[Book, list[Passage]]:
    """The book, and its passages, which are checked to be the text without a gap."""
    passages: list[Passage] = []
    book = read(path, passages.append)
    assert [each.start for each in passages] == [0, *(each.end for each in passages[:-1])]
    assert passages[-1].end == book.length
    assert all(0 < len(each.text) <= 500 for each in passages)
    return book, passages


def test_a_book_is_its_lines_and_its_chapters_in_reading_order(tmp_path: Path) -> None:
    book, passages = read_all(make_epub(tmp_path / "book.epub"))
    assert (book.title, book.creator, book.language, book.direction) == ("A Book", "A Writer", "en", "ltr")
    text = "".join(each.text for each in passages)
    assert text.splitlines() == [
        *("Chapter 1: A Beginning", "It rained.", "Nobody came to the house that day."),
        *("Chapter 2: A Middle", "The next day somebody came.", "It was the gardener, and he was wet."),
        *("Chapter 3: An End", "They had tea."),
    ]
    assert [(each.number, each.title, text[each.start :].partition("\n")[0]) for each in book.chapters] == [
        (1, "A Beginning", "Chapter 1: A Beginning"),
        (2, "A Middle", "Chapter 2: A Middle"),
        (3, "An End", "Chapter 3: An End"),
    ]


@pytest.mark.parametrize(
    ("number", "title", "per_mille"),
    [
        (5, "Three Broken Threads", 228),
        (6, "Baskerville Hall", 285),
        (7, "The Stapletons of Merripit House", 344),
        (8, "First Report of Dr. Watson", 426),
    ],
)
def test_chapters_of_a_novel_begin_where_a_kindle_says(
    shared: Path, number: int, title: str, per_mille: int
) -> None:
    book, _ = read_all(shared / "books" / "hound.epub")
    assert 320_000 < book.length < 321_000
    (chapter,) = [each for each in book.chapters if each.number == number]
    assert chapter.title == title
    assert round(1000 * chapter.start / book.length) == per_mille
