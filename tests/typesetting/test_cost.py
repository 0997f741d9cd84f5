"""What a text may cost, whatever a model writes: CPU time, compared with the Markdown library's, and HTML.

The patterns are those of `bench/`, ordinary and hostile ones.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from conftest import Soak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ratios import assert_usual_ratio

from bench.patterns import PATTERNS, repeated
from bench.typesetting import ARRIVALS, KIB, cpu_seconds, library_seconds, prose, seconds, typeset
from kindle_appliance.markdown import budget
from kindle_appliance.markdown.library import _MARKDOWN
from kindle_appliance.typesetting.typesetter import Typesetter

Measured = TypeVar("Measured")

_TIMES_THE_LIBRARY = 5
_GROWTH = 1.5


@pytest.fixture(scope="module", autouse=True)
def without_the_objects_of_other_tests() -> Iterator[None]:
    """Python's collector looks at them again and again while a long text is set: thousands of collected tests make
    that a good part of the time.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_there_are_more_than_a_hundred_patterns_of_any_length() -> None:
    assert len(PATTERNS) > 100
    for name, make in PATTERNS.items():
        for length in (4 * KIB, 16 * KIB):
            assert 0.9 * length <= len(make(length)) <= 1.1 * length, name


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("name", PATTERNS)
def test_a_text_costs_at_most_five_times_what_the_library_needs_for_it_or_for_prose(name: str, soak: Soak) -> None:
    length = soak(4, full=64) * KIB
    text, usual = PATTERNS[name](length), prose(length)
    for arrive in ARRIVALS.values():

        def times(arriving: Sequence[str] = arrive(text)) -> tuple[float, float]:
            """Each is about as long as the other, so as often disturbed. Which of the two texts is dearer for the
            library is asked each time: once, a disturbance could have chosen the wrong one.
            """
            return max(mean_of(3, library_seconds, each) for each in (text, usual)), seconds(arriving)

        assert_usual_ratio(_TIMES_THE_LIBRARY, times)


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("name", PATTERNS)
def test_a_kilobyte_costs_no_more_in_a_long_text_than_in_a_short_one(name: str, soak: Soak) -> None:
    times = soak(8, full=64)
    short, long = (PATTERNS[name](length * KIB).splitlines(keepends=True) for length in (4, 4 * times))
    usual = [prose(4 * KIB)]  # for texts whose first 4 KB are nothing but the definition of a link

    def of_a_kilobyte() -> tuple[float, float]:
        return max(mean_of(times, seconds, each) for each in (short, usual)), seconds(long) / times

    assert_usual_ratio(_GROWTH, of_a_kilobyte)


def mean_of(times: int, measure: Callable[[Measured], float], what: Measured) -> float:
    return sum(measure(what) for _ in range(times)) / times


def size(texts: Iterable[str]) -> int:
    """Bytes in UTF-8."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def html_of(text: str) -> str:
    return "".join(block.html for block in typeset([text]))


def assert_bounded(text: str) -> None:
    html = 0
    for block in typeset([text]):
        html += size([block.html])
        assert html <= budget.HTML_PER_BYTE * size([text[: block.upto]]) + budget.HTML_BESIDES


def with_words(text: str) -> str:
    """The text with a word of its own before each "a"."""
    first, *parts = text.split("a")
    return first + "".join(f"word{number} a{part}" for number, part in enumerate(parts))


def words_of(html: str) -> list[str]:
    """The words in the text of the HTML."""
    return re.findall(r"word\d+", re.sub("<[^>]*>", "", html))


def assert_nothing_is_lost(text: str) -> None:
    """Each word that the library shows is shown, in the same order."""
    shown = iter(words_of(html_of(text)))
    in_our_lines = text.replace("\r\n", "\n").replace("\r", " ")
    assert all(word in shown for word in words_of(_MARKDOWN.render(in_our_lines)))


@pytest.fixture
def narrow_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HTML besides that for each byte, so that short texts go beyond their budget."""
    monkeypatch.setattr(budget, "HTML_BESIDES", 0)


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("name", PATTERNS)
def test_the_html_of_a_text_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "HTML_BESIDES", 16 * KIB)  # a quarter of it, for a quarter of three pages
    assert_bounded(PATTERNS[name](3 * KIB))


@pytest.mark.untraced
@pytest.mark.usefixtures("narrow_budget")
@pytest.mark.parametrize("name", PATTERNS)
def test_beyond_the_budget_nothing_is_lost(name: str) -> None:
    text = with_words(PATTERNS[name](2 * KIB))
    assert_bounded(text)
    assert_nothing_is_lost(text)


_DEAR = [
    *("a", "- ", "1. ", "> ", "- - - ", ">>>>>>", "|a" * 6 + "\n" + "|-" * 6 + "\n", '|"&"&"&|&"&"&"|\n:-|:-:\n'),
    *(
        "b|\n",
        "[b] ",
        "![b]",
        f"[b]: http://b.example/{'&' * 99}\n\n",
        "<http://a.example>",
        "[a](http://a.example)",
    ),
    *(
        "&",
        '"',
        "<",
        "*a*",
        "*海*",
        "**",
        "`a`",
        " ",
        "  \n",
        "\\\n",
        "\n",
        "\n\n",
        "ف",
        "海",
        "```\n",
        "    ",
        "#",
    ),
    *(
        "\0",
        "\r",
        "\t",
        "***\n",
        "~~a~~",
        "\u2028",
        "\ud800",
        "- a\n",
        "  - a\n",
        "> - a\n",
        "1. a\n\n   > ```\n   > a\n",
    ),
]


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_budget")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(str.__mul__, st.sampled_from(_DEAR), st.sampled_from((1, 1, 2, 20))), max_size=40))
def test_no_text_breaks_the_bound_or_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    assert_bounded(text)
    assert_nothing_is_lost(with_words(text))


def test_beyond_the_budget_labels_go_first_then_links_then_all_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"[c]: http://c.example/{'c' * 100}\n\n| a | &&&&&&&&&& |\n|-|-|\n| [c] | *b* |\n"
    marks = ("data-label", "<a href", "<table", "<em>")
    steps: list[list[str]] = []
    for besides in range(1000, -3000, -10):
        monkeypatch.setattr(budget, "HTML_BESIDES", besides)
        html = html_of(text)
        assert html.count("&amp;") >= 10 and "b" in html and "c" in html
        kept = [mark for mark in marks if mark in html]
        steps += [kept] if kept not in steps else []
    assert steps == [[*marks], [*marks[1:]], [*marks[2:]], []]


def test_lines_beyond_the_budget_keep_their_direction_and_language() -> None:
    text = "|ف" + "|海" * 19 + "\n" + "|-" * 20 + "\n" + "海|\n" * 3000
    lines = [block.html for block in typeset([text]) if block.html.startswith("<p dir")]
    assert lines and all(html.startswith('<p dir="rtl" lang="zh-CN">海|<br />\n海|<br />\n') for html in lines)


def test_what_follows_a_dear_text_is_set_as_usual() -> None:
    dear = "|a" * 20 + "\n" + "|-" * 20 + "\n" + "b|\n" * 3000
    html = html_of(dear + "\n" + prose(8 * KIB) + "\n\n- an *item*\n")
    assert "<br />\nb|" in html and html.endswith("<li>an <em>item</em></li>\n</ul>")


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "> ", "  "])
def test_a_table_of_empty_cells_ends_after_thousands(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "HTML_BESIDES", 10**9)
    table = ["|a" * 20, "|-" * 20, *(f"word{number}|" for number in range(3000))]
    html = html_of("- a\n\n" * (prefix == "  ") + "".join(prefix + line + "\n" for line in table))
    assert 18_000 < html.count("<td></td>") < 22_000
    assert words_of(html) == [f"word{number}" for number in range(3000)]


@pytest.mark.parametrize("form", ["[text]({})", "![text]({})", "<{}>", "[a]: {}\n\n[a]"])
def test_a_long_address_is_no_link_and_its_text_stays(form: str) -> None:
    longest = "http://a.example/".ljust(1900, "b")
    assert f'<a href="{longest}"' in html_of(form.format(longest))
    html = html_of(form.format(longest + "b"))
    assert "href" not in html and longest + "b" in html


@pytest.mark.parametrize(
    "part", ["**two words** ", "[a link](http://a.example) ", "`two words` ", "plain *words*\n"]
)
def test_emphasis_links_and_code_in_a_long_paragraph_are_not_cut(part: str) -> None:
    html = html_of(part * 2000)
    assert not re.search(r"[*`\]]", html) and "[" not in html
    assert html.count(re.findall("</[^>]*>", html_of(part))[0]) >= 2000


_LONG_PARAGRAPHS = {
    "one line": ("", "A sentence of **plain** prose, with `code` and *weight* in one line. "),
    "lines": ("", "A line of one and the same paragraph, which goes on and on\n"),
    "verse": ("", "A short line,\n"),
    "Chinese": ("", "海水为什么是咸的？**因为**河流带来了盐，"),
    "no spaces": ("", "海"),
    "open marks": ("", "*a [b "),
    "quotation of one line": ("> ", "A sentence of plain prose in a quotation. "),
    "quotation of lines": ("", "> A line of one and the same quotation, which goes on\n"),
    "item of one line": ("- ", "A sentence of plain prose in an item. "),
    "item of lines": ("- a\n", "  A line of one and the same item, which goes on and on\n"),
}


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("kind", _LONG_PARAGRAPHS)
def test_fifty_kilobytes_in_one_paragraph_cost_at_most_six_times_ten(kind: str, arrival: str) -> None:
    assert_fifty_cost_at_most_six_times_ten(seconds, kind, arrival)


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("kind", _LONG_PARAGRAPHS)
def test_the_tails_of_fifty_kilobytes_in_one_paragraph_cost_at_most_six_times_those_of_ten(kind: str) -> None:
    assert_fifty_cost_at_most_six_times_ten(seconds_with_tails, kind, "20 characters")


def assert_fifty_cost_at_most_six_times_ten(
    measure: Callable[[Sequence[str]], float], kind: str, arrival: str
) -> None:
    head, part = _LONG_PARAGRAPHS[kind]
    short, long = (ARRIVALS[arrival](repeated(head, part)(size * KIB)) for size in (10, 50))
    assert_usual_ratio(6, lambda: (mean_of(5, measure, short), measure(long)))


def seconds_with_tails(arriving: Sequence[str]) -> float:
    """CPU seconds of the typesetter, with a tail after every hundred characters."""

    def typeset_with_tails() -> None:
        typesetter = Typesetter()
        for number, piece in enumerate(arriving):
            typesetter.feed(piece)
            if number % 5 == 0:
                typesetter.tail()

    return cpu_seconds(typeset_with_tails)
