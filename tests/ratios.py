"""Ratios of times, on a machine whose speed changes while they are measured."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

ROUNDS = 15
"""At most so many: other programs disturb some of them, for either of the two times."""


def usual_ratio(measure: Callable[[], tuple[float, float]], bound: float) -> float:
    """How many times the first of two times the second is, which `measure` takes next to each other.

    It is the median of an odd number of rounds, the first such number for which it keeps to the bound. The fastest
    times of all rounds would not do: a machine may be twice as fast for a moment, and only the shorter of the two
    fits into it.
    """
    ratios: list[float] = []
    while len(ratios) < ROUNDS:
        first, second = measure()
        ratios.append(second / first)
        if len(ratios) % 2 and median(ratios) <= bound:
            break
    return median(ratios)
