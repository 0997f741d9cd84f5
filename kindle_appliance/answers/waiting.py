"""Asks the questions that wait for a quota: when it is back, in the order in which they were taken, one by one.

One thread does so. It sleeps until the next moment, and looks at the clock once a minute, because that can jump. It
reads the database only when something has changed there, and writes nothing before a question is due.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from ..clock import now
from ..errors import Cancelled, StorageError, UpstreamBusy, UpstreamUnreachable
from ..storage.waiting import MOST_TIMES, WaitingTurn, WaitingTurns
from .answer import Answer

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""So often the clock is looked at while a question waits."""
_LEAST_PAUSE_SECONDS = 1.0
"""While nothing is due: a moment that cannot be read has come, but the clock may not be believed."""
_MOST_PAUSE_SECONDS = 1800.0
"""A full card is tried, and logged, ever more seldom."""
RETRY_SECONDS = 600.0
"""After so long a question is asked again whose model server could not be reached, or was busy; after twice that
the next time, and so on: for 21 hours in all, since a network may be off at night.
"""


class WaitingTimer:
    """Runs from `start()` to `close()`. `reopen` starts the answer of a turn that waits, and returns it; None if it
    waits no longer. It raises `Cancelled` when nothing may be started any more. `back_at` returns the moment at
    which a model can be asked again; 0 if one can now.
    """

    def __init__(
        self,
        waiting: WaitingTurns,
        reopen: Callable[[WaitingTurn], Answer | None],
        back_at: Callable[[], float],
    ) -> None:
        self._waiting = waiting
        self._reopen = reopen
        self._back_at = back_at
        self._rows: Sequence[WaitingTurn] | None = None  # as they were when they were read last
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)

    def start(self) -> None:
        """Ask what is due from now on. No answer may be without an end that the last start has left so."""
        self._thread.start()

    def close(self) -> None:
        """Ask nothing more."""
        self._closing.set()
        self._waiting.changed.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, after `close()`, at most so many seconds."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        after_failure = LOOK_SECONDS
        while not self._closing.is_set():
            pause: float | None = after_failure
            try:
                pause = self.look()
                after_failure = LOOK_SECONDS
            except Cancelled:
                return
            except StorageError as error:
                log.error("waiting: cannot ask what is due: %s", error)
                after_failure = min(2 * after_failure, _MOST_PAUSE_SECONDS)
            except Exception:
                log.exception("waiting: a mistake while asking what is due")
                after_failure = min(2 * after_failure, _MOST_PAUSE_SECONDS)
            self._waiting.changed.wait(pause)

    def look(self) -> float | None:
        """Ask the first question that is due, if any is, and wait for the end of its answer. Returns the seconds
        until the next look, 0 if more may be due; None: until a change. Raises `StorageError`, and what `reopen`
        raises.
        """
        if self._rows is None:
            self._waiting.trim()
        if self._rows is None or self._waiting.changed.is_set():
            self._waiting.changed.clear()
            self._rows = None
            self._rows = self._waiting.all()
        moment = now()
        first = next((row for row in self._rows if row.is_due(moment)), None)
        if first is None:
            soonest = min((row.at - moment for row in self._rows), default=None)
            return None if soonest is None else min(LOOK_SECONDS, max(_LEAST_PAUSE_SECONDS, soonest))
        if (back_at := self._back_at()) > moment:
            self._waiting.postpone(back_at)
            return 0.0
        answer = self._reopen(first)
        while answer is not None and not answer.wait_for_end(LOOK_SECONDS):
            pass  # its own clocks end it
        again = self._waiting.find(first.turn)
        if again is not None and answer is not None and answer.ending is not None and not answer.ending.back_at:
            self._waiting.postpone(again.at)  # nothing answers now: the others would fail alike
        return 0.0


def next_wait(waiting: WaitingTurn, back_at: float, error: Exception | None) -> WaitingTurn | None:
    """The row of a turn that has waited and then failed, if it is to wait again. `back_at`: when the quotas are
    back that it has met used up, 0 if that is not why it failed; `error`: why it failed.
    """
    if back_at:
        return waiting.again(back_at)
    if isinstance(error, UpstreamUnreachable | UpstreamBusy):
        times = min(waiting.times, MOST_TIMES)  # a damaged row may have any number
        return waiting.again(now() + RETRY_SECONDS * 2**times)
    return None
