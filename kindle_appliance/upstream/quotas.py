"""What cannot be asked for now, and until when: exhausted quotas, unknown models, and places that are not reached.
The first two belong to a place and a model, and one model can have several names.

A quota that is used up is remembered across restarts, together with the moment at which the server said so. After a
jump of the clock that moment lies in the future, or the quota's end has passed, and the model is simply asked
again; so it is as long as the time is not known. Another key is another place, with quotas of its own. That a
place does not have a model is remembered for as long as its dialect says, and only in memory: a restart, as after a
change of the settings, asks for it again. That a place is not reached, as when a computer is off, is remembered for
a minute: questions do not all wait for it, and it is not missed for long when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ..clock import Clock, is_believed, now
from ..errors import StorageError
from ..storage.database import Database
from .rung import Place, Rung

log = logging.getLogger(__name__)

AWAY_SECONDS = 60.0
"""For so long a place that was not reached is asked only if no other is left."""


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
        clock: Clock = now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.Lock()
        self._unknown_until: dict[Model, float] = {}
        self._away_until: dict[str, float] = {}  # by the identity of a place
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
            self._unknown_until[_asked(rung)] = self._ticks() + rung.dialect.unknown_seconds

    def is_unknown(self, rung: Rung) -> bool:
        """Whether the place of this rung did not have its model lately."""
        return self._unknown_until.get(_asked(rung), 0.0) > self._ticks()

    def forget_unknown(self) -> None:
        """Let every model be asked for again."""
        with self._lock:
            self._unknown_until.clear()

    def set_away(self, place: Place) -> None:
        """This place was not reached."""
        with self._lock:
            self._away_until[place.identity] = self._ticks() + AWAY_SECONDS

    def set_reached(self, place: Place) -> None:
        """This place has answered, whatever it said."""
        with self._lock:
            self._away_until.pop(place.identity, None)

    def is_away(self, rung: Rung) -> bool:
        """Whether the place of this rung was not reached within the last minute."""
        return self._away_until.get(rung.place.identity, 0.0) > self._ticks()

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
        name; one whose place is away only if there is no other.
        """
        with self._lock:  # all names of one moment: other questions learn versions meanwhile
            versions = self._versions.copy()
        models = {_known(rung, versions) for rung in tried}
        away = None
        for rung in rungs:
            if _known(rung, versions) in models or self.out_until(rung) is not None or self.is_unknown(rung):
                continue
            if not self.is_away(rung):
                return rung
            away = away or rung
        return away

    def first_back(self, rungs: Iterable[Rung]) -> Back | None:
        """If all these that are known are out of quota, or at places that are not reached: the first quota that is
        back at a place that is, and when. None also if there is no such quota.
        """
        found: list[Back] = []
        for rung in rungs:
            if self.is_away(rung) or self.is_unknown(rung):
                continue
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
