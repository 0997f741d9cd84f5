"""Code in an answer, in each engine: what is wrapped stands behind the beginning of its line."""

from __future__ import annotations

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .steps import choose_look, lines_shown, page_number, read, turn

CODE = (
    "def salt(litres: float, temperature: float, pressure: float) -> float:\n"
    "    return litres * 35.0 * temperature if temperature > 4 else litres * 35.0\n"
    "\n"
    "        eight = 'spaces before it, and so many words that it needs more than one line'\n"
    "x\n"
    "\n\n"
    "\ttab = 'and so many words behind it that all of them need more than one line'\n"
    "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十\n"
    "    \n"
    "end\n"
)
# For each line of code: on how many lines of the grid it stands, and how far its first letter, and the leftmost of
# its further lines, stand from the left. Besides, the width of a character, and the height of all, in lines.
LINES = """
  var code = document.querySelector('#text pre code'), walker, node, found = [], at, i, k;
  var line = parseFloat(document.getElementById('answer').style.lineHeight);
  var range = document.createRange(), left = code.getBoundingClientRect().left;
  walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT, null, false);
  while ((node = walker.nextNode())) {
    if (!/\\S{8}/.test(node.nodeValue.replace(/ /g, ''))) { continue; }
    var tops = {}, count = 0, first = null, rest = Infinity;
    for (i = 0; i < node.nodeValue.length; i += 1) {
      if (/\\s/.test(node.nodeValue.charAt(i))) { continue; }
      range.setStart(node, i);
      range.setEnd(node, i + 1);
      at = range.getClientRects()[0];
      k = Math.round(at.top / line);
      if (!tops[k]) { tops[k] = true; count += 1; }
      if (first === null) { first = [k, at.left - left]; }
      if (k !== first[0]) { rest = Math.min(rest, at.left - left); }
    }
    found.push([count, Math.round(first[1]), rest === Infinity ? null : Math.round(rest)]);
  }
  var width = 0.602 * parseFloat(window.getComputedStyle(code, null).fontSize);
  return [found, width, code.getBoundingClientRect().height / line, code.textContent];
"""


@pytest.mark.parametrize("look", ["62", "48", "28"])
def test_wrapped_code_is_indented_behind_the_beginning_of_its_line(
    browser: Browser, gemini: FakeGemini, house: House, look: str
) -> None:
    choose_look(browser, house.url, look)
    read(browser, house, gemini, f"```\n{CODE}```\n")
    lines, width, height, text = browser.script(LINES)
    assert text == CODE, "the text is the same"
    wrapped = [line for line in lines if line[2] is not None]
    assert len(wrapped) == len(lines) == 5
    assert all(rest > first + 1.5 * width for _, first, rest in wrapped), lines
    assert abs(height - round(height)) < 0.06
    assert round(height) == sum(count for count, _, _ in lines) + 6, (
        "empty lines keep their height, and there are no others"
    )
    for _ in range(page_number(browser)[1] - 1):
        lines_shown(browser)
        turn(browser, "next")
    assert browser.errors() == []


def test_copied_code_has_its_lines(browser: Browser, gemini: FakeGemini, house: House) -> None:
    read(browser, house, gemini, f"```\n{CODE}```\n")
    copied = browser.script(
        "var range = document.createRange(), selection = window.getSelection();"
        "range.selectNodeContents(document.querySelector('#text pre')); selection.removeAllRanges();"
        "selection.addRange(range); return selection.toString();"
    )
    assert copied.rstrip("\n") == CODE.rstrip("\n")
