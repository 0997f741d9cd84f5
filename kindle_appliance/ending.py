"""How an answer ended: the one value that closes every answer, from Gemini's stream to the reader's page.

It stands alone because everyone between the two speaks of it: the dialect makes it, the fallback passes it on,
the database keeps it, frames and pages show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .sentences import Sentence


class Finish(StrEnum):
    """Why no more text comes."""

    COMPLETE = "complete"
    """Gemini said all it wanted to say."""
    LENGTH = "length"
    """The answer reached the greatest length that the settings allow."""
    STOPPED = "stopped"
    """The reader pressed Stop."""
    BLOCKED = "blocked"
    """Google's rules refused the question, or cut the answer."""
    INTERRUPTED = "interrupted"
    """The connection, Gemini or the appliance went away while the answer was being written."""
    FAILED = "failed"
    """There is no answer; the note says why and what can be done."""


@dataclass(frozen=True)
class Ending:
    """The end of an answer: why, what to tell the reader (or nothing), which model answered, what it cost, and on
    which rung of the fallback that model stands (0: it is the first choice).
    """

    finish: Finish
    note: Sentence | None = None
    model: str = ""
    tokens: int = 0
    rung: int = 0

    def words(self, language: str) -> str:
        """All that the reader is told about it."""
        said = [] if self.note is None else [self.note]
        if self.rung:
            said.append(Sentence("%(model)s answered, because the first choice could not.", model=self.model))
        return " ".join(sentence.to(language) for sentence in said)
