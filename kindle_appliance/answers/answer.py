"""An answer: append-only text with waiters, followed from any offset by any number of readers.

One thread writes it. All offsets are characters of the raw text.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..ending import Ending
from ..sentences import Sentence
from .typesetter import Block, Typesetter


class Position(NamedTuple):
    """A reader's position: it holds everything up to `settled` as blocks, raw text behind that up to `sent`, and
    knows `state`, what is being waited for.
    """

    settled: int
    sent: int
    state: Sentence | None = None


START = Position(0, 0)
"""The position of a reader that has nothing yet."""


class News(NamedTuple):
    """All that is new to a reader at a position. After blocks its raw tail is empty: `text` begins where they end.
    `states` has what is being waited for, if that has changed; None: nothing any more.
    """

    blocks: Sequence[Block]
    text: str
    ending: Ending | None
    position: Position
    states: Sequence[Sentence | None] = ()


class Answer:
    """Append-only text with waiters. `error`: why there is no answer, for callers that report by status."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._typesetter = Typesetter()
        self._pieces: list[str] = []
        self._starts: list[int] = []  # offset of each piece
        self._length = 0
        self._waits: Sequence[tuple[float, Sentence]] = ()  # from when on (time.monotonic()) what is waited for

    @classmethod
    def of(cls, text: str, ending: Ending) -> Answer:
        """An answer that has been written before."""
        answer = cls()
        answer.append(text)
        answer.end(ending)
        return answer

    def append(self, text: str) -> None:
        """Add the next piece of the text; nothing is added to an answer that has ended."""
        with self._changed:
            if not text or self.ending is not None:
                return
            self._pieces.append(text)
            self._starts.append(self._length)
            self._length += len(text)
            self._typesetter.feed(text)
            self._changed.notify_all()

    def tell(self, *states: tuple[float, Sentence]) -> None:
        """Let readers see what is being waited for before any text: each sentence after so many seconds, in order.
        They replace those that were told before.
        """
        with self._changed:
            now = time.monotonic()
            self._waits = [(now + after, state) for after, state in states]
            self._changed.notify_all()

    def end(self, ending: Ending) -> None:
        """No more text will come."""
        with self._changed:
            self._typesetter.close()
            self.ending = ending
            self._changed.notify_all()

    @property
    def length(self) -> int:
        return self._length

    def text(self, start: int = 0) -> str:
        """The raw text from an offset on; nothing if that lies past the end."""
        with self._changed:
            return self._text(start)

    def position(self, offset: int) -> Position:
        """The position of a reader that has everything up to `offset`. Offsets inside a block, in the raw tail or
        past the end round down to the end of a settled block.
        """
        with self._changed:
            blocks = self._typesetter.blocks
            index = bisect.bisect_right(blocks, offset, key=lambda block: block.upto)
            settled = blocks[index - 1].upto if index else 0
            return Position(settled, settled)

    def news(self, position: Position, timeout: float) -> News:
        """All that is new to a reader at `position`; waits up to `timeout` seconds until there is anything."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(position), timeout)
            blocks = self._typesetter.blocks
            fresh = blocks[bisect.bisect_right(blocks, position.settled, key=lambda block: block.upto) :]
            settled, sent = (fresh[-1].upto, fresh[-1].upto) if fresh else position[:2]
            state = self._state()
            states = () if state == position.state else (state,)
            reached = Position(settled, max(sent, self._length), state)
            return News(fresh, self._text(sent), self.ending, reached, states)

    def wait_for_end(self, timeout: float) -> bool:
        """Whether the answer has ended; waits up to `timeout` seconds for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ending is not None, timeout)

    def _has_news(self, position: Position) -> bool:
        blocks = self._typesetter.blocks
        settled = blocks[-1].upto if blocks else 0
        has_more = self._length > position.sent or settled > position.settled
        return self.ending is not None or has_more or self._state() != position.state

    def _state(self) -> Sentence | None:
        if self._length or self.ending is not None:
            return None
        now = time.monotonic()
        return next((state for since, state in reversed(self._waits) if now >= since), None)

    def _text(self, start: int) -> str:
        if start >= self._length:
            return ""
        first = bisect.bisect_right(self._starts, start) - 1
        return "".join(self._pieces[first:])[start - self._starts[first] :]
