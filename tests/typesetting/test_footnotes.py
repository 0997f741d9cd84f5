"""Footnotes: superscripts at once, and small paragraphs where the notes arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import Look, html_of, pieces, settled, texts, typeset


def note(label: str, text: str) -> str:
    return f'<p class="footnote"><sup>{label}</sup> {text}</p>'


def test_a_reference_is_a_superscript_with_its_label_although_no_note_has_come() -> None:
    assert settled("A claim.[^1] Another[^note]!\n\n") == [
        "<p>A claim.<sup>1</sup> Another<sup>note</sup>!</p>",
    ]
    assert html_of("[^1][^2] [^3]") == ["<p><sup>1</sup><sup>, 2</sup> <sup>3</sup></p>"]
    assert html_of("a **a[^é]**") == ["<p>a <strong>a<sup>é</sup></strong></p>"]
    assert "<a " in html_of("[a[^1] b](http://a.example)")[0]
    assert html_of("|a[^1]|b|\n|-|-|\n|c|d[^<]|")[0].count("<sup>") == 2


@pytest.mark.parametrize("text", ["`[^1]`", "\\[^1]", "[^ 1]", "[^]", "[^a b]", "[ ^1]", "[^" + "a" * 101 + "]"])
def test_all_else_is_no_reference(text: str) -> None:
    assert "<sup>" not in html_of(text)[0]


def test_a_long_label_is_cut() -> None:
    html = html_of(f"a[^{'b' * 100}]\n\n[^{'b' * 100}]: c")
    assert html == [f"<p>a<sup>{'b' * 19}…</sup></p>", note("b" * 19 + "…", "c")]


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("[^1]: A *note*.\n\n", [note("1", "A <em>note</em>.")]),
        ("[^1]: one\n[^2]: two\n[^3]: three\n", [note("1", "one"), note("2", "two"), note("3", "three")]),
        (
            "[^a]: Second note\n    with two lines.\nand a third\n",
            [note("a", "Second note|with two lines.|and a third")],
        ),
        ("[^1]:\n    text", [note("1", "text")]),
        ("[^1]: http://a.example\n", None),
        ("a\n[^1]: b\n", ["<p>a</p>", note("1", "b")]),
        ("[^1]: a\n# b\n", [note("1", "a"), '<h1 class="heading" aria-level="2">b</h1>']),
        ("[^1]: a\n- b\n", [note("1", "a"), "<ul>\n<li>b</li>\n</ul>"]),
        ("    [^1]: a\n", ["<pre><code>[^1]: a\n</code></pre>"]),
        ("[^&<]: a\n", [note("&amp;&lt;", "a")]),
        ("[^١]: هذا\n", ['<p class="footnote" dir="rtl"><sup>١</sup> هذا</p>']),
    ],
)
def test_a_note_is_a_small_paragraph_where_it_arrives(text: str, notes: list[str] | None) -> None:
    found = html_of(text)
    if notes is None:
        assert found[0].startswith('<p class="footnote"><sup>1</sup> <a href="http://a.example"')
    else:
        assert [html.replace("<br />\n", "|") for html in found] == notes


def test_notes_in_items_and_quotations_stay_there() -> None:
    assert "\n".join(html_of("> a[^1]\n> [^1]: b\n> [^2]: c\n")).count(note("1", "b")) == 1
    look = Look("".join(html_of("- a\n\n  [^1]: b\n- c\n")))
    assert [seen[0] for seen in look.seen if seen[0]].count("ul") == 3
    assert look.text.split() == ["a", "1", "b", "c"]


def test_a_note_settles_with_the_line_behind_it_and_a_long_one_ends() -> None:
    assert settled("[^1]: a\n") == []
    assert settled("[^1]: a\n[^2]: b\n") == [note("1", "a")]
    assert settled("[^1]: a\n\n") == [note("1", "a")]
    html = html_of("[^1]: a\n" + "some words in a line\n" * 1000)
    assert len(html) > 1 and len(html[0]) < 4000 and html[1].startswith('<p class="verse">some')


def test_the_shared_file_has_its_notes(shared: Path) -> None:
    html = "\n".join(html_of((shared / "cases" / "markdown" / "gfm.md").read_text("utf-8")))
    assert "A claim.<sup>1</sup> Another.<sup>note</sup>" in html
    assert note("1", "First note.") in html
    assert note("note", "Second note<br />\nwith two lines.") in html


_LINES = [
    "a[^1]",
    "[^1]: b",
    "[^long-label]: c",
    "    d",
    "> [^2]: e",
    "- [^3]: f",
    "  [^4]: g",
    "# h",
    "[^5]:",
    "",
]


@settings(max_examples=100, deadline=None)
@given(texts(_LINES, "\n"), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_any_chunking_gives_the_same_notes(text: str, sizes: list[int]) -> None:
    assert typeset([text]) == typeset(pieces(text, sizes))
