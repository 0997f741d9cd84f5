"""Puts the pictures of the gallery side by side, all of a kind on one sheet, for human eyes: see `make pictures`.

The sheets are HTML with the pictures beside it. With the names of kinds, and Chromium, they are pictures too:
`PYTHONPATH=tests python -m browsers.sheets reading last`.
"""

from __future__ import annotations

import html
import re
import sys
from collections import defaultdict
from pathlib import Path

from .conftest import SCREENSHOTS
from .engines import CHROMIUM, ENGINES
from .screens import ALL, LOOKS

_HEIGHT = 420  # px of a picture on a sheet
_WIDTH = 2400
_NAME = re.compile(rf"(.+)-(\d+)-({'|'.join(LOOKS)})-({'|'.join(each.name for each in ENGINES)})\.png")
_HEIGHTS = dict(ALL)


def kinds() -> dict[str, list[tuple[int, str, str, str]]]:
    """The pictures of each kind: width of the screen, text size, engine and name of the file, in this order."""
    found = defaultdict(list)
    for path in SCREENSHOTS.glob("*.png"):
        match = _NAME.fullmatch(path.name)
        if match and int(match[2]) in _HEIGHTS:
            found[match[1]].append((int(match[2]), match[3], match[4], path.name))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def sheet(kind: str, pictures: list[tuple[int, str, str, str]]) -> Path:
    """Write the sheet of a kind; returns its path."""
    shown = "".join(
        f'<figure><img src="{html.escape(name)}" height="{_HEIGHT}"><figcaption>{width} x {_HEIGHTS[width]}, '
        f"{look}, {engine}</figcaption></figure>"
        for width, look, engine, name in pictures
    )
    path = SCREENSHOTS / f"sheet-{kind}.html"
    path.write_text(f"{_STYLE}<h1>{html.escape(kind)}</h1>{shown}", encoding="utf-8")
    return path


_STYLE = (
    '<!DOCTYPE html><meta charset="utf-8"><style>body { background: #ccc; font: 14px sans-serif; }'
    " figure { display: inline-block; margin: 6px; } img { display: block; }</style>"
)


def main() -> None:
    """Write a sheet for each kind, and an index; and pictures of the sheets that are named."""
    sheets = {kind: sheet(kind, pictures) for kind, pictures in kinds().items()}
    links = "".join(f'<p><a href="{path.name}">{html.escape(kind)}</a></p>' for kind, path in sheets.items())
    index = SCREENSHOTS / "index.html"
    index.write_text(_STYLE + links, encoding="utf-8")
    print(f"The gallery: {index}")
    for kind in sys.argv[1:]:
        with CHROMIUM.start(_WIDTH, _HEIGHT) as browser:
            browser.open(sheets[kind].as_uri())
            browser.resize(_WIDTH, int(browser.script("return document.documentElement.scrollHeight")))
            print(browser.screenshot(sheets[kind].with_suffix(".png")))


if __name__ == "__main__":
    main()
