"""The tables of a file: the steps that lead to them, and what a check and a salvage must know of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from sqlite3 import Connection, Row


@dataclass(frozen=True)
class Schema:
    """The tables of a file.

    `migrations`: the way from an empty file to today's tables; `PRAGMA user_version` counts the steps done.
    `essential`: the tables without which a file is not one of these. `counted`: the one whose rows say how much a
    file holds; `precious`: the one whose rows are worth telling of, when they were saved from a damaged file.

    `is_readable`: for tables whose rows have to make sense, whether one does. `marks`: for tables whose rows are
    worth keeping even in part, the values that such a row gets; `remnants`: those for a row of which only an index
    still tells. `remade`: tables without an underscore that are no step of the way, because the appliance makes
    them anew from others wherever they are missing; none of their content is copied. `derived`: statements that
    compute all that follows from other tables.
    """

    migrations: tuple[str, ...]
    essential: frozenset[str]
    counted: str
    precious: str = ""
    is_readable: Mapping[str, Callable[[Row], bool]] = field(default_factory=dict)
    marks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    remnants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    remade: frozenset[str] = frozenset()
    derived: str = ""

    @property
    def version(self) -> int:
        return len(self.migrations)

    def at(self, version: int) -> Schema:
        """The schema as it was at an earlier version."""
        return replace(self, migrations=self.migrations[:version])

    def derive(self, connection: Connection) -> None:
        """Compute what follows from other tables, in a file of today's version whose rows came from elsewhere."""
        if self.derived:
            connection.executescript(f"BEGIN IMMEDIATE;{self.derived};COMMIT;")

    def migrate(self, connection: Connection, version: int | None = None) -> None:
        """Bring a file forward to `version` (None: today's). Each step is a transaction of its own."""
        (before,) = connection.execute("PRAGMA user_version").fetchone()
        for step in range(before, self.version if version is None else version):
            connection.executescript(
                f"BEGIN IMMEDIATE;{self.migrations[step]};PRAGMA user_version = {step + 1};COMMIT;"
            )
