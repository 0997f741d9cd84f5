"""Whose upload it is: one at a time comes in, and none keeps others out. Knows no request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ReaderError
from ..sentences import Sentence
from .body import Body

_SLOW = 500 * 1024  # bytes a second
_LEAVING_SECONDS = 5.0
_YIELDING_SECONDS = 30.0

_ANOTHER = Sentence("Another book is being added at the moment. Please try again in a minute.")
_SENT_AWAY = Sentence("Your upload was slow and made way for another one. Please try again in a few minutes.")


class UploadTurn:
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
