"""A filesystem of a test's own, which can be small, full, or remounted read-only; and writes that fail."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import unavailable


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Make `folder` and mount a tmpfs there. `options` are those of mount(8), such as `size=64k`."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *(f"-o{each}" for each in options), "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        unavailable("only root can mount a filesystem")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Change an option of the filesystem at `folder`, such as `ro` or `size=`."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """No file below `folder` can be opened for writing. Those that are open can be written on, unlike with
    `remount(folder, "ro")`, which they keep from being done.
    """
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def files_not_larger_than(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes fail with EFBIG, as on a failing card with EIO (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
