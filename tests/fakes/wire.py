"""The bytes of a page on the wire: its headers, and its body as a browser gets it."""

from __future__ import annotations

import socket

from .house import House

FIRST_FLIGHT = 14_600
"""Bytes that a server sends before it waits for an acknowledgement: ten segments of 1,460 (RFC 6928)."""


def wire_bytes(house: House, path: str, language: str = "en", cookie: str = "") -> int:
    """The length of the response to a browser that takes compressed pages."""
    with socket.create_connection(("127.0.0.1", house.server.port)) as browser:
        browser.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, deflate\r\nCookie: {cookie}\r\n"
            f"Accept-Language: {language}\r\nConnection: close\r\n\r\n".encode()
        )
        received = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, _ = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"Content-Encoding: gzip" in head, head
    return len(received)
