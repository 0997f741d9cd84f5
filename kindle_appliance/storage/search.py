"""The index of all questions and answers, by their terms, in SQLite's FTS5.

It holds no text, only which turns have a term: as little as can be, since it is written to a card. New turns wait
until some have ended, and share the pages that are written then; a search looks through those that wait. What was
stored before there was an index is its backlog, which is worked off in small steps, newest first.

So the indexed turns are those of one span of ids, and `search_span` has its ends. All of the index is derived from
the turns: a damaged one is dropped and made anew. Additions are cheap for FTS5, and merging them is the price. Each
step merges a little, so that none has to wait for all of it (https://www.sqlite.org/fts5.html, 6, read 2026-11).
"""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from ..errors import StorageError
from .database import Connection, Database, Row
from .derived import IndexDamaged, aside, derived
from .terms import LEAST_BEGINNING, MOST_CHARACTERS, Query, terms
from .worker import Worker

log = logging.getLogger(__name__)

NEWEST = 2**62
"""Above all ids."""

_UNINDEXED_TURNS = 8
"""So many wait to be indexed. More would cost each search more, and the card hardly less."""
_MOST_UNINDEXED_TURNS = 64
"""So many a search looks through, should nobody have indexed them."""
_STEP_TURNS = 16
_MERGED_PAGES = 64

_CREATE = (
    # No positions and no lengths; whole words but for the beginnings with three letters, which a reader may type.
    "CREATE VIRTUAL TABLE words USING fts5("
    f"terms, content='', columnsize=0, detail=none, tokenize='ascii', prefix='{LEAST_BEGINNING}')",
    "INSERT INTO words (words, rank) VALUES ('automerge', 0), ('usermerge', 8), ('crisismerge', 64)",
    "DELETE FROM search_span",
    "INSERT INTO search_span SELECT last, last FROM ("
    "SELECT coalesce((SELECT min(id) - 1 FROM turns WHERE finish IS NULL), max(id), 0) AS last FROM turns)",
)
_ADD = "INSERT INTO words (rowid, terms) VALUES (?, ?)"
_REMOVE = "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)"
_MERGE = "INSERT INTO words (words, rank) VALUES ('merge', ?)"
_FIND = "SELECT rowid FROM words WHERE words MATCH ? AND rowid <= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
# The first turn of a chat has also its name.
_TEXTS = f"""
    SELECT id, CAST(substr(
        CASE WHEN number = 1 THEN (SELECT name FROM chats WHERE id = turns.chat) || char(10) ELSE '' END
        || question || char(10) || answer, 1, {MOST_CHARACTERS}
    ) AS BLOB) AS text FROM turns WHERE finish IS NOT NULL
"""  # noqa: S608


class _Span(NamedTuple):
    """The indexed turns: those with an id above `low`, up to `high`. All of them have ended."""

    low: int
    high: int


class SearchIndex:
    """Finds turns by their words. `is_possible`: whether this machine's SQLite can, and the card has let it. `wake`
    is set when there may be something for `catch_up()` to do.
    """

    def __init__(self, database: Database) -> None:
        self.wake = threading.Event()
        self._database = database
        self._damage: IndexDamaged | None = None
        self._was_made_anew = False
        self.is_possible = bool(database.read("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"))
        if not self.is_possible:
            log.warning("search: this SQLite has no FTS5, so the chats cannot be searched")
            return
        try:
            if not database.read("SELECT 1 FROM sqlite_schema WHERE name = 'words'"):
                self.make_anew()
        except StorageError as error:  # a read-only card
            self.is_possible = False
            log.error("search: cannot make the index: %s", error)
        self.wake.set()

    @property
    def is_whole(self) -> bool:
        """Whether a search finds all turns that have ended: there is no backlog, and no damage."""
        return self.is_possible and not self._damage and self._span().low == 0

    def make_anew(self) -> None:
        """Drop the index, whatever is in it, and begin anew. Raises `StorageError`, and `IndexDamaged` if even
        dropping it fails.
        """
        with self._database.write() as connection, aside(connection):
            connection.execute("DROP TABLE IF EXISTS words")
            for statement in _CREATE:
                connection.execute(statement)
        self.wake.set()

    def find(self, query: Query, before: int, most: int) -> list[int]:
        """Return the ids of turns with all terms of the query, newest first, from below `before` on. Raises
        `IndexDamaged`, `StorageError`.
        """
        span = self._span()
        found = [
            row["id"]
            for row in self._database.read(
                f"{_TEXTS} AND id > ? AND id < ? ORDER BY id DESC LIMIT ?",
                (span.high, before, _MOST_UNINDEXED_TURNS),
            )
            if query.matches(terms(_text(row)))
        ]
        wanted = " ".join(f'"{term}"{"*" if term == query.beginning else ""}' for term in query.terms)
        try:
            with derived():
                rows = self._database.read(_FIND, (wanted, span.high, before, most))
        except IndexDamaged as damage:
            self._report(damage)
            raise
        return [*found, *(row[0] for row in rows)][:most]

    def remove(self, connection: Connection, chat: int, last: int = NEWEST) -> None:
        """Take a chat's turns up to the number `last` out of the index, before they are changed or deleted in this
        transaction: it wants their terms once more. Damage does not stop the transaction.
        """
        self._change(connection, _REMOVE, "chat = ? AND number <= ?", (chat, last))

    def add(self, connection: Connection, chat: int, last: int) -> None:
        """Put back what was removed, after it was changed."""
        self._change(connection, _ADD, "chat = ? AND number <= ?", (chat, last))

    def remove_turn(self, connection: Connection, turn: int) -> None:
        """Take a turn out of the index before it is opened again in this transaction."""
        self._change(connection, _REMOVE, "id = ?", (turn,))

    def add_turn(self, connection: Connection, turn: int) -> None:
        """Put a turn back that was opened again and has ended now. Others are indexed when it is their time."""
        self._change(connection, _ADD, "id = ?", (turn,))

    def _change(self, connection: Connection, statement: str, which: str, values: tuple[int, ...]) -> None:
        if not self.is_possible or self._damage:
            return
        texts = f"{_TEXTS} AND {which} AND id > ? AND id <= ?"
        try:
            with aside(connection):
                rows = connection.execute(texts, (*values, *self._span(connection))).fetchall()
                for row in rows:
                    connection.execute(statement, (row["id"], _joined(row)))
                if rows:
                    connection.execute(_MERGE, (_MERGED_PAGES,))
        except IndexDamaged as damage:
            self._report(damage)

    def worker(self) -> Worker:
        """Who catches up in the background."""
        return Worker("search", "cannot index", self.wake, self.catch_up)

    def catch_up(self) -> None:
        """Take one step: make a damaged index anew, or index some turns. Raises `StorageError`."""
        self.wake.clear()
        if not self.is_possible:
            return
        try:
            if self._damage:
                self._mend(self._damage)
            elif self._index_some():
                self.wake.set()
        except IndexDamaged as damage:
            self._report(damage)

    def _index_some(self) -> bool:
        """Index turns that wait, or else some of the backlog. Returns whether there were any."""
        low, high = self._span()
        (first,) = self._database.read("SELECT min(id) FROM turns WHERE finish IS NULL")[0]
        rows = self._database.read(
            f"{_TEXTS} AND id > ? AND id < ? ORDER BY id LIMIT ?", (high, first or NEWEST, _STEP_TURNS)
        )
        if len(rows) >= _UNINDEXED_TURNS:
            high = rows[-1]["id"]
        elif low:
            rows = self._database.read(f"{_TEXTS} AND id <= ? ORDER BY id DESC LIMIT ?", (low, _STEP_TURNS))
            low = rows[-1]["id"] - 1 if len(rows) == _STEP_TURNS else 0
        else:
            return False
        found = [(row["id"], row["text"], _joined(row)) for row in rows]
        with self._database.write() as connection, aside(connection):
            for turn, text, joined in found:
                row = connection.execute(f"{_TEXTS} AND id = ?", (turn,)).fetchone()
                if row:  # neither deleted nor opened again by now
                    connection.execute(_ADD, (turn, joined if row["text"] == text else _joined(row)))
            connection.execute(_MERGE, (_MERGED_PAGES,))
            connection.execute("UPDATE search_span SET low = ?, high = ?", (low, high))
        return True

    def _mend(self, damage: IndexDamaged) -> None:
        """Make a damaged index anew. At the second time the card is to blame: do without until the next start."""
        log.error("search: the index is damaged: %s", damage)
        self._damage = None
        self.is_possible = not self._was_made_anew
        self._was_made_anew = True
        if self.is_possible:
            self.make_anew()

    def _report(self, damage: IndexDamaged) -> None:
        self._damage = damage
        self.wake.set()

    def _span(self, connection: Connection | None = None) -> _Span:
        read = "SELECT low, high FROM search_span"
        rows = connection.execute(read).fetchall() if connection else self._database.read(read)
        return _Span(*rows[0]) if rows else _Span(0, 0)


def _text(row: Row) -> str:
    """A text for the index, whatever has become of it on the card."""
    return bytes(row["text"]).decode("utf-8", "replace")


def _joined(row: Row) -> str:
    return " ".join(sorted(terms(_text(row))))
