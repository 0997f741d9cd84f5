"""Emphasis beside Chinese, Japanese and Korean punctuation; elsewhere it is CommonMark's, but for arithmetic."""

from __future__ import annotations

import random
import re
from itertools import product
from pathlib import Path
from unicodedata import category, name

import pytest
from conftest import Soak
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kindle_appliance.markdown.library import _MARKDOWN
from kindle_appliance.typesetting.typesetter import Typesetter

LETTERS = {"Han": "海", "hiragana": "の", "katakana": "ア", "Hangul": "은", "half-width katakana": "ｱ"}

PUNCTUATION = [
    character
    for first, last in (("\u3000", "\u303f"), ("\u30a0", "\u30ff"), ("\ufe10", "\ufe6f"), ("\uff01", "\uffef"))
    for character in map(chr, range(ord(first), ord(last) + 1))
    if category(character)[0] in "PS"
]
QUOTES = "“”‘’«»()[]{}?!.,:;…—–·%&'\"/"
"""Punctuation of all languages, with which Chinese and Korean are written, too."""

TAGS = {"*": "em", "**": "strong", "~~": "s", "***": "strong"}


def html_of(text: str) -> str:
    typesetter = Typesetter()
    typesetter.feed(text)
    typesetter.close()
    return "\n".join(block.html for block in typesetter.blocks)


def emphasised(text: str) -> list[str]:
    return re.findall(r"<(?:strong|em|s)(?: class=\"upright\")?>(?:<em[^>]*>)?(.*?)<", html_of(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("**注意：**请先关闭电源。", ["注意："]),
        ("**第一步：**打开盖子；**第二步（可选）：**擦干净。", ["第一步：", "第二步（可选）："]),
        ("他说**“可以”**就走了。", ["“可以”"]),
        ("- **优点：**便宜。", ["优点："]),
        ("これは**「重要」**な点です。**「A」**なので**「B」**です。", ["「重要」", "「A」", "「B」"]),
        ("**Markdown（マークダウン）**は軽い言語です。", ["Markdown（マークダウン）"]),
        ("이것은 **“공개 문서”**는 원칙입니다.", ["“공개 문서”"]),
        ("이것은 **공개(문서)**는 원칙입니다.", ["공개(문서)"]),
        ("价格**$5.50**元，**₩5,000**원", ["$5.50", "₩5,000"]),
        ("*斜体。*之后 ~~删除（旧）。~~新的", ["斜体。", "删除（旧）。"]),
        ("**中文“一”\ufe01**之后", ["中文“一”\ufe01"]),
        ("前**“\ufe01a”**b", []),
        ("葛\U000e0100**（a）**葛\U000e0100", ["（a）"]),
        ("a〰\ufe0e**“b”**〰\ufe0ec", ["“b”"]),
        ("| 项 | 值 |\n|---|---|\n| **甲：**一 | *乙。*二 |", ["甲：", "乙。"]),
    ],
)
def test_emphasis_beside_cjk_punctuation_is_emphasis(text: str, found: list[str]) -> None:
    assert emphasised(text) == found


@pytest.mark.parametrize(
    "text",
    ["2*3*4 = 24", "x**2 + y**2 = z**2", "10**6 and 10**9", "5*x*y and 2*x", "n*2*m", "*Note 2*3 = 6", "2***3***4"],
)
def test_stars_beside_digits_are_arithmetic(text: str) -> None:
    assert html_of(text) == f"<p>{text}</p>"


def test_digits_are_emphasised_as_other_words_are() -> None:
    text = "**2*3** *2 x 3* **Step 2**a *4*, 第**2**步 **5**: *6*/*7* **2**^10"
    assert emphasised(text) == ["2*3", "2 x 3", "Step 2", "4", "2", "5", "6", "7", "2"]


def test_the_cases_of_the_shared_file_show_no_mark(shared: Path) -> None:
    folder = shared / "cases" / "markdown"
    html = html_of((folder / "cjk-emphasis.md").read_text("utf-8"))
    right = (folder / "cjk-emphasis.right.txt").read_text("utf-8")
    bold = re.findall(r"Bold \(strong\): (.*)", right)[0].split(" | ")
    assert [*dict.fromkeys(re.findall("<strong>(.*?)</strong>", html))] == bold
    assert not re.search("[*~]", html)


@pytest.mark.slow
@pytest.mark.parametrize("marks", TAGS)
@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_all_punctuation_at_both_ends_of_emphasis_between_letters_without_spaces(letter: str, marks: str) -> None:
    for mark in [*PUNCTUATION, *QUOTES]:
        escaped = f"\\{mark}" if mark in "[]&" else mark
        for inside in (f"{escaped}x{escaped}", f"{escaped}{letter}", f"{letter}{escaped}"):
            html = _MARKDOWN.renderInline(f"{letter}{marks}{inside}{marks}{letter}")
            assert f"</{TAGS[marks]}>" in html, (name(mark), inside, html)
            assert marks not in html, (name(mark), inside, html)


def test_underscores_inside_words_of_such_letters_stay() -> None:
    for letter in LETTERS.values():
        assert "em>" not in html_of(f"{letter}_{letter}_{letter}")
        assert "em>" not in html_of("snake_case_name")
        assert "<em" in html_of(f"。_{letter}_。")


@given(st.text("ab*_~ .,;:!?()[]\"'-`\nèñ¿—“”…\u00a0\u200d", max_size=60))
def test_texts_without_such_letters_are_those_of_the_library(text: str) -> None:
    library = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
    tokens = [
        [(token.type, token.content) for token in parser.parseInline(text, {})[0].children or ()]
        for parser in (library, _MARKDOWN)
    ]
    assert tokens[0] == tokens[1]


def test_pairs_of_ends_in_other_scripts_are_those_of_the_library(soak: Soak) -> None:
    library = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
    ends = ["", " ", "a", "é", "ж", "ف", "क", "ก", ".", "“", "—", "\u00a0", "\u2028"]
    pairs = list(product(ends, ends, ends, ends, ("*", "__", "~~")))
    for before, first, last, after, marks in random.Random(7).sample(pairs, soak(10_000, full=len(pairs))):
        text = f"{before}{marks}{first}x{last}{marks}{after}"
        assert library.renderInline(text) == _MARKDOWN.renderInline(text), text
