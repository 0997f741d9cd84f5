"""The reading position, in each engine: an answer opens where it was left, also when it is opened anew."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import ENGINES
from .steps import (
    ENDED,
    LONG,
    alter_pages,
    answered,
    ask,
    begin,
    begin_on_page,
    lines_shown,
    page_number,
    read,
    shows,
    turn,
)

WITH_HISTORY = pytest.mark.parametrize(
    "engine",
    [each for each in ENGINES if each.name != "webkit-533.3"],  # its page is a frame in the page that drives it
    indirect=True,
    ids=lambda engine: engine.name,
)
PAGES = "document.getElementById('count').textContent"


def places(browser: Browser) -> str:
    """The value of the cookie, "" without one."""
    return str(browser.script("return (/(?:^|; )places=([^;]*)/.exec(document.cookie) || ['', ''])[1];"))


def keep(browser: Browser, value: str) -> None:
    """Give the browser this cookie."""
    browser.script("document.cookie = 'places=' + arguments[0] + '; path=/';", value)


def is_on(number: int) -> str:
    """A JavaScript condition: this page is shown."""
    return f"parseInt({PAGES}, 10) === {number}"


def turn_to(browser: Browser, number: int) -> None:
    while page_number(browser)[0] < number:
        turn(browser, "next")


def open_from_list(browser: Browser, house: House) -> str:
    """Open the newest chat from the list; returns what the list said of it."""
    browser.open(house.url + "/chats")
    said = str(browser.script("return document.querySelector('.list small').textContent"))
    browser.click(browser.find(".list a"))
    browser.wait_until("location.pathname.indexOf('/chats/') === 0 && !!" + PAGES)
    return said


def test_an_answer_opened_from_the_list_shows_the_page_on_which_it_was_left(
    browser: Browser, gemini: FakeGemini, house: House, tmp_path: Path
) -> None:
    ask(browser, house.url)
    begin(gemini).finish(LONG)
    browser.wait_until(ENDED)
    house.indexer.close()
    stored = {path: path.read_bytes() for path in tmp_path.glob("chats.sqlite*") if path.suffix != ".sqlite-shm"}
    assert len(stored) == 2
    turn_to(browser, 3)
    before, first = page_number(browser), lines_shown(browser)[0]
    browser.open(house.url + "/")
    said = f"page 3 of {before[1]}"
    assert said in browser.text and "question" not in browser.script(
        "return document.querySelector('.list small').textContent"
    )
    assert said in open_from_list(browser, house)
    assert page_number(browser) == before and lines_shown(browser)[0] == first
    for _ in range(2):
        turn(browser, "back")
    assert page_number(browser)[0] == 1 and places(browser) == ""
    assert "1 question" in open_from_list(browser, house)
    assert page_number(browser)[0] == 1
    assert {path: path.read_bytes() for path in stored} == stored, "the appliance has written nothing"
    assert browser.errors() == []


def test_the_place_is_found_in_another_text_size_and_on_a_turned_screen(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    turn_to(browser, 4)
    before, first = page_number(browser), lines_shown(browser)[0]
    browser.open(house.url + "/chats")
    browser.click(browser.find("#aa"))
    for _ in range(3):
        browser.click(browser.find("#larger"))
    open_from_list(browser, house)
    assert page_number(browser)[1] > before[1] and first in lines_shown(browser)
    width, height = browser.size
    browser.resize(height, width)
    open_from_list(browser, house)
    assert first in lines_shown(browser)
    browser.resize(width, height)
    browser.open(house.url + "/chats")
    browser.click(browser.find("#aa"))
    for _ in range(3):
        browser.click(browser.find("#smaller"))
    said = open_from_list(browser, house)
    assert page_number(browser) == before and lines_shown(browser)[0] == first
    assert f"page {before[0]} of" in said or page_number(browser)[0] == before[0]
    assert browser.errors() == []


def test_an_answer_that_is_being_written_opens_where_it_was_left(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, LONG + "\n\nand a tail ")
    turn_to(browser, 3)
    before, first = page_number(browser), lines_shown(browser)[0]
    assert "page 3" not in open_from_list(browser, house), "nobody knows of how many"
    browser.wait_until(shows("and a tail"))
    assert page_number(browser) == before and lines_shown(browser)[0] == first
    call.finish(LONG)
    browser.wait_until(ENDED)
    number, last = page_number(browser)
    assert number == 3 and last > before[1] and lines_shown(browser)[0] == first
    assert f"page 3 of {last}" in open_from_list(browser, house)
    assert browser.errors() == []


def test_no_list_says_of_how_many_pages_an_answer_is_that_was_left_before_its_end(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    chat, number = house.ask("Why?")  # on another device: here it is never "ready"
    call = begin(gemini)
    call.text(LONG + "\n\nand a tail ")
    browser.open(f"{house.url}/chats/{chat}/{number}")
    browser.wait_until(shows("and a tail"))
    turn_to(browser, 3)
    browser.open(house.url + "/")
    call.finish(LONG)
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    assert "1 question" in open_from_list(browser, house)
    number, last = page_number(browser)
    assert number == 3 and f"page 3 of {last}" in open_from_list(browser, house)
    assert browser.errors() == []


def test_a_place_that_is_not_yet_written_is_waited_for(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    blocks = LONG.split("\n\n")
    call = begin_on_page(browser, gemini, "\n\n".join(blocks[:8]))
    keep(browser, "1.l.0.2.6.0")  # block 21 is paragraph 20
    open_from_list(browser, house)
    browser.wait_until(shows("Paragraph 7"))
    number, last = page_number(browser)
    assert number == last
    call.text("\n\n" + "\n\n".join(blocks[8:]))
    browser.wait_until(f"parseInt({PAGES}, 10) > {last}")
    call.finish("\n\n" + LONG)
    browser.wait_until(ENDED)
    assert any("Paragraph 20 " in text for text in lines_shown(browser))
    assert page_number(browser)[0] < page_number(browser)[1]
    assert browser.errors() == []


def test_a_place_in_the_tail_is_found_in_another_text_size_once_it_has_settled(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text("Before.\n\n" + "".join(f"Line {number}\\\n" for number in range(60)))
    browser.wait_until(shows("Line 58"))
    turn_to(browser, 3)
    first, (_, block, line, lines, *_) = lines_shown(browser)[0], places(browser).split(".")
    assert lines == "0"
    call.finish("The end.")
    browser.wait_until(ENDED)
    assert places(browser).split(".")[:4] == ["1", block, line, "1p"], "61 lines"
    browser.open(house.url + "/chats")
    for _ in range(3):
        browser.script("document.getElementById('larger').onclick()")
    open_from_list(browser, house)
    assert first in lines_shown(browser)
    assert browser.errors() == []


def test_the_twenty_newest_places_are_kept_in_at_most_400_bytes(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    short = [f"{number}z.1.0.2.2.3" for number in range(1, 21)]
    keep(browser, "_".join(short))
    turn(browser, "next")
    kept = places(browser).split("_")
    assert kept[:-1] == short[1:], "the oldest is forgotten, also what another window has kept meanwhile stays"
    assert kept[-1].startswith("1.") and kept[-1].split(".")[4:] == [
        "2",
        _to_base_36(page_number(browser)[1]),
    ]
    long = [f"{number}zzzzz.zz.zz.zz.zz.zzz" for number in range(10, 30)]
    keep(browser, "_".join(long))
    turn(browser, "next")
    kept = places(browser).split("_")
    size = len("places=" + "_".join(kept))
    assert 370 < size <= 400 and kept[:-1] == long[-len(kept) + 1 :]
    turn(browser, "back")
    assert len(places(browser).split("_")) == len(kept), "one entry for each answer"
    open_from_list(browser, house)
    assert page_number(browser)[0] == 2
    assert browser.errors() == []


def _to_base_36(number: int) -> str:
    return "0123456789abcdefghijklmnopqrstuvwxyz"[number] if number < 36 else _to_base_36(number // 36) + "?"


@pytest.mark.parametrize(
    "value", ["1..1.1.2.3", "1.zzzzzzzzz.zzzzzzzzz.zzzzzzzzz.2.3", "1", "_" * 300, "1.é.1.2.3.4"]
)
def test_a_cookie_that_no_page_has_written_does_no_harm(
    browser: Browser, gemini: FakeGemini, house: House, value: str
) -> None:
    path = answered(house, gemini, LONG)
    browser.open(house.url + "/no")
    keep(browser, value)
    browser.open(house.url + path)
    number, last = page_number(browser)
    assert number in (1, last)
    turn(browser, "next" if number == 1 else "back")
    before = page_number(browser)
    open_from_list(browser, house)
    assert page_number(browser) == before
    assert browser.errors() == []


def test_without_cookies_the_pages_turn_and_the_url_keeps_the_place(
    browser: Browser, gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter_pages(monkeypatch, "document.cookie", "({ cookie: '' }).cookie")
    address = read(browser, house, gemini, LONG)
    turn_to(browser, 3)
    before = page_number(browser)
    assert places(browser) == ""
    browser.reload()
    browser.wait_until(PAGES)
    assert page_number(browser) == before
    browser.open(house.url + "/chats")
    browser.open(address)
    assert page_number(browser)[0] == 1
    assert browser.errors() == []


@WITH_HISTORY
def test_going_back_from_another_page_returns_to_the_page_of_the_answer(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    turn_to(browser, 4)
    before, entries = page_number(browser), browser.script("return history.length")
    turn(browser, "next")
    turn(browser, "back")
    assert browser.script("return history.length") == entries, "a page that is turned is no step of the history"
    browser.script("document.cookie = 'places=; path=/'")
    browser.click(browser.find("#on"))
    browser.wait_until("location.pathname === '/'")
    browser.script("history.back()")
    browser.wait_until("location.pathname === '/chats/1/1' && !!" + PAGES)
    assert page_number(browser) == before
    browser.script("history.forward()")
    browser.wait_until("location.pathname === '/'")
    assert browser.errors() == []


def test_a_bookmark_wins_over_the_place_of_last_time_and_over_the_open_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    address = read(browser, house, gemini, LONG)
    turn_to(browser, 4)
    first = lines_shown(browser)[0]
    bookmark = address + str(browser.script("return location.hash"))
    turn_to(browser, 6)
    browser.open(house.url + "/chats")
    browser.open(bookmark)
    browser.wait_until(PAGES)
    assert page_number(browser)[0] == 4 and lines_shown(browser)[0] == first
    for _ in range(3):
        turn(browser, "back")
    browser.script("location.href = arguments[0];", bookmark)
    browser.wait_until(is_on(4))
    turn(browser, "next")
    for fragment in ("#look", "#pages", "#note-1", "#1.2"):
        browser.script("location.href = arguments[0];", fragment)
        browser.wait_until(f"location.hash === '{fragment}'")
        assert page_number(browser)[0] == 5
    assert "page 5 of" in open_from_list(browser, house)
    assert page_number(browser)[0] == 5
    assert browser.errors() == []


@WITH_HISTORY
@pytest.mark.parametrize("number", [1, 3])
def test_going_back_from_a_fragment_returns_to_the_page(
    browser: Browser, gemini: FakeGemini, house: House, number: int
) -> None:
    address = read(browser, house, gemini, LONG)
    turn_to(browser, number)
    open_from_list(browser, house)
    browser.script(
        "var link = document.createElement('a'); link.id = 'link'; link.href = '#1.0.0';"
        "link.appendChild(document.createTextNode('link'));"
        "document.getElementById('count').parentNode.insertBefore(link, document.getElementById('count'));"
    )
    turn_to(browser, number + 1)
    turn(browser, "back")
    browser.click(browser.find("#link"))
    browser.wait_until("location.hash.indexOf('#1.0.') === 0")
    browser.wait_until(is_on(1))
    browser.script("history.back()")
    browser.wait_until("location.hash.indexOf('#1.0.') < 0")
    browser.wait_until(is_on(number))
    assert browser.url.partition("#")[0] == address and browser.errors() == []


def lines_of_text(count: int) -> str:
    """One paragraph of so many lines."""
    return "".join(f"Line {number}\\\n" for number in range(count))


def test_links_of_version_0_1_lead_to_the_same_part_of_a_block(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    address = read(browser, house, gemini, lines_of_text(132))
    for part, parts, line in ((3, 4, 99), (15, 22, 90), (0, 7, 0), (40, 0, 40)):
        browser.open(house.url + "/no")
        browser.open(f"{address}#1.{part}.{parts}")
        browser.wait_until(PAGES)
        assert f"Line {line}" in map(str.strip, lines_shown(browser))
    assert browser.errors() == []


def test_a_page_is_found_again_whatever_its_part_of_a_block_is_as_a_fraction(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, lines_of_text(100))
    starts = []
    while page_number(browser)[0] < page_number(browser)[1]:
        turn(browser, "next")
        starts.append(int(browser.script("return location.hash").split(".")[1]))
    start, count = next(
        (start, count)
        for count in range(100, 1000)
        for start in starts[:-1]
        if math.floor(start / count * count) < start  # such as 15 / 22 * 22
    )
    address = read(browser, house, gemini, lines_of_text(count))
    browser.open(house.url + "/no")
    browser.open(f"{address}#1.{start}.{count}")
    browser.wait_until(PAGES)
    assert lines_shown(browser)[0].strip() == f"Line {start}"
    assert browser.errors() == []
