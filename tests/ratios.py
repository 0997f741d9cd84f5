"""Ratios of times, on a machine whose speed changes while they are measured."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

_ROUNDS = 21
"""At most so many: other programs disturb some of them, for either of the two times, and of nine more than half.
With a fifth of noise, what is a sixth below its bound fails then in one of 700 tests, and with these in none of
2,000; what is a sixth above it is found as often.
"""


def assert_usual_ratio(
    bound: float, measure: Callable[[], tuple[float, float]], *, least: int = 1, of: str = "it"
) -> float:
    """Of two times, which `measure` takes one after the other, the second is usually at most `bound` times the
    first. Returns how many times it is. `of`: what is measured, for the message.

    That is the median of an odd number of rounds, at least so many, the first such number for which it keeps to the
    bound. The fastest times of all rounds would not do: a machine may be twice as fast for a moment, and only the
    shorter of the two fits into it.
    """
    ratios: list[float] = []
    while len(ratios) < _ROUNDS:
        first, second = measure()
        ratios.append(second / first)
        if len(ratios) >= least and len(ratios) % 2 and median(ratios) <= bound:
            break
    assert median(ratios) <= bound, f"{of} took {[round(each, 2) for each in ratios]} times as long"
    return median(ratios)
