"""What is known of the books without opening their files: titles, chapters, passages, and the index of their words.

All of it is derived from the files, so a catalogue that is damaged, or of another version, is made anew. Only the
last transaction of a book that comes in, after its file has its name, makes it one that is shown.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path

from ..clock import UNKNOWN, is_believed
from ..epub.book import Book, Chapter
from ..errors import StorageError
from ..sentences import Sentence
from ..storage.damage import Damaged
from ..storage.database import Connection, Database, Row, repeats
from ..storage.terms import fold
from . import words
from .derived_database import DerivedDatabase, Nonsense, Outdated, is_damage
from .files import Found
from .schema import ROOM, SHELF
from .shelved_book import ShelvedBook
from .stored_text import PassageWriter, clear_some, merge_some

log = logging.getLogger(__name__)

_MOST_FAULTS = 20
_MOST_FAULT_CHARACTERS = 1000


class State(IntEnum):
    """The stage that a book has reached. Those above `INCOMING` are shown."""

    DELETING = -1  # its file is gone, and its text is being deleted
    INCOMING = 0
    WAITING = 1  # its file is there, and waits to be read
    READ = 2
    UNREADABLE = 3  # its file was read before, and cannot be now


_LEFT = "SELECT * FROM books WHERE state < ?1 OR (state IN (?1, ?2) AND next > id * ?3) ORDER BY state, id"
_LEFT_VALUES = (State.WAITING, State.UNREADABLE, ROOM)


class Catalogue:
    """The file `path`, made if need be, with a row for each of the `files` that a call of that finds.

    Raises `StorageError` and OSError for a file that cannot be opened or made anew.
    """

    def __init__(self, path: Path, files: Callable[[], Iterable[Found]]) -> None:
        self._files = files
        self.wake = threading.Event()
        """Set when there may be something to read or to delete."""
        self._busy: set[tuple[str, int]] = set()  # the names of books that are being read, and the threads
        self._tidying = threading.Lock()
        self._counts: dict[bool, int] = {}  # another one after each change: a thread may count meanwhile
        self._database = DerivedDatabase(path, SHELF, self._begin)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _begin(self, database: Database) -> None:
        """Let the rows of a file that was opened say what the books' files do."""
        self._is_indexed = words.is_possible(database)
        if self._is_indexed and not database.read("SELECT 1 FROM sqlite_schema WHERE name = 'words'"):
            if database.read("SELECT 1 FROM books"):
                raise Outdated("the index of words is lost")
            with database.write() as connection:
                connection.execute(words.INDEX)
        files = {file.name: file for file in self._files()}
        known = {
            row["name"]: row for row in database.read("SELECT * FROM books WHERE state != ?", (State.DELETING,))
        }
        for row in known.values():
            _shelved(row)
        gone = [row for name, row in known.items() if name not in files]
        changed = [file for file in files.values() if not _is_known(file, known.get(file.name))]
        if gone or changed:
            try:
                with database.write() as connection:
                    for row in gone:
                        _dismiss(connection, row["name"])
                    for file in changed:
                        _note(connection, file, file.name in known)
            except StorageError as error:
                if is_damage(error):
                    raise
                # A read-only card: what is known can be read.
                log.error("shelf: %s", error)
        self._has_changed()

    # ---- What is shown

    def page(self, most: int, before: str = "", words: str = "", is_removed: bool = False) -> Sequence[ShelvedBook]:
        """The books that are on the shelf, or removed; see `Shelf.list`."""
        where, values = ["state > 0", "is_removed = ?"], list[object]([is_removed])
        if before:
            where.append("(added, name) < (SELECT added, name FROM books WHERE name = ?)")
            values.append(before)
        for term in fold(words).split():
            where.append("instr(folded, ?)")
            values.append(term)
        condition = " AND ".join(where)
        query = f"SELECT * FROM books WHERE {condition} ORDER BY added DESC, name DESC LIMIT ?"  # noqa: S608 - ours
        return self._books(query, (*values, most))

    def _books(self, query: str, values: Sequence[object]) -> list[ShelvedBook]:
        return self._database.search(lambda database: [_shelved(row) for row in database.read(query, values)])

    def count(self, is_removed: bool = False) -> int:
        """How many books are on the shelf, or removed."""
        counts = self._counts
        if is_removed not in counts:
            query = "SELECT count(*) FROM books WHERE state > 0 AND is_removed = ?"
            counts[is_removed] = int(self._database.read(query, (is_removed,))[0][0])
        return counts[is_removed]

    def find(self, name: str, is_removed: bool = False) -> ShelvedBook | None:
        """A book on the shelf, or a removed one."""
        query = "SELECT * FROM books WHERE name = ? AND state > 0 AND is_removed = ?"
        return next(iter(self._books(query, (name, is_removed))), None)

    def is_unreadable(self, name: str) -> bool:
        """Whether the file of a book could be read once, but cannot be now."""
        return bool(
            self._database.read("SELECT 1 FROM books WHERE name = ? AND state = ?", (name, State.UNREADABLE))
        )

    def chapters(self, name: str) -> Sequence[Chapter]:
        """The chapters of a book."""
        query = "SELECT chapters FROM contents WHERE book = (SELECT id FROM books WHERE name = ?)"
        return self._database.search(
            lambda database: [each for row in database.read(query, (name,)) for each in _chapters(row["chapters"])]
        )

    def find_words(self, book: ShelvedBook, text: str) -> Sequence[int]:
        """The positions where words end in a book, the best find first."""
        if not self._is_indexed:
            return ()
        return self._database.search(lambda database: words.find(database, book.first, book.last, text))

    def size(self) -> int:
        """The bytes of all files of books, and of this one."""
        files = self._database.read("SELECT coalesce(sum(size), 0) FROM books WHERE state > 0")[0][0]
        return int(files) + self._database.size()

    # ---- What changes

    @repeats
    def begin(self, name: str, size: int) -> None:
        """Note that a book comes in, until `end`."""
        self._mark(name)  # before there is a row that could be taken for what is left of one
        with self._database.write() as connection:
            _dismiss(connection, name)  # what could not be read again, or is left of a power cut
            _insert(connection, name, State.INCOMING, size, UNKNOWN)
        self._has_changed()

    def end(self, name: str) -> None:
        """Note that this thread has read a book, or has not: then what was written of it goes by and by."""
        self._busy.discard((name, threading.get_ident()))
        self.wake.set()

    def _mark(self, name: str) -> None:
        """Note that this thread reads a book. Another one may have begun, or end, to read the same."""
        self._busy.add((name, threading.get_ident()))

    @repeats
    def read_later(self, file: Found) -> None:
        """Note the file of a book again that came in once more, in vain."""
        with self._database.write() as connection:
            _dismiss(connection, file.name)
            _note(connection, file, is_known=False)
        self._has_changed()

    def writer(
        self, name: str, check: Callable[[], None], giving_way: threading.Event | None = None
    ) -> PassageWriter:
        """Return what takes the text of a book that comes in, or waits, until `end`. See `PassageWriter`."""
        self._mark(name)
        database = self._database.current
        rows = database.read("SELECT id FROM books WHERE name = ?", (name,))
        write = partial(self._database.write, database)
        return PassageWriter(write, rows[0][0] if rows else 0, self._is_indexed, check, giving_way)

    @repeats
    def complete(self, name: str, book: Book, file: Found | None = None, is_readable: bool = True) -> None:
        """Show a book whose text is written. `file`: its file, if it has come in just now."""
        values = (
            *(State.READ if is_readable else State.UNREADABLE, book.title, book.creator),
            *(fold(f"{book.title} {book.creator}"), book.language, book.direction, book.length),
            json.dumps([each for each in map(_stored, book.faults[:_MOST_FAULTS]) if each], ensure_ascii=False),
        )
        chapters = json.dumps([list(each) for each in book.chapters], ensure_ascii=False)
        with self._database.write() as connection:
            if file:
                connection.execute("UPDATE books SET added = ? WHERE name = ?", (file.added, name))
            changed = connection.execute(
                "UPDATE books SET state = ?, title = ?, creator = ?, folded = ?, language = ?, direction = ?,"
                " length = ?, faults = ? WHERE name = ? AND state IN (0, 1)",
                (*values, name),
            )
            if changed.rowcount:
                connection.execute("REPLACE INTO contents SELECT id, ? FROM books WHERE name = ?", (chapters, name))
            elif file:  # the catalogue was made anew meanwhile: the file is read again, in the background
                _note(connection, file, is_known=False)
        self._has_changed()

    @repeats
    def place(self, file: Found) -> None:
        """Note where the file of a book lies now."""
        with self._database.write() as connection:
            _note(connection, file, is_known=True)
        self._has_changed()

    @repeats
    def dismiss(self, name: str) -> None:
        """Take a book out whose file is gone, or going. Its text goes by and by."""
        with self._database.write() as connection:
            _dismiss(connection, name)
        self._has_changed()

    def _has_changed(self) -> None:
        self._counts = {}
        self.wake.set()

    def waiting(self) -> Sequence[str]:
        """The names of the books whose files wait to be read, the next one first."""
        rows = self._database.read(
            "SELECT name FROM books WHERE state = ? ORDER BY is_removed, added DESC", (State.WAITING,)
        )
        return [row["name"] for row in rows]

    @repeats
    def tidy_some(self) -> bool:
        """Delete a piece of what is left of books that are gone, or were not read to their end; or give some room
        back. Whether there is more to do.
        """
        with self._tidying:
            if self._idle(self._database.read(_LEFT, _LEFT_VALUES)):
                with self._database.write() as connection:  # until which one of them may have been completed
                    for book in self._idle(connection.execute(_LEFT, _LEFT_VALUES))[:1]:
                        self._tidy(connection, book)
                return True
            return self._merge_some() or self._database.search(lambda database: database.give_back())

    def _idle(self, books: Iterable[Row]) -> list[Row]:
        """Those of the books that nobody reads now."""
        busy = {name for name, _ in self._busy.copy()}
        return [book for book in books if book["name"] not in busy]

    def _merge_some(self) -> bool:
        if not self._is_indexed or not self._database.read("SELECT 1 FROM remains WHERE passages"):
            return False
        with self._database.write() as connection:
            return merge_some(connection)

    def _tidy(self, connection: Connection, book: Row) -> None:
        if clear_some(connection, book, self._is_indexed):
            return
        connection.execute("DELETE FROM contents WHERE book = ?", (book["id"],))
        connection.execute("DELETE FROM books WHERE id = ? AND state < ?", (book["id"], State.WAITING))
        connection.execute("UPDATE books SET next = id * ?1, rest = id * ?1 WHERE id = ?2", (ROOM, book["id"]))


def _is_known(file: Found, row: Row | None) -> bool:
    return row is not None and (
        row["state"] > State.INCOMING
        and (row["size"], row["added"]) == (file.size, file.added)
        and (bool(row["is_removed"]), row["removed"]) == (file.is_removed, file.removed)
    )


def _note(connection: Connection, file: Found, is_known: bool) -> None:
    if not is_known:
        _insert(connection, file.name, State.WAITING, file.size, file.added)
    connection.execute(
        "UPDATE books SET added = ?, is_removed = ?, removed = ?, state = max(state, ?) WHERE name = ?",
        (file.added, file.is_removed, file.removed, State.WAITING, file.name),
    )


def _insert(connection: Connection, name: str, state: State, size: int, added: float) -> None:
    connection.execute(
        "INSERT INTO books (name, state, size, added) VALUES (?, ?, ?, ?)", (name, state, size, added)
    )
    connection.execute("UPDATE books SET next = id * ?1, rest = id * ?1 WHERE name = ?2", (ROOM, name))


def _dismiss(connection: Connection, name: str) -> None:
    connection.execute("UPDATE books SET state = ?, name = id WHERE name = ?", (State.DELETING, name))


def _stored(fault: Sentence) -> str:
    """A sentence as JSON; "" for one that could not be read back."""
    stored = fault.to_json()
    return stored if len(stored) <= _MOST_FAULT_CHARACTERS else ""


def _chapters(stored: object) -> list[Chapter]:
    try:
        chapters = [Chapter(*each) for each in json.loads(_text(stored))]
        for chapter in chapters:
            _whole(chapter.start), _text(chapter.title), _whole(chapter.level)
            if type(chapter.number) is not int:
                raise Nonsense("no number of a chapter")
    except (ValueError, TypeError, RecursionError) as error:
        raise Nonsense(f"no chapters: {error}") from error
    return chapters


def _text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Damaged):
        raise Nonsense("no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise Nonsense("no whole number")
    return value


def _moment(value: object) -> float:
    if not isinstance(value, float) or not (value == UNKNOWN or is_believed(value)):
        raise Nonsense("no moment")
    return value


def _shelved(row: Row) -> ShelvedBook:
    try:
        return _checked(row)
    except (ValueError, TypeError, RecursionError) as error:
        raise Nonsense(f"no book: {error}") from error


def _checked(row: Row) -> ShelvedBook:
    for column in ("title", "creator", "language", "folded"):
        _text(row[column])
    for column in ("size", "length", "next", "rest"):
        _whole(row[column])
    _moment(row["added"]), _moment(row["removed"])
    State(row["state"])
    is_near = row["id"] * ROOM <= min(row["next"], row["rest"]) and row["next"] <= (row["id"] + 1) * ROOM
    is_name = re.fullmatch("[0-9a-f]{64}", _text(row["name"]))
    if not is_near or not is_name or row["direction"] not in ("ltr", "rtl") or row["is_removed"] not in (0, 1):
        raise Nonsense("no book")
    return ShelvedBook(
        *(row["name"], row["title"], row["creator"], row["language"], row["direction"], row["length"]),
        *(row["size"], row["added"], row["removed"]),
        faults=tuple(Sentence.from_json(each) for each in json.loads(row["faults"])),
        first=row["id"] * ROOM,
        last=row["next"] - 1,
        is_read=row["state"] >= State.READ,
    )
