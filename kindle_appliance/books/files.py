"""The books' files: where each lies, and what their places tell. No index is needed for that.

    <sha256>.epub                     a book; its time of change is when it came
    removed/<moment>-<sha256>.epub    one that was removed then (Unix time; 0: not known), and can come back
    incoming/<random>                 one that is coming in

A file is whole before it gets its name, and changes its place in one step.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from ..clock import UNKNOWN, is_believed
from ..host.plain_files import check_plain, create_private, sync, sync_folder

_BOOK = re.compile(r"([0-9a-f]{64})\.epub")
_REMOVED = re.compile(r"([0-9]{1,10})-([0-9a-f]{64})\.epub")


@dataclass(frozen=True)
class Found:
    """A book's file. `removed`: when, `UNKNOWN` if it is not removed or that is not known."""

    name: str
    path: Path
    size: int
    added: float
    is_removed: bool = False
    removed: float = UNKNOWN


class BookFiles:
    """The files in `folder`, which is made if need be. All methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._removed = folder / "removed"

    def prepare(self) -> None:
        """Make the folders, and delete what was coming in when the power was cut."""
        for each in (self.folder, self._incoming, self._removed):
            each.mkdir(mode=0o700, exist_ok=True)
            if each.is_symlink():
                raise NotADirectoryError(20, "This is a link, and not a folder", str(each))
        for path in self._incoming.iterdir():
            path.unlink()

    def find_all(self) -> Iterator[Found]:
        """Every book's file. A link, or a file with another name, is none."""
        for path in self._removed.iterdir():
            if match := _REMOVED.fullmatch(path.name):
                yield from _look(path, match[2], float(match[1]))
        for path in self.folder.iterdir():
            if match := _BOOK.fullmatch(path.name):
                yield from _look(path, match[1], None)

    def create(self) -> tuple[Path, BinaryIO]:
        """A new file for a book that comes in."""
        path = self._incoming / token_hex(16)
        return path, create_private(path)

    def accept(self, path: Path, name: str) -> Found:
        """Give a file that has come in the name of its book. It is on the card then."""
        sync(path)
        target = self.folder / f"{name}.epub"
        path.rename(target)
        sync_folder(self.folder)
        return next(_look(target, name, None))

    def remove(self, book: Found, moment: float) -> Found:
        """Take a book away, so that it can come back."""
        return self._move(book, self._removed / f"{int(moment)}-{book.name}.epub", moment)

    def put_back(self, book: Found) -> Found:
        """Undo that."""
        return self._move(book, self.folder / f"{book.name}.epub", None)

    def purge(self, book: Found) -> None:
        """Delete a file for good."""
        book.path.unlink(missing_ok=True)
        sync_folder(book.path.parent)

    def free(self) -> tuple[int, int]:
        """The free and the whole room of the card, in bytes."""
        usage = shutil.disk_usage(self.folder)
        return usage.free, usage.total

    def path(self, name: str, removed: float | None = None) -> Path:
        """Where a book's file lies: removed at a moment, or (None) on the shelf."""
        return self.folder / f"{name}.epub" if removed is None else self._removed / f"{int(removed)}-{name}.epub"

    def find(self, name: str, removed: float | None = None) -> Found | None:
        """A book's file at such a place."""
        return next(_look(self.path(name, removed), name, removed), None)

    def _move(self, book: Found, target: Path, removed: float | None) -> Found:
        book.path.rename(target)
        for each in {book.path.parent, target.parent}:
            sync_folder(each)
        return next(_look(target, book.name, removed))


def _look(path: Path, name: str, removed: float | None) -> Iterator[Found]:
    try:
        status = check_plain(path)
    except OSError:
        return
    if status is None:
        return
    added = status.st_mtime if is_believed(status.st_mtime) else UNKNOWN
    gone = UNKNOWN if removed is None or not is_believed(removed) else removed
    yield Found(name, path, status.st_size, added, removed is not None, gone)
