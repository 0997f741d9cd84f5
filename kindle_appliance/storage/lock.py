"""The claim on the folder with the chats: one program at a time, and where the appliance that has it answers."""

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
    """A lock on `folder`, until `close()`: a second appliance would take for interrupted what the first one is
    writing. On a read-only card nobody writes. Raises `StartError` while somebody else has it.
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
        self._say("")

    def announce(self, url: str) -> None:
        """Say where this appliance answers, on this machine."""
        self._say(url)

    def close(self) -> None:
        self._say("")
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _say(self, url: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full card: nobody finds us then, and all else goes on
                self._file.truncate(0)
                self._file.write(url.encode())


def give_to_owner(path: Path) -> None:
    """Let a file that root has made in the folder of the service belong to the service, which is somebody else."""
    owner = path.parent.stat()
    if path.stat().st_uid != owner.st_uid:
        with contextlib.suppress(PermissionError):  # we are not root
            shutil.chown(path, owner.st_uid, owner.st_gid)


def announced(folder: Path) -> str | None:
    """Where the appliance that uses `folder` says that it answers; after a kill or a power cut nobody may be there.
    None if nobody has said so, or if it may not be read.
    """
    try:
        return (folder / _FILE).read_text() or None
    except OSError:
        return None
