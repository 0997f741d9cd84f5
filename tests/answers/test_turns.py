"""Turns at setting: one long text and one short one at a time, and the longest waiting first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kindle_appliance.answers.turns import Turns


@contextmanager
def taken(turns: Turns, *, is_long: bool) -> Iterator[None]:
    with turns.take(is_long=is_long, since=time.monotonic(), timeout=0) as is_ours:
        assert is_ours
        yield


def can_be_taken(turns: Turns, *, is_long: bool) -> bool:
    with turns.take(is_long=is_long, since=time.monotonic(), timeout=0) as is_ours:
        return is_ours


def test_a_long_and_a_short_text_are_set_at_a_time_and_no_third_one() -> None:
    turns = Turns()
    with taken(turns, is_long=True):
        assert not can_be_taken(turns, is_long=True)
        with taken(turns, is_long=False):
            assert not can_be_taken(turns, is_long=False)
    assert can_be_taken(turns, is_long=True) and can_be_taken(turns, is_long=False)


def test_a_mistake_gives_its_turn_back() -> None:
    turns = Turns()
    try:
        with taken(turns, is_long=True):
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert can_be_taken(turns, is_long=True)


def test_the_one_that_has_waited_longest_is_next_even_if_it_has_just_come_back() -> None:
    turns, order = Turns(), list[float]()

    def wait(since: float) -> None:
        with turns.take(is_long=True, since=since, timeout=60) as is_ours:
            assert is_ours
            order.append(since)

    readers = [threading.Thread(target=wait, args=(since,)) for since in (3.0, 1.0, 4.0, 2.0)]
    with taken(turns, is_long=True):
        for count, reader in enumerate(readers, 1):
            reader.start()
            deadline = time.monotonic() + 30
            while len(turns._long._waiting) < count:  # it comes into the line in a moment
                assert time.monotonic() < deadline
                time.sleep(0.001)
    for reader in readers:
        reader.join(30)
    assert order == [1.0, 2.0, 3.0, 4.0]


def test_one_that_gives_up_holds_up_nobody() -> None:
    turns, served = Turns(), threading.Event()

    def wait() -> None:
        with turns.take(is_long=True, since=2, timeout=60) as is_ours:
            assert is_ours
            served.set()

    with taken(turns, is_long=True):
        assert not can_be_taken(turns, is_long=True)
        follower = threading.Thread(target=wait)
        follower.start()
        with turns.take(is_long=True, since=1, timeout=0.05) as is_ours:
            assert not is_ours
    assert served.wait(30), "the one before it has left the line"
    follower.join(30)
