"""The estimate of tokens, and the first sentences of a text within it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.upstream.tokens import estimate, whole_sentences


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("word", 2), ("x" * 35, 10), ("2026", 4), ("海水为什么是咸的？", 9), ("x² ≤ √2", 5), ("\ud800", 1)],
)
def test_digits_and_other_scripts_cost_a_token_a_character(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


TEXT = 'Be short. Write "plainly." Use 3.5 words, e.g. one! 用中文回答。不要用表格。 The end'


@pytest.mark.parametrize(
    ("most", "sentences"),
    [
        (100, TEXT),
        (estimate(TEXT) - 1, 'Be short. Write "plainly." Use 3.5 words, e.g. one! 用中文回答。不要用表格。'),
        (25, 'Be short. Write "plainly." Use 3.5 words, e.g. one! 用中文回答。'),
        (8, 'Be short. Write "plainly."'),
        (3, "Be short."),
        (2, ""),
    ],
)
def test_of_an_instruction_whole_sentences_are_kept(most: int, sentences: str) -> None:
    assert whole_sentences(TEXT, most) == sentences


@given(st.text(alphabet="ab1 海.。\n!", max_size=200), st.integers(0, 80))
def test_the_first_sentences_hold_their_budget(text: str, most: int) -> None:
    kept = whole_sentences(text, most)
    assert estimate(kept) <= most and text.startswith(kept)


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(text: str, more: str) -> None:
    assert estimate(text) <= estimate(text + more) <= estimate(text) + len(more)
