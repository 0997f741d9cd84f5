"""What a page waits for, in each engine: told in the text, where the answer will begin or behind its last line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .engines import Engine
from .steps import (
    ENDED,
    ask,
    begin,
    begin_on_page,
    choose_look,
    hurry,
    lines_shown,
    page_number,
    paragraphs,
    says,
    shows,
    take,
    text_of,
    turn,
    write,
)

LOST = "Connection lost. The page keeps trying."

LINE = """
    var element = document.querySelector(arguments[0]), box = element.getBoundingClientRect();
    var style = window.getComputedStyle(element, null);
    return { top: box.top, bottom: box.bottom, left: box.left, font: style.fontSize, line: style.lineHeight,
      family: style.fontFamily };
"""


@pytest.mark.parametrize("look", ["3", "8"])
def test_what_is_waited_for_stands_where_the_answer_then_begins(
    browser: Browser,
    engine: Engine,
    gemini: FakeGemini,
    house: House,
    screenshots: Path,
    monkeypatch: pytest.MonkeyPatch,
    look: str,
) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.STATE_SECONDS", 2)
    choose_look(browser, house.url, look)
    ask(browser, house.url)
    call = begin(gemini)
    browser.wait_until(says("state", "model-a is thinking"))
    browser.wait_until(says("state", "model-a is thinking, 4 s ..."))
    assert "riting" not in browser.text
    before = browser.script(LINE, ".state")
    take(browser, engine, screenshots / f"thinking-{look}-{engine.name}.png")
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    seconds = re.search(r", (\d+) s", text_of(browser, "state"))
    assert seconds and int(seconds[1]) >= 4, "a reload does not begin to count anew"
    assert browser.script(LINE, ".state") == before
    call.text("Because ")
    browser.wait_until(shows("Because"))
    after = browser.script(LINE, "#text p")
    assert {**after, "bottom": 0} == {**before, "bottom": 0}, "the first line is where the state was, and as large"
    assert text_of(browser, "state") == ""
    assert browser.script("return document.querySelector('.state').offsetHeight") == 0
    call.finish("so.")
    browser.wait_until(ENDED)
    assert browser.script(LINE, "#text p")["top"] == before["top"]
    assert browser.errors() == []


def test_a_lost_connection_is_told_behind_the_last_line_and_moves_nothing(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open ")
        text, last = browser.script(LINE, "#text"), browser.script(LINE, "#text p + p")
        proxy.cut()
        browser.wait_until(says("state", LOST))
        assert browser.script(LINE, "#text") == text
        told = browser.script(LINE, "#state")
        line = float(last["line"].removesuffix("px"))
        assert last["bottom"] + line <= told["top"] + line / 2 < last["bottom"] + 2 * line, "one blank line below"
        assert (told["font"], told["family"], told["left"]) == (last["font"], last["family"], last["left"])
        assert lines_shown(browser)[-2:] == [LOST, "Refresh"]
        take(browser, engine, screenshots / f"lost-below-{engine.name}.png")
        proxy.restore()
        browser.wait_until("!document.getElementById('state').textContent", 30)
        assert browser.script(LINE, "#text") == text
        call.finish("tail.")
        browser.wait_until(ENDED, 30)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail."]
    assert browser.errors() == []


def test_what_is_told_below_a_full_page_is_a_page_of_its_own_until_it_is_gone(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        lines = browser.script(
            "var line = parseFloat(window.getComputedStyle(document.getElementById('answer'), null).lineHeight);"
            "var top = document.getElementById('clip').getBoundingClientRect().top;"
            "return Math.floor((document.getElementById('turn').getBoundingClientRect().top - top) / line);"
        )
        call = begin(gemini)
        for number in range(lines - 2):  # below the question and a blank line
            call.text(f"Row {chr(65 + number)} of the page.\n\n")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_until(f'Row {chr(62 + lines)} of the page.</p>","upto')  # all of it has settled
        browser.reload()
        browser.wait_until("document.getElementById('count').textContent")
        shown = lines_shown(browser)
        assert page_number(browser) == (1, 1) and len(shown) == lines - 1
        proxy.cut()
        browser.wait_until(says("state", LOST))
        assert page_number(browser) == (1, 2) and lines_shown(browser) == shown, "what is read stays"
        turn(browser, "next")
        assert set(lines_shown(browser)) == {LOST, "Refresh"}
        proxy.restore()
        browser.wait_until("!document.getElementById('state').textContent", 30)
        assert page_number(browser) == (1, 1) and lines_shown(browser) == shown, "no empty page is left"
        call.finish("One more.")
        browser.wait_until(ENDED, 30)
        assert page_number(browser)[1] > 1
    assert browser.errors() == []


def test_while_a_stop_is_under_way_the_page_says_so(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open ")
    browser.script("XMLHttpRequest.prototype.send = function () {};")  # it never arrives
    browser.click(browser.find("#stop input"))
    browser.wait_until(says("state", "Stopping ..."))
    call.text("text grows ")
    browser.wait_until(shows("text grows"))
    assert browser.script("return " + says("state", "Stopping ..."))
    call.finish("on.")
    browser.wait_until(ENDED)
    assert text_of(browser, "state") == ""
    assert browser.errors() == []


def test_a_stop_that_fails_is_no_longer_told(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    browser.wait_until(says("state", "model-a is thinking"))
    hurry(browser, 20)
    browser.script(
        "var send = XMLHttpRequest.prototype.send;"
        "XMLHttpRequest.prototype.send = function (body) { if (body !== '') { send.call(this, body); } };"
    )
    browser.click(browser.find("#stop input"))
    browser.wait_until(says("state", "Stopping ..."))
    browser.wait_until(says("state", "model-a is thinking"))
    call.finish("So.")
    browser.wait_until(ENDED)
    assert browser.errors() == []


def test_without_script_the_page_says_what_it_waits_for_with_a_link_beside_it(
    scriptless_browser: Browser, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    browser = scriptless_browser
    write(browser, house.url, "Without script?")
    browser.click(browser.find("input[type=submit]"))
    call = begin(gemini)
    browser.open(house.url + "/chats/1/1")
    assert re.search(r"Without script\?\s+model-a is thinking \.\.\. Refresh", browser.text), browser.text
    browser.screenshot(screenshots / "no-script-waiting.png")
    call.text("This has settled.\n\nThis has not ")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("has not")
    browser.click(browser.find("#refresh"))
    browser.wait_until("document.body.innerText.indexOf('This has not') >= 0")
    assert re.search(r"This has not\s+Refresh", browser.text) and "thinking" not in browser.text
    call.finish("yet.")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    browser.open(house.url + "/chats/1/1")
    assert "This has not yet." in browser.text and "Refresh" not in browser.text
