"""Measures how much text a page holds, in each size on each screen. `make bench` prints it; the fonts matter."""

from __future__ import annotations

import tempfile
from pathlib import Path

from browsers.engines import ENGINES
from browsers.measures import measure, prose
from browsers.screens import KINDLES, WIDE
from browsers.steps import answered
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.web.look import SIZES

_HEAD = ("letters a line", "most", "text px", "line px", "column px", "bars px", "unused px", "lines", "words")


def main() -> None:
    """Print a row for each size on each screen."""
    text, source = prose()
    print(f"What a page holds from the second on, of {source} as prose; the usual size is 48")
    with tempfile.TemporaryDirectory() as folder, FakeGemini() as gemini, House(gemini.url, Path(folder)) as house:
        address = house.url + answered(house, gemini, text)
        for engine in (each for each in ENGINES if each.name in ("phantomjs-2.1.1", "chromium-75")):
            for width, height in KINDLES + WIDE:
                print(f"  {engine.name}, {width} x {height}:", ", ".join(_HEAD))
                with engine.start(width, height) as browser:
                    for size in SIZES:
                        figures = " ".join(f"{figure:7.1f}" for figure in measure(browser, address, str(size)))
                        print(f"    size {size}: {figures}", flush=True)


if __name__ == "__main__":
    main()
