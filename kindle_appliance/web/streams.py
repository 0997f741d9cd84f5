"""Responses that go on while an answer is written. Each holds a thread and one of the followers' seats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from ..answers.answer import Answer, Position
from . import frames

BEAT_SECONDS = 1.0  # a follower looks at least this often whether its reader has left
POLL_MS = 2000

_KEEP_ALIVE_SECONDS = 10.0


class Seats:
    """So many responses may follow an answer at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        """Whether there was a free seat, which is taken now."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        self._free.release()

    def hold(self, body: Iterator[bytes], otherwise: bytes) -> Iterator[bytes]:
        """A body that holds a seat while it lasts; `otherwise` is sent instead when no seat is free."""
        if not self.take():
            yield otherwise
            return
        try:
            yield from body
        finally:
            self.release()


def events_now(answer: Answer, offset: int, language: str) -> bytes:
    """What there is behind an offset, as events."""
    return frames.events(answer.news(answer.position(offset), 0), language)


def follow_events(answer: Answer, offset: int, language: str, is_gone: Callable[[], bool]) -> Iterator[bytes]:
    """The answer from an offset on as events, until it ends or the reader has left."""
    yield frames.PADDING
    position = answer.position(offset)
    last_sent = time.monotonic()
    while not is_gone():
        news = answer.news(position, BEAT_SECONDS)
        position = news.position
        data = frames.events(news, language)
        if not data and time.monotonic() - last_sent >= _KEEP_ALIVE_SECONDS:
            data = frames.KEEP_ALIVE
        if data:
            yield data
            last_sent = time.monotonic()
        if news.ending is not None:
            return


def follow_text(answer: Answer, offset: int, is_gone: Callable[[], bool]) -> Iterator[bytes]:
    """The answer's raw text from an offset on, until it ends or the reader has left."""
    position = Position(0, offset)
    while not is_gone():
        news = answer.news(position, BEAT_SECONDS)
        text = answer.text(position.sent)
        position = Position(news.position.settled, position.sent + len(text))
        if text:
            yield text.encode()
        if news.ending is not None:
            return
