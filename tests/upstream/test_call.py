"""One call to a model server, over real sockets: each byte at once, each failure by name, a cancel at any moment.

Each test also checks that the key is in no log and no exception, and that no thread and no socket is left behind.
"""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import unavailable
from fakes.calls import LONG, SOON, Open, read_all
from fakes.certificates import certificate_of_the_future
from fakes.gemini import ClientGoneError, FakeGemini, Reply, chunk, error_body, refusing_url
from fakes.network_namespace import set_loopback, without_network
from fakes.secrets import KEY

from kindle_appliance.errors import (
    Cancelled,
    OwnerError,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from kindle_appliance.upstream.call import Call, Clocks, Upstream

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PATH = "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse"
QUESTION = b'{"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}'
FRAMINGS = ("chunked", "length", "close")

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
both_schemes = pytest.mark.parametrize("tls", [False, pytest.param(True, marks=needs_openssl)], ids=["http", "tls"])


@contextmanager
def asking(upstream: Upstream) -> Iterator[Call]:
    """A call whose response headers have arrived."""
    call = upstream.call()
    try:
        send(call)
        yield call
    finally:
        call.close()


def send(call: Call, timeout: float = 60.0) -> int:
    return call.open(PATH, {"x-goog-api-key": KEY, "Content-Type": "application/json"}, QUESTION, timeout)


def read_until(call: Call, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = call.read(SOON)
        assert piece, f"ended after {data!r}"
        data += piece
    return data


def whole_answer(upstream: Upstream) -> bytes:
    with asking(upstream) as call:
        return read_all(call)


@contextmanager
def fails(kind: type[Exception], sentence: str | None = None) -> Iterator[None]:
    """The block raises exactly `kind`, with `sentence` in its text and without the key."""
    with pytest.raises(Exception, match=sentence) as raised:  # its type is compared below
        yield
    shown = "".join(traceback.format_exception(raised.value))
    assert type(raised.value) is kind, shown
    assert KEY not in shown + repr(raised.value) + repr(vars(raised.value))


# Bytes as they arrive


def test_the_request_is_one_post_with_the_key_in_a_header(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply.answer("Because."))
    assert whole_answer(open_upstream(gemini.url + "/")) == chunk("Because.", "STOP")
    (call,) = gemini.calls
    assert (call.method, call.path, call.body) == ("POST", PATH, QUESTION)
    assert call.headers["x-goog-api-key"] == KEY
    assert call.headers["content-type"] == "application/json"
    assert call.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_piece_is_read_before_the_next_one_is_sent(
    gemini: FakeGemini, open_upstream: Open, framing: Any, gzip: bool
) -> None:
    first, second, third = b"data: 1\r\n", b"data: \xe6\xb0", b"\xb4\r\n"
    gates = threading.Event(), threading.Event()
    gemini.replies(Reply([first, gates[0], second, gates[1], third], framing=framing, gzip=gzip))
    with asking(open_upstream(gemini.url)) as call:
        assert read_until(call, first) == first
        gates[0].set()
        assert read_until(call, second) == second
        gates[1].set()
        assert read_all(call) == third
        assert call.read(SOON) == b""


def test_pieces_of_one_byte_and_a_line_of_ten_megabytes_arrive_whole(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    small, large = chunk("一字一字"), chunk("x" * 10_000_000, "STOP")
    gemini.replies(Reply([small], piece=1), Reply([large]))
    upstream = open_upstream(gemini.url)
    assert whole_answer(upstream) == small
    assert whole_answer(upstream) == large


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_refusal_comes_with_its_status_and_body(gemini: FakeGemini, open_upstream: Open, framing: Any) -> None:
    body = error_body(429, "RESOURCE_EXHAUSTED", "Later.")
    gemini.default = Reply([body], 429, framing=framing)
    upstream = open_upstream(gemini.url)
    for limit in (len(body), 10):
        call = upstream.call()
        assert send(call) == 429
        assert call.read_short(limit, SOON) == body[:limit]
        call.close()


def test_an_answer_whose_connection_closes_behind_its_last_byte_is_read_to_its_end(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    """http.client has closed the socket by then, as with every HTTP/1.0 proxy."""
    gemini.replies(Reply([b"all of it"], headers={"Connection": "close"}, framing="length"))
    assert whole_answer(open_upstream(gemini.url)) == b"all of it"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_returned_and_not_followed(gemini: FakeGemini, open_upstream: Open, code: int) -> None:
    with FakeGemini() as elsewhere:
        elsewhere.default = Reply.answer("taken")
        gemini.replies(Reply.redirect(f"{elsewhere.url}/taken", code))
        call = open_upstream(gemini.url).call()
        assert send(call) == code
        assert call.read(SOON) == b""
        call.close()
        assert elsewhere.calls == []


# Failures


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_bytes_before_a_cut_are_kept_and_the_cut_is_reported(
    gemini: FakeGemini, open_upstream: Open, framing: Any, ending: Any
) -> None:
    gemini.replies(Reply([b"half"], framing=framing, ending=ending))
    with asking(open_upstream(gemini.url)) as call:
        assert read_until(call, b"half") == b"half"
        if (framing, ending) == ("close", "cut"):
            assert call.read(SOON) == b""  # looks like a regular end, so the dialect requires a finish reason
        else:
            with fails(UpstreamCut):
                call.read(SOON)


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_a_question_whose_connection_breaks_is_not_sent_again(
    gemini: FakeGemini, open_upstream: Open, ending: Any
) -> None:
    gemini.default = Reply.answer("asked twice")
    gemini.replies(Reply(status=None, ending=ending))
    with fails(UpstreamCut):
        send(open_upstream(gemini.url).call())
    assert len(gemini.calls) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"no HTTP at all\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
    ],
)
def test_garbage_is_a_broken_connection(gemini: FakeGemini, open_upstream: Open, garbage: bytes) -> None:
    def serve() -> None:
        served = gemini.next_call()
        served.send_raw(garbage)
        served.close()

    with fails(UpstreamCut), ThreadPoolExecutor() as server:
        server.submit(serve)
        whole_answer(open_upstream(gemini.url))


@both_schemes
def test_silence_before_the_headers_ends_with_their_timeout(open_upstream: Open, tls: bool) -> None:
    with FakeGemini(tls) as gemini:
        gemini.replies(Reply(status=None, ending="stall"))
        with fails(UpstreamSilent):
            send(upstream_to(gemini, open_upstream).call(), 2)  # which has to be enough for TLS on a busy machine
        gemini.calls[0].wait_gone()


DRIPPED = {
    "the status line": (b"HTTP/1.1 ", b"2"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "header after header": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "responses before the response": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@both_schemes
@pytest.mark.parametrize(("start", "drop"), DRIPPED.values(), ids=DRIPPED)
def test_headers_that_drip_end_with_their_timeout(
    open_upstream: Open, tls: bool, start: bytes, drop: bytes
) -> None:
    """Each byte restarts the timeout of a socket; urllib3 has no other one for the headers."""
    with FakeGemini(tls) as gemini, dripping(gemini, start, drop):
        begun = time.monotonic()
        with fails(UpstreamSilent):
            send(upstream_to(gemini, open_upstream).call(), 0.5)
        assert time.monotonic() - begun < LONG.first_byte / 2


@both_schemes
@pytest.mark.parametrize("drop", [b"0", b"5;x="], ids=["the size of a chunk", "an extension of a chunk"])
def test_a_body_whose_framing_drips_ends_with_the_timeout_of_the_read(
    open_upstream: Open, tls: bool, drop: bytes
) -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + drop
    with (
        FakeGemini(tls) as gemini,
        dripping(gemini, start, b"0"),
        asking(upstream_to(gemini, open_upstream)) as call,
        fails(UpstreamSilent),
    ):
        call.read(0.5)


@contextmanager
def dripping(gemini: FakeGemini, start: bytes, drop: bytes) -> Iterator[None]:
    """The next request gets `start`, and then `drop` again and again until its client has left."""

    def drip() -> None:
        call = gemini.next_call()
        with suppress(ClientGoneError):
            call.send_raw(start)
            for _ in range(1500):
                call.send_raw(drop)
                time.sleep(0.02)
            raise AssertionError("the client has stayed for half a minute")

    with ThreadPoolExecutor(1) as server:
        dripped = server.submit(drip)
        yield
        dripped.result(SOON)


@both_schemes
@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_read_has_its_own_timeout(open_upstream: Open, tls: bool, framing: Any) -> None:
    with FakeGemini(tls) as gemini:
        gemini.replies(Reply([b"and then"], framing=framing, ending="stall"))
        with asking(upstream_to(gemini, open_upstream)) as call:
            read_until(call, b"and then")
            start = time.monotonic()
            with fails(UpstreamSilent):
                call.read(0.2)
            assert 0.2 <= time.monotonic() - start < LONG.first_byte / 2
        gemini.calls[0].wait_gone()


def upstream_to(gemini: FakeGemini, open_upstream: Open, clocks: Clocks = LONG) -> Upstream:
    return open_upstream(gemini.url, clocks, certificates=gemini.certificate and str(gemini.certificate))


def test_a_server_that_refuses_or_has_no_address_is_unreachable(open_upstream: Open) -> None:
    with refusing_url() as url:
        for base_url in (url, "http://gemini.invalid", url.replace("http:", "https:")):
            with fails(UpstreamUnreachable):
                send(open_upstream(base_url).call())


@needs_openssl
def test_only_a_trusted_certificate_gets_the_question(open_upstream: Open) -> None:
    with FakeGemini(tls=True) as gemini:
        with fails(UpstreamUnreachable, "certificate is not trusted"):
            send(open_upstream(gemini.url).call())
        assert gemini.calls == []
        gemini.replies(Reply.answer("trusted"))
        assert whole_answer(upstream_to(gemini, open_upstream)) == chunk("trusted", "STOP")


@needs_openssl
def test_a_certificate_that_is_not_valid_yet_is_blamed_on_the_clock(open_upstream: Open, tmp_path: Path) -> None:
    with FakeGemini(tls=True) as gemini:
        gemini.present(*certificate_of_the_future(tmp_path))
        with pytest.raises(UpstreamUnreachable, match="clock of the appliance can be wrong: it says") as raised:
            send(upstream_to(gemini, open_upstream).call())
    now = datetime.now().astimezone()
    said = datetime.strptime(str(raised.value).partition(" says ")[2][:16], "%Y-%m-%d %H:%M").astimezone()
    assert timedelta() <= now - said < timedelta(minutes=5) and f" {now:%Z}. " in str(raised.value)


@pytest.mark.parametrize(
    "greeting", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["mute", "reset", "http"]
)
def test_a_server_whose_handshake_fails_is_unreachable(open_upstream: Open, greeting: bytes | None) -> None:
    """As with a firewall that drops or resets TLS to Google. The question has not been sent yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as server:

        def accept() -> None:
            connected, _ = listener.accept()
            with connected:
                connected.recv(1)  # the rest of the handshake stays unread, so closing sends a reset
                connected.sendall(greeting or b"")

        if greeting is not None:
            server.submit(accept)
        with fails(UpstreamUnreachable):
            clocks = Clocks(connect=0.3 if greeting is None else SOON)
            send(open_upstream(f"https://127.0.0.1:{listener.getsockname()[1]}", clocks).call())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other probes")
def test_a_silent_loss_of_the_network_is_noticed(open_upstream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP probes notice it long before the clock for a silent Gemini."""
    quick = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 1, "TCP_USER_TIMEOUT": 2000}
    monkeypatch.setattr("kindle_appliance.upstream.call._PROBES", quick)

    def read_while_the_network_goes_away() -> None:
        with FakeGemini() as gemini:
            gemini.replies(Reply([chunk("Hm…", thought=True)], ending="stall"))
            with asking(open_upstream(gemini.url)) as call:
                read_until(call, b"\r\n\r\n")
                set_loopback(is_up=False)
                try:
                    with fails(UpstreamCut):  # not the silence of a server that thinks
                        call.read(60)
                finally:
                    set_loopback(is_up=True)

    start = time.monotonic()
    try:
        without_network(read_while_the_network_goes_away)
    except PermissionError:
        unavailable("only root may make a network namespace")
    assert time.monotonic() - start < 2 * SOON


# Cancelling


@both_schemes
@pytest.mark.parametrize("framing", [None, "chunked", "close"])
def test_a_cancel_wakes_the_waiting_thread_and_closes_the_connection(
    open_upstream: Open, tls: bool, framing: Any
) -> None:
    """While waiting for the headers, and within the body; twice, and again after the end."""
    with FakeGemini(tls) as gemini, ThreadPoolExecutor(1) as reader:
        thread = reader.submit(threading.get_ident).result()
        call = upstream_to(gemini, open_upstream).call()
        waiting = reader.submit(send, call)
        served = gemini.next_call()
        if framing:
            served.start(framing=framing)
            assert waiting.result(SOON) == 200
            served.send(b"half")
            assert read_until(call, b"half") == b"half"
            waiting = reader.submit(lambda: len(call.read(LONG.first_byte)))
        wait_until_receiving(thread)
        call.cancel()
        call.cancel()
        assert isinstance(waiting.exception(SOON), Cancelled)
        served.wait_gone()
        with pytest.raises(Cancelled):
            call.read(SOON) if framing else send(call)
        call.close()
        call.cancel()


def wait_until_receiving(thread: int) -> None:
    """Wait until that thread sits in a socket's receive."""
    deadline = time.monotonic() + SOON
    while Path(sys._current_frames()[thread].f_code.co_filename).name not in ("socket.py", "ssl.py"):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
def test_a_call_cancelled_before_it_is_opened_sends_nothing(
    gemini: FakeGemini, open_upstream: Open, kept: bool
) -> None:
    gemini.default = Reply.answer("answered all the same")
    upstream = open_upstream(gemini.url)
    if kept:
        whole_answer(upstream)
    call = upstream.call()
    call.cancel()
    with pytest.raises(Cancelled):
        send(call)
    whole_answer(upstream)
    assert [served.connection for served in gemini.calls] == ([1, 1] if kept else [1])


def test_a_call_cancelled_while_connecting_sends_nothing(
    gemini: FakeGemini, open_upstream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking_up, found = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def look_up_slowly(*place: Any, **more: Any) -> Any:
        looking_up.set()
        found.wait(SOON)
        return look_up(*place, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    with ThreadPoolExecutor() as reader:
        call = open_upstream(gemini.url).call()
        waiting = reader.submit(send, call)
        assert looking_up.wait(SOON)
        call.cancel()
        found.set()
        assert isinstance(waiting.exception(SOON), Cancelled)
    gemini.close()  # its threads have read every request
    assert gemini.calls == []


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_call_that_was_read_to_its_end_hands_its_connection_to_the_next(
    gemini: FakeGemini, open_upstream: Open, framing: Any
) -> None:
    gate = threading.Event()
    gemini.replies(Reply([b"done"], framing=framing), Reply([b"one", gate, b"two"]))
    upstream = open_upstream(gemini.url)
    with asking(upstream) as ended:
        assert read_all(ended) == b"done"
        with asking(upstream) as call:
            assert [served.connection for served in gemini.calls] == [1, 1]
            read_until(call, b"one")
            ended.cancel()
            gate.set()
            assert read_all(call) == b"two"


def test_a_cancel_touches_no_other_call(gemini: FakeGemini, open_upstream: Open) -> None:
    gates = [threading.Event() for _ in range(5)]
    gemini.replies(*(Reply([b"one", gate, b"two"]) for gate in gates))
    upstream = open_upstream(gemini.url)
    calls = [upstream.call() for _ in gates]
    for call in calls:
        send(call)
        read_until(call, b"one")
    calls[2].cancel()
    gemini.calls[2].wait_gone()
    for number, (call, gate) in enumerate(zip(calls, gates, strict=True)):
        gate.set()
        if number != 2:
            assert read_all(call) == b"two"
        call.close()


# Connections


def test_a_connection_is_used_again_only_after_an_answer_was_read_to_its_end(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    upstream = open_upstream(gemini.url)
    connections = []
    for reply in (
        Reply.answer("whole"),
        Reply.error(503, "UNAVAILABLE", "a refusal"),
        Reply([b"half"], ending="cut"),
        Reply([b"half"], ending="stall"),
        Reply.answer("whole"),
    ):
        gemini.replies(reply)
        with suppress(UpstreamError), asking(upstream) as call:
            while call.read(0.5 if reply.ending == "stall" else SOON):
                pass
        connections.append(gemini.calls[-1].connection)
    assert connections == [1, 1, 1, 2, 3]


def test_an_answer_that_is_not_read_to_its_end_closes_its_connection(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    gemini.replies(Reply([b"enough", threading.Event()]), Reply.answer("next"))
    upstream = open_upstream(gemini.url)
    with asking(upstream) as call:
        read_until(call, b"enough")
    gemini.calls[0].wait_gone()
    assert whole_answer(upstream) == chunk("next", "STOP")


def test_closing_drops_idle_connections_and_leaves_running_calls(gemini: FakeGemini, open_upstream: Open) -> None:
    gate = threading.Event()
    gemini.replies(Reply([b"one", gate, b"two"]), Reply.answer("kept"))
    upstream = open_upstream(gemini.url)
    with asking(upstream) as call:
        whole_answer(upstream)
        upstream.close()
        gemini.calls[1].wait_gone()
        gate.set()
        assert read_all(call) == b"onetwo"
    gemini.calls[0].wait_gone()


# Proxies


def test_proxies_of_the_environment_are_ignored(
    gemini: FakeGemini, open_upstream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gemini.replies(Reply.answer("direct"))
    with refusing_url() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
            monkeypatch.setenv(name.upper(), proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert whole_answer(open_upstream(gemini.url)) == chunk("direct", "STOP")


def test_a_proxy_is_asked_for_an_address_that_only_it_knows(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply.answer("through the proxy"))
    upstream = open_upstream("http://gemini.invalid", proxy=gemini.url)
    assert whole_answer(upstream) == chunk("through the proxy", "STOP")
    assert gemini.calls[0].path == "http://gemini.invalid" + PATH


@needs_openssl
def test_through_a_proxy_tls_and_a_cancel_reach_gemini_itself(open_upstream: Open) -> None:
    with FakeGemini(tls=True) as gemini, tunnel("200 Connected") as (proxy, heard):
        gemini.replies(Reply([b"half"], ending="stall"))
        upstream = open_upstream(gemini.url, proxy=proxy, certificates=str(gemini.certificate))
        with asking(upstream) as call:
            assert read_until(call, b"half") == b"half"
            call.cancel()
            gemini.calls[0].wait_gone()
    assert heard[0].startswith(b"CONNECT 127.0.0.1:")
    assert KEY.encode() not in b"".join(heard)


def test_a_proxy_that_refuses_is_an_error_for_the_owner(open_upstream: Open) -> None:
    with refusing_url() as proxy, tunnel("407 Proxy Authentication Required") as (strict_proxy, _):
        for way in (proxy, strict_proxy):
            with fails(OwnerError):
                send(open_upstream("https://gemini.invalid", proxy=way).call())
        with fails(OwnerError):
            send(open_upstream("http://gemini.invalid", proxy=proxy).call())


@contextmanager
def tunnel(status: str) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that answers one CONNECT with `status`. Yields its address and the bytes that it has read itself."""
    heard: list[bytes] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while not b"".join(heard).endswith(b"\r\n\r\n"):
                heard.append(client.recv(1))
            client.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if status.startswith("200"):
                host, _, port = b"".join(heard).split()[1].decode().partition(":")
                heard[:] = [b"".join(heard)]
                with socket.create_connection((host, int(port))) as server, ThreadPoolExecutor() as back:
                    back.submit(pump, server, client)
                    pump(client, server)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as thread:
        served = thread.submit(serve)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
        served.result(SOON)


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
