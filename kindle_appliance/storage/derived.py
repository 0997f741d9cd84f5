"""What is derived from other tables: its damage costs nothing but the time to make it anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StorageError
from .database import Connection
from .trouble import CORRUPT, DISK_TROUBLE, DatabaseError, code_of


class IndexDamaged(Exception):
    """An index that was derived from other tables cannot be used. It can be made anew."""


@contextmanager
def derived() -> Iterator[None]:
    """Use of such an index, where an error of SQLite is `IndexDamaged`. Trouble with the disk stays a
    `StorageError`.
    """
    try:
        yield
    except (DatabaseError, StorageError) as error:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        if code_of(error) in DISK_TROUBLE - {CORRUPT}:
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
