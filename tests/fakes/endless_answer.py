"""An answer that ends only on the test's command, for readers that come and go."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

from conftest import ROOT

from .gemini import chunk

CUTS = 50


# Every kind of block, several scripts.
DEMO_ANSWERS = (ROOT / "static" / "demo_answers.md").read_text(encoding="utf-8")


class EndlessAnswer:
    """The chunks of an answer that continues until `enough` is set. `text` has been sent so far."""

    def __init__(self, chance: random.Random) -> None:
        self.text = ""
        self.enough = threading.Event()
        self._chance = chance

    def __iter__(self) -> Iterator[bytes]:
        while not self.enough.wait(0.003):
            at = len(self.text) % len(DEMO_ANSWERS)
            yield self._said(DEMO_ANSWERS[at : at + self._chance.randrange(1, 40)])
        yield self._said("\n\nThe end, 终.", "STOP")

    def _said(self, piece: str, finish: str | None = None) -> bytes:
        self.text += piece
        return chunk(piece, finish)
