"""How much may be asked: by a reader in a minute, by a device and by the house in a day."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from kindle_appliance.errors import LimitError, StorageError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.rate_limit import RateLimit


class Clock:
    """Both clocks of the house, which the test sets."""

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
    """0, or the seconds that the reader is told to wait."""
    try:
        rate_limit.take(reader)
    except LimitError as error:
        assert error.status == 429
        return error.retry_after
    return 0


def test_a_burst_of_a_minutes_questions_is_fine_and_then_one_every_so_often(
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
    assert ask(rate_limit, "phone") == 0, "each reader has its own"
    clock.ticks += 3600
    assert [bool(ask(rate_limit)) for _ in range(7)] == [False] * 6 + [True], "an hour of silence is no credit"


def test_a_refused_question_costs_nothing(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_minute=1, per_day=10)
    ask(rate_limit)
    for _ in range(20):
        assert ask(rate_limit) == pytest.approx(60)
    assert database.read("SELECT sum(questions) FROM asked")[0][0] == 1


def test_the_day_of_the_house_ends_at_its_midnight_and_survives_a_restart(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=3)
    assert [ask(rate_limit, reader) for reader in ("a", "b", "c")] == [0, 0, 0]
    assert ask(rate_limit, "d") == 3 * 3600
    again = opened(database, clock, per_day=3)
    with pytest.raises(LimitError, match=r"this house for today are used up. New questions from 00:00"):
        again.take("a")
    clock.now += 3 * 3600
    assert ask(again, "a") == 0


def test_a_device_has_a_day_of_its_own(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=2, per_day=100)
    assert [bool(ask(rate_limit, reader)) for reader in ("a", "a", "a", "b")] == [False, False, True, False]
    with pytest.raises(LimitError, match="This device has asked all its questions"):
        rate_limit.take("a")


def test_what_is_left_is_told_when_it_gets_short(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=7, per_day=100)
    told = []
    for _ in range(8):
        told.append(str(rate_limit.notice("a") or ""))
        ask(rate_limit, "a")
    assert told[:3] == ["", "", "5 questions left for today."]
    assert told[-2] == "1 question left for today." and "all its questions" in told[-1]
    assert rate_limit.notice("b") is None
    assert opened(database, clock).notice("a") is None, "without a cap there is nothing to tell"


def test_a_clock_that_is_wrong_for_a_while_does_not_begin_the_day_anew(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=2)
    ask(rate_limit), ask(rate_limit)
    right = clock.now
    for wrong in (right - 86400, right + 86400, 86400.0):  # the last one is that of a board without a battery
        clock.now = wrong
        assert ask(rate_limit) == 0
    clock.now = right
    assert ask(rate_limit) > 0


def test_what_was_asked_long_ago_is_forgotten(database: Database, clock: Clock) -> None:
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


def test_questions_at_the_same_moment_do_not_slip_through(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=10)
    start = threading.Barrier(16)

    def take(number: int) -> bool:
        start.wait()
        return not ask(rate_limit, f"reader-{number}")

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 10


def test_what_cannot_be_counted_is_not_asked(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock)
    database._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        rate_limit.take("kindle")
