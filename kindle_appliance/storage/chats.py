"""Chats and turns. A turn is a question and its answer; a chat is its turns in order."""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from ..clock import now
from ..ending import DAMAGED, SWITCHED_OFF, Ending, Finish
from ..errors import ReaderError
from ..sentences import Sentence
from .database import Database, Row, repeats
from .derived import IndexDamaged
from .rows import SUMMARY, TURN, ChatSummary, Place, Turn, read_summary, read_turn, whole, write_passed
from .search import NEWEST, SearchIndex
from .terms import Query
from .waiting import Accept, WaitingTurn, WaitingTurns

QUESTION_CHARACTERS = 4000
NAME_CHARACTERS = 100
_TITLE_CHARACTERS = 200
_TURNS_AT_A_TIME = 8
_HITS_AT_A_TIME = 32
_MOST_LOOKS = 16
"""A page of a search looks at so many times so many turns, however few chats they belong to."""
_MOST_REMEMBERED = 1000
_LOOKED_AT = 2  # of 1,000,000 characters at most; each row lets the threads that set texts go first


@dataclass(frozen=True)
class Hit:
    """A chat that a search has found: the newest of its turns that match, and a line of that turn."""

    chat: ChatSummary
    number: int
    asked: float
    excerpt: str


@dataclass(frozen=True)
class Hits:
    """A page of a search, newest first. `older`: the id of a turn below which the next page begins; None: no more.
    `is_whole`: whether all chats are indexed by now.
    """

    hits: list[Hit]
    older: int | None
    is_whole: bool = True


class Piece(NamedTuple):
    """A piece of growing text: what the answer of a `turn` has from `at` on, an offset in characters."""

    turn: int
    at: int
    text: str


class Chats:
    """All stored chats of the house. `waiting`: the questions that wait for a quota."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._damaged: set[int] = set()
        self._looked_upto = 0
        self.index = SearchIndex(database)
        self.waiting = WaitingTurns(database, self.index)

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
                known = connection.execute(f"{TURN} WHERE form = ? AND question = ?", (form, question)).fetchone()
                if known:
                    return self._turn(known), False
                if chat is None:
                    title = question[:_TITLE_CHARACTERS]
                    chat = connection.execute("INSERT INTO chats (title) VALUES (?)", (title,)).lastrowid
                elif not connection.execute("SELECT 1 FROM chats WHERE id = ?", (chat,)).fetchone():
                    raise KeyError(chat)
                inserted = connection.execute(
                    "INSERT INTO turns (chat, number, question, form, asked, device) VALUES"
                    " (:chat, (SELECT coalesce(max(number), 0) + 1 FROM turns WHERE chat = :chat"
                    " AND number < 1 << 53), :question, :form, :now, :device)",  # others are damage
                    {"chat": chat, "question": question, "form": form, "now": now(), "device": device},
                ).lastrowid
                turn = self._turn(connection.execute(f"{TURN} WHERE id = ?", (inserted,)).fetchone())
                connection.execute(
                    "UPDATE chats SET questions = ?, newest = ?, asked = ? WHERE id = ?",
                    (turn.number, turn.id, turn.asked, turn.chat),
                )
                if device:
                    connection.execute("REPLACE INTO asked_in VALUES (?, ?, ?)", (turn.chat, device, turn.id))
                accepted.enter_context(accept(connection, turn))
            return turn, True

    def find_turn(self, chat: int, number: int) -> Turn | None:
        """Return the turn with this number in this chat; None if there is none."""
        rows = self._database.read(f"{TURN} WHERE chat = ? AND number = ?", (chat, number))
        return self._turn(rows[0]) if rows else None

    def find_turn_by_id(self, turn: int) -> Turn | None:
        """Return the turn with this id, which is also the id of its answer; None if there is none."""
        rows = self._database.read(f"{TURN} WHERE id = ?", (turn,))
        return self._turn(rows[0]) if rows else None

    def has_turn(self, turn: int) -> bool:
        """Whether there is a turn with this id."""
        return bool(self._database.read("SELECT 1 FROM turns WHERE id = ?", (turn,)))

    def turns_before(self, turn: Turn) -> Iterator[Turn]:
        """The earlier turns of the same chat, newest first; only so many are read as are asked for."""
        number = turn.number
        while rows := self._database.read(
            f"{TURN} WHERE chat = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (turn.chat, number, _TURNS_AT_A_TIME),
        ):
            yield from map(self._turn, rows)
            if (earlier := whole(rows[-1]["number"])) >= number:  # a damaged row
                return
            number = earlier

    def place(self, chat: int, number: int) -> Place:
        """Where the turn with this number stands, or stood, in a chat; all are 0 for an unknown chat."""
        query = (
            "SELECT (SELECT max(number) FROM turns WHERE chat = :chat),"
            " (SELECT max(number) FROM turns WHERE chat = :chat AND number < :number),"
            " (SELECT min(number) FROM turns WHERE chat = :chat AND number > :number)"
        )
        (row,) = self._database.read(query, {"chat": chat, "number": number})
        return Place(*(whole(value) for value in row))

    def count_turns(self, chat: int) -> int:
        """Return the number of a chat's newest turn; 0 for an unknown chat."""
        rows = self._database.read("SELECT questions FROM chats WHERE id = ?", (chat,))
        return int(rows[0][0]) if rows else 0

    def find_chat(self, chat: int) -> ChatSummary | None:
        """Return a chat as lists show it; None if there is none."""
        rows = self._database.read(f"{SUMMARY} WHERE id = ?", (chat,))
        return read_summary(rows[0]) if rows else self._sum_up(chat)

    def _sum_up(self, chat: int) -> ChatSummary | None:
        """A chat of which a damaged card has only turns. It is in no list, but can be deleted."""
        rows = self._database.read(f"{TURN} WHERE chat = ? ORDER BY number", (chat,))
        turns = [self._turn(row) for row in rows]
        if not turns:
            return None
        title = turns[0].question[:_TITLE_CHARACTERS]
        return ChatSummary(chat, title, turns[-1].number, turns[-1].asked, False, turns[-1].id)

    def look_further(self) -> int:
        """Look at the next few turns, after the last from the first one again, and return how many damaged ones
        have been met, up to a limit. Called regularly, it finds damage before a reader does.
        """
        rows = self._database.read(f"{TURN} WHERE id > ? ORDER BY id LIMIT {_LOOKED_AT}", (self._looked_upto,))
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
        return bool(newest) and 0 < identity <= whole(newest[0][0])

    def recent(self, most: int, device: str | None = None, before: int = NEWEST) -> list[ChatSummary]:
        """Return the chats with the latest questions, newest first: those whose newest turn has an id below
        `before`. With `device`, return the chats in which it has asked last.
        """
        if device is None:
            which = "WHERE newest > 0 AND newest < :before ORDER BY newest DESC LIMIT :most"
        else:
            which = (
                "JOIN (SELECT chat, newest AS last FROM asked_in WHERE device = :device ORDER BY newest DESC"
                " LIMIT :most) ON chat = id ORDER BY last DESC"
            )
        rows = self._database.read(f"{SUMMARY} {which}", {"device": device, "most": most, "before": before})
        return [read_summary(row) for row in rows]

    def after(self, most: int, after: int) -> list[ChatSummary]:
        """Return the chats before these in the list, newest first: those whose newest turn is the next one above
        the id `after`, and so on. From 0 on they are the oldest ones.
        """
        which = "WHERE newest > ? ORDER BY newest LIMIT ?"
        return [read_summary(row) for row in reversed(self._database.read(f"{SUMMARY} {which}", (after, most)))]

    def ready(self, turns: Sequence[int]) -> Mapping[int, int]:
        """For each chat with some of these turns: the number of the newest that waits for no quota."""
        which = f"id IN ({', '.join('?' * len(turns))}) AND id NOT IN (SELECT turn FROM waiting)"  # noqa: S608
        found = f"SELECT chat, number FROM turns WHERE {which} ORDER BY id"  # noqa: S608
        rows = self._database.read(found, turns) if turns else ()
        return {whole(row["chat"]): whole(row["number"]) for row in rows}

    def search(self, query: Query, most: int, before: int = NEWEST) -> Hits:
        """Return the chats in which a question and its answer have all words of a query, those with the newest such
        turn first: turns with ids below `before`. Raises `StorageError`.
        """
        hits: dict[int, Hit] = {}
        for _ in range(_MOST_LOOKS if query.terms and self.index.is_possible else 0):
            try:
                found = self.index.find(query, before, _HITS_AT_A_TIME)
            except IndexDamaged:
                return Hits([*hits.values()], None, is_whole=False)
            for turn in self._first_of_each_chat(found, hits):
                chat = self.find_chat(turn.chat)
                if chat and query.is_in(turn.question, turn.answer, chat.name):
                    if len(hits) == most:
                        return Hits([*hits.values()], turn.id + 1, self.index.is_whole)
                    hits[chat.id] = Hit(chat, turn.number, turn.asked, _excerpt(query, turn))
            if len(found) < _HITS_AT_A_TIME:
                return Hits([*hits.values()], None, self.index.is_whole)
            before = found[-1]
        return Hits([*hits.values()], before if query.terms else None, self.index.is_whole)

    def _first_of_each_chat(self, turns: Sequence[int], known: Container[int]) -> Iterator[Turn]:
        """Those of the turns with these ids that belong to no known chat: `known` may grow in between."""
        places = ",".join("?" * len(turns))
        which = f"WHERE id IN ({places}) ORDER BY id DESC"
        for row in self._database.read(f"SELECT id, chat FROM turns {which}", turns):  # noqa: S608 - question marks
            if row["chat"] not in known and (turn := self.find_turn_by_id(row["id"])):
                yield turn

    @repeats
    def rename(self, chat: int, name: str) -> None:
        """Call a chat by a name, or for "" by its first question. Raises KeyError for an unknown chat."""
        with self._database.write() as connection:
            self.index.remove(connection, chat, last=1)
            if not connection.execute("UPDATE chats SET name = ? WHERE id = ?", (name, chat)).rowcount:
                raise KeyError(chat)
            self.index.add(connection, chat, last=1)

    @repeats
    def delete(self, chat: int) -> None:
        """Delete a chat with all its turns. Raises KeyError for an unknown one."""
        with self._database.write() as connection:
            self.index.remove(connection, chat)
            gone = connection.execute("DELETE FROM chats WHERE id = ?", (chat,)).rowcount
            # A damaged card can have turns in a chat that there never was.
            gone += connection.execute("DELETE FROM turns WHERE chat = ?", (chat,)).rowcount
            if not gone:
                raise KeyError(chat)
        self._damaged.clear()  # those that are left will be met again
        self.waiting.changed.set()

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
    def store_ending(self, turn: int, text: str, ending: Ending, waits: WaitingTurn | None = None) -> None:
        """Store a complete answer and how it ended. `waits`: let the question wait again."""
        note = ending.note.to_json() if ending.note else None
        with self._database.write() as connection:
            # The front of the log, up to what another answer still needs: taking rows out of its middle would write
            # a page for each second. First, because the answer then takes the pages that are set free.
            connection.execute(_TRIM_LOG, (turn,))
            is_open = connection.execute("SELECT 1 FROM turns WHERE id = ? AND finish IS NULL", (turn,)).fetchone()
            connection.execute(
                "UPDATE turns SET answer = ?, finish = ?, note = ?, model = ?, tokens = ?, rung = ?, next_rung = ?,"
                " passed = ?, back_at = ? WHERE id = ?",
                (
                    *(text, ending.finish, note, ending.model, ending.tokens, ending.rung, ending.next_rung),
                    *(write_passed(ending.passed), ending.back_at, turn),
                ),
            )
            if is_open:
                self.index.add_turn(connection, turn)
            if waits:
                self.waiting.keep(connection, waits)
        self.index.wake.set()

    @repeats
    def interrupt_unfinished(self) -> int:
        """Mark answers that a crash or power cut left unfinished as interrupted, and return their number."""
        note = SWITCHED_OFF.to_json()
        with self._database.write() as connection:
            turns = [read_turn(row) for row in connection.execute(f"{TURN} WHERE finish IS NULL")]
            connection.executemany(
                "UPDATE turns SET answer = ?, finish = ?, note = ? WHERE id = ?",
                [
                    (turn.answer, Finish.INTERRUPTED, DAMAGED.to_json() if turn.is_damaged else note, turn.id)
                    for turn in turns
                ],
            )
            connection.execute("DELETE FROM pieces")
            for turn in turns:
                self.index.add_turn(connection, turn.id)
        self.index.wake.set()
        return len(turns)


def clean(text: str) -> str:
    """Return a text as it is stored and sent to a model.

    A form sends CRLF as line ends (HTML standard, 4.10.21.4); they become LF. JSON can hold NULs and half surrogate
    pairs; they are replaced.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def check_name(name: str) -> None:
    """Raise `ReaderError` if the name of a chat is too long."""
    if len(name) > NAME_CHARACTERS:
        raise ReaderError(
            Sentence(
                "This name has %(count)d characters; at most %(most)d fit. Please shorten it.",
                count=len(name),
                most=NAME_CHARACTERS,
            ),
            413,
        )


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


_TRIM_LOG = """
    DELETE FROM pieces WHERE id < coalesce(
        (
            SELECT pieces.id FROM pieces JOIN turns ON turns.id = pieces.turn
            WHERE turns.finish IS NULL AND turns.id != ? ORDER BY pieces.id LIMIT 1
        ),
        (SELECT max(id) + 1 FROM pieces)
    )
"""


def _excerpt(query: Query, turn: Turn) -> str:
    """A line of the answer, or of the question, around what was looked for. The first question is in the title."""
    return query.excerpt(turn.answer) or (query.excerpt(turn.question) if turn.number > 1 else "")
