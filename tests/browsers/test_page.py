"""The main job on the page, in each engine: ask, read while it is written, lose the network, stop, come back."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.cable import Cable
from fakes.gemini import Call, FakeGemini, Reply, chunk
from fakes.house import House

from kindle_appliance.demo import DemoGemini
from kindle_appliance.pages import STATIC

from .engines import Engine
from .webdriver import Browser

RECORDED = "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-basic-reply-long.txt"
SIZES = ((600, 706), (758, 899), (1072, 1231))
ENDED = "document.body.className.indexOf('ended') >= 0"


def ask(browser: Browser, url: str, question: str = "Why is the sea salty?") -> None:
    browser.open(url + "/")
    browser.type(browser.find("textarea"), question)
    browser.click(browser.find("input[type=submit]"))
    browser.wait_until("location.pathname.indexOf('/chats/') === 0")


def text_of(browser: Browser, identity: str) -> str:
    return str(browser.script(f"return document.getElementById('{identity}').textContent"))


def paragraphs(browser: Browser) -> list[str]:
    """The settled paragraphs of the answer."""
    source = "var found = document.getElementById('text').getElementsByTagName('p'), texts = [];"
    source += "for (var i = 0; i < found.length; i += 1) { texts.push(found[i].textContent); } return texts;"
    return list(browser.script(source))


def shows(words: str) -> str:
    """A condition: the answer, settled or not, has these words."""
    return (
        "(document.getElementById('text').textContent + document.getElementById('tail').textContent)"
        f".indexOf({json.dumps(words)}) >= 0"
    )


def begin(gemini: FakeGemini) -> Call:
    call = gemini.next_call(20)
    call.start()
    return call


def test_the_main_job_runs_on_a_recorded_stream(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, shared: Path, screenshots: Path
) -> None:
    stream = (shared / "streams" / RECORDED).read_bytes()
    events = stream.split(b"\r\n\r\n")
    ask(browser, house.url, "Write about cats and dogs")
    call = begin(gemini)
    for event in events[:8]:
        call.send(event + b"\r\n\r\n")
    browser.wait_until(shows("Cats vs. Dogs"))
    assert "Gemini is writing" in text_of(browser, "state"), "the first text is there, the end is not"
    assert browser.script(f"return !({ENDED})")
    browser.screenshot(screenshots / f"reading-while-written-{engine.name}.png")

    before = text_of(browser, "text")
    browser.reload()
    browser.wait_until(shows("Cats vs. Dogs"))
    assert text_of(browser, "text").startswith(before.strip()[:500]), "a reload loses nothing"
    for event in events[8:]:
        call.send(event + b"\r\n\r\n")
    call.end()
    browser.wait_until(ENDED)

    with house.follow("/answers/1?as=events&wait=0") as follow:
        follow.read_to_end()
    expected = "\n".join(follow.state.blocks)
    page = browser.script(
        "var a = document.createElement('div'); a.innerHTML = arguments[0];"
        "return [a.innerHTML, document.getElementById('text').innerHTML]",
        expected,
    )
    assert "".join(page[0].split()) == "".join(page[1].split()), "the page is the answer, rendered once"
    assert text_of(browser, "tail") == "" and text_of(browser, "state") == ""
    assert browser.script("return document.getElementById('text').getElementsByTagName('li').length") > 20
    assert browser.errors() == []
    browser.screenshot(screenshots / f"reading-finished-{engine.name}.png")


def test_a_cut_connection_keeps_what_has_come_and_goes_on_by_itself(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Cable(house.server.port) as cable:
        ask(browser, cable.url)
        call = begin(gemini)
        call.text("Settled first.\n\nThen the open")
        browser.wait_until(shows("Then the open"))
        cable.pull()
        browser.wait_until("document.getElementById('state').textContent.indexOf('Connection lost') >= 0")
        assert browser.script("return " + shows("Then the open")), "what has arrived stays"
        assert browser.find("#state a"), "a way to go on"
        browser.screenshot(screenshots / f"connection-lost-{engine.name}.png")
        call.text(" tail, and more.", finish="STOP")
        call.end()
        cable.plug()
        browser.wait_until(ENDED, 30)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail, and more."]
        assert text_of(browser, "state") == ""
    assert browser.errors() == []


def test_where_streams_are_held_back_the_page_polls(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with Cable(house.server.port, holds_streams=True) as cable:
        ask(browser, cable.url)
        call = begin(gemini)
        call.text("Word one.\n\nWord")
        browser.wait_until(shows("Word one."), 30)
        call.text(" two.", finish="STOP")
        call.end()
        browser.wait_until(ENDED, 30)
        assert paragraphs(browser) == ["Word one.", "Word two."]
        streams = [line for line in cable.requests if b"/answers/" in line and b"wait=0" not in line]
        assert len(streams) == 1, "once it knows, it does not stream again"
    assert browser.errors() == []


def test_beyond_the_cap_on_followers_the_page_polls_and_loses_nothing(
    browser: Browser, gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        house.ask("Why?")
        call = begin(gemini)
        call.text("Word one")
        with house.follow("/answers/1?as=events") as other:
            other.read_until("Word one")
            browser.open(house.url + "/chats/1/1")
            browser.wait_until(shows("Word one"), 20)
            assert "Gemini is writing" in text_of(browser, "state"), "not: connection lost"
            call.text(" and two.", finish="STOP")
            call.end()
            browser.wait_until(ENDED, 20)
            assert text_of(browser, "text") == "Word one and two."
    assert browser.errors() == []


def test_stop_ends_the_answer_and_keeps_what_was_written(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text("As far as this")
    browser.wait_until(shows("As far as this"))
    browser.click(browser.find(".while-writing input[type=submit]"))
    browser.wait_until(ENDED)
    call.wait_gone(10)
    assert "You stopped this answer." in text_of(browser, "state")
    assert text_of(browser, "text") == "As far as this"
    assert browser.errors() == []


def test_a_question_that_cannot_be_asked_comes_back_in_the_form(
    browser: Browser, engine: Engine, house: House, screenshots: Path
) -> None:
    ask_for = "x" * 4001
    browser.open(house.url + "/")
    browser.script("document.getElementsByTagName('textarea')[0].value = arguments[0]", ask_for)
    browser.click(browser.find("input[type=submit]"))
    browser.wait_until("document.body.textContent.indexOf('at most 4000 fit') >= 0")
    assert browser.script("return document.getElementsByTagName('textarea')[0].value") == ask_for
    browser.screenshot(screenshots / f"too-long-{engine.name}.png")


def test_the_document_changes_at_most_every_half_second(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text("0 ")
    browser.wait_until(shows("0 "))
    # Each change of the tail or the text sets a text node or appends one, whichever engine it is.
    browser.script(
        "window.changes = []; var names = ['appendChild', 'insertBefore', 'replaceChild', 'removeChild'];"
        "function note(name) { var old = Node.prototype[name]; Node.prototype[name] = function () {"
        "  if (document.body.contains ? document.body.contains(this) : true) {"
        "    window.changes.push(new Date().getTime()); }"
        "  return old.apply(this, arguments); }; }"
        "for (var i = 0; i < names.length; i += 1) { note(names[i]); }"
    )
    pause = threading.Event()
    for number in range(1, 60):
        call.text(f"{number} ", finish="STOP" if number == 59 else None)
        pause.wait(0.05)
    call.end()
    browser.wait_until(ENDED)
    times = browser.script("return window.changes")
    draws = [times[0]]
    for moment in times[1:]:
        if moment - draws[-1] > 100:  # changes of one drawing follow each other at once
            draws.append(moment)
    assert len(draws) >= 3, "3 s of writing are drawn several times"
    assert all(later - earlier >= 490 for earlier, later in pairwise(draws)), draws
    assert text_of(browser, "text").strip().endswith("59"), "and always at the end"


def test_without_script_the_same_is_done_with_forms_and_reloads(
    scriptless_browser: Browser, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    browser = scriptless_browser
    browser.open(house.url + "/")
    browser.type(browser.find("textarea"), "Without script?")
    browser.click(browser.find("input[type=submit]"))
    call = begin(gemini)
    call.text("This has settled.\n\nThis has not")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("has not")
    browser.open(house.url + "/chats/1/1")
    assert "This has settled." in browser.text and "This has not" not in browser.text
    assert browser.find("noscript a") or "Refresh" in browser.text
    browser.screenshot(screenshots / "no-script-while-written.png")
    call.text(" yet.", finish="STOP")
    call.end()
    follow_to_end(house)
    browser.open(house.url + "/chats/1/1")
    assert "This has not yet." in browser.text and "Ask more about this" in browser.text


def follow_to_end(house: House) -> None:
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pictures_of_every_page_are_taken_and_nothing_is_wider_than_the_screen(
    engine: Engine, size: tuple[int, int], tmp_path: Path, screenshots: Path
) -> None:
    demo = DemoGemini(STATIC / "exhibits.md", pause=0)
    try:
        with House(demo.url, tmp_path, is_demo=True) as house, engine.start(*size) as browser:
            questions = {
                "prose": "Why is the sea salty, and why are lakes not?",
                "list": "List the steps of making tea",
                "table": "Compare the planets in a table",
                "code": "Show me some Python code",
                "chinese": "海水为什么是咸的？",
                "arabic": "لماذا البحر مالح؟",
            }
            for name, question in questions.items():
                chat, number = house.ask(question)
                browser.open(f"{house.url}/chats/{chat}/{number}")
                browser.wait_until(ENDED, 20)
                take(browser, screenshots / f"{name}-{size[0]}-{engine.name}.png")
            for path, name in (("/", "asking"), ("/?chat=1", "asking-more"), ("/chats", "chats"), ("/no", "error")):
                browser.open(house.url + path)
                take(browser, screenshots / f"{name}-{size[0]}-{engine.name}.png")
    finally:
        demo.close()


def take(browser: Browser, path: Path) -> None:
    browser.screenshot(path)
    width = browser.script("return document.documentElement.scrollWidth")
    assert width <= browser.size[0], f"{path.name} is {width} wide"
    assert browser.errors() == []


def test_the_picture_in_the_readme_is_there() -> None:
    assert (ROOT / "docs" / "reading.png").read_bytes().startswith(b"\x89PNG")


def test_an_answer_that_failed_can_be_asked_again_with_one_tap(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    gemini.replies(Reply.error(400, "INVALID_ARGUMENT", "no"), Reply([chunk("Now it works.", "STOP")]))
    ask(browser, house.url, 'Say "hello" & <b>bye</b>')
    browser.wait_until(ENDED)
    assert "did not understand" in text_of(browser, "state")
    browser.click(browser.find(".again input[type=submit]"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    browser.wait_until(shows("Now it works."))
    assert gemini.calls[1].json["contents"][-1]["parts"][0]["text"] == 'Say "hello" & <b>bye</b>'
