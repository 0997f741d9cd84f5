"""The tail of a growing text: what can be shown of its end, and what has to wait. No I/O.

The text may go on behind its last character. So what is shown ends with a word. A block whose kind is not clear yet
waits, such as the first line of what may become a table; an item, row or quotation waits for its first word. Marks
inside a block are the business of `marks.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import unescape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, heading, hr, paragraph
from markdown_it.token import Token

OPEN = "open"
"""The key in the library's environment that says that a text may go on at its end. Rules look for it; inside blocks
they find it for the last content of the last block only, if that may go on."""

_LONG_WORD = 120
"""A word of so many characters is cut inside: some scripts and machines write no spaces."""

_LONG_HEAD = 1000
_LONG_LINE = 200
"""A line with a bar may become the head of a table, when the line below it has come. Until then it waits, if it has
at most so many characters and begins with a bar, or if it is as short as heads without such a bar are."""

_PAID = 1000
"""A call for a tail pays for a parse of so many characters; so does the first one."""

_UNSPACED = re.compile("[\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U000323af]")
_CLUSTERED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
"""Characters without spaces between words. Those of South East Asia may get a mark above or below, later."""

_MARKS = re.compile(r"(?:[-+*=_~`#>|:\s]+|\d{1,9}[.)]?)\Z")
"""A line that may yet begin anything: a rule, an item, a heading, a fence."""

_ONLY_QUOTED = re.compile(r"[>\s]*\Z")
_DELIMITERS = re.compile(r"[-|:\s]+\Z")
_CODE = re.compile("`[^`]*`")
_TAG = re.compile("<[^>]*>")
_LAST_MARKS = re.compile(r"(?<=[^*_~`])[*_~`]+\Z")
_HALF_FORMULA = re.compile(r"[^\w$\\]*(?:\$|\\[(\[])[^$]*\\[A-Za-z]")
_LINES = ("heading_open", "td_open", "th_open", "dt_open")
_NO_BREAK = "\u00a0\u2007\u202f"
_JOINER = "\u200d"


# ---- The end of the text -----------------------------------------------------------------------------------------


def upto_last_word(line: str) -> str:
    """The part of an incomplete line whose words are complete; nothing if that is but the beginning of a quotation,
    where an empty line would end a paragraph.
    """
    part = line[: _end_of_words(line)].rstrip(" \t")
    return "" if _ONLY_QUOTED.match(part) else part


def _end_of_words(line: str) -> int:
    shortest = max(0, len(line) - _LONG_WORD)
    if line.isascii() and (end := max(line.rfind(" "), line.rfind("\t")) + 1) > shortest:
        return end
    for end in range(len(line), shortest, -1):
        if _is_between_words(line, end):
            return end
    if not shortest:
        return 0
    inside = list(re.finditer(r"[^\W_](?=[^\W_])", line[shortest:]))
    ends = (shortest + match.end() for match in reversed(inside))
    return next((end for end in ends if not _extends(line[end])), line.rfind(" ") + 1)


def _is_between_words(line: str, end: int) -> bool:
    last, following = line[end - 1], line[end : end + 1]
    if last.isspace():
        return last not in _NO_BREAK
    if not following:
        return bool(_UNSPACED.match(last))
    if not any(script.match(each) for script in (_UNSPACED, _CLUSTERED) for each in (last, following)):
        return False
    return not (last.isascii() and not last.isalnum()) and last != _JOINER and not _extends(following)


def _extends(character: str) -> bool:
    """Whether a character belongs to the one before it: an accent, half an emoji, the colour of one."""
    is_half = "\udc00" <= character <= "\udfff" or "\U0001f3fb" <= character <= "\U0001f3ff"
    return is_half or character == _JOINER or unicodedata.category(character)[0] == "M"


# ---- Rules of blocks: what is not clear yet gives no token -------------------------------------------------------


def add_open_blocks(markdown: MarkdownIt) -> None:
    """Give the library variants of its rules that know of the open end."""
    rules = markdown.block.ruler
    rules.at("hr", _rule, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    rules.at("heading", _heading, {"alt": ["paragraph", "reference", "blockquote"]})
    rules.at("paragraph", _paragraph)


def paragraph_upto(state: StateBlock, start: int, end: int) -> Sequence[Token]:
    """Parse a paragraph that ends before line `end`, with the parser's rule. Returns its tokens: none if it has no
    text yet, and the text may go on.
    """
    line_max, first = state.lineMax, len(state.tokens)
    state.lineMax = min(end, line_max)
    state.md.block.ruler.getRules("")[-1](state, start, state.lineMax, False)
    state.lineMax = line_max
    return state.tokens[first:]


def is_last_line(state: StateBlock, line: int) -> bool:
    """Whether the text may go on with, or right behind, this line."""
    return bool(state.env.get(OPEN)) and line >= len(state.bMarks) - 2


def is_incomplete_line(state: StateBlock, line: int) -> bool:
    """Whether the text may go on inside this line."""
    return is_last_line(state, line) and not state.src.endswith("\n")


def _paragraph(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The library's paragraph, without lines that may yet begin another block."""
    paragraph(state, start, end, silent)
    content = state.tokens[-2]
    if is_last_line(state, state.line - 1):
        content.content = _clear_lines(content.content, is_incomplete_line(state, state.line - 1))
    elif is_incomplete_line(state, state.line) and _DELIMITERS.search(state.src, state.bMarks[state.line]):
        content.content = _without_head(content.content)  # what seems to be a rule may be the line below a head
    if not content.content:
        del state.tokens[-3:]
    return True


def _clear_lines(text: str, is_incomplete: bool) -> str:
    before, _, last = text.rpartition("\n")
    last = last.strip()
    if is_incomplete and _DELIMITERS.match(last) and (without := _without_head(before)) != before:
        return without
    if is_incomplete and _MARKS.match(last):
        return before
    return _without_head(text)


def _without_head(text: str) -> str:
    """The lines of a text without the last one if that may be the head of a table."""
    before, _, last = text.rpartition("\n")
    return before if _may_be_head(last.strip()) else text


def _may_be_head(line: str) -> bool:
    if line.startswith("|"):
        return len(line) <= _LONG_HEAD
    return "|" in line and len(line) <= _LONG_LINE and "|" in _CODE.sub("", line)


def _heading(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The library's heading, which ends with its line."""
    is_heading = heading(state, start, end, silent)
    if is_heading and not silent and is_incomplete_line(state, start):
        state.tokens[-2].meta[OPEN] = True
    return is_heading


def _rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The library's horizontal rule, unless its line may still become text."""
    is_rule = hr(state, start, end, silent)
    if is_rule and not silent and is_incomplete_line(state, start):
        del state.tokens[-1:]
    return is_rule


def mark_open_content(tokens: Sequence[Token], source: str) -> None:
    """Mark the content of the last block if it goes on with the text, such as that of a paragraph.

    The rule for headings has marked what goes on in its line only.
    """
    last = len(tokens) - 1
    while last > 0 and tokens[last].nesting < 0:
        last -= 1
    if last > 0 and tokens[last].type == "inline" and tokens[last - 1].type not in _LINES:
        lines = tokens[last].map
        if lines and lines[1] > source.removesuffix("\n").count("\n"):
            tokens[last].meta[OPEN] = True


def hold_back_row(state: StateBlock) -> None:
    """Take back the last row of a table, which has just been parsed, if its line has not ended.

    Its next cell would begin beside the first line of the one before it, and further bars may move them all.
    """
    if is_incomplete_line(state, state.line - 1):
        row = next(index for index in range(len(state.tokens) - 1, -1, -1) if state.tokens[index].type == "tr_open")
        end = next(index for index in range(row, len(state.tokens)) if state.tokens[index].type == "tr_close")
        del state.tokens[row : end + 1]


# ---- Containers without a word -----------------------------------------------------------------------------------


def without_empty_end(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of blocks without what shows nothing at their end: a marker of an item whose text has not come."""
    tokens = list(tokens)
    while tokens:
        last = len(tokens) - 1
        while last > 0 and tokens[last].nesting < 0:
            last -= 1
        leaf = tokens[last]
        if tokens[last - 1].type in ("td_open", "th_open") or (leaf.nesting == 0 and shows(leaf)):
            break
        del tokens[last : last + 1 + (leaf.nesting > 0)]
    return tokens


def shows(token: Token) -> bool:
    """Whether a token, once its inline content is parsed, shows anything."""
    if token.type == "inline":
        return any(shows(child) for child in token.children or ())
    if token.type in ("text", "text_special", "code_inline", "fence", "code_block"):
        return bool(token.content.strip())
    return token.nesting == 0 and token.type not in ("softbreak", "hardbreak")


# ---- A text that has been broken off -----------------------------------------------------------------------------


def without_last_marks(line: str) -> str:
    """The last line of a text without marks at its end: they open nothing, or close what the end closes, too."""
    text = _LAST_MARKS.sub("", line)
    return line if _MARKS.match(text) else text


def has_same_words(html: str, whole: str) -> bool:
    """Whether HTML in which open marks are closed has the words of the `whole`, in which they stand as they were
    written. Half a formula at its end may be missing.
    """
    words, written = (unescape(_TAG.sub("", each)) for each in (html, whole))
    rest = [character for character in words if character.isalnum()]
    rest.reverse()
    shown = 0  # the end of the words that both have
    for at, character in enumerate(written, 1):
        if character.isalnum():
            if not rest:
                return _HALF_FORMULA.match(written[shown:]) is not None
            if rest.pop() != character:
                return False
            shown = at
    return not rest


# ---- What tails cost ---------------------------------------------------------------------------------------------


class LastTail:
    """The last tail, which is shown again as long as nothing new can be, or has been paid for.

    An open part is parsed anew for each tail. Ordinary ones are short. With a long one, there are fewer tails, so
    that each costs the same on average, however long it is.
    """

    def __init__(self) -> None:
        self.html = ""
        self._seen = (-1, 0)
        self._debt = 0

    def is_due(self, start: int, length: int) -> bool:
        """Whether to make a new one, of an open part that begins at `start` and has `length` characters."""
        self._debt = max(0, self._debt - _PAID)
        if (start, length) == self._seen or (self._debt and start == self._seen[0]):
            return False
        self._seen = (start, length)
        self._debt += length
        return True
