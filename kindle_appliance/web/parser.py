"""Parses a request. Waitress does most of it, and limits the sizes of headers and body.

This adds limits for the request line and the number of headers, and reads of a request that is refused what its
refusal needs: the method, since a response to HEAD has no body, and the language. An upload is complete with its
headers: its body is a stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from waitress.parser import HTTPRequestParser
from waitress.utilities import Error, RequestEntityTooLarge

from .body import Body

MAX_HEADER_FIELDS = 64
MAX_LINE_BYTES = 2048
"""The greatest length of a request line. The longest that our pages send has about 40 bytes."""

_MAX_SKIPPED_BYTES = 1024 * 1024


BeginUpload = Callable[[int, str, bool], Body]
"""Makes the stream of a body of this length and content type; the flag: whether the client waits for leave to send
it."""


class _Refusal(Error):
    def __init__(self, status: int) -> None:
        super().__init__("")
        self.code = status


class Parser(HTTPRequestParser):
    """One request, while it arrives. `begun`: when its first byte came, on `time.monotonic()`.

    A POST to one of the paths in `uploads` is an upload: its `body` is what `begin_upload` makes.
    """

    path = ""  # waitress logs it, even for a request without a path
    command: Any = ""
    request_uri: Any = ""
    proxy_netloc: Any = ""
    headers: dict[str, str]

    def __init__(
        self, adj: Any, uploads: Collection[str] = (), begin_upload: BeginUpload = lambda *about: Body(*about[:2])
    ) -> None:
        super().__init__(adj)
        self.body: Body | None = None
        self._uploads = uploads
        self._begin_upload = begin_upload
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
        elif self._is_upload():
            self._hand_over(data[consumed:])
            consumed = len(data)
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

    def _is_upload(self) -> bool:
        """Whether these are the headers of an upload, and nothing else is wrong with them."""
        path = "/" + self.path.lstrip("/")  # as waitress hands it to the application
        is_sound = self.error is None or isinstance(self.error, RequestEntityTooLarge)
        return self.headers_finished and is_sound and self.command == "POST" and path in self._uploads

    def _hand_over(self, begin: bytes) -> None:
        """Let the application begin, with these first bytes of the body. It is the last request of its connection,
        because the application need not read it to the end.
        """
        if self.chunked or "CONTENT_LENGTH" not in self.headers:
            self.refuse(411)
            return
        self.error, self.body_rcv, self.completed = None, None, True
        self.connection_close, self.headers["CONNECTION"] = True, "close"
        self.body = self._begin_upload(
            self.content_length, self.headers.get("CONTENT_TYPE", ""), self.expect_continue and not begin
        )
        self.body.feed(begin)

    def _skim(self, head: bytes) -> None:
        """Read method, address and fields of a head that waitress has not read, as far as it has arrived."""
        line, *fields = head.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        self.command, self.request_uri = [*line.split(" "), ""][:2]
        for field in fields:
            name, _, value = field.partition(":")
            self.headers.setdefault(name.upper().replace("-", "_"), value.strip())
