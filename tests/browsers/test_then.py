"""A question that met used-up quotas, in each engine: offered to wait, taken back, and followed when it begins."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes.gemini import OUT, FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .engines import Engine
from .steps import ENDED, ask, begin, choose_look, offers, paragraphs, says, take, text_of

BUTTON = "#after form {}"


@pytest.fixture
def house(gemini: FakeGemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """One with one model, whose pages of questions that wait look again soon."""
    monkeypatch.setattr("kindle_appliance.web.pages._LEAST_WAITING_SECONDS", 1)
    return House(gemini.url, tmp_path, models=("model-a",))


def press(browser: Browser, words: str) -> None:
    """Press the button below the answer with these words."""
    browser.script(
        "var all = document.querySelectorAll('#after button'), i;"
        "for (i = 0; i < all.length; i += 1) {"
        "  if (all[i].textContent === arguments[0] && all[i].offsetHeight) { all[i].click(); return; } }"
        "throw new Error('no such button')",
        words,
    )


def let_wait(browser: Browser, gemini: FakeGemini, house: House, url: str, seconds: float) -> None:
    """Ask a question that meets a used-up quota, and open its page while it waits for so many seconds."""
    gemini.replies(OUT)
    ask(browser, url)
    browser.wait_until(ENDED, 20)
    press(browser, "Answer it then")
    browser.wait_until(says("ending", "This question waits until"), 20)
    with house.database.write() as connection:
        connection.execute("UPDATE waiting SET at = ?", (time.time() + seconds,))
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")


def test_it_is_offered_where_the_answer_failed_and_waits_after_one_tap(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with house:
        ask(browser, house.url)
        call = gemini.next_call(20)
        assert offers(browser) == [], "nobody knows yet how it ends"
        call.play(OUT)
        browser.wait_until(ENDED, 20)
        assert offers(browser) == ["Answer it then", "Ask again"]
        tops = browser.script(
            "var all = document.querySelectorAll('#after button'), tops = [], i;"
            "for (i = 0; i < all.length; i += 1) {"
            "  if (all[i].offsetHeight) { tops.push(all[i].getBoundingClientRect().top); } } return tops"
        )
        assert tops[0] == tops[1], "side by side, as there is room"
        take(browser, engine, screenshots / f"then-offered-{engine.name}.png")
        browser.reload()
        browser.wait_until("document.getElementById('count').textContent")
        assert offers(browser) == ["Answer it then", "Ask again"], "as when it was followed"
        press(browser, "Answer it then")
        browser.wait_until(says("ending", "This question waits until"), 20)
        assert offers(browser) == ["Take back"]
        take(browser, engine, screenshots / f"then-waits-{engine.name}.png")
        press(browser, "Take back")
        browser.wait_until(says("ending", "used up"), 20)
        assert offers(browser) == ["Answer it then", "Ask again"] and house.chats.waiting.all() == []
    assert browser.errors() == []


def test_its_page_follows_when_it_begins_and_is_read_to_its_end(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with house:
        let_wait(browser, gemini, house, house.url, 2)
        browser.script("window.isOld = 1")
        house.make_due()
        call = begin(gemini)
        call.text("Because ")
        browser.wait_until("document.getElementById('text').textContent.indexOf('Because') >= 0", 30)
        call.finish("so.")
        browser.wait_until(ENDED, 20)
        assert paragraphs(browser) == ["Because so."] and browser.script("return !window.isOld"), "opened anew"
        assert browser.script("return /unread=[^;]*1/.test(document.cookie)") is False, "it was read here"
    assert browser.errors() == []


def test_its_page_that_follows_a_second_failure_says_that_it_waits_again(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with house:
        let_wait(browser, gemini, house, house.url, 2)
        house.make_due()
        call = gemini.next_call(20)
        browser.wait_until("document.body.className.indexOf('writing') >= 0", 30)
        call.play(OUT)
        browser.wait_until(says("ending", "This question waits until"), 20)
        assert offers(browser) == ["Take back"]
        assert browser.script("return /unread=[^;]*1/.test(document.cookie)") is True, "it comes later"
    assert browser.errors() == []


def test_without_a_network_the_page_stays_until_there_is_one(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with house, Proxy(house.server.port) as proxy:
        let_wait(browser, gemini, house, proxy.url, 3)
        browser.script(
            "var set = window.setTimeout;"
            "window.setTimeout = function (action, ms) { return set(action, Math.min(ms, 200)); };"
        )
        proxy.cut()
        house.make_due()
        begin(gemini).finish("Because.")
        for _ in range(3):  # the page has seen some of these tries fail
            assert proxy.refused.acquire(timeout=20)
        assert "This question" in text_of(browser, "ending")
        proxy.restore()
        browser.wait_until("document.getElementById('text').textContent.indexOf('Because') >= 0", 40)


def test_its_page_tells_that_the_chat_is_gone(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with house:
        let_wait(browser, gemini, house, house.url, 2)
        house.desk.delete(1)
        browser.wait_until("document.body.innerHTML.indexOf('This chat was deleted.') >= 0", 20)


@pytest.mark.parametrize("look", ["48", "13"])
def test_the_lists_show_it_and_take_it_back(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path, look: str
) -> None:
    with house:
        gemini.default = OUT
        choose_look(browser, house.url, look)
        ask(browser, house.url, "Why is the sea salty, and why are lakes not, for all I know of them?")
        browser.wait_until(ENDED, 20)
        for path in ("/", "/chats"):
            house.post("/answers/1/wait", {})
            browser.open(house.url + path)
            row = browser.script("return document.querySelector('.list').textContent")
            assert "waits until" in row and "Take back" in row
            boxes = browser.script(
                "var found = document.querySelectorAll('.list a, .list button'), all = [], i, box;"
                "for (i = 0; i < found.length; i += 1) { box = found[i].getBoundingClientRect();"
                "  all.push([box.left, box.top, box.right, box.bottom]); } return all"
            )
            width = browser.size[0]
            for left, top, right, bottom in boxes:
                assert 0 <= left < right <= width and bottom - top >= 40, "to be tapped, and on the page"
            for one in boxes:
                for other in boxes:
                    apart = one[2] <= other[0] + 1 or other[2] <= one[0] + 1
                    apart = apart or one[3] <= other[1] + 1 or other[3] <= one[1] + 1
                    assert one is other or apart, "no two stand on each other"
            take(browser, engine, screenshots / f"then-list-{look}-{path.strip('/') or 'start'}-{engine.name}.png")
            browser.click(browser.find(".list button"))
            browser.wait_until("!document.querySelector('.list button')", 20)
            assert browser.script("return location.pathname") == path and house.chats.waiting.all() == []


def test_without_script_forms_let_it_wait_and_take_it_back(
    scriptless_browser: Browser, gemini: FakeGemini, house: House
) -> None:
    browser = scriptless_browser
    with house:
        gemini.default = OUT
        path = "/chats/{}/{}".format(*house.ask("Why?"))
        with house.follow("/answers/1?as=text") as follow:
            follow.read_to_end()
        browser.open(house.url + path)
        browser.click(browser.find("form.then button"))
        browser.wait_until("document.body.innerText.indexOf('waits until') >= 0")
        browser.click(browser.find("#after button"))
        browser.wait_until("!!document.querySelector('form.then')", 20)
        assert "waits until" not in browser.text and house.chats.waiting.all() == []
