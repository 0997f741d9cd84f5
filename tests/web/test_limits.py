"""The limits for one client, and that clients that exhaust them do not delay others."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import urllib3
from conftest import Soak
from fakes.gemini import Call, FakeGemini
from fakes.house import Follow, House
from fakes.process import Process
from fakes.program import Appliance
from fakes.raw_client import connect, is_open, read_to_end
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY
from fakes.server import serving

from kindle_appliance.typesetting.typesetter import Typesetter
from kindle_appliance.web.server import RESERVED_THREADS, USUAL_LIMITS, Limits

HASTY = Limits(idle_seconds=1, head_seconds=1, request_seconds=3, stall_seconds=2)
FEW = Limits(connections=6, per_address=4)  # and two for followers
SLACK = 10.0  # the extra seconds of a busy machine


def page(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(4 + len(body)))])
    return [b"page" + body]


def read_until(client: socket.socket, end: bytes) -> None:
    received = b""
    while not received.endswith(end):
        data = client.recv(65536)
        assert data, received
        received += data


def parts(response: bytes) -> tuple[int, str]:
    """The status and the rest of a response; status 0 if there is none."""
    line, _, rest = response.decode().partition("\r\n")
    return int(line.split(" ")[1]) if line else 0, rest


def exchange(port: int, request: bytes) -> tuple[int, str]:
    with connect(port) as client:
        client.sendall(request)
        return parts(read_to_end(client))


def is_served(port: int, address: str = "127.0.0.1") -> bool:
    with connect(port, address) as client:
        client.sendall(WELL + b"\r\n")
        return parts(read_to_end(client))[0] == 200


# ---- Requests that are too large or malformed

WELL = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
FORM = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
KEEP = WELL.replace(b"close", b"keep-alive") + b"\r\n"
MANY = b"X-%d: y\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (WELL + b"\r\n", 200, "page"),
        (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n", 200, "page"),
        (b"GET /" + b"a" * 2100 + b" HTTP/1.1\r\n\r\n", 414, "This address is too long."),
        (b"GET /" + b"a" * 100_000, 414, "This address is too long."),
        (b"a" * 3000, 414, "This address is too long."),
        (WELL + b"Cookie: " + b"a" * 15_000 + b"\r\n\r\n", 200, "page"),
        (WELL + b"Cookie: " + b"a" * 17_000 + b"\r\n\r\n", 431, "Deleting its cookies helps."),
        (WELL + b"Cookie: " + b"a" * 17_000, 431, "Deleting its cookies helps."),
        (WELL + b"".join(MANY % number for number in range(60)) + b"\r\n", 200, "page"),
        (WELL + b"".join(MANY % number for number in range(70)) + b"\r\n", 431, "Deleting its cookies helps."),
        (FORM % 65_536 + b"x" * 65_536, 200, "page"),
        (FORM % 65_537 + b"x" * 65_537, 413, "That is too much at once."),
        (FORM % 900_000 + b"x" * 900_000, 413, "That is too much at once."),
        (FORM % 10**15, 413, "That is too much at once."),
        (CHUNKED + b"8000\r\n" + b"x" * 32_768 + b"\r\n0\r\n\r\n", 200, "page"),
        (CHUNKED + b"11000\r\n" + b"x" * 69_632, 413, "That is too much at once."),
        (CHUNKED + b"1;" + b"x" * 70_000, 413, "That is too much at once."),
        (CHUNKED + b"zz\r\n", 400, "does not understand"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "does not understand"),
        (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400, "does not understand"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "does not understand"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "does not understand"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "does not understand"),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: x\r\n\r\nmore", 400, "does not understand"),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413, "too much at once"),
    ],
)
def test_a_large_or_malformed_request_is_refused_with_its_status_and_a_sentence(
    sent: bytes, status: int, words: str
) -> None:
    with serving(page) as server:
        found, rest = exchange(server.port, sent)
    assert found == status and words in rest
    if status != 200:
        assert all(
            each in rest
            for each in ("nosniff", "no-store", "default-src 'none'", "X-Frame-Options: DENY", "Connection: close")
        )


def test_a_refusal_has_the_language_and_the_format_of_the_request() -> None:
    head = b"POST %s HTTP/1.1\r\nAccept-Language: zh-CN\r\nContent-Length: 9999999\r\n%s\r\n"
    with serving(page) as server:
        _, browser = exchange(server.port, head % (b"/ask", b""))
        _, form = exchange(server.port, head % (b"/ask", b"Accept: application/json\r\n"))
        _, script = exchange(server.port, head.replace(b"zh-CN", b"en") % (b"/api/chat", b""))
    assert "text/html; charset=utf-8" in browser and 'lang="zh-CN"' in browser and "一次" in browser
    assert form.endswith('一次发送的内容太多了。"}') and "application/json" in form
    assert script.endswith('{"error": "That is too much at once."}')


def test_a_large_form_is_read_to_its_end_before_it_is_refused() -> None:
    """A browser reads only after it has sent all: an early close would show it an error instead of the sentence."""
    with serving(page) as server, connect(server.port) as client:
        client.sendall(FORM % 200_000)
        for _ in range(10):
            client.sendall(b"x" * 20_000)
        response = b"".join(iter(lambda: client.recv(65536), b""))  # raises if it was reset
    assert parts(response)[0] == 413


def test_a_form_of_a_thousand_fields_is_refused(house: House) -> None:
    fields = {f"f{number}": "x" for number in range(1000)}
    assert house.post("/ask", fields).status == 413
    assert house.post("/look", fields).status == 413
    assert not house.chats.recent(10)


# ---- Requests and responses that take too long


def trickle(client: socket.socket, begin: bytes) -> tuple[float, int, str]:
    """Send a byte every 50 ms behind `begin`; returns the seconds until the response, its status and its rest."""
    client.sendall(begin)
    begun = time.monotonic()
    client.settimeout(0.05)
    for _ in range(600):
        try:
            response = client.recv(65536)
        except TimeoutError:
            client.send(b"x")
            continue
        return time.monotonic() - begun, *parts(response + read_to_end(client))
    pytest.fail("it may go on for ever")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begin", "seconds"),
    [
        (b"G", HASTY.head_seconds),
        (WELL, HASTY.head_seconds),
        (FORM % 10_000, HASTY.request_seconds),
        (FORM % 300_000, HASTY.request_seconds),  # too large, so the server skips it
        (CHUNKED + b"8000\r\n", HASTY.request_seconds),
    ],
)
def test_a_request_that_arrives_byte_by_byte_is_refused(begin: bytes, seconds: float) -> None:
    """Every byte would reset the only timeout in waitress."""
    with serving(page, limits=HASTY) as server, connect(server.port) as client:
        for _ in range(2):  # a later request of a connection has the same limit
            client.sendall(KEEP)
            read_until(client, b"page")
        passed, status, rest = trickle(client, begin)
    assert status == 408 and "took too long" in rest
    assert seconds <= passed < seconds + SLACK


@pytest.mark.slow
def test_an_idle_connection_is_closed_without_a_response() -> None:
    with serving(page, limits=HASTY) as server, ExitStack() as clients:
        fresh, blank, used = (clients.enter_context(connect(server.port)) for _ in range(3))
        used.sendall(KEEP)
        read_until(used, b"page")
        blank.sendall(b"\r\n\r\n")  # empty lines are no request
        assert [read_to_end(each) for each in (fresh, blank, used)] == [b"", b"", b""]


def endless(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    for _ in range(100):
        yield b"x" * 100_000


@pytest.mark.slow
def test_a_reader_that_never_reads_is_disconnected_and_its_thread_is_freed() -> None:
    ended = threading.Semaphore(0)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        try:
            yield from endless(environ, start)
        finally:
            ended.release()

    with serving(application, limits=HASTY) as server, ExitStack() as clients:
        for _ in range(4 + RESERVED_THREADS):  # all threads
            clients.enter_context(connect(server.port, takes=8192)).sendall(WELL + b"\r\n")
        for _ in range(4 + RESERVED_THREADS):
            assert ended.acquire(timeout=HASTY.stall_seconds + SLACK)


@pytest.mark.slow
def test_a_reader_of_single_bytes_is_disconnected_and_a_slow_one_is_not() -> None:
    received = 0
    with serving(endless, limits=HASTY) as server, ExitStack() as clients:
        dripping, slow = (clients.enter_context(connect(server.port, takes=8192)) for _ in range(2))
        for client in (dripping, slow):
            client.sendall(WELL + b"\r\n")
        for _ in range(60):
            received += len(slow.recv(10_000))
            dripping.recv(1)
            time.sleep(0.1)  # makes this reader slow; it waits for nothing
        assert received + len(read_to_end(slow)) > 10_000_000, "the slow reader gets all of it"
        assert len(read_to_end(dripping)) < 9_000_000


def test_pipelined_requests_of_a_reader_that_never_reads_hold_no_thread() -> None:
    """A thread hands over a page whether it is read or not, but would have to wait with the next one."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = b"x" * 250_000
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    with serving(application) as server, ExitStack() as clients:
        for _ in range(4 + RESERVED_THREADS):
            client = clients.enter_context(connect(server.port, takes=8192))
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 100)
        for _ in range(20):  # each comes behind one more request of every client
            assert is_served(server.port)


# ---- Many connections


def test_the_longest_idle_connection_makes_room_for_a_new_one_from_its_address() -> None:
    with serving(page, 2, FEW) as server, ExitStack() as clients:
        others = [clients.enter_context(connect(server.port, "127.0.0.9")) for _ in range(3)]
        idle = [clients.enter_context(connect(server.port)) for _ in range(4)]
        idle[1].sendall(b"GET / HT")  # a begun request gives no priority
        assert is_served(server.port)
        assert read_to_end(idle[0]) == b"" and all(map(is_open, idle[1:]))
        assert is_served(server.port)
        assert all(map(is_open, idle[1:])), "the closed connection had left room"
        more = [clients.enter_context(connect(server.port)) for _ in range(2)]
        assert read_to_end(idle[1]) == b"" and all(map(is_open, [*idle[2:], *more]))
        assert all(map(is_open, others)), "connections from another address stay"


def test_at_the_total_cap_the_longest_idle_connection_makes_room() -> None:
    with serving(page, 2, FEW) as server, ExitStack() as clients:
        idle = [clients.enter_context(connect(server.port, f"127.0.0.{20 + number}")) for number in range(8)]
        assert is_served(server.port)
        assert read_to_end(idle[0]) == b"" and all(map(is_open, idle[1:]))


@pytest.mark.parametrize("addresses", [[f"127.0.0.{20 + number}" for number in range(8)], ["127.0.0.1"] * 4])
def test_connections_that_do_not_read_make_room_too(addresses: list[str]) -> None:
    answered = threading.Semaphore(0)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return page(environ, start)
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "250000")])
        answered.release()
        return [b"x" * 250_000]

    with serving(application, 2, FEW) as server, ExitStack() as clients:
        for address in addresses:
            client = clients.enter_context(connect(server.port, address, takes=8192))
            client.sendall(b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in addresses:
            assert answered.acquire(timeout=30)
        deadline, is_in = time.monotonic() + SLACK, False
        while not is_in:  # their threads have not finished with them yet
            assert time.monotonic() < deadline
            with suppress(ConnectionError):  # refused before its request
                is_in = is_served(server.port)


def test_when_every_connection_is_busy_a_new_one_gets_503() -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        begun.release()
        assert release.wait(30)
        return page(environ, start)

    with serving(application, 2, FEW) as server, ThreadPoolExecutor(4) as clients:
        busy = [clients.submit(exchange, server.port, WELL + b"\r\n") for _ in range(4)]
        for _ in busy:
            assert begun.acquire(timeout=30)
        with connect(server.port) as late:
            status, rest = parts(read_to_end(late))
        release.set()
        assert status == 503 and "Retry-After: 2" in rest and "too much to do at the moment" in rest
        assert [each.result()[0] for each in busy] == [200] * 4


def test_a_proxy_has_no_cap_per_address() -> None:
    with serving(page, 2, FEW, is_proxy=lambda address: address == "127.0.0.1") as server, ExitStack() as clients:
        idle = [clients.enter_context(connect(server.port)) for _ in range(7)]
        assert is_served(server.port)
        assert all(map(is_open, idle))


# ---- All of it at once, against the real program

TRICKLING, IDLE, NEVER_READING, READING = 200, 100, 16, 8
ADDRESSES = [f"127.0.0.{number}" for number in range(31, 39)]
PARAGRAPH = "This is **written** for as long as they try, and nobody who reads it may notice them. " * 40 + "\n\n"


class Crowd:
    """Clients that exhaust their limits and reconnect when disconnected; `refused` counts responses with 408."""

    def __init__(self, port: int) -> None:
        self.refused = 0
        self._port = port
        self._addresses = cycle(ADDRESSES)
        self._trickling = [self._come() for _ in range(TRICKLING)]
        self._idle = [self._come() for _ in range(IDLE)]
        self._never_reading = [self._come() for _ in range(NEVER_READING)]
        for each in self._never_reading:
            each.sendall(b"GET /answers/1?as=events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trickle, name="crowd")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for each in self._trickling + self._idle + self._never_reading:
            each.close()

    def _come(self) -> socket.socket:
        client = connect(self._port, next(self._addresses), takes=4096)
        client.setblocking(False)
        return client

    def _trickle(self) -> None:
        request = b"POST /ask HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"x" * 4000
        for byte in request:
            if self._stop.wait(1):
                return
            for number, client in enumerate(self._trickling):
                with suppress(OSError):  # closed while a byte was on its way: the response is there all the same
                    client.send(bytes([byte]))
                try:
                    self.refused += b" 408 " in client.recv(1000)
                except BlockingIOError:
                    continue  # no response yet
                except OSError:
                    pass
                client.close()
                self._trickling[number] = self._come()


def write(call: Call, stop: threading.Event) -> str:
    """Write an answer until `stop` is set, then end it; returns its text."""
    written: list[str] = []
    while not stop.wait(0.05):
        written.append(
            PARAGRAPH if len(written) < 250 else "And on.\n\n"
        )  # the answer would end at a million characters
        call.text(written[-1])
    call.finish("The end.")
    return "".join([*written, "The end."])


def read(url: str) -> Follow:
    response = urllib3.request("GET", url, preload_content=False, retries=False, timeout=60)
    follow = Follow(response)
    follow.read_to_end()
    return follow


def seconds_of_pages(url: str, count: int) -> list[float]:
    """The seconds for each of `count` pages, on connections of their own."""
    taken = []
    for _ in range(count):
        begun = time.monotonic()
        response = urllib3.request("GET", url, retries=False, timeout=60)
        taken.append(time.monotonic() - begun)
        assert response.status == 200
        SCANNER.scan("response", response.data)
        time.sleep(0.02)  # like a house of eager readers
    return taken


def percentile(values: list[float], part: int) -> float:
    return statistics.quantiles(values, n=100)[part - 1]


@pytest.mark.alone
@pytest.mark.slow
def test_clients_that_exhaust_their_limits_do_not_delay_others(
    tmp_path: Path, gemini: FakeGemini, soak: Soak
) -> None:
    pages = soak(400, full=6000)
    stop = threading.Event()
    with ThreadPoolExecutor(READING + 1) as threads, ExitStack() as stops:
        appliance = Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)
        stops.callback(appliance.close)
        stops.callback(stop.set)
        url, process = f"http://127.0.0.1:{appliance.port}/", Process(appliance.process.pid)
        appliance.ask("Why?")
        call = gemini.next_call()
        call.start()
        writing = threads.submit(write, call, stop)
        reading = [threads.submit(read, f"{url}answers/1?as=events") for _ in range(READING)]
        quiet = seconds_of_pages(url, 200)
        memory = process.memory()
        crowd = Crowd(appliance.port)
        stops.callback(crowd.close)
        begun = time.monotonic()
        crowded = seconds_of_pages(url, pages)
        while crowd.refused < TRICKLING and time.monotonic() - begun < 10 * USUAL_LIMITS.head_seconds:
            crowded += seconds_of_pages(url, 10)
        more = process.memory() - memory
        stop.set()
        answer = writing.result()
        pages_read = [each.result().state for each in reading]

    typesetter = Typesetter()
    typesetter.feed(answer)
    typesetter.close()
    for state in pages_read:
        assert state.end and state.end["finish"] == "complete"
        assert "".join(state.blocks) == "".join(block.html for block in typesetter.blocks)
    soak.tell(
        f"GET / with a crowd of {TRICKLING + IDLE + NEVER_READING}: p50 {percentile(crowded, 50) * 1000:.0f} ms,"
        f" p99 {percentile(crowded, 99) * 1000:.0f} ms ({percentile(quiet, 50) * 1000:.0f} and"
        f" {percentile(quiet, 99) * 1000:.0f} without it); {crowd.refused} refused, {more:.1f} MB more,"
        f" answer of {len(answer)} characters read by {READING}"
    )
    assert crowd.refused >= TRICKLING
    assert percentile(crowded, 99) < max(0.25, 10 * percentile(quiet, 99))
    assert more < 48, "the buffers of 16 clients that do not read, 300 half requests, and the answer"
