"""Seats: how many responses may last at once, each with a thread of its own.

One address may have a quarter of them, so that it cannot make all other pages poll. A script cannot poll: one more
seat is kept for `/api/chat`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator


class Seats:
    """`count` seats for followers, and one for a script. `source`: what a client's address is counted by."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._most = max(1, count // 4)
        self._taken: Counter[str] = Counter()
        self._script: str | None = None  # the source of the script that has the script's seat
        self._lock = threading.Lock()

    def take(self, source: str) -> Seat | None:
        """A seat for a follower; None if all are taken, or this source has its part of them."""
        with self._lock:
            return self._take(source, self._taken[source])

    def take_for_script(self, source: str) -> Seat | None:
        """The script's seat; if a script has it, one of the followers', which then counts it as this source's."""
        with self._lock:
            if self._script is None:
                self._script = source
                return Seat(self._release_script)
            return self._take(source, self._taken[source] + (self._script == source))

    def _take(self, source: str, taken: int) -> Seat | None:
        if not self._free or taken >= self._most:
            return None
        self._free -= 1
        self._taken[source] += 1
        return Seat(lambda: self._release(source))

    def _release(self, source: str) -> None:
        with self._lock:
            self._free += 1
            self._taken[source] -= 1
            self._taken += Counter()  # drops sources without a seat

    def _release_script(self) -> None:
        with self._lock:
            self._script = None


class Seat:
    """A seat that is taken, until `release()`."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._lock = threading.Lock()

    def release(self) -> None:
        """Free the seat. Harmless a second time."""
        if self._lock.acquire(blocking=False):
            self._release()

    def hold(self, body: Iterator[bytes]) -> Generator[bytes]:
        """`body`, which frees the seat when it ends or is closed, even before its first piece."""

        def held() -> Generator[bytes]:
            try:
                yield b""
                yield from body
            finally:
                self.release()

        started = held()
        next(started)  # the end of a generator that has not started would free nothing
        return started
