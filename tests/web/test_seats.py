"""Seats: no source has more than its part, a script has one of its own, and each comes back; against a model."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.web.seats import Seat, Seats


def taken(seat: Seat | None) -> Seat:
    assert seat is not None
    return seat


@pytest.mark.parametrize(("count", "each"), [(1, 1), (3, 1), (7, 1), (8, 2), (32, 8), (500, 125)])
def test_a_source_has_a_quarter_of_the_seats_and_at_least_one(count: int, each: int) -> None:
    seats = Seats(count)
    assert sum(seats.take("a") is not None for _ in range(600)) == each
    others = sum(seats.take(f"source-{number}") is not None for number in range(600))
    assert others == count - each


def test_a_body_frees_its_seat_at_its_end_or_when_it_is_closed_even_before_its_first_piece() -> None:
    seats = Seats(1)

    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    for count in range(4):
        body = taken(seats.take("a")).hold(pieces())
        assert seats.take("b") is None
        assert [next(body, None) for _ in range(count)] == [b"one", b"two", None][:count]
        body.close()
    assert seats.take("b") is not None


def test_a_seat_is_freed_once() -> None:
    seats = Seats(4)
    seat = taken(seats.take("a"))
    seat.release()
    seat.release()
    assert [seats.take(each) is not None for each in "abcde"] == [True, True, True, True, False]


def test_many_threads_take_each_seat_once() -> None:
    seats, together = Seats(32), threading.Barrier(16)

    def take(number: int) -> int:
        together.wait()
        return sum(seats.take(str(number % 8)) is not None for _ in range(8))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 32


STEPS = st.lists(st.tuples(st.sampled_from(("follower", "script", "leave")), st.integers(0, 4)), max_size=80)


@given(count=st.integers(1, 17), steps=STEPS)
def test_seats_are_those_of_a_model(count: int, steps: list[tuple[str, int]]) -> None:
    seats, part = Seats(count), max(1, count // 4)
    followers: list[tuple[str, Seat]] = []  # who has a follower's seat
    script: list[tuple[str, Seat]] = []  # who has the script's
    for step, number in steps:
        source, held = str(number), Counter(who for who, _ in followers)
        has_room = len(followers) < count
        if step == "leave":
            for place in (script, followers):
                leaving = [each for each in place if each[0] == source][:1]
                for each in leaving:
                    each[1].release()
                    place.remove(each)
        elif step == "follower":
            seat = seats.take(source)
            assert (seat is not None) == (has_room and held[source] < part)
            followers += [(source, seat)] if seat else []
        else:
            seat = seats.take_for_script(source)
            own = held[source] + sum(who == source for who, _ in script)
            assert (seat is not None) == (not script or (has_room and own < part))
            (followers if script else script).extend([(source, seat)] if seat else [])
    for _, seat in followers + script:
        seat.release()
    assert seats._free == count and not seats._taken and seats._script is None
