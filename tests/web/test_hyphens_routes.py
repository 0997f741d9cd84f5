"""Soft hyphens on the wire: only for a browser that breaks lines there, and never waited for."""

from __future__ import annotations

import json
import re
import threading

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, answered

from kindle_appliance.text.hyphens import SOFT_HYPHEN, Hyphens, Words

TEXT = "The reforms of Diocletian had strengthened the bureaucracy.\n\nThe communities of the frontier.\n"
BREAKS = {"Cookie": "hyphens=1", "Accept_Language": "en"}


def page_of(house: House, path: str, **headers: str) -> str:
    response = house.get(path, **headers)
    assert response.status == 200
    return response.data.decode()


def language_of(page: str) -> str:
    """The language that the script of a page asks for."""
    given = re.search(r'<script type="application/json" id="given">(\{.*\})</script>', page)
    assert given
    return str(json.loads(given[1])["hyphens"])


@pytest.mark.parametrize("cookie", ["", "hyphens=0", "hyphens=2", "look=48"])
def test_without_the_cookie_a_page_is_ragged_and_has_no_soft_hyphens(
    gemini: FakeGemini, house: House, cookie: str
) -> None:
    house.hyphenate()
    page = page_of(house, answered(gemini, house, TEXT), Cookie=cookie)
    assert SOFT_HYPHEN not in page and '<div class="text" id="text">' in page


def test_with_the_cookie_a_stored_answer_is_justified_and_has_soft_hyphens(
    gemini: FakeGemini, house: House
) -> None:
    house.hyphenate()
    path = answered(gemini, house, TEXT)
    page = page_of(house, path, **BREAKS)
    assert '<div class="text justified" id="text">' in page
    assert "strength\u00adened the bureau\u00adcracy" in page and "com\u00admu\u00adni\u00adties" in page
    assert SOFT_HYPHEN not in page_of(house, path), "the next reader has another browser"


def test_an_answer_that_is_written_comes_with_them_to_the_page_that_asks_for_them(
    gemini: FakeGemini, house: House
) -> None:
    house.hyphenate()
    house.ask("Why did the empire fall?")
    call = gemini.next_call()
    call.start()
    page = page_of(house, "/chats/1/1", **BREAKS)
    assert '<div class="text justified" id="text">' in page and language_of(page) == "en"
    with (
        house.follow("/answers/1?as=events&hyphens=en") as divided,
        house.follow("/answers/1?as=events&hyphens=") as plain,
    ):
        call.text("The reforms of Diocletian had ")
        divided.read_until("had")
        call.text("strengthened the bureaucracy.\n\nThe communities of ")
        divided.read_until("ties of")
        plain.read_until("communities of")
        assert divided.state.blocks == [
            "<p>The reforms of Dio\u00adcle\u00adtian had strength\u00adened the bureau\u00adcracy.</p>"
        ]
        assert plain.state.blocks == ["<p>The reforms of Diocletian had strengthened the bureaucracy.</p>"]
        assert divided.state.tail == "<p>The com\u00admu\u00adni\u00adties of</p>"
        assert plain.state.tail == "<p>The communities of</p>" and plain.state.upto == divided.state.upto
        page = page_of(house, "/chats/1/1", **BREAKS)
        assert f'<noscript class="text justified">{divided.state.tail}</noscript>' in page
        poll = house.get("/answers/1?as=events&hyphens=en&wait=0").data.decode()
        assert "bureau\u00adcracy" in poll and "com\u00admu\u00adni\u00adties" in poll
        call.finish("the frontier.")
        divided.read_until('"complete"')


def test_raw_text_and_searches_have_none(gemini: FakeGemini, house: House) -> None:
    house.hyphenate()
    answered(gemini, house, TEXT)
    assert house.get("/answers/1?as=text&hyphens=en", **BREAKS).data.decode() == TEXT
    found = page_of(house, "/chats?q=bureaucracy", **BREAKS)
    assert "/chats/1/1" in found and SOFT_HYPHEN not in found


@pytest.mark.parametrize("language", ["de", "xx", "../en", "en%00"])
def test_a_wrong_language_gets_no_hyphens(gemini: FakeGemini, house: House, language: str) -> None:
    house.hyphenate()
    answered(gemini, house, TEXT)
    response = house.get(f"/answers/1?as=events&hyphens={language}")
    assert response.status == 200 and SOFT_HYPHEN not in response.data.decode()


def test_hyphens_that_the_model_has_sent_stay_as_they_are(gemini: FakeGemini, house: House) -> None:
    house.hyphenate()
    path = answered(gemini, house, "The bureau\u00adcracy of the communi\u00adties.\n")
    for headers in ({}, BREAKS):
        assert "bureau\u00adcracy of the communi\u00adties" in page_of(house, path, **headers)


@pytest.mark.parametrize(
    ("question", "text", "accepted", "language"),
    [
        ("Why?", "", "en-US,*", "en"),
        ("Why?", "", "de-DE,de;q=0.9,en;q=0.8", ""),
        ("Why?", "", "", ""),
        ("Warum ist das Meer salzig?", "", "en", ""),
        ("¿Por qué el mar es salado?", "", "en", "es"),
        (
            "Why is it so in French?",
            "La mer est salée parce que les fleuves portent des sels dans la mer. Et ",
            "en",
            "fr",
        ),
        ("Why is it so in German?", "Das Meer ist salzig, weil die Flüsse Salz in das Meer tragen. Und ", "en", ""),
        ("海为什么是咸的？", "", "en", ""),
    ],
)
def test_a_page_is_in_the_language_of_its_answer_or_else_its_question_or_else_its_reader(
    gemini: FakeGemini, house: House, question: str, text: str, accepted: str, language: str
) -> None:
    for each in filter(None, {language, "en"}):
        house.hyphenate(each)
    house.ask(question)
    call = gemini.next_call()
    call.start()
    if text:
        call.text(text)
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until(text)
    assert language_of(page_of(house, "/chats/1/1", Cookie="hyphens=1", Accept_Language=accepted)) == language
    call.finish("Done.")


def test_a_page_does_not_wait_for_a_dictionary_but_the_next_one_has_it(gemini: FakeGemini, house: House) -> None:
    may_end, has_begun = threading.Event(), threading.Event()

    def read(language: str) -> Words:
        has_begun.set()
        assert may_end.wait(20)
        return Words(language)

    hyphens: Hyphens = house.hyphens
    hyphens._read = read
    path = answered(gemini, house, TEXT)
    assert not has_begun.is_set(), "nobody has needed one"
    page = page_of(house, path, **BREAKS)
    assert has_begun.wait(10)
    assert '<div class="text" id="text">' in page and SOFT_HYPHEN not in page
    assert SOFT_HYPHEN not in house.get("/answers/1?as=events&hyphens=en").data.decode()
    may_end.set()
    house.hyphenate()
    assert "bureau\u00adcracy" in page_of(house, path, **BREAKS)


def test_the_page_to_ask_on_has_the_dictionary_of_its_reader_read(house: House) -> None:
    wanted = []
    has_begun = threading.Event()

    def read(language: str) -> Words:
        wanted.append(language)
        has_begun.set()
        return Words(language)

    house.hyphens._read = read
    house.get("/", Accept_Language="fr")
    house.get("/", Accept_Language="de", Cookie="hyphens=1")
    house.get("/", Accept_Language="fr-CH, en;q=0.5", Cookie="hyphens=1")
    assert has_begun.wait(10) and wanted == ["fr"]
