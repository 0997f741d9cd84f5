"""Route: a book comes onto the shelf, from a form or as the bytes themselves.

All that the headers can decide is decided before the first byte of the file is read: who may ask (before every
route), length, form, room on the shelf and the card, whether another book is just coming in, and how often. The
file then goes straight to the shelf.
"""

from __future__ import annotations

import hmac
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bottle import HTTPError, HTTPResponse, request

from ..books.shelf import Shelf
from ..errors import NOT_UNDERSTOOD, LimitError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.kept_secret import OWNER_HEADER
from ..storage.shelf_layout import MOST_BYTES
from . import file_field, replies, visitor
from .body import BODY, Body
from .visitor import Visitors

log = logging.getLogger(__name__)

ADDING_PATH = "/books"
BOOKS_PER_ADDRESS, BOOKS, ADDING_SECONDS = 10, 30, 3600
"""So many books are taken at once from one address, and from all; after as many seconds they may all come again. So
a device that uploads all day wears the card with 1 GB an hour at most, and all of them together with 3 GB. The
owner's command, which shows the owner's secret, may add as many as it likes."""

EPUB = "application/epub+zip"
_FORM_BYTES = 64 * 1024  # beside the file
_SLOW = 500 * 1024  # bytes a second
_AGAIN_SECONDS = 10
_LEAVING_SECONDS = 5.0
_YIELDING_SECONDS = 30.0

_OTHER_KIND = Sentence("Books are added with the form on the page “Books”.")
_ANOTHER = Sentence("Another book is being added at the moment. Please try again in a minute.")
_MANY = Sentence(
    "These are many books at once. Please add more in %(count)d minute.",
    plural="These are many books at once. Please add more in %(count)d minutes.",
)
_SENT_AWAY = Sentence("This book came slowly, and another one was to be added. Please try again in a few minutes.")


class Turn:
    """One upload at a time, for all the house. Safe for threads.

    A slow one makes way for the next that comes, also from its own address: a device may have lost its connection
    and try again. An address that has had its turn while another was turned away lets that one have the next turn,
    for `yielding_seconds`. So no device keeps others out, whatever it sends.
    """

    def __init__(self, yielding_seconds: float = _YIELDING_SECONDS) -> None:
        self._yielding_seconds = yielding_seconds
        self._changed = threading.Condition()
        self._now: tuple[str, Body] | None = None
        self._yielding: tuple[str, float] = "", 0.0

    @contextmanager
    def take(self, source: str, body: Body, is_owner: bool) -> Iterator[None]:
        """Hold the turn, for an upload from `source`. Raises `ReaderError` if another one has it."""
        with self._changed:
            if self._now:
                self._clear(source, *self._now)
            yielding, until = self._yielding
            if self._now or (source == yielding and time.monotonic() < until and not is_owner):
                raise ReaderError(_ANOTHER, 503)
            self._now, self._yielding = (source, body), ("", 0.0)
        try:
            yield
        finally:
            with self._changed:
                self._now = None
                self._changed.notify_all()

    def _clear(self, source: str, other: str, body: Body) -> None:
        """Let the upload `body` from `other`, which has the turn, make way for one from `source`, if it is slow."""
        if other != source:
            self._yielding = other, time.monotonic() + self._yielding_seconds
        if body.is_slow(_SLOW) and body.send_away(ReaderError(_SENT_AWAY, 503)):  # so only one waits for the turn
            self._changed.wait_for(lambda: self._now is None, _LEAVING_SECONDS)


@dataclass(frozen=True)
class Adding:
    """`POST /books`: a form with the file `book`, or the bytes of an EPUB themselves.

    `owner_secret`: whoever shows it may add as many books as they like.
    """

    visitors: Visitors
    shelf: Shelf
    buckets: Buckets
    owner_secret: bytes = b""
    turn: Turn = field(default_factory=Turn)

    def add(self) -> HTTPResponse:
        """`POST /books`: 303 to the book, or 201 with its facts for a script."""
        try:
            return self._receive()
        except ConnectionError as error:
            log.info("web: a book broke off: %s", error)
            return HTTPResponse(status=400)  # nobody reads it
        except ReaderError as error:
            log.info("web: no book from %s: %s", visitor.client(), error)
            seconds = error.retry_after if isinstance(error, LimitError) else _AGAIN_SECONDS
            later = {"Retry-After": str(int(seconds) + 1)} if error.status in (429, 503) else {}
            raise HTTPError(error.status, error.sentence, **later) from None
        except StorageError as error:
            log.error("web: %s", error)
            raise HTTPError(503, error.sentence, **{"Retry-After": str(_AGAIN_SECONDS)}) from None

    def _receive(self) -> HTTPResponse:
        body: Body | None = request.environ.get(BODY)
        if body is None:  # only without our server
            raise ReaderError(NOT_UNDERSTOOD, 411)
        kind = body.kind.partition(";")[0].strip().lower()
        if kind not in (EPUB, file_field.KIND):
            raise ReaderError(_OTHER_KIND, 415)
        if body.length > MOST_BYTES + _FORM_BYTES:
            raise ReaderError(file_field.TOO_LARGE, 413)
        self.shelf.check_room(body.length)
        is_owner = self._is_owner()
        with self.turn.take(visitor.source(), body, is_owner):
            if not is_owner and (wait := visitor.take(self.buckets, BOOKS_PER_ADDRESS, BOOKS)):
                raise LimitError(_MANY.having(count=math.ceil(wait / 60)), wait)
            pieces = iter(body.read, b"")
            with self.shelf.incoming() as incoming:
                size = 0
                for piece in pieces if kind == EPUB else file_field.file_field(pieces, body.kind, "book"):
                    size += len(piece)
                    if size > MOST_BYTES:
                        raise ReaderError(file_field.TOO_LARGE, 413)
                    incoming.write(piece)
                book, is_new = incoming.shelve()
        path = f"{ADDING_PATH}/{book.name}"
        if not visitor.wants_json():
            return replies.see_other(path)
        language = self.visitors.language()
        faults = [fault.to(language) for fault in book.faults]
        facts = {"name": book.name, "title": book.title, "author": book.creator, "new": is_new, "faults": faults}
        return replies.to_json({"url": path, **facts}, 201)

    def _is_owner(self) -> bool:
        shown = request.get_header(OWNER_HEADER, "")
        return bool(self.owner_secret) and hmac.compare_digest(shown.encode(), self.owner_secret.hex().encode())
