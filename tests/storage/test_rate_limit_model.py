"""The rate limit against a model that keeps every question: readers, clocks that jump, restarts, failed commits."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path

from conftest import Soak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kindle_appliance.errors import LimitError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.rate_limit import Asker, RateLimit
from kindle_appliance.storage.schema import CHATS

READERS = st.sampled_from(("kindle", "phone", "made-up-1", "made-up-2"))
ADDRESSES = st.sampled_from(("192.168.1.7", "192.168.1.8", "fd00::/64"))
LIMITS = st.one_of(st.none(), st.integers(1, 8))


class Limits(RuleBasedStateMachine):
    """`asked`: the questions of each day that is remembered, by reader and address; that of the last question comes
    last. `bursts`: the tokens of each bucket, of which none is ever forgotten.
    """

    @initialize(per_minute=st.sampled_from((1, 3, 100)), per_device=LIMITS, per_day=LIMITS)
    def begin(self, per_minute: int, per_device: int | None, per_day: int | None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now, self.ticks = datetime(2026, 11, 25, 21, 0).timestamp(), 1000.0
        self.begun = self.now - self.ticks
        self.limits = per_minute, per_device, per_day
        self.asked: dict[date | int, Counter[tuple[str, str]]] = {}
        self.database = Database(Path(self.folder.name) / "chats.sqlite", CHATS)
        self.restart()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    # ---- What happens

    @rule(reader=READERS, address=ADDRESSES, is_stored=st.sampled_from((True, True, True, False)))
    def ask(self, reader: str, address: str, is_stored: bool) -> None:
        expected = self.refusal(reader, address)
        try:
            with ExitStack() as charged, self.database.write() as connection:
                charged.enter_context(self.rate_limit.charge(Asker(reader, address), connection))
                if not is_stored:
                    raise ZeroDivisionError
            found = ""
        except LimitError as error:
            found = str(error)
            assert error.retry_after > 0
        except ZeroDivisionError:
            found = ""
        assert (expected in found) if expected else not found, (expected, found)
        if not found and is_stored:
            for name in self.names(reader, address):
                self.bursts[name] = self.tokens(name) - 1, self.ticks
            counts = self.asked.pop(self.today(), Counter())
            counts[reader, address] += 1
            self.asked = dict([*self.asked.items(), (self.today(), counts)][-8:])  # the last days counted on

    @rule(address=ADDRESSES, times=st.integers(2, 9))
    def ask_again_and_again(self, address: str, times: int) -> None:
        for number in range(times):
            self.ask(f"made-up-{number}", address, True)

    @rule(seconds=st.sampled_from((1, 7, 13, 61, 3600, 3 * 3600, 86400)))
    def time_passes(self, seconds: float) -> None:
        seconds += 1 / 97  # never exactly when a question comes back: that moment is a matter of rounding
        self.now += seconds
        self.ticks += seconds

    @rule(days=st.sampled_from((-20000, -8, -1, 1, 6, 7, 8, 400, 3_000_000)))
    def the_clock_jumps(self, days: int) -> None:
        if 0 < self.now + days * 86400 < 3e11:  # the year 11476
            self.now += days * 86400

    @rule()
    def the_clock_is_corrected(self) -> None:
        self.now = self.begun + self.ticks

    @precondition(lambda self: hasattr(self, "database"))
    @rule()
    def restart(self) -> None:
        self.rate_limit = RateLimit(self.database, *self.limits, lambda: self.now, lambda: self.ticks)
        self.bursts: dict[tuple[str, str], tuple[float, float]] = {}

    # ---- What is promised

    def refusal(self, reader: str, address: str) -> str:
        """Words of the sentence that refuses a question; "" for one that is admitted."""
        _, per_device, per_day = self.limits
        asked = self.asked.get(self.today(), Counter())
        others = any(
            where != address for day, each in self.asked.items() if self.is_lately(day) for _, where in each
        )
        if per_device is not None and sum(n for (who, _), n in asked.items() if who == reader) >= per_device:
            return "This device has asked all"
        if per_day is not None and asked.total() >= per_day:
            return "of this house for today are used up"
        own = sum(n for (_, where), n in asked.items() if where == address)
        if per_day is not None and others and own >= max(1, int(per_day * 0.75)):
            return "is kept for other devices"
        if min(map(self.tokens, self.names(reader, address))) < 1 - 1e-9:
            return "a lot at once"
        return ""

    def names(self, reader: str, address: str) -> list[tuple[str, str]]:
        return [("reader", reader), ("address", address)]

    def tokens(self, name: tuple[str, str]) -> float:
        size = self.limits[0] * (4 if name[0] == "address" else 1)
        tokens, since = self.bursts.get(name, (size, self.ticks))
        return min(size, tokens + (self.ticks - since) * size / 60 + 1e-12)

    def today(self) -> date | int:
        """The date; the number of the day in years that are not believed."""
        is_believed = 2020 <= time.gmtime(self.now).tm_year < 2100
        return datetime.fromtimestamp(self.now).date() if is_believed else int(self.now // 86400)

    def is_lately(self, day: date | int) -> bool:
        """Whether a day is not long before today. Nobody knows that of days without a date."""
        today = self.today()
        if isinstance(today, int) or isinstance(day, int):
            return True
        return day >= today - timedelta(days=7)

    @invariant()
    def the_stored_counts_are_those_of_the_model(self) -> None:
        if hasattr(self, "database"):
            rows = self.database.read("SELECT day, reader, address, questions FROM asked")
            stored = {(day_of(row[0]), row[1], row[2]): row[3] for row in rows}
            assert stored == {(day, *who): n for day, each in self.asked.items() for who, n in each.items()}

    @invariant()
    def the_notice_says_what_is_left(self) -> None:
        if hasattr(self, "database"):
            for reader, address in (("kindle", "192.168.1.7"), ("new", "192.168.1.9")):
                said = str(self.rate_limit.notice(Asker(reader, address)) or "")
                refusal = self.refusal(reader, address)
                if refusal and "at once" not in refusal:
                    assert refusal in said
                else:
                    assert not said or "left for today" in said


def day_of(name: str) -> date | int:
    return int(name.removeprefix("day ")) if name.startswith("day ") else date.fromisoformat(name)


def test_the_rate_limit_is_that_of_a_model_that_keeps_every_question(soak: Soak) -> None:
    examples = soak(40, full=2000)
    run_state_machine_as_test(Limits, settings=settings(max_examples=examples, stateful_step_count=40))
    soak.tell(f"rate limit: {examples} histories of 40 steps agree with the model")
