"""Rate limits: for each reader in a minute, for each device and for the house in a day."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from kindle_appliance.errors import LimitError, StorageError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.rate_limit import RateLimit


class Clock:
    """The wall clock and the monotonic clock of the house, set by the test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 21, 0).timestamp()
        self.ticks = 1000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(
    database: Database,
    clock: Clock,
    per_minute: int = 1000,
    per_device: int | None = None,
    per_day: int | None = None,
) -> RateLimit:
    return RateLimit(database, per_minute, per_device, per_day, lambda: clock.now, lambda: clock.ticks)


def ask(rate_limit: RateLimit, reader: str = "kindle") -> float:
    """Ask once; returns the seconds that the reader is told to wait, or 0 if the question is admitted."""
    try:
        rate_limit.take(reader)
    except LimitError as error:
        assert error.status == 429
        return error.retry_after
    return 0


def test_a_burst_of_one_minutes_questions_is_admitted_and_then_one_each_interval(
    database: Database, clock: Clock
) -> None:
    rate_limit = opened(database, clock, per_minute=6)
    assert [ask(rate_limit) for _ in range(6)] == [0] * 6
    assert ask(rate_limit) == pytest.approx(10)
    clock.ticks += 9.5
    assert ask(rate_limit) == pytest.approx(0.5)
    clock.ticks += 0.6
    assert ask(rate_limit) == 0
    assert ask(rate_limit) > 9
    assert ask(rate_limit, "phone") == 0, "each reader has a limit of its own"
    clock.ticks += 3600
    assert [bool(ask(rate_limit)) for _ in range(7)] == [False] * 6 + [True], (
        "an hour of silence earns no extra questions"
    )


def test_a_refused_question_costs_nothing(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_minute=1, per_day=10)
    ask(rate_limit)
    for _ in range(20):
        assert ask(rate_limit) == pytest.approx(60)
    assert database.read("SELECT sum(questions) FROM asked")[0][0] == 1


def test_the_daily_limit_of_the_house_ends_at_local_midnight_and_survives_a_restart(
    database: Database, clock: Clock
) -> None:
    rate_limit = opened(database, clock, per_day=3)
    assert [ask(rate_limit, reader) for reader in ("a", "b", "c")] == [0, 0, 0]
    assert ask(rate_limit, "d") == 3 * 3600
    again = opened(database, clock, per_day=3)
    with pytest.raises(LimitError, match=r"this house for today are used up. New questions from 00:00"):
        again.take("a")
    clock.now += 3 * 3600
    assert ask(again, "a") == 0


def test_a_device_has_a_daily_limit_of_its_own(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=2, per_day=100)
    assert [bool(ask(rate_limit, reader)) for reader in ("a", "a", "a", "b")] == [False, False, True, False]
    with pytest.raises(LimitError, match="This device has asked all its questions"):
        rate_limit.take("a")


def test_the_remaining_questions_are_shown_when_few_are_left(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=7, per_day=100)
    told = []
    for _ in range(8):
        told.append(str(rate_limit.notice("a") or ""))
        ask(rate_limit, "a")
    assert told[:3] == ["", "", "5 questions left for today."]
    assert told[-2] == "1 question left for today." and "all its questions" in told[-1]
    assert rate_limit.notice("b") is None
    assert opened(database, clock).notice("a") is None, "without a daily limit there is no notice"


def test_a_temporarily_wrong_clock_does_not_reset_the_daily_limit(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=2)
    ask(rate_limit), ask(rate_limit)
    right = clock.now
    for wrong in (right - 86400, right + 86400, 86400.0):  # the last one is the time on a board without a battery
        clock.now = wrong
        assert ask(rate_limit) == 0
    clock.now = right
    assert ask(rate_limit) > 0


def test_the_counts_of_old_days_are_deleted(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock)
    for _ in range(20):
        ask(rate_limit)
        clock.now += 86400
    assert len(database.read("SELECT day FROM asked")) == 8


def test_made_up_readers_do_not_fill_the_memory(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=1)
    for number in range(3000):
        ask(rate_limit, f"reader-{number}")
    assert len(rate_limit._buckets) == 1000


def test_simultaneous_questions_do_not_exceed_the_daily_limit(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=10)
    start = threading.Barrier(16)

    def take(number: int) -> bool:
        start.wait()
        return not ask(rate_limit, f"reader-{number}")

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 10


def test_a_question_that_cannot_be_counted_is_refused(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock)
    database._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        rate_limit.take("kindle")
