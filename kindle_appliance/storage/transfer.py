"""Copies the rows of our tables out of a file that cannot be trusted, and nothing else.

A database brings its own program: triggers, views, defaults, checks, generated columns, virtual tables. None of a
stranger's is run. What `sqlite_schema` says has to be, word for word, what our migrations make; then values are
read from our tables and columns, one by one, and written to a file that our migrations have made.
(https://www.sqlite.org/security.html, "Untrusted SQLite Database Files", read 2026-11.)
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host.terminal import one_line
from .database import Connection, as_storage_error
from .migrations import Schema

BELONGINGS = "CREATE TABLE belongings (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT"
"""The table of a backup with the settings and secrets that go with the chats."""

BOOKS = (
    "CREATE TABLE books (name TEXT PRIMARY KEY, size INTEGER NOT NULL, added REAL NOT NULL) STRICT",
    "CREATE TABLE book_pieces (book TEXT NOT NULL, number INTEGER NOT NULL, content BLOB NOT NULL,"
    " PRIMARY KEY (book, number)) STRICT",
)
"""The tables of a backup with the files of the books (`storage/book_files.py`)."""

MOST_BELONGING_BYTES = 64 * 1024
"""Of one belonging; the settings file, with every option explained, has 8 KB."""
MOST_VALUE_BYTES = 32 * 1024 * 1024
"""Of one value; the longest answer has a few."""
_MOST_NUMBER = 2**53  # of an id: SQLite has no next one after 2**63 - 1
_ROWS_AT_ONCE = 50
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_OF_SQLITE = {"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}
_SHOWN_CHARACTERS = 80

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)"""
    r"""|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+|.""",
    re.DOTALL,
)

_TYPES: Mapping[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "REAL": (int, float),
    "TEXT": (bytes,),
    "BLOB": (bytes,),
}


class UnreadableFile(Exception):
    """A file of which nothing is taken; the text says why, for the owner's terminal."""


@dataclass(frozen=True)
class _Table:
    """One of our tables: its columns that hold values, each with its type."""

    name: str
    columns: Mapping[str, str]

    def fits(self, row: Sequence[object]) -> bool:
        """Whether each value is NULL, or one of its column's type."""
        return all(
            value is None
            or (isinstance(value, _TYPES[kind]) and not (isinstance(value, int) and abs(value) > _MOST_NUMBER))
            for kind, value in zip(self.columns.values(), row, strict=True)
        )


def guard(connection: Connection) -> None:
    """Prepare a connection to a stranger's file, before anything is read from it."""
    connection.text_factory = bytes  # a flipped bit in a text is passed on as it is
    connection.row_factory = None
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}")


def check_tables(connection: Connection, schema: Schema) -> int:
    """Return the version of a stranger's file. Raises `UnreadableFile` unless all that it has is ours."""
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > schema.version:
            raise UnreadableFile(
                f"it belongs to a newer version of the appliance (schema {version}, known is {schema.version})."
                " Install that one first"
            )
        _check_objects(connection, schema, version)
    except (sqlite3.Error, UnicodeError) as error:
        raise UnreadableFile(_shown(str(error))) from error
    return int(version)


def check_content(connection: Connection, schema: Schema, version: int) -> None:
    """Raise `UnreadableFile` for damage in a stranger's file, whose tables were checked.

    In a file with tables that are made anew only ours are looked at: a check of a virtual table would run what it
    has of its maker's. Of a file with books those are left out: each is its own check.
    """
    try:
        names = {_text(row[1]) for row in connection.execute(_OBJECTS)}
        is_plain = not names & schema.remade and "book_pieces" not in names
        for part in ["1"] if is_plain else [f'"{table.name}"' for table in _tables(schema, version)]:
            (trouble,) = connection.execute(f"PRAGMA integrity_check({part})").fetchone()
            if trouble != b"ok":
                raise UnreadableFile(_shown(trouble))
    except (sqlite3.Error, UnicodeError) as error:
        raise UnreadableFile(_shown(str(error))) from error


def read_belongings(connection: Connection, known: Collection[str]) -> dict[str, str]:
    """The settings and secrets in a stranger's file that was checked. Raises `UnreadableFile`."""
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'belongings'").fetchone():
            return {}
        sizes = connection.execute("SELECT name, length(content) FROM belongings").fetchmany(len(known) + 1)
        for name, size in sizes:
            if not (isinstance(name, bytes) and isinstance(size, int)):  # its types are only what its maker says
                raise UnreadableFile("its belongings are none")
            if name.decode(errors="replace") not in known:
                raise UnreadableFile(f"it holds {_shown(name)!r}, which no backup has")
            if size > MOST_BELONGING_BYTES:
                raise UnreadableFile(f"its {_shown(name)} has {size} bytes, allowed are {MOST_BELONGING_BYTES}")
        rows = connection.execute("SELECT name, content FROM belongings").fetchall()
    except sqlite3.Error as error:
        raise UnreadableFile(_shown(str(error))) from error
    if not all(isinstance(content, bytes) for _, content in rows):
        raise UnreadableFile("its belongings are none")
    return {name.decode(): content.decode("utf-8", "replace") for name, content in rows}


def copy_rows(old: Connection, new: Connection, schema: Schema, version: int) -> int:
    """Copy all rows to the empty tables of `new`, in its transaction. Both files have this version of the schema.

    Returns how many rows were left out, because they cannot be ours. Raises `UnreadableFile` for trouble with the
    old file, `StorageError` with the new one.
    """
    left_out = 0
    with as_storage_error():
        new.execute("PRAGMA defer_foreign_keys=ON")
    for table in _tables(schema, version):
        names = ", ".join(f'"{name}"' for name in table.columns)
        values = ", ".join("CAST(? AS TEXT)" if kind == "TEXT" else "?" for kind in table.columns.values())
        # Ours, not the file's: the names come from our own migrations.
        insert = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({values})'  # noqa: S608
        for rows in read(old, f'SELECT {names} FROM "{table.name}"'):  # noqa: S608
            with as_storage_error():
                left_out += len(rows) - new.executemany(insert, [row for row in rows if table.fits(row)]).rowcount
    _copy_sequence(old, new)
    with as_storage_error():
        for name, row, *_ in new.execute("PRAGMA foreign_key_check").fetchall():
            left_out += new.execute(f'DELETE FROM "{name}" WHERE rowid = ?', (row,)).rowcount  # noqa: S608
    return left_out


def new_file(path: Path) -> Connection:
    """Make a file that is written through what is open by now: SQLite opens no other file beside it, whatever
    rights this process gives up. A file that is not completed is of no use.
    """
    with as_storage_error():
        connection = sqlite3.connect(path.absolute().as_uri(), uri=True, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    return connection


def read(connection: Connection, query: str, values: Sequence[object] = ()) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query to a stranger's file, some at a time. Raises `UnreadableFile`."""
    try:
        cursor = connection.execute(query, values)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield rows
    except sqlite3.Error as error:
        raise UnreadableFile(_shown(str(error))) from error


def _copy_sequence(old: Connection, new: Connection) -> None:
    """Ids of deleted rows are not used again: old addresses must not show new chats."""
    for rows in read(old, "SELECT name, seq FROM sqlite_sequence"):
        for name, number in rows:
            if isinstance(name, bytes) and isinstance(number, int) and 0 <= number <= _MOST_NUMBER:
                with as_storage_error():
                    is_there = new.execute(
                        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = CAST(? AS TEXT)", (number, name)
                    ).rowcount
                    if not is_there and name.decode(errors="replace") in _names(new):
                        new.execute("INSERT INTO sqlite_sequence VALUES (CAST(? AS TEXT), ?)", (name, number))


def _names(connection: Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'")
    return {row[0] for row in rows}


def _model(schema: Schema, version: int) -> Connection:
    """An empty database of this version, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection, version)
    return connection


def _tables(schema: Schema, version: int) -> list[_Table]:
    """Our tables that hold rows, in the order in which they were made. What a virtual table holds is made anew."""
    with closing(_model(schema, version)) as model:
        kinds = {row[1]: row[2] for row in model.execute("PRAGMA table_list")}
        names = [row[0] for row in model.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [
            _Table(
                name,
                {row[1]: row[2].upper() for row in model.execute(f'PRAGMA table_xinfo("{name}")') if not row[6]},
            )
            for name in names
            if kinds[name] == "table" and name not in _OF_SQLITE
        ]


def _check_objects(connection: Connection, schema: Schema, version: int) -> None:
    found = connection.execute(_OBJECTS).fetchall()
    if not schema.essential <= {_text(name) for _, name, _, _ in found}:
        raise UnreadableFile(f"it holds no {schema.counted} of the appliance")
    with closing(_model(schema, version)) as model:
        # A virtual table's own tables are made by SQLite, as its version does, and nothing of them is read.
        hidden = {row[1] for row in model.execute("PRAGMA table_list") if row[2] == "shadow"}
        ours = {_described(row, hidden) for row in model.execute(_OBJECTS)}
        for statement in (BELONGINGS, *BOOKS):
            model.execute(statement)
        allowed = {_described(row, hidden) for row in model.execute(_OBJECTS)}
    theirs = Counter(
        _described(row, hidden) for row in found if not (_text(row[1]) in _OF_SQLITE or _is_remade(row, schema))
    )
    for each, count in theirs.items():
        if each not in allowed or count > 1:
            raise UnreadableFile(f"its {_shown(each[0])} {_shown(each[1])!r} is not one of the appliance")
    for each in ours:
        if each[1] not in _OF_SQLITE and each not in theirs:
            raise UnreadableFile(f"it lacks the {each[0]} {each[1]} of the appliance")


def _is_remade(row: Sequence[object], schema: Schema) -> bool:
    """Whether it is one of the tables that are made anew, or one of those in which SQLite has its content."""
    kind = _text(row[0])
    return kind in ("table", "index") and _text(row[2]).partition("_")[0] in schema.remade


def _described(row: Sequence[object], hidden: Collection[str]) -> tuple[str, str, str, tuple[str, ...]]:
    """A row of sqlite_schema; its statement as words, without comments and spaces."""
    kind, name, table, sql = map(_text, row)
    words = () if name in hidden else tuple(each[0] for each in _TOKEN.finditer(sql) if not each["space"])
    return kind, name, table, words


def _text(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value or "")


def _shown(text: str | bytes) -> str:
    """A stranger's text for the terminal."""
    plain = text.decode(errors="replace") if isinstance(text, bytes) else text
    return one_line(plain[:_SHOWN_CHARACTERS])
