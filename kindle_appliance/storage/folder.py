"""The folder of the chats, entered with no more rights than its owner has.

Before SQLite opens the chats there, every name that it may open has to be that of a plain file: SQLite follows a
link, and waits for a pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import StartError
from ..host.confinement import Access, as_owner
from ..host.plain_files import check_plain
from .database import seed

CHATS_FILE = "chats.sqlite"
BOOKS_FOLDER = "books"
SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Of a database, and of the files that SQLite makes beside it."""


def look(folder: Path, work: Callable[[Path], Any]) -> Any:
    """Call `work` with the path of the chats in `folder`, if there are any, and return its result, a value of JSON.

    Raises `StartError` or OSError; FileNotFoundError if there are no chats.
    """

    def enter(access: Access) -> Any:
        seed()
        return work(find_chats(access.settle()))

    return as_owner(folder, enter)


def find_chats(folder: Path) -> Path:
    """Return the path of the chats in `folder`, all of whose files are plain. Raises OSError."""
    chats = folder / CHATS_FILE
    if not check_names(chats):
        raise FileNotFoundError(2, "There are no chats yet", str(chats))
    return chats


def check_names(database: Path) -> bool:
    """Whether there is such a database. Raises OSError if one of its files is not a plain one, or one of those that
    SQLite makes has another name, too.
    """
    found = [check_plain(database.with_name(database.name + suffix), is_single=bool(suffix)) for suffix in SUFFIXES]
    return found[0] is not None


def no_chats(folder: Path) -> StartError:
    """What is said when there is nothing to look at."""
    return StartError(f"there are no chats in {folder} yet.")
