"""The words that a reader types, and their comparison with a text. Pure.

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
MOST_LETTERS = 200
_MOST_TERMS = 24
_MOST_FAULTS = 0.4  # of the letters: what agrees less is another text

_JOINERS = re.compile(r"(?<=\w)(?:['’‘ʼ`´]|[-‐‑]\s*)(?=\w)")

_REST = re.compile(r"\w*")

# What people type one for the other: forms of Arabic and Persian letters.
_ALIKE = str.maketrans("ىیئةہکٱ", "يييههكا")


class _Letters(dict[int, str]):
    """What each character is compared as, "" if it is neither a letter nor a digit; for `str.translate()`."""

    _MOST = 8192

    def __missing__(self, code: int) -> str:
        folded = "".join(each for each in fold(chr(code)).translate(_ALIKE) if each.isalnum())
        folded = "".join(str(unicodedata.digit(each, each)) for each in folded)
        if len(self) < self._MOST:  # of the million that a stranger could send
            self[code] = folded
        return folded


_LETTERS = _Letters()


def fold_letters(text: str) -> str:
    """The letters and digits of a text, as they are compared."""
    return text.translate(_LETTERS)


def passage_terms(text: str) -> set[str]:
    """The terms of a text; what is joined by a hyphen or an apostrophe in parts and as one word."""
    plain = text.translate(_ALIKE)
    joined = _JOINERS.sub("", plain)
    found = terms(plain)
    return found if joined == plain else found | terms(joined)


def end_of_word(text: str, count: int) -> int:
    """How many characters of a text reach to the end of the word in which its letter of this number stands."""
    seen = 0
    for index, character in enumerate(text):
        seen += len(_LETTERS[ord(character)])
        if seen >= count:
            rest = None if is_solid(character) else _REST.match(text, index + 1)
            return rest.end() if rest else index + 1
    return len(text)


class TypedWords:
    """Words of a page, as they were typed."""

    def __init__(self, words: str) -> None:
        self._words = words.strip()[-MOST_CHARACTERS:]

    @cached_property
    def letters(self) -> str:
        """The letters that are looked for; "" if nothing was typed that could be found."""
        return fold_letters(self._words)[-MOST_LETTERS:]

    @cached_property
    def most_faults(self) -> int:
        return int(len(self.letters) * _MOST_FAULTS)

    @cached_property
    def terms(self) -> list[str]:
        return sorted(passage_terms(self._words))[:_MOST_TERMS]

    @cached_property
    def beginning(self) -> str:
        """The last word, which is perhaps only begun; "" in a script without words."""
        last = re.findall(r"\w+", fold(self._words.translate(_ALIKE)))[-1:]
        return last[0] if last and not is_solid(last[0]) else ""

    def best_end(self, text: str) -> tuple[int, int]:
        """The first place in the letters of a text at which letters most like these end: how many differ, and the
        number of letters up to there.

        The bits of a number are the rows of the matrix of edit distances, one column for each letter of the text
        (Myers, "A fast bit-vector algorithm for approximate string matching", Journal of the ACM 46, 1999).
        """
        places: dict[str, int] = {}
        for index, letter in enumerate(self.letters):
            places[letter] = places.get(letter, 0) | 1 << index
        size = len(self.letters)
        mask = (1 << size) - 1
        top = 1 << size - 1
        up, down, faults = mask, 0, size
        best = (faults, 0)
        for count, letter in enumerate(text, 1):
            same = places.get(letter, 0)
            vertical = same | down
            horizontal = (((same & up) + up) ^ up) | same
            right = down | ~(horizontal | up)
            left = up & horizontal
            if right & top:
                faults += 1
            elif left & top:
                faults -= 1
                if faults < best[0]:
                    best = (faults, count)
            right <<= 1
            up = (left << 1 | ~(vertical | right)) & mask
            down = right & vertical & mask
        return best
