"""Debian machines for the tests: booted with systemd, each in a container with a disk and a network of its own.

`PYTHONPATH=tests python -m appliance.debian` from the root of the repository is the set-up: as root it makes a
pristine system of each release and a folder of packages for pip, and keeps both outside the tree for the next
time. A `Machine` is such a system with its own layer above it: its changes go with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .tools import missing

ROOT = Path(__file__).resolve().parents[2]
SET_UP = "PYTHONPATH=tests python -m appliance.debian"
WHEELS = Path("/wheels")  # inside a machine
START_SECONDS = 120.0
POLL_SECONDS = 0.02

_INCLUDED = "systemd,systemd-sysv,dbus,python3,python3-venv,iproute2,ca-certificates,procps"
_IN_GROUPS = 'for group in $0; do echo $$ > "$group/cgroup.procs"; done; exec "$@"'
_TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "ip")
_MANYLINUX = ("manylinux_2_35", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

_FLEETING = ("tmp", "run", "root", "var/tmp", "var/log", "var/cache", "var/lib/systemd", "etc/machine-id")


class SetUpError(Exception):
    """A release cannot be set up on this machine. The message gives the cause."""


@dataclass(frozen=True)
class Debian:
    """One release of Debian and its Python."""

    suite: str
    python: str

    @property
    def system(self) -> Path:
        """The folder of the pristine system; its name changes with the packages in it."""
        return cache() / f"{self.suite}-{digest(_INCLUDED)}"

    @property
    def wheels(self) -> Path:
        """The packages for pip, for this processor."""
        requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        return cache() / f"wheels-{self.python}-{digest(requirements)}"

    def missing(self) -> str | None:
        """One sentence with the reason why no machine of this release can run here, or None."""
        if os.geteuid() != 0:
            return "machines with Debian need root"
        if lacking := missing(*_TOOLS):
            return lacking
        if not (self.system.is_dir() and self.wheels.is_dir()):
            return f"Debian {self.suite} has not been made: run `{SET_UP}` as root"
        return None

    def install(self) -> None:
        """Make the missing folders. Raises `SetUpError`."""
        cache().mkdir(parents=True, exist_ok=True)
        with made(self.system) as folder:
            if folder:
                # debootstrap takes three times as long.
                wanted = ["--variant=essential", f"--include={_INCLUDED}", "--dpkgopt=force-unsafe-io"]
                do(["mmdebstrap", "--quiet", "--mode=root", *wanted, self.suite, str(folder)])
        with made(self.wheels) as folder:
            if folder:
                download(folder, self.python, platform.machine(), "--requirement", "requirements.txt", "setuptools")
                download_pure_zeroconf(folder, self.python, platform.machine())


DEBIANS = (Debian("bookworm", "3.11"), Debian("trixie", "3.13"))


def download(folder: Path, python: str, machine: str, *wanted: str) -> None:
    """Downloads, as wheels only, what pip would install on `machine` (`uname -m`). Raises `SetUpError`."""
    platforms = [f"--platform={tag}_{machine}" for tag in _MANYLINUX]
    where = ["--only-binary=:all:", f"--python-version={python}", *platforms, f"--dest={folder}"]
    do([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *where, *wanted])


def download_pure_zeroconf(folder: Path, python: str, machine: str) -> None:
    """Downloads zeroconf's source and its build tools, for machines without a wheel of it. Raises `SetUpError`."""
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (zeroconf,) = (line for line in pins if line.startswith("zeroconf=="))
    source = ["--no-deps", "--no-binary=zeroconf", f"--dest={folder}", zeroconf]
    do([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *source])
    download(folder, python, machine, "poetry-core", "setuptools", "wheel", "cython")


class Machine:
    """A Debian machine: `root` is its disk as seen from outside, `changes` its own layer over the pristine system.

    Entering switches it on, leaving switches it off. It has the packages for pip in /wheels, and a network device
    that is connected to nothing. `run()` runs its programs. `hear` gets their output ("output") and, before the
    machine is switched off, the service's lines in the journal ("journal").
    """

    def __init__(self, debian: Debian, folder: Path, hear: Callable[[str, str], None]) -> None:
        self.debian = debian
        self._hear = hear
        self.root = folder / debian.suite
        self.changes = folder / "changes"
        self._work = folder / "work"
        self._log = folder / "console"
        for each in (self.root, self.changes, self._work):
            each.mkdir()
        layers = f"lowerdir={debian.system},upperdir={self.changes},workdir={self._work}"
        do(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)])
        (self.root / "wheels").mkdir()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []

    def start(self) -> None:
        """Switch it on and wait until it is up."""
        # Each machine in control groups of its own: two in the same ones remove each other's units. They have one
        # name, because nspawn makes that of one hierarchy in the other, too.
        name = f"machine-{uuid.uuid4()}"
        self._groups = [each / name for each in control_groups()]
        for each in self._groups:
            each.mkdir()
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                [
                    *("sh", "-ec", _IN_GROUPS, " ".join(map(str, self._groups))),
                    "systemd-nspawn",
                    f"--directory={self.root}",
                    "--boot",
                    "--private-network",
                    "--register=no",
                    "--keep-unit",
                    f"--bind-ro={self.debian.wheels}:{WHEELS}",
                    "--hostname=raspberrypi",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Newer releases do not boot with the old kind of control groups; nspawn knows by itself.
                env={"PATH": os.environ["PATH"]},
            )
        self._wait_until_up()

    def stop(self) -> None:
        """Switch it off as its owner would."""
        if self._nspawn is None:
            return
        self._hear_journal()
        self._nspawn.terminate()
        try:
            self._nspawn.wait(60)
        finally:
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn = None
            self._remove_groups()

    def reboot(self) -> None:
        """Reboot it. With `--keep-unit` nspawn leaves a reboot to its caller, and asks for it by status 133."""
        assert self._nspawn is not None
        self._hear_journal()
        self.run("systemctl", "reboot", "--no-block")
        assert self._nspawn.wait(60) == 133
        self._remove_groups()
        self.start()

    def close(self) -> None:
        self.stop()
        do(["umount", "--lazy", str(self.root)])
        for each in (self.changes, self._work):
            shutil.rmtree(each)

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        *command: str,
        input: str = "",
        variables: Mapping[str, str] | None = None,
        timeout: float = 240,
        is_to_work: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as root in /root. A failure fails the test if it `is_to_work`, with the end
        of the machine's journal.
        """
        done = subprocess.run(
            [*self.inside(variables), *command],
            check=False,
            input=input,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        # With `cat` a test looks at a file. The machine's journal has the command lines of a test's own units; the
        # lines of the service are heard apart.
        if command[0] not in ("cat", "journalctl"):
            self._hear("output", done.stdout + done.stderr)
        if done.returncode != 0 and is_to_work:
            journal = self.run("journalctl", "--no-pager", "--lines=60", is_to_work=False).stdout
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{journal}")
        return done

    def inside(self, variables: Mapping[str, str] | None = None) -> list[str]:
        """The command prefix that runs a command in the machine, with an environment like that of sudo."""
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **(variables or {}),
        }
        settings = [f"{name}={value}" for name, value in environment.items()]
        return ["nsenter", f"--target={self._init()}", "--all", "--wdns=/root", "env", "-i", *settings]

    def files(self) -> set[str]:
        """The paths on its disk that the pristine system lacks, without logs and temporary files."""
        found = (each.relative_to(self.changes) for each in self.changes.rglob("*"))
        return {str(each) for each in found if not str(each).startswith(_FLEETING)}

    def connect(self, address: str) -> None:
        """Give it a network device with this address, such as 192.168.1.23/24; nothing is at its other end."""
        network = ["nsenter", f"--target={self._init()}", "--net", "ip"]
        device = ["eth0", "address", "dc:a6:32:01:02:03", "type", "veth", "peer", "name", "wall"]
        do([*network, "link", "add", *device])
        do([*network, "address", "add", address, "dev", "eth0"])
        for each in ("wall", "eth0"):
            do([*network, "link", "set", each, "up"])

    def _remove_groups(self) -> None:
        for group in self._groups:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()

    def _hear_journal(self) -> None:
        if self._nspawn and self._nspawn.poll() is None:
            unit = ["--unit=kindle-appliance", "--output=export"]
            self._hear("journal", self.run("journalctl", "--no-pager", *unit, is_to_work=False).stdout)

    def _init(self) -> int | None:
        """The process that is number 1 in the machine."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self._log.read_text(errors="replace")[-2000:]
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _wait_until_up(self) -> None:
        self._wait_for(lambda: self._init() is not None, "it does not start")
        self._wait_for(self._is_up, "it does not come up")

    def _is_up(self) -> bool:
        try:
            said = self.run("systemctl", "is-system-running", "--wait", is_to_work=False).stdout.strip()
        except FileNotFoundError:
            return False
        return said in ("running", "degraded")

    def _wait_for(self, is_so: Any, otherwise: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, otherwise + self._log.read_text(errors="replace")[-2000:]
            time.sleep(POLL_SECONDS)


def control_groups() -> list[Path]:
    """The control groups of this process in the hierarchies in which a systemd keeps its units (man 7 cgroups)."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        hierarchy = {"cgroup": "name=systemd", "cgroup2": ""}.get(kind)
        if hierarchy in own and (kind == "cgroup2" or hierarchy in options.split(",")):
            found.append(Path(point + own[hierarchy]))
    return found


@contextlib.contextmanager
def made(folder: Path) -> Iterator[Path | None]:
    """Yields a fresh folder that becomes `folder` on success; None if `folder` exists already."""
    if folder.is_dir():
        yield None
        return
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    yield fresh
    fresh.rename(folder)


def cache() -> Path:
    """The folder of what is kept for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kindle-appliance"


def digest(text: str) -> str:
    """A short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def do(command: list[str]) -> None:
    """Run a command to its end. Raises `SetUpError` if it fails."""
    done = subprocess.run(command, check=False, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SetUpError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")


def main() -> int:
    """Sets up the missing releases, two at a time; prints a line for each; returns 0 if all are there."""

    def set_up(debian: Debian) -> str | None:
        if os.geteuid() == 0 and missing(*_TOOLS) is None:
            try:
                debian.install()
            except SetUpError as error:
                return str(error)
        return debian.missing()

    with ThreadPoolExecutor(len(DEBIANS)) as pool:
        reasons = list(pool.map(set_up, DEBIANS))
    for debian, reason in zip(DEBIANS, reasons, strict=True):
        print(f"{debian.suite}: {reason or 'ready'}")
    return 1 if any(reasons) else 0


if __name__ == "__main__":
    sys.exit(main())
