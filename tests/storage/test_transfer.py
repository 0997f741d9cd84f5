"""A backup is a stranger's file: rows of our tables are taken from it, and nothing else of it is used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.chats import write_chats
from fakes.filesystem import mounted

from kindle_appliance.errors import StartError
from kindle_appliance.storage.backup import MOST_BYTES, back_up, check, restore
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database, attach, inspect
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.transfer import (
    MOST_BELONGING_BYTES,
    UnreadableFile,
    check_content,
    check_tables,
    copy_rows,
    guard,
)

NAMES = ("settings.toml", "gemini-key", "pin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the house's own chats."""
    write_chats(tmp_path / "state" / "chats.sqlite", "Ours?")
    return tmp_path / "state"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A backup of others, with two chats."""
    write_chats(tmp_path / "theirs" / "chats.sqlite", "Why?", "海?")
    back_up(tmp_path / "theirs", tmp_path / "backup", {"settings.toml": b"text_size = 5\n"})
    return tmp_path / "backup"


def change(file: Path, *statements: str, schema: bool = False) -> None:
    """Change a backup as its maker can; with `schema` in the table of its tables itself."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        if schema:
            connection.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            connection.execute(statement)


def questions(folder: Path) -> list[str]:
    with closing(Database(folder / "chats.sqlite", CHATS)) as database:
        return [summary.title for summary in reversed(Chats(database).recent(1000))]


def rewrite(name: str, old: str, new: str) -> str:
    return f"UPDATE sqlite_schema SET sql = replace(sql, '{old}', '{new}') WHERE name = '{name}'"


OBJECTS = {
    "a trigger": ["CREATE TRIGGER quick AFTER INSERT ON turns BEGIN DELETE FROM chats; END"],
    "a trigger with one of our names": ["CREATE TRIGGER turns AFTER INSERT ON chats BEGIN DELETE FROM chats; END"],
    "a view": ["CREATE VIEW seen AS SELECT * FROM turns"],
    "a view in the place of a table": ["DROP TABLE reports", "CREATE VIEW reports AS SELECT 1 AS id"],
    "a table": ["CREATE TABLE stolen (key TEXT)"],
    "a virtual table": ["CREATE VIRTUAL TABLE searched USING fts5(text)"],
    "an index": ["CREATE INDEX quick ON turns (model)"],
    "an index of an expression": ["CREATE INDEX quick ON turns (length(hex(zeroblob(1000000))))"],
    "one of our indexes on something else": ["DROP INDEX by_device", "CREATE INDEX by_device ON turns (device)"],
    "a column": ["ALTER TABLE turns ADD COLUMN more TEXT"],
    "a generated column": ["ALTER TABLE turns ADD COLUMN more TEXT AS (hex(zeroblob(1000000)))"],
    "a table less": ["DROP TABLE reports"],
    "a table of ours with other columns": ["DROP TABLE belongings", "CREATE TABLE belongings (name, content)"],
}
IN_THE_SCHEMA = {
    "a check": [rewrite("turns", "question TEXT NOT NULL", "question TEXT CHECK (question <> 1)")],
    "a default": [rewrite("turns", "answer TEXT NOT NULL DEFAULT ''''", "answer TEXT DEFAULT (randomblob(9))")],
    "a comment that hides a string": [rewrite("turns", "DEFAULT ''''", "DEFAULT ''--''")],
    "an object twice": ["INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'by_device'"],
    "no statement": ["UPDATE sqlite_schema SET sql = NULL WHERE name = 'by_device'"],
    "nonsense": ["UPDATE sqlite_schema SET sql = 'CREATE TABLE \x1b[2J' WHERE name = 'reports'"],
    "a root that is another's": [
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'turns')"
        " WHERE name = 'reports'"
    ],
    "a root that is not there": ["UPDATE sqlite_schema SET rootpage = 4000000 WHERE name = 'reports'"],
}


def refused(file: Path, folder: Path) -> str:
    """The complaint about a backup, of which nothing may come into the house."""
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with pytest.raises(StartError) as first:
        check(file, folder, NAMES)
    with pytest.raises(StartError) as second:
        restore(file, folder, NAMES)
    assert str(first.value) == str(second.value)
    assert str(first.value).isprintable()
    assert str(file) in str(first.value)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
    return str(first.value)


@pytest.mark.parametrize("statements", OBJECTS.values(), ids=OBJECTS)
def test_a_backup_with_anything_that_is_not_ours_is_refused(
    folder: Path, file: Path, statements: list[str]
) -> None:
    change(file, *statements)
    assert "not a good backup: it" in refused(file, folder)


@pytest.mark.parametrize("statements", IN_THE_SCHEMA.values(), ids=IN_THE_SCHEMA)
def test_a_backup_whose_tables_are_described_otherwise_is_refused(
    folder: Path, file: Path, statements: list[str]
) -> None:
    change(file, *statements, schema=True)
    assert "not a good backup: " in refused(file, folder)


def test_a_name_in_a_backup_cannot_steer_the_terminal(folder: Path, file: Path) -> None:
    change(file, 'CREATE TABLE "\x1b[2Jcleared\nforged line" (x)')
    assert "cleared" in refused(file, folder)


def test_comments_and_spaces_in_the_statements_of_a_backup_do_not_matter(folder: Path, file: Path) -> None:
    change(file, rewrite("turns", "question TEXT", "question/* as asked */\n TEXT -- ours\n"), schema=True)
    restore(file, folder, NAMES)
    assert questions(folder) == ["Why?", "海?"]


@pytest.mark.parametrize("version", range(1, CHATS.version + 1))
def test_a_backup_of_every_version_is_restored(folder: Path, tmp_path: Path, version: int) -> None:
    old = tmp_path / "old" / "chats.sqlite"
    with closing(Database(old, CHATS.at(version))) as database, database.write() as connection:
        connection.execute("INSERT INTO chats (id) VALUES (7)")
        connection.execute(
            "INSERT INTO turns (chat, number, question, form, asked) VALUES (7, 1, 'Old?', 'f', 1.5)"
        )
    back_up(old.parent, tmp_path / "backup", {})
    assert inspect(tmp_path / "backup", CHATS).version == version
    assert restore(tmp_path / "backup", folder, NAMES)[:2] == ({}, 0)
    assert questions(folder) == ["Old?"]
    assert inspect(folder / "chats.sqlite", CHATS).version == CHATS.version


def test_a_roll_back_leaves_the_version_and_the_chats_that_were_kept_before(folder: Path, tmp_path: Path) -> None:
    old = Database(tmp_path / "old" / "chats.sqlite", CHATS.at(3))
    with closing(old), old.write() as connection:
        connection.execute("INSERT INTO chats (id) VALUES (7)")
    back_up(tmp_path / "old", tmp_path / "backup", {})
    (folder / "before-restore.sqlite").write_text("the owner's")
    for _ in range(2):  # the second time over damaged chats
        restore(tmp_path / "backup", folder, NAMES, as_it_was=True)
        assert inspect(folder / "chats.sqlite", CHATS).version == 3
        assert (folder / "before-restore.sqlite").read_text() == "the owner's"
        (folder / "chats.sqlite").write_bytes(b"broken" * 1000)


ROWS: dict[str, tuple[list[str], int, list[str]]] = {
    "a number as a question": (["UPDATE turns SET question = 7.5 WHERE id = 1"], 0, ["7.5", "海?"]),
    "a text as a number": (["UPDATE turns SET rung = 'first' WHERE id = 1"], 1, ["海?"]),
    "a text as a time": (["UPDATE turns SET asked = x'00' WHERE id = 1"], 1, ["海?"]),
    "a text that is no UTF-8": (["UPDATE turns SET answer = CAST(x'ff00fe' AS TEXT)"], 0, ["Why?", "海?"]),
    "a turn without its chat": (["DELETE FROM chats WHERE id = 1"], 1, ["海?"]),
    "an id that leaves no next one": (["UPDATE chats SET id = 9223372036854775807 WHERE id = 1"], 2, ["海?"]),
    "no next id": (["UPDATE sqlite_sequence SET seq = 9223372036854775807"], 0, ["Why?", "海?"]),
    "statistics for SQLite's planner": (["ANALYZE"], 0, ["Why?", "海?"]),
}


@pytest.mark.parametrize(("statements", "left_out", "expected"), ROWS.values(), ids=ROWS)
def test_a_row_that_cannot_be_ours_is_left_out_and_the_next_question_can_be_asked(
    folder: Path, file: Path, statements: list[str], left_out: int, expected: list[str]
) -> None:
    change(file, *statements)
    assert restore(file, folder, NAMES)[1] == left_out
    assert questions(folder) == expected
    with closing(Database(folder / "chats.sqlite", CHATS)) as database:
        Chats(database).ask("Next?", None, "form-next")
        assert not database.read("PRAGMA foreign_key_check")
    assert inspect(folder / "chats.sqlite", CHATS).trouble == ""


def test_the_id_of_a_deleted_chat_is_not_used_again_after_a_restore(folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs" / "chats.sqlite"
    write_chats(theirs, "1?", "2?", "3?")
    with closing(Database(theirs, CHATS)) as database:
        for chat in (1, 2, 3):
            Chats(database).delete(chat)
    back_up(theirs.parent, tmp_path / "backup", {})
    restore(tmp_path / "backup", folder, NAMES)
    write_chats(folder / "chats.sqlite", "Next?")
    with closing(Database(folder / "chats.sqlite", CHATS)) as database:
        assert [row[0] for row in database.read("SELECT id FROM chats")] == [4]


BELONGINGS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "another name": lambda file: file.execute("INSERT INTO belongings VALUES ('/etc/passwd', x'00')"),
    "a name that is no UTF-8": lambda file: file.execute(
        "UPDATE belongings SET name = CAST(x'ff' AS TEXT) WHERE name = 'settings.toml'"
    ),
    "too much": lambda file: file.execute(
        "UPDATE belongings SET content = zeroblob(?)", (MOST_BELONGING_BYTES + 1,)
    ),
    "very much": lambda file: file.execute("UPDATE belongings SET content = zeroblob(40000000)"),
}


@pytest.mark.parametrize("do", BELONGINGS.values(), ids=BELONGINGS)
def test_a_backup_with_other_or_larger_belongings_is_refused(
    folder: Path, file: Path, do: Callable[[sqlite3.Connection], object]
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        do(connection)
    assert "not a good backup: it" in refused(file, folder)
    file.unlink()  # the search for secrets would read it


def test_a_backup_that_is_too_large_is_refused_before_it_is_read(folder: Path, file: Path) -> None:
    with file.open("r+b") as content:
        content.truncate(MOST_BYTES + 1)
    assert "its chats have 2147 MB" in refused(file, folder)
    file.unlink()  # the search for secrets would read it


def test_a_backup_for_which_there_is_no_room_is_refused_before_the_service_is_stopped(
    file: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "card", "size=128k", "mode=700") as card:
        with pytest.raises(StartError, match=r"0 MB are free for .*card, and a restore needs"):
            check(file, card, NAMES)
        assert list(card.iterdir()) == []


def test_tables_that_are_made_anew_are_neither_refused_nor_looked_at(folder: Path, file: Path) -> None:
    change(file, "CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES ('sea')")
    change(file, "UPDATE words_data SET block = x'ff00ff'", "CREATE INDEX words_more ON words_content (c0)")
    with closing(attach(file, is_finished=True)) as old, pytest.raises(UnreadableFile, match="'words' is not one"):
        guard(old)
        check_tables(old, replace(CHATS, remade=frozenset()))
    with closing(attach(file, is_finished=True)) as old, closing(Database(folder / "new", CHATS)) as new:
        guard(old)
        assert check_tables(old, CHATS) == CHATS.version
        check_content(old, CHATS, CHATS.version)
        with new.write() as connection:
            assert copy_rows(old, connection, CHATS, CHATS.version) == 0
        assert [row[0] for row in new.read("SELECT question FROM turns")] == ["Why?", "海?"]
    change(file, "CREATE TRIGGER words_t AFTER INSERT ON turns BEGIN SELECT 1; END")
    with closing(attach(file, is_finished=True)) as old, pytest.raises(UnreadableFile, match="words_t"):
        guard(old)
        check_tables(old, CHATS)


def test_a_copy_without_the_log_that_belongs_to_it_is_refused(folder: Path, file: Path) -> None:
    log = file.with_name("backup-wal")
    log.write_bytes(b"later questions")
    assert f"{log} belongs to it" in refused(file, folder)
    log.write_bytes(b"")
    check(file, folder, NAMES)
