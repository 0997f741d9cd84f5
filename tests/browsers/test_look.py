"""The look, in each engine: characters on a line, controls large enough for a finger, the Aa panel."""

from __future__ import annotations

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import LONG, answered, lines_shown, page_number, sizes, turn

LEAST = {600: 52.5, 758: 66.5, 1072: 94, 390: 60, 1280: 38}
"""The height of a control in CSS pixels, by the width of the screen: 8 mm on Kindles of 167, 212 and 300 ppi; a
centimetre on a phone of 460 ppi at three device pixels to one, and CSS's own for a computer."""

LATIN = (
    "The quick brown fox jumps over the lazy dog while the farmer sleeps in the shade of an old apple tree. " * 8
)
HAN = "海水为什么是咸的雨水略带酸性流过岩石时会溶解极少量的矿物质河流再把这些离子带到海里" * 8


def characters_on_a_line(browser: Browser) -> int:
    """The number on the second line of the answer's last paragraph, which has no indent."""
    return int(
        browser.script(
            "var node = document.getElementById('text').lastChild.firstChild;"
            "var range = document.createRange(), line = 0, top = null, count = 0, i, box;"
            "for (i = 0; i < node.nodeValue.length; i += 1) {"
            "  range.setStart(node, i); range.setEnd(node, i + 1); box = range.getClientRects()[0];"
            "  if (box && box.width && (top === null || box.top > top + 5)) { top = box.top; line += 1; }"
            "  if (line === 2) { count += 1; } if (line > 2) { break; } } return count;"
        )
    )


@pytest.mark.parametrize(
    ("look", "latin", "han"),
    [("62", (50, 75), (30, 32)), ("48", (38, 58), (23, 25)), ("13", (9, 16), (6, 7))],
)
def test_each_text_size_sets_its_number_of_characters_a_line_on_every_kindle(
    engine: Engine,
    gemini: FakeGemini,
    house: House,
    look: str,
    latin: tuple[int, int],
    han: tuple[int, int],
) -> None:
    paths = [answered(house, gemini, text) for text in (LATIN, HAN)]
    for width, height in sizes(engine):
        with engine.start(width, height) as browser:
            counts = []
            for path in paths:
                browser.open(house.url + path)
                browser.script(f"document.cookie = 'look={look}; path=/'")
                browser.reload()
                browser.wait_until("document.documentElement.style.fontSize")
                counts.append(characters_on_a_line(browser))
            if 500 < width < height:
                assert latin[0] <= counts[0] <= latin[1] and han[0] <= counts[1] <= han[1], (width, counts)
            assert counts[0] <= 72, "a line of a wide screen has about 66 letters at most"
            left, right = browser.script(
                "var box = document.getElementById('text').getBoundingClientRect(); return [box.left, box.right];"
            )
            assert abs(left - (width - right)) <= 1.5, "the column is centred"


@pytest.mark.parametrize("look", ["62", "48", "13b"])
def test_controls_are_large_enough_for_a_finger_on_every_screen(
    engine: Engine, gemini: FakeGemini, house: House, look: str
) -> None:
    answered(house, gemini, "One.")
    path = answered(house, gemini, "Two.", chat=1)
    controls = (
        "var all = document.querySelectorAll('a, input:not([type=hidden]), button, textarea');"
        "var small = [], seen = 0, i, box;"
        "for (i = 0; i < all.length; i += 1) { box = all[i].getBoundingClientRect();"
        "  if (box.width) { seen += 1;"
        "    if (box.height < arguments[0]) { small.push([all[i].textContent || all[i].value, box.height]); } } }"
        "return [seen, small];"
    )
    pages = ((path, 9), ("/", 8), ("/?chat=1", 4), ("/chats", 5), ("/nothing", 3), ("/check", 6), ("/addresses", 4),
             ("/chats/1/edit", 5), ("/chats/1/delete", 3))  # fmt: skip
    for width, height in sizes(engine):
        with engine.start(width, height) as browser:
            for page, least in pages:
                browser.open(house.url + page)
                browser.script(f"document.cookie = 'look={look}; path=/'")
                browser.reload()
                browser.wait_until("document.documentElement.style.fontSize")
                if page == "/check":
                    browser.wait_until("document.body.className === 'check tested'")
                browser.click(browser.find("#aa"))
                seen, small = browser.script(controls, LEAST[width])
                assert seen >= least and small == [], f"{page} at {width}: {small}"
                assert browser.script("return document.documentElement.scrollWidth") <= width
            assert browser.errors() == []


def test_a_text_size_applies_at_once_and_on_all_pages(browser: Browser, gemini: FakeGemini, house: House) -> None:
    path = answered(house, gemini, LONG)
    browser.open(house.url + path)
    pages = [page_number(browser)[1]]
    assert "Bold" not in browser.text, "the controls are hidden until Aa"
    browser.click(browser.find("#aa"))
    for button in ("#larger", "#larger", "#weight"):
        browser.click(browser.find(button))
        pages.append(page_number(browser)[1])
        lines_shown(browser)
    assert pages[0] < pages[1] < pages[2] <= pages[3]
    assert browser.script("return document.documentElement.className").endswith("size-34 bold")
    browser.click(browser.find("#close"))
    assert "Bold" not in browser.text and "Regular" not in browser.text
    for address in ("/", path):
        browser.open(house.url + address)
        assert browser.script("return document.documentElement.className").startswith("size-34 bold scripted")
    browser.click(browser.find("#aa"))
    for _ in range(6):
        browser.click(browser.find("#larger"))
    assert browser.script("return document.documentElement.className").endswith("size-13 bold"), "and no larger"
    assert browser.errors() == []


def test_ghost_images_are_cleared_on_request(browser: Browser, house: House) -> None:
    browser.open(house.url + "/")
    # The two steps last 400 ms each; here each lasts until the test has seen it.
    browser.script(
        "window.steps = []; var set = window.setTimeout; window.setTimeout = function (action, ms) {"
        "  if (ms === 400 || ms === 800) { window.steps.push(action); } else { return set(action, ms); } };"
    )
    browser.click(browser.find("#aa"))
    browser.click(browser.find("#clear"))
    veil = (
        "var veil = document.getElementById('veil'), box = veil && veil.getBoundingClientRect();"
        "return veil && [window.getComputedStyle(veil, null).backgroundColor, box.top < 1 && box.left < 1,"
        " box.right > document.documentElement.clientWidth - 1, box.bottom >= window.innerHeight];"
    )
    assert browser.script(veil) == ["rgb(0, 0, 0)", True, True, True]
    browser.script("window.steps[0]();")
    assert browser.script(veil) == ["rgb(255, 255, 255)", True, True, True]
    browser.script("window.steps[1]();")
    assert browser.script(veil) is None
    assert browser.errors() == []


def test_without_script_the_panel_works_by_forms(
    scriptless_browser: Browser, gemini: FakeGemini, house: House
) -> None:
    browser = scriptless_browser
    path = answered(house, gemini, "An answer.")
    browser.open(house.url + path)
    assert "A+" not in browser.text
    browser.click(browser.find("#aa"))
    assert "A+" in browser.text and "Clear screen" not in browser.text
    browser.click(browser.find("#larger"))
    browser.wait_until("document.documentElement.className === 'size-40'")
    assert browser.url.endswith(path + "#look") and "A+" in browser.text, "the panel stays open"
    browser.click(browser.find("#weight"))
    browser.wait_until("document.documentElement.className === 'size-40 bold'")
    browser.click(browser.find("#close"))
    assert "A+" not in browser.text
    browser.open(house.url + "/")
    assert browser.script("return document.documentElement.className") == "size-40 bold"


def test_a_late_screen_size_is_used(browser: Browser, engine: Engine, gemini: FakeGemini, house: House) -> None:
    path = answered(house, gemini, LONG)
    browser.open(house.url + path)
    before = page_number(browser)
    # A Paperwhite 3 reports 0 x 0 until its first resize event; a keyboard takes height and gives it back.
    turn(browser, "next")
    width, height = browser.size
    size = "return document.documentElement.style.fontSize"
    font = browser.script(size)
    browser.resize(width, height // 2)
    browser.wait_until(f"window.innerHeight === {height // 2}")
    browser.wait_until(f"document.getElementById('count').textContent.indexOf('of {before[1]}') < 0")
    assert browser.script(size) == font, "text keeps its size when only the height changes"
    lines_shown(browser)
    browser.resize(width, height)
    browser.wait_until(f"document.getElementById('count').textContent === '2 of {before[1]}'")


def test_the_first_visit_offers_the_text_size_in_one_tap(browser: Browser, house: House) -> None:
    browser.open(house.url + "/")
    assert "How large do you like text?" in browser.text
    heights = browser.script(
        "var all = document.querySelectorAll('#sizes span'), found = [], i;"
        "for (i = 0; i < all.length; i += 1) {"
        "  found.push(parseFloat(window.getComputedStyle(all[i], null).fontSize)); } return found;"
    )
    assert heights == sorted(set(heights)) and len(heights) >= 4, "each is shown as large as it is"
    size = "return parseFloat(window.getComputedStyle(document.getElementById('question'), null).fontSize)"
    browser.click(browser.find("#sizes button:last-child"))
    assert browser.script(size) == heights[-1], "at once"
    browser.open(house.url + "/chats")
    assert browser.script("return document.documentElement.className").startswith("size-22")
    assert browser.errors() == []
