"""Limits questions: per minute for each reader and address, per day for devices, addresses and the whole house.

A key costs money, or has a small free quota. The questions of a day are counted in the database, so that a restart
does not reset the count, in the transaction that stores the question. The questions of a minute are not worth a
write to the card: they are counted in memory, by a clock that never jumps.

A client can make up any number of cookies, but hardly an address. So its address limits what it may ask with all
of them together, in a minute and in a day. Several devices may share an address, behind a router of their own: it
may ask more than one device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import NamedTuple

from ..clock import UNKNOWN, Clock, is_believed, shown
from ..errors import LimitError
from ..sentences import Moment, Sentence
from .buckets import Buckets
from .database import Connection, Database, Row, repeats

_PER_ADDRESS = 4
"""An address may ask as many questions in a minute as so many devices."""
_MINUTE = 60.0  # seconds
_DAY = 24 * 3600.0  # seconds
_LATELY_DAYS = 7
"""An address that has asked within so many days has a part of today's questions kept for it."""
_KEPT_DAYS = 1 + _LATELY_DAYS
"""So many days keep their counts: those that were counted on last, whatever their dates. So a clock that jumps to
another year and back finds the counts of today as it left them, and those of that year are forgotten in their turn.
A day has at most as many rows as questions.
"""
_FEW_LEFT = 5
"""A reader who has so many questions left for today, or fewer, is told how many."""


@dataclass(frozen=True)
class Asker:
    """Who asks. `reader`: a browser, or another name that tells readers apart; `address`: where it asks from."""

    reader: str
    address: str


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
        clock: Clock = shown,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._per_minute = per_minute
        self._per_device = per_device
        self._per_day = per_day
        self._clock = clock
        self._buckets = Buckets(_MINUTE, ticks)

    @repeats
    def take(self, asker: Asker) -> None:
        """Count one question that is not stored. Raises like `charge`, or `StorageError`."""
        with ExitStack() as charged, self._database.write() as connection:
            charged.enter_context(self.charge(asker, connection))

    @contextmanager
    def charge(self, asker: Asker, connection: Connection) -> Iterator[None]:
        """Count one question of `asker` in the transaction of `connection`.

        This context must be left after the end of the transaction. If it is left by an error, the question has cost
        nothing. Raises `LimitError` if the question exceeds a limit; it then costs nothing, too.
        """
        today = self._today()
        self._left(connection.execute(_COUNTS, _values(asker, today)).fetchone(), today)
        buckets = {
            ("reader", asker.reader): self._per_minute,
            ("address", asker.address): _PER_ADDRESS * self._per_minute,
        }
        if wait := self._buckets.take(buckets):
            raise LimitError(
                Sentence(
                    "That was a lot at once. Please ask again in %(count)d second.",
                    plural="That was a lot at once. Please ask again in %(count)d seconds.",
                    count=int(wait) + 1,
                ),
                wait,
            )
        try:
            connection.execute(
                "INSERT INTO asked (day, address, reader, questions) VALUES (?, ?, ?, 1)"
                " ON CONFLICT DO UPDATE SET questions = min(questions, 1000000) + 1",
                (today.name, asker.address, asker.reader),
            )
            if connection.execute(_TURN_TO_DAY, (today.name,)).rowcount:
                connection.execute(_FORGET_DAYS, (_KEPT_DAYS,))
                connection.execute("DELETE FROM asked WHERE day NOT IN (SELECT day FROM days)")
            yield
        except BaseException:
            self._buckets.give_back(buckets)
            raise

    def notice(self, asker: Asker) -> Sentence | None:
        """Return a sentence about the questions that are left for today, if they are few."""
        today = self._today()
        try:
            left = self._left(self._database.read(_COUNTS, _values(asker, today))[0], today)
        except LimitError as error:
            return error.sentence
        if left is None or left > _FEW_LEFT:
            return None
        return Sentence(
            "%(count)d question left for today.", plural="%(count)d questions left for today.", count=left
        )

    def _left(self, counts: Row, today: _Day) -> int | None:
        """Return the number of questions left for today, None without a limit.

        Raises `LimitError` if none is left.
        """
        limits = (
            (
                self._per_device,
                counts["reader"],
                Sentence(
                    "This device has asked all its questions for today. New questions from %(moment)s.",
                    moment=today.end,
                ),
            ),
            (
                self._per_day,
                counts["house"],
                Sentence(
                    "The questions of this house for today are used up. New questions from %(moment)s.",
                    moment=today.end,
                ),
            ),
            (
                max(1, self._per_day * 3 // 4) if self._per_day is not None and counts["others"] else None,
                counts["address"],
                Sentence(
                    "The rest of today's questions is kept for other devices of this house. New questions from"
                    " %(moment)s.",
                    moment=today.end,
                ),
            ),
        )
        for most, asked, sentence in limits:
            if most is not None and asked >= most:
                raise LimitError(sentence, today.left)
        return min((most - asked for most, asked, _ in limits if most is not None), default=None)

    def _today(self) -> _Day:
        now = self._clock()
        if not is_believed(now):  # it still tells the days apart, so that no limit lasts for ever
            number = now // _DAY
            return _Day(f"day {number:.0f}", "", Moment(UNKNOWN), (number + 1) * _DAY - now)
        today = datetime.fromtimestamp(now).date()
        end = datetime.combine(today + timedelta(days=1), time_of_day.min).timestamp()
        return _Day(
            today.isoformat(), (today - timedelta(days=_LATELY_DAYS)).isoformat(), Moment(end), max(0.0, end - now)
        )


class _Day(NamedTuple):
    """A day on which questions are counted.

    `name`: its date, or a number if that is not known; `lately`: the name of the first day that is not long ago;
    `end`: its midnight; `left`: the seconds until then.
    """

    name: str
    lately: str
    end: Moment
    left: float


def _values(asker: Asker, today: _Day) -> Mapping[str, object]:
    """The values for `_COUNTS`."""
    return {"reader": asker.reader, "address": asker.address, "today": today.name, "lately": today.lately}


_COUNTS = """
    SELECT
        coalesce(sum(min(questions, 1000000)), 0) AS house,
        coalesce(sum(min(questions, 1000000) * (reader = :reader)), 0) AS reader,
        coalesce(sum(min(questions, 1000000) * (address = :address)), 0) AS address,
        EXISTS (SELECT 1 FROM asked WHERE day >= :lately AND address NOT IN (:address, '')) AS others
    FROM asked WHERE day = :today
"""
"""The questions of today, and whether another address has asked lately ('': not known, from an older version). A
damaged card can make a number the largest one that SQLite has, to which nothing can be added.
"""

_TURN_TO_DAY = """
    INSERT INTO days (day, number)
    VALUES (?, (SELECT coalesce(max(number), 0) + 1 FROM days WHERE number < 1 << 53))
    ON CONFLICT DO UPDATE SET number = excluded.number
    WHERE number < (SELECT max(number) FROM days WHERE number < 1 << 53)
"""
"""Makes a day the last one that was counted on. Changes no row if it is that already."""

_FORGET_DAYS = "DELETE FROM days WHERE day NOT IN (SELECT day FROM days ORDER BY number DESC LIMIT ?)"
