"""Routes: the page that tests the browser which opens it, and what browsers have reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bottle import HTTPResponse, request

from ..clock import now, shown
from ..errors import TOO_MUCH, LimitError, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.reports import Reports
from . import frames, replies, visitor
from .headers import TRY_SOON
from .json_body import read_json
from .pages import Pages
from .seats import Seats
from .visitor import Visitors

log = logging.getLogger(__name__)

_REPORT_BYTES = 8 * 1024  # ours have about 1 KB
REPORTS_PER_ADDRESS, REPORTS, REPORT_SECONDS = 30, 120, 1800
"""So many reports are taken at once from one address, and from all; after as many seconds they may all come again.

A visit to the page sends one report. So a house can test ten devices three times, even from one address, or twelve
times from their own. A report costs the card up to 40 KB: 0.2 GB a day, if somebody sends them without end.
"""
_PIECES = 3
_PIECE_SECONDS = 0.4  # between two pieces


@dataclass(frozen=True)
class Check:
    """`GET` and `POST /check`, `GET /check/stream`, `GET /check/reports`."""

    visitors: Visitors
    pages: Pages
    reports: Reports
    seats: Seats
    buckets: Buckets

    def show(self) -> HTTPResponse:
        """`GET /check`: the page that tests the browser which opens it."""
        moment = shown()  # the page compares two clocks, and believes neither
        response = replies.html(self.pages.check(self.visitors.reader(), moment))
        response.set_cookie("server", str(int(moment * 1000)), path="/check")  # to be found by the script
        return response

    def stream(self) -> HTTPResponse:
        """`GET /check/stream`: a few pieces, and silence behind each, to see which of them come before the end."""
        if request.method == "HEAD":
            return replies.head_of_stream(frames.EVENT_STREAM)
        seat = self.seats.take(visitor.source())
        if seat is None:
            return HTTPResponse(status=503, headers=TRY_SOON)
        return replies.stream(seat.hold(_pieces(visitor.is_gone())), frames.EVENT_STREAM)

    def add_report(self) -> HTTPResponse:
        """`POST /check`: what the page found, as JSON."""
        language = self.visitors.language()
        try:
            if request.content_length > _REPORT_BYTES:
                raise ReaderError(TOO_MUCH, 413)
            report = read_json()
            if wait := visitor.take(self.buckets, REPORTS_PER_ADDRESS, REPORTS):
                raise LimitError(
                    Sentence(
                        "Too many reports at once. Please try again in %(count)d second.",
                        plural="Too many reports at once. Please try again in %(count)d seconds.",
                        count=int(wait) + 1,
                    ),
                    wait,
                )
            self.reports.add(report)
        except ReaderError as error:
            return replies.json_error(error.status, error.sentence, language, replies.retry_after(error))
        except StorageError as error:
            log.error("web: %s", error)
            return replies.json_error(503, error.sentence, language)
        return HTTPResponse(status=204)

    def list_reports(self) -> HTTPResponse:
        """`GET /check/reports`: what browsers have said of themselves."""
        page = self.pages.reports(self.visitors.reader(), self.reports.latest(), now())
        return replies.html(page)


def _pieces(is_gone: Callable[[], bool]) -> Iterator[bytes]:
    yield frames.PADDING
    for number in range(_PIECES):
        if is_gone():
            return
        yield b"data: %d\n\n" % number
        time.sleep(_PIECE_SECONDS)
