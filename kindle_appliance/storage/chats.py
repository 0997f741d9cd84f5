"""Chats and turns. A turn is a question and its answer; a chat is its turns in order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from ..clock import now
from ..ending import DAMAGED, SWITCHED_OFF, Ending, Finish
from ..errors import ReaderError
from ..sentences import Sentence
from .damage import LAST_MOMENT, Damaged
from .database import Connection, Database, Row, repeats

QUESTION_CHARACTERS = 4000
_MOST_REMEMBERED = 1000
_LOOKED_AT = 8  # of 1,000,000 characters at most


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

    `title`: its first question, "" if that cannot be read; `questions`: their number; `last`: that of the last one;
    `asked`: when that was asked (Unix time); `writing`: whether an answer is being written; `newest`: the id of the
    newest turn.
    """

    id: int
    title: str
    questions: int
    asked: float
    writing: bool
    newest: int
    last: int


class Piece(NamedTuple):
    """A piece of growing text: what the answer of a `turn` has from `at` on, an offset in characters."""

    turn: int
    at: int
    text: str


Accept = Callable[[Connection, Turn], AbstractContextManager[object]]
"""What else has to happen for a question to be accepted: entered before the end of the transaction that stores it,
and left after it, by its error if it fails. An error on entering refuses the question.
"""


class Chats:
    """All stored chats of the house."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._damaged: set[int] = set()
        self._looked_upto = 0

    @repeats
    def ask(
        self,
        question: str,
        chat: int | None,
        form: str,
        device: str = "",
        accept: Accept = lambda connection, turn: nullcontext(),
    ) -> tuple[Turn, bool]:
        """Store a question in `chat`, or in a new one for None, and return its turn and whether it is new.

        The question is durable when this returns. If a form is sent twice with the same question, the second call
        returns the stored turn, and `accept` is not called. `device`: the name of the browser that asks. Raises
        KeyError for an unknown chat, and what `accept` raises.
        """
        with ExitStack() as accepted:
            with self._database.write() as connection:
                known = connection.execute(f"{_TURN} WHERE form = ? AND question = ?", (form, question)).fetchone()
                if known:
                    return self._turn(known), False
                if chat is None:
                    chat = connection.execute("INSERT INTO chats DEFAULT VALUES").lastrowid
                elif not connection.execute("SELECT 1 FROM chats WHERE id = ?", (chat,)).fetchone():
                    raise KeyError(chat)
                inserted = connection.execute(
                    "INSERT INTO turns (chat, number, question, form, asked, device) VALUES"
                    " (:chat, (SELECT coalesce(max(number), 0) + 1 FROM turns WHERE chat = :chat), :question,"
                    " :form, :now, :device)",
                    {"chat": chat, "question": question, "form": form, "now": now(), "device": device},
                ).lastrowid
                turn = self._turn(connection.execute(f"{_TURN} WHERE id = ?", (inserted,)).fetchone())
                accepted.enter_context(accept(connection, turn))
            return turn, True

    def find_turn(self, chat: int, number: int) -> Turn | None:
        """Return the turn with this number in this chat; None if there is none."""
        rows = self._database.read(f"{_TURN} WHERE chat = ? AND number = ?", (chat, number))
        return self._turn(rows[0]) if rows else None

    def find_turn_by_id(self, turn: int) -> Turn | None:
        """Return the turn with this id, which is also the id of its answer; None if there is none."""
        rows = self._database.read(f"{_TURN} WHERE id = ?", (turn,))
        return self._turn(rows[0]) if rows else None

    def has_turn(self, turn: int) -> bool:
        """Whether there is a turn with this id."""
        return bool(self._database.read("SELECT 1 FROM turns WHERE id = ?", (turn,)))

    def turns_before(self, turn: Turn) -> list[Turn]:
        """The earlier turns of the same chat, oldest first."""
        rows = self._database.read(
            f"{_TURN} WHERE chat = ? AND number < ? ORDER BY number", (turn.chat, turn.number)
        )
        return [self._turn(row) for row in rows]

    def first_turn(self, chat: int) -> Turn | None:
        """The first turn of a chat that there still is; None for an unknown one."""
        rows = self._database.read(f"{_TURN} WHERE chat = ? ORDER BY number LIMIT 1", (chat,))
        return self._turn(rows[0]) if rows else None

    def place(self, chat: int, number: int) -> Place:
        """Where the turn with this number stands, or stood, in a chat; all are 0 for an unknown chat."""
        query = (
            "SELECT (SELECT max(number) FROM turns WHERE chat = :chat),"
            " (SELECT max(number) FROM turns WHERE chat = :chat AND number < :number),"
            " (SELECT min(number) FROM turns WHERE chat = :chat AND number > :number)"
        )
        (row,) = self._database.read(query, {"chat": chat, "number": number})
        return Place(*(_whole(value) for value in row))

    def count_turns(self, chat: int) -> int:
        """Return the number of turns in a chat; 0 for an unknown one."""
        return int(self._database.read("SELECT count(*) FROM turns WHERE chat = ?", (chat,))[0][0])

    def look_further(self) -> int:
        """Look at the next few turns, after the last from the first one again, and return how many damaged ones
        have been met, up to a limit. Called regularly, it finds damage before a reader does.
        """
        rows = self._database.read(f"{_TURN} WHERE id > ? ORDER BY id LIMIT {_LOOKED_AT}", (self._looked_upto,))
        for row in rows:
            self._turn(row)
        self._looked_upto = rows[-1]["id"] if len(rows) == _LOOKED_AT else 0
        return len(self._damaged)

    def notice(self, now: float) -> Sentence | None:
        """What readers must know about the state of the chats at a moment (Unix time)."""
        damage = self._database.damage
        return damage.sentence(now) if damage else None

    def _turn(self, row: Row) -> Turn:
        turn = read_turn(row)
        if turn.is_damaged and len(self._damaged) < _MOST_REMEMBERED:
            self._damaged.add(turn.id)
        return turn

    def is_deleted_chat(self, chat: int) -> bool:
        """Whether there was a chat with this id, and is no more."""
        return not self.count_turns(chat) and self._was_given("chats", chat)

    def is_deleted_turn(self, turn: int) -> bool:
        """Whether there was a turn with this id, and is no more."""
        return self.find_turn_by_id(turn) is None and self._was_given("turns", turn)

    def _was_given(self, table: str, identity: int) -> bool:
        """Whether a row of this table had this id once. (AUTOINCREMENT: 1, 2, 3 ..., and none is used again.)"""
        newest = self._database.read("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return bool(newest) and 0 < identity <= _whole(newest[0][0])

    def recent(self, most: int, device: str | None = None) -> list[ChatSummary]:
        """Return the chats with the latest questions, newest first; with `device`, only those that it asked in."""
        rows = self._database.read(
            "SELECT chat, count(*), max(asked), max(finish IS NULL), max(id),"
            " (SELECT question FROM turns WHERE chat = t.chat ORDER BY number LIMIT 1), max(number)"
            " FROM turns t WHERE typeof(chat) = 'integer' AND (:device IS NULL OR chat IN"
            " (SELECT chat FROM turns WHERE device = :device))"
            " GROUP BY chat ORDER BY max(id) DESC LIMIT :most",
            {"device": device, "most": most},
        )
        return [
            ChatSummary(row[0], _text(row[5]), row[1], _moment(row[2]) or 0.0, bool(row[3]), row[4], _whole(row[6]))
            for row in rows
        ]

    @repeats
    def delete(self, chat: int) -> None:
        """Delete a chat with all its turns. Raises KeyError for an unknown one."""
        with self._database.write() as connection:
            gone = connection.execute("DELETE FROM chats WHERE id = ?", (chat,)).rowcount
            # A damaged card can have turns in a chat that there never was.
            gone += connection.execute("DELETE FROM turns WHERE chat = ?", (chat,)).rowcount
            if not gone:
                raise KeyError(chat)
        self._damaged.clear()  # those that are left will be met again

    def give_back(self) -> bool:
        """Give back a part of the space that deletions have left free. Returns whether there is more to do."""
        return self._database.give_back()

    @repeats
    def store_pieces(self, pieces: Iterable[Piece]) -> None:
        """Store more of growing answers, in one transaction. What was stored of an answer from `at` on is replaced:
        a piece that is stored twice is stored once. Nothing is added to an answer that has ended.
        """
        with self._database.write() as connection:
            for piece in pieces:
                packed = zlib.compress(piece.text.encode())
                connection.execute("DELETE FROM pieces WHERE turn = ? AND at >= ?", (piece.turn, piece.at))
                connection.execute(
                    "INSERT INTO pieces (turn, at, text)"
                    " SELECT id, ?, ? FROM turns WHERE id = ? AND finish IS NULL",
                    (piece.at, packed, piece.turn),
                )

    @repeats
    def store_ending(self, turn: int, text: str, ending: Ending) -> None:
        """Store a complete answer and how it ended."""
        note = ending.note.to_json() if ending.note else None
        with self._database.write() as connection:
            # The front of the log, up to what another answer still needs: taking rows out of its middle would write
            # a page for each second. First, because the answer then takes the pages that are set free.
            connection.execute(_TRIM_LOG, (turn,))
            connection.execute(
                "UPDATE turns SET answer = ?, finish = ?, note = ?, model = ?, tokens = ?, rung = ?, next_rung = ?"
                " WHERE id = ?",
                (text, ending.finish, note, ending.model, ending.tokens, ending.rung, ending.next_rung, turn),
            )

    @repeats
    def interrupt_unfinished(self) -> int:
        """Mark answers that a crash or power cut left unfinished as interrupted, and return their number."""
        note = SWITCHED_OFF.to_json()
        with self._database.write() as connection:
            turns = [read_turn(row) for row in connection.execute(f"{_TURN} WHERE finish IS NULL")]
            connection.executemany(
                "UPDATE turns SET answer = ?, finish = ?, note = ? WHERE id = ?",
                [
                    (turn.answer, Finish.INTERRUPTED, DAMAGED.to_json() if turn.is_damaged else note, turn.id)
                    for turn in turns
                ],
            )
            connection.execute("DELETE FROM pieces")
            return len(turns)


def clean(text: str) -> str:
    """Return a text as it is stored and sent to a model.

    A form sends CRLF as line ends (HTML standard, 4.10.21.4); they become LF. JSON can hold NULs and half surrogate
    pairs; they are replaced.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def check_question(question: str) -> None:
    """Raise `ReaderError` if a question is empty or too long."""
    if not question:
        raise ReaderError(Sentence("Please type a question first."))
    if len(question) > QUESTION_CHARACTERS:
        raise ReaderError(
            Sentence(
                "Your question has %(count)d characters; at most %(most)d fit. Please shorten it.",
                count=len(question),
                most=QUESTION_CHARACTERS,
            ),
            413,
        )


_TURN = """
    SELECT id, chat, number, question, asked, answer, finish, note, model, tokens, rung, next_rung,
    CASE WHEN finish IS NULL THEN
        (SELECT group_concat(hex(text), ' ') FROM (SELECT text FROM pieces WHERE turn = turns.id ORDER BY at))
    END AS pieces FROM turns
"""
"""`pieces`: what the log has of an answer without an ending. (SQLite keeps the order of the subquery: see its
ticket 2942, of 2008.)
"""

_TRIM_LOG = """
    DELETE FROM pieces WHERE id < coalesce(
        (
            SELECT pieces.id FROM pieces JOIN turns ON turns.id = pieces.turn
            WHERE turns.finish IS NULL AND turns.id != ? ORDER BY pieces.id LIMIT 1
        ),
        (SELECT max(id) + 1 FROM pieces)
    )
"""


def read_turn(row: Row) -> Turn:
    """A stored turn, as far as it can be read. The bits of a card can turn over, and then a value can become any
    other that SQLite can hold.
    """
    is_damaged = any(isinstance(value, Damaged) for value in row)
    question, answer, asked = _text(row["question"]), _text(row["answer"]), _moment(row["asked"])
    is_damaged |= not all(isinstance(row[each], str) for each in ("question", "answer", "model"))
    try:
        packed = row["pieces"] if "pieces" in row.keys() else None  # noqa: SIM118 - a row is no dict
        for piece in (packed or "").split():
            answer += zlib.decompress(bytes.fromhex(piece)).decode()
    except (ValueError, zlib.error):
        is_damaged = True
    numbers = [row[name] for name in ("chat", "number", "tokens", "rung", "next_rung")]
    is_damaged |= not all(isinstance(each, int) and each >= 0 for each in numbers)
    chat, number, *counts = map(_whole, numbers)
    ending = None
    if row["finish"] is not None:
        note = None
        try:
            finish = Finish(row["finish"])
            note = Sentence.from_json(row["note"]) if row["note"] else None
        except (ValueError, TypeError):
            is_damaged = True
            finish = Finish.INTERRUPTED if answer else Finish.FAILED
        ending = Ending(finish, DAMAGED if is_damaged else note, _text(row["model"]), *counts)
    # A moment that cannot be is no reason to doubt the answer.
    return Turn(row["id"], chat, number, question, asked or 0.0, answer, ending, is_damaged or asked is None)


def is_readable(row: Row) -> bool:
    """Whether all of a stored turn can be read."""
    return not read_turn(row).is_damaged


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else 0


def _moment(value: object) -> float | None:
    """A Unix time that can be shown; None for what can be none."""
    return float(value) if isinstance(value, int | float) and 0 <= value < LAST_MOMENT else None
