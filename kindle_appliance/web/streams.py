"""Responses that go on while an answer is written. Each holds a thread, and one of the `seats`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ..answers.answer import Answer, Follower, News
from ..ending import Ending
from ..typesetting.typesetter import Block
from . import frames

BEAT_SECONDS = 1.0  # a follower looks at least this often whether its reader has left
POLL_MS = 2000

_KEEP_ALIVE_SECONDS = 10.0
_PIECE_CHARACTERS = 64 * 1024
_MOMENT_SECONDS = 1.0
MOST_MOMENTS = 6
"""At once. Two threads of the reserve are left, for the watchdog and for pages that need not wait."""
_IN_LINE_SECONDS = 0.1
"""For so long, others may wait for a short text: it takes milliseconds, and a page without it would be empty."""

Waits = Callable[[Ending | None], object]
"""Tells by its truth whether the question waits whose answer has ended so."""


class Moments:
    """Pages and polls that wait a moment, without a seat, until their text is set. Only so many wait at once for a
    long text and for a short one: they hold threads of the reserve. The others get what has been set; for a short
    text they stand in line before.
    """

    def __init__(self) -> None:
        self._long, self._short = (threading.BoundedSemaphore(MOST_MOMENTS // 2) for _ in range(2))

    def look(self, follower: Follower) -> News:
        """All that there is for this reader now, up to a limit."""
        is_long = follower.is_long
        free = self._long if is_long else self._short
        if not free.acquire(timeout=0 if is_long else _IN_LINE_SECONDS):
            return follower.now(0)
        try:
            return follower.now(_MOMENT_SECONDS)
        finally:
            free.release()


def follow_events(
    answer: Answer,
    offset: int,
    language: str,
    change: Callable[[str], str],
    is_gone: Callable[[], bool],
    waits: Waits,
) -> Iterator[bytes]:
    """The answer from an offset on as events, until it ends or the reader has left. `change`: of its HTML."""
    yield frames.PADDING
    follower = answer.follow(offset)
    last_sent = time.monotonic()
    while not is_gone():
        news = follower.news(BEAT_SECONDS)
        data = frames.events(news.with_html(change), language, bool(waits(news.ending)))
        if not data and time.monotonic() - last_sent >= _KEEP_ALIVE_SECONDS:
            data = frames.KEEP_ALIVE
        if data:
            yield data
            last_sent = time.monotonic()
        if news.ending is not None:
            return


def follow_text(answer: Answer, offset: int, is_gone: Callable[[], bool]) -> Iterator[bytes]:
    """The answer's raw text from an offset on, until it ends or the reader has left."""
    while not is_gone():
        text, ending = answer.more_text(offset, BEAT_SECONDS)
        offset += len(text)
        if text:
            yield text.encode()
        if ending is not None:
            return


def follow_html(
    follower: Follower, news: News, change: Callable[[str], str], is_gone: Callable[[], bool]
) -> Iterator[bytes]:
    """The blocks of an answer that has been written: those of `news`, then the rest as they are set, with this
    `change`. Raises ConnectionAbortedError, which cuts the body, when the reader has left.
    """
    last_sent = time.monotonic()
    while True:
        for piece in _pieces(news.with_html(change).blocks):
            yield piece
            last_sent = time.monotonic()
        if time.monotonic() - last_sent >= _KEEP_ALIVE_SECONDS:
            yield b"\n"
            last_sent = time.monotonic()
        if news.ending is not None:
            return
        if is_gone():
            raise ConnectionAbortedError("the reader has left")
        news = follower.news(BEAT_SECONDS)


def _pieces(blocks: Sequence[Block]) -> Iterator[bytes]:
    """The HTML of blocks in pieces of a bounded size: one block may have megabytes, and many readers."""
    piece = ""
    for block in blocks:
        for start in range(0, len(block.html), _PIECE_CHARACTERS):
            if len(piece) > _PIECE_CHARACTERS:
                yield piece.encode()
                piece = ""
            piece += block.html[start : start + _PIECE_CHARACTERS]
        piece += "\n"
    if piece:
        yield piece.encode()
