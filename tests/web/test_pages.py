"""The HTML of pages: their content, escaped, in the reader's language. Tests in browsers look at the rendering."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import ROOT

from kindle_appliance.answers.answer import News, Tail
from kindle_appliance.ending import Ending, Finish, Passed
from kindle_appliance.host.mdns import Snapshot, State
from kindle_appliance.sentences import CHINESE, ENGLISH, Sentence
from kindle_appliance.storage.chats import Hit, Hits
from kindle_appliance.storage.reports import Report
from kindle_appliance.storage.rows import ChatSummary, Place, Turn
from kindle_appliance.storage.waiting import WaitingTurn
from kindle_appliance.typesetting.typesetter import Block
from kindle_appliance.web import templates
from kindle_appliance.web.answerers import Answerer
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.listed import when
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.reader import Reader

WEB = ROOT / "kindle_appliance" / "web"
NASTY = "<script>alert(1)</script> \"'&amp; {{_('Ask')}} {{!style}} </textarea></title>\n% import os\n"
ENGLISH_READER = Reader(ENGLISH)
NOON = datetime(2026, 11, 22, 12, 0).timestamp()
NOTE = Sentence("Nothing has been asked yet.")
PASSED = Ending(Finish.COMPLETE, None, "b", 7, 1, passed=(Passed("a", Sentence("It had a problem.")),))
FIGURES = re.findall(r'report\.figures\["(\w+)"\]', (templates.STATIC / "reports.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages(Layout(False))


class Tags(HTMLParser):
    """The elements of a page. Fails unless each opened element is closed."""

    VOID = ("meta", "link", "input", "br", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


def turn(question: str = "Why?", ending: Ending | None = None) -> Turn:
    return Turn(7, 3, 2, question, NOON, "", ending)


def news(ending: Ending | None, *blocks: str) -> News:
    settled = [Block(html, (index + 1) * 10) for index, html in enumerate(blocks)]
    return News(settled, None if ending else Tail("<p>the tail</p>"), ending)


OUT = Ending(Finish.FAILED, back_at=NOON + 3600)
WAITS = {chat: WaitingTurn(9, chat, NOON + 3600, NOON) for chat in (2, 3)}


def all_pages(pages: Pages, language: str, text: str) -> list[str]:
    chats = [ChatSummary(3, text, 2, NOON, True, 9), ChatSummary(2, text, 1, NOON - 86400, False, 8)]
    note = Sentence("Please type a question first.")
    return [
        pages.asking(Reader(language), "form-id", chats, NOON),
        pages.asking(Reader(language), "form-id", (), NOON, question=text, chat=chats[0], note=note),
        pages.reading(Reader(language), turn(text), Place(2, 0, 0), news(None, "<p>one</p>"), "form-id"),
        pages.reading(
            Reader(language), turn(text), Place(2, 0, 0), news(Ending(Finish.COMPLETE), "<p>one</p>"), "form-id"
        ),
        pages.reading(Reader(language), turn(text), Place(2, 0, 0), news(OUT), "form-id", now=NOON),
        pages.reading(Reader(language), turn(text), Place(2, 0, 0), news(OUT), "form-id", now=NOON, waits=WAITS[3]),
        pages.asking(Reader(language), "form-id", chats, NOON, waiting=WAITS),
        pages.list(Reader(language), chats, NOON, waiting=WAITS),
        pages.list(Reader(language), chats, NOON),
        pages.list(Reader(language), chats, NOON, has_newer=True, has_older=True),
        pages.found(Reader(language), text, Hits([Hit(chats[0], 1, NOON, text)], 7), NOON, 9, note),
        pages.found(Reader(language), "", Hits([], None), NOON, None, note),
        pages.edit(Reader(language), replace(chats[0], name=text)),
        pages.edit(Reader(language), chats[0], text, note),
        pages.deletion(Reader(language), chats[0]),
        pages.message(Reader(language), Sentence("There is no such page here.")),
        pages.pin(Reader(language), "/chats", "0123", note),
        *[pages.addresses(Reader(language), (), 80, Snapshot(state)) for state in State],
        pages.about(Reader(language)),
        *[pages.why(Reader(language), turn(text), each) for each in (PASSED, Ending(Finish.FAILED))],
        pages.check(Reader(language), NOON),
        pages.reports(Reader(language), [Report(NOON, {"device": text, "row": text, text: [text, {}]})], NOON),
        pages.reports(Reader(language), (), NOON),
    ]


class Skeleton(HTMLParser):
    """The elements, attributes and texts of a page, in order, with a mark in each place of a value."""

    MARK = "(here)"

    def __init__(self, page: str, value: str) -> None:
        super().__init__()
        self._value = value
        self.parts: list[object] = [""]
        self.feed(page)
        self.close()
        self.marks = str(self.parts).count(self.MARK)

    def _marked(self, text: str | None) -> str:
        # As typed, as the title of a chat, and in an address.
        for value in (self._value, " ".join(self._value.split()), quote(self._value, safe="")):
            text = (text or "").replace(value, self.MARK)
        return text or ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts += [tag, [(name, self._marked(value)) for name, value in attrs], ""]

    def handle_endtag(self, tag: str) -> None:
        self.parts += [f"/{tag}", ""]

    def handle_data(self, data: str) -> None:
        self.parts[-1] = self._marked(f"{self.parts[-1]}{data}")

    def handle_comment(self, data: str) -> None:
        raise AssertionError("no page has a comment")


def pages_full_of(text: str, language: str) -> list[str]:
    """Every page, with `text` in each place for foreign text: from readers, browsers, the owner, the network, the
    model's name, the reason of an error.
    """
    answerers = [Answerer(text, text), Answerer("b", text, text, text), Answerer(text, "c", "d", terms=NOTE)]
    pages = Pages(Layout(True), starters=[text], follow_ups=[text, "More", text], answerers=answerers)
    reader = Reader(language)
    note = Sentence("Gemini stopped writing for a reason of its own (%(reason)s).", reason=text)
    mdns = Snapshot(State.UP, text, (), note)
    chats = [ChatSummary(3, text, 2, NOON, True, 9)]
    found = [
        *all_pages(pages, language, text),
        pages.asking(reader, text, chats, NOON, question=text, note=note),
        pages.message(reader, note),
        pages.pin(reader, text, text, note),
        pages.addresses(reader, [text], 8080, mdns),
        pages.reports(reader, [Report(NOON, {name: text for name in (*FIGURES, text)})], NOON),
        pages.reading(reader, turn(text), Place(2, 0, 0), News([], None, None, (note,)), text),
    ]
    for finish in Finish:
        ending = Ending(finish, note, model=text, rung=1, passed=(Passed(text, note), Passed("b", note)))
        asked = Turn(7, 3, 1, text, NOON, "It says " + text, ending)
        found.append(pages.reading(reader, asked, Place(2, 0, 0), news(ending, "<p>one</p>"), text, note))
        found.append(pages.why(reader, asked, ending))
    return found


class Offers(HTMLParser):
    """What the end of an answer's page offers: the labels of its links and buttons, and the fields of its forms."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.fields: dict[str, str | None] = {}
        self._opened = ""
        self.feed(page.partition('id="after"')[2].partition('id="sent"')[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._opened = tag
        if values.get("type") == "submit":
            self.labels.append(values["value"] or "")
        if "name" in values:
            self.fields[values["name"] or ""] = values["value"]

    def handle_data(self, data: str) -> None:
        if self._opened in ("a", "b", "button") and data.strip():
            self.labels.append(data)


@pytest.mark.parametrize("finish", Finish)
def test_an_answer_that_ended_before_its_first_word_offers_to_ask_again_and_nothing_else(
    pages: Pages, finish: Finish
) -> None:
    for rung in (0, 2):
        ending = Ending(finish, Sentence("Please type a question first."), next_rung=rung)
        page = pages.reading(ENGLISH_READER, turn("A <b>?", ending), Place(2, 0, 0), news(ending), "form-id")
        offers = Offers(page)
        if finish is Finish.BLOCKED:  # it would be blocked again
            assert offers.labels[-2:] == ["Type a question", "New question"] and "Ask again" not in offers.labels
            continue
        assert f'class="reading ended {finish} empty"' in page
        assert offers.labels == ["Ask again"]
        # Of the model that has been silent no answer is to be expected.
        assert offers.fields == {"chat": "3", "form": "form-id", "question": "A <b>?", "rung": str(rung)}


def test_an_answer_that_has_begun_or_cannot_be_asked_for_offers_the_way_to_another_question(pages: Pages) -> None:
    stopped, broken_off = Ending(Finish.STOPPED), Ending(Finish.INTERRUPTED)
    begun = pages.reading(
        ENGLISH_READER, turn("Why?", stopped), Place(2, 0, 0), news(stopped, "<p>one</p>"), "form-id"
    )
    damaged = pages.reading(ENGLISH_READER, turn("", broken_off), Place(2, 0, 0), news(broken_off), "form-id")
    assert Offers(begun).labels == ["Simpler", "Shorter", "More", "An example", "Type a question", "New question"]
    assert Offers(damaged).labels[-2:] == ["Type a question", "New question"]
    assert "Go on" not in Offers(damaged).labels
    assert " empty" not in re.findall('<body class="([^"]*)"', begun + damaged)


def test_an_empty_note_is_marked_by_its_class(pages: Pages) -> None:
    # PhantomJS (WebKit 534) never shows what was once hidden by `:empty`, whatever a script writes into it.
    found = [
        (" blank" in each[1], not each[2])
        for page in pages_full_of("Why?", ENGLISH) + all_pages(pages, ENGLISH, "Why?")
        for each in re.finditer(r'<p class="(note[^"]*)"[^>]*>([^<]*)</p>', page)
    ]
    assert set(found) == {(False, False), (True, True)}


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "</textarea></title></style><!-- <b",
        "\" onclick='alert(1)' x=\"",
        "&lt;b&gt; &amp;quot;",
        "{{x}} {{!x}} {{_('Ask')}}",
        "a\n% import os\n  % raise KeyError\nb",
        "<% raise KeyError %> \\\\",
        "$style ${Ask} %(count)d %s",
    ],
)
def test_foreign_text_is_escaped_in_each_of_its_places(hostile: str, language: str) -> None:
    plain = "plain"
    for page, expected in zip(pages_full_of(hostile, language), pages_full_of(plain, language), strict=True):
        found, wanted = Skeleton(page, hostile), Skeleton(expected, plain)
        assert found.parts == wanted.parts
        assert found.marks == wanted.marks == len(re.findall(r"\bplain\b(?!;)", expected))


def test_typeset_html_is_inserted_unchanged(pages: Pages) -> None:
    html = "<pre><code>{{x}} {{!x}} <b>'\"&amp;</b>\n% import os\n<% x %> \\\\\n</code></pre>"
    page = pages.reading(ENGLISH_READER, turn(), Place(1, 0, 0), news(None, html, html), "f")
    assert f'id="text">{html}{html}</div>' in page


def test_no_page_shows_a_part_of_its_template(pages: Pages) -> None:
    for page in all_pages(pages, ENGLISH, "Why?"):
        html = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
        assert not re.search(r"\{\{|\}\}|^ *%|\\\\$", html, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(WEB.glob("*.py")), ids=lambda path: path.stem)
def test_html_stands_in_templates_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            assert not re.search(r"<!|</?[A-Za-z][A-Za-z0-9]*[\s>]", node.value), node.value


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_every_page_is_well_formed_with_hostile_text(pages: Pages, language: str) -> None:
    for page in all_pages(pages, language, NASTY):
        tags = Tags(page)
        assert tags.seen.count("script") == 2 and tags.seen.count("title") == 1
        assert "alert(1)</script>" not in page


def test_the_typed_question_comes_back_exactly(pages: Pages) -> None:
    class Field(HTMLParser):
        text = ""
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "textarea"

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

        def handle_data(self, data: str) -> None:
            self.text += data if self.inside else ""

    field = Field()
    field.feed(pages.asking(ENGLISH_READER, "f", (), NOON, question="\n" + NASTY + "\n two lines"))
    # Browsers drop one line break after the tag (HTML standard, 13.2.6.4.7); html.parser does not.
    assert field.text == "\n" + "\n" + NASTY + "\n two lines"


def test_no_chinese_page_has_an_english_word(pages: Pages) -> None:
    known = {"Gemini", "appliance", "html", "lang", "Aa", "JavaScript", "Kindle", "Cookie", "http"}
    for page in all_pages(pages, CHINESE, "海"):
        body = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>|&\w+;", " ", body)))
        assert words - known <= {"one", "the", "tail"}, words


def test_the_page_of_a_growing_answer_has_its_script_and_the_settled_blocks(pages: Pages) -> None:
    page = pages.reading(ENGLISH_READER, turn(), Place(2, 0, 0), news(None, "<p>one</p>", "<p>two</p>"), "f")
    assert "<p>one</p><p>two</p></div>" in page
    assert '<noscript class="text"><p>the tail</p></noscript>' in page
    assert '{"answer": 7, "upto": 20, ' in page
    assert "2 of 2" in page and 'action="/answers/7/stop" method="post"' in page


def test_the_page_of_an_ended_answer_follows_nothing_and_says_how_it_ended(pages: Pages) -> None:
    ending = Ending(Finish.INTERRUPTED, Sentence("Gemini's answer broke off here."))
    page = pages.reading(ENGLISH_READER, turn(ending=ending), Place(1, 0, 0), news(ending, "<p>one</p>"), "f")
    assert "xhr.open('GET'" not in page and "Gemini&#039;s answer broke off here." in page
    assert 'class="reading ended interrupted"' in page and "2 of 1" not in page


def test_an_answer_with_text_can_go_on_although_a_full_card_could_not_store_it(pages: Pages) -> None:
    ending = Ending(Finish.INTERRUPTED)
    assert ">Go on</button>" in pages.reading(
        ENGLISH_READER, turn(), Place(2, 0, 0), news(ending, "<p>one</p>"), "f"
    )
    assert ">Go on</button>" not in pages.reading(ENGLISH_READER, turn(), Place(2, 0, 0), news(ending), "f")


def test_the_addresses_stand_in_the_order_in_which_they_work(pages: Pages) -> None:
    taken = Sentence("%(name)s belongs to %(address)s.", name="kindle.local", address="10.0.0.9")
    up = Snapshot(State.UP, "kindle-2.local", ("192.168.1.23",), taken)
    page = pages.addresses(ENGLISH_READER, ["192.168.1.23", "10.0.0.7"], 80, up)
    urls = ["http://192.168.1.23/", "http://10.0.0.7/", "http://kindle-2.local/"]
    assert re.findall(r'<a href="(http:[^"]*)">\1</a>', page) == urls
    assert "kindle.local belongs to 10.0.0.9." in page
    page = pages.addresses(Reader(CHINESE), ["192.168.1.23"], 8080, Snapshot(State.FAILED, reason=taken))
    assert "http://192.168.1.23:8080/" in page and "10.0.0.9" in page and "belongs" not in page
    page = pages.addresses(ENGLISH_READER, ["192.168.1.23"], 80, Snapshot(State.PROBING, "kindle.local"))
    assert "http://kindle.local" not in page, "not before the name is ours"


def test_a_report_is_shown_in_words_with_its_unknown_figures(pages: Pages) -> None:
    report = {
        **{"page": "600 x 706", "answers": True, "storage": False, "keyboard": None, "lacks": ["bind", "trim"]},
        **{"untested": [], "clock": -3.5, "colour": "grey", "more": {"a": 1, "b": True}, "row": "| ? | x |"},
    }
    page = pages.reports(ENGLISH_READER, [Report(NOON, report), Report(NOON - 86400, {})], NOON)
    cells = dict(re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", page.partition("yesterday")[0]))
    assert (cells["Page"], cells["Answers while they are written"], cells["Storage"]) == ("600 x 706", "yes", "no")
    assert (cells["Page above the keyboard"], cells["JavaScript lacks"]) == ("not tested", "bind, trim")
    assert (cells["JavaScript, not tested"], cells["Clock, seconds ahead"], cells["Engine"]) == ("-", "-3.5", "")
    assert (cells["colour"], cells["more"]) == ("grey", "a: 1, b: yes"), "unknown figures are shown too"
    assert re.search(r"today, 12:00.*\| \? \| x \|.*yesterday, 12:00", page, re.DOTALL)
    assert "是" in pages.reports(Reader(CHINESE), [Report(NOON, report)], NOON)


@pytest.mark.parametrize(
    ("question", "is_upright", "is_right_to_left"),
    [
        ("Why?", False, False),
        ("Pourquoi l'été – déjà?", False, False),
        ("为什么?", True, False),
        ("لماذا؟", True, True),
    ],
)
def test_a_question_is_set_as_its_script_wants(
    pages: Pages, question: str, is_upright: bool, is_right_to_left: bool
) -> None:
    page = pages.reading(ENGLISH_READER, turn(question), Place(1, 0, 0), news(None), "f")
    match = re.search(r'<div class="question([^"]*)"([^>]*)>', page)
    assert match
    assert ("upright" in match[1], "rtl" in match[2]) == (is_upright, is_right_to_left)


def test_emoji_are_left_out_of_questions_and_titles_but_not_of_fields(pages: Pages) -> None:
    question = "🌊 Why is the sea 🧂 salty ✅?"
    chat = ChatSummary(1, question, 1, NOON, False, 9, name="🌊 Sea")
    asked = turn(question, Ending(Finish.FAILED))
    page = pages.reading(ENGLISH_READER, asked, Place(1, 0, 0), news(asked.ending), "f")
    assert ">Why is the sea salty ✓?</div>" in page and "<title>Why is the sea salty ✓?</title>" in page
    assert f'value="{question}"' in page, "what is asked again is what was asked"
    hit = Hit(chat, 1, NOON, "the sea 🧂 salty")
    for listed in (
        pages.list(ENGLISH_READER, [chat], NOON),
        pages.found(ENGLISH_READER, "a", Hits([hit], 7), NOON, None, None),
    ):
        assert ">Sea<" in listed and "🌊" not in listed and "🧂" not in listed
    assert 'value="🌊 Sea"' in pages.edit(ENGLISH_READER, chat)
    assert ">👋</div>" in pages.reading(ENGLISH_READER, turn("👋"), Place(1, 0, 0), news(None), "f")


def test_long_questions_are_shortened_in_lists_only(pages: Pages) -> None:
    long = "word " * 200
    listed = pages.list(ENGLISH_READER, [ChatSummary(1, long, 1, NOON, False, 9)], NOON)
    assert listed.count("word ") < 20 and "…" in listed
    assert pages.reading(ENGLISH_READER, turn(long), Place(1, 0, 0), news(None), "f").count("word ") > 200


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 11, 22, 9, 5), "today, 09:05"),
        (datetime(2026, 11, 21, 23, 59), "yesterday, 23:59"),
        (datetime(2026, 11, 20, 9, 5), "on 2026-11-20"),
        (datetime(2025, 11, 22, 9, 5), "on 2025-11-22"),
    ],
)
def test_times_are_worded_relative_to_today(moment: datetime, said: str) -> None:
    assert str(when(moment.timestamp(), NOON)) == said
