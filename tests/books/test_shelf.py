"""The shelf: books come in, are listed and searched, are removed, and come back."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from fakes.shelf import MB, book_file, names_below, put, settle, tidy, until

from kindle_appliance.books.shelf import Shelf
from kindle_appliance.books.upkeep import Upkeep
from kindle_appliance.clock import UNKNOWN
from kindle_appliance.epub.book import Book, Passage
from kindle_appliance.epub.reading import read
from kindle_appliance.epub.unreadable import Unreadable
from kindle_appliance.errors import ReaderError
from kindle_appliance.sentences import Sentence
from kindle_appliance.storage.database import Row

DAY = 24 * 3600.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "books"


@pytest.fixture
def shelf(folder: Path) -> Iterator[Shelf]:
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        yield shelf


# ---- Adding


def test_a_book_that_came_in_is_on_the_shelf(shelf: Shelf, folder: Path) -> None:
    data = book_file()
    book = put(shelf, data)
    assert book.name == hashlib.sha256(data).hexdigest()
    assert (book.title, book.creator, book.size, book.is_read) == ("Ulysses", "James Joyce", len(data), True)
    assert time.time() - 60 < book.added <= time.time() + 1
    assert shelf.find(book.name) == book and shelf.list(10) == [book] and shelf.count() == 1
    assert [chapter.title for chapter in shelf.chapters(book)] == ["Morning", "Evening"]
    assert (folder / f"{book.name}.epub").read_bytes() == data


def test_words_are_found_in_their_own_book_only(shelf: Shelf) -> None:
    first = put(shelf, book_file("Ulysses", words="The ineluctable modality of the visible."))
    second = put(shelf, book_file("Emma", words="Handsome, clever, and rich, with a comfortable home."))
    assert shelf.find_words(first, "ineluctable modality visible")
    assert not shelf.find_words(second, "ineluctable modality visible")
    assert shelf.find_words(second, "handsome clever and rich")


def test_the_same_file_twice_is_one_book(shelf: Shelf, folder: Path) -> None:
    data = book_file()
    book = put(shelf, data)
    with shelf.incoming() as file:
        file.write(data)
        assert file.shelve() == (book, False)
    assert shelf.count() == 1
    assert names_below(folder) == [f"{book.name}.epub"]


def test_a_book_that_comes_in_twice_at_once_is_one_book(shelf: Shelf, folder: Path) -> None:
    data = book_file(paragraphs=2000)
    found: list[bool] = []

    def add() -> None:
        with shelf.incoming() as file:
            file.write(data)
            found.append(file.shelve()[1])

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, True]
    assert shelf.count() == 1 and len(names_below(folder)) == 1


def test_a_book_that_does_not_come_to_its_end_leaves_nothing(shelf: Shelf, folder: Path) -> None:
    with pytest.raises(ConnectionError), shelf.incoming() as file:
        file.write(book_file()[:1000])
        raise ConnectionError
    assert names_below(folder) == [] and shelf.list(10) == []


def test_a_file_that_cannot_be_read_leaves_nothing(shelf: Shelf, folder: Path) -> None:
    with pytest.raises(Unreadable), shelf.incoming() as file:
        file.write(b"This is no book.")
        file.shelve()
    settle(shelf)
    assert names_below(folder) == [] and shelf.list(10) == []
    assert passages(shelf) == 0


def test_other_books_can_be_read_and_removed_while_a_long_one_comes_in(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = put(shelf, book_file("Emma"))
    begun, go_on = threading.Event(), threading.Event()
    make = shelf._room.make

    def wait(size: int) -> None:
        if passages(shelf) > 300:  # the first pieces are written
            begun.set()
            assert go_on.wait(20)
        make(size)

    monkeypatch.setattr(shelf._room, "make", wait)
    long = book_file("Ulysses", paragraphs=20_000)
    thread = threading.Thread(target=put, args=(shelf, long))
    thread.start()
    try:
        assert begun.wait(20)
        assert shelf.list(10) == [short] and shelf.count() == 1
        assert shelf.find_words(short, "stately plump Buck Mulligan")
        assert shelf.remove(short.name, time.time())
        assert shelf.put_back(short.name)
    finally:
        go_on.set()
        thread.join()
    assert [book.title for book in shelf.list(10)] == ["Ulysses", "Emma"]


def test_a_book_that_has_just_begun_to_come_in_is_not_taken_for_what_is_left_of_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = shelf._catalogue.begin

    def begin_and_tidy(name: str, size: int) -> None:
        begin(name, size)
        while shelf._catalogue.tidy_some():  # as the background may at any moment
            pass

    monkeypatch.setattr(shelf._catalogue, "begin", begin_and_tidy)
    book = put(shelf, book_file())
    assert shelf.list(1) == [book]


# ---- The list


def test_the_list_has_pages_the_newest_first(shelf: Shelf, folder: Path) -> None:
    names = []
    for number in range(5):
        names.append(put(shelf, book_file(f"Book {number}")).name)
        moment = time.time() - 1000 + number
        os.utime(folder / f"{names[-1]}.epub", (moment, moment))
    shelf.close()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        first = shelf.list(2)
        second = shelf.list(2, before=first[-1].name)
        third = shelf.list(2, before=second[-1].name)
        assert [book.name for book in (*first, *second, *third)] == names[::-1]
        assert shelf.list(2, before=third[-1].name) == []
        assert shelf.list(2, before="f" * 64) == []


def test_the_list_goes_on_after_a_book_that_was_removed_meanwhile(shelf: Shelf) -> None:
    for number in range(4):
        put(shelf, book_file(f"Book {number}"))
    shown = shelf.list(2)
    rest = shelf.list(4)[2:]
    shelf.remove(shown[-1].name, time.time())
    assert shelf.list(4, before=shown[-1].name) == rest


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("emile", ["Émile"]),
        ("ROUSSEAU emi", ["Émile"]),
        ("rousseau austen", []),
        ("%", []),
        ("", ["Émile", "Emma"]),
        ("em", ["Émile", "Emma"]),
        ("道", []),
    ],
)
def test_the_list_is_searched_by_parts_of_title_and_author(shelf: Shelf, words: str, titles: list[str]) -> None:
    put(shelf, book_file("Emma", creator="Jane Austen"))
    put(shelf, book_file("Émile", creator="Jean-Jacques Rousseau"))
    assert sorted(book.title for book in shelf.list(10, words=words)) == sorted(titles)


# ---- Removing


def test_a_removed_book_can_come_back_for_a_day(shelf: Shelf) -> None:
    book = put(shelf, book_file())
    now = time.time()
    assert shelf.remove(book.name, now)
    assert not shelf.remove(book.name, now)
    assert shelf.find(book.name) is None and shelf.list(10) == [] and shelf.count() == 0
    assert [each.name for each in shelf.removed(now + DAY - 1)] == [book.name]
    assert not shelf.removed(now + DAY)
    assert shelf.put_back(book.name) and shelf.put_back(book.name)
    assert shelf.find(book.name) == book and not shelf.removed(now)
    assert shelf.find_words(book, "stately plump")


def test_a_book_that_is_not_there_is_neither_removed_nor_put_back(shelf: Shelf) -> None:
    for name in ("f" * 64, "", "../x", "F" * 64):
        assert not shelf.remove(name, time.time())
        assert not shelf.put_back(name)
        assert shelf.find(name) is None


def test_a_removed_book_that_is_added_again_is_put_back(shelf: Shelf, folder: Path) -> None:
    data = book_file()
    book = put(shelf, data)
    shelf.remove(book.name, time.time())
    assert put(shelf, data) == book
    assert names_below(folder) == [f"{book.name}.epub"]


def test_after_a_day_nothing_is_left_of_a_removed_book(shelf: Shelf, folder: Path) -> None:
    other = put(shelf, book_file("Emma"))
    book = put(shelf, book_file(paragraphs=3000))
    before = (folder / "books.sqlite").stat().st_size + (folder / "books.sqlite-wal").stat().st_size
    shelf.remove(book.name, time.time() - DAY)
    shelf.remove(other.name, time.time())  # when something else is removed
    settle(shelf)
    assert names_below(folder) == [name for name in names_below(folder) if other.name in name]
    assert [each.name for each in shelf.removed(time.time())] == [other.name]
    assert not shelf.put_back(book.name)
    assert b"Mulligan" not in b"".join(path.read_bytes() for path in folder.glob("books.sqlite-wal"))
    assert (folder / "books.sqlite").stat().st_size < before / 2, "the room is given back"
    assert passages(shelf) == shelf._catalogue.find(other.name, is_removed=True).last % 2**20 + 1  # type: ignore[union-attr]


def test_the_start_deletes_what_was_removed_more_than_a_day_ago(shelf: Shelf, folder: Path) -> None:
    book = put(shelf, book_file())
    shelf.remove(book.name, time.time() - DAY - 1)
    shelf.close()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        until(lambda: names_below(folder) == [] and passages(shelf) == 0)


def test_where_the_time_is_not_known_the_day_begins_when_it_is(shelf: Shelf, folder: Path) -> None:
    book, other = put(shelf, book_file()), put(shelf, book_file("Emma"))
    now = time.time()
    assert shelf.remove(book.name, UNKNOWN)
    assert [each.name for each in shelf.removed(UNKNOWN)] == [book.name]
    assert [each.name for each in shelf.removed(now)] == [book.name]
    shelf.remove(other.name, now - DAY + 1)
    assert [each.name for each in shelf.removed(now)] == [other.name, book.name]
    (found,) = [each for each in shelf.removed(now) if each.name == book.name]
    assert found.removed == int(now - DAY + 1)
    assert shelf.put_back(other.name)
    assert not shelf.removed(now + DAY)


def test_a_clock_that_was_wrong_does_not_keep_a_removed_book_for_years(shelf: Shelf, folder: Path) -> None:
    book = put(shelf, book_file())
    now = time.time()
    shelf.remove(book.name, now + 900 * DAY)
    put(shelf, book_file("Emma"))
    assert [each.removed // 60 for each in shelf.removed(now)] == [pytest.approx(now // 60, abs=1)]


# ---- A shelf that is opened again


def test_a_shelf_that_is_opened_again_is_the_same(shelf: Shelf, folder: Path) -> None:
    put(shelf, book_file("Emma"))
    book = put(shelf, book_file())
    gone = put(shelf, book_file("Persuasion"))
    shelf.remove(gone.name, time.time())
    before = shelf.list(10), shelf.removed(time.time()), shelf.chapters(book), shelf.find_words(book, "lather")
    shelf.close()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        again = shelf.list(10), shelf.removed(time.time()), shelf.chapters(book), shelf.find_words(book, "lather")
        assert again == before


def test_a_shelf_whose_catalogue_is_gone_is_made_anew_from_the_files(shelf: Shelf, folder: Path) -> None:
    put(shelf, book_file("Emma"))
    book = put(shelf, book_file(paragraphs=2000))
    gone = put(shelf, book_file("Persuasion"))
    shelf.remove(gone.name, time.time())
    before = [(each.name, each.title, each.size, each.added, each.length) for each in shelf.list(10)]
    finds, chapters = shelf.find_words(book, "lather"), shelf.chapters(book)
    shelf.close()
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        (first, _) = shelf.list(10)
        assert (first.name, first.size, first.is_read, first.title) == (book.name, book.size, False, "")
        assert shelf.find_words(first, "lather") == [] and shelf.chapters(first) == []
        shelf.start()
        until(lambda: all(each.is_read for each in shelf.list(10)))
        settle(shelf)
        assert [(each.name, each.title, each.size, each.added, each.length) for each in shelf.list(10)] == before
        (found,) = [each for each in shelf.list(10) if each.name == book.name]
        assert (shelf.find_words(found, "lather"), shelf.chapters(found)) == (finds, chapters)
        assert [each.title for each in shelf.removed(time.time())] == ["Persuasion"]
        assert shelf.put_back(gone.name)


def test_files_that_were_put_there_are_found_and_those_that_are_gone_are_forgotten(
    shelf: Shelf, folder: Path
) -> None:
    gone = put(shelf, book_file("Emma"))
    restored = put(shelf, book_file("Persuasion"))
    shelf.remove(restored.name, time.time())
    shelf.close()
    (folder / f"{gone.name}.epub").unlink()
    data = book_file()
    name = hashlib.sha256(data).hexdigest()
    (folder / f"{name}.epub").write_bytes(data)
    (folder / "notes.epub").write_bytes(data)
    (removed,) = (folder / "removed").iterdir()
    (folder / f"{restored.name}.epub").write_bytes(removed.read_bytes())  # as a restore does
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert sorted(book.title for book in shelf.list(10)) == ["Persuasion", "Ulysses"]
        assert shelf.removed(time.time()) == [] and not removed.exists()


def test_a_file_that_is_damaged_is_told_and_can_be_added_again(shelf: Shelf, folder: Path) -> None:
    data = book_file()
    book = put(shelf, data)
    shelf.close()
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    (folder / f"{book.name}.epub").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        (shown,) = shelf.list(10)
        assert (shown.title, shown.length, shown.is_read) == (book.name[:12], 0, True)
        assert "The card has damaged this file." in str(shown.faults[0])
        assert put(shelf, data).title == "Ulysses"
        settle(shelf)
        assert [each.title for each in shelf.list(10)] == ["Ulysses"]
        assert (folder / f"{book.name}.epub").read_bytes() == data


@pytest.mark.parametrize("is_read_already", [False, True])
def test_a_book_that_is_removed_while_it_is_read_anew_is_read_where_it_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_read_already: bool
) -> None:
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        book = put(shelf, book_file(paragraphs=1500))
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        digest = Upkeep._digest
        moves: list[Callable[[str], bool]] = [shelf.put_back, lambda name: shelf.remove(name, time.time())]

        def move(upkeep: Upkeep, path: Path) -> str:
            found = digest(upkeep, path) if is_read_already else ""
            if moves:
                assert moves.pop()(book.name)
            return found or digest(upkeep, path)

        monkeypatch.setattr(Upkeep, "_digest", move)
        tidy(shelf)
        (again,) = shelf.list(10)
        assert (again.title, again.faults) == ("Ulysses", ()) and shelf.find_words(again, "Paragraph 1234")
        assert passages(shelf) == again.last - again.first + 1


def test_a_card_that_fails_for_a_while_has_damaged_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        bad, good = put(shelf, book_file("Bad")), put(shelf, book_file("Good"))
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    os.utime(folder / f"{good.name}.epub", (time.time() - 1000,) * 2)  # the bad one comes first
    digest, errors = Upkeep._digest, [errno.EMFILE] * 5 + [errno.EIO] * 4

    def fail(upkeep: Upkeep, path: Path) -> str:
        if errors and bad.name in path.name:
            raise OSError(errors.pop(), "the card")
        return digest(upkeep, path)

    monkeypatch.setattr(Upkeep, "_digest", fail)
    monkeypatch.setattr("kindle_appliance.storage.worker._MOST_PAUSE_SECONDS", 0.05)
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert {each.title for each in shelf.list(10)} == {"Bad", "Good"} and not errors


def test_a_removed_book_is_deleted_when_its_day_is_over_though_nothing_else_happens(
    shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.books.shelf._LEAST_REST_SECONDS", 0.01)
    names = [put(shelf, book_file(title)).name for title in ("Ulysses", "Emma", "Dracula")]
    settle(shelf)
    shelf.remove(names[1], time.time() - DAY + 2)
    shelf.remove(names[0], time.time())
    until(lambda: len(names_below(folder / "removed")) == 1)
    assert [each.name for each in shelf.removed(time.time())] == [names[0]]
    until(
        lambda: passages(shelf) == sum(book.last - book.first + 1 for book in (*shelf.list(9), *shelf.removed(0)))
    )


def test_an_unreadable_book_stays_in_the_list_where_it_is_added_again_in_vain(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        data = book_file(paragraphs=1500)
        name = put(shelf, data).name
    for path in folder.glob("books.sqlite*"):
        path.unlink()

    def fail(path: Path, take: Callable[[Passage], None]) -> Book:
        read(path, take)
        raise Unreadable(Sentence("No."))

    monkeypatch.setattr("kindle_appliance.epub.reading.read", fail)
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert passages(shelf) == 0, "what was read of it goes"
        with pytest.raises(Unreadable):
            put(shelf, data)
        assert [each.name for each in shelf.list(10)] == [name]
        settle(shelf)
        assert [str(each.faults[0]) for each in shelf.list(10)] == ["No."] and passages(shelf) == 0


def test_a_book_that_comes_in_stays_where_upkeep_ends_with_the_same_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, make = book_file(), shelf._room.make

    def end_upkeep() -> None:
        shelf._catalogue.end(hashlib.sha256(data).hexdigest())
        while shelf._catalogue.tidy_some():
            pass

    def meanwhile(size: int) -> None:
        thread = threading.Thread(target=end_upkeep)
        thread.start()
        thread.join()
        make(size)

    monkeypatch.setattr(shelf._room, "make", meanwhile)
    assert shelf.find(put(shelf, data).name)


def test_a_book_that_is_completed_while_others_are_tidied_keeps_its_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_read, is_seen = threading.Event(), threading.Event()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        thread = threading.Thread(target=put, args=(shelf, book_file()))
        accept, select = shelf._files.accept, shelf._catalogue._database.read

        def accept_late(path: Path, name: str) -> object:
            is_read.set()
            assert is_seen.wait(20)
            return accept(path, name)

        def complete_after(query: str, values: Sequence[object] = ()) -> list[Row]:
            rows = select(query, values)
            if threading.current_thread() is not thread:
                is_seen.set()
                thread.join()
            return rows

        monkeypatch.setattr(shelf._files, "accept", accept_late)
        monkeypatch.setattr(shelf._catalogue._database, "read", complete_after)
        thread.start()
        assert is_read.wait(20)
        shelf._catalogue.tidy_some()
        assert shelf.find_words(shelf.list(1)[0], "stately plump")


def test_a_damaged_book_that_was_removed_and_added_again_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    data, now = book_file(), time.time()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        book = put(shelf, data)
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    (folder / f"{book.name}.epub").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with closing(Shelf(folder, 10, 100 * MB, forgotten.append)) as shelf:
        shelf.start()
        settle(shelf)
        shelf.remove(book.name, now)
        with monkeypatch.context() as patch:
            patch.setattr(shelf._files, "purge_copies", lambda file: None)  # as where the power is cut
            put(shelf, data)
        assert len(names_below(folder)) == 2
        shelf.remove("", now + DAY)
        assert names_below(folder) == [f"{book.name}.epub"] and not forgotten
        assert shelf.find_words(shelf.list(1)[0], "stately plump")


def test_a_mistake_in_reading_one_book_anew_does_not_keep_the_others(
    shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    bad, good = put(shelf, book_file("Bad")), put(shelf, book_file("Good"))
    shelf.close()
    for path in folder.glob("books.sqlite*"):
        path.unlink()

    def fail(path: Path, take: Callable[[Passage], None]) -> Book:
        if bad.name in path.name:
            raise ZeroDivisionError
        return read(path, take)

    monkeypatch.setattr("kindle_appliance.epub.reading.read", fail)
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert {each.title for each in shelf.list(10)} == {bad.name[:12], good.title}


def test_a_shelf_can_be_closed_while_books_are_read_anew(shelf: Shelf, folder: Path) -> None:
    put(shelf, book_file(paragraphs=10_000))
    shelf.close()
    for path in folder.glob("books.sqlite*"):
        path.unlink()
    shelf = Shelf(folder, 10, 100 * MB)
    shelf.start()
    until(lambda: passages(shelf))
    shelf.close()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        (book,) = shelf.list(10)
        assert book.title == "Ulysses" and passages(shelf) == book.last - book.first + 1


# ---- Other users of the machine, and of the folder


def test_only_its_owner_can_read_a_book(shelf: Shelf, folder: Path) -> None:
    before = os.umask(0)
    try:
        book = put(shelf, book_file())
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / f"{book.name}.epub").stat().st_mode) == 0o600
    for path in (folder, folder / "incoming", folder / "removed"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_links_are_no_books(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    shelf.close()
    data = book_file()
    (tmp_path / "outside.epub").write_bytes(data)
    name = hashlib.sha256(data).hexdigest()
    (folder / f"{name}.epub").symlink_to(tmp_path / "outside.epub")
    (folder / "removed" / f"1-{name}.epub").symlink_to(tmp_path / "outside.epub")
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert shelf.list(10) == [] and shelf.removed(UNKNOWN) == []
        put(shelf, data)
        assert not (folder / f"{name}.epub").is_symlink()
    assert (tmp_path / "outside.epub").read_bytes() == data


@pytest.mark.parametrize("name", ["", "incoming", "removed", "books.sqlite"])
def test_there_is_no_shelf_behind_a_link(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    if name:
        folder.mkdir()
    target = tmp_path / "elsewhere" / ("x.sqlite" if "sqlite" in name else "")
    (folder / name if name else folder).symlink_to(target)
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        assert shelf.trouble
    assert list((tmp_path / "elsewhere").iterdir()) == []


def passages(shelf: Shelf) -> int:
    return int(shelf._catalogue._database.read("SELECT count(*) FROM passages")[0][0])


def test_a_shelf_that_is_closed_ends_a_book_that_comes_in(shelf: Shelf, folder: Path) -> None:
    told: list[ReaderError] = []

    def add() -> None:
        try:
            put(shelf, book_file(paragraphs=30_000))
        except ReaderError as error:
            told.append(error)

    thread = threading.Thread(target=add)
    thread.start()
    until(lambda: passages(shelf))
    shelf.close()
    thread.join()
    assert [error.status for error in told] == [503]
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        assert names_below(folder) == [] and shelf.list(10) == [] and passages(shelf) == 0
