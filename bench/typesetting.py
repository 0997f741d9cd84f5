"""Measures what setting a text costs. `make bench` prints the figures of 256 KB of each pattern, for this machine.

The bounds, which `tests/answers/test_cost.py` asserts: five times the CPU time of the Markdown library for the same
text at once, or for prose of the same length, if that is more; and 12 bytes of HTML for each byte of the text, and
64 KB besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from bench.patterns import PATTERNS, PROSE, repeated
from kindle_appliance.answers.markdown import _MARKDOWN
from kindle_appliance.answers.typesetter import Block, Typesetter

KIB = 1024

ARRIVALS: dict[str, Callable[[str], Sequence[str]]] = {
    "at once": lambda text: [text],
    "by line": lambda text: text.splitlines(keepends=True),
    "20 characters": lambda text: [text[at : at + 20] for at in range(0, len(text), 20)],
}
"""The ways in which a text may arrive."""


def prose(size: int) -> str:
    """Ordinary prose of so many characters."""
    return repeated("", PROSE)(size)


def typeset(arriving: Iterable[str]) -> list[Block]:
    typesetter = Typesetter()
    for piece in arriving:
        typesetter.feed(piece)
    typesetter.close()
    return typesetter.blocks


def library_seconds(text: str) -> float:
    """CPU seconds of the Markdown library, with our rules, for a text at once."""
    begin = time.thread_time()
    _MARKDOWN.render(text)
    return time.thread_time() - begin


def seconds(arriving: Sequence[str]) -> float:
    """CPU seconds of the typesetter."""
    begin = time.thread_time()
    typeset(arriving)
    return time.thread_time() - begin


def main() -> None:
    size = 256 * KIB
    usual = library_seconds(prose(size))
    print(
        "Setting 256 KB of a text: CPU seconds; as a multiple of the Markdown library's for the text or for prose"
    )
    print(f"({usual:.2f}), whichever is more (at most 5); bytes of HTML for each byte (at most 12.25)")
    for name, make in PATTERNS.items():
        text = make(size)
        library = library_seconds(text)
        begin = time.thread_time()
        blocks = typeset(ARRIVALS["by line"](text))
        took = time.thread_time() - begin
        html = sum(len(block.html.encode()) for block in blocks) / len(text.encode())
        shown = name.encode("unicode_escape").decode()
        print(f"  {shown:45}{took:7.2f}{took / max(library, usual):6.1f}{html:7.2f}", flush=True)


if __name__ == "__main__":
    main()
