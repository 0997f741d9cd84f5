"""A client that is only a connection: it reads when a test says so, and closes when the test ends."""

from __future__ import annotations

import socket


def connect(port: int, address: str = "127.0.0.1", takes: int | None = None) -> socket.socket:
    """A connection from `address`; `takes`: the bytes that its kernel buffers unread, by default many."""
    client = socket.socket()
    if takes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    client.settimeout(30)
    client.bind((address, 0))
    client.connect(("127.0.0.1", port))
    return client


def read_to_end(client: socket.socket) -> bytes:
    received = bytearray()
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionError:  # the server has closed with bytes still unread
        pass
    return bytes(received)


def is_open(client: socket.socket) -> bool:
    """Whether the server keeps this idle connection open."""
    client.setblocking(False)
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        client.settimeout(30)
