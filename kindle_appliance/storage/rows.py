"""Turns and chats as rows of the tables, and what can be read of them: the bits of a card can turn over."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..ending import DAMAGED, Ending, Finish, Passed
from ..sentences import Sentence
from .damage import LAST_MOMENT, Damaged
from .database import Row

_MOST_ANSWER_BYTES = 4 * 1024 * 1024  # 1,000,000 characters, see `upstream/attempt.py`
_MOST_PASSED = 32
_MOST_PASSED_CHARACTERS = 64 * 1024  # a backup may be somebody else's

TURN = """
    SELECT id, chat, number, question, asked, answer, finish, note, model, tokens, rung, next_rung,
    passed, back_at,
    CASE WHEN finish IS NULL THEN
        (SELECT group_concat(hex(text), ' ') FROM (SELECT text FROM pieces WHERE turn = turns.id ORDER BY at))
    END AS pieces FROM turns
"""
"""`pieces`: what the log has of an answer without an ending. (SQLite keeps the order of the subquery: see its
ticket 2942, of 2008.)
"""

SUMMARY = (
    "SELECT id, title, questions, asked, newest, name,"
    " EXISTS (SELECT 1 FROM turns INDEXED BY unfinished WHERE chat = chats.id AND finish IS NULL) AS writing"
    " FROM chats"
)


@dataclass(frozen=True)
class Turn:
    """A question and its answer as they are stored. `ending` is None while the answer is being written.

    What the card has damaged is left out: `question` is "" if nothing of it can be read, and the note of the ending
    says so of the answer. `is_damaged`: whether any of it cannot be read.
    """

    id: int
    chat: int
    number: int
    question: str
    asked: float
    answer: str
    ending: Ending | None
    is_damaged: bool = False


class Place(NamedTuple):
    """Where a turn stands in its chat: the number of the last turn, and of those before and after this one (0:
    none). Turns that were lost with a damaged file have left gaps.
    """

    last: int
    before: int
    after: int


@dataclass(frozen=True)
class ChatSummary:
    """A chat as an entry of a list.

    `first`: the beginning of its first question, "" if that cannot be read; `questions`: the number of the last
    one; `asked`: when that was asked (Unix time); `writing`: whether an answer is being written; `newest`: the id
    of the newest turn; `name`: what a reader has called it, or "".
    """

    id: int
    first: str
    questions: int
    asked: float
    writing: bool
    newest: int
    name: str = ""

    @property
    def title(self) -> str:
        """What the chat is called in lists."""
        return self.name or self.first


def read_turn(row: Row) -> Turn:
    """A stored turn, as far as it can be read. The bits of a card can turn over, and then a value can become any
    other that SQLite can hold.
    """
    is_damaged = any(isinstance(value, Damaged) for value in row)
    question, answer, asked = _text(row["question"]), _text(row["answer"]), read_moment(row["asked"])
    is_damaged |= not all(isinstance(row[each], str) for each in ("question", "answer", "model", "passed"))
    try:
        packed = row["pieces"] if "pieces" in row.keys() else None  # noqa: SIM118 - a row is no dict
        for piece in (packed or "").split():
            answer += _unpack(bytes.fromhex(piece))
            if len(answer) > _MOST_ANSWER_BYTES:
                raise ValueError("more than an answer has")
    except (ValueError, zlib.error):
        is_damaged = True
    numbers = [row[name] for name in ("chat", "number", "tokens", "rung", "next_rung")]
    is_damaged |= not all(isinstance(each, int) and each >= 0 for each in numbers)
    chat, number, tokens, rung, next_rung = map(whole, numbers)
    back_at = read_moment(row["back_at"])
    is_damaged |= back_at is None
    ending = None
    if row["finish"] is not None:
        note, passed = None, tuple[Passed, ...]()
        try:
            finish = Finish(row["finish"])
            note = Sentence.from_json(row["note"]) if row["note"] else None
            passed = _read_passed(_text(row["passed"]))
        except (ValueError, TypeError):
            is_damaged = True
            finish = Finish.INTERRUPTED if answer else Finish.FAILED
        note = DAMAGED if is_damaged else note
        name = _text(row["model"])
        ending = Ending(finish, note, name, tokens, rung, next_rung, passed, back_at or 0.0)
    # A moment that cannot be is no reason to doubt the answer.
    return Turn(row["id"], chat, number, question, asked or 0.0, answer, ending, is_damaged or asked is None)


def read_summary(row: Row) -> ChatSummary:
    """A chat as lists show it, as far as that can be read. Derived from the turns, so nothing is lost."""
    return ChatSummary(
        row["id"],
        _text(row["title"]),
        whole(row["questions"]),
        read_moment(row["asked"]) or 0.0,
        bool(row["writing"]),
        whole(row["newest"]),
        _text(row["name"]),
    )


def is_readable(row: Row) -> bool:
    """Whether all of a stored turn can be read."""
    return not read_turn(row).is_damaged


def write_passed(passed: Sequence[Passed]) -> str:
    """The models before the one that answered, as a value of a row; of a very long list the first ones."""
    return json.dumps([[each.model, each.why.to_json()] for each in passed[:_MOST_PASSED]]) if passed else ""


def _read_passed(stored: str) -> tuple[Passed, ...]:
    """What `write_passed()` made a value of. Raises ValueError for anything else."""
    if not stored:
        return ()
    try:
        if len(stored) > _MOST_PASSED_CHARACTERS:
            raise ValueError("too long")
        return tuple(Passed(_text(model), Sentence.from_json(why)) for model, why in json.loads(stored))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no list of models: {error}") from error


def _unpack(packed: bytes) -> str:
    """The text of a piece. Raises ValueError or zlib.error for what cannot be one: of a backup of somebody else, a
    few bytes could become more than the memory holds.
    """
    reader = zlib.decompressobj()
    text = reader.decompress(packed, _MOST_ANSWER_BYTES)
    if not reader.eof:
        raise ValueError("cut off, or too long")
    return text.decode()


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else ""


def whole(value: object) -> int:
    """A count or an id; 0 for what can be none."""
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else 0


def read_moment(value: object) -> float | None:
    """A Unix time that can be shown; None for what can be none."""
    return float(value) if isinstance(value, int | float) and 0 <= value < LAST_MOMENT else None
