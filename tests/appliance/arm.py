"""The appliance on the processors it is made for: a Debian of each kind of Raspberry Pi, under emulation.

`PYTHONPATH=tests python -m appliance.arm` from the root of the repository (`make arm`), as root, makes a system of
each architecture, installs the appliance there with the functions of install.sh, and uses it as a house does. It
prints a table and ends with 0 only if all went well. With the names of architectures it takes only those. The
seconds are those of an emulator, which says nothing about the speed or the memory of a Raspberry Pi.

All of it runs in namespaces for mounts, processes and, after the set-up, the network. The kernel clears them when
this program ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fakes.network_namespace import without_network
from fakes.ports import free_port
from fakes.reader import Reader, page_of
from fakes.secret_scanner import Client

from .debian import DEBIANS, ROOT, SetUpError, cache, digest, do, download, download_pure_zeroconf, made
from .lan import Program
from .tools import FOR_ARM, PACKAGES, set_up

TOOLS = {program: PACKAGES[program] for program in ("mmdebstrap", "unshare", "ip")} | FOR_ARM
DEBIAN = DEBIANS[0]  # the oldest release for which the appliance is made
INSTALLER = "/project/install.sh"  # inside a system
STEPS = ("find_source", "find_python", "find_what_is_there", "build")
"""The functions of install.sh that build a version, in their order. The others need a booted machine."""

TESTS = (
    *("tests/upstream/test_sse.py", "tests/typesetting/test_typesetter.py"),
    *("tests/storage/test_rate_limit.py", "tests/host/test_mdns.py"),
    "tests/test_clock.py::test_a_moment_that_is_believed_can_be_said_on_every_system",
)
CHOSEN = "not untraced and not alone and not slow"  # an emulator needs a quarter of an hour for the slow ones
QUESTION = "Why is the sea salty?"
TIMEOUT = 1800.0

_INCLUDED = "python3,python3-venv,ca-certificates"
_TESTING = ("pytest", "pytest-timeout", "hypothesis")
_BINFMT = Path("/usr/lib/binfmt.d")  # where Debian's package keeps the rule for each emulator
_RULES = Path("/proc/sys/fs/binfmt_misc")  # the kernel's documentation: admin-guide/binfmt-misc
_PREFIX = "kindle-appliance-"
_INSIDE = "--inside"
_FAILED = "FAILED"
_ADDRESS = "192.168.1.23"
_CONFIG, _STATE = "/etc/kindle-appliance", "/var/lib/kindle-appliance"
_SERVICE = {"CREDENTIALS_DIRECTORY": _CONFIG, "STATE_DIRECTORY": _STATE}  # systemd's, by our unit
# The files of an installation without a key, and the only words of systemd that commands ask for.
_INSTALL_THE_REST = f"""
umask 077
mkdir {_CONFIG} {_STATE}
touch {_CONFIG}/gemini-key {_CONFIG}/pin
$1/bin/python -c 'from kindle_appliance.owner import settings_template as file; print(file.template({{}}))' \
    > {_CONFIG}/settings.toml
cat > /usr/local/bin/systemctl << END
#!/bin/sh
case "\\$*" in
    *Listen*) echo "Listen=0.0.0.0:$2 (Stream)" ;;
    *ActiveState*) echo inactive ;;
esac
END
chmod 755 /usr/local/bin/systemctl
"""
# qemu-user does not know this option (version 7.2: ENOPROTOOPT). A system has one network device, so nothing
# changes without it.
_FOR_QEMU = """
import socket

def setsockopt(self, *option, known=socket.socket.setsockopt):
    if option[:2] != (socket.IPPROTO_IP, socket.IP_MULTICAST_IF):
        known(self, *option)

socket.socket.setsockopt = setsockopt
"""
_PROBE = """
import sqlite3
sqlite3.connect(":memory:").execute("CREATE VIRTUAL TABLE words USING fts5(text)")
print(sqlite3.sqlite_version)
"""


@dataclass(frozen=True)
class Architecture:
    """One of Debian's, with the oldest processor of a Raspberry Pi that runs it, under qemu's name."""

    name: str
    machine: str  # `uname -m` there
    processor: str
    boards: str
    has_zeroconf: bool  # whether there is a wheel

    @property
    def system(self) -> Path:
        """The folder of the pristine system; its name changes with the packages in it."""
        return cache() / f"{DEBIAN.suite}-{self.name}-{digest(_INCLUDED)}"

    def make(self) -> str:
        """Make the system if it is missing; returns how long that took. Raises `SetUpError`."""
        started = time.monotonic()
        with made(self.system) as folder:
            if folder is None:
                return "kept"
            options = ["--variant=essential", f"--include={_INCLUDED}", "--dpkgopt=force-unsafe-io"]
            # Debian makes security updates of an old release for few architectures: without any, all are alike.
            plain = ["--setup-hook=sed -i /security/d $1/etc/apt/sources.list", f"--architectures={self.name}"]
            do(["mmdebstrap", "--quiet", "--mode=root", *options, *plain, DEBIAN.suite, str(folder)])
        return f"{time.monotonic() - started:.0f} s"


ARCHITECTURES = (
    Architecture("arm64", "aarch64", "cortex-a53", "Pi 3 and newer, 64 bits", True),
    Architecture("armhf", "armv7l", "cortex-a7", "Pi 2 and newer, 32 bits", True),
    Architecture("armel", "armv6l", "arm1176", "Pi 1 and Zero", False),
)


def wheels() -> Path:
    """The folder of packages for pip: for each processor that has its own, and the source of zeroconf."""
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    place = cache() / f"wheels-arm-{DEBIAN.python}-{digest(pins)}"
    with made(place) as folder:
        if folder:
            for each in ARCHITECTURES:
                if each.has_zeroconf:
                    download(folder, DEBIAN.python, each.machine, "--requirement", "requirements.txt", "setuptools")
            download_pure_zeroconf(folder, DEBIAN.python, "armv6l")
    return place


def testing() -> Path:
    """The folder of what tests import, in the newest releases without compiled parts."""
    place = cache() / f"testing-{DEBIAN.python}-{digest(' '.join(_TESTING))}"
    with made(place) as folder:
        if folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pure = ["--platform=any", "--only-binary=:all:", f"--python-version={DEBIAN.python}"]
            do([*pip, *pure, f"--target={folder}", *_TESTING])
    return place


# ---- Emulation


def emulate() -> None:
    """Let the kernel run programs of ARM. It opens the emulators at once, so a system need not have them.

    Newer kernels forget that with the last mount of this folder, which ends with these namespaces; see `forget()`.
    """
    do(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_RULES)])
    for emulator in ("qemu-aarch64", "qemu-arm"):
        rule = (_BINFMT / f"{emulator}.conf").read_text(encoding="ascii")
        left = _RULES / f"{_PREFIX}{emulator}"
        if left.exists():
            left.write_text("-1", encoding="ascii")
        (_RULES / "register").write_text(rule.replace(":", f":{_PREFIX}", 1), encoding="ascii")


def forget() -> None:
    """Take the rules of `emulate()` back, in kernels that have kept them."""
    each = f"for rule in {_RULES}/{_PREFIX}*; do test ! -e $rule || echo -1 > $rule; done"
    do(["unshare", "--mount", "sh", "-c", f"mount -t binfmt_misc binfmt_misc {_RULES} && {each}"])


# ---- A system and its use


class Pi:
    """A system of an architecture with a layer of its own. It sees this checkout in /project, without writing."""

    def __init__(self, architecture: Architecture, folder: Path, packages: Path, testing: Path) -> None:
        self.architecture = architecture
        self._root = folder / "root"
        parts = [self._root, folder / "changes", folder / "work"]
        for each in parts:
            each.mkdir()
        layers = f"lowerdir={architecture.system},upperdir={parts[1]},workdir={parts[2]}"
        do(["mount", "-t", "overlay", "overlay", "-o", layers, str(self._root)])
        do(["mount", "-t", "proc", "proc", str(self._root / "proc")])
        do(["mount", "--rbind", "/dev", str(self._root / "dev")])
        shown = {"project": ROOT, "wheels": packages, "testing": testing, "shared": ROOT.parent / "shared"}
        for name, source in shown.items():
            if source.is_dir():
                (self._root / name).mkdir()
                do(["mount", "--bind", "-o", "ro", str(source.resolve()), str(self._root / name)])
        (self._root / "qemu").mkdir()
        (self._root / "qemu" / "sitecustomize.py").write_text(_FOR_QEMU, encoding="utf-8")

    def inside(self, *command: str, **variables: str) -> list[str]:
        """The command line that runs a command there, with few variables."""
        usual = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": "/qemu",
            "QEMU_CPU": self.architecture.processor,
        }
        settings = [f"{name}={value}" for name, value in (usual | variables).items()]
        return ["chroot", str(self._root), "env", "-i", *settings, *command]

    def run(self, *command: str, **variables: str) -> str:
        """Run a command to its end, which must succeed; returns its output."""
        done = subprocess.run(
            self.inside(*command, **variables),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, f"{command[:3]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout

    def install(self) -> str:
        """Build a version as install.sh does, without the internet; returns its folder."""
        functions = (ROOT / "install.sh").read_text(encoding="utf-8").removesuffix('main "$@"\n')
        script = "\n".join((functions, "export PATH", "umask 022", *STEPS, 'echo "${folder}"'))
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
        return self.run("sh", "-c", script, INSTALLER, **offline).splitlines()[-1]

    def test(self, python: str) -> str:
        """Run the tests of what depends on a processor most; returns what pytest counted."""
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", CHOSEN, *TESTS]
        variables = {"PYTHONPATH": "/qemu:/testing", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"}
        variables |= {"CI": value} if (value := os.environ.get("CI")) else {}
        said = self.run("sh", "-c", 'cd /project && exec "$@"', "sh", python, *pytest, **variables)
        return said.splitlines()[-1].partition(" in ")[0]


def use(pi: Pi) -> Iterator[tuple[str, str]]:
    """Install the appliance and use it; yields each step that went well with its result."""
    _connect()
    with ExitStack() as stops:
        assert pi.run("uname", "-m") == f"{pi.architecture.machine}\n"
        yield "SQLite with FTS5", pi.run("python3", "-c", _PROBE).strip()

        started = time.monotonic()
        version = pi.install()
        yield "installed", f"{time.monotonic() - started:.0f} s"
        compiled = "import glob, zeroconf; print(len(glob.glob(zeroconf.__path__[0] + '/**/*.so', recursive=True)))"
        is_compiled = pi.run(f"{version}/bin/python", "-c", compiled) != "0\n"
        assert is_compiled == pi.architecture.has_zeroconf
        yield "zeroconf", "wheel" if is_compiled else "pure Python"

        port, command = free_port(), f"{version}/source/systemd/launcher"
        pi.run("sh", "-ec", _INSTALL_THE_REST, "sh", version, str(port))
        yield "--version", pi.run(command, "--version").split()[1]

        def start() -> Program:
            program = Program(pi.inside(command, "serve", "--port", str(port), **_SERVICE), dict(os.environ))
            stops.callback(program.close)
            program.wait_for("^On this machine", TIMEOUT)
            return program

        url = f"http://127.0.0.1:{port}"
        started = time.monotonic()
        program = start()
        _get(f"{url}/")
        yield "up", f"{time.monotonic() - started:.1f} s"

        address, answer, text = _ask(url)
        yield "asked, followed", f"{len(text)} characters"
        program.wait_for(f"mdns: kindle.local is announced for {_ADDRESS}", TIMEOUT)
        examined = pi.run(command, "doctor")
        for subject in ("database", "port", "name"):
            assert re.search(rf"^ok +{subject} ", examined, re.MULTILINE), examined
        yield "doctor", "ok"

        _stop(program)
        yield "SIGTERM", "ended with 0"
        program = start()
        _find(url, address, answer, text)
        yield "stored answer", "found"

        pi.run(command, "backup", "/root/backup")
        _stop(program)
        pi.run("sh", "-c", f"rm {_STATE}/*")
        pi.run(command, "restore", "/root/backup")
        program = start()
        _find(url, address, answer, text)
        _stop(program)
        yield "backup, restore", "ok"
        yield "tests", pi.test(f"{version}/bin/python")


def _connect() -> None:
    """Give this network an address of a house; nothing is at its other end."""
    do(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wall"])
    do(["ip", "address", "add", f"{_ADDRESS}/24", "dev", "eth0"])
    for each in ("wall", "eth0"):
        do(["ip", "link", "set", each, "up"])
    do(["ip", "route", "add", "default", "dev", "eth0"])


def _get(url: str) -> str:
    with Client(retries=False, timeout=TIMEOUT) as client:
        response = client.request("GET", url)
    assert response.status == 200, (url, response.status)
    return response.data.decode()


def _ask(url: str) -> tuple[str, str, str]:
    """Ask, and follow the answer as events and as text; returns its page, its number and its text."""
    form = {"question": QUESTION, "form": "form"}
    with Client(retries=False, timeout=TIMEOUT) as client:
        response = client.request("POST", f"{url}/ask", fields=form, encode_multipart=False, redirect=False)
    assert response.status == 303, response.status
    address = response.headers["Location"]
    found = re.search(r'"answer": (\d+)', _get(f"{url}{address}"))
    assert found, "the page has no answer"
    reader = Reader(url, int(found[1]))
    reader.stream()
    text = _get(f"{url}/answers/{found[1]}?as=text")
    assert reader.end is not None and reader.end["finish"] == "complete", reader.end
    assert reader.blocks == page_of(text), "it is typeset otherwise than here"
    assert text.strip() in (ROOT / "static" / "demo_answers.md").read_text(encoding="utf-8")
    return address, found[1], text


def _find(url: str, address: str, answer: str, text: str) -> None:
    assert QUESTION in _get(f"{url}{address}")
    assert _get(f"{url}/answers/{answer}?as=text") == text


def _stop(program: Program) -> None:
    program.process.terminate()
    assert program.process.wait(TIMEOUT) == 0, program.said


# ---- The whole


def main(chosen: Sequence[str]) -> int:
    """Tries the chosen architectures, or all, one after the other; prints a table; returns 0 if all went well."""
    if unknown := set(chosen) - {each.name for each in ARCHITECTURES}:
        print(
            f"arm: there is no {', '.join(sorted(unknown))}, only {', '.join(each.name for each in ARCHITECTURES)}"
        )
        return 2
    if os.geteuid() != 0:
        print("arm: systems of other processors need root: sudo make arm")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.nice(10)
    try:
        if reason := set_up(TOOLS):
            raise SetUpError(reason)
        cache().mkdir(parents=True, exist_ok=True)
        with (cache() / "arm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run would remove the emulators of this one
            try:
                tried = [_try(each) for each in ARCHITECTURES if not chosen or each.name in chosen]
            finally:
                forget()
    except (SetUpError, OSError) as error:
        print(f"arm: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(_table(tried))
    return 1 if any(_FAILED in each for each in tried) else 0


def _try(architecture: Architecture) -> dict[str, str]:
    """Make and use a system in namespaces that end with this process; returns the result of each step."""
    print(f"{architecture.name}:", flush=True)
    steps = {"": architecture.name, "boards": architecture.boards, "processor": architecture.processor}
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    again = [sys.executable, "-m", "appliance.arm", _INSIDE, architecture.name]
    with tempfile.TemporaryDirectory() as folder:
        command = ["setpriv", "--pdeathsig", "KILL", *alone, *again, folder]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as child:
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    step, _, result = line.rstrip("\n").partition("\t")
                    steps[step] = result
                    print(f"    {step}: {result}", flush=True)
            finally:
                child.kill()
    if child.returncode:
        steps[_FAILED] = "see above"
    return steps


def _inside(name: str, folder: Path) -> int:
    """Make and use a system, in namespaces of its own; prints each step that went well, and what did not."""

    def show(step: str, result: str) -> None:
        print(step, result, sep="\t", flush=True)

    def use_it() -> None:
        for step, result in use(Pi(architecture, folder, *parts)):
            show(step, result)

    (architecture,) = (each for each in ARCHITECTURES if each.name == name)
    try:
        emulate()
        show("system", architecture.make())
        parts = wheels(), testing()
        without_network(use_it)
    except (AssertionError, SetUpError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def _table(tried: Sequence[dict[str, str]]) -> str:
    """A row for each step, a column for each architecture."""
    rows = list(dict.fromkeys(step for each in tried for step in each if step != _FAILED))
    rows += [_FAILED] if any(_FAILED in each for each in tried) else []
    columns = [rows, *([each.get(row, "-") for row in rows] for each in tried)]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [_INSIDE]:
        sys.exit(_inside(sys.argv[2], Path(sys.argv[3])))
    sys.exit(main(sys.argv[1:]))
