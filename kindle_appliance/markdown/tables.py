"""Tables that are too wide for a screen: their rows are stacked, with a label on each cell. No I/O.

What old browsers cannot work out is written on the elements: the alignment of a cell as a class, and the column
heading of each cell (`data-label`). Tables with many columns start with the class "stacked".
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from typing import Any

from markdown_it.token import Token

from .library import inline_text

_DELIMITERS = {"": "-", "text-align:left": ":-", "text-align:center": ":-:", "text-align:right": "-:"}

_MANY_COLUMNS = 5
"""The rows of a table with at least so many columns are stacked, until a script has measured that the columns fit
side by side."""

_LABEL_CHARACTERS = 40
"""The part of a column's heading that is repeated beside each cell: with many short rows, a long heading would make
a huge page."""


def prepare_tables(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> None:
    """Align the cells of tables by class, and label them with their columns' headings, for stacked rows; the first
    cell is its row's own heading.
    """
    if not any(token.type == "table_open" for token in tokens):
        return
    table = tokens[0]
    labels: list[str] = []
    column = 0
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            table, labels = token, []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            labels.append(_label(content.content, env))
            if len(labels) == _MANY_COLUMNS:
                table.attrJoin("class", "stacked")
        elif token.type == "td_open":
            if column and content.content and labels[column]:
                token.attrSet("data-label", labels[column])
            column += 1
        if "style" in token.attrs:
            token.attrSet("class", str(token.attrs.pop("style")).removeprefix("text-align:"))


def _label(heading: str, env: MutableMapping[str, Any]) -> str:
    return inline_text(heading, env)[:_LABEL_CHARACTERS].strip()


def short_head(table: Sequence[Token], env: MutableMapping[str, Any]) -> tuple[str, str]:
    """Two lines that begin a table with the columns and labels of this one, however long its head is."""
    row, delimiters = "|", "|"
    for token, content in pairwise(table):
        if token.type == "th_open":
            row += re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _label(content.content, env)) + " |"
            delimiters += _DELIMITERS[str(token.attrs.get("style", ""))] + "|"
    return row + "\n", delimiters + "\n"
