"""The keyboard alone, in each engine: panels, the order of the controls, keys that turn, focus on later pages."""

from __future__ import annotations

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .engines import Engine
from .steps import LONG, page_number, read
from .webdriver import Browser

FOCUSED = "document.activeElement && (document.activeElement.id || document.activeElement.nodeName)"


def focused(browser: Browser) -> str:
    """The id of the control that has the focus, or else the name of its element."""
    return str(browser.script(f"return {FOCUSED};"))


def go_to(browser: Browser, identity: str) -> None:
    """Tab until this control has the focus."""
    for _ in range(60):
        browser.press("Tab")
        if focused(browser) == identity:
            return
    raise AssertionError(f"{identity} cannot be reached by Tab")


def is_open(browser: Browser, panel: str) -> bool:
    return bool(browser.script(f"return document.getElementById('{panel}').offsetHeight > 0"))


@pytest.mark.parametrize("page", ["/", "/chats", "/addresses", "/check", "/nothing", "a long answer"])
def test_escape_closes_the_panel_and_the_focus_goes_in_and_comes_back(
    browser: Browser, gemini: FakeGemini, house: House, page: str
) -> None:
    if page.startswith("/"):
        browser.open(house.url + page)
    else:
        read(browser, house, gemini, LONG)
    go_to(browser, "aa")
    browser.press("Enter")
    assert is_open(browser, "look") and focused(browser) == "look"
    browser.press("Tab")
    assert focused(browser) == "smaller"
    browser.press("Escape")
    assert not is_open(browser, "look") and focused(browser) == "aa"
    browser.press("Enter")
    go_to(browser, "close")
    browser.press("Enter")
    assert not is_open(browser, "look") and focused(browser) == "aa"
    browser.press("Enter")
    browser.press("Tab", shift=True)
    browser.wait_until("!document.getElementById('look').offsetHeight")
    assert focused(browser) != "look", "a panel that the focus leaves is in nobody's way"
    assert browser.errors() == []


def test_the_focus_is_marked_for_those_who_go_by_keys_and_not_after_a_tap(
    browser: Browser, engine: Engine, house: House
) -> None:
    browser.open(house.url + "/")
    # Old WebKit applies no rule for `:focus` in a window without the focus of its screen: ask it for the rule.
    outline = (
        "var rules = document.styleSheets[0].cssRules, at = document.activeElement, found = 0, i, style;"
        "function matches(rule) { var words = rule.selectorText.replace(':focus', ''), all, j;"
        "  all = document.querySelectorAll(/^\\s*$|\\s$/.test(words) ? words + '*' : words);"
        "  for (j = 0; j < all.length; j += 1) { if (all[j] === at) { return true; } } return false; }"
        "for (i = 0; i < rules.length; i += 1) { style = rules[i].style;"
        "  if (/^[^,]*:focus$/.test(rules[i].selectorText) && style.outlineWidth && matches(rules[i])) {"
        "    found = parseFloat(style.outlineWidth); } } return found;"
    )
    if engine.modern:
        outline = "return parseFloat(window.getComputedStyle(document.activeElement, null).outlineWidth);"
    go_to(browser, "aa")
    assert browser.script(outline) >= 3
    browser.press("Enter")
    assert browser.script(outline) >= 3 and focused(browser) == "look"
    browser.click(browser.find("#larger"))
    assert browser.script(outline) == 0
    browser.press("Tab")
    assert browser.script(outline) >= 3


def test_the_panel_of_pages_takes_the_focus_in_and_back_like_the_other(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    go_to(browser, "count")
    browser.press("Enter")
    assert is_open(browser, "pages") and focused(browser) == "pages"
    browser.press("Escape")
    assert not is_open(browser, "pages") and focused(browser) == "count"
    browser.press("Enter")
    go_to(browser, "last")
    browser.press("Enter")
    assert not is_open(browser, "pages") and focused(browser) == "count"
    number, last = page_number(browser)
    assert number == last > 2
    browser.press("Enter")
    browser.click(browser.find("#aa"))
    assert is_open(browser, "look") and not is_open(browser, "pages"), "one at a time"
    assert browser.errors() == []


def test_a_panel_named_in_the_address_is_closed_like_any_other(browser: Browser, house: House) -> None:
    browser.open(house.url + "/#look")
    assert is_open(browser, "look")
    browser.press("Escape")
    assert not is_open(browser, "look") and focused(browser) == "aa"
    browser.script("location.hash = '#other'; location.hash = '#look';")
    browser.click(browser.find("#aa"))
    browser.click(browser.find("#close"))
    assert not is_open(browser, "look")
