"""The health check: whether everything works, and what the appliance is doing. It sends no request anywhere.

`/healthz` returns it to the installer, the doctor and monitoring programs. The watchdog asks for a page instead: no
restart mends what is told here.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..answers.desk import AnswerDesk
from ..errors import StorageError
from ..storage.database import Database

log = logging.getLogger(__name__)

_LEAST_FREE_BYTES = 1024 * 1024
_STATM = Path("/proc/self/statm")  # proc(5): the second number is the pages in memory


@dataclass(frozen=True)
class Checkup:
    """The result. `is_well`: everything works; `facts`: values for JSON, `status` included."""

    is_well: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class Health:
    """The parts of the appliance that are checked.

    `build`: the name of the installed version's folder, which tells two builds of a release apart; else "".
    `damaged` looks at some more turns, and returns how many were found damaged so far; `mdns` returns the state of
    the mDNS announcement as values for JSON; `since`: the start of the appliance, on time.monotonic(); `folder`:
    where the chats are stored, None to leave that out; `has_books`: whether the shelf can be used. Without it all
    else works, so that is no failure.
    """

    version: str
    database: Database
    desk: AnswerDesk
    is_demo: bool = False
    damaged: Callable[[], int] = lambda: 0
    mdns: Callable[[], Mapping[str, object]] = lambda: {"state": "off"}
    since: float = field(default_factory=time.monotonic)
    folder: Path | None = None
    build: str = ""
    has_books: Callable[[], bool] = lambda: True

    def check(self) -> Checkup:
        """Check everything now.

        The caller has a thread and makes a page, so the database is left to check.
        """
        trouble = ""
        damaged = 0
        try:
            self.database.read("SELECT max(id) FROM turns")
            damaged = self.damaged()
        except StorageError as error:
            log.error("health: %s", error)
            trouble = "cannot be read"
        storage = _storage_trouble(self.folder) if self.folder else ""
        state = f"damaged turns: {damaged}" if damaged else "ok"
        damage = self.database.damage
        if damage and not damage.file:
            state = "damaged, and can only be read"
        facts = {
            "status": "failing" if trouble or storage else "ok",
            "version": self.version,
            "build": self.build,
            "uptime_seconds": int(time.monotonic() - self.since),
            "database": trouble or state,
            "storage": storage or "ok",
            "books": "ok" if self.has_books() else "cannot be opened",
            "mdns": dict(self.mdns()),
            "answers_being_written": self.desk.writing,
            "demo": self.is_demo,
            "memory_bytes": _memory_bytes(),
        }
        if damage:
            facts["salvaged"] = damage.facts()
        return Checkup(not (trouble or storage), facts)


def _storage_trouble(folder: Path) -> str:
    """Why nothing can be stored there, "" if something can. Nothing is written, to spare the card."""
    try:
        if not os.access(folder, os.W_OK):
            return "cannot be written to"
        return "full" if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES else ""
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"


def _memory_bytes() -> int | None:
    """Return the resident memory of this process, shared libraries included; None on systems without /proc."""
    try:
        with _STATM.open("rb", buffering=0) as statm:  # each system call lets threads that set texts go first
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return None
