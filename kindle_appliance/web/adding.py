"""Route: a book comes onto the shelf, from a form or as the bytes themselves.

All that the headers can decide is decided before the first byte of the file is read: who may ask (before every
route), length, form, room on the shelf and the card, whether another book is just coming in, and how often. The
file then goes straight to the shelf.
"""

from __future__ import annotations

import hmac
import logging
import math
from dataclasses import dataclass, field
from itertools import chain

from bottle import HTTPError, HTTPResponse, request

from ..books.shelf import Shelf
from ..errors import NOT_UNDERSTOOD, LimitError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.kept_secret import OWNER_HEADER
from ..storage.shelf_layout import MOST_BYTES
from . import file_field, replies, visitor
from .body import BODY, Body
from .upload_turn import UploadTurn
from .visitor import Visitors

log = logging.getLogger(__name__)

ADDING_PATH = "/books"
BOOKS_PER_ADDRESS, BOOKS, ADDING_SECONDS = 10, 30, 3600
"""So many books are taken at once from one address, and from all; after as many seconds they may all come again. So
a device that uploads all day wears the card with 1 GB of files an hour at most, and all of them together with 3 GB.
The text of a book and its index add 3.6 bytes a character when it comes, and 7.2 when it is deleted. The
owner's command, which shows the owner's secret, may add as many as it likes."""

EPUB = "application/epub+zip"
_FORM_BYTES = 64 * 1024  # beside the file
_AGAIN_SECONDS = 10

_OTHER_KIND = Sentence("Books are added with the form on the page “Books”.")
_MANY = Sentence(
    "That is enough for now. You can add more in %(count)d minute.",
    plural="That is enough for now. You can add more in %(count)d minutes.",
)


@dataclass(frozen=True)
class Adding:
    """`POST /books`: a form with the file `book`, or the bytes of an EPUB themselves.

    `owner_secret`: whoever shows it may add as many books as they like.
    """

    visitors: Visitors
    shelf: Shelf
    buckets: Buckets
    owner_secret: bytes = b""
    turn: UploadTurn = field(default_factory=UploadTurn)

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
            pieces = pieces if kind == EPUB else file_field.file_field(pieces, body.kind, "book")
            try:
                first = next(pieces, b"")
            except ReaderError as error:
                if not is_owner and error.status == 400:  # a whole form without a file; nothing was written
                    visitor.give_back(self.buckets, BOOKS_PER_ADDRESS, BOOKS)
                raise
            with self.shelf.incoming() as incoming:
                size = 0
                for piece in chain((first,), pieces):
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
