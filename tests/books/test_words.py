"""Finding a place by a few words, in books made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from kindle_appliance.books import words
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.migrations import Schema

PASSAGES = "CREATE TABLE passages (id INTEGER PRIMARY KEY, start INTEGER NOT NULL, text TEXT NOT NULL);"
SCHEMA = Schema((PASSAGES + words.INDEX,), frozenset({"passages"}), "passages")


class Shelf:
    """Books as lists of passages, in a file of their own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.last = 0

    def add(self, texts: Sequence[str]) -> tuple[int, int]:
        first, start = self.last + 1, 0
        with self.database.write() as connection:
            for self.last, text in enumerate(texts, first):
                connection.execute("INSERT INTO passages VALUES (?, ?, ?)", (self.last, start, text))
                words.add(connection, first, self.last, text)
                start += len(text)
        return first, self.last


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with closing(Database(tmp_path / "books.sqlite", SCHEMA)) as database:
        yield Shelf(database)


TEXTS = [
    "The path led across the moor, past the old mine.\nNobody had walked there since October.\n",
    "“I don’t believe it,” said the naïve clerk at the hall-door; the fire-\nside was cold.\n",
    "Behind him the Straße was empty.\nA ﬁsh lay on the plate, and no-one had touched it.\n",
    "She read the second letter twice before the lamp went out, and waited.\n",
]


@pytest.mark.parametrize(
    ("typed", "end"),
    [
        ("across the moor past the old mine", "old mine"),
        ("ACROSS THE MOOR, PAST THE OLD", "the old"),
        ("acros the moor past the old", "the old"),
        ('"I dont believe it" said the naive', "naïve"),
        ("i don't believe it said", "said"),
        ("clerk at the halldoor the fireside", "fire-\nside"),
        ("clerk at the hall door the fire side was", "was"),
        ("the strasse was empty a fish lay", "ﬁsh lay"),
        ("old mine nobody had walked there", "walked there"),
        ("touched it she read the second letter", "second letter"),
        ("she read the sec", "the second"),
        ("lamp", "lamp"),
    ],
)
def test_words_are_found_as_people_type_them(shelf: Shelf, typed: str, end: str) -> None:
    text = "".join(TEXTS)
    assert words.find(shelf.database, *shelf.add(TEXTS), typed)[:1] == [text.index(end) + len(end)]


def test_a_removed_passage_is_not_found(shelf: Shelf) -> None:
    first, last = shelf.add(TEXTS)
    with shelf.database.write() as connection:
        for number, text in enumerate(TEXTS, first):
            words.remove(connection, first, number, text)
    assert words.find(shelf.database, first, last, "across the moor past the old mine") == []


def test_words_of_another_book_are_not_found(shelf: Shelf) -> None:
    other = shelf.add(TEXTS)
    own = shelf.add(["Nothing of all that is told in this one.\n"])
    assert words.find(shelf.database, *own, "across the moor past the old mine") == []
    assert words.find(shelf.database, *other, "across the moor past the old mine") != []


def test_nothing_is_found_by_nothing(shelf: Shelf) -> None:
    book = shelf.add(TEXTS)
    for typed in ("", "   ", "“…”!", '"', "AND", "* OR NEAR("):
        assert isinstance(words.find(shelf.database, *book, typed), list)
