"""What is derived from other tables: its damage costs nothing but the time to make it anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StorageError
from .database import DISK_TROUBLE, Connection


class IndexDamaged(Exception):
    """An index that was derived from other tables cannot be used. It can be made anew."""


def is_damage(error: StorageError) -> bool:
    """Whether an error shows that a file is damaged, and not only out of reach."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def derived() -> Iterator[None]:
    """Use of such an index, where an error of SQLite is `IndexDamaged`. Trouble with the disk stays a
    `StorageError`.
    """
    try:
        yield
    except (sqlite3.DatabaseError, StorageError) as error:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in DISK_TROUBLE - {sqlite3.SQLITE_CORRUPT}:
            raise
        raise IndexDamaged(str(cause)) from error


@contextmanager
def aside(connection: Connection) -> Iterator[None]:
    """A part of a transaction that can fail alone, with `IndexDamaged`: it is undone, and the rest can be
    completed.
    """
    connection.execute("SAVEPOINT aside")
    try:
        with derived():
            yield
            connection.execute("SAVEPOINT written")  # what an index has held back is written now
    except IndexDamaged:
        connection.execute("ROLLBACK TO aside")
        raise
    finally:
        if connection.in_transaction:  # a full disk may have ended it
            connection.execute("RELEASE aside")
