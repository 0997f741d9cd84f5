"""Where pages end, in each engine: a heading never stands last on a page, also while the answer is written."""

from __future__ import annotations

import itertools

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .fed_page import FedPage, fed_pages
from .steps import choose_look, lines_shown, page_number, read, turn

HEADINGS = ("## A heading", "### Another heading", "#### A third", "**Only bold words**")
TWO = "**Bold:**\n\n### And a heading"
FOLLOWING = (
    "Some words that follow it.",
    "| Name | Note |\n|---|---|\n| One | Two<br>lines |\n| Two | b |",
    "| Name | Note |\n|---|---|\n| One | Three<br>lines<br>of it |",
    "- an item\n- another",
    "```\na = 1\nb = 2\n```",
    "> A quotation.",
    "> #### Quoted\n>\n> Its text.",
    "- A heading in an item:\n\n  **Not one**\n\n  #### One\n\n  Its text.",
)
TEXT = "\n\n".join(
    f"{heading}\n\n{following}\n\n{'A paragraph of a line. ' * (1 + number % 5)}"
    for number, (heading, following) in enumerate(
        [
            *itertools.product(HEADINGS, FOLLOWING),
            *itertools.product([TWO], ["Some words.", "- an item\n- another"]),
        ]
    )
)

# The headings, and the heads of tables, that stand last on the page that is shown.
LAST = """
  var found = document.querySelectorAll('#text h1, #text h2, #text h3, #text h4, #text .heading, #text thead');
  var bottom = document.getElementById('clip').getBoundingClientRect().bottom, last = [], i, box;
  for (i = 0; i < found.length; i += 1) {
    box = found[i].getBoundingClientRect();
    if (box.height > 0 && box.top < bottom - 3 && box.bottom > bottom - 3) { last.push(found[i].textContent); }
  }
  return last;
"""


@pytest.mark.parametrize("look", ["62", "55", "48", "40", "34", "28", "22", "17", "13", "48b"])
def test_a_heading_never_stands_last_on_a_page(
    browser: Browser, gemini: FakeGemini, house: House, look: str
) -> None:
    choose_look(browser, house.url, look)
    read(browser, house, gemini, TEXT)
    last = page_number(browser)[1]
    assert last > 5
    for number in range(last):
        assert browser.script(LAST) == [], number
        assert number == last - 1 or lines_shown(browser)
        if number < last - 1:
            turn(browser, "next")
    assert browser.errors() == []


def test_a_heading_stands_last_on_no_page_while_the_text_behind_it_has_not_come(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with fed_pages(tmp_path_factory.mktemp("fed")) as url, engine.start(600, 706) as browser:
        page = FedPage(browser, url)
        for lines in range(12, 22):
            page.begin()
            page.write("A line.\n\n" * lines)
            before = page_number(browser)[1]
            for text in ("## One\n", "\n**Two**\n\n", "| Name | Note |\n|---|---|\n| a | b |\n", "| c | d |\n\n"):
                page.write(text)
                while page_number(browser)[0] < page_number(browser)[1]:
                    turn(browser, "next")
                assert not covered(browser), (lines, text)
                while page_number(browser)[0] > 1:
                    turn(browser, "back")
                    assert browser.script(LAST) == [], (lines, text)
            assert page_number(browser)[1] >= before
        assert browser.errors() == []


def covered(browser: Browser) -> list[str]:
    """Headings on the last page that have no room for a line below them."""
    return list(
        browser.script(
            "var found = document.querySelectorAll('#text h2, #text .heading'), i, last = [];"
            "var leaf = document.getElementById('leaf').getBoundingClientRect();"
            "var line = parseFloat(document.getElementById('answer').style.lineHeight);"
            "for (i = 0; i < found.length; i += 1) {"
            "  if (found[i].getBoundingClientRect().bottom + line > leaf.bottom + 3) {"
            "    last.push(found[i].textContent); } } return last;"
        )
    )


SPACE = """
  var text = document.getElementById('text'), all = text.children, found = [], i, range, box, line;
  line = parseFloat(document.getElementById('answer').style.lineHeight);
  for (i = 0; i < all.length; i += 1) {
    if (all[i].nodeName !== 'P') { continue; }
    range = document.createRange();
    range.selectNodeContents(all[i]);
    box = range.getClientRects();
    found.push([Math.round(all[i].getBoundingClientRect().height / line),
      Math.round(parseFloat(window.getComputedStyle(all[i], null).textIndent))]);
  }
  return found;
"""


def test_a_paragraph_that_is_only_bold_has_space_above_and_no_indent(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    read(browser, house, gemini, "One.\n\nTwo.\n\n**Head:**\n\nThree.\n\nFour.\n\n**Bold** and more.\n")
    seen = browser.script(SPACE)
    assert [height for height, _ in seen] == [1, 1, 2, 1, 1, 1]
    assert [indent > 0 for _, indent in seen] == [False, True, False, False, True, True]
    read(browser, house, gemini, "**标题**\n\n一段。\n\n**标题**\n\n一段。\n")
    seen = browser.script(SPACE)
    assert [height for height, _ in seen] == [1, 1, 2, 1], "at the top of the text there is no space"
    assert [indent > 0 for _, indent in seen] == [False, True, False, True], "each Chinese paragraph has its indent"
