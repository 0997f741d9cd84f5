"""The words that a reader types, and how far a text agrees with them. Pure.

What is compared are letters and digits alone, without case and diacritics: quotes, hyphens, spaces, and the ends of
lines differ between a page, a file, and what is typed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property

from ..storage.terms import fold, is_solid, terms

MOST_CHARACTERS = 200
"""Of the words that are typed: the last ones count, because the place is their end."""
_MOST_LETTERS = 100
"""Of those, also the last ones: more need not be compared to tell places apart."""
_MOST_TERMS = 24
_MOST_FAULTS = 0.4  # of the letters: what agrees less is another text

_LETTERS = re.compile(r"[^\W_]+")
_JOINER = re.compile(r"(?<=\w)(?:['’‘ʼ]|[-‐‑]\s*)(?=\w)")
_MARKS = ("Mn", "Mc", "Me", "Cf")  # categories of what belongs to the letter before it

# What people type one for the other: letters of Arabic and Persian, and those that Western keyboards lack.
_ALIKE = str.maketrans(
    dict(zip("ىیئةہکٱ٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "يييههكا01234567890123456789", strict=True))
    | {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ı": "i"}
)


class _Folding(dict[int, str]):
    """What each letter or digit is compared as, "" for other characters; for `str.translate()`."""

    _MOST = 8192

    def __missing__(self, code: int) -> str:
        folded = fold(chr(code)).translate(_ALIKE) if chr(code).isalnum() else ""
        folded = "".join(_LETTERS.findall(folded))
        if len(self) < self._MOST:  # of the million that a stranger could send
            self[code] = folded
        return folded


_FOLDING = _Folding()


def fold_letters(text: str) -> str:
    """The letters and digits of a text, as they are compared."""
    plain = "".join(_LETTERS.findall(text))  # without its quotes, most of English is ASCII
    return plain.lower() if plain.isascii() else plain.translate(_FOLDING)


def passage_terms(text: str) -> set[str]:
    """The terms of a text; what is joined by a hyphen or an apostrophe in parts, and as one word."""
    folded = fold(text).translate(_ALIKE)
    joined = _JOINER.sub("", folded)
    found = terms(folded)
    return found if joined == folded else found | terms(joined)


def end_of_word(text: str, count: int) -> int:
    """How many characters of a text reach to the end of the word in which its letter of this number stands. In a
    script without words, that of the letter.
    """
    seen = end = 0
    while end < len(text) and seen < count:
        seen += len(_FOLDING[ord(text[end])])
        end += 1
    is_in_word = end > 0 and not is_solid(text[end - 1])
    while end < len(text) and (_is_mark(text[end]) or (is_in_word and _goes_on(text[end]))):
        end += 1
    return end


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in _MARKS


def _goes_on(character: str) -> bool:
    return character.isalnum() and not is_solid(character)


class TypedWords:
    """Words of a page, as they were typed."""

    def __init__(self, words: str) -> None:
        self._words = words.strip()[-MOST_CHARACTERS:]
        self.letters = fold_letters(self._words)[-_MOST_LETTERS:]
        self.most_faults = int(len(self.letters) * _MOST_FAULTS)

    @cached_property
    def terms(self) -> list[str]:
        """What is looked for in the index: of too many the longest, which are the rarest."""
        return sorted(passage_terms(self._words), key=lambda term: (-len(term), term))[:_MOST_TERMS]

    @cached_property
    def beginning(self) -> str:
        """The last word, which is perhaps only begun; "" in a script without words."""
        last = _LETTERS.findall(fold(self._words).translate(_ALIKE))[-1:]
        return last[0] if last and not is_solid(last[0]) else ""

    def agreement(self, text: str) -> int:
        """How much of the letters stands in those of a text, in pieces of a half and of a quarter: whatever letter
        is wrong, one half and three quarters are right. A tenth of the work of `best_end()`.
        """
        return sum(len(piece) for piece in self._pieces if piece in text)

    @cached_property
    def _pieces(self) -> list[str]:
        size = len(self.letters)
        return [
            self.letters[start : start + length]
            for length in {max(1, -(-size // 2)), max(2, -(-size // 4))}
            for start in range(0, size, length)
        ]

    def best_end(self, text: str) -> tuple[int, int]:
        """The first place in the letters of a text at which letters most like these end: how many must be changed,
        put in or left out for that, and the number of letters up to there.

        The bits of a number are the rows of the matrix of edit distances, one column for each letter of the text
        (Myers, "A fast bit-vector algorithm for approximate string matching", Journal of the ACM 46, 1999).
        """
        rows: dict[str, int] = {}
        for index, letter in enumerate(self.letters):
            rows[letter] = rows.get(letter, 0) | 1 << index
        size = len(self.letters)
        mask, top = (1 << size) - 1, 1 << size - 1
        rising, falling = mask, 0  # where the column grows by one from row to row, and where it shrinks
        faults = fewest = size
        count_at_fewest = 0
        for count, letter in enumerate(text, 1):
            same = rows.get(letter, 0)
            either = (((same & rising) + rising) ^ rising) | same
            grown = falling | ~(either | rising)
            shrunk = rising & either
            if grown & top:
                faults += 1
            elif shrunk & top:
                faults -= 1
                if faults < fewest:
                    fewest, count_at_fewest = faults, count
            grown <<= 1
            same |= falling
            rising = (shrunk << 1 | ~(same | grown)) & mask
            falling = grown & same & mask
        return fewest, count_at_fewest
