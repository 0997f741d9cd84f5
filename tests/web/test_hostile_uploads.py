"""Devices that upload all day, and how little others notice of it."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from fakes.epub_file import make_epub
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.raw_client import connect, read_to_end
from fakes.shelf import until
from ratios import assert_usual_ratio

from kindle_appliance.web.body import Pace
from kindle_appliance.web.server import Limits

HEAD = (
    b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
    b"Content-Type: application/epub+zip\r\nContent-Length: %d\r\n\r\n"
)
SCALED = Limits(pace=Pace(silent_seconds=2, grace_seconds=6, moment_seconds=0.5), drop_seconds=2)
"""A tenth of the usual seconds."""


@pytest.fixture
def book(tmp_path: Path) -> bytes:
    return make_epub(tmp_path / "a.epub").read_bytes()


@pytest.fixture
def scaled(gemini: FakeGemini, tmp_path: Path) -> Iterator[House]:
    with House(gemini.url, tmp_path, limits=SCALED) as house:
        yield house


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1]) if response else 0


class Device:
    """A device that uploads again and again, until it is stopped. `seen`: the statuses of its responses;
    `is_sending` is set when its first bytes have gone.
    """

    def __init__(self, port: int, address: str, size: int, pieces: tuple[int, float]) -> None:
        self.seen: Counter[int] = Counter()
        self.is_sending = threading.Event()
        self._port = port
        self._address = address
        self._size = size
        self._pieces = pieces  # the bytes of each, and the seconds between two
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hostile")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            with suppress(OSError), connect(self._port, self._address) as client:
                client.sendall(HEAD % self._size)
                self.seen[self._upload(client)] += 1

    def _upload(self, client: socket.socket) -> int:
        size, seconds = self._pieces
        left = self._size
        while left and not self._stop.is_set():
            client.settimeout(30)
            client.sendall(bytes(min(size, left)))
            self.is_sending.set()
            left -= min(size, left)
            client.settimeout(max(seconds, 0.001))
            with suppress(TimeoutError):
                return status(client.recv(65536))
        client.settimeout(30)
        return 0 if self._stop.is_set() else status(read_to_end(client))


@contextmanager
def uploading(house: House, *devices: tuple[str, int, tuple[int, float]]) -> Iterator[list[Device]]:
    """Devices that upload from the beginning of the block to its end."""
    with ExitStack() as stops:
        started = [Device(house.server.port, *each) for each in devices]
        for each in started:
            stops.callback(each.close)
        yield started


def add(house: House, book: bytes) -> tuple[int, int]:
    """Add a book as somebody does who tries again a moment later. Returns the last status, and the tries."""
    for tries in range(1, 200):
        response = house.client.request(
            "POST",
            f"{house.url}/books",
            body=book,
            headers={"Content-Type": "application/epub+zip", "Accept": "application/json"},
        )
        if response.status != 503:
            return response.status, tries
        time.sleep(0.05)
    pytest.fail("the shelf is out of reach")


# Address, size of a book, bytes of a piece, seconds to the next one.
TRICKLING = ("127.0.0.31", 100_000_000, (1, 0.02))
POURING = ("127.0.0.32", 3_000_000, (65_536, 0.0))
STEADY = ("127.0.0.33", 2_000_000, (65_536, 0.05))


def test_a_device_that_uploads_byte_by_byte_makes_way_for_another(scaled: House, book: bytes) -> None:
    with uploading(scaled, TRICKLING) as (hostile,):
        for number in range(5):
            assert add(scaled.at("127.0.0.2"), book + b"x" * number)[0] == 201
        assert not hostile.seen[201] and scaled.shelf.count() == 5


@pytest.mark.parametrize("hostile", [POURING, STEADY], ids=["fast", "steadily"])
def test_a_device_that_uploads_without_end_lets_others_have_their_turn(
    scaled: House, book: bytes, hostile: tuple[str, int, tuple[int, float]]
) -> None:
    with uploading(scaled, hostile):
        for number in range(3):
            assert add(scaled.at("127.0.0.2"), book + b"x" * number)[0] == 201


def test_a_device_that_uploads_all_day_gets_ten_books_in_and_then_nothing_more(scaled: House, book: bytes) -> None:
    with uploading(scaled, ("127.0.0.31", 20_000, (20_000, 0.0))) as (hostile,):
        until(lambda: hostile.seen.total() >= 60, 60)
        assert add(scaled.at("127.0.0.2"), book)[0] == 201
    assert 0 < hostile.seen[422] <= 10 and hostile.seen[429] >= 40
    assert scaled.shelf.count() == 1


def test_devices_that_upload_all_day_do_not_delay_the_pages_of_others(scaled: House) -> None:
    def seconds(count: int = 40) -> float:
        begun = time.monotonic()
        for _ in range(count):
            assert scaled.get("/").status == 200
        return time.monotonic() - begun

    def measure() -> tuple[float, float]:
        quiet = seconds()
        devices = [
            TRICKLING,
            POURING,
            ("127.0.0.34", 10_000_000, (1000, 0.01)),
            ("127.0.0.35", 50_000, (50_000, 0.0)),
        ]
        with uploading(scaled, *devices) as all_of_them:
            assert all(each.is_sending.wait(20) for each in all_of_them)
            return quiet, seconds()

    assert_usual_ratio(6, measure, of="a page beside four devices that upload")
