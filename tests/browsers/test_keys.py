"""The keyboard alone, in each engine: panels, the order of the controls, keys that turn, focus on later pages."""

from __future__ import annotations

import random

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import LONG, lines_shown, page_number, read, tap, turn

LINKS = "\n\n".join(
    f"Paragraph {n} goes on for a while, has [link {n}](http://example.org/{n}) in it, and then goes on for some "
    "more, so that a page of a book is full after some of it, as it should be."
    for n in range(24)
)
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


def pages_of(browser: Browser) -> list[list[str]]:
    """The pieces of text on each page, seen by turning from the first to the last; ends on the first."""
    pages = [lines_shown(browser)]
    _, last = page_number(browser)
    for _ in range(last - 1):
        turn(browser, "next")
        pages.append(lines_shown(browser))
    for _ in range(last - 1):
        turn(browser, "back")
    return pages


def settle(browser: Browser) -> None:
    """Wait until the browser has sent the events of its own scrolling: one more comes after those."""
    browser.script(
        "var probe = document.getElementById('probe'), inside; window.probed = false;"
        "if (!probe) { probe = document.createElement('div'); inside = document.createElement('div');"
        "  probe.id = 'probe'; probe.style.cssText = 'position: absolute; top: 0; left: 0; width: 9px; height: 9px;"
        "    overflow: hidden; visibility: hidden;'; inside.style.height = '30px'; probe.appendChild(inside);"
        "  document.body.appendChild(probe); probe.onscroll = function () { window.probed = true; }; }"
        "probe.scrollTop = probe.scrollTop ? 0 : 9;"
    )
    browser.wait_until("window.probed")


def check_page(browser: Browser, pages: list[list[str]]) -> int:
    """Asserts that the screen shows exactly the page whose number the bar has; returns this number."""
    settle(browser)
    number, last = page_number(browser)
    assert last == len(pages)
    assert lines_shown(browser) == pages[number - 1], f"page {number} of {last}"
    scrolled = browser.script(
        "return [document.body.scrollTop, document.documentElement.scrollTop, window.pageYOffset,"
        " document.getElementById('leaf').scrollTop, document.getElementById('clip').scrollLeft];"
    )
    assert scrolled == [0] * 5
    return number


def test_focus_by_tab_never_breaks_the_pages(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, LINKS)
    pages = pages_of(browser)
    assert len(pages) >= 3
    for shift in (False, True):
        for _ in range(16):
            browser.press("Tab", shift=shift)
            check_page(browser, pages)
    assert browser.errors() == []


def test_a_script_or_a_fragment_that_scrolls_the_text_turns_to_the_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINKS)
    pages = pages_of(browser)
    for link in (23, 0, 12, 11, 23, 5):
        browser.script(f"document.querySelectorAll('#text a')[{link}].focus();")
        number = check_page(browser, pages)
        assert f"link {link} " in pages[number - 1]
        assert focused(browser) == "A", "it keeps the focus"
    for fragment, number in (("text", 1), ("after", len(pages)), ("sent", len(pages)), ("look", len(pages))):
        browser.script(f"location.hash = '{fragment}';")
        assert check_page(browser, pages) == number
    browser.press("Escape")
    for words in ("Paragraph 12", "Paragraph 3", "Paragraph 21"):  # as the browser's own search does
        assert browser.script(
            f"var isFound = window.find('{words}', false, false, true), at = window.getSelection().getRangeAt(0);"
            "at.startContainer.parentNode.scrollIntoViewIfNeeded(); return isFound;"
        )
        number = check_page(browser, pages)
        assert any(words in text for text in pages[number - 1])
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert check_page(browser, pages) == number > 1, "the place is kept"
    assert browser.errors() == []


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_pressed_the_screen_shows_the_page_that_the_bar_says(
    browser: Browser, gemini: FakeGemini, house: House, seed: int
) -> None:
    read(browser, house, gemini, LINKS)
    pages = pages_of(browser)
    chosen = random.Random(seed)
    done: list[str] = []
    for _ in range(40):
        done.append(act(browser, chosen))
        try:
            check_page(browser, pages)
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {done}") from error
    assert browser.errors() == []


def act(browser: Browser, chosen: random.Random) -> str:
    """Do something that moves the focus or the text; returns its name."""
    keys = ("Tab", "Tab", "Tab", "ArrowRight", "PageDown", "PageUp", "ArrowLeft", "Home", "End", "Escape")
    name = chosen.choice((*keys, "Tab back", "Tab back", "tap left", "tap right", "focus", "fragment", "fragment"))
    if name == "Tab back":
        browser.press("Tab", shift=True)
    elif name == "focus":
        browser.script(f"document.querySelectorAll('#text a')[{chosen.randrange(24)}].focus();")
    elif name == "fragment":
        name = chosen.choice(("after", "look", "text", "", "8.0.4"))
        browser.script(f"location.hash = '{name}';")
    elif name in keys:
        browser.press(name)
    else:
        tap(browser, 0.05 if name == "tap left" else 0.95)
    return name


def test_keys_turn_wherever_the_focus_is_and_type_or_press_where_they_must(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINKS)
    _, last = page_number(browser)

    def goes(key: str, number: int, *, shift: bool = False, control: bool = False) -> None:
        browser.press(key, shift=shift, control=control)
        assert page_number(browser) == (number, last), key

    for _ in range(2):
        goes("ArrowRight", 2)
        goes("ArrowLeft", 1)
        goes("ArrowDown", 2)
        goes("ArrowUp", 1)
        goes("PageDown", 2)
        goes("PageUp", 1)
        goes(" ", 2)
        goes(" ", 1, shift=True)
        goes("PageUp", 1)
        goes("End", last)
        goes(" ", last)
        goes("Home", 1)
        goes("ArrowRight", 1, control=True)
        goes("ArrowRight", 1, shift=True)
        browser.press("Tab")  # the second time a link has the focus
    go_to(browser, "next")
    goes("Enter", 2)
    goes(" ", 3)
    goes("PageUp", 2)
    assert focused(browser) == "next"
    go_to(browser, "back")
    goes(" ", 1)
    go_to(browser, "aa")
    browser.press(" ")
    assert is_open(browser, "look") and page_number(browser)[0] == 1, "Space presses what acts as a button"
    go_to(browser, "weight")
    browser.press(" ")
    assert "bold" in str(browser.script("return document.documentElement.className"))
    browser.press("Escape")
    assert browser.errors() == []


def test_tab_goes_as_the_eye_does_over_this_page_and_then_to_the_bar_below(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINKS)
    texts = pages_of(browser)
    where = "var at = document.activeElement; return at.id || at.value || at.textContent.replace(/\\s*\\(.*/, '');"

    def order() -> list[str]:
        """What gets the focus, one after another, from the text on to the end of the bar below."""
        browser.script("document.getElementById('leaf').focus();")
        found = [""]
        while found[-1] not in ("next", "aa" if number == len(texts) else "next"):
            browser.press("Tab")
            found.append(str(browser.script(where)))
            assert len(found) < 30
        return found[1:]

    links = [[text.strip() for text in page if text.startswith("link ")] for page in texts]
    for page in (1, 2):
        number = page
        assert order() == [*links[page - 1], *(["back"] if page > 1 else []), "count", "on", "aa", "next"]
        browser.press("ArrowRight")
    browser.press("ArrowLeft")
    back: list[str] = []
    while not back or back[-1] != links[1][0]:
        browser.press("Tab", shift=True)
        back.append(str(browser.script(where)))
        assert len(back) < 30
    assert back == ["aa", "on", "count", "back", *reversed(links[1])]
    browser.press("End")
    number = len(texts)
    found = order()
    assert [each for each in found if each.startswith("link")] == links[-1]
    assert "Shorter" in found and "back" in found and "next" not in found
    browser.press("Home")
    browser.script("document.getElementById('leaf').focus();")
    for _ in links[0]:
        browser.press("Tab")
    assert browser.script(where) == links[0][-1]
    browser.press("PageDown")
    browser.press("Tab")
    assert browser.script(where) == links[1][0], "nothing that is out of sight has the focus"
    assert browser.errors() == []
