"""Paragraphs that are headings, because all their words are bold."""

from __future__ import annotations

import pytest
from test_typesetter import html_of, settled

from kindle_appliance.typesetting.typesetter import Typesetter


@pytest.mark.parametrize(
    "text",
    [
        "**Head**",
        "**Head:**",
        "**Head**:",
        "__Head__",
        "***Head***",
        "**One** **two**",
        "**Step 1** – **Boil**",
        "**[A link](http://a.example)**",
        "**Head** 🌊",
        "**标题：**",
        "**عنوان**",
        "**a `b` *c***",
        "**One**\n**Two**",
        "**Head**\\",
    ],
)
def test_a_paragraph_that_is_only_bold_is_a_heading(text: str) -> None:
    (html,) = html_of(f"Before.\n\n{text}")[1:]
    assert html.startswith("<p") and ' class="heading">' in html and "verse" not in html
    assert settled(f"Before.\n\n{text}\n\n")[1] == html


@pytest.mark.parametrize(
    "text",
    [
        "**Note:** text",
        "text **bold**",
        "**Head**\nand text",
        "**a**, or **b**",
        "**1**2",
        "*Head*",
        "`**code**`",
        "**" + "word " * 20 + "words**",
        "**" + "海" * 51 + "**",
        "> **Head**",
        "- **Item**",
        "| **a** |\n|---|\n| **b** |",
        "**!**",
        "\\**Head\\**",
        "Term\n: **Head**",
        "[^1]: **Note**",
    ],
)
def test_all_else_is_none(text: str) -> None:
    assert "heading" not in "".join(html_of(text))


def test_a_paragraph_that_may_become_a_heading_waits_for_its_end_or_for_other_words() -> None:
    typesetter = Typesetter()
    shown = []
    for piece in ("Before.\n\n", "**A ", "head:", "**", "\n", "\n", "**A", " note:", "** with", " text", "\n\n"):
        settled = [block.html for block in typesetter.feed(piece)]
        shown.append((settled, typesetter.tail()))
    assert shown[0] == (["<p>Before.</p>"], "")
    assert shown[1:5] == [([], "")] * 4
    assert shown[5] == (['<p class="heading"><strong>A head:</strong></p>'], "")
    assert shown[6:8] == [([], "")] * 2
    assert shown[9] == ([], "<p><strong>A note:</strong> with</p>")
    assert shown[10][0] == ["<p><strong>A note:</strong> with text</p>"]


def test_bold_text_in_which_an_answer_breaks_off_stays_bold() -> None:
    typesetter = Typesetter()
    typesetter.feed("Before.\n\n**A head")
    (block,) = typesetter.close(is_broken_off=True)
    assert block.html == '<p class="heading"><strong>A head</strong></p>'
