"""The stream between a connection and the thread that reads an upload."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import NOT_UNDERSTOOD, ReaderError
from kindle_appliance.web.body import CAPACITY, Body, Pace

AWAY = ReaderError(NOT_UNDERSTOOD, 503)
SIZES = st.lists(st.integers(1, 100_000), max_size=8).map(lambda sizes: [*sizes, 50_000])  # else it takes long
DATA = bytes(range(251)) * 2400


@given(st.integers(0, 600_000), SIZES, SIZES)
def test_all_bytes_arrive_in_order_and_never_more_are_kept_than_there_is_room_for(
    length: int, fed: list[int], read: list[int]
) -> None:
    data = DATA[:length]
    body, at, received, turn = Body(length, "a/b"), 0, bytearray(), 0
    body.feed(data[: (at := min(length, fed[0], 8192))])
    assert body.room == 0, "nobody reads yet"
    while at < length or len(received) < length:
        if body.room:
            piece = data[at : at + min(body.room, fed[turn % len(fed)])]
            body.feed(piece)
            at += len(piece)
        if len(received) < at:
            received += body.read(read[turn % len(read)])
        else:  # as the server does when the application waits
            body._is_read = True
        assert at - len(received) <= CAPACITY
        turn += 1
    assert received == data and body.read() == b"" and body.room == 0 and not body.is_dropped


def test_the_reader_waits_for_bytes_and_the_server_is_woken_when_there_is_room() -> None:
    woken = threading.Semaphore(0)
    body = Body(CAPACITY + 10, "a/b", wake=woken.release)
    with ThreadPoolExecutor(1) as reader:
        first = reader.submit(body.read, 10)
        assert woken.acquire(timeout=20), "when the first byte is asked for"
        while not first.done():
            body.feed(bytes(body.room))
        assert first.result(20)
        while body.room:
            body.feed(bytes(body.room))
        while woken.acquire(blocking=False):
            pass
        assert body.read(10) and woken.acquire(timeout=20), "when it was full"
        assert body.read(10) and not woken.acquire(blocking=False), "and not otherwise"


def test_bytes_beyond_the_end_are_not_taken() -> None:
    body = Body(3, "a/b")
    body.feed(b"four")
    assert body.read() == b"fou" and body.read() == b"" == body.read()


def test_a_reader_that_waits_hears_at_once_that_the_client_has_left() -> None:
    body = Body(10, "a/b")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(body.read)
        body.lose()
        with pytest.raises(ConnectionError):
            read.result(20)
    with pytest.raises(ConnectionError):
        body.read()


def test_a_client_may_leave_when_it_has_sent_all() -> None:
    body = Body(4, "a/b")
    body.feed(b"data")
    body.lose()
    assert not body.send_away(AWAY)
    assert body.read() == b"data" and body.read() == b""


def test_a_reader_that_waits_is_told_that_its_client_is_sent_away() -> None:
    body = Body(10, "a/b")
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(body.read)
        assert body.send_away(AWAY) and not body.send_away(AWAY)
        with pytest.raises(ReaderError) as caught:
            read.result(20)
    assert caught.value is AWAY
    assert body.room == 10, "what the client sends until it has read the answer is dropped"
    body.feed(b"x" * 10)
    assert not body._kept


def test_what_is_dropped_is_received_to_its_end() -> None:
    body = Body(100_000, "a/b")
    body.feed(b"x")
    body.drop()
    while body.is_dropped:
        body.feed(bytes(body.room))
        assert not body._kept
    assert body.room == 0


def test_nothing_is_received_of_what_is_far_too_long_or_was_never_asked_for() -> None:
    for body in (Body(10**9, "a/b"), Body(10, "a/b", allow=lambda: None)):
        body.drop()
        assert not body.is_dropped and body.room == 0


def test_leave_to_send_is_given_once_and_before_the_first_byte() -> None:
    given_leave: list[bool] = []

    def allow() -> None:
        given_leave.append(True)
        body.feed(b"hi")

    body = Body(2, "a/b", allow=allow)
    assert not given_leave
    assert body.read(1) == b"h" and body.read(1) == b"i" and body.read() == b"" and given_leave == [True]


def test_a_client_that_sends_without_leave_gets_none() -> None:
    body = Body(2, "a/b", allow=lambda: pytest.fail("it has not waited"))
    body.feed(b"hi")
    assert body.read() == b"hi"


# ---- Pace


def test_a_client_that_sends_nothing_is_given_up() -> None:
    body = Body(10, "a/b", pace=Pace(silent_seconds=0.1))
    body.feed(b"x")
    assert body.read() == b"x"
    with pytest.raises(ReaderError) as caught:
        body.read()
    assert caught.value.status == 408


def feed_slowly(body: Body, pieces: int, size: int) -> None:
    for _ in range(pieces):
        threading.Event().wait(0.02)
        body.feed(bytes(size))


@pytest.mark.parametrize(("size", "is_enough"), [(1, False), (1000, True)])
def test_a_client_must_keep_a_least_rate_when_its_grace_is_over(size: int, is_enough: bool) -> None:
    body = Body(40 * size, "a/b", pace=Pace(grace_seconds=0.2, least_rate=200))
    with ThreadPoolExecutor(1) as client:
        client.submit(feed_slowly, body, 40, size)
        try:
            while body.read():
                pass
            assert is_enough
        except ReaderError as error:
            assert error.status == 408 and not is_enough


def test_the_time_in_which_the_reader_does_something_else_is_not_the_clients() -> None:
    body = Body(20, "a/b", pace=Pace(silent_seconds=0.05, grace_seconds=0.1, least_rate=1e9, moment_seconds=0.05))
    for _ in range(10):
        body.feed(b"xx")
        threading.Event().wait(0.06)
        assert not body.is_slow(1e9)
        assert body.read(2) == b"xx"


def test_a_client_is_slow_by_what_it_has_sent_lately() -> None:
    body = Body(10**6, "a/b", pace=Pace(moment_seconds=0.1))
    body.feed(bytes(100_000))
    assert body.read(100_000) and not body.is_slow(1000), "nothing is known yet"
    with ThreadPoolExecutor(1) as client:
        feeding = client.submit(feed_slowly, body, 20, 1)
        while not feeding.done():
            body.feed(b"") if body._received > 100_019 else body.read()
        assert body.is_slow(1000) and not body.is_slow(1)
        feeding = client.submit(feed_slowly, body, 20, 1000)
        for _ in range(19):
            body.read(1000)
        assert not body.is_slow(1000)


def test_a_client_that_is_waited_for_is_slow_before_its_next_byte() -> None:
    body = Body(10, "a/b", pace=Pace(moment_seconds=0.1))
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(body.read)
        while not body.is_slow(1):
            threading.Event().wait(0.01)
        body.feed(b"x")
        assert read.result(20) == b"x"
