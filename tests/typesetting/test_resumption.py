"""What is written after "Go on" inside a fence or table goes on as one, also when the model opens it again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_typesetter import _LINES, Look, pieces, texts

from kindle_appliance.typesetting.resumption import Opened, opened_at_end
from kindle_appliance.typesetting.typesetter import Block, Typesetter

_PYTHON = opened_at_end("Here it is:\n\n```python\nfor a in b:\n    pri", None)
_TABLE = opened_at_end("| Sea | *Salt* |\n|---|--:|\n| Dead | 34 % |\n| Bal", None)
_POEM = opened_at_end("```\nThe lamp is low,\n", None)
_STEP = opened_at_end("1.  Run:\n    ```sh\n    ls", None)
_QUOTED_TABLE = opened_at_end("> | a | b |\n> |-|-|\n> | 1", None)
_INSIDE = ("    ls", "    ```", ">   b", ">   ```", "> c")
_QUOTED = opened_at_end("> - a\n>   ```\n>   b\n", None)


def set_on(text: str, opened: Opened | None, size: int = 10**6) -> list[Block]:
    typesetter = Typesetter(opened)
    for piece in pieces(text, [size]):
        typesetter.feed(piece)
    typesetter.close()
    return typesetter.blocks


def html_of(text: str, opened: Opened | None) -> str:
    return "|".join(block.html for block in set_on(text, opened) if block.html)


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("a\n\n```python\nb\n", ("```\n",)),
        ("```\na\n```\n\n~~~~ sh\nb\n~~~\n", ("~~~~\n",)),
        ("1. a\n\n   ```sh\n   b", ("   ```\n",)),
        ("```python", ("```\n",)),
        ("1.  a\n\n    ```sh\n    b", ("    ```\n",)),
        ("- a\n  > ```\n  > b\n", ("> ```\n",)),
        (">" * 9 + " ```\n", ("```\n",)),
        ("```\na\n```", None),
        ("```\na\n```\n", None),
        ("a `` ` b\n", None),
        ("", None),
        ("\n", None),
        ("a | b\n-|-\n1 | 2\n", ("|a |b |\n", "|-|-|\n")),
        ("text\n\n| a | b |\n|:-|:-:|\n| 1 | 2", ("|a |b |\n", "|:-|:-:|\n")),
        ("| a | b |\n|---|---|\n", ("|a |b |\n", "|-|-|\n")),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\n", None),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\ntext", None),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 |\n", ("> |a |b |\n", "> |-|-|\n")),
        ("| a | b |\n", None),
        ("a | b\n", None),
    ],
)
def test_a_fence_or_table_is_open_where_a_text_breaks_off(text: str, opening: tuple[str, ...] | None) -> None:
    opened = opened_at_end(text, None)
    assert (opened and opened.opening) == opening


@pytest.mark.parametrize(
    ("before", "text", "html"),
    [
        (
            "1.  Run:\n    ```sh\n    ls\n",
            "    cd a\n    ```\n2.  *Done.*\n",
            '<ul class="on"><li class="on"><pre class="on"><code>cd a</code></pre></li></ul>|'
            '<ol start="2"><li><em>Done.</em></li></ol>',
        ),
        (
            "- - Run:\n\n    ```sh\n    ls\n    c",
            "d a\n\n    ls\n    ```\n\n*b*\n",
            '<ul class="on"><li class="on"><pre class="on"><code>d als</code></pre></li></ul>|<p><em>b</em></p>',
        ),
        (
            "- a\n    - b\n        ```\n        c\n",
            "        d\n        ```\n    - *e*\n- *f*\n",
            '<ul class="on"><li class="on"><ul class="on"><li class="on"><pre class="on"><code>d</code></pre></li>'
            '</ul></li></ul>|<ul class="on"><li class="on"><ul class="on"><li><em>e</em></li></ul></li></ul>|'
            '<ul class="on"><li><em>f</em></li></ul>',
        ),
        (
            "1.  Run:\n    ```sh\n    ls\n",
            "cd a\n```\n*b*\n",
            '<pre class="on"><code>cd a</code></pre>|<p><em>b</em></p>',
        ),
        (
            "> ```py\n> a = 1\n",
            "> b = 2\n> ```\n> *c*\n",
            '<blockquote class="on"><pre class="on"><code>b = 2</code></pre></blockquote>|'
            '<blockquote class="on"><p><em>c</em></p></blockquote>',
        ),
        (
            "> ```py\n> a =",
            " 1\n> ```\n\n*c*\n",
            '<blockquote class="on"><pre class="on"><code> 1</code></pre></blockquote>|<p><em>c</em></p>',
        ),
        ("> ```py\n> a = 1\n", "b = 2\n```\n*c*\n", '<pre class="on"><code>b = 2</code></pre>|<p><em>c</em></p>'),
        (
            "````md\n# a\n",
            "```py\nb\n```\n````\n*c*\n",
            '<pre class="on"><code>```pyb```</code></pre>|<p><em>c</em></p>',
        ),
    ],
)
def test_an_answer_goes_on_inside_a_fence_of_an_item_or_quotation(before: str, text: str, html: str) -> None:
    opened = opened_at_end(before, None)
    assert html_of(text, opened).replace("\n", "") == html
    assert set_on(text, opened, 1) == set_on(text, opened)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("nt(a)\n```\n\nThat is all.\n", '<pre class="on"><code>nt(a)\n</code></pre>|<p>That is all.</p>'),
        (
            "    print(a)\n    # a [b](c) *d*",
            '<pre class="on"><code><span class="in1">    print(a)\n</span>'
            '<span class="in1">    # a [b](c) *d*</span></code></pre>',
        ),
        (
            "```python\n    print(a)\n```\nDone.\n",
            '<pre class="on"><code><span class="in1">    print(a)\n</span></code></pre>|<p>Done.</p>',
        ),
        ("```\n    print(a)\n```\n", '<pre class="on"><code><span class="in1">    print(a)\n</span></code></pre>'),
        ("\n~~~~ py\na\n```\n~~~~\n", '<pre class="on"><code>a\n```\n</code></pre>'),
        ("```\n\nThe loop prints all.\n", "<p>The loop prints all.</p>"),
        ("```", ""),
        (
            "Here is the rest:\n\n```python\nprint(a)\n```\n",
            "<p>Here is the rest:</p>|<pre><code><span>print(a)\n</span></code></pre>",
        ),
        (
            "Here is the rest of it:\n```\nprint(a)",
            "<p>Here is the rest of it:</p>|<pre><code><span>print(a)</span></code></pre>",
        ),
        (
            "好的，继续：\n\n```python\nprint(a)\n",
            '<p lang="zh-CN">好的，继续：</p>|<pre><code><span>print(a)\n</span></code></pre>',
        ),
        ("I am sorry, I cannot go on.", "<p>I am sorry, I cannot go on.</p>"),
    ],
)
def test_an_answer_goes_on_inside_a_fence(text: str, html: str) -> None:
    assert html_of(text, _PYTHON) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("It blinks but once and holds the line.\nAnd", "<pre"),
        ("Here is the rest:\n\n```\nIt blinks", "<p>Here"),
        ("It blinks but once.", "<pre"),
    ],
)
def test_a_sentence_may_be_the_text_of_a_fence_without_a_name(text: str, html: str) -> None:
    assert html_of(text, _POEM).startswith(html)


@pytest.mark.parametrize(
    "text",
    [
        "tic | 1 % |\n| Red | 4 % |\n\nSo it is.\n",
        "| Baltic | 1 % |\n| Red | 4 % |\n\nSo it is.\n",
        "| Sea | Salt |\n|---|---|\n| Baltic | 1 % |\n| Red | 4 % |\n\nSo it is.\n",
        "\n| Sea | Salt |\n|:--|---|\n| Baltic | 1 % |\n| Red | 4 % |\n\nSo it is.\n",
    ],
)
def test_an_answer_goes_on_inside_a_table(text: str) -> None:
    html = html_of(text, _TABLE)
    assert html.startswith('<table class="on">') and html.endswith("<p>So it is.</p>")
    assert "<th" not in html and "---" not in html and "Sea" not in html
    assert re.findall('<td data-label="Salt" class="right">(.*?)</td>', html) == ["1 %", "4 %"]


def test_another_table_has_its_own_head() -> None:
    html = html_of("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n", _TABLE)
    assert html.startswith("<table>") and html.count("<th>") == 3
    html = html_of("Here is the rest:\n\n| Sea | Salt |\n|---|---|\n| Red | 4 % |\n", _TABLE)
    assert html.startswith("<p>Here is the rest:</p>|<table>") and html.count("<th>") == 2


def test_an_answer_goes_on_with_one_that_went_on() -> None:
    code, fence = "print('a line of some length')\n" * 40, _PYTHON
    for _ in range(3):
        assert set(re.findall("<[^/][^>]*>", html_of(code, fence))) == {'<pre class="on">', "<code>", "<span>"}
        fence = opened_at_end(code, fence)
    assert opened_at_end(code + "```\n\nDone.", fence) is None
    assert opened_at_end("```\n\nDone.", fence) is None
    assert opened_at_end("```python\n" + code, fence) == fence
    assert opened_at_end("I am sorry, that was wrong.\n", fence) is None
    table = opened_at_end("| Red | 4 % |\n", _TABLE)
    assert table and _TABLE and table.opening == _TABLE.opening
    assert opened_at_end("| Red | 4 % |\n\nDone.", table) is None


def test_nothing_is_shown_before_it_is_known_how_an_answer_goes_on() -> None:
    for first in ("Here is ", "``", "\n  ", "    print(a"):
        typesetter = Typesetter(_PYTHON)
        typesetter.feed(first)
        assert typesetter.tail() == ""
    typesetter = Typesetter(_PYTHON)
    typesetter.feed("```")
    assert typesetter.tail() == "" and typesetter.blocks == []
    typesetter.feed("python\nprint(a)\nprint(b")
    assert "print(a)" in typesetter.tail() and "`" not in typesetter.tail() and "python" not in typesetter.tail()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "text"), [("\n", "> | *1* | 2 |\n"), ("\n> | 1", "0 | 2 |\n"), ("\n", "| *1* | 2 |\n")]
)
def test_an_answer_goes_on_inside_a_table_of_a_quotation(end: str, text: str) -> None:
    opened = opened_at_end("> | a | b |\n> |---|---|" + end, None)
    html = html_of(text + "\n> c\n", opened)
    assert html.count("<tr>") == 1 and "|" not in html.replace(">|<", "") and "<blockquote" in html


@settings(max_examples=300, deadline=None)
@given(
    texts(
        [
            *_LINES,
            "Here is the rest:",
            "A *sentence* of words.",
            "```python",
            "| Sea | Salt |",
            "|---|--:|",
            *_INSIDE,
        ]
    ),
    st.sampled_from((_PYTHON, _TABLE, _POEM, _STEP, _QUOTED, _QUOTED_TABLE)),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
def test_any_chunking_gives_the_same_blocks_after_go_on(text: str, opened: Opened, sizes: list[int]) -> None:
    whole = set_on(text, opened)
    for size in (1, *sizes):
        assert set_on(text, opened, size) == whole
    ends = [block.upto for block in whole]
    assert ends == sorted(set(ends)) and ends[-1:] == ([len(text)] if text else [])
    for block in whole:
        Look(block.html)


@pytest.mark.parametrize(
    "text", ["`" * 100_000, "| " * 50_000, "- " * 50_000 + "```", "|-" * 50_000, "A b " * 25_000]
)
def test_the_first_characters_decide_however_long_a_line_is(text: str) -> None:
    for opened in (_PYTHON, _TABLE, _POEM, _STEP, _QUOTED, _QUOTED_TABLE):
        typesetter = Typesetter(opened)
        typesetter.feed(text[:2000])
        assert typesetter._opened is None
        opened_at_end(text, opened)
