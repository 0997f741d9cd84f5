"""A network of the test's own: hosts in network namespaces (ip-netns(8)), joined by a bridge in one more.

Nothing of it is visible from outside, and all of it goes when the test ends, passed or failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import queue
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from fakes.secret_scanner import SCANNER
from zeroconf import DNSAddress, DNSIncoming  # type: ignore[attr-defined]

from kindle_appliance.host.mdns import Advertiser

from . import tools

T = TypeVar("T")

TOOLS = ("ip", "avahi-daemon", "avahi-resolve", "dbus-daemon")
MDNS = ("224.0.0.251", 5353)
_ROOT = Path(__file__).resolve().parents[2]
_PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
_CLONE_NEWNET = 0x40000000  # setns(2)
_numbers = itertools.count(1)

# A bus for the avahi of one host alone.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={bus}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"""
_AVAHI = """[server]
host-name={name}
use-ipv6=no
[publish]
publish-workstation=no
publish-hinfo=no
"""
# Avahi keeps its socket and its process id in one place: each host gets a /run of its own.
_OWN_RUN = (
    "mount -t tmpfs tmpfs /run && mkdir /run/avahi-daemon && exec avahi-daemon --no-drop-root --no-rlimits -f {}"
)


_SO_RCVBUFFORCE = 33  # of asm-generic/socket.h; Python does not name it
_MOST_HEARD_BYTES = 64 * 1024 * 1024


class Lines:
    """A log that other threads append to, line by line."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._waiting: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()

    def say(self, line: str | None) -> None:
        """Append a line, or None after the last one."""
        if line is not None:
            self.said.append(line)
        self._new.put(line)

    def wait_for(self, pattern: str, seconds: float = 10) -> re.Match[str]:
        """The first match in a line not yet consumed by an earlier wait; it must come within `seconds`."""
        deadline = time.monotonic() + seconds
        for line in self._waiting:
            if match := re.search(pattern, line):
                self._waiting.remove(line)
                return match
        while True:
            try:
                new = self._new.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} within {seconds} s: {self.said}") from None
            assert new is not None, f"ended without {pattern!r}: {self.said}"
            if match := re.search(pattern, new):
                return match
            self._waiting.append(new)


class Program(Lines):
    """A running program. Its lines are those on stdout and stderr."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        super().__init__()
        self.process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                SCANNER.scan("output", line)
                self.say(line.rstrip("\n"))
        self.say(None)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


class Ear(Lines):
    """Records what is sent by multicast: a line `name ttl address` for each record."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._is_closing = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # All of a flood waits here on a slow machine: what the kernel drops would look as if it had not been sent.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _MOST_HEARD_BYTES)
        self._socket.bind(("", MDNS[1]))
        group = socket.inet_aton(MDNS[0]) + socket.inet_aton(address)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while (data := self._socket.recv(9000)) or not self._is_closing:  # a packet may be empty
            for record in DNSIncoming(data).answers():
                self.say(f"{record.name} {record.ttl} {_address_of(record)}")

    def close(self) -> None:
        self._is_closing = True
        if self._thread.is_alive():
            with contextlib.suppress(OSError):  # it is not connected, but this wakes the reading thread
                self._socket.shutdown(socket.SHUT_RD)
            self._thread.join()
        self._socket.close()


class Host:
    """A machine with one network device, `eth0`, once it is plugged in."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.name = f"kindle-{os.getpid()}-{next(_numbers)}"
        self._lan = lan
        self._folder = folder / self.name
        self._folder.mkdir()
        self._env = {"PATH": _PATH, "HOME": str(self._folder), "LC_ALL": "C.UTF-8"}
        with ExitStack() as stops:
            _run("ip", "netns", "add", self.name)
            stops.callback(_run, "ip", "netns", "delete", self.name)
            self.ip("link set lo up")
            self._stops = stops.pop_all()

    def close(self) -> None:
        self._stops.close()

    def ip(self, command: str) -> str:
        return _run("ip", "-n", self.name, *command.split())

    def plug(self, address: str | None = None) -> None:
        """Add a network device, connected to the switch, with this address if there is one."""
        port, switch = f"port{next(_numbers)}", self._lan.switch
        _run("ip", "link", "add", "eth0", "netns", self.name, "type", "veth", "peer", port, "netns", switch)
        _run("ip", "-n", switch, "link", "set", port, "master", "switch", "up")
        self.ip("link set eth0 up")
        if address:
            self.lease(address)

    def unplug(self) -> None:
        """Remove the device for good; `plug()` adds another one."""
        self.ip("link delete eth0")

    def lease(self, address: str) -> None:
        """Replace the addresses of `eth0` with this one, as a router would."""
        self.ip("address flush dev eth0")
        self.ip(f"address add {address}/24 dev eth0")
        self.ip("route replace default dev eth0")

    def within(self, do: Callable[[], T]) -> T:
        """Run `do` in a thread on this host; returns its result. Its sockets and threads stay here."""

        def enter_and_do() -> T:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self.name}").open() as namespace:
                assert libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            return do()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter_and_do).result()

    def start(self, *command: str) -> Program:
        """Start a program here; it runs until the test ends, at the latest."""
        program = Program(["ip", "netns", "exec", self.name, *command], self._env)
        self._stops.callback(program.close)
        return program

    # ---- Its programs

    def serve(self, *options: str, program: tuple[str, ...] = ("-m", "kindle_appliance")) -> Program:
        """Start the appliance on port 8080; `program`: what Python runs."""
        data = ["--data", str(self._folder / "data")]
        serving = self.start(sys.executable, "-B", *program, *data, *options)
        serving.wait_for("^On this machine")
        return serving

    def start_avahi(self, name: str) -> Program:
        """Start avahi under that host name, with a bus of its own; returns as soon as it answers."""
        bus, configuration, avahi = (self._folder / each for each in ("bus", "bus.conf", "avahi.conf"))
        configuration.write_text(_BUS.format(bus=bus))
        avahi.write_text(_AVAHI.format(name=name))
        self._env["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={bus}"
        self.start("dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address").wait_for("unix:")
        program = self.start("sh", "-c", _OWN_RUN.format(avahi))
        program.wait_for("Server startup complete")
        return program

    # ---- The view of its users

    def get(self, url: str, name: str = "") -> str:
        """Get the page at `http://address:port/path`, with `name` as its Host instead of that address."""
        _, _, authority, path = url.split("/", 3)

        def get() -> str:
            connection = HTTPConnection(authority, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", f"/{path}", headers={"Host": name or authority})
                return connection.getresponse().read().decode()

        return self.within(get)

    def resolve(self, name: str, expected: str, seconds: float) -> None:
        """Wait until avahi here resolves `name` to the address `expected`; fails after `seconds`."""
        self._wait_until_said(("avahi-resolve", "-4", "-n", name), rf"\t{re.escape(expected)}$", seconds)

    def browse(self, pattern: str, seconds: float) -> None:
        """Wait until a resolved service in avahi's list here matches `pattern`; fails after `seconds`."""
        self._wait_until_said(("avahi-browse", "-rptk", "_http._tcp"), pattern, seconds)

    def _wait_until_said(self, command: tuple[str, ...], pattern: str, seconds: float) -> None:
        deadline, said = time.monotonic() + seconds, ""
        while not re.search(pattern, said, re.MULTILINE):
            left = deadline - time.monotonic()
            assert left > 0, f"{command} does not say {pattern!r} within {seconds} s: {said}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                where = ("ip", "netns", "exec", self.name)
                done = subprocess.run(
                    (*where, *command), check=False, env=self._env, capture_output=True, text=True, timeout=left
                )
                said = done.stdout + done.stderr

    def ask(self, name: str, seconds: float = 0.5) -> set[str]:
        """All addresses in answers to one question for `name` within so many seconds, without any cache."""
        found: set[str] = set()
        labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
        header = struct.pack(">6H", secrets.randbelow(65536), 0, 1, 0, 0, 0)
        with self.within(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asker:
            asker.sendto(header + labels + b"\0\0\1\0\1", MDNS)
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                asker.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    found |= set(map(_address_of, DNSIncoming(asker.recv(9000)).answers()))
        return found - {""}

    def ask_until(self, name: str, expected: set[str], seconds: float) -> None:
        """Ask until the addresses of `name` are the expected ones; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while (found := self.ask(name, 0.2)) != expected:
            assert time.monotonic() < deadline, f"{name} is {found}, not {expected}, after {seconds} s"

    def overhear(self, address: str) -> Ear:
        """Record all multicast from now on, as received at that address of this host."""
        ear = self.within(lambda: Ear(address))
        self._stops.callback(ear.close)
        return ear


class Lan:
    """A switch with its hosts. `folder` is for their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.switch = f"kindle-{os.getpid()}-{next(_numbers)}"
        with ExitStack() as stops:
            _run("ip", "netns", "add", self.switch)
            stops.callback(_run, "ip", "netns", "delete", self.switch)
            _run("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
            _run("ip", "-n", self.switch, "link", "set", "switch", "up")
            self._stops = stops.pop_all()

    def host(self, address: str | None = None) -> Host:
        """A new machine; with an address it is plugged in."""
        host = Host(self, self._folder)
        self._stops.callback(host.close)
        if address:
            host.plug(address)
        return host

    def join(self, other: Lan) -> None:
        """Connect two switches."""
        link = f"link{next(_numbers)}"
        _run("ip", "link", "add", link, "netns", self.switch, "type", "veth", "peer", link, "netns", other.switch)
        for switch in (self.switch, other.switch):
            _run("ip", "-n", switch, "link", "set", link, "master", "switch", "up")

    def __enter__(self) -> Lan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.close()


def missing() -> str | None:
    """The reason why this machine cannot have such a network, or None."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    return tools.missing(*TOOLS)


def left_over() -> Iterator[str]:
    """The namespaces of this process that still exist."""
    for line in _run("ip", "netns", "list").splitlines():
        if line.startswith(f"kindle-{os.getpid()}-"):
            yield line


def _address_of(record: object) -> str:
    """The IPv4 address in a record, "" if it has none."""
    return socket.inet_ntoa(record.address) if isinstance(record, DNSAddress) and record.type == 1 else ""


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10, env={"PATH": _PATH})
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def advertising(host: Host) -> Iterator[Advertiser]:
    """An advertiser alone, without the program around it."""
    advertiser = Advertiser("kindle", "1")
    host.within(lambda: advertiser.start("0.0.0.0", 8080))
    try:
        yield advertiser
    finally:
        advertiser.close()
    assert not advertiser.is_on
