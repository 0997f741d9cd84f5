"""A browser's own EventSource follows an answer: every block once, over cut connections; nothing after the end."""

from __future__ import annotations

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, answered
from fakes.proxy import Proxy

from .browser import Browser
from .engines import MODERN
from .steps import begin

pytestmark = pytest.mark.parametrize("engine", MODERN, ids=lambda engine: engine.name, indirect=True)

FOLLOW = """
    window.got = [];
    window.source = new EventSource('/answers/1?as=events&from=0');
    ['state', 'tail', 'block', 'end'].forEach(function (name) {
      source.addEventListener(name, function (event) { got.push([name, event.data, event.lastEventId]); });
    });
"""
HAS_ENDED = "window.source.readyState === 2"  # CLOSED: it never connects again


def blocks(browser: Browser) -> list[str]:
    """The paragraphs that have arrived, in their order."""
    script = "return got.filter(function (each) { return each[0] === 'block'; }).map(function (each) {"
    return list(browser.script(script + "return JSON.parse(each[1]).html.replace(/<[^>]*>/g, ''); });"))


def streams(proxy: Proxy) -> int:
    return sum(b"/answers/1" in line for line in proxy.requests)


def test_over_cut_connections_every_block_arrives_once(browser: Browser, gemini: FakeGemini, house: House) -> None:
    cuts = 3
    with Proxy(house.server.port) as proxy:
        browser.open(proxy.url + "/chats")
        house.ask("Why?")
        call = begin(gemini)
        browser.script(FOLLOW)
        for number in range(cuts):
            call.text(f"Block {number}.\n\nOpen {number} ")
            browser.wait_until(f"JSON.stringify(got).indexOf('Open {number}') > 0")
            is_cut = proxy.cut_after(150)  # bytes: between two events of what follows, or in the middle of one
            call.text(f"and closed {number}.\n\nBetween {number}.\n\nTail {number} ")
            assert is_cut.wait(20)
            call.text(f"written meanwhile {number}.\n\n")
            proxy.restore()
            browser.wait_until(f"JSON.stringify(got).indexOf('meanwhile {number}') > 0", 30)
        call.finish("The end.")
        browser.wait_until(HAS_ENDED, 30)
        parts = ("Block {0}.", "Open {0} and closed {0}.", "Between {0}.", "Tail {0} written meanwhile {0}.")
        assert blocks(browser) == [each.format(n) for n in range(cuts) for each in parts] + ["The end."]
        got = browser.script("return got;")
        assert [name for name, *_ in got].count("end") == 1 and got[-1][0] == "end"
        assert streams(proxy) == 1 + cuts + 1, "the last one brought the id of the end, and got 204"
    assert browser.errors() == []


def test_an_answer_that_has_ended_is_fetched_once(browser: Browser, gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "One.\n\nTwo.\n\nThree.")
    with Proxy(house.server.port) as proxy:
        browser.open(proxy.url + "/chats")
        browser.script(FOLLOW)
        browser.wait_until(HAS_ENDED, 30)
        assert blocks(browser) == ["One.", "Two.", "Three."]
        assert [each[2] for each in browser.script("return got;")] == ["6", "12", "18", "end"]
        assert streams(proxy) == 2
    assert browser.errors() == []
