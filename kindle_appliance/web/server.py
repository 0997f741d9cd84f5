"""The HTTP server: waitress with its threads, limits and timeouts. The only module with waitress.

Measured on waitress 3.0.2: each chunk that the application yields is sent at once. A stream occupies a thread until
it ends, so there is a thread for each follower, and a reserve for pages. `channel_request_lookahead=1` makes it
possible to notice that a client has disconnected. A slow client's chunks would fill up to 20 MB of buffers: the
watermark stops that at a few hundred KB, and the thread waits. The kernel closes the connection of a client that
fell asleep without closing it (TCP_USER_TIMEOUT).

Waitress itself has only one timeout, and every byte restarts it: a client that sends one byte a second is never
timed out, and a client that never reads keeps its connection for ever. So each connection (`_Channel`) has three
timeouts of its own, checked once a second: for an idle connection, for a request that arrives slowly, and for a
response that the client does not read. When there are too many connections, in total or from one address, the
connection that has been idle longest is closed, or else the one whose client has read nothing for longest. So an
idle client can only evict itself. Requests rejected before routing get a proper status and a page of one sentence.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error, RequestEntityTooLarge

from ..errors import BUSY, NOT_UNDERSTOOD, OWN_MISTAKE, TOO_MUCH
from ..host.network import source_of
from ..sentences import Sentence, choose_language
from . import templates
from .headers import NO_PAGE, SECURITY_HEADERS

RESERVED_THREADS = 9
"""One thread for the script's seat, and eight for pages and questions, while every follower has a thread."""

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADER_FIELDS = 64
MAX_LINE_BYTES = 2048
"""The greatest length of a request line. The longest that our pages send has about 40 bytes."""

_MAX_SKIPPED_BYTES = 1024 * 1024
_WATERMARK_BYTES = 256 * 1024
_SEND_BUFFER_BYTES = 64 * 1024  # for one connection (Linux doubles it); without it, the buffer grows to 4 MB
_PROGRESS_BYTES = 8 * 1024
_CHECK_SECONDS = 1.0
_USER_TIMEOUT_MS = 60_000
_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only

_SENTENCES = {
    400: NOT_UNDERSTOOD,
    408: Sentence("The request took too long to arrive. Please try again."),
    413: TOO_MUCH,
    414: Sentence("This address is too long."),
    431: Sentence("The browser sends too much along with its request. Deleting its cookies helps."),
    500: OWN_MISTAKE,
    503: BUSY,
}


@dataclass(frozen=True)
class Limits:
    """Limits for connections.

    `connections`: the total, besides one for each follower; `per_address`: from one address; `idle_seconds`: until
    a request begins; `head_seconds` and `request_seconds`: from the first byte of a request to the end of its
    headers, and to its end; `stall_seconds`: for a client to read 8 KB, or the rest of a response if that is less.
    """

    connections: int = 368
    per_address: int = 64
    idle_seconds: float = 60
    head_seconds: float = 10
    request_seconds: float = 30
    stall_seconds: float = 60


USUAL_LIMITS = Limits()


class Server:
    """Serves `application` (WSGI) on `host` and `port` (0: any free port), or on sockets that already listen.

    `is_proxy`: whether an address is a proxy's; its connections belong to many clients and have no limit per
    address. Raises OSError if it cannot listen.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        host: str,
        port: int,
        followers: int,
        sockets: Sequence[socket.socket] = (),
        limits: Limits = USUAL_LIMITS,
        is_proxy: Callable[[str], bool] = lambda address: False,
    ) -> None:
        if not sockets:
            socket.getaddrinfo(host, port)  # raises OSError for an unknown name; waitress would raise ValueError
        where: dict[str, Any] = {"sockets": list(sockets)} if sockets else {"host": host, "port": port}
        self._is_stopping = False
        self._limits = limits
        self._max_connections = limits.connections + followers
        self._is_proxy = is_proxy
        self._next_check = 0.0
        self._map: dict[int, Any] = {}
        self._server = create_server(
            application,
            map=self._map,
            **where,
            threads=followers + RESERVED_THREADS,
            channel_request_lookahead=1,
            outbuf_high_watermark=_WATERMARK_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,  # waitress refuses a body of exactly this size
            max_request_header_size=MAX_HEADER_BYTES,
            connection_limit=2 * self._max_connections,  # above it waitress stops accepting; `_accept` acts earlier
            clear_untrusted_proxy_headers=False,  # the guard checks them
            log_socket_errors=False,
            ident=None,
            asyncore_use_poll=True,
        )
        options = [*self._server.adj.socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)]
        if _TCP_USER_TIMEOUT is not None:
            options.append((socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _USER_TIMEOUT_MS))
        self._server.adj.socket_options = options
        for each in self._listening():
            each.channel_class = self._accept  # type: ignore[assignment]  # waitress only calls it
        # Waitress logs every client that disconnects, and warns of every request that waits a moment for a thread.
        logging.getLogger("waitress").setLevel(logging.WARNING)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    @property
    def host(self) -> str:
        """The address on which the server listens."""
        return str(self._listening()[0].getsockname()[0])

    @property
    def own_address(self) -> str:
        """The address at which this machine itself reaches the server."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self._listening()[0].getsockname()[1])

    def answers(self, path: str, seconds: float) -> bool:
        """Whether the server answers a request to itself with 200. No step may take longer than `seconds`.

        Raises OSError if there is no answer.
        """
        with socket.create_connection((self.own_address, self.port), seconds) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer.startswith(b"HTTP/1.1 200 ")

    def run(self) -> None:
        """Serve until `stop()`."""
        while not self._is_stopping:
            self._run_once(_CHECK_SECONDS)

    def stop(self) -> None:
        """Make `run()` return at once; can be called by a signal handler or another thread."""
        self._is_stopping = True
        for each in self._listening():
            each.pull_trigger()

    def close(self, seconds: float) -> None:
        """Accept no new connections, wait up to `seconds` for responses to end, then close all connections."""
        deadline = time.monotonic() + seconds
        for each in self._listening():
            each.accepting = False
        while time.monotonic() < deadline and any(map(_is_active, list(self._map.values()))):
            self._run_once(0.02)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def _listening(self) -> list[BaseWSGIServer]:
        return [each for each in list(self._map.values()) if isinstance(each, BaseWSGIServer)]

    def _channels(self) -> list[_Channel]:
        return [each for each in list(self._map.values()) if isinstance(each, _Channel)]

    def _run_once(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            for each in self._channels():
                each.end_if_late(now, self._limits)

    def _accept(self, server: BaseWSGIServer, client: socket.socket, address: Any, adj: Any, map: Any) -> None:
        """Accept a new connection if the limits allow it or another one can be closed for it."""
        candidates = [each for each in self._channels() if not (each.will_close or each.must_close)]
        own = [each for each in candidates if each.source == source_of(address[0])]
        if len(own) >= self._limits.per_address and not self._is_proxy(address[0]):
            candidates = own
        elif len(candidates) < self._max_connections:
            candidates = []
        waiting = [each for each in candidates if each.awaits_request]
        unread = [each for each in candidates if each.has_unread_response]
        # It is not closed here: the new connection would get its file descriptor, and with that the events that the
        # poll has found for it.
        if waiting:
            min(waiting, key=lambda each: each.waiting_since).will_close = True
        elif unread:
            min(unread, key=lambda each: each.progressed_at).must_close = True
            self._next_check = 0.0
        elif candidates:
            with suppress(OSError):
                client.send(_busy_response())
            client.close()
            return
        _Channel(server, client, address, adj, map)


class _Parser(HTTPRequestParser):
    """Parses a request. Adds limits for the request line and the number of headers to waitress's limits of size."""

    path = ""  # waitress logs it, even for a request without a path

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.begun = time.monotonic()
        self._to_skip = 0

    def received(self, data: bytes) -> int:
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            self.completed = not self._to_skip
            return skipped
        head = b"" if self.headers_finished else self.header_plus + data
        try:
            consumed = super().received(data)
        except ValueError:  # from waitress, for a URL such as http://[
            self.refuse(400)
            return len(data)
        if len(head.lstrip(b"\r\n").partition(b"\n")[0]) > MAX_LINE_BYTES:
            self.refuse(414)
        elif self.headers_finished and len(self.headers) > MAX_HEADER_FIELDS:
            self.refuse(431)
        elif isinstance(self.error, RequestEntityTooLarge) and not self.expect_continue:
            # A browser sends a whole form before it reads the response. If we closed the connection earlier, it
            # would report a lost connection and not show our page.
            self._to_skip = self.content_length if self.content_length <= _MAX_SKIPPED_BYTES else 0
            self.completed = not self._to_skip
        # For a request that it has refused, waitress would send "100 Continue" and parse the same headers again.
        self.expect_continue = self.expect_continue and self.error is None
        return consumed

    def refuse(self, status: int) -> None:
        """Answer this request with an error, however much of it has arrived."""
        self.error = _Refusal(status)
        self.completed = True


class _Refusal(Error):
    def __init__(self, status: int) -> None:
        super().__init__("")
        self.code = status


class _RefusalTask(ErrorTask):
    """Answers a request that is rejected before routing, with one sentence."""

    def execute(self) -> None:
        request: Any = self.request
        accepts_json = "application/json" in request.headers.get("ACCEPT", "")
        is_script = accepts_json or getattr(request, "request_uri", "").startswith("/api/")
        language = choose_language(request.headers.get("ACCEPT_LANGUAGE", ""))
        self.status, headers, body = _refusal(request.error.code, language, is_script)
        self.response_headers = headers
        self.content_length = len(body)
        self.set_close_on_finish()
        self.write(body)


class _Task(WSGITask):
    """Answers one request with the application."""

    def finish(self) -> None:
        super().finish()
        channel: Any = self.channel
        channel.waiting_since = time.monotonic()
        # A next request that is already here would occupy a thread until the client has read this response.
        self.close_on_finish |= channel.total_outbufs_len > _WATERMARK_BYTES // 2


class _Channel(HTTPChannel):
    """One connection and its timeouts, all on `time.monotonic()`."""

    task_class = _Task
    error_task_class = _RefusalTask
    parser_class = _Parser

    def __init__(self, server: BaseWSGIServer, client: socket.socket, address: Any, adj: Any, map: Any) -> None:
        self.source = source_of(address[0])
        self.must_close = False  # even if its client has not read everything
        self.waiting_since = self.progressed_at = time.monotonic()
        self._sent_bytes = self._sent_bytes_then = 0
        super().__init__(server, client, address, adj, map)

    @property
    def awaits_request(self) -> bool:
        """Whether the connection waits for a request, or for the rest of one."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    @property
    def has_unread_response(self) -> bool:
        """Whether all requests are answered and the client has not read everything.

        Since `progressed_at` it has read less than `_PROGRESS_BYTES`.
        """
        return bool(self.total_outbufs_len and not self.requests)

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent = int(super().send(data, do_close=do_close))
        self._sent_bytes += sent
        return sent

    def end_if_late(self, now: float, limits: Limits) -> None:
        """Close the connection if one of its timeouts has passed; called only by the loop."""
        if not self.total_outbufs_len or self._sent_bytes - self._sent_bytes_then >= _PROGRESS_BYTES:
            self.progressed_at, self._sent_bytes_then = now, self._sent_bytes
        if self.must_close or now - self.progressed_at > limits.stall_seconds:
            self.handle_close()  # `will_close` would wait until the socket can be written to
        elif self.awaits_request and isinstance(self.request, _Parser):
            seconds = limits.request_seconds if self.request.headers_finished else limits.head_seconds
            if now - max(self.request.begun, self.waiting_since) > seconds:
                self.request.refuse(408)
                self.requests, self.request = [self.request], None
                self.service()  # in this thread: it does not block, and all other threads may be busy
        elif self.awaits_request and now - self.waiting_since > limits.idle_seconds:
            self.will_close = True


def _refusal(status: int, language: str, is_script: bool) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the status line, headers and body of a rejection."""
    sentence = _SENTENCES.get(status, _SENTENCES[400]).to(language)
    if is_script:
        kind, body = "application/json", json.dumps({"error": sentence}, ensure_ascii=False)
    else:
        kind, title = "text/html", f"{status} {HTTPStatus(status).phrase}"
        body = templates.refusal(language, title, sentence)
    headers = [("Content-Type", f"{kind}; charset=utf-8"), NO_PAGE, *SECURITY_HEADERS]
    if status == 503:
        headers.append(("Retry-After", "2"))
    return f"{status} {HTTPStatus(status).phrase}", headers, body.encode()


def _busy_response() -> bytes:
    """Return a complete response for a client above the limits."""
    status, headers, body = _refusal(503, "en", False)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _is_active(each: object) -> bool:
    """Whether a connection has a request or response under way; a new one counts, too, until its first byte."""
    if not isinstance(each, HTTPChannel):
        return False
    is_new = each.last_activity == each.creation_time
    return bool(is_new or each.request or each.requests or each.total_outbufs_len)
