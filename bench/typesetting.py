"""Measures what setting a text costs. `make bench` prints the figures of 256 KB of each pattern, for this machine.

The bounds, which `tests/typesetting/test_cost.py` asserts: five times the CPU time of the Markdown library for the
same text at once, or for prose of the same length, if that is more; and 12 bytes of HTML for each byte of the text,
and 64 KB besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Thread

from bench.patterns import PATTERNS, PROSE, repeated
from kindle_appliance.markdown.library import _MARKDOWN
from kindle_appliance.typesetting.typesetter import Block, Typesetter

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


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of some work, in a thread of its own: the stack of Python 3.11 grows by pieces of 16 KB, and work
    that goes back and forth over the end of one takes up to a third longer. So it depends on the caller's depth.
    """
    took = 0.0

    def measure() -> None:
        nonlocal took
        begin = time.thread_time()
        work()
        took = time.thread_time() - begin

    thread = Thread(target=measure)
    thread.start()
    thread.join()
    return took


def library_seconds(text: str) -> float:
    """CPU seconds of the Markdown library, with our rules, for a text at once."""
    return cpu_seconds(lambda: _MARKDOWN.render(text))


def seconds(arriving: Sequence[str]) -> float:
    """CPU seconds of the typesetter."""
    return seconds_and_blocks(arriving)[0]


def seconds_and_blocks(arriving: Sequence[str]) -> tuple[float, list[Block]]:
    """CPU seconds of the typesetter, and what it has set."""
    blocks: list[Block] = []
    return cpu_seconds(lambda: blocks.extend(typeset(arriving))), blocks


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
        took, blocks = seconds_and_blocks(ARRIVALS["by line"](text))
        html = sum(len(block.html.encode()) for block in blocks) / len(text.encode())
        shown = name.encode("unicode_escape").decode()
        print(f"  {shown:45}{took:7.2f}{took / max(library, usual):6.1f}{html:7.2f}", flush=True)


if __name__ == "__main__":
    main()
