"""Figures of a page while its answer is written, on a small scale; times only as ratios within one run."""

from __future__ import annotations

import pytest
from conftest import IN_CI
from fakes.gemini import FakeGemini
from fakes.house import House

from .browser import Browser
from .conftest import KINDLE_4, demand
from .engines import CHROMIUM, ENGINES, JITLESS, Engine
from .figures import change_times, layout_shifts, turn_times, update_times
from .steps import shows


def test_the_document_changes_at_most_every_half_second(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House
) -> None:
    seconds = 4
    times = change_times(browser, engine.modern, house, gemini, seconds, per_second=20)
    assert len(times) >= 4, "the answer is drawn while it is written"
    assert len(times) - 1 <= (times[-1] - times[0]) / 500 + 1, times
    assert browser.script("return " + shows("The end.")), "and the end is always drawn"
    assert browser.errors() == []


@pytest.mark.alone
@pytest.mark.parametrize("engine", [each for each in ENGINES if each.name == "phantomjs-1.9.8"], indirect=True)
def test_an_update_costs_at_most_a_twentieth_of_drawing_all_anew_more_than_on_a_short_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    long, short = (update_times(browser, house, gemini, kilobytes=size, updates=20) for size in (100, 1))
    assert long["update"] - short["update"] <= long["whole"] / 20, (long, short)


@pytest.mark.alone
@pytest.mark.parametrize("engine", [JITLESS], indirect=True, ids=["jitless"])
def test_an_update_and_a_turn_cost_little_more_on_a_long_page_than_on_a_short_one(
    engine: Engine, gemini: FakeGemini, house: House
) -> None:
    updates = []
    for size in (100, 1):
        with engine.start(*KINDLE_4) as browser:
            assert browser.script("return typeof WebAssembly") == "undefined", "it compiles nothing"
            updates.append(update_times(browser, house, gemini, kilobytes=size, updates=30)["update"])
    assert updates[0] <= 1.5 * updates[1], updates
    turns = turn_times(engine, house, gemini, turns=60)
    assert max(turns) <= 1.5 * turns[-1], turns


def test_nothing_moves_while_blocks_are_written(gemini: FakeGemini, house: House) -> None:
    demand(CHROMIUM, IN_CI)
    with CHROMIUM.start(600, 706) as browser:
        shifts = layout_shifts(browser, house, gemini, blocks=20)
        assert shifts == [], "\n".join(map(str, shifts))
        assert browser.errors() == []
