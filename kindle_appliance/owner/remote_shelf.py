"""The shelf of the running appliance, as the owner's commands see it: over HTTP.

The commands run as root and parse no book. They send its bytes, and the appliance says what it has read.
"""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from ..clock import is_believed
from ..storage.kept_secret import OWNER_HEADER
from .service import Service

_PATH = "/books"
_STEP_SECONDS = 60.0
_READ_SECONDS = 900.0  # for the appliance to read a book of 100 MB on an old Raspberry Pi
_PIECE_BYTES = 64 * 1024
_ANSWER_BYTES = 64 * 1024
_LIST_BYTES = 32 * 1024 * 1024  # of 5,000 books, the most that can be set


@dataclass(frozen=True)
class RemoteBook:
    """A book on the shelf. `title`: "" while it is being read; `added`: a Unix time, 0 if it is not known."""

    name: str
    title: str
    author: str
    size: int = 0
    added: float = 0.0

    @property
    def label(self) -> str:
        return ", ".join(filter(None, (self.title or "(a book that is still being read)", self.author)))

    @property
    def short_name(self) -> str:
        return self.name[:12]

    @property
    def day(self) -> str:
        return f"{datetime.fromtimestamp(self.added):%Y-%m-%d}" if is_believed(self.added) else " " * 10


class Refused(Exception):
    """The appliance has answered with an error: `sentence`, `status`, and when to try again, in seconds, if it said
    so.
    """

    def __init__(self, sentence: str, status: int, retry_after: int | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.retry_after = retry_after


class Lost(Exception):
    """The connection was lost, or what came is no answer."""


class Shorter(Exception):
    """A file has become shorter while it was being sent."""


@dataclass(frozen=True)
class RemoteShelf:
    """`secret`: the owner's, which lifts the limit on how many books may be added; None if it is not known.

    All methods raise `Refused` and `Lost`.
    """

    service: Service
    secret: str | None

    def list(self) -> list[RemoteBook]:
        """All books, the newest first."""
        found = self._ask("GET", _PATH, _LIST_BYTES).get("books")
        if not isinstance(found, list):
            raise Lost
        return [_book(each) for each in found]

    def remove(self, name: str) -> None:
        """Take a book from the shelf."""
        self._ask("POST", f"{_PATH}/{name}/remove", _ANSWER_BYTES)

    def add(self, file: BinaryIO, size: int, tell: Callable[[int], None]) -> tuple[RemoteBook, bool]:
        """Send the first `size` bytes of a file. Returns the book, and whether it is new on the shelf. `tell` gets
        the number of bytes that were sent, again and again. Raises OSError for the file, and `Shorter`.
        """
        headers = {"Content-Type": "application/epub+zip", "Content-Length": str(size)}
        with closing(self.service.connect(_STEP_SECONDS)) as connection:
            try:
                _send_headers(connection, self._headers() | headers)
            except (OSError, http.client.HTTPException) as error:
                raise Lost from error
            _send(connection, file, size, tell)
            facts = self._answer(connection, _ANSWER_BYTES)
        return _book(facts), bool(facts.get("new"))

    def _ask(self, method: str, path: str, most: int) -> Mapping[str, Any]:
        with closing(self.service.connect(_STEP_SECONDS)) as connection:
            try:
                connection.request(method, path, headers=self._headers() | {"Content-Length": "0"})
            except (OSError, http.client.HTTPException) as error:
                raise Lost from error
            return self._answer(connection, most)

    def _answer(self, connection: http.client.HTTPConnection, most: int) -> Mapping[str, Any]:
        try:
            if connection.sock:
                connection.sock.settimeout(_READ_SECONDS)
            response = connection.getresponse()
            facts = json.loads(response.read(most))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Lost from error
        if not isinstance(facts, dict):
            raise Lost
        if response.status >= 400:
            later = response.headers.get("Retry-After", "")
            seconds = int(later) if later.isascii() and later.isdecimal() else None
            raise Refused(str(facts.get("error") or f"status {response.status}"), response.status, seconds)
        return facts

    def _headers(self) -> dict[str, str]:
        shown = {OWNER_HEADER: self.secret} if self.secret else {}
        return self.service.headers() | {"Accept": "application/json"} | shown


def _send_headers(connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> None:
    connection.putrequest("POST", _PATH)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()


def _send(connection: http.client.HTTPConnection, file: BinaryIO, size: int, tell: Callable[[int], None]) -> None:
    """Send a body, until the appliance answers: it may refuse a book by its headers."""
    sent = 0
    while sent < size:
        piece = file.read(min(_PIECE_BYTES, size - sent))
        if not piece:
            raise Shorter
        try:
            if select.select([connection.sock], [], [], 0)[0]:
                return
            connection.send(piece)
        except OSError:  # what it has said before it closed the connection can still be read
            return
        sent += len(piece)
        tell(sent)


def _book(facts: Any) -> RemoteBook:
    try:
        name, size, added = str(facts["name"]), int(facts.get("size") or 0), float(facts.get("added") or 0)
        return RemoteBook(name, str(facts["title"]), str(facts["author"]), size, added)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Lost from error
