"""The installed command acts for the service: it finds the service's files, or reports missing rights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.installed import Installed
from fakes.secrets import KEY

from kindle_appliance.owner.installation import Installation
from kindle_appliance.settings import load


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("/opt/kindle-appliance", "/"),
        ("/opt/kindle-appliance/versions/0.2.0/venv", "/"),
        ("/srv/test/opt/kindle-appliance/current", "/srv/test"),
        ("/home/pi/kindle-appliance/.venv", None),
        ("/opt/kindle-appliance-old/venv", None),
        ("/usr", None),
    ],
)
def test_a_program_is_installed_when_it_runs_from_the_installers_folder(place: str, root: str | None) -> None:
    found = Installation.find(Path(place))
    assert (found and str(found.root)) == root


def test_the_files_of_an_installation_lie_where_the_unit_says() -> None:
    installed = Installation()
    files = [installed.settings, installed.secret("key"), installed.secret("pin"), installed.keys, installed.state]
    assert [str(path) for path in files] == [
        "/etc/kindle-appliance/settings.toml",
        "/etc/kindle-appliance/gemini-key",
        "/etc/kindle-appliance/pin",
        "/etc/kindle-appliance/keys",
        "/var/lib/kindle-appliance",
    ]


def test_a_command_sees_the_settings_of_the_service_and_none_of_the_shell(tmp_path: Path) -> None:
    installed = Installed(tmp_path).at
    installed.settings.write_text("port = 8090\n")
    installed.secret("key").write_text(KEY)
    shell = {"PATH": "/bin", "GEMINI_API_KEY": "of-the-shell", "KINDLE_APPLIANCE_PORT": "1"}
    environment = installed.environment(shell)
    assert environment["PATH"] == "/bin"
    settings = load({}, environment)
    assert (settings.port, settings.origins["port"]) == (8090, str(installed.settings))
    assert (settings.key, settings.origins["key"]) == (KEY, str(installed.secret("key")))
    assert settings.pin is None


def test_the_service_itself_keeps_the_environment_from_systemd(tmp_path: Path) -> None:
    by_systemd = {
        "CREDENTIALS_DIRECTORY": "/run/credentials/kindle-appliance.service",
        "KINDLE_APPLIANCE_PORT": "1",
    }
    assert Installation(tmp_path).environment(by_systemd) == by_systemd


def test_a_named_settings_file_goes_before_the_services_own(tmp_path: Path) -> None:
    installed = Installed(tmp_path).at
    installed.settings.write_text("port = 8090\n")
    own = tmp_path / "own.toml"
    own.write_text("port = 8091\n")
    assert load({}, installed.environment({}), own).port == 8091


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "doctor", "settings", "key"])
def test_a_command_without_the_needed_rights_says_how_to_get_them(tmp_path: Path, command: str) -> None:
    installed = Installed(tmp_path)
    installed.at.secret("key").chmod(0)
    # Root reads everything unless it drops its capabilities (capabilities(7)).
    as_nobody = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    status, printed, errors = installed.run(command, through=as_nobody)
    assert (status, printed) == (1, "")
    assert errors.startswith("kindle-appliance: only root may read the settings and chats of the service:")
    assert errors.endswith(f" sudo kindle-appliance {command}\n")
