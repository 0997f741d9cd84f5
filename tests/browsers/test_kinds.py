"""All kinds of text in an answer, as each engine sets them."""

from __future__ import annotations

import re

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .steps import lines_shown, page_number, read, text_of, turn

TEXT = """- [ ] a task
- [x] a task that is done, with so many words that it does not fit on one line of the page, not even of a wide one
  - [ ] a nested task
  - an item
- an item

1. [x] a numbered task

A claim.[^1] Another one, with x<sup>2</sup> and H<sub>2</sub>O, in a paragraph that is long enough for lines.[^2]
A line<br>and a line, **注意：**请先 and https://example.org/a. 🌊 **Sea**

[^1]: The first note, which is written in small letters, and is long enough to have two lines on the page.
[^2]: The second note.

| Tea | How |
|---|---|
| Green | 70 °C<br>2 minutes | more |
| Black | ✅ |

> [!TIP]
> A tip.

Term
: Its definition, which has so many words that it does not fit on one line of the page, not even of a wide one
: Another one

The end.
"""

MEASURES = """
var text = document.getElementById('text');
var line = parseFloat(window.getComputedStyle(document.getElementById('answer'), null).lineHeight);
function heights(selector) {
  var all = text.querySelectorAll(selector), found = [], i;
  for (i = 0; i < all.length; i += 1) { found.push(all[i].offsetHeight / line); }
  return found;
}
function of(selector, property) {
  var all = text.querySelectorAll(selector), found = [], i;
  for (i = 0; i < all.length; i += 1) { found.push(window.getComputedStyle(all[i], null)[property]); }
  return found;
}
function left(element) {
  var range = document.createRange();
  range.setStart(element.firstChild, 0);
  range.setEnd(element.firstChild, 1);
  return range.getClientRects()[0].left - text.getBoundingClientRect().left;
}
function lefts(selector) {
  var all = text.querySelectorAll(selector), found = [], i;
  for (i = 0; i < all.length; i += 1) { found.push(Math.round(left(all[i]))); }
  return found;
}
return {
  blocks: heights('p, li, tr, dt, dd'), cells: heights('td'), notes: heights('p.footnote'),
  bullets: of('ul > li.task', 'listStyleType'), numbers: of('ol > li', 'listStyleType'),
  tasks: lefts('ul > li.task'), items: lefts('ul > li:not(.task):not(.on)'), numbered: lefts('ol > li'),
  small: of('p.footnote', 'fontSize'), usual: of('p', 'fontSize')[0], raised: of('sup', 'verticalAlign')
};
"""


def test_every_kind_of_text_is_set_on_the_grid(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, TEXT)
    seen = browser.script(MEASURES)
    assert all(abs(height - round(height)) < 0.06 for height in seen["blocks"]), (
        "superscripts and breaks keep the grid"
    )
    assert seen["bullets"] == ["none"] * 3, "no bullet beside a box"
    assert seen["numbers"] == ["decimal"], "but a number"
    assert len(set(seen["tasks"][:2])) == 1, "boxes stand below each other"
    assert seen["tasks"][0] < seen["items"][-1], "a box hangs in the place of the bullet"
    assert seen["numbered"][0] > seen["tasks"][0], "beside a number, a box does not"
    assert [round(height) for height in seen["cells"]][:2] == [1, 3], (
        "a cell with lines of its own, and the one without a heading in it, make the rows stacked"
    )
    assert len(seen["notes"]) == 2 and all(float(size[:-2]) < float(seen["usual"][:-2]) for size in seen["small"])
    assert set(seen["raised"]) == {"super"}
    shown = text_of(browser, "text")
    assert not re.search(r"[*\[\]`🌊]", shown) and "✓" in shown and "Tip" in shown
    for _ in range(page_number(browser)[1] - 1):
        lines_shown(browser)
        turn(browser, "next")
    lines_shown(browser)
    assert browser.errors() == []


LARGE = """
9. Nine
10. Ten

- [ ] a task

$$x = \\begin{cases} 1 & \\text{in May} \\\\ 2 & \\text{otherwise} \\end{cases}$$
"""
# The room for a number and what it needs; where the box of a task begins; on how many lines a long word stands.
ROOM = """
  function box(node, word, first, last) {
    var range = document.createRange(), at = node.nodeValue.indexOf(word);
    range.setStart(node, at + first);
    range.setEnd(node, at + last);
    return range;
  }
  var number = document.createElement('span'), text = document.getElementById('text'), cases, needed;
  number.textContent = '10.\\u00a0';
  text.appendChild(number);
  needed = number.offsetWidth;
  text.removeChild(number);
  cases = text.querySelector('p.formula').lastChild;
  return [
    box(text.querySelectorAll('ol > li')[1].firstChild, 'Ten', 0, 1).getClientRects()[0].left, needed,
    box(text.querySelector('li.task').firstChild, 'a task', -2, -1).getClientRects()[0].left,
    text.getBoundingClientRect().left, box(cases, 'otherwise', 0, 9).getClientRects().length
  ];
"""


@pytest.mark.parametrize("size", ["17", "13"])
def test_numbers_boxes_and_words_of_formulas_have_room_at_the_largest_sizes(
    browser: Browser, gemini: FakeGemini, house: House, size: str
) -> None:
    read(browser, house, gemini, LARGE)
    browser.script(f"document.cookie = 'look={size}; path=/'")
    browser.reload()
    browser.wait_until("document.documentElement.style.fontSize")
    room, needed, task, left, lines = browser.script(ROOM)
    assert room >= needed, "of 10."
    assert task > left - 2, "of a box, whatever is rounded"
    assert lines == 1
