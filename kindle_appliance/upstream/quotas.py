"""What cannot be asked for now, and until when: exhausted quotas and unknown models. Both belong to a place and a
model, and one model can have several names.

A quota that is used up is remembered across restarts, together with the moment at which the server said so. After a
jump of the clock that moment lies in the future, or the quota's end has passed, and the model is simply asked
again; so it is as long as the time is not known. Another key is another place, with quotas of its own. That a
place does not have a model is remembered for a day, and only in memory: a restart, as after a change of the
settings, asks for it again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ..clock import is_believed, now
from ..errors import StorageError
from ..storage.database import Database
from .rung import Rung

log = logging.getLogger(__name__)


UNKNOWN_SECONDS = 24 * 3600.0
"""For so long a model is not asked for that its place did not have."""


class Model(NamedTuple):
    """A model as its place knows it, independent of the name it was asked under."""

    place: str
    name: str


class Back(NamedTuple):
    """A rung whose quota is back `at` a moment (Unix time)."""

    rung: Rung
    at: float


class _Outage(NamedTuple):
    said: float  # both Unix time
    until: float


class Quotas:
    """What is known of the quotas, stored in `database` if there is one. Safe for threads. `clock`: Unix time;
    `ticks`: a monotonic clock in seconds.
    """

    def __init__(
        self,
        database: Database | None = None,
        clock: Callable[[], float] = now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.Lock()
        self._unknown_until: dict[Model, float] = {}
        self._versions: dict[Model, str] = {}
        rows = database.read("SELECT place, model, said, until FROM quotas") if database else ()
        self._outages = {
            Model(place, model): _Outage(said, until)
            for place, model, said, until in rows
            if isinstance(said, float) and isinstance(until, float)  # a damaged card can make them anything
            if is_believed(until)
        }

    def model(self, rung: Rung) -> Model:
        """The model of a rung: the version that answered under its name last, else the name itself."""
        return _known(rung, self._versions)

    def learn(self, rung: Rung, version: str) -> None:
        """`version` answered under this rung's name. Aliases move, so the last one counts."""
        with self._lock:
            self._versions[_asked(rung)] = version

    def set_out(self, rung: Rung, until: float) -> None:
        """The quota of this rung's model is used up until then (Unix time), under all the names it is known by."""
        model, outage = self.model(rung), _Outage(self._clock(), until)
        with self._lock:
            known = [asked for asked, version in self._versions.items() if Model(asked.place, version) == model]
            names = {rung.model, model.name, *(asked.name for asked in known)}
            self._outages.update((Model(model.place, name), outage) for name in names)
        if self._database is None:
            return
        try:
            with self._database.write() as connection:
                connection.execute("DELETE FROM quotas WHERE until <= ?", (outage.said,))
                connection.executemany(
                    "REPLACE INTO quotas (place, model, said, until) VALUES (?, ?, ?, ?)",
                    [(model.place, name, *outage) for name in names],
                )
        except StorageError as error:
            log.error("quotas: cannot store that %s is out of quota: %s", rung.model, error)

    def set_unknown(self, rung: Rung) -> None:
        """Its place does not have the model of this rung."""
        with self._lock:
            self._unknown_until[_asked(rung)] = self._ticks() + UNKNOWN_SECONDS

    def is_unknown(self, rung: Rung) -> bool:
        """Whether the place of this rung did not have its model within the last day."""
        return self._unknown_until.get(_asked(rung), 0.0) > self._ticks()

    def forget_unknown(self) -> None:
        """Let every model be asked for again."""
        with self._lock:
            self._unknown_until.clear()

    def out_until(self, rung: Rung) -> float | None:
        """When the quota of this rung's model is back (Unix time); None if it may be asked now."""
        now = self._clock()
        for model in (_asked(rung), self.model(rung)):
            outage = self._outages.get(model)
            if outage is not None and outage.said <= now < outage.until:
                return outage.until
        return None

    def find_next(self, rungs: Iterable[Rung], tried: Collection[Rung]) -> Rung | None:
        """The first rung that is neither out of quota nor unknown, and not one of the `tried` models under another
        name.
        """
        with self._lock:  # all names of one moment: other questions learn versions meanwhile
            versions = self._versions.copy()
        models = {_known(rung, versions) for rung in tried}
        for rung in rungs:
            if _known(rung, versions) not in models and self.out_until(rung) is None and not self.is_unknown(rung):
                return rung
        return None

    def first_back(self, rungs: Iterable[Rung]) -> Back | None:
        """If all these are out of quota: the first of them that is back, and when. None also if there are none."""
        found: list[Back] = []
        for rung in rungs:
            if (until := self.out_until(rung)) is None:
                return None
            found.append(Back(rung, until))
        return min(found, key=lambda each: each.at, default=None)


def _asked(rung: Rung) -> Model:
    """The model of a rung under the name by which it is asked."""
    return Model(rung.place.identity, rung.model)


def _known(rung: Rung, versions: Mapping[Model, str]) -> Model:
    """The model of a rung under the name of the version that answered."""
    asked = _asked(rung)
    return Model(asked.place, versions.get(asked, asked.name))
