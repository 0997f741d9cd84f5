"""Rate limits: for each reader and address in a minute, for device, address and house in a day."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from fakes.filesystem import files_not_larger_than

from kindle_appliance.errors import LimitError, StorageError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.rate_limit import Asker, RateLimit
from kindle_appliance.storage.schema import CHATS

HOME, AWAY = "192.168.1.7", "192.168.1.8"


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


def ask(rate_limit: RateLimit, reader: str = "kindle", address: str = HOME) -> float:
    """Ask once; returns the seconds that the reader is told to wait, or 0 if the question is admitted."""
    try:
        rate_limit.take(Asker(reader, address))
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
        again.take(Asker("a", HOME))
    clock.now += 3 * 3600
    assert ask(again, "a") == 0


def test_a_device_has_a_daily_limit_of_its_own(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=2, per_day=100)
    assert [bool(ask(rate_limit, reader)) for reader in ("a", "a", "a", "b")] == [False, False, True, False]
    with pytest.raises(LimitError, match="This device has asked all its questions"):
        rate_limit.take(Asker("a", HOME))


def test_the_remaining_questions_are_shown_when_few_are_left(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_device=7, per_day=100)
    told = []
    for _ in range(8):
        told.append(str(rate_limit.notice(Asker("a", HOME)) or ""))
        ask(rate_limit, "a")
    assert told[:3] == ["", "", "5 questions left for today."]
    assert told[-2] == "1 question left for today." and "all its questions" in told[-1]
    assert rate_limit.notice(Asker("b", HOME)) is None
    assert opened(database, clock).notice(Asker("a", HOME)) is None, "without a daily limit there is no notice"


def test_a_temporarily_wrong_clock_does_not_reset_the_daily_limit(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_day=2)
    ask(rate_limit), ask(rate_limit)
    right = clock.now
    year = 365 * 86400
    # 86400 is the time on a board without a battery; the last one is in the year 11476.
    for wrong in (right - 86400, right + 86400, right + year, right + 70 * year, 86400.0, 3e11):
        clock.now = wrong
        assert ask(rate_limit) == 0
    clock.now = right
    assert ask(rate_limit) > 0


def test_the_counts_of_old_days_are_deleted(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock)
    for _ in range(20):
        ask(rate_limit)
        clock.now += 86400
    assert len(database.read("SELECT day FROM asked")) == len(database.read("SELECT day FROM days")) == 8


def test_days_of_a_clock_that_was_ahead_are_forgotten_after_a_week_like_all_others(
    database: Database, clock: Clock
) -> None:
    rate_limit = opened(database, clock)
    clock.now += 365 * 86400
    ask(rate_limit)
    clock.now -= 365 * 86400
    for _ in range(8):
        ask(rate_limit)
        clock.now += 86400
    assert {row["day"][:4] for row in database.read("SELECT day FROM asked")} == {"2026"}


@pytest.mark.parametrize("now", [-1.0, 0.0, 1.5e9, 4.2e9, 253_402_300_800.0, 1e15])
def test_a_day_that_nobody_knows_has_its_limit_and_ends_after_24_hours(
    database: Database, clock: Clock, now: float
) -> None:
    clock.now = now
    rate_limit = opened(database, clock, per_day=2)
    assert ask(rate_limit) == ask(rate_limit) == 0
    wait = ask(rate_limit)
    assert 0 < wait <= 86400
    with pytest.raises(LimitError, match="New questions from tomorrow"):
        rate_limit.take(Asker("kindle", HOME))
    clock.now += wait
    assert ask(rate_limit) == 0


def test_made_up_readers_share_the_bucket_of_their_address(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_minute=6)
    taken = [not ask(rate_limit, f"made-up-{number}") for number in range(200)]
    assert taken == [True] * 24 + [False] * 176
    assert ask(rate_limit, "made-up-0") == pytest.approx(2.5), "a question each 2.5 s, whoever asks"
    assert ask(rate_limit, "made-up-0", AWAY) == 0, "another address has a bucket of its own"
    clock.ticks += 2.6
    assert [bool(ask(rate_limit, f"later-{number}")) for number in range(2)] == [False, True]


def test_made_up_readers_empty_nobodys_bucket_and_fill_none(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_minute=6)
    assert [ask(rate_limit, "kindle", AWAY) for _ in range(6)] == [0] * 6
    for number in range(1500):
        ask(rate_limit, f"made-up-{number}")
        ask(rate_limit, f"made-up-{number}", AWAY)
    assert ask(rate_limit, "kindle", AWAY) > 2, "a forgotten bucket would be a full one"
    assert len(rate_limit._buckets) <= 2 * (24 + 1), "a refused question leaves nothing in memory"


def test_one_address_leaves_a_quarter_of_the_day_to_others_who_have_asked_within_a_week(
    database: Database, clock: Clock
) -> None:
    rate_limit = opened(database, clock, per_day=8)
    assert ask(rate_limit, "phone", AWAY) == 0
    taken = [not ask(rate_limit, f"made-up-{number}") for number in range(10)]
    assert taken == [True] * 6 + [False] * 4
    with pytest.raises(LimitError, match=r"is kept for other devices of this house. New questions from 00:00"):
        rate_limit.take(Asker("kindle", HOME))
    assert "is kept for other devices" in str(rate_limit.notice(Asker("kindle", HOME)))
    assert str(rate_limit.notice(Asker("phone", AWAY))) == "1 question left for today."
    assert ask(rate_limit, "phone", AWAY) == 0
    assert ask(rate_limit, "phone", AWAY) == ask(rate_limit) == 3 * 3600, "now the day of the house is used up"


@pytest.mark.parametrize(("days", "allowed"), [(1, 6), (7, 6), (8, 8), (400, 8)])
def test_a_house_that_asks_from_one_address_alone_has_its_whole_day(
    database: Database, clock: Clock, days: int, allowed: int
) -> None:
    rate_limit = opened(database, clock, per_day=8)
    ask(rate_limit, "phone", AWAY)
    clock.now += days * 86400
    again = opened(database, clock, per_day=8)
    assert sum(not ask(again) for _ in range(12)) == allowed
    assert ask(opened(database, clock, per_day=20), "phone", AWAY) == 0


@pytest.mark.parametrize("per_day", range(1, 10))
def test_each_address_may_ask_at_least_once_a_day(database: Database, clock: Clock, per_day: int) -> None:
    rate_limit = opened(database, clock, per_day=per_day)
    ask(rate_limit, "phone", AWAY)
    clock.now += 86400
    assert sum(not ask(rate_limit) for _ in range(12)) == max(1, per_day * 3 // 4)


def test_the_questions_of_an_older_version_still_count_for_the_day_and_for_no_address(
    tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "older.sqlite"
    with closing(Database(file, replace(CHATS, migrations=CHATS.migrations[:7]))) as old, old.write() as connection:
        today = datetime.fromtimestamp(clock.now).date().isoformat()
        connection.execute("INSERT INTO asked (day, reader, questions) VALUES (?, 'kindle', 3)", (today,))
    with closing(Database(file, CHATS)) as database:
        rate_limit = opened(database, clock, per_device=5, per_day=8)
        assert [bool(ask(rate_limit)) for _ in range(3)] == [False, False, True], "its device is remembered"
        assert [bool(ask(rate_limit, f"made-up-{each}")) for each in range(4)] == [False] * 3 + [True]


def test_a_question_whose_transaction_fails_costs_nothing(database: Database, clock: Clock) -> None:
    rate_limit = opened(database, clock, per_minute=1, per_day=2)
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), ExitStack() as charged, database.write() as connection:
            charged.enter_context(rate_limit.charge(Asker("kindle", HOME), connection))
            raise ZeroDivisionError
    assert database.read("SELECT * FROM asked") == []
    assert ask(rate_limit) == 0
    assert ask(rate_limit) == pytest.approx(60)


def test_a_question_whose_commit_fails_costs_nothing(database: Database, clock: Clock, tmp_path: Path) -> None:
    rate_limit = opened(database, clock, per_minute=1)
    with files_not_larger_than((tmp_path / "chats.sqlite-wal").stat().st_size), pytest.raises(StorageError):
        rate_limit.take(Asker("kindle", HOME))
    assert ask(rate_limit) == 0
    assert ask(rate_limit) == pytest.approx(60)


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
        rate_limit.take(Asker("kindle", HOME))
