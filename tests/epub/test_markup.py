"""Markup, right or wrong, to elements and text: whole, in any pieces, and within bounds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratios import assert_usual_ratio

from kindle_appliance.epub import markup as module
from kindle_appliance.epub.markup import MOST_HELD, Markup
from kindle_appliance.epub.unreadable import GROWS, Unreadable


class Log:
    """What a document holds, as a list: `<p>`, `</p>`, and text that stands together as one."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.attributes: list[Mapping[str, str]] = []

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        self.found.append(f"<{name}/>" if is_empty else f"<{name}>")
        if attributes:
            self.attributes.append(attributes)

    def end(self, name: str) -> None:
        self.found.append(f"</{name}>")

    def text(self, text: str) -> None:
        if self.found and not self.found[-1].startswith("<"):
            self.found[-1] += text
        elif text:
            self.found.append(text)


class Nobody:
    """Takes everything and keeps nothing."""

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


def log(*texts: str) -> Log:
    found = Log()
    Markup().read(texts, found)
    return found


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("<p>One</p>", ["<p>", "One", "</p>"]),
        ("<P class=x>One<BR>two</P >", ["<p>", "One", "<br>", "two", "</p>"]),
        ("<p/><a id='1'/>", ["<p/>", "<a/>"]),
        ("<h:p xmlns:h='x'>a</h:p><epub:switch>", ["<p>", "a", "</p>", "<switch>"]),
        ("a<!-- <p> -- > -->b", ["ab"]),
        ("a<!-- not closed <p>b</p>", ["a"]),
        ("<![CDATA[<p> & ]] ]>]]>b", ["<p> & ]] ]>b"]),
        ("<?xml version='1.0'?><?php a ?>b", ["b"]),
        ("<?xml version='1.0'>b", ["b"]),
        ("<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.1//EN\" '>'>b", ["b"]),
        ("<!DOCTYPE html>b<![if !x]>c<![endif]>", ["bc"]),
        ("<!doctype html [<!-- ] > ' --><!ENTITY a 'A]>'> <!ELEMENT p ANY>]>&a;b", ["A]>b"]),
        ("<script>if (a<b && '</p>') {}</script>c", ["<script>", "</script>", "c"]),
        ("<script src='x'/>c<STYLE>p > a</STYLE>d", ["<script/>", "c", "<style>", "</style>", "d"]),
        ("<script>never closed", ["<script>"]),
        ("1 < 2 <3 && 4 &lt; 5 &nbsp;&eacute;&#xe9; &unknown; &", ["1 < 2 <3 && 4 < 5 \xa0éé &unknown; &"]),
        ("<p title='a > b'>c", ["<p>", "c"]),
        ("<p title='a>b<i>c</i>", ["<p>", "b", "<i>", "c", "</i>"]),
        ('<p title=\'a>b<i t="x>y">c</i>', ["<p>", "b", "<i>", "c", "</i>"]),
        ("<p <b>c", ["<p>", "c"]),
        ("</>a</ p>b</p", ["ab"]),
        ("<a href=x/>y</a>", ["<a/>", "y", "</a>"]),
        ("", []),
    ],
)
def test_elements_and_text_are_found_in_right_and_wrong_markup(document: str, found: list[str]) -> None:
    assert "".join(log(document).found) == "".join(found)


def test_attributes_have_their_values_however_they_are_written() -> None:
    (attributes,) = log("<a ID=\"1\" href='x?a=1&amp;b=\"2\"' hidden data-x = y epub:type=z id=2 q='>'>").attributes
    assert attributes == {
        **{"id": "1", "href": 'x?a=1&b="2"', "hidden": "", "data-x": "y", "epub:type": "z", "q": ">"},
    }


UNITS = (
    "<p>|</p>|<|>|&amp;|&|&#x41;|<!--|-->|<![CDATA[|]]>|<script>|</scr|ipt>|<!DOCTYPE| html [|<!ENTITY e 'E'>|]>"
    "|&e;|<a b='|\"|'|<?|?>|text|<style/>|</|/>| |\n|é|字|;|-|]|!|="
)
PIECES = st.lists(st.sampled_from(UNITS.split("|")), max_size=40)


@given(PIECES, st.data())
def test_a_document_is_the_same_in_any_pieces(pieces: list[str], data: st.DataObject) -> None:
    document = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(document)), max_size=8)))
    parts = [document[start:end] for start, end in zip([0, *cuts], [*cuts, len(document)], strict=True)]
    whole = "".join(log(document).found)
    assert "".join(log(*parts).found) == whole
    assert "".join(log(*document).found) == whole


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_is_read_without_an_error(document: str) -> None:
    log(document)


@pytest.mark.parametrize("size", [MOST_HELD - 20, MOST_HELD + 20, 3 * MOST_HELD])
@pytest.mark.parametrize("step", [1000, 10**7])
def test_a_tag_with_a_picture_in_it_is_no_text(size: int, step: int) -> None:
    document = f"a<img alt='x' src='data:image/png;base64,{'A' * size}'/>b"
    found = log(*(document[at : at + step] for at in range(0, len(document), step)))
    assert "".join(found.found).replace("<img/>", "") == "ab"


HOSTILE = {
    "tags that never end": "<a ",
    "quotation marks that never end": "<a b=\"'",
    "comments": "<!--",
    "closed comments": "<!---->",
    "declarations": "<!",
    "document types": "<!DOCTYPE [<!--",
    "document types with a quotation mark": "<!DOCTYPE [ '>",
    "document types with a comment": "<!DOCTYPE [<!-->",
    "long names": "<" + "a" * 100_000,
    "long names of attributes": "<a " + "a" * 100_000,
    "values": "<a b='" + "a" * 50_000 + "' c='",
    "one quotation mark": "<a '>",
    "quotation marks of two kinds": "<a '><b \">",
    "quotation marks around the end": '<a ">"',
    "CDATA": "<![CDATA[",
    "scripts": "<script>",
    "ends of scripts": "<script></scrip",
    "instructions": "<?",
    "signs": "<",
    "ampersands": "&",
    "entities": "&a",
    "numbers": "&#1",
    "attributes": "<p " + "a=b " * 100 + ">",
    "spaces in tags": "<p a" + " " * 1000 + ">",
    "tags": "<p></p>",
    "text": "word ",
}


def seconds(unit: str, size: int) -> float:
    """The time to read a document of this unit again and again, and half a millisecond that noise may cost."""
    document = (unit * (size // len(unit) + 1))[:size]
    started = time.thread_time()
    Markup().read((document[at : at + 16384] for at in range(0, size, 16384)), Nobody())
    return time.thread_time() - started + 0.0005


@pytest.mark.slow
@pytest.mark.parametrize("size", [MOST_HELD // 16, 4 * MOST_HELD])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_with_the_document_and_not_faster(unit: str, size: int) -> None:
    assert_usual_ratio(12, lambda: (seconds(unit, size), seconds(unit, 6 * size)), of="six times the document")


SIGNS = st.lists(st.sampled_from(["<", ">", '"', "'", "/", "=", "a", " ", "<!--", "-->"]), min_size=1, max_size=10)


@given(SIGNS.map("".join))
def test_no_unit_that_is_repeated_takes_more_time_than_its_length(unit: str) -> None:
    size = MOST_HELD // 16
    assert_usual_ratio(16, lambda: (seconds(unit, size), seconds(unit, 8 * size)), of="eight times the document")


def test_markup_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 1000)
    for unit in ("<a>", "<", "<!---->", "<?>", "&a;"):
        with pytest.raises(Unreadable) as error:
            log(unit * 1001)
        assert error.value.sentence == GROWS, unit
    log("<a>" * 999 + "text" * 10_000)


@pytest.mark.parametrize(
    "subset",
    [
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">',
        "<!ENTITY b SYSTEM 'x'><!ENTITY c '&b;'>",
        f"<!ENTITY a '{'ha' * 2000}'>",
        "<!ENTITY % a \"<!ENTITY b '%c;'>\">",
        "".join(f"<!ENTITY a{number} 'x'>" for number in range(1500)),
    ],
)
def test_entities_that_would_grow_are_refused(subset: str) -> None:
    with pytest.raises(Unreadable) as error:
        log(f"<!DOCTYPE html [{subset}]><p>&b;</p>")
    assert error.value.sentence == GROWS


def test_an_entity_that_stands_for_another_file_is_nothing() -> None:
    document = (
        '<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y PUBLIC "y" "http://[::1]/">]><p>a&x;b&y;'
    )
    assert log(document).found == ["<p>", "ab"]


def test_a_number_with_thousands_of_digits_is_text() -> None:
    assert log("&#" + "9" * 30 + ";").found == ["\ufffd"]
    number = "&#" + "9" * 6000 + ";"
    assert "".join(log(number).found) == number


class Standard(HTMLParser):
    """The same log from the standard library's HTML parser."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()

    def handle_data(self, data: str) -> None:
        self.log.text(data)

    def handle_endtag(self, tag: str) -> None:
        self.log.end(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.log.start(tag, {name: value or "" for name, value in attrs}, is_empty=False)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.log.start(tag, {name: value or "" for name, value in attrs}, is_empty=True)


INLINE = "a|b c|&amp;|&eacute;|<br/>|<i>x</i>|<a href='x'>y</a>|<!-- z -->|<hr>"


@given(st.lists(st.lists(st.sampled_from(INLINE.split("|")), max_size=6), max_size=6))
def test_sound_documents_read_as_with_the_standard_library(paragraphs: list[list[str]]) -> None:
    document = "<!DOCTYPE html><html><body>" + "".join(f"<p class='x'>{''.join(each)}</p>" for each in paragraphs)
    standard = Standard()
    standard.feed(document)
    standard.close()
    own = log(document)
    assert own.found == standard.log.found
    assert own.attributes == standard.log.attributes
