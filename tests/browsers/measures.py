"""How much text a page holds, as a reader sees it: letters on a line, lines on a page, words on a page of prose.

test_measures.py asserts what a page has to hold; `make bench` prints the measures of all sizes on all screens.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT

from .browser import Browser
from .steps import page_number, turn

WORDS = 1500
_PARAGRAPH = 80  # words
_PAGES = 3  # on so many are words counted

_LINES = """
    var all = document.getElementById('text').getElementsByTagName('p'), lines = [], i;
    function measure(paragraph) {
      var node, range, top = null, count = 0, spaces = 0, i, box;
      for (node = paragraph.firstChild; node; node = node.nextSibling) {
        for (i = 0; i < node.nodeValue.length; i += 1) {
          if (node.nodeValue.charAt(i) === '\\u00ad') { continue; }
          if (node.nodeValue.charAt(i) === ' ') { spaces += 1; continue; }
          range = document.createRange();
          range.setStart(node, i);
          range.setEnd(node, i + 1);
          box = range.getBoundingClientRect();
          if (top !== null && box.top > top + box.height / 2) { lines.push(count); count = spaces = 0; }
          top = box.top;
          count += 1 + (count && spaces);
          spaces = 0;
        }
      }
      lines.push(count);
    }
    for (i = 0; i < all.length; i += 1) { measure(all[i]); }
    return lines;
"""
_SEEN = """
    var clip = document.getElementById('clip').getBoundingClientRect(), words = 0, i, each, match, range, box;
    var all = document.getElementById('text').getElementsByTagName('p');
    for (i = 0; i < all.length; i += 1) {
      box = all[i].getBoundingClientRect();
      if (box.bottom < clip.top || box.top > clip.bottom) { continue; }
      each = /\\S+/g;
      while ((match = each.exec(all[i].firstChild.nodeValue))) {
        range = document.createRange();
        range.setStart(all[i].firstChild, match.index);
        range.setEnd(all[i].firstChild, match.index + 1);
        box = range.getBoundingClientRect();
        words += (box.top + box.bottom) / 2 > clip.top && (box.top + box.bottom) / 2 < clip.bottom;
      }
    }
    return words;
"""
_PAGE = """
    var answer = window.getComputedStyle(document.getElementById('answer'), null), i, bars = 0, box, all;
    var clip = document.getElementById('clip').getBoundingClientRect();
    var flow = document.getElementById('flow'), column = window.getComputedStyle(flow, null);
    all = document.querySelectorAll('.bar, .demo');
    for (i = 0; i < all.length; i += 1) {
      box = all[i].getBoundingClientRect();
      if (box.height && !/^(look|pages)$/.test(all[i].parentNode.id)) { bars += box.height; }
    }
    return [parseFloat(answer.fontSize), parseFloat(answer.lineHeight), clip.bottom - clip.top, bars,
      document.getElementById('turn').getBoundingClientRect().top - clip.bottom,
      flow.clientWidth - parseFloat(column.paddingLeft) - parseFloat(column.paddingRight)];
"""


class Measures(NamedTuple):
    """Of a text in its size, on a screen: letters on a line on average, and at most; px of the text, of a line, of
    the column, of all bars and of what stays unused below the text; lines, and words, on a page from the second on.
    """

    letters: float
    most: int
    text: float
    line: float
    column: float
    bars: float
    unused: float
    lines: int
    words: float


def measure(browser: Browser, address: str, look: str) -> Measures:
    """Open a finished answer of nothing but paragraphs, in this look, and measure its text."""
    browser.open(address)
    browser.script(f"document.cookie = 'look={look}; path=/'")
    browser.reload()
    browser.wait_until("document.getElementById('count').textContent")
    lines = [int(each) for each in browser.script(_LINES)]
    words = []
    pages = page_number(browser)[1]
    for _ in range(min(_PAGES, pages - 3)):
        turn(browser, "next")
        words.append(int(browser.script(_SEEN)))
    assert words, "the text has a page that is full, and neither the first nor one of the last two"
    text, line, height, bars, unused, column = map(float, browser.script(_PAGE))
    mean = sum(lines) / len(lines)
    return Measures(
        mean, max(lines), text, line, column, bars, unused, round(height / line), sum(words) / len(words)
    )


def prose() -> tuple[str, str]:
    """Paragraphs of English, and where they come from: the recorded answers, or a demo's answer where those are not
    beside the checkout.
    """
    recorded = ROOT.parent / "shared" / "streams" / "expected.json"
    if recorded.is_file():
        return recorded_prose(recorded.parent), "the recorded English answers"
    answers = (ROOT / "static" / "demo_answers.md").read_text(encoding="utf-8")
    return _as_prose([answers.partition("-->")[2].partition("<!--")[0]] * 3), "the demo's answer"


def recorded_prose(streams: Path, words: int = WORDS) -> str:
    """The first words of the recorded English answers, without their lists and headings."""
    cases = json.loads((streams / "expected.json").read_bytes()).values()
    texts = dict.fromkeys(case["computed"]["text"] for case in cases)
    return _as_prose([text for text in texts if len(text) > 300 and text.isascii()], words)


def column_share(browser: Browser) -> float:
    """The part of the screen's width that the column of text takes, with its margins."""
    return float(
        browser.script("return document.getElementById('flow').offsetWidth / document.documentElement.clientWidth")
    )


def _as_prose(texts: list[str], count: int = WORDS) -> str:
    words = re.sub(r"(?m)^[ \t]*(?:[-*#>]+|\d+\.)[ \t]|[*`_#]|https?:\S+", " ", " ".join(texts)).split()[:count]
    return "\n\n".join(" ".join(words[at : at + _PARAGRAPH]) for at in range(0, len(words), _PARAGRAPH))
