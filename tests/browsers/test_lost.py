"""Pages that follow an answer and lose the appliance for a while, or their chat for ever, in each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy
from fakes.server import serving

from .browser import Browser
from .clock import pass_minutes, shift_clock, take_clock
from .devtools import DevTools
from .engines import MODERN, Engine
from .steps import (
    ENDED,
    LONG,
    ask,
    begin,
    begin_on_page,
    offers,
    page_number,
    paragraphs,
    says,
    shows,
    take,
    text_of,
    turn,
)

TRYING = says("state", "Connection lost. The page keeps trying.")
GIVEN_UP = says("state", "Connection lost. What has arrived stays here.")
DELETED = says("ending", "This chat was deleted.")


def cut(browser: Browser, proxy: Proxy) -> None:
    proxy.cut()
    browser.wait_until(TRYING)


def lose(browser: Browser, proxy: Proxy) -> None:
    """Cut the network of a page whose clock is the test's from now on."""
    take_clock(browser)
    cut(browser, proxy)
    browser.script("window.link = document.getElementById('refresh');")
    browser.script("window.told = document.getElementById('state'); window.words = told.firstChild;")


def test_after_ten_minutes_without_the_appliance_the_page_goes_on_by_itself(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, LONG + "\n\nSettled last.\n\nThen the open ")
        turn(browser, "next")
        lose(browser, proxy)
        assert 5 <= pass_minutes(browser, 10) <= 16, "seldom, for the battery's sake"
        unchanged = "window.link === document.getElementById('refresh') && window.words === told.firstChild"
        assert browser.script(f"return {unchanged}"), "nothing flashes, and the link stays for a tap"
        take(browser, engine, screenshots / f"trying-{engine.name}.png")
        call.finish("tail, and more.")
        before = len(proxy.requests)
        proxy.restore()
        pass_minutes(browser, 2)
        browser.wait_until(ENDED)
        assert paragraphs(browser)[-2:] == ["Settled last.", "Then the open tail, and more."]
        assert len(paragraphs(browser)) == 26, "nothing twice"
        assert page_number(browser)[0] == 2 and text_of(browser, "state") == ""
        asked = [line for line in proxy.requests[before:] if b"/answers/" in line]
        assert len(asked) == 1 and b"from=4123 " in asked[0], "from the last settled block on"
        assert pass_minutes(browser, 10) == 0
    assert browser.errors() == []


def test_after_half_an_hour_the_page_waits_for_an_event_and_then_begins_anew(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open tail. ")
        lose(browser, proxy)
        pass_minutes(browser, 20)
        assert pass_minutes(browser, 9) >= 8, "it still tries"
        pass_minutes(browser, 2)
        browser.wait_until(GIVEN_UP)
        take(browser, engine, screenshots / f"given-up-{engine.name}.png")
        assert browser.script("return window.link === document.getElementById('refresh')")
        assert pass_minutes(browser, 60) == 0, "none after half an hour"
        assert browser.script("return " + shows("Then the open tail.")), "the text so far stays"
        shift_clock(browser, 3600)
        browser.wait_until("clock.tries > 0")
        browser.wait_until(TRYING)
        for target, event in [("window", "online"), ("window", "focus"), ("document", "visibilitychange")]:
            tries = browser.script(
                "var before = clock.tries, event = document.createEvent('Event');"
                f"event.initEvent('{event}', false, false); {target}.dispatchEvent(event);"
                "return clock.tries - before"
            )
            assert tries == (0 if event == "visibilitychange" and not knows_visibility(browser) else 1), event
        call.finish("")
        proxy.restore()
        pass_minutes(browser, 2)
        browser.wait_until(ENDED)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail."]
    assert browser.errors() == []


def knows_visibility(browser: Browser) -> bool:
    return bool(browser.script("return 'onvisibilitychange' in document.implementation.createHTMLDocument('')"))


@pytest.mark.parametrize("engine", MODERN, ids=lambda engine: engine.name, indirect=True)
def test_a_modern_browser_says_when_its_network_is_back(browser: Browser, gemini: FakeGemini, house: House) -> None:
    assert isinstance(browser, DevTools)
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open tail. ")
    take_clock(browser)
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.devtools("Network.emulateNetworkConditions", offline=True, **conditions)
    browser.wait_until(TRYING, 20)
    pass_minutes(browser, 31)
    browser.wait_until(GIVEN_UP)
    call.finish("")
    browser.devtools("Network.emulateNetworkConditions", offline=False, **conditions)
    browser.wait_until(ENDED)
    assert paragraphs(browser) == ["Settled first.", "Then the open tail."]


def test_after_a_restart_of_the_appliance_the_page_shows_where_the_answer_broke_off(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        begin_on_page(browser, gemini, "Settled first.\n\nThen the open tail. ")
        lose(browser, proxy)
        house.stop()
        house.start()
        proxy.lead_to(house.server.port)
        proxy.restore()
        pass_minutes(browser, 2)
        browser.wait_until(ENDED)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail."]
        assert browser.script("return " + says("ending", "The appliance was switched off while it wrote this."))
    assert browser.errors() == []


def not_found(environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
    """A server that is not the appliance."""
    start_response("404 Not Found", [("Content-Type", "text/html"), ("Content-Length", "15")])
    return [b"<h1>404</h1>\n\n\n"]


def test_a_404_of_another_server_is_no_deletion(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with Proxy(house.server.port) as proxy, serving(not_found) as other:
        ask(browser, proxy.url)
        call = begin_on_page(browser, gemini, "Settled first.\n\nThen the open ")
        lose(browser, proxy)
        proxy.lead_to(other.port)
        proxy.restore()
        pass_minutes(browser, 2)
        assert any(b"/answers/" in line for line in proxy.requests[-2:])
        assert browser.script("return " + TRYING)
        proxy.cut()  # a browser may keep its connection to the other server
        proxy.lead_to(house.server.port)
        proxy.restore()
        call.finish("tail.")
        pass_minutes(browser, 2)
        browser.wait_until(ENDED)
        assert paragraphs(browser) == ["Settled first.", "Then the open tail."]
    assert browser.errors() == []


@pytest.mark.parametrize("way", ["streaming", "polling", "lost", "asleep"])
def test_a_chat_deleted_elsewhere_says_so_and_keeps_the_text_on_the_page(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path, way: str
) -> None:
    with Proxy(house.server.port, buffers_streams=way == "polling") as proxy:
        ask(browser, proxy.url)
        call = begin(gemini)
        call.text("Settled first.\n\nThen the open ")
        browser.wait_until(shows("Then the open"), 30)
        take_clock(browser)
        if way == "lost":
            cut(browser, proxy)
        if way == "asleep":
            proxy.forget()  # the end of the stream reaches nobody; the page asks after a while
        house.post("/chats/1/delete", {})
        call.wait_gone(10)
        proxy.restore()
        browser.wait_until(ENDED, 30)
        assert browser.script("return " + DELETED)
        assert browser.script("return " + shows("Settled first.")) and text_of(browser, "state") == ""
        assert text_of(browser, "text") == "Settled first.Then the open"
        take(browser, engine, screenshots / f"deleted-{engine.name}.png")
        assert offers(browser) == ["New question"], "what needs the chat is not offered"
        assert pass_minutes(browser, 5) == 0
    assert browser.errors() == []
