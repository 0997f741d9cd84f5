"""The body of an upload, on its way from the connection to the thread that reads it. Knows no socket.

Waitress keeps a body until it is whole, first in memory and then in `/tmp`, which is memory or the card. Here at
most `CAPACITY` bytes are kept: the server receives no more (`room`) until some have been read, and only the first
packet before the application reads at all, because the headers may be reason enough to refuse.

A body may take as long as it takes: only the client's own pace is judged, by the time that the reader waits for it.
What the application has not read is dropped when it has answered: a browser sends a whole form before it reads the
response, and would otherwise report a lost connection.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ReaderError
from ..sentences import Sentence

BODY = "kindle_appliance.body"
"""Where the server leaves the body of an upload, in the environment of the request. `wsgi.input` is empty then, so
nothing that parses forms can read it into memory."""

CAPACITY = 256 * 1024

_PIECE_BYTES = 64 * 1024
_MOST_DROPPED = 512 * 1024 * 1024

_TOO_SLOW = Sentence("The file came too slowly. Please try again, closer to the Wi-Fi.")


@dataclass(frozen=True)
class Pace:
    """How slow an upload may be: `silent_seconds` without a byte; after `grace_seconds` of waiting for the client,
    `least_rate` bytes a second on average. `moment_seconds`: of waiting, after which `Body.is_slow()` judges.
    """

    silent_seconds: float = 20
    grace_seconds: float = 60
    least_rate: float = 16 * 1024
    moment_seconds: float = 5


USUAL_PACE = Pace()


class Body:
    """A body of `length` bytes, of the content type `kind`. The server's loop feeds it, and one thread reads it.

    `wake`: called when the body has room again; `allow`: called before the first bytes are waited for, if the
    client has asked whether to send them.
    """

    def __init__(
        self,
        length: int,
        kind: str,
        wake: Callable[[], None] = lambda: None,
        allow: Callable[[], object] | None = None,
        pace: Pace = USUAL_PACE,
    ) -> None:
        self.length = length
        self.kind = kind
        self._wake = wake
        self._allow = allow
        self._pace = pace
        self._changed = threading.Condition()
        self._kept = bytearray()
        self._received = 0
        self._is_read = self._is_dropped = self._is_lost = False
        self._error: Exception | None = None
        self._waited = 0.0  # seconds for the client, in all
        self._waits_since = math.inf
        self._moment = (0, 0.0)  # what had been received and waited when the present moment began
        self._rate = math.inf  # bytes a second in the last moment

    # ---- The server's side

    @property
    def room(self) -> int:
        """How many bytes may be fed now."""
        with self._changed:
            if self._is_lost or not (self._is_read or self._is_dropped):
                return 0
            return min(_PIECE_BYTES, CAPACITY - len(self._kept), self.length - self._received)

    @property
    def is_dropped(self) -> bool:
        """Whether bytes are still to come that nobody will read."""
        with self._changed:
            return self._is_dropped and not self._is_lost and self._received < self.length

    def feed(self, data: bytes) -> None:
        """Take bytes that have come. Those beyond the end are no part of the body."""
        with self._changed:
            data = data[: self.length - self._received]
            self._received += len(data)
            if not self._is_dropped:
                self._kept += data
            self._changed.notify_all()

    def lose(self) -> None:
        """No more bytes will come: the client has left, or has been given up."""
        with self._changed:
            if self._received < self.length:
                self._is_lost = True
                self._error = self._error or ConnectionResetError("the client has left during its upload")
            self._changed.notify_all()

    def drop(self) -> None:
        """Drop what has not been read, and what is still to come. A client that waits for leave to send it gets
        none.
        """
        with self._changed:
            self._is_dropped = True
            self._kept.clear()
            is_waiting = self._allow is not None and not self._received
            self._is_lost |= is_waiting or self.length - self._received > _MOST_DROPPED

    # ---- The reader's side

    def read(self, most: int = _PIECE_BYTES) -> bytes:
        """The next bytes, at most so many; waits for the first of them. b"" at the end of the body.

        Raises ConnectionError if the client has left, and `ReaderError` if it is too slow or has been sent away.
        """
        allow, self._allow = self._allow, None
        if allow and not self._received:
            allow()
        with self._changed:
            is_first, self._is_read = not self._is_read, True
        if is_first:
            self._wake()
        with self._changed:
            if not self._kept and self._received < self.length and self._error is None:
                self._wait()
            if self._error is not None:
                raise self._error
            was_full = len(self._kept) >= CAPACITY
            data = bytes(self._kept[:most])
            del self._kept[:most]
        if was_full:
            self._wake()
        return data

    def send_away(self, error: ReaderError) -> bool:
        """Have the reader raise `error`; for another thread. Whether it will: not if all has come, or if it raises
        another one already.
        """
        with self._changed:
            if self._received == self.length or self._error is not None:
                return False
            self._give_up(error)
            self._changed.notify_all()
            return True

    def is_slow(self, rate: float) -> bool:
        """Whether the client has lately sent less than so many bytes a second, while it was waited for."""
        with self._changed:
            waits = time.monotonic() - self._waits_since  # -inf if nothing is waited for
            return self._rate < rate or waits > self._pace.moment_seconds

    def _wait(self) -> None:
        """Wait for bytes, and judge the client's pace."""
        self._waits_since = begun = time.monotonic()
        deadline, before = begun + self._pace.silent_seconds, self._received
        while self._received == before and self._error is None and (left := deadline - time.monotonic()) > 0:
            self._changed.wait(left)
        self._waits_since = math.inf
        self._waited += time.monotonic() - begun
        received, waited = self._received - self._moment[0], self._waited - self._moment[1]
        if waited >= self._pace.moment_seconds:
            self._rate, self._moment = received / waited, (self._received, self._waited)
        is_trickling = self._waited > self._pace.grace_seconds and (
            self._received < self._waited * self._pace.least_rate
        )
        if (self._received == before or is_trickling) and self._received < self.length and self._error is None:
            self._give_up(ReaderError(_TOO_SLOW, 408))

    def _give_up(self, error: ReaderError) -> None:
        self._error = error
        self._is_dropped = True
        self._kept.clear()
