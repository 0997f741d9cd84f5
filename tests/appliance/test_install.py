"""install.sh on real machines: Debian bookworm and trixie, booted, without the internet.

The tests of one release share a machine, in which the appliance comes and goes. Each first brings the machine into
the state that it needs, which is quick when the machine is in it already.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Soak, unavailable
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN, SERVER_KEY

from kindle_appliance import __version__

from .debian import DEBIANS, ROOT, WHEELS, Debian, Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ARCHIVE = (
    *("install.sh", "requirements.txt", "pyproject.toml", "setup.cfg", "LICENSE", "README.md"),
    *("kindle_appliance", "static", "systemd"),
)
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
OLD_VERSION, BROKEN_VERSION = "0.0.9", "9.9.9"
KEYS_OF_SERVERS = "LoadCredential=keys:/etc/kindle-appliance/keys\n"
"""A line of the unit that version 0.1 lacked."""
BROKEN = {
    "storage/schema.py": (
        "\n\nfrom dataclasses import replace\nSTEP = 'CREATE TABLE of_a_new_version (id INTEGER)'"
        "\nCHATS = replace(CHATS, migrations=(*CHATS.migrations, STEP))\n"
    ),
    "appliance.py": """

def serve(settings, environment, on_ready):
    Database(data_folder(settings, environment) / "chats.sqlite", CHATS).close()
    raise StartError("this version is broken")
""",
}
PAGELESS = {"web/asking.py": "\n\ndel Asking.show\nAsking.show = lambda self: 1 / 0\n"}
WORSE = {
    "owner/doctor.py": """

def _settings(settings: Settings) -> Finding:
    return Finding(Verdict.FAILURE, "settings", "this version does not like them.")
"""
}
VARIANTS = {"broken": (BROKEN_VERSION, BROKEN), "pageless": ("9.9.8", PAGELESS), "worse": ("9.9.7", WORSE)}
"""Versions that an upgrade must not end with: the lines that spoil them, by module."""

INSTALLED = "/opt/kindle-appliance/install.sh"
CONFIG = "/etc/kindle-appliance"
ADDRESS = "192.168.1.23"


@pytest.fixture(scope="module", params=DEBIANS, ids=lambda debian: debian.suite)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of each release in turn, with several versions of the appliance in root's home."""
    with switched_on(request.param, tmp_path_factory.mktemp("machine")) as machine:
        yield machine


ON_ONE = pytest.mark.parametrize("machine", DEBIANS[:1], indirect=True, ids=lambda debian: debian.suite)
"""For what is the same on every release."""

ON_THE_OTHER = pytest.mark.parametrize("machine", DEBIANS[-1:], indirect=True, ids=lambda debian: debian.suite)
"""Likewise. The longest run there, since the machines of both releases run at once."""


@contextmanager
def switched_on(debian: Debian, folder: Path) -> Iterator[Machine]:
    if reason := debian.missing():
        unavailable(reason)
    machine = Machine(debian, folder, SCANNER.scan)
    (machine.root / "root" / "versions").mkdir()
    (machine.root / "opt").touch()  # exists after any installation, and any test may be the first
    unit = unpack(machine, "old", OLD_VERSION) / "systemd" / "kindle-appliance.service"
    unit.write_text(unit.read_text(encoding="utf-8").replace(KEYS_OF_SERVERS, ""), encoding="utf-8")
    unpack(machine, "new", __version__)
    for name, (version, spoilt) in VARIANTS.items():
        package = unpack(machine, name, version) / "kindle_appliance"
        for module, lines in spoilt.items():
            with (package / module).open("a") as source:
                source.write(lines)
    with machine:
        machine.connect(f"{ADDRESS}/24")
        yield machine
        machine.stop()
        SCANNER.exempt(machine.changes / "var" / "log" / "journal")  # `hear` gets it; others write there too
        SCANNER.scan_files(machine.changes)


def unpack(machine: Machine, name: str, version: str) -> Path:
    """Put this checkout there like an unpacked release: without git, environment and tests."""
    folder = machine.root / "root" / name
    folder.mkdir()
    for each in ARCHIVE:
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / each, folder)
    start = folder / "kindle_appliance" / "__init__.py"
    text = start.read_text(encoding="utf-8")
    assert f'"{__version__}"' in text
    start.write_text(text.replace(f'"{__version__}"', f'"{version}"'), encoding="utf-8")
    return folder


KEPT = "/root/versions"


def install(machine: Machine, name: str = "new", *options: str) -> str:
    """Run a version's install.sh, which must succeed; returns its output. Earlier environments are reused."""
    bring_versions(machine)
    return machine.run(f"/root/{name}/install.sh", *options, variables=OFFLINE).stdout


def bring_versions(machine: Machine) -> None:
    """Bring back the environments kept by `purge()`, to save an installation the time to make them."""
    place = "/opt/kindle-appliance"
    machine.run("sh", "-c", f"test -e {place} || {{ mkdir {place} && cp -al {KEPT} {place}; }}")


def refuse(
    machine: Machine, *options: str, command: tuple[str, ...] = ("/root/new/install.sh",), **variables: str
) -> str:
    """Run an install.sh that must fail with one sentence and change nothing; returns the sentence."""
    before = machine.files()
    done = machine.run(*command, *options, variables=OFFLINE | variables, is_to_work=False)
    assert done.returncode == 1, done
    assert re.fullmatch(r"install\.sh: [A-Z-].*\n", done.stderr), done.stderr
    assert machine.files() == before
    return done.stderr


def purge(machine: Machine) -> None:
    """Purge the appliance, but keep in root's home the versions made so far."""
    keep = f'for each in /opt/kindle-appliance/versions/*/complete; do cp -anl "${{each%/complete}}" {KEPT}; done'
    machine.run("sh", "-c", keep, is_to_work=False)
    machine.run("/root/new/install.sh", "--purge")


def get(machine: Machine, path: str = "/", port: int = 80, host: str = "127.0.0.1") -> str:
    """Get a page as a user without rights; waits up to 60 s for an answer, but fails at once if refused."""
    script = (
        "import sys, urllib.request;"
        "request = urllib.request.Request(sys.argv[1], headers={'Host': sys.argv[2]});"
        "print(urllib.request.urlopen(request, timeout=60).read().decode())"
    )
    url = f"http://127.0.0.1:{port}{path}"
    return machine.run("runuser", "-u", "nobody", "--", "python3", "-c", script, url, host).stdout


def ask(machine: Machine, question: str) -> str:
    """Ask through the form; returns the path of the page with the answer."""
    script = (
        "import sys, urllib.request, urllib.parse as parse;"
        "form = parse.urlencode({'question': sys.argv[1], 'form': 'form'}).encode();"
        "print(urllib.request.urlopen('http://127.0.0.1/ask', form, timeout=60).geturl())"
    )
    return machine.run("python3", "-c", script, question).stdout.strip().removeprefix("http://127.0.0.1")


def version(machine: Machine) -> str:
    return str(json.loads(get(machine, "/healthz"))["version"])


def unit(machine: Machine, name: str) -> str:
    """A property of the service from systemd."""
    return machine.run("systemctl", "show", "--property", name, "--value", "kindle-appliance").stdout.strip()


def journal(machine: Machine) -> str:
    return machine.run("journalctl", "--unit=kindle-appliance", "--no-pager").stdout


def state(machine: Machine) -> str:
    """The installation's files with their times, and the process that serves."""
    places = ["/opt", "/etc", "/usr/local", "/var/lib/private"]
    files = machine.run(
        "find", *places, "!", "-name", "chats.sqlite*", "-printf", "%p %i %T@ %C@ %m %U %l\\n"
    ).stdout
    return files + unit(machine, "MainPID") + unit(machine, "NRestarts") + unit(machine, "InvocationID")


# ---- Installed


def test_an_unprivileged_user_serves_port_80_and_the_installer_prints_the_address_for_the_kindle(
    machine: Machine,
) -> None:
    purge(machine)
    said = install(machine)
    assert f"http://{ADDRESS}/\n" in said
    assert "dc:a6:32:01:02:03" in said and "reserve" in said
    assert "Without a key or a model server the appliance is a demo" in said
    assert "Demo: these answers are examples" in get(machine)
    process = unit(machine, "MainPID")
    assert machine.run("stat", "--format=%u", f"/proc/{process}").stdout.strip() != "0"
    assert re.search(r"CapEff:\s+0+\n", machine.run("cat", f"/proc/{process}/status").stdout)
    assert machine.run("systemctl", "is-enabled", "kindle-appliance.socket", "kindle-appliance.service")


def test_the_settings_file_explains_each_setting_and_sets_none(machine: Machine) -> None:
    install(machine)
    settings = machine.run("cat", f"{CONFIG}/settings.toml").stdout
    assert '# language = "auto"' in settings
    assert not re.search(r"^[^#\n]", settings, re.MULTILINE)
    assert machine.run("kindle-appliance", "settings").returncode == 0


def test_only_root_and_the_service_can_read_the_key(machine: Machine) -> None:
    machine.run("sh", "-c", f"umask 077; echo 'export GEMINI_API_KEY=\"{KEY}\"' > key")
    said = install(machine, "new", "--key-file", "key")
    machine.run("rm", "key")
    assert KEY not in said
    assert "Demo:" not in get(machine)
    assert machine.run("cat", f"{CONFIG}/gemini-key").stdout == f"{KEY}\n"
    assert machine.run("stat", "--format=%U %a", f"{CONFIG}/gemini-key").stdout == "root 600\n"
    search = ["grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", KEY]
    places = ["/etc", "/opt", "/usr/local", "/var", "/run", "/tmp", f"/proc/{unit(machine, 'MainPID')}/environ"]
    found = machine.run(*search, *places).stdout.split()
    assert set(found) <= {f"{CONFIG}/gemini-key", "/run/credentials/kindle-appliance.service/gemini-key"}
    as_nobody = machine.run("runuser", "-u", "nobody", "--", *search, *places, is_to_work=False)
    assert as_nobody.stdout == ""
    assert KEY not in journal(machine)
    machine.run("kindle-appliance", "key", "--remove")


def test_only_root_and_the_service_can_read_the_key_of_a_server(machine: Machine) -> None:
    install(machine)
    assert machine.run("stat", "--format=%U %a", f"{CONFIG}/keys").stdout == "root 700\n"
    stored, handed_over = f"{CONFIG}/keys/pc.local_11434", "/run/credentials/kindle-appliance.service"
    command = ["kindle-appliance", "key", "--for", "pc.local:11434", "--untried"]
    assert "was stored in" in machine.run(*command, input=f"{SERVER_KEY}\n").stdout
    assert machine.run("stat", "--format=%U %a", stored).stdout == "root 600\n"
    assert machine.run("cat", f"{handed_over}/keys_pc.local_11434").stdout == f"{SERVER_KEY}\n"
    search = ["grep", "--recursive", "--files-with-matches", "--no-messages", "--fixed-strings", SERVER_KEY]
    places = ["/etc", "/opt", "/usr/local", "/var", "/run", "/tmp", f"/proc/{unit(machine, 'MainPID')}/environ"]
    found = machine.run(*search, *places).stdout.split()
    assert set(found) <= {stored, f"{handed_over}/keys_pc.local_11434"}
    assert machine.run("runuser", "-u", "nobody", "--", *search, *places, is_to_work=False).stdout == ""
    assert SERVER_KEY not in journal(machine)
    before = state(machine)
    install(machine)
    assert state(machine) == before
    machine.run("tee", stored, input="another\n")  # such as from an editor
    install(machine)
    assert machine.run("cat", f"{handed_over}/keys_pc.local_11434").stdout == "another\n"
    machine.run("kindle-appliance", "key", "--for", "pc.local:11434", "--remove")
    assert machine.run("ls", handed_over).stdout.split() == ["gemini-key", "pin", "settings.toml"]
    assert "</html>" in get(machine)


def test_the_service_is_back_after_a_crash(machine: Machine) -> None:
    install(machine)
    before = unit(machine, "MainPID")
    restarts = int(unit(machine, "NRestarts"))
    machine.run("kill", "-KILL", before)
    assert "</html>" in get(machine)
    assert unit(machine, "MainPID") != before
    assert int(unit(machine, "NRestarts")) == restarts + 1


def test_a_crash_loop_keeps_the_socket_open_and_ends_without_the_owner(machine: Machine) -> None:
    install(machine)
    machine.run(
        "mv", f"{CONFIG}/pin", "/root/pin"
    )  # systemd does not start a service without its credential's file
    assert machine.run("systemctl", "restart", "kindle-appliance", is_to_work=False).returncode != 0
    restarts = int(unit(machine, "NRestarts"))
    while int(unit(machine, "NRestarts")) < restarts + 2:
        pass
    assert machine.run("systemctl", "is-active", "kindle-appliance.socket").stdout == "active\n"
    machine.run("mv", "/root/pin", f"{CONFIG}/pin")
    assert "</html>" in get(machine)


TELLING = """
import http.client, json, sys
client = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
client.request("GET", sys.argv[1])
response = client.getresponse()
print(json.dumps([response.status, response.getheader("Retry-After"), response.read().decode()]))
"""


def told(machine: Machine, path: str = "/") -> tuple[int, str | None, str]:
    """The status of a page, when to come back, and what it says; waits up to 60 s, but fails at once if refused."""
    status, later, text = json.loads(machine.run("python3", "-c", TELLING, path).stdout)
    return status, later, text


@contextmanager
def trying_every(machine: Machine, seconds: int) -> Iterator[None]:
    """Meanwhile the installed door.py tries again after so many seconds; as it comes, after a minute."""
    door = "/opt/kindle-appliance/current/source/systemd/door.py"
    machine.run("grep", "-qx", "TRY_AGAIN_SECONDS = 60", door)
    machine.run("sed", "-i", f"s/^TRY_AGAIN_SECONDS = 60$/TRY_AGAIN_SECONDS = {seconds}/", door)
    try:
        yield
    finally:
        machine.run("sed", "-i", f"s/^TRY_AGAIN_SECONDS = {seconds}$/TRY_AGAIN_SECONDS = 60/", door)


def mended_after_the_second_try(machine: Machine, cause: str, mend: Callable[[], object], seconds: int) -> int:
    """A service that cannot start serves the page; it serves again when the cause is mended before its third try.
    It tries every `seconds`. Returns how often systemd has started it anew.
    """
    machine.run("systemctl", "restart", "kindle-appliance")
    restarts = int(unit(machine, "NRestarts"))
    status, later, text = told(machine)
    machine.run("journalctl", "--sync")
    tries = journal(machine).count(cause)
    assert (status, later) == (503, f"{seconds}")
    assert "The appliance cannot start" in text and "设备无法启动" in text
    assert json.loads(told(machine, "/healthz")[2])["status"] == "failed"
    assert unit(machine, "StatusText") == "Cannot start: serves a page that says so, and tries again every minute."
    while journal(machine).count(cause) == tries:
        assert told(machine)[0] == 503
    assert told(machine)[0] == 503
    assert (unit(machine, "ActiveState"), unit(machine, "SubState")) == ("active", "running")
    mend()
    while told(machine)[0] == 503:
        pass
    assert "</html>" in get(machine)
    assert unit(machine, "StatusText") == ""
    return int(unit(machine, "NRestarts")) - restarts


@ON_ONE
def test_without_its_environment_the_service_is_a_page_until_that_is_mended(machine: Machine, soak: Soak) -> None:
    install(machine)
    libraries, away = "/opt/kindle-appliance/current/lib", "/opt/kindle-appliance/away"
    machine.run("mv", libraries, away)
    cause, process = "the Python of this system has changed", ""

    def mend() -> None:
        nonlocal process
        process = unit(machine, "MainPID")
        machine.run("mv", away, libraries)

    seconds = soak(5, full=60)
    with trying_every(machine, seconds):
        assert mended_after_the_second_try(machine, cause, mend, seconds) == 0
    assert unit(machine, "MainPID") == process


@ON_ONE
def test_with_wrong_settings_the_service_is_a_page_until_they_are_mended(machine: Machine, soak: Soak) -> None:
    install(machine)
    settings = machine.run("cat", f"{CONFIG}/settings.toml").stdout
    machine.run("tee", f"{CONFIG}/settings.toml", input="port = 0\n")

    def mend() -> None:
        machine.run("tee", f"{CONFIG}/settings.toml", input=settings)

    seconds = soak(5, full=60)
    with trying_every(machine, seconds):
        # systemd reads the settings only when it starts a process, so each try is one.
        assert mended_after_the_second_try(machine, "port = 0, from ", mend, seconds) == 2


def test_the_watchdog_restarts_a_server_that_hangs(machine: Machine) -> None:
    install(machine)
    folder = "/run/systemd/system/kindle-appliance.service.d"
    machine.run("mkdir", "-p", folder)
    machine.run("tee", f"{folder}/test.conf", input="[Service]\nWatchdogSec=8\n")
    try:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "kindle-appliance")
        before = unit(machine, "MainPID")
        machine.run("kill", "-STOP", before)
        while unit(machine, "MainPID") == before:
            pass
        assert "</html>" in get(machine)  # waits for the next process
        assert "Watchdog timeout" in journal(machine)
    finally:
        machine.run("rm", "-r", folder)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "kindle-appliance")


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    install(machine)
    before = state(machine)
    install(machine)
    assert state(machine) == before
    machine.run(INSTALLED, variables=OFFLINE)  # the installed copy of install.sh
    assert state(machine) == before


def test_the_owners_settings_are_kept_and_used(machine: Machine) -> None:
    purge(machine)
    machine.run("mkdir", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input='language = "zh-CN"\n')
    install(machine)
    assert machine.run("cat", f"{CONFIG}/settings.toml").stdout == 'language = "zh-CN"\n'
    assert 'lang="zh-CN"' in get(machine)
    purge(machine)


def test_the_appliance_gets_the_chosen_name_and_starts_on_command(machine: Machine) -> None:
    purge(machine)
    assert "sudo systemctl restart" in install(machine, "new", "--no-start", "--name", "books")
    assert machine.run("systemctl", "is-active", "kindle-appliance", is_to_work=False).stdout == "inactive\n"
    with pytest.raises(AssertionError, match="Connection refused"):
        get(machine)
    machine.run("systemctl", "start", "kindle-appliance.socket", "kindle-appliance.service")
    assert "</html>" in get(machine)
    assert "http://books.local/ " in install(machine)
    assert 'Write name = "atlas" there' in refuse(machine, "--name", "atlas")
    purge(machine)


def test_the_port_can_be_closed_and_opened_many_times_in_a_row(machine: Machine) -> None:
    """systemd refuses the sixth start of a unit within ten seconds, unless the unit says otherwise."""
    install(machine)
    for _ in range(8):
        machine.run("systemctl", "stop", "kindle-appliance.service", "kindle-appliance.socket")
        machine.run("systemctl", "start", "kindle-appliance.socket")
    assert "</html>" in get(machine)


# ---- Restarts and upgrades

CLIENT = """
import json, select, socket, sys, threading, time
failures, pages, longest, threads = [], 0, 0.0, []
def come(number):
    global pages, longest
    began = time.monotonic()
    try:
        own = ("127.0.%d.%d" % (1 + number // 200 % 200, 1 + number % 200), 0)
        with socket.create_connection(("127.0.0.1", 80), 60, own) as client:
            client.sendall(b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n")
            page = b"".join(iter(lambda: client.recv(65536), b""))
        if page.startswith(b"HTTP/1.1 200 ") and b"</html>" in page:
            pages += 1
        else:
            failures.append(repr(page[:100]))
    except OSError as error:
        failures.append(repr(error))
    longest = max(longest, time.monotonic() - began)
number = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0] and number < 20000:
    threads.append(threading.Thread(target=come, args=(number,)))
    threads[-1].start()
    number += 1
for each in threads:
    each.join()
print(json.dumps({"failures": failures, "pages": pages, "longest": longest}))
"""


@contextmanager
def busy_client(machine: Machine) -> Iterator[None]:
    """A client that connects every 20 ms throughout; no connection may be refused or cut."""
    client = subprocess.Popen(
        [*machine.inside(), "python3", "-c", CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert client.stdout is not None and client.stdout.readline() == "ready\n"
        yield
        said = json.loads(client.communicate(input="\n", timeout=120)[0])
    finally:
        client.kill()
        client.wait()
    print(f"{machine.debian.suite}: {said['pages']} pages, the slowest after {said['longest']:.1f} s")
    assert said["failures"] == []
    assert said["pages"] > 10


def test_no_client_is_refused_during_a_restart_or_an_upgrade(machine: Machine) -> None:
    purge(machine)
    install(machine, "old")
    page = ask(machine, "Where do the chats go?")
    with busy_client(machine):
        machine.run("systemctl", "restart", "kindle-appliance")
    assert version(machine) == OLD_VERSION
    with busy_client(machine):
        assert f"Version {__version__} serves" in install(machine, "new")
    assert version(machine) == __version__
    assert "Where do the chats go?" in get(machine, page)
    versions = machine.run("ls", "/opt/kindle-appliance/versions").stdout.split()
    assert [each.partition("-")[0] for each in versions] == [
        OLD_VERSION,
        __version__,
    ]  # the old one stays for a rollback


OF_VERSION_0_1 = """language = "zh-CN"
models = ["gemini-3.8-flash", "gemini-flash-latest"]
thinking_budget = 0
proxy = "http://127.0.0.1:9"
"""


def test_an_upgrade_from_version_0_1_makes_the_folder_of_keys_and_takes_its_settings(
    machine: Machine,
) -> None:
    purge(machine)
    machine.run("mkdir", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input=OF_VERSION_0_1)
    install(machine, "old")
    machine.run("rmdir", f"{CONFIG}/keys")
    before = machine.files()
    done = machine.run("/root/broken/install.sh", variables=OFFLINE, is_to_work=False)
    assert "put back as it was" in done.stderr and "does not start either" not in done.stderr
    assert machine.files() == before and version(machine) == OLD_VERSION
    with busy_client(machine):
        check_what_runs(machine, install(machine))
    assert machine.run("stat", "--format=%U %a", f"{CONFIG}/keys").stdout == "root 700\n"
    assert machine.run("cat", f"{CONFIG}/settings.toml").stdout == OF_VERSION_0_1
    said = machine.run("kindle-appliance", "settings").stdout
    assert re.search(r"^models +gemini-3.8-flash, gemini-flash-latest +/etc/", said, re.MULTILINE)
    assert re.search(r"^thinking_budget +0 +/etc/", said, re.MULTILINE)
    assert 'lang="zh-CN"' in get(machine)
    purge(machine)


def test_a_version_that_does_not_start_is_rolled_back(machine: Machine) -> None:
    install(machine)
    page = ask(machine, "What if it breaks?")
    before = machine.files()
    done = machine.run("/root/broken/install.sh", variables=OFFLINE, is_to_work=False)
    assert done.returncode == 1
    assert "this version is broken" in done.stderr
    assert "put back as it was" in done.stderr and "does not start either" not in done.stderr
    assert machine.files() == before
    assert version(machine) == __version__
    assert "What if it breaks?" in get(machine, page)


@ON_ONE
def test_a_purge_follows_no_link_in_the_services_folder(machine: Machine) -> None:
    install(machine)
    machine.run("sh", "-c", "mkdir /root/keep && echo kept > /root/keep/file")
    for name, target in (
        ("folder", "/root/keep"),
        ("chats.sqlite-old", "/root/keep/file"),
        ("nothing", "/nowhere"),
    ):
        machine.run("ln", "-s", target, f"/var/lib/kindle-appliance/{name}")
    machine.run("/root/new/install.sh", "--purge")
    assert machine.run("cat", "/root/keep/file").stdout == "kept\n"
    machine.run("test", "!", "-e", "/var/lib/private/kindle-appliance")
    machine.run("test", "!", "-L", "/var/lib/kindle-appliance")
    machine.run("rm", "-r", "/root/keep")


@ON_THE_OTHER
@pytest.mark.parametrize(
    ("name", "reason"),
    [("pageless", "serves no pages: the first page has status 500"), ("worse", "this version does not like them")],
)
def test_a_version_without_pages_or_with_a_new_failure_is_rolled_back(
    machine: Machine, name: str, reason: str
) -> None:
    install(machine)
    machine.run("kindle-appliance", "pin", input=f"{PIN}\n")  # the pages behind it are fetched
    before = machine.files()
    done = machine.run(f"/root/{name}/install.sh", variables=OFFLINE, is_to_work=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "put back as it was" in done.stderr and "does not start either" not in done.stderr
    assert "Putting everything back as it was ..." in done.stdout
    assert machine.files() == before
    assert "serves on port 80" in install(machine), "and so are they at an installation that succeeds"
    machine.run("kindle-appliance", "pin", "--remove")
    assert version(machine) == __version__
    assert "</html>" in get(machine)


@ON_ONE
def test_a_second_interrupt_does_not_cut_the_roll_back_short(machine: Machine) -> None:
    install(machine)
    before = machine.files()
    terminal = subprocess.Popen(
        [*machine.inside(OFFLINE), "script", "-qec", "/root/pageless/install.sh", "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert terminal.stdin is not None and terminal.stdout is not None
    said = b""
    while b"Starting" not in said:
        said += terminal.stdout.read(1)
    while build(machine).partition("-")[0] != VARIANTS["pageless"][0]:
        pass
    terminal.stdin.write(b"\x03")
    while b"Putting everything back" not in said:
        piece = terminal.stdout.read(1)
        assert piece, said
        said += piece
    for _ in range(3):
        terminal.stdin.write(b"\x03")
    said += terminal.stdout.read()
    assert terminal.wait(60) == 130, said
    terminal.stdin.close()
    assert machine.files() == before
    assert version(machine) == __version__
    assert "</html>" in get(machine)


# ---- What is said to run, runs


def build(machine: Machine) -> str:
    """The build that the running appliance names; "" while none answers."""
    script = (
        "import json, urllib.request as web;"
        "print(json.load(web.urlopen('http://127.0.0.1/healthz', timeout=60))['build'])"
    )
    return machine.run("python3", "-c", script, is_to_work=False).stdout.strip()


def check_what_runs(machine: Machine, said: str) -> None:
    """Assert that the version, build, key and port that an installer has reported are those of the process."""
    told = re.search(r"Version (\S+) serves on port 80\.", said)
    assert told, said
    assert version(machine) == told[1]
    current = machine.run("readlink", "/opt/kindle-appliance/current").stdout.strip()
    assert current.endswith(f"/{build(machine)}")
    handed_over = "/run/credentials/kindle-appliance.service"
    for name in ("settings.toml", "gemini-key", "pin"):
        machine.run("cmp", f"{CONFIG}/{name}", f"{handed_over}/{name}")
    assert unit(machine, "NeedDaemonReload") == "no"
    assert "</html>" in get(machine)


@ON_THE_OTHER
def test_after_an_installation_without_start_the_next_run_restarts_what_is_old(machine: Machine) -> None:
    purge(machine)
    install(machine, "old")
    install(machine, "new", "--no-start")
    assert version(machine) == OLD_VERSION
    said = install(machine)
    assert f"Version {__version__} serves" in said
    check_what_runs(machine, said)
    machine.run("kindle-appliance", "key", "--untried", "--no-restart", input=f"{KEY}\n")
    assert "Demo:" in get(machine)
    check_what_runs(machine, install(machine))
    assert "Demo:" not in get(machine)
    before = state(machine)
    install(machine)
    assert state(machine) == before, "nothing is owed any more"
    machine.run("kindle-appliance", "key", "--remove")


STEPS_OF = (
    *("write_settings", "store_model", "keep_settings", "store_key", "find_previous", "put_in_place", "put"),
    *("put_link", "start", "run_units", "check_version", "forget_old_versions"),
)
STEP = r"^    (?!fi\b|done\b|esac\b|else\b|elif\b|then\b|do\b)(?=[a-z!\[(])"


def with_steps(script: str) -> str:
    """An install.sh that counts its steps and kills itself before one of them, the one of the variable KILL_AT."""
    head, body = script.split("\nmain() {", 1)
    body = f"\nmain() {{{body}"
    step = 'step() {\n    steps=$((steps + 1))\n    [ "${steps}" != "${KILL_AT:-}" ] || kill -KILL "$$"\n}\n'
    for name in STEPS_OF:
        before, code, after = re.split(rf"(?s)(?<=\n)({name}\(\) {{\n.*?\n}}\n)", body, maxsplit=1)
        lines = code.split("\n")
        for index in range(len(lines) - 1, 0, -1):
            if re.match(STEP, lines[index]) and not lines[index - 1].endswith(("\\", "|")):
                lines.insert(index, "    count_step")
        body = before + "\n".join(lines) + after
    done = '        echo "${steps}" > /root/steps\n        say_done\n'
    assert body.count("        say_done\n") == 1
    body = body.replace("        say_done\n", done)
    return f"{head}\nsteps=0\n{step.replace('step()', 'count_step()')}{body}"


def belongings(machine: Machine) -> dict[str, str]:
    """The settings and the keys of servers, by name of the file."""
    folder = machine.root / CONFIG.lstrip("/")
    return {each.name: each.read_text() for each in (folder / "settings.toml", *(folder / "keys").iterdir())}


def put_belongings(machine: Machine, wanted: dict[str, str]) -> None:
    """Put these in place of the settings and the keys of servers, as their owner may."""
    folder = machine.root / CONFIG.lstrip("/")
    for name in belongings(machine).keys() - wanted.keys():
        (folder / "keys" / name).unlink()
    for name, text in wanted.items():
        place = folder / ("" if name == "settings.toml" else "keys") / name
        place.touch(mode=0o600)
        place.write_text(text)


@ON_THE_OTHER
def test_after_a_kill_at_any_step_the_next_run_says_what_is_true_and_nothing_of_the_owners_is_lost(
    machine: Machine, soak: Soak
) -> None:
    # Two versions take turns, and two keys.
    purge(machine)
    settings = 'gemini_url = "http://127.0.0.1:9"\n'
    machine.run("mkdir", "-p", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input=settings)
    for name in ("old", "new"):
        machine.run("sh", "-c", f"rm -rf {name}-steps; cp -a {name} {name}-steps")
        script = machine.root / "root" / f"{name}-steps" / "install.sh"
        script.write_text(with_steps(script.read_text(encoding="utf-8")), encoding="utf-8")
    for each in ("key", "server-key"):
        SCANNER.exempt(machine.changes / "root" / each)
    keys = (KEY, f"{KEY[:-1]}-")
    wish = ("--key-file", "key", "--model-server", "127.0.0.1:9001", "--model-key-file", "server-key")
    install(machine, "old-steps")
    machine.run("sh", "-c", f"echo {keys[1]} > key; echo {SERVER_KEY} > server-key")
    with started(machine, "models", "python3", "-c", MODEL_SERVER, SERVER_KEY):
        wait_for_listener(machine, 9001)
        check_what_runs(machine, install(machine, "new-steps", *wish))
        steps = int((machine.root / "root" / "steps").read_text())
        assert steps > 50
        killed = 0
        for turn, step in enumerate(range(1, steps + 1, soak(11, full=1))):
            name = ("old-steps", "new-steps")[turn % 2]
            machine.run("sh", "-c", f"echo {keys[turn % 2]} > key")
            put_belongings(machine, {"settings.toml": settings, "pc.local_1": f"first-{turn}"})
            command = (f"/root/{name}/install.sh", *wish)
            done = machine.run(*command, variables={**OFFLINE, "KILL_AT": str(step)}, is_to_work=False)
            assert done.returncode in (-9, 137) or step > steps - 5, (step, done)
            killed += done.returncode != 0
            left = belongings(machine)
            assert (settings in left["settings.toml"], left["pc.local_1"]) == (True, f"first-{turn}")
            later = {"settings.toml": left["settings.toml"] + f"# {turn}\n", "pc.local_2": f"second-{turn}"}
            put_belongings(machine, left | later)
            if turn % 2:
                no_key = {**OFFLINE, "GEMINI_API_KEY": "no key"}
                assert machine.run(f"/root/{name}/install.sh", variables=no_key, is_to_work=False).returncode == 1
                assert belongings(machine) == left | later
            check_what_runs(machine, install(machine, name))
            assert belongings(machine) == left | later
    soak.tell(f"killed before {killed} of {steps} steps: what the next run said was true each time")
    machine.run("rm", "key", "server-key")
    purge(machine)


FULL = """#!/bin/sh
for last; do :; done
case ${{last}} in
    {folder}/*) ;;
    *) exec /bin/cp "$@" ;;
esac
if [ -d "${{last}}" ]; then /bin/cp -a "$2" "${{last}}"; else echo half > "${{last}}"; fi
echo "cp: error writing '${{last}}': No space left on device" >&2
exit 1
"""
"""A cp that finds the file system with `folder` full: of several files it copies the first, of one only a part."""


@ON_ONE
@pytest.mark.parametrize("folder", ["/run", "/etc"])
def test_on_a_full_disk_a_run_that_fails_loses_neither_settings_nor_keys(machine: Machine, folder: str) -> None:
    purge(machine)
    install(machine)
    put_belongings(machine, belongings(machine) | {"pc.local_1": "first"})
    before = belongings(machine)
    of_systemd = "/etc/systemd/system/kindle-appliance.service"
    machine.run("sh", "-c", f"echo '# of the owner' >> {of_systemd}")  # so that a run would write it anew
    changed = machine.run("cat", of_systemd).stdout
    machine.run("tee", "/usr/local/sbin/cp", input=FULL.format(folder=folder))
    machine.run("chmod", "+x", "/usr/local/sbin/cp")
    try:
        with started(machine, "models", "python3", "-c", MODEL_SERVER, SERVER_KEY):
            wait_for_listener(machine, 9001)
            machine.run("sh", "-c", f"echo {SERVER_KEY} > key")
            wish = ("--model-server", "127.0.0.1:9001", "--model-key-file", "key")
            done = machine.run("/root/new/install.sh", *wish, variables=OFFLINE, is_to_work=False)
    finally:
        machine.run("rm", "-f", "/usr/local/sbin/cp", "key")
    assert done.returncode == 1 and "No space left on device" in done.stderr
    after = belongings(machine)
    settings = after.pop("settings.toml")
    assert after == {"pc.local_1": "first"}
    if folder == "/run":
        assert settings == before["settings.toml"]
    else:
        assert settings.endswith(before["settings.toml"][-200:])
        assert f"{CONFIG}/settings.toml could not be put back as it was." in done.stderr
    assert machine.run("cat", of_systemd).stdout == changed
    check_what_runs(machine, install(machine))
    purge(machine)


def test_the_appliance_is_back_with_its_chats_after_a_reboot(machine: Machine) -> None:
    install(machine)
    page = ask(machine, "What is left in the morning?")
    machine.reboot()
    machine.connect(f"{ADDRESS}/24")
    assert "What is left in the morning?" in get(machine, page)


@ON_ONE
def test_addresses_of_containers_and_tunnels_are_not_offered(machine: Machine) -> None:
    inner = {"docker0": "172.17.0.1", "tailscale0": "100.101.102.103"}
    for device, address in inner.items():
        machine.run("ip", "link", "add", device, "type", "veth", "peer", "name", f"veth-{device}")
        machine.run("ip", "address", "add", f"{address}/16", "dev", device)
        for each in (device, f"veth-{device}"):
            machine.run("ip", "link", "set", each, "up")
    try:
        said = install(machine)
    finally:
        for device in inner:
            machine.run("ip", "link", "delete", device)
    assert f"http://{ADDRESS}/\n" in said
    assert not any(address in said for address in inner.values())


@ON_ONE
def test_the_next_run_completes_an_installation_that_was_killed(machine: Machine) -> None:
    purge(machine)
    half = subprocess.Popen([*machine.inside(OFFLINE), "/root/new/install.sh"], stdout=subprocess.DEVNULL)
    folder = machine.root / "opt" / "kindle-appliance" / "versions"
    while not list(folder.glob("*/pip.log")):
        assert half.poll() is None
    machine.run("pkill", "-KILL", "--full", "install.sh|/opt/kindle-appliance")
    half.wait(60)
    assert list(folder.glob("*")) and not list(folder.glob("*/complete"))
    install(machine)
    assert "</html>" in get(machine)
    assert not list(folder.glob("*/pip.log"))


# ---- Ports and names


@contextmanager
def started(machine: Machine, name: str, *command: str) -> Iterator[None]:
    """A program that meanwhile runs in the machine, as a unit of its own."""
    machine.run("systemd-run", f"--unit={name}", "--collect", "--quiet", *command)
    try:
        yield
    finally:
        machine.run("systemctl", "stop", name)


LISTEN = "import socket, time; door = socket.create_server(('', 80)); print('listens', flush=True); time.sleep(600)"


def wait_for_listener(machine: Machine, port: int, protocol: str = "t") -> None:
    while not machine.run("ss", f"-Hln{protocol}", f"sport = :{port}").stdout:
        pass


def test_a_taken_port_is_named_with_its_program_and_the_next_one_is_used(machine: Machine) -> None:
    purge(machine)
    with started(machine, "other", "python3", "-c", LISTEN):
        wait_for_listener(machine, 80)
        assert re.search(
            r"Port 80 is used by python3.* \(process \d+\)\. .*--port", refuse(machine, "--port", "80")
        )
        said = install(machine)
        assert re.search(r"Port 80 is used by python3.* \(process \d+\): the appliance takes 8080", said)
        assert f"http://{ADDRESS}:8080/" in said
        assert "</html>" in get(machine, port=8080)
    before = state(machine)
    install(machine)
    assert state(machine) == before, "a port once chosen is kept"
    install(machine, "new", "--port", "8081")
    assert "</html>" in get(machine, port=8081)
    assert ":8080" not in machine.run("ss", "-Hltn").stdout
    install(machine, "new", "--port", "80")
    assert "</html>" in get(machine)
    assert "systemd/system/kindle-appliance.socket.d" not in str(machine.files())


DNS = """
import socket, struct
own = [bytes([192, 168, 1, 23])]
called = [b"\\x0braspberrypi\\x05fritz\\x03box\\x00", b"\\x05my_pi\\x05fritz\\x03box\\x00"]
names = {b"23.1.168.192.in-addr.arpa": (12, called),
         b"raspberrypi.fritz.box": (1, own), b"my_pi.fritz.box": (1, own)}
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("127.0.0.1", 53))
while True:
    asked, who = door.recvfrom(512)
    labels, place = [], 12
    while asked[place]:
        labels.append(asked[place + 1 : place + 1 + asked[place]])
        place += 1 + asked[place]
    question, (kind,) = asked[12 : place + 5], struct.unpack("!H", asked[place + 1 : place + 3])
    known, data = names.get(b".".join(labels).lower(), (0, []))
    found = data if known == kind else []
    answer = b"".join(b"\\xc0\\x0c" + struct.pack("!HHIH", kind, 1, 60, len(each)) + each for each in found)
    flags = 0x8180 if known else 0x8183
    door.sendto(asked[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0) + question + answer, who)
"""


@ON_ONE
def test_the_name_in_the_routers_dns_is_printed_too_and_leads_to_the_page(machine: Machine) -> None:
    purge(machine)
    machine.run("cp", "/etc/resolv.conf", "/root/resolv.conf")
    try:
        with started(machine, "router", "python3", "-c", DNS):
            wait_for_listener(machine, 53, "u")
            machine.run("sh", "-c", "echo nameserver 127.0.0.1 > /etc/resolv.conf")
            said = install(machine)
            assert "http://raspberrypi.fritz.box/   (so your router calls this machine)" in said
            assert "my_pi" not in said, "not a valid host name"
            assert "</html>" in get(machine, host="raspberrypi.fritz.box")
            # Settings of the owner are kept, and the output says what to add to them.
            machine.run("sed", "-i", "/^hosts = /d", f"{CONFIG}/settings.toml")
            machine.run("systemctl", "restart", "kindle-appliance")
            assert 'first add "raspberrypi.fritz.box" to hosts in' in install(machine)
    finally:
        machine.run("sh", "-c", "cat /root/resolv.conf > /etc/resolv.conf")
    purge(machine)


FIREWALLS = {
    "ufw": ("echo Status: active", "The firewall ufw is active .*: sudo ufw allow 80/tcp"),
    "firewall-cmd": ("exit 0", "The firewall firewalld is active .*--add-port=80/tcp"),
    "nft": (
        "echo 'type filter hook input priority filter; policy drop;'",
        "The firewall nftables is active .* 80 in",
    ),
}


@ON_ONE
@pytest.mark.parametrize(("program", "script", "sentence"), [(each, *FIREWALLS[each]) for each in FIREWALLS])
def test_an_active_firewall_is_named(machine: Machine, program: str, script: str, sentence: str) -> None:
    install(machine)
    place = f"/usr/local/bin/{program}"
    machine.run("tee", place, input=f"#!/bin/sh\n{script}\n")
    machine.run("chmod", "+x", place)
    try:
        assert re.search(sentence, install(machine))
    finally:
        machine.run("rm", place)
    assert "firewall" not in install(machine)


# ---- Trying a key

GOOGLE = """
import http.server, json, sys
class Google(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers["x-goog-api-key"] == sys.argv[1]
        error = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid.",
                 "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}
        models = {"models": [{"name": "models/m", "supportedGenerationMethods": ["generateContent"]}]}
        body = json.dumps(models if good else error).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", 9000), Google).serve_forever()
"""


def test_a_bad_key_is_asked_for_again_on_a_terminal_and_refused_elsewhere(machine: Machine) -> None:
    purge(machine)
    machine.run("mkdir", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input='gemini_url = "http://127.0.0.1:9000"\n')
    with started(machine, "google", "python3", "-c", GOOGLE, KEY):
        wait_for_listener(machine, 9000)
        before = machine.files()
        done = machine.run(
            "/root/new/install.sh", variables={**OFFLINE, "GEMINI_API_KEY": "AQ.wrong"}, is_to_work=False
        )
        assert done.returncode == 1
        assert "install.sh: The key was not taken" in done.stderr
        assert machine.files() == before
        bring_versions(machine)
        terminal = subprocess.Popen(
            [*machine.inside(OFFLINE), "script", "-qec", "/root/new/install.sh", "/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        said = b""

        def answer(prompt: str, text: str) -> None:
            nonlocal said
            assert terminal.stdout is not None and terminal.stdin is not None
            while not said.endswith(prompt.encode()):
                piece = terminal.stdout.read(1)
                assert piece, said
                said += piece
            terminal.stdin.write(f"{text}\n".encode())

        answer("1, 2 or 3? ", "1")
        answer("Store a key now? [Y/n] ", "y")
        answer("(it is not shown): ", "AQ.wrong")
        answer("Try another key? [Y/n] ", "y")
        answer("(it is not shown): ", KEY)
        rest = terminal.communicate(timeout=120)[0]
        assert terminal.returncode == 0, said + rest
    SCANNER.scan("output", said + rest)
    assert KEY.encode() not in said + rest
    told, before_key = said.decode().partition("Store a key now?")[0].split("1, 2 or 3?")
    assert "gemini-api/terms" not in told, "only who chooses Gemini reads what to know of it"
    for each in ("aistudio", "Everybody at home sees every chat", "Google gets every question", "gemini-api/terms"):
        assert each in before_key
    assert machine.run("cat", f"{CONFIG}/gemini-key").stdout == f"{KEY}\n"
    assert "Demo:" not in get(machine)
    purge(machine)


# ---- A model server

MODEL_SERVER = """
import http.server, json, sys
class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer("application/json", json.dumps({"data": [{"id": "small"}]}))
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        first = {"choices": [{"delta": {"content": "I am at home."}}]}
        last = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        chunks = "".join(f"data: {json.dumps(each)}\\n\\n" for each in (first, last))
        self.answer("text/event-stream", chunks + "data: [DONE]\\n\\n")
    def answer(self, kind, text):
        status = 200 if self.headers["Authorization"] == f"Bearer {sys.argv[1]}" else 401
        body = text if status == 200 else json.dumps({"error": {"message": "Invalid API Key", "code": 401}})
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
http.server.ThreadingHTTPServer(("127.0.0.1", 9001), Server).serve_forever()
"""


def test_a_model_server_of_the_command_line_answers_with_its_key_and_a_failed_run_leaves_neither(
    machine: Machine,
) -> None:
    purge(machine)
    wish = ("--model-server", "127.0.0.1:9001", "--model-key-file", "key")
    with started(machine, "models", "python3", "-c", MODEL_SERVER, SERVER_KEY):
        wait_for_listener(machine, 9001)
        before = machine.files()
        machine.run("sh", "-c", "echo wrong > key")
        done = machine.run("/root/new/install.sh", *wish, variables=OFFLINE, is_to_work=False)
        assert done.returncode == 1 and "install.sh: The model server was not taken, as said above." in done.stderr
        assert "--model-key-file FILE" in done.stderr and " --key-file" not in done.stderr
        assert "For other options, " in done.stderr and "models add ADDRESS" in done.stderr
        assert machine.files() - {"root/key"} == before
        machine.run("sh", "-c", f"echo {SERVER_KEY} > key")
        said = install(machine, "new", *wish)
        assert SERVER_KEY not in said and "Demo:" not in get(machine)
        assert machine.run("cat", f"{CONFIG}/keys/127.0.0.1_9001").stdout == f"{SERVER_KEY}\n"
        assert "I am at home." in get(machine, ask(machine, "Where are you?"))
        check_what_runs(machine, said)
        installed = state(machine)
        install(machine, "new", *wish)
        assert state(machine) == installed
        kept = machine.run("cat", f"{CONFIG}/settings.toml").stdout
        machine.run("kindle-appliance", "key", "--for", "127.0.0.1", "--remove")
        before = machine.files()
        done = machine.run("/root/broken/install.sh", *wish, variables=OFFLINE, is_to_work=False)
        assert "put back as it was" in done.stderr and "does not start either" not in done.stderr
        assert machine.files() == before, "the key is taken back"
        assert machine.run("cat", f"{CONFIG}/settings.toml").stdout == kept
    machine.run("rm", "key")
    purge(machine)


@ON_ONE
def test_a_key_and_a_model_server_of_one_command_line_are_both_in_the_list(machine: Machine) -> None:
    purge(machine)
    machine.run("mkdir", CONFIG)
    machine.run("tee", f"{CONFIG}/settings.toml", input='gemini_url = "http://127.0.0.1:9"\n')
    machine.run("sh", "-c", f"echo {KEY} > key; echo {SERVER_KEY} > server-key")
    wish = ("--key-file", "key", "--model-key-file", "server-key", "--model-server")
    with started(machine, "models", "python3", "-c", MODEL_SERVER, SERVER_KEY):
        wait_for_listener(machine, 9001)
        check_what_runs(machine, install(machine, "new", *wish, "127.0.0.1:9001"))
        listed = machine.run("kindle-appliance", "models", is_to_work=False).stdout
        assert re.search(r"^1 +gemini-", listed, re.MULTILINE)
        assert re.search(r"^[2-9] +small +127\.0\.0\.1:9001 .* ready$", listed, re.MULTILINE)
        assert "I am at home." in get(machine, ask(machine, "Is anybody at home?"))
    before = belongings(machine)
    machine.run("sh", "-c", f"echo {KEY[:-1]}- > key")
    done = machine.run("/root/new/install.sh", *wish, "127.0.0.1:9", variables=OFFLINE, is_to_work=False)
    assert "The model server was not taken" in done.stderr
    assert machine.run("cat", f"{CONFIG}/gemini-key").stdout == f"{KEY}\n", "the key is taken back, too"
    assert belongings(machine) == before
    machine.run("rm", "key", "server-key")
    purge(machine)


# ---- The README


@ON_ONE
def test_the_readme_shows_what_a_first_installation_prints(machine: Machine) -> None:
    purge(machine)
    bring_versions(machine)
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("    $ sudo ./install.sh\n")[2]
    shown = shown.partition("\n### ")[0]
    machine.run("cp", "/etc/resolv.conf", "/root/resolv.conf")
    # The machine has the zone of its host, as a mount.
    zone = "umount -q /etc/localtime; ln -sf /usr/share/zoneinfo/Europe/Berlin /etc/localtime"
    machine.run("sh", "-c", zone)
    try:
        with started(machine, "router", "python3", "-c", DNS):
            wait_for_listener(machine, 53, "u")
            machine.run("sh", "-c", "echo nameserver 127.0.0.1 > /etc/resolv.conf")
            command = [*machine.inside(OFFLINE), "script", "-qec", "/root/new/install.sh", "/dev/null"]
            done = subprocess.run(command, input=b"3\n", capture_output=True, check=True, timeout=240)
    finally:
        machine.run("sh", "-c", "cat /root/resolv.conf > /etc/resolv.conf; rm /etc/localtime")
    printed = done.stdout.decode().replace("\r", "").removeprefix("3\n")  # typed before it was asked for
    # What earlier tests have built is there already, to save the time.
    printed = printed.replace("  It is here already.\n", "")

    def plain(text: str) -> list[str]:
        text = re.sub(r"1, 2 or 3\? (3\n)?", "1, 2 or 3?\n", re.sub(r"-[0-9a-f]{8}-", "-BUILD-", text))
        return [line.strip() for line in text.splitlines() if line.strip()]

    assert plain(printed) == plain(shown)
    purge(machine)


# ---- Uninstalling


@ON_ONE
def test_uninstalling_says_when_nothing_is_there_and_prints_the_command_that_removes_the_rest(
    machine: Machine,
) -> None:
    purge(machine)
    before = machine.files()
    said = machine.run("/root/new/install.sh", "--uninstall").stdout
    assert "not installed on this machine: there is nothing to remove" in said and "rm -rf" not in said
    assert machine.files() == before
    install(machine)
    ask(machine, "What is left?")
    said = machine.run(INSTALLED, "--uninstall").stdout
    (command,) = re.findall("^ +(sudo rm -rf .*)$", said, re.MULTILINE)
    assert f"    {command}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert command in machine.run("/root/new/install.sh", "--uninstall").stdout, "it is said again"
    machine.run("sh", "-c", command.removeprefix("sudo "))
    assert machine.files() == before


def test_uninstalling_keeps_settings_and_chats_and_purging_leaves_nothing(machine: Machine) -> None:
    purge(machine)
    pristine = machine.files()
    install(machine)
    page = ask(machine, "Will it be back?")
    machine.run("mv", "/root/new", "/root/gone")  # uninstalling does not need the clone
    try:
        machine.run(INSTALLED, "--uninstall")
    finally:
        machine.run("mv", "/root/gone", "/root/new")
    left = {
        each for each in machine.files() - pristine if not re.match("var/lib/(private/)?kindle-appliance", each)
    }
    assert left == {"etc/kindle-appliance"} | {
        f"etc/kindle-appliance/{each}" for each in ("settings.toml", "gemini-key", "keys", "pin")
    }
    assert machine.run("systemctl", "cat", "kindle-appliance", is_to_work=False).returncode != 0
    with pytest.raises(AssertionError, match="Connection refused"):
        get(machine)
    install(machine)
    assert "Will it be back?" in get(machine, page)
    purge(machine)
    assert machine.files() == pristine
    deadline = time.monotonic() + 60
    while units := machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "kindle*").stdout:
        assert time.monotonic() < deadline, units + machine.run("systemctl", "show", "kindle-appliance").stdout
        machine.run("systemctl", "daemon-reload")  # systemd forgets a removed unit when it looks at it again
    assert "kindle" not in machine.run("cat", "/etc/passwd", "/etc/group").stdout


# ---- Refusals

WRONG = {
    "no port": (["--port", "0"], "--port 0 is not a port.*1 to 65535"),
    "a port beyond all": (["--port", "65536"], "--port 65536 is not a port"),
    "a port in words": (["--port", "http"], "--port http is not a port"),
    "a port without number": (["--port"], "--port needs a value"),
    "a key file without name": (["--key-file", ""], "--key-file needs a value"),
    "a name with dots": (["--name", "kindle.local"], "letters, digits and hyphens"),
    "a name that is too long": (["--name", "k" * 31], "too long. Use at most 30"),
    "a model without its server": (["--model", "small"], "--model and --model-key-file say more .* --model-server"),
    "a key file of a server that is not there": (
        ["--model-server", "pc", "--model-key-file", "/nowhere"],
        "/nowhere is not a plain file",
    ),
    "an unknown option": (["--ports"], "--ports is not an option.*--help"),
    "a key as an option": ([f"--key={KEY}"], "--key is not an option.*--help"),
    "a key alone": ([KEY], "a word too many; it is not shown.*--help"),
    "a key file that is not there": (["--key-file", "/nowhere"], "/nowhere cannot be read"),
    "a folder for a key file": (["--key-file", "/etc"], "/etc is not a plain file"),
    "a device for a key file": (["--key-file", "/dev/zero"], "/dev/zero is not a plain file"),
    "a pipe for a key file": (["--key-file", "/root/pipe"], "/root/pipe is not a plain file"),
    "an empty key file": (["--key-file", "/root/empty"], "/root/empty is empty"),
    "a huge key file": (["--key-file", "/root/huge"], "/root/huge has more than 4096 bytes"),
}


@ON_ONE
@pytest.mark.parametrize(("options", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_option_is_named_and_changes_nothing(machine: Machine, options: list[str], sentence: str) -> None:
    machine.run("sh", "-c", "mkfifo pipe; touch empty; truncate --size=1G huge")
    try:
        assert re.search(sentence, refuse(machine, *options))
    finally:
        machine.run("rm", "pipe", "empty", "huge")


@ON_ONE
def test_a_user_other_than_root_is_told_to_use_sudo(machine: Machine) -> None:
    machine.run("cp", "-r", "/root/new", "/tmp/new")
    command = ("runuser", "-u", "nobody", "--", "/tmp/new/install.sh")
    assert "sudo ./install.sh" in refuse(machine, command=command)
    machine.run("rm", "-r", "/tmp/new")


@contextmanager
def instead_of(machine: Machine, path: str, text: str) -> Iterator[None]:
    """Replace a file for the time being."""
    machine.run("tee", "/tmp/instead", input=text)
    machine.run("chmod", "+x", "/tmp/instead")
    machine.run("mount", "--bind", "/tmp/instead", path)
    try:
        yield
    finally:
        machine.run("umount", path)


@ON_ONE
def test_an_unknown_or_too_old_system_is_named(machine: Machine) -> None:
    with instead_of(machine, "/usr/lib/os-release", 'ID=fedora\nPRETTY_NAME="Fedora Linux 41"\n'):
        assert "This is Fedora Linux 41; install.sh knows Debian and Raspberry Pi OS" in refuse(machine)
    with instead_of(machine, "/usr/bin/systemctl", "#!/bin/sh\necho 'systemd 247 (247.3-7)'\n"):
        assert "is too old: it has systemd 247. Install" in refuse(machine)


@ON_ONE
def test_a_missing_venv_module_is_named_with_its_package(machine: Machine) -> None:
    folder = f"/usr/lib/python{machine.debian.python}/ensurepip"
    machine.run("mv", folder, "/tmp/ensurepip")
    try:
        assert "sudo apt install python3-venv" in refuse(machine)
    finally:
        machine.run("mv", "/tmp/ensurepip", folder)


@contextmanager
def small_disk(machine: Machine, options: str) -> Iterator[None]:
    machine.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", "/opt")
    try:
        yield
        assert machine.run("ls", "/opt").stdout == ""
    finally:
        machine.run("umount", "/opt")


@ON_ONE
def test_a_full_disk_is_reported_beforehand_and_when_it_fills(machine: Machine) -> None:
    purge(machine)
    with small_disk(machine, "size=20m"):
        assert re.search(r"Only \d+ MB are free for /opt; .* needs 150 MB", refuse(machine))
    with small_disk(machine, "size=200m,nr_inodes=600"):
        assert "The disk is full. Make room" in refuse(machine)


@ON_ONE
def test_missing_packages_are_blamed_on_the_internet_or_the_named_folder(machine: Machine) -> None:
    purge(machine)
    assert "internet" in refuse(machine, PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert "A package is not in /nowhere" in refuse(machine, PIP_FIND_LINKS="/nowhere")


@ON_ONE
def test_an_installation_that_fails_before_storing_a_key_leaves_the_old_one(machine: Machine) -> None:
    purge(machine)
    new, broken = ("/root/new/install.sh",), ("/root/broken/install.sh",)
    said = refuse(machine, command=new, PIP_FIND_LINKS="/nowhere", GEMINI_API_KEY="AQ.another")
    assert re.search(r"A package is not in /nowhere \(No matching .*\)\. Put it there", said)
    machine.run("sh", "-c", f"echo {KEY} > key")
    install(machine, "new", "--key-file", "key")
    refuse(machine, command=broken, PIP_FIND_LINKS="/nowhere", GEMINI_API_KEY="AQ.another")
    assert machine.run("cat", f"{CONFIG}/gemini-key").stdout == f"{KEY}\n"
    machine.run("rm", "key")
    purge(machine)


@ON_ONE
def test_a_machine_for_which_zeroconf_has_no_wheel_compiles_nothing(machine: Machine) -> None:
    purge(machine)
    machine.run("mkdir", "/opt/kindle-appliance")  # without any version made before
    machine.run("sh", "-c", f"mkdir -p few && cp {WHEELS}/* few && rm few/zeroconf*.whl")
    name = "import sysconfig; print(sysconfig.get_config_var('CC').split()[0])"
    compiler = f"/usr/local/bin/{machine.run('python3', '-c', name).stdout.strip()}"
    machine.run("tee", compiler, input='#!/bin/sh\necho "$@" >> /root/compiled\nexit 1\n')
    machine.run("chmod", "+x", compiler)
    try:
        machine.run("/root/new/install.sh", variables=OFFLINE | {"PIP_FIND_LINKS": "/root/few"})
        assert "</html>" in get(machine)
        place = "import zeroconf; print(zeroconf.__path__[0])"
        folder = machine.run("/opt/kindle-appliance/current/bin/python", "-c", place).stdout.strip()
        assert "_core.py" in machine.run("ls", folder).stdout
        assert machine.run("find", folder, "-name", "*.so").stdout == ""
        assert machine.run("cat", "compiled", is_to_work=False).stdout == ""
    finally:
        machine.run("rm", "-rf", compiler, "compiled", "few")
        machine.run("/root/new/install.sh", "--purge")


# ---- Upgrading the distribution

CARRIED_OVER = (
    *("opt/kindle-appliance", "etc/kindle-appliance", "usr/local/bin/kindle-appliance"),
    *("etc/systemd/system/kindle-appliance.service", "etc/systemd/system/kindle-appliance.socket"),
    *("etc/systemd/system/multi-user.target.wants", "etc/systemd/system/sockets.target.wants"),
    *("var/lib/private/kindle-appliance", "var/lib/kindle-appliance"),
)


def test_the_installer_repairs_the_appliance_after_an_upgrade_of_debian(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bookworm, trixie = DEBIANS
    with switched_on(bookworm, tmp_path_factory.mktemp("before")) as before:
        install(before)
        page = ask(before, "What outlives an upgrade?")
        before.stop()
        # An upgrade of the distribution leaves these files unchanged; all others are those of the new release.
        after = tmp_path_factory.mktemp("after")
        after.chmod(0o755)  # like the root of a disk
        for each in CARRIED_OVER:
            (after / each).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", before.root / each, after / each], check=True)
    with switched_on(trixie, tmp_path_factory.mktemp("now")) as machine:
        subprocess.run(["cp", "-a", f"{after}/.", machine.root], check=True)
        machine.reboot()
        machine.connect(f"{ADDRESS}/24")
        done = machine.run("kindle-appliance", "--version", is_to_work=False)
        assert done.returncode == 1
        assert re.fullmatch(rf"kindle-appliance: the Python .* has changed .*sudo {INSTALLED}\n", done.stderr)
        while "has changed since the appliance was installed" not in journal(machine):
            pass  # the service logs it at each retry of systemd
        machine.run(INSTALLED, variables=OFFLINE)
        assert "What outlives an upgrade?" in get(machine, page)
        assert machine.run("kindle-appliance", "--version").stdout == f"kindle-appliance {__version__}\n"
