"""The cells of a table's rows that the library drops: those beyond the last column. No I/O.

They stand in the last cell, each on a line of its own: a column without a heading would make all others narrow, and
those of further pieces of the table would be no match. Often there are too many only because of a bar in a code.
"""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit
from markdown_it.token import Token


def keep_all_cells(state: StateBlock, first: int) -> None:
    """Put back the cells that are missing in the table whose tokens begin at index `first`."""
    tokens = state.tokens[first:]
    columns = sum(token.type == "th_open" for token in tokens)
    row, contents = tokens[0], list[Token]()
    for token in tokens:
        if token.type == "tr_open":
            row, contents = token, []
        elif token.type == "inline":
            contents.append(token)
        elif token.type == "tr_close" and row.map is not None:
            line = row.map[0]
            text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip(" \t")
            if text.count("|") + 1 - text.startswith("|") - text.endswith("|") > columns:
                _fill(contents, escapedSplit(text))


def _fill(contents: Sequence[Token], cells: Sequence[str]) -> None:
    cells = cells[not cells[0].strip() : len(cells) - (not cells[-1].strip())]
    surplus = len(cells) - len(contents)
    if surplus <= 0:
        return
    joined: list[list[str]] = []
    is_in_code = False
    for cell in cells:
        if is_in_code and surplus:
            joined[-1].append(cell)
            surplus -= 1
        else:
            joined.append([cell])
            is_in_code = False
        is_in_code ^= cell.count("`") % 2 == 1
    texts = ["|".join(parts).strip() for parts in joined]
    for content, text in zip(contents, texts, strict=False):
        content.content = text
    contents[-1].content = "\n".join(filter(None, texts[len(contents) - 1 :]))
