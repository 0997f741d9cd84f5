"""What is said to a model: messages, a question with its instruction, and the options for generating the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Message(NamedTuple):
    """One message of a conversation."""

    role: Literal["user", "model"]
    text: str


@dataclass(frozen=True)
class Question:
    """A question, the messages before it, oldest first, and the system instruction ("": none)."""

    text: str
    history: tuple[Message, ...] = ()
    instruction: str = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation; its last message is the question."""
        return (*self.history, Message("user", self.text))


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is generated; None leaves the choice to the model. A dialect says which options it knows, and
    which of them exclude each other.

    `temperature`: how freely words are chosen, from 0 on. `max_output_tokens`: the greatest length of an answer, at
    Gemini without the thoughts before it and elsewhere with them. `thinking_level`, `thinking_budget` (tokens): how
    much the model thinks before it writes.
    """

    temperature: float | None = None
    max_output_tokens: int | None = None
    thinking_level: str | None = None
    thinking_budget: int | None = None
