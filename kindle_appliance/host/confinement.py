"""Work in a folder of another user's, without root's rights.

The chats of an installed appliance lie in a folder of its service's user, who is no more trusted than the strangers
that the service talks to: he can put a link to any file of root's under any name there. So root opens nothing
in it. A child process makes the folder its root directory and becomes the folder's owner; a link then leads nowhere
that its maker could not reach himself. (Without chroot(2) the owner would not even get there: only root can enter
/var/lib/private, where systemd has the folders of dynamic users.)
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import traceback
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, FrozenImporter
from pathlib import Path
from typing import Any, NoReturn

from ..errors import OwnerError, StartError

_ROOT = 0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BUG = 70  # the exit status of a child with a bug (EX_SOFTWARE, sysexits.h)


class Access:
    """A process on its way to a folder: `visit()` other folders first, then `settle()`."""

    def __init__(self, folder: Path, descriptor: int, owner: os.stat_result | None) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._owner = owner

    def visit(self, folder: Path, descriptor: int) -> Path:
        """Return the path of an open folder for this process. With root's rights it is the root directory from now
        on: a link in that folder leads nowhere else.
        """
        if self._owner is None:
            return folder
        _enter(descriptor)
        return Path("/")

    def settle(self) -> Path:
        """Give up root, if this process has more rights than the folder's owner. Return the folder's path."""
        if self._owner is None:
            return self._folder
        _enter(self._descriptor)
        os.setgroups([])
        os.setresgid(*(3 * [self._owner.st_gid]))
        os.setresuid(*(3 * [self._owner.st_uid]))
        os.umask(0o077)
        # A module must not be loaded from here: it would be a stranger's.
        sys.meta_path = [finder for finder in sys.meta_path if finder in (BuiltinImporter, FrozenImporter)]
        return Path("/")


def as_owner(folder: Path, work: Callable[[Access], Any]) -> Any:
    """Do `work` with no more rights than the owner of `folder` has, and return its result.

    Where this process has more, or others may write in a folder of root's, a child does it; so the result has to be
    a value of JSON. Raises `StartError` or OSError.
    """
    descriptor = _open(folder)
    try:
        status = os.fstat(descriptor)
        is_roots_alone = status.st_uid == _ROOT and not status.st_mode & _OTHERS_MAY_WRITE
        if os.geteuid() != _ROOT or is_roots_alone:
            return work(Access(folder, descriptor, None))
        return _in_child(folder, lambda: work(Access(folder, descriptor, status)))
    finally:
        os.close(descriptor)


def refuse_foreign(descriptor: int, folder: Path) -> None:
    """Raise `StartError` if this process is root's and the open folder is not."""
    owner = os.fstat(descriptor).st_uid
    if os.geteuid() == _ROOT and owner != _ROOT:
        raise StartError(
            f"{folder} belongs to another user (number {owner}), and root opens nothing in it. Run this as that"
            " user. The installed appliance is started with: sudo systemctl start kindle-appliance"
        )


def _open(folder: Path) -> int:
    """Open a folder. For root, its last step is followed only if it is a link of root's, such as systemd's."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if os.geteuid() != _ROOT:
        return os.open(folder, flags)
    try:
        return os.open(folder, flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not folder.is_symlink():
            raise
        if folder.lstat().st_uid != _ROOT:
            raise StartError(f"{folder} is a link, and not one of root's. Name the folder itself.") from None
        return os.open(folder, flags)


def _enter(descriptor: int) -> None:
    os.fchdir(descriptor)
    os.chroot(".")


def _in_child(folder: Path, work: Callable[[], Any]) -> Any:
    sys.stdout.flush()
    sys.stderr.flush()
    answers, results = os.pipe()
    child = os.fork()
    if not child:
        os.close(answers)
        _work(folder, work, results)
    os.close(results)
    try:
        with os.fdopen(answers, "rb") as pipe:
            said = pipe.read()
    finally:
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise StartError(f"the process that had {folder} was ended by signal {os.WTERMSIG(status)}.")
    if status or not said:
        raise RuntimeError(f"the process in {folder} ended with status {status}")
    result, complaint = json.loads(said)
    if complaint:
        raise StartError(complaint)
    return result


def _work(folder: Path, work: Callable[[], Any], results: int) -> NoReturn:
    """What the child does. It never returns into the code of its parent."""
    status = _BUG
    try:
        try:
            said = [work(), ""]
        except (StartError, OwnerError) as error:
            said = [None, str(error)]
        except OSError as error:
            # The child has another root directory than the owner of the machine, who reads this.
            named = f"{error.filename}".lstrip("/") if error.filename else ""
            said = [None, f"{folder / named}: {error.strerror}."]
        with os.fdopen(results, "w", encoding="utf-8") as pipe:
            json.dump(said, pipe)
        status = 0
    except (KeyboardInterrupt, SystemExit):  # a signal, which the parent has got, too
        pass
    except (
        BaseException
    ) as error:  # a bug. Its source is not shown: under its name here, a stranger's pipe may lie.
        places = traceback.walk_tb(error.__traceback__)
        lines = [f"  {frame.f_code.co_filename}, line {line}" for frame, line in places]
        print(*lines, f"{type(error).__name__}: {error}", sep="\n", file=sys.stderr, flush=True)
    finally:
        os._exit(status)
