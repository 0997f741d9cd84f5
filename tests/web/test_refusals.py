"""Refusals by the server itself: their language, their format, and no body for HEAD, however little has arrived."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import pytest
from fakes.raw_client import read_to_end
from fakes.server import serving
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.sentences import LANGUAGES
from kindle_appliance.web.refusals import _SENTENCES
from kindle_appliance.web.server import Limits

FEW = Limits(connections=2, per_address=64)  # and two for followers

# Requests that the server refuses, without their methods, and the status of each.
REFUSED = {
    "a long address": (b" /" + b"a" * 3000 + b" HTTP/1.1\r\n", 414),
    "a long address that has no end": (b" /" + b"a" * 3000, 414),
    "many fields": (b" / HTTP/1.1\r\n%s" + b"".join(b"X-%d: y\r\n" % n for n in range(80)) + b"\r\n", 431),
    "much in a field": (b" / HTTP/1.1\r\n%sCookie: " + b"a" * 17_000 + b"\r\n\r\n", 431),
    "much in a field that has no end": (b" / HTTP/1.1\r\n%sCookie: " + b"a" * 17_000, 431),
    "a bare CR": (b" / HTTP/1.1\r\n%sA: b\rc\r\n\r\n", 400),
    "no field": (b" / HTTP/1.1\r\n%s???\r\n\r\n", 400),
    "no URL": (b" http://[ HTTP/1.1\r\n%s\r\n", 400),
    "no length": (b" / HTTP/1.1\r\n%sContent-Length: x\r\n\r\n", 400),
    "a body of many bytes": (b" / HTTP/1.1\r\n%sContent-Length: 99999999\r\n\r\n", 413),
    "an unknown coding": (b" / HTTP/1.1\r\n%sTransfer-Encoding: gzip\r\n\r\n", 501),
    "no chunk": (b" / HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
}
CHINESE = b"Accept-Language: zh-CN,zh;q=0.9\r\n"


def page(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


def exchange(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """The status, the headers and the body of the response to this; the server must close behind it."""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(request)
        return parts(client)


def parts(client: socket.socket) -> tuple[int, bytes, bytes]:
    head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head, body


@pytest.mark.parametrize("language", [None, "en", "zh-CN"])
def test_a_refusal_speaks_the_houses_language_or_else_the_browsers(language: str | None) -> None:
    with serving(page, language=language) as server:
        for what, (rest, status) in REFUSED.items():
            for field, asked in ((CHINESE, "zh-CN"), (b"", "en")):
                found, _, body = exchange(server.port, b"GET" + rest.replace(b"%s", field))
                assert found == status, what
                expected = language or (asked if b"%s" in rest else "en")
                assert f'lang="{expected}"' in body.decode(), what
                sentence = _SENTENCES.get(status, _SENTENCES[400]).to(expected)
                assert sentence in body.decode(), what


def test_a_script_gets_json_however_little_of_its_request_can_be_read() -> None:
    with serving(page, language="zh-CN") as server:
        for what, (rest, status) in REFUSED.items():
            if b" / " in rest:
                for request in (
                    rest.replace(b" / ", b" /api/chat "),
                    rest.replace(b"%s", b"Accept: application/json\r\n"),
                ):
                    found, head, body = exchange(server.port, b"POST" + request.replace(b"%s", b""))
                    assert found == status and b"application/json" in head, what
                    assert set(json.loads(body)) == {"error"}


def test_a_refusal_of_head_has_no_body() -> None:
    with serving(page) as server:
        for what, (rest, status) in REFUSED.items():
            found, head, body = exchange(server.port, b"HEAD" + rest.replace(b"%s", b""))
            assert (found, body) == (status, b""), what
            _, of_get, body = exchange(server.port, b"GET" + rest.replace(b"%s", b""))
            assert body and length(head) == length(of_get) == len(body), what


def length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


@given(st.binary(max_size=60), st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
def test_whatever_follows_head_there_is_no_body(rest: bytes, blank: bytes) -> None:
    line = b"HEAD " + rest.replace(b"\n", b"")  # a second line end would make it a whole request
    request = blank + line + b"\r\n" + b"a" * 17_000  # too long, if it is nothing else
    status, _, body = exchange(SERVED[0], request)
    assert status >= 400 and body == b""


SERVED: list[int] = []


@pytest.fixture(scope="module", autouse=True)
def served() -> Iterable[None]:
    """A server for generated requests, on the port in `SERVED`."""
    with serving(page) as server:
        SERVED.append(server.port)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("behind", [b"\r\n", b"\r\nContent-Length: 9\r\n\r\nx"])
def test_a_request_that_takes_too_long_is_refused_in_its_language(method: bytes, behind: bytes) -> None:
    limits = Limits(head_seconds=0.5, request_seconds=0.5)
    with serving(page, limits=limits) as server:
        status, _, body = exchange(server.port, method + b" / HTTP/1.1\r\n" + CHINESE.rstrip() + behind)
    assert status == 408 and (method == b"HEAD") == (body == b"")
    assert method == b"HEAD" or _SENTENCES[408].to("zh-CN") in body.decode()


def test_a_bug_before_the_first_byte_is_told_in_the_language_of_the_request() -> None:
    def broken(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        raise ValueError("a bug")

    with serving(broken) as server:
        for method in (b"GET", b"HEAD"):
            status, _, body = exchange(server.port, method + b" / HTTP/1.1\r\n" + CHINESE + b"\r\n")
            assert status == 500 and (method == b"HEAD") == (body == b"")
            assert method == b"HEAD" or _SENTENCES[500].to("zh-CN") in body.decode()


# ---- When every connection is busy


class Busy:
    """A server whose connections all have a request under way."""

    def __init__(self, language: str | None = None) -> None:
        self._release, self._begun = threading.Event(), threading.Semaphore(0)
        self._stops = ExitStack()
        self._language = language

    def _wait(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self._begun.release()
        assert self._release.wait(30)
        return page(environ, start)

    def __enter__(self) -> int:
        server = self._stops.enter_context(serving(self._wait, 2, FEW, language=self._language))
        self._stops.callback(self._release.set)
        for _ in range(4):
            client = self._stops.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert self._begun.acquire(timeout=20)
        return server.port

    def __exit__(self, *_: object) -> None:
        self._stops.close()


@pytest.mark.parametrize("language", [None, *LANGUAGES])
def test_a_client_above_the_limits_is_told_so_in_its_language(language: str | None) -> None:
    with Busy(language) as port:
        status, head, body = exchange(port, b"GET / HTTP/1.1\r\nHost: h\r\n" + CHINESE + b"\r\n")
        assert status == 503 and _SENTENCES[503].to(language or "zh-CN") in body.decode()
        assert b"Retry-After: 2" in head and b"Connection: close" in head
        status, head, body = exchange(port, b"POST /api/chat HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert status == 503 and json.loads(body)["error"] == _SENTENCES[503].to(language or "en")
        assert exchange(port, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")[::2] == (503, b"")


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"])
def test_a_client_above_the_limits_is_refused_soon_whatever_it_has_sent(begun: bytes) -> None:
    with Busy("zh-CN") as port:
        status, _, body = exchange(port, begun)
    assert status == 503 and _SENTENCES[503].to("zh-CN") in body.decode()


def test_clients_above_the_limits_are_few_and_hold_up_nobody() -> None:
    with Busy() as port, ExitStack() as clients:
        late = [clients.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(60)]
        found = [received(each) for each in late]
    assert found[-1].startswith(b"HTTP/1.0 503 ") and found.count(b"") > 30, "the latest ones are told"


def received(client: socket.socket) -> bytes:
    try:
        return b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionError:
        return b""
