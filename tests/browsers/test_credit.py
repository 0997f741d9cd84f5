"""Who answered, below an answer in each engine, and one tap away why it was not the first choice."""

from __future__ import annotations

from pathlib import Path

from fakes.gemini import FakeGemini, Reply
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import ENDED, ask, begin_on_page, read, take, text_of

NOT_FOUND = Reply.error(404, "NOT_FOUND", "models/model-a is not found.")


def test_the_author_appears_with_the_end_and_a_tap_tells_why_it_was_not_another(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    gemini.replies(NOT_FOUND)
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "Because ")
    assert browser.script("return document.querySelector('.by').offsetHeight") == 0
    call.finish("so.")
    browser.wait_until(ENDED)
    for _ in range(2):  # as it ended, and as it is stored
        assert text_of(browser, "by") == "Answered by model-b."
        assert text_of(browser, "why") == "Why not model-a?"
        assert browser.script("return document.getElementById('why').getBoundingClientRect().height") >= 48
        take(browser, engine, screenshots / f"credit-{engine.name}.png")
        browser.click(browser.find("#why"))
        browser.wait_until("location.pathname === '/chats/1/1/why'")
        assert "model-a" in browser.text and "does not have it" in browser.text
        take(browser, engine, screenshots / f"why-{engine.name}.png")
        browser.click(browser.find(".top .left a"))
        browser.wait_until(f"location.pathname === '/chats/1/1' && {ENDED}")
    assert browser.errors() == []


def test_the_first_choice_is_named_and_offers_no_why(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, "Because.")
    assert text_of(browser, "by") == "Answered by model-a."
    assert browser.script("return document.getElementById('why')") is None
    ask(browser, house.url)
    begin_on_page(browser, gemini, "Because ").finish("so.")
    browser.wait_until(ENDED)
    assert text_of(browser, "by") == "Answered by model-a." and text_of(browser, "why") == ""
    assert browser.errors() == []
