"""What is known of the books without opening their files: titles, chapters, passages, and the index of their words.

All of it is derived from the files. A catalogue that is damaged, or of another version, is deleted and made anew.

A book's text is written in pieces, each a transaction of its own: whoever else writes waits for one piece, and the
write-ahead log stays small. Only the last transaction makes the book one that is read. What a power cut leaves of a
book that was coming in is deleted by the next start, in pieces, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from ..clock import is_believed
from ..errors import OwnerError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.database import Connection, Database, Row
from ..storage.derived import is_damage
from ..storage.folder import SUFFIXES, check_names
from ..storage.terms import fold
from . import words
from .book import Book, Chapter, Passage, ShelvedBook
from .files import Found
from .schema import ROOM, SHELF

_PIECE_CHARACTERS = 200_000
_PIECE_PASSAGES = 1000


class State(IntEnum):
    """How far a book is."""

    LEAVING = -1  # its file is gone, and its text goes
    COMING = 0  # nothing is shown of it
    WAITING = 1  # its file is there, its text is not yet
    READ = 2


class Catalogue:
    """The file `path`, made if need be. Raises `StorageError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.database = _open(path)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    # ---- Books

    def agree(self, files: Sequence[Found]) -> None:
        """Let the rows say what the files do."""
        with self.database.write() as connection:
            known = {row["name"]: row for row in connection.execute("SELECT * FROM books")}
            names = set()
            for file in files:
                names.add(file.name)
                row = known.get(file.name)
                if row is None:
                    _insert(connection, file, State.WAITING)
                else:
                    connection.execute(
                        "UPDATE books SET size = ?, added = ?, is_removed = ?, removed = ?, state = ? WHERE id = ?",
                        (
                            *(file.size, file.added, file.is_removed, file.removed),
                            max(row["state"], State.WAITING),
                            row["id"],
                        ),
                    )
            for name, row in known.items():
                if name not in names:
                    connection.execute("UPDATE books SET state = ? WHERE id = ?", (State.LEAVING, row["id"]))

    def place(self, file: Found) -> None:
        """Note where the file of a known book lies."""
        with self.database.write() as connection:
            connection.execute(
                "UPDATE books SET added = ?, is_removed = ?, removed = ? WHERE name = ?",
                (file.added, file.is_removed, file.removed, file.name),
            )

    def page(self, most: int, before: str = "", words: str = "", is_removed: bool = False) -> list[ShelvedBook]:
        """See `Shelf.list`."""
        where, values = ["state > 0", "is_removed = ?"], list[object]([is_removed])
        if before:
            where.append("(added, name) < (SELECT added, name FROM books WHERE name = ?)")
            values.append(before)
        for term in fold(words).split():
            where.append("instr(folded, ?)")
            values.append(term)
        condition = " AND ".join(where)
        rows = self.database.read(
            f"SELECT * FROM books WHERE {condition} ORDER BY added DESC, name DESC LIMIT ?",  # noqa: S608 - ours
            (*values, most),
        )
        return [_shelved(row) for row in rows]

    def find(self, name: str) -> ShelvedBook | None:
        """A book, also a removed one."""
        rows = self.database.read("SELECT * FROM books WHERE name = ? AND state > 0", (name,))
        return _shelved(rows[0]) if rows else None

    def is_removed(self, name: str) -> bool:
        """Whether a book has been removed, and can come back."""
        return bool(self.database.read("SELECT 1 FROM books WHERE name = ? AND is_removed AND state > 0", (name,)))

    def count(self) -> int:
        """How many books are on the shelf."""
        rows = self.database.read("SELECT count(*) FROM books WHERE is_removed = 0 AND state > 0")
        return int(rows[0][0])

    def chapters(self, name: str) -> list[Chapter]:
        """The chapters of a book."""
        rows = self.database.read(
            "SELECT chapters FROM contents WHERE book = (SELECT id FROM books WHERE name = ?)", (name,)
        )
        return [Chapter(*each) for each in json.loads(rows[0][0])] if rows else []

    def find_words(self, book: ShelvedBook, text: str) -> list[int]:
        """Where words end, best first."""
        return list(words.find(self.database, book.first, book.last, text))

    # ---- Sizes

    def bytes(self) -> int:
        """The size of all files of books, and of this one, in bytes."""
        files = self.database.read("SELECT coalesce(sum(size), 0) FROM books WHERE state > 0")[0][0]
        size, pages, free = (
            self.database.read(f"PRAGMA {name}")[0][0] for name in ("page_size", "page_count", "freelist_count")
        )
        return int(files + size * (pages - free))

    # ---- Reading

    def begin(self, file: Found) -> None:
        """A book comes in."""
        with self.database.write() as connection:
            _insert(connection, file, State.COMING)

    def waiting(self) -> str | None:
        """A book whose text is still to be read."""
        rows = self.database.read(
            "SELECT name FROM books WHERE state = ? ORDER BY is_removed, added DESC LIMIT 1", (State.WAITING,)
        )
        return rows[0][0] if rows else None

    def writer(self, name: str) -> PassageWriter:
        """For the text of a book that is coming in or waiting."""
        rows = self.database.read("SELECT id FROM books WHERE name = ?", (name,))
        return PassageWriter(self.database, rows[0][0])

    def complete(self, file: Found) -> None:
        """A book whose text is written is there."""
        with self.database.write() as connection:
            connection.execute(
                "UPDATE books SET state = ?, size = ?, added = ?, is_removed = ?, removed = ? WHERE name = ?",
                (State.READ, file.size, file.added, file.is_removed, file.removed, file.name),
            )

    def clear_some(self) -> bool:
        """Delete a piece of what is left of books that are gone. Whether there is more."""
        rows = self.database.read(
            "SELECT * FROM books WHERE state = ? OR (state = ? AND last >= first) ORDER BY id LIMIT 1",
            (State.LEAVING, State.WAITING),
        )
        if not rows:
            return self.database.give_back()
        self._clear_piece(rows[0])
        return True

    def forget(self, name: str) -> None:
        """Delete a book, whose file is gone, from everywhere but the text, which `clear_some` deletes."""
        with self.database.write() as connection:
            connection.execute("UPDATE books SET state = ? WHERE name = ?", (State.LEAVING, name))

    def _clear_piece(self, book: Row) -> None:
        with self.database.write() as connection:
            rows = connection.execute(
                "SELECT id, text FROM passages WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
                (book["first"], book["last"], _PIECE_PASSAGES + 1),
            ).fetchall()
            for at, row in enumerate(rows[:_PIECE_PASSAGES]):
                if row["id"] <= book["indexed"]:
                    following = rows[at + 1]["text"] if at + 1 < len(rows) else ""
                    words.remove(connection, row["id"], row["text"], following)
            if len(rows) > _PIECE_PASSAGES:
                first = rows[_PIECE_PASSAGES]["id"]
                connection.execute("DELETE FROM passages WHERE id >= ? AND id < ?", (book["first"], first))
                connection.execute("UPDATE books SET first = ? WHERE id = ?", (first, book["id"]))
                return
            connection.execute("DELETE FROM passages WHERE id BETWEEN ? AND ?", (book["first"], book["last"]))
            connection.execute("DELETE FROM contents WHERE book = ?", (book["id"],))
            if book["state"] == State.LEAVING:
                connection.execute("DELETE FROM books WHERE id = ?", (book["id"],))
            else:
                first = book["id"] * ROOM
                connection.execute(
                    "UPDATE books SET first = ?, last = ?, indexed = ? WHERE id = ?",
                    (first, first - 1, first - 1, book["id"]),
                )


class PassageWriter:
    """Takes the passages of a book, and writes them in pieces."""

    def __init__(self, database: Database, book: int) -> None:
        self._database = database
        self._book = book
        self._next = book * ROOM
        self._piece: list[Passage] = []
        self._characters = 0
        self._held: tuple[int, str] | None = None  # the last one written, which the index does not have yet

    def take(self, passage: Passage) -> None:
        """One passage more. Raises `StorageError`."""
        self._piece.append(passage)
        self._characters += len(passage.text)
        if self._characters >= _PIECE_CHARACTERS or len(self._piece) >= _PIECE_PASSAGES:
            with self._database.write() as connection:
                self._write(connection)

    def finish(self, book: Book) -> None:
        """Write the rest, and what else was read. `Catalogue.complete` does the rest."""
        with self._database.write() as connection:
            self._write(connection, is_last=True)
            connection.execute(
                "UPDATE books SET title = ?, creator = ?, folded = ?, language = ?, direction = ?,"
                " length = ?, faults = ? WHERE id = ?",
                (
                    *(book.title, book.creator, fold(f"{book.title} {book.creator}")),
                    *(book.language, book.direction, book.length),
                    *(json.dumps([each.to_json() for each in book.faults]), self._book),
                ),
            )
            chapters = json.dumps([list(each) for each in book.chapters], ensure_ascii=False)
            connection.execute("REPLACE INTO contents VALUES (?, ?)", (self._book, chapters))

    def _write(self, connection: Connection, is_last: bool = False) -> None:
        for passage in self._piece:
            if self._next >= (self._book + 1) * ROOM:
                raise ReaderError(Sentence("This book has too many paragraphs for the appliance."), 422)
            connection.execute("INSERT INTO passages VALUES (?, ?, ?)", (self._next, *passage))
            if self._held:
                words.add(connection, *self._held, passage.text)
            self._held = self._next, passage.text
            self._next += 1
        if is_last and self._held:
            words.add(connection, *self._held, "")
        connection.execute(
            "UPDATE books SET last = ?, indexed = ? WHERE id = ?",
            (self._next - 1, self._next - (1 if is_last else 2), self._book),
        )
        self._piece.clear()
        self._characters = 0


def _insert(connection: Connection, file: Found, state: State) -> None:
    (book,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM books").fetchone()
    first = book * ROOM
    connection.execute(
        "INSERT INTO books (id, name, state, size, added, is_removed, removed, first, last, indexed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (book, file.name, state, file.size, file.added, file.is_removed, file.removed, first, first - 1, first - 1),
    )


def _shelved(row: Row) -> ShelvedBook:
    return ShelvedBook(
        *(row["name"], row["title"], row["creator"], row["language"], row["direction"], row["length"]),
        *(row["size"], row["added"] if is_believed(row["added"]) else 0.0, row["removed"]),
        faults=tuple(Sentence.from_json(each) for each in json.loads(row["faults"])),
        first=row["first"],
        last=row["last"],
        is_read=row["state"] == State.READ,
    )


def _open(path: Path) -> Database:
    check_names(path)
    for is_last in (False, True):
        try:
            database = Database(path, SHELF)
            if database.read("PRAGMA user_version")[0][0] == SHELF.version:
                return database
            database.close()
        except StorageError as error:
            if is_last or not is_damage(error):
                raise
        except OwnerError:  # of a newer version
            if is_last:
                raise
        for suffix in SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    raise AssertionError("unreachable")
