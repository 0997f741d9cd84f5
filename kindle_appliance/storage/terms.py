"""The terms of a text, in any language: what the index of the chats holds, and what is looked for in it. Pure.

A term is a word, without case and diacritics. Scripts without spaces have no words that could be told without a
dictionary. There each character is a term, and each pair of neighbours: a pair finds a name of two characters at
once, however often each of them occurs alone, and a longer run is found by its pairs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

MOST_CHARACTERS = 100_000
"""Of a question and its answer, so many are indexed: some 60 printed pages."""
MOST_ASKED_CHARACTERS = 200
"""Of what is looked for."""
_MOST_ASKED_TERMS = 12
_MOST_TERM_CHARACTERS = 40
LEAST_BEGINNING = 3
"""The last word that is looked for may be the beginning of one, if it has so many characters."""
_SEEN_CHARACTERS = 20_000
_EXCERPT_CHARACTERS = 80
_BEFORE_FIND = 24

# Han, kana, bopomofo, Hangul (its particles have no space before them), Thai, Lao, Tibetan, Burmese, Khmer, Yi.
_SOLID = (
    "\u0e01-\u0e4e\u0e50-\u0e59\u0e81-\u0ed9\u0edc-\u0edf\u0f00\u0f20-\u0f39\u0f40-\u0fbc\u1000-\u1049\u1050-\u109d"
    "\u1780-\u17d3\u17e0-\u17e9\u2e80-\u2fdf\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
    "\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_VOWEL_SIGNS = "\u0900-\u0963\u0970-\u0dff"  # Devanagari to Sinhala: Python takes them for the ends of words
_RUN = re.compile(rf"([{_SOLID}]+)|([^\W_{_SOLID}]+(?:[{_VOWEL_SIGNS}]+[^\W_{_SOLID}]*)*)")
_IS_SOLID = re.compile(rf"[{_SOLID}]+")
# Accents, points of Hebrew and Arabic, the stroke that lengthens Arabic words, soft hyphens and joiners.
_SILENT = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u00ad\u200b-\u200f]"
)
_MARKDOWN = re.compile(r"[*_`#|~\\]+|^\s*(?:>|[-+]\s)", re.MULTILINE)


class _Folding(dict[int, str]):
    """What each character is compared as; for `str.translate()`."""

    _MOST = 8192

    def __missing__(self, code: int) -> str:
        folded = unicodedata.normalize("NFKC", chr(code)).casefold()
        if not _IS_SOLID.fullmatch(folded):
            folded = _SILENT.sub("", unicodedata.normalize("NFKD", folded))
        if len(self) < self._MOST:  # of the million that a stranger could send
            self[code] = folded
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """The text as it is compared: without case, diacritics and invisible characters, full width as usual width."""
    return text.translate(_FOLDING)


def terms(text: str) -> set[str]:
    """All terms of a text."""
    found: set[str] = set()
    for run, word in _RUN.findall(fold(text[:MOST_CHARACTERS])):
        if run:
            found.update(run)
            found.update(_pairs(run))
        else:
            found.add(word[:_MOST_TERM_CHARACTERS])
    return found


def is_solid(text: str) -> bool:
    """Whether a text begins in a script without spaces."""
    return bool(_IS_SOLID.match(text))


def _pairs(run: str) -> list[str]:
    return [first + second for first, second in pairwise(run)]


@dataclass(frozen=True)
class Query:
    """What a reader looks for, as it was typed. Nothing in it is syntax: it is a number of words, all of which must
    occur, the last one perhaps only begun. A run of characters without spaces must occur as it is.
    """

    text: str

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """The terms that a text must have; none if nothing was typed that could be found."""
        found: dict[str, None] = {}
        for run in self._runs:
            found.update(dict.fromkeys(_pairs(run) or [run] if _IS_SOLID.match(run) else [run]))
        return tuple(found)[:_MOST_ASKED_TERMS]

    @cached_property
    def beginning(self) -> str | None:
        """The one of the terms of which only the beginning must occur, if there is one."""
        last = self._runs[-1] if self._runs else ""
        is_one = len(last) >= LEAST_BEGINNING and last in self.terms and not _IS_SOLID.match(last)
        return last if is_one else None

    def matches(self, known: Set[str]) -> bool:
        """Whether a text with these terms has all that are looked for, as the index would tell."""
        begun = self.beginning
        is_begun = begun is None or any(term.startswith(begun) for term in known)
        return is_begun and all(term in known for term in self.terms if term != begun)

    def is_in(self, *texts: str) -> bool:
        """Whether a text that has all terms has also the longer runs as they are."""
        runs = [run for run in self._runs if _IS_SOLID.match(run) and len(run) > 2]
        if not runs:
            return True
        folded = [fold(text[:MOST_CHARACTERS]) for text in texts]
        return all(any(run in each for each in folded) for run in runs)

    def excerpt(self, text: str) -> str:
        """A line of the text around the first find, without the signs of Markdown; "" if nothing is found near the
        beginning.
        """
        plain = " ".join(_MARKDOWN.sub("", text[:_SEEN_CHARACTERS]).split())
        folded = fold(plain)  # about as long: the place need not be exact
        places = [place for run in self._runs if (place := _place(run, folded)) >= 0]
        if not places:
            return ""
        start = max(0, min(places) - _BEFORE_FIND)
        if start and not _IS_SOLID.match(plain[start]):
            start = plain.find(" ", start, start + _BEFORE_FIND) + 1 or start
        line = plain[start : start + _EXCERPT_CHARACTERS]
        if start + _EXCERPT_CHARACTERS >= len(plain):
            return ("… " if start else "") + line
        whole = line if _IS_SOLID.match(line[-1]) else line.rpartition(" ")[0] or line
        return f"{'… ' if start else ''}{whole} …"

    @cached_property
    def _runs(self) -> list[str]:
        found = _RUN.findall(fold(self.text[:MOST_ASKED_CHARACTERS]))
        return [run or word[:_MOST_TERM_CHARACTERS] for run, word in found]


def _place(run: str, folded: str) -> int:
    """Where a run or the beginning of a word stands; -1: nowhere."""
    if _IS_SOLID.match(run):
        return folded.find(run)
    found = re.search(rf"(?<![^\W_]){re.escape(run)}", folded)
    return found.start() if found else -1
