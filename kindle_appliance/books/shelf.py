"""The shelf: books come in, are listed and searched, are removed, and come back for a day."""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..clock import UNKNOWN, is_believed, now
from ..errors import OwnerError, ReaderError, StorageError
from ..sentences import Sentence
from .book import Book, Chapter, ShelvedBook
from .catalogue import Catalogue
from .epub import Unreadable, read
from .files import BookFiles, Found

log = logging.getLogger(__name__)

UNDO_SECONDS = 24 * 3600.0
"""So long a removed book can be put back."""

_KEPT_FREE = 200 * 1024 * 1024
"""So much of the card stays free for the chats, but no more than a twentieth of it."""
_PER_BYTE = 2
"""A book that is all text grows its index by about its own size, and is checked again while it is read."""

_CARD_TROUBLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM),
}

_NO_SHELF = Sentence("The appliance cannot open its books. Its owner can look after its card.")
_CANNOT_STORE = Sentence("The appliance cannot store this book: its card is full or read-only.")
_FULL_OF_BOOKS = Sentence(
    "There is room for %(count)d book on the shelf, and it is full. Please remove one first.",
    plural="There is room for %(count)d books on the shelf, and it is full. Please remove one first.",
)
_FULL = Sentence("There is no room on the shelf for a book of this size. Please remove another one first.")
_CARD_FULL = Sentence("There is no room on the card of the appliance for a book of this size.")


class Shelf:
    """The books in `folder`, of which there may be `most_books` with `most_bytes`, their index included.

    A folder that cannot be used is no error here: `trouble` is its sentence, and methods raise `StorageError`.
    """

    def __init__(self, folder: Path, most_books: int, most_bytes: int) -> None:
        self._files = BookFiles(folder)
        self._most_books = most_books
        self._most_bytes = most_bytes
        self._changing = threading.Lock()  # while files change their places
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._open: Catalogue | None = None
        try:
            self._files.prepare()
            self._open = Catalogue(folder / "books.sqlite")
            self._open.agree(list(self._files.find_all()))
        except (OSError, OwnerError) as error:
            log.error("shelf: cannot be opened: %s", error)

    @property
    def trouble(self) -> Sentence | None:
        """Why there is no shelf."""
        return None if self._open else _NO_SHELF

    def start(self) -> None:
        """Read the books that are not in the index, in the background."""
        if self._open:
            self._wake.set()
            self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End that, and close the file."""
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join()
        if self._open:
            self._open.close()

    # ---- The shelf as readers see it

    def list(self, most: int, before: str = "", words: str = "") -> list[ShelvedBook]:
        """At most so many books, the newest first. `before`: the name of the one that was shown last; `words`:
        all of them must be in title or author.
        """
        return self._catalogue.page(most, before, words)

    def count(self) -> int:
        """How many books there are, without removed ones."""
        return self._catalogue.count()

    def find(self, name: str) -> ShelvedBook | None:
        """The book with this SHA-256, if it is on the shelf."""
        book = self._catalogue.find(name)
        return None if book is None or self._catalogue.is_removed(name) else book

    def chapters(self, book: ShelvedBook) -> Sequence[Chapter]:
        """Its table of contents."""
        return self._catalogue.chapters(book.name)

    def find_words(self, book: ShelvedBook, words: str) -> Sequence[int]:
        """The positions at which these words end in a book, the best find first."""
        return self._catalogue.find_words(book, words)

    def removed(self, now: float) -> Sequence[ShelvedBook]:
        """The books that can be put back, the newest first."""
        return [
            book
            for book in self._catalogue.page(self._most_books, is_removed=True)
            if not _is_over(book.removed, now)
        ]

    def remove(self, name: str, now: float) -> bool:
        """Take a book from the shelf. Whether it was there."""
        with self._changing, _as_storage_error():
            self._purge(now)
            file = self._files.find(name)
            if file is None:
                return False
            self._catalogue.place(self._files.remove(file, now))
            return True

    def put_back(self, name: str) -> bool:
        """Put a removed book back. Whether it was still there."""
        with self._changing, _as_storage_error():
            file = self._find_removed(name)
            if file is None:
                return self._catalogue.find(name) is not None
            self._catalogue.place(self._files.put_back(file))
            return True

    # ---- Adding

    def check_room(self, size: int) -> None:
        """Raise `ReaderError` if there is no room for a book of so many bytes."""
        with _as_storage_error():
            if self.count() >= self._most_books:
                raise ReaderError(_FULL_OF_BOOKS.having(count=self._most_books), 413)
            if self._catalogue.bytes() + size > self._most_bytes:
                raise ReaderError(_FULL, 413)
            free, whole = self._files.free()
            if free < _PER_BYTE * size + min(_KEPT_FREE, whole // 20):
                raise ReaderError(_CARD_FULL, 413)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A book that comes in. What was not shelved when the block ends is gone."""
        self._catalogue  # noqa: B018 - raises
        with _as_storage_error():
            incoming = Incoming(self, self._files)
        try:
            yield incoming
        finally:
            with _as_storage_error():
                incoming.discard()

    def shelve(self, path: Path, name: str, size: int) -> tuple[ShelvedBook, bool]:
        """For `Incoming`."""
        with self._changing, _as_storage_error():
            self._purge(now())
            if self._files.find(name):
                return self._known(name), False
            if removed := self._find_removed(name):
                self._catalogue.place(self._files.put_back(removed))
                return self._known(name), False
            self._catalogue.begin(Found(name, path, size, UNKNOWN))
            try:
                writer = self._catalogue.writer(name)
                book = read(path, writer.take)
                writer.finish(book)
                file = self._files.accept(path, name)
                self._catalogue.complete(file)
            except BaseException:
                with suppress(OSError, StorageError):
                    self._files.path(name).unlink(missing_ok=True)
                    self._catalogue.forget(name)
                self._wake.set()
                raise
            log.info("shelf: %s has come, %d bytes", file.name[:12], file.size)
            return self._known(name), True

    def _known(self, name: str) -> ShelvedBook:
        book = self._catalogue.find(name)
        if book is None:
            raise StorageError(_NO_SHELF)
        return book

    # ---- Removed books

    def _purge(self, now: float) -> None:
        for file in [each for each in self._files.find_all() if each.is_removed]:
            if _is_over(file.removed, now):
                self._files.purge(file)
                self._catalogue.forget(file.name)
                self._wake.set()

    def _find_removed(self, name: str) -> Found | None:
        return next((each for each in self._files.find_all() if each.is_removed and each.name == name), None)

    # ---- In the background

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            try:
                while not self._closing.is_set() and self._catch_up():
                    self._closing.wait(0.02)
            except Exception:
                log.exception("shelf: a mistake in the background")
                return

    def _catch_up(self) -> bool:
        if self._catalogue.clear_some():
            return True
        name = self._catalogue.waiting()
        if name is None:
            return False
        writer = self._catalogue.writer(name)
        file = self._files.find(name) or self._find_removed(name)
        try:
            book = read(file.path, writer.take) if file else None
        except Unreadable as error:
            book = Book(name[:12], "", "", "ltr", 0, faults=(error.sentence,))
        if file and book:
            writer.finish(book)
            self._catalogue.complete(file)
        return True

    @property
    def _catalogue(self) -> Catalogue:
        if self._open is None:
            raise StorageError(_NO_SHELF)
        return self._open


class Incoming:
    """A book's file while it comes in."""

    def __init__(self, shelf: Shelf, files: BookFiles) -> None:
        self._shelf = shelf
        self._path, self._file = files.create()
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        """The next bytes. Raises `StorageError`."""
        with _as_storage_error():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self._size += len(data)

    def shelve(self) -> tuple[ShelvedBook, bool]:
        """Read the book and put it on the shelf. Whether it is new there. Raises `ReaderError`, `StorageError`."""
        self._file.close()
        return self._shelf.shelve(self._path, self._digest.hexdigest(), self._size)

    def discard(self) -> None:
        """Delete what has not been shelved."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _is_over(removed: float, now: float) -> bool:
    return is_believed(removed) and is_believed(now) and now - removed >= UNDO_SECONDS


@contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EIO,
            errno.EFBIG,
            errno.EACCES,
            errno.EPERM,
        ):
            raise StorageError(_CANNOT_STORE, str(error)) from error
        raise
