"""An answer: append-only text with waiters, read from any offset by any number of readers.

One thread writes it. All offsets are characters of the raw text. There are two ways to read it: as raw text, and as
set blocks. Blocks are made when somebody wants them, in the thread of that reader and in `Turns`: the writer and
those who want raw text never wait for them, and an answer that is read by nobody is never set. Any chunking gives
the same blocks, so it does not matter when that happens.
"""

from __future__ import annotations

import bisect
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ending import Ending
from ..sentences import Sentence
from .turns import SHORT_CHARACTERS, SHORT_TURNS, TURN_SECONDS, Turns
from .typesetter import Block, Typesetter

_FED_CHARACTERS = 256  # at a time; between two of them a turn can end
_TEXT_CHARACTERS = 64 * 1024
_HTML_CHARACTERS = 256 * 1024
"""So much text, or HTML, is given at once: about what a connection buffers. Whoever wants more comes again."""

_BLOCK_BYTES = 150  # of memory, besides its HTML: a tuple, a number and two entries


class News(NamedTuple):
    """All that is new to a reader of blocks, up to a limit. After blocks its raw tail is empty: `text` begins where
    they end. `states` has what is being waited for, if that has changed; None: nothing any more. `ending` comes
    last, with or after all the rest.
    """

    blocks: Sequence[Block]
    text: str
    ending: Ending | None
    states: Sequence[Sentence | None] = ()


class Answer:
    """Append-only text with waiters. `turns`: those of the appliance. `when_set` is called with the answer when
    more of it has been set. `error`: why there is no answer, for callers that report by status.
    """

    def __init__(self, turns: Turns | None = None, when_set: Callable[[Answer], None] = lambda _: None) -> None:
        self.ending: Ending | None = None
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._pieces: list[str] = []
        self._starts: list[int] = []  # offset of each piece
        self._length = 0
        self._waits: Sequence[tuple[float, Sentence]] = ()  # from when on (time.monotonic()) what is waited for
        self._turns = turns or Turns()
        self._when_set = when_set
        self._setting = threading.Lock()  # held by the thread that sets, and before `_changed` where both are
        self._typesetter: Typesetter | None = Typesetter()  # None when all is set
        self._fed = 0  # characters that the typesetter has
        self._turns_taken = 0
        self._blocks: list[Block] = []
        self._bytes = 0  # of memory

    @classmethod
    def of(
        cls,
        text: str,
        ending: Ending,
        turns: Turns | None = None,
        when_set: Callable[[Answer], None] = lambda _: None,
    ) -> Answer:
        """An answer that has been written before."""
        answer = cls(turns, when_set)
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
            self._bytes += sys.getsizeof(text)
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
            self.ending = ending
            self._turns_taken = 0  # of those for the growing text
            self._changed.notify_all()

    @property
    def length(self) -> int:
        return self._length

    @property
    def size(self) -> int:
        """The bytes of memory that it takes, about."""
        return self._bytes

    # ---- As raw text

    def text(self, start: int = 0) -> str:
        """The raw text from an offset on; nothing if that lies past the end."""
        with self._changed:
            return self._text(start, self._length)

    def more_text(self, start: int, timeout: float) -> tuple[str, Ending | None]:
        """The raw text from an offset on, up to a limit, and after its last part the ending. Waits up to `timeout`
        seconds for text behind the offset or the end; nothing else wakes it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._length > start or self.ending is not None, timeout)
            text = self._text(start, start + _TEXT_CHARACTERS)
            return text, self.ending if start + len(text) >= self._length else None

    def wait_for_text(self, timeout: float) -> bool:
        """Whether there is text or an end; waits up to `timeout` seconds for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._length > 0 or self.ending is not None, timeout)

    def wait_for_end(self, timeout: float) -> bool:
        """Whether the answer has ended; waits up to `timeout` seconds for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ending is not None, timeout)

    def _text(self, start: int, end: int) -> str:
        if start >= self._length:
            return ""
        first = bisect.bisect_right(self._starts, start) - 1
        last = bisect.bisect_left(self._starts, end)
        return "".join(self._pieces[first:last])[start - self._starts[first] : end - self._starts[first]]

    # ---- As set blocks

    def follow(self, offset: int = 0) -> Follower:
        """A reader of blocks that has everything up to `offset`. Offsets inside a block, in the raw tail or past
        the end round down to the end of a settled block.
        """
        return Follower(self, offset)

    @property
    def _is_long(self) -> bool:
        """Whether others go first: this one is no longer written, and there is much left to set, or it has shown
        to be slow work. Called with `_changed`.
        """
        settled = self._blocks[-1].upto if self._blocks else 0
        is_much = self._length - settled > SHORT_CHARACTERS or self._turns_taken >= SHORT_TURNS
        return is_much and self.ending is not None

    @property
    def _is_set(self) -> bool:
        """Whether all the text that there is has been set. Called with `_changed`."""
        return self._typesetter is None or (self._fed == self._length and self.ending is None)

    def _set_more(self, since: float, timeout: float) -> None:
        """Set more of the text in one turn, or let another thread do so. Waits up to `timeout` seconds for that."""
        deadline = time.monotonic() + timeout
        if not self._setting.acquire(timeout=max(0.0, timeout)):
            return
        try:
            with self._changed:
                if self._is_set:
                    return
                is_long = self._is_long
            with self._turns.take(is_long=is_long, since=since, timeout=deadline - time.monotonic()) as is_ours:
                if is_ours:
                    self._set_for_a_turn()
                    self._when_set(self)
        finally:
            self._setting.release()

    def _set_for_a_turn(self) -> None:
        end_of_turn = time.monotonic() + TURN_SECONDS
        self._turns_taken += 1
        is_over = False
        while not is_over and self._typesetter is not None:
            with self._changed:
                text = self._text(self._fed, self._fed + _FED_CHARACTERS)
                is_last = self.ending is not None and self._fed + len(text) == self._length
            try:
                fresh = self._typesetter.feed(text)
                if is_last:
                    fresh += self._typesetter.close()
            except BaseException:  # what it has is not known any more; a next turn begins anew
                with self._changed:
                    self._typesetter, self._fed, self._blocks = Typesetter(), 0, []
                raise
            size = sum(sys.getsizeof(block.html) + _BLOCK_BYTES for block in fresh)
            with self._changed:
                self._fed += len(text)
                self._blocks += fresh
                self._bytes += size
                self._typesetter = None if is_last else self._typesetter
                is_over = self._is_set or time.monotonic() >= end_of_turn

    def _state(self) -> Sentence | None:
        if self._length or self.ending is not None:
            return None
        now = time.monotonic()
        return next((state for since, state in reversed(self._waits) if now >= since), None)


class Follower:
    """One reader of blocks. It knows what it has been given, so it is never given that again, nor woken by it."""

    def __init__(self, answer: Answer, offset: int) -> None:
        self._answer = answer
        self._settled = offset  # it holds everything up to here as blocks,
        self._sent = 0  # raw text behind that up to here,
        self._state: Sentence | None = None  # and knows what is being waited for
        self._has_begun = False  # before that, `_settled` need not be the end of a block
        self._waits_since = 0.0  # for a turn, on time.monotonic()

    @property
    def is_long(self) -> bool:
        """Whether there is much to set before this reader has all."""
        with self._answer._changed:
            return self._answer._is_long

    def news(self, timeout: float) -> News:
        """All that is new, up to a limit; waits up to `timeout` seconds until there is anything."""
        deadline = time.monotonic() + timeout
        with self._answer._changed:
            self._answer._changed.wait_for(self._has_news, timeout)
        if not self._fresh()[0]:
            self._set_more(deadline)
        return self._take()

    def now(self, timeout: float) -> News:
        """All that there is now, up to a limit, as far as it can be set within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        is_set = False
        while not is_set and time.monotonic() < deadline and self._fresh()[1]:
            is_set = self._set_more(deadline)
        return self._take()

    def _has_news(self) -> bool:
        answer = self._answer
        return answer.ending is not None or answer._length > self._sent or answer._state() != self._state

    def _set_more(self, deadline: float) -> bool:
        """Have more of the answer set, if there is more to set. Returns whether all is set now."""
        self._waits_since = self._waits_since or time.monotonic()
        had = self._answer._fed
        self._answer._set_more(self._waits_since, deadline - time.monotonic())
        with self._answer._changed:
            is_set = self._answer._is_set
        if is_set or self._answer._fed > had:
            self._waits_since = 0.0
        return is_set

    def _fresh(self) -> tuple[list[Block], bool]:
        """The next blocks for this reader, up to the limit, and whether they are all that there are."""
        blocks = self._answer._blocks
        first = last = bisect.bisect_right(blocks, self._settled, key=lambda block: block.upto)
        count = 0
        while last < len(blocks) and count < _HTML_CHARACTERS:
            count += len(blocks[last].html)
            last += 1
        return blocks[first:last], last == len(blocks)

    def _take(self) -> News:
        answer = self._answer
        with answer._changed:
            blocks, are_all = self._fresh()
            if blocks:
                self._settled = self._sent = blocks[-1].upto
                self._has_begun = True
            text, ending = "", None
            if are_all and answer._is_set:
                if not self._has_begun:
                    self._settled = self._sent = answer._blocks[-1].upto if answer._blocks else 0
                    self._has_begun = True
                text = answer._text(self._sent, self._sent + _TEXT_CHARACTERS)
                self._sent += len(text)
                ending = answer.ending if self._sent == answer._length else None
            state = answer._state()
            states = () if state == self._state else (state,)
            self._state = state
            return News(blocks, text, ending, states)
