"""Trims the chat history to a character budget. Pure.

A chat may be long, and its history is paid for, and read by the model, with each question. So whole turns are left
out, oldest first, until the rest fits. The last turn always goes along: the question is most likely about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from ..conversation import Message, Question

_GAP = "\n\n[...]\n\n"
_LEAST_CHARACTERS = 200
"""Of a message that is shortened: so much of it stays."""


def trim(question: Question, characters: int) -> Question:
    """The question with at most `characters` of history."""
    kept: list[list[Message]] = []
    for turn in reversed(_turns(question.history)):
        size = sum(len(message.text) for message in turn)
        if size > characters:
            if not kept:
                kept.append(_shortened(turn, size - characters))
            break
        characters -= size
        kept.append(turn)
    return replace(question, history=tuple(chain.from_iterable(reversed(kept))))


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Questions, each with what was said until the next one."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _shortened(turn: Sequence[Message], excess: int) -> list[Message]:
    """The turn without the middle of its longest messages: how an answer begins and ends says most of it."""
    shortened = list(turn)
    for index in sorted(range(len(turn)), key=lambda each: -len(turn[each].text)):
        text = turn[index].text
        half = max(len(text) - excess - len(_GAP), _LEAST_CHARACTERS) // 2
        if excess <= 0 or 2 * half + len(_GAP) >= len(text):
            break
        shortened[index] = turn[index]._replace(text=text[:half] + _GAP + text[-half:])
        excess -= len(text) - len(shortened[index].text)
    return shortened
