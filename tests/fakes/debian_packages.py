"""Installs Debian packages that tests need, for the set-ups in browsers/ and appliance/."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_APT_GET = ("apt-get", "-o", "DPkg::Lock::Timeout=300")  # a new machine may still be upgrading itself


class SetUpError(Exception):
    """Something cannot be set up here. The message gives the cause and the remedy."""


def install_packages(*packages: str) -> None:
    """Install packages. Raises `SetUpError`, also without root or apt-get."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetUpError(f"Please install what Debian calls {' '.join(packages)}, then run this again.")
    run([*_APT_GET, "update"])
    run([*_APT_GET, "install", "-y", "--no-install-recommends", *packages])


def run(command: list[str], folder: Path | None = None) -> None:
    """Print a command of a set-up, which may take minutes, and run it. Raises `SetUpError` if it fails."""
    print("$", *command, flush=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetUpError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
