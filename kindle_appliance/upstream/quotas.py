"""The models that may be asked, and what is known of them: which names mean the same model, which are out of quota.

Google counts free questions for each model and begins anew at midnight Pacific time
(https://ai.google.dev/gemini-api/docs/rate-limits, read 2026-11). What is out is remembered across restarts, by the
moment at which it was said: after a jump of the clock such a moment lies in the future, or its midnight has passed,
and the model is simply asked again. A quota belongs to a key: with another one all are asked again, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from ..errors import StorageError
from ..storage.database import Database

log = logging.getLogger(__name__)

_PACIFIC = "America/Los_Angeles"


class Models:
    """`names` of models, best first. What is out for `key` is kept in `database`, if there is one. `clock`: Unix
    time.
    """

    def __init__(
        self,
        names: Sequence[str],
        database: Database | None = None,
        clock: Callable[[], float] = time.time,
        key: str = "",
    ) -> None:
        self.names = tuple(names)
        self._database = database
        self._clock = clock
        self._versions: dict[str, str] = {}
        self._key = sha256(key.encode()).hexdigest()[:4]
        rows = database.read("SELECT model, moment FROM quotas WHERE key = ?", (self._key,)) if database else ()
        self._out: dict[str, float] = {row[0]: row[1] for row in rows}

    def next(self, tried: Collection[str]) -> str | None:
        """The best model that is not out for the day, and none of `tried` under another name."""
        identities = {self._identity(name) for name in tried}
        for name in self.names:
            if self._identity(name) not in identities and self._back_at(name) is None:
                return name
        return None

    def learn(self, name: str, version: str) -> None:
        """`name` was answered by `version`. Aliases move, so the last one counts."""
        self._versions[name] = version

    def set_out(self, name: str) -> None:
        """The free questions of this model are used up for today."""
        now = self._clock()
        identity = self._identity(name)
        same = {name, identity, *(each for each in self.names if self._identity(each) == identity)}
        self._out.update(dict.fromkeys(same, now))
        if self._database is None:
            return
        try:
            with self._database.write() as connection:
                connection.executemany(
                    "REPLACE INTO quotas (model, moment, key) VALUES (?, ?, ?)",
                    [(each, now, self._key) for each in same],
                )
        except StorageError as error:
            log.error("models: cannot store that %s is out for today: %s", name, error)

    def back_at(self, unknown: Collection[str] = ()) -> float | None:
        """When the first of them can be asked again (Unix time), if all are out for the day but those that Gemini
        does not have.
        """
        moments = [self._back_at(name) for name in self.names if name not in unknown]
        return None if None in moments else min((moment for moment in moments if moment is not None), default=None)

    def _identity(self, name: str) -> str:
        return self._versions.get(name, name)

    def _back_at(self, name: str) -> float | None:
        now = self._clock()
        for each in (name, self._identity(name)):
            since = self._out.get(each)
            if since is not None and since <= now < (midnight := _next_midnight(since)):
                return midnight
        return None


def _next_midnight(moment: float) -> float:
    """The Pacific midnight after a moment; both Unix time."""
    day = datetime.fromtimestamp(moment, ZoneInfo(_PACIFIC)).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(_PACIFIC)).timestamp()
