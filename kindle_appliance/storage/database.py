"""A SQLite file: its two connections, and what becomes of them when the file turns out to be damaged.

Two connections serve all threads, each behind a lock: one writes, one reads. With the write-ahead log a page can be
read while a question waits for the SD card to confirm. `synchronous=FULL`: a transaction that `write()` has
completed survives a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous, read 2026-11).
"""

from __future__ import annotations

import errno
import functools
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..clock import now
from ..errors import OwnerError, StorageError
from ..sentences import Sentence
from . import set_aside
from .damage import Damage, decode, latest_damage
from .migrations import Schema
from .salvage import is_altered, is_version_wrong, salvage
from .trouble import DISK_TROUBLE, code_of, is_damage

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

SQLITE = sqlite3.sqlite_version

Row = sqlite3.Row
"""A row of a query, by position or by name."""

Connection = sqlite3.Connection
"""The connection of a transaction."""


_BUSY_SECONDS = 5.0

_INCREMENTAL = 2  # of PRAGMA auto_vacuum: free pages leave the file when asked to
_FREE_PAGES = 32
"""So many free pages stay in the file, for the next answers: 128 KB."""
_PAGES_AT_ONCE = 256
"""So many pages are given back in one transaction: 1 MB, which others wait for."""
_MOST_REWRITTEN = 100 * 1024 * 1024
"""A larger file of an older version keeps its free pages: rewriting it takes longer than systemd waits for a start.
A backup that is restored has been rewritten, too."""

_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)  # the second where SQLite's message quotes the damage
_MOST_IN_MEMORY = 64 * 1024 * 1024  # bytes of a damaged file, where the card takes no new one

_MOST_AHEAD = 100  # versions: a file that is further ahead is damaged, not newer

_NO_ROOM_FOR_INDEX = {sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}
"""A full card cannot take the index of the log. For one connection alone SQLite keeps it in memory
(https://www.sqlite.org/wal.html, 8, read 2026-11).
"""


class Salvaged(StorageError):
    """A transaction met damage, and nothing of it is stored. What could be read is in a new file now, so it can be
    tried again, once: see `repeats`.
    """


def repeats(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """A method with a transaction that runs a second time if the first has met damage."""

    @functools.wraps(method)
    def run(*values: _P.args, **named: _P.kwargs) -> _T:
        try:
            return method(*values, **named)
        except Salvaged:
            return method(*values, **named)

    return run


class Database:
    """The file at `path`, made if need be, and migrated to `schema` (None: taken as it is).

    Only one program at a time may migrate a file, or mend it: take the `FolderLock` first.

    On a read-only card the file is opened as it is: reading goes on, and every write is a `StorageError`. On a full
    one too, until there is room again; from then until it is closed no other program can open it.

    `mends`: a file that SQLite cannot use, now or later, is set aside, and what can be read of it is copied into a
    new one. Meanwhile all threads wait. Where the card takes no new file, what can be read is kept in memory, and
    every write is a `StorageError`.

    Raises `OwnerError` for a file of a newer version, `StorageError` for one that cannot be opened.
    """

    def __init__(self, path: Path, schema: Schema | None, *, mends: bool = False) -> None:
        self._path = path
        self._schema = schema
        self._mends = schema if mends else None
        self._read_lock = self._own_read_lock = threading.RLock()
        self._write_lock = threading.RLock()
        self._writing: int | None = None  # the thread that has a transaction
        self._generation = 0  # of the file: how often it was mended
        self._in_memory: Damage | None = None
        self._open: list[sqlite3.Connection] = []
        self._has_shrunk = False  # since the write-ahead log was folded into the file
        try:
            try:
                self._begin()
            except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
                if not self._mend(self._generation, error):
                    raise
        except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
            self.close()
            raise StorageError(_CANNOT_OPEN.having(path=str(path)), str(error)) from error
        except OwnerError:
            self.close()
            raise

    @property
    def damage(self) -> Damage | None:
        """What became of the file when it was damaged last, as long as the damaged one lies there."""
        return self._in_memory or latest_damage(self._path)

    def read(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """All rows of a query. Text that is damaged comes as `Damaged`."""
        if self._writing == threading.get_ident():
            return self._read(query, values)  # what goes wrong is for `write` to mend
        with as_storage_error():
            generation = self._generation
            try:
                return self._read(query, values)
            except _ERRORS as error:
                if not self._mend(generation, error):
                    raise
            return self._read(query, values)

    def _read(self, query: str, values: Sequence[object] | Mapping[str, object]) -> list[Row]:
        with self._read_lock:
            rows: list[Row] = self._reader.execute(query, values).fetchall()
            return rows

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: durable when the block ends, rolled back when it raises. Raises `Salvaged` if the file
        was damaged: nothing is stored, and the block may run again.
        """
        with self._write_lock, as_storage_error():
            try:
                self._writing = threading.get_ident()
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:  # a full disk may have ended it already
                        self._writer.execute("ROLLBACK")
                    raise
            except _ERRORS as error:
                if not self._mend(self._generation, error):
                    raise
                raise Salvaged(_CANNOT_STORE, str(error)) from error
            finally:
                self._writing = None

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

    def _begin(self) -> None:
        """Open the file and migrate it."""
        path = self._path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # conversations are private
        if self._mends:
            with suppress(PermissionError):  # then it is opened for reading, or not at all
                set_aside.finish(path)
            set_aside.check(path)
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
        if self._mends:
            set_aside.check_content(self._writer, as_is)
        if self._schema is not None:
            self._migrate(path, self._schema)
            self._rewrite(path)
        self._read_lock = self._write_lock if is_alone else self._own_read_lock
        self._reader = self._writer if is_alone else self._connect(path, as_is)

    def _is_damage(self, error: Exception) -> bool:
        """Whether an error shows that the file is damaged, and is to be mended."""
        if self._mends is None or self._in_memory:
            return False
        if is_damage(error) or isinstance(error, set_aside.Unusable):
            return True
        if code_of(error) != sqlite3.SQLITE_ERROR and not isinstance(error, UnicodeDecodeError):
            return False
        try:
            return is_altered(self._open[0], self._mends)
        except _ERRORS:
            return True

    def _mend(self, generation: int, error: Exception) -> bool:
        """If `error` shows that the file of this generation is damaged, set it aside, and open a new one with what
        can be read. Whether that was done now, or by another thread. Raises `StorageError` and sqlite3.Error.
        """
        with self._write_lock, self._own_read_lock:
            if self._generation != generation:
                return True
            schema = self._mends
            if schema is None or not self._is_damage(error):
                return False
            log.error("storage: %s is damaged: %s", self._path, error)
            self._generation += 1
            aside = self._path
            try:
                aside = set_aside.save(self._path, schema)
                set_aside.set_aside(self._path, aside)
                while self._open:
                    self._open.pop().close()
                set_aside.replace(self._path, aside)
                self._begin()
            except (OSError, sqlite3.Error) as failed:
                log.error("storage: it stays as it is: %s", failed)
                self._read_in_memory(self._path if self._path.exists() else aside, schema)
            return True

    def _read_in_memory(self, file: Path, schema: Schema) -> None:
        """Have what can be read in memory. Open connections to the file stay: to close them could change it."""
        sizes = [each.stat().st_size for each in file.parent.glob(f"{file.name}*") if each.is_file()]
        if sum(sizes) > _MOST_IN_MEMORY:
            raise StorageError(
                _CANNOT_OPEN.having(path=str(self._path)),
                "damaged, and too large for the memory",
            )
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._open.append(connection)
        saved = salvage(file, schema, connection)
        connection.execute("PRAGMA query_only=ON")
        connection.row_factory = sqlite3.Row
        self._reader = self._writer = connection
        self._read_lock = self._write_lock
        self._in_memory = Damage(now(), "", saved.get(schema.precious, 0))

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
        connection.text_factory = decode
        if is_alone:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # what was deleted cannot come back with a salvage
        connection.execute("PRAGMA cache_size=-512")  # KB, not 2,000: the system caches the file too
        return connection

    def _migrate(self, path: Path, schema: Schema) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > schema.version + _MOST_AHEAD or (self._mends and is_version_wrong(self._writer, schema)):
            raise set_aside.Unusable(f"its schema cannot have version {version}")
        if version > schema.version:
            raise OwnerError(
                Sentence(
                    "The chats in %(path)s belong to a newer version of the appliance. Please install that one.",
                    path=str(path),
                ),
                f"schema {version}, known {schema.version}",
            )
        schema.migrate(self._writer)

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


def seed() -> None:
    """Let SQLite read its random numbers now, while this process still has the machine's /dev: it reads them anew
    after a fork, when it opens a file (os_unix.c, randomnessPid).
    """
    with closing(sqlite3.connect("file:/dev/null?mode=ro", uri=True)) as connection:
        connection.execute("SELECT random()")


_CANNOT_OPEN = Sentence("The appliance cannot open its chats in %(path)s.")
_CANNOT_STORE = Sentence(
    "The appliance cannot store anything: its card is full or read-only. Its owner can look after it."
)


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
        if code_of(error) not in DISK_TROUBLE:
            raise
        raise StorageError(_CANNOT_STORE, str(error)) from error


@dataclass(frozen=True)
class Inspection:
    """The contents of a file: the version of its schema, the rows of the schema's `counted` table, and its trouble
    ("": none). `damaged`: the rows in all tables that can be read only in part; `is_out_of_reach`: the file may be
    good, but its card, or a program that holds it alone, keeps it from being read.
    """

    version: int
    rows: int
    trouble: str
    is_out_of_reach: bool = False
    damaged: int = 0


def inspect(path: Path, schema: Schema) -> Inspection:
    """Look at a file, at each of its rows, also while it is in use; nothing is changed."""
    try:
        with closing(attach(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (trouble,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not schema.essential <= tables:
                return Inspection(version, 0, f"it holds no {schema.counted} of the appliance")
            (rows,) = connection.execute(f"SELECT count(*) FROM {schema.counted}").fetchone()  # noqa: S608 - our name
            damaged = 0
            if trouble == "ok" and version == schema.version:
                damaged = sum(_count_damaged(connection, name, check) for name, check in schema.is_readable.items())
            return Inspection(version, rows, "" if trouble == "ok" else str(trouble), damaged=damaged)
    except UnicodeDecodeError:
        return Inspection(0, 0, "malformed database schema")
    except sqlite3.Error as error:
        return Inspection(0, 0, str(error), not is_damage(error))


def _count_damaged(connection: Connection, table: str, is_readable: Callable[[Row], bool]) -> int:
    """The rows of a table that do not make sense; one of them is in memory at a time."""
    rows = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - our name
    rows.row_factory = sqlite3.Row
    return sum(not is_readable(row) for row in rows)


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
    connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.text_factory = decode
    return connection
