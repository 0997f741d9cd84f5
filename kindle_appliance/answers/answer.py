"""An answer: append-only text with waiters, read from any offset by any number of readers.

One thread writes it. All offsets are characters of the raw text. There are two ways to read it: as raw text, and as
set blocks with a provisional *tail* of what has not settled. These are made when somebody wants them, in the thread
of that reader and in `Turns`: the writer and those who want raw text never wait for them, and an answer that nobody
reads is never set. Any chunking gives the same blocks, so it does not matter when that happens.

A growing text is set at most twice a second, once for all its followers: they get the same blocks and tail.
"""

from __future__ import annotations

import bisect
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ending import Ending, Finish
from ..sentences import Sentence
from ..typesetting.resumption import Opened
from ..typesetting.typesetter import Block, Typesetter
from .turns import SHORT_CHARACTERS, SHORT_TURNS, TURN_SECONDS, Turns

log = logging.getLogger(__name__)

SETTING_SECONDS = 0.5
"""The time between two settings of a growing text, and between two that a follower gets: a page, on e-ink, is not
drawn more often.
"""
STATE_SECONDS = 10
"""So often readers are told anew how long the answer has been waited for."""

_FED_CHARACTERS = 256  # at a time; between two of them a turn can end
_TEXT_CHARACTERS = 64 * 1024
_HTML_CHARACTERS = 256 * 1024
"""So much text, or HTML, is given at once: about what a connection buffers. Whoever wants more comes again."""

_BLOCK_BYTES = 150  # of memory, besides its HTML: a tuple, a number and two entries


class Tail(NamedTuple):
    """The provisional HTML of the text that has not settled, and what the reader has of an earlier one."""

    html: str
    had: str = ""


class News(NamedTuple):
    """All that is new to a reader of blocks, up to a limit. `tail`: of the text behind them, None if it has not
    changed; after blocks, a reader has an empty one. `states` has what is being waited for, if that has changed;
    None: nothing any more. `ending` comes last, with or after all the rest.
    """

    blocks: Sequence[Block]
    tail: Tail | None
    ending: Ending | None
    states: Sequence[Sentence | None] = ()

    def with_html(self, change: Callable[[str], str]) -> News:
        """The same news with its HTML changed, that of the tail and of the one before it alike."""
        blocks = [block._replace(html=change(block.html)) for block in self.blocks]
        tail = Tail(change(self.tail.html), change(self.tail.had)) if self.tail else None
        return self._replace(blocks=blocks, tail=tail)


class Answer:
    """Append-only text with waiters. `turns`: those of the appliance. `when_set` is called with the answer when
    more of it has been set. `opened`: what was open where the answer broke off with which it goes on. `error`: why
    there is no answer, for callers that report by status.
    """

    def __init__(
        self,
        turns: Turns | None = None,
        when_set: Callable[[Answer], None] = lambda _: None,
        opened: Opened | None = None,
    ) -> None:
        self.ending: Ending | None = None
        self.error: Exception | None = None
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._ended = threading.Condition(lock)  # for those whom more text is not to wake
        self._pieces: list[str] = []
        self._starts: list[int] = []  # offset of each piece
        self._length = 0
        self._say: Callable[[int], Sentence] | None = None  # what is waited for, so many seconds after
        self._waits_since = 0.0  # on time.monotonic()
        self._turns = turns or Turns()
        self._when_set = when_set
        self._setting = threading.Lock()  # held by the thread that sets, and before `_changed` where both are
        self._opened = opened
        self._typesetter: Typesetter | None = Typesetter(opened)  # None when all is set
        self._fed = 0  # characters that the typesetter has
        self._turns_taken = 0
        self._blocks: list[Block] = []
        self._tail = ""  # behind these blocks
        self._due = 0.0  # when a growing text is set next, on time.monotonic()
        self._is_tail_broken = False
        self._bytes = 0  # of memory

    @classmethod
    def of(
        cls,
        text: str,
        ending: Ending,
        turns: Turns | None = None,
        when_set: Callable[[Answer], None] = lambda _: None,
        opened: Opened | None = None,
    ) -> Answer:
        """An answer that has been written before."""
        answer = cls(turns, when_set, opened)
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

    def tell(self, say: Callable[[int], Sentence]) -> None:
        """Let readers see what is being waited for before any text: `say` returns the sentence for a number of
        seconds from now, and is asked at multiples of `STATE_SECONDS`. It replaces the one that was given before.
        """
        with self._changed:
            self._say, self._waits_since = say, time.monotonic()
            self._changed.notify_all()

    def end(self, ending: Ending) -> None:
        """No more text will come."""
        with self._changed:
            self.ending = ending
            self._turns_taken = 0  # of those for the growing text
            self._changed.notify_all()
            self._ended.notify_all()

    @property
    def length(self) -> int:
        return self._length

    @property
    def size(self) -> int:
        """The bytes of memory that it takes, about."""
        return self._bytes + sys.getsizeof(self._tail)

    # ---- As raw text

    def text(self, start: int = 0) -> str:
        """The raw text from an offset on; nothing if that lies past the end."""
        with self._changed:
            return self._text(start, self._length)

    def beginning(self, length: int) -> str:
        """The first characters of the raw text."""
        with self._changed:
            return self._text(0, length)[:length]

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
        """A reader of blocks that has everything up to `offset`. Offsets inside a block, in the tail or past
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
        """Whether there is nothing to set now: a growing text waits until it is due. Called with `_changed`."""
        if self.ending is not None:
            return self._typesetter is None
        return self._fed == self._length or time.monotonic() < self._due

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
        """Set text until the turn is over. Readers get to see blocks and tail together, at its end."""
        end_of_turn = time.monotonic() + TURN_SECONDS
        self._turns_taken += 1
        typesetter, fed, fresh = self._typesetter, self._fed, list[Block]()
        is_last = is_all = False
        while typesetter is not None and not is_last and not is_all:
            with self._changed:
                text = self._text(fed, fed + _FED_CHARACTERS)
                fed += len(text)
                ending = self.ending if fed == self._length else None
                is_last = ending is not None
            try:
                fresh += typesetter.feed(text)
                if ending is not None:
                    fresh += typesetter.close(is_broken_off=ending.finish is not Finish.COMPLETE)
            except BaseException:  # what it has is not known any more; a next turn begins anew
                with self._changed:
                    self._typesetter, self._fed, self._blocks = Typesetter(self._opened), 0, []
                    self._tail = ""
                raise
            is_all = fed == self._length and self.ending is None
            if time.monotonic() >= end_of_turn:
                break
        tail = self._make_tail(typesetter) if typesetter is not None and is_all else ""
        size = sum(sys.getsizeof(block.html) + _BLOCK_BYTES for block in fresh)
        with self._changed:
            self._typesetter, self._fed, self._tail = None if is_last else typesetter, fed, tail
            self._blocks += fresh
            self._bytes += size
            if is_all:
                self._due = time.monotonic() + SETTING_SECONDS

    def _make_tail(self, typesetter: Typesetter) -> str:
        """The tail of the text so far; without one, its blocks still come."""
        try:
            return typesetter.tail()
        except Exception:
            if not self._is_tail_broken:
                log.exception("answers: a mistake while setting a tail")
            self._is_tail_broken = True
            return ""

    def _state(self) -> Sentence | None:
        """What is being waited for, counted from the same moment for every reader. Called with `_changed`."""
        if self._length or self.ending is not None or self._say is None:
            return None
        steps = int((time.monotonic() - self._waits_since) / STATE_SECONDS)
        return self._say(steps * STATE_SECONDS)


class Follower:
    """One reader of blocks. It knows what it has been given, so it is never given that again, nor woken by it."""

    def __init__(self, answer: Answer, offset: int) -> None:
        self._answer = answer
        self._settled = offset  # it holds everything up to here as blocks,
        self._tail = ""  # this behind them,
        self._state: Sentence | None = None  # and knows what is being waited for
        self._has_begun = False  # before that, `_settled` need not be the end of a block
        self._given_at = 0.0  # when it was given all that had been set; times are on time.monotonic()
        self._waits_since = 0.0  # for a turn

    @property
    def is_long(self) -> bool:
        """Whether there is much to set before this reader has all."""
        with self._answer._changed:
            return self._answer._is_long

    def news(self, timeout: float) -> News:
        """All that is new, up to a limit; waits up to `timeout` seconds until there is anything. The first text is
        given at once, more of it twice a second, the end at once.
        """
        deadline = time.monotonic() + timeout
        if not self._wait(deadline):
            return News((), None, None)
        while not self._has_enough():
            self._set_more(deadline)
            if time.monotonic() >= deadline:
                break
        return self._take()

    def now(self, timeout: float) -> News:
        """All that there is now, up to a limit, as far as it can be set within `timeout` seconds. Of a growing text
        that is followed it may lack the last half second.
        """
        deadline = time.monotonic() + timeout
        is_set = False
        while not is_set and time.monotonic() < deadline and self._fresh()[1]:
            is_set = self._set_more(deadline)
        return self._take()

    def _wait(self, deadline: float) -> bool:
        """Wait for news. Text that has come and is not due yet does not wake this reader again."""
        answer = self._answer
        with answer._changed:
            while True:
                now = time.monotonic()
                if answer.ending is not None or answer._state() != self._state:
                    return True
                due = self._due(now)
                if due is not None and due <= now:
                    return True
                if now >= deadline:
                    return False
                if due is None:
                    answer._changed.wait(deadline - now)
                else:
                    answer._ended.wait(min(deadline, due) - now)

    def _due(self, now: float) -> float | None:
        """When this reader is given more of a growing text; None if it has all. Called with `_changed`.

        If the text is about to be set, it waits for that: else it would always be late by the same time.
        """
        answer = self._answer
        is_behind = bool(self._fresh()[0]) or answer._tail != self._tail
        is_unset = answer._fed < answer._length
        if not is_behind and not is_unset:
            return None
        due = self._given_at + SETTING_SECONDS if self._given_at else now
        is_stale = bool(self._given_at) and now > answer._due - SETTING_SECONDS / 2
        return max(due, answer._due) if is_unset and (is_stale or not is_behind) else due

    def _has_enough(self) -> bool:
        """Whether it can be given news. A page that shows a tail waits until all is set: its text must not vanish
        for a moment.
        """
        with self._answer._changed:
            blocks, are_all = self._fresh()
            return self._answer._is_set or not are_all or bool(blocks and not self._tail)

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
            is_set = are_all and answer._is_set
            if blocks:
                self._settled = blocks[-1].upto
            elif is_set and not self._has_begun:
                self._settled = answer._blocks[-1].upto if answer._blocks else 0
            self._has_begun |= is_set or bool(blocks)
            html = answer._tail if are_all and self._has_begun else ""
            tail = Tail(html, "" if blocks else self._tail)
            self._tail = html
            state = answer._state()
            states = () if state == self._state else (state,)
            self._state = state
            if blocks or tail.html != tail.had:
                self._given_at = time.monotonic() if is_set else 0.0
            return News(
                blocks,
                tail if tail.html != tail.had else None,
                answer.ending if is_set else None,
                states,
            )
