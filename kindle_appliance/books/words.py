"""Finds the place of a few words in a book, through an index of its passages by their terms, in SQLite's FTS5.

Words that are typed on a slow keyboard differ from those of the book: in quotes, accents and hyphens, in a letter,
in a last word that is only begun. So they are joined by OR, the passages with the rarest of them are looked at, and
their letters are compared with those that were typed. A find is a position, never a text.

Each term has its book before it. So a book's terms lie together in the index: a search in one of 500 books reads as
little as in a single one, also for the beginning of a word, and how rare a term is in one book depends on no other.
(Measured on 100 books, 2026-12: "the" within a range of row ids took 1.1 ms without the book and 0.2 ms with it,
the beginning "hea" 2.6 and 0.1 ms.) A row has the terms of its own passage alone, nothing of what comes after it.
Where words run on into the next passage, both are found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..storage.database import Connection, Database
from .typed_words import MOST_LETTERS, TypedWords, end_of_word, fold_letters, passage_terms

INDEX = "CREATE VIRTUAL TABLE words USING fts5(terms, content='', columnsize=0, detail=none, tokenize='ascii')"
"""No text, no positions and no lengths: only which passages have a term."""

_MOST_PASSAGES = 30
"""So many are compared letter by letter."""
_MOST_ROWS = 20_000
"""Of one term: a book of 8 million characters has as many passages."""
_MOST_SCORED = 2_000
"""Passages that are scored: those with the rarest terms. Commoner terms tell only these apart."""
_SAME_PLACE = 200
"""Finds within so many characters are one: a reader would see the same page."""


class _Find(NamedTuple):
    """`faults`: the letters that differ; `position`: the end of the words."""

    faults: int
    position: int


def is_possible(database: Database) -> bool:
    """Whether this machine's SQLite has FTS5. Without it, `INDEX` cannot be created."""
    return bool(database.read("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"))


def add(connection: Connection, first: int, number: int, text: str) -> None:
    """Index a passage by its number. `first`: the number of the first passage of its book."""
    connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (number, _row(first, text)))


def remove(connection: Connection, first: int, number: int, text: str) -> None:
    """Take a passage out of the index: it wants the same text once more."""
    connection.execute(
        "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)", (number, _row(first, text))
    )


def find(database: Database, first: int, last: int, words: str, most: int = 5) -> list[int]:
    """Return the positions at which the words end in the book with the passages from `first` to `last`, the best
    first. Words that are nowhere nearly so have none. Raises `StorageError`.
    """
    typed = TypedWords(words)
    if not typed.letters:
        return []
    numbers = _candidates(database, first, last, typed)
    finds = sorted(_compare(database, numbers, last, typed))
    places: list[int] = []
    for find in finds:
        if all(abs(find.position - place) > _SAME_PLACE for place in places):
            places.append(find.position)
    return places[:most]


def _row(first: int, text: str) -> str:
    return " ".join(sorted(_of_book(first, term) for term in passage_terms(text)))


def _of_book(first: int, term: str) -> str:
    return f"{first:x}·{term}"


def _candidates(database: Database, first: int, last: int, typed: TypedWords) -> list[int]:
    """The numbers of the passages with the most, and the rarest, of the words. A passage has also those of the one
    that follows.
    """
    wanted = [f'"{_of_book(first, term)}"' for term in typed.terms]
    if typed.beginning:
        wanted.append(f'"{_of_book(first, typed.beginning)}"*')
    found = sorted((_passages_with(database, first, last, each) for each in wanted), key=len)
    scores: dict[int, float] = {}
    for numbers in found:
        if not numbers:
            continue
        weight = math.log(1 + (last - first + 1) / len(numbers))
        with_pairs = {*numbers, *(number - 1 for number in numbers if number > first)}
        if len(scores) >= _MOST_SCORED:
            with_pairs &= scores.keys()
        for number in with_pairs:
            scores[number] = scores.get(number, 0.0) + weight
    return sorted(scores, key=lambda number: (-scores[number], number))[:_MOST_PASSAGES]


def _passages_with(database: Database, first: int, last: int, wanted: str) -> list[int]:
    rows = database.read(
        "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?",
        (wanted, first, last, _MOST_ROWS),
    )
    return [row[0] for row in rows]


def _compare(database: Database, numbers: Iterable[int], last: int, typed: TypedWords) -> Iterator[_Find]:
    for number in numbers:
        rows = database.read(
            "SELECT start, text FROM passages WHERE id BETWEEN ? AND ? ORDER BY id", (number, min(number + 1, last))
        )
        text = "".join(row["text"] for row in rows)
        own = fold_letters(rows[0]["text"]) if rows else ""
        letters = own + fold_letters(text[len(rows[0]["text"]) :])[: MOST_LETTERS * 2] if rows else ""
        faults, count = typed.best_end(letters)
        if faults <= typed.most_faults:
            yield _Find(faults, rows[0]["start"] + end_of_word(text, count))
