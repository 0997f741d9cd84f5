"""Routes: the page that tests the browser which opens it, and what browsers have reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bottle import HTTPResponse, request

from ..errors import TOO_MUCH, ReaderError, StorageError
from ..storage.reports import Reports
from . import frames, replies, visitor
from .json_body import read_json
from .pages import Pages
from .seats import Seats
from .visitor import Visitors

log = logging.getLogger(__name__)

_REPORT_BYTES = 8 * 1024  # ours have about 1 KB
_PIECES = 3
_PIECE_SECONDS = 0.4  # between two pieces


@dataclass(frozen=True)
class Check:
    """`GET` and `POST /check`, `GET /check/stream`, `GET /check/reports`."""

    visitors: Visitors
    pages: Pages
    reports: Reports
    seats: Seats

    def show(self) -> HTTPResponse:
        """`GET /check`: the page that tests the browser which opens it."""
        now = time.time()
        response = replies.html(self.pages.check(self.visitors.reader(), now))
        response.set_cookie("server", str(int(now * 1000)), path="/check")  # to be found by the script
        return response

    def stream(self) -> HTTPResponse:
        """`GET /check/stream`: a few pieces, and silence behind each, to see which of them come before the end."""
        seat = self.seats.take(visitor.source())
        if seat is None:
            return HTTPResponse(status=503, headers=replies.TRY_SOON)
        body = seat.hold(_pieces(visitor.is_gone()))
        return HTTPResponse(body, headers={"Content-Type": frames.EVENT_STREAM})

    def add_report(self) -> HTTPResponse:
        """`POST /check`: what the page found, as JSON."""
        language = self.visitors.language()
        try:
            if request.content_length > _REPORT_BYTES:
                raise ReaderError(TOO_MUCH, 413)
            self.reports.add(read_json())
        except ReaderError as error:
            return replies.json_error(error.status, error.sentence, language)
        except StorageError as error:
            log.error("web: %s", error)
            return replies.json_error(503, error.sentence, language)
        return HTTPResponse(status=204)

    def list_reports(self) -> HTTPResponse:
        """`GET /check/reports`: what browsers have said of themselves."""
        page = self.pages.reports(self.visitors.reader(), self.reports.latest(), time.time())
        return replies.html(page)


def _pieces(is_gone: Callable[[], bool]) -> Iterator[bytes]:
    yield frames.PADDING
    for number in range(_PIECES):
        if is_gone():
            return
        yield b"data: %d\n\n" % number
        time.sleep(_PIECE_SECONDS)
