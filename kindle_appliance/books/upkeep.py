"""The thread that reads books anew whose text is not there, and deletes what is left of those that are gone.

It takes half of the time, so that pages and answers hardly notice, and sleeps when there is nothing to do.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..epub.book import Book
from ..errors import Cancelled, ReaderError, StorageError
from ..sentences import Sentence
from .catalogue import Catalogue
from .files import BookFiles, Found
from .room import CANNOT_STORE, Room

log = logging.getLogger(__name__)

_LEAST_PAUSE_SECONDS = 0.02
_MOST_PAUSE_SECONDS = 60.0
"""A full card is tried ever more seldom."""
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
        self._rest: float | None = 0.0  # seconds until the next step, whether anything has happened or not
        self._failures = Counter[str]()  # of the card, with each book
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread after the piece that it is at."""
        self._closing.set()
        self._catalogue.wake.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        pause = after_failure = _LEAST_PAUSE_SECONDS
        while not self._closing.is_set():
            self._catalogue.wake.wait(self._rest)
            if self._closing.wait(pause):
                return
            start = time.monotonic()
            try:
                self._catalogue.wake.clear()
                if self._step():
                    self._catalogue.wake.set()
                pause = after_failure = max(_LEAST_PAUSE_SECONDS, time.monotonic() - start)
            except StorageError as error:
                log.error("shelf: cannot be tidied: %s", error)
                self._catalogue.wake.set()
                pause = after_failure = min(4 * max(after_failure, 1.0), _MOST_PAUSE_SECONDS)
            except Exception:
                log.exception("shelf: a mistake in the background")
                return

    def _step(self) -> bool:
        """Delete a piece, or read a book. Whether there may be more to do."""
        if self._catalogue.tidy_some():
            return True
        name = min(self._catalogue.waiting(), key=self._failures.__getitem__, default="")
        if name:
            try:
                self._read(name)
            finally:
                self._catalogue.end(name)
        else:
            self._rest = self._end_undo()
        return bool(name)

    def _read(self, name: str) -> None:
        from ..epub.reading import read  # here, as in `Shelf`

        file = self._files.find(name)
        if file is None:
            self._catalogue.dismiss(name)
            return
        writer = self._catalogue.writer(name, self._check, self._closing)
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
                if self._closing.is_set():
                    raise Cancelled
        return digest.hexdigest()

    def _check(self) -> None:
        if self._closing.is_set():
            raise Cancelled
        self._room.check_card()
