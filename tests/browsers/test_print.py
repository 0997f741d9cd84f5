"""An answer on paper, as a phone or a computer prints it: the whole text, and nothing to tap."""

from __future__ import annotations

import base64
import re

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .devtools import DevTools
from .engines import MODERN
from .steps import LONG, lines_shown, page_number, read, turn

pytestmark = pytest.mark.parametrize("engine", MODERN, ids=lambda engine: engine.name, indirect=True)

PRINTED = """
var clip = document.getElementById('clip'), leaf = document.getElementById('leaf'), found = {}, i, all, box;
var paragraphs = document.querySelectorAll('#text p'), last = paragraphs[paragraphs.length - 1];
found.top = document.querySelector('.question').getBoundingClientRect().top + window.pageYOffset;
found.cut = [leaf, clip].filter(function (each) {
  return each.getBoundingClientRect().bottom < last.getBoundingClientRect().bottom - 1
    || window.getComputedStyle(each, null).overflow !== 'visible'; }).length;
all = document.querySelectorAll('a, button, input');
found.controls = [];
for (i = 0; i < all.length; i += 1) { box = all[i].getBoundingClientRect();
  if (box.width && box.height) { found.controls.push(all[i].id || all[i].value || all[i].textContent); } }
return found;
"""


@pytest.mark.parametrize("number", [1, 3])
def test_a_printed_answer_is_the_whole_text_without_bars(
    browser: Browser,
    gemini: FakeGemini,
    house: House,
    number: int,
) -> None:
    assert isinstance(browser, DevTools)
    read(browser, house, gemini, LONG, "Why is the sea salty?")
    for _ in range(number - 1):
        turn(browser, "next")
    lines, before = lines_shown(browser), page_number(browser)
    assert before[0] == number
    on_screen = browser.script(PRINTED)
    assert on_screen["cut"] and on_screen["controls"]
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    printed = browser.script(PRINTED)
    assert 0 <= printed["top"] < 40, "the question stands above"
    assert printed["cut"] == 0 and printed["controls"] == []
    browser.devtools("Emulation.setEmulatedMedia", media="")
    browser.script("window.dispatchEvent(new Event('afterprint'));")
    assert lines_shown(browser) == lines and page_number(browser) == before, "the screen is as it was"
    pdf = base64.b64decode(browser.devtools("Page.printToPDF")["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1, "the text goes on over sheets"
    assert lines_shown(browser) == lines and page_number(browser) == before, "nor does printing itself change it"
    assert browser.errors() == []
