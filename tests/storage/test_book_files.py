"""The books in a backup: whole, as their names say, and never more than the shelf takes."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.chats import write_chats
from fakes.filesystem import mounted
from fakes.system_calls import calls, trace_writes

from kindle_appliance.errors import StartError
from kindle_appliance.host.plain_files import set_time
from kindle_appliance.storage.backup import Restored, Saved, back_up, check, restore
from kindle_appliance.storage.book_files import Limits, measure
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.shelf_layout import MOST_BYTES

LIMITS = Limits(500, 4_000_000_000)
MOMENT = 1_780_000_000.0
PIECE = 1024 * 1024


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(folder: Path, *contents: bytes) -> None:
    """Put books on the shelf of a state folder, the first one first."""
    (folder / "books").mkdir(mode=0o700, exist_ok=True)
    for number, content in enumerate(contents):
        path = folder / "books" / f"{name_of(content)}.epub"
        path.write_bytes(content)
        path.chmod(0o600)
        set_time(path, MOMENT + number)


def shelf(folder: Path) -> Mapping[str, float]:
    """The names of the books on a shelf, each with its time. All are private, and what their names say."""
    books = {}
    for path in (folder / "books").glob("*"):
        if path.is_file():
            assert path.name == f"{name_of(path.read_bytes())}.epub"
            assert path.stat().st_mode & 0o777 == 0o600
            books[path.stem] = path.stat().st_mtime
    return books


def left(folder: Path) -> list[str]:
    return [each.name for each in (folder / "books" / "incoming").glob("*")]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a chat."""
    write_chats(tmp_path / "state" / "chats.sqlite", "Why?")
    return tmp_path / "state"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another one."""
    write_chats(tmp_path / "other" / "chats.sqlite", "How?")
    return tmp_path / "other"


def brought(restored: Restored) -> tuple[int, int, int, int]:
    counts = restored.books
    return counts["new"], counts["present"], counts["bad"], counts["crowded"]


SMALL, LARGE = b"a small book", random.Random(1).randbytes(3 * PIECE + 5)
EXACT = random.Random(2).randbytes(2 * PIECE)


def test_books_come_back_from_a_backup_with_them_and_keep_their_time(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL, LARGE, EXACT)
    saved = back_up(state, tmp_path / "backup", {}, with_books=True)
    assert (saved.chats.rows, saved.books, saved.bad_books, saved.others) == (1, 3, 0, 0)
    restored = restore(tmp_path / "backup", other, (), limits=LIMITS)
    assert brought(restored) == (3, 0, 0, 0)
    assert shelf(other) == {name_of(each): MOMENT + at for at, each in enumerate((SMALL, LARGE, EXACT))}
    assert left(other) == []
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (0, 3, 0, 0)


def test_a_backup_without_books_has_none_and_leaves_those_of_the_shelf(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL, LARGE)
    saved = back_up(state, tmp_path / "backup", {})
    assert (saved.books, saved.others) == (0, 2)
    assert (tmp_path / "backup").stat().st_size < PIECE
    put(other, EXACT)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (0, 0, 0, 0)
    assert set(shelf(other)) == {name_of(EXACT)}


def test_books_of_a_backup_join_those_of_the_shelf_and_replace_none(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL, LARGE)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    put(other, EXACT, SMALL)
    inode = (other / "books" / f"{name_of(SMALL)}.epub").stat().st_ino
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 1, 0, 0)
    assert set(shelf(other)) == {name_of(SMALL), name_of(LARGE), name_of(EXACT)}
    assert (other / "books" / f"{name_of(SMALL)}.epub").stat().st_ino == inode


def test_a_removed_book_that_a_backup_has_is_on_the_shelf_again_and_nowhere_else(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    removed = other / "books" / "removed"
    removed.mkdir(parents=True)
    (removed / f"1780000000-{name_of(SMALL)}.epub").write_bytes(SMALL)
    (removed / f"1780000000-{name_of(LARGE)}.epub").write_bytes(LARGE)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 0, 0, 0)
    assert [each.name for each in removed.iterdir()] == [f"1780000000-{name_of(LARGE)}.epub"]


def test_a_roll_back_takes_no_books(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    restore(tmp_path / "backup", other, (), as_it_was=True, limits=LIMITS)
    assert not (other / "books").exists()


def test_only_books_of_the_shelf_are_in_a_backup(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, SMALL)
    books = state / "books"
    for folder, name in (("removed", f"17-{name_of(LARGE)}.epub"), ("incoming", "0f" * 16)):
        (books / folder).mkdir()
        (books / folder / name).write_bytes(LARGE)
    for name in ("books.sqlite", "notes.epub", f"{name_of(EXACT)}.mobi", f"{name_of(EXACT).upper()}.epub"):
        (books / name).write_bytes(EXACT)
    assert back_up(state, tmp_path / "backup", {}, with_books=True).books == 1
    restore(tmp_path / "backup", other, (), limits=LIMITS)
    assert set(shelf(other)) == {name_of(SMALL)}


def test_a_book_that_the_card_has_damaged_is_left_out_and_told(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, SMALL, LARGE, b"")
    path = state / "books" / f"{name_of(LARGE)}.epub"
    path.write_bytes(LARGE[:-1] + b"?")
    saved = back_up(state, tmp_path / "backup", {}, with_books=True)
    assert (saved.books, saved.bad_books) == (1, 2)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 0, 0, 0)


def make_stray(state: Path, kind: str) -> None:
    """Put something else where a book's file would be."""
    path = state / "books" / f"{name_of(EXACT)}.epub"
    path.parent.mkdir(exist_ok=True)
    if kind == "a link":
        (state / "secret").write_bytes(EXACT)
        path.symlink_to(state / "secret")
    elif kind == "a folder":
        path.mkdir()
    else:
        os.mkfifo(path)


STRAYS = ("a link", "a folder", "a pipe")


@pytest.mark.parametrize("kind", STRAYS)
def test_what_has_the_name_of_a_book_and_is_no_file_is_left_out_of_a_backup_and_told(
    state: Path, other: Path, tmp_path: Path, kind: str
) -> None:
    put(state, SMALL)
    make_stray(state, kind)
    saved = back_up(state, tmp_path / "plain", {})
    assert (saved.books, saved.bad_books, saved.others) == (0, 0, 1)
    saved = back_up(state, tmp_path / "backup", {}, with_books=True)
    assert (saved.books, saved.bad_books, saved.others) == (1, 1, 0)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 0, 0, 0)
    assert measure(state / "books") == (1, len(SMALL))


@pytest.mark.parametrize("kind", STRAYS)
def test_a_restore_leaves_such_a_thing_where_it_is_and_leaves_its_book_out(
    state: Path, other: Path, tmp_path: Path, kind: str
) -> None:
    put(state, SMALL, EXACT)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    make_stray(other, kind)
    path = other / "books" / f"{name_of(EXACT)}.epub"
    before = path.lstat()
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 0, 1, 0)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert (other / "books" / f"{name_of(SMALL)}.epub").is_file()


def test_books_may_come_and_go_while_a_backup_is_made(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, LARGE)
    chance, stop = random.Random(3), threading.Event()

    def live() -> None:
        while not stop.is_set():
            content = chance.randbytes(20_000)
            fresh = state / "books" / "incoming"
            fresh.write_bytes(content)
            fresh.rename(state / "books" / f"{name_of(content)}.epub")
            for path in sorted((state / "books").glob("*.epub"))[:-20]:
                if path.stem != name_of(LARGE):
                    path.unlink(missing_ok=True)

    service = threading.Thread(target=live)
    service.start()
    try:
        for _ in range(10):
            saved = back_up(state, tmp_path / "backup", {}, with_books=True)
            assert saved.books and not saved.bad_books
            assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS))[2:] == (0, 0)
    finally:
        stop.set()
        service.join()
    assert name_of(LARGE) in shelf(other)


# Limits


def test_a_shelf_takes_no_more_books_of_a_backup_than_its_settings_say(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, *(b"book %d" % number for number in range(6)))
    back_up(state, tmp_path / "backup", {}, with_books=True)
    put(other, SMALL)
    assert brought(restore(tmp_path / "backup", other, (), limits=Limits(4, 10**9))) == (3, 0, 0, 3)
    assert len(shelf(other)) == 4
    used = sum(each.stat().st_size for each in (other / "books").glob("*.epub"))
    index = other / "books" / "books.sqlite"
    index.write_bytes(bytes(1000))
    for room, brings in ((used + 1011, 0), (used + 1012, 1)):  # a book has six bytes, and as many are for its index
        assert brought(restore(tmp_path / "backup", other, (), limits=Limits(500, room)))[0] == brings


def fill(card: Path, free: int) -> None:
    """Leave so many bytes of a card free."""
    (card / "other").unlink(missing_ok=True)
    (card / "other").write_bytes(bytes(shutil.disk_usage(card).free - free))


def test_a_restore_of_books_needs_room_for_them_and_their_index_and_leaves_what_the_shelf_does(
    state: Path, tmp_path: Path
) -> None:
    size = 4 * PIECE
    put(state, random.Random(4).randbytes(size))
    back_up(state, tmp_path / "backup", {}, with_books=True)
    with mounted(tmp_path / "card", "size=60m", "mode=700") as card:
        kept = shutil.disk_usage(card).total // 20
        for free in (size, 2 * size + 700_000, 2 * size + kept):
            fill(card, free)
            with pytest.raises(StartError, match=r" MB are free for .*card, and a restore needs 1[23]"):
                check(tmp_path / "backup", card, (), LIMITS)
            check(tmp_path / "backup", card, (), Limits(0, 0))
        fill(card, 2 * size + kept + 1_000_000)
        assert brought(restore(tmp_path / "backup", card, (), limits=LIMITS)) == (1, 0, 0, 0)


def test_a_large_book_is_expected_to_have_pictures_rather_than_a_large_index(state: Path, tmp_path: Path) -> None:
    put(state, random.Random(4).randbytes(20 * PIECE))
    back_up(state, tmp_path / "backup", {}, with_books=True)
    with mounted(tmp_path / "card", "size=34m", "mode=700") as card:
        check(tmp_path / "backup", card, (), LIMITS)


def test_a_backup_with_books_leaves_of_the_card_what_the_shelf_does(state: Path, tmp_path: Path) -> None:
    size = 4 * PIECE
    put(state, random.Random(4).randbytes(size))
    with mounted(tmp_path / "card", "size=60m", "mode=700") as card:
        kept = shutil.disk_usage(card).total // 20
        for free in (size, size + kept):
            fill(card, free)
            with pytest.raises(StartError, match=r"free for .*card/backup, and a backup with the books needs 8\."):
                back_up(state, card / "backup", {}, with_books=True)
            assert [each.name for each in card.iterdir()] == ["other"]
        assert back_up(state, card / "backup", {}).others == 1
        fill(card, size + kept + 600_000)
        assert back_up(state, card / "backup", {}, with_books=True).books == 1
        assert shutil.disk_usage(card).free > kept


def test_neither_a_backup_nor_a_restore_has_a_whole_book_in_memory(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, random.Random(5).randbytes(40 * PIECE))
    tracemalloc.start()
    try:
        back_up(state, tmp_path / "backup", {}, with_books=True)
        restore(tmp_path / "backup", other, (), limits=LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * PIECE


# A stranger's backup


def hostile(*statements: str) -> Callable[[sqlite3.Connection], object]:
    return lambda file: [file.execute(each) for each in statements]


def untyped(table: str, *statements: str) -> Callable[[sqlite3.Connection], object]:
    """Do statements with a table whose columns take any type, and then let it say again that they do not."""

    def change(file: sqlite3.Connection) -> None:
        (sql,) = file.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        columns = ", ".join(row[1] for row in file.execute(f"PRAGMA table_info({table})"))
        file.execute(f"ALTER TABLE {table} RENAME TO strict")
        file.execute(f"CREATE TABLE {table} ({columns}, {KEYS[table]})")
        file.execute(f"INSERT INTO {table} SELECT * FROM strict")
        file.execute("DROP TABLE strict")
        for statement in statements:
            file.execute(statement)
        file.execute("PRAGMA writable_schema=ON")
        file.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))

    return change


KEYS = {
    "books": "PRIMARY KEY (name)",
    "book_pieces": "PRIMARY KEY (book, number)",
    "belongings": "PRIMARY KEY (name)",
}

HOSTILE = {
    "a piece of no content": (untyped("book_pieces", "UPDATE book_pieces SET content = NULL WHERE number = 1"), 1),
    "a number for a piece": (untyped("book_pieces", "UPDATE book_pieces SET content = 12 WHERE number = 1"), 1),
    "a number for each piece": (untyped("book_pieces", "UPDATE book_pieces SET content = 12"), 2),
    "another content": (hostile("UPDATE book_pieces SET content = CAST(x'00' || substr(content, 2) AS BLOB)"), 2),
    "a name that leads elsewhere": (hostile("UPDATE books SET name = '../' || substr(name, 4)"), 2),
    "a name in capitals": (hostile("UPDATE books SET name = upper(name)"), 2),
    "a name with a line end": (hostile("UPDATE books SET name = name || char(10)"), 2),
    "a name of no letters": (hostile("UPDATE books SET name = CAST(x'ff00' AS TEXT)  WHERE size < 100"), 1),
    "a missing piece": (hostile("DELETE FROM book_pieces WHERE number = 1"), 1),
    "no pieces": (hostile("DELETE FROM book_pieces"), 2),
    "one piece in other pieces": (hostile("UPDATE book_pieces SET number = number + 100"), 2),
    "a larger size": (hostile("UPDATE books SET size = size + 1"), 2),
    "a huge size": (hostile("UPDATE books SET size = 9007199254740993"), 2),
    "no size": (hostile("UPDATE books SET size = -size"), 2),
    "more than a book may have": (hostile(f"UPDATE books SET size = {MOST_BYTES + 1} WHERE size > 100"), 1),
    "a piece of another size": (hostile("UPDATE book_pieces SET content = zeroblob(30000000) WHERE number = 2"), 1),
    "a piece that SQLite refuses": (
        hostile("UPDATE book_pieces SET content = zeroblob(40000000) WHERE number = 2"),
        1,
    ),
}


@pytest.mark.parametrize(("change", "bad"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_book_in_a_backup_is_left_out_and_counted(
    state: Path, other: Path, tmp_path: Path, change: Callable[[sqlite3.Connection], object], bad: int
) -> None:
    put(state, SMALL, LARGE)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    with closing(sqlite3.connect(tmp_path / "backup", isolation_level=None)) as file:
        change(file)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (2 - bad, 0, bad, 0)
    assert set(shelf(other)) <= {name_of(SMALL), name_of(LARGE)}
    assert left(other) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backup", "other", "state"]
    with closing(Database(other / "chats.sqlite", CHATS)) as database:
        assert database.read("SELECT question FROM turns")[0][0] == "Why?"


VALUES = (
    *("NULL", "0", "-1", "12", "9223372036854775807", "0.5", "-9e999", "9e999", "''", "'12'", "'settings'"),
    *("x''", "x'00'", "x'ff00'", "CAST(x'ff00' AS TEXT)", "CAST(x'61006262' AS TEXT)", "zeroblob(2000000)"),
)
OWN_VALUES = {
    "size": ["CAST(size AS TEXT)", "CAST(size AS REAL)"],
    "added": ["CAST(added AS TEXT)", "CAST(added AS INTEGER)"],
    "name": ["CAST(name AS BLOB)"],
    "book": ["CAST(book AS BLOB)"],
    "number": ["CAST(number AS TEXT)", "CAST(number AS REAL)"],
    "content": ["CAST(content AS TEXT)"],
}
COLUMNS = [
    *(("books", column) for column in ("name", "size", "added")),
    *(("book_pieces", column) for column in ("book", "number", "content")),
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_value_of_any_type_in_the_place_of_another_makes_a_bad_book_at_most(
    state: Path, other: Path, tmp_path: Path, table: str, column: str
) -> None:
    values = [*VALUES, *OWN_VALUES[column]]
    put(state, LARGE, *(b"book %d" % number for number in range(len(values))))
    back_up(state, tmp_path / "backup", {}, with_books=True)
    with closing(sqlite3.connect(tmp_path / "backup", isolation_level=None)) as file:
        changes = []
        key = "name" if table == "books" else "book"
        for number, value in enumerate(values):
            name = name_of(b"book %d" % number)
            changes.append(f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {key} = '{name}'")
        untyped(table, *changes)(file)
    check(tmp_path / "backup", other, (), LIMITS)
    new, present, bad, crowded = brought(restore(tmp_path / "backup", other, (), limits=LIMITS))
    assert (new + bad, present, crowded) == (len(values) + 1, 0, 0)
    assert len(shelf(other)) == new
    assert name_of(LARGE) in shelf(other)
    assert left(other) == []


@pytest.mark.parametrize("column", ["name", "content"])
def test_a_value_of_any_type_among_belongings_is_taken_or_refused(
    state: Path, other: Path, tmp_path: Path, column: str
) -> None:
    back_up(state, tmp_path / "good", {"settings": b"seats = 3"}, with_books=True)
    taken = []
    for value in VALUES:
        shutil.copy(tmp_path / "good", tmp_path / "backup")
        with closing(sqlite3.connect(tmp_path / "backup", isolation_level=None)) as file:
            untyped("belongings", f"UPDATE belongings SET {column} = {value}")(file)
        try:
            check(tmp_path / "backup", other, {"settings"}, LIMITS)
            taken.append(value)
        except StartError as error:
            assert "is not a good backup: it" in str(error)
    assert set(taken) <= {"'settings'", "''", "'12'"} | {each for each in VALUES if each[0] in "xC"}


REFUSED = {
    "half of the tables": (hostile("DROP TABLE book_pieces"), None),
    "another table": (hostile("DROP TABLE books", "CREATE TABLE books (name TEXT)"), "table 'books' is not one"),
    "a view": (
        hostile("DROP TABLE book_pieces", "CREATE VIEW book_pieces AS SELECT 1 AS content"),
        "view 'book_pieces' is not one",
    ),
    "a trigger": (
        hostile("CREATE TRIGGER t AFTER INSERT ON books BEGIN SELECT 1; END"),
        "trigger 't' is not one",
    ),
    "more books than any shelf has": (
        hostile(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20001)"
            " INSERT INTO books SELECT printf('%064x', i), 1, 0.0 FROM n"
        ),
        "more than 20000 books",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_backup_whose_tables_of_books_are_not_ours_is_refused_or_has_none(
    state: Path, other: Path, tmp_path: Path, change: Callable[[sqlite3.Connection], object], sentence: str | None
) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    with closing(sqlite3.connect(tmp_path / "backup", isolation_level=None)) as file:
        change(file)
    if sentence is None:
        assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (0, 0, 0, 0)
    else:
        with pytest.raises(StartError, match=sentence):
            restore(tmp_path / "backup", other, (), limits=LIMITS)
    assert not list((other / "books").glob("*"))


def test_a_backup_with_damage_anywhere_brings_only_whole_books(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, LARGE, *(random.Random(number).randbytes(9000) for number in range(20)))
    back_up(state, tmp_path / "good", {}, with_books=True)
    content = (tmp_path / "good").read_bytes()
    chance, restored = random.Random(6), 0
    for _ in range(40):
        at = chance.choice([chance.randrange(len(content)), chance.randrange(0, len(content), 4096)])
        harm = chance.randbytes(chance.choice((1, 8, 600)))
        (tmp_path / "backup").write_bytes(content[:at] + harm + content[at + len(harm) :])
        try:
            restore(tmp_path / "backup", other, (), limits=LIMITS)
            restored += 1
        except StartError:
            pass
        assert left(other) == []
        for path in (other / "books").glob("*.epub"):
            assert path.stem == name_of(path.read_bytes())
            path.unlink()
    assert restored > 10


RESTORE = (
    "import sys, pathlib; from kindle_appliance.storage.backup import restore; from"
    " kindle_appliance.storage.book_files import Limits; sys.stdout.write('.'); sys.stdout.flush();"
    "restore(*map(pathlib.Path, sys.argv[1:]), (), limits=Limits(500, 10**9))"
)


@pytest.mark.slow
def test_a_restore_killed_at_any_moment_leaves_only_whole_books(state: Path, other: Path, tmp_path: Path) -> None:
    put(state, *(random.Random(number).randbytes(4 * PIECE) for number in range(12)))
    back_up(state, tmp_path / "backup", {}, with_books=True)
    command = [sys.executable, "-c", RESTORE, str(tmp_path / "backup"), str(other)]
    chance, halves = random.Random(8), 0
    for number in range(10):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as restoring:
            assert restoring.stdout is not None
            restoring.stdout.read(1)
            if number < 3:
                while not left(other) and restoring.poll() is None:
                    pass
            else:
                time.sleep(chance.uniform(0, 0.6))
            restoring.kill()
        halves += bool(left(other))
        assert len(shelf(other)) in range(13)
        for path in (other / "books").glob("*.epub"):
            path.unlink()
    assert halves >= 1, "at least one was cut short"
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (12, 0, 0, 0)
    assert left(other) == []
    assert len(shelf(other)) == 12


def question(folder: Path) -> str:
    """The first question of the chats in a state folder."""
    with closing(Database(folder / "chats.sqlite", CHATS)) as database:
        return str(database.read("SELECT question FROM turns")[0][0])


def test_a_restore_that_cannot_replace_the_chats_has_only_brought_books(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL, LARGE)
    saved: Saved = back_up(state, tmp_path / "backup", {}, with_books=True)
    assert saved.books == 2
    (other / "before-restore.sqlite").mkdir()  # so the chats from before cannot be kept
    with pytest.raises((StartError, OSError)):
        restore(tmp_path / "backup", other, (), limits=LIMITS)
    assert question(other) == "How?"
    assert set(shelf(other)) == {name_of(SMALL), name_of(LARGE)}
    assert left(other) == []
    (other / "before-restore.sqlite").rmdir()
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (0, 2, 0, 0)
    assert question(other) == "Why?"


def test_a_restore_that_cannot_put_a_book_on_the_shelf_leaves_the_chats_as_they_are(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    (other / "books").mkdir(mode=0o700)
    no_file_moves_from_here = mounted(other / "books" / "incoming", "size=7m", "mode=700")
    with no_file_moves_from_here, pytest.raises(OSError, match="cross-device"):
        restore(tmp_path / "backup", other, (), limits=LIMITS)
    assert question(other) == "How?"
    assert shelf(other) == {}


def test_a_folder_among_the_removed_books_does_not_keep_one_from_coming_back(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    (other / "books" / "removed" / f"17-{name_of(SMALL)}.epub").mkdir(parents=True)
    assert brought(restore(tmp_path / "backup", other, (), limits=LIMITS)) == (1, 0, 0, 0)


def test_restored_books_are_on_the_card_before_the_chats_are_replaced(
    state: Path, other: Path, tmp_path: Path
) -> None:
    put(state, SMALL)
    back_up(state, tmp_path / "backup", {}, with_books=True)
    trace, shelf_path = tmp_path / "trace", re.escape(str(other / "books"))
    command = [sys.executable, "-B", "-c", RESTORE, str(tmp_path / "backup"), str(other)]
    trace_writes(command, trace, PATH=os.environ["PATH"], PYTHONPATH=str(ROOT))
    found = list(calls(trace.read_text()))
    fresh = rf"{shelf_path}/incoming/restore-{name_of(SMALL)}"
    steps = [
        rf"write\(\d+<{fresh}>",
        rf"utimensat\(\d+<{fresh}>",
        rf"fsync\(\d+<{fresh}>",
        rf'rename\("{fresh}", "{shelf_path}/{name_of(SMALL)}\.epub"',
        rf"fsync\(\d+<{shelf_path}>",
        rf"(?:pwrite64|write)\(\d+<{re.escape(str(other))}/chats\.sqlite",
    ]
    at = [[call.began for call in found if re.match(step, call.text)] for step in steps]
    assert all(at), "each step is in the trace"
    assert [numbers[0] for numbers in at] == sorted(numbers[0] for numbers in at)
