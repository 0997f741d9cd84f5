"""The HTML that models write: line breaks, subscripts and superscripts; all other HTML stays text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_typesetter import Look, html_of, pieces, typeset


def line(text: str) -> str:
    """The HTML inside the only paragraph of a text."""
    (html,) = html_of(text)
    return html.removeprefix("<p>").removesuffix("</p>")


@pytest.mark.parametrize("tag", ["<br>", "<br/>", "<br />", "<BR>", "<Br  />", " <br> ", "<br>\n", " <br/> \n "])
def test_a_line_break_is_one_new_line(tag: str) -> None:
    assert line(f"one{tag}two") == "one<br />\ntwo"


@pytest.mark.parametrize("tag", ["sub", "sup", "SUB", "Sup"])
def test_subscripts_and_superscripts_are_set(tag: str) -> None:
    low = tag.lower()
    assert line(f"H<{tag}>2</{tag}>O") == f"H<{low}>2</{low}>O"
    assert line(f"y **x<{tag}>*n* + 1</{tag} >**") == f"y <strong>x<{low}><em>n</em> + 1</{low}></strong>"
    assert line(f"a<{tag}>b<{tag}>c</{tag}></{tag}>") == f"a<{low}>b<{low}>c</{low}></{low}>"


@pytest.mark.parametrize(
    "text",
    [
        *("a<sub>b", "a</sub>b", "a<sub>b</sup>", "<sub class='x'>a</sub>", "< sub>a</sub>", "<br onload='x'>"),
        *("<kbd>Ctrl</kbd>", "<u>a</u>", "<!-- a -->", "<sub/>", "</br>", "&lt;br&gt;", "\\<br>"),
    ],
)
def test_all_else_stays_text(text: str) -> None:
    look = Look("".join(html_of(text)))
    assert [seen[0] for seen in look.seen] == ["p", "", "/p"]
    assert look.text == text.replace("&lt;", "<").replace("&gt;", ">").replace("\\", "")


def test_code_shows_tags() -> None:
    assert line("`<br>` and `H<sub>2</sub>`") == (
        "<code>&lt;br&gt;</code> and <code>H&lt;sub&gt;2&lt;/sub&gt;</code>"
    )
    assert Look("".join(html_of("```\n<br>\n```"))).text == "<br>\n"


def test_a_pair_does_not_cross_emphasis_or_a_link() -> None:
    assert line("*a<sub>b*c</sub>") == "<em>a&lt;sub&gt;b</em>c&lt;/sub&gt;"
    html = line("<sup>[a</sup>](http://a.example)")
    assert html.startswith("&lt;sup&gt;<a ") and "a&lt;/sup&gt; <span" in html
    html = line("[H<sub>2</sub>O](http://a.example)")
    assert "H<sub>2</sub>O" in html


def test_the_cells_of_the_shared_file_have_lines(shared: Path) -> None:
    html = "\n".join(html_of((shared / "cases" / "markdown" / "br-in-table.md").read_text("utf-8")))
    assert ">70 °C<br />\n2 minutes</td>" in html
    assert ">95 °C<br />\n4 minutes<br />\nwith milk</td>" in html
    assert "Water is H<sub>2</sub>O, an area is m<sup>2</sup>, and a line<br />\nbreak." in html


_PARTS = ["<sub>", "</sub>", "<sup>", "</sup>", "<br>", "*", "**", "~~", "`", "[", "](http://a.example)", "a", " "]


@given(st.lists(st.sampled_from(_PARTS), max_size=30).map("".join))
def test_tags_are_always_balanced(text: str) -> None:
    for html in html_of(text):
        Look(html)
    assert typeset([text]) == typeset(pieces(text, [3]))
