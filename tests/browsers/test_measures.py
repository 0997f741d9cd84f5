"""What a page holds: as much as a book's on a Kindle, and the same on every screen, in every size."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Soak
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.web.look import SIZES

from .browser import Browser
from .conftest import KINDLE_4
from .engines import ENGINES, Engine
from .measures import WORDS, column_share, measure, recorded_prose
from .screens import KINDLES, WIDE
from .steps import answered

SETTERS = [engine for engine in ENGINES if engine.name in ("phantomjs-2.1.1", "chromium-75")]


# The libraries of the oldest engine are inside it, and round the widths of letters: a twentieth fewer on a line.
@pytest.mark.parametrize("engine", ENGINES[1:], indirect=True, ids=lambda engine: engine.name)
def test_a_page_of_the_usual_size_holds_as_much_as_that_of_a_book(
    browser: Browser, gemini: FakeGemini, house: House, shared: Path
) -> None:
    page = measure(browser, house.url + answered(house, gemini, recorded_prose(shared / "streams")), "48")
    assert 46 <= page.letters <= 50 and page.text >= 21, page
    assert page.lines >= 20 and page.words >= 140, page
    assert page.bars <= 62 and page.unused < page.line, page
    assert browser.errors() == []


@pytest.mark.parametrize("engine", SETTERS, indirect=True, ids=lambda engine: engine.name)
def test_each_size_has_its_measure_on_every_screen(
    engine: Engine, gemini: FakeGemini, house: House, shared: Path, soak: Soak
) -> None:
    address = house.url + answered(house, gemini, recorded_prose(shared / "streams", soak(1200, full=WORDS)))
    usual = {}
    for width, height in (*KINDLES, *WIDE):
        with engine.start(width, height) as browser:
            for size in SIZES[:: soak(4, full=1)]:
                page = measure(browser, address, str(size))
                assert page.unused < page.line and page.column <= width, (width, size, page)
                if (width, height) == KINDLE_4:
                    usual[size] = page
                    assert 0.75 * size <= page.letters <= 1.04 * size, (size, page)
                elif width < height:
                    assert abs(page.letters / usual[size].letters - 1) < 0.07, (width, size, page)
                    assert abs(page.lines / usual[size].lines - 1) < 0.15, (width, size, page)
                else:
                    assert page.letters <= 70, (width, size, page)
                    if size == 48:
                        assert page.letters > usual[size].letters and column_share(browser) > 0.8, (width, page)
            assert browser.errors() == []
