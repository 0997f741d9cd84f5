"""Responses that go on while an answer is written. Each holds a thread, and one of the `seats`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..answers.answer import Answer, Position
from . import frames

BEAT_SECONDS = 1.0  # a follower looks at least this often whether its reader has left
POLL_MS = 2000

_KEEP_ALIVE_SECONDS = 10.0


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
