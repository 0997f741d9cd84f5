"""The words on bars, buttons and panels are shown whole, in each engine that paints: no descender is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .conftest import demand
from .engines import ENGINES, Engine
from .pixels import dark_pixels
from .steps import LONG, answered, choose_look, page_number, turn

PAINTERS = [engine for engine in ENGINES if engine.pictures]

# Writes "gypq" on each control that is seen; returns for each what it is, its box without borders, and its font.
WRITE = """
  var all = document.querySelectorAll('a, button, input[type=submit]'), found = [], i, box, style;
  for (i = 0; i < all.length; i += 1) {
    box = all[i].getBoundingClientRect();
    style = window.getComputedStyle(all[i], null);
    if (!box.width || style.visibility !== 'visible' || box.top < 0 || box.bottom > window.innerHeight ||
        !all[i].contains(document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2)) ||
        all[i].getElementsByTagName('*').length) { continue; }
    if (all[i].nodeName === 'INPUT') { all[i].value = 'gypq'; } else { all[i].innerHTML = 'gypq'; }
    found.push([all[i].id || all[i].className || all[i].nodeName, all[i]]);
  }
  return found.map(function (each) {
    var style = window.getComputedStyle(each[1], null), box = each[1].getBoundingClientRect();
    return [each[0], Math.round(box.left) + 3, Math.round(box.top) + 3,
      Math.round(box.width) - 6, Math.round(box.height) - 6,
      style.backgroundColor, style.fontSize, style.fontFamily, style.fontWeight];
  });
"""
# The same words with nothing near them that could cut them off.
FREE = """
  var free = document.getElementById('free') || document.body.appendChild(document.createElement('div'));
  free.id = 'free';
  free.style.cssText = 'position: absolute; z-index: 9; left: 0; top: 0; width: 300px; height: 200px;' +
    'background: #fff; line-height: 200px; padding: 0 20px';
  free.style.fontSize = arguments[0];
  free.style.fontFamily = arguments[1];
  free.style.fontWeight = arguments[2];
  free.innerHTML = 'gypq';
"""


def rows_of_ink(rows: list[int], width: int, is_black: bool) -> int:
    """From the first row that has some to the last."""
    inked = [y for y, dark in enumerate(rows) if (width - dark if is_black else dark)]
    return inked[-1] - inked[0] + 1 if inked else 0


def cut_words(browser: Browser, picture: Path) -> tuple[list[str], int]:
    """The controls whose words are cut off, and the number of those that were looked at."""
    cut = []
    controls = browser.script(WRITE)
    seen = []
    for name, left, top, width, height, background, *font in controls:
        is_black = background.replace(" ", "") == "rgb(0,0,0)"
        rows = dark_pixels(browser, left, top, width, height, picture)
        seen.append((name, rows_of_ink(rows, width, is_black), font))
    for name, ink, font in seen:
        browser.script(FREE, *font)
        whole = rows_of_ink(dark_pixels(browser, 0, 0, 300, 200, picture), 300, is_black=False)
        if ink < whole - 1:
            cut.append(f"{name}: {ink} of {whole} rows")
    browser.script("var free = document.getElementById('free'); if (free) { free.parentNode.removeChild(free); }")
    return cut, len(controls)


@pytest.mark.parametrize("look", ["62", "48", "22"])
@pytest.mark.parametrize("engine", PAINTERS, indirect=True, ids=lambda engine: engine.name)
def test_descenders_are_shown_whole_on_every_control(
    engine: Engine, gemini: FakeGemini, house: House, tmp_path: Path, look: str
) -> None:
    path = answered(house, gemini, f"## A heading\n\n{LONG}")
    cut: list[str] = []
    with engine.start(600, 706) as browser:
        choose_look(browser, house.url, look)
        for address, opened in (
            (path, ""), (path, "aa"), (path, "count"), (path, "last"), ("/", ""), ("/chats", "")
        ):  # fmt: skip
            browser.open(house.url + address)
            if opened == "last":
                for _ in range(page_number(browser)[1] - 1):
                    turn(browser, "next")
            elif opened:
                browser.click(browser.find(f"#{opened}"))
            found, count = cut_words(browser, tmp_path / "picture")
            assert count >= 2, (address, opened)
            cut += [f"{address} {opened}: {each}" for each in found]
        assert browser.errors() == []
    assert not cut, "\n".join(cut)


def test_a_word_that_is_cut_off_is_seen(house: House, tmp_path: Path) -> None:
    engine = next(each for each in PAINTERS if each.name == "phantomjs-2.1.1")
    demand(engine, in_ci=False)
    with engine.start(600, 706) as browser:
        browser.open(house.url + "/")
        assert cut_words(browser, tmp_path / "picture")[0] == []
        browser.script(
            "var all = document.querySelectorAll('a'), i;"
            "for (i = 0; i < all.length; i += 1) { all[i].style.overflow = 'hidden';"
            "  all[i].style.lineHeight = '1.4em'; all[i].style.height = '1.1em'; }"
        )
        assert cut_words(browser, tmp_path / "picture")[0]
