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
from collections.abc import Iterable, Iterator, Sequence

from ..storage.database import Connection, Database
from .derived_database import Nonsense
from .typed_words import TypedWords, end_of_word, fold_letters, passage_terms

INDEX = "CREATE VIRTUAL TABLE words USING fts5(terms, content='', columnsize=0, detail=none, tokenize='ascii')"
"""No text, no positions and no lengths: only which passages have a term."""

_MOST_ROWS = 5_000
"""Of a term so many passages are counted, as many as a book of two million characters has. A term with more is left
aside, unless all are so common.
"""
_IN_NEXT = 0.7
"""What a word of the next passage counts: most words that are typed stand in one."""
_MOST_READ = 200
"""In so many the pieces of the words are looked for,"""
_MOST_COMPARED = 20
"""and so many are compared letter by letter."""
_MORE_FAULTS = 3
"""Finds that differ in so many letters more than the best one are not worth a line on a small screen."""
_SAME_PLACE = 200
"""Finds within so many characters are one: a reader would see the same page."""


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
    """Return the positions at which the words end in a book, the best first; none if nothing similar is there.
    `first`: the number of the book's first passage; `last`: that of the last one in which words are looked for.
    Raises `StorageError`.
    """
    typed = TypedWords(words)
    if not typed.letters:
        return []
    numbers = _candidates(database, first, last, typed)
    finds = sorted(_compare(database, numbers, last, typed))
    places: list[int] = []
    for faults, position in finds:
        is_near = faults <= finds[0][0] + _MORE_FAULTS
        if is_near and all(abs(position - place) > _SAME_PLACE for place in places):
            places.append(position)
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
    found = [numbers for numbers in found if 0 < len(numbers) < _MOST_ROWS] or found
    scores: dict[int, float] = {}
    for numbers in found:
        weight = math.log(1 + (last - first + 1) / max(len(numbers), 1))
        own = set(numbers)
        before = {number - 1 for number in numbers if number > first} - own
        for number in own:
            scores[number] = scores.get(number, 0.0) + weight
        for number in before:
            scores[number] = scores.get(number, 0.0) + weight * _IN_NEXT
    return sorted(scores, key=lambda number: (-scores[number], number))[:_MOST_READ]


def _passages_with(database: Database, first: int, last: int, wanted: str) -> list[int]:
    rows = database.read(
        "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?",
        (wanted, first, last, _MOST_ROWS),
    )
    return [row[0] for row in rows]


def _compare(database: Database, numbers: Sequence[int], last: int, typed: TypedWords) -> Iterator[tuple[int, int]]:
    """Of the passages that agree most with the words, how many letters differ, and the position of their end."""
    passages = _read(database, {*numbers, *(number + 1 for number in numbers if number < last)})
    letters = {number: fold_letters(text) for number, (_, text) in passages.items()}
    reach = len(typed.letters) + typed.most_faults  # so far the words can go on in the next passage
    pairs = {
        number: letters[number] + letters.get(number + 1, "")[:reach] for number in numbers if number in letters
    }
    best = sorted(pairs, key=lambda number: -typed.agreement(pairs[number]))  # of equals, in the order of `numbers`
    for number in best[:_MOST_COMPARED]:
        faults, count = typed.best_end(pairs[number])
        if faults <= typed.most_faults:
            start, text = passages[number]
            following = passages[number + 1][1] if number + 1 in passages else ""
            yield faults, start + end_of_word(text + following, count)


def _read(database: Database, numbers: Iterable[int]) -> dict[int, tuple[int, str]]:
    """The start and the text of passages, by their numbers."""
    listed = ", ".join(map(str, numbers))
    rows = database.read(f"SELECT id, start, text FROM passages WHERE id IN ({listed})")  # noqa: S608 - numbers
    if not all(type(row["start"]) is int and type(row["text"]) is str for row in rows):
        raise Nonsense("no passage")
    return {row["id"]: (row["start"], row["text"]) for row in rows}
