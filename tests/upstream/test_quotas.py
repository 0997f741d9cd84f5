"""The memory about models: two names of one version, and exhausted quotas until their reset."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from fakes.gemini import error_body
from fakes.rungs import gemini_rungs

from kindle_appliance.errors import QuotaExhausted
from kindle_appliance.storage.database import Database
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Rung

PACIFIC = ZoneInfo("America/Los_Angeles")
NAMES = ("flash", "lite", "3.6-flash", "3.5-lite")


class Clock:
    """A clock that the test sets."""

    def __init__(self, *moment: int) -> None:
        self.set(*moment)

    def set(self, *moment: int) -> None:
        year, month, day, hour, minute = (*moment, 0, 0)[:5]
        self.now = datetime(year, month, day, hour, minute, tzinfo=PACIFIC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(2026, 11, 25, 15, 0)


class Models:
    """Quotas, asked by the names of models at one place."""

    def __init__(
        self,
        names: Sequence[str],
        database: Database | None = None,
        clock: Callable[[], float] = time.time,
        key: str = "",
    ) -> None:
        self.quotas = Quotas(database, clock)
        upstream = Upstream("http://127.0.0.1:1", provider="Gemini")
        self.rungs = {rung.model: rung for rung in gemini_rungs(upstream, names, key)}
        self._clock = clock

    def learn(self, name: str, version: str) -> None:
        self.quotas.learn(self.rungs[name], version)

    def set_out(self, name: str) -> None:
        """Mark the daily quota of a model as exhausted, as the dialect reports it now."""
        refusal = Gemini(self._clock).refusal(429, {}, error_body(429, "", "limit: 0"))
        assert isinstance(refusal, QuotaExhausted)
        self.quotas.set_out(self.rungs[name], refusal.until)

    def back_at(self) -> float | None:
        back = self.quotas.first_back(self.rungs.values())
        return back.at if back else None


def in_order(models: Models) -> list[str]:
    """Return the models in the order in which one question asks them if each refuses."""
    tried: list[Rung] = []
    while (rung := models.quotas.find_next(models.rungs.values(), tried)) is not None:
        tried.append(rung)
    return [rung.model for rung in tried]


def test_models_come_best_first() -> None:
    assert in_order(Models(NAMES)) == list(NAMES)


def test_names_of_one_version_count_as_one_model() -> None:
    models = Models(NAMES)
    models.learn("flash", "3.6-flash")
    assert in_order(models) == ["flash", "lite", "3.5-lite"], "the alias and the name of its version"
    models.learn("lite", "3.5-lite-001")
    models.learn("3.5-lite", "3.5-lite-001")
    assert in_order(models) == ["flash", "lite"], "two names of one version"


def test_an_alias_that_moves_is_a_model_of_its_own_again() -> None:
    models = Models(NAMES)
    models.learn("flash", "3.6-flash")
    models.learn("flash", "3.7-flash")
    assert in_order(models) == list(NAMES)


def test_a_model_is_not_asked_twice_if_its_alias_moves_while_the_next_one_is_looked_for() -> None:
    models = Models(NAMES)
    flash = models.rungs["flash"]

    def rungs() -> Iterator[Rung]:
        models.learn("flash", "3.7-flash")  # by another question
        yield flash

    assert models.quotas.find_next(rungs(), [flash]) is None


def test_a_model_with_an_exhausted_quota_is_skipped_under_all_its_names_until_midnight_pacific(
    clock: Clock,
) -> None:
    models = Models(NAMES, clock=clock)
    models.learn("flash", "3.6-flash")
    models.set_out("3.6-flash")
    assert in_order(models) == ["lite", "3.5-lite"]
    clock.set(2026, 11, 25, 23, 59)
    assert in_order(models) == ["lite", "3.5-lite"]
    clock.set(2026, 11, 26, 0, 0)
    assert in_order(models) == ["flash", "lite", "3.5-lite"]


def test_an_exhausted_quota_outlives_a_restart_although_the_version_is_forgotten(
    clock: Clock, database: Database
) -> None:
    models = Models(NAMES, database, clock)
    models.learn("flash", "3.6-flash")
    models.set_out("flash")
    assert in_order(Models(NAMES, database, clock)) == ["lite", "3.5-lite"]


def test_several_questions_may_use_the_quotas_at_once(clock: Clock) -> None:
    names = [f"model-{number}" for number in range(300)]
    models = Models(names, clock=clock)

    def use(first: int) -> None:
        for name in names[first::4]:
            models.learn(name, f"{name}-001")
            models.set_out(name)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(use, range(4))) == [None] * 4
    finally:
        sys.setswitchinterval(interval)
    assert in_order(models) == []


def test_another_key_has_a_quota_of_its_own(database: Database, clock: Clock) -> None:
    Models(NAMES, database, clock, "one key").set_out("flash")
    assert in_order(Models(NAMES, database, clock, "another key")) == list(NAMES)
    assert in_order(Models(NAMES, database, clock, "one key")) == list(NAMES[1:])
    assert "one key" not in str([tuple(row) for row in database.read("SELECT * FROM quotas")])


def test_when_every_quota_is_exhausted_the_time_of_the_first_reset_is_known(clock: Clock) -> None:
    models = Models(NAMES, clock=clock)
    for name in NAMES:
        assert models.back_at() is None
        models.set_out(name)
    assert in_order(models) == []
    assert models.back_at() == datetime(2026, 11, 26, tzinfo=PACIFIC).timestamp()


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 8, 0, 30), 22.5), ((2026, 11, 1, 0, 30), 24.5), ((2026, 7, 1, 0, 30), 23.5)]
)
def test_a_day_on_which_the_clocks_change_ends_at_its_own_midnight(day: tuple[int, ...], hours: float) -> None:
    clock = Clock(*day)
    models = Models(["flash"], clock=clock)
    models.set_out("flash")
    assert models.back_at() == clock.now + hours * 3600


@pytest.mark.parametrize("wrong", [(2031, 1, 1), (2020, 1, 1)], ids=["ahead", "behind"])
def test_a_quota_exhausted_under_a_wrong_clock_does_not_stay_exhausted(
    wrong: tuple[int, ...], clock: Clock, database: Database
) -> None:
    right = clock.now
    clock.set(*wrong)
    Models(NAMES, database, clock).set_out("flash")
    clock.now = right
    assert in_order(Models(NAMES, database, clock)) == list(NAMES)


def test_with_a_read_only_filesystem_quotas_are_kept_in_memory(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models(NAMES, database, clock)
    database._writer.execute("PRAGMA query_only = ON")
    models.set_out("flash")
    assert in_order(models) == ["lite", "3.6-flash", "3.5-lite"]
    assert "cannot store" in caplog.text
