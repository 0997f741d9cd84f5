"""The HTTP server: waitress with its limits and timeouts. Besides it, only `parser.py` and `tasks.py`
know waitress.

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
idle client can only evict itself. If all of them are busy, a new client gets a second to send its request, which
says in which language it is refused.

What all clients together have not read is bounded, too. Beyond that, connections are closed: first those whose
client has read nothing for five seconds; of these, those of the address that holds most; of these, the one that has
read nothing for longest. So a client that reads, however slowly, outlasts a crowd that does not.

An upload is handed to the application as soon as its headers have come, with its body as a stream (`body.py`). The
deadlines of requests do not hold for it, and its connection closes afterwards.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from ..errors import BUSY, ReaderError
from ..host.network import source_of
from .body import USUAL_PACE, Body, Pace
from .parser import Parser
from .tasks import WATERMARK_BYTES, ApplicationTask, RefusalTask
from .threads import Threads
from .unread import Unread

RESERVED_THREADS = 10
"""One thread for the script's seat, one for a book that comes in, and eight for pages and questions, while every
follower has a thread."""

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024

_SEND_BUFFER_BYTES = 64 * 1024  # for one connection (Linux doubles it); without it, the buffer grows to 4 MB
_PROGRESS_BYTES = 8 * 1024
_STILL_SECONDS = 5.0
_CHECK_SECONDS = 1.0
_LAST_SECONDS = 1.0  # for threads to end whose connections do not
_SURPLUS_SECONDS = 1.0  # for a request that cannot be served to arrive; then its language is known
_MOST_SURPLUS = 16
_USER_TIMEOUT_MS = 60_000
_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only


@dataclass(frozen=True)
class Limits:
    """Limits for connections.

    `connections`: the total, besides one for each follower; `per_address`: from one address; `idle_seconds`: until
    a request begins; `head_seconds` and `request_seconds`: from the first byte of a request to the end of its
    headers, and to its end; `stall_seconds`: for a client to read 8 KB, or the rest of a response if that is less;
    `unread_bytes`: of the responses that clients have not read, in all; `drop_seconds`: for the rest of an upload
    that has been answered; `pace`: of an upload.
    """

    connections: int = 368
    per_address: int = 64
    idle_seconds: float = 60
    head_seconds: float = 10
    request_seconds: float = 30
    stall_seconds: float = 60
    unread_bytes: int = 32 * 1024 * 1024
    drop_seconds: float = 60
    pace: Pace = USUAL_PACE


USUAL_LIMITS = Limits()


class Server:
    """Serves `application` (WSGI) on `host` and `port` (0: any free port), or on sockets that already listen.

    `is_proxy`: whether an address is a proxy's; its connections belong to many clients and have no limit per
    address. `language`: the house's, for refusals, or None for what each browser asks for. `uploads`: the paths
    whose POSTs are handed over with their headers, whatever the length of their bodies. Raises OSError if it cannot
    listen.
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
        language: str | None = None,
        uploads: Collection[str] = (),
    ) -> None:
        if not sockets:
            socket.getaddrinfo(host, port)  # raises OSError for an unknown name; waitress would raise ValueError
        where: dict[str, Any] = {"sockets": list(sockets)} if sockets else {"host": host, "port": port}
        self.language = language
        self.uploads = uploads
        self.limits = limits
        self._is_stopping = False
        self._max_connections = limits.connections + followers
        self._is_proxy = is_proxy
        self._next_check = 0.0
        self._threads = Threads(followers + RESERVED_THREADS)
        self._map: dict[int, Any] = {}
        self._server = create_server(
            application,
            map=self._map,
            **where,
            _dispatcher=cast(Any, self._threads),
            channel_request_lookahead=1,
            outbuf_high_watermark=WATERMARK_BYTES,
            max_request_body_size=MAX_BODY_BYTES + 1,  # waitress refuses a body of exactly this size
            max_request_header_size=MAX_HEADER_BYTES,
            # Beyond it, waitress would accept no more.
            connection_limit=2 * (self._max_connections + _MOST_SURPLUS),
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

    def answers(self, path: str, seconds: float, cookie: str = "") -> bool:
        """Whether the server answers a request to itself with 200. No step may take longer than `seconds`.

        `cookie`: a header's value. Raises OSError if there is no answer.
        """
        headers = f"Host: 127.0.0.1\r\nCookie: {cookie}\r\nConnection: close\r\n"
        with socket.create_connection((self.own_address, self.port), seconds) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer.startswith(b"HTTP/1.1 200 ")

    def run(self) -> None:
        """Serve until `stop()`."""
        while not self._is_stopping:
            self._run_once(_CHECK_SECONDS)

    def stop(self) -> None:
        """Make `run()` return at once; can be called by a signal handler or another thread."""
        self._is_stopping = True
        self._wake()

    def close(self, seconds: float) -> None:
        """Accept no new connections, wait up to `seconds` for responses to end, then close all connections."""
        deadline = time.monotonic() + seconds
        for each in self._listening():
            each.accepting = False
        for channel in self._channels():
            if channel.upload:
                channel.upload.send_away(ReaderError(BUSY, 503))
        while time.monotonic() < deadline and any(map(_is_active, list(self._map.values()))):
            self._run_once(0.02)
        self._threads.shutdown(_LAST_SECONDS)
        wasyncore.close_all(self._map)

    def bound_unread(self) -> None:
        """Have connections closed until the rest holds no more than the limit; called by any thread."""
        unread = {each: each.total_outbufs_len for each in self._channels() if not each.must_close}
        surplus = sum(unread.values()) - self.limits.unread_bytes
        if surplus <= 0:
            return
        held: Counter[str] = Counter()
        for each, size in unread.items():
            held[each.source] += size
        long_ago = time.monotonic() - _STILL_SECONDS

        def order(each: _Channel) -> tuple[bool, bool, int, float]:
            return not unread[each], each.progressed_at > long_ago, -held[each.source], each.progressed_at

        while surplus > 0:
            first = min(unread, key=order)
            first.must_close = True
            held[first.source] -= unread[first]
            surplus -= unread.pop(first)
        self._wake()

    def _wake(self) -> None:
        """Have the loop check every connection now."""
        self._next_check = 0.0
        for each in self._listening():
            each.pull_trigger()

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
                each.end_if_late(now, self.limits)

    def _accept(self, server: BaseWSGIServer, client: socket.socket, address: Any, adj: Any, map: Any) -> None:
        """Accept a connection. Above the limits, another one is closed for it; if all are busy, it is surplus."""
        open_now = [each for each in self._channels() if not (each.will_close or each.must_close)]
        candidates = [each for each in open_now if not each.is_surplus]
        own = [each for each in candidates if each.source == source_of(address[0])]
        if len(own) >= self.limits.per_address and not self._is_proxy(address[0]):
            candidates = own
        elif len(candidates) < self._max_connections:
            candidates = []
        waiting = [each for each in candidates if each.awaits_request or each.drops_upload]
        unread = [each for each in candidates if each.has_unread_response]
        is_surplus = bool(candidates and not (waiting or unread))
        surplus = [each for each in open_now if each.is_surplus]
        if is_surplus and len(surplus) >= _MOST_SURPLUS:
            unread = surplus
        # It is not closed here: the new connection would get its file descriptor, and with that the events that the
        # poll has found for it.
        if waiting:
            min(waiting, key=lambda each: each.waiting_since).will_close = True
        elif unread:
            min(unread, key=lambda each: each.progressed_at).must_close = True
            self._next_check = 0.0
        _Channel(self, is_surplus, server, client, address, adj, map)


class _Channel(HTTPChannel):
    """One connection and its timeouts, all on `time.monotonic()`."""

    task_class = ApplicationTask
    error_task_class = RefusalTask

    # Waitress counts here, so that it can begin a buffer of its own when one has grown large.
    current_outbuf_count = property(lambda self: 0, lambda self, count: None)

    def __init__(
        self,
        house: Server,
        is_surplus: bool,
        server: BaseWSGIServer,
        client: socket.socket,
        address: Any,
        adj: Any,
        map: Any,
    ) -> None:
        self.house = house
        self.is_surplus = is_surplus
        self.source = source_of(address[0])
        self.must_close = False  # even if its client has not read everything
        self.waiting_since = self.progressed_at = time.monotonic()
        self._sent_bytes = 0  # since then
        self.upload: Body | None = None
        self._is_last = False
        super().__init__(server, client, address, adj, map)
        self.outbufs: list[Any] = [Unread()]

    def parser_class(self, adj: Any) -> Parser:  # type: ignore[override]  # waitress only calls it
        return Parser(adj, self.house.uploads, self._begin_upload)

    def _begin_upload(self, length: int, kind: str, asks_first: bool) -> Body:
        allow = partial(self.write_soon, b"HTTP/1.1 100 Continue\r\n\r\n") if asks_first else None
        self.upload = Body(length, kind, self.server.pull_trigger, allow, self.house.limits.pace)
        return self.upload

    @property
    def drops_upload(self) -> bool:
        """Whether the connection receives the rest of an upload that has been answered."""
        return self._is_last and self.upload is not None and self.upload.is_dropped

    @property
    def close_when_flushed(self) -> bool:
        """Whether the response under way is the last one. Then waitress receives no more, and closes the connection
        when the client has read it; an upload must have come to its end before.
        """
        return self._is_last and not self.drops_upload

    @close_when_flushed.setter
    def close_when_flushed(self, is_last: bool) -> None:
        if is_last and self.upload:
            self.upload.drop()
        self._is_last = is_last

    def readable(self) -> bool:
        return bool(super().readable() if self.upload is None else self.upload.room and not self.will_close)

    def handle_read(self) -> None:
        if self.upload is None:
            super().handle_read()
        elif room := self.upload.room:
            try:
                self.upload.feed(self.recv(room))
            except OSError:
                self.handle_close()

    def handle_close(self) -> None:
        if self.upload:
            self.upload.lose()
        super().handle_close()

    @property
    def awaits_request(self) -> bool:
        """Whether the connection waits for a request, or for the rest of one."""
        return not (self.requests or self.total_outbufs_len or self._is_last)

    @property
    def has_unread_response(self) -> bool:
        """Whether all requests are answered and the client has not read everything.

        Since `progressed_at` it has read less than `_PROGRESS_BYTES`.
        """
        return bool(self.total_outbufs_len and not self.requests)

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent = int(super().send(data, do_close=do_close))
        self._sent_bytes += sent
        if self._sent_bytes >= _PROGRESS_BYTES:
            self.progressed_at, self._sent_bytes = time.monotonic(), 0
        return sent

    def write_soon(self, data: bytes) -> int:
        written = int(super().write_soon(data))
        if self.total_outbufs_len:
            self.house.bound_unread()
        return written

    def received(self, data: bytes) -> bool:
        if not self.is_surplus:
            return bool(super().received(data))
        # It has to be answered in this thread, since all others are busy.
        self.request = self.request or Parser(self.adj)
        self.request.received(data)
        if self.request.completed and not self.request.empty:
            self.refuse(503)
        return True

    def refuse(self, status: int) -> None:
        """Answer what has arrived of a request with an error; called only by the loop. It does not block."""
        request: Any = self.request or Parser(self.adj)
        request.refuse(status)
        self.requests, self.request = [request], None
        self.service()

    def end_if_late(self, now: float, limits: Limits) -> None:
        """Close the connection if one of its timeouts has passed; called only by the loop."""
        if not self.total_outbufs_len:
            self.progressed_at, self._sent_bytes = now, 0
        if self.must_close or now - self.progressed_at > limits.stall_seconds:
            self.handle_close()  # `will_close` would wait until the socket can be written to
        elif self.drops_upload and self.upload and now - self.waiting_since > limits.drop_seconds:
            self.upload.lose()
        elif self.awaits_request and self.is_surplus and now - self.waiting_since > _SURPLUS_SECONDS:
            self.refuse(503)
        elif self.awaits_request and isinstance(self.request, Parser):
            seconds = limits.request_seconds if self.request.headers_finished else limits.head_seconds
            if now - max(self.request.begun, self.waiting_since) > seconds:
                self.refuse(408)
        elif self.awaits_request and now - self.waiting_since > limits.idle_seconds:
            self.will_close = True


def _is_active(each: object) -> bool:
    """Whether a connection has a request or response under way; a new one counts, too, until its first byte."""
    if not isinstance(each, HTTPChannel):
        return False
    is_new = each.last_activity == each.creation_time
    return bool(is_new or each.request or each.requests or each.total_outbufs_len)
