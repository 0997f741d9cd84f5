"""What the installer hears of the running appliance: whether it is what was installed, and serves pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.installed import Installed
from fakes.ports import free_port
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN, SERVER_KEY

from kindle_appliance.options.credentials import store_key
from kindle_appliance.owner.changeover import (
    failures,
    restart_until_serving,
    running_build,
    wait_until_serving,
)
from kindle_appliance.owner.doctor import Verdict
from kindle_appliance.owner.installation import SERVICE, Installation
from kindle_appliance.web.health import Checkup, Health
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.pin import Gate

BUILD = "0.2.0-2a60944b-py3.11"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installed appliance whose service was started with what is stored."""
    installed = Installed(tmp_path).at
    installed.settings.write_text("")
    hand_over(installed)
    return installed


@pytest.fixture
def running(house: House) -> Iterator[House]:
    """The running appliance, of the build `BUILD`."""
    object.__setattr__(house.health, "build", BUILD)
    yield house


def hand_over(installation: Installation) -> None:
    """As systemd does at the start of the service."""
    installation.handed_over.mkdir(parents=True, exist_ok=True)
    for each in (installation.settings, installation.secret("key"), installation.secret("pin")):
        shutil.copy(each, installation.handed_over)
    SCANNER.exempt(installation.handed_over)


def port(house: House) -> int:
    return house.server.port


def test_nothing_is_wrong_when_the_installed_build_serves_pages_with_what_is_stored(
    installation: Installation, running: House
) -> None:
    assert wait_until_serving(installation, port(running), BUILD, 0) is None
    assert wait_until_serving(installation, port(running), "", 0) is None
    assert running_build(installation, port(running)) == BUILD


def test_another_build_of_the_same_release_is_told_apart(installation: Installation, running: House) -> None:
    other = "0.2.0-ffffffff-py3.11"
    fault = wait_until_serving(installation, port(running), other, 0)
    assert fault == f"{BUILD} runs, and not {other}"


def test_another_key_of_a_server_than_the_stored_one_is_told_apart(
    installation: Installation, running: House
) -> None:
    store_key(installation.keys, "pc.local:11434", SERVER_KEY)
    assert wait_until_serving(installation, port(running), BUILD, 0) is None, "version 0.1 passes no keys on"
    installation.unit.parent.mkdir(parents=True)
    shutil.copy(ROOT / "systemd" / SERVICE, installation.unit)
    fault = f"it runs with other keys than those in {installation.keys}"
    assert wait_until_serving(installation, port(running), BUILD, 0) == fault
    handed_over = installation.handed_over / "keys_pc.local_11434"
    shutil.copy(installation.keys / "pc.local_11434", handed_over)
    (installation.keys / ".pc.local_11434.new").touch()
    assert wait_until_serving(installation, port(running), BUILD, 0) is None
    store_key(installation.keys, "pc.local:11434", "")
    assert wait_until_serving(installation, port(running), BUILD, 0) == fault


def test_a_version_that_does_not_name_its_build_is_another_one(installation: Installation, house: House) -> None:
    assert wait_until_serving(installation, port(house), BUILD, 0) == f"another version runs, and not {BUILD}"
    assert running_build(installation, port(house)) == ""


@pytest.mark.parametrize(("name", "secret"), [("gemini-key", KEY), ("pin", PIN), ("settings.toml", "port = 81\n")])
def test_another_key_pin_or_setting_than_the_running_one_is_noticed_without_showing_it(
    installation: Installation, running: House, name: str, secret: str
) -> None:
    (installation.folder / name).write_text(secret)
    SCANNER.exempt(installation.folder / name)
    fault = wait_until_serving(installation, port(running), BUILD, 0)
    assert fault == f"it runs with another {name} than {installation.folder / name}"
    hand_over(installation)
    if name != "pin":
        assert wait_until_serving(installation, port(running), BUILD, 0) is None


def test_a_wrong_pin_is_not_tried(gemini: FakeGemini, tmp_path: Path, installation: Installation) -> None:
    with House(gemini.url, tmp_path, gate=Gate("0042", b"secret")) as house:
        installation.secret("pin").write_text("1234")
        for _ in range(10):
            assert wait_until_serving(installation, port(house), BUILD, 0)
        installation.secret("pin").write_text("0042")
        hand_over(installation)
        object.__setattr__(house.health, "build", BUILD)
        assert wait_until_serving(installation, port(house), BUILD, 0) is None, "there was no pause for wrong PINs"


def test_a_build_whose_pages_fail_does_not_serve(
    installation: Installation, running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pages, "asking", lambda *_, **__: 1 / 0)
    fault = wait_until_serving(installation, port(running), BUILD, 0)
    assert fault and fault.endswith("serves no pages: the first page has status 500")
    assert running_build(installation, port(running)) == ""


def test_a_service_that_is_stopped_or_silent_does_not_serve(installation: Installation) -> None:
    where = free_port()
    fault = wait_until_serving(installation, where, BUILD, 0)
    assert fault == f"it does not answer at http://127.0.0.1:{where}/"
    shutil.rmtree(installation.handed_over)
    assert wait_until_serving(installation, where, BUILD, 0) == "it does not run"


def test_a_start_that_has_failed_is_not_waited_for(
    installation: Installation, running: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "check", lambda _: Checkup(False, {"status": "failed"}))
    assert wait_until_serving(installation, port(running), BUILD, 3600) == "it answers only that it cannot start"


def test_a_start_is_waited_for(installation: Installation, running: House, monkeypatch: pytest.MonkeyPatch) -> None:
    later = iter(["", ""])
    monkeypatch.setattr(type(running.health), "build", property(lambda _: next(later, BUILD)), raising=False)
    assert wait_until_serving(installation, port(running), BUILD, 60) is None


SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
"show --property=MainPID --value "*) echo >>looks; cat process ;;
"restart kindle-appliance.service")
    # The old process answers a few looks longer.
    while test "$(wc -l <looks)" -lt 4; do sleep 0.02; done
    echo 2 >process
    while test -e held; do sleep 0.02; done
    test ! -e broken ;;
esac
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a systemctl that restarts the service: process 1, then process 2. With the file `held` in it,
    the service never becomes ready; with `broken`, it does not start.
    """
    folder = tmp_path / "systemctl-of-the-test"
    folder.mkdir()
    (folder / "process").write_text("1\n")
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_after_a_restart_the_new_process_counts_and_not_the_old_one(
    installation: Installation, running: House, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Health.check

    def fail_before(health: Health) -> Checkup:
        is_old = (systemd / "process").read_text() == "1\n"
        return Checkup(False, {"status": "failed"}) if is_old else check(health)

    monkeypatch.setattr(Health, "check", fail_before)
    assert restart_until_serving(installation, port(running), BUILD, 0) is None


def test_a_version_without_pages_is_given_up_before_systemd_gives_it_up(
    installation: Installation, running: House, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (systemd / "held").touch()
    monkeypatch.setattr(Pages, "asking", lambda *_, **__: 1 / 0)
    fault = restart_until_serving(installation, port(running), BUILD, 0)
    assert fault and fault.endswith("serves no pages: the first page has status 500")
    (systemd / "held").unlink()


def test_a_service_that_systemd_does_not_start_is_not_waited_for(installation: Installation, systemd: Path) -> None:
    (systemd / "broken").touch()
    fault = restart_until_serving(installation, free_port(), BUILD, 3600)
    assert fault == "systemd does not start it (systemctl status kindle-appliance.service)"


def test_only_new_failures_that_can_be_the_versions_fault_are_reported(
    installation: Installation, running: House
) -> None:
    assert list(failures(installation, port(running))) == []
    (installation.state / "chats.sqlite").write_text("broken")
    (finding,) = failures(installation, port(running))
    assert (finding.subject, finding.verdict) == ("database", Verdict.FAILURE)
    assert list(failures(installation, port(running), ["database"])) == []


def test_a_refused_key_and_a_lost_internet_are_no_reason_to_go_back(
    installation: Installation, running: House, gemini: FakeGemini
) -> None:
    installation.secret("key").write_text(KEY)
    hand_over(installation)
    assert list(failures(installation, port(running))) == []
    assert not gemini.calls


def test_settings_with_which_the_version_does_not_start_are_a_failure(
    installation: Installation, running: House
) -> None:
    installation.settings.write_text("prot = 1\n")
    (finding,) = failures(installation, port(running))
    assert finding.subject == "settings" and "prot" in finding.text
    assert list(failures(installation, port(running), ["settings"])) == [finding], "whatever it said before"
