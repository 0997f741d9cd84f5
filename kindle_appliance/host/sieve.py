"""Lets through to zeroconf only the multicast DNS packets that an announced name needs, and only so many.

zeroconf also listens for what others offer. It keeps what anybody sends, up to 10,000 records of 9 KB, and reads
each packet to its end (0.154). An appliance that only announces itself needs two kinds of packet:

- questions that may be for its own names, of which each is answered by itself, never kept for a second part;
- its own announcements, which come back: so zeroconf knows what it has just said, and does not repeat it.

Whether another machine uses the name is asked elsewhere (see `mdns`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

PACKETS = 60
"""That are read in a second, of all other machines together; and as many of this machine itself."""
PACKETS_OF_ONE = 10
"""That are read in a second of one other machine. A person's telephone asks three times (RFC 6762, 5.2)."""
MOST_BYTES = 1500  # of a packet: an Ethernet frame; a question that needs more is answered in parts
_HEADER_BYTES = 12  # RFC 1035, 4.1.1
_RESPONSE, _TRUNCATED = 0x80, 0x02  # in the third byte
_SLICE_SECONDS = 0.1
_PACKETS_OF_A_SLICE = 100
"""That are looked at at all; the kernel drops the others, when its buffer is full, at no cost of ours."""


class Sieve:
    """Decides for each packet. `labels`: one of which each question for us contains; `own`: our addresses."""

    def __init__(
        self, labels: Collection[str], own: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._labels = tuple(bytes([len(label)]) + label.lower().encode() for label in labels)
        self._own = frozenset(own)
        self._clock = clock
        self._second, self._read, self._read_of_own = 0.0, Counter[str](), 0
        self._slice, self._seen = 0.0, 0

    def passed(self, data: bytes, source: str) -> bytes | None:
        """Return the packet as it is to be read; None if it is not."""
        if not _HEADER_BYTES <= len(data) <= MOST_BYTES:
            return None
        is_own = source in self._own
        if not is_own and (data[2] & _RESPONSE or not self._may_ask_for_us(data)):
            return None
        now = self._clock()
        if now >= self._second + 1:
            self._second, self._read_of_own = now, 0
            self._read.clear()
        if is_own:
            self._read_of_own += 1
            has_room = self._read_of_own <= PACKETS
        else:
            has_room = self._read.total() < PACKETS and self._read[source] < PACKETS_OF_ONE
            if has_room:
                self._read[source] += 1
        return data[:2] + bytes([data[2] & ~_TRUNCATED]) + data[3:] if has_room else None

    def seconds_to_rest(self) -> float:
        """Count a packet; return for how long nobody should look at the next one."""
        now = self._clock()
        if now >= self._slice + _SLICE_SECONDS:
            self._slice, self._seen = now, 0
        self._seen += 1
        return self._slice + _SLICE_SECONDS - now if self._seen > _PACKETS_OF_A_SLICE else 0.0

    def _may_ask_for_us(self, data: bytes) -> bool:
        # A compressed name refers to labels that stand earlier in the packet (RFC 1035, 4.1.4).
        lower = data.lower()
        return any(label in lower for label in self._labels)


class SievedListener:
    """A protocol of asyncio: gives `listener`, another one, what the sieve leaves of the packets of a socket.

    `on_error` gets what that raises. The types of asyncio are not named: to import it takes longer than the rest.
    """

    def __init__(self, listener: Any, sieve: Sieve, on_error: Callable[[BaseException], None]) -> None:
        self._listener = listener
        self._sieve = sieve
        self._on_error = on_error

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        try:
            if passed := self._sieve.passed(data, source[0]):
                self._listener.datagram_received(passed, source)
        except Exception as error:  # of any kind: the next packet may be a good one
            self._on_error(error)
        if rest := self._sieve.seconds_to_rest():
            time.sleep(rest)  # the thread has nothing else to do; the kernel drops what its buffer does not hold

    def error_received(self, error: Exception) -> None:
        self._listener.error_received(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.connection_lost(error)


def place(sieve: Sieve, loop: Any, transports: Collection[Any], on_error: Callable[[BaseException], None]) -> None:
    """Put the sieve before the listeners of `transports`, sockets that the running `loop` of another thread reads.

    `on_error` gets what they raise, and what timers of the loop do.
    """

    def fail(_: object, context: Mapping[str, Any]) -> None:
        on_error(context.get("exception") or RuntimeError(context["message"]))

    def begin() -> None:
        loop.set_exception_handler(fail)
        for transport in transports:
            transport.set_protocol(SievedListener(transport.get_protocol(), sieve, on_error))

    loop.call_soon_threadsafe(begin)
