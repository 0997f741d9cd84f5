"""The gallery of the kinds of text, in three engines: finished, and live at three moments.

People look at the pictures in build/screenshots. The tests check the rest: no sign of Markdown is seen, nothing is
wider than the screen, all lines stand on the grid, no script failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.ending import Ending, Finish

from .browser import Browser
from .conftest import KINDLE_4
from .engines import ENGINES, Engine
from .fed_page import FedPage, fed_pages
from .steps import ENDED, take

PAINTERS = [engine for engine in ENGINES if engine.name in ("phantomjs-1.9.8", "phantomjs-2.1.1", "chromium-75")]
STEP = 40

MOMENT = "¦"
"""Stands where the live pictures are taken: inside a mark, a table, a formula or a fence."""

KINDS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "kinds").glob("*.md"))
}
"""The kinds of text, each in a text that fits on a page of a Kindle."""

SIGNS = re.compile(r"[*`|\\~_^]|\$(?!\d)|\]\(|\[\^|\[[ xX]\]|\[!|</?[a-z]|(?m:^\s*(?:[-+#>:]|\d+[.)]) )|:--|-->")
"""Of Markdown, LaTeX and HTML. A reader sees none of them outside code, but `$` before a digit is money."""

NO_SIGN = "|x|"  # the only one that belongs to the text of a formula

VISIBLE = """
  var copy = document.getElementById('answer').cloneNode(true), code, i;
  copy.removeChild(copy.firstChild);  // the question
  code = copy.querySelectorAll('pre, code');
  for (i = 0; i < code.length; i += 1) { code[i].parentNode.removeChild(code[i]); }
  code = copy.querySelectorAll('p, li, h1, h2, h3, h4, h5, h6, tr, br');
  for (i = 0; i < code.length; i += 1) { code[i].parentNode.insertBefore(document.createTextNode('\\n'), code[i]); }
  return copy.textContent;
"""
OFF_THE_GRID = """
  var answer = document.getElementById('answer'), line = parseFloat(answer.style.lineHeight), off = [], i, box, top;
  var all = answer.querySelectorAll('p, li, ul, ol, h1, h2, h3, h4, h5, h6, pre, blockquote, hr, table, tr, div');
  function isOff(height) { return Math.abs(height - line * Math.round(height / line)) > 1; }
  for (i = 0; i < all.length; i += 1) {
    box = all[i].getBoundingClientRect();
    top = box.top - answer.getBoundingClientRect().top;
    if (box.height && (isOff(top) || isOff(box.height))) { off.push(all[i].outerHTML.slice(0, 80) + ' at ' + top); }
  }
  return off;
"""


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fed_pages(tmp_path_factory.mktemp("fed")) as url:
        yield url


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of each finished answer."""
    with FakeGemini() as gemini, House(gemini.url, tmp_path_factory.mktemp("stored")) as house:
        urls = {}
        for kind, text in KINDS.items():
            turn, _ = house.chats.ask("Why?", None, kind)
            house.chats.store_ending(turn.id, text.replace(MOMENT, ""), Ending(Finish.COMPLETE, None, "model-a"))
            urls[kind] = f"{house.url}/chats/{turn.chat}/{turn.number}"
        yield urls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", PAINTERS, indirect=True, ids=lambda engine: engine.name)
def test_a_kind_of_text_is_clean_while_it_is_written_and_afterwards(
    engine: Engine, kind: str, fed: str, stored: dict[str, str], screenshots: Path
) -> None:
    seen = []
    with engine.start(*KINDLE_4) as browser:  # a fresh one, because Chromium 75 dies of some 130 pictures
        page = FedPage(browser, fed)
        page.begin()
        for moment, part in enumerate(KINDS[kind].split(MOMENT)[:-1], 1):
            for at in range(0, len(part), STEP):
                page.write(part[at : at + STEP])
            seen += _faults(browser, f"{kind} {moment}")
            take(browser, engine, screenshots / f"kind-{kind}-{moment}-{engine.name}.png")
        browser.open(stored[kind])
        browser.wait_until(ENDED)
        seen += _faults(browser, f"{kind} finished")
        take(browser, engine, screenshots / f"kind-{kind}-finished-{engine.name}.png")
    assert not seen, "\n".join(seen)


def _faults(browser: Browser, moment: str) -> list[str]:
    faults = []
    visible = browser.script(VISIBLE).replace(NO_SIGN, "")
    for sign in SIGNS.finditer(visible):
        faults.append(f"{moment}: {visible[max(0, sign.start() - 20) : sign.end() + 20]!r}")
    return faults + [f"{moment}: off the grid: {each}" for each in browser.script(OFF_THE_GRID)]


def test_each_kind_has_three_moments() -> None:
    assert {text.count(MOMENT) for text in KINDS.values()} == {3}
