"""What the shelf does in the background: it reads books anew whose text is not there, and deletes what is left of
those that are gone.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..epub.book import Book
from ..errors import Cancelled, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.worker import Worker
from .catalogue import Catalogue
from .files import BookFiles, Found
from .room import CANNOT_STORE, Room

log = logging.getLogger(__name__)

_TRIES = 5
_BLOCK = 1024 * 1024

_DAMAGED = Sentence("The card has damaged this file. Please add the book again.")
_NOT_AGAIN = Sentence("The appliance could read this book before, but cannot any more.")


class Upkeep:
    """Works from `start()` to `close()`. `end_undo` deletes the removed books whose day is over, and returns the
    seconds until the next one's may be.
    """

    def __init__(
        self, files: BookFiles, catalogue: Catalogue, room: Room, end_undo: Callable[[], float | None]
    ) -> None:
        self._files = files
        self._catalogue = catalogue
        self._room = room
        self._end_undo = end_undo
        self._failures = Counter[str]()  # of the card, with each book
        self._worker = Worker("shelf", "cannot be tidied", catalogue.wake, self._step)

    def start(self) -> None:
        """Start working."""
        self._worker.start()

    def close(self) -> None:
        """End after the piece that it is at."""
        self._worker.close()

    def _step(self) -> float | None:
        """Delete a piece, or read a book. The seconds until there may be more to do."""
        self._catalogue.wake.clear()
        if self._catalogue.tidy_some():
            return 0.0
        name = min(self._catalogue.waiting(), key=self._failures.__getitem__, default="")
        if not name:
            return self._end_undo()
        try:
            self._read(name)
        finally:
            self._catalogue.end(name)
        return 0.0

    def _read(self, name: str) -> None:
        from ..epub.reading import read  # here, as in `Shelf`

        file = self._files.find(name)
        if file is None:
            self._catalogue.dismiss(name)
            return
        writer = self._catalogue.writer(name, self._check, self._worker.closing)
        try:
            if self._digest(file.path) != name:
                raise ReaderError(_DAMAGED)
            book = read(file.path, writer.take)
            writer.flush()
            self._catalogue.complete(name, book)
            log.info("shelf: %s has been read anew", name[:12])
        except Cancelled:
            pass
        except StorageError:
            raise
        except OSError as error:
            self._fail(file, error)
        except ReaderError as error:
            if isinstance(error.__cause__, OSError):
                self._fail(file, error.__cause__)
                return
            log.error("shelf: %s: %s", name[:12], error)
            self._give_up(name, error.sentence)
        except Exception:
            log.exception("shelf: a mistake while reading %s", name[:12])
            self._give_up(name, _NOT_AGAIN)

    def _fail(self, file: Found, error: OSError) -> None:
        """A file could not be read this time. One that was moved meanwhile is read at its new place, any other one
        later, after those that failed less often. Only what the card has refused again and again is damaged.
        """
        if self._files.find(file.name) != file:
            return
        self._failures[file.name] += 1
        if error.errno == errno.EIO and self._failures[file.name] >= _TRIES:
            log.error("shelf: %s: %s", file.name[:12], error)
            self._give_up(file.name, _DAMAGED)
        else:
            raise StorageError(CANNOT_STORE, f"{file.name[:12]}: {error}") from error

    def _give_up(self, name: str, why: Sentence) -> None:
        """Show a book that cannot be read, so that it can be removed, or added again."""
        book = Book(name[:12], "", "", "ltr", 0, faults=(why,))
        self._catalogue.complete(name, book, is_readable=False)

    def _digest(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if self._worker.closing.is_set():
                    raise Cancelled
        return digest.hexdigest()

    def _check(self) -> None:
        if self._worker.closing.is_set():
            raise Cancelled
        self._room.check_card()
