"""Soft hyphens: where the words of a text may be divided at the end of a line.

They stand in the HTML of blocks only on their way to a browser that breaks lines there. The same block always gets
the same ones, and no word gets any because of the text behind it, so what has been drawn stays while text grows.

The dictionaries are those of pyphen. In a fresh process of Python 3.11 on x86-64 they take: English 0.9 MB, Spanish
0.6, French 0.1, Portuguese and Italian less. As pyphen itself reads them English takes 3.5 and German 17; texts in
German and Hungarian stay ragged. So do texts in Dutch, whose dictionary comes without its licence.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from .languages import WORD, is_frequent

log = logging.getLogger(__name__)

SOFT_HYPHEN = "\u00ad"

DICTIONARIES = {"en": "en_US", "fr": "fr", "es": "es", "it": "it_IT", "pt": "pt_BR"}
"""The languages that are hyphenated, with pyphen's names for their dictionaries."""

MOST_DICTIONARIES = 2
_IDLE_SECONDS = 600.0
"""A dictionary gives way to another one when nobody has needed it for so long."""

_BITS = 6  # of a letter
_SIDE = 3
"""At least so many letters of a word stand on either line."""
_LONGEST = 40
_MOST_WORDS = 4096
"""The words of which the hyphens are kept, about half a megabyte."""

_MOST_HTML = 64 * 1024
"""Longer HTML of a block gets none. It is no prose: a paragraph of thousands of characters is cut."""

_TAG = re.compile("(<[^>]*>)")
_NAME = re.compile(r"</?(\w+)")
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt"})
_BLOCKS = frozenset({"p", "li", "dd", "blockquote", "td", "th", "ul", "ol", "dl", "table", "pre", "br"}) | _HEADINGS
_WITHOUT = frozenset({"code", "pre", "table", "span", "sup", "sub"}) | _HEADINGS
"""Elements whose words are never divided; a `span` is a formula."""

_BEFORE = frozenset(" \n\t(“‘\"'[«‹¿¡—–…’")
_QUOTE = "&quot;"
_AFTER = re.compile("[.,:;!?]?(?:$|[\\s)\\]”’»›\"'—–…]|&quot;)")
"""What stands around a word that may be divided. Parts of addresses, compounds and words with digits have other
neighbours."""


class Hyphens:
    """The dictionaries that are in memory, at most two. `read` reads the one of a language, in a thread of its own:
    no request waits for that. `ticks` is the clock, in seconds.
    """

    def __init__(
        self, read: Callable[[str], Words] | None = None, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read or Words
        self._ticks = ticks
        self._lock = threading.Lock()
        self._words: dict[str, Words] = {}
        self._used: dict[str, float] = {}  # when each was needed last
        self._loading: str | None = None

    def has(self, language: str | None) -> bool:
        """Whether texts of this language can be hyphenated now. If not, they can soon, if there is room for it."""
        with self._lock:
            if language in self._words:
                self._used[language] = self._ticks()
                return True
            if language not in DICTIONARIES or self._loading or not self._make_room():
                return False
            self._loading = language
        threading.Thread(target=self._load, args=(language,), name="dictionary", daemon=True).start()
        return False

    def into(self, html: str, language: str) -> str:
        """The HTML of blocks with soft hyphens; without any, if the language cannot be hyphenated now."""
        if not html or len(html) > _MOST_HTML or not self.has(language):
            return html
        words = self._words.get(language)  # None if another language has taken its place just now
        return words.into(html) if words else html

    def _make_room(self) -> bool:
        """Whether there is room for one more dictionary. Called with the lock."""
        if len(self._words) >= MOST_DICTIONARIES:
            oldest = min(self._words, key=self._used.__getitem__)
            if self._ticks() - self._used[oldest] < _IDLE_SECONDS:
                return False
            del self._words[oldest]
        return True

    def _load(self, language: str) -> None:
        words = None
        try:
            words = self._read(language)
        except Exception:
            log.exception("hyphens: the dictionary for %r cannot be read", language)
        with self._lock:
            self._loading = None
            if words is not None:
                self._words[language], self._used[language] = words, self._ticks()


class Words:
    """Divides the words of one language."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._patterns = Patterns(language)
        self._divided: dict[str, str] = {}

    def into(self, html: str) -> str:
        """The HTML of blocks with soft hyphens in the words of their text."""
        return "".join(self._parts(_TAG.split(html)))

    def _parts(self, parts: list[str]) -> Iterator[str]:
        """The parts of HTML, text and tags in turn, with soft hyphens in the text."""
        block = _Block(self)
        for at, part in enumerate(parts):
            if at % 2:
                block.take_tag(part)
                yield part
            elif part:
                following = at + 1
                while following + 2 < len(parts) and not parts[following + 1] and not _is_block(parts[following]):
                    following += 2
                is_joined = following < len(parts) and not _is_block(parts[following])
                yield block.take_text(part, parts[following + 1] if is_joined else "")

    def divide(self, word: str) -> str:
        """A word with its soft hyphens."""
        divided = self._divided.get(word)
        if divided is None:
            if len(self._divided) >= _MOST_WORDS:
                self._divided.clear()
            divided, begin = "", 0
            for end in self._patterns.positions(word):
                if _SIDE <= end <= len(word) - _SIDE:
                    divided += word[begin:end] + SOFT_HYPHEN
                    begin = end
            self._divided[word] = divided = divided + word[begin:]
        return divided

    def knows(self, word: str) -> bool | None:
        """Whether this is a frequent word of the language; None if it is one of no language."""
        return is_frequent(word.lower(), self._language)


class Patterns:
    """The patterns of a language: how good each place in some letters is to divide a word (Liang, "Word
    Hy-phen-a-tion by Com-put-er", 1983). They are read from the dictionary that pyphen brings along, and take a
    quarter of the memory: each is a number, equal values are one object, and those that say only where to divide
    nearer to an end of a word than `_SIDE` are left out. None of these dictionaries has patterns that change
    letters, which pyphen also knows.
    """

    def __init__(self, language: str) -> None:
        from pyphen import LANGUAGES, ignored, parse  # here: a house of old Kindles never needs it

        self._codes: dict[str, int] = {}  # of each letter, from 1 on
        self._values: dict[int, tuple[int, tuple[int, ...]]] = {}  # the first values of a pattern are 0 mostly
        self._longest = 0
        kept: dict[Any, Any] = {}
        with LANGUAGES[DICTIONARIES[language]].open(encoding="utf-8") as lines:
            next(lines)  # the name of the encoding
            for line in map(str.strip, lines):
                if line and not line.startswith(ignored):
                    pairs = [(letter, int(value or 0)) for value, letter in parse(line)]
                    letters, values = zip(*pairs, strict=True)
                    begin = next((at for at, value in enumerate(values) if value), len(values))
                    end = len(values) - next((at for at, value in enumerate(reversed(values)) if value), 0)
                    is_of_start = letters[0] == "." and end - 2 < _SIDE  # the first of `values` is before the dot
                    is_of_end = letters[-2] == "." and len(values) - 2 - begin < _SIDE
                    if begin < end and not is_of_start and not is_of_end:
                        value = begin, values[begin:end]
                        self._values[self._number("".join(letters))] = kept.setdefault(value, value)

    def _number(self, letters: str) -> int:
        number = 0
        for letter in letters:
            number = number << _BITS | self._codes.setdefault(letter, len(self._codes) + 1)
        self._longest = max(self._longest, len(letters))
        return number

    def positions(self, word: str) -> list[int]:
        """Where a word can be divided: the numbers of letters before each place."""
        codes = [self._codes.get(letter, 0) for letter in f".{word.lower()}."]
        points = [0] * (len(codes) + 1)
        for start in range(len(codes)):
            number = 0
            for code in codes[start : start + self._longest]:
                if not code:
                    break
                number = number << _BITS | code
                if pattern := self._values.get(number):
                    for at, value in enumerate(pattern[1], start + pattern[0]):
                        points[at] = max(points[at], value)
        return [at - 1 for at, value in enumerate(points) if value % 2]


class _Block:
    """What has been seen of a block of text. Its frequent words so far tell whether it is in the language: a verse
    or the name of a book may not be.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._own = self._others = 0  # its frequent words of the language, and of other ones
        self._without: list[str] = []  # the open elements without hyphens
        self._is_empty = True  # bold text at the beginning may be a heading
        self._text = ""
        self._joined = ""
        self._last = " "  # the character before the next text

    def take_tag(self, tag: str) -> None:
        name = _name(tag)
        if name in _BLOCKS:
            self._last = " "
            if name != "br" and not tag.startswith("</"):
                # A paragraph that goes on with an earlier one goes on in its language.
                self._own, self._others = int('class="on' in tag), 0
                self._is_empty = True
        if tag.startswith("</"):
            if name in self._without:
                self._without.remove(name)
        elif name in _WITHOUT or 'class="formula' in tag or (name == "strong" and self._is_empty):
            self._without.append(name)

    def take_text(self, text: str, joined: str) -> str:
        """The text with soft hyphens; `joined` follows it without a space."""
        self._text, self._joined = text, text + joined[:8]
        shown = text if self._without else WORD.sub(self._divided, text)
        self._last = text[-1]
        self._is_empty = self._is_empty and text.isspace()
        return shown

    def _divided(self, match: re.Match[str]) -> str:
        word = match[0]
        is_own = self._words.knows(word)
        if is_own is not None:
            self._own += is_own
            self._others += not is_own
        begin, end = match.span()
        is_long = 2 * _SIDE <= len(word) <= _LONGEST
        if not is_long or self._own <= self._others or word[1:] != word[1:].lower():
            return word
        before = self._text[begin - 1] if begin else self._last
        is_free = before in _BEFORE or self._text.endswith(_QUOTE, 0, begin)
        return self._words.divide(word) if is_free and _AFTER.match(self._joined, end) else word


def _name(tag: str) -> str:
    found = _NAME.match(tag)
    return found[1] if found else ""


def _is_block(tag: str) -> bool:
    return _name(tag) in _BLOCKS
