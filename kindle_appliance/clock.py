"""The clock on the wall, as far as it is believed.

A Raspberry Pi has no clock that runs without power: until the network tells it the time, it may be in any year.
Between 2020 and 2100 the clock is taken at its word, although it can jump. Outside, the time is not known: nothing
is dated by it or expires by it, and what an old row or a server says about such years is not shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

Clock = Callable[[], float]
"""Tells the Unix time, as `now()` does."""

_2020, _2038, _2100 = 1_577_836_800.0, 2_145_916_800.0, 4_102_444_800.0  # their begins, in UTC


def _last() -> float:
    """The begin of 2100, or that of 2038 where dates end in that January, as in Debian 12 with 32 bits."""
    try:
        time.gmtime(_2100)
    except OverflowError:
        return _2038
    return _2100


FIRST, LAST = _2020, _last()
"""A Unix time is believed from the first of these on, and before the last."""

UNKNOWN = 0.0
"""The Unix time of what happened when the time was not known."""


def is_believed(moment: float) -> bool:
    """Whether a Unix time can be true."""
    return FIRST <= moment < LAST


def now() -> float:
    """The Unix time, in seconds; `UNKNOWN` if the clock is not believed."""
    moment = shown()
    return moment if is_believed(moment) else UNKNOWN


def shown() -> float:
    """The Unix time as the clock shows it, believed or not. Everything else that reads the clock reads it here."""
    return time.time()


def next_midnight(moment: float, zone: tzinfo) -> float:
    """The midnight of a time zone after a moment, both Unix time; `UNKNOWN` after one that is not believed."""
    if not is_believed(moment):
        return UNKNOWN
    day = datetime.fromtimestamp(moment, zone).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def face(form: str = "%Y-%m-%d %H:%M %Z") -> str:
    """What the clock shows, believed or not, in a form of strftime(3). (Python's dates end with the year 9999.)"""
    return time.strftime(form, time.localtime(shown()))
