"""Writes backups and restores them.

A backup is one SQLite file: the chats and, in an extra table, the settings and, on request, the secrets.

Backing up and restoring both copy through SQLite. So the appliance may run during a backup, and no file is replaced
while a process has it open. A restore first copies the backup to a file beside the chats and migrates it to the
current schema there. Only when that has succeeded are the chats saved under another name and then replaced, in one
transaction.
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
"""The file, in the folder of the chats, that keeps the chats from before a restore."""

_SUFFIXES = ("", "-wal", "-shm", "-journal")  # of a database, and of the files that SQLite makes beside it


def back_up(chats: Path, file: Path, belongings: Mapping[str, bytes]) -> Inspection:
    """Write a backup of the database `chats` to `file`, and return what an inspection of the chats found.

    Only the owner can read the file. It replaces an earlier one only when it is complete. `belongings`: the
    settings and secrets that are stored with the chats, by name. Raises OSError, `OwnerError` or `StartError`.
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
        with _temporary_file(file.with_name(f".{file.name}.new")) as fresh:
            copy(chats, fresh)
            # Not migrated: after a failed upgrade the earlier version must be able to read the backup.
            with closing(Database(fresh, None)) as database, database.write() as connection:
                connection.execute("CREATE TABLE belongings (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")
                connection.executemany("INSERT INTO belongings VALUES (?, ?)", belongings.items())
            compact(fresh)
            fresh.replace(file)
    except StorageError as error:
        raise StartError(f"{file} cannot be written: {error.detail}.") from error
    return found


def restore(file: Path, chats: Path) -> dict[str, bytes]:
    """Replace the chats in `chats`, which nobody else may be using, with those of a backup.

    Returns the settings and secrets that were stored with them, by name. Raises OSError, `OwnerError` or
    `StartError`; the chats are then unchanged.
    """
    _refuse_same(chats, file)
    check(file)
    with _temporary_file(chats.with_name(".restore.sqlite")) as fresh:
        copy(file, fresh)
        with closing(Database(fresh, CHATS)) as database:
            tables = database.read("SELECT 1 FROM sqlite_schema WHERE name = 'belongings'")
            rows = database.read("SELECT name, content FROM belongings") if tables else ()
            with database.write() as connection:
                connection.execute("DROP TABLE IF EXISTS belongings")
        compact(fresh)
        kept = chats.with_name(KEPT)
        if chats.is_file() and not inspect(chats, CHATS).trouble:
            with _temporary_file(chats.with_name(".keep.sqlite")) as copied:
                copy(chats, copied)
                copied.replace(kept)
            copy(fresh, chats)
        else:  # there are no chats, or SQLite cannot read them
            for suffix in _SUFFIXES:
                if (old := chats.with_name(chats.name + suffix)).exists():
                    old.replace(kept.with_name(kept.name + suffix))
            fresh.replace(chats)
            give_to_owner(chats)
    return {row[0]: row[1] for row in rows}


def check(file: Path) -> None:
    """Raise `StartError` unless `file` is an intact backup that this version can read."""
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
def _temporary_file(path: Path) -> Iterator[Path]:
    """Create an empty file that only its owner can read, and delete it afterwards if it is still there."""
    _delete(path)  # a power cut may have left one
    path.touch(0o600, exist_ok=False)
    try:
        yield path
    finally:
        _delete(path)


def _delete(path: Path) -> None:
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
