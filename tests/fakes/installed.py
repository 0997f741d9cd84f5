"""An installed appliance below a folder of the test's: the real program, in the installer's places.

systemd is replaced by a `systemctl` that records its arguments. The tests in appliance/ use a real one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conftest import ROOT

from kindle_appliance.owner.installation import Installation

from .program import traced
from .secret_scanner import SCANNER

_SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>told
case "$*" in
"show --property=Listen "*) cat listens ;;
"show --property=ActiveState --value "*) cat state ;;
"stop "*) while test -e held; do sleep 0.02; done; test ! -e broken ;;
*) test ! -e broken ;;
esac
"""


class Installed:
    """An installation below `root`.

    Python uses the folder above its own as sys.prefix if it has a `pyvenv.cfg`, so links to the environment of the
    tests are enough.
    """

    def __init__(self, root: Path) -> None:
        self.at = Installation(root)
        home = self.at.program / "current"
        (home / "bin").mkdir(parents=True)
        for name in ("lib", "pyvenv.cfg"):
            (home / name).symlink_to(Path(sys.prefix, name))
        self.python = home / "bin" / "python"
        self.python.symlink_to(Path(sys.executable))
        self.at.folder.mkdir(parents=True)
        for path in (self.at.settings, self.at.secret("key"), self.at.secret("pin")):
            path.touch(0o600)
        self.at.state.mkdir(mode=0o700, parents=True)
        self._systemd = root / "systemd"
        self._systemd.mkdir()
        (self._systemd / "systemctl").write_text(_SYSTEMCTL)
        (self._systemd / "systemctl").chmod(0o755)
        self.systemd(state="active")

    def systemd(
        self, *, port: int | None = None, state: str | None = None, broken: bool = False, held: bool = False
    ) -> None:
        """Set the replies of systemctl: the port of the socket, the state of both units, failure, or a stop that
        takes its time.
        """
        if port is not None or not (self._systemd / "listens").exists():
            (self._systemd / "listens").write_text(f"Listen=0.0.0.0:{port} (Stream)\n" if port else "Listen=\n")
        if state is not None:
            (self._systemd / "state").write_text(f"{state}\n")
        if broken:
            (self._systemd / "broken").touch()
        if held:
            (self._systemd / "held").touch()

    def told(self) -> list[str]:
        """The commands that systemctl got, in order, without queries."""
        told = self._systemd / "told"
        lines = told.read_text().splitlines() if told.exists() else []
        return [line for line in lines if not line.startswith("show")]

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-B", "-m", "kindle_appliance", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(self._systemd), os.environ["PATH"]))
        return {"PATH": path, "HOME": str(self.at.root), "GEMINI_API_KEY": "a-key-of-the-shell", **traced()}

    def run(self, *arguments: str, given: str = "", through: Sequence[str] = ()) -> tuple[int, str, str]:
        """Run one command to its end. `given`: its standard input; `through`: a program that runs it."""
        done = subprocess.run(
            [*through, *self.command(*arguments)],
            input=given,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
        SCANNER.scan("output", done.stdout + done.stderr)
        return done.returncode, done.stdout, done.stderr
