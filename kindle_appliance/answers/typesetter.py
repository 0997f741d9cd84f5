"""Turns a model's Markdown, as it grows, into settled HTML blocks. No I/O.

A block is *settled* when no later text can change it. It is rendered once, with raw HTML disabled, and never
changed again, so that the text on the reader's screen does not move. The Markdown library decides where a block
ends: it parses the *open part*, which is the text that has not settled, and every top-level block but the last
settles, and of the last one what can no longer change (`pieces.py`).

The direction, and the language that selects East Asian glyphs, are written on each block, because old browsers
cannot work them out.

All decisions are made at line ends and depend on the text only. So any chunking gives the same blocks and the same
offsets, also when an answer is typeset again after a restart. The open part is parsed when a line has come that may
settle something, if the text that has come since the last times pays for it (`_PAID`): so the cost is linear in the
length of the text. An open fence is not parsed at all (`fence.py`).

Five differences from rendering the whole text at once are known and accepted. A link reference that is defined
further down stays unresolved. A list item does not know whether its list will be loose; the style sheet makes tight
and loose lists look alike. In a paragraph of thousands of characters, emphasis may end where a part of it does
(`markdown.py`). A table with thousands of empty cells ends (`pieces.py`). A text whose HTML would go beyond its
budget is set more plainly, at last as its lines (`budget.py`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any, NamedTuple

from markdown_it.token import Token

from .budget import Budget, size
from .fence import OpenFence, fence_begun_by
from .markdown import parse_blocks, prepare_tables, render
from .pieces import (
    CONTAINERS,
    MANY_TOKENS,
    PIECE_LINES,
    Continuation,
    Piece,
    complete_items,
    copied,
    first_line,
    is_closed_fence,
    last_item,
    open_fence,
    split,
)
from .writing import east_asian_language, is_right_to_left

_LINE = 20
"""What the library spends on a line beyond its characters. The unit is what it spends on a character of prose."""

_PARSE = 250
"""What a parse and a block cost besides."""

_PAID = 3
"""A line pays for this much for each of its characters, and for `_LINE`. So a text is parsed a few times in all; if
its lines are short, twice."""

_CREDIT = 2000
"""What may be parsed before the text has paid for it: the open part of most answers, after each line."""

_MUCH_CODE = 1000
_MANY_CODE_LINES = 256
"""In an item or a quotation, so many characters, or so many lines, of a fence settle together."""


class Block(NamedTuple):
    """A settled block: its HTML, and the offset in the raw text, in characters, at which it ends."""

    html: str
    upto: int


class Typesetter:
    """Typesets one answer. `blocks` holds the blocks that have settled so far."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._partial: list[str] = []  # the incomplete line
        self._raw: list[str] = []  # the complete lines of the open part
        self._lines: list[str] = []  # the same as the library gets them
        self._cost = 0  # of parsing the open part
        self._debt = 0  # what has been parsed and not been paid for
        self._kind = ""  # the type of the last block of the open part when it was last parsed; empty: none
        self._leaf = ""  # the type of the last block inside it
        self._fence: OpenFence | None = None  # a fence that is open at the end of the open part
        self._offset = 0  # the position in the raw text where the open part begins
        self._continuation: Continuation | None = None
        self._is_rtl: bool | None = None  # the direction of the last block; None before its first letter
        self._language: str | None = None  # the language of the last East Asian piece
        self._references: dict[str, Any] = {}  # the link reference definitions that have settled
        self._budget = Budget()

    def feed(self, text: str) -> list[Block]:
        """Take the next chunk of the text and return the blocks that it settles (often none)."""
        count = len(self.blocks)
        start = 0
        # Only "\n" ends a line: splitlines() would also split at U+2028, form feeds and others.
        while (end := text.find("\n", start)) >= 0:
            line = text[start : end + 1]
            if self._partial:
                line = "".join((*self._partial, line))
                self._partial.clear()
            self._take_line(line)
            start = end + 1
        if start < len(text):
            self._partial.append(text[start:])
        return self.blocks[count:]

    def close(self) -> list[Block]:
        """End the text and return the blocks of the open part. The last block ends where the text ends."""
        count = len(self.blocks)
        if self._partial:
            self._add_line("".join(self._partial))
            self._partial.clear()
        if self._raw:
            self._settle(at_end=True)
        return self.blocks[count:]

    def _take_line(self, raw: str) -> None:
        line = self._add_line(raw)
        if len(self._lines) == 1 and self._continuation is None:
            self._kind = ""
            self._fence = fence_begun_by(line)
        elif self._fence is not None and not self._fence.holds(line):
            fence, self._fence = self._fence, None
            if fence.ends_with(line):  # then nothing settles before the next block in the same container begins
                return
        if self._fence is not None and not self._fence.prefix and not self._fence.indent:
            self._settle_code(self._fence)
        elif self._may_settle(line):
            cost = _PARSE + _cost(self._opening) if self._continuation else _PARSE
            if not self._debt or self._debt + cost + self._cost <= _CREDIT:
                self._settle(at_end=False)
                self._debt += cost + self._cost

    def _add_line(self, raw: str) -> str:
        line = _without_line_ends(raw) if "\r" in raw or "\0" in raw else raw
        self._raw.append(raw)
        self._lines.append(line)
        cost = _LINE + len(line)
        self._cost += cost
        self._debt = max(0, self._debt - _LINE - _PAID * len(line)) if self._debt else 0
        return line

    def _settle_code(self, fence: OpenFence) -> None:
        """Settle the first lines of a fence, which nothing can change any more, if there are enough of them."""
        end = fence.first + PIECE_LINES
        if len(self._lines) + len(self._opening) > end:
            lines = (*self._opening, *self._lines)
            code = Token("fence", "code", 0, content="".join(lines[fence.first : end]))
            self._add_piece(Piece([code], end, Continuation((), True, (fence.opening,))), lines, {})
            self._fence = fence._replace(first=1)

    @property
    def _opening(self) -> tuple[str, ...]:
        return self._continuation.opening if self._continuation else ()

    def _may_settle(self, line: str) -> bool:
        """Whether this line may have ended a block, or a part of one, or have begun a block behind it."""
        first = line.lstrip(" \t\n")[:1]
        if self._fence is not None:
            count = len(self._lines) + len(self._opening) - self._fence.first
            is_much = not self._fence.prefix or self._cost > _LINE * len(self._lines) + _MUCH_CODE
            return count > (PIECE_LINES if is_much else _MANY_CODE_LINES)
        if self._kind == "fence":
            return True
        if self._kind == "table_open":
            is_full = len(self._lines) + len(self._opening) > PIECE_LINES + 2
            return is_full or not first or first in _FIRST_OF_BLOCKS
        if self._kind == "code_block":
            return bool(first) and not line.startswith("    ")
        if self._kind == _NOTHING:
            if not first:
                return False
            self._kind = ""
        is_in_container = self._kind in CONTAINERS
        if not first:
            return not is_in_container and len(self._lines) > 1
        if first in _FIRST_OF_BLOCKS or first in "|:":
            return True
        if is_in_container:
            return self._leaf != "paragraph_open" or not self._lines[-2].strip(" \t\n")
        return not self._kind and line.startswith(("    ", "\t"))  # it may begin indented code

    def _settle(self, *, at_end: bool) -> None:
        """Parse the open part and settle what no later text can change."""
        opening = self._opening
        lines = [*opening, *self._lines]
        fresh: dict[str, Any] = {}
        env: dict[str, Any] = {"references": ChainMap(fresh, self._references)}
        blocks = list(_top_level(parse_blocks("".join(lines), env)))
        self._kind, self._leaf, self._fence = "" if blocks else _NOTHING, "", None
        for block, following in zip_longest(blocks, blocks[1:]):
            for piece in complete_items(block, self._continuation):
                self._add_piece(piece, lines, env)
            rest = last_item(block)
            end: int | None = len(lines)
            if following is not None:
                end = first_line(following[0])
            elif not at_end:
                end = _closed_at(block, lines)
            if end is not None:
                self._add_piece(Piece(rest, end, None), lines, env)
                continue
            self._kind, self._leaf = block[0].type, _leaf(block)
            self._fence = open_fence(rest, lines) if self._leaf == "fence" else None
            found = split(rest, lines, self._continuation, env)
            if found is None and len(rest) > MANY_TOKENS:
                found = Piece(rest, len(lines), None)
            if found is not None:
                self._add_piece(found, lines, env)
            if self._fence is not None:
                first = found.end if found and found.rest and found.rest.has_leaf else self._fence.first
                first += len(self._lines) - len(lines) + len(self._opening)
                self._fence = self._fence._replace(first=first)
        if at_end and self._lines:  # what is left is blank lines or definitions
            self._add_piece(Piece((), len(lines), None), lines, env)
        for label, reference in fresh.items():
            if reference["map"][1] <= len(lines) - len(self._lines):
                self._references.setdefault(label, reference)

    def _add_piece(self, piece: Piece, lines: Sequence[str], env: MutableMapping[str, Any]) -> None:
        """Settle the first lines of the open part as a block; `lines` has the opening before them."""
        source = lines[len(lines) - len(self._lines) : piece.end]
        raw = "".join(self._raw[: len(source)])
        del self._raw[: len(source)], self._lines[: len(source)]
        self._cost -= _cost(source)
        self._offset += len(raw)
        self._budget.earn(raw)
        html = self._html(piece.tokens, source, env) if piece.tokens else ""
        self._budget.spend(html)
        self.blocks.append(Block(html, self._offset))
        self._continuation = piece.rest

    def _html(self, block: Sequence[Token], lines: Sequence[str], env: MutableMapping[str, Any]) -> str:
        """The HTML of the tokens of a piece, or of its lines if that would be beyond the budget."""
        prepare_tables(block, env)
        tokens = self._continuation.mark(block) if self._continuation else list(block)
        if tokens is None:
            return _as_lines(lines, {}, self._budget.room)
        attributes = self._attributes(tokens)
        if attributes:
            tokens[0] = copied(tokens[0])
            tokens[0].attrs |= attributes
        html = render(tokens, env, self._budget.room)
        return html if html is not None else _as_lines(lines, attributes, self._budget.room)

    def _attributes(self, piece: Sequence[Token]) -> dict[str, str]:
        """The direction and language of a piece. All pieces of a block have the direction of the first one that has
        any.
        """
        text = "".join(token.content for token in piece if token.type == "inline")
        if self._continuation is None or self._is_rtl is None:
            self._is_rtl = is_right_to_left(text)
        language = east_asian_language(text, self._language)
        self._language = language or self._language
        return ({"dir": "rtl"} if self._is_rtl else {}) | ({"lang": language} if language else {})


_NOTHING = "nothing"  # the kind of an open part of blank lines and definitions

_FIRST_OF_BLOCKS = "#`~>-+*_=0123456789"
"""The characters with which a line begins that can interrupt a paragraph or end it; besides, "|" and ":" begin the
second line of a table."""


def _cost(lines: Sequence[str]) -> int:
    return _LINE * len(lines) + sum(map(len, lines))


def _without_line_ends(line: str) -> str:
    """Return a line without the characters that would make the library's line numbers differ from ours."""
    end = "\n" if line.endswith("\n") else ""
    return line.removesuffix("\n").removesuffix("\r").replace("\r", " ").replace("\0", "\ufffd") + end


def _top_level(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the tokens of each block that is in no other."""
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[start : index + 1]
            start = index + 1


def _leaf(block: Sequence[Token]) -> str:
    """The type of the last block inside a block."""
    return next(token.type for token in reversed(block) if token.nesting >= 0 and token.type != "inline")


def _closed_at(block: Sequence[Token], lines: Sequence[str]) -> int | None:
    """The line at which the last block ends, if it is complete although no other block follows."""
    first = block[0]
    if first.map is None:
        return None
    if first.type in ("paragraph_open", "table_open"):
        return len(lines) if not lines[-1].strip(" \t\n") else None
    # After these a link definition may have begun, for which there is no token.
    is_closed = first.type in ("heading_open", "hr") or (first.type == "fence" and is_closed_fence(first))
    return first.map[1] if is_closed else None


def _as_lines(lines: Sequence[str], attributes: Mapping[str, str], room: int) -> str:
    """The lines as they were written, one below the other, as HTML; without the attributes if that would have more
    than `room` bytes.

    A line end becomes 7 bytes and any other character at most 5 for each of its own, so there is always room.
    """
    text = escape("".join(lines).strip("\n"), quote=False).replace("\n", "<br />\n")
    opening = "".join(f' {name}="{value}"' for name, value in attributes.items())
    html = f"<p{opening}>{text}</p>"
    return html if size(html) <= room else f"<p>{text}</p>"
