"""The books in a backup: their files in pieces, as rows, and back again.

A book's name is the SHA-256 of its file. So nothing of a stranger's backup has to be believed, not even the types
of its columns: a file whose content is not what its name says is not kept, and no book is ever replaced. Only files
are copied; the service reads them, and makes its index of them, when it starts. One piece of a file is in memory at
a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ..clock import is_believed
from ..host.plain_files import check_plain, create_private, reading, set_time, sync, sync_folder
from .database import Connection, as_storage_error
from .shelf_layout import BOOK_FILE, INCOMING, MOST_BYTES, NAME, REMOVED, book_file
from .transfer import BOOKS, UnreadableFile, read

_PIECE_BYTES = 1024 * 1024
_MOST_INDEX_BYTES = 8_000_000
"""Of a book's index on the shelf. How many characters a book has is not known before it is read. Its index takes
1.5 bytes for each (Latin) to 6.4 (Japanese), which is about as much as the file (`hound.epub`: 440 KB and 490 KB);
what makes a file larger than this are pictures."""
_MOST_ROWS = 20_000  # of books in a backup; the shelf has 500

_RESTORED = "restore-"
_INDEX = "*.sqlite*"


class Limits(NamedTuple):
    """What the shelf may hold."""

    books: int
    bytes: int


class _Row(NamedTuple):
    name: str
    size: int
    added: float


@dataclass
class Unpacked:
    """The books of a backup on their way to the shelf. `new`: those that are not there yet, `present`: those that
    are; `bad`: rows that are no books, or whose place something else has; `crowded`: books for which the shelf has
    no room.
    """

    shelf: Path
    new: list[_Row] = field(default_factory=list)
    present: int = 0
    bad: int = 0
    crowded: int = 0

    @property
    def needed(self) -> int:
        """The bytes that the new ones take on the card, with about what their index will."""
        return sum(map(_with_index, (row.size for row in self.new)))

    def counts(self) -> dict[str, int]:
        return {"new": len(self.new), "present": self.present, "bad": self.bad, "crowded": self.crowded}

    @contextmanager
    def unpack(self, old: Connection) -> Iterator[None]:
        """Write the new books beside the shelf. The block may then call `settle`; what it leaves is deleted."""
        incoming = self.shelf / INCOMING
        try:
            if self.new:
                incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(self.shelf.parent)
                self._clear()
                whole = [row for row in self.new if _unpack(old, row, self._beside(row))]
                self.bad += len(self.new) - len(whole)
                self.new = whole
            yield
        finally:
            self._clear()

    def settle(self) -> None:
        """Put the books that are whole on the shelf. They are on the card then."""
        for row in self.new:
            self._beside(row).replace(self.shelf / book_file(row.name))
        if self.new:
            sync_folder(self.shelf)
        for row in self.new:
            for removed in (self.shelf / REMOVED).glob(f"*-{book_file(row.name)}"):
                with suppress(OSError):  # the service does it, too, when it starts
                    removed.unlink()

    def _beside(self, row: _Row) -> Path:
        return self.shelf / INCOMING / f"{_RESTORED}{row.name}"

    def _clear(self) -> None:
        """Delete what is left of this restore, or what a power cut has left of an earlier one."""
        for path in (self.shelf / INCOMING).glob(f"{_RESTORED}*"):
            path.unlink()


class Shelved(NamedTuple):
    """The books that lie in a folder: the bytes of each file, by name. `strays`: what has the name of a book's
    file and is a link, or a folder, or the like. The service passes over it, too.
    """

    sizes: dict[str, int]
    strays: set[str]


def find_books(shelf: Path) -> Shelved:
    """The books in a folder. Raises OSError."""
    found = Shelved({}, set())
    with suppress(FileNotFoundError):
        for path in sorted(shelf.iterdir()):
            if match := BOOK_FILE.fullmatch(path.name):
                try:
                    status = check_plain(path)
                except OSError:
                    found.strays.add(match[1])
                else:
                    if status:
                        found.sizes[match[1]] = status.st_size
    return found


def measure(shelf: Path) -> tuple[int, int]:
    """How many books are in a folder, and the bytes that they take, with removed ones and the index. Raises
    OSError.
    """
    books = find_books(shelf).sizes
    size = sum(books.values())
    return len(books), size + _measure((shelf / REMOVED).glob(book_file("*"))) + _measure(shelf.glob(_INDEX))


def _measure(files: Iterable[Path]) -> int:
    size = 0
    for path in files:
        with suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size


def _with_index(size: int) -> int:
    return size + min(size, _MOST_INDEX_BYTES)


def pack(shelf: Path, new: Connection) -> tuple[int, int]:
    """Write the books of a folder into a backup, within its transaction. Returns how many they are, and how many
    were left out because the card has damaged them, or because they are no files. One that is removed meanwhile is
    no longer there; one that is added may be in it. Raises OSError and `StorageError`.
    """
    with as_storage_error():
        for statement in BOOKS:
            new.execute(statement)
    found = find_books(shelf)
    packed, bad = 0, len(found.strays)
    for name in found.sizes:
        try:
            is_whole = _pack(shelf / book_file(name), new)
        except FileNotFoundError:
            continue
        packed += is_whole
        bad += not is_whole
    return packed, bad


def _pack(path: Path, new: Connection) -> bool:
    digest, size, number = sha256(), 0, 0
    with reading(path) as file:
        added = check_plain(path)
        while size <= MOST_BYTES and (piece := file.read(_PIECE_BYTES)):
            with as_storage_error():
                new.execute("INSERT INTO book_pieces VALUES (?, ?, ?)", (path.stem, number, piece))
            digest.update(piece)
            size, number = size + len(piece), number + 1
    is_whole = 0 < size <= MOST_BYTES and digest.hexdigest() == path.stem
    with as_storage_error():
        if is_whole:
            row = (path.stem, size, added.st_mtime if added else 0.0)
            new.execute("INSERT INTO books VALUES (?, ?, ?)", row)
        else:
            new.execute("DELETE FROM book_pieces WHERE book = ?", (path.stem,))
    return is_whole


def size_of_books(old: Connection, most: int) -> int:
    """The bytes that books take of a stranger's file, whose tables were checked and which has `most` bytes. Raises
    `UnreadableFile`.
    """
    if not _has_books(old):
        return 0
    size = rows = 0
    for lengths in read(old, "SELECT length(content) FROM book_pieces"):
        size += sum(length for (length,) in lengths if isinstance(length, int))
        rows += len(lengths)
        if size > most or rows > most // _PIECE_BYTES + _MOST_ROWS:  # a tree that bites its tail
            raise UnreadableFile("its books are larger than itself")
    return size


def choose(old: Connection, shelf: Path, limits: Limits) -> Unpacked:
    """Which books of a stranger's file, whose tables were checked, would be new on a shelf. Each takes
    about as much room of its limit as it will with its index. What is there and has no index yet is counted
    without; removed books are not counted, since the service gives their room away. Raises OSError and
    `UnreadableFile`.
    """
    chosen = Unpacked(shelf)
    if not _has_books(old):
        return chosen
    there, strays = find_books(shelf)
    books, room = limits.books - len(there), limits.bytes - sum(there.values()) - _measure(shelf.glob(_INDEX))
    rows = 0
    for each in read(old, "SELECT name, size, added FROM books"):
        rows += len(each)
        if rows > _MOST_ROWS:
            raise UnreadableFile(f"it has more than {_MOST_ROWS} books")
        for values in each:
            row = _book(values)
            if row is None or row.name in strays:
                chosen.bad += 1
            elif row.name in there:
                chosen.present += 1
            elif len(chosen.new) >= books or _with_index(row.size) > room:
                chosen.crowded += 1
            else:
                there[row.name] = row.size
                room -= _with_index(row.size)
                chosen.new.append(row)
    return chosen


def _book(values: Sequence[object]) -> _Row | None:
    """A stranger's row, if it can be that of a book."""
    name, size, added = values
    if not (isinstance(name, bytes) and isinstance(size, int) and isinstance(added, float)):
        return None
    text = name.decode("ascii", "replace")
    return _Row(text, size, added) if NAME.fullmatch(text) and 0 < size <= MOST_BYTES else None


def _has_books(old: Connection) -> bool:
    rows = next(read(old, "SELECT count(*) FROM sqlite_schema WHERE name IN ('books', 'book_pieces')"))
    return bool(rows[0][0] == len(BOOKS))


def _unpack(old: Connection, row: _Row, path: Path) -> bool:
    """Write a book's file; False if its pieces are not what its name says, or cannot be read."""
    digest = sha256()
    query = "SELECT content FROM book_pieces WHERE book = ? AND number = ?"
    with create_private(path) as file:
        for number, start in enumerate(range(0, row.size, _PIECE_BYTES)):
            try:
                found = next(read(old, query, (row.name, number)), [])
            except UnreadableFile:
                return False
            content = found[0][0] if found else None
            if not isinstance(content, bytes) or len(content) != min(_PIECE_BYTES, row.size - start):
                return False
            piece = memoryview(content)
            digest.update(piece)
            while piece:
                piece = piece[file.write(piece) :]
    if digest.hexdigest() != row.name:
        return False
    if is_believed(row.added):
        set_time(path, row.added)
    sync(path)  # with its time
    return True
