"""Token buckets in memory: so many of something at once, and more as time passes. Nothing of it is stored.

A bucket that is full again is the same as a new one, so only those of the last moments are kept. None is dropped
before that, whatever other clients do: to forget a bucket would be to fill it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

Name = tuple[str, str]
"""What a bucket counts by, such as "reader" or "address", and which one."""

MOST_BUCKETS = 4096
"""About 1 MB. With more, a new name waits until the oldest bucket is full again."""


class Buckets:
    """Buckets by name, each with a size: the tokens that it holds at most. Safe for threads.

    An empty bucket is full after `seconds`, whatever its size. `ticks`: a monotonic clock in seconds.
    """

    def __init__(self, seconds: float, ticks: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._ticks = ticks
        self._lock = threading.Lock()
        # The tokens of each bucket after the last one was taken, and when that was; oldest first.
        self._buckets: OrderedDict[Name, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, sizes: Mapping[Name, int]) -> float:
        """Take one token from each of these buckets, and return 0. If that cannot be, take none, and return the
        seconds until it can.
        """
        with self._lock:
            now = self._ticks()
            self._forget_full(now)
            tokens = {name: self._tokens(name, size, now) for name, size in sizes.items()}
            waits = [(1 - tokens[name]) * self._seconds / size for name, size in sizes.items()]
            if len(self._buckets) + sum(name not in self._buckets for name in sizes) > MOST_BUCKETS:
                waits.append(next(iter(self._buckets.values()))[1] + self._seconds - now)
            if (wait := max(waits)) > 0:
                return wait
            for name, count in tokens.items():
                self._buckets[name] = (count - 1, now)
                self._buckets.move_to_end(name)
            return 0.0

    def give_back(self, sizes: Mapping[Name, int]) -> None:
        """Put one token back into each of these buckets."""
        with self._lock:
            for name, size in sizes.items():
                if name in self._buckets:  # otherwise it is full
                    tokens, since = self._buckets[name]
                    self._buckets[name] = (min(float(size), tokens + 1), since)

    def _tokens(self, name: Name, size: int, now: float) -> float:
        tokens, since = self._buckets.get(name, (float(size), now))
        return min(float(size), tokens + (now - since) * size / self._seconds)

    def _forget_full(self, now: float) -> None:
        while self._buckets and next(iter(self._buckets.values()))[1] + self._seconds <= now:
            self._buckets.popitem(last=False)
