"""Waitress with its threads, caps and deadlines; the only module with it.

Measured on waitress 3.0.2: each chunk that the application yields goes out at once. A stream holds a thread to its
end, so there are threads for all followers and a reserve for pages. `channel_request_lookahead=1` makes readers
that leave noticeable. A slow reader's chunks would pile up to 20 MB: the watermark holds them at a few hundred KB
and its thread waits; a reader that sleeps without a goodbye is ended by the kernel (TCP_USER_TIMEOUT).
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

RESERVED_THREADS = 8
"""For pages and questions while all followers are served."""

_MAX_BODY_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 32 * 1024
_MAX_CONNECTIONS = 400
_OUTPUT_BYTES = 256 * 1024
_IDLE_SECONDS = 60
_SLEEPING_READER_MS = 60_000
_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only


class Server:
    """Serves `application` (WSGI) on `host` and `port` (0: any free one), or on sockets that listen already. Raises
    OSError if it cannot listen.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        host: str,
        port: int,
        followers: int,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        if not sockets:
            socket.getaddrinfo(host, port)  # waitress would make a ValueError of a name that nobody knows
        where: dict[str, Any] = {"sockets": list(sockets)} if sockets else {"host": host, "port": port}
        self._is_stopping = False
        self._map: dict[int, Any] = {}
        self._server = create_server(
            application,
            map=self._map,
            **where,
            threads=followers + RESERVED_THREADS,
            channel_request_lookahead=1,
            outbuf_high_watermark=_OUTPUT_BYTES,
            max_request_body_size=_MAX_BODY_BYTES,
            max_request_header_size=_MAX_HEADER_BYTES,
            connection_limit=_MAX_CONNECTIONS,
            channel_timeout=_IDLE_SECONDS,
            log_socket_errors=False,
            ident=None,
            asyncore_use_poll=True,
        )
        if _TCP_USER_TIMEOUT is not None:
            options = self._server.adj.socket_options
            timeout = (socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _SLEEPING_READER_MS)
            self._server.adj.socket_options = [*options, timeout]
        # It tells of every reader that leaves, and warns of every request that waits for a thread for a moment.
        logging.getLogger("waitress").setLevel(logging.WARNING)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    @property
    def host(self) -> str:
        """The address it really listens on."""
        return str(self._listening()[0].getsockname()[0])

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return int(self._listening()[0].getsockname()[1])

    def answers(self, path: str, seconds: float) -> bool:
        """Whether a request over its own socket is answered with 200; no step of it may take longer than `seconds`.
        Raises OSError if no answer comes.
        """
        host, port = self._listening()[0].getsockname()[:2]
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
        with socket.create_connection((loopback.get(host, host), port), seconds) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer.startswith(b"HTTP/1.1 200 ")

    def run(self) -> None:
        """Serve until `stop()`."""
        while not self._is_stopping:
            self._pump(1.0)

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

    def _pump(self, seconds: float) -> None:
        wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)


def _is_busy(each: object) -> bool:
    """Whether a connection waits for something; a fresh one has been accepted and not been heard yet."""
    if not isinstance(each, HTTPChannel):
        return False
    is_fresh = each.last_activity == each.creation_time
    return bool(is_fresh or each.request or each.requests or each.total_outbufs_len)
