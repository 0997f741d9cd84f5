"""Trims the chat history to a budget, in characters and in tokens. Pure.

A chat may be long, and its history is paid for, and read by the model, with each question. So whole turns are left
out, oldest first, until the rest fits. The last turn goes along, shortened: the question is most likely about it.

A model of a small context gets no more than half of it, so that its answer has room, too. The question itself is
never cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from ..conversation import Message, Question
from .rung import Limits
from .tokens import estimate, whole_sentences

_GAP = "\n\n[...]\n\n"
_LEAST_CHARACTERS = 200
"""Of a message that is shortened: so much of it stays."""
_MESSAGE_TOKENS = 8
"""What a chat template adds to a message: the role, and marks around it."""
_INSTRUCTION_PART = 4
"""The instruction gets this part of a small prompt at most."""

Size = Callable[[str], int]


def fit(question: Question, limits: Limits) -> Question:
    """The question with as much history, and of its instruction as many whole sentences, as the limits allow."""
    question = trim(question, limits.history_characters)
    most = limits.prompt_tokens
    if most is None:
        return question
    question = replace(question, instruction=whole_sentences(question.instruction, most // _INSTRUCTION_PART))
    left = most - _tokens(question.text) - _tokens(question.instruction)
    question = _trim(question, left, _tokens)
    is_fitting = sum(_tokens(message.text) for message in question.history) <= left
    return question if is_fitting else replace(question, history=())


def trim(question: Question, characters: int) -> Question:
    """The question with at most `characters` of history."""
    return _trim(question, characters, len)


def length(question: Question) -> int:
    """The characters of the history."""
    return sum(len(message.text) for message in question.history)


def _trim(question: Question, most: int, size_of: Size) -> Question:
    kept: list[list[Message]] = []
    for turn in reversed(_turns(question.history)):
        size = sum(size_of(message.text) for message in turn)
        if size > most:
            if not kept:
                kept.append(_shortened(turn, size - most, size_of))
            break
        most -= size
        kept.append(turn)
    return replace(question, history=tuple(chain.from_iterable(reversed(kept))))


def _tokens(text: str) -> int:
    """The tokens of a message."""
    return estimate(text) + _MESSAGE_TOKENS


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Questions, each with what was said until the next one."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _shortened(turn: Sequence[Message], excess: int, size_of: Size) -> list[Message]:
    """The turn without the middle of its longest messages: how an answer begins and ends says most of it."""
    shortened = list(turn)
    for index in sorted(range(len(turn)), key=lambda each: -len(turn[each].text)):
        text = turn[index].text
        size = size_of(text)
        shorter = _without_middle(text, size - excess, size_of)
        if excess <= 0 or len(shorter) >= len(text):
            break
        shortened[index] = turn[index]._replace(text=shorter)
        excess -= size - size_of(shorter)
    return shortened


def _without_middle(text: str, most: int, size_of: Size) -> str:
    """As much of the begin and of the end as `most` holds, and at least a little."""

    def cut(half: int) -> str:
        return text[:half] + _GAP + text[-half:]

    halves = range(_LEAST_CHARACTERS // 2, len(text) // 2 + 1)
    fitting = bisect_right(halves, most, key=lambda half: size_of(cut(half)))
    return cut(halves[max(0, fitting - 1)]) if halves else text
