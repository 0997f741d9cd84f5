"""How far the reader at each browser is in each book.

A place is kept for a book (the SHA-256 of its file) and a device. Only telling one writes. A row stays small, and
there is an end to them: devices can be made up, and books leave the shelf without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .damage import LAST_MOMENT
from .database import Database, Row, repeats

MOST_DEVICES = 50
"""Of a book, the places of so many devices are kept: those that have told theirs last."""
MOST_BOOKS = 2000
"""So many books have places: those of which one was told last. With all devices, 30 MB."""

_NAME = re.compile("[0-9a-f]{64}")
_DEVICE = re.compile(r"[\w.:%-]{1,64}", re.ASCII)  # or its address
_MOST_LENGTH = 1 << 40  # no text is so long

_FIND = "SELECT * FROM places WHERE book = ? AND device = ?"
_NEWEST = "SELECT * FROM places WHERE device = ? ORDER BY told DESC LIMIT ?"
_KEEP = """
    REPLACE INTO places (told, book, device, position, length, moment)
    VALUES ((SELECT coalesce(max(told), 0) + 1 FROM places WHERE told < 1 << 53), ?, ?, ?, ?, ?)
"""  # above that number, it is damage
_FORGET_DEVICES = """
    DELETE FROM places WHERE told IN (
        SELECT told FROM places WHERE book = ? ORDER BY told DESC LIMIT -1 OFFSET ?
    )
"""
_FORGET_BOOKS = """
    DELETE FROM places WHERE book IN (
        SELECT book FROM places GROUP BY book ORDER BY max(told) DESC LIMIT -1 OFFSET ?
    )
"""


@dataclass(frozen=True)
class Kept:
    """A place as it was told. `position` and `length`: of the book's text as it was read then, in characters;
    `moment`: a Unix time, `UNKNOWN` if the time was not known.
    """

    book: str
    position: int
    length: int
    moment: float

    def within(self, length: int) -> int:
        """The position in the same book of another length: a later version may read its file otherwise. It is
        rounded down: nobody has read further than they said.
        """
        return self.position * length // max(self.length, 1)


class Places:
    """The places of all devices, of as many as are given."""

    def __init__(self, database: Database, most_devices: int = MOST_DEVICES, most_books: int = MOST_BOOKS) -> None:
        self._database = database
        self._most_devices = most_devices
        self._most_books = most_books

    def find(self, book: str, device: str, length: int) -> int | None:
        """Return the position of a device in a book that has this length now; None if it has told none."""
        rows = self._database.read(_FIND, (book, device))
        kept = _read(rows[0]) if rows else None
        return kept.within(length) if kept else None

    def newest(self, device: str, most: int) -> list[Kept]:
        """Return the places of a device, the one told last first."""
        rows = self._database.read(_NEWEST, (device, most))
        return [kept for kept in map(_read, rows) if kept]

    @repeats
    def keep(self, book: str, device: str, position: int, length: int, moment: float) -> None:
        """Keep a position, instead of an earlier one of this device. It counts from the next reading on, also one
        further back. Raises ValueError for what can be no place, `StorageError`.
        """
        if not (_NAME.fullmatch(book) and _DEVICE.fullmatch(device) and 0 <= position <= length < _MOST_LENGTH):
            raise ValueError(f"no place: {position} of {length} in {book!r}")
        with self._database.write() as connection:
            is_new = not connection.execute("SELECT 1 FROM places WHERE book = ? LIMIT 1", (book,)).fetchone()
            connection.execute(_KEEP, (book, device, position, length, moment))
            connection.execute(_FORGET_DEVICES, (book, self._most_devices))
            if is_new:  # only then there can be more books; it reads all of an index
                connection.execute(_FORGET_BOOKS, (self._most_books,))

    @repeats
    def forget(self, book: str) -> None:
        """Forget all places in a book that will not come back."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM places WHERE book = ?", (book,))


def is_readable(row: Row) -> bool:
    """Whether a stored place can be read."""
    return _read(row) is not None


def _read(row: Row) -> Kept | None:
    """A stored place; None if the card has damaged it."""
    book, device, position, length, moment = (
        row[name] for name in ("book", "device", "position", "length", "moment")
    )
    is_place = (
        isinstance(book, str)
        and isinstance(device, str)
        and isinstance(position, int)
        and isinstance(length, int)
        and isinstance(moment, int | float)
        and _NAME.fullmatch(book)
        and _DEVICE.fullmatch(device)
        and 0 <= position <= length < _MOST_LENGTH
        and 0 <= moment < LAST_MOMENT
    )
    return Kept(book, position, length, float(moment)) if is_place else None
