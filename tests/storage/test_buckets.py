"""Token buckets: bursts, refills, and that nothing empties or fills another bucket; against an unbounded model."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.storage.buckets import MOST_BUCKETS, Buckets

SECONDS = 64  # so that the model and the floating point numbers agree to the last bit
A, B, ALL = ("reader", "a"), ("address", "b"), ("house", "")


class Ticks:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_taken_and_comes_back_over_the_seconds_of_a_bucket() -> None:
    ticks = Ticks()
    buckets = Buckets(60, ticks)
    assert [buckets.take({A: 3}) for _ in range(3)] == [0, 0, 0]
    assert buckets.take({A: 3}) == pytest.approx(20)
    ticks.now += 20
    assert buckets.take({A: 3}) == 0
    assert buckets.take({A: 3}) == pytest.approx(20)


def test_a_token_is_taken_from_each_bucket_or_from_none() -> None:
    ticks = Ticks()
    buckets = Buckets(60, ticks)
    assert buckets.take({ALL: 1}) == 0
    assert [buckets.take({A: 2, ALL: 1}) for _ in range(5)] == [pytest.approx(60)] * 5
    assert [buckets.take({A: 2}) for _ in range(3)] == [0, 0, pytest.approx(30)]


def test_a_token_that_was_given_back_is_there_again_and_no_bucket_overflows() -> None:
    buckets = Buckets(60, Ticks())
    assert buckets.take({A: 1, B: 2}) == 0
    buckets.give_back({A: 1, B: 2})
    buckets.give_back({A: 1, B: 2})
    assert [buckets.take({A: 1, B: 2}) for _ in range(2)] == [0, pytest.approx(60)]


def test_names_without_end_fill_no_memory_and_forget_no_bucket() -> None:
    ticks = Ticks()
    buckets = Buckets(60, ticks)
    assert buckets.take({A: 1}) == 0
    ticks.now += 1
    taken = [not buckets.take({("reader", str(number)): 2}) for number in range(2 * MOST_BUCKETS)]
    assert taken.count(True) == len(buckets) - 1 == MOST_BUCKETS - 1
    assert buckets.take({A: 1}) == pytest.approx(59), "it was not dropped, which would have filled it"
    assert buckets.take({("reader", "0"): 2}) == 0, "those that are known go on"
    assert buckets.take({B: 1}) == pytest.approx(59), "a new one waits for the oldest"
    ticks.now += 59.1
    assert buckets.take({B: 1}) == 0
    ticks.now += 60
    assert buckets.take({A: 1}) == 0 and len(buckets) == 1


def test_a_name_that_is_used_all_the_time_keeps_no_others_in_memory() -> None:
    ticks = Ticks()
    buckets = Buckets(60, ticks)
    for number in range(300):
        assert buckets.take({A: 1000, ("reader", str(number)): 1}) == 0
        ticks.now += 1
    assert len(buckets) == 61


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, SECONDS)),
        st.tuples(st.just("take"), st.sets(st.integers(0, 3), min_size=1)),
        st.tuples(st.just("undo"), st.sets(st.integers(0, 3), min_size=1)),
    ),
    max_size=40,
)


@given(steps=STEPS, sizes=st.lists(st.integers(1, 5), min_size=4, max_size=4))
def test_buckets_are_those_of_a_model_that_forgets_nothing(
    steps: list[tuple[str, int | set[int]]], sizes: list[int]
) -> None:
    ticks = Ticks()
    buckets = Buckets(SECONDS, ticks)
    levels = [Fraction(size) for size in sizes]
    for step, value in steps:
        if isinstance(value, int):
            ticks.now += value
            levels = [
                min(Fraction(s), n + Fraction(value * s, SECONDS)) for n, s in zip(levels, sizes, strict=True)
            ]
            continue
        wanted = {("name", str(each)): sizes[each] for each in value}
        can_be_taken = all(levels[each] >= 1 for each in value)
        wait = max(Fraction(0), *((1 - levels[each]) * SECONDS / sizes[each] for each in value))
        assert buckets.take(wanted) == pytest.approx(float(wait), abs=1e-6)
        if step == "undo" and can_be_taken:  # a question that is taken and then not stored
            buckets.give_back(wanted)
        elif can_be_taken:
            levels = [n - (each in value) for each, n in enumerate(levels)]
