"""What clients have not read: the buffer of a connection, and the bound over all of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3
from conftest import Soak
from fakes.gemini import FakeGemini
from fakes.process import Process
from fakes.program import Appliance
from fakes.raw_client import connect, read_to_end
from fakes.secrets import KEY
from fakes.server import serving
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.web.server import USUAL_LIMITS, Limits, Server
from kindle_appliance.web.unread import Unread

STEPS = st.one_of(st.binary(min_size=1, max_size=60), st.integers(1, 300_000), st.integers(1, 50).map(float))


@given(st.lists(STEPS, max_size=60))
def test_the_buffer_gives_its_bytes_in_order_and_holds_little_more_than_them(
    steps: list[bytes | int | float],
) -> None:
    """A step appends a few bytes (bytes) or many (int), or sends a part of them (float)."""
    unread, expected = Unread(), bytearray()
    for number, step in enumerate(steps):
        if isinstance(step, float):
            got = unread.get(10_000)
            assert expected.startswith(got) and bool(got) == bool(expected)
            count = min(len(got), int(step * 200))
            unread.skip(count, True)
            del expected[:count]
        else:
            data = step if isinstance(step, bytes) else bytes([number]) * step
            unread.append(data)
            expected += data
        assert len(unread) == len(expected)
        assert sum(map(len, unread._pieces)) <= len(unread) + 64 * 1024
        assert len(unread._pieces) <= 2 + len(unread) // 2000 + len(unread) // 64_000
    while got := unread.get(10_000):
        assert expected.startswith(got)
        unread.skip(len(got))
        del expected[: len(got)]
    assert not expected and not unread._pieces
    unread.append(b"more")
    unread.close()
    assert len(unread) == 0 and not unread.get(10)


# ---- The bound over all connections

BODY = b"x" * 4_000_000
LEAST = 3_500_000  # of it, held by the server: the rest is in the kernel's buffers


def large(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


def ask(port: int, address: str, path: str = "/") -> socket.socket:
    """Ask from this address. The client's kernel takes little, so that the server's must hold the rest."""
    client = connect(port, address, takes=4096)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    return client


def rest(client: socket.socket) -> int:
    """The number of bytes until the end, or until the server has closed the connection."""
    return len(read_to_end(client))


def eventually(happens: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while not happens():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def held(server: Server) -> int:
    """The bytes that the server holds for clients that it does not close."""
    return sum(each.total_outbufs_len for each in server._channels() if not each.must_close)


def progressed_at(server: Server, client: socket.socket) -> float:
    """When the server has last seen this client read."""
    return next(each.progressed_at for each in server._channels() if each.addr == client.getsockname())


def test_the_address_that_holds_most_loses_the_connection_that_has_read_nothing_for_longest() -> None:
    with serving(large, limits=Limits(unread_bytes=3 * len(BODY))) as server, ExitStack() as clients:
        slow = clients.enter_context(ask(server.port, "127.0.0.2"))
        eventually(lambda: held(server) > LEAST)
        still = clients.enter_context(ask(server.port, "127.0.0.2"))
        eventually(lambda: held(server) > 2 * LEAST)
        third = clients.enter_context(ask(server.port, "127.0.0.2"))
        eventually(lambda: held(server) > 2 * LEAST + 1_000_000)
        had = 0  # last, when the kernel takes nothing more for the one that reads nothing
        while progressed_at(server, slow) < progressed_at(server, still):
            had += len(slow.recv(10_000))
        other = clients.enter_context(ask(server.port, "127.0.0.3"))
        assert rest(other) > len(BODY) and rest(third) > len(BODY) and had + rest(slow) > len(BODY)
        assert rest(still) < len(BODY)


def test_a_client_that_reads_outlasts_those_that_do_not_whatever_their_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kindle_appliance.web.server._STILL_SECONDS", 0.5)
    with serving(large, limits=Limits(unread_bytes=4 * len(BODY))) as server, ExitStack() as clients:
        crowd = [clients.enter_context(ask(server.port, f"127.0.0.{number}")) for number in (31, 32)]
        reading = [clients.enter_context(ask(server.port, "127.0.0.9")) for _ in range(2)]
        eventually(lambda: held(server) > 4 * LEAST)
        had = [0, 0]
        stillest = progressed_at(server, crowd[-1])
        while min(progressed_at(server, each) for each in reading) < stillest + 0.7:
            for number, each in enumerate(reading):
                had[number] += len(each.recv(2_000))
            time.sleep(0.005)  # makes these readers slow; it waits for nothing
        for address in ("127.0.0.33", "127.0.0.34"):
            clients.enter_context(ask(server.port, address))
        gone = crowd[0].getsockname()
        eventually(lambda: gone not in [each.addr for each in server._channels()])  # it makes room
        assert all(count + rest(each) > len(BODY) for count, each in zip(had, reading, strict=True))


def test_no_crowd_makes_the_server_hold_more_than_the_bound_or_cuts_a_client_that_reads() -> None:
    limits = Limits(unread_bytes=10 * len(BODY))
    addresses = [f"127.0.0.{number}" for number in range(31, 34)]
    with serving(large, limits=limits) as server, ExitStack() as clients:
        reading = clients.enter_context(ask(server.port, "127.0.0.9"))
        count = len(reading.recv(5_000))
        for _ in range(8):
            for address in addresses:
                clients.enter_context(ask(server.port, address))
                count += len(reading.recv(5_000))
            response = urllib3.request("GET", f"http://127.0.0.1:{server.port}/", timeout=20)
            assert len(response.data) == len(BODY), "another client's whole response"
            eventually(lambda: held(server) <= limits.unread_bytes)
        assert count + rest(reading) > len(BODY)


def test_a_single_response_that_is_read_may_be_as_large_as_the_bound() -> None:
    with serving(large, limits=Limits(unread_bytes=len(BODY))) as server:
        for _ in range(3):
            with ask(server.port, "127.0.0.2") as client:
                assert rest(client) > len(BODY)


READ_SLOWLY = 20_000  # bytes at a time


def read_slowly(port: int, path: str, pause: threading.Event) -> int:
    """Read a response of some MB at 2 MB/s; returns its length."""
    count = 0
    with ask(port, "127.0.0.9", path) as client:
        while data := client.recv(READ_SLOWLY):
            count += len(data)
            pause.wait(0.01)
    return count


@pytest.mark.untraced
@pytest.mark.slow
@pytest.mark.parametrize("text", ["word " * 18 + "\n\n", "一二三四五六七八九十" * 9 + "\n\n"], ids=["1 MB", "3 MB"])
def test_unread_answers_cost_no_more_memory_than_the_bound_and_nothing_on_the_card(
    tmp_path: Path, gemini: FakeGemini, soak: Soak, text: str
) -> None:
    unread = soak(180, full=380)
    path = "/answers/1?as=text&wait=0"
    with ExitStack() as stops:
        appliance = Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)
        stops.callback(appliance.close)
        process = Process(appliance.process.pid)
        appliance.ask("Why?")
        call = gemini.next_call()
        call.start()
        answer = text * (900_000 // len(text))
        call.text(answer)
        eventually(lambda: len(appliance.get(path).read()) == len(answer.encode()))
        before = process.memory()
        slow = stops.enter_context(ThreadPoolExecutor(1)).submit(
            read_slowly, appliance.port, path, threading.Event()
        )
        most, temporary = before, 0
        for number in range(unread):
            stops.enter_context(ask(appliance.port, f"127.0.0.{31 + number % 8}", path))
            if number % 10 == 0:
                most = max(most, process.memory())
                temporary += sum("deleted" in each for each in process.descriptors())
        assert len(appliance.get(path).read()) == len(answer.encode())
        most = max(most, process.memory())
        assert slow.result() > len(answer.encode()), "a slow reader gets all of it"
        call.finish("")
    megabytes = len(answer.encode()) * unread / 1e6
    soak.tell(
        f"{unread} unread answers, {megabytes:.0f} MB: memory {before:.0f} MB before, at most {most:.0f} MB;"
        f" {temporary} temporary files seen"
    )
    assert temporary == 0
    assert most - before < 128 < megabytes, "MB: 32 unread, and answers in the hands of 40 threads"
    assert USUAL_LIMITS.unread_bytes == 32 * 1024 * 1024
