"""Copies what can be read of a damaged database into a new one, table by table and row by row.

The rows come from `btrees`. Where a table's root is known, they are those that its tree leads to; where a part of a
tree is gone, each page of the file that nothing leads to is tried, and its rows tell which table they are of. Ids
stay the same, because they are addresses, and none that was given is given again. The new file first gets the
schema of the old one, and then the migrations, like any other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .btrees import LOST, MAGIC, Lost, Pages, Record, Value, orphans, walk
from .damage import Damaged
from .migrations import Schema

_SEQUENCE = "sqlite_sequence"
_MARGIN = 1000
"""Ids that are left out where it is not known which was the last one."""
MOST_ID = 10**15
"""Larger ones are damage: no address has them."""

_Found = Mapping[str, tuple[int, str]]  # by the name of a table: its root, and the statement that made it


def salvage(file: Path, schema: Schema, target: sqlite3.Connection) -> dict[str, int]:
    """Fill the empty database `target` from the damaged `file` and its log, and return the rows of each table. The
    file is only read. Raises OSError and sqlite3.Error for the target's sake.
    """
    if not file.is_file():
        schema.migrate(target)
        return {}
    with ExitStack() as files:
        main = files.enter_context(file.open("rb", buffering=0))  # so that only a page that is bad is missed
        log = file.with_name(f"{file.name}-wal")
        pages = Pages(main, files.enter_context(log.open("rb", buffering=0)) if log.is_file() else None)
        found = _find_tables(pages)
        schema.migrate(target, _version(pages, found, schema))
        target.execute("BEGIN IMMEDIATE")
        saved = _Copy(pages, target, schema, found).run()
        target.execute("COMMIT")
    schema.migrate(target)
    schema.derive(target)
    return saved


def is_altered(connection: sqlite3.Connection, schema: Schema) -> bool:
    """Whether a file has not the tables that its version should have, so that even right statements fail."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    known = _statements(schema)[max(0, min(version, schema.version))]
    found = _described(connection)
    return any(found.get(name) != sql for name, sql in known.items())


def is_version_wrong(connection: sqlite3.Connection, schema: Schema) -> bool:
    """Whether the version that a file names cannot be its own: then migrations must not begin with it.

    That of an older file has other tables, and so has that of a newer one: each step changes some. Only names are
    compared with an older version's, because the words of a step may have been mended since.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == schema.version:
        return False
    found = _described(connection)
    found = {name: sql for name, sql in found.items() if name.partition("_")[0] not in schema.remade}
    versions = _statements(schema)
    if not 0 <= version < schema.version:
        return bool(version < 0 or found == versions[-1])
    ours = set().union(*versions)
    return bool(found.keys() & ours != versions[version].keys())


def _described(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    may_be_null: bool
    has_default: bool
    default: Any

    def takes(self, value: Value) -> bool:
        """Whether a value can have been stored in this column."""
        if value is None:
            return self.may_be_null
        kinds: Mapping[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (int, float), "TEXT": (str,)}
        return not isinstance(value, Lost) and isinstance(value, kinds.get(self.type, (object,)))

    @property
    def is_needed(self) -> bool:
        """Whether a row makes no sense without it: a number that says where the row belongs."""
        return self.type == "INTEGER" and not self.may_be_null and not self.has_default


class _Table:
    """A table of the new file, and the way of a record into it."""

    def __init__(self, target: sqlite3.Connection, name: str, has_keys: bool, marks: Mapping[str, object] | None):
        self.name = name
        self.has_keys = has_keys
        self.is_complete = False
        self.highest = 0
        self.columns: list[_Column] = []
        self.key: int | None = None
        self._marks = marks
        info = target.execute(f"PRAGMA table_info({name})").fetchall()
        for index, (_, column, kind, not_null, default, place) in enumerate(info):
            if has_keys and kind == "INTEGER" and place and sum(bool(row[5]) for row in info) == 1:
                self.key = index
            value = target.execute(f"SELECT {default}").fetchone()[0] if default is not None else None
            if value is None and not_null:
                value = "" if kind == "TEXT" else 0
            may_be_null = not not_null and (has_keys or not place)
            self.columns.append(_Column(column, kind, may_be_null, default is not None or may_be_null, value))
        self._insert = f"INSERT OR IGNORE INTO {name} VALUES ({', '.join('?' * len(self.columns))})"  # noqa: S608

    def fits(self, record: Record) -> bool:
        """Whether a record can be one of this table's."""
        given = record.values
        return (
            len(given) <= len(self.columns)
            and (self.key is None or (given[self.key : self.key + 1] == (None,)))
            and all(
                column.takes(value) or isinstance(value, Lost)
                for index, (column, value) in enumerate(zip(self.columns, given, strict=False))
                if index != self.key
            )
            and all(column.has_default for column in self.columns[len(given) :])
        )

    def add(self, target: sqlite3.Connection, record: Record, marks: Mapping[str, object] | None = None) -> None:
        """Insert a record, as far as it can be read, unless there is one with its key. `marks`: instead of those of
        other rows that can be read in part.
        """
        marks = self._marks if marks is None else marks
        if record.key is not None:
            if not 0 < record.key < MOST_ID:
                return
            self.highest = max(self.highest, record.key)
        values: list[object] = []
        is_whole = True
        for index, column in enumerate(self.columns):
            value: Value = column.default if column.has_default else LOST
            if index < len(record.values):
                value = record.values[index]
            if index == self.key:
                value = record.key
            elif not column.takes(value):
                is_whole = False
                if column.is_needed:
                    return
                value = column.default
            elif isinstance(value, Damaged):
                is_whole = False
                value = str(value)
            values.append(value)
        if not is_whole:
            if marks is None:
                return
            values = [marks.get(column.name, value) for column, value in zip(self.columns, values, strict=True)]
        target.execute(self._insert, values)


class _Copy:
    """One copying of all tables."""

    def __init__(self, pages: Pages, target: sqlite3.Connection, schema: Schema, found: _Found) -> None:
        self._pages = pages
        self._target = target
        self._found = found
        self._remnants = schema.remnants
        self._sequences: dict[str, int] = {}
        rows = target.execute(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        ).fetchall()
        self._tables = [_Table(target, name, not without, schema.marks.get(name)) for name, without in rows]

    def run(self) -> dict[str, int]:
        """Copy all, and return the rows of each table."""
        for table in self._tables:
            damage: list[int] = []
            is_fitting = True
            for record in self._walk(table.name, damage, has_keys=table.has_keys):
                is_fitting &= table.fits(record)
                table.add(self._target, record)
            table.is_complete = is_fitting and not damage
        for record in self._walk(_SEQUENCE, [], has_keys=True):
            self._note_sequence(record)
        if not all(table.is_complete for table in self._tables):
            self._pages.set_free_aside()
            for page in orphans(self._pages):
                self._take_in(page)
            for table in self._tables:
                if not table.is_complete and table.name in self._remnants:
                    self._take_from_indexes(table)
        self._mend_references()
        self._go_on_counting()
        return {
            table.name: self._target.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]  # noqa: S608
            for table in self._tables
        }

    def _walk(self, name: str, damage: list[int], *, has_keys: bool) -> Iterable[Record]:
        root = self._found.get(name, (0, ""))[0]
        if root < 2:
            damage.append(root)
            return ()
        return walk(self._pages, root, damage, has_keys=has_keys)

    def _take_in(self, page: Sequence[Record]) -> None:
        """Copy the rows of a page that no tree has led to, into the table that most of them fit."""
        best, most = None, 0
        names = {table.name for table in self._tables}
        for table in () if all(record.values[0] in names for record in page) else self._tables:
            fitting = sum(table.fits(record) for record in page) if table.has_keys and not table.is_complete else 0
            exact = sum(len(record.values) == len(table.columns) for record in page)
            if 2 * fitting > len(page) and 2 * fitting + exact > most:
                best, most = table, 2 * fitting + exact
        for record in page:
            if best is None:
                self._note_sequence(record)
            elif best.fits(record):
                best.add(self._target, record)

    def _take_from_indexes(self, table: _Table) -> None:
        """Copy what the indexes still tell of lost rows: their columns, and at last the key of the row."""
        lost: dict[int, dict[str, Value]] = {}
        for row in self._target.execute(f"PRAGMA index_list({table.name})").fetchall():
            names = [each[2] for each in self._target.execute(f"PRAGMA index_info({row[1]})")]
            for record in self._walk(row[1], [], has_keys=False):
                *values, key = record.values
                if len(values) == len(names) and isinstance(key, int) and not self._has(table, key):
                    lost.setdefault(key, {}).update(zip(names, values, strict=True))
        for key, known in lost.items():
            given = tuple(known.get(column.name, LOST) for column in table.columns)
            table.add(self._target, Record(key, given), self._remnants[table.name])

    def _has(self, table: _Table, key: int) -> bool:
        return bool(self._target.execute(f"SELECT 1 FROM {table.name} WHERE rowid = ?", (key,)).fetchone())  # noqa: S608

    def _note_sequence(self, record: Record) -> None:
        match record.values:
            case (str(name), int(last)) if last < MOST_ID:
                self._sequences[name] = max(last, self._sequences.get(name, 0))

    def _mend_references(self) -> None:
        """Give a row back the one that it belongs to, where that one may have been lost; else it was deleted."""
        by_name = {table.name: table for table in self._tables}
        for table in (*self._tables, *self._tables):  # twice: a row that goes may be one that others belong to
            for row in self._target.execute(f"PRAGMA foreign_key_list({table.name})").fetchall():
                parent, column, key = by_name[row[2]], row[3], row[4] or "rowid"
                (highest,) = self._target.execute(f"SELECT max({column}) FROM {table.name}").fetchone()  # noqa: S608
                parent.highest = max(parent.highest, highest or 0)
                orphaned = f"FROM {table.name} WHERE {column} NOT IN (SELECT {key} FROM {parent.name})"  # noqa: S608
                if not parent.is_complete:
                    self._target.execute(
                        f"INSERT OR IGNORE INTO {parent.name} ({key}) SELECT DISTINCT {column} {orphaned}"
                    )
                self._target.execute(f"DELETE {orphaned}")

    def _go_on_counting(self) -> None:
        """Let no id be given again that was given once."""
        for table in self._tables:
            (statement,) = self._target.execute(
                "SELECT sql FROM sqlite_schema WHERE name = ?", (table.name,)
            ).fetchone()
            if "AUTOINCREMENT" not in statement.upper():
                continue
            last = self._sequences.get(table.name)
            if last is None or last < table.highest:
                last = table.highest + (0 if table.is_complete and last is not None else _MARGIN)
            self._target.execute(f"DELETE FROM {_SEQUENCE} WHERE name = ?", (table.name,))  # noqa: S608
            self._target.execute(f"INSERT INTO {_SEQUENCE} VALUES (?, ?)", (table.name, last))  # noqa: S608


def _find_tables(pages: Pages) -> _Found:
    """What the file says of its own tables, wherever it says so."""
    found: dict[str, tuple[int, str]] = {}
    damage: list[int] = []
    records = list(walk(pages, 1, damage))
    if damage:
        records += [record for page in orphans(pages, only=_tells_of_table) for record in page]
    for record in records:
        if _tells_of_table(record):
            _, name, _, root, sql = record.values
            found.setdefault(str(name), (int(root), str(sql or "")))  # type: ignore[arg-type]
    return found


def _tells_of_table(record: Record) -> bool:
    match record.values:
        case ("table" | "index", str(), str(), int(), None):
            return True
        case ("table" | "index", str(), str(), int(), str(sql)):
            return sql.upper().startswith("CREATE ")
    return False


def _version(pages: Pages, found: _Found, schema: Schema) -> int:
    """The version whose tables the file has, as far as it says so; where that is not clear, the one that it names,
    or the newest.
    """
    head = pages.read(1)
    named = int.from_bytes(head[60:64], "big") if head.startswith(MAGIC) else 0
    texts = {name: sql for name, (_, sql) in found.items() if sql}
    scores = [
        (sum(1 if each.get(name) == sql else -1 for name, sql in texts.items()), version == named, version)
        for version, each in enumerate(_statements(schema))
    ]
    # Without any of its tables, the newest version it is: the shorter rows of older ones fit, too.
    return max(scores[1:])[2] if texts else named if 0 < named <= schema.version else schema.version


def _statements(schema: Schema) -> list[dict[str, str]]:
    """The statements that make the tables and indexes of each version, by their names."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        versions = []
        for version in range(schema.version + 1):
            schema.migrate(connection, version)
            rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
            versions.append(dict(rows.fetchall()))
        return versions
