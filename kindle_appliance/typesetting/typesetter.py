"""Turns a model's Markdown, as it grows, into settled HTML blocks. No I/O.

A block is *settled* when no later text can change it. It is rendered once, with raw HTML disabled, and never
changed again, so that the text on the reader's screen does not move. The Markdown library decides where a block
ends: it parses the *open part*, which is the text that has not settled, and every top-level block but the last
settles, and of the last one what can no longer change (`pieces.py`).

What has not settled is the *tail*. A copy of the typesetter ends there and sets it, with what is not clear yet held
back (`tail.py`); the blocks do not depend on whether or when that happens.

The direction and the language are written on each block, because old browsers cannot work them out (`script.py`).

All decisions depend on the text only, not on how it arrives. So any chunking gives the same blocks and the same
offsets, also when an answer is typeset again after a restart. The open part is parsed when a line has come that may
settle something, if the text that has come since the last times pays for it (`_PAID`), and when its last paragraph
has become long enough to be cut, also inside a line (`cuts.py`): so the cost is linear in the length of the text.
An open fence is not parsed at all (`fence.py`).

Five differences from rendering the whole text at once are known and accepted. A link reference that is defined
further down stays unresolved. A list item does not know whether its list will be loose; the style sheet makes tight
and loose lists look alike. A paragraph of thousands of characters is cut, and with it emphasis that goes on for
hundreds (`cuts.py`); a heading or cell of such a length is parsed in parts (`markdown.py`). A table with thousands
of empty cells ends (`pieces.py`). A text whose HTML would go beyond its budget is set more plainly, at last as its
lines (`budget.py`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from copy import copy
from itertools import zip_longest
from typing import Any, NamedTuple

from markdown_it.token import Token

from ..markdown.budget import Budget, as_lines
from ..markdown.formula_rules import GROWING, MAX_DISPLAY, OPEN_FORMULA, may_end_formula
from ..markdown.headings import as_heading, is_heading
from ..markdown.labels import set_labels
from ..markdown.library import parse_blocks, render
from ..markdown.tables import prepare_tables
from ..markdown.tail import OPEN, LastTail, has_same_words, upto_last_word, without_last_marks
from .cuts import CONTEXT, Cuts
from .fence import OpenFence, fence_begun_by
from .pieces import (
    CONTAINERS,
    MANY_TOKENS,
    PIECE_LINES,
    Continuation,
    Piece,
    closed_at,
    complete_items,
    copied,
    cut,
    first_line,
    last_item,
    leaf_type,
    open_fence,
    open_paragraph,
    split,
    top_level,
)
from .resumption import Opened, beginning
from .script import Script

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
    """Typesets one answer. `blocks` holds the blocks that have settled so far. `opened`: what was open where the
    answer broke off with which this one goes on.
    """

    def __init__(self, opened: Opened | None = None) -> None:
        self._opened = opened  # until the first characters, which are kept, tell whether the text begins inside it
        self._first = ""
        self.blocks: list[Block] = []
        self._partial: list[str] = []  # the incomplete line
        self._raw: list[str] = []  # the complete lines of the open part
        self._lines: list[str] = []  # the same as the library gets them
        self._cost = 0  # of parsing the open part
        self._debt = 0  # what has been parsed and not been paid for
        self._kind = ""  # the type of the last block of the open part when it was last parsed; empty: none
        self._leaf = ""  # the type of the last block inside it
        self._fence: OpenFence | None = None  # a fence that is open at the end of the open part
        self._cuts = Cuts()  # of the paragraph at the end of the open part
        self._length = 0  # of the open part, in characters, with the incomplete line
        self._offset = 0  # the position in the raw text where the open part begins
        self._continuation: Continuation | None = None
        self._script = Script()
        self._references: dict[str, Any] = {}  # the link reference definitions that have settled
        self._budget = Budget()
        self._is_tail = False  # whether the text may go on where it is closed
        self._tail = LastTail()

    def feed(self, text: str) -> list[Block]:
        """Take the next chunk of the text and return the blocks that it settles (often none)."""
        count = len(self.blocks)
        if self._opened is not None:
            text = self._begin(text, is_all=False)
        start = 0
        while start < len(text):
            # Only "\n" ends a line: splitlines() would also split at U+2028, form feeds and others.
            end = text.find("\n", start) + 1 or len(text)
            self._take(text[start:end])
            start = end
        return self.blocks[count:]

    def close(self, *, is_broken_off: bool = False) -> list[Block]:
        """End the text and return the blocks of the open part; the last one ends where the text ends. Where that
        `is_broken_off`, open marks are closed, as far as no word is lost by it."""
        count = len(self.blocks)
        if self._opened is not None:
            self.feed(self._begin("", is_all=True))
        if self._partial:
            self._add_line("".join(self._partial))
            self._partial.clear()
        if self._raw:
            closed = self._broken_off() if is_broken_off and not self._fence else []
            self._settle(at_end=True)
            if closed and closed[-1].upto == self._offset and has_same_words(closed[-1].html, self.blocks[-1].html):
                self.blocks[-1] = closed[-1]
        return self.blocks[count:]

    def tail(self) -> str:
        """The provisional HTML of what has not settled, up to the last word. Nothing that settles depends on it."""
        if self._opened is not None:  # it is not known yet how the text begins
            return ""
        partial = upto_last_word("".join(self._partial))
        if self._tail.is_due(self._offset, self._cost + len(partial)):
            blocks = self._ahead(partial).close()
            shown = [block.html for block in blocks if block.html]
            self._tail.html = "".join(shown[:-1] if shown and is_heading(shown[-1]) else shown)
        return self._tail.html

    def _broken_off(self) -> list[Block]:
        """The blocks of the open part, with the marks closed that are open at its end."""
        ahead = self._ahead()
        ahead._lines[-1] = without_last_marks(ahead._lines[-1])
        return ahead.close()

    def _ahead(self, partial: str = "") -> Typesetter:
        """A copy for which the text goes on behind this incomplete line."""
        ahead = copy(self)
        ahead._is_tail = True
        ahead._cuts, ahead._script = Cuts(), copy(self._script)
        ahead.blocks, ahead._raw, ahead._lines = [], self._raw.copy(), self._lines.copy()
        ahead._budget, ahead._references = copy(self._budget), self._references.copy()
        ahead._partial = [partial] if partial else []
        return ahead

    def _begin(self, text: str, *, is_all: bool) -> str:
        """Take the first characters of a text that goes on with another. Returns those that are to be set now."""
        self._first += text
        begun = beginning(self._first, self._opened, is_all=is_all) if self._opened else None
        if begun is None:
            return ""
        skipped, text = self._first[: begun.skipped], self._first[begun.skipped :]
        self._opened, self._first = None, ""
        if skipped:
            self._offset = len(skipped)
            self._budget.earn(skipped)
            self.blocks.append(Block("", self._offset))
        if begun.inside:
            self._fence = begun.inside.fence
            self._kind = "fence" if self._fence else "table_open"
            self._continuation = begun.inside.continuation
        return text

    def _take(self, text: str) -> None:
        """Take a part of a line, with its end if it has come."""
        begin = 0
        while self._length + len(text) > self._cuts.first and self._may_be_cut(text):
            end = self._cuts.find(text, self._length, self._context(), begin)
            if end is None:
                break
            is_cut = self._cut(text[:end])
            text, begin = (text[end:], 0) if is_cut else (text, end + 1)
        self._partial.append(text)
        self._length += len(text)
        if text.endswith("\n"):
            line = "".join(self._partial)
            self._partial.clear()
            self._take_line(line)

    def _may_be_cut(self, text: str) -> bool:
        """Whether this text, of the next line, may be one of a paragraph."""
        is_row = self._kind == "table_open" and bool(self._lines) and "|" in self._lines[-1]
        is_blank = self._kind == _NOTHING and text == "\n" and not self._partial
        return self._fence is None and not is_row and not is_blank

    def _context(self) -> str:
        """The last characters before the next ones."""
        before = (*(line[-CONTEXT:] for line in self._raw[-CONTEXT:]), *self._partial[-CONTEXT:])
        return "".join(before)[-CONTEXT:]

    def _cut(self, text: str) -> bool:
        """Settle all up to the end of this text, if that is a place where a paragraph is cut."""
        partial, end = "".join((*self._partial, text)), self._length + len(text)
        if not self._cuts.may_be(partial, self._lines[-1] if self._lines else "", end):
            return False
        lines = [*self._opening, *self._lines, *([self._as_line(partial)] if partial else [])]
        parsed = self._parse(lines)
        found = open_paragraph(parsed.blocks[-1], lines) if parsed.blocks else None
        is_clear = found is not None and cut(parsed.blocks[-1], lines, self._continuation, is_new=False) is not None
        if found is None or not is_clear:
            if parsed.blocks or partial or not self._settle_definitions(lines, parsed):
                self._debt += self._cost if self._cuts.refuse(end) else 0
            return False
        start = sum(map(len, self._raw[: max(0, found[0] - len(self._opening))]))
        if not self._cuts.begins_at(start, found[1], end):
            return False
        self._length = end
        self._partial.clear()
        if partial:
            self._add_line(partial)
        self._settle_blocks(lines, parsed, is_cut=True)
        return True

    def _settle_definitions(self, lines: Sequence[str], parsed: _Parsed) -> bool:
        """Settle the definitions of links of which the open part consists, but the last: its title may follow."""
        begins = [each["map"][0] for each in (*parsed.fresh.values(), *parsed.env.get("duplicate_refs", ()))]
        end = max(begins, default=0)
        if end:
            self._add_piece(Piece((), end, None), lines, parsed.env)
            self._remember(parsed.fresh, end)
        return end > 0

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
        line = self._as_line(raw)
        self._raw.append(raw)
        self._lines.append(line)
        cost = _LINE + len(line)
        self._cost += cost
        self._debt = max(0, self._debt - _LINE - _PAID * len(line)) if self._debt else 0
        return line

    def _as_line(self, raw: str) -> str:
        """The next line, as the library gets it."""
        line = _without_line_ends(raw) if "\r" in raw or "\0" in raw else raw
        return line if self._lines or self._continuation is None else self._continuation.start + line

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
        if self._leaf == OPEN_FORMULA:
            return may_end_formula(line) or self._cost > MAX_DISPLAY
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
        if first in _FIRST_OF_BLOCKS or first in "|:" or line.lstrip(" \t").startswith("[^"):
            return True
        if is_in_container:
            return self._leaf != "paragraph_open" or not "".join(self._lines[-2:-1]).strip(" \t\n")
        return not self._kind and line.startswith(("    ", "\t"))  # it may begin indented code

    def _settle(self, *, at_end: bool) -> None:
        """Parse the open part and settle what no later text can change."""
        lines = [*self._opening, *self._lines]
        self._settle_blocks(lines, self._parse(lines, at_end=at_end), at_end=at_end)

    def _parse(self, lines: Sequence[str], *, at_end: bool = False) -> _Parsed:
        fresh: dict[str, Any] = {}
        env: dict[str, Any] = {
            "references": ChainMap(fresh, self._references),
            OPEN: self._is_tail,
            GROWING: not at_end,
        }
        return _Parsed(list(top_level(parse_blocks("".join(lines), env))), env, fresh)

    def _settle_blocks(
        self, lines: Sequence[str], parsed: _Parsed, *, at_end: bool = False, is_cut: bool = False
    ) -> None:
        blocks, env, fresh = parsed
        self._kind, self._leaf, self._fence = "" if blocks else _NOTHING, "", None
        for block, following in zip_longest(blocks, blocks[1:]):
            for piece in complete_items(block, self._continuation):
                self._add_piece(piece, lines, env)
            rest = last_item(block)
            end: int | None = len(lines)
            if following is not None:
                end = first_line(following[0])
            elif not at_end:
                end = closed_at(block, lines)
            if end is not None:
                self._add_piece(Piece(rest, end, None), lines, env)
                continue
            self._kind, self._leaf = block[0].type, leaf_type(block)
            self._fence = open_fence(rest, lines) if self._leaf == "fence" else None
            if is_cut:
                found = cut(rest, lines, self._continuation, is_new=self._cuts.is_sentence)
            else:
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
        settled = len(lines) - len(self._lines)
        if self._fence is not None:  # what stands before it is complete, and its code settles without a parse
            settled = max(settled, first_line(blocks[-1][0]))
        self._remember(fresh, settled)

    def _remember(self, definitions: Mapping[str, Any], settled: int) -> None:
        """Keep the definitions of links in the first lines, which have settled."""
        for label, definition in definitions.items():
            if definition["map"][1] <= settled:
                self._references.setdefault(label, definition)

    def _add_piece(self, piece: Piece, lines: Sequence[str], env: MutableMapping[str, Any]) -> None:
        """Settle the first lines of the open part as a block; `lines` has the opening before them."""
        source = lines[len(lines) - len(self._lines) : piece.end]
        if not source:  # nothing is left of it: it ended where a paragraph in it was cut
            self._continuation = piece.rest
            return
        raw = "".join(self._raw[: len(source)])
        del self._raw[: len(source)], self._lines[: len(source)]
        self._cost -= _cost(source)
        self._offset += len(raw)
        self._length -= len(raw)
        self._cuts.settle(len(raw))
        self._budget.earn(raw)
        html = self._html(piece.tokens, source, env) if piece.tokens else ""
        self._budget.spend(html)
        self.blocks.append(Block(html, self._offset))
        self._continuation = piece.rest

    def _html(self, block: Sequence[Token], lines: Sequence[str], env: MutableMapping[str, Any]) -> str:
        """The HTML of the tokens of a piece, or of its lines if that would be beyond the budget."""
        prepare_tables(block, env)
        tokens = self._continuation.mark(block) if self._continuation else list(block)
        if self._continuation:
            lines = [lines[0].removeprefix(self._continuation.start), *lines[1:]]
        if not tokens:
            return "" if tokens is not None else as_lines(lines, {}, self._budget.room)
        set_labels(tokens, is_open=self._is_tail)
        attributes = self._script.attributes(tokens, self._continuation)
        if attributes:
            tokens[0] = copied(tokens[0])
            tokens[0].attrs |= attributes
        html = render(tokens, env, self._budget.room)
        if html is None:
            return as_lines(lines, attributes, self._budget.room)
        return as_heading(html) if tokens[0].type == "paragraph_open" else html


class _Parsed(NamedTuple):
    """The blocks of the open part, the library's environment, and in it the definitions that are new."""

    blocks: list[Sequence[Token]]
    env: dict[str, Any]
    fresh: dict[str, Any]


_NOTHING = "nothing"  # the kind of an open part of blank lines and definitions

_FIRST_OF_BLOCKS = "#`~>-+*_$\\0123456789"
"""The characters with which a line begins that can interrupt a paragraph or end it; besides, "|" and ":" begin the
second line of a table, ":" a definition, "[^" a footnote."""


def _cost(lines: Sequence[str]) -> int:
    return _LINE * len(lines) + sum(map(len, lines))


def _without_line_ends(line: str) -> str:
    """Return a line without the characters that would make the library's line numbers differ from ours."""
    end = "\n" if line.endswith("\n") else ""
    return line.removesuffix("\n").removesuffix("\r").replace("\r", " ").replace("\0", "\ufffd") + end
