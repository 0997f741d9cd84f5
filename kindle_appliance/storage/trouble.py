"""What an error of SQLite means for a file: it is damaged, it is out of reach, or a statement is wrong."""

from __future__ import annotations

import sqlite3

from ..errors import OwnerError

DatabaseError = sqlite3.DatabaseError
"""What a statement raises."""

CORRUPT = sqlite3.SQLITE_CORRUPT
DISK_TROUBLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
}

_DAMAGE = {CORRUPT, sqlite3.SQLITE_NOTADB}
_OUT_OF_REACH = DISK_TROUBLE - _DAMAGE - {sqlite3.SQLITE_IOERR}


def code_of(error: Exception) -> int:
    """SQLite's primary code of an error, or of the `OwnerError` that it became; 0: it has none."""
    cause = error.__cause__ if isinstance(error, OwnerError) else error
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: Exception) -> bool:
    """Whether an error shows that a file is damaged, and not only out of reach."""
    return code_of(error) in _DAMAGE


def is_out_of_reach(error: Exception) -> bool:
    """Whether an error shows trouble with a file that it would not mend to make it anew."""
    return code_of(error) in _OUT_OF_REACH
