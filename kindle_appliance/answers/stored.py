"""The stored answers that are being read, and those that were read last: each is set once for all its readers.

A cache, bounded by the memory that it takes. Ids are never used again. A stored answer changes only when a question
that has waited is asked again, so an entry can only be dropped.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from weakref import WeakValueDictionary

from ..storage.chats import Chats
from .answer import Answer
from .going_on import opened_before
from .turns import Turns

KEPT_BYTES = 16 * 1024 * 1024
"""The memory for answers that nobody reads at the moment: some two thousand of the usual length, or one of the
longest."""


class StoredAnswers:
    """Finds stored answers. `turns`: those of the appliance."""

    def __init__(self, chats: Chats, turns: Turns, kept_bytes: int = KEPT_BYTES) -> None:
        self._chats = chats
        self._turns = turns
        self._most = kept_bytes
        self._lock = threading.Lock()
        self._known: WeakValueDictionary[int, Answer] = WeakValueDictionary()  # as long as somebody has them
        self._kept: OrderedDict[int, tuple[Answer, int]] = OrderedDict()  # with their sizes; the last read is last
        self._size = 0
        self._drops = 0  # what was read before the last one may have changed

    @property
    def size(self) -> int:
        """The bytes of memory that the kept answers take, about."""
        return self._size

    def find(self, turn: int) -> Answer | None:
        """The answer of a turn; None if there is no such turn, or its answer is stored without an ending."""
        with self._lock:
            answer, drops = self._known.get(turn), self._drops
            if turn in self._kept:
                self._kept.move_to_end(turn)
        if answer is None:
            stored = self._chats.find_turn_by_id(turn)
            if stored is None or stored.ending is None:
                return None
            opened = opened_before(self._chats, stored)
            answer = Answer.of(stored.answer, stored.ending, self._turns, partial(self._keep, turn), opened)
            with self._lock:
                if drops == self._drops:
                    answer = self._known.setdefault(turn, answer)
        if not self._chats.has_turn(turn):  # asked last: deleted before this, or dropped after it
            self.drop()
            return None
        return answer

    def drop(self) -> None:
        """Keep nothing: a chat was deleted. That is rare, and setting an answer again is cheap."""
        with self._lock:
            self._known.clear()
            self._kept.clear()
            self._size = 0
            self._drops += 1

    def drop_one(self, turn: int) -> None:
        """Keep nothing of a turn that was opened again."""
        with self._lock:
            self._known.pop(turn, None)
            self._let_go(turn)
            self._drops += 1

    def _keep(self, turn: int, answer: Answer) -> None:
        """Keep an answer of which more has been set. What is only read as raw text is not worth keeping."""
        with self._lock:
            if self._known.get(turn) is not answer:  # dropped
                return
            self._let_go(turn)
            if answer.size > self._most:
                return
            self._kept[turn] = answer, answer.size
            self._size += answer.size
            while self._size > self._most:
                self._let_go(next(iter(self._kept)))

    def _let_go(self, turn: int) -> None:
        _, size = self._kept.pop(turn, (None, 0))
        self._size -= size
