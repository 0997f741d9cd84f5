"""Puts a salvaged database in the place of a damaged one, which is kept untouched under a name with the date.

A power cut at any moment loses nothing. First a new file is filled beside the old one, and gets its name
`.chats-damaged-<date>.sqlite.ready` when all of it is on the card. Then the old files are renamed, the log first,
and at last the new one. Whoever finds a file that is ready goes on with that.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..clock import now
from .btrees import MAGIC, has_readable_head
from .damage import Damage, name_for_damaged
from .migrations import Schema
from .salvage import MOST_ID, salvage

log = logging.getLogger(__name__)

MOST_SET_ASIDE = 5
"""Damaged files in a folder. A card that damages more is worn out, and would only be filled."""

_WRITE_VERSION, _MOST_WRITE_VERSION = 18, b"\x02"
"""The place of a number in a file's header, and the largest one: with a larger one SQLite writes nothing
(https://www.sqlite.org/fileformat2.html, 1.3.3, read 2026-11)."""

_BESIDE = ("-wal", "-journal")  # what SQLite keeps beside a file and needs to read it


_COUNTED = "SELECT name FROM sqlite_sequence WHERE name IN (SELECT name FROM sqlite_schema)"
_LAST_IDS = """
    SELECT coalesce(max(rowid), 0) FROM "{}"
    UNION ALL SELECT CASE WHEN typeof(seq) = 'integer' THEN seq ELSE 0 END FROM sqlite_sequence WHERE name = ?
"""


class Unusable(OSError):
    """A file that must not be opened."""


def check(file: Path) -> None:
    """Raise `Unusable` for a file that must not be opened, another OSError for one that cannot be. SQLite would
    delete a log without a file, or pass over one whose header is damaged: what it holds would be gone.
    """
    try:
        _check(file)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Unusable("its card does not read it") from error


def _check(file: Path) -> None:
    if file.is_dir():
        raise Unusable("it is a folder")
    wal = file.with_name(f"{file.name}-wal")
    if not file.exists() and wal.is_file() and wal.stat().st_size:
        file.touch(0o600)  # its name was lost; what stands in the log is not
    if file.is_file():
        with file.open("rb") as opened:
            head = opened.read(_WRITE_VERSION + 1)
        if head.startswith(MAGIC) and head[_WRITE_VERSION:] > _MOST_WRITE_VERSION:
            raise Unusable("its header says that it must not be written")
    if file.is_file() and wal.is_file() and wal.stat().st_size:
        if not file.stat().st_size:
            raise Unusable("it is empty, but its log is not")
        with wal.open("rb") as opened:
            if not has_readable_head(opened):
                raise Unusable("its log has no readable header")


def check_content(connection: sqlite3.Connection, as_is: bool) -> None:
    """Raise `Unusable` for an open file with damage. Where only an index and its table differ, as after a flipped
    bit in a question, the index is made anew, unless the file has to be left `as_is`.
    """
    _check_pages(connection, as_is)
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone():
        for (table,) in connection.execute(_COUNTED).fetchall():
            if any(row[0] >= MOST_ID for row in connection.execute(_LAST_IDS.format(table), (table,))):
                raise Unusable(f"an id of its {table} is so high that hardly any is left to give")


def _check_pages(connection: sqlite3.Connection, as_is: bool) -> None:
    (trouble,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if trouble == "ok":
        return
    (in_tables,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if in_tables != "ok":
        raise Unusable(in_tables)
    log.warning("storage: an index is damaged: %s", trouble)
    try:
        if not as_is:
            connection.execute("REINDEX")
    except sqlite3.IntegrityError as error:  # two rows have become the same
        raise Unusable(trouble) from error
    except sqlite3.OperationalError as error:
        log.warning("storage: it stays as it is: %s", error)


def save(file: Path, schema: Schema) -> Path:
    """Salvage a damaged file into a new one. Returns the name that the damaged one gets; `replace` does the rest.

    Raises OSError and sqlite3.Error if nothing can be written; nothing has changed then.
    """
    aside = name_for_damaged(file, MOST_SET_ASIDE)
    if aside is None:
        raise OSError(errno.EDQUOT, f"{MOST_SET_ASIDE} damaged files have been set aside already")
    fresh = _unfinished(file)
    _delete(fresh)
    try:
        fresh.touch(0o600)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as target:
            target.execute("PRAGMA synchronous=OFF")  # all of it is synced below
            target.execute("PRAGMA journal_mode=MEMORY")
            target.execute("PRAGMA auto_vacuum=INCREMENTAL")
            saved = salvage(file, schema, target)
        _sync(fresh)
        damage = Damage(now(), aside.name, saved.get(schema.precious, 0))
        damage.write(file.parent)
        fresh.replace(_ready(aside))
        _sync(file.parent)
    except BaseException:
        _delete(fresh)
        raise
    told = ", ".join(f"{rows} {table}" for table, rows in saved.items() if rows) or "nothing"
    log.warning("storage: of the damaged %s was saved: %s; it is %s now", file, told, aside)
    return aside


def replace(file: Path, aside: Path) -> None:
    """Rename the damaged files, and put the salvaged one in their place. While connections to the damaged file are
    open, only `set_aside` may be called. Raises OSError.
    """
    set_aside(file, aside)
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    _ready(aside).replace(file)
    _sync(file.parent)


def set_aside(file: Path, aside: Path) -> None:
    """Rename the damaged files. Connections to them may be open: SQLite writes nothing more to a file that has
    been moved when it closes it. Raises OSError.
    """
    for suffix in (*_BESIDE, ""):
        old = file.with_name(file.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    _sync(file.parent)


def finish(file: Path) -> None:
    """Go on where a power cut or a crash has stopped this. Raises OSError."""
    if file.parent.is_dir():
        for ready in file.parent.glob(f".{file.stem}-damaged-*{file.suffix}.ready"):
            aside = file.with_name(ready.name[1 : -len(".ready")])
            if not (file.exists() and aside.exists()):  # else an older version has begun a new file since
                replace(file, aside)
        _delete(_unfinished(file))


def _unfinished(file: Path) -> Path:
    return file.with_name(f".{file.stem}-salvage{file.suffix}")


def _ready(aside: Path) -> Path:
    return aside.with_name(f".{aside.name}.ready")


def _delete(fresh: Path) -> None:
    for suffix in ("", *_BESIDE):
        if (path := fresh.with_name(fresh.name + suffix)).exists():  # a read-only card does not even look
            path.unlink()


def _sync(path: Path) -> None:
    """Wait until the card has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
