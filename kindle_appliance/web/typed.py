"""What somebody typed, as pages show it: questions, names, found words. Pure."""

from __future__ import annotations

from ..sentences import Sentence
from ..text.emoji import without_emoji
from ..text.writing import east_asian_language, is_right_to_left, may_slant

_TITLE_CHARACTERS = 90


class Typed(str):
    """Text that somebody typed, with what a template needs to set it."""

    __slots__ = ()

    @property
    def short(self) -> str:
        text = " ".join(self.split())
        return text if len(text) <= _TITLE_CHARACTERS else text[: _TITLE_CHARACTERS - 1].rstrip() + "…"

    @property
    def is_right_to_left(self) -> bool:
        return bool(is_right_to_left(self))

    @property
    def language(self) -> str | None:
        return east_asian_language(self)

    @property
    def is_upright(self) -> bool:
        return not may_slant(self)


def without_signs(text: str) -> str:
    """A typed text without emoji, if it has anything else."""
    shown = without_emoji(text)
    return shown if shown.strip() else text


def question_of(text: str, language: str) -> Typed:
    """A question as it was typed, without emoji, or, in the reader's `language`, that it cannot be read."""
    return Typed(without_signs(text) or Sentence("The card has damaged this question.").to(language))
