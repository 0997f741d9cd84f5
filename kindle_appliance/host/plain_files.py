"""Opens plain files, and nothing else that may lie under their names.

Where another user can make files, a name may be a link to a file of root's, a pipe that holds the program up for
ever, or a device. So a name is looked at first, then opened without following a link and without waiting (open(2),
O_NOFOLLOW, O_NONBLOCK), and what is open is looked at again. All errors are OSErrors that name the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
"""The mode of every file that is made here: only its owner may read it."""

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_plain(path: Path, folder: int | None = None, is_single: bool = False) -> os.stat_result | None:
    """Return the status of a plain file, None if there is no file.

    `folder`: a descriptor of the path's folder. `is_single`: refuse a file that has another name, too. For a file
    whose content is replaced: a hard link leads to another file's content just as a symbolic one does.
    """
    try:
        status = os.stat(path if folder is None else path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    _refuse_other_kinds(status, path, is_single)
    return status


def open_plain(path: Path, flags: int = os.O_RDONLY, folder: int | None = None, is_single: bool = False) -> int:
    """Open a plain file as `check_plain` finds it, and return its descriptor. What is made is private."""
    check_plain(path, folder, is_single)
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path if folder is None else path.name, flags, PRIVATE, dir_fd=folder)
    try:
        _refuse_other_kinds(os.fstat(descriptor), path, is_single)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_plain(path: Path, most: int) -> bytes:
    """The content of a plain file, of which at most `most` bytes count."""
    with os.fdopen(open_plain(path), "rb", buffering=0) as file:
        return file.read(most)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; the new one is private before it has content, and durable.

    It is made under another name. What lies there, a power cut may have left.
    """
    _write(path, content, None)


def replace_plain(path: Path, content: bytes) -> None:
    """Replace the content of a plain file in one step; its owner and its mode stay. A new one is private."""
    _write(path, content, check_plain(path, is_single=True))


def _write(path: Path, content: bytes, like: os.stat_result | None) -> None:
    folder = open_folder(path.parent)
    fresh = f".{path.name}.new"
    try:
        check_plain(path, folder)
        _remove(fresh, folder)
        descriptor = open_plain(path.with_name(fresh), os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if like is not None:
                    os.fchown(file.fileno(), like.st_uid, like.st_gid)
                    os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
                os.fsync(file.fileno())
            os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            _remove(fresh, folder)
    finally:
        os.close(folder)


def create_private(path: Path) -> BinaryIO:
    """Create a file that only its owner can read, and open it for writing, without a buffer."""
    return os.fdopen(open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb", buffering=0)


def open_folder(path: Path) -> int:
    """Open a folder, and return its descriptor."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def close_folder(descriptor: int) -> None:
    os.close(descriptor)


def make_private(path: Path) -> None:
    """Let only the owner of a plain file read it."""
    descriptor = open_plain(path)
    try:
        os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


def reading(path: Path) -> BinaryIO:
    """Open a plain file, to be read."""
    return os.fdopen(open_plain(path), "rb")


def set_time(path: Path, moment: float) -> None:
    """Let a plain file say that it was changed at a Unix time."""
    descriptor = open_plain(path)
    try:
        os.utime(descriptor, (moment, moment))
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a plain file is on the card."""
    _settle(open_plain(path, os.O_RDWR))


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the card."""
    descriptor = open_folder(path)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def workshop(file: Path) -> Iterator[tuple[Path, int]]:
    """Replace `file` in one step by what the block makes: a file with the same name in a folder beside it, which is
    the block's value, as a path and as a descriptor. Nobody else can enter that folder.

    The descriptor leads there in any case; its path may lead elsewhere if others may write beside `file`.
    """
    folder = open_folder(file.parent)
    name = f".{file.name}.new"
    try:
        check_plain(file, folder)
        _remove(name, folder)  # a power cut may have left one
        os.mkdir(name, 0o700, dir_fd=folder)
        try:
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                _refuse_shared(made, file.with_name(name))
                yield file.with_name(name), made
                _settle(open_plain(file, os.O_RDWR, made))
                os.replace(file.name, file.name, src_dir_fd=made, dst_dir_fd=folder)
            finally:
                os.close(made)
        finally:
            _remove(name, folder)
    finally:
        os.close(folder)


def _refuse_shared(folder: int, path: Path) -> None:
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise OSError(errno.EPERM, "Somebody else has put this here", str(path))


def _settle(descriptor: int) -> None:
    try:
        os.fchmod(descriptor, PRIVATE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _refuse_other_kinds(status: os.stat_result, path: Path, is_single: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"This is {kind}, and not a plain file", str(path))
    if is_single and status.st_nlink != 1:
        raise OSError(errno.EMLINK, "This file has another name, too. Remove this one", str(path))
