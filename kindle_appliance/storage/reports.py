"""The last twenty reports that browsers sent from /check about what they can do.

Anybody in the house can send a report, so its content is not trusted: its structure and size are checked here,
pages escape the values that they show, and no decision depends on them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ..clock import now
from ..errors import ReaderError
from ..sentences import Sentence
from .damage import LAST_MOMENT
from .database import Database, Row, repeats

REPORTS_KEPT = 20

_MOST_VALUES = 40
_VALUE_CHARACTERS = 600  # enough for the longest user agents and table rows


@dataclass(frozen=True)
class Report:
    """What a browser reported about itself, and when it was received (Unix time).

    A value is a text, a number, a bool or None, or a list or dict of those.
    """

    received: float
    values: dict[str, Any]


class Reports:
    """The stored reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeats
    def add(self, report: object) -> None:
        """Store a report, decoded from JSON, and drop the oldest one. Raises `ReaderError` if it is not valid."""
        if not isinstance(report, dict) or len(report) > _MOST_VALUES or not all(map(_is_small, report.values())):
            raise ReaderError(Sentence("A report must be an object of short values."))
        text = json.dumps(report, ensure_ascii=False)
        text = text.encode("utf-8", "replace").decode()  # JSON can hold half a surrogate pair, SQLite cannot
        with self._database.write() as connection:
            connection.execute("INSERT INTO reports (received, report) VALUES (?, ?)", (now(), text))
            connection.execute(
                "DELETE FROM reports WHERE id NOT IN (SELECT id FROM reports ORDER BY id DESC LIMIT ?)",
                (REPORTS_KEPT,),
            )

    def latest(self) -> list[Report]:
        """All stored reports that can be read, newest first."""
        rows = self._database.read("SELECT received, report FROM reports ORDER BY id DESC")
        return [report for report in map(_read, rows) if report is not None]


def is_readable(row: Row) -> bool:
    """Whether a stored report can be read."""
    return _read(row) is not None


def _read(row: Row) -> Report | None:
    """A stored report; None if the card has damaged it."""
    try:
        values = json.loads(row["report"])
    except (ValueError, TypeError):
        return None
    received = row["received"]
    is_moment = isinstance(received, int | float) and 0 <= received < LAST_MOMENT
    return Report(received, values) if isinstance(values, dict) and is_moment else None


def _is_small(value: object) -> bool:
    """Whether a value is short, or a list or dict of nothing but short ones."""
    if isinstance(value, dict):
        return all(map(_is_short, value.values()))
    return all(map(_is_short, value)) if isinstance(value, list) else _is_short(value)


def _is_short(value: object) -> bool:
    if isinstance(value, float) and not math.isfinite(value):  # Python's decoder accepts NaN, which is not JSON
        return False
    is_plain = value is None or isinstance(value, str | int | float)
    return is_plain and len(str(value)) <= _VALUE_CHARACTERS
