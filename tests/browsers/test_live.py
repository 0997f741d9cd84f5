"""Live pages, in each engine: an answer while it is written, over connections that are cut, sleep or buffer."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlencode

from fakes.gemini import FakeGemini, Reply, retry_info
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .clock import shift_clock
from .engines import Engine, W3m
from .steps import (
    ENDED,
    LONG,
    ask,
    begin,
    begin_on_page,
    finish,
    hurry,
    page_number,
    paragraphs,
    says,
    shows,
    take,
    text_of,
    turn,
    write,
)

RECORDED = "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-basic-reply-long.txt"


def test_a_recorded_stream_appears_while_written_survives_a_reload_and_ends_whole(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, shared: Path, screenshots: Path
) -> None:
    stream = (shared / "streams" / RECORDED).read_bytes()
    events = stream.split(b"\r\n\r\n")
    ask(browser, house.url, "Write about cats and dogs")
    call = begin(gemini)
    for event in events[:8]:
        call.send(event + b"\r\n\r\n")
    browser.wait_until(shows("Cats vs. Dogs"))
    assert text_of(browser, "state") == "", "the text is there, and nothing is waited for"
    assert browser.script(f"return !({ENDED})")
    take(browser, engine, screenshots / f"reading-while-written-{engine.name}.png")

    before = "".join(text_of(browser, "text").split())
    browser.reload()
    browser.wait_until(shows("Cats vs. Dogs"))
    assert "".join(text_of(browser, "text").split()).startswith(before), "a reload loses nothing"
    for event in events[8:]:
        call.send(event + b"\r\n\r\n")
    call.end()
    browser.wait_until(ENDED)

    with house.follow("/answers/1?as=events&wait=0") as follow:
        follow.read_to_end()
    expected = "".join(follow.state.blocks)
    page = browser.script(
        "var a = document.createElement('div'); a.innerHTML = arguments[0];"
        "return [a.innerHTML, document.getElementById('text').innerHTML]",
        expected,
    )
    whole, written = ("".join(each.split()) for each in page)
    assert written.replace("<div></div>", "").replace("<div>", "").replace("</div>", "") == whole, (
        "but for its parts, the page equals the answer rendered at once"
    )
    assert text_of(browser, "state") == ""
    assert browser.script("return document.getElementById('text').getElementsByTagName('li').length") > 20
    assert browser.errors() == []
    take(browser, engine, screenshots / f"reading-finished-{engine.name}.png")


def test_after_a_cut_connection_the_text_stays_and_the_page_goes_on_by_itself(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open ")
        proxy.cut()
        browser.wait_until(says("state", "Connection lost"))
        assert browser.script("return " + shows("Then the open")), "the text so far stays"
        height = browser.script("return document.getElementById('refresh').getBoundingClientRect().height")
        assert height >= 48, "the link to go on is nearly a centimetre high"
        take(browser, engine, screenshots / f"connection-lost-{engine.name}.png")
        call.finish("tail, and more.")
        proxy.restore()
        browser.wait_until(ENDED, 30)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail, and more."]
        assert text_of(browser, "state") == ""
    assert browser.errors() == []


def test_the_page_says_what_it_waits_for_until_there_is_text(
    browser: Browser, gemini: FakeGemini, tmp_path: Path
) -> None:
    refusal = Reply.error(429, "RESOURCE_EXHAUSTED", "slowly", [retry_info("4s")])
    gemini.replies(refusal)
    with House(gemini.url, tmp_path, models=("model-a",)) as house:
        ask(browser, house.url)
        browser.wait_until(says("state", "model-a. It is asked again in 4 s ..."))
        call = gemini.next_call(20)
        browser.wait_until(says("state", "model-a is thinking ..."))
        call.start()
        call.text("Because ")
        browser.wait_until(shows("Because"))
        assert text_of(browser, "state") == ""
        call.finish("so.")
        browser.wait_until(ENDED)
    assert browser.errors() == []


def test_behind_a_proxy_that_buffers_the_page_polls(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with Proxy(house.server.port, buffers_streams=True) as proxy:
        ask(browser, proxy.url)
        call = begin(gemini)
        call.text("Word one.\n\nWord")
        browser.wait_until(shows("Word one."), 30)
        call.finish(" two.")
        browser.wait_until(ENDED, 30)
        assert paragraphs(browser) == ["Word one.", "Word two."]
        streams = [line for line in proxy.requests if b"/answers/" in line and b"wait=0" not in line]
        assert len(streams) == 1, "once the page knows, it does not stream again"
    assert browser.errors() == []


def test_beyond_the_cap_on_followers_the_page_polls_and_loses_nothing(
    browser: Browser, gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        house.ask("Why?")
        call = begin(gemini)
        call.text("Word one ")
        with house.follow("/answers/1?as=events") as other:
            other.read_until("Word one")
            browser.open(house.url + "/chats/1/1")
            browser.wait_until(shows("Word one"), 20)
            assert text_of(browser, "state") == "", "the page does not report a lost connection"
            call.finish("and two.")
            browser.wait_until(ENDED, 20)
            assert text_of(browser, "text") == "Word one and two."
    assert browser.errors() == []


def test_stop_ends_the_answer_and_keeps_the_place(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, LONG + "\n\nAs far as this ")
    turn(browser, "next")
    browser.script("window.isSamePage = true")
    browser.click(browser.find("#stop input"))
    call.wait_gone(10)
    browser.wait_until(ENDED)
    assert browser.script("return window.isSamePage") and page_number(browser)[0] == 2
    assert browser.script("return " + says("ending", "You stopped this answer."))
    assert paragraphs(browser)[-1] == "As far as this"
    assert browser.errors() == []


def test_a_kindle_that_slept_resumes_the_answer_at_its_last_settled_block(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        # Without the other remedy, a request for news after 3 s of silence.
        browser.script(
            "var set = window.setTimeout;"
            "window.setTimeout = function (action, ms) { return set(action, ms === 3000 ? 60000 : ms); };"
        )
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open ")
        proxy.forget()
        call.finish("tail.\n\nWritten while it slept.")
        before = len(proxy.requests)
        shift_clock(browser, 3600)
        browser.wait_until(ENDED, 20)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail.", "Written while it slept."]
        streams = [line for line in proxy.requests[before:] if b"/answers/" in line and b"wait=0" not in line]
        assert streams and b"from=16" in streams[0], "from the last settled block on"
    assert browser.errors() == []


def test_the_page_notices_that_the_appliance_is_switched_off(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin(gemini)
        hurry(browser, 20)
        call.text("Settled first.\n\nThen the open tail. ")
        browser.wait_until(shows("open tail."))
        proxy.vanish()
        browser.wait_until(says("state", "Connection lost"), 20)
        assert browser.script("return " + shows("open tail."))
        call.finish("")
    assert browser.errors() == []


def test_a_link_that_opens_no_page_does_not_hide_a_lost_connection(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open tail. ")
        browser.script("window.onbeforeunload();")  # as for a download
        proxy.cut()
        browser.wait_until(says("state", "Connection lost"), 20)
        proxy.restore()
        call.finish("")
        browser.wait_until(ENDED, 40)
    assert browser.errors() == []


def test_a_clock_set_back_does_not_stop_the_page(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "Settled first.\n\nThen ")
    shift_clock(browser, -3600)
    call.finish("the rest.")
    browser.wait_until(ENDED)
    assert paragraphs(browser) == ["Settled first.", "Then the rest."]
    assert browser.errors() == []


def test_the_unsettled_end_of_an_arabic_answer_has_its_own_direction(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    ask(browser, house.url, "لماذا البحر مالح؟")
    call = begin(gemini)
    call.text("ماء المطر حمضي قليلاً.\n\n(1) عندما يجري فوق الصخور يذيب كميات ضئيلة من المعادن " * 2)
    browser.wait_until(shows("المعادن"))
    shape = (
        "var style = window.getComputedStyle(document.getElementById('text').lastChild, null);"
        "return [style.direction, style.textAlign];"
    )
    assert browser.script(shape) == ["rtl", "right"]
    take(browser, engine, screenshots / f"arabic-tail-{engine.name}.png")
    call.text("\n\nIn English ", finish=None)
    browser.wait_until(shows("In English"))
    assert browser.script(shape)[0] == "ltr"
    call.finish(".")
    browser.wait_until(ENDED)
    assert browser.errors() == []


def test_there_is_no_traffic_once_the_answer_has_ended(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        finish(gemini, "Because.")
        browser.wait_until(ENDED)
        requests = len(proxy.requests)
        threading.Event().wait(4.5)  # two polls, or the timeout of a stream, would fall into this time
        assert len(proxy.requests) == requests
    assert browser.errors() == []


def test_without_script_asking_and_reading_work_by_forms_and_reloads(
    scriptless_browser: Browser, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    browser = scriptless_browser
    write(browser, house.url, "Without script?")
    browser.click(browser.find("input[type=submit]"))
    call = begin(gemini)
    call.text("This has settled.\n\nThis has not ")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("has not")
    browser.open(house.url + "/chats/1/1")
    assert "This has settled." in browser.text and "This has not" in browser.text
    assert "Refresh" in browser.text
    browser.screenshot(screenshots / "no-script-while-written.png")
    call.finish("yet.")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    browser.open(house.url + "/chats/1/1")
    assert "This has not yet." in browser.text and "Type a question" in browser.text


def test_a_text_browser_asks_and_reads(w3m: W3m, gemini: FakeGemini, house: House) -> None:
    shown = w3m.dump(house.url + "/")
    assert "Your question" in shown or "Send" in shown
    shown = w3m.dump(house.url + "/ask", urlencode({"question": "Why is the sea salty?", "form": "w3m"}))
    assert "Why is the sea salty?" in shown and "Refresh" in shown
    assert "thinking ..." in shown or "Waiting ..." in shown
    call = begin(gemini)
    call.finish("## Salt\n\nRivers bring it.\n\n| a | b |\n|---|---|\n| one | two |\n\n- an item")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    shown = w3m.dump(house.url + "/chats/1/1")
    assert all(words in shown for words in ("Salt", "Rivers bring it.", "one", "two", "an item", "Type a question"))
    assert "ing ..." not in shown
