"""A SQLite file: connections, schema version, migrations. The only module with sqlite3.

Two connections serve all threads, each behind a lock: one writes, one reads. With the write-ahead log a page can be
read while a question waits for the SD card to confirm. `synchronous=FULL`: a transaction that `write()` has
completed survives a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous, read 2026-11).
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import OwnerError, StorageError
from ..sentences import Sentence

SQLITE = sqlite3.sqlite_version

Row = sqlite3.Row
"""A row of a query, by position or by name."""

Connection = sqlite3.Connection
"""The connection of a transaction."""


@dataclass(frozen=True)
class Schema:
    """The tables of a file.

    `migrations`: the way from an empty file to today's tables; `PRAGMA user_version` counts the steps done.
    `essential`: the tables without which a file is not one of these. `counted`: the one whose rows say how much a
    file holds. `remade`: tables without an underscore that are no step of the way, because the appliance makes them
    anew from others wherever they are missing; none of their content is copied.
    """

    migrations: tuple[str, ...]
    essential: frozenset[str]
    counted: str
    remade: frozenset[str] = frozenset()

    @property
    def version(self) -> int:
        return len(self.migrations)

    def at(self, version: int) -> Schema:
        """The schema as it was at an earlier version."""
        return replace(self, migrations=self.migrations[:version])


_BUSY_SECONDS = 5.0

_INCREMENTAL = 2  # of PRAGMA auto_vacuum: free pages leave the file when asked to
_FREE_PAGES = 32
"""So many free pages stay in the file, for the next answers: 128 KB."""
_PAGES_AT_ONCE = 256
"""So many pages are given back in one transaction: 1 MB, which others wait for."""
_MOST_REWRITTEN = 100 * 1024 * 1024
"""A larger file of an older version keeps its free pages: rewriting it takes longer than systemd waits for a start.
A backup that is restored has been rewritten, too."""

_DISK_TROUBLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
}

_NO_ROOM_FOR_INDEX = {sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}
"""A full card cannot take the index of the log. For one connection alone SQLite keeps it in memory
(https://www.sqlite.org/wal.html, 8, read 2026-11).
"""


class Database:
    """The file at `path`, made if need be, and migrated to `schema` (None: taken as it is).

    Only one program at a time may migrate a file: take the `FolderLock` first.

    On a read-only card the file is opened as it is: reading goes on, and every write is a `StorageError`. On a full
    one too, until there is room again; from then until it is closed no other program can open it.

    Raises `OwnerError` for a file of a newer version, `StorageError` for one that cannot be opened.
    """

    def __init__(self, path: Path, schema: Schema | None) -> None:
        self._read_lock = threading.RLock()
        self._write_lock = threading.RLock()
        self._open: list[sqlite3.Connection] = []
        self._has_shrunk = False  # since the write-ahead log was folded into the file
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # conversations are private
            as_is = _is_as_is(path)
            try:
                self._writer, is_alone = self._connect(path, as_is), False
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in _NO_ROOM_FOR_INDEX:
                    raise
                self._open.pop().close()
                self._writer, is_alone = self._connect(path, as_is, is_alone=True), True
            if not as_is:
                if not self._is_incremental():  # of a new file; of another one at its next VACUUM
                    self._writer.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
                self._writer.execute("PRAGMA journal_mode=WAL")
            if schema is not None:
                self._migrate(path, schema)
                self._rewrite(path)
            if is_alone:
                self._reader, self._read_lock = self._writer, self._write_lock
            else:
                self._reader = self._connect(path, as_is)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StorageError(
                Sentence("The appliance cannot open its chats in %(path)s.", path=str(path)), str(error)
            ) from error
        except OwnerError:
            self.close()
            raise

    def read(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """All rows of a query."""
        with self._read_lock, as_storage_error():
            rows: list[Row] = self._reader.execute(query, values).fetchall()
            return rows

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: durable when the block ends, rolled back when it raises."""
        with self._write_lock, as_storage_error():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # a full disk may have ended it already
                    self._writer.execute("ROLLBACK")
                raise

    def give_back(self) -> bool:
        """Give some of the pages that deletions have left free back to the file system. Returns whether there is
        more to do. Raises `StorageError`.
        """
        free = int(self.read("PRAGMA freelist_count")[0][0]) - _FREE_PAGES
        if free > 0 and self.read("PRAGMA auto_vacuum")[0][0] == _INCREMENTAL:
            with self.write() as connection:
                for _ in range(min(free, _PAGES_AT_ONCE)):  # one each, as sqlite3 asks such a statement for one row
                    connection.execute("PRAGMA incremental_vacuum(1)")
            self._has_shrunk = True
            return True
        if self._has_shrunk:
            self._has_shrunk = not self._fold_log()
        return self._has_shrunk

    def close(self) -> None:
        """Close the file; SQLite folds the write-ahead log into it."""
        with self._write_lock, self._read_lock:  # in this order: a transaction may read
            while self._open:
                self._open.pop().close()

    def _connect(self, path: Path, as_is: bool, is_alone: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}{'?immutable=1' if as_is else ''}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        self._open.append(connection)
        connection.row_factory = sqlite3.Row
        if is_alone:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-512")  # KB, not 2,000: the system caches the file too
        return connection

    def _migrate(self, path: Path, schema: Schema) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > schema.version:
            raise OwnerError(
                Sentence(
                    "The chats in %(path)s belong to a newer version of the appliance. Please install that one.",
                    path=str(path),
                ),
                f"schema {version}, known {schema.version}",
            )
        migrate(self._writer, schema, schema.version)

    def _is_incremental(self) -> bool:
        (mode,) = self._writer.execute("PRAGMA auto_vacuum").fetchone()
        return bool(mode == _INCREMENTAL)

    def _rewrite(self, path: Path) -> None:
        """Rewrite a file that an older version made, once, so that it can give pages back. If there is no room for
        that, a later start does it; the file is good as it is.
        """
        size = path.stat().st_size
        if not self._is_incremental() and size < _MOST_REWRITTEN and shutil.disk_usage(path.parent).free > 3 * size:
            with suppress(sqlite3.Error, StorageError):
                self._writer.execute("VACUUM")
                self._fold_log()

    def _fold_log(self) -> bool:
        """Fold the write-ahead log into the file, which ends where it should only then. Returns whether that could
        be done: it waits for no program that reads.
        """
        with self._write_lock, as_storage_error():
            self._writer.execute("PRAGMA busy_timeout=0")
            try:
                (is_busy, *_) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._writer.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}")
            return not is_busy


def migrate(connection: Connection, schema: Schema, version: int) -> None:
    """Bring a file from the version that it has to a later one, step by step."""
    (done,) = connection.execute("PRAGMA user_version").fetchone()
    for step in range(done, version):
        connection.executescript(
            f"BEGIN IMMEDIATE;{schema.migrations[step]};PRAGMA user_version = {step + 1};COMMIT;"
        )


def seed() -> None:
    """Let SQLite read its random numbers now, while this process still has the machine's /dev: it reads them anew
    after a fork, when it opens a file (os_unix.c, randomnessPid).
    """
    with closing(sqlite3.connect("file:/dev/null?mode=ro", uri=True)) as connection:
        connection.execute("SELECT random()")


def _is_as_is(path: Path) -> bool:
    """Whether the file can only be opened as immutable: it exists on a read-only file system, to which Linux
    remounts a failing card. SQLite needs a write-ahead log there and cannot create one. A log that a power cut has
    left is read as usual.
    """
    if path.with_name(f"{path.name}-wal").exists():
        return False
    try:
        path.open("r+b").close()
    except OSError as error:
        return error.errno == errno.EROFS
    return False


@contextmanager
def as_storage_error() -> Iterator[None]:
    """Turn trouble with the disk or the file into `StorageError`; a wrong statement stays a bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DISK_TROUBLE:
            raise
        raise StorageError(
            Sentence(
                "The appliance cannot store anything: its card is full or read-only. Its owner can look after it."
            ),
            str(error),
        ) from error


@dataclass(frozen=True)
class Inspection:
    """The contents of a file: the version of its schema, the rows of the schema's `counted` table, and its trouble
    ("": none). `is_out_of_reach`: the file may be good, but its card, or a program that holds it alone, keeps it
    from being read.
    """

    version: int
    rows: int
    trouble: str
    is_out_of_reach: bool = False


def inspect(path: Path, schema: Schema) -> Inspection:
    """Look at a file, also while it is in use; nothing is changed."""
    try:
        with closing(attach(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (trouble,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not schema.essential <= tables:
                return Inspection(version, 0, f"it holds no {schema.counted} of the appliance")
            (rows,) = connection.execute(f"SELECT count(*) FROM {schema.counted}").fetchone()  # noqa: S608 - our name
            return Inspection(version, rows, "" if trouble == "ok" else str(trouble))
    except sqlite3.Error as error:
        damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        return Inspection(0, 0, str(error), getattr(error, "sqlite_errorcode", 0) & 0xFF not in damage)


def copy(source: Path, target: Path) -> None:
    """Copy the contents of `source` to `target`, which other programs may have open. A copy that fails changes
    nothing (https://www.sqlite.org/backup.html, read 2026-11). Raises `StorageError`.
    """
    with as_storage_error(), closing(attach(source)) as old, closing(attach(target)) as new:
        old.backup(new)


def compact(path: Path) -> None:
    """Vacuum a database that no program has open, and leave it as one file. Raises `StorageError`."""
    with as_storage_error(), closing(attach(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
        connection.execute("VACUUM")


def attach(path: Path, is_finished: bool = False) -> Connection:
    """A connection to an existing file. One that `is_finished` is opened at once, alone, and never written."""
    how = "immutable=1" if is_finished or _is_as_is(path) else "mode=rw"
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
