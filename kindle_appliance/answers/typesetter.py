"""Turns a model's Markdown, as it grows, into settled HTML blocks. No I/O.

A block is *settled* when no later text can change it. It is rendered once, with raw HTML disabled, and never
changed again, so that the text on the reader's screen does not move. The Markdown library decides where a block
ends: after each line it parses the *open part*, which is the text that has not settled, and every top-level block
but the last settles. Three kinds of block can grow without limit and would delay their text; they settle in
pieces: lists by item, and by the blocks inside an item; fences and tables by `PIECE_LINES`. A piece that continues
the piece before it, and an item that continues the item before it, has the class "on".

The direction, and the language that selects East Asian glyphs, are written on each block, because old browsers
cannot work them out.

All decisions are made at line ends and depend on the text only. So any chunking gives the same blocks and the same
offsets, also when an answer is typeset again after a restart. A long open part is parsed only after it has grown by
a quarter, which keeps the cost linear.

Two differences from rendering the whole text at once are known and accepted. A link reference that is defined
further down stays unresolved. A list item does not know whether its list will be loose; the style sheet makes tight
and loose lists look alike.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from markdown_it.token import Token

from .markdown import label_cells, parse_blocks, render
from .writing import east_asian_language, is_right_to_left

PIECE_LINES = 16
"""The number of lines of a fence, or rows of a table, that settle together."""

_ALWAYS_PARSED = 400
"""Up to this number of characters, which most paragraphs have, the open part is parsed after every line. With 2,048
a text whose lines have one character each takes ten times as long."""

_GROWTH = 1.25
"""The factor by which a larger open part must have grown before it is parsed again."""


class Block(NamedTuple):
    """A settled block: its HTML, and the offset in the raw text, in characters, at which it ends."""

    html: str
    upto: int


@dataclass(frozen=True)
class _Continuation:
    """The block that the open part continues: its `opening` lines, which are put before the open part to parse it.

    For a list, `number` is the number of the first item in the open part. `in_item`: that item began in an earlier
    piece, and the opening is a placeholder for it. `in_inner`: a list inside that item began in an earlier piece,
    too; its next item has `inner_number`.
    """

    opening: tuple[str, ...] = ()
    number: int | None = None
    in_item: bool = False
    in_inner: bool = False
    inner_number: int | None = None


class Typesetter:
    """Typesets one answer. `blocks` holds the blocks that have settled so far."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._partial: list[str] = []  # the incomplete line
        self._lines: list[str] = []  # the complete lines of the open part
        self._size = 0  # the number of characters in those lines
        self._parsed_size = 0  # the size of the open part when it was last parsed
        self._kind = ""  # the type of its last block then
        self._offset = 0  # the position in the raw text where the open part begins
        self._continuation: _Continuation | None = None
        self._is_rtl: bool | None = None  # the direction of the last block; None before its first letter
        self._language: str | None = None  # the language of the last East Asian piece
        self._references: dict[str, Any] = {}  # the link reference definitions that have settled

    def feed(self, text: str) -> list[Block]:
        """Take the next chunk of the text and return the blocks that it settles (often none)."""
        count = len(self.blocks)
        start = 0
        # Only "\n" ends a line: splitlines() would also split at U+2028, form feeds and others.
        while (end := text.find("\n", start)) >= 0:
            self._partial.append(text[start : end + 1])
            self._take_line()
            start = end + 1
        if start < len(text):
            self._partial.append(text[start:])
        return self.blocks[count:]

    def close(self) -> list[Block]:
        """End the text and return the blocks of the open part. The last block ends where the text ends."""
        count = len(self.blocks)
        if self._partial:
            self._add_line()
        if self._lines:
            self._settle(at_end=True)
        return self.blocks[count:]

    def _take_line(self) -> None:
        self._add_line()
        has_grown = self._size <= _ALWAYS_PARSED or self._size >= self._parsed_size * _GROWTH
        if has_grown or _may_end(self._kind, self._lines[-1]):
            self._settle(at_end=False)
            self._parsed_size = self._size

    def _add_line(self) -> None:
        line = "".join(self._partial)
        self._partial.clear()
        self._lines.append(line)
        self._size += len(line)

    def _settle(self, *, at_end: bool) -> None:
        """Parse the open part and settle what no later text can change."""
        opening = self._continuation.opening if self._continuation else ()
        source = "".join(_without_line_ends(line) for line in (*opening, *self._lines))
        fresh: dict[str, Any] = {}
        env: MutableMapping[str, Any] = {"references": ChainMap(fresh, self._references)}
        blocks = list(_top_level(parse_blocks(source, env)))
        settling = _Settling(self, env, len(opening))
        for number, block in enumerate(blocks):
            begin = blocks[number + 1][0].map if number + 1 < len(blocks) else None
            if begin is not None:
                settling.settle_whole(block, begin[0])
            elif at_end:
                settling.settle_whole(block, len(opening) + len(self._lines))
            elif _is_closed(block, self._lines[-1]):
                # After a heading, a rule or a fence a link definition may have begun, for which there is no token.
                ends_blank = block[0].type in ("paragraph_open", "table_open")
                settling.settle_whole(block, len(opening) + len(self._lines) if ends_blank else _lines(block[0])[1])
            else:
                settling.settle_pieces(block, self._lines)
        self._kind = blocks[-1][0].type if blocks else ""
        if at_end and settling.settled_lines < len(self._lines):  # what is left is blank lines or definitions
            settling.add("", len(self._lines))
        self._advance(settling, fresh, len(opening))

    def _advance(self, settling: _Settling, fresh: dict[str, Any], opening: int) -> None:
        if not settling.settled_lines:
            return
        for label, reference in fresh.items():
            if reference["map"][1] - opening <= settling.settled_lines:
                self._references.setdefault(label, reference)
        del self._lines[: settling.settled_lines]
        self._size = sum(map(len, self._lines))
        self._continuation = settling.continuation


_LISTS = ("bullet_list_open", "ordered_list_open")


class _Settling:
    """Settles what it can of one parsed open part.

    The library's line numbers also count the opening lines of the continued block, which stand before the lines of
    the open part. `opening` is the number of opening lines.
    """

    def __init__(self, typesetter: Typesetter, env: MutableMapping[str, Any], opening: int) -> None:
        self.settled_lines = 0
        self.continuation = typesetter._continuation
        self._typesetter = typesetter
        self._env = env
        self._opening = opening

    def add(self, html: str, lines: int) -> None:
        """Settle the lines of the open part that stand before line `lines`, with `html` as their block."""
        raw = self._typesetter._lines[self.settled_lines : lines]
        self._typesetter._offset += sum(map(len, raw))
        self._typesetter.blocks.append(Block(html, self._typesetter._offset))
        self.settled_lines = lines

    def settle_whole(self, block: Sequence[Token], until: int) -> None:
        """Settle a complete block; the next one begins at the library's line `until`."""
        continued, self.continuation = self.continuation, None
        until = max(until - self._opening, 0)
        self.add(self._render(block, continued), until)

    def settle_pieces(self, block: Sequence[Token], lines: Sequence[str]) -> None:
        """Settle the pieces of the last block, which may still grow, that can no longer change."""
        first = block[0]
        if first.type in _LISTS:
            self._list_pieces(block, lines)
        elif first.type == "fence":
            self._fence_pieces(first, lines)
        elif first.type == "table_open":
            self._table_pieces(block, lines)

    def _list_pieces(self, block: Sequence[Token], lines: Sequence[str]) -> None:
        items = list(_children(block, "list_item_open"))
        number = _first_number(block[0], self.continuation.number if self.continuation else None)
        for item, following in pairwise(items):
            html = self._render([block[0], *item, block[-1]], self.continuation)
            number = None if number is None else number + 1
            self.continuation = _Continuation(number=number)
            self.add(html, _line(following[0]) - self._opening)
        self._item_pieces(block, items[-1], number, lines)

    def _item_pieces(
        self, block: Sequence[Token], item: Sequence[Token], number: int | None, lines: Sequence[str]
    ) -> None:
        """Settle the blocks inside the last item, but the last of them.

        If that last block is a list, its items settle, too, but the last of them.
        """
        continued = self.continuation if self.continuation and self.continuation.in_item else None
        opening = continued.opening if continued else _placeholder(lines[_line(item[0]) - self._opening])
        children = list(_top_level(item[1:-1], level=2))
        settled_count = 1 if continued else 0  # the placeholder, whose text has settled already
        if opening is None or len(children) <= settled_count:
            return
        last = children[-1]
        inner: list[Sequence[Token]] = []
        inner_number = None
        if last[0].type in _LISTS:
            inner = list(_children(last, "list_item_open", 3))
            is_continued = continued is not None and continued.in_inner and len(children) == settled_count + 1
            inner_number = _first_number(last[0], continued.inner_number if continued and is_continued else None)
        settled = [token for child in children[:-1] for token in child]
        if len(inner) > 1:
            settled += [last[0], *(token for each in inner[:-1] for token in each), last[-1]]
        elif len(children) == settled_count + 1:
            return
        html = self._render([block[0], item[0], *settled, item[-1], block[-1]], self.continuation)
        rest = inner[-1] if len(inner) > 1 else last
        if inner_number is not None:
            inner_number += len(inner) - 1
        self.continuation = _Continuation(opening, number, True, len(inner) > 1, inner_number)
        self.add(html, _line(rest[0]) - self._opening)

    def _fence_pieces(self, block: Token, lines: Sequence[str]) -> None:
        content = block.content.split("\n")[:-1]
        opening = self.continuation.opening if self.continuation else (lines[_line(block) - self._opening],)
        content_line = _line(block) + 1 - self._opening
        while len(content) > PIECE_LINES:
            piece = copy(block)
            piece.content = "\n".join(content[:PIECE_LINES]) + "\n"
            del content[:PIECE_LINES]
            content_line += PIECE_LINES
            html = self._render([piece], self.continuation)
            self.continuation = _Continuation(opening)
            self.add(html, content_line)

    def _table_pieces(self, block: Sequence[Token], lines: Sequence[str]) -> None:
        rows = [row for row in _children(block, "tr_open", 2) if _line(row[0]) >= _line(block[0]) + 2]
        at = _line(block[0]) - self._opening
        opening = self.continuation.opening if self.continuation else (lines[at], lines[at + 1])
        while len(rows) > PIECE_LINES:
            piece = [token for row in rows[:PIECE_LINES] for token in row]
            end = _line(rows[PIECE_LINES][0]) - self._opening
            del rows[:PIECE_LINES]
            body = next(i for i, token in enumerate(block) if token.type == "tbody_open")
            table_piece = [*block[: body + 1], *piece, *block[-2:]]
            html = self._render(table_piece, self.continuation)
            self.continuation = _Continuation(opening)
            self.add(html, end)

    def _render(self, block: Sequence[Token], continued: _Continuation | None) -> str:
        """Render a piece as HTML. All pieces of a block have the direction of the first one that has any."""
        label_cells(block, self._env)
        piece = _continuation_tokens(block, continued)
        text = "".join(token.content for token in piece if token.type == "inline")
        known_direction = self._typesetter._is_rtl if continued else None
        self._typesetter._is_rtl = is_rtl = is_right_to_left(text) if known_direction is None else known_direction
        language = east_asian_language(text, self._typesetter._language)
        self._typesetter._language = language or self._typesetter._language
        if is_rtl:
            piece[0].attrSet("dir", "rtl")
        if language:
            piece[0].attrSet("lang", language)
        return render(piece, self._env)


def _without_line_ends(line: str) -> str:
    """Return a line without the characters that would make the library's line numbers differ from ours."""
    end = "\n" if line.endswith("\n") else ""
    return line.removesuffix("\n").removesuffix("\r").replace("\r", " ").replace("\0", "\ufffd") + end


def _top_level(tokens: Sequence[Token], level: int = 0) -> Iterator[Sequence[Token]]:
    """Yield the tokens of each block at `level`."""
    start = 0
    for index, token in enumerate(tokens):
        if token.level == level and token.nesting <= 0:
            yield tokens[start : index + 1]
            start = index + 1


def _children(block: Sequence[Token], kind: str, level: int = 1) -> Iterator[Sequence[Token]]:
    """Yield the tokens of each block of type `kind` directly inside `block`."""
    start = 0
    for index, token in enumerate(block):
        if token.level != level:
            continue
        if token.type == kind:
            start = index
        elif token.nesting < 0 and block[start].type == kind:
            yield block[start : index + 1]


def _may_end(kind: str, line: str) -> bool:
    """Whether this line probably ends a block of this type, so that it can settle at once."""
    if kind == "fence":
        return line.lstrip().startswith(("```", "~~~"))
    return kind in ("paragraph_open", "table_open") and _is_blank(line)


def _is_blank(line: str) -> bool:
    return not line.strip(" \t\r\n")


def _is_closed(block: Sequence[Token], last_line: str) -> bool:
    """Whether the last block is complete, although no other block follows."""
    first = block[0]
    if first.type in ("heading_open", "hr"):
        return True
    if first.type in ("paragraph_open", "table_open"):
        return _is_blank(last_line)
    if first.type == "fence" and first.map:  # the closing line is counted in its map, not in its content
        return first.map[1] - first.map[0] - 1 > first.content.count("\n")
    return False


def _continuation_tokens(block: Sequence[Token], continued: _Continuation | None) -> list[Token]:
    """Return the tokens of a piece, marked as a continuation if its block began in an earlier piece.

    A continuation has no second table head, continues the numbers of a list, and has none of the tokens that come
    from the opening lines.
    """
    if continued is None:
        return list(block)
    rest = list(block[1:])
    if block[0].type == "table_open":
        rest = rest[next(i for i, token in enumerate(rest) if token.type == "thead_close") + 1 :]
    if continued.in_item:
        item, rest = rest[0], rest[4:]  # without the three tokens of the placeholder
        if continued.in_inner:
            rest[0] = _mark_continued(rest[0], continued.inner_number)
        rest.insert(0, _mark_continued(item, None))
    return [_mark_continued(block[0], continued.number), *rest]


def _mark_continued(token: Token, number: int | None) -> Token:
    token = copy(token)
    token.attrs = dict(token.attrs)
    token.attrJoin("class", "on")
    if number is not None:
        token.attrs["start"] = number
    return token


def _placeholder(line: str) -> tuple[str, str] | None:
    """Return lines that open an item like the one that begins with `line`; None if tabs indent it.

    CommonMark 0.31, 5.2: the content begins 1 to 4 spaces after the marker, or else one. The blank line after the
    placeholder lets any block follow: without it, a list that does not begin with 1 could not interrupt the "x".
    """
    match = re.match(r"( {0,3}(?:[-*+]|\d{1,9}[.)]))( {1,4}(?=[^ \t\n])|(?= {5}| *\n))", line)
    return (match[1] + (match[2] or " ") + "x\n", "\n") if match else None


def _first_number(opening: Token, continued_number: int | None) -> int | None:
    if opening.type != "ordered_list_open":
        return None
    return int(opening.attrs.get("start", 1)) if continued_number is None else continued_number


def _line(token: Token) -> int:
    return _lines(token)[0]


def _lines(token: Token) -> list[int]:
    if token.map is None:
        raise ValueError(f"the Markdown library gave no line numbers for {token.type}")
    return token.map
