"""The shelf: books come in, are listed and searched, are removed, and can come back for a day.

The files are the truth, and change their places in one step; the catalogue is written after them. So a power cut at
any moment leaves a book whole or not at all, after the next start.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..clock import is_believed, now
from ..epub.book import Chapter
from ..errors import BUSY, Cancelled, OwnerError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.database import repeats
from .catalogue import Catalogue
from .files import BookFiles, Found
from .room import CANNOT_STORE, Room
from .shelved_book import ShelvedBook
from .upkeep import Upkeep

log = logging.getLogger(__name__)

UNDO_SECONDS = 24 * 3600.0
"""So long a removed book can be put back."""
_CHECKED_BYTES = 8 * 1024 * 1024
"""After so many bytes of a book that comes in, the room on the card is looked at again."""
_CLOSE_SECONDS = 5.0
_LEAST_REST_SECONDS, _MOST_REST_SECONDS = 1.0, 600.0

_NO_SHELF = Sentence("The appliance cannot open its books. Its owner can look after its card.")


class Shelf:
    """The books in `folder`, of which there may be `most_books` with `most_bytes`, their index included. `forget`
    is called with the name of each book that is deleted for good.

    A folder that cannot be used is no error here: `trouble` says so, and all other methods raise `StorageError`.
    """

    def __init__(
        self, folder: Path, most_books: int, most_bytes: int, forget: Callable[[str], object] = lambda name: None
    ) -> None:
        self._files = BookFiles(folder)
        self._most_books = most_books
        self._adding = threading.Lock()  # while a book is read
        self._changing = threading.Lock()  # while files change their places; taken second
        self._is_closing = False
        self._parts: tuple[Catalogue, Room, Upkeep] | None = None
        try:
            self._files.prepare()
            catalogue = Catalogue(folder / "books.sqlite", self._files.find_all)
            room = Room(self._files, catalogue, self._changing, most_books, most_bytes, forget)
            self._parts = catalogue, room, Upkeep(self._files, catalogue, room, self._end_undo)
        except (OSError, OwnerError) as error:
            log.error("shelf: there is none: %s", error)

    @property
    def trouble(self) -> Sentence | None:
        """Why there is no shelf, if so."""
        return None if self._parts else _NO_SHELF

    def start(self) -> None:
        """Keep the catalogue true in the background, and delete there what was removed more than a day ago."""
        if self._parts:
            self._parts[2].start()

    def close(self) -> None:
        """End that, and what is being added, and close the file."""
        self._is_closing = True
        if self._parts:
            self._parts[2].close()
            is_free = self._adding.acquire(timeout=_CLOSE_SECONDS)
            self._parts[0].close()
            if is_free:
                self._adding.release()

    # ---- What is on it

    def list(self, most: int, before: str = "", words: str = "") -> list[ShelvedBook]:
        """At most so many books, the newest first. `before`: the name of the one that was shown last; `words`: all
        of them must be in title or author.
        """
        return [*self._catalogue.page(most, before, words)]

    def count(self) -> int:
        """How many books there are."""
        return self._catalogue.count()

    def find(self, name: str) -> ShelvedBook | None:
        """The book with this SHA-256."""
        return self._catalogue.find(name)

    def chapters(self, book: ShelvedBook) -> Sequence[Chapter]:
        """Its table of contents."""
        return self._catalogue.chapters(book.name)

    def find_words(self, book: ShelvedBook, words: str) -> Sequence[int]:
        """The positions at which these words end in a book, the best find first."""
        return self._catalogue.find_words(book, words)

    def removed(self, now: float) -> Sequence[ShelvedBook]:
        """The books that can be put back, without those whose day is over."""
        books = self._catalogue.page(self._most_books, is_removed=True)
        return [book for book in books if not _is_over(book.removed, now)]

    # ---- Removing

    def remove(self, name: str, now: float) -> bool:
        """Take a book from the shelf. Whether it was there."""
        with self._changing, _as_storage_error():
            is_there = self._catalogue.find(name)
            self._purge(now)
            file = self._files.find(name) if is_there else None
            if file is None or file.is_removed:
                return False
            removed = self._files.remove(file, now)
            self._place(removed, self._files.put_back)
            self._catalogue.wake.set()
            log.info("shelf: %s was removed", name[:12])
            return True

    def put_back(self, name: str) -> bool:
        """Put a removed book back. Whether it is on the shelf now."""
        with self._changing, _as_storage_error():
            if self._catalogue.find(name):
                return True
            file = self._files.find(name) if self._catalogue.find(name, is_removed=True) else None
            if file is None:
                return False
            removed = file.removed
            self._place(self._files.put_back(file), lambda back: self._files.remove(back, removed))
            log.info("shelf: %s was put back", name[:12])
            return True

    def _place(self, file: Found, undo: Callable[[Found], object]) -> None:
        """Note the new place of a file, or undo the move."""
        try:
            self._catalogue.place(file)
        except BaseException:
            with suppress(OSError):
                undo(file)
            raise

    def _purge(self, now: float) -> None:
        """Delete what was removed more than a day ago. A day whose begin is not known begins now, also where the
        clock was wrong: then the begin is in the future.
        """
        if not is_believed(now):
            return
        for file in [*self._files.find_removed()]:
            if _is_over(file.removed, now):
                self._room.purge(file)
            elif not 0 < file.removed <= now and self._files.find(file.name) == file:
                self._catalogue.place(self._files.remove(file, now))

    def _end_undo(self) -> float | None:
        """Purge, and return after how many seconds there may be more; None while no book is removed. The clock may
        be set meanwhile, so that is not long.
        """
        with self._changing, _as_storage_error():
            moment = now()
            self._purge(moment)
            ends = [file.removed + UNDO_SECONDS - moment for file in self._files.find_removed()]
        return min(max(min(ends), _LEAST_REST_SECONDS), _MOST_REST_SECONDS) if ends else None

    # ---- Adding

    def check_room(self, size: int) -> None:
        """Raise `ReaderError` if there is no room for a book of so many bytes."""
        with _as_storage_error():
            self._room.check(size)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A book that comes in. What has not been shelved when the block ends is deleted."""
        room = self._room
        with _as_storage_error():
            incoming = Incoming(self, self._files, room)
        try:
            yield incoming
        finally:
            incoming.discard()

    def shelve(self, path: Path, name: str, size: int) -> tuple[ShelvedBook, bool]:
        """Read a file that has come in and put it on the shelf; see `Incoming.shelve`."""
        with self._adding, _as_storage_error():
            with self._changing:
                self._purge(now())
            if not self._catalogue.is_unreadable(name) and self.put_back(name):
                is_new = False
            else:
                is_new = True
                self._room.make(size)
                self._take_in(path, name, size)
            book = self._catalogue.find(name)
            if book is None:
                raise StorageError(_NO_SHELF, f"{name} is not there")
            return book, is_new

    @repeats
    def _take_in(self, path: Path, name: str, size: int) -> None:
        from ..epub.reading import read  # here: an appliance that gets no books need not have it in memory

        def check() -> None:
            if self._is_closing:
                raise Cancelled
            self._room.make(size)

        is_there = False
        try:
            self._catalogue.begin(name, size)
            writer = self._catalogue.writer(name, check)
            book = read(path, writer.take)
            writer.flush()
            with self._changing:
                file = self._files.accept(path, name)
                try:
                    self._catalogue.complete(name, book, file)
                except BaseException:
                    with suppress(OSError):
                        self._files.purge(file)
                    raise
                is_there = True
                with suppress(OSError):  # the next start deletes them
                    self._files.purge_copies(file)
            log.info("shelf: %s has come, %d bytes, %d characters", name[:12], size, book.length)
        except Cancelled:
            raise ReaderError(BUSY, 503) from None
        finally:
            if not is_there:
                self._keep_old(name)
            self._catalogue.end(name)

    def _keep_old(self, name: str) -> None:
        """Show the unreadable file of a book again that was to be replaced."""
        try:
            with self._changing:
                if file := self._files.find(name):
                    self._catalogue.read_later(file)
        except (OSError, StorageError) as error:  # the next start notes it
            log.error("shelf: %s: %s", name[:12], error)

    @property
    def _catalogue(self) -> Catalogue:
        return self._opened()[0]

    @property
    def _room(self) -> Room:
        return self._opened()[1]

    def _opened(self) -> tuple[Catalogue, Room, Upkeep]:
        if self._parts is None:
            raise StorageError(_NO_SHELF)
        return self._parts


class Incoming:
    """The file of a book while it comes in."""

    def __init__(self, shelf: Shelf, files: BookFiles, room: Room) -> None:
        self._shelf = shelf
        self._room = room
        self._path, self._file = files.create()
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises `ReaderError` where the card has no room for more, and `StorageError`."""
        with _as_storage_error():
            if (self._size + len(data)) // _CHECKED_BYTES > self._size // _CHECKED_BYTES:
                self._room.keep_some()
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self._size += len(data)

    def shelve(self) -> tuple[ShelvedBook, bool]:
        """Read the book and put it on the shelf. Returns it, and whether it is new there: the same file is the same
        book, and a removed one is put back. Raises `ReaderError` and `StorageError`; nothing is left then.
        """
        with _as_storage_error():
            self._file.close()
        return self._shelf.shelve(self._path, self._digest.hexdigest(), self._size)

    def discard(self) -> None:
        """Delete what has not been shelved. What cannot be deleted now, the next start deletes."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _is_over(removed: float, now: float) -> bool:
    return is_believed(removed) and is_believed(now) and now - removed >= UNDO_SECONDS


@contextmanager
def _as_storage_error() -> Iterator[None]:
    """Trouble with the card, as far as it is not the database's."""
    try:
        yield
    except OSError as error:
        raise StorageError(CANNOT_STORE, str(error)) from error
