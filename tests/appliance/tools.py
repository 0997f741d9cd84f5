"""System programs for the tests of a whole appliance, and the package of each.

`PYTHONPATH=tests python -m appliance.tools` from the root of the repository is the set-up: as root it installs
the missing ones with apt-get. It repeats nothing, and ends with 0 only if all of them are there.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from fakes.debian_packages import SetUpError, install_packages

SET_UP = "PYTHONPATH=tests python -m appliance.tools"
PACKAGES = {
    # The program, and Debian's package that has it.
    "ip": "iproute2",
    "unshare": "util-linux",
    "avahi-daemon": "avahi-daemon",
    "avahi-resolve": "avahi-utils",
    "dbus-daemon": "dbus",
    "strace": "strace",
    "nsenter": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "shellcheck": "shellcheck",
    "systemd-analyze": "systemd",
    "nginx": "nginx-light",
    "caddy": "caddy",
}
FOR_ARM = {
    # Only `make arm` needs these, with some of the others.
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "arch-test": "arch-test",
    "setpriv": "util-linux",
}
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not on the path of everybody


def find(program: str) -> str | None:
    """Where a program is, if it is there at all."""
    return shutil.which(program, path=os.pathsep.join((os.environ["PATH"], *_SYSTEM_FOLDERS)))


def missing(*programs: str) -> str | None:
    """One sentence that says what of these is missing and how to get it, or None when all are there."""
    lacking = [program for program in programs if find(program) is None]
    if not lacking:
        return None
    known = {**PACKAGES, **FOR_ARM}
    packages = " ".join(sorted({known[program] for program in lacking}))
    return f"{', '.join(lacking)} missing: install what Debian calls {packages}, or run `{SET_UP}` as root"


def set_up(packages: Mapping[str, str]) -> str | None:
    """Install the missing ones. Returns one sentence if any is still missing, or None."""
    lacking = sorted({package for program, package in packages.items() if find(program) is None})
    try:
        if lacking:
            install_packages(*lacking)
    except SetUpError as error:
        return str(error)
    return missing(*packages)


def main() -> int:
    """Installs what is missing; prints a line; 0 if all is there."""
    reason = set_up(PACKAGES)
    print(f"tools: {reason or 'ready'}")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
