"""systemd/door.py: the page that an appliance is while it cannot start, in the process that systemd has started.

The launcher, the environment and the package are real, in the installer's places; the minute between two tries is a
second in these copies.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.filesystem import mounted, remount
from fakes.process import Process
from fakes.program import environment
from fakes.raw_client import connect, is_open, read_to_end
from fakes.secret_scanner import SCANNER
from fakes.secrets import PIN
from fakes.systemd import Notified, service

from kindle_appliance.errors import StartError
from kindle_appliance.owner.service import Service as OwnersService
from kindle_appliance.storage.schema import CHATS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

READY = "READY=1\nSTATUS=Cannot start: serves a page that says so, and tries again every minute."
TRIES_AGAIN = "WATCHDOG=1\nSTATUS="
LIBRARIES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
PACKAGE = f"{LIBRARIES}/kindle_appliance"


class Version:
    """An installed version in `folder`: its environment, and the files that it was built from.

    `constants`: values of door.py that differ in it.
    """

    def __init__(self, folder: Path, **constants: float) -> None:
        self.folder = folder
        self.libraries = folder / LIBRARIES
        self.package = self.libraries / "kindle_appliance"
        self.python = folder / "bin" / "python3"
        self.launcher = folder / "source" / "systemd" / "launcher"
        self.errors = folder / "errors"
        self.settings = folder / "credentials" / "settings.toml"
        self.state = folder / "state"
        for each in (self.libraries, self.python.parent, self.settings.parent, self.state):
            each.mkdir(parents=True)
        shutil.copytree(ROOT / "systemd", self.launcher.parent)
        shutil.copytree(ROOT / "kindle_appliance", self.package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "static", self.package / "static")
        shutil.copy(Path(sys.prefix, "pyvenv.cfg"), folder)
        self.python.symlink_to(sys.executable)
        # The packages of these tests, but not the appliance of this checkout, which is there by a .pth file.
        (self.libraries / "packages.pth").write_text(str(Path(sys.prefix, LIBRARIES)))
        self.settings.write_text("mdns = false\n")
        door = self.launcher.with_name("door.py")
        text = door.read_text(encoding="utf-8")
        for name, value in {"TRY_AGAIN_SECONDS": 1, **constants}.items():
            text, count = re.subn(rf"^{name} = [\d.]+", f"{name} = {value}", text, flags=re.MULTILINE)
            assert count == 1, name
        door.write_text(text, encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        folders = {"CREDENTIALS_DIRECTORY": str(self.settings.parent), "STATE_DIRECTORY": str(self.state)}
        own = {**environment(self.folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**own, **folders, "WATCHDOG_USEC": "400000", **more}


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return Version(tmp_path / "version")


@dataclass(frozen=True)
class Service:
    """The version as systemd has started it, with the socket `door`."""

    version: Version
    door: socket.socket
    notified: Notified
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.door.getsockname()[1])

    def request(self, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as client:
            client.request(method, path, headers={name.replace("_", "-"): each for name, each in headers.items()})
            response = client.getresponse()
            body = response.read()
            SCANNER.scan("response", body.decode())
            return response, body

    def status(self) -> int:
        return self.request("GET", "/")[0].status

    def exchange(self, request: bytes) -> bytes:
        with connect(self.port) as client:
            client.sendall(request)
            return read_to_end(client)

    def errors(self) -> list[str]:
        return self.version.errors.read_text(encoding="utf-8").splitlines()


@contextmanager
def started(version: Version, *flags: str, at: socket.socket | None = None, **variables: str) -> Iterator[Service]:
    """The unit's ExecStart=, with flags that an owner may have added; `at` an open socket, or one of its own."""
    with ExitStack() as stack:
        door = at or stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        notified = stack.enter_context(closing(Notified(f"{version.folder}/notify{'-2' if at else ''}")))
        told = version.environment(NOTIFY_SOCKET=notified.address, **variables)
        with service([version.launcher, "serve", *flags], door, told, version.errors) as process:
            yield Service(version, door, notified, process)
        SCANNER.scan("output", version.errors.read_text(encoding="utf-8"))


class BusyClient:
    """Asks for the first page again and again; a refused or cut connection, or half a page, is a failure."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.statuses: list[int] = []
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> BusyClient:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as client:
                    client.request("GET", "/")
                    response = client.getresponse()
                    if not response.read().rstrip().endswith(b"</html>"):
                        self.failures.append("half a page")
                    self.statuses.append(response.status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))


# ---- Why it cannot start


@dataclass(frozen=True)
class Cause:
    """Something that keeps an appliance from starting: how it comes and goes, and what each try says of it."""

    said: str
    damage: Callable[[Version], object]
    mend: Callable[[Version], object]


def content(name: str, said: str, text: str) -> Cause:
    """A file with the wrong content."""
    kept: dict[Version, str] = {}

    def damage(version: Version) -> None:
        kept[version] = (version.folder / name).read_text(encoding="utf-8")
        (version.folder / name).write_text(text, encoding="utf-8")

    return Cause(said, damage, lambda version: (version.folder / name).write_text(kept[version], encoding="utf-8"))


def addition(name: str, said: str, text: str) -> Cause:
    """A module with a line too many."""
    return content(f"{PACKAGE}/{name}", said, (ROOT / "kindle_appliance" / name).read_text(encoding="utf-8") + text)


def lack(name: str, said: str) -> Cause:
    """A file or folder that is not there."""
    away = "elsewhere"
    return Cause(
        said,
        lambda version: (version.folder / name).rename(version.folder / away),
        lambda version: (version.folder / away).rename(version.folder / name),
    )


def make_newer(version: Version) -> None:
    with closing(sqlite3.connect(version.state / "chats.sqlite")) as chats:
        chats.execute(f"PRAGMA user_version = {CHATS.version + 1}")
    (version.state / "chats.sqlite").chmod(0o600)


def put_a_file_there(version: Version) -> None:
    version.state.rmdir()
    version.state.touch()


MEND = "Mend it with: sudo /opt/kindle-appliance/install.sh"
CAUSES = {
    "newer chats": Cause(
        "belong to a newer version", make_newer, lambda version: (version.state / "chats.sqlite").unlink()
    ),
    "a file for a folder": Cause("/state", put_a_file_there, lambda version: version.state.unlink()),
    "a bad module": content(f"{PACKAGE}/web/app.py", "SyntaxError", "def"),
    "a bad package": content(f"{PACKAGE}/__init__.py", "SyntaxError", "def"),
    "an old Python": content(f"{PACKAGE}/__init__.py", ": too old", "import sys\nsys.exit('too old')"),
    "no memory": content(f"{PACKAGE}/errors.py", "MemoryError", "raise MemoryError"),
    "a late failure": addition("storage/lock.py", "TypeError", "\n\nFolderLock.announce = None\n"),
    "no package": lack(PACKAGE, "No module named 'kindle_appliance'"),
    "no dependencies": lack(f"{LIBRARIES}/packages.pth", "ModuleNotFoundError"),
    "no libraries": lack("lib", MEND),
    "no Python": lack("bin", MEND),
}


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_an_appliance_that_cannot_start_is_a_page_until_the_cause_is_mended(version: Version, cause: Cause) -> None:
    cause.damage(version)
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == READY
        with BusyClient(service.port) as client:
            assert service.notified.next() == service.notified.next() == "WATCHDOG=1"
            assert service.notified.next_but("WATCHDOG=1") == TRIES_AGAIN
            assert service.notified.next_but("WATCHDOG=1") == READY
            tries = service.errors()
            cause.mend(version)
            while (told := service.notified.next()) != "READY=1":
                assert told in (READY, "WATCHDOG=1", TRIES_AGAIN)
            while 200 not in client.statuses:
                assert service.notified.next() == "WATCHDOG=1"
        assert client.failures == []
        assert set(client.statuses) == {503, 200}
        assert sorted(client.statuses, reverse=True) == client.statuses, "once it serves, it serves"
        assert service.process.poll() is None, "it is the same process"
        assert len(tries) == 2 and all(cause.said in line for line in tries)
        service.process.terminate()
        assert service.process.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("port = 0\n", [], "port = 0, from "),
        ("port = = 1\n", [], "settings.toml"),
        ("", ["--nonsense"], "--nonsense"),
    ],
)
def test_with_wrong_settings_the_page_ends_after_a_minute_so_that_systemd_reads_them_again(
    version: Version, text: str, flags: list[str], said: str
) -> None:
    version.settings.write_text(text)
    with started(version, *flags) as service, BusyClient(service.port) as client:
        assert service.notified.next_but("WATCHDOG=1") == READY
        assert service.notified.next_but("WATCHDOG=1") == TRIES_AGAIN
        assert service.notified.next() == "STOPPING=1"
        assert service.process.wait(20) == 0
        assert any(said in line for line in service.errors())
        version.settings.write_text("")
        with started(version, at=service.door) as restarted:
            assert restarted.notified.next_but("WATCHDOG=1") == "READY=1"
            while 200 not in client.statuses:
                assert restarted.notified.next() == "WATCHDOG=1"
            assert client.failures == []
            assert set(client.statuses) == {503, 200}
            client.stop()


def test_an_appliance_that_ends_after_it_has_served_is_left_to_systemd(version: Version) -> None:
    server = version.package / "web" / "server.py"
    broken = server.read_text(encoding="utf-8").replace(
        "self._run_once(_CHECK_SECONDS)", "self._run_once(0.1)\n            Path('/crash')"
    )
    marker = version.folder / "crash"
    broken = broken.replace("Path('/crash')", f"assert not __import__('os').path.exists({str(marker)!r})")
    server.write_text(broken, encoding="utf-8")
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == "READY=1"
        assert service.status() == 200
        marker.touch()
        assert service.process.wait(20) == 1
        assert "AssertionError" in service.errors()[-1]


def test_a_version_that_answers_its_page_with_500_is_not_ready_and_does_not_feed_the_watchdog(
    version: Version,
) -> None:
    broken = version.folder / "broken"
    broken.touch()
    with (version.package / "web" / "asking.py").open("a", encoding="utf-8") as module:
        module.write(BREAKABLE.format(str(broken)))
    with started(version) as service:
        while service.status() != 500:
            pass
        assert service.request("GET", "/healthz")[0].status == 200
        while service.errors()[-1] != "AssertionError":
            pass
        broken.unlink()
        assert service.notified.next_but("WATCHDOG=1") == "READY=1", "and not before"
        assert service.notified.next() == service.notified.next() == "WATCHDOG=1"
        broken.touch()
        while not [line for line in service.errors() if "does not answer its own request" in line]:
            pass
        while not service.notified.nothing_more():
            pass
        seen = len(service.errors())
        while service.errors()[seen:].count("AssertionError") < 3:
            pass
        assert service.notified.nothing_more()
        broken.unlink()
        assert service.notified.next() == "WATCHDOG=1"


BREAKABLE = """

def _show(self, show=Asking.show):
    assert not __import__("os").path.exists({!r})
    return show(self)


Asking.show = _show
"""


def test_the_watchdogs_request_gets_through_the_pin_and_leaves_no_trace(version: Version) -> None:
    (version.settings.parent / "pin").write_text(PIN)
    stored = [version.state / "chats.sqlite", version.state / "chats.sqlite-wal"]
    with started(version, WATCHDOG_USEC="4000000") as service:  # a request that comes too late leaves a line
        assert service.notified.next_but("WATCHDOG=1") == "READY=1"
        before, lines = [file.read_bytes() for file in stored], service.errors()
        for _ in range(5):
            assert service.notified.next() == "WATCHDOG=1"
        assert service.status() == 403
        assert [file.read_bytes() for file in stored] == before and service.errors() == lines


def test_a_full_card_is_bad_health_but_no_reason_to_restart(version: Version) -> None:
    version.state.rmdir()
    with mounted(version.state), started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == "READY=1"
        room = os.statvfs(version.state)
        remount(version.state, f"size={(room.f_blocks - room.f_bfree) * room.f_frsize}")
        response, body = service.request("GET", "/healthz")
        assert (response.status, json.loads(body)["status"]) == (503, "failing")
        while not service.notified.nothing_more():
            pass
        assert service.notified.next() == service.notified.next() == "WATCHDOG=1"
        assert service.status() == 200


def test_damaged_chats_are_told_of_in_the_health_and_no_reason_to_restart(version: Version) -> None:
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == "READY=1"
        service.process.terminate()
        assert service.process.wait(20) == 0
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == "READY=1"
        chats = version.state / "chats.sqlite"
        with chats.open("r+b") as file:  # all but the first page, which has the header
            file.seek(4096)
            file.write(b"\xff" * (chats.stat().st_size - 4096))
        with closing(sqlite3.connect(chats)) as other:  # from here on the appliance reads from the file again
            (number,) = other.execute("PRAGMA user_version").fetchone()
            other.execute(f"PRAGMA user_version = {number}")
        response, body = service.request("GET", "/healthz")
        assert response.status == 200 and "salvaged" in json.loads(body), "it has been set aside meanwhile"
        while not service.notified.nothing_more():
            pass
        assert service.notified.next() == service.notified.next() == "WATCHDOG=1"
        assert service.status() == 200


def test_a_start_may_take_its_time_but_not_for_ever(tmp_path: Path) -> None:
    version = Version(tmp_path / "version", _START_SECONDS=1)
    with (version.package / "errors.py").open("a", encoding="utf-8") as module:
        module.write("\n__import__('time').sleep(600)\n")
    with started(version) as service:
        assert service.notified.next() == service.notified.next() == "WATCHDOG=1"
        with pytest.raises(TimeoutError):
            while service.notified.next(seconds=2) == "WATCHDOG=1":
                pass


WAITING = """

def _wait(*_: object) -> None:
    import sys, time
    print("waits", file=sys.stderr, flush=True)
    time.sleep(600)


FolderLock.__init__ = _wait
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_start_and_no_page_follows(version: Version, number: signal.Signals) -> None:
    with (version.package / "storage" / "lock.py").open("a", encoding="utf-8") as module:
        module.write(WAITING)
    with started(version) as service:
        while "waits" not in service.errors():
            pass
        service.process.send_signal(number)
        assert service.process.wait(20) in (0, 130, -number)


def test_started_by_hand_it_says_why_and_ends(version: Version) -> None:
    version.settings.write_text("port = 0\n")
    shutil.copy(Path(sys.prefix, "bin", "kindle-appliance"), version.python.parent)
    command = version.python.parent / "kindle-appliance"
    lines = command.read_text(encoding="utf-8").splitlines(keepends=True)
    command.write_text("".join([f"#!{version.python}\n", *lines[1:]]), encoding="utf-8")
    ways: tuple[list[str | Path], ...] = (
        [command],
        [version.launcher, "serve"],
        [version.python, "-m", "kindle_appliance", "serve"],
    )
    for way in ways:
        done = subprocess.run(
            way, env=version.environment(), capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 2
        said, _, *excerpt = done.stderr.splitlines()
        assert said.startswith("kindle-appliance: port = 0, from ")
        assert excerpt == ["    port = 0", "           ^", "A right line, for example:", "    port = 8080"]


def test_without_any_python_the_launcher_explains_and_ends(version: Version, tmp_path: Path) -> None:
    shutil.rmtree(version.python.parent)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "readlink").symlink_to("/usr/bin/readlink")
    with started(version, PATH=str(programs)) as service:
        assert service.process.wait(20) == 1
        assert len(service.errors()) == 1 and MEND in service.errors()[0]


def test_a_launcher_that_is_gone_does_not_end_the_page(version: Version) -> None:
    make_newer(version)
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == READY
        version.launcher.rename(version.folder / "elsewhere")
        for _ in range(2):
            assert service.notified.next_but("WATCHDOG=1") == TRIES_AGAIN
            assert service.notified.next_but("WATCHDOG=1") == READY
            assert service.status() == 503
        assert f"kindle-appliance: {version.launcher} cannot be run: No such file or directory" in service.errors()
        (version.folder / "elsewhere").rename(version.launcher)
        (version.state / "chats.sqlite").unlink()
        while service.notified.next() != "READY=1":
            pass
        assert service.status() == 200


# ---- The page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Service]:
    """The page of an appliance that does not try again during a test."""
    version = Version(tmp_path / "version", TRY_AGAIN_SECONDS=600)
    version.settings.write_text("port = 0\n")
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == READY
        yield service


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "NONSENSE"])
def test_every_request_gets_the_page(page: Service, method: str) -> None:
    for path in ("/", "/chats/1/1", "/answers/1?as=events", "/pin", "*", "/" + "a" * 9000):
        response, body = page.request(method, path)
        assert response.status == 503
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Retry-After"] == "600"
        if method == "HEAD":
            assert body == b"" and int(response.headers["Content-Length"]) > 500
        else:
            assert "The appliance cannot start." in body.decode() and "设备无法启动" in body.decode()
            assert body.endswith(b"</html>\n") and "sudo kindle-appliance doctor" in body.decode()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: stranger.example\r\nOrigin: http://stranger.example\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\n\n",
        b"POST /ask HTTP/1.1\r\nContent-Length: 65536\r\n\r\n" + bytes(65536),
        b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_old_and_odd_clients_get_it_once_and_whole(page: Service, request_: bytes) -> None:
    received = page.exchange(request_)
    assert received.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert received.endswith(b"</html>\n") and received.count(b"HTTP/1.1 503") == 1


def test_a_request_is_answered_however_it_is_cut_into_pieces(page: Service) -> None:
    for request in (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\n\n"):
        whole = page.exchange(request)
        for cut in range(1, len(request)):
            with connect(page.port) as client:
                client.sendall(request[:cut])
                client.sendall(request[cut:])
                assert read_to_end(client) == whole


def test_scripts_get_json_in_their_language_and_monitors_are_not_told_that_all_is_well(page: Service) -> None:
    english, chinese = "The appliance cannot start. ", "设备无法启动"
    for path, headers, said in (
        ("/healthz", {}, english),
        ("/api/chat", {"Accept_Language": "zh-CN,zh;q=0.9"}, chinese),
        ("/ask", {"Accept": "application/json"}, english),
        ("/ask", {"Accept": "application/json", "Accept_Language": "de, zh"}, english),
    ):
        response, body = page.request("POST", path, **headers)
        assert response.status == 503
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        facts = json.loads(body)
        assert facts["status"] == "failed" and facts["error"].startswith(said), path


def test_the_owners_commands_understand_the_page(page: Service) -> None:
    service = OwnersService(f"http://127.0.0.1:{page.port}/", PIN)
    facts = service.health()
    assert facts and facts["status"] == "failed"
    assert service.find_page_fault() == "the first page has status 503"
    with pytest.raises(StartError, match="The appliance cannot start"):
        list(service.ask("Why?"))


def test_silent_and_slow_clients_hold_up_nobody(page: Service) -> None:
    with ExitStack() as clients:
        silent = [clients.enter_context(connect(page.port)) for _ in range(300)]
        slow = clients.enter_context(connect(page.port))
        for _ in range(50):
            slow.sendall(b"GET ")
            assert page.status() == 503
        assert not is_open(silent[0]) and is_open(silent[-1]), "the ones that came first are closed"
        assert page.notified.next() == "WATCHDOG=1"
        assert len(Process(page.process.pid).descriptors()) < 130
        slow.sendall(b"\n\n")
        assert read_to_end(slow).startswith(b"HTTP/1.1 503 ")


def test_a_client_that_sends_without_end_is_answered_and_cut(page: Service) -> None:
    with connect(page.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for _ in range(100_000):
                client.sendall(b"X-Header: " + b"x" * 1000 + b"\r\n")
    assert page.status() == 503


def test_half_a_request_is_answered_when_its_time_is_over(page: Service) -> None:
    with connect(page.port) as half, connect(page.port) as silent, connect(page.port) as ended:
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        ended.sendall(b"GET /")
        ended.shutdown(socket.SHUT_WR)
        assert read_to_end(ended).startswith(b"HTTP/1.1 503 ")
        assert read_to_end(half).startswith(b"HTTP/1.1 503 ")
        assert read_to_end(silent) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_page_like_a_stop(page: Service, number: signal.Signals) -> None:
    page.process.send_signal(number)
    assert page.process.wait(20) == 0
    assert page.notified.next_but("WATCHDOG=1") == "STOPPING=1"


def test_the_watchdog_is_fed_only_while_requests_are_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.spec_from_file_location("door", ROOT / "systemd" / "door.py")
    assert found and found.loader
    door = importlib.util.module_from_spec(found)
    found.loader.exec_module(door)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        closing(Notified(str(tmp_path / "notify"))) as notified,
    ):
        monkeypatch.setenv("NOTIFY_SOCKET", notified.address)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        page = door.Page([os.dup(listener.fileno())])
        is_over = threading.Event()
        watch = threading.Thread(target=page._watch, args=(is_over,))
        watch.start()
        with connect(listener.getsockname()[1]) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.settimeout(1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert notified.nothing_more()
            page._serve_for(1)
            assert notified.next() == READY
            assert notified.next() == "WATCHDOG=1"
        is_over.set()
        watch.join()


def test_a_client_that_is_here_when_the_minute_is_over_is_served_first(tmp_path: Path) -> None:
    version = Version(tmp_path / "version", TRY_AGAIN_SECONDS=2, _LAST_SECONDS=30)
    make_newer(version)
    with started(version) as service:
        assert service.notified.next_but("WATCHDOG=1") == READY
        with connect(service.port) as early:
            early.sendall(b"GET / HTTP/1.1\r\n")
            while True:
                with connect(service.port) as late:
                    late.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    late.settimeout(1)
                    try:
                        assert late.recv(65536).startswith(b"HTTP/1.1 503 ")
                    except TimeoutError:  # nobody is let in any more
                        early.sendall(b"\r\n")
                        assert read_to_end(early).startswith(b"HTTP/1.1 503 ")
                        late.settimeout(30)
                        while service.notified.next() != READY:
                            pass
                        assert late.recv(65536).startswith(b"HTTP/1.1 503 "), "by the next try's page"
                        break
