"""How an answer ended: the one value that closes every answer, from the model's stream to the reader's page.

It stands alone because everyone between the two speaks of it: a dialect makes it, the fallback passes it on, the
database keeps it, frames and pages show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .sentences import Sentence


class Finish(StrEnum):
    """Why no more text comes."""

    COMPLETE = "complete"
    """The model said all it wanted to say."""
    LENGTH = "length"
    """The answer reached the greatest length that the settings allow."""
    STOPPED = "stopped"
    """The reader pressed Stop."""
    BLOCKED = "blocked"
    """The provider's rules refused the question, or cut the answer."""
    INTERRUPTED = "interrupted"
    """The connection, the model server or the appliance went away while the answer was being written."""
    FAILED = "failed"
    """There is no answer; the note says why and what can be done."""


STOPPED = Sentence("You stopped this answer.")
SWITCHED_OFF = Sentence("The appliance was switched off while it wrote this.")
DELETED = Sentence("This chat was deleted.")
DAMAGED = Sentence("The card has damaged this answer. What can still be read stands here.")
LOST = Sentence("The card has lost this answer. Please ask again.")
TOO_LONG = Sentence("The answer reached its greatest length.")
"""Notes of endings that more than one module makes."""


class Passed(NamedTuple):
    """An entry of the list of models that came before the one that answered, and why it did not answer."""

    model: str
    why: Sentence


@dataclass(frozen=True)
class Ending:
    """The end of an answer: why, what to tell the reader (or nothing), the name of the model that answered as the
    owner wrote it, how many tokens it took, and the model's position in the list of models (0: the first choice).

    `next_rung`: the position of a model that the reader can have asked, because the time was over before it was; 0
    if there is none. `passed`: the entries before the model that answered, in order; all of them if none did.
    `back_at`: when nothing can answer before a quota is back, the moment at which the first is (Unix time); else 0.
    """

    finish: Finish
    note: Sentence | None = None
    model: str = ""
    tokens: int = 0
    rung: int = 0
    next_rung: int = 0
    passed: tuple[Passed, ...] = ()
    back_at: float = 0.0
