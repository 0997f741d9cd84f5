"""An installed appliance below a folder of the test's: the real program, run from where an installer puts it."""

from __future__ import annotations

import sys
from pathlib import Path

from kindle_appliance.installation import Installation


def install(root: Path) -> tuple[Installation, Path]:
    """Lay it out below `root`; gives it and the Python to run it with.

    A Python takes the folder above its own as its home (sys.prefix) if a `pyvenv.cfg` lies there: links to the
    environment of the tests are enough.
    """
    installation = Installation(root)
    home = installation.program / "current"
    (home / "bin").mkdir(parents=True)
    for name in ("lib", "pyvenv.cfg"):
        (home / name).symlink_to(Path(sys.prefix, name))
    python = home / "bin" / "python"
    python.symlink_to(Path(sys.executable))
    installation.folder.mkdir(parents=True)
    for path in (installation.settings, installation.secret("key"), installation.secret("pin")):
        path.touch(0o600)
    installation.state.mkdir(mode=0o700, parents=True)
    return installation, python
