"""Where a long paragraph is cut, so that it settles in pieces. No I/O.

A paragraph has no end until its last line has come, and a model may write one of any length. So it settles in
pieces of at most `MOST` characters. A reader does not see a cut at the end of a line. One behind a sentence begins
a new paragraph, as a book sets it. Elsewhere, where there is nothing better, a line ends early.

A place is told by the text before it and the one character behind it. No earlier place is chosen because of text
that comes later: what has been drawn stays.
"""

from __future__ import annotations

import re
import unicodedata

LINE = 1400
SENTENCE = 1600
WORD = 1800
ANY_WORD = 1880
ANYWHERE = 1920
LAST = 1950
MOST = 2000
"""A paragraph is cut behind the first line end after so many characters, behind the first sentence after so many,
the first word, a word between marks that are not paired, between any two characters that can be parted, and at last
anywhere, but for the first characters of a line, which do not show yet what it is."""

_SENTENCE = re.compile(r"[^\WA-Z_]{3}[*_`)\]\"”’»]{0,4}[.!?…؟۔।]+[*_\"'”’»)\]]{0,4}[ \t]+\Z")
"""The end of a sentence, and not of most abbreviations."""

_MARKER = re.compile(r"[-+*_~`#>|:\s\d.)]*\Z")
"""A line that may yet become anything: an item, a heading, a rule."""

_ENDS_SENTENCE = "。！？"
_ENDS_CLAUSE = "，；：、"
_BEGINS_NOTHING = "。！？，；：、…—”’」』）】》〉\"')]}»*_`~"
CONTEXT = 16
_CLEAR = 10
_LONG_START = 100  # longer ones than the start of a line ever is in an answer


class Cuts:
    """Finds the places in the open part of a text. All offsets are those in the open part."""

    def __init__(self) -> None:
        self.is_sentence = False  # the last place that was found is behind a sentence
        self._start = 0  # the last paragraph begins here, or further on,
        self._marks: Marks | None = None  # and has these; None until that is certain
        self._unmarked = ""  # the text that they do not have yet,
        self._marked = 0  # up to this index of the text that arrives
        self._before = self._following = ""  # the text before the last place that was found, and behind it
        self._refusals = 0

    @property
    def first(self) -> int:
        """There is no place before this offset."""
        return self._start + LINE

    def find(self, text: str, at: int, before: str, begin: int) -> int | None:
        """The index of the first place in a text, from `begin` on, that arrives at the offset `at`. `before`: the
        `CONTEXT` last characters before it.
        """
        if not begin:
            self._marked = 0
        window = before + text
        for index in range(max(begin, self.first - at), len(text)):
            end = len(before) + index
            self._before, self._following = window[max(0, end - CONTEXT) : end], text[index]
            if self._is_place(at + index - self._start, text[self._marked : index]):
                self._unmarked, self._marked = "", index
                return index
        if self._marks is not None:
            self._unmarked += text[self._marked :]
        return None

    def may_be(self, line: str, line_before: str, end: int) -> bool:
        """Whether the place that was found, at the offset `end`, may be one, although this line has begun there
        and the one before it has ended. A row with bars may be the head of a table.
        """
        line = line.lstrip(" \t>") if len(line) < _LONG_START else line
        if not line and self._before[-1:] != "\n":
            return False
        if line and (len(line) < _CLEAR or (len(line) < 2 * _CLEAR and _MARKER.match(line))):
            return False
        is_head = line.startswith("|") or (not line and "|" in line_before)
        return not is_head or end - self._start >= ANY_WORD

    def begins_at(self, start: int, content: str, end: int) -> bool:
        """Whether the place that was found, at the offset `end`, is one, as the last paragraph begins at `start`
        and has this content up to there.
        """
        if start > self._start:
            self._start, self._marks = start, None
        if self._marks is None and end >= self.first:
            space = self._before[-1:] if self._before[-1:].isspace() else ""
            self._marks = Marks()
            self._marks.take(content + space, self._following)
        return end >= self.first and self._is_place(end - self._start, "")

    def refuse(self, end: int) -> bool:
        """No paragraph is open at `end`. That was found by parsing all of the open part: so the longer that is, the
        later is the next try. Returns whether this one was not the first.
        """
        is_again = self._refusals > 0
        self._start = end + self._refusals * end // 2
        self._marks = None
        self._refusals = 1
        return is_again

    def settle(self, length: int) -> None:
        """The first characters of the open part have settled."""
        self._refusals = 0
        if length > self._start:
            self._marks = None
        self._start = max(0, self._start - length)

    def _is_place(self, length: int, unmarked: str) -> bool:
        """Whether a paragraph of this length, of which its marks do not have the last part yet, may be cut here."""
        last, following = self._before[-1:], self._following
        self.is_sentence = False
        since = ANYWHERE
        if length >= LAST:
            return True
        if last == "\n" and following != "\n":
            since = LINE
        elif following in "\n\r\t ":
            return False
        elif last in " \t":
            self.is_sentence = _SENTENCE.search(self._before) is not None and not following.islower()
            since = SENTENCE if self.is_sentence else WORD
        elif following in _BEGINS_NOTHING or _extends(following) or last == "\u200d":
            return False
        elif last in _ENDS_SENTENCE:
            self.is_sentence, since = True, SENTENCE
        elif last in _ENDS_CLAUSE:
            since = WORD
        if length < since:
            return False
        if self._marks is None or length >= max(since, ANY_WORD):
            return True
        self._marks.take(self._unmarked + unmarked, following)
        self._unmarked = ""
        self._marked += len(unmarked)
        return self._marks.are_paired


def _extends(character: str) -> bool:
    """Whether a character belongs to the one before it: an accent, half an emoji, the colour of one."""
    is_half = "\udc00" <= character <= "\udfff" or "\U0001f3fb" <= character <= "\U0001f3ff"
    return is_half or character == "\u200d" or unicodedata.category(character)[0] == "M"


_MARK = re.compile(r"\\.|`+|\*+|_+|~~+|\$+|\[|\]\(?|\)|\n", re.DOTALL)


class Marks:
    """The marks of a growing text that have no partner yet, about as the Markdown library pairs them."""

    def __init__(self) -> None:
        self._closing = ""  # that of code or of a formula that is open: nothing else counts inside
        self._brackets = 0
        self._is_address = False
        self._open = dict.fromkeys("*_~", 0)
        self._last = " "

    @property
    def are_paired(self) -> bool:
        return not (self._closing or self._brackets or self._is_address or any(self._open.values()))

    def take(self, text: str, following: str) -> None:
        """Take more of the text; `following` is the character after it."""
        text = self._last + text
        for match in _MARK.finditer(text, 1):
            mark, before, after = (
                match[0],
                text[match.start() - 1],
                text[match.end() : match.end() + 1] or following,
            )
            if self._closing:
                is_end = mark in (self._closing, "\\`" * (self._closing == "`")) or (
                    mark == "\n" and self._closing == "$"
                )
                self._closing = "" if is_end else self._closing
            elif mark[0] == "`":
                self._closing = mark
            elif mark in ("\\(", "\\["):
                self._closing = "\\)" if mark == "\\(" else "\\]"
            elif mark in ("$", "$$"):
                is_formula = not after.isspace() and not after.isdigit() and not before.isalnum()
                self._closing = mark if is_formula or mark == "$$" else ""
            elif mark[0] in self._open:
                self._take_emphasis(mark, before, after)
            elif mark == "[":
                self._brackets += 1
            elif mark[0] == "]":
                self._is_address = mark == "](" and self._brackets > 0
                self._brackets = max(0, self._brackets - 1)
            elif mark == ")":
                self._is_address = False
        self._last = text[-1]

    def _take_emphasis(self, mark: str, before: str, after: str) -> None:
        may_open, may_close = not after.isspace(), not before.isspace()
        if mark[0] == "_":
            may_open, may_close = may_open and not before.isalnum(), may_close and not after.isalnum()
        count = self._open[mark[0]]
        if may_close and count:
            self._open[mark[0]] = max(0, count - len(mark))
        elif may_open:
            self._open[mark[0]] = count + len(mark)
