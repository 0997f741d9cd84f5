"""The screens and the text sizes of the gallery, and which of them a scaled-down run takes."""

from __future__ import annotations

from .engines import ENGINES, Engine

KINDLES = ((600, 706), (758, 899), (1072, 1231), (1236, 1500), (1860, 2160))
WIDE = ((800, 506), (1280, 800))
PHONE = (390, 844)
ALL = (*KINDLES, *WIDE, PHONE)
LOOKS = ("62", "48", "13")
"""The smallest text, the usual one, the largest."""


def screens(engine: Engine, look: str, is_full: bool) -> tuple[tuple[int, int], ...]:
    """All screens; or that of a Kindle 4 in each engine and look, and each other one in each look in one engine."""
    if is_full:
        return ALL
    shift = ENGINES.index(engine) + 2 * LOOKS.index(look)
    return tuple(each for number, each in enumerate(ALL) if not number or (number + shift) % len(ENGINES) == 0)
