"""Chats and turns. A turn is a question and its answer; a chat is its turns in order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from ..clock import now
from ..ending import SWITCHED_OFF, Ending, Finish
from ..errors import ReaderError
from ..sentences import Sentence
from .database import Connection, Database, Row

QUESTION_CHARACTERS = 4000


@dataclass(frozen=True)
class Turn:
    """A question and its answer as they are stored. `ending` is None while the answer is being written."""

    id: int
    chat: int
    number: int
    question: str
    asked: float
    answer: str
    ending: Ending | None


@dataclass(frozen=True)
class ChatSummary:
    """A chat as an entry of a list.

    `title`: its first question; `questions`: their number; `asked`: when the last one was asked (Unix time);
    `writing`: whether an answer is being written; `newest`: the id of the newest turn.
    """

    id: int
    title: str
    questions: int
    asked: float
    writing: bool
    newest: int


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
                    return _turn(known), False
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
                turn = _turn(connection.execute(f"{_TURN} WHERE id = ?", (inserted,)).fetchone())
                accepted.enter_context(accept(connection, turn))
            return turn, True

    def find_turn(self, chat: int, number: int) -> Turn | None:
        """Return the turn with this number in this chat; None if there is none."""
        rows = self._database.read(f"{_TURN} WHERE chat = ? AND number = ?", (chat, number))
        return _turn(rows[0]) if rows else None

    def find_turn_by_id(self, turn: int) -> Turn | None:
        """Return the turn with this id, which is also the id of its answer; None if there is none."""
        rows = self._database.read(f"{_TURN} WHERE id = ?", (turn,))
        return _turn(rows[0]) if rows else None

    def has_turn(self, turn: int) -> bool:
        """Whether there is a turn with this id."""
        return bool(self._database.read("SELECT 1 FROM turns WHERE id = ?", (turn,)))

    def turns_before(self, turn: Turn) -> list[Turn]:
        """The earlier turns of the same chat, oldest first."""
        rows = self._database.read(
            f"{_TURN} WHERE chat = ? AND number < ? ORDER BY number", (turn.chat, turn.number)
        )
        return [_turn(row) for row in rows]

    def count_turns(self, chat: int) -> int:
        """Return the number of turns in a chat; 0 for an unknown one."""
        return int(self._database.read("SELECT count(*) FROM turns WHERE chat = ?", (chat,))[0][0])

    def is_deleted_chat(self, chat: int) -> bool:
        """Whether there was a chat with this id, and is no more."""
        return not self.count_turns(chat) and self._was_given("chats", chat)

    def is_deleted_turn(self, turn: int) -> bool:
        """Whether there was a turn with this id, and is no more."""
        return self.find_turn_by_id(turn) is None and self._was_given("turns", turn)

    def _was_given(self, table: str, identity: int) -> bool:
        """Whether a row of this table had this id once. (AUTOINCREMENT: 1, 2, 3 ..., and none is used again.)"""
        newest = self._database.read("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return bool(newest) and 0 < identity <= newest[0][0]

    def recent(self, most: int, device: str | None = None) -> list[ChatSummary]:
        """Return the chats with the latest questions, newest first; with `device`, only those that it asked in."""
        rows = self._database.read(
            "SELECT chat, max(number), max(asked), max(finish IS NULL), max(id),"
            " (SELECT question FROM turns WHERE chat = t.chat AND number = 1)"
            " FROM turns t WHERE :device IS NULL OR chat IN (SELECT chat FROM turns WHERE device = :device)"
            " GROUP BY chat ORDER BY max(id) DESC LIMIT :most",
            {"device": device, "most": most},
        )
        return [ChatSummary(row[0], row[5], row[1], row[2], bool(row[3]), row[4]) for row in rows]

    def delete(self, chat: int) -> None:
        """Delete a chat with all its turns. Raises KeyError for an unknown one."""
        with self._database.write() as connection:
            if not connection.execute("DELETE FROM chats WHERE id = ?", (chat,)).rowcount:
                raise KeyError(chat)

    def give_back(self) -> bool:
        """Give back a part of the space that deletions have left free. Returns whether there is more to do."""
        return self._database.give_back()

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

    def interrupt_unfinished(self) -> int:
        """Mark answers that a crash or power cut left unfinished as interrupted, and return their number."""
        note = SWITCHED_OFF.to_json()
        with self._database.write() as connection:
            turns = [_turn(row) for row in connection.execute(f"{_TURN} WHERE finish IS NULL")]
            connection.executemany(
                "UPDATE turns SET answer = ?, finish = ?, note = ? WHERE id = ?",
                [(turn.answer, Finish.INTERRUPTED, note, turn.id) for turn in turns],
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


def _turn(row: Row) -> Turn:
    ending = None
    if row["finish"] is not None:
        note = Sentence.from_json(row["note"]) if row["note"] else None
        ending = Ending(Finish(row["finish"]), note, row["model"], row["tokens"], row["rung"], row["next_rung"])
    pieces = [zlib.decompress(bytes.fromhex(piece)).decode() for piece in (row["pieces"] or "").split()]
    answer = "".join([row["answer"], *pieces])
    return Turn(row["id"], row["chat"], row["number"], row["question"], row["asked"], answer, ending)
