"""The room for books: how many, how many bytes, and what of the card stays free for the chats.

Removed books take room until their day is over. If that room is needed, the one that was removed first goes first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..errors import ReaderError, StorageError
from ..sentences import Sentence
from ..storage.shelf_layout import kept_free
from .catalogue import Catalogue
from .files import BookFiles, Found

log = logging.getLogger(__name__)

CANNOT_STORE = Sentence("The appliance cannot store its books: its card is full or read-only.")
_FULL_OF_BOOKS = Sentence(
    "The shelf has room for %(count)d book, and it is full. Please remove a book first.",
    plural="The shelf has room for %(count)d books, and it is full. Please remove a book first.",
)
_FULL = Sentence("The shelf has no room for a book of this size. Please remove other books first.")
_CARD_FULL = Sentence(
    "The card of the appliance has no room for a book of this size. Please remove other books first."
)


class Room:
    """Room for `most_books`, and for `most_bytes` of files and what is derived from them. `changing` is held while
    files change their places; `forget` is called with the name of a book that is purged.
    """

    def __init__(
        self,
        files: BookFiles,
        catalogue: Catalogue,
        changing: threading.Lock,
        most_books: int,
        most_bytes: int,
        forget: Callable[[str], object],
    ) -> None:
        self._files = files
        self._catalogue = catalogue
        self._changing = changing
        self._most_books = most_books
        self._most_bytes = most_bytes
        self._forget = forget

    def check(self, size: int) -> None:
        """Raise `ReaderError` if there is no room for a book of so many bytes, not even without removed books. How
        much its text adds is not known before it is read: see `make`.
        """
        if self._catalogue.count() >= self._most_books:
            raise ReaderError(_FULL_OF_BOOKS.having(count=self._most_books), 413)
        removed = sum(file.size for file in self._files.find_removed())
        if self._catalogue.size() - removed + size > self._most_bytes:
            raise ReaderError(_FULL, 413)
        if self._spare() + removed < size:
            raise ReaderError(_CARD_FULL, 413)

    def make(self, size: int) -> None:
        """Make room on the shelf for a file of so many bytes, which is on the card already. Purges removed books if
        need be. Raises `ReaderError` if that is not enough, `StorageError` and OSError.
        """
        self._purge_while(lambda: self._lacks(size))

    def keep_some(self) -> None:
        """Keep half of the room for the chats free while a file comes in. Until it is whole, nobody knows whether
        it needs any: it may be on the shelf already, or no book. Raises as `make` does.
        """
        self._purge_while(lambda: _CARD_FULL if self._spare(0.5) < 0 else None)

    def _purge_while(self, lacks: Callable[[], Sentence | None]) -> None:
        while sentence := lacks():
            with self._changing:
                removed = sorted(self._files.find_removed(), key=lambda file: (file.removed, file.name))
                if not removed:
                    raise ReaderError(sentence, 413)
                self.purge(removed[0])
            while self._catalogue.tidy_some():
                pass

    def check_card(self) -> None:
        """Raise `StorageError` if the card has no room for more text."""
        if self._spare() < 0:
            raise StorageError(_CARD_FULL)

    def purge(self, file: Found) -> None:
        """Delete a removed book for good. Of a file that is not the book's any more, only that file."""
        is_book = self._files.find(file.name) == file
        if is_book:
            self._catalogue.dismiss(file.name)
        self._files.purge(file)
        if not is_book:
            return
        try:
            self._forget(file.name)
        except StorageError as error:
            log.error("shelf: what else is kept of %s stays: %s", file.name[:12], error)

    def _lacks(self, size: int) -> Sentence | None:
        if self._catalogue.count() + self._catalogue.count(is_removed=True) >= self._most_books:
            return _FULL_OF_BOOKS.having(count=self._most_books)
        if self._catalogue.size() + size > self._most_bytes:
            return _FULL
        return _CARD_FULL if self._spare() < 0 else None

    def _spare(self, part: float = 1.0) -> int:
        """The bytes of the card that books may take, if this part is kept of the room for the chats."""
        free, whole = self._files.free()
        return free - int(part * kept_free(whole))
