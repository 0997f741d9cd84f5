"""Tables that are too wide for a screen: their rows are stacked, with a label on each cell. No I/O.

What old browsers cannot work out is written on the elements: the alignment of a cell as a class, and the column
heading of each cell (`data-label`). Tables with many columns or long words start with the class "stacked", which is
for browsers without script: a script measures what fits.
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
_WIDE = 36
"""Rows are stacked if there are so many columns, or if the longest words of all columns, each with a space, have
more characters than this: nearly as many as a line has at the size above the usual one."""

_LINK = re.compile(r"\]\((?:https?://)?([^/)\s]*)[^)\s]*\)")
_BREAK = re.compile(r"[\s*_~`\[\\]+|-(?=\w)|<br\b[^>]*>|[\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff\uff00-\uffef]")
"""A mark, which is not shown, or a place where a line may end, in a cell."""

_ONE_WORD = re.compile(r"(?=.*[\u2e80-\uffef])[^\s<]{1,6}\Z")
"""A cell in an East Asian script that stays on one line: browsers do not know its words."""

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
    words: list[int] = []  # the length of the longest of each column
    column = 0
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            table, labels, words = token, [], []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            labels.append(_label(content.content, env))
            words.append(_longest_word(content.content))
        elif token.type == "td_open":
            words[column] = max(words[column], _longest_word(content.content))
            if column and content.content and labels[column]:
                token.attrSet("data-label", labels[column])
            column += 1
        if content.type == "table_close" and (len(words) >= _MANY_COLUMNS or sum(words) + len(words) > _WIDE):
            table.attrJoin("class", "stacked")
        if "style" in token.attrs:
            token.attrSet("class", str(token.attrs.pop("style")).removeprefix("text-align:"))
        if token.type in ("th_open", "td_open") and _ONE_WORD.match(content.content):
            token.attrJoin("class", "word")


def _label(heading: str, env: MutableMapping[str, Any]) -> str:
    label = inline_text(heading, env).strip()
    if len(label) <= _LABEL_CHARACTERS:
        return label
    label = label[: _LABEL_CHARACTERS - 1]
    return (label.rpartition(" ")[0] or label).rstrip() + "…"


def _longest_word(cell: str) -> int:
    return max(map(len, _BREAK.split(_LINK.sub(r" \1 ", cell))))


def short_head(table: Sequence[Token], env: MutableMapping[str, Any]) -> tuple[str, str]:
    """Two lines that begin a table with the columns and labels of this one, however long its head is."""
    row, delimiters = "|", "|"
    for token, content in pairwise(table):
        if token.type == "th_open":
            row += re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _label(content.content, env)) + " |"
            delimiters += _DELIMITERS[str(token.attrs.get("style", ""))] + "|"
    return row + "\n", delimiters + "\n"
