"""The typesetter: settled blocks do not depend on the chunking, look like the whole text rendered at once, are safe
for any text of a model, and cost the same per kilobyte in a block of any length.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ratios import assert_usual_ratio

from kindle_appliance.markdown.library import _MARKDOWN
from kindle_appliance.markdown.links import check_links
from kindle_appliance.typesetting import pieces as _pieces
from kindle_appliance.typesetting import typesetter as _typesetter
from kindle_appliance.typesetting.pieces import PIECE_LINES
from kindle_appliance.typesetting.typesetter import Block, Typesetter

KIB = 1024

# Lines with a meaning in Markdown, separated by a bar. None refers to a definition further down.
_LINES = re.split(
    "¦",
    "¦¦ ¦\t¦\f¦\u00a0¦a paragraph¦hard break  ¦  inside¦    four¦\tafter a tab¦# heading¦## 标题¦===¦---¦***¦- - -¦"
    "中文，**粗体**。¦فقرة مع *تشديد*¦*open **ends¦- item¦- ¦* star¦+ plus¦  - nested¦    - deeper¦1. one¦1. again¦"
    "7. seven¦2) two¦   1. inner¦1. 1. 1. three¦- 1. mixed¦> quote¦> - item¦> ```¦- ```¦```¦```python¦````¦~~~¦"
    "  ```¦a | b¦| a | b |¦|---|:-:|¦:-|-¦| 1 | 2 |¦- a | b¦# a | b¦~~~ a | b¦<div onclick='x()'>¦</div>¦<!-- no¦"
    "`code` ``¦[text](http://example.org 'title')¦![picture](http://example.org/p.png)¦[known] and [known][]¦"
    "U+2028\u2028inside¦form\ffeed¦a[^1][^b].¦[^1]: a note¦[^2]:¦"
    ": a definition¦  :  *another*¦  [^3]: indented¦nul\0byte¦&amp; &lt; \\* \\¦" + "long " * 500,
)
_KNOWN = "[known]: http://example.org/known"
# Rendered at once these look different, because of a later line or of the library's own limits.
_FAR = [_KNOWN, "1. " * 60, "> " * 60, "|a" * 30, "|-" * 30, "[![a](http://a.example)](http://b.example)", "[]()"]
_FAR += ["[a]: http://a.example", "'title", "of a'", "see [a]", "- [a]: http://b.example"]


def texts(lines: Sequence[str], *ends: str) -> st.SearchStrategy[str]:
    """Markdown of such lines, some repeated until pieces settle; the last line may lack its end."""
    line = st.builds(
        lambda line, end, times: (line + end) * times,
        st.sampled_from(lines),
        st.sampled_from(("\n", "\n", "\n", "\n\n", *ends)),
        st.sampled_from((1, 1, 1, 1, 1, 1, 1, PIECE_LINES + 2)),
    )
    whole = st.lists(line, max_size=30).map("".join)
    return st.builds(lambda text, cut: text[: len(text) - cut], whole, st.integers(0, 2))


def _is_cut_inside(text: str) -> bool:
    """Whether a text may have a term or a code that is as long as the longest line: it is cut before its end."""
    has_term = "long long" in text and re.search(": +(a definition|[*]another)", text[text.index("long long") :])
    return bool(has_term) or -1 < text.find("long long", text.find("``")) < text.rfind("``")


def pieces(text: str, sizes: Iterable[int]) -> Iterator[str]:
    """The text cut into pieces of these sizes, in turn."""
    at, size = 0, cycle(sizes)
    while at < len(text):
        piece = text[at : at + next(size)]
        at += len(piece)
        yield piece


def typeset(arriving: Iterable[str]) -> list[Block]:
    typesetter = Typesetter()
    returned = [block for piece in arriving for block in typesetter.feed(piece)]
    returned += typesetter.close()
    assert returned == typesetter.blocks
    return returned


def html_of(text: str) -> list[str]:
    return [block.html for block in typeset([text])]


def settled(text: str) -> list[str]:
    """The settled blocks while the answer is still being written."""
    typesetter = Typesetter()
    return [block.html for block in typesetter.feed(text)]


# Every allowed tag, and the allowed values of its attributes.
_ON = {"class": "on", "dir": "rtl", "lang": "zh-CN|zh-TW|ja|ko"}
_ALIGNED = {"class": "((left|center|right)( word)?|word)"}
_ALLOWED: dict[str, dict[str, str]] = {
    **{tag: {} for tag in ("dt", "dd", "thead", "tbody", "tr", "code", "strong", "s", "sub", "sup", "br", "hr")},
    "h1": {**_ON, "class": "heading|on heading", "aria-level": "2"},
    **{tag: {**_ON, "class": "heading|on heading"} for tag in ("h2", "h3", "h4", "h5", "h6")},
    **dict.fromkeys(("blockquote", "ul", "dl", "pre"), _ON),
    "p": {**_ON, "class": "on|footnote|formula|verse|heading"},
    **{"ol": {**_ON, "start": "[0-9]+"}, "li": {"class": "on|task"}, "em": {"class": "upright"}},
    **{"table": {**_ON, "class": "stacked|on|stacked on"}, "th": _ALIGNED},
    "td": {**_ALIGNED, "data-label": "(?s:.{1,40})"},
    "a": {"href": "(?i:https?://).*", "rel": "noreferrer", "dir": "ltr"},
    "span": {"dir": "ltr"},
}


Seen = tuple[str, ...]
"""A tag and its attributes, a "/tag", or "" and a text."""


class Look(HTMLParser):
    """A reader's view of our HTML: tags and texts, without the spaces between tags, and without the difference
    between tight and loose lists. Fails on forbidden tags and attributes.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.text = ""
        self.numbers: list[int] = []  # of the items in the outermost ordered lists
        self._next = 0
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "span" and "pre" in self._open:  # a line of code
            assert not attrs or re.fullmatch("class=in[1-4]", "=".join(str(each) for each in attrs[0]))
            return
        for name, value in attrs:
            assert re.fullmatch(_ALLOWED[tag].get(name, ""), value or ""), (tag, name, value)
        assert tag in _ALLOWED
        assert tag != "a" or "a" not in self._open, "a link inside a link"
        if tag == "ol" and not self._open:
            self._next = int(dict(attrs).get("start") or 1)
        elif tag == "li" and self._open == ["ol"]:
            self.numbers += [] if attrs else [self._next]
            self._next += 1
        if not (tag == "p" and self._open[-1:] == ["li"]):
            self.seen.append((tag, *_known_to_the_library(attrs)))
        if tag not in ("br", "hr"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("br", "hr") and not (tag == "span" and "pre" in self._open):
            assert self._open.pop() == tag
            if not (tag == "p" and self._open[-1:] == ["li"]):
                self.seen.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.text += data
        shown = data if "pre" in self._open else data.strip()
        if "pre" in self._open and self.seen[-1][0] == "":
            shown = self.seen.pop()[1] + shown
        self.seen += [("", shown)] if shown else []

    def _refuse(self, data: str) -> None:
        raise AssertionError(data)

    handle_comment = handle_pi = unknown_decl = _refuse

    def handle_decl(self, decl: str) -> None:
        self._refuse(decl)


def _known_to_the_library(attrs: list[tuple[str, str | None]]) -> list[str]:
    """The attributes from the library, without those that we add."""
    ours = re.compile("stacked|word|upright|verse|heading")
    kept = [(name, ours.sub("", value or "").strip()) for name, value in attrs]
    return sorted(f"{name}={value}" for name, value in kept if value and name not in ("dir", "lang", "data-label"))


def joined(text: str) -> list[Seen]:
    """The look of all blocks together, with continuing pieces joined to the piece before."""
    all_seen: list[Seen] = []
    start = 0
    for block in typeset([text]):
        seen = Look(block.html).seen
        is_cut_line = start > 0 and text[start - 1] != "\n"
        is_on = False
        while seen and ("class=on" in seen[0] or (is_on and seen[0][0] in ("tbody", "code"))):
            tag = seen.pop(0)[0]
            assert all_seen.pop() == (f"/{tag}",)
            is_on = True
            if tag == "p" and not is_cut_line:
                all_seen.append(("br",))
        if is_cut_line and seen and seen[0][0] == "p":
            assert all_seen.pop() == (f"/{seen.pop(0)[0]}",)
        is_code = seen[1:2] == [("/code",)]
        if is_on and all_seen[-1][0] == "" == seen[0][0] and is_code:
            seen[0] = ("", all_seen.pop()[1] + seen[0][1])
        elif is_on and seen and _is_inline(all_seen[-1]) and _is_inline(seen[0]) and not is_cut_line:
            is_blank = not text[:start].split("\n")[-2].strip(" \t\r>")
            all_seen += [] if all_seen[-1] == ("br",) or is_blank else [("br",)]
        elif is_cut_line and seen and all_seen[-1][0] == "" == seen[0][0]:
            space = " " * text[start - 1].isspace()
            seen[0] = ("", all_seen.pop()[1] + space + seen[0][1])
        all_seen += seen
        start = block.upto
    return all_seen


def _is_inline(seen: Seen) -> bool:
    return seen[0].strip("/") in ("", "em", "strong", "s", "code", "a", "br", "span")


def at_once(text: str) -> list[Seen]:
    """The look of the whole text rendered at once by the same library, set up in the same way."""
    text = text.removesuffix("\r")  # half a line end, which we ignore until the rest comes
    env: dict[str, Any] = {}
    tokens = _MARKDOWN.parse(text, env)
    for token in tokens:
        check_links(token.children or ())
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env)
    return Look(re.sub(r'style="text-align:(\w+)"', r'class="\1"', html)).seen


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(texts([*_LINES, *_FAR], "\r\n", "\r"), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_any_chunking_gives_the_same_blocks_and_the_same_offsets(text: str, sizes: list[int]) -> None:
    assert typeset([text]) == typeset(text) == typeset(pieces(text, sizes))


def test_any_chunking_of_a_recorded_answer_gives_the_same_blocks_and_the_same_offsets(answers: list[str]) -> None:
    chance = random.Random(7)
    for text in answers:
        sizes = [chance.randint(1, 90) for _ in range(20)]
        assert typeset([text]) == typeset(text) == typeset(pieces(text, sizes))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(texts([*_LINES, *_FAR], "\r\n", "\r"), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_settled_blocks_stay_and_a_text_cut_anywhere_settles_the_same_blocks(
    text: str, fractions: list[float]
) -> None:
    whole = typeset([text])
    for cut in (int(fraction * len(text)) for fraction in (*fractions, 1)):
        early = Typesetter()
        early.feed(text[:cut])
        count = len(early.blocks)
        assert early.blocks == whole[:count]
        early.close()
        assert early.blocks[:count] == whole[:count]
        ends = [block.upto for block in early.blocks]
        assert ends == sorted(set(ends)), "each block ends further on than the one before it"
        assert ends[-1:] == ([cut] if cut else []), "and the last one ends with it"


def test_a_block_shows_only_words_of_its_slice_of_the_text(answers: list[str]) -> None:
    for text in answers:
        start = 0
        for block in typeset([text]):
            raw = text[start : block.upto].replace("*", "")
            assert set(re.findall(r"\w+", Look(block.html).text)) <= set(re.findall(r"\w+", raw))
            start = block.upto
        assert start == len(text)


def test_the_blocks_of_a_recorded_answer_look_like_the_whole_text_rendered_at_once(answers: list[str]) -> None:
    assert len(answers) > 30
    for text in answers:
        assert joined(text) == at_once(text)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(("", _KNOWN + "\n")), texts(_LINES, "\r\n"))
def test_the_blocks_together_look_like_the_whole_text_rendered_at_once(known: str, text: str) -> None:
    assume(not _is_cut_inside(text))
    assert joined(known + text) == at_once(known + text)


@pytest.mark.parametrize("end", ["\\", "\\\\", "\\\\\\", "  ", "`a\\`"])
@pytest.mark.parametrize("prefix", ["", "> ", "- ", "> - "])
def test_no_backslash_is_shown_where_a_paragraph_is_cut_at_a_line_that_ends_with_one(prefix: str, end: str) -> None:
    begin, then = prefix, prefix.replace("-", " ")
    text = begin + f"\n{then}".join(f"line {number}{end}" for number in range(400)) + "\n"
    assert len(typeset([text])) > 1
    assert joined(text) == at_once(text)


_NESTED = re.split(
    "¦",
    "- > a¦> > b¦  > c¦  > - d¦    - e¦      - f¦1. > - g¦  a | b¦  -|-¦  1 | 2¦> a | b¦> -|-¦> 1 | 2¦> ```¦  ```¦"
    "    ```¦> - ```¦>   ```¦>\tx¦-\ta¦  \t- b¦>¦> ¦  >¦- - - a¦# ¦> # x¦  # x¦- 7. a¦     8. b¦  9) c",
)


@pytest.mark.slow
@pytest.mark.parametrize("credit", [0, 10**9])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts([*_LINES, *_NESTED], "\r\n"))
def test_pieces_at_any_depth_look_like_the_whole_text_rendered_at_once(
    monkeypatch: pytest.MonkeyPatch, credit: int, text: str
) -> None:
    """As deep as pieces are in long texts, and parsed as seldom, or as often, as possible."""
    monkeypatch.setattr(_pieces, "_MANY_LINES", 0)
    monkeypatch.setattr(_typesetter, "_MUCH_CODE", 0)
    monkeypatch.setattr(_typesetter, "_CREDIT", credit)
    assume(not _is_cut_inside(text))
    assert joined(text) == at_once(text)
    assert typeset([text]) == typeset(pieces(text, [7]))


@pytest.mark.parametrize(
    ("line", "opening", "closing"),
    [
        ("> a {}\n>\n", "<blockquote>", "</blockquote>"),
        ("> - a {}\n", "<blockquote> <ul>", "</ul> </blockquote>"),
        ("  - a {}\n", "<ul> <li> <ul>", "</ul> </li> </ul>"),
    ],
)
def test_quotations_and_nested_lists_settle_while_they_grow(line: str, opening: str, closing: str) -> None:
    text = "- b\n" * line.startswith(" ") + "".join(line.format(number) for number in range(200))
    blocks = settled(text)
    on = re.sub("<(ul|li|blockquote)>", r'<\1 class="on">', opening)
    shown = re.findall(r"a \d+", "".join(blocks))
    assert shown == [f"a {number}" for number in range(len(shown))] and len(shown) > 190
    assert re.sub(r"\s+", " ", blocks[-1]).startswith(on) and re.sub(r"\s+", " ", blocks[-1]).endswith(closing)


@pytest.mark.parametrize("before", ["1. a\n\n   ", "> ", "- > ", "> 1. "])
def test_a_fence_inside_other_blocks_settles_in_pieces(before: str) -> None:
    *first, last = before.split("\n")
    prefix = re.sub(r"[-\d.]", " ", last)
    code = [f"print({number})  # a line of some length, as usual" for number in range(100)]
    text = "\n".join([*first, last + "```python", *(prefix + line for line in code)]) + "\n"
    blocks = settled(text)
    assert len(blocks) > 2 and all(html.count('<pre class="on">') == 1 for html in blocks[-2:])
    assert "".join(Look(html).text for html in blocks).count("print(") in range(80, 100)
    assert (
        "".join(Look(html).text for html in html_of(text)).split()
        == ["a"] * ("a" in before) + " ".join(code).split()
    )


def test_the_columns_and_labels_of_a_long_head_stay_in_all_pieces() -> None:
    head = "| a | *b* \\| `c` [&amp;](http://a.example) " + "d " * 900 + "|\n|---|--:|\n"
    tables = html_of(head + "| 1 | 2 |\n" * PIECE_LINES * 5)
    assert len(tables) > 2
    for html in tables:
        assert re.findall('<td data-label="(.*?)" class="right">', html)[-1] == "b | c &amp; " + "d " * 14 + "d…"


def test_a_quotation_that_cannot_be_split_does_not_fill_the_memory() -> None:
    text = "> |" + "a|" * 20 + "\n> |" + "-|" * 20 + "\n" + "     > b|\n" * 3000
    assert settled(text)
    assert "".join(html_of(text)).count("b") >= 3000


def test_the_usual_marks_are_set_and_a_carriage_return_is_a_space() -> None:
    text = "**a** *b* ~~c~~ `d`  \r\ne\rf\n \r \r\n"
    html = "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code><br />\ne f</p>"
    assert [block.html for block in typeset(text)] == [html]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Maria\nRoad 5\n  Town\n", "<p>Maria<br />\nRoad 5<br />\nTown</p>"),
        ("秋风瑟瑟，\n西风残照。\n", '<p lang="zh-CN">秋风瑟瑟，<br />\n西风残照。</p>'),
        ("• one\n• two\n1、three\n", "<p>• one<br />\n• two<br />\n1、three</p>"),
        ("twice  \nor\\\nonce\n", "<p>twice<br />\nor<br />\nonce</p>"),
        ("*two\nlines*\n", "<p><em>two<br />\nlines</em></p>"),
        ("> a\n> b\nc\n", "<blockquote>\n<p>a<br />\nb<br />\nc</p>\n</blockquote>"),
        ("- a\n  b\n", "<ul>\n<li>a<br />\nb</li>\n</ul>"),
        ("# a\nb\n", '<h1 class="heading" aria-level="2">a</h1>|<p>b</p>'),
    ],
)
def test_the_lines_of_a_text_stay_its_lines_while_it_is_written_and_afterwards(text: str, html: str) -> None:
    typesetter = Typesetter()
    typesetter.feed(text)
    written = [*(block.html for block in typesetter.blocks), *filter(None, [typesetter.tail()])]
    assert "|".join(written) == "|".join(html_of(text)) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("text\n---\n", "<p>text</p>|<hr />"),
        (
            "> text\n> ---\n",
            '<blockquote>\n<p>text</p>\n</blockquote>|<blockquote class="on">\n<hr />\n</blockquote>',
        ),
        ("text\n===\n", "<p>text<br />\n===</p>"),
        ("text\n--\n", "<p>text<br />\n--</p>"),
        ("a | b\n---\n", "<p>a | b</p>|<hr />"),
    ],
)
def test_text_never_turns_into_a_heading_by_what_is_below_it(text: str, html: str) -> None:
    assert "|".join(html_of(text)) == html


def test_a_link_uses_definitions_that_settled_long_before_it() -> None:
    text = _KNOWN + "\n\na\n\n- b\n- [late]: http://b.example\n- c\n\n# [known], [late], [next]\n[next]: http://c\n"
    assert re.findall(r'href="(.*?)"', "".join(html_of(text))) == ["http://example.org/known", "http://b.example"]


def test_a_link_uses_definitions_that_stand_right_before_a_long_fence() -> None:
    html = html_of("[a]: http://a.example\n```\n" + "code\n" * 40 + "```\n[a]\n")
    assert '<a href="http://a.example"' in html[-1]


def test_a_definition_behind_a_heading_may_span_lines() -> None:
    address = "http://a.example/" + "a" * 1000
    html = html_of(f"> {'long ' * 600}\n# heading\n[a]: {address}\n'title'\n\n[a]\n")
    assert html[-1] == f'<p><a href="{address}" rel="noreferrer">a <span dir="ltr">(a.example)</span></a></p>'


@pytest.mark.slow
@pytest.mark.parametrize("label", ["a", "a{0}"])
def test_definitions_settle_as_they_come_and_the_last_one_waits_for_its_title(label: str) -> None:
    typesetter, text, first = Typesetter(), "", label.format(0)
    for number in range(200):
        definition = f"[{label.format(number)}]: http://{number}.example\n"
        typesetter.feed(definition)
        text += definition
        assert len(text) < 2000 or typesetter.blocks[-1].upto > len(text) - 2000
        shown = "".join(html_of(f"{text}'title'\n\n[{first}], [{label.format(number)}]\n"))
        addresses = [f"http://{each}.example" for each in (0, number if label != first else 0)]
        assert re.findall('href="(.*?)"', shown) == addresses and "title" not in shown


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7. a\n8. b\n9. c\n", [7, 8, 9]),
        ("1. a\n1. b\n\n1. c\n", [1, 2, 3]),
        ("0) a\n5) b\n5) c", [0, 1, 2]),
        ("1. 1. 1. deep\n      2. deeper\n1. b\n1. c\n", [1, 2, 3]),
        ("3. " + "long " * 500 + "\n" + "3. b\n" * 300, list(range(3, 304))),
        ("1. a\n2. b\n\ntext\n\n4. c\n5. d\n", [1, 2, 4, 5]),
        ("1. a\n2. b\n1) c\n2) d\n", [1, 2, 1, 2]),
        ("- 4. a\n- 4. b\n- c\n", []),
    ],
)
def test_the_numbers_of_a_list_are_carried_on(text: str, numbers: list[int]) -> None:
    assert Look("".join(html_of(text))).numbers == numbers


def test_list_items_settle_one_by_one() -> None:
    first, second = "<ul>\n<li>a</li>\n</ul>", '<ul class="on">\n<li>b</li>\n</ul>'
    assert settled("- a\n- b") == []
    assert settled("- a\n- b\n") == [first]
    assert settled("- a\n- b\n- c\n") == [first, second]
    assert html_of("- a\n- b\n") == [first, second]


def test_the_content_of_a_list_item_settles_piece_by_piece() -> None:
    text = "7. a\n   3. b\n   4. c\n\n      more of c\n\n   the end of a\n8. d\n"
    assert settled("* a\n") == []
    assert settled("* a\n  * b\n") == ["<ul>\n<li>a</li>\n</ul>"]
    nested = "* a\n  * b\n  * c\n  * d\n"
    assert [re.sub(r"\s", "", html) for html in settled(nested)] == [
        "<ul><li>a</li></ul>",
        '<ulclass="on"><liclass="on"><ul><li>b</li></ul></li></ul>',
        '<ulclass="on"><liclass="on"><ulclass="on"><li>c</li></ul></li></ul>',
    ]
    numbered = html_of("7. a\n\n   3. b\n   4. c\n   5. d\n8. e\n")
    assert Look("".join(numbered)).numbers == [7, 8]
    starts = [" ".join(re.findall(r'start="(\d+)"', html)) for html in numbered]
    assert starts == ["7", "7 3", "7 4", "7 5", "8"]
    for other in (text, "-\n  a\n\n  b\n\n  c\n", "1.      code\n\n   b\n\n   c\n", "-   a\n\n    b\n\n  c\n"):
        assert joined(other) == at_once(other)


@pytest.mark.parametrize("first", ["x", "long " * 500])
def test_a_list_item_is_never_lost_as_the_head_of_a_table(first: str) -> None:
    look = Look("".join(html_of(f"1. {first}\n2. a | b\n:-|-\n1 | 2\n")))
    assert look.numbers == [1, 2]
    assert re.sub(r"\s", "", look.text).endswith("a|b:-|-1|2")


def code_line(line: str) -> str:
    html = escape(line) + "\n"
    return f"<span>{html}</span>" if len(html) > 8 else html


@pytest.mark.parametrize("fence", ["```", "~~~~ python", "  ```", "~~~ a | b"])
def test_an_open_fence_settles_in_pieces(fence: str) -> None:
    indent = fence[: len(fence) - len(fence.lstrip())]
    code = [f"  {n} < x" if n % PIECE_LINES else "-|-" for n in range(PIECE_LINES * 5 // 2)]
    text = fence + "\n" + "".join(indent + line + "\n" for line in code)
    pres = [
        '<pre class="on"><code>' + "".join(map(code_line, code[at : at + PIECE_LINES])) + "</code></pre>"
        for at in range(0, len(code), PIECE_LINES)
    ]
    pres[0] = pres[0].replace(' class="on"', "")
    assert settled(text) == pres[:2]
    assert settled(text + fence.split()[0] + "\n") == html_of(text) == pres
    full = fence + "\n" + "x\n" * PIECE_LINES * 2 + fence.split()[0] + "\n"
    assert len(html_of(full)) == 2, "no empty piece when the fence ends with a piece"


@pytest.mark.parametrize(
    "code", ["\tx  \u2028", "|-" * 30, " " * 200 + "a", "> " * 60 + "a", "- " * 60 + "a", "&amp; \\* <b>"]
)
def test_code_is_shown_exactly(code: str) -> None:
    assert Look("".join(html_of(f"```\n{code}\n```\n"))).text == code + "\n"
    assert Look("".join(html_of(f"    {code}\n"))).text.strip("\n") == code


@pytest.mark.parametrize("after", ["", "\n", "# heading\n"])
def test_a_table_settles_in_pieces_and_its_header_is_not_repeated(after: str) -> None:
    rows = "".join(f"| {n} | a |\n" for n in range(PIECE_LINES * 5 // 2))
    tables = [html for html in html_of("| a | b |\n|--:|---|\n" + rows + after) if html.startswith("<table")]
    assert [html.count("<tr>") for html in tables] == [1 + PIECE_LINES, PIECE_LINES, PIECE_LINES // 2]
    assert [html.count("<th ") for html in tables] == [1, 0, 0]
    assert ['<table class="on">' in html for html in tables] == [False, True, True]
    shown = re.findall(r'<td class="right">(\d+)</td>\n<td data-label="b">a</td>', "".join(tables))
    assert shown == [str(n) for n in range(PIECE_LINES * 5 // 2)]


@pytest.mark.parametrize(
    "text",
    [
        *("a paragraph\nof two lines\n\n", "a paragraph\n \t\r\n", "# heading\n", "text\n---\n", "***\n"),
        *("```\ncode\n```\n", "~~~\n\n~~~\n", "| a |\n|---|\n| 1 |\n\n", "- first\n# heading\n"),
        pytest.param("long " * 600 + "\nand\nlonger\n\n", id="long paragraph"),
        pytest.param("```\n" + "a line of some length, in a fence\n" * PIECE_LINES + "```\n", id="fence"),
    ],
)
def test_a_block_that_no_later_text_can_change_settles_at_once(text: str) -> None:
    typesetter = Typesetter()
    blocks = [typesetter.feed(piece) for piece in pieces(text, [25])]
    assert blocks[-1][-1].upto == len(text)


@pytest.mark.parametrize(
    "text", ["a\n", "# a", "```\na\n``\n", "| a |\n|-|\n", "- a\n\n", "    a\n\n", "a\n\u00a0\n", "a\n\f\n"]
)
def test_a_block_that_may_still_change_does_not_settle(text: str) -> None:
    assert settled(text) == []


@pytest.mark.parametrize("before", ["", "text ", "- ", "> ", "# ", "| a |\n|---|\n| ", "```\n", "    "])
def test_raw_html_is_shown_as_text(before: str) -> None:
    for raw in ("<b onclick='x()'>a</b>", "<script>a</script>", "<!-- a -->", "<?php a ?>", "<style>"):
        assert raw in Look("".join(html_of(before + raw + "\n"))).text


_ELSEWHERE = """javascript:alert(1) JavaScript:alert(1) data:text/html,a data:image/png;base64,AA vbscript:a
    /settings settings //example.org #top ?a mailto:a@example.org ftp://example.org http:a"""


@pytest.mark.parametrize("form", ["[text]({})", "![text]({})", "<{}>", "[a]: {}\n\n[a]", "[text](<{}> 'title')"])
def test_only_the_web_is_linked(form: str) -> None:
    for target in ("", *_ELSEWHERE.split()):
        assert "href" not in "".join(html_of(form.format(target) + "\n"))
    assert 'href="http' in "".join(html_of(form.format("HTTP://example.org/a") + "\n")).lower()
    assert 'href="https://example.org/a"' in "".join(html_of(form.format("https://example.org/a") + "\n"))


def test_an_image_is_a_link_with_its_text() -> None:
    address = "http://example.org/?a&b"
    link = '<a href="http://example.org/?a&amp;b" rel="noreferrer">{}</a>'
    host = ' <span dir="ltr">(example.org)</span>'
    assert html_of(f"![a *big* <cat>]({address})") == [f"<p>{link.format('a big &lt;cat&gt;' + host)}</p>"]
    shown = link.replace(">", ' dir="ltr">', 1).format("http://example.org/?a&amp;b")
    assert html_of(f"![]({address})") == [f"<p>{shown}</p>"]
    linked = html_of(f"[![cat](http://example.org/p.png) here]({address})")
    assert linked == [f"<p>{link.format('cat here' + host)}</p>"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[the bank](https://evil.example/bank.example)", "the bank (evil.example)"),
        ("[https://bank.example/](https://evil.example/)", "https://bank.example/ (evil.example)"),
        ("[evil.example.bank](https://evil.example)", "evil.example.bank (evil.example)"),
        ("[evil.example:80@bank](https://evil.example)", "evil.example:80@bank (evil.example)"),
        ("[\u202eelpmaxe.knab](https://evil.example)", "\u202eelpmaxe.knab (evil.example)"),
        ("[bank](https://EVIL.example:8443/)", "bank (evil.example:8443)"),
        ("[](https://evil.example)", "(evil.example)"),
        ("[`bank`](https://evil.example)", "bank (evil.example)"),
        ("[bank][1]\n\n[1]: https://evil.example 'bank.example'", "bank (evil.example)"),
        ("![bank](https://evil.example)", "bank (evil.example)"),
        ("[![bank](https://bank.example)](https://evil.example)", "bank (evil.example)"),
        ("[bank](https://b\u0430nk.example)", "bank (xn--bnk-6cd.example)"),
        ("<https://b\u0430nk.example/>", "https://b\u0430nk.example/ (xn--bnk-6cd.example)"),
        ("[b\u00fccher](https://b\u00fccher.example)", "b\u00fccher (xn--bcher-kva.example)"),
        ("[a](https://[2001:db8::1]/)", "a ([2001:db8::1])"),
        ("[evil.example bank.example](https://evil.example)", "evil.example bank.example (evil.example)"),
        (
            "[evil.example/\u3000bank.example](https://evil.example)",
            "evil.example/\u3000bank.example (evil.example)",
        ),
        # The text of these is the host itself.
        ("[https://evil.example/a](https://evil.example/b)", "https://evil.example/a"),
        ("[Evil.example](https://evil.example)", "Evil.example"),
        ("[*evil.example*/a?b](http://evil.example)", "evil.example/a?b"),
        ("<https://evil.example/a>", "https://evil.example/a"),
        ("![](https://evil.example/a.png)", "https://evil.example/a.png"),
    ],
)
def test_a_link_shows_the_host_of_its_address(text: str, shown: str) -> None:
    known = text.split("\n\n")[1:]
    html = html_of("\n\n".join([*known, text.split("\n\n")[0]]) + "\n")[-1]
    assert "<a href=" in html and Look(html).text.strip() == shown


@pytest.mark.parametrize("link", ["<https://moc.knab/>", "[moc.knab](https://moc.knab)", "![](https://moc.knab)"])
def test_a_link_whose_text_is_its_address_cannot_be_reversed(link: str) -> None:
    html = "".join(html_of(f"\u202e{link}\n"))
    assert 'rel="noreferrer" dir="ltr">' in html and "span" not in html


@pytest.mark.parametrize(
    "address",
    [
        "http://bank.example@evil.example/",
        "http://bank.example\\\\@evil.example/",
        "http://user:password@evil.example/",
        "http:///evil.example/",
        "http://%65vil.example/",
        "http://evil.example%2f.bank.example/",
        "http://\u212avil.example%00/",
        "http\u017f://evil.example/",
        "http://",
        "http://?evil.example",
        "http://:80/",
        "http://evil.example:port/",
        "http://.evil.example/",
    ],
)
def test_an_address_with_an_ambiguous_host_is_no_link(address: str) -> None:
    for form in ("[text]({})", "![text]({})", "<{}>", "[a]: {}\n\n[a]"):
        assert "href" not in "".join(html_of(form.format(address) + "\n")), form


def test_no_style_is_written_into_the_html_and_cells_are_aligned_by_class(answers: list[str]) -> None:
    for before in ("", "> ", "    "):
        text = "".join(before + line + "\n" for line in ("a | b | c | d", ":--|:-:|--:|---", "1 | 2 | 3 | 4"))
        html = "".join(html_of("- item\n\n" + text if before == "    " else text))
        assert re.findall('<t[hd][^>]* class="(.*?)"', html) == ["left", "center", "right"] * 2
        assert "style" not in html
    assert not any("style=" in html for text in answers for html in html_of(text))


def directions(text: str) -> list[bool]:
    """For each block, whether it is marked as running from right to left."""
    return [bool(re.match(r'<\w+( [^>]*)? dir="rtl"', html)) for html in html_of(text)]


@pytest.mark.parametrize(
    "text", ["ف", "# ف", "> ف", "1. *ف* a", "123 (פ)", "| ف | b |\n|---|---|\n| a | b |", "ف\na"]
)
def test_a_block_that_begins_in_a_right_to_left_script_is_marked(text: str) -> None:
    assert directions(text) == [True]
    assert html_of(text)[0].count("dir=") == 1


@pytest.mark.parametrize("text", ["a فقرة", "中 فقرة", "123", "```\nفقرة\n```", "| a |\n|---|\n| ف |"])
def test_any_other_block_has_no_direction(text: str) -> None:
    assert "dir=" not in html_of(text)[0]


def test_all_pieces_of_a_table_run_in_one_direction() -> None:
    rows = "|---|---|\n" + "| a | ف |\n" * PIECE_LINES * 2
    assert directions("| ف | ق |\n" + rows) == [True, True]
    assert directions("| a | b |\n" + rows) == [False, False]


def test_a_piece_without_letters_leaves_the_direction_to_the_next() -> None:
    assert directions("- 1\n  - ف\n  - ق\n- a\n") == [False, True, True, True]


def test_the_direction_of_a_list_item_is_the_same_in_long_and_short_items() -> None:
    rest = "- a\n" * 300
    for item in ("- ف\n", "- " + "ف " * 2000 + "\n"):
        assert set(directions(item + rest)) == {True}


_HOSTILE = [
    *"[]()!*_`~<>#-+=|:\\\"'&;.1 \t\n\r\0\f\u2028\u202e\u2066éا中",
    *re.split(
        "¦", "http://¦javascript:¦\n\n¦    ¦[a]: ¦&#x¦&#0;¦xn--¦http://[::1¦%¦%ff¦@¦<!--¦<script>¦</p>¦<http://"
    ),
    *re.split(
        "¦", " onload=¦style=¦| a\n|-\n¦```\n¦![¦](¦1. ¦> ¦\n- ¦<sub>¦</sub>¦<SUP >¦</sup>¦<br/>¦**¦[^1]¦\n[^1]: "
    ),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_HOSTILE), max_size=60).map("".join) | st.text())
def test_any_text_becomes_only_allowed_tags(text: str) -> None:
    for block in typeset([text]):
        Look(block.html)


@pytest.mark.parametrize(
    "around", ["{}\n", "- [x]({})", "|![{}](http://a.example '{}')\n|-\n", "<{}>", "``` {}\n{}"]
)
def test_hostile_html_becomes_only_allowed_tags(around: str, shared: Path) -> None:
    payloads = (shared / "xss-payloads.txt").read_text("utf-8", "replace").split("\n")
    assert len(payloads) > 1000
    for payload in payloads:
        for block in typeset([around.replace("{}", payload)]):
            Look(block.html)


def test_a_list_continues_after_an_item_beyond_the_depth_limit() -> None:
    text = "".join("  " * (number % 12) + f"- x{number}\n" for number in range(36))
    look = Look("".join(html_of(text)))
    assert re.findall(r"x\d+", look.text) == [f"x{number}" for number in range(36)]
    tops = [html for html in html_of(text) if re.search(r"^<ul[^>]*>\n<li>x", html)]
    assert [re.findall(r"x\d+", html)[0] for html in tops] == ["x0", "x12", "x24"]


@pytest.mark.parametrize("depth", [15, 300])
@pytest.mark.parametrize("opening", ["> ", ">", "1. ", "- + "])
def test_nothing_is_lost_at_any_depth(opening: str, depth: int) -> None:
    *before, after = Look("".join(html_of(opening * depth + "deep\n\nafter\n"))).text.split()
    assert before[-1].endswith("deep") and after == "after"


@pytest.mark.parametrize("quote", ["", "> "])
def test_nothing_is_lost_when_each_line_is_deeper_than_the_one_before(quote: str) -> None:
    lines = [f"{quote}{'  ' * depth}- word{depth}\n" for depth in range(150)]
    text = Look("".join(html_of("".join(lines) + "\nafter\n"))).text
    assert re.findall(r"\w+", text) == [*(f"word{depth}" for depth in range(150)), "after"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [4, 20, 100, 1000])
def test_a_wide_table_of_short_rows_does_not_become_a_huge_page(columns: int) -> None:
    text = "|a" * columns + "\n" + "|-" * columns + "\n" + "x\n" * 1000
    assert sum(map(len, html_of(text))) < 150 * len(text)


def seconds(text: str) -> float:
    """CPU seconds for typesetting a text that arrives in pieces of 25 characters."""
    begin = time.process_time()
    typeset(pieces(text, [25]))
    return time.process_time() - begin


_GROWING = {
    "list item": ("- a\n", "  and a line that goes on with this very item of the list\n"),
    "table": ("| number | name | remark |\n|---|:-:|--:|\n", "| 123456 | *somebody* | `nothing` in particular |\n"),
    "open fence": ("```python\n", "    print('a line of a program that does not end', 1 < 2)\n"),
    "paragraphs": ("", "A paragraph of **plain** prose, as most of what is written.\n\n"),
    "paragraph": ("", "A line of one and the same paragraph, which goes on and on\n"),
}


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("kind", _GROWING)
def test_a_kilobyte_costs_no_more_in_a_long_block_than_in_a_short_one(kind: str) -> None:
    head, line = _GROWING[kind]
    short, long = ((head + line * (size // len(line)))[:size] for size in (4 * KIB, 256 * KIB))

    def of_a_kilobyte() -> tuple[float, float]:
        return sum(seconds(short) for _ in range(8)) / (8 * 4), seconds(long) / 256

    assert_usual_ratio(1.5, of_a_kilobyte, least=3)


@pytest.mark.slow
@pytest.mark.untraced
@pytest.mark.parametrize("prefix", ["", "> > > > > > a\n", "- a\n", "[", "    "])
def test_short_lines_cost_at_most_8_times_long_ones(prefix: str) -> None:
    long, short = ((prefix + line * 1000) for line in ("a " * 30 + "\n", "a\n"))
    assert_usual_ratio(8, lambda: (seconds(long), seconds(short)), least=3)


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("海水为什么是咸的？", ["zh-CN"]),
        ("海水為什麼是鹹的？", ["zh-TW"]),
        ("海は青い。\n\n日本", ["ja", "ja"]),
        ("바다는 짜다.", ["ko"]),
        ("日本", ["zh-CN"]),
        ("The word 海 means sea.\n\nمرحبا", [None, None]),
    ],
)
def test_a_block_in_an_east_asian_script_names_its_language(text: str, languages: list[str | None]) -> None:
    found = [re.match('<p(?: dir="rtl")?(?: lang="(.*?)")?>', html) for html in html_of(text)]
    assert [match and match[1] for match in found] == languages


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("海水为什么是咸的？因为河流带来了盐。" + "It is a long story. " * 20, ["zh-CN"]),
        ("It is a long story: " + "海水为什么是咸的？" * 20, []),
        ("- A story\n- 海水\n\n  It is long\n- 바다\n", ["zh-CN", "zh-CN", "ko"]),
        ("> 1\n>\n> 海水\n>\n> It is a story\n", ["zh-CN", "zh-CN"]),
        ("| Planet | 行星 |\n|---|---|\n" + "| 水星 | 水星 |\n" * 40, []),
        ("| | 行星 |\n|---|---|\n" + "| Mercury | Mercury |\n" * 40, ["zh-CN"] * 3),
    ],
)
def test_the_first_letters_of_a_block_decide_its_language(text: str, languages: list[str]) -> None:
    assert re.findall('lang="(.*?)"', "".join(html_of(text))) == languages


@pytest.mark.parametrize("between", ["\n>\n> ", "\n"])
@pytest.mark.parametrize("words", [("Hello", "海水"), ("海水", "Hello"), ("Hello", "فقرة"), ("فقرة", "Hello")])
def test_a_block_is_drawn_with_the_direction_and_language_with_which_it_settles(
    words: tuple[str, str], between: str
) -> None:
    text = "> " + between.join(words)
    typesetter = Typesetter()
    typesetter.feed(text + " ")
    drawn = re.findall("<blockquote(.*?)>", typesetter.tail())
    typesetter.feed("\n>\n> the end\n")
    settled = [
        re.findall("<blockquote(.*?)>", block.html)[0].replace(' class="on"', "") for block in typesetter.blocks
    ]
    assert set(settled) == set(drawn)


def test_only_alphabets_with_italics_slant() -> None:
    assert html_of("*Été* and *Ψυχή*, *海*, *بحر*") == [
        '<p><em>Été</em> and <em>Ψυχή</em>, <em class="upright">海</em>, <em class="upright">بحر</em></p>'
    ]


def test_the_first_letter_of_emphasis_decides_whether_it_slants() -> None:
    assert html_of("*“海 sea”*, *“sea 海”*, **very *海***, *1 **海***") == [
        '<p lang="zh-CN">'
        '<em class="upright">“海 sea”</em>, <em>“sea 海”</em>, <strong>very <em class="upright">海</em></strong>, '
        '<em class="upright">1 <strong>海</strong></em></p>'
    ]


@pytest.mark.parametrize("short", ["Maria Muster", "The lamp is low, the page is grey,", "秋风瑟瑟，叶落纷纷，"])
def test_the_first_line_of_verse_is_not_indented(short: str) -> None:
    poem = html_of(f"A poem:\n\n{short}\nand a second line\n\nProse, without another line.")
    assert poem[1].startswith("<p") and 'class="verse"' in poem[1] and "class" not in poem[0] + poem[2]
    long = "A line of prose that would not fit on one line of a screen\nand a second one"
    assert "class" not in html_of(f"Prose:\n\n{long}")[1]


def test_each_cell_of_a_table_has_its_columns_heading_as_a_label_for_narrow_screens() -> None:
    (html,) = html_of("| Planet | *Day* & | |\n|---|---|---|\n| Venus | 243 | x |\n| Mars | | |\n")
    assert '<td>Venus</td>\n<td data-label="Day &amp;">243</td>\n<td>x</td>' in html
    assert "<td>Mars</td>\n<td></td>" in html, "an empty cell needs no label"
    long = html_of("| a | " + "b" * 1000 + " |\n|---|---|\n| 1 | 2 |\n")[0]
    assert f'data-label="{"b" * 39}…"' in long
    words = html_of("| a | " + "word " * 20 + " |\n|---|---|\n| 1 | 2 |\n")[0]
    assert f'data-label="{"word " * 6}word…"' in words, "it is cut between words"


@pytest.mark.parametrize(("columns", "is_stacked"), [(4, False), (5, True)])
def test_the_rows_of_a_table_of_many_columns_are_stacked_from_the_start(columns: int, is_stacked: bool) -> None:
    rows = "|a" * columns + "\n" + "|-" * columns + "\n" + ("|b" * columns + "\n") * (PIECE_LINES + 1)
    assert ["stacked" in html for html in html_of(rows)] == [is_stacked] * 2
    assert html_of(rows)[1].startswith('<table class="stacked on">' if is_stacked else '<table class="on">')


@pytest.mark.parametrize(
    ("row", "is_stacked"),
    [
        ("| some words | other words, many of them, but none is long |", False),
        ("| internationalization | counterrevolutionaries |", True),
        ("| internationalization | **well** |", False),
        ("| [a](http://example.org/a/path/of/many/characters) | b |", False),
        ("| http://example.org/a/path/of/many/characters | b |", True),
        ("| well-known and long-winded-words-with-hyphens-in-them | b |", False),
        ("| 海水为什么是咸的？雨水略带酸性。雨水流过岩石时，会溶解极少量的矿物质， | b |", False),
        ("| one<br>two<br>three<br>four<br>five<br>six<br>seven<br>eight | b |", False),
    ],
)
def test_the_rows_of_a_table_whose_words_are_too_long_are_stacked_from_the_start(
    row: str, is_stacked: bool
) -> None:
    (html,) = html_of(f"| a | b |\n|---|---|\n{row}\n")
    assert html.startswith('<table class="stacked">' if is_stacked else "<table>\n")


def test_short_cells_in_east_asian_scripts_are_words() -> None:
    (html,) = html_of("| 名称 | 说明 |\n|---|--:|\n| 苹果 | 三元 |\n| 一二三四五六七 | Tea |\n| 绿 茶 | 茶 |\n")
    assert html.count('<th class="word">') == 1 and html.count('<th class="right word">') == 1
    assert all(f'class="{name}">{word}' in html for name, word in (("word", "苹果"), ("right word", "三元")))
    assert all(f"<td>{text}</td>" in html for text in ("一二三四五六七", "绿 茶"))


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("eight ch", 0),
        ("   three", 0),
        ("    four of them", 1),
        ("         nine", 2),
        ("\ta tab, and words", 2),
        (" " * 16 + "a", 4),
        (" " * 60 + "a", 4),
    ],
)
def test_a_line_of_code_has_its_level_of_indentation(line: str, level: int) -> None:
    (html,) = html_of(f"```\n{line}\n```\n")
    opening = f'<span class="in{level}">' if level else "<span>"
    assert html == f"<pre><code>{opening}{line}\n</span></code></pre>"
    assert html_of("```\nshort\n\n  \nseven c\n```\n") == ["<pre><code>short\n\n  \nseven c\n</code></pre>"]


def test_the_tail_is_the_open_text_up_to_its_last_word_and_changes_nothing() -> None:
    typesetter = Typesetter()
    typesetter.feed("Settled.\n\nOpen *text* and a wor")
    assert typesetter.tail() == "<p>Open <em>text</em> and a</p>"
    typesetter.feed("d.\n\n")
    assert [block.html for block in typesetter.blocks] == [
        "<p>Settled.</p>",
        "<p>Open <em>text</em> and a word.</p>",
    ]
    assert typesetter.tail() == ""
