"""How much may be asked: so many questions a minute by each reader, so many a day by each device and by the house.

A key is money, or a free quota that is small. What is asked in a day is counted in the database, so that a restart
gives nothing away; a minute is not worth that, and is counted on a clock that never jumps.
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

_MOST_READERS = 1000
"""Beyond that the one who asked longest ago is forgotten: anybody can make up names."""
_KEEP_DAYS = 7
"""Not only today: a clock that is ahead is put right later, and today comes back. One that lags, as after a power
cut, forgets nothing."""
_SHORT = 5
"""So many questions left are few enough to tell."""


class RateLimit:
    """`per_minute`: also how many may come at once. `per_device` and `per_day`: None for no cap. `clock`: Unix
    time, which decides what day it is in the house; `ticks`: seconds that never jump.
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
        self._buckets: OrderedDict[str, tuple[float, float]] = (
            OrderedDict()
        )  # of each reader: questions, since when

    def take(self, reader: str) -> None:
        """Count one question of `reader`, a device or what else tells readers apart. Raises `LimitError` when it is
        one too many, `StorageError` when it cannot be counted.
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
        """What is left for today, once that is little."""
        try:
            left = self._left(reader, self._today())
        except LimitError as error:
            return error.sentence
        if left is None or left > _SHORT:
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
        while len(self._buckets) > _MOST_READERS:
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
        """How many questions are left for today, None without a cap; raises `LimitError` when there are none."""
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
