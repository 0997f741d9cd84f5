"""A file all of which is derived from the books: one that is damaged, or of another version, is made anew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import OwnerError, StorageError
from ..host.plain_files import check_plain
from ..sentences import Sentence
from ..storage import trouble
from ..storage.database import Connection, Database, Row, Salvaged
from ..storage.migrations import Schema
from ..storage.trouble import DatabaseError, is_out_of_reach

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MOST_REMADE = 3
"""So often a file is made anew between two starts. A card that damages more is worn out."""
_FILES = ("", "-wal", "-shm", "-journal")

_MADE_ANEW = Sentence("The appliance must read its books again. Please try again in a minute.")


class Outdated(Exception):
    """A file whose content is not what it should be, for other reasons than damage."""


class Nonsense(Exception):
    """A value that cannot have been stored: the file is damaged, although SQLite does not see it."""


class DerivedDatabase:
    """The file at `path`, with the tables of `schema`.

    `begin` is called with each file that was opened, to fill a new one and to check an old one, for which it may
    raise `Outdated`. Raises `StorageError` and OSError if the file can neither be opened nor be made anew.
    """

    def __init__(self, path: Path, schema: Schema, begin: Callable[[Database], None]) -> None:
        self._path = path
        self._schema = schema
        self._begin = begin
        self._remaking = threading.Lock()
        self._left: list[Database] = []  # of files that were deleted: other threads may still ask them
        try:
            self.current = self._open()
        except (OwnerError, Outdated, Nonsense, DatabaseError) as error:
            if is_out_of_reach(error):
                raise
            log.warning("shelf: %s is made anew: %s", path, error)
            self._delete()
            try:
                self.current = self._open()
            except DatabaseError as again:
                raise StorageError(_MADE_ANEW, str(again)) from again

    def read(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """See `Database.read`."""
        return self.search(lambda database: database.read(query, values))

    def search(self, work: Callable[[Database], _T]) -> _T:
        """Call `work`, which only reads, and once more with a new file if this one is damaged. `work` may raise
        `Nonsense`.
        """
        database = self.current
        try:
            return work(database)
        except Nonsense as error:
            if not self._remake(database, error):
                raise StorageError(_MADE_ANEW, str(error)) from error
        except (StorageError, DatabaseError) as error:
            if not self._remake(database, error):
                raise
        return work(self.current)

    @contextmanager
    def write(self, of: Database | None = None) -> Iterator[Connection]:
        """See `Database.write`; raises `Salvaged`, too, if the file was made anew. `of`: the file to which other
        transactions have written that belong to this one.
        """
        database = of or self.current
        if database is not self.current:
            raise Salvaged(_MADE_ANEW)
        try:
            with database.write() as connection:
                yield connection
        except (StorageError, DatabaseError, Nonsense) as error:
            if not self._remake(database, error):
                if isinstance(error, Nonsense):
                    raise StorageError(_MADE_ANEW, str(error)) from error
                raise
            raise Salvaged(_MADE_ANEW, str(error)) from error
        if database is not self.current:
            raise Salvaged(_MADE_ANEW)

    def size(self) -> int:
        """The bytes that the file takes, without what it will give back."""
        size, pages, free = (
            self.read(f"PRAGMA {name}")[0][0] for name in ("page_size", "page_count", "freelist_count")
        )
        return int(size * (pages - free))

    def close(self) -> None:
        """Close the file."""
        with self._remaking:
            for database in (*self._left, self.current):
                database.close()

    def _open(self) -> Database:
        for suffix in _FILES:
            check_plain(self._path.with_name(self._path.name + suffix), is_single=True)
        database = Database(self._path, self._schema)
        try:
            (version,) = database.read("PRAGMA user_version")[0]
            if version != self._schema.version or not _is_whole(database, self._schema):
                raise Outdated(f"it is of version {version}, or has been altered")
            self._begin(database)
        except BaseException:
            database.close()
            raise
        return database

    def _remake(self, database: Database, error: Exception) -> bool:
        """If an error shows that the file is damaged, make a new one. Whether there is one now."""
        if isinstance(error, Salvaged):
            return False
        with self._remaking:
            if self.current is not database:
                return True
            if not is_damage(error) and _is_whole(database, self._schema):
                return False
            if len(self._left) >= _MOST_REMADE:
                return False
            log.error("shelf: %s is damaged, and is made anew: %s", self._path, error)
            try:
                self._delete()
                fresh = self._open()
            except (OSError, OwnerError, DatabaseError) as failed:
                log.error("shelf: it cannot be: %s", failed)
                return False
            self._left.append(database)
            self.current = fresh
            return True

    def _delete(self) -> None:
        for suffix in _FILES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """Whether an error shows that a file is damaged, and not only out of reach."""
    return isinstance(error, Nonsense) or trouble.is_damage(error)


def _is_whole(database: Database, schema: Schema) -> bool:
    """Whether the file has its tables: without them, right statements fail."""
    try:
        rows = database.read("SELECT name FROM sqlite_schema WHERE type = 'table'")
    except (StorageError, DatabaseError) as error:
        return not is_damage(error)
    return schema.essential <= {row["name"] for row in rows}
