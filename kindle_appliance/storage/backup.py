"""A backup: one SQLite file with the chats and, in a table of its own, the settings and, if asked for, the secrets.

Both ways go through SQLite: the appliance may run while it is backed up, and no file is replaced under anybody. A
backup is restored beside the chats first, and brought to today's schema there: only what is known to be good gets
into the chats, in one transaction, after they have been kept under another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import StartError, StorageError
from .database import Database, Inspection, compact, copy, inspect
from .lock import give_to_owner
from .schema import CHATS

KEPT = "before-restore.sqlite"
"""Where the chats are kept that were there before, in their folder."""

_FILES = ("", "-wal", "-shm", "-journal")  # that SQLite makes beside a database


def back_up(chats: Path, file: Path, belongings: Mapping[str, bytes]) -> Inspection:
    """Write a backup of the database `chats` to `file`, readable to its owner only; it takes the place of an
    earlier one when it is complete. `belongings`: what goes along, by name. Says what the backup holds. Raises
    OSError, `OwnerError` or `StartError`.
    """
    _refuse_same(chats, file)
    if not chats.is_file():
        raise StartError(f"there are no chats in {chats.parent} yet.")
    found = inspect(chats, CHATS)
    if found.trouble:
        state = "cannot be reached" if found.is_out_of_reach else "are damaged"
        raise StartError(f"the chats in {chats.parent} {state}: {found.trouble}.")
    if file.is_dir():
        raise StartError(f"{file} is a folder. Name a file in it.")
    try:
        with _scratch(file.with_name(f".{file.name}.new")) as fresh:
            copy(chats, fresh)
            # As it is: when an upgrade fails, the version that is put back has to know the schema.
            with closing(Database(fresh, None)) as database, database.write() as connection:
                connection.execute("CREATE TABLE belongings (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")
                connection.executemany("INSERT INTO belongings VALUES (?, ?)", belongings.items())
            compact(fresh)
            fresh.replace(file)
    except StorageError as error:
        raise StartError(f"{file} cannot be written: {error.detail}.") from error
    return found


def restore(file: Path, chats: Path) -> dict[str, bytes]:
    """Put the chats of a backup in the place of those in `chats`, which nobody else may be using. Gives what went
    along with them. Raises OSError, `OwnerError` or `StartError`; the chats are then as they were.
    """
    _refuse_same(chats, file)
    check(file)
    with _scratch(chats.with_name(".restore.sqlite")) as fresh:
        copy(file, fresh)
        with closing(Database(fresh, CHATS)) as database:
            tables = database.read("SELECT 1 FROM sqlite_schema WHERE name = 'belongings'")
            rows = database.read("SELECT name, content FROM belongings") if tables else ()
            with database.write() as connection:
                connection.execute("DROP TABLE IF EXISTS belongings")
        compact(fresh)
        kept = chats.with_name(KEPT)
        if chats.is_file() and not inspect(chats, CHATS).trouble:
            with _scratch(chats.with_name(".keep.sqlite")) as copied:
                copy(chats, copied)
                copied.replace(kept)
            copy(fresh, chats)
        else:  # nothing that SQLite could go through
            for tail in _FILES:
                if (old := chats.with_name(chats.name + tail)).exists():
                    old.replace(kept.with_name(kept.name + tail))
            fresh.replace(chats)
            give_to_owner(chats)
    return {row[0]: row[1] for row in rows}


def check(file: Path) -> None:
    """Raises `StartError` unless `file` is a good backup that this version knows how to read."""
    if not file.is_file():
        raise StartError(f"there is no file {file}.")
    found = inspect(file, CHATS)
    if found.version > CHATS.version:
        raise StartError(
            f"{file} belongs to a newer version of the appliance (schema {found.version}, known is"
            f" {CHATS.version}). Install that one first."
        )
    if found.trouble:
        raise StartError(f"{file} is not a good backup: {found.trouble}.")


def _refuse_same(chats: Path, file: Path) -> None:
    if file.absolute() == chats.absolute() or (file.exists() and chats.exists() and file.samefile(chats)):
        raise StartError(f"{file} are the chats themselves. Name another file.")


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """An empty file that only its owner can read; it is gone afterwards, unless it was moved."""
    _clear(path)  # of a power cut
    path.touch(0o600, exist_ok=False)
    try:
        yield path
    finally:
        _clear(path)


def _clear(path: Path) -> None:
    for tail in _FILES:
        path.with_name(path.name + tail).unlink(missing_ok=True)
