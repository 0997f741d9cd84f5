"""A card of its own for a test: a file system that can be small, full, or mounted anew as read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import unavailable


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Puts a card in at `folder`, which is made, and takes it out at the end; `options` are those of mount(8), such
    as `size=64k`.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *(f"-o{each}" for each in options), "card", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        unavailable("only root can mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Changes the card at `folder`, such as to `ro` or to another `size=`."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)
