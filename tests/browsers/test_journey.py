"""The whole way of a reader, in each engine and on each screen size."""

from __future__ import annotations

from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .engines import Engine
from .steps import ENDED, LONG, ask, begin, begin_on_page, lines_shown, page_number, shows, sizes, text_of, turn


def test_ask_follow_turn_resize_reload_stop_and_follow_up(engine: Engine, gemini: FakeGemini, house: House) -> None:
    for width, height in sizes(engine):
        with engine.start(width, height) as browser:
            journey(browser, gemini, house)
            assert browser.errors() == []


def journey(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "The beginning.\n\nAnd then ")
    call.text(f"the rest.\n\n{LONG}\n\nand a tail ")
    browser.wait_until(shows("and a tail"))
    pages = page_number(browser)[1]
    assert page_number(browser)[0] == 1 and pages > 2
    turn(browser, "next")
    first = lines_shown(browser)[0]
    browser.click(browser.find("#aa"))
    browser.click(browser.find("#larger"))
    browser.click(browser.find("#close"))
    assert page_number(browser)[1] > pages and first in lines_shown(browser)
    browser.reload()
    browser.wait_until(shows("and a tail"))
    assert page_number(browser)[0] > 1 and first in lines_shown(browser)
    browser.click(browser.find("#stop input"))
    call.wait_gone(10)
    browser.wait_until(ENDED)
    assert first in lines_shown(browser)
    while page_number(browser)[0] < page_number(browser)[1]:
        turn(browser, "next")
    assert "You stopped this answer." in browser.text
    before = browser.script("return location.pathname")
    browser.click(browser.find(".more input[value='Simpler']"))
    call = begin(gemini)
    browser.wait_until(f"location.pathname !== '{before}' && !!document.getElementById('answer')")
    call.finish("Simple.")
    browser.wait_until(ENDED)
    assert text_of(browser, "text") == "Simple."


def test_a_page_is_one_request_and_one_response(browser: Browser, gemini: FakeGemini, house: House) -> None:
    with Proxy(house.server.port) as proxy:
        for path in ("/", "/chats", "/no"):
            before = len(proxy.requests)
            browser.open(proxy.url + path)
            assert [line.split()[1].decode() for line in proxy.requests[before:]] == [path]
        ask(browser, proxy.url)
        before = len(proxy.requests)
        call = begin(gemini)
        call.finish("All.")
        browser.wait_until(ENDED)
        browser.open(proxy.url + "/chats/1/1")
        paths = [line.split()[1].decode() for line in proxy.requests[before:]]
        assert paths[-1] == "/chats/1/1" and all(path.startswith("/answers/1?") for path in paths[:-1])
