"""The threads that serve requests: as many as are needed, one that waits, and no other."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from kindle_appliance.web.threads import Threads

MOST = 6
SECONDS = 20


class Work:
    """What waitress has a thread execute."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.service = do
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(MOST)
    yield threads
    threads.shutdown(SECONDS)
    assert threads._count == threads._spare == 0


def rest(threads: Threads) -> None:
    """Wait until only the thread is left that waits for the next request."""
    with threads._changed:
        while threads._tasks or (threads._count, threads._spare) != (1, 1):
            threads._changed.wait(0.01)


def test_one_request_after_the_other_needs_one_thread(threads: Threads) -> None:
    assert threads._count == 0
    served: set[int] = set()
    for _ in range(20):
        threads.add_task(Work(lambda: served.add(threading.get_ident())))
        rest(threads)
    assert len(served) == 1


def test_as_many_requests_as_there_may_be_are_served_at_once_whoever_hands_them_over(threads: Threads) -> None:
    chance = random.Random(5)
    for _ in range(50):
        count = chance.randint(1, MOST)
        together = threading.Barrier(count + 1)
        with ThreadPoolExecutor(count) as clients:
            for _ in range(count):
                clients.submit(threads.add_task, Work(partial(together.wait, SECONDS)))
            together.wait(SECONDS)
        assert threads._count <= MOST
        if chance.randint(0, 1):  # else the next ones find threads that are about to end
            rest(threads)
    rest(threads)


def test_a_request_beyond_them_waits_for_one(threads: Threads) -> None:
    end, begun, served = threading.Event(), threading.Semaphore(0), threading.Event()

    def follow() -> None:
        begun.release()
        end.wait(SECONDS)

    for _ in range(MOST):
        threads.add_task(Work(follow))
    for _ in range(MOST):
        assert begun.acquire(timeout=SECONDS)
    threads.add_task(Work(served.set))
    assert threads._count == MOST and not served.wait(0.05)
    end.set()
    assert served.wait(SECONDS)
    rest(threads)


def test_a_request_with_a_mistake_costs_no_thread(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise SystemExit

    for _ in range(MOST + 1):
        threads.add_task(Work(fail))
    rest(threads)
    assert caplog.text.count("a mistake in a request") == MOST + 1


def test_where_no_thread_can_be_started_a_request_waits_for_the_next_chance(
    threads: Threads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    served = threading.Semaphore(0)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        threads.add_task(Work(served.release))
        assert threads._count == 0 and "can't start new thread" in caplog.text
    threads.add_task(Work(served.release))
    for _ in range(2):
        assert served.acquire(timeout=SECONDS)
    rest(threads)


def test_at_the_end_what_waits_is_cancelled_and_no_thread_is_started() -> None:
    threads = Threads(1)
    begun, end = threading.Event(), threading.Event()

    def follow() -> None:
        begun.set()
        end.wait(SECONDS)

    threads.add_task(Work(follow))
    assert begun.wait(SECONDS)
    waiting = Work(lambda: pytest.fail("it was cancelled"))
    threads.add_task(waiting)
    threads.shutdown(0.01)
    assert waiting.is_cancelled and threads._count == 1
    end.set()
    threads.shutdown(SECONDS)
    threads.add_task(Work(lambda: pytest.fail("the server has ended")))
    assert threads._count == 0
