"""Waitress with its threads, caps and deadlines; the only module with it.

Measured on waitress 3.0.2: each chunk that the application yields goes out at once. A stream holds a thread to its
end, so there are threads for all followers and a reserve for pages. `channel_request_lookahead=1` makes readers
that leave noticeable. A slow reader's chunks would pile up to 20 MB: the watermark holds them at a few hundred KB
and its thread waits; a reader that sleeps without a goodbye is ended by the kernel (TCP_USER_TIMEOUT).

Waitress alone has one clock, which every byte sets back: a client that sends one a second is never timed out, and
one that never reads keeps its connection for ever. So each connection (`_Channel`) has three clocks of its own,
looked at once a second: for an idle one, for a request that is arriving, for a response that is not taken. Where
there are too many connections, in all or from one address, the one that has waited longest for a request makes
room, or else the one that has not taken its response for longest: who holds places without asking or reading
anything pushes out nobody but himself. What is refused here, before it reaches the routes, is refused with its
status and one sentence.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error, RequestEntityTooLarge

from ..errors import BUSY, NOT_UNDERSTOOD, OWN_MISTAKE, TOO_MUCH
from ..sentences import Sentence, choose_language
from .headers import NO_PAGE, SECURITY_HEADERS

RESERVED_THREADS = 8
"""For pages and questions while all followers are served."""

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADER_FIELDS = 64
MAX_LINE_BYTES = 2048
"""Of a request line. The longest of ours has about 40."""

_SKIPPED_BYTES = 1024 * 1024
_OUTPUT_BYTES = 256 * 1024
_KERNEL_BYTES = 64 * 1024  # of output on its way (Linux takes twice that); left alone it grows to 4 MB
_LEAST_BYTES = 8 * 1024
_LOOK_SECONDS = 1.0
_SLEEPING_READER_MS = 60_000
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
    """What connections may take. `connections`: in all, besides one for each follower; `per_address`: from one
    address; `idle_seconds`: until a request begins; `head_seconds` and `request_seconds`: from its first byte until
    its headers, and all of it, have come; `stall_seconds`: for a reader to take 8 KB, if there is so much.
    """

    connections: int = 368
    per_address: int = 64
    idle_seconds: float = 60
    head_seconds: float = 10
    request_seconds: float = 30
    stall_seconds: float = 60


USUAL_LIMITS = Limits()


class Server:
    """Serves `application` (WSGI) on `host` and `port` (0: any free one), or on sockets that listen already. Raises
    OSError if it cannot listen.

    `is_proxy`: whether many clients come from this address, which then has no cap of its own.
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
            socket.getaddrinfo(host, port)  # waitress would make a ValueError of a name that nobody knows
        where: dict[str, Any] = {"sockets": list(sockets)} if sockets else {"host": host, "port": port}
        self._is_stopping = False
        self._limits = limits
        self._most = limits.connections + followers
        self._is_proxy = is_proxy
        self._next_look = 0.0
        self._map: dict[int, Any] = {}
        self._server = create_server(
            application,
            map=self._map,
            **where,
            threads=followers + RESERVED_THREADS,
            channel_request_lookahead=1,
            outbuf_high_watermark=_OUTPUT_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,  # what it takes for too large already
            max_request_header_size=MAX_HEADER_BYTES,
            connection_limit=2 * self._most,  # where it would stop to listen; `_welcome` comes before
            clear_untrusted_proxy_headers=False,  # the guard looks at them
            log_socket_errors=False,
            ident=None,
            asyncore_use_poll=True,
        )
        options = [*self._server.adj.socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)]
        if _TCP_USER_TIMEOUT is not None:
            options.append((socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _SLEEPING_READER_MS))
        self._server.adj.socket_options = options
        for each in self._listening():
            each.channel_class = self._welcome  # type: ignore[assignment]  # it is called, and no more
        # It tells of every reader that leaves, and warns of every request that waits for a thread for a moment.
        logging.getLogger("waitress").setLevel(logging.WARNING)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    @property
    def host(self) -> str:
        """The address it really listens on."""
        return str(self._listening()[0].getsockname()[0])

    @property
    def own_address(self) -> str:
        """The address at which this machine itself reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return int(self._listening()[0].getsockname()[1])

    def answers(self, path: str, seconds: float) -> bool:
        """Whether a request over its own socket is answered with 200; no step of it may take longer than `seconds`.
        Raises OSError if no answer comes.
        """
        with socket.create_connection((self.own_address, self.port), seconds) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer.startswith(b"HTTP/1.1 200 ")

    def run(self) -> None:
        """Serve until `stop()`."""
        while not self._is_stopping:
            self._pump(_LOOK_SECONDS)

    def stop(self) -> None:
        """Make `run()` return at once; may be called by a signal handler or another thread."""
        self._is_stopping = True
        for each in self._listening():
            each.pull_trigger()

    def close(self, seconds: float) -> None:
        """Take no new connections, let responses under way end for up to `seconds`, then close them all."""
        deadline = time.monotonic() + seconds
        for each in self._listening():
            each.accepting = False
        while time.monotonic() < deadline and any(map(_is_busy, list(self._map.values()))):
            self._pump(0.02)
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def _listening(self) -> list[BaseWSGIServer]:
        return [each for each in list(self._map.values()) if isinstance(each, BaseWSGIServer)]

    def _channels(self) -> list[_Channel]:
        return [each for each in list(self._map.values()) if isinstance(each, _Channel)]

    def _pump(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            for each in self._channels():
                each.end_if_late(now, self._limits)

    def _welcome(self, server: BaseWSGIServer, client: socket.socket, address: Any, adj: Any, map: Any) -> None:
        """Take a new connection in, if there is room or room can be made."""
        crowd = [each for each in self._channels() if not (each.will_close or each.is_let_go)]
        own = [each for each in crowd if each.address == address[0]]
        if len(own) >= self._limits.per_address and not self._is_proxy(address[0]):
            crowd = own
        elif len(crowd) < self._most:
            crowd = []
        waiting = [each for each in crowd if each.is_waiting]
        unread = [each for each in crowd if each.is_unread]
        # Not closed here: the new connection would get its number, and what the poll has found for that.
        if waiting:
            min(waiting, key=lambda each: each.waiting_since).will_close = True
        elif unread:
            min(unread, key=lambda each: each.moved).is_let_go = True
            self._next_look = 0.0
        elif crowd:
            with suppress(OSError):
                client.send(_busy())
            client.close()
            return
        _Channel(server, client, address, adj, map)


class _Parser(HTTPRequestParser):
    """Takes in a request: within the library's limits of size, and ours of its line and its number of headers."""

    path = ""  # which the library logs, also of a request that has none

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
        except ValueError:  # the library lets it through for an address such as http://[
            self.refuse(400)
            return len(data)
        if len(head.lstrip(b"\r\n").partition(b"\n")[0]) > MAX_LINE_BYTES:
            self.refuse(414)
        elif self.headers_finished and len(self.headers) > MAX_HEADER_FIELDS:
            self.refuse(431)
        elif isinstance(self.error, RequestEntityTooLarge) and not self.expect_continue:
            # A browser sends a form to its end before it reads. If we closed on it, it would only see that.
            self._to_skip = self.content_length if self.content_length <= _SKIPPED_BYTES else 0
            self.completed = not self._to_skip
        # The library would say "100 Continue" to what it has refused, and parse the same headers again.
        self.expect_continue = self.expect_continue and self.error is None
        return consumed

    def refuse(self, status: int) -> None:
        """Answer this request with an error, whatever of it has come."""
        self.error = _Refusal(status)
        self.completed = True


class _Refusal(Error):
    def __init__(self, status: int) -> None:
        super().__init__("")
        self.code = status


class _RefusalTask(ErrorTask):
    """Says in a sentence why a request never reached the routes."""

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
    """One request for the application."""

    def finish(self) -> None:
        super().finish()
        channel: Any = self.channel
        channel.waiting_since = time.monotonic()
        # The next request, if it is here already, would wait with its thread until this response is taken.
        self.close_on_finish |= channel.total_outbufs_len > _OUTPUT_BYTES // 2


class _Channel(HTTPChannel):
    """One connection and its clocks, all on `time.monotonic()`."""

    task_class = _Task
    error_task_class = _RefusalTask
    parser_class = _Parser

    def __init__(self, server: BaseWSGIServer, client: socket.socket, address: Any, adj: Any, map: Any) -> None:
        self.address = address[0]
        self.is_let_go = False  # to be closed, whatever it has not taken
        self.waiting_since = self.moved = time.monotonic()
        self._taken = self._taken_then = 0
        super().__init__(server, client, address, adj, map)

    @property
    def is_waiting(self) -> bool:
        """Whether a request, or the rest of one, is what it waits for."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    @property
    def is_unread(self) -> bool:
        """Whether all that it was asked has been answered, and its client has yet to take it; since `moved` it has
        taken nothing worth mentioning.
        """
        return bool(self.total_outbufs_len and not self.requests)

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent = int(super().send(data, do_close=do_close))
        self._taken += sent
        return sent

    def end_if_late(self, now: float, limits: Limits) -> None:
        """Close a connection whose client has let one of its clocks run out; called by the loop only."""
        if not self.total_outbufs_len or self._taken - self._taken_then >= _LEAST_BYTES:
            self.moved, self._taken_then = now, self._taken
        if self.is_let_go or now - self.moved > limits.stall_seconds:
            self.handle_close()  # `will_close` would wait until there is room to send
        elif self.is_waiting and isinstance(self.request, _Parser):
            seconds = limits.request_seconds if self.request.headers_finished else limits.head_seconds
            if now - max(self.request.begun, self.waiting_since) > seconds:
                self.request.refuse(408)
                self.requests, self.request = [self.request], None
                self.service()  # here: it waits for nobody, and every thread may be busy
        elif self.is_waiting and now - self.waiting_since > limits.idle_seconds:
            self.will_close = True


def _refusal(status: int, language: str, is_script: bool) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body."""
    sentence = _SENTENCES.get(status, _SENTENCES[400]).to(language)
    if is_script:
        kind, body = "application/json", json.dumps({"error": sentence}, ensure_ascii=False)
    else:
        kind, title = "text/html", f"{status} {HTTPStatus(status).phrase}"
        body = f'<!DOCTYPE html>\n<html lang="{language}"><title>{title}</title><h1>{escape(sentence)}</h1>\n'
    headers = [("Content-Type", f"{kind}; charset=utf-8"), NO_PAGE, *SECURITY_HEADERS]
    if status == 503:
        headers.append(("Retry-After", "2"))
    return f"{status} {HTTPStatus(status).phrase}", headers, body.encode()


def _busy() -> bytes:
    """A whole response for a client that there is no room for."""
    status, headers, body = _refusal(503, "en", False)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _is_busy(each: object) -> bool:
    """Whether a connection waits for something; a fresh one has been accepted and not been heard yet."""
    if not isinstance(each, HTTPChannel):
        return False
    is_fresh = each.last_activity == each.creation_time
    return bool(is_fresh or each.request or each.requests or each.total_outbufs_len)
