"""Uploads: how a body comes to the application over a raw connection, and what happens when it does not."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from fakes.raw_client import connect, read_to_end
from fakes.server import serving

from kindle_appliance.errors import ReaderError
from kindle_appliance.web.body import BODY, Body, Pace
from kindle_appliance.web.server import USUAL_LIMITS, Limits, Server

HEAD = b"POST /books HTTP/1.1\r\nHost: h\r\nContent-Type: a/b; c=d\r\n%s\r\n"
LENGTH = b"Content-Length: %d\r\n"


class Reading:
    """An application that reads uploads as the test says. `end()`: what it has read of the next one; its error."""

    def __init__(self, reads: float = math.inf) -> None:
        self._reads = reads
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self._ends: SimpleQueue[tuple[bytes, Exception | None]] = SimpleQueue()
        self.bodies: list[Body] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body: Body | None = environ.get(BODY)
        if body is None:
            text = b"page" + environ["wsgi.input"].read()
            start("200 OK", [("Content-Length", str(len(text)))])
            return [text]
        assert environ["wsgi.input"].read() == b""
        self.bodies.append(body)
        self.begun.release()
        assert self.go_on.wait(30)
        read, error = bytearray(), None
        try:
            while len(read) < self._reads and (data := body.read()):
                read += data
        except (ConnectionError, ReaderError) as caught:
            error = caught
        self._ends.put((bytes(read), error))
        text = b"%s %d" % (body.kind.encode(), len(read))
        start("201 Created", [("Content-Length", str(len(text)))])
        return [text]

    @property
    def has_ended(self) -> bool:
        return not self._ends.empty()

    def end(self) -> tuple[bytes, Exception | None]:
        return self._ends.get(timeout=30)


@contextmanager
def receiving(reads: float = math.inf, limits: Limits = USUAL_LIMITS) -> Iterator[tuple[Server, Reading]]:
    reading = Reading(reads)
    with serving(reading, limits=limits, uploads=["/books"]) as server:
        yield server, reading


def exchange(server: Server, *pieces: bytes) -> bytes:
    with connect(server.port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        return read_to_end(client)


def test_a_body_of_a_few_bytes_arrives_however_its_request_is_split() -> None:
    request = HEAD % (LENGTH % 11) + b"hello\r\n\r\nyo"
    with receiving() as (server, reading):
        for cut in range(1, len(request)):
            response = exchange(server, request[:cut], request[cut:])
            assert response.startswith(b"HTTP/1.1 201 Created\r\nConnection: close\r\n"), cut
            assert response.endswith(b"a/b; c=d 11")
            assert reading.end() == (b"hello\r\n\r\nyo", None)


def test_what_follows_a_body_is_no_further_request() -> None:
    behind = b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n"
    with receiving() as (server, reading):
        for pieces in (
            (HEAD % (LENGTH % 2) + b"hi" + behind,),
            (HEAD % (LENGTH % 2), b"hi" + behind),
            (HEAD % (LENGTH % 2) + b"h", b"i", behind),
        ):
            response = exchange(server, *pieces)
            assert response.endswith(b" 2") and b"page" not in response
            assert reading.end() == (b"hi", None)


def test_a_body_that_looks_like_an_upload_is_only_a_body() -> None:
    body = HEAD % (LENGTH % 5) + b"hello" + bytes(100_000)
    with receiving() as (server, reading):
        for pieces in ((HEAD % (LENGTH % len(body)) + body,), (HEAD % (LENGTH % len(body)), body)):
            assert exchange(server, *pieces).endswith(b" %d" % len(body))
            assert reading.end() == (body, None)


def test_an_upload_behind_another_request_is_answered_after_it() -> None:
    with receiving() as (server, reading):
        response = exchange(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + HEAD % (LENGTH % 2) + b"hi")
    assert response.index(b"page") < response.index(b"201 Created")
    assert reading.end() == (b"hi", None)


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /books HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
        b"PUT /books HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
        b"POST /books/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_other_requests_are_received_whole(request_head: bytes) -> None:
    with receiving() as (server, _), connect(server.port) as client:
        for _ in range(2):  # their connection stays
            client.sendall(request_head + b"hi")
            response = b""
            while not response.endswith(b"pagehi"):
                response += client.recv(1000)
            assert response.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("target", [b"/books", b"//books", b"/books?x=y", b"/b%6foks", b"http://h/books"])
def test_an_upload_is_known_by_its_path_however_that_is_written(target: bytes) -> None:
    with receiving() as (server, reading):
        response = exchange(server, (HEAD % (LENGTH % 100_000)).replace(b"/books", target) + bytes(100_000))
        assert response.startswith(b"HTTP/1.1 201 ") and response.endswith(b" 100000")
        assert len(reading.end()[0]) == 100_000


def test_http_1_0_has_uploads_too() -> None:
    with receiving() as (server, reading):
        head = (HEAD % (LENGTH % 2 + b"Connection: keep-alive\r\n")).replace(b"HTTP/1.1", b"HTTP/1.0")
        response = exchange(server, head + b"hi")
    assert response.startswith(b"HTTP/1.0 201 Created\r\nConnection: close\r\n") and response.endswith(b" 2")
    assert reading.end() == (b"hi", None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"", 411),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 411),
        (b"Transfer-Encoding: gzip\r\n", 501),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n", 400),
        (b"Content-Length: x\r\n", 400),
        (b"Content-Length: 5\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(70)), 431),
        (b"Content-Length: 5\r\nX: " + b"y" * 17_000 + b"\r\n", 431),
    ],
)
def test_an_upload_with_wrong_headers_is_refused(fields: bytes, status: int) -> None:
    with receiving() as (server, reading):
        response = exchange(server, HEAD % fields + b"2\r\nhi\r\n0\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 %d " % status) or response.startswith(b"HTTP/1.0 %d " % status)
        assert not reading.bodies


def test_a_body_without_bytes_ends_at_once() -> None:
    with receiving() as (server, reading):
        assert exchange(server, HEAD % (LENGTH % 0)).endswith(b" 0")
        assert reading.end() == (b"", None)


# ---- Leave to send


EXPECT = b"Expect: 100-continue\r\n"


def test_a_client_gets_leave_to_send_when_the_application_reads() -> None:
    with receiving() as (server, reading), connect(server.port) as client:
        reading.go_on.clear()
        client.sendall(HEAD % (EXPECT + LENGTH % 2))
        assert reading.begun.acquire(timeout=30)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1000)
        client.settimeout(30)
        reading.go_on.set()
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert read_to_end(client).startswith(b"HTTP/1.1 201 ")
        assert reading.end() == (b"hi", None)


def test_a_client_that_waits_for_leave_gets_a_refusal_in_its_place_and_no_patience() -> None:
    with receiving(reads=0) as (server, reading):
        response = exchange(server, HEAD % (EXPECT + LENGTH % 10**6))
        assert response.startswith(b"HTTP/1.1 201 ")  # and the connection is closed by now
        assert reading.end() == (b"", None)


def test_a_client_that_does_not_wait_for_leave_needs_none() -> None:
    with receiving() as (server, reading):
        assert exchange(server, HEAD % (EXPECT + LENGTH % 2) + b"hi").startswith(b"HTTP/1.1 201 ")
        assert reading.end() == (b"hi", None)


# ---- Clients that leave, and applications that do


@pytest.mark.parametrize("sent", [0, 1, 1000, 300_000, 999_999])
@pytest.mark.parametrize("is_reset", [False, True])
def test_the_application_hears_at_once_of_a_client_that_leaves(sent: int, is_reset: bool) -> None:
    with receiving() as (server, reading):
        with connect(server.port) as client:
            client.sendall(HEAD % (LENGTH % 10**6) + bytes(sent))
            assert reading.begun.acquire(timeout=30)
            if is_reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        read, error = reading.end()
        assert isinstance(error, ConnectionError) and len(read) <= sent
        assert exchange(server, HEAD % (LENGTH % 2) + b"hi").endswith(b" 2")


def test_a_client_that_leaves_before_the_application_reads_is_noticed_then() -> None:
    with receiving() as (server, reading):
        reading.go_on.clear()
        with connect(server.port) as client:
            client.sendall(HEAD % (LENGTH % 10**6) + bytes(1000))
            assert reading.begun.acquire(timeout=30)
        reading.go_on.set()
        assert isinstance(reading.end()[1], ConnectionError)


@pytest.mark.parametrize("reads", [0, 65536])
def test_a_client_can_send_all_before_it_reads_the_answer_to_what_nobody_wanted(reads: int) -> None:
    """A browser does so: an early close would show it an error instead of the page."""
    with receiving(reads) as (server, reading), connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 20_000_000))
        for _ in range(20):
            client.sendall(bytes(1_000_000))
        response = b"".join(iter(lambda: client.recv(65536), b""))  # raises if it was reset
    assert response.startswith(b"HTTP/1.1 201 ")
    assert len(reading.end()[0]) <= reads + 65536


def test_the_rest_of_an_upload_is_received_for_a_limited_time() -> None:
    with receiving(0, Limits(drop_seconds=1)) as (server, _), connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 20_000_000) + b"begun")
        assert b"201 Created" in read_to_end(client)


def test_a_body_of_a_gigabyte_that_nobody_wants_is_not_received() -> None:
    with receiving(0) as (server, _), connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 10**9) + b"begun")
        assert b"201 Created" in read_to_end(client)


# ---- Memory


def test_no_more_is_received_than_a_quarter_of_a_megabyte_before_it_is_read() -> None:
    with receiving() as (server, reading), connect(server.port) as client:
        reading.go_on.clear()
        client.sendall(HEAD % (LENGTH % 10**8))
        assert reading.begun.acquire(timeout=30)
        client.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += client.send(bytes(65536))
        (body,) = reading.bodies
        assert body._received <= 8192 and sent < 20_000_000, "the rest is in the buffers of the kernel"
        assert body.read(1) == b"\0"
        with pytest.raises(TimeoutError):
            while True:
                sent += client.send(bytes(65536))
        assert 200_000 < body._received <= 256 * 1024 + 1 and sent < 20_000_000


# ---- Pace


HASTY = Pace(silent_seconds=1, grace_seconds=2, least_rate=1000)


def trickle(server: Server, reading: Reading, bytes_a_time: int) -> bytes:
    """Send as much every 50 ms until the application has given up; returns the response."""
    with connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 10**6))
        for _ in range(600):
            if reading.has_ended:
                return read_to_end(client)
            client.sendall(bytes(bytes_a_time))
            threading.Event().wait(0.05)
    pytest.fail("it may go on for ever")


def test_an_upload_that_comes_byte_by_byte_is_given_up() -> None:
    with receiving(limits=Limits(pace=HASTY, drop_seconds=1)) as (server, reading):
        assert b"201 Created" in trickle(server, reading, 1)
        read, error = reading.end()
        assert isinstance(error, ReaderError) and error.status == 408 and len(read) < 200


def test_an_upload_that_stands_still_is_given_up() -> None:
    with receiving(limits=Limits(pace=HASTY, drop_seconds=1)) as (server, reading), connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 10**6) + bytes(500_000))
        assert b"201 Created" in read_to_end(client)
        _, error = reading.end()
        assert isinstance(error, ReaderError) and error.status == 408


def test_an_upload_may_take_longer_than_any_other_request() -> None:
    limits = Limits(idle_seconds=1, head_seconds=1, request_seconds=1, stall_seconds=1)
    with receiving(limits=limits) as (server, reading), connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 12))
        for _ in range(12):
            client.sendall(b"x")
            threading.Event().wait(0.3)
        assert read_to_end(client).endswith(b" 12")
        assert reading.end() == (b"x" * 12, None)


# ---- Beside other connections


def test_uploads_end_when_the_server_closes() -> None:
    reading = Reading()
    server = Server(reading, "127.0.0.1", 0, 4, uploads=["/books"])
    thread = threading.Thread(target=server.run)
    thread.start()
    with connect(server.port) as client:
        client.sendall(HEAD % (LENGTH % 10**6) + b"begun")
        assert reading.begun.acquire(timeout=30)
        server.stop()
        thread.join()
        server.close(2)
        _, error = reading.end()
        assert isinstance(error, ReaderError) and error.status == 503
        assert b"201 Created" in read_to_end(client)


def test_idle_connections_make_room_for_others_and_an_upload_does_not() -> None:
    few = Limits(connections=4, per_address=2)
    with receiving(limits=few) as (server, reading), connect(server.port) as client, connect(server.port) as idle:
        client.sendall(HEAD % (LENGTH % 4) + b"hi")
        assert reading.begun.acquire(timeout=30)
        for _ in range(3):
            with connect(server.port) as other:
                other.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert read_to_end(other).startswith(b"HTTP/1.1 200 ")
        assert read_to_end(idle) == b""
        client.sendall(b"yo")
        assert read_to_end(client).endswith(b" 4")


def test_a_connection_whose_upload_was_answered_makes_room_for_others() -> None:
    few = Limits(connections=4, per_address=2)
    with receiving(0, few) as (server, _), connect(server.port) as first, connect(server.port) as second:
        for number, client in enumerate((first, second)):
            client.sendall(HEAD % (LENGTH % 1000) + b"hi")
            response = b""
            while not response.endswith(b" 0"):
                response += client.recv(1000)
            while sum(each.drops_upload for each in server._channels()) <= number:
                threading.Event().wait(0.01)
        with connect(server.port) as other:
            other.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert read_to_end(other).startswith(b"HTTP/1.1 200 ")
        assert read_to_end(first) == b"", "the one that has been answered for longest"
