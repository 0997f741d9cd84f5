"""The fake Gemini itself: its scripted replies reach a client, and it leaves nothing behind."""

import itertools
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3
from fakes.gemini import (
    Call,
    ClientGoneError,
    FakeGemini,
    Reply,
    chunk,
    error_body,
    error_info,
    quota_failure,
    refusing_url,
    retry_info,
)
from fakes.proxy import Proxy

pytestmark = pytest.mark.slow

PATH = "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=10) as manager:
        yield manager


def ask(
    pool: urllib3.PoolManager, gemini: FakeGemini, model: str = "gemini-flash-latest", **more: Any
) -> urllib3.BaseHTTPResponse:
    """Ask as the appliance does, without reading the answer's body."""
    url = f"{gemini.url}/v1beta/models/{model}:streamGenerateContent?alt=sse"
    headers = {"x-goog-api-key": "a-key", "Accept-Encoding": "identity"}
    question = {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}
    return pool.request("POST", url, json=question, headers=headers, preload_content=False, redirect=False, **more)


def raw_ask(gemini: FakeGemini, model: str = "gemini-flash-latest", head: str = "") -> socket.socket:
    """Ask over a raw socket, to see the bytes."""
    client = connect(gemini)
    client.sendall(request(model, head))
    return client


def connect(gemini: FakeGemini) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(gemini.url.rpartition(":")[2])), timeout=10)


def request(model: str = "gemini-flash-latest", head: str = "") -> bytes:
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    return f"POST {path} HTTP/1.1\r\nHost: fake\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode()


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = client.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def read_all(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def texts(body: bytes) -> list[str]:
    """The text of each chunk."""
    chunks = [json.loads(line[6:]) for line in body.split(b"\r\n") if line]
    return [entry["candidates"][0]["content"]["parts"][0]["text"] for entry in chunks]


# Written replies


def test_a_written_answer_is_played_and_its_request_is_recorded(
    gemini: FakeGemini, pool: urllib3.PoolManager
) -> None:
    gemini.replies(Reply.answer("Be", "cause."))
    response = ask(pool, gemini)
    assert texts(response.read()) == ["Be", "cause."]
    assert response.headers["Content-Type"] == "text/event-stream"
    (call,) = gemini.calls
    assert (call.method, call.path, call.model) == ("POST", PATH, "gemini-flash-latest")
    assert call.headers["x-goog-api-key"] == "a-key"
    assert call.json["contents"][0]["parts"] == [{"text": "Why?"}]


def test_replies_for_one_model_come_before_those_for_any_and_the_default_comes_last(
    gemini: FakeGemini, pool: urllib3.PoolManager
) -> None:
    gemini.default = Reply.answer("default")
    gemini.replies(Reply.answer("any 1"), Reply.answer("any 2"))
    gemini.replies(Reply.answer("lite"), model="lite")
    asked = ["flash", "lite", "lite", "flash", "flash"]
    answers = [texts(ask(pool, gemini, model).read())[0] for model in asked]
    assert answers == ["any 1", "lite", "any 2", "default", "default"]
    assert [call.model for call in gemini.calls] == asked


def test_a_default_may_depend_on_the_call_or_leave_it_to_the_test(
    gemini: FakeGemini, pool: urllib3.PoolManager
) -> None:
    gemini.default = lambda call: Reply.error(404, "NOT_FOUND", "gone") if call.model == "old" else None
    assert ask(pool, gemini, "old").status == 404
    with raw_ask(gemini) as client:
        gemini.next_call().play(Reply.answer("by hand"))
        assert b"by hand" in read_until(client, b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("framing", "head", "body"),
    [
        ("chunked", b"Transfer-Encoding: chunked", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
        ("length", b"Content-Length: 6", b"onetwo"),
        ("close", b"Connection: close", b"onetwo"),
    ],
)
def test_each_framing_follows_the_standard_byte_by_byte(
    gemini: FakeGemini, framing: Any, head: bytes, body: bytes
) -> None:
    gemini.replies(Reply([b"one", b"two"], headers={"x-extra": "1"}, framing=framing))
    client = raw_ask(gemini)
    if framing != "close":
        client.settimeout(10)
        received = read_until(client, body)
        client.close()
    else:
        received = read_all(client)
    lines, _, rest = received.partition(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head in lines
    assert b"X-Extra: 1" in lines
    assert rest == body


def test_a_connection_serves_several_requests_if_its_framing_allows(
    gemini: FakeGemini, pool: urllib3.PoolManager
) -> None:
    body = [chunk("again", "STOP")]
    for framing in ("chunked", "length", "close", "chunked"):
        gemini.replies(Reply(body, framing=framing))
        assert ask(pool, gemini).read() == body[0]
    assert [call.connection for call in gemini.calls] == [1, 1, 1, 2]


def test_a_client_that_wants_the_connection_closed_gets_it_closed(gemini: FakeGemini) -> None:
    gemini.replies(Reply([b"bye"]))
    assert read_all(raw_ask(gemini, head="Connection: close\r\n")).endswith(b"3\r\nbye\r\n0\r\n\r\n")


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_gzip_can_be_read_chunk_by_chunk(gemini: FakeGemini, pool: urllib3.PoolManager, framing: Any) -> None:
    gate = threading.Event()
    gemini.replies(Reply([chunk("first"), gate, chunk("second", "STOP")], gzip=True, framing=framing))
    response = ask(pool, gemini)
    assert response.headers["Content-Encoding"] == "gzip"
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += response.read1(decode_content=True)
    assert texts(received) == ["first"]
    gate.set()
    assert texts(response.read(decode_content=True)) == ["second"]


def test_one_byte_pieces_are_chunks_of_one_byte(gemini: FakeGemini) -> None:
    gemini.replies(Reply([b"ab", b"c"], piece=1))
    with raw_ask(gemini) as client:
        received = read_until(client, b"0\r\n\r\n")
    assert received.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")


def test_a_gate_holds_back_the_first_byte_and_each_piece_behind_it(gemini: FakeGemini) -> None:
    head, middle = threading.Event(), threading.Event()
    gemini.replies(Reply([b"one", middle, b"two"], before=head))
    with raw_ask(gemini) as client:
        gemini.wait_for_calls(1)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        head.set()
        client.settimeout(10)
        read_until(client, b"3\r\none\r\n")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        middle.set()
        client.settimeout(10)
        assert read_until(client, b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


def test_errors_come_as_json_as_an_array_and_as_a_web_page(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    details = [quota_failure("PerDay"), retry_info("34.4s"), error_info("API_KEY_INVALID")]
    gemini.replies(
        Reply.error(429, "RESOURCE_EXHAUSTED", "Later.", details),
        Reply.error(503, "UNAVAILABLE", "Overloaded.", wrapped=True),
        Reply.html(502),
    )
    refused = ask(pool, gemini)
    error = json.loads(refused.read())["error"]
    assert refused.status == error["code"] == 429
    assert error["details"][0]["violations"] == [{"quotaId": "PerDay"}]
    assert error["details"][1]["retryDelay"] == "34.4s"
    assert error["details"][2]["reason"] == "API_KEY_INVALID"
    assert json.loads(ask(pool, gemini).read())[0]["error"]["status"] == "UNAVAILABLE"
    page = ask(pool, gemini)
    assert (page.status, page.read()[:15]) == (502, b"<!DOCTYPE html>")


def test_a_redirect_names_another_server_and_nothing_reaches_it_unless_followed(
    gemini: FakeGemini, pool: urllib3.PoolManager
) -> None:
    with FakeGemini() as elsewhere:
        gemini.replies(Reply.redirect(f"{elsewhere.url}/taken"))
        response = ask(pool, gemini)
        assert (response.status, response.get_redirect_location()) == (307, f"{elsewhere.url}/taken")
        assert elsewhere.calls == []


def test_a_line_of_ten_megabytes_arrives_whole(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    line = chunk("x" * 10_000_000, "STOP")
    gemini.replies(Reply([line]))
    assert ask(pool, gemini).read() == line


def test_an_endless_answer_ends_when_its_client_leaves(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    ended = threading.Event()

    def forever() -> Iterator[bytes]:
        try:
            for number in itertools.count():
                yield chunk(str(number))
        finally:
            ended.set()

    gemini.replies(Reply(forever()))
    response = ask(pool, gemini)
    assert response.read(1000).startswith(chunk("0"))
    response.close()
    gemini.calls[0].wait_gone()
    assert ended.wait(5)


# Bad endings


def test_a_reset_reaches_the_client_as_a_connection_error(gemini: FakeGemini) -> None:
    gemini.replies(Reply([b"text"], ending="reset"))
    with raw_ask(gemini) as client:
        read_until(client, b"4\r\ntext\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_text_sent_before_a_reset_can_still_be_read(gemini: FakeGemini, size: int) -> None:
    gemini.replies(Reply([b"x" * size], framing="close", ending="reset"))
    received = b""
    with raw_ask(gemini) as client, pytest.raises(ConnectionResetError):
        while True:
            received += client.recv(65536)
    assert received.partition(b"\r\n\r\n")[2] == b"x" * size


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_cut_body_is_a_protocol_error_in_a_framing_with_a_length(
    gemini: FakeGemini, pool: urllib3.PoolManager, framing: Any
) -> None:
    gemini.replies(Reply([chunk("cut")], framing=framing, ending="cut"))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(pool, gemini).read()


def test_a_cut_body_without_framing_ends_silently(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    gemini.replies(Reply([chunk("cut")], framing="close", ending="cut"))
    assert texts(ask(pool, gemini).read()) == ["cut"]


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_a_connection_can_end_before_its_first_byte(
    gemini: FakeGemini, pool: urllib3.PoolManager, ending: Any
) -> None:
    gemini.replies(Reply(status=None, ending=ending))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(pool, gemini)
    assert len(gemini.calls) == 1


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_stalled_answer_is_silence_on_an_open_connection(
    gemini: FakeGemini, pool: urllib3.PoolManager, framing: Any
) -> None:
    gemini.replies(Reply([chunk("and then")], framing=framing, ending="stall"))
    response = ask(pool, gemini, timeout=0.2)
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += response.read1()
    with pytest.raises(TimeoutError, match="still holds"):
        gemini.calls[0].wait_gone(0.01)
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        response.read1()
    gemini.calls[0].wait_gone()  # urllib3 closes the connection when it gives up


# Calls driven by hand


def test_a_call_is_driven_by_hand_while_the_client_reads(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    with ExitStack() as stack:
        responses: list[urllib3.BaseHTTPResponse] = []
        client = threading.Thread(target=lambda: responses.append(ask(pool, gemini)))
        client.start()
        stack.callback(client.join)
        call = gemini.next_call()
        assert (call.model, call.json["contents"][0]["role"]) == ("gemini-flash-latest", "user")
        call.start(headers={"X-Extra": "1"})
    (response,) = responses
    assert response.headers["X-Extra"] == "1"
    call.text("hm", thought=True, model_version="gemini-3.8-flash", usage={"thoughtsTokenCount": 9})
    assert json.loads(response.read1()[6:]) == {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}], "role": "model"}, "index": 0}],
        "usageMetadata": {"thoughtsTokenCount": 9},
        "modelVersion": "gemini-3.8-flash",
    }
    call.text(None, usage={"thoughtsTokenCount": 20})
    assert json.loads(response.read1()[6:]) == {"usageMetadata": {"thoughtsTokenCount": 20}}
    call.text(None, "STOP")
    assert json.loads(response.read1()[6:])["candidates"] == [{"finishReason": "STOP", "index": 0}]
    call.send(error_body(500, "INTERNAL", "raw {brace}"))
    assert response.read1().startswith(b'{\n  "error": {')
    call.end()
    assert response.read() == b""


def test_several_calls_are_open_at_once_and_taken_by_model(gemini: FakeGemini) -> None:
    with ExitStack() as stack:
        models = [f"model-{number}" for number in range(6)]
        clients = [stack.enter_context(raw_ask(gemini, model=model)) for model in models]
        calls = [gemini.next_call(model=model) for model in reversed(models)][::-1]
        for call in calls:
            call.start()
        for call, client in zip(calls, clients, strict=True):
            assert call.model is not None
            call.send(call.model.encode())
            read_until(client, b"\r\n7\r\n" + call.model.encode() + b"\r\n")
        for call, client in zip(calls, clients, strict=True):
            call.end()
            assert read_until(client, b"0\r\n\r\n")


def test_bytes_other_than_http_can_be_sent_too(gemini: FakeGemini, pool: urllib3.PoolManager) -> None:
    with raw_ask(gemini) as client:
        call = gemini.next_call()
        call.send_raw(b"garbage\r\n")
        call.close()
        assert read_all(client) == b"garbage\r\n"


def test_a_broken_promise_of_length_fails_the_test(gemini: FakeGemini) -> None:
    with raw_ask(gemini):
        call = gemini.next_call()
        with pytest.raises(RuntimeError, match="start"):
            call.text("too early")
        with pytest.raises(ValueError, match="length"):
            call.start(framing="length")
        call.start(framing="length", length=4)
        with pytest.raises(RuntimeError, match="already"):
            call.start()
        call.send(b"abc")
        with pytest.raises(RuntimeError, match="1 bytes"):
            call.end()
        with pytest.raises(ValueError, match="2 bytes"):
            call.send(b"de")
        call.close()


def test_the_moment_of_a_clients_leaving_is_known_even_when_asked_late(gemini: FakeGemini) -> None:
    client = raw_ask(gemini)
    call = gemini.next_call()
    call.start()
    with pytest.raises(TimeoutError, match="still holds"):
        call.wait_gone(0.01)
    before = time.monotonic()
    client.close()
    gone = call.wait_gone()
    assert before <= gone <= time.monotonic()
    assert call.wait_gone() == gone
    with pytest.raises(ClientGoneError):
        call.text("to nobody")


def test_a_client_that_resets_has_left_as_well(gemini: FakeGemini) -> None:
    client = raw_ask(gemini)
    call = gemini.next_call()
    call.start()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    call.wait_gone()


def test_the_wait_for_a_client_that_does_not_read_is_bounded(gemini: FakeGemini) -> None:
    with raw_ask(gemini):
        call = gemini.next_call()
        call.start()
        call.patience = 0.05
        with pytest.raises(TimeoutError, match="not taken"):
            call.send(b"x" * 50_000_000)
        with pytest.raises(TimeoutError, match="not read"):
            call.reset()


def test_a_wait_in_vain_for_a_request_lists_those_that_came(gemini: FakeGemini) -> None:
    gemini.default = Reply.answer("scripted")
    with raw_ask(gemini) as client:
        read_until(client, b"0\r\n\r\n")
        assert [call.model for call in gemini.wait_for_calls(1)] == ["gemini-flash-latest"]
        with pytest.raises(TimeoutError, match="gemini-flash-latest"):
            gemini.next_call(0.01)
        with pytest.raises(TimeoutError):
            gemini.wait_for_calls(2, 0.01)


# Failures reach the test


def test_a_failing_script_is_raised_at_the_end_and_leaves_no_client_waiting(
    pool: urllib3.PoolManager,
) -> None:
    def broken() -> Iterator[bytes]:
        yield chunk("one")
        raise ZeroDivisionError("in the script")

    with pytest.raises(ZeroDivisionError, match="in the script"), FakeGemini() as gemini:
        gemini.replies(Reply(broken()))
        with pytest.raises(urllib3.exceptions.ProtocolError):
            ask(pool, gemini).read()


def test_a_failing_default_ends_the_wait_for_a_call_at_once(pool: urllib3.PoolManager) -> None:
    def broken(call: Call) -> Reply:
        raise ZeroDivisionError("in the default")

    start = time.monotonic()
    with pytest.raises(ZeroDivisionError), FakeGemini() as gemini:
        gemini.default = broken
        with raw_ask(gemini):
            gemini.next_call(60)
    assert time.monotonic() - start < 30


def test_several_failures_are_raised_together() -> None:
    with pytest.raises(ExceptionGroup) as raised, FakeGemini() as gemini:
        for number in (1, 2):
            with raw_ask(gemini):
                gemini.wait_for_calls(number)
    assert len(raised.value.exceptions) == 2


def test_an_unanswered_request_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="nobody answered <Call POST"), FakeGemini() as gemini:
        raw_ask(gemini).close()
        gemini.wait_for_calls(1)


def test_a_request_sent_into_an_unfinished_answer_is_a_failure() -> None:
    with pytest.raises(RuntimeError, match="unfinished"), FakeGemini() as gemini:
        gemini.default = Reply([b"half"], ending="stall")
        with raw_ask(gemini) as client:
            read_until(client, b"half\r\n")
            client.sendall(request())
            assert client.recv(1) == b""


def test_a_failure_of_the_test_itself_goes_first() -> None:
    with pytest.raises(KeyError) as raised, FakeGemini() as gemini, raw_ask(gemini):
        gemini.wait_for_calls(1)
        raise KeyError("the test's own")
    assert "nobody answered" in raised.value.__notes__[0]


# Nothing is left behind


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("tls", [False, pytest.param(True, marks=needs_openssl)])
def test_closing_ends_every_thread_and_socket_in_any_state_of_the_clients(tls: bool) -> None:
    threads, files = threading.active_count(), descriptors()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    with ExitStack() as stack:
        with FakeGemini(tls) as gemini:

            def connected() -> socket.socket:
                client = stack.enter_context(connect(gemini))
                return stack.enter_context(context.wrap_socket(client)) if tls else client

            scripts = {
                "idle": Reply([b"x"]),
                "stalled": Reply([b"x"], ending="stall"),
                "gated": Reply([threading.Event()]),
                "unread": Reply(itertools.repeat(b"x" * 100_000)),
                "half-closed": Reply([b"x"], framing="close"),
            }
            for model, reply in scripts.items():
                gemini.replies(reply, model=model)
            clients = [connected() for _ in range(6)]
            for client, model in zip(clients, [*scripts, "by-hand"], strict=True):
                client.sendall(request(model))
            gemini.next_call().start()
            connected()  # sends nothing
            connected().sendall(b"POST / HTTP/1.1\r\nContent-Le")
            stack.enter_context(connect(gemini))  # with TLS: makes no handshake
            for client in clients:
                assert client.recv(15) == b"HTTP/1.1 200 OK"
            assert gemini.leftovers() != []
        assert gemini.leftovers() == []
        assert threading.active_count() == threads
        for client in clients:
            client.close()
    assert descriptors() == files


def test_after_closing_early_connections_are_refused(gemini: FakeGemini) -> None:
    gemini.close()
    gemini.close()
    with pytest.raises(ConnectionRefusedError):
        raw_ask(gemini)


def test_a_refusing_url_refuses(pool: urllib3.PoolManager) -> None:
    with refusing_url() as url, pytest.raises(urllib3.exceptions.NewConnectionError):
        pool.request("GET", url)


# TLS


@needs_openssl
def test_a_client_that_does_not_trust_the_certificate_sends_no_request(pool: urllib3.PoolManager) -> None:
    with FakeGemini(tls=True) as gemini:
        with pytest.raises(urllib3.exceptions.SSLError, match="self-signed"):
            ask(pool, gemini)
        assert gemini.calls == []


@needs_openssl
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_client_that_trusts_the_certificate_is_served(framing: Any) -> None:
    with FakeGemini(tls=True) as gemini:
        context = ssl.create_default_context(cafile=gemini.certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
        gemini.default = Reply([chunk("x" * 1_000_000), chunk("", "STOP")], framing=framing)
        with urllib3.PoolManager(retries=False, timeout=10, ssl_context=context) as pool:
            for _ in range(2):
                assert len(texts(ask(pool, gemini).read())[0]) == 1_000_000
        assert [call.connection for call in gemini.calls] == ([1, 2] if framing == "close" else [1, 1])


@needs_openssl
def test_over_tls_a_clean_end_a_cut_and_a_reset_differ_in_their_bytes() -> None:
    with FakeGemini(tls=True) as gemini:
        context = ssl.create_default_context(cafile=gemini.certificate)

        def behind_the_text(ending: Any) -> bytes:
            gemini.replies(Reply([b"text"], framing="close", ending=ending))
            with context.wrap_socket(connect(gemini), server_hostname="127.0.0.1") as client:
                client.sendall(request())
                read_until(client, b"text")
                # Below TLS: Python reports a cut and a reset alike, as an EOF in violation of the protocol.
                return socket.socket.recv(client, 65536)

        assert len(behind_the_text("clean")) > 0  # the closing alert
        assert behind_the_text("cut") == b""
        with pytest.raises(ConnectionResetError):
            behind_the_text("reset")


@needs_openssl
def test_over_tls_the_client_leaving_is_seen_while_the_answer_is_written() -> None:
    with FakeGemini(tls=True) as gemini:
        context = ssl.create_default_context(cafile=gemini.certificate)
        gemini.default = Reply(itertools.repeat(chunk("on and on ")))
        with urllib3.PoolManager(retries=False, timeout=10, ssl_context=context) as pool:
            response = ask(pool, gemini)
            assert len(response.read(100_000)) == 100_000
            response.close()
            gemini.calls[0].wait_gone()


# ---- The proxy


def test_bytes_that_still_wait_when_the_proxy_ends_reach_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as appliance:
        for _ in range(100):
            with Proxy(appliance.getsockname()[1]) as proxy:
                port = int(proxy.url.rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)) as client:
                    connected, _ = appliance.accept()
                    proxy.stall()
                    client.sendall(b"POST /ask HTTP/1.1\r\n\r\n")
            with connected:
                assert connected.recv(100) == b""
