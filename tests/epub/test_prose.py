"""Documents to the lines that a reader sees."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub.book import Passage
from kindle_appliance.epub.markup import Markup
from kindle_appliance.epub.passages import Passages
from kindle_appliance.epub.prose import Findings, Prose


def read(document: str, wanted: Collection[str] = (), with_names: bool = False) -> tuple[str, Findings]:
    found: list[Passage] = []
    passages, findings = Passages(found.append), Findings()
    prose = Prose("a", wanted, passages, findings, with_names)
    Markup().read([document], prose)
    prose.close()
    return "".join(each.text for each in found), findings


def lines(document: str) -> list[str]:
    return read(document)[0].splitlines()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<p>A wo<b>r</b><i>d</i>, and <em>another</em> one.</p>", ["A word, and another one."]),
        ("<p> A\n\tlong   line&#160;with\u3000space </p>\n<p>Two</p>", ["A long line with space", "Two"]),
        ("<p>A<span> b </span> c</p>", ["A b c"]),
        ("<p>And so,<br/>verse <br></p><p>It is<br>so</p>", ["And so,", "verse", "It is", "so"]),
        ("<div>One<div>Two<p>Three</p>Four</div>Five</div>", ["One", "Two", "Three", "Four", "Five"]),
        ("<h1>I</h1><hgroup><h2>A</h2><p>B</p></hgroup>", ["I", "A", "B"]),
        ("<p>so\u00adft&shy; hy&#8203;phens\ufeff \u2060</p>", ["soft hyphens"]),
        ("<p>می\u200cرود \U0001f468\u200d\U0001f469</p>", ["می\u200cرود \U0001f468\u200d\U0001f469"]),
        ("<p>a\x00b\x1b[31mc\u202ed</p>", ["ab[31mcd"]),
        ("<ruby>草<rp>(</rp><rt>くさ</rt><rp>)</rp>枕<rt>まくら</rt></ruby>は", ["草枕は"]),
        ("<ruby>草<rt>くさ<rb>枕<rt>まくら</ruby>は", ["草枕は"]),
        ("<ruby><rb>草</rb><rb>枕</rb><rtc><rt>くさ</rt></rtc></ruby>は", ["草枕は"]),
        ("<html><head><title>T</title><style>p > b {}</style></head><body>A</body></html>", ["A"]),
        ("<html><head><title>T</title><p>A", ["A"]),
        ("<title>never closed<body><p>A</p>", ["A"]),
        ("<script>var a = '<p>';</script>A<template><p>B</p></template>", ["A"]),
        ("<p>A<img src='x' alt='B'/>C</p><p><img alt='D'></p>", ["AC"]),
        ("<p>A<span epub:type='pagebreak' id='p5'>5</span>B</p>", ["AB"]),
        ("<p>A<span role='doc-pagebreak' title='5'/>B</p>", ["AB"]),
        ("<nav hidden=''><ol><li>A</li></ol></nav><section hidden>B<section>C</section>D</section>E", ["E"]),
        ("<p hidden>A<p>B</p>", ["B"]),
        ("<div hidden/>B", ["B"]),
        ("<p style='display: none'>B</p>", ["B"]),
        ("<table><tr><th>A</th><td>B</td></tr><tr><td>C</td><td><p>D</p></td></tr></table>", ["A B", "C", "D"]),
        ("<ul><li>A</li><li>B<ol><li>C</li></ol></li></ul><dl><dt>D</dt><dd>E</dd></dl>", list("ABCDE")),
        ("<pre>A\n  B  c\r\n\n<b>D</b>\nE</pre>F", ["A", "B c", "D", "E", "F"]),
        ("<p>A<a href='#n1' epub:type='noteref'>1</a></p><aside epub:type='footnote'>B</aside>", ["A1", "B"]),
        (
            "<svg><title>T</title><desc>D</desc><text>A <tspan>b</tspan></text><text>C</text></svg>",
            ["A b", "C"],
        ),
        ("<svg><text><tspan x='0' y='1'>One</tspan><tspan x='0' y='2'>two</tspan></text></svg>", ["One two"]),
        ("<svg><foreignObject><p>A</p></foreignObject></svg>", ["A"]),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn><annotation>x=2</annotation></math>", ["x=2"]),
        (
            "<epub:switch><epub:case><math><mi>x</mi></math></epub:case><epub:default>A</epub:default>",
            ["A"],
        ),
        ("<audio src='x'>No sound.</audio><video><p>No pictures.</p></video><object>No.</object>A", ["A"]),
        ("<noscript>A</noscript><iframe>B</iframe><textarea>C</textarea><button>D</button>", ["AD"]),
        ("<p>A<p>B<div>C<li>D", list("ABCD")),
        ("A</p></div></body></html>B", ["A", "B"]),
        ("<level1><h1>A</h1><pagenum>3</pagenum><line>B</line><line>C</line></level1>", ["A", "B", "C"]),
        ("<h:p xmlns:h='x'>A</h:p><h:p>B</h:p>", ["A", "B"]),
        ("", []),
        ("<p> \n </p><p>&#160;</p><p>\u200b</p>", []),
    ],
)
def test_the_text_is_what_a_reader_sees(document: str, expected: list[str]) -> None:
    assert lines(document) == expected


def test_in_a_book_of_pictures_the_names_of_pages_and_pictures_are_text() -> None:
    document = "<head><title>Page 3</title><style>x</style></head><body><img alt='A fox'><svg><desc>B</desc></svg>"
    assert read(document, with_names=True)[0].splitlines() == ["Page 3", "A fox", "B"]


@pytest.mark.parametrize(
    ("document", "following"),
    [
        ("<p>One.</p><p id='x'>Two.</p>", "Two."),
        ("<p>One.<a id='x'/></p><p>Two.</p>", "Two."),
        ("<p>One. <a name='x'></a>Two.</p>", "Two."),
        ("<p>One. <a name='x'>Two.</a></p>", "Two."),
        ("<p>One.</p><div id='x'><div><h1>Two.</h1></div></div>", "Two."),
        ("<p>One.</p><span id='x' epub:type='pagebreak'>5</span><p>Two.</p>", "Two."),
        ("<p>One.</p><div hidden><a id='x'>A</a></div><p>Two.</p>", "Two."),
        ("<p>One.</p><p>Two.</p><div id='x'></div>", ""),
        ("<head><meta name='x'/></head><p>One.</p><p><input name='x'/></p><p id='x'>Two.</p>", "Two."),
        ("<p>One.</p><p id='x'>Two.</p><p id='x'>Three.</p>", "Two."),
    ],
)
def test_an_anchor_is_at_the_first_character_behind_it(document: str, following: str) -> None:
    text, findings = read(document, {"x"})
    assert text[findings.anchors["a", "x"] :].partition("\n")[0].startswith(following)
    if not following:
        assert findings.anchors["a", "x"] == len(text)


def test_headings_are_found_with_their_levels() -> None:
    text, findings = read("<p>x</p><h1>A<br/>B</h1><p>y</p><h3> C <i>d</i></h3><h2></h2><h4>E</h4><h2>F<p>z</p>")
    assert findings.headings == [(2, 0, "A B"), (text.index("C"), 2, "C d")]


BLOCKS = st.sampled_from(["p", "div", "h1", "h4", "li", "blockquote", "section"])
WORDS = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<&"), min_size=1, max_size=8)
LINES = st.tuples(BLOCKS, st.lists(WORDS, min_size=1, max_size=8), st.sampled_from([" ", "\n", " <i/>"]))


@given(st.lists(LINES))
def test_paragraphs_are_lines_of_their_words(paragraphs: list[tuple[str, list[str], str]]) -> None:
    document = "".join(f"<{name}>{space.join(words)}</{name}>\n" for name, words, space in paragraphs)
    assert read(document)[0] == "".join(" ".join(words) + "\n" for _, words, _ in paragraphs)


@given(st.text("<>/pbrhidenavult =\"'&;1a \n-!", max_size=80))
def test_any_document_is_lines_without_space_around_them(document: str) -> None:
    text, _ = read(document, {"a"})
    for line in text.splitlines():
        assert line == " ".join(line.split()) and line
    assert not text or text.endswith("\n")
