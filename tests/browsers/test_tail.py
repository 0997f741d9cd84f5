"""The text that has not settled, in each engine: set while it is written, among the blocks, and where it stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from .browser import Browser
from .steps import (
    ENDED,
    LONG,
    alter_pages,
    ask,
    begin,
    begin_on_page,
    lines_shown,
    page_number,
    paragraphs,
    shows,
    text_of,
    turn,
)

TEXT = """\
## A heading of words ¦

A paragraph with ¦*emphasis of some words*, **bold text** and ¦`code in it`, and it is long enough for some lines ¦
of any size, whatever ¦the font may be.

1. One of the items, with ¦words enough for a second line on a small screen, whatever that is ¦
2. Another one ¦
   - a nested one with *some* ¦words
   - and a last one ¦

### Another heading ¦

A paragraph behind a heading, ¦which has no indent, and then it goes on for a while and more. ¦

> A quotation with a line ¦at its side, that goes on for more than one line of the text. ¦

```
def function(argument):
¦    return argument
```
¦
海水为什么是咸的？雨水略带酸性。雨水流过岩石时，会溶解极少量的矿物质，河流再把这些离子带到海里。

¦ماء المطر حمضي قليلاً. ¦عندما يجري فوق الصخور يذيب كميات ضئيلة من المعادن، ثم تحمل الأنهار هذه الأملاح.

And the end of it, ¦*which is* here.
"""
"""An answer, and where the tails end that are drawn of it."""

# The words and where they stand, without those of the last line.
WORDS = r"""
    var words = [], last;
    function walk(node) {
      var child, range, word, box, each = /\S+/g;
      for (child = node.firstChild; child; child = child.nextSibling) {
        if (child.nodeType === 1) { walk(child); }
        while (child.nodeType === 3 && (word = each.exec(child.nodeValue))) {
          range = document.createRange();
          range.setStart(child, word.index);
          range.setEnd(child, word.index + 1);
          box = range.getBoundingClientRect();
          if (box) { words.push([word[0], box.left, box.top]); }  // old engines have none of what is hidden
        }
      }
    }
    walk(document.getElementById('text'));
    last = words.length ? words[words.length - 1][2] : 0;
    return words.filter(function (word) { return word[2] < last - 9; });
"""


def test_what_is_written_is_set_at_once(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "# A title\n\nSome ")
    assert of_last(browser, "nodeName") == "P" and browser.script(INDENT) == 0, "behind a heading"
    call.text("**bold and *both*** ")
    browser.wait_until(shows("both"))
    assert of_last(browser, "innerHTML") == "Some <strong>bold and <em>both</em></strong>"
    weight = "return window.getComputedStyle(document.querySelector('#text strong'), null).fontWeight"
    assert browser.script(weight) in ("bold", "700")
    call.text("so.\n\nAnother paragraph ")
    browser.wait_until(shows("Another paragraph"))
    assert browser.script(INDENT) > 0, "not the first one"
    call.text("ends.\n\n- an item\n- and *an* ")
    browser.wait_until(shows("and an"))
    assert of_last(browser, "nodeName") == "UL" and of_last(browser, "textContent").split()[-1] == "an"
    assert "*" not in text_of(browser, "text")
    call.finish("other.")
    browser.wait_until(ENDED)
    assert browser.errors() == []


def of_last(browser: Browser, name: str) -> str:
    """A property of the last child of the text."""
    return str(browser.script(f"return document.getElementById('text').lastChild.{name}"))


INDENT = "return parseFloat(window.getComputedStyle(document.getElementById('text').lastChild, null).textIndent)"


def test_what_has_been_drawn_stays_in_its_place_when_it_settles(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    before: list[Any] = []
    for piece in TEXT.split("¦"):
        call.text(piece)
        browser.wait_until(shows(re.sub(r"\W+", " ", piece).split()[-1]), 20)
        after = browser.script(WORDS)
        assert after[: len(before)] == before
        before = after
    call.finish("")
    browser.wait_until(ENDED)
    assert browser.script(WORDS)[: len(before)] == before and len(before) > 80
    assert browser.errors() == []


def test_the_parts_of_a_long_text_are_not_seen(
    browser: Browser, gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((Path(__file__).parent / "kinds").glob("*.md"))
    text = "\n\n".join(path.read_text(encoding="utf-8").replace("¦", "").strip() for path in files)
    alter_pages(monkeypatch, "var PART = 50", "var PART=1")  # so that there is one wherever one may be
    alter_pages(monkeypatch, "'hyphens='", "'none='")  # which come after the first page
    ask(browser, house.url)
    call = begin(gemini)
    call.text(f"{text}\n\nThe last of it, so far.\n\n")
    browser.wait_until(shows("The last of it, so far."))
    seen = [browser.script(WORDS)]
    assert len(seen[0]) > 800 and browser.script(PARTS) > 50
    browser.reload()
    browser.wait_until(shows("The last of it, so far."))
    seen.append(browser.script(WORDS))
    assert browser.script(PARTS) > 50, "also of what the page has come with"
    call.finish("")
    browser.wait_until(ENDED)
    browser.reload()
    assert browser.script(PARTS) == 0, "a finished page has none"
    seen.append(browser.script(WORDS))
    for one, other in (seen[:2], seen[1:]):
        assert [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]][:5] == []
    assert browser.errors() == []


PARTS = "return document.querySelectorAll('#text > div').length"


HEAD = "| Name | What it is |\n|---|---|\n| One | a |\n"
LATER = "| A rather long name | and many more words about it than before, so that it needs the width |\n"
# Of each table the widths of the cells of its first row, and whether its rows are stacked.
WIDTHS = """
    var tables = document.getElementById('text').getElementsByTagName('table'), found = [], i, j, widths;
    for (i = 0; i < tables.length; i += 1) {
      for (j = 0, widths = []; j < 2; j += 1) { widths.push(tables[i].rows[0].cells[j].offsetWidth); }
      found.push(/stacked/.test(tables[i].className) ? 'stacked' : widths.join(' '));
    }
    return found;
"""


def test_an_open_table_keeps_the_widths_of_its_first_row_and_is_set_anew_when_it_ends(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    call = begin(gemini)
    call.text("The beginning.\n\n" + HEAD)
    browser.wait_until(shows("One"))
    (first,) = browser.script(WIDTHS)
    call.text(LATER)
    browser.wait_until(shows("A rather long name"))
    assert browser.script(WIDTHS) == [first]
    call.text(LATER * 30 + "| The newest | row |\n")
    browser.wait_until(shows("The newest"))
    assert len(browser.script(WIDTHS)) == 3 and set(browser.script(WIDTHS)) == {first}, "also in pieces"
    lines_shown(browser)
    call.text("\nThe text behind ")
    browser.wait_until(shows("The text behind"))
    last = browser.script(WIDTHS)
    assert len(set(last)) == 1 and last[0] != first, "all its pieces at once"
    call.text("goes on.\n\n| Name | What it is |\n|---|---|\n| Another | table |\n")
    browser.wait_until(shows("Another"))
    assert browser.script(WIDTHS)[:-1] == last and browser.script(WIDTHS)[-1] != last[0]
    call.finish("\nThe end.")
    browser.wait_until(ENDED)
    last = browser.script(WIDTHS)
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    assert browser.script(WIDTHS) == last, "a finished page looks the same"
    assert browser.errors() == []


def test_a_reader_on_a_page_of_the_tail_is_not_moved_when_it_settles(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    code = "".join(f"line {number} of a fence\n" for number in range(12))
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, f"{LONG}\n\n{'a long paragraph that has not ended ' * 50}")
    for _ in range(page_number(browser)[1] - 1):
        turn(browser, "next")
    number, shown = page_number(browser), lines_shown(browser)
    assert len(shown) > 2 and len(set(shown)) == 1, "the paragraph began on an earlier page"
    place = browser.script("return location.hash")
    call.text("yet.\n\nA paragraph behind it.\n\n```\n" + code)
    browser.wait_until(shows("line 10"))
    assert page_number(browser)[0] == number[0] and browser.script("return location.hash") == place
    assert stays(browser, shown)
    browser.reload()
    browser.wait_until(shows("line 10"))
    assert page_number(browser)[0] == number[0] and stays(browser, shown)
    call.finish("```\n\nThe end.")
    browser.wait_until(ENDED)
    assert page_number(browser)[0] == number[0] and stays(browser, shown)
    assert browser.errors() == []


def stays(browser: Browser, shown: list[str]) -> bool:
    """Whether these lines still stand at the top of the page. The text nodes that they are of may have grown."""
    return all(new.startswith(old) for new, old in zip(lines_shown(browser), shown, strict=False))


def test_after_a_burst_the_last_text_is_drawn(browser: Browser, gemini: FakeGemini, house: House) -> None:
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "One ")
    for number in range(40):
        call.text(f"\U00010330\U00010331 {number} ")
    browser.wait_until(shows("\U00010330\U00010331 39"))
    expected = "One " + " ".join(f"\U00010330\U00010331 {number}" for number in range(40))
    assert text_of(browser, "text") == expected
    call.finish("")
    browser.wait_until(ENDED)
    assert text_of(browser, "text") == expected
    assert browser.errors() == []


def test_behind_a_proxy_that_buffers_a_page_has_the_tail_at_its_start_and_polls_for_more(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port, buffers_streams=True) as proxy:
        house.ask("Why?")
        call = begin(gemini)
        call.text("Settled.\n\nAnd *open* ")
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until("open")
        browser.open(proxy.url + "/chats/1/1")
        browser.wait_until(shows("And open"), 2)
        assert of_last(browser, "innerHTML") == "And <em>open</em>"
        assert not any(b"wait=0" in line for line in proxy.requests), "before any answer to its script"
        call.text("and *more* ")
        browser.wait_until(shows("and more"), 30)
        assert of_last(browser, "innerHTML") == "And <em>open</em> and <em>more</em>"
        call.finish("text.")
        browser.wait_until(ENDED, 30)
        assert " ".join(paragraphs(browser)).split() == ["Settled.", "And", "open", "and", "more", "text."]
    assert browser.errors() == []


def test_a_pixel_more_than_the_lines_of_two_pages_is_no_third_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    begin_on_page(browser, gemini, LONG).finish("")
    browser.wait_until(ENDED)
    room = browser.script("return document.getElementById('clip').offsetHeight")
    ask(browser, house.url)
    call = begin_on_page(browser, gemini, "A word ")
    browser.script("document.getElementById('flow').style.height = 2 * arguments[0] + 1 + 'px'", room)
    call.text("and some ")
    browser.wait_until(shows("and some"))
    assert page_number(browser) == (1, 2)
    call.finish("more.")
    browser.wait_until(ENDED)
    assert browser.errors() == []
