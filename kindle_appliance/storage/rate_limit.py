"""Limits questions: per minute for each reader, and per day for each device and for the whole house.

A key costs money, or has a small free quota. The questions of a day are counted in the database, so that a restart
does not reset the count. The questions of a minute are not worth a write to the card: they are counted in memory,
by a clock that never jumps.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from datetime import time as time_of_day

from ..errors import LimitError
from ..sentences import Moment, Sentence
from .database import Database

_MAX_READERS = 1000
"""With more, the reader who asked longest ago is dropped: a client can make up any number of names."""
_KEEP_DAYS = 7
"""The counts of earlier days are kept, too: when a clock that was ahead is corrected, an earlier date becomes today
again. A clock that lags, as after a power cut, deletes nothing."""
_FEW_LEFT = 5
"""A reader who has so many questions left for today, or fewer, is told how many."""


class RateLimit:
    """Counts questions and refuses those above the limits.

    `per_minute` is also the largest burst. `per_device` and `per_day`: None for no limit. `clock`: Unix time, from
    which the local date is taken. `ticks`: a monotonic clock in seconds.
    """

    def __init__(
        self,
        database: Database,
        per_minute: int,
        per_device: int | None,
        per_day: int | None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._per_minute = per_minute
        self._per_device = per_device
        self._per_day = per_day
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.Lock()
        # A token bucket for each reader: the questions that it holds, and when that was.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, reader: str) -> None:
        """Count one question of `reader`: a device, or another name that tells readers apart.

        Raises `LimitError` if the question exceeds a limit, `StorageError` if it cannot be counted.
        """
        with self._lock:
            self._take_from_bucket(reader)
            today = self._today()
            self._left(reader, today)
            with self._database.write() as connection:
                connection.execute(
                    "INSERT INTO asked (day, reader, questions) VALUES (?, ?, 1)"
                    " ON CONFLICT DO UPDATE SET questions = questions + 1",
                    (today.isoformat(), reader),
                )
                connection.execute(
                    "DELETE FROM asked WHERE day < ?", ((today - timedelta(days=_KEEP_DAYS)).isoformat(),)
                )

    def notice(self, reader: str) -> Sentence | None:
        """Return a sentence about the questions that are left for today, if they are few."""
        try:
            left = self._left(reader, self._today())
        except LimitError as error:
            return error.sentence
        if left is None or left > _FEW_LEFT:
            return None
        return Sentence(
            "%(count)d question left for today.", plural="%(count)d questions left for today.", count=left
        )

    def _take_from_bucket(self, reader: str) -> None:
        now, rate = self._ticks(), self._per_minute / 60
        questions, since = self._buckets.pop(reader, (float(self._per_minute), now))
        questions = min(float(self._per_minute), questions + (now - since) * rate)
        is_allowed = questions >= 1
        self._buckets[reader] = (questions - is_allowed, now)
        while len(self._buckets) > _MAX_READERS:
            self._buckets.popitem(last=False)
        if not is_allowed:
            wait = (1 - questions) / rate
            raise LimitError(
                Sentence(
                    "That was a lot at once. Please ask again in %(count)d second.",
                    plural="That was a lot at once. Please ask again in %(count)d seconds.",
                    count=int(wait) + 1,
                ),
                wait,
            )

    def _left(self, reader: str, today: date) -> int | None:
        """Return the number of questions left for today, None without a limit.

        Raises `LimitError` if none is left.
        """
        counts: dict[str, int] = dict(
            map(
                tuple,
                self._database.read("SELECT reader, questions FROM asked WHERE day = ?", (today.isoformat(),)),
            )
        )
        midnight = Moment(datetime.combine(today + timedelta(days=1), time_of_day.min).timestamp())
        wait = max(0.0, midnight - self._clock())
        left = []
        if self._per_device is not None:
            left.append(self._per_device - counts.get(reader, 0))
            if left[-1] <= 0:
                raise LimitError(
                    Sentence(
                        "This device has asked all its questions for today. New questions from %(moment)s.",
                        moment=midnight,
                    ),
                    wait,
                )
        if self._per_day is not None:
            left.append(self._per_day - sum(counts.values()))
            if left[-1] <= 0:
                raise LimitError(
                    Sentence(
                        "The questions of this house for today are used up. New questions from %(moment)s.",
                        moment=midnight,
                    ),
                    wait,
                )
        return min(left, default=None)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock()).date()
