"""A parser of server-sent events: bytes in, in any chunks; events out. No I/O, no clock.

The format is that of the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream" (read 2026-11).
The parser goes beyond the standard in two ways, because Gemini needs it:

- The standard discards an event that is incomplete when the stream ends. Gemini's last event often lacks its
  final blank line, so `close()` returns such an event, and the caller decides what to do with it.
- Lines that are not a field of the standard are kept in `stray`, up to a cap: Gemini reports an error in the
  middle of a stream as a bare JSON object.

The cost is linear in the number of bytes, for any chunk sizes: no byte is searched for a line end twice, and an
incomplete line is decoded once, when it ends. Every buffer that the server can fill has a cap.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 4 * 1024 * 1024
MAX_STRAY_CHARACTERS = 256 * 1024

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event of the stream is larger than the line buffer may grow."""


class Event(NamedTuple):
    """One event: its type ("message" unless named), its data, and the last event id seen so far."""

    event: str
    data: str
    id: str


class StrayLine(NamedTuple):
    """A line that is not a field of the standard, and the number of events dispatched before it."""

    text: str
    after: int


class EventStreamParser:
    """An incremental parser of one stream.

    `max_event_bytes` limits the size of one event, its incomplete line included. `max_stray_characters` limits
    the stray lines that are kept; later ones are dropped.
    """

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_stray_characters: int = MAX_STRAY_CHARACTERS,
    ) -> None:
        self.stray: list[StrayLine] = []
        self.dispatched = 0
        self.retry: int | None = None  # the reconnection time that the stream last asked for, in ms
        self._max_event_bytes = max_event_bytes
        self._stray_remaining = max_stray_characters
        self._line = bytearray()  # the incomplete line
        self._at_start = True  # of the stream: one BOM there is dropped
        self._after_cr = False  # the last byte was CR: an LF right after it belongs to the same line end
        self._event = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._id = ""
        self._failure: EventTooLarge | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Parse the next bytes and return the events that they complete (often none).

        Raises `EventTooLarge` when an event exceeds the cap. If earlier events are complete in the same bytes, they
        are returned, and the next call raises. After that the parser cannot be used any more.
        """
        events: list[Event] = []
        if not data:
            return events
        try:
            self._feed(data, events)
        except EventTooLarge as error:
            self._failure = error
        if self._failure and not events:
            raise self._failure
        return events

    def _feed(self, data: bytes, events: list[Event]) -> None:
        if self._failure:
            raise self._failure
        start = 0
        if self._after_cr:
            start = 1 if data.startswith(b"\n") else 0
        for end in _LINE_END.finditer(data, start):
            if self._line:
                self._line += data[start : end.start()]
                line = bytes(self._line)
                self._line.clear()
            else:
                line = data[start : end.start()]
            start = end.end()
            event = self._process_line(line)
            if event is not None:
                events.append(event)
        # A CR as the last byte has already ended its line; the LF of the same line end may still follow.
        self._after_cr = data.endswith(b"\r")
        self._line += data[start:]
        self._check_size(len(self._line))

    def close(self) -> list[Event]:
        """End the stream and return the pending event, if it has any data. The last line needs no line end.

        Raises `EventTooLarge` if an event exceeded the cap.
        """
        if self._failure:
            raise self._failure
        if self._line:
            line = bytes(self._line)
            self._line.clear()
            self._process_line(line)
        event = self._dispatch()
        return [] if event is None else [event]

    def _process_line(self, line: bytes) -> Event | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._check_size(len(line))
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value.decode("utf-8", "replace"))
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry":
            if value.isdigit() and len(value) < 10:  # longer than eleven days makes no sense
                self.retry = int(value)
        elif name:  # a line that begins with a colon is a comment
            self._keep_stray(line)
        return None

    def _keep_stray(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._stray_remaining -= len(text)
        if self._stray_remaining >= 0:  # after the first dropped line all later ones are dropped: no gaps
            self.stray.append(StrayLine(text, self.dispatched))

    def _dispatch(self) -> Event | None:
        data, self._data, self._data_bytes = self._data, [], 0
        name, self._event = self._event or "message", ""
        if not data:
            return None
        self.dispatched += 1
        return Event(name, "\n".join(data), self._id)

    def _check_size(self, more: int) -> None:
        if self._data_bytes + more > self._max_event_bytes:
            raise EventTooLarge(f"one event exceeds {self._max_event_bytes} bytes")
