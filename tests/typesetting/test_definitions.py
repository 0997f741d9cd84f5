"""Definition lists: terms, and what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import Look, at_once, html_of, joined, pieces, settled, texts, typeset


def flat(text: str) -> str:
    return "|".join(html.replace("<br />\n", "/").replace("\n", "") for html in html_of(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Term\n: its *definition*\n", "<dl><dt>Term</dt><dd>its <em>definition</em></dd></dl>"),
        ("**Term**\n:   spaces\n", "<dl><dt><strong>Term</strong></dt><dd>spaces</dd></dl>"),
        ("a\n: b\n: c\n", "<dl><dt>a</dt><dd>b</dd><dd>c</dd></dl>"),
        ("a\n: b\nlazy\n  indented\n: c\n", "<dl><dt>a</dt><dd>b/lazy/indented</dd><dd>c</dd></dl>"),
        ("a\n: b\n\nc\n: d\n", "<dl><dt>a</dt><dd>b</dd></dl>|<dl><dt>c</dt><dd>d</dd></dl>"),
        ("a\n: b\nc\n: d\n", "<dl><dt>a</dt><dd>b</dd></dl>|<dl><dt>c</dt><dd>d</dd></dl>"),
        ("a\n: b\n\n: c\n", "<dl><dt>a</dt><dd>b</dd></dl>|<dl><dd>c</dd></dl>"),
        ("a\nb\n: c\n", "<p>a</p>|<dl><dt>b</dt><dd>c</dd></dl>"),
        ("a\n: b\n# c\n", '<dl><dt>a</dt><dd>b</dd></dl>|<h1 class="heading" aria-level="2">c</h1>'),
        ("a\n: b\n- c\n", "<dl><dt>a</dt><dd>b</dd></dl>|<ul><li>c</li></ul>"),
        ("> a\n> : b\n", "<blockquote><dl><dt>a</dt><dd>b</dd></dl></blockquote>"),
        ("- a\n  : b\n", "<ul><li><dl><dt>a</dt><dd>b</dd></dl></li></ul>"),
        ("ف\n: ق\n", '<dl dir="rtl"><dt>ف</dt><dd>ق</dd></dl>'),
    ],
)
def test_terms_and_their_definitions_are_set(text: str, html: str) -> None:
    assert flat(text) == html


@pytest.mark.parametrize(
    "text", ["a : b", "a\n:b", "a\n:", ":smile: a", "a\n    : b", "a\n\n    : b", "```\na\n: b\n```"]
)
def test_other_colons_stay(text: str) -> None:
    assert "<dl" not in flat(text)
    assert ":" in Look("".join(html_of(text))).text


def test_a_table_is_no_definition() -> None:
    assert "<table>" in flat("a|b\n:-|-:\n: c|d\n") and "<dl" not in flat("a|b\n:-|-:\n: c|d\n")


def test_a_list_settles_behind_its_blank_line_and_a_long_one_in_pieces() -> None:
    assert settled("a\n: b\n") == []
    assert settled("a\n: b\n\n") == ["<dl>\n<dt>a</dt>\n<dd>b</dd>\n</dl>"]
    blocks = settled("a\n" + ": some words in a line\n" * 1000)
    assert len(blocks) > 8 and all(len(html) < 6000 for html in blocks)
    assert blocks[0].startswith("<dl>\n<dt>") and not any("<dt>" in html for html in blocks[1:])
    lines = html_of("a\n: b\n" + "some words in a line\n" * 1000)
    assert len(lines[0]) < 4000 and lines[1].startswith('<p class="verse">some')


def test_the_shared_file_has_its_definition(shared: Path) -> None:
    html = flat((shared / "cases" / "markdown" / "gfm.md").read_text("utf-8"))
    assert "<dl><dt>Term</dt><dd>its definition</dd></dl>" in html


_LINES = ["a", ": b", "  : c", ":", "  d", "> e", "> : f", "- g", "  : h", "| i | j |", "|---|---|", "", "# k"]


@settings(max_examples=200, deadline=None)
@given(texts(_LINES), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_any_chunking_gives_the_same_definitions(text: str, sizes: list[int]) -> None:
    blocks = typeset([text])
    assert blocks == typeset(pieces(text, sizes))
    for block in blocks:
        Look(block.html)
    assert joined(text) == at_once(text)
