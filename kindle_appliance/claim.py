"""The claim on the folder with the chats: one program at a time, and where the appliance that has it answers."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import StartError

_FILE = "lock"


class Claim:
    """A lock on `folder`, until `close()`: a second appliance would take for interrupted what the first one is
    writing. Raises `StartError` while somebody else has it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / _FILE).open("a+")
        give_to_owner(folder / _FILE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StartError(
                f"another appliance uses the chats in {folder}. Name another folder with --data."
            ) from error
        self._say("")

    def announce(self, url: str) -> None:
        """Say where this appliance answers, on this machine."""
        self._say(url)

    def close(self) -> None:
        self._say("")
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _say(self, url: str) -> None:
        with contextlib.suppress(OSError):  # a full card: nobody finds us then, and all else goes on
            self._file.truncate(0)
            self._file.write(url)
            self._file.flush()


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
