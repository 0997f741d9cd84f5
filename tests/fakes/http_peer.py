"""The server's side of one HTTP/1.1 connection, for tests that control every byte.

A thread of its own always reads each connection, even while an answer is being written. So the moment at which the
client leaves is known exactly, and no unread bytes turn a FIN of ours into an RST.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass

GLANCE = 0.02  # seconds between two checks for the client's leaving, during a wait for something else

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SIOCOUTQNSD = 0x894B  # linux/sockios.h: the unsent bytes in the send queue


class ClientGoneError(ConnectionError):
    """The client has closed its side, or the fake was closed."""


@dataclass(frozen=True)
class Request:
    """One request, read to its end; the names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """One accepted socket. Only `requests` reads from it and closes it; any thread may send.

    The socket never blocks, and each operation on it holds the lock. Two threads must not read and write an OpenSSL
    connection at once, and a file descriptor must not be closed, and its number reused, during a send.
    """

    def __init__(self, connected: socket.socket, number: int) -> None:
        self.number = number
        self.gone = threading.Event()
        self.gone_at = 0.0  # on time.monotonic(), once `gone` is set
        self._socket = connected
        self._lock = threading.Lock()
        self._finished = False
        self._resetting = False
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each send must travel on its own

    def requests(self) -> Generator[Request, None, None]:
        """Yield each request as soon as it is complete, until the client has left. Then close the socket."""
        buffer = bytearray()
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                with suppress(OSError):  # a client may refuse our certificate, and reports that itself
                    self._socket.do_handshake()
            self._socket.setblocking(False)
            while data := self._receive():
                if self._finished:
                    continue  # we have sent a FIN; a real server would ignore this too
                buffer += data
                while (request := _take_request(buffer)) is not None:
                    yield request
        finally:
            self.gone_at = time.monotonic()
            with self._lock:
                self._socket.close()
            self.gone.set()

    def _receive(self) -> bytes:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while True:
            try:
                with self._lock:
                    # reset() simulates the end of input, which TLS would answer with an alert to the client.
                    return b"" if self._resetting else self._socket.recv(65536)
            except _WOULD_BLOCK:
                poller.poll()
            except OSError:  # a reset is another way to leave
                return b""

    def send_in_the_clear(self, data: bytes) -> None:
        """Send a few bytes past TLS, which breaks its stream."""
        with self._lock:
            os.write(self._socket.fileno(), data)

    def send(self, data: bytes, patience: float | None) -> None:
        """Send everything. `patience` is in seconds; None waits until the client leaves."""
        deadline = None if patience is None else time.monotonic() + patience
        unsent = memoryview(data)
        while unsent:
            try:
                with self._lock:
                    unsent = unsent[self._socket.send(unsent) :]
            except _WOULD_BLOCK:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{len(unsent)} bytes were not taken in {patience} s") from None
                self._wait_writable()
            except OSError as error:
                raise ClientGoneError("the client has left") from error

    def _wait_writable(self) -> None:
        poller = select.poll()
        with self._lock:
            if self._socket.fileno() < 0:
                return
            poller.register(self._socket, select.POLLOUT)
        poller.poll(GLANCE * 1000)  # briefly: the descriptor may be closed meanwhile

    def finish(self, notify: bool) -> None:
        """Send a FIN, over TLS with or without close_notify, and continue to read."""
        self._finished = True
        with self._lock:
            if notify and isinstance(self._socket, ssl.SSLSocket):
                with suppress(OSError, ValueError):  # unwrap() wants to wait for the client's close_notify
                    self._socket.unwrap()
            self._shut(socket.SHUT_WR)

    def reset(self, patience: float | None) -> None:
        """Send an RST. Bytes sent before it have reached the client, and on Linux can still be read there."""
        deadline = None if patience is None else time.monotonic() + patience
        # An RST discards the send queue; a test would not know how much its client has received.
        while self._unsent() and not self.gone.wait(0.001):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"the client has not read what was sent for {patience} s")
        with self._lock:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._resetting = True
            self._shut(socket.SHUT_RD)  # sends no packet, but wakes the reader, whose close() sends the RST
        self.gone.wait()

    def _unsent(self) -> int:
        count = array.array("i", [0])
        with self._lock, suppress(OSError, ValueError):  # closed, or not on Linux
            fcntl.ioctl(self._socket.fileno(), _SIOCOUTQNSD, count)
        return count[0]

    def abort(self) -> None:
        """Wake the reading and sending threads. The reader then closes the socket."""
        with self._lock:
            self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        # The plain socket's method: SSLSocket.shutdown() would drop the TLS state that the reader uses.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, how)


def _take_request(buffer: bytearray) -> Request | None:
    split = buffer.find(b"\r\n\r\n")
    if split < 0:
        return None
    first, *lines = buffer[:split].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        earlier = headers.get(name.lower())
        headers[name.lower()] = value.strip() if earlier is None else f"{earlier}, {value.strip()}"
    if "transfer-encoding" in headers:
        raise ValueError("the fake reads no chunked requests: send a Content-Length")
    end = split + 4 + int(headers.get("content-length", "0"))
    if len(buffer) < end:
        return None
    body = bytes(buffer[split + 4 : end])
    del buffer[:end]
    return Request(method, path, headers, body)
