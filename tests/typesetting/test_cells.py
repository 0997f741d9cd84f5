"""Rows with more cells than the head of their table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import Look, at_once, html_of, joined, pieces, typeset

from kindle_appliance.typesetting.pieces import PIECE_LINES


def rows(text: str) -> list[list[str]]:
    html = "".join(html_of(text)).replace("<br />\n", "/")
    return [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("(?s)<tr>(.*?)</tr>", html)][1:]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("| 1 | 2 |", ["1", "2"]),
        ("| 1 | 2 | 3 |", ["1", "2/3"]),
        ("1|2|3", ["1", "2/3"]),
        ("1|2|", ["1", "2"]),
        ("|1|2||3| |", ["1", "2/3"]),
        ("| 1 | | 3 | *4* |", ["1", "3/<em>4</em>"]),
        ("| 1 | 2 \\| 3 |", ["1", "2 | 3"]),
        ("| 1 | 2 \\| 3 | 4 |", ["1", "2 | 3/4"]),
        ("| 1 | `2 | 3` |", ["1", "<code>2 | 3</code>"]),
        ("| `1 | 2` | 3 |", ["<code>1 | 2</code>", "3"]),
        ("| `1 | 2 | 3` | 4 |", ["<code>1 | 2 | 3</code>", "4"]),
        ("| `1 | 2 |", ["`1", "2"]),
        ("| `1 || 2` | 3 |", ["<code>1 || 2</code>", "3"]),
        ("| `1|2` | 3 |", ["<code>1|2</code>", "3"]),
        ("| 1 |", ["1", ""]),
    ],
)
def test_no_cell_of_a_row_is_lost(row: str, cells: list[str]) -> None:
    assert rows(f"| a | b |\n|---|---|\n{row}\n") == [cells]
    assert rows(f"> | a | b |\n> |---|---|\n> {row}\n") == [cells]
    assert rows(f"- | a | b |\n  |---|---|\n  {row}\n") == [cells]


def test_cells_are_kept_in_all_pieces_and_beside_labels() -> None:
    text = "| a | b |\n|---|---|\n" + "| 1 | 2 | 3 |\n" * PIECE_LINES * 3
    html = "".join(html_of(text))
    assert html.count('<td data-label="b">2<br />\n3</td>') == PIECE_LINES * 3
    stacked = html_of("|a|b|c|d|e|\n|-|-|-|-|-|\n|1|2|3|4|5|6|\n")[0]
    assert '<td data-label="e">5<br />\n6</td>' in stacked


@pytest.mark.parametrize("row", ["|1" * 500, "|" * 500 + "1", "|`1" * 500, "`|" * 500])
def test_rows_of_many_cells_stay_small(row: str) -> None:
    html = "".join(html_of(f"a|b\n-|-\n{row}\n"))
    assert len(html) < 12 * len(row) and Look(html).text.count("1") == row.count("1")


@settings(max_examples=100, deadline=None)
@given(st.text("|`\\ ab*\n>-", max_size=60), st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_any_rows_are_set_the_same_in_any_chunking(text: str, sizes: list[int]) -> None:
    text = "|a|b|\n|-|-|\n" + text
    blocks = typeset([text])
    assert blocks == typeset(pieces(text, sizes))
    assert joined(text) == at_once(text)
