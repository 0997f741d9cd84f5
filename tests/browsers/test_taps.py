"""Taps, in each engine: the left third of the page turns back, all the rest forward, a near miss nothing."""

from __future__ import annotations

from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .steps import LONG, page_number, read, says, tap, turn, zoom

LINES = "\n\n".join(f"Line {number:02} goes beyond the middle." for number in range(60))


def point(browser: Browser, source: str) -> tuple[float, float]:
    """The point that a script's expression gives as [x, y], as `tap` wants it: a part of the width, and y."""
    x, y = browser.script(
        "function box(element) { return element.getBoundingClientRect(); }"
        "function byId(id) { return document.getElementById(id); }"
        "var line = parseFloat(window.getComputedStyle(byId('answer'), null).lineHeight);"
        "var link = document.querySelector('#text a'), boxes = link ? link.getClientRects() : [];"
        "var last = boxes[boxes.length - 1];"
        f"return {source};"
    )
    return x / browser.size[0], y


def test_the_left_third_turns_back_and_everything_else_forward(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    top, bottom = browser.script(
        "var box = document.getElementById('leaf').getBoundingClientRect(); return [box.top + 1, box.bottom - 2];"
    )
    tap(browser, 0.1)
    assert page_number(browser)[0] == 1, "there is no page before the first"
    for part, y, number in (
        (0.34, None, 2),
        (0.5, top + 99, 3),
        (0.33, None, 2),
        (0.99, bottom, 3),
        (0.66, None, 4),
        (0.01, bottom, 3),
        (0.2, 1, 2),
    ):
        tap(browser, part, y)
        assert page_number(browser)[0] == number, f"after a tap at {part}"
    assert browser.errors() == []


def test_a_tap_that_just_misses_a_link_turns_no_page(browser: Browser, gemini: FakeGemini, house: House) -> None:
    words = "This is a paragraph with [a link of some length that is wrapped](http://example.org/) in it."
    read(browser, house, gemini, f"{LONG[:400]}\n\n{words}\n\n{LONG}")
    browser.script(
        "var link = document.querySelector('#text a');"
        "link.onclick = function () { window.followed = true; return false; };"
    )
    assert point(browser, "[0, last.top - boxes[0].bottom]")[1] > -9, "it is wrapped: its middle is no part of it"
    on = "[(boxes[0].left + boxes[0].right) / 2, (boxes[0].top + boxes[0].bottom) / 2]"
    tap(browser, *point(browser, on))
    assert browser.script("return window.followed") and page_number(browser)[0] == 1
    for miss in (
        "[boxes[0].left - line / 2 + 2, boxes[0].bottom - line / 2]",
        "[boxes[0].right - 9, boxes[0].top - line / 2 + 2]",
        "[last.left + 9, last.bottom + line / 2 - 2]",
        "[last.right + line / 2 - 2, last.bottom - 2]",
    ):
        tap(browser, *point(browser, miss))
        assert page_number(browser)[0] == 1, miss
    for further in (
        "[boxes[0].right - 9, boxes[0].top - line / 2 - 4]",
        "[last.left + 0.4 * document.documentElement.clientWidth, last.bottom + line / 2 + 4]",
        "[last.right + line / 2 + 4, last.bottom - 2]",
    ):
        part, y = point(browser, further)
        tap(browser, part, y)
        assert page_number(browser)[0] == (2 if part > 1 / 3 else 1), further
        if part > 1 / 3:
            turn(browser, "back")
    assert browser.errors() == []


def test_a_link_on_the_next_page_and_text_without_an_address_hold_up_no_tap(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINES)
    turn(browser, "next")
    browser.script(
        "var block = Number(location.hash.slice(1).split('.')[0]), found = document.querySelectorAll('#text p');"
        "function wrap(paragraph, link) {"
        "  link.appendChild(paragraph.firstChild); paragraph.appendChild(link); return link; }"
        "wrap(found[block - 1], document.createElement('a')).href = 'http://example.org/';"
        "wrap(found[block - 4], document.createElement('a')).id = 'nowhere';"
    )
    turn(browser, "back")
    for where in (
        "[box(byId('nowhere')).right - 9, box(byId('nowhere')).top + 9]",
        "[300, box(byId('clip')).bottom - 2]",
    ):
        tap(browser, *point(browser, where))
        assert page_number(browser)[0] == 2, where
        turn(browser, "back")
    assert browser.errors() == []


def test_a_tap_that_just_misses_the_link_of_a_lost_connection_turns_no_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINES[:1000])
    while page_number(browser)[0] < page_number(browser)[1]:
        turn(browser, "next")
    browser.script(
        "var state = document.createElement('p'); state.className = 'state lost';"
        "state.innerHTML = '<a id=refresh href=\"/\">Refresh</a>';"
        "document.getElementById('answer').appendChild(state); window.onresize();"
    )
    before = page_number(browser)
    tap(browser, *point(browser, "[box(byId('refresh')).left + 9, box(byId('refresh')).top - line / 2 + 2]"))
    assert page_number(browser) == before
    tap(browser, *point(browser, "[box(byId('refresh')).left + 9, box(byId('refresh')).top - line / 2 - 9]"))
    assert page_number(browser)[0] == before[0] - 1
    assert browser.errors() == []


def test_taps_between_and_beside_the_controls_turn_no_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LINES)
    while page_number(browser)[0] < page_number(browser)[1]:
        turn(browser, "next")
    last = page_number(browser)
    if browser.script(
        "var leaf = document.getElementById('leaf').getBoundingClientRect();"
        "return leaf.bottom - document.getElementById('after').getBoundingClientRect().bottom > 9;"
    ):
        tap(browser, *point(browser, "[500, box(byId('after')).bottom + 5]"))
        assert page_number(browser) == last, "below the end there is no page"
    for blank in (
        *("[4, box(byId('after')).top + 2]", "[60, box(byId('after')).top + 2]"),
        *("[4, Math.min(box(byId('after')).bottom, box(byId('clip')).bottom) - 9]", "[4, box(byId('turn')).top]"),
    ):
        tap(browser, *point(browser, blank))
        assert page_number(browser) == last, blank
    for opener, panel, closer in (("#aa", "look", "#close"), ("#count", "pages", "#shut")):
        browser.click(browser.find(opener))
        for x in (2, 300):
            tap(browser, *point(browser, f"[{x}, box(byId('{panel}')).top + 1]"))
            assert page_number(browser) == last, "the border of the panel"
        browser.click(browser.find(closer))
    tap(browser, 0.1, 9)
    assert page_number(browser)[0] == last[0] - 1
    tap(browser, 0.1, 9)
    tap(browser, *point(browser, "[300, box(byId('turn')).top]"))
    assert page_number(browser)[0] == last[0] - 2
    assert browser.errors() == []


def test_a_tap_that_ends_a_selection_turns_no_page(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, LONG)
    browser.script("window.getSelection().selectAllChildren(document.querySelector('#text p'));")
    tap(browser, 0.9)
    assert page_number(browser)[0] == 1
    browser.script("window.getSelection().removeAllRanges();")
    tap(browser, 0.9)
    assert page_number(browser)[0] == 2
    assert browser.errors() == []


def test_while_zoomed_the_thirds_are_those_of_what_is_seen(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    turn(browser, "next")
    zoom(browser)
    for x, number in ((110, 3), (90, 2), (250, 3), (10, 2)):
        tap(browser, x / browser.size[0])
        assert page_number(browser)[0] == number, x
    assert browser.script("return " + says("zoomed", "Tap twice quickly to zoom out again."))
    assert browser.errors() == []
