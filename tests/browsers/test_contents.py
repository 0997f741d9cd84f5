"""The foot of a page, in each engine: the panel of headings that the count opens, and asking on from every page."""

from __future__ import annotations

import re

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import (
    ENDED,
    LONG,
    answered,
    ask,
    begin_on_page,
    choose_look,
    lines_shown,
    page_number,
    read,
    says,
    text_of,
    turn,
)

CHAPTERS = "\n\n".join(
    f"## Chapter {n}\n\n" + "Some words of a chapter that goes on for a while. " * 20 for n in range(30)
)


def rows(browser: Browser) -> list[tuple[str, int]]:
    """The headings in the panel, and the numbers of their pages."""
    found = browser.script(
        "var all = document.getElementById('headings').getElementsByTagName('a'), found = [], i;"
        "for (i = 0; i < all.length; i += 1) {"
        "  found.push([all[i].lastChild.nodeValue, all[i].firstChild.textContent]); } return found;"
    )
    return [(words, int(number)) for words, number in found]


def panel(browser: Browser) -> tuple[float, float]:
    """The top and the bottom of the panel, 0 if it is closed."""
    top, bottom = browser.script(
        "var box = document.getElementById('pages').getBoundingClientRect(); return [box.top, box.bottom];"
    )
    return top, bottom


def test_the_count_leads_to_the_first_page_the_last_and_the_headings(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, "## One\n\n" + LONG + "\n\n### Two\n\n" + LONG + "\n\n- ## Of an item\n")
    assert panel(browser) == (0, 0)
    browser.click(browser.find("#count"))
    names, numbers = zip(*rows(browser), strict=True)
    assert names == ("One", "Two") and numbers[0] == 1 < numbers[1]
    _, last = page_number(browser)
    browser.click(browser.find("#headings a + a"))
    assert page_number(browser) == (numbers[1], last) and "Two" in lines_shown(browser)
    assert panel(browser) == (0, 0)
    for way, number in (("last", last), ("first", 1)):
        browser.click(browser.find("#count"))
        browser.click(browser.find(f"#{way}"))
        assert page_number(browser) == (number, last) and panel(browser) == (0, 0)
    browser.click(browser.find("#count"))
    browser.click(browser.find("#shut"))
    assert panel(browser) == (0, 0)
    assert browser.errors() == []


@pytest.mark.parametrize("look", ["48", "13"])
def test_as_many_headings_as_fit_are_those_around_the_page(
    browser: Browser, gemini: FakeGemini, house: House, look: str
) -> None:
    choose_look(browser, house.url, look)
    read(browser, house, gemini, CHAPTERS)
    shown = []
    for way in ("first", "last"):
        browser.click(browser.find("#count"))
        browser.click(browser.find(f"#{way}"))
        browser.click(browser.find("#count"))
        shown.append([words for words, _ in rows(browser)])
        top, bottom = panel(browser)
        foot = browser.script("return document.getElementById('turn').getBoundingClientRect().top")
        row = browser.script("return document.getElementById('headings').firstChild.offsetHeight")
        assert 0 <= top < row and bottom <= foot + 1, "no further row has room"
        browser.click(browser.find("#shut"))
    assert shown[0][0] == "Chapter 0" and shown[1][-1] == "Chapter 29"
    assert len(shown[0]) == len(shown[1]) > 5
    assert browser.errors() == []


def test_asking_on_is_one_tap_from_every_page_and_knows_the_answer(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    path = answered(house, gemini, LONG)
    browser.open(house.url + path)
    for _ in range(page_number(browser)[1] - 1):
        assert browser.script(f"return {says('on', 'Ask on')}")
        turn(browser, "next")
    browser.click(browser.find("#on"))
    browser.wait_until("location.search === '?chat=1'")
    browser.type(browser.find("textarea"), "And then?")
    browser.click(browser.find(".go input"))
    contents = gemini.next_call(20).json["contents"]
    assert [each["parts"][0]["text"] for each in contents] == ["Why?", LONG, "And then?"]
    browser.wait_until("location.pathname === '/chats/1/2'")
    assert browser.errors() == []


def test_asking_on_is_there_while_the_answer_is_written_and_nothing_moves_at_its_end(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, LONG)
    where = (
        "var found = [], i, each; for (i = 0; i < 4; i += 1) {"
        "  each = document.getElementById(['back', 'count', 'on', 'aa'][i]).getBoundingClientRect();"
        "  found.push(each.left, each.right, each.top); } return found;"
    )
    before = browser.script(where)
    assert browser.script(f"return {says('on', 'Ask on')}") and "Stop" in browser.script(
        "return document.querySelector('#stop input').value"
    )
    call.finish("")
    browser.wait_until(ENDED)
    assert browser.script(where) == before


@pytest.mark.parametrize("look", ["62", "48", "28", "13"])
def test_the_last_page_never_holds_buttons_alone(
    engine: Engine, gemini: FakeGemini, house: House, look: str
) -> None:
    """Whatever is left of the page on which the text ends."""
    paths = [answered(house, gemini, "A line of text.\n\n" * count + "The end.") for count in range(2, 36, 3)]
    with engine.start(600, 706) as browser:
        choose_look(browser, house.url, look)
        alone = 0
        for path in paths:
            browser.open(house.url + path)
            count = page_number(browser)[1]
            for _ in range(count - 1):
                turn(browser, "next")
            lines = lines_shown(browser)
            assert lines[-1] == "The end.", path
            new = browser.script(
                "return document.getElementById('clip').getBoundingClientRect().top"
                " - document.getElementById('after').getBoundingClientRect().top"
            )
            alone += new < 0 and len(lines) <= 3
            turn(browser, "back") if count > 1 else None
            assert page_number(browser)[0] == max(1, count - 1)
        assert alone, "one of them had nothing but buttons left for the last page"
        assert browser.errors() == []


def test_the_lines_that_stand_above_the_buttons_once_more_do_not_change_the_place(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "\n\n".join(f"Line {n}." for n in range(36)) + " ")
    for _ in range(page_number(browser)[1] - 1):
        turn(browser, "next")
    before, (number, _) = lines_shown(browser), page_number(browser)
    call.finish("")
    browser.wait_until(ENDED)
    assert lines_shown(browser)[: len(before)] == before and page_number(browser) == (number, number + 1)
    turn(browser, "next")
    last = lines_shown(browser)
    assert last == before[-3:]
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert page_number(browser) == (number + 1, number + 1) and lines_shown(browser) == last
    assert re.fullmatch(r"\d+ of \d+", text_of(browser, "count"))
