"""Reading, in each engine: pages that turn, nothing cut, nothing moved, the place kept, the ways on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .clock import shift_clock
from .engines import Engine
from .steps import (
    ENDED,
    LONG,
    alter_pages,
    answered,
    ask,
    begin,
    begin_on_page,
    choose_look,
    lines_shown,
    page_number,
    read,
    says,
    shows,
    tap,
    text_of,
    turn,
    zoom,
)

MIXED = """\
## A heading

A paragraph with *emphasis*, `code`, and a [link](http://example.org/) in it, long enough to be set on several
lines of any size, whatever the font may be that this machine has for it.

### Another heading

| Planet | Day | Year | Moons | Colour | Rings |
|---|---|---|---|---|---|
| Mercury | 59 days | 88 days | none | grey | none |
| Jupiter | 10 hours | 12 years | ninety-five | orange and white | faint |

1. One
2. Two
   - a nested item that is long enough to need a second line on a small screen
   - another

> A quotation, which has a line at its side, and that goes on for more than one line of text.

```
def function(argument):
    return "a line of code that is long enough to be wrapped on a narrow screen", argument
```

海水为什么是咸的？雨水略带酸性。雨水流过岩石时，会溶解极少量的矿物质，河流再把这些*离子*带到海里。

ماء المطر حمضي قليلاً. عندما يجري فوق الصخور يذيب كميات ضئيلة من المعادن، ثم تحمل الأنهار هذه الأملاح إلى البحر.

ภาษาไทยมีสระและวรรณยุกต์อยู่เหนือและใต้พยัญชนะ ที่นี่ น้ำ ปู่ ผู้ใหญ่

---

The end.
"""


def test_a_long_answer_turns_in_pages_by_buttons_and_by_taps(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    assert page_number(browser)[0] == 1
    last = page_number(browser)[1]
    assert last > 4
    seen = []
    for number in range(1, last + 1):
        assert page_number(browser) == (number, last)
        seen += lines_shown(browser)
        if number < last:
            turn(browser, "next")
    for number in range(24):
        assert any(f"Paragraph {number} goes on" in text for text in seen), number
    for _ in range(3):
        turn(browser, "back")
    tap(browser, 0.5)
    tap(browser, 0.1)
    tap(browser, 0.9)
    assert page_number(browser) == (last - 2, last)
    assert browser.errors() == []


@pytest.mark.parametrize("look", ["62", "48", "48b", "28", "13"])
def test_no_line_is_cut_at_the_edge_of_a_page(
    browser: Browser, gemini: FakeGemini, house: House, look: str
) -> None:
    choose_look(browser, house.url, look)
    read(browser, house, gemini, MIXED)
    _, last = page_number(browser)
    shown = 0
    for number in range(1, last + 1):
        lines = lines_shown(browser)
        shown += len(lines)
        headings = browser.script(
            "var found = document.querySelectorAll('#text h2, #text h3'), clip = document.getElementById('clip');"
            "var bottom = clip.getBoundingClientRect().bottom, last = [];"
            "for (var i = 0; i < found.length; i += 1) {"
            "  if (Math.abs(found[i].getBoundingClientRect().bottom - bottom) < 5) { last.push(i); } } return last;"
        )
        assert headings == [], "a heading stands with its text"
        if number < last:
            turn(browser, "next")
    assert shown > 20
    assert browser.script("return document.documentElement.scrollWidth") <= browser.size[0]
    assert browser.errors() == []


def test_the_text_being_read_does_not_move_while_more_is_written(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    blocks = LONG.split("\n\n")
    call.text("\n\n".join(blocks[:8]) + "\n\n")
    browser.wait_until(shows("Paragraph 7"))
    turn(browser, "next")
    number, count = page_number(browser)
    assert number == 2
    place = browser.script("return location.hash")
    before = lines_shown(browser)
    top = "return document.getElementById('text').getElementsByTagName('p')[1].getBoundingClientRect().top"
    where = browser.script(top)
    call.text("\n\n".join(blocks[8:20]) + "\n\nand a tail ")
    browser.wait_until(shows("and a tail"))
    assert page_number(browser)[0] == 2 and page_number(browser)[1] > count
    assert lines_shown(browser)[: len(before) - 1] == before[:-1]
    assert browser.script(top) == where and browser.script("return location.hash") == place
    call.finish(".")
    browser.wait_until(ENDED)
    assert browser.script(top) == where and page_number(browser)[0] == 2
    assert browser.errors() == []


def test_the_place_survives_a_reload_another_text_size_and_a_turned_screen(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    for _ in range(3):
        turn(browser, "next")
    first = lines_shown(browser)[0]
    before = page_number(browser)
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert page_number(browser) == before and lines_shown(browser)[0] == first
    browser.click(browser.find("#aa"))
    for _ in range(3):
        browser.click(browser.find("#larger"))
    assert page_number(browser)[1] > before[1] and first in lines_shown(browser)
    for _ in range(3):
        browser.click(browser.find("#smaller"))
    assert page_number(browser) == before, "another size and back leads to the same page"
    browser.click(browser.find("#close"))
    width, height = browser.size
    browser.resize(height, width)
    browser.wait_until(f"document.documentElement.clientWidth === {height}")
    browser.wait_until("document.documentElement.style.fontSize !== '27px'")
    assert first in lines_shown(browser)
    browser.resize(width, height)
    browser.wait_until("document.documentElement.style.fontSize === '27px'")
    assert page_number(browser) == before
    assert browser.errors() == []


def test_a_screen_that_is_turned_again_and_again_keeps_the_place(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    for _ in range(3):
        turn(browser, "next")
    before, first = page_number(browser), lines_shown(browser)[0]
    width, height = browser.size
    for size in 3 * [(height, width), (width, height)]:
        browser.resize(*size)
        browser.wait_until(f"document.documentElement.clientWidth === {size[0]}")
        is_upright = size == (width, height)
        browser.wait_until(f"(document.documentElement.style.fontSize === '27px') === {str(is_upright).lower()}")
        assert first in lines_shown(browser)
        assert page_number(browser) == before or not is_upright
    assert browser.errors() == []


def test_the_place_survives_a_reload_while_the_answer_is_written(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, LONG + "\n\nand a tail ")
    for _ in range(2):
        turn(browser, "next")
    first, before = lines_shown(browser)[0], page_number(browser)
    browser.reload()
    browser.wait_until(shows("and a tail"))
    assert page_number(browser) == before and lines_shown(browser)[0] == first
    call.finish(".")
    browser.wait_until(ENDED)
    assert lines_shown(browser)[0] == first
    assert browser.errors() == []


def test_each_turn_links_to_its_neighbours_the_list_and_a_new_question(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    for question in ("First?", "Second?", "Third?"):
        path = answered(house, gemini, f"An answer to {question}", question, 1 if question != "First?" else "")
    browser.open(house.url + path)
    assert "3 of 3" in browser.text
    browser.click(browser.find(".step a"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    assert "2 of 3" in browser.text and "An answer to Second?" in text_of(browser, "text")
    browser.click(browser.find(".step + td + .step a"))
    browser.wait_until("location.pathname === '/chats/1/3'")
    for address, path in (("/chats", "/chats"), ("/", "/")):
        browser.open(house.url + "/chats/1/2")
        browser.click(browser.find(f".top a[href='{address}']"))
        browser.wait_until(f"location.pathname === '{path}'")
    assert browser.errors() == []


def test_the_last_page_of_a_finished_answer_sends_follow_ups_with_one_tap(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text(LONG)
    browser.wait_until(shows("Paragraph 20"))
    for _ in range(page_number(browser)[1] - 1):
        turn(browser, "next")
    assert "Simpler" not in browser.text, "follow-ups are not shown while it is written"
    call.finish("\n\nThe end.")
    browser.wait_until(ENDED)
    while page_number(browser)[0] < page_number(browser)[1]:
        assert "Simpler" not in visible_controls(browser)
        turn(browser, "next")
    assert {"Simpler", "Shorter", "More", "An example"} <= visible_controls(browser)
    assert not {"next"} & visible_controls(browser), (
        "no control takes the place of Next, where a hurried tap would land"
    )
    before = page_number(browser)
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert page_number(browser) == before and "Shorter" in visible_controls(browser)
    browser.click(browser.find(".more input[value='Shorter']"))
    call = begin(gemini)
    contents = call.json["contents"]
    assert [each["role"] for each in contents] == ["user", "model", "user"]
    assert contents[-1]["parts"] == [{"text": "Shorter"}]
    browser.wait_until("location.pathname === '/chats/1/2'")
    call.finish("Short.")
    browser.wait_until(ENDED)
    assert text_of(browser, "text") == "Short."
    assert browser.errors() == []


def test_a_hurried_second_tap_does_not_press_a_control_that_has_just_appeared(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    while page_number(browser)[0] < page_number(browser)[1]:
        turn(browser, "next")
    last = page_number(browser)
    x, y = browser.script(
        "var box = document.querySelector(\".buttons a[href='/']\").getBoundingClientRect();"
        "return [(box.left + box.right) / 2 / document.documentElement.clientWidth, (box.top + box.bottom) / 2];"
    )
    assert x > 0.34, "it lies where a tap turns to the next page"
    turn(browser, "back")
    before = browser.url.partition("#")[0]
    for _ in range(3):
        tap(browser, x, y)
    assert page_number(browser) == last and browser.url.partition("#")[0] == before
    shift_clock(browser, 2)
    tap(browser, x, y)
    browser.wait_until("location.pathname === '/'")


def visible_controls(browser: Browser) -> set[str]:
    """The labels (of links: the ids) of the controls on the current page."""
    return set(
        browser.script(
            "var all = document.querySelectorAll('#after input[type=submit], #turn a'), found = [], i, box, style;"
            "var clip = document.getElementById('clip').getBoundingClientRect();"
            "for (i = 0; i < all.length; i += 1) {"
            "  box = all[i].getBoundingClientRect(); style = window.getComputedStyle(all[i], null);"
            "  if (box.width && style.visibility === 'visible' && "
            "      (all[i].id || box.bottom <= clip.bottom && box.top >= 0)) {"
            "    found.push(all[i].value || all[i].id); } } return found;"
        )
    )


def test_the_pieces_of_a_quotation_look_like_one(
    browser: Browser, gemini: FakeGemini, house: House, engine: Engine
) -> None:
    read(
        browser,
        house,
        gemini,
        "> one\n>\n> two\n>\n> # head\n>\n> - three\n\nend\n\n- a\n\n  > b\n  >\n  > c\n\nend\n",
    )
    styles = browser.script(
        "var text = document.getElementById('text'), found = [text.getElementsByTagName('blockquote').length], i;"
        "var all = text.querySelectorAll('blockquote p');"
        "for (i = 0; i < all.length; i += 1) {"
        "  found.push(parseFloat(window.getComputedStyle(all[i], null).textIndent) > 0); }"
        "return found.concat(window.getComputedStyle(text.querySelector('h1'), ':before').display);"
    )
    assert styles[0] > 2, "they are in pieces"
    assert styles[1:] == [False, True, False, False, "block"], "two is a second paragraph, and items have no indent"


def test_wide_tables_become_stacked_rows_and_narrow_ones_stay(
    browser: Browser, gemini: FakeGemini, house: House, screenshots: Path, engine: Engine
) -> None:
    narrow = "| a | b |\n|---|--:|\n| one | 2 |\n\n"
    wide = "| Name | Height of the mountain | Circumference | Inhabitants of it |\n|---|---|---|---|\n" + (
        "| Kilimanjaro | 5895 m | incomprehensible | elephants |\n" * 40
    )
    read(browser, house, gemini, narrow + wide)
    shown_as = browser.script(
        "var tables = document.getElementById('text').getElementsByTagName('table'), found = [], i, rows;"
        "for (i = 0; i < tables.length; i += 1) {"
        "  rows = tables[i].rows;"
        "  found.push(window.getComputedStyle(rows[rows.length - 1].cells[0], null).display); } return found;"
    )
    assert shown_as == ["table-cell", "block", "block", "block"], "the wide one settled in three pieces"
    assert browser.script("return document.documentElement.scrollWidth") <= browser.size[0]
    lines_shown(browser)
    browser.click(browser.find("#aa"))
    for _ in range(2):
        browser.click(browser.find("#smaller"))
    browser.click(browser.find("#close"))
    lines_shown(browser)
    assert browser.errors() == []


HOSTILE = [
    '<script>window.bad = 1</script><img src=x onerror="window.bad = 2"> <b>bold',
    "**never *closed `and [half](http://",
    "x" * 10_000,
    "海" * 10_000,
    "|a" * 200 + "|\n" + "|-" * 200 + "|\n" + "|b" * 200 + "|",
    "|a" * 19 + "|\n" + "|-" * 19 + "|\n" + "|wide-cell" * 19 + "|",
    ">" * 60 + " deep\n\n" + "".join("  " * n + "- deep\n" for n in range(40)),
    "\u202eright to left override\u202c \u2066isolate\u2069 \u200f\u200e \0 NUL \x07 bell \u2028 separator",
    "```\n" + "y" * 5000 + "\n```",
    "# " + "z" * 500,
    "[" + "w" * 3000 + "](http://example.org/" + "v" * 3000 + ")",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_output_never_breaks_the_frame(
    browser: Browser, gemini: FakeGemini, house: House, text: str
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text(f"Before.\n\n{text}")
    browser.wait_until(shows("Before."))
    check_frame(browser)
    call.finish("\n\nAfter it.")
    browser.wait_until(ENDED)
    browser.wait_until(shows("After it."))
    check_frame(browser)
    letters = re.sub(r"\W", "", text.replace("window", ""))[:20]
    assert "wide" in letters or letters[:3] in re.sub(r"\W", "", text_of(browser, "text"))
    assert browser.script("return window.bad === undefined")
    _, last = page_number(browser)
    for _ in range(min(last - 1, 3)):
        turn(browser, "next")
        check_frame(browser)
    assert browser.errors() == []


def check_frame(browser: Browser) -> None:
    """Asserts that nothing is wider than the screen and that the lower bar is at its bottom."""
    width, bottom, inner = browser.script(
        "return [document.documentElement.scrollWidth,"
        " document.getElementById('turn').getBoundingClientRect().bottom, window.innerHeight];"
    )
    assert width <= browser.size[0]
    assert abs(bottom - inner) <= 2


def test_while_zoomed_taps_turn_pages_and_a_hint_says_how_to_zoom_out(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, LONG)
    zoom(browser)
    before = page_number(browser)
    tap(browser, 0.9)
    tap(browser, 0.9)
    assert page_number(browser) == (before[0] + 2, before[1])
    assert "Tap twice quickly to zoom out again." in browser.text
    browser.script("window.onresize()")
    assert page_number(browser) == (before[0] + 2, before[1]), "the pages are not set anew while zoomed"
    assert browser.errors() == []


def test_the_text_size_changes_while_zoomed_too(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, LONG)
    before = page_number(browser)[1]
    zoom(browser)
    for _ in range(3):
        browser.script("document.getElementById('larger').onclick()")  # it may lie outside of the visible part
    assert page_number(browser)[1] > before
    lines_shown(browser)
    assert browser.errors() == []


def test_a_screen_that_reports_its_size_late_gets_its_pages_then(
    browser: Browser, gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Paperwhite 3 reports 0 x 0 until its first `resize`.
    alter_pages(monkeypatch, "window.innerHeight", "(window.late ? window.innerHeight : 0)")
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, LONG + "\n\nand a tail ")
    assert text_of(browser, "count") == "", "no pages yet"
    browser.script("window.late = true; window.onresize();")
    number, last = page_number(browser)
    assert number == 1 and 4 < last < 100
    lines_shown(browser)
    call.finish(".")
    browser.wait_until(ENDED)
    assert browser.errors() == []


def test_the_place_in_a_long_question_is_kept(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, "An answer.", "A question of some words. " * 150)
    for _ in range(2):
        turn(browser, "next")
    before = page_number(browser)
    assert before[0] == 3 and before[1] > 3
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert page_number(browser) == before


def test_the_place_at_a_heading_is_kept_when_the_text_grows_smaller(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    short, heading = "A short paragraph.\n\n", "# A heading of some words that is long enough to wrap it\n\n"
    read(browser, house, gemini, short * 40)
    for _ in range(2):
        browser.script("document.getElementById('larger').onclick()")
    fill = short * (len(lines_shown(browser)) - 1)  # the first page, below the question
    read(browser, house, gemini, fill + heading + LONG)
    while not lines_shown(browser)[0].startswith("A heading"):
        turn(browser, "next")
    for _ in range(2):
        browser.script("document.getElementById('smaller').onclick()")
        assert any(text.startswith("A heading") for text in lines_shown(browser))


def test_the_message_about_sending_stands_on_the_page_of_the_tap(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    for paragraphs in range(4, 8):
        with Proxy(house.server.port) as proxy:
            path = answered(house, gemini, "A paragraph of one line.\n\n" * paragraphs)
            browser.open(proxy.url + path)
            while page_number(browser)[0] < page_number(browser)[1]:
                turn(browser, "next")
            before = page_number(browser)
            proxy.cut()
            browser.click(browser.find(".more input[value='Shorter']"))
            browser.wait_until(says("sent", "Not sent."))
            assert page_number(browser) == before and "Shorter" in visible_controls(browser)
            above = browser.script(
                "return document.getElementById('turn').getBoundingClientRect().top"
                " - document.getElementById('sent').getBoundingClientRect().bottom"
            )
            assert 0 <= above < 20, f"{above} px above the bar, with {paragraphs} paragraphs"
