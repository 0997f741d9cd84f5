"""The shelf on a bad card: full, read-only, or with a damaged catalogue."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.filesystem import files_not_larger_than, mounted, remount
from fakes.gemini import FakeGemini
from fakes.house import House, answered
from fakes.shelf import MB, book_file, names_below, put, settle, tidy, until

from kindle_appliance.books.shelf import Shelf
from kindle_appliance.errors import ReaderError, StorageError
from kindle_appliance.storage import shelf_layout

FULL = "The appliance cannot store its books: its card is full or read-only."


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small card, all of which books may take."""
    monkeypatch.setattr(shelf_layout, "_KEPT_FREE", 0)
    with mounted(tmp_path / "card", "size=3M") as card:
        yield card


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_a_card_that_becomes_full_while_a_book_comes_in_leaves_nothing(card: Path) -> None:
    with closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
        shelf.start()
        book = put(shelf, book_file())
        with pytest.raises(StorageError, match=FULL), shelf.incoming() as file:
            for _ in range(50):
                file.write(noise(100_000))
        assert names_below(card) == [f"books/{book.name}.epub"]
        assert shelf.find_words(book, "stately plump")


def test_a_book_whose_text_would_fill_the_card_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "card", "size=200M") as card, closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
        shelf.start()
        book = put(shelf, book_file())
        (free, whole) = shelf._files.free()
        (card / "ballast").write_bytes(bytes(free - whole // 20 - 2 * MB))
        with pytest.raises(ReaderError, match="The card of the appliance has no room"):
            put(shelf, book_file("Emma", paragraphs=30_000))
        settle(shelf)
        assert names_below(card) == ["ballast", f"books/{book.name}.epub"] and shelf.list(10) == [book]
        assert shelf._files.free()[0] > whole // 20 + MB, "the room of what was read is given back"
        put(shelf, book_file("Persuasion"))


def test_a_card_that_others_fill_while_a_book_is_read_has_it_tidied_when_there_is_room(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.storage.worker._MOST_PAUSE_SECONDS", 0.05)
    with closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
        shelf.start()
        book = put(shelf, book_file())
        with pytest.raises(StorageError):
            put(shelf, book_file("Emma", paragraphs=30_000))
        remount(card, "size=10M")
        settle(shelf)
        assert names_below(card) == [f"books/{book.name}.epub"] and shelf.list(10) == [book]
        assert put(shelf, book_file("Emma", paragraphs=3000)).title == "Emma"


def test_where_the_catalogue_cannot_be_written_nothing_changes(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path / "books", 10, 100 * MB)) as shelf:
        book, gone = put(shelf, book_file(paragraphs=1000)), put(shelf, book_file("Emma"))
        shelf.remove(gone.name, time.time())
        before = names_below(tmp_path), shelf.list(10), shelf.removed(time.time())
        with files_not_larger_than((tmp_path / "books" / "books.sqlite-wal").stat().st_size):
            for call in (
                lambda: shelf.remove(book.name, time.time()),
                lambda: shelf.put_back(gone.name),
                lambda: put(shelf, book_file("Persuasion")),
            ):
                with pytest.raises(StorageError):
                    call()
        assert (names_below(tmp_path), shelf.list(10), shelf.removed(time.time())) == before
        assert shelf.remove(book.name, time.time()) and shelf.put_back(gone.name)


def test_a_shelf_on_a_read_only_card_can_be_read(card: Path) -> None:
    with closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
        book = put(shelf, book_file())
        gone = put(shelf, book_file("Emma"))
    (card / "books" / "incoming" / "left").write_bytes(b"of a power cut")
    (card / "books" / f"{gone.name}.epub").unlink()
    remount(card, "ro")
    try:
        with closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
            shelf.start()
            assert shelf.trouble is None
            assert shelf.find(book.name) == book and shelf.find_words(book, "stately plump")
            with pytest.raises(StorageError):
                put(shelf, book_file("Persuasion"))
            with pytest.raises(StorageError):
                shelf.remove(book.name, time.time())
    finally:
        remount(card, "rw")


def test_where_there_is_no_shelf_each_method_says_so(card: Path) -> None:
    remount(card, "ro")
    try:
        with closing(Shelf(card / "books", 10, 100 * MB)) as shelf:
            shelf.start()
            assert str(shelf.trouble) == "The appliance cannot open its books. Its owner can look after its card."
            for call in (
                shelf.count,
                lambda: shelf.list(10),
                lambda: shelf.find("f" * 64),
                lambda: shelf.removed(time.time()),
                lambda: shelf.remove("f" * 64, time.time()),
                lambda: shelf.put_back("f" * 64),
                lambda: shelf.check_room(1),
                lambda: put(shelf, book_file()),
            ):
                with pytest.raises(StorageError) as told:
                    call()
                assert told.value.sentence == shelf.trouble
    finally:
        remount(card, "rw")


def test_the_house_answers_without_a_shelf(gemini: FakeGemini, tmp_path: Path) -> None:
    (tmp_path / "books").write_text("This is no folder.")
    with House(gemini.url, tmp_path) as house:
        assert house.shelf.trouble
        path = answered(gemini, house, "Because of rivers.", "Why is the sea salty?")
        assert b"Because of rivers" in house.get(path).data


# ---- A catalogue that is made anew


def damage(file: Path, how: str) -> None:
    """Damage the catalogue of a shelf that is closed."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if how == "an older version":
            connection.execute("PRAGMA user_version = 0")
        elif how == "a newer version":
            connection.execute("PRAGMA user_version = 99")
        elif how == "a table is gone":
            connection.execute("DROP TABLE contents")
        elif how == "the index is gone":
            connection.execute("DROP TABLE words")
    content = bytearray(file.read_bytes())
    if how == "no database":
        content = bytearray(b"This is no database." * 1000)
    elif how == "empty":
        content = bytearray()
    elif how == "cut":
        content = content[:5000]
    elif how == "zeros":
        content[100:] = bytes(len(content) - 100)
    elif how == "noise":
        content[4096:] = noise(len(content) - 4096)
    file.write_bytes(content)


HOW = (
    *("an older version", "a newer version", "a table is gone", "the index is gone"),
    *("no database", "empty", "cut", "zeros", "noise"),
)


@pytest.mark.parametrize("how", HOW)
def test_a_catalogue_that_cannot_be_used_is_made_anew(tmp_path: Path, how: str) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        book = put(shelf, book_file(paragraphs=2000))
        put(shelf, book_file("Emma"))
    damage(tmp_path / "books.sqlite", how)
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        shelf.start()
        until(lambda: [each.title for each in shelf.list(10)] == ["Emma", "Ulysses"])
        settle(shelf)
        (found,) = shelf.list(1, words="ulysses")
        assert (found.name, found.added, found.length) == (book.name, book.added, book.length)
        assert shelf.find_words(found, "Paragraph 1234")
        assert len(shelf.chapters(found)) == 2


def test_damage_that_is_met_later_costs_only_the_time_to_read_the_books_again(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        put(shelf, book_file(paragraphs=3000))
        put(shelf, book_file("Emma"))
    file = tmp_path / "books.sqlite"
    content = bytearray(file.read_bytes())
    start = content.find(b"Paragraph 2000 of") // 4096 * 4096
    content[start : start + 3 * 4096] = noise(3 * 4096)
    file.write_bytes(content)
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        shelf.start()
        assert shelf.count() == 2
        (book,) = shelf.list(1, words="ulysses")
        gone = put(shelf, book_file("Persuasion"))
        assert shelf.remove(gone.name, time.time())
        shelf._catalogue._database.read("SELECT sum(length(text)) FROM passages")  # meets it
        assert shelf.count() == 2, "the files are known at once"
        until(lambda: [each.title for each in shelf.list(10)] == ["Emma", "Ulysses"])
        settle(shelf)
        assert [each.title for each in shelf.removed(time.time())] == ["Persuasion"]
        (again,) = shelf.list(1, words="ulysses")
        assert (again.name, again.length) == (book.name, book.length)
        assert shelf.find_words(again, "Paragraph 1999")


def test_damage_that_is_met_while_a_book_comes_in_does_not_keep_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        shelf.start()
        put(shelf, book_file("Emma"))
        database = shelf._catalogue._database
        make, left = shelf._room.make, [2]

        def meet_damage(size: int) -> None:
            left[0] -= 1
            if not left[0]:
                broken = database.current
                cause = sqlite3.DatabaseError("database disk image is malformed")
                cause.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                assert database._remake(broken, cause)
            make(size)

        monkeypatch.setattr(shelf._room, "make", meet_damage)
        book = put(shelf, book_file(paragraphs=3000))
        assert shelf.find(book.name) == book and book.is_read
        until(lambda: all(each.is_read for each in shelf.list(10)))
        settle(shelf)
        assert [each.title for each in shelf.list(10)] == ["Ulysses", "Emma"]


NO_TEXT = ("CAST(X'ff5b5d' AS TEXT)", "X'ff'")
NO_NUMBER = (*NO_TEXT, "'['", "1e300")
NO_JSON = (*NO_NUMBER, "'[[1]]'", "'[1, \"x\"]'")
NONSENSE = {
    **{f"books.{each}": NO_TEXT for each in ("name", "title", "creator", "folded", "language")},
    **{f"books.{each}": NO_NUMBER for each in ("state", "size", "added", "removed", "length", "next", "rest")},
    **{"books.direction": (*NO_TEXT, "'up'"), "books.faults": NO_JSON, "contents.chapters": NO_JSON},
    **{"passages.start": NO_NUMBER, "passages.text": NO_TEXT, "remains.passages": ("'1x'",)},
}
"""Values that cannot have been stored, for each column in which one would be noticed."""
TAKEN_FROM_FILES = {"books.added", "books.removed"}
"""At the start these are corrected, whatever is in them."""


@pytest.mark.parametrize(
    ("column", "is_open"),
    [(each, is_open) for is_open in (True, False) for each in NONSENSE if is_open or each not in TAKEN_FROM_FILES],
)
def test_a_value_that_makes_no_sense_is_damage(tmp_path: Path, column: str, is_open: bool) -> None:
    def look(shelf: Shelf) -> object:
        words = "stately plump Buck Mulligan"
        return [(each, shelf.chapters(each), shelf.find_words(each, words)) for each in shelf.list(10)]

    def spoil(folder: Path, value: str) -> None:
        table, name = column.split(".")
        with closing(sqlite3.connect(folder / "books.sqlite")) as connection, connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')")
            connection.execute("PRAGMA writable_schema = RESET")
        with closing(sqlite3.connect(folder / "books.sqlite")) as connection, connection:
            connection.execute(f"UPDATE {table} SET {name} = {value}")

    with closing(Shelf(tmp_path / "before", 10, 100 * MB)) as shelf:
        book = put(shelf, book_file())
        expected = look(shelf)
    for number, value in enumerate(NONSENSE[column]):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "before", folder)
        if not is_open:
            spoil(folder, value)
        with closing(Shelf(folder, 10, 100 * MB)) as shelf:
            if is_open:
                spoil(folder, value)
            look(shelf)
            tidy(shelf)
            assert look(shelf) == expected and shelf.list(10, words="ulysses") == [book]
            now = time.time()
            shelf.remove(book.name, now)
            shelf.remove("", now + 24 * 3600)
            tidy(shelf)
            assert not names_below(folder) and not shelf._catalogue._database.read("SELECT 1 FROM passages")


def test_a_card_that_damages_again_and_again_is_told_of(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        put(shelf, book_file())
        database = shelf._catalogue._database
        for _ in range(3):
            with database.write() as connection:
                connection.execute("DROP TABLE contents")
            assert shelf.chapters(shelf.list(1)[0]) == []
        with database.write() as connection:
            connection.execute("DROP TABLE contents")
        with pytest.raises((StorageError, sqlite3.DatabaseError)):
            shelf.chapters(shelf.list(1)[0])


def test_a_mistake_in_a_statement_is_no_damage(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        book = put(shelf, book_file())
        with pytest.raises(sqlite3.OperationalError):
            shelf._catalogue._database.read("SELECT nothing FROM books")
        assert shelf.find(book.name) == book


def test_unreadable_bytes_twice_are_refused_twice(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        for _ in range(2):
            with pytest.raises(ReaderError):
                put(shelf, b"no book")
