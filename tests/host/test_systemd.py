"""The protocols of systemd over real sockets: socket activation, readiness, the watchdog, stopping."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import urllib3
from fakes.program import PROGRAM, environment
from fakes.systemd import Notified, service

from kindle_appliance.host.systemd import Watch, handed_over_sockets

OURS = str(os.getpid())
OTHERS = str(os.getppid())


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[Notified]:
    with closing(Notified(str(tmp_path / "notify"))) as notified:
        yield notified


class Page:
    """A page that is served or not, as the test sets; `looks` counts the requests for it."""

    def __init__(self, is_served: bool = True) -> None:
        self.is_served = is_served
        self.looks = threading.Semaphore(0)

    def __call__(self, seconds: float) -> bool:
        self.looks.release()
        return self.is_served

    def wait_for_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looks.acquire(timeout=20)


@contextmanager
def watching(page: Page, on_ready: Callable[[], None] = lambda: None, **variables: str) -> Iterator[Watch]:
    watch = Watch(variables, page, on_ready)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()


def test_readiness_is_notified_when_a_page_is_served_and_not_before(notified: Notified) -> None:
    page = Page(is_served=False)
    with watching(page, NOTIFY_SOCKET=notified.address) as watch:
        page.wait_for_looks(3)
        assert notified.nothing_more()
        page.is_served = True
        assert notified.next() == "READY=1"
        watch.close()
        assert notified.next() == "STOPPING=1"


def test_who_started_it_is_told_of_readiness_after_systemd(notified: Notified) -> None:
    told: list[str] = []
    ready = threading.Event()

    def on_ready() -> None:
        told.append(notified.next())
        ready.set()

    with watching(Page(), on_ready, NOTIFY_SOCKET=notified.address):
        assert ready.wait(20)
    assert told == ["READY=1"]


def test_the_watchdog_is_fed_only_while_a_page_is_served(notified: Notified) -> None:
    page = Page()
    with watching(page, NOTIFY_SOCKET=notified.address, WATCHDOG_USEC="100000", WATCHDOG_PID=OURS):
        assert notified.next() == "READY=1"
        assert notified.next() == notified.next() == "WATCHDOG=1"
        page.is_served = False
        page.wait_for_looks(page.looks._value + 2)  # a look under way may still see the page
        while not notified.nothing_more():
            pass
        page.wait_for_looks(3)
        assert notified.nothing_more()
        page.is_served = True
        assert notified.next() == "WATCHDOG=1"


def test_the_watchdog_of_another_process_is_not_fed(notified: Notified) -> None:
    page = Page()
    with watching(page, NOTIFY_SOCKET=notified.address, WATCHDOG_USEC="1000", WATCHDOG_PID=OTHERS) as watch:
        assert notified.next() == "READY=1"
        watch.close()
        assert notified.next() == "STOPPING=1"


def test_an_abstract_address_works_too() -> None:
    with closing(Notified(f"@kindle-appliance-test-{OURS}")) as notified:
        with watching(Page(), NOTIFY_SOCKET=notified.address):
            assert notified.next() == "READY=1"
        assert notified.next() == "STOPPING=1"


def test_a_missing_notification_socket_does_not_stop_the_appliance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with watching(Page(), NOTIFY_SOCKET=str(tmp_path / "nobody")):
        pass
    assert "cannot be told STOPPING=1" in caplog.text


def test_without_systemd_no_page_is_requested_and_no_socket_taken_over() -> None:
    page = Page()
    with watching(page):
        pass
    assert not page.looks.acquire(blocking=False)
    assert handed_over_sockets({}) == []


def test_sockets_for_another_process_are_left_alone() -> None:
    assert handed_over_sockets({"LISTEN_PID": OTHERS, "LISTEN_FDS": "1"}) == []


# The real program, started as systemd starts it


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_program_serves_a_handed_over_socket_feeds_the_watchdog_and_notifies_its_stop(
    tmp_path: Path, notified: Notified
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        told = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "400000"}
        with service(PROGRAM, door, environment(tmp_path, **told)) as process:
            assert notified.next() == "READY=1"
            assert urllib3.request("GET", f"http://127.0.0.1:{door.getsockname()[1]}/", timeout=20).status == 200
            assert notified.next() == notified.next() == "WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            assert notified.next_but("WATCHDOG=1") == "STOPPING=1"
            # The advice for a terminal on how to set a key does not belong in the journal.
            assert process.communicate(timeout=20)[0] == b""
            assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_client_that_connects_between_two_runs_is_served_by_the_next_one(
    tmp_path: Path, notified: Notified
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        with service(PROGRAM, door, environment(tmp_path, NOTIFY_SOCKET=notified.address)) as process:
            assert notified.next() == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        with socket.create_connection(door.getsockname(), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            with service(PROGRAM, door, environment(tmp_path)):
                assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
