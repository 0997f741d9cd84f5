"""Boxes of tasks and labels of alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import Look, html_of, pieces, settled, texts, typeset

from kindle_appliance.typesetting.typesetter import Typesetter


def shown(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(html_of(text)))


@pytest.mark.parametrize(("mark", "box"), [(" ", "☐"), ("x", "☑"), ("X", "☑")])
@pytest.mark.parametrize("bullet", ["-", "*", "+", "1.", "7)"])
def test_a_task_has_a_box(bullet: str, mark: str, box: str) -> None:
    assert f'<li class="task">{box} to *do*</li>'.replace("*do*", "<em>do</em>") in shown(
        f"{bullet} [{mark}] to *do*\n"
    )
    loose = shown(f"{bullet} [{mark}] one\n\n{bullet} [{mark}] two\n")
    assert [seen.strip() for seen in re.findall("[☐☑]", loose)] == [box, box] and "[" not in loose


def test_tasks_stand_in_nested_lists_and_in_quotations() -> None:
    html = shown("1. [ ] a\n   - [x] b\n     - [ ] c\n> - [ ] d\n")
    assert re.findall(r'<li class="task">(☐|☑) (\w)', html) == [("☐", "a"), ("☑", "b"), ("☐", "c"), ("☐", "d")]
    assert '<li class="task">☐</li>' in shown("- [ ]\n- a\n")


@pytest.mark.parametrize(
    "text",
    ["[ ] a", "- a [ ] b", "- [  ] a", "- [y] a", "- [x]a", "- [ ](http://a.example)", "- \\[ ] a", "- `[ ]` a"],
)
def test_all_else_is_no_task(text: str) -> None:
    assert "task" not in shown(text) and not re.search("[☐☑]", shown(text))


def test_the_box_stands_in_the_first_piece_of_an_item_only() -> None:
    blocks = html_of("- [ ] a\n\n  [x] b\n\n" + "  c\n\n" * 50 + "- [x] d\n")
    assert "".join(blocks).count("task") == 2 and re.findall("[☐☑]", "".join(blocks)) == ["☐", "☑"]
    assert settled("- [ ] a\n- [x] b\n") == ['<ul>\n<li class="task">☐ a</li>\n</ul>']


def test_a_box_has_no_direction() -> None:
    assert html_of("- [x] هذا\n")[0].startswith('<ul dir="rtl">')


def test_a_box_waits_for_its_text() -> None:
    typesetter = Typesetter()
    for text, tail in (("- [ ] ", ""), ("a ", "☐ a")):
        typesetter.feed(text)
        assert Look(typesetter.tail()).text.strip() == tail


@pytest.mark.parametrize("kind", ["NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION", "note", "Info"])
def test_an_alert_is_a_quotation_that_begins_with_its_kind(kind: str) -> None:
    bold = f"<strong>{kind.capitalize()}</strong>"
    assert shown(f"> [!{kind}]\n> A *tip*.\n> More.\n") == (
        f"<blockquote> <p>{bold}<br /> A <em>tip</em>.<br /> More.</p> </blockquote>"
    )
    assert shown(f"> [!{kind}] A tip.") == f"<blockquote> <p>{bold}<br /> A tip.</p> </blockquote>"
    assert f"<p>{bold}</p>" in shown(f"> [!{kind}]\n>\n> - a\n")


def test_an_alert_takes_the_direction_and_language_of_its_text() -> None:
    assert html_of("> [!NOTE]\n> هذا\n")[0].startswith('<blockquote dir="rtl">')
    assert 'lang="zh-CN"' in html_of("> [!NOTE]\n> 注意这个。\n")[0]


@pytest.mark.parametrize(
    "text", ["[!NOTE]\na", "> a\n> [!NOTE]", "> [! NOTE]\n", "> [!NOTE](http://a.example)", "> \\[!NOTE]"]
)
def test_all_else_is_no_alert(text: str) -> None:
    assert "strong" not in shown(text)


def test_the_shared_file_has_its_boxes_and_its_alert(shared: Path) -> None:
    html = shown((shared / "cases" / "markdown" / "gfm.md").read_text("utf-8"))
    assert '<li class="task">☐ to do</li>' in html and '<li class="task">☑ done</li>' in html
    assert "<p><strong>Tip</strong><br /> A tip.</p>" in html


_LINES = ["- [ ] a", "- [x]", "  - [X] b", "1. [ ] c", "> [!TIP]", "> d", ">", "> - [ ] e", "  more", "", "f"]


@settings(max_examples=100, deadline=None)
@given(texts(_LINES), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_any_chunking_gives_the_same_labels(text: str, sizes: list[int]) -> None:
    blocks = typeset([text])
    assert blocks == typeset(pieces(text, sizes))
    for block in blocks:
        Look(block.html)
