"""Emphasis beside Chinese, Japanese and Korean punctuation. No I/O.

CommonMark takes `**注意：**请` for stars: a mark between punctuation and a letter may not end emphasis, because a
language with spaces would have one there. The amendment of the rules for languages without spaces is "CommonMark
CJK-friendly Amendments Specification" (github.com/tats-u/markdown-cjk-friendly, Unicode 17, 2025). For all other
texts, one thing differs: stars between a digit and another one or a letter, as in 2*3*4 or x**2, are arithmetic.
"""

from __future__ import annotations

import re
from unicodedata import east_asian_width

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline.state_inline import Scanned, StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType

_FIRST = "\u1100"
"""No character before this one is special here."""

_VARIATION = re.compile("[\ufe00-\ufe0e]")
_IDEOGRAPHIC_VARIATION = re.compile("[\U000e0100-\U000e01ef]")
_WIDE_QUOTE = re.compile("[‘’“”]\ufe01")
"""Quotation marks of all languages that are to be shown in the East Asian width."""

_NUMBER = re.compile("[0-9][0-9A-Za-z]|[A-Za-z][0-9]")
"""What stands on both sides of a sign of arithmetic. It begins no emphasis; but `**Step 2**a` may end one."""

_CJK = re.compile("[\u1100-\u11ff\u20a9\u2329-\u232a\ud7b0-\ud7ff]")
"""Hangul letters, which are not all wide, the sign of the won, and the wide characters outside these ranges ..."""

_ALL_OTHERS = re.compile("[\u2e80-\uffef\U00016fe0-\U0001efff\U00020000-\U0003fffd]")
"""... that are not emoji. (Python calls characters wide that it does not know.)"""


class EmphasisState(StateInline):
    """The state of the library's inline parser, with the amended rules."""

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803 - the library's names
        """Whether the marks at `start` may begin and end emphasis, and how many there are."""
        scanned = super().scanDelims(start, canSplitWord)
        end = start + scanned.length
        before = self.src[start - 1] if start else " "
        after = self.src[end] if end < self.posMax else " "
        if before < _FIRST and after < _FIRST:
            if self.src[start] == "*" and _NUMBER.fullmatch(before + after):
                may_close = scanned.length > 1 and not (before + after).isdigit()
                return Scanned(False, scanned.can_close and may_close, scanned.length)
            return scanned
        before_is_cjk = _is_cjk(before) or bool(_IDEOGRAPHIC_VARIATION.match(before))
        if start > 1 and _VARIATION.match(before):
            before_is_cjk = _is_cjk(self.src[start - 2]) or bool(_WIDE_QUOTE.match(self.src, start - 2))
            before = self.src[start - 2]
        before_is_space, after_is_space = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
        before_is_mark, after_is_mark = _is_punctuation(before), _is_punctuation(after)
        after_is_cjk = _is_cjk(after)
        before_parts = before_is_space or before_is_mark or before_is_cjk
        after_parts = after_is_space or after_is_mark or after_is_cjk
        left = not after_is_space and (not after_is_mark or after_is_cjk or before_parts)
        right = not before_is_space and (not before_is_mark or before_is_cjk or after_parts)
        can_open = left and (canSplitWord or not right or before_is_mark)
        can_close = right and (canSplitWord or not left or after_is_mark)
        return Scanned(can_open, can_close, scanned.length)


class EmphasisParser(ParserInline):
    """The library's inline parser, with the amended rules."""

    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        """Parse a text into inline tokens, which are added to `tokens`."""
        state = EmphasisState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


def _is_cjk(character: str) -> bool:
    if _ALL_OTHERS.match(character):
        return east_asian_width(character) in "WFH"
    return _CJK.match(character) is not None


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)
