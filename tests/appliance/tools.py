"""System programs for the tests of a whole appliance, and the package of each.

`python -m tests.appliance.tools` from the root of the repository is the set-up: as root it installs the
missing ones with apt-get. It repeats nothing, and ends with 0 only if all of them are there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

SET_UP = "python -m tests.appliance.tools"
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
}
APT_GET = ("apt-get", "-o", "DPkg::Lock::Timeout=300")  # a new machine may still be upgrading itself
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not on the path of everybody


def find(program: str) -> str | None:
    """Where a program is, if it is there at all."""
    return shutil.which(program, path=os.pathsep.join((os.environ["PATH"], *_SYSTEM_FOLDERS)))


def missing(*programs: str) -> str | None:
    """One sentence that says what of these is missing and how to get it, or None when all are there."""
    lacking = [program for program in programs if find(program) is None]
    if not lacking:
        return None
    packages = " ".join(sorted({PACKAGES[program] for program in lacking}))
    return f"{', '.join(lacking)} missing: install what Debian calls {packages}, or run `{SET_UP}` as root"


def main() -> int:
    """Installs what is missing; prints a line; 0 if all is there."""
    lacking = sorted({package for program, package in PACKAGES.items() if find(program) is None})
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *lacking]):
            print("$", *APT_GET, *command, flush=True)
            done = subprocess.run(
                [*APT_GET, *command],
                check=False,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                print((done.stdout + done.stderr)[-2000:])
    reason = missing(*PACKAGES)
    print(f"tools: {reason or 'ready'}")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
