"""The part of its responses that a client has not read yet, in place of waitress's buffer.

Waitress's buffer keeps what is sent until all of it is, and a response above 1 MB becomes a temporary file, which
wears the card. This one stays in memory, and holds no more than what is unread and one piece.
"""

from __future__ import annotations

from collections import deque

_PIECE_BYTES = 64 * 1024
_SMALL_BYTES = 4 * 1024  # smaller ones are joined: an object for each would cost more than its bytes


class Unread:
    """Bytes in order, with the methods that waitress calls. No lock: waitress has one for each connection."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._sent = 0  # bytes of the first piece
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._length += len(data)
        if self._pieces and len(self._pieces[-1]) + len(data) <= _SMALL_BYTES:
            self._pieces[-1] += data
        else:
            starts = range(0, len(data), _PIECE_BYTES)
            self._pieces.extend(data[start : start + _PIECE_BYTES] for start in starts)

    def get(self, most: int) -> memoryview:
        """At most `most` bytes from the beginning; some, unless there are none. They stay until `skip`."""
        first = memoryview(self._pieces[0] if self._pieces else b"")
        return first[self._sent : self._sent + most]

    def skip(self, count: int, allow_prune: bool = False) -> None:
        """Forget `count` bytes at the beginning, which have been sent."""
        self._length -= count
        self._sent += count
        while self._pieces and self._sent >= len(self._pieces[0]):
            self._sent -= len(self._pieces.popleft())

    def close(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self._sent = self._length = 0
