"""The books' files: where each lies, and what their places tell (`storage/shelf_layout.py`). No index is needed for
that.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from ..clock import UNKNOWN, is_believed
from ..host.plain_files import check_plain, create_private, sync, sync_folder
from ..storage.shelf_layout import BOOK_FILE, INCOMING, REMOVED, REMOVED_FILE, book_file, removed_file

_PRIVATE = 0o700


@dataclass(frozen=True)
class Found:
    """A book's file. `size`: in bytes; `added`: a Unix time; `removed`: when, `UNKNOWN` if it is not removed or
    that is not known.
    """

    name: str
    path: Path
    size: int
    added: float
    is_removed: bool = False
    removed: float = UNKNOWN


class BookFiles:
    """The files in `folder`, which is made if need be. Links are never followed. All methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / INCOMING
        self._removed = folder / REMOVED

    def prepare(self) -> None:
        """Make the folders, and delete what a power cut has left."""
        for each in (self.folder, self._incoming, self._removed):
            each.mkdir(mode=_PRIVATE, exist_ok=True)
            if each.is_symlink():
                raise NotADirectoryError(20, "This is a link, and not a folder", str(each))
            if stat.S_IMODE(each.stat().st_mode) != _PRIVATE:
                with suppress(OSError):  # a read-only card
                    each.chmod(_PRIVATE)
        with suppress(OSError):  # a read-only card
            for path in self._incoming.iterdir():
                path.unlink()
            for file in self.find_removed():
                if self.find(file.name) != file:
                    file.path.unlink()

    def find_all(self) -> Iterator[Found]:
        """Every book's file."""
        yield from self.find_removed()
        for path in self.folder.iterdir():
            if match := BOOK_FILE.fullmatch(path.name):
                yield from _look(path, match[1])

    def find_removed(self, name: str | None = None) -> Iterator[Found]:
        """Every removed one, or those of one book: a power cut may leave more than one."""
        for path in self._removed.iterdir():
            match = REMOVED_FILE.fullmatch(path.name)
            if match and name in (None, match[2]):
                yield from _look(path, match[2], int(match[1]))

    def find(self, name: str) -> Found | None:
        """The file of a book, on the shelf or removed."""
        for file in _look(self._on_shelf(name), name):
            return file
        return max(self.find_removed(name), key=_when, default=None)

    def create(self) -> tuple[Path, BinaryIO]:
        """A new file for a book that comes in."""
        path = self._incoming / token_hex(16)
        return path, create_private(path)

    def accept(self, path: Path, name: str) -> Found:
        """Give a file that has come in the name of its book. It is on the card then."""
        sync(path)
        return _move(path, self._on_shelf(name), name)

    def remove(self, file: Found, moment: float) -> Found:
        """Take a book away, so that it can come back."""
        return _move(file.path, self._removed / removed_file(moment, file.name), file.name, int(moment))

    def put_back(self, file: Found) -> Found:
        """Undo that."""
        return _move(file.path, self._on_shelf(file.name), file.name)

    def purge(self, file: Found) -> None:
        """Delete a file for good."""
        file.path.unlink(missing_ok=True)
        sync_folder(file.path.parent)

    def purge_copies(self, file: Found) -> None:
        """Delete what else lies there of a book whose file is this one."""
        for other in [*self.find_removed(file.name)]:
            if other != file:
                self.purge(other)

    def free(self) -> tuple[int, int]:
        """The free and the whole room of the card, in bytes."""
        usage = shutil.disk_usage(self.folder)
        return usage.free, usage.total

    def _on_shelf(self, name: str) -> Path:
        return self.folder / book_file(name)


def _when(file: Found) -> float:
    return file.removed


def _move(path: Path, target: Path, name: str, removed: int | None = None) -> Found:
    path.rename(target)
    for folder in {path.parent, target.parent}:
        sync_folder(folder)
    for file in _look(target, name, removed):
        return file
    raise FileNotFoundError(2, "The file is gone", str(target))


def _look(path: Path, name: str, removed: int | None = None) -> Iterator[Found]:
    try:
        status = check_plain(path)
    except OSError:  # a link, or a folder
        return
    if status:
        added = status.st_mtime if is_believed(status.st_mtime) else UNKNOWN
        moment = float(removed) if removed and is_believed(removed) else UNKNOWN
        yield Found(name, path, status.st_size, added, removed is not None, moment)
