"""The shelf: books come in, are listed, removed, and come back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.epub_file import make_epub

from kindle_appliance.books.shelf import Shelf

MB = 1_000_000
Epub = Callable[..., bytes]


@pytest.fixture
def epub(tmp_path: Path) -> Epub:
    """Makes books in memory."""

    def make(title: str = "Ulysses", creator: str = "James Joyce", paragraphs: int = 20) -> bytes:
        text = [f"Paragraph {number} of {title}: stately, plump." for number in range(paragraphs)]
        return make_epub(
            tmp_path / "made.epub", title=title, creator=creator, chapters=[("One", text)]
        ).read_bytes()

    return make


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(Shelf(tmp_path / "books", 10, 100 * MB)) as shelf:
        shelf.start()
        yield shelf


def put(shelf: Shelf, data: bytes) -> str:
    with shelf.incoming() as file:
        file.write(data[:100])
        file.write(data[100:])
        book, is_new = file.shelve()
    assert is_new
    return book.name


def test_a_book_that_came_in_is_on_the_shelf(shelf: Shelf, epub: Epub) -> None:
    data = epub()
    name = put(shelf, data)
    assert name == hashlib.sha256(data).hexdigest()
    (book,) = shelf.list(10)
    assert (book.title, book.creator, book.size, book.is_read) == ("Ulysses", "James Joyce", len(data), True)
    assert shelf.find(name) == book and shelf.count() == 1
    assert shelf.find_words(book, "stately plump")


def test_a_removed_book_can_come_back_for_a_day(shelf: Shelf, epub: Epub) -> None:
    name = put(shelf, epub())
    now = time.time()
    assert shelf.remove(name, now)
    assert shelf.find(name) is None and shelf.list(10) == [] and shelf.count() == 0
    assert [book.name for book in shelf.removed(now + 23 * 3600)] == [name]
    assert not shelf.removed(now + 25 * 3600)
    assert shelf.put_back(name)
    assert shelf.find(name) and not shelf.removed(now)
