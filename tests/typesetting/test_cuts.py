"""Long paragraphs settle in pieces, at places that no later text changes; a reader hardly sees them."""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_typesetter import _LINES, _NESTED, Look, at_once, html_of, joined, pieces, texts, typeset

from kindle_appliance.typesetting import cuts
from kindle_appliance.typesetting.cuts import MOST, Marks
from kindle_appliance.typesetting.typesetter import Typesetter

_BOUNDS = ("LINE", "SENTENCE", "WORD", "ANY_WORD", "ANYWHERE", "LAST")

_KINDS = {
    "prose": "A sentence of **plain** prose, with `code` and [a link](http://a.example). Another one. ",
    "verse": "The lamp is low, the page is grey,\n",
    "short verse": "a\n",
    "numbered verse": "1、The lamp\n",
    "rows": "a | b\n",
    "Chinese": "海水为什么是咸的？因为河流带来了盐，",
    "no spaces": "海",
    "spaces": "a ",
    "open emphasis": "*word ",
    "open code": "`word ",
    "open bracket": "[word ",
    "accents": "a" + "\u0301" * 7,
    "returns": "a b\r\n",
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a twentieth of the length."""
    for name in _BOUNDS:
        monkeypatch.setattr(cuts, name, getattr(cuts, name) // 20)


@pytest.mark.untraced
@pytest.mark.parametrize("before", ["", "> ", "- ", "> 1. ", "- > "])
@pytest.mark.parametrize("kind", _KINDS)
def test_a_paragraph_settles_in_pieces_of_bounded_length(kind: str, before: str) -> None:
    further = re.sub(r"[-.\d]", " ", before)
    text = before + ("\n" + further).join((_KINDS[kind] * (20_000 // len(_KINDS[kind]))).split("\n"))
    blocks = typeset([text])
    ends = [0, *(block.upto for block in blocks)]
    assert max(end - start for start, end in pairwise(ends)) <= MOST
    assert len(blocks) <= len(text) / 1400 + 2
    assert re.sub(r"\s", "", Look("".join(block.html for block in blocks)).text) == re.sub(
        r"\s", "", Look("".join(_shown(text))).text
    )
    growing = Typesetter()
    growing.feed(text)
    assert growing.blocks == blocks[: len(growing.blocks)] and len(growing.blocks) >= len(blocks) - 2


def _shown(text: str) -> list[str]:
    """The HTML of a text that is not cut."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _BOUNDS:
            patch.setattr(cuts, name, 10**9)
        return html_of(text)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts([*_LINES, *_NESTED, *_KINDS.values()], "\r\n", "\r", " ", ""),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_any_chunking_gives_the_same_pieces_and_they_stay(text: str, sizes: list[int], fraction: float) -> None:
    whole = typeset([text])
    assert whole == typeset(text) == typeset(pieces(text, sizes))
    early = Typesetter()
    early.feed(text[: int(fraction * len(text))])
    assert early.blocks == whole[: len(early.blocks)]
    ends = [block.upto for block in whole]
    assert ends == sorted(set(ends)) and ends[-1:] == ([len(text)] if text else [])


_PLAIN = [
    "words of one line ",
    "a sentence. ",
    "A sentence! ",
    "海水为什么是咸的？",
    "- ",
    "# ",
    "1. ",
    "> ",
    "    ",
]
_PLAIN += ["\n", "\n", "\n\n", "  \n", "\\\n", "\n> ", "\n- ", "\n  ", "\n# ", "\n***\n", "\n```\n", "| ", "---"]


@pytest.mark.slow
@pytest.mark.usefixtures("short")
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_PLAIN), max_size=60).map("".join))
def test_paragraphs_in_pieces_look_like_whole_ones_apart_from_the_cuts(text: str) -> None:
    assert _pure(joined(text)) == _pure(at_once(text))


def _pure(seen: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without spaces, and without line ends."""
    found: list[tuple[str, ...]] = []
    for each in seen:
        if each[0] == "" and found and found[-1][0] == "":
            found[-1] = ("", found[-1][1] + re.sub(r"\s", "", each[1]))
        elif each != ("br",):
            found.append(("", re.sub(r"\s", "", each[1])) if each[0] == "" else each)
    return found


@pytest.mark.parametrize("kind", _KINDS)
def test_a_line_that_has_another_below_it_stays_when_a_paragraph_is_cut(kind: str) -> None:
    text = _KINDS[kind] * (4200 // len(_KINDS[kind]))
    typesetter = Typesetter()
    before: list[str] = []
    for piece in pieces(text, [100]):
        typesetter.feed(piece)
        html = "".join(block.html for block in typesetter.blocks) + typesetter.tail()
        lines = [re.sub("<[^>]*>|\n", "", line).rstrip() for line in re.split("<br />|</p>", html) if line]
        kept = before[:-1]
        assert lines[: len(kept)] == kept
        before = lines


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("verse\n" * 300, '<p class="on">verse<br />'),
        ("A word of prose here. " * 100, "<p>A word"),
        ("A word of prose here " * 100, '<p class="on">'),
        ("海水为什么是咸的？" * 300, '<p lang="zh-CN">海水'),
        ("词，" * 1000, '<p class="on" lang="zh-CN">词，'),
        ("> " + "A word of prose here. " * 100, '<blockquote class="on">\n<p>A word'),
        ("> verse\n" * 300, '<blockquote class="on">\n<p class="on">verse<br />'),
        ("- " + "A word of prose here. " * 100, '<ul class="on">\n<li class="on">A word'),
        ("ف. " * 1000, '<p class="on" dir="rtl">ف.'),
        ("See Mr. S. " * 200, '<p class="on">'),
    ],
)
def test_a_cut_is_seen_as_little_as_can_be(text: str, second: str) -> None:
    assert html_of(text)[1].startswith(second)


@pytest.mark.parametrize("rest", ["- a", "# a", "1. a", "> a", "| a\n|-|", "--- ", "```", "    A", "[a]: b"])
def test_what_is_behind_a_cut_inside_a_line_is_text(rest: str) -> None:
    text = "A word of prose here. " * 73
    (first, second) = html_of(text + rest)
    shown = "<br />\n".join(escape(rest).strip().split("\n"))
    assert first.count("prose") == 73 and re.sub("<p[^>]*>", "<p>", second) == f"<p>{shown}</p>"


@pytest.mark.parametrize(
    ("following", "shown"),
    [
        ("", ""),
        ("\n", ""),
        ("\n# a\n", '<h1 class="heading" aria-level="2">a</h1>'),
        ("- a\n", "<ul>\n<li>a</li>\n</ul>"),
        ("---\n", "<hr />"),
    ],
)
def test_nothing_is_shown_of_a_paragraph_that_ends_where_it_is_cut(following: str, shown: str) -> None:
    for before in ("", "> "):
        text = (before + "verse\n") * 234
        last = html_of(text + "".join(before + line + "\n" for line in following.splitlines()))[-1]
        assert not shown or shown in last
        assert "<p" not in last or "verse" in last


@pytest.mark.parametrize("gap", ["**bold words** ", "`code words` ", "[a link](http://a.example) ", "$x + y$ "])
def test_a_paragraph_is_cut_between_marks_that_are_paired(gap: str) -> None:
    for shift in range(12):
        for html in html_of("x" * shift + " " + gap * 400):
            shown = re.sub("<[^>]*>", "", html)
            assert not re.search(r"[*`\[]", shown) and shown.count("$") % 2 == 0


@pytest.mark.parametrize(
    ("text", "are_paired"),
    [
        ("a *b* **c** _d_ ~~e~~ `f` [g](h) $i$ ", True),
        ("***a*** ", True),
        ("snake_case * 2 and 3 * 4 ", True),
        ("*a", False),
        ("**a* ", False),
        ("海**粗体**海", True),
        ("海**粗", False),
        ("`a *b ", False),
        ("`a *b` ", True),
        ("`a\\` ", True),
        ("``a ` b`` ", True),
        ("\\*a \\`b ", True),
        ("[a ", False),
        ("[a](b", False),
        ("a] (b ", True),
        ("$5 and ", True),
        ("$x + ", False),
        ("$x + \n", True),
        ("\\(x + ", False),
        ("\\(x + y\\) ", True),
        ("$$x ", False),
        ("$$x$$ ", True),
    ],
)
def test_marks_are_paired_as_the_library_pairs_them(text: str, are_paired: bool) -> None:
    marks = Marks()
    marks.take(text, "x")
    assert marks.are_paired == are_paired
    marks = Marks()
    for at in [match.end() for match in re.finditer(r"\s", text[:-1])] or [0]:
        before, text = text[:at], text[at:]
        marks.take(before, text[0]) if before else None
        break
    marks.take(text, "x")
    assert marks.are_paired == are_paired


def test_a_table_below_a_line_with_bars_is_not_lost() -> None:
    for length in range(225, 245):
        html = "".join(html_of("verse\n" * length + "| a | b |\n|---|---|\n| 1 | 2 |\n\n"))
        assert "<table>" in html and html.count("verse") == length
