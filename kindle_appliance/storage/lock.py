"""Lets only one process use the folder with the chats. The lock file holds the URL of the running appliance."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import StartError

_FILE = "lock"


class FolderLock:
    """An exclusive lock on `folder`, held until `close()`.

    Without it, a second appliance would mark the answers that the first one is writing as interrupted. On a
    read-only card there is no lock, because no process can write there. Raises `StartError` while another process
    has the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._file: FileIO | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # conversations are private
            file = (folder / _FILE).open("a+b", buffering=0)
        except OSError as error:
            if error.errno == errno.EROFS:
                return
            raise StartError(f"{folder} cannot be used: {error.strerror}.") from error
        give_to_owner(folder / _FILE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StartError(
                f"another appliance uses the chats in {folder}. Name another folder with --data."
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
                self._file.truncate(0)
                self._file.write(url.encode())


def give_to_owner(path: Path) -> None:
    """Give a file that root has made in the folder of the service to the user of the service."""
    owner = path.parent.stat()
    if path.stat().st_uid != owner.st_uid:
        with contextlib.suppress(PermissionError):  # only root may change the owner
            shutil.chown(path, owner.st_uid, owner.st_gid)


def announced_url(folder: Path) -> str | None:
    """Return the URL in the lock file of `folder`; None if there is none, or if it may not be read.

    After a kill or a power cut the URL is still there, but no appliance answers at it.
    """
    try:
        return (folder / _FILE).read_text() or None
    except OSError:
        return None
