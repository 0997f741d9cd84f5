"""Waitress as the appliance needs it: threads in reserve, readers that leave or sleep, and an orderly end."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from fakes.server import serving
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import RequestEntityTooLarge

from kindle_appliance.web import parser as parser_module
from kindle_appliance.web import server as server_module
from kindle_appliance.web import tasks as tasks_module
from kindle_appliance.web.server import RESERVED_THREADS, Server


def url(server: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def connect(server: Server, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    return client


def test_each_chunk_goes_out_before_the_next_is_made() -> None:
    more = threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        assert more.wait(20)
        yield b"second"

    with serving(application) as server:
        response = urllib3.request("GET", url(server), preload_content=False)
        assert response.read1(100) == b"first"
        more.set()
        assert response.read1(100) == b"second"


def test_pages_are_served_while_every_follower_waits() -> None:
    release = threading.Event()
    waiting = threading.Semaphore(0)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/follow":
            yield b"x"
            waiting.release()
            release.wait(20)
        else:
            yield b"page"

    with serving(application, followers=6) as server:
        followers = [connect(server, "/follow") for _ in range(6)]
        for _ in followers:
            assert waiting.acquire(timeout=20)
        for _ in range(RESERVED_THREADS):
            assert urllib3.request("GET", url(server, "/page"), timeout=10).data == b"page"
        release.set()
        for client in followers:
            client.close()


def test_a_disconnected_reader_is_noticed_while_nothing_is_sent() -> None:
    gone = threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"x"
        pause = threading.Event()
        for _ in range(400):
            if environ["waitress.client_disconnected"]():
                gone.set()
                return
            pause.wait(0.05)

    with serving(application) as server:
        client = connect(server, "/")
        received = b""
        while not received.endswith(b"x\r\n"):  # else it might leave while that is sent, which ends the response
            received += client.recv(1000)
        client.close()
        assert gone.wait(20)


def test_a_stalled_reader_holds_little_memory_and_only_its_own_thread() -> None:
    sent = [0]
    stuck = threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/page":
            yield b"page"
            return
        for _ in range(2000):
            yield b"x" * 10_000  # 20 MB in total
            sent[0] += 10_000
        stuck.set()

    with serving(application) as server:
        client = connect(server, "/endless")
        assert urllib3.request("GET", url(server, "/page"), timeout=10).data == b"page"
        assert not stuck.wait(2), "the application waits for its reader"
        assert sent[0] < 8_000_000, "no more than the kernel's buffers and ours hold"
        client.close()


def test_unfinished_responses_end_in_order_when_the_server_closes() -> None:
    begun, finish = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"begun"
        begun.set()
        finish.wait(20)
        yield b", done"

    server = Server(application, "127.0.0.1", 0, 4)
    thread = threading.Thread(target=server.run)
    thread.start()
    port = server.port
    client = connect(server, "/")
    assert begun.wait(20)
    server.stop()
    thread.join(20)
    assert not thread.is_alive()
    finish.set()
    server.close(10)
    received = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"begun" in received and b", done" in received and received.endswith(b"0\r\n\r\n")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_connection_that_came_just_before_the_end_is_still_answered() -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"page"]

    server = Server(application, "127.0.0.1", 0, 4)
    thread = threading.Thread(target=server.run)
    thread.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        assert (
            urllib3.request("GET", url(server), timeout=10).data == b"page"
        )  # so the server has accepted the one before
        server.stop()
        thread.join(20)
        closing = threading.Thread(target=server.close, args=(10,))
        closing.start()
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"page")
        closing.join(20)
    assert not closing.is_alive()


def test_the_server_checks_whether_it_answers_its_own_requests() -> None:
    release = threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/hangs":
            release.wait(20)
        start("503 Service Unavailable" if environ["PATH_INFO"] == "/ill" else "200 OK", [])
        return [b"page"]

    with serving(application) as server:
        assert server.answers("/well", 20)
        assert not server.answers("/ill", 20)
        with pytest.raises(TimeoutError):
            server.answers("/hangs", 0.2)
        release.set()


def test_listening_sockets_from_outside_are_served_and_stay_open_for_their_owner() -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"page"]

    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        server = Server(application, "ignored.invalid", 0, 4, [first.dup(), second.dup()])
        thread = threading.Thread(target=server.run)
        thread.start()
        for each in (first, second):
            address = f"http://127.0.0.1:{each.getsockname()[1]}/"
            assert urllib3.request("GET", address, timeout=10).data == b"page"
        server.stop()
        thread.join(20)
        server.close(2)
        socket.create_connection(first.getsockname(), timeout=5).close()


def test_a_taken_port_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        Server(lambda environ, start: [], "127.0.0.1", taken.getsockname()[1], 4)


def test_a_body_beyond_the_limit_is_refused_before_the_application_sees_it() -> None:
    seen: list[str] = []

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        start("200 OK", [])
        return [b""]

    with serving(application) as server:
        response = urllib3.request("POST", url(server), body=b"x" * 300_000, retries=False, timeout=10)
        assert response.status == 413
        assert not seen


@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_client_that_asks_first_whether_to_send_a_body_may_send_it(body: bytes) -> None:
    """curl asks so before a large body. Without a body there is nothing to wait for, but waitress would."""
    received: list[bytes] = []

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        received.append(environ["wsgi.input"].read())
        start("200 OK", [("Content-Length", "4")])
        return [b"page"]

    with serving(application) as server, socket.create_connection(("127.0.0.1", server.port), 20) as client:
        for _ in range(2):
            head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(body))
            if body:
                assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.sendall(body)
            response = b""
            while not response.endswith(b"page"):
                response += client.recv(1000)
            assert response.startswith(b"HTTP/1.1 200 OK")
    assert received == [body, body]


# What server.py, tasks.py and parser.py touch inside waitress. No documentation promises it: setup.cfg admits
# patch releases only.

INSIDE = {
    "wasyncore": "close_all loop",
    "the server": "accepting adj channel_class pull_trigger task_dispatcher",
    "the task dispatcher": "add_task",
    "Adjustments": """
        asyncore_use_poll channel_request_lookahead clear_untrusted_proxy_headers connection_limit host ident
        log_socket_errors max_request_body_size max_request_header_size outbuf_high_watermark port socket_options
        sockets
    """,
    "HTTPChannel": """
        adj close_when_flushed creation_time current_outbuf_count error_task_class handle_close handle_read
        last_activity outbufs parser_class readable received recv request requests send server service task_class
        total_outbufs_len will_close write_soon
    """,
    "HTTPRequestParser": """
        body_rcv chunked command completed connection_close content_length error expect_continue header_plus headers
        headers_finished path proxy_netloc received request_uri
    """,
    "Task": "channel chunked_response request write",
    "ErrorTask": "channel content_length execute request response_headers set_close_on_finish status write",
    "WSGITask": "channel close_on_finish finish get_environment set_close_on_finish version",
    "the buffer of a channel": "append get skip close __len__",
    "Error": "code",
}


@pytest.fixture
def waitress_objects() -> Iterator[dict[str, Any]]:
    """One of each, as waitress makes them, so that attributes of instances count too."""
    server: Any = create_server(lambda environ, start: [], host="127.0.0.1", port=0, map={})
    near, far = socket.socketpair()
    with near, far:
        parser: Any = HTTPRequestParser(server.adj)
        parser.received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        channel = HTTPChannel(server, near, ("127.0.0.1", 1), server.adj, {})
        yield {
            "wasyncore": wasyncore,
            "the server": server,
            "the task dispatcher": server.task_dispatcher,
            "Adjustments": server.adj,
            "HTTPChannel": channel,
            "HTTPRequestParser": parser,
            "Task": Task(channel, parser),
            "ErrorTask": ErrorTask(channel, parser),
            "WSGITask": WSGITask(channel, parser),
            "Error": RequestEntityTooLarge(""),
            "the buffer of a channel": channel.outbufs[0],
        }
    server.task_dispatcher.shutdown(timeout=1)
    server.close()


def check_inside(objects: dict[str, Any]) -> None:
    """Fail with a sentence that names what a release of waitress no longer has."""
    missing = [
        f"{name} has no {attribute}"
        for name, attributes in INSIDE.items()
        for attribute in attributes.split()
        if not hasattr(objects[name], attribute)
    ]
    assert not missing, (
        f"kindle_appliance/web/server.py does not work with waitress {importlib.metadata.version('waitress')}:"
        f" {', '.join(missing)}."
    )


def test_waitress_has_inside_what_the_server_touches(waitress_objects: dict[str, Any]) -> None:
    check_inside(waitress_objects)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("HTTPChannel", "total_outbufs_len"),  # of the class
        ("HTTPChannel", "creation_time"),  # of the instance only
        ("HTTPRequestParser", "request_uri"),  # of a parser that has read a request
    ],
)
def test_a_release_of_waitress_that_lacks_a_name_is_told_by_that_name(
    waitress_objects: dict[str, Any], name: str, attribute: str
) -> None:
    kept = {each: None for each in INSIDE[name].split() if each != attribute}
    with pytest.raises(AssertionError, match=rf"with waitress \d\S+: {name} has no {attribute}\.\n"):
        check_inside(waitress_objects | {name: SimpleNamespace(**kept)})


def test_the_list_is_complete_for_the_classes_that_the_server_derives() -> None:
    derived, mixed_in = {}, set()
    for node in ast.parse("".join(map(inspect.getsource, (parser_module, tasks_module, server_module)))).body:
        if isinstance(node, ast.ClassDef) and node.bases and ast.unparse(node.bases[0]) in INSIDE:
            derived[ast.unparse(node.bases[0])] = node
            if node.name == "_Bodiless":
                mixed_in = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    assert set(derived) == {"HTTPChannel", "HTTPRequestParser", "Task", "ErrorTask", "WSGITask", "Error"}
    for base, node in derived.items():
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        own = {each.name for each in methods} | mixed_in
        for method in methods:
            if method.name == "__init__":
                own |= {each.attr for each in of_self(method) if isinstance(each.ctx, ast.Store)}
        unlisted = {each.attr for each in of_self(node)} - own - set(INSIDE[base].split())
        assert not unlisted, f"{node.name} touches {unlisted}"


def of_self(node: ast.AST) -> Iterator[ast.Attribute]:
    """Each `self.name` in there."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
            yield each
