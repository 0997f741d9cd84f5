"""The text of the books in their file: written, and deleted, in pieces, each a transaction of its own.

So another change waits for one piece and not for a book, and the write-ahead log stays as small as a piece. A book
that is written only in part belongs to nothing that is shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from ..epub.book import Passage
from ..epub.unreadable import TOO_LONG, Unreadable
from ..errors import Cancelled
from ..storage.database import Connection, Row
from . import words
from .derived_database import Nonsense
from .schema import ROOM

_PIECE_CHARACTERS = 200_000
_PIECE_PASSAGES = 500
_MERGED_PAGES = 128
"""In one transaction: half a megabyte of the index."""
_LEAST_REMAINS = 200
_MOST_REMAINS = 4
"""The index is merged when the deleted passages are a fourth of those that are there: each that is deleted costs
the card four of those once more."""


class PassageWriter:
    """Takes the passages of a book, and writes them in pieces. `write`: begins a transaction; `book`: the row;
    `check` is called before each piece, and may raise; `giving_way`: after each piece rest as long as it took, or
    until this event is set.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Connection]],
        book: int,
        is_indexed: bool,
        check: Callable[[], None] = lambda: None,
        giving_way: threading.Event | None = None,
    ) -> None:
        self._write = write
        self._book = book
        self._next = book * ROOM
        self._is_indexed = is_indexed
        self._check = check
        self._giving_way = giving_way
        self._piece: list[Passage] = []
        self._characters = 0
        self._since = time.monotonic()

    def take(self, passage: Passage) -> None:
        """One passage more. Raises `StorageError`, what `check` raises, `Unreadable` for a book with too many, and
        `Cancelled` if the book has left meanwhile.
        """
        self._piece.append(passage)
        self._characters += len(passage.text)
        if self._characters >= _PIECE_CHARACTERS or len(self._piece) >= _PIECE_PASSAGES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        self._check()
        with self._write() as connection:
            for passage in self._piece:
                if self._next >= (self._book + 1) * ROOM:
                    raise Unreadable(TOO_LONG, f"more than {ROOM} passages")
                connection.execute("INSERT INTO passages VALUES (?, ?, ?)", (self._next, *passage))
                if self._is_indexed:
                    words.add(connection, self._book * ROOM, self._next, passage.text)
                self._next += 1
            changed = connection.execute(
                "UPDATE books SET next = ? WHERE id = ? AND state IN (0, 1)", (self._next, self._book)
            )
            if not changed.rowcount:
                raise Cancelled
        self._piece.clear()
        self._characters = 0
        if self._giving_way:
            self._giving_way.wait(time.monotonic() - self._since)
            self._since = time.monotonic()


def clear_some(connection: Connection, book: Row, is_indexed: bool) -> bool:
    """Delete a piece of a book's text from its beginning on. Whether there is more."""
    if not all(isinstance(book[each], int) for each in ("rest", "next")):
        raise Nonsense("no numbers of passages")
    rows = connection.execute(
        "SELECT id, text FROM passages WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (book["rest"], book["next"], _PIECE_PASSAGES),
    ).fetchall()
    if not all(type(row["text"]) is str for row in rows):
        raise Nonsense("no text of a passage")
    for row in rows if is_indexed else ():
        words.remove(connection, book["id"] * ROOM, row["id"], row["text"])
    rest = rows[-1]["id"] + 1 if len(rows) == _PIECE_PASSAGES else book["next"]
    connection.execute("DELETE FROM passages WHERE id >= ? AND id < ?", (book["rest"], rest))
    connection.execute("UPDATE books SET rest = ? WHERE id = ?", (rest, book["id"]))
    connection.execute("UPDATE remains SET passages = passages + ?", (len(rows),))
    return bool(rest < book["next"])


def merge_some(connection: Connection) -> bool:
    """Where much of the index is of passages that are deleted, merge a piece of it: FTS5 only marks them otherwise
    (https://www.sqlite.org/fts5.html, 6.9, read 2026-12). Whether there may be more to do.
    """
    (remains,) = connection.execute("SELECT passages FROM remains").fetchone()
    (there,) = connection.execute("SELECT coalesce(sum(next - id * ?), 0) FROM books", (ROOM,)).fetchone()
    if not isinstance(remains, int) or not isinstance(there, (int, float)):
        raise Nonsense("no number of passages")
    if remains < max(_LEAST_REMAINS, there / _MOST_REMAINS):
        return False
    before = connection.total_changes
    # All of it is to be merged (a negative number), so much of it now.
    connection.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (-_MERGED_PAGES,))
    if connection.total_changes - before < 2:  # nothing but the command itself
        connection.execute("UPDATE remains SET passages = 0")
    return True
