"""One streaming request: bytes as they arrive, status, timeouts, and a cancel that works at any moment.

The only module with urllib3. Facts about it that decided the code (2.8, measured on loopback):
- `read1()` returns at once what has arrived, decoded; `stream(n)` waits for whole chunks.
- No redirects: urllib3 would follow one to any host, with the key. No retries: a question must never be asked
  twice. A cut chunked body raises, a cut body that ends with its connection does not: the dialect
  requires a finish reason.
- Its timeouts are for one receive: a server that sends a byte a second never meets them. So each receive gets only
  what is left until the deadline of its call (`_TimedStream`).
- A blocked reader is woken by shutting its socket down. `response.shutdown()` exists only after the headers,
  so the connection notes its socket before the request is sent.
- A network that goes away says nothing (a router that starts anew, Wi-Fi that drops): so the system probes silent
  connections, idle ones too, and a dead connection is not mistaken for a silent server.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from ..clock import face
from ..errors import (
    ApplianceError,
    Cancelled,
    ComputerAway,
    OwnerError,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from ..sentences import Sentence
from .destination import addresses

log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
_PROBES = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""A connection without a sign of life for 30 seconds is dead (Linux, tcp(7); other systems know some of these)."""


_HOME_CONNECT_SECONDS = 3.0
"""A computer of the house takes a connection at once, or is off: nobody waits for it as for the internet."""


@dataclass(frozen=True)
class Clocks:
    """Timeouts in seconds: for a connection; from a question to its first text, whatever is asked for it meanwhile
    (see `generation`); and for progress (text or counted tokens) once the answer has begun.
    """

    connect: float = 10
    first_byte: float = 300
    progress: float = 90


class Upstream:
    """The connections to one server at `base_url` (http or https), through `proxy` if there is one. `provider`: its
    name in sentences.

    A connection is kept for the next question when an answer was read to its end. `certificates`: a file of
    certificates to trust instead of the system's. `is_at_home`: the server is a computer of the house.
    `only_at_home`: nothing is sent to an address that is not of the house, whatever the server's name leads to.
    """

    def __init__(
        self,
        base_url: str,
        clocks: Clocks | None = None,
        proxy: str | None = None,
        certificates: str | None = None,
        *,
        provider: str,
        is_at_home: bool = False,
        only_at_home: bool = False,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.clocks = clocks or Clocks()
        self.provider = provider
        self.is_at_home = is_at_home
        self.only_at_home = only_at_home
        settings: dict[str, Any] = {
            "retries": False,
            "maxsize": 32,  # idle connections; one more would be closed after use, with a warning
            "socket_options": [
                *HTTPConnection.default_socket_options,
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                *(
                    (socket.IPPROTO_TCP, getattr(socket, name), value)
                    for name, value in _PROBES.items()
                    if hasattr(socket, name)
                ),
            ],
        }
        if proxy or self.base_url.startswith("https:"):
            # One context for all connections: loading the certificates costs 21 ms of CPU each time.
            settings["ssl_context"] = ssl.create_default_context(cafile=certificates)
        self._pool: urllib3.PoolManager = (
            urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
        )
        self._pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    @property
    def connect_seconds(self) -> float:
        """For how long a connection is waited for."""
        return min(self.clocks.connect, _HOME_CONNECT_SECONDS) if self.is_at_home else self.clocks.connect

    def call(self) -> Call:
        """A request that has not been sent yet, so that it can be cancelled from the first moment on."""
        return Call(self._pool, self)

    def close(self) -> None:
        """Close the idle connections; calls under way are not affected."""
        for key in self._pool.pools.keys():  # noqa: SIM118 - it is no mapping; its keys() are a safe copy
            self._pool.pools[key].close()
        self._pool.clear()


class Call:
    """One request and its response. `open()`, `read()` and `close()` belong to one thread, `cancel()` to any."""

    def __init__(self, pool: urllib3.PoolManager, upstream: Upstream) -> None:
        self._pool = pool
        self._upstream = upstream
        self._lock = threading.Lock()
        self._cancelled = False
        self._deadline = 0.0  # of the current step, on time.monotonic()
        self._socket: socket.socket | None = None
        self._response: urllib3.BaseHTTPResponse | None = None

    def open(self, path: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """Send the request (a POST, or without a body a GET) and wait for the response's headers, `timeout` seconds
        in all; returns its status.

        Raises `UpstreamUnreachable`, `UpstreamSilent`, `UpstreamCut`, `OwnerError` (a proxy that refuses) or
        `Cancelled`.
        """
        self._stop_if_cancelled()
        self._deadline = time.monotonic() + timeout
        failure: ApplianceError | Cancelled | None = None
        _calls.current = self
        try:
            response = self._pool.request(
                "POST" if body else "GET",
                self._upstream.base_url + path,
                body=body,
                headers={**headers, "Accept-Encoding": "identity"},
                timeout=urllib3.Timeout(connect=min(self._upstream.connect_seconds, timeout), read=timeout),
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except OwnerError as error:  # the wall, see `destination`
            failure = error.with_traceback(None)
        except (HTTPError, OSError) as error:
            failure = self._error(error)
        finally:
            _calls.current = None
        if failure is not None:
            # Raised out here, without its cause: that would keep the connection alive, and could quote the headers.
            if self._socket is not None:
                self._socket.close()
            raise failure
        self._response = response
        self._stop_if_cancelled()
        return response.status

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers, their names in lower case; none before it has come."""
        fields = () if self._response is None else self._response.headers.items()
        return {name.lower(): value for name, value in fields}

    def read(self, timeout: float) -> bytes:
        """The next bytes of the body, as soon as there are any; `b""` at its end.

        Raises `UpstreamSilent` if there are none within `timeout` seconds, `UpstreamCut` or `Cancelled`.
        """
        response = self._response
        if response is None:
            raise RuntimeError("read() before open()")
        self._stop_if_cancelled()
        failure: ApplianceError | Cancelled | None = None
        data = b""
        self._deadline = time.monotonic() + timeout
        try:
            data = response.read1(_READ_BYTES)
        except (HTTPError, OSError) as error:
            failure = self._error(error)
        if failure:
            raise failure
        self._stop_if_cancelled()
        return data

    def read_short(self, limit: int, timeout: float) -> bytes:
        """As much of a short body (an error) as arrives within `timeout` seconds, up to `limit` bytes; it may be
        cut or stall. Raises `Cancelled`.
        """
        pieces: list[bytes] = []
        size = 0
        deadline = time.monotonic() + timeout
        with contextlib.suppress(UpstreamError):
            while size < limit and (piece := self.read(deadline - time.monotonic())):
                pieces.append(piece)
                size += len(piece)
        return b"".join(pieces)[:limit]

    def cancel(self) -> None:
        """End the call at once, from any thread and at any moment: the blocked reader gets `Cancelled`, and the
        server sees the connection close.
        """
        with self._lock:
            self._cancelled = True
            self._shut_down()

    def close(self) -> None:
        """Return the connection to the pool if the body was read to its end, else close it."""
        response, self._response = self._response, None
        if response is not None:
            if response.closed:  # read to its end
                response.release_conn()
            else:
                self._shut_down()
                with contextlib.suppress(HTTPError, OSError):
                    response.close()
        self._socket = None

    def addresses(self, host: str, port: int) -> list[str] | None:
        """The addresses to connect to; None: the system finds them. Raises OSError or OwnerError."""
        upstream = self._upstream
        if upstream.only_at_home or (upstream.is_at_home and host.endswith(".local")):
            return addresses(upstream.provider, host, port, upstream.only_at_home)
        return None

    def seconds_left(self) -> float:
        """The time that is left for the current step. Raises TimeoutError if there is none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _note_socket(self, sock: socket.socket | None) -> None:
        with self._lock:
            self._socket = sock
            if self._cancelled:
                self._shut_down()

    def _shut_down(self) -> None:
        # After the end of the body the connection is back in the pool: it may be another call's by now.
        if self._socket is not None and not (self._response is not None and self._response.closed):
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _stop_if_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled

    def _error(self, error: Exception) -> ApplianceError | Cancelled:
        if self._cancelled:
            return Cancelled()
        detail, provider = _described(error), self._upstream.provider
        if isinstance(error, ProxyError):
            return OwnerError(_PROXY_REFUSES if "Tunnel connection failed" in detail else _PROXY_IS_SILENT, detail)
        if self._socket is None and isinstance(error, SSLError | ssl.SSLError):
            return UpstreamUnreachable(provider, detail, sentence=_insecure(error, provider))
        if self._socket is None:  # no name, no route, refused, or a failed handshake: nothing has been asked yet
            return (ComputerAway if self._upstream.is_at_home else UpstreamUnreachable)(provider, detail)
        # The probes of a dead connection end in a timeout, too, long before the deadline.
        is_late = time.monotonic() >= self._deadline - _EARLY_SECONDS
        if is_late and isinstance(error, ReadTimeoutError | TimeoutError):
            return UpstreamSilent(provider, detail)
        return UpstreamCut(provider, detail)


class _Calls(threading.local):
    """The call that this thread is opening: urllib3 makes the connections itself and offers no hook for them."""

    current: Call | None = None


_calls = _Calls()


class _TimedStream(io.RawIOBase):
    """The bytes of one response, for `call`: each receive has only the time that the call has left."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._call = call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._call.seconds_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedSocket:
    """All that http.client asks of a socket for a response."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._socket = sock
        self._call = call

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedStream(self._socket, self._call))


class _TimedResponse(HTTPResponse):
    """The response to the call that this thread is opening, or of the proxy that it is opened through."""

    def __init__(self, sock: Any, *arguments: Any, **more: Any) -> None:
        call = _calls.current
        timed: Any = sock if call is None else _TimedSocket(sock, call)
        super().__init__(timed, *arguments, **more)


class _NotedHTTPConnection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        """Connect to the addresses that the call allows, in the time for one; requests still name the host."""
        host = self._dns_host
        try:
            found = _calls.current.addresses(host, self.port) if _calls.current is not None else None
        except OSError as error:
            raise NameResolutionError(host, self, socket.gaierror(*error.args)) from error
        if found is None:
            return super()._new_conn()
        seconds = self.timeout if isinstance(self.timeout, int | float) else Clocks.connect
        deadline = time.monotonic() + seconds
        failure: HTTPError = NewConnectionError(self, f"{host} has no address")
        for address in found:
            self._dns_host, self.timeout = address, max(0.1, deadline - time.monotonic())
            try:
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            finally:
                self._dns_host, self.timeout = host, seconds
        raise failure

    def connect(self) -> None:
        super().connect()
        self._note()

    def getresponse(self) -> Any:
        # Again, for a reused connection; and before super(), because a response that closes its connection takes
        # the socket away from it.
        self._note()
        return super().getresponse()

    def _note(self) -> None:
        if _calls.current is not None:
            _calls.current._note_socket(self.sock)


class _NotedHTTPSConnection(_NotedHTTPConnection, HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _NotedHTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _NotedHTTPSConnection


_EARLY_SECONDS = 0.05  # by which the timeout of a socket may come before its time
_PROXY_IS_SILENT = Sentence("The proxy of the appliance does not answer. The owner can look after it.")
_PROXY_REFUSES = Sentence("The proxy of the appliance refuses the connection. The owner can look after it.")
_WRONG_TIME = (9, 10)
"""Not valid yet, and not any more (OpenSSL, X509_STORE_CTX_get_error(3))."""


def _insecure(error: Exception, provider: str) -> Sentence:
    """What a failed TLS handshake means."""
    cause = error.args[0] if error.args else None
    if getattr(cause, "verify_code", None) in _WRONG_TIME:
        return Sentence(
            "The secure connection to %(provider)s failed. After a power cut the clock of the appliance can"
            " be wrong: it says %(now)s. It mends itself when the internet is back.",
            provider=provider,
            now=face(),
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Sentence(
            "Something else answers in the place of %(provider)s: its certificate is not trusted. It can be the"
            " sign-in page of the network, or a filter. The owner can check the network of the appliance.",
            provider=provider,
        )
    return Sentence(
        "The secure connection to %(provider)s failed. The owner can check the network of the appliance.",
        provider=provider,
    )


def _described(error: Exception) -> str:
    """An error for the log, without urllib3's repr of the connection."""
    said = re.sub(r"^.*?[>)]: ", "", str(error))
    return f"{type(error).__name__}: {said}"[:200]
