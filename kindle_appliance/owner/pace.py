"""How fast a model answers: a short question is asked as a reader would ask it, and stopped after a few words."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..conversation import Question
from ..errors import ApplianceError
from ..upstream.fallback import Fallback
from ..upstream.quotas import Quotas
from ..upstream.rung import Rung
from ..upstream.waiting import Tell
from .models import tell_refusal

_QUESTION = "Why is the sea salty?"
_ENOUGH_WORDS = 60
_ENOUGH_SECONDS = 20.0
"""After the first text. A Raspberry Pi 5 writes some fifty words in that time."""
_LEAST_SECONDS = 0.05
"""Text that comes within so little time came all at once."""


class Pace(NamedTuple):
    """Seconds until the first text, and words a minute after it (0: all came at once). `fault`: why there was no
    text, for the owner, with the `error` if it was one; the rest does not count then.
    """

    first: float = 0.0
    words_a_minute: int = 0
    fault: str = ""
    error: ApplianceError | None = None

    def __str__(self) -> str:
        if self.fault:
            return self.fault
        rest = f"then {self.words_a_minute} words a minute." if self.words_a_minute else "and the rest with it."
        return f"The first word came after {self.first:.1f} s, {rest}"


def measure(rung: Rung, instruction: str, tell: Tell = lambda _: None) -> Pace:
    """Ask a rung alone. It counts as one question of the day where these are counted."""
    generation = Fallback([rung], Quotas(), rung.place.upstream.clocks.first_byte).ask(
        Question(_QUESTION, instruction=instruction), tell
    )
    begun = time.monotonic()
    first = last = 0.0
    words = words_at_first = 0
    end = " "  # of the text so far
    try:
        for text in generation:
            last = time.monotonic()
            words += count_words(end, text)
            end = text[-1]
            if not first:
                first, words_at_first = last, words
            if words > _ENOUGH_WORDS or last - first > _ENOUGH_SECONDS:
                generation.cancel()
    finally:
        generation.cancel()
    if not first:
        note = generation.ending.note if generation.ending else None
        error = generation.error
        said = tell_refusal(error, rung.provider, rung.place.key) if error else str(note or "no text came.")
        return Pace(fault=said, error=error)
    took = last - first
    rate = (words - words_at_first) / took * 60 if took > _LEAST_SECONDS else 0
    return Pace(first - begun, round(rate))


def count_words(end: str, text: str) -> int:
    """How many words begin in a text that follows the character `end`."""
    return len(text.split()) - (not (end.isspace() or text[0].isspace()))
