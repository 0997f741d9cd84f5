"""When rungs that have refused for the moment are asked again: never before their time, and never for ever."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest
from fakes.rungs import gemini_rungs
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.conversation import Question
from kindle_appliance.errors import ModelLoading, UpstreamBusy, UpstreamError
from kindle_appliance.upstream.attempt import Attempt
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.delays import Delays
from kindle_appliance.upstream.rung import Rung

MOST_BUSY, MOST_LOADING = 20, 180
PATIENCE = 300.0
RUNGS = gemini_rungs(Upstream("http://127.0.0.1:1", provider="it"), ["a", "b", "c"])


class Ticks:
    """A monotonic clock that only the waiting moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


REFUSALS = st.builds(
    lambda kind, delay: kind("it", retry_after=delay),
    st.sampled_from([UpstreamBusy, ModelLoading, UpstreamError]),
    st.none() | st.floats(0, 30),
)


@given(st.tuples(*[st.lists(REFUSALS, min_size=1, max_size=3)] * len(RUNGS)), st.floats(0, 5))
def test_each_rung_is_asked_at_its_time_and_the_waiting_ends(
    habits: tuple[list[UpstreamError], ...], each_takes: float
) -> None:
    """`habits`: how each rung refuses, over and over."""
    refusals = {rung: itertools.cycle(habit) for rung, habit in zip(RUNGS, habits, strict=True)}
    with pytest.MonkeyPatch.context() as patch:
        ticks = Ticks()
        patch.setattr(time, "monotonic", ticks.monotonic)
        begun, delays, given_up = ticks.now, Delays(), set[Rung]()
        ready_at: dict[Rung, float] = {}
        waited = {True: 0.0, False: 0.0}
        busy: Counter[Rung] = Counter()
        for _ in range(1000):
            for rung in [each for each in RUNGS if each not in given_up and each not in delays.pending()]:
                assert ticks.now >= ready_at.get(rung, 0.0)
                attempt = Attempt(rung, Question("Why?"), 0.0)
                attempt.error = error = next(refusals[rung])
                ticks.now += each_takes
                ready_at[rung] = ticks.now + (attempt.retry_after or 0.0)
                busy[rung] += type(error) is UpstreamBusy
                if not delays.take(attempt):
                    given_up.add(rung)
            waiting = delays.next(begun + PATIENCE - ticks.now)
            if waiting is None:
                break
            waited[waiting.loading is not None] += waiting.most
            ticks.now += waiting.most
        assert waiting is None and ticks.now <= begun + PATIENCE + len(RUNGS) * each_takes
        assert waited[False] <= MOST_BUSY and waited[True] <= MOST_LOADING
        assert max(busy.values(), default=0) <= 3, "so often a busy one is asked"
