"""Turns at setting text as HTML, in the whole appliance: who may do it now, and who waits.

Setting is the one work that a request can make last for seconds, and all threads share one interpreter: forty
threads that set at once would leave none of it to anybody else, not even to the watchdog. So two may set at a time,
each in a lane of its own: one long text, and one that is short or still being written, which so never waits for a
long one. In each lane the one that has waited longest is next. A turn is short, and a long text takes many of them.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN_SECONDS = 0.05
"""A turn lasts so long, or as long as the library needs for one block if that is more."""

SHORT_CHARACTERS = 8192
SHORT_TURNS = 4
"""A text with at most so much to set is short, nearly every answer to a question, as long as it has not shown to be
slow work by taking so many turns."""


class Turns:
    """The two lanes."""

    def __init__(self) -> None:
        self._long, self._short = _Lane(), _Lane()

    @contextmanager
    def take(self, *, is_long: bool, since: float, timeout: float) -> Iterator[bool]:
        """Whether this is our turn, which lasts to the end of the context; waits up to `timeout` seconds for it.
        `since`: when this reader began to wait, on time.monotonic(). It gives that again if it tries again.
        """
        lane = self._long if is_long else self._short
        is_ours = lane.enter(since, timeout)
        try:
            yield is_ours
        finally:
            if is_ours:
                lane.leave()


class _Lane:
    """Lets one thread through at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int]] = []  # since when, and a number that tells them apart; in order
        self._is_taken = False

    def enter(self, since: float, timeout: float) -> bool:
        with self._changed:
            ticket = since, next(self._numbers)
            bisect.insort(self._waiting, ticket)
            is_ours = self._changed.wait_for(lambda: not self._is_taken and self._waiting[0] == ticket, timeout)
            self._waiting.remove(ticket)
            self._is_taken |= is_ours
            return is_ours

    def leave(self) -> None:
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()
