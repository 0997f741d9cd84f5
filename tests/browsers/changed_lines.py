"""Lines that change on the page of an answer that is being written.

A line that had another one below it when it was drawn is to stay as it is: by pixels, at every later update, when
its block settles, and at the end. test_changed_lines.py asserts it on a small scale; `make bench` prints the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bands import Grid, as_png, grid, take_bands
from .fed_page import FedPage
from .steps import text_of

TEXTS = Path(__file__).parents[1] / "typesetting" / "texts"
"""A text of each kind, as models write them."""

TALL = (600, 13_000)
"""A window that shows any of these texts, and any recorded answer, on one page."""


class Lines:
    """What lines looked like when they were drawn, from the first of the answer on."""

    def __init__(self) -> None:
        self._drawn: dict[int, str] = {}
        self.compared = 0

    def draw(self, first: int, bands: Sequence[str]) -> list[int]:
        """Take the lines that are drawn, from `first` to the last one; return those that are not as they were, or
        that are gone.
        """
        end = first + len(bands)
        changed = [line for line in self._drawn if line >= end]
        for line in changed:
            del self._drawn[line]
        for line, band in enumerate(bands, first):
            if line in self._drawn:
                self.compared += 1
                if self._drawn[line] != band:
                    changed.append(line)
                    del self._drawn[line]
            if line < end - 1:
                self._drawn[line] = band
        return sorted(changed)


@dataclass(frozen=True)
class Exemption:
    """A block whose lines may change when it settles: the text it is in, words of it, and the reason."""

    text: str
    words: str
    reason: str


@dataclass(frozen=True)
class Change:
    """Lines of a block that changed at one update: of `text`, when so many characters of it had come."""

    text: str
    at: int
    lines: tuple[int, ...]
    block: str

    def is_exempt(self, exemptions: Sequence[Exemption]) -> bool:
        return any(each.text == self.text and each.words in self.block for each in exemptions)


@dataclass(frozen=True)
class Count:
    """The result for some texts. `lines` is the number of comparisons."""

    updates: int = 0
    lines: int = 0
    changes: list[Change] = field(default_factory=list)

    def __add__(self, other: Count) -> Count:
        return Count(self.updates + other.updates, self.lines + other.lines, self.changes + other.changes)

    def __str__(self) -> str:
        changed = sum(len(change.lines) for change in self.changes)
        return f"{changed} changed lines in {self.updates:,} updates, {self.lines:,} lines compared"


def watch(page: FedPage, name: str, text: str, step: int, folder: Path) -> Count:
    """Let the page draw a text in steps of so many characters, and see what changes. Of each change, the pictures
    of the answer's end before and after it stay in the folder.
    """
    lines, updates = Lines(), 0
    changes: list[Change] = []
    blocks: dict[int, str] = {}  # in which each line was drawn
    pictures = [folder / f"{name}.now", folder / f"{name}.before"]
    page.begin()
    for at in range(step, len(text) + 2 * step, step):
        settled = max(0, page.settled - 1)  # with one more, a table that ends when the next block begins
        if at < len(text) + step:
            page.write(text[at - step : at])
        else:
            settled = 0  # what settled long ago is seen again
            page.end()
        seen = grid(page.browser)
        drawn = _blocks(page, seen, settled)
        first = min(drawn, default=seen.count)
        pictures.reverse()
        changed: dict[str, list[int]] = {}
        for line in lines.draw(first, take_bands(page.browser, seen, first, pictures[0])):
            changed.setdefault(blocks[line], []).append(line)
        if changed:
            changes += [Change(name, at, tuple(found), block) for block, found in changed.items()]
            for moment, picture in zip(("after", "before"), pictures, strict=True):
                (folder / f"{name}-{at}-{moment}.png").write_bytes(as_png(picture.read_bytes()))
        blocks |= drawn
        updates += 1
    for picture in pictures:
        picture.unlink(missing_ok=True)
    assert text_of(page.browser, "count") == "1 of 1", "all lines were in the pictures"
    assert text_of(page.browser, "text"), "and the page has drawn them"
    return Count(updates, lines.compared, changes)


def _blocks(page: FedPage, grid: Grid, first: int) -> dict[int, str]:
    """The words of the block of each line, from this element of the answer on."""
    found = page.browser.script(
        "var all = document.getElementById('text').children, found = [], i, box;"
        "for (i = arguments[0]; i < all.length; i += 1) { box = all[i].getBoundingClientRect();"
        "  found.push([box.top + window.pageYOffset, box.bottom + window.pageYOffset,"
        "    all[i].textContent.replace(/\\u00ad/g, '')]); }"
        "return found;",
        first,
    )
    blocks: dict[int, str] = {}
    for top, bottom, words in found:
        begin, end = (round((y - grid.top) / grid.line) for y in (top, bottom))
        blocks |= dict.fromkeys(range(begin, end), words)
    return blocks
