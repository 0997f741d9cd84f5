"""Definition lists: a line with a term, and below it lines that begin with a colon. No I/O.

    Term
    : its definition

Such a list has no limit, but each block of it has: what follows after a blank line, or after 2,000 characters, is a
list of its own. So a line that begins with a colon is a definition also where no term is above it.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

from .tail import paragraph_upto

_MARKER = re.compile(r":[ \t]+(?=[^\s])")

_LONG = 2000
"""A block ends with the line that makes it so long."""


def add_definitions(markdown: MarkdownIt) -> None:
    """Add the rule to a parser."""
    alt = ["paragraph", "reference", "blockquote"]
    markdown.block.ruler.before("paragraph", "definition", _definitions, {"alt": alt})


def _definitions(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    if silent:  # a definition without a term does not end a paragraph
        return _is_next_term(state, start, end)
    line = start
    if not _marks(state, start):
        line += 1
        if line >= end or not _marks(state, line):
            return False
    state.push("dl_open", "dl", 1).map = lines = [start, 0]
    if line > start:
        state.push("dt_open", "dt", 1).map = [start, line]
        content = state.push("inline", "", 0)
        content.map, content.children = [start, line], []
        content.content = state.getLines(start, line, state.blkIndent, False).strip()
        state.push("dt_close", "dt", -1)
    last = state.bMarks[start] + _LONG
    while line < end and _marks(state, line) and (line < start + 2 or state.bMarks[line] < last):
        _definition(state, line, end, last)
        line = state.line
    state.push("dl_close", "dl", -1)
    lines[1] = line
    return True


def _definition(state: StateBlock, start: int, end: int, last: int) -> None:
    """Parse a definition as a paragraph up to the next one, or up to the character at `last`."""
    line = start + 1
    while line < end and state.eMarks[line - 1] < last:
        if _marks(state, line) or _is_next_term(state, line, end):
            break
        line += 1
    tokens = paragraph_upto(state, start, line)
    if not tokens:
        return
    opening, content, closing = tokens
    opening.type, opening.tag, closing.type, closing.tag = "dd_open", "dd", "dd_close", "dd"
    content.content = content.content[1:].lstrip()


def _is_next_term(state: StateBlock, line: int, end: int) -> bool:
    """Whether a line is a term, and does not go on with what is above it."""
    is_apart = state.sCount[line] == state.blkIndent and not state.isEmpty(line)
    return is_apart and line + 1 < end and _marks(state, line + 1) and not _marks(state, line)


def _marks(state: StateBlock, line: int) -> bool:
    """Whether a line begins a definition."""
    start = state.bMarks[line] + state.tShift[line]
    if state.sCount[line] < state.blkIndent or state.src[start : start + 1] != ":" or state.is_code_block(line):
        return False
    return _MARKER.match(state.src, start, state.eMarks[line]) is not None
