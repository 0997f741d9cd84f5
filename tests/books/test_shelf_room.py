"""The limits of the shelf: so many books, so many bytes, and room on the card for the chats."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.shelf import MB, book_file, names_below, put, settle, until

from kindle_appliance.books.shelf import Shelf
from kindle_appliance.clock import UNKNOWN
from kindle_appliance.errors import ReaderError

Open = Callable[..., AbstractContextManager[Shelf]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "books"


@dataclass
class Card:
    """What the file system says about a card of 32 GB."""

    total: int = 32_000 * MB
    free: int = 32_000 * MB


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: card)
    return card


def noise(size: int) -> str:
    """Text that cannot be compressed to much less than its size."""
    return "".join(random.Random(size).choices("abcdefghijklmnopqrstuvwxyzäöüß ", k=size))


def refusal(shelf: Shelf, data: bytes) -> str:
    """Why a book is refused, whether its length is told first or not. Nothing of it is left."""
    before = names_below(shelf._files.folder)
    with pytest.raises(ReaderError) as told:
        shelf.check_room(len(data))
    with pytest.raises(ReaderError) as found:
        put(shelf, data)
    assert told.value.status == found.value.status == 413
    assert str(told.value.sentence) == str(found.value.sentence)
    settle(shelf)
    assert names_below(shelf._files.folder) == before
    return str(found.value.sentence)


def test_a_shelf_takes_so_many_books(folder: Path) -> None:
    with closing(Shelf(folder, 2, 100 * MB)) as shelf:
        shelf.start()
        data = book_file("A")
        first = put(shelf, data)
        put(shelf, book_file("B"))
        assert refusal(shelf, book_file("C")) == (
            "The shelf has room for 2 books, and it is full. Please remove a book first."
        )
        assert put(shelf, data) == first, "a book that is there needs no room"
        shelf.remove(first.name, time.time())
        shelf.check_room(1000)
        put(shelf, book_file("C"))
        assert [book.title for book in shelf.list(10)] == ["C", "B"]


def test_removed_books_give_way_in_the_order_in_which_they_were_removed(folder: Path) -> None:
    forgotten: list[str] = []
    with closing(Shelf(folder, 4, 100 * MB, forgotten.append)) as shelf:
        shelf.start()
        books = [put(shelf, book_file(title)) for title in "ABCD"]
        now = time.time()
        shelf.remove(books[2].name, now - 50)
        shelf.remove(books[0].name, now - 40)
        shelf.remove(books[1].name, now - 30)
        put(shelf, book_file("E"))
        assert [book.title for book in shelf.removed(now)] == ["B", "A"]
        assert forgotten == [books[2].name]
        assert shelf.put_back(books[1].name)
        put(shelf, book_file("F"))
        assert sorted(book.title for book in shelf.list(10)) == ["B", "D", "E", "F"]
        assert "room for 4 books" in refusal(shelf, book_file("G"))


def test_a_shelf_takes_so_many_bytes(folder: Path) -> None:
    first, second = (book_file(title, words=noise(9000)) for title in "AB")
    with closing(Shelf(folder, 10, 1_500_000)) as shelf:
        shelf.start()
        book = put(shelf, first)
        with_index = shelf._catalogue.size()
        assert with_index > len(first) * 1.5
    with closing(Shelf(folder, 10, with_index + len(second) - 1)) as shelf:
        shelf.start()
        assert refusal(shelf, second) == (
            "The shelf has no room for a book of this size. Please remove other books first."
        )
        shelf.remove(book.name, time.time())
        shelf.check_room(len(second))
        put(shelf, second)
        settle(shelf)
        assert [book.title for book in shelf.list(10)] == ["B"]
        assert len(names_below(folder)) == 1 and not shelf.removed(UNKNOWN)


def test_a_book_whose_text_has_no_room_is_refused_while_it_is_read(folder: Path) -> None:
    bomb = book_file(paragraphs=30_000)  # a small file with a long text
    with closing(Shelf(folder, 10, 1_500_000)) as shelf:
        shelf.start()
        shelf.check_room(len(bomb))
        with pytest.raises(ReaderError, match="no room for a book of this size"):
            put(shelf, bomb)
        settle(shelf)
        assert names_below(folder) == [] and shelf.list(10) == []
        assert shelf._catalogue.size() < 150_000, "what was read of it is gone"
        put(shelf, book_file())


def test_room_on_the_card_is_kept_for_the_chats(folder: Path, card: Card) -> None:
    card.free = 205 * MB
    with closing(Shelf(folder, 10, 1000 * MB)) as shelf:
        shelf.start()
        book = put(shelf, book_file())
        sentence = "The card of the appliance has no room for a book of this size. Please remove other books first."
        with pytest.raises(ReaderError, match=sentence):
            shelf.check_room(6 * MB)
        shelf.check_room(4 * MB)
        card.free = 199 * MB
        assert refusal(shelf, book_file("Emma")) == sentence
        card.free = 99 * MB  # half of it may be used while a file comes in
        with pytest.raises(ReaderError, match=sentence), shelf.incoming() as file:
            for _ in range(9):
                file.write(bytes(MB))
        assert shelf.find(book.name) and len(names_below(folder)) == 1
        card.free, card.total = 199 * MB, 2000 * MB  # of a small card, a twentieth
        put(shelf, book_file("Emma"))


def test_a_removed_book_gives_way_while_another_comes_in(
    folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.free = 900 * MB
    with closing(Shelf(folder, 10, 1000 * MB)) as shelf:
        shelf.start()
        book = put(shelf, book_file())
        shelf.remove(book.name, time.time())
        card.free = 110 * MB  # more than half of what is kept for the chats
        with shelf.incoming() as file:
            file.write(bytes(9 * MB))
        assert shelf.removed(UNKNOWN), "nobody knows yet whether what comes in is a new book"
        card.free = 90 * MB
        purge = shelf._files.purge

        def free(file: object) -> None:
            purge(file)  # type: ignore[arg-type]
            card.free = 400 * MB

        monkeypatch.setattr(shelf._files, "purge", free)
        with shelf.incoming() as file:
            file.write(bytes(9 * MB))
            assert not shelf.removed(UNKNOWN)


def test_what_comes_in_costs_no_undo_before_it_is_a_new_book(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindle_appliance.books.shelf._CHECKED_BYTES", 100)
    with closing(Shelf(folder, 2, 100 * MB)) as shelf:
        there, removed = book_file("Emma"), book_file("Ulysses")
        names = [put(shelf, data).name for data in (there, removed)]
        assert shelf.remove(names[1], time.time())
        assert put(shelf, there).name == names[0]
        with shelf.incoming() as file:  # a client that leaves
            file.write(bytes(10_000))
        assert [each.name for each in shelf.removed(time.time())] == [names[1]]
        assert put(shelf, removed).name == names[1] and shelf.count() == 2


def test_books_are_not_read_anew_into_the_last_room_of_the_card(
    folder: Path, card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Shelf(folder, 10, 1000 * MB)) as shelf:
        put(shelf, book_file())
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    card.free = 100 * MB
    monkeypatch.setattr("kindle_appliance.storage.worker._MOST_PAUSE_SECONDS", 0.05)
    with closing(Shelf(folder, 10, 1000 * MB)) as shelf:
        shelf.start()
        until(lambda: "shelf: cannot be tidied" in caplog.text)
        assert [book.is_read for book in shelf.list(10)] == [False]
        card.free = 300 * MB
        settle(shelf)
        assert [book.title for book in shelf.list(10)] == ["Ulysses"]
