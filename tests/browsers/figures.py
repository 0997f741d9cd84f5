"""Figures of a page while its answer is written: the time of an update, the rate of changes, layout shifts.

test_figures.py asserts them on a small scale; `make bench` prints them on the full one.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .engines import Engine
from .steps import ENDED, ask, begin, page_number, read, shows

_CLOCK = (
    "function clock() {  return window.performance && performance.now ? performance.now() : new Date().getTime(); }"
)
_BLOCK = (
    "A paragraph of the answer with *some* emphasis, `code`, and enough words to go on for more than one line.\n\n"
)


def update_times(
    browser: Browser, house: House, gemini: FakeGemini, kilobytes: int, updates: int
) -> dict[str, float]:
    """Milliseconds for one update with so much answer on the page, and for drawing the whole answer anew.

    An update is the run of the page's timers and the layout that follows from it. An old browser's clock counts
    whole milliseconds, hence the mean, without the slowest quarter, in which the machine was busy with other work.
    Some machines are slow for milliseconds after a rest, which updates have between them and drawings have not: so
    the page looks at all its blocks in each rest.
    """
    ask(browser, house.url)
    call = begin(gemini)
    call.text(_BLOCK * (kilobytes * 1024 // len(_BLOCK)) + "The last of them.\n\n")
    browser.wait_until(shows("The last of them."), 60)
    browser.script(
        _CLOCK + "window.times = []; var set = window.setTimeout;"
        "window.setTimeout = function (action, ms) { return set(function () {"
        "  var before = document.getElementById('answer').textContent.length, start = clock(), end;"
        "  action();"
        "  end = document.body.offsetHeight && clock();"
        "  if (document.getElementById('answer').textContent.length !== before) { window.times.push(end - start); }"
        "}, ms); };"
        "window.setInterval(function () { var all = document.querySelectorAll('#text p'), sum = 0, i;"
        "  for (i = 0; i < all.length; i += 1) { sum += all[i].offsetHeight; } window.looked = sum;"
        "}, 20);"
    )
    call.text("Now ")  # an earlier timer draws it
    browser.wait_until("window.times.length")
    for number in range(1, updates + 1):
        call.text(f"{number} words that were written since. " if number % 5 else f"A block {number}.\n\nand ")
        browser.wait_until(f"window.times.length >= {number}", 20)
    times = [float(each) for each in browser.script("return window.times")]
    whole = browser.script(
        "var text = document.getElementById('text'), html = text.innerHTML, times = [], i, start;"
        "for (i = 0; i < 5; i += 1) { start = new Date().getTime(); text.innerHTML = html;"
        "  times.push(document.body.offsetHeight && new Date().getTime() - start); } return times;"
    )
    call.finish("")
    return {"update": _quiet_mean(times), "slowest": max(times), "whole": median(whole)}


class Turns:
    """Turns of pages of an answer of this length, between the first two pages or two in the middle."""

    def __init__(
        self, browser: Browser, house: House, gemini: FakeGemini, kilobytes: int, is_middle: bool = False
    ) -> None:
        self._browser = browser
        self._times: list[float] = []
        read(browser, house, gemini, _BLOCK * (kilobytes * 1024 // len(_BLOCK)))
        browser.script(
            _CLOCK + "window.turned = function (id) { var start = clock(); document.getElementById(id).onclick();"
            "  return document.body.offsetHeight && clock() - start; };"
        )
        middle = page_number(browser)[1] // 2 if is_middle else 1
        while page_number(browser)[0] < middle:
            browser.script("window.turned('next');")

    def turn(self, way: str) -> None:
        """Turn "next" or "back"."""
        self._times.append(float(self._browser.script("return window.turned(arguments[0])", way)))

    def usual(self) -> float:
        """Milliseconds for one turn and the layout that follows."""
        return _quiet_mean(self._times)


def turn_times(engine: Engine, house: House, gemini: FakeGemini, turns: int) -> tuple[float, float, float]:
    """Milliseconds for turning a page at the beginning of 100 KB, in their middle, and of 1 KB. The three browsers
    alternate, so that the machine is as busy for one as for the others.
    """
    with ExitStack() as open_browsers:
        three = [
            Turns(open_browsers.enter_context(engine.start(600, 706)), house, gemini, size, is_middle)
            for size, is_middle in ((100, False), (100, True), (1, False))
        ]
        for number in range(turns):
            for each in three:
                each.turn("back" if number % 2 else "next")
        first, middle, short = (each.usual() for each in three)
        return first, middle, short


def _quiet_mean(times: list[float]) -> float:
    quiet = sorted(times)[: len(times) * 3 // 4]
    return sum(quiet) / len(quiet)


_WATCH = {
    # Chromium has an observer. Old WebKit has none: there, calls that change a document are counted.
    True: (
        "window.changes = []; new MutationObserver(function () { window.changes.push(new Date().getTime()); })"
        ".observe(document.body, { childList: true, characterData: true, attributes: true, subtree: true });"
    ),
    False: (
        "window.changes = [];"
        "document.body.addEventListener('DOMSubtreeModified', function () {"
        "  window.changes.push(new Date().getTime()); }, false);"
    ),
}


def change_times(
    browser: Browser, is_modern: bool, house: House, gemini: FakeGemini, seconds: float, per_second: int
) -> list[float]:
    """The times (ms) of the document's changes while an answer was written. Simultaneous changes count once."""
    ask(browser, house.url)
    call = begin(gemini)
    browser.script(_WATCH[is_modern])
    begun = time.monotonic()
    for number in range(int(seconds * per_second)):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        call.text(f"word{number}{chr(10) * 2 if number % 40 == 39 else ' '}")
    call.finish("The end.")
    browser.wait_until(ENDED, 20)
    times: list[float] = []
    for moment in browser.script("return window.changes"):
        if not times or moment - times[-1] > 250:
            times.append(moment)
    return times


def layout_shifts(browser: Browser, house: House, gemini: FakeGemini, blocks: int) -> list[Any]:
    """Chromium's layout shifts above the tail, and of the tail, while so many blocks were written: of each its
    score and the elements that moved. The bar below with the progress of the answer does not count.
    """
    ask(browser, house.url)
    call = begin(gemini)
    browser.script(
        "window.shifts = []; new PerformanceObserver(function (list) { list.getEntries().forEach(function (entry) {"
        "  entry.sources.forEach(function (source) {"
        "    if (source.node && source.node.closest && !source.node.closest('#turn')) {"
        "      window.shifts.push([entry.value, source.node.outerHTML.slice(0, 80)]); } }); });"
        "}).observe({ type: 'layout-shift', buffered: true });"
    )
    for number in range(blocks):
        call.text(f"## Heading {number}\n\nA paragraph, first its beginning ")
        browser.wait_until(shows(f"Heading {number}"))
        call.text(f"and then its end, {number}.\n\n" + ("- an item\n- another\n\n" if number % 3 == 0 else ""))
        browser.wait_until(shows(f"its end, {number}."))
    call.finish("The end.")
    browser.wait_until(ENDED)
    return list(json.loads(browser.script("return JSON.stringify(window.shifts)")))
