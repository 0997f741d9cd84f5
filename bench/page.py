"""Measures a page while an answer is being written. `make bench` prints the figures, for the machine it runs on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browsers.browser import Browser
from browsers.changed_lines import TALL, TEXTS, Count, watch
from browsers.engines import CHROMIUM, ENGINES, JITLESS, Engine
from browsers.fed_page import FedPage, fed_pages
from browsers.figures import change_times, layout_shifts, turn_times, update_times
from fakes.gemini import FakeGemini
from fakes.house import House


@contextmanager
def _page(engine: Engine) -> Iterator[tuple[Browser, House, FakeGemini]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeGemini() as gemini,
        House(gemini.url, Path(folder)) as house,
        engine.start(600, 706) as browser,
    ):
        yield browser, house, gemini


def main() -> None:
    """Print each figure with its target in parentheses."""
    old = next(engine for engine in ENGINES if engine.name == "phantomjs-1.9.8")
    with _page(old) as (browser, house, gemini):
        times = update_times(browser, house, gemini, kilobytes=100, updates=30)
    print("One update with 100 KB of answer on the page, PhantomJS 1.9.8:")
    print(f"  {times['update']:.1f} ms (under 5), slowest {times['slowest']:.0f} ms;", end=" ")
    factor = times["whole"] / max(times["update"], 0.1)
    print(f"a full redraw {times['whole']:.0f} ms, {factor:.0f} times as long (at least 20)")
    updates = []
    for size in (100, 1):
        with _page(JITLESS) as (browser, house, gemini):
            updates.append(update_times(browser, house, gemini, kilobytes=size, updates=60)["update"])
            if size == 1:
                turns = turn_times(JITLESS, house, gemini, turns=100)
    print("The same in Chromium 75 without a compiler, and with 1 KB on the page:", end=" ")
    print(f"{updates[0]:.2f} and {updates[1]:.2f} ms, {updates[0] / updates[1]:.2f} times as long (at most 1.5)")
    slowest, short = max(turns), turns[-1]
    print(f"  a page turn: {slowest:.2f} and {short:.2f} ms, {slowest / short:.2f} times as long (at most 1.5)")
    with _page(CHROMIUM) as (browser, house, gemini):
        shifts = layout_shifts(browser, house, gemini, blocks=20)
    print(f"Layout shift while 20 blocks are written, Chromium: {sum(score for score, _ in shifts):g} (0)")
    for engine in (old, CHROMIUM):
        with _page(engine) as (browser, house, gemini):
            changes = change_times(browser, engine.modern, house, gemini, seconds=60, per_second=20)
        print(f"Changes of the document in an answer of 60 s, {engine.name}: {len(changes)} (at most 121)")
    for engine in (next(engine for engine in ENGINES if engine.name == "phantomjs-2.1.1"), CHROMIUM):
        print(f"Lines that change below others while a text of each kind is written, {engine.name}:", end=" ")
        print(f"{_changed_lines(engine)} (only in the blocks that the test exempts)")


def _changed_lines(engine: Engine) -> Count:
    with tempfile.TemporaryDirectory() as folder, fed_pages(Path(folder)) as url, engine.start(*TALL) as browser:
        count = Count()
        for path in sorted(TEXTS.glob("*.md")):
            count += watch(FedPage(browser, url), path.stem, path.read_text(encoding="utf-8"), 20, Path(folder))
    return count


if __name__ == "__main__":
    main()
