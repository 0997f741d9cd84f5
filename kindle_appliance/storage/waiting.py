"""The questions that wait for a quota, in the order in which they were taken.

One that waits is a turn that has failed, with a row in `waiting`. It is opened again in the transaction that
deletes this row: so it is asked once, whatever is switched off and when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from ..clock import UNKNOWN, is_believed, now
from ..ending import Finish
from ..errors import ReaderError
from ..sentences import Sentence
from .damage import LAST_MOMENT
from .database import Connection, Database, Row, repeats
from .rows import TURN, Turn, read_moment, read_turn, whole
from .search import SearchIndex

MOST_WAITING = 20
MOST_TIMES = 7
"""So often a question waits again: because it has met a quota that was used up, which is a week of daily ones, or
no server, and then with doubled pauses.
"""
LEAST_SECONDS = 60.0
"""A question that waits again is not asked before. Each time is a write to the card."""
_SET_BACK_SECONDS = 3600.0
"""A clock that is so far behind the moment at which a row was written was wrong then, or has jumped."""

_ROWS = (
    "SELECT waiting.turn, turns.chat, turns.number, waiting.at, waiting.said, waiting.taken, waiting.times"
    " FROM waiting JOIN turns ON turns.id = waiting.turn"
)
_HAS_FAILED = f"finish = '{Finish.FAILED}' AND answer = ''"


Accept = Callable[[Connection, Turn], AbstractContextManager[object]]
"""What else has to happen for a question to be accepted: entered before the end of the transaction that stores it,
and left after it, by its error if it fails. An error on entering refuses the question.
"""


class WaitingTurn(NamedTuple):
    """A turn that is asked `at` a moment. `said`: when that was known; both are Unix times. `taken`: its number in
    the order of all that wait; `times`: how often it has waited before; `number`: its number in its chat.
    """

    turn: int
    chat: int
    at: float
    said: float = UNKNOWN
    taken: int = 0
    times: int = 0
    number: int = 0

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked. If the clock was set back, nobody knows when its moment comes, and it is."""
        return is_believed(now) and (now >= self.at or now < self.said - _SET_BACK_SECONDS)

    def again(self, at: float) -> WaitingTurn:
        """The same turn, once more, until another moment."""
        moment = now()
        return self._replace(at=max(at, moment + LEAST_SECONDS), said=moment, times=self.times + 1)


class WaitingTurns:
    """All turns that wait. `changed` is set when they have."""

    def __init__(self, database: Database, index: SearchIndex) -> None:
        self._database = database
        self._index = index
        self.changed = threading.Event()
        self.changed.set()

    def all(self) -> Sequence[WaitingTurn]:
        """All that wait, in the order in which they were taken."""
        return [_read(row) for row in self._database.read(f"{_ROWS} ORDER BY taken, turn LIMIT {MOST_WAITING}")]

    def by_chat(self) -> Mapping[int, WaitingTurn]:
        """For each chat with questions that wait: the one that was taken first."""
        return {each.chat: each for each in reversed(self.all())}

    def find(self, turn: int) -> WaitingTurn | None:
        """The row of a turn; None if it does not wait."""
        rows = self._database.read(f"{_ROWS} WHERE turn = ?", (turn,))
        return _read(rows[0]) if rows else None

    @repeats
    def let_wait(self, turn: int) -> bool:
        """Let a turn wait until the quotas are back. Returns whether it waits now: only one that has failed because
        all of them were used up can. Raises `ReaderError` if as many wait as may.
        """
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM waiting WHERE turn = ?", (turn,)).fetchone():
                return True
            offered = f"SELECT chat, back_at FROM turns WHERE id = ? AND {_HAS_FAILED} AND back_at > 0"  # noqa: S608
            row = connection.execute(offered, (turn,)).fetchone()
            if row is None:
                return False
            if _count(connection) >= MOST_WAITING:
                raise ReaderError(
                    Sentence(
                        "%(count)d questions wait already. Please ask this one later, or take another one back.",
                        count=MOST_WAITING,
                    ),
                    409,
                )
            (last,) = connection.execute("SELECT max(taken) FROM waiting").fetchone()
            at = read_moment(row["back_at"]) or UNKNOWN
            _insert(connection, WaitingTurn(turn, row["chat"], at, now(), whole(last) + 1))
        self.changed.set()
        return True

    @repeats
    def withdraw(self, turn: int) -> None:
        """Let a turn wait no longer, if it does."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM waiting WHERE turn = ?", (turn,))
        self.changed.set()

    @repeats
    def postpone(self, until: float) -> None:
        """Let all wait until this moment (Unix time) at least."""
        moment = now()
        until = max(until, moment + LEAST_SECONDS)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE waiting SET at = :until, said = :now"
                " WHERE NOT (at >= :until AND at < :last) OR said > :now + :back",  # all that are due
                {"until": until, "last": LAST_MOMENT, "now": moment, "back": _SET_BACK_SECONDS},
            )
        self.changed.set()

    @repeats
    def reopen(self, turn: int, accept: Accept) -> Turn | None:
        """Make a turn that waits one that is being answered, and return it; None if it waits no longer."""
        self.changed.set()
        with ExitStack() as accepted:
            with self._database.write() as connection:
                if not connection.execute("DELETE FROM waiting WHERE turn = ?", (turn,)).rowcount:
                    return None
                row = connection.execute(f"{TURN} WHERE id = ? AND {_HAS_FAILED}", (turn,)).fetchone()
                if row is None:  # a damaged card, or somebody's backup
                    return None
                self._index.remove_turn(connection, turn)
                connection.execute(
                    "UPDATE turns SET finish = NULL, note = NULL, model = '', tokens = 0, rung = 0, next_rung = 0,"
                    " passed = '', back_at = 0 WHERE id = ?",
                    (turn,),
                )
                opened = read_turn(connection.execute(f"{TURN} WHERE id = ?", (turn,)).fetchone())
                accepted.enter_context(accept(connection, opened))
            return opened

    def keep(self, connection: Connection, waiting: WaitingTurn) -> None:
        """Let a turn that was asked wait again, in the transaction that stores why, if it may and there is room."""
        if waiting.times <= MOST_TIMES and _count(connection) < MOST_WAITING:
            _insert(connection, waiting)
            self.changed.set()

    @repeats
    def trim(self) -> None:
        """Forget what nobody can have let wait: more than there may be, as a backup of somebody else can bring."""
        if len(self._database.read("SELECT turn FROM waiting LIMIT ?", (MOST_WAITING + 1,))) > MOST_WAITING:
            with self._database.write() as connection:
                connection.execute(
                    "DELETE FROM waiting WHERE turn NOT IN (SELECT turn FROM waiting ORDER BY taken, turn LIMIT ?)",
                    (MOST_WAITING,),
                )
            self.changed.set()


def _count(connection: Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM waiting").fetchone()[0])


def _insert(connection: Connection, waiting: WaitingTurn) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO waiting (turn, at, said, taken, times)"
        " SELECT id, ?, ?, ?, ? FROM turns WHERE id = ?",
        (waiting.at, waiting.said, waiting.taken, waiting.times, waiting.turn),
    )


def _read(row: Row) -> WaitingTurn:
    """A row, whatever the card has made of it: one whose moment cannot be read is due."""
    at, said = (read_moment(row[name]) or UNKNOWN for name in ("at", "said"))
    chat, taken, times, number = (whole(row[name]) for name in ("chat", "taken", "times", "number"))
    return WaitingTurn(row["turn"], chat, at, said, taken, times, number)
