"""Measures what each kind of text costs while it is written. `make bench` prints the figures, for this machine.

A tail is made twice a second: of a text that comes at 100 characters a second, after every 50 of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from kindle_appliance.typesetting.typesetter import Typesetter

_ROOT = Path(__file__).parents[1]
_KINDS = _ROOT / "tests" / "typesetting" / "texts"
_RECORDED = _ROOT.parent / "shared" / "streams" / "expected.json"
_SIZE = 10 * 1024
_STEP = 50


def kinds() -> Iterator[tuple[str, str]]:
    """A text of each kind, and the recorded answers if they are beside the checkout."""
    for path in sorted(_KINDS.glob("*.md")):
        yield path.stem, path.read_text(encoding="utf-8")
    if _RECORDED.is_file():
        recorded = json.loads(_RECORDED.read_bytes()).values()
        yield "recorded answers", "\n\n".join(case["computed"]["text"] for case in recorded)


def cost(text: str) -> tuple[float, list[float]]:
    """CPU milliseconds for settling a text, and for each tail."""
    typesetter, settling, tails = Typesetter(), 0.0, []
    for at in range(0, len(text), _STEP):
        begin = time.thread_time()
        typesetter.feed(text[at : at + _STEP])
        fed = time.thread_time()
        typesetter.tail()
        tails.append(1000 * (time.thread_time() - fed))
        settling += fed - begin
    return 1000 * settling, tails


def main() -> None:
    print(
        "CPU milliseconds of a kind of text: for settling 10 KB; for a tail (median at most 0.5), and the slowest"
    )
    for name, text in kinds():
        size = len(text.encode())
        long = (text + "\n\n") * max(1, round(_SIZE / size))
        settling, tails = cost(long)
        settling *= _SIZE / len(long.encode())
        print(f"  {name:20}{settling:8.1f}{median(tails):8.2f}{max(tails):8.1f}", flush=True)


if __name__ == "__main__":
    main()
