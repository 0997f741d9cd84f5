"""The list of rungs that questions go down, best first.

Free quotas are small, models come and go, and a computer of the house can be off. So each question goes down the
list until one rung begins to answer: see `generation`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..conversation import Question
from .call import Clocks
from .generation import Generation
from .quotas import Quotas
from .rung import Rung
from .waiting import Tell


class Fallback:
    """The rungs, best first, and what is known of their quotas. `patience`: seconds from a question to its first
    text.
    """

    def __init__(self, rungs: Sequence[Rung], quotas: Quotas, patience: float = Clocks.first_byte) -> None:
        self._rungs = tuple(rungs)
        self._quotas = quotas
        self._patience = patience

    @property
    def history_characters(self) -> int:
        """So much of the history some rung can use; it never gets more."""
        return max((rung.limits.history_characters for rung in self._rungs), default=0)

    @property
    def back_at(self) -> float:
        """If nothing can answer before a quota is back: when the first is (Unix time); else 0."""
        back = self._quotas.first_back(self._rungs)
        return back.at if back else 0.0

    def ask(self, question: Question, tell: Tell = lambda _: None, first: int = 0) -> Generation:
        """An answer to `question`. Nothing is sent before it is read. `first`: the index of the rung to begin with;
        past the end of the list it is the first one.
        """
        first = first if first < len(self._rungs) else 0
        return Generation(self._rungs, first, self._quotas, question, tell, self._patience)
