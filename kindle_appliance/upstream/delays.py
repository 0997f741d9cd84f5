"""The rungs that have refused a question for the moment: when each may be asked again, and which is waited for.

A busy server has many who ask, so it is asked rarely and given up soon. One that loads its model is mostly a
computer of the house. It refuses at once and at no cost, and answers when it is done, which can take a minute or
two. So each of the two has a cap of its own.
"""

from __future__ import annotations

import time
from collections import Counter

from ..errors import ModelLoading
from .attempt import Attempt
from .rung import Rung
from .waiting import Waiting

_MOST_BUSY_SECONDS = 20.0
"""For how long, in all, a question waits until busy rungs may be asked again."""
_MOST_BUSY_TIMES = 3
"""So often a busy rung is asked for one question, however short the delays are that it tells."""
_MOST_LOADING_SECONDS = 180.0
"""For how long, in all, a question waits for models that are being loaded."""
_LEAST_SECONDS = 1.0
_USUAL_LOADING_SECONDS = 3.0
"""Until a server that loads is asked again, if it does not say when (llama.cpp does not)."""


class Delays:
    """Those of one question. Moments are on time.monotonic()."""

    def __init__(self) -> None:
        self._ready_at: dict[Rung, float] = {}
        self._loading_since: dict[Rung, float] = {}
        self._busy_times: Counter[Rung] = Counter()
        self._waited = {True: 0.0, False: 0.0}  # for models that were being loaded, and for busy rungs

    def take(self, attempt: Attempt) -> bool:
        """Note when this rung may be asked again after its refusal; False: not for this question."""
        rung, delay, now = attempt.rung, attempt.retry_after, time.monotonic()
        self.forget(rung)
        if isinstance(attempt.error, ModelLoading):
            self._loading_since.setdefault(rung, now)
            self._ready_at[rung] = now + (_USUAL_LOADING_SECONDS if delay is None else delay)
            return True
        self._loading_since.pop(rung, None)
        self._busy_times[rung] += 1
        if delay is None or self._busy_times[rung] >= _MOST_BUSY_TIMES:
            return False
        self._ready_at[rung] = now + delay
        return True

    def forget(self, rung: Rung) -> None:
        """This rung is asked now, or is ruled out."""
        self._ready_at.pop(rung, None)

    def pending(self) -> list[Rung]:
        """The rungs that may not be asked yet."""
        now = time.monotonic()
        return [rung for rung, ready_at in self._ready_at.items() if ready_at > now]

    def loading(self, rung: Rung) -> float | None:
        """For how many seconds this rung has been loading its model; None if it has not said so last."""
        since = self._loading_since.get(rung)
        return None if since is None else time.monotonic() - since

    def next(self, left: float) -> Waiting | None:
        """The rung to wait for, the soonest that has not reached its cap, and for how long; None if there is none.
        `left`: the seconds that the question still has.
        """
        now = time.monotonic()
        for rung, ready_at in sorted(self._ready_at.items(), key=lambda each: each[1]):
            delay = max(ready_at - now, _LEAST_SECONDS)
            loading = self.loading(rung)
            is_loading = loading is not None
            most = _MOST_LOADING_SECONDS if is_loading else _MOST_BUSY_SECONDS
            if delay <= left and self._waited[is_loading] + delay <= most:
                self._waited[is_loading] += delay
                return Waiting(rung.model, delay, is_delay=True, loading=loading)
        return None
