"""Parses a request. Waitress does most of it, and limits the sizes of headers and body.

This adds limits for the request line and the number of headers, and reads of a request that is refused what its
refusal needs: the method, since a response to HEAD has no body, and the language.
"""

from __future__ import annotations

import time
from typing import Any

from waitress.parser import HTTPRequestParser
from waitress.utilities import Error, RequestEntityTooLarge

MAX_HEADER_FIELDS = 64
MAX_LINE_BYTES = 2048
"""The greatest length of a request line. The longest that our pages send has about 40 bytes."""

_MAX_SKIPPED_BYTES = 1024 * 1024


class _Refusal(Error):
    def __init__(self, status: int) -> None:
        super().__init__("")
        self.code = status


class Parser(HTTPRequestParser):
    """One request, while it arrives. `begun`: when its first byte came, on `time.monotonic()`."""

    path = ""  # waitress logs it, even for a request without a path
    command: Any = ""
    request_uri: Any = ""
    proxy_netloc: Any = ""
    headers: dict[str, str]

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
            consumed = len(data)
            self.refuse(400)
        if len(head.lstrip(b"\r\n").partition(b"\n")[0]) > MAX_LINE_BYTES:
            self.refuse(414)
        elif self.headers_finished and len(self.headers) > MAX_HEADER_FIELDS:
            self.refuse(431)
        elif isinstance(self.error, RequestEntityTooLarge) and not self.expect_continue:
            # A browser sends a whole form before it reads the response. If we closed the connection earlier, it
            # would report a lost connection and not show our page.
            self._to_skip = self.content_length if self.content_length <= _MAX_SKIPPED_BYTES else 0
            self.completed = not self._to_skip
        if self.error and head:
            self._skim(head)
        if self.proxy_netloc and "," not in self.headers.get("HOST", ","):  # none or two are left to be refused
            self.headers["HOST"] = self.proxy_netloc  # RFC 9112, 3.2.2: of a whole URL, the host counts
        # For a request that it has refused or that has no body, waitress would send "100 Continue" and wait on.
        self.expect_continue = self.expect_continue and not self.completed
        return consumed

    def refuse(self, status: int) -> None:
        """Answer this request with an error, however much of it has arrived."""
        self.error = _Refusal(status)
        self.completed = True
        if not self.headers_finished:
            self._skim(self.header_plus)

    def _skim(self, head: bytes) -> None:
        """Read method, address and fields of a head that waitress has not read, as far as it has arrived."""
        line, *fields = head.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        self.command, self.request_uri = [*line.split(" "), ""][:2]
        for field in fields:
            name, _, value = field.partition(":")
            self.headers.setdefault(name.upper().replace("-", "_"), value.strip())
