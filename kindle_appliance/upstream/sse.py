"""Server-sent events: bytes in as the network cut them, events out. No I/O, no clock.

The format is that of the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream" (read 2026-11).
Two things go beyond it, because Gemini needs them:

- The standard throws away an event that the end of the stream found unfinished. Gemini's last event often
  lacks its final blank line, so `close()` hands it out and the caller decides.
- Lines that are no field of the standard are kept, up to a cap, in `stray`: Gemini reports an error in the
  middle of a stream as a bare JSON object.

The cost is linear in the bytes fed, however they are cut: what has been searched for a line end is not searched
again, and an unfinished line is decoded once, when it ends. What a stranger can make grow is capped.
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
    """A line that is no field of the standard, and how many events had been dispatched before it."""

    text: str
    after: int


class EventStreamParser:
    """An incremental parser of one stream.

    `max_event_bytes` bounds the bytes of one event (its unfinished line included), `max_stray_characters` what
    is kept of stray lines; what comes beyond the latter is dropped.
    """

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_stray_characters: int = MAX_STRAY_CHARACTERS,
    ) -> None:
        self.stray: list[StrayLine] = []
        self.dispatched = 0
        self.retry: int | None = None  # milliseconds, as the stream last wished
        self._max_event_bytes = max_event_bytes
        self._stray_room = max_stray_characters
        self._line = bytearray()  # the line whose end has not come yet
        self._at_start = True  # of the stream, where one BOM is dropped
        self._after_cr = False  # the last byte was CR: an LF that follows belongs to the same line end
        self._event = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._id = ""
        self._failure: EventTooLarge | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, return the events that they complete (often none).

        Raises `EventTooLarge` when an event exceeds the cap, but hands out what came before it first; the parser
        is of no use after that.
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
            event = self._take_line(line)
            if event is not None:
                events.append(event)
        # A CR at the very end has ended its line already; its LF may come with the next bytes.
        self._after_cr = data.endswith(b"\r")
        self._line += data[start:]
        self._check_size(len(self._line))

    def close(self) -> list[Event]:
        """The stream has ended: the pending event, if it had any data. The last line needs no line end.

        Raises `EventTooLarge` if `feed()` has not done so yet.
        """
        if self._failure:
            raise self._failure
        if self._line:
            line = bytes(self._line)
            self._line.clear()
            self._take_line(line)
        event = self._dispatch()
        return [] if event is None else [event]

    def _take_line(self, line: bytes) -> Event | None:
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
            if value.isdigit() and len(value) < 10:  # eleven days are enough for anybody
                self.retry = int(value)
        elif name:  # an empty one before a colon is a comment
            self._keep_stray(line)
        return None

    def _keep_stray(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._stray_room -= len(text)
        if self._stray_room >= 0:  # once a line is left out, so are all behind it: no holes
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
