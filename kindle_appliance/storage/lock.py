"""Lets only one process use the folder with the chats. The lock file holds the URL of the running appliance."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import StartError
from ..host.confinement import refuse_foreign
from ..host.plain_files import open_folder, open_plain, read_plain

_FILE = "lock"
_MOST_BYTES = 300  # a name has at most 253 characters
_URL = re.compile(r"http://[\w.:%\[\]-]+/?", re.ASCII)


class FolderTaken(StartError):
    """Another process has the lock."""


class FolderLock:
    """An exclusive lock on `folder`, held until `close()`.

    Without it, a second appliance would mark the answers that the first one is writing as interrupted. On a
    read-only card there is no lock, because no process can write there. Raises `FolderTaken` while another process
    has the lock, and `StartError` if the folder belongs to another user than root, whose process this is. `named`:
    the folder's name in these sentences, where it is not that of this process.
    """

    def __init__(self, folder: Path, named: Path | None = None) -> None:
        self._file: FileIO | None = None
        named = named or folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # conversations are private
            file = FileIO(_open(folder), "r+")
        except OSError as error:
            if error.errno == errno.EROFS:
                return
            path = named / _FILE if str(error.filename).endswith(f"/{_FILE}") else named
            raise StartError(f"{path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise FolderTaken(
                f"another appliance uses the chats in {named}. Stop that one, or name another folder with --data."
            ) from error
        self._file = file
        self._write_url("")

    def announce(self, url: str) -> None:
        """Write the URL at which this machine reaches this appliance into the lock file."""
        self._write_url(url)

    def close(self) -> None:
        self._write_url("")
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_url(self, url: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full card: other commands then do not find the appliance
                self._file.seek(0)
                self._file.truncate(0)
                self._file.write(url.encode())


def _open(folder: Path) -> int:
    """Open the lock file, which is emptied later: so it has to be a plain file without a second name."""
    descriptor = open_folder(folder)
    try:
        refuse_foreign(descriptor, folder)
        return open_plain(folder / _FILE, os.O_RDWR | os.O_CREAT, descriptor, is_single=True)
    finally:
        os.close(descriptor)


def announced_url(folder: Path) -> str | None:
    """Return the URL in the lock file of `folder`; None if there is none, or if it may not be read.

    After a kill or a power cut the URL is still there, but no appliance answers at it.
    """
    try:
        url = read_plain(folder / _FILE, _MOST_BYTES).decode("ascii", "replace")
    except OSError:
        return None
    return url if _URL.fullmatch(url) else None
