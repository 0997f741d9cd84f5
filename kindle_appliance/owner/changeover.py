"""What install.sh asks about the appliance that runs: is it what was installed, and as well as the one before?

Files do not tell. After `--no-start`, or a run that was killed, another version or another key can be running than
lies on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import closing

from .. import __version__
from ..errors import SettingsError
from ..host.network import web_address
from ..options.credentials import CREDENTIALS, KEYS_CREDENTIAL, SETTINGS_CREDENTIAL
from ..settings import data_folder, load
from .doctor import Finding, Patient, Verdict, examine_version
from .installation import SERVICE, Installation
from .service import Restart, Service

_POLL_SECONDS = 0.5
_CANNOT_START = "it answers only that it cannot start"
_NO_PAGES = "serves no pages"


def running_build(installation: Installation, port: int) -> str:
    """The build that serves pages at `port`; "" if none does, or one that does not tell."""
    service = _service(installation, port)
    build = str((service.health() or {}).get("build", ""))
    return build if build and not service.find_page_fault() else ""


def wait_until_serving(installation: Installation, port: int, build: str, seconds: float) -> str | None:
    """Wait until the appliance at `port` is `build` ("" for any), with the settings, key and PIN that are stored,
    and serves pages. None if that is so within `seconds`, else what is not, as the end of a sentence.
    """
    deadline = time.monotonic() + seconds
    while (fault := _find_fault(installation, port, build)) and time.monotonic() < deadline:
        if fault == _CANNOT_START:  # it says so itself, and tries again only after a minute
            break
        time.sleep(_POLL_SECONDS)
    return fault


def restart_until_serving(installation: Installation, port: int, build: str, seconds: float) -> str | None:
    """Restart the service, or start it, and wait as `wait_until_serving` does. The seconds count from the moment in
    which systemd calls the service ready, or pages fail: a version without pages never becomes ready, and systemd
    alone would wait for it during the whole TimeoutStartSec=.
    """
    deadline = float("inf")
    with closing(Restart()) as restart:
        while True:
            status = restart.status()
            if status:
                return f"systemd does not start it (systemctl status {SERVICE})"
            if restart.has_new_process():
                fault = _find_fault(installation, port, build)
                if status == 0 and not fault:
                    return None
                if status == 0 or (fault and _NO_PAGES in fault):
                    deadline = min(deadline, time.monotonic() + seconds)
                if fault and (fault == _CANNOT_START or time.monotonic() >= deadline):
                    return fault
            time.sleep(_POLL_SECONDS)


def _find_fault(installation: Installation, port: int, build: str) -> str | None:
    service = _service(installation, port)
    # First, because a wrong PIN would count as one.
    for name in (SETTINGS_CREDENTIAL, *CREDENTIALS.values()):
        stored, handed_over = installation.folder / name, installation.handed_over / name
        if not handed_over.is_file():
            return "it does not run"
        if stored.read_bytes() != handed_over.read_bytes():
            return f"it runs with another {name} than {stored}"
    if _passes_keys_on(installation) and _stored_keys(installation) != _handed_over_keys(installation):
        return f"it runs with other keys than those in {installation.keys}"
    health = service.health()
    if health is None:
        return f"it does not answer at {service.url}"
    if health["status"] == "failed":
        return _CANNOT_START
    if fault := service.find_page_fault():
        return f"{service.url} {_NO_PAGES}: {fault}"
    if build and health.get("build") != build:
        return f"{health.get('build') or 'another version'} runs, and not {build}"
    return None


def _passes_keys_on(installation: Installation) -> bool:
    """Whether systemd passes the keys of servers on: version 0.1 knew none."""
    try:
        return f"LoadCredential={KEYS_CREDENTIAL}:" in installation.unit.read_text(encoding="utf-8")
    except OSError:
        return False


def _stored_keys(installation: Installation) -> dict[str, bytes]:
    """The files with keys of servers, as systemd passes them on: without hidden ones."""
    files = installation.keys.iterdir() if installation.keys.is_dir() else ()
    return {each.name: each.read_bytes() for each in files if each.is_file() and not each.name.startswith(".")}


def _handed_over_keys(installation: Installation) -> dict[str, bytes]:
    prefix = f"{KEYS_CREDENTIAL}_"
    files = installation.handed_over.glob(f"{prefix}*")
    return {each.name.removeprefix(prefix): each.read_bytes() for each in files}


def failures(installation: Installation, port: int, known: Collection[str] = ()) -> Iterator[Finding]:
    """What this version's doctor finds wrong in the running appliance that can be the fault of a version. The
    subjects in `known` are left out: they were wrong before. That holds for chats and port only: if a library is
    missing, or the settings are not taken, it is this version that does not work.
    """
    for finding in _examine(installation, port):
        was_wrong = finding.subject in known and finding.subject not in ("versions", "settings")
        if finding.verdict is Verdict.FAILURE and not was_wrong:
            yield finding


def _examine(installation: Installation, port: int) -> Iterator[Finding]:
    environment = installation.environment({})
    try:
        settings = load({}, environment)
    except SettingsError as error:
        yield Finding(Verdict.FAILURE, "settings", str(error))
        return
    service, folder = _service(installation, port), data_folder(settings, environment)
    yield from examine_version(Patient(__version__, settings, folder, (), service, True, None, lambda name: ()))


def _service(installation: Installation, port: int) -> Service:
    pin = installation.secret("pin").read_text(encoding="utf-8", errors="replace").strip()
    return Service(web_address("127.0.0.1", port), pin)
