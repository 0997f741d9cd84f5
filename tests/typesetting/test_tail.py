"""The tail of a growing answer: no reader sees a Markdown sign, and no line that has another below it changes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import pytest
from conftest import Soak
from growing import TEXTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page import Line, Page
from ratios import assert_usual_ratio
from test_typesetter import Look

from bench.patterns import PATTERNS
from bench.typesetting import KIB, library_seconds, prose, typeset
from kindle_appliance.markdown import budget
from kindle_appliance.markdown import tail as _tail
from kindle_appliance.markdown.tail import upto_last_word
from kindle_appliance.typesetting.typesetter import Typesetter


def tail_of(text: str) -> str:
    typesetter = Typesetter()
    typesetter.feed(text)
    return typesetter.tail()


def table(*rows: str) -> str:
    """The HTML of a table: a head and rows, with a bar between cells."""
    head, *body = ([cell.strip() for cell in row.split("|")] for row in rows)
    html = "<table>\n<thead>\n<tr>\n" + "".join(f"<th>{cell}</th>\n" for cell in head) + "</tr>\n</thead>\n"
    labels = ["", *(f' data-label="{label}"' for label in head[1:])]
    for row in body:
        cells = "".join(f"<td{label * bool(cell)}>{cell}</td>\n" for label, cell in zip(labels, row, strict=True))
        html += "<tbody>\n" * (row is body[0]) + f"<tr>\n{cells}</tr>\n" + "</tbody>\n" * (row is body[-1])
    return html + "</table>"


LINK = '<a href="http://a.b/" rel="noreferrer">text <span dir="ltr">(a.b)</span></a>'

CASES = {
    # words
    "one two": "<p>one</p>",
    "one two ": "<p>one two</p>",
    "one\ntwo three\n": "<p>one<br />\ntwo three</p>",
    "海水": '<p lang="zh-CN">海水</p>',
    "海水abc": '<p lang="zh-CN">海水</p>',
    # emphasis
    "a **bold wo": "<p>a <strong>bold</strong></p>",
    "a **b": "<p>a</p>",
    "a **": "<p>a</p>",
    "**a** **b c": "",  # it may become a heading
    "a **a** **b c": "<p>a <strong>a</strong> <strong>b</strong></p>",
    "*a **b c": "<p><em>a <strong>b</strong></em></p>",
    "*a **b** c ": "<p><em>a <strong>b</strong> c</em></p>",
    "***a** b ": "<p><em><strong>a</strong> b</em></p>",
    "***a b ": "",
    "a ***b c ": "<p>a <em><strong>b c</strong></em></p>",
    "_a __b ": "<p><em>a <strong>b</strong></em></p>",
    "~~a b ": "<p><s>a b</s></p>",
    "~~a **b ": "<p><s>a <strong>b</strong></s></p>",
    "**a\nb ": "",
    "a **b\nc ": "<p>a <strong>b<br />\nc</strong></p>",
    "**a** b ": "<p><strong>a</strong> b</p>",
    "**a:**\n- b ": '<p class="heading"><strong>a:</strong></p><ul>\n<li>b</li>\n</ul>',
    "**" + "word " * 21: "<p><strong>" + ("word " * 21).strip() + "</strong></p>",
    "**粗体": "",
    "**粗体**是": '<p lang="zh-CN"><strong>粗体</strong>是</p>',
    "这**粗体": '<p lang="zh-CN">这<strong>粗体</strong></p>',
    "这是**": '<p lang="zh-CN">这是</p>',
    "这**粗体*": '<p lang="zh-CN">这<strong>粗体</strong></p>',
    "*a `b` **[text](http://a.b/) c ": f"<p><em>a <code>b</code> <strong>{LINK} c</strong></em></p>",
    "# A *b ": '<h1 class="heading" aria-level="2">A <em>b</em></h1>',
    "# A *b\n": "",  # it has settled, as it is
    "- a **b ": "<ul>\n<li>a <strong>b</strong></li>\n</ul>",
    "> a **b ": "<blockquote>\n<p>a <strong>b</strong></p>\n</blockquote>",
    "2 * 3 * 4 ": "<p>2 * 3 * 4</p>",
    "2*3 = 6 ": "<p>2*3 = 6</p>",
    "a ** b ": "<p>a ** b</p>",
    # code
    "a `b c": "<p>a <code>b</code></p>",
    "a `b c ": "<p>a <code>b c</code></p>",
    "a ` ": "<p>a</p>",
    "a `` b ` ": "<p>a <code>b `</code></p>",
    "`a` `b *c ": "<p><code>a</code> <code>b *c</code></p>",
    "a **b `c ": "<p>a <strong>b <code>c</code></strong></p>",
    # links
    "a [text": "<p>a</p>",
    "a [text te": "<p>a</p>",
    "a [text] ": "<p>a</p>",
    "a [text](": "<p>a</p>",
    "a [te xt](http:": "<p>a</p>",
    'a [text](http://a.b/ "a title ': "<p>a</p>",
    "a [text](http://a.b/) ": f"<p>a {LINK}</p>",
    "a [text] b ": "<p>a [text] b</p>",
    "a [text] (b ": "<p>a [text] (b</p>",
    "a [text](no link ": "<p>a [text](no link</p>",
    "a [text](ftp://a) ": "<p>a [text](ftp://a)</p>",
    "a [text][b c ": "<p>a</p>",
    "a [text][b] ": "<p>a [text]</p>",
    "a [text] [b](http://a c": "<p>a [text]</p>",
    "a [text][b] c ": "<p>a [text][b] c</p>",
    "a **[text ": "<p>a</p>",
    "a ![text ": "<p>a</p>",
    "a ![text](http://a.b/) ": f"<p>a {LINK}</p>",
    "a [![text](http://a.b/) ": "<p>a</p>",
    "a <http://a.b/海": "<p>a</p>",
    "a [" + "long " * 70: "<p>a [" + ("long " * 70).strip() + "</p>",
    "[a]: ": "",
    "[a]: http://a.b ": "",
    "[a]: http://a.b 'a title ": "",
    "[a]: b c ": "<p>[a]: b c</p>",
    "[text]: http://a.b/\n\n[text][": "",
    "[text]: http://a.b/\n\n[text]": "",
    "[text]: http://a.b/\n\n[text]: ": "",
    "[text]: http://a.b/\n\n[text](http:": "",
    "[text]: http://a.b/\n\n[text] a ": f"<p>{LINK} a</p>",
    # escapes
    "a \\* b\\": "<p>a *</p>",
    "a\\\n": "<p>a</p>",
    # items
    "- ": "",
    "-": "",
    "1. ": "",
    "1": "",
    "2. **": "",
    "2. **b ": '<ol start="2">\n<li><strong>b</strong></li>\n</ol>',
    "a\n- ": "<p>a</p>",
    "a\n2. ": "<p>a</p>",
    "a\n2. b ": "<p>a<br />\n2. b</p>",
    "- a\n- ": "<ul>\n<li>a</li>\n</ul>",
    "- a\n- `": "<ul>\n<li>a</li>\n</ul>",
    "- a\n  - ": "<ul>\n<li>a</li>\n</ul>",
    "- a\n  - [b ": "<ul>\n<li>a</li>\n</ul>",
    "- [ ": "",
    "- [ ] ": "",
    "* * ": "",
    "a\n": "<p>a</p>",
    "7. a ": '<ol start="7">\n<li>a</li>\n</ol>',
    # headings, rules and quotations
    "## ": "",
    "##": "",
    "## A ## ": '<h2 class="heading">A</h2>',
    "--- ": "",
    "***": "",
    "*** ": "",
    "> ": "",
    ">": "",
    "> > ": "",
    "> - ": "",
    "> **a\n> ": "<blockquote>\n<p><strong>a</strong></p>\n</blockquote>",
    # fences
    "```": "",
    "```py": "",
    "``` py ": "",
    "~~~\n": "",
    "```py\na = 1\nb = ": "<pre><code>a = 1\nb =</code></pre>",
    "```py\na = 1\n``": "<pre><code>a = 1\n</code></pre>",
    "```\n| a | b |\n": "<pre><code><span>| a | b |\n</span></code></pre>",
    "```\na\n- ": "<pre><code>a\n-</code></pre>",
    "- ```\n  a\n": "<ul>\n<li>\n<pre><code>a\n</code></pre>\n</li>\n</ul>",
    "> ```\n> a\n": "<blockquote>\n<pre><code>a\n</code></pre>\n</blockquote>",
    "    a = 1\n": "<pre><code>a = 1\n</code></pre>",
    # notes, definitions and alerts
    "[^1]: a **b ": '<p class="footnote"><sup>1</sup> a <strong>b</strong></p>',
    "[^1]: ": "",
    "[^": "",
    "a [^1": "<p>a</p>",
    "a[^1] ": "<p>a<sup>1</sup></p>",
    "a\n: b **c ": "<dl>\n<dt>a</dt>\n<dd>b <strong>c</strong></dd>\n</dl>",
    "a\n: ": "<p>a</p>",
    "H<sub>2 ": "<p>H<sub>2</sub></p>",
    "- [x] ": "",
    "> [!TIP": "",
    "> [!TIP]\n": "",
    "> [!TIP]\n> a **b ": "<blockquote>\n<p><strong>Tip</strong><br />\na <strong>b</strong></p>\n</blockquote>",
    # tables
    "| a | b ": "",
    "| a | b |\n": "",
    "a | b\n": "",
    "a\nb | c\n": "<p>a</p>",
    "a | b\n--- ": "",
    "a | b\n--- | ": "",
    "| a | b |\n| --": "",
    "| a | b |\n|---|---|": "",
    "| a | b |\n|---|---|\n": table("a|b"),
    "| a | b |\n|---|---|\n| ": table("a|b"),
    "| a | b |\n|---|---|\n| c d": table("a|b"),
    "| a | b |\n|---|---|\n| c | d ": table("a|b"),
    "| a | b |\n|---|---|\n| c | d |\n": table("a|b", "c|d"),
    "| a | b |\n|---|---|\n| c | **d\n": table("a|b", "c|**d"),
    "| a | b |\n|---|---|\n| c | d |\n|": table("a|b", "c|d"),
    "| a | b |\n|---|---|\n| c | d |\n| e | f ": table("a|b", "c|d"),
    "> | a | b |\n": "",
    "- | a | b |\n  |---|---|\n": "<ul>\n<li>\n" + table("a|b") + "\n</li>\n</ul>",
    "| a | b |\nc ": "<p>| a | b |<br />\nc</p>",
    "use `a | b` here ": "<p>use <code>a | b</code> here</p>",
    "a | " + "long " * 50: "<p>a | " + ("long " * 50).strip() + "</p>",
}


@pytest.mark.parametrize("text", CASES)
def test_the_tail_of(text: str) -> None:
    assert tail_of(text) == CASES[text]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("👨\u200d👩 a👨\u200d", "👨\u200d👩"),
        ("中👨\u200d👩\u200d👧中", "中👨\u200d👩\u200d👧中"),
        ("中👨\u200d", "中"),
        ("中❤\ufe0f中", "中❤\ufe0f中"),
        ("中👍\U0001f3fd", "中"),
        ("か\u3099", "か\u3099"),
        ("か\u3099き", "か\u3099き"),
        ("中\ud83d", "中"),
        ("ที่", "ที่"[:0]),
        ("ที่นี่", "ที่"),
        ("中(*文", "中(*文"),
        ("中*", "中"),
        ("中文，", "中文，"),
        ("a\u00a0b", ""),
        ("a b\u00a0c", "a"),
        ("x" * 119, ""),
        ("x" * 150, "x" * 149),
        ("x" * 150 + "*", "x" * 149),
        ("*" * 150, ""),
        ("a " + "*" * 150, "a"),
    ],
)
def test_a_tail_ends_at_a_word_or_between_characters_of_scripts_without_spaces(line: str, shown: str) -> None:
    assert upto_last_word(line) == shown


# ---- Every prefix ------------------------------------------------------------------------------------------------


def updates(text: str) -> Iterator[tuple[str, Page, Page]]:
    """While a text grows by a character at a time, for each new tail: the text so far, the tail, and what settles
    in its place.
    """
    whole = typeset([text])
    typesetter = Typesetter()
    last: object = None
    count = -1
    for at, character in enumerate(text):
        typesetter.feed(character)
        html = typesetter.tail()
        if len(typesetter.blocks) != count:
            count = len(typesetter.blocks)
            settled = Page("\n".join(block.html for block in whole[count:]))
        if (count, html) != last:
            last = (count, html)
            yield text[: at + 1], Page(html), settled


def changed(tail: Page, settled: Page) -> list[tuple[Line, Line | None]]:
    """The lines that had another below them and are other ones when settled."""
    lines = tail.lines[:-1]
    others = [*settled.lines[: len(lines)], *[None] * len(lines)]
    return [(line, other) for line, other in zip(lines, others, strict=False) if line != other]


def assert_grows_calmly(texts: list[str]) -> tuple[int, int]:
    """Returns the numbers of updates and of lines that were compared."""
    compared = lines = 0
    for text in texts:
        for so_far, tail, settled in updates(text):
            compared += 1
            lines += max(0, len(tail.lines) - 1)
            assert settled.text.startswith(tail.text), f"a sign is shown: {so_far[-80:]!r}"
            assert not changed(tail, settled), f"a line changes: {so_far[-80:]!r}"
    return compared, lines


@pytest.fixture
def every_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a long open part."""
    monkeypatch.setattr(_tail, "_PAID", 10**9)


@pytest.mark.usefixtures("every_tail")
@pytest.mark.parametrize("name", TEXTS)
def test_no_sign_is_shown_and_no_line_changes_in_a_text_about(name: str) -> None:
    assert_grows_calmly([TEXTS[name]])


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.usefixtures("every_tail")
def test_no_sign_is_shown_and_no_line_changes_in_recorded_answers(
    answers: list[str],
    soak: Soak,
) -> None:
    texts = sorted(set(answers), key=len)
    compared, lines = assert_grows_calmly(texts)
    soak.tell(f"updates of {len(texts)} recorded answers: {compared}; lines compared: {lines}; changed: 0")
    assert compared > 3000


@pytest.mark.usefixtures("every_tail")
def test_no_sign_is_shown_and_no_line_changes_in_the_shared_cases(shared: Path) -> None:
    cases = shared / "cases" / "markdown"
    assert_grows_calmly([case.read_text("utf-8") for case in sorted(cases.glob("*.md"))])


# ---- Any text ----------------------------------------------------------------------------------------------------

_FRAGMENTS = [
    *("word ", "two words", "\n", "\n", "\n\n", " ", "  ", "    ", "\t", "海水，", "。", "ที่", "ف ", "\u3099"),
    *("*", "**", "***", "_", "__", "~~", "~", "`", "``", "```", "~~~", "```py\n", "\\", "&amp", "&", ";", "<", ">"),
    *("[", "]", "](", ")", "![", "[a]", "[a]: ", "http://a.b/", "<http://a", '"', "'", "(", "[known]", "!", ":"),
    *("- ", "* ", "+ ", "1. ", "2) ", "12. ", "- [ ] ", "# ", "## ", "> ", ">", "---", "***\n", "===\n", "-", "1"),
    *("|", " | ", "| a | b |\n", "|---|---|\n", "| c ", "---|", "a|b\n-|-\n", "\r\n", "\r", "\0", "\u2028"),
    *("$", "$$", "\\(", "\\[", "<br>", "[^1]", "[^1]: ", "> [!NOTE]\n", ": ", "x" * 130, "long words " * 30),
    *("a\n" * 20, "\ud83d", "👨\u200d👩"),
]  # fmt: skip


def state(value: object) -> object:
    """A copy of a typesetter, by value, with all that blocks depend on."""
    if hasattr(value, "__dict__"):
        return {name: state(each) for name, each in vars(value).items() if name != "_tail"}
    if isinstance(value, Mapping):
        return {name: state(each) for name, each in value.items()}
    return [state(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.slow
@pytest.mark.usefixtures("every_tail")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_FRAGMENTS), max_size=25))
def test_a_tail_of_any_text_is_well_formed_and_changes_nothing(parts: list[str]) -> None:
    """At every end of a fragment, and a character before it."""
    typesetter = Typesetter()
    for part in ["[known]: http://a.b/\n\n", *parts]:
        for piece in (part[:-1], part[-1:]):
            typesetter.feed(piece)
            before = state(typesetter)
            tail = typesetter.tail()
            Look(tail)
            assert typesetter.tail() == tail
            assert state(typesetter) == before
    typesetter.close()
    assert typesetter.tail() == ""


@pytest.mark.slow
@pytest.mark.usefixtures("every_tail")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(TEXTS)), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_blocks_in_any_order_grow_calmly(names: list[str], chance: random.Random) -> None:
    blocks = [block for name in names for block in TEXTS[name].split("\n\n")]
    chance.shuffle(blocks)
    assert_grows_calmly(["\n\n".join(blocks[:8])])


# ---- What tails cost ---------------------------------------------------------------------------------------------


def tail_seconds(text: str, step: int) -> list[float]:
    """CPU seconds of each tail, one for each `step` characters."""
    typesetter = Typesetter()
    took = []
    for at in range(0, len(text), step):
        typesetter.feed(text[at : at + step])
        begin = time.thread_time()
        typesetter.tail()
        took.append(time.thread_time() - begin)
    return took


@pytest.mark.untraced
def test_a_tail_of_an_ordinary_text_costs_less_than_half_a_kilobyte_of_prose(soak: Soak) -> None:
    text = PATTERNS["answer"](16 * KIB)
    usual = prose(64 * KIB)
    took: list[float] = []

    def times() -> tuple[float, float]:
        took.append(median(tail_seconds(text, 50)))
        return library_seconds(usual) / 64, took[-1]

    ratio = assert_usual_ratio(0.5, times)
    soak.tell(
        f"a tail of an ordinary answer: {1000 * median(took):.2f} ms of CPU, {ratio:.2f} times a kilobyte of prose"
    )


@pytest.mark.slow
@pytest.mark.untraced
def test_tails_cost_the_same_on_average_however_long_a_text_is(soak: Soak) -> None:
    """Twice as much is allowed: the last tail of a long open part is not paid for yet."""
    times, step, every = soak(3, full=8), soak(400, full=50), soak(12, full=1)
    usual = prose(8 * KIB)
    for name in sorted(PATTERNS)[::every]:
        short, long = (PATTERNS[name](length * KIB) for length in (8, 8 * times))

        def of_eight(short: str = short, long: str = long) -> tuple[float, float]:
            at_8 = max(sum(tail_seconds(each, step)) for each in (short, usual))
            return at_8, sum(tail_seconds(long, step)) / times

        assert_usual_ratio(2, of_eight, of=name)


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("name", PATTERNS)
def test_the_html_of_a_tail_is_bounded(name: str) -> None:
    text = PATTERNS[name](12 * KIB)
    typesetter = Typesetter()
    for at in range(0, len(text), 1500):
        typesetter.feed(text[at : at + 1500])
        html = "".join(block.html for block in typesetter.blocks) + typesetter.tail()
        assert len(html.encode("utf-8", "surrogatepass")) <= (
            budget.HTML_PER_BYTE * len(text[: at + 1500].encode("utf-8", "surrogatepass")) + budget.HTML_BESIDES
        )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Some **bold that goes", "<p>Some <strong>bold that goes</strong></p>"),
        ("- [ ] *task", '<ul>\n<li class="task">☐ <em>task</em></li>\n</ul>'),
        ("# A `head", '<h1 class="heading" aria-level="2">A <code>head</code></h1>'),
        ("> a **b *c", "<blockquote>\n<p>a <strong>b <em>c</em></strong></p>\n</blockquote>"),
        ("说**重要：", '<p lang="zh-CN">说<strong>重要：</strong></p>'),
        ("text **", "<p>text</p>"),
        ("see $\\frac{a}{", "<p>see</p>"),
        ("It costs $5", "<p>It costs $5</p>"),
        ("[half a link", "<p>[half a link</p>"),
        ("a | b", "<p>a | b</p>"),
        ("```\ncode **", "<pre><code>code **</code></pre>"),
        ("half a wor", "<p>half a wor</p>"),
    ],
)
def test_where_a_text_is_broken_off_its_marks_are_closed_and_no_word_is_lost(text: str, html: str) -> None:
    typesetter = Typesetter()
    typesetter.feed("Before.\n\n" + text)
    (block,) = typesetter.close(is_broken_off=True)
    assert block == (html, len("Before.\n\n" + text))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(TEXTS.values())), st.floats(0, 1))
def test_a_text_broken_off_anywhere_keeps_its_words(text: str, fraction: float) -> None:
    text = text[: int(fraction * len(text))]
    whole, broken_off = Typesetter(), Typesetter()
    whole.feed(text)
    broken_off.feed(text)
    whole.close()
    broken_off.close(is_broken_off=True)
    assert [block.upto for block in broken_off.blocks] == [block.upto for block in whole.blocks]
    assert broken_off.blocks[:-1] == whole.blocks[:-1]
    if whole.blocks:
        ours, written = (
            "".join(filter(str.isalnum, Look(each.blocks[-1].html).text)) for each in (broken_off, whole)
        )
        assert written == ours or ("\\" in whole.blocks[-1].html and written.startswith(ours))
