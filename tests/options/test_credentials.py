"""Secrets in files: private and complete at every moment; and the keys of model servers, which are never shown."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.secrets import KEY, PIN, SERVER_KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import SettingsError
from kindle_appliance.options.credentials import file_name, server_of, store
from kindle_appliance.options.server_address import ServerAddress
from kindle_appliance.settings import OPTIONS, load

KEYS = next(option for option in OPTIONS if option.name == "keys")
NAMES = ("pc.local:11434", "openrouter.ai", "my_pc", "my_pc:8080", "a__b_:1", "[fd00::1]", "[fe80::1]:8080")


def refused(environment: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as error:
        load({}, environment)
    return str(error.value)


def stored(folder: Path, keys: Mapping[str, str], prefix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / (prefix + file_name(name))).write_text(f"{key}\n" if key else "")
    return folder


def test_each_servers_key_lies_in_a_file_whose_name_systemd_accepts_and_that_names_no_other_server() -> None:
    files = {file_name(name): name for name in NAMES}
    assert len(files) == len(NAMES)
    assert not any(re.search("[:/]", file) for file in files)
    assert {file: server_of(file) for file in files} == files


@given(st.text("a_-.9", min_size=1, max_size=9), st.sampled_from(["", ":1", ":11434"]))
def test_the_name_of_a_keys_file_leads_back_to_the_server(host: str, port: str) -> None:
    try:
        name = ServerAddress.parse(host + port).name
    except ValueError:
        return
    assert server_of(file_name(name)) == name


@pytest.mark.parametrize("prefix", ["keys_", ""], ids=["by systemd", "as they lie"])
def test_the_keys_of_servers_come_from_the_environment_or_their_folder_or_systemd(
    tmp_path: Path, prefix: str
) -> None:
    handed_over = stored(tmp_path / "run", {})
    folder = stored(handed_over if prefix else handed_over / "keys", {"pc.local:11434": "from-systemd"}, prefix)
    (handed_over / "gemini-key").write_text("Googles")
    own = stored(tmp_path / "own", {"pc.local:11434": "from-folder", "openrouter.ai": ""})
    environment = {
        "CREDENTIALS_DIRECTORY": str(handed_over),
        "KINDLE_APPLIANCE_KEYS_FOLDER": str(own),
        "KINDLE_APPLIANCE_KEYS": "pc.local:11434=from-environment",
    }
    for key, origin in (
        ("from-environment", "the environment, KINDLE_APPLIANCE_KEYS"),
        ("from-folder", str(own)),
        ("from-systemd", str(folder)),
    ):
        settings = load({}, environment)
        assert (dict(settings.keys), settings.origins["keys"]) == ({"pc.local:11434": key}, origin)
        assert settings.key == "Googles"
        assert key not in f"{settings!r} {KEYS.describe(settings.keys)}"
        environment.popitem()
    assert load({}, {"CREDENTIALS_DIRECTORY": str(handed_over)}, with_secrets=False).keys == {}


def test_what_is_not_called_like_a_server_is_no_key(tmp_path: Path) -> None:
    folder = stored(tmp_path / "keys", {"pc.local:11434": SERVER_KEY})
    for name in ("pc.local_11434~", ".pc.local_11434.new", "pc.local_", "PC.local", "pc.local_80", "a b", "#a#"):
        (folder / name).write_text("x y")
    assert load({}, {"KINDLE_APPLIANCE_KEYS_FOLDER": str(folder)}).keys == {"pc.local:11434": SERVER_KEY}


WRONG_KEYS = ("pc.local", "=key", "pc.local=", "ftp://pc=key", "pc=a b", "pc=a, pc:80=b", "pc.local;a=b")


@pytest.mark.parametrize("text", WRONG_KEYS)
def test_wrong_keys_of_servers_are_refused_and_not_shown(text: str) -> None:
    said = refused({"KINDLE_APPLIANCE_KEYS": text})
    assert said.startswith("keys = (a secret, not shown), from the environment, KINDLE_APPLIANCE_KEYS, is not")
    assert "such as pc.local:11434=KEY" in said


def test_a_bad_key_of_a_server_is_refused_with_its_file_and_not_shown(tmp_path: Path) -> None:
    folder = stored(tmp_path / "keys", {"pc.local:11434": f"{SERVER_KEY} {SERVER_KEY}"})
    said = refused({"KINDLE_APPLIANCE_KEYS_FOLDER": str(folder)})
    assert f"The key in {folder}/pc.local_11434 " in said and "without spaces" in said
    assert SERVER_KEY not in said


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_a_line_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "gemini-key"
    assert store(path, KEY)
    assert (path.read_text(), mode(path)) == (f"{KEY}\n", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["gemini-key"]


def test_a_new_secret_replaces_an_old_one_and_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "gemini-key"
    path.write_text("old\n")
    path.chmod(0o644)
    assert store(path, "new")
    assert (path.read_text(), mode(path)) == ("new\n", 0o600)


def test_no_secret_is_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    store(path, PIN)
    assert store(path, "")
    assert (path.read_text(), mode(path)) == ("", 0o600)


def test_the_same_secret_again_changes_only_the_permissions_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    store(path, PIN)
    path.chmod(0o644)
    before = path.stat()
    assert not store(path, PIN)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert mode(path) == 0o600


def test_a_leftover_of_a_power_cut_is_no_obstacle_and_is_not_written_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    (tmp_path / ".pin.new").symlink_to(elsewhere)
    store(tmp_path / "pin", PIN)
    assert elsewhere.read_text() == ""
    assert not (tmp_path / ".pin.new").exists()


def test_the_file_is_private_before_the_secret_is_written_to_it(tmp_path: Path) -> None:
    # Under any umask: others who open the file before its content comes can read it afterwards. The mode that it is
    # made with is the one that it has in the end, for nothing changes it between. (Python renames compiled code.)
    script = (
        "import os, pathlib, sys; from kindle_appliance.options.credentials import store; os.umask(0);"
        "sys.addaudithook(lambda name, given: name in ('os.chmod', 'os.rename') and 'pin' in os.fsdecode(given[0])"
        " and print(name, oct(os.stat(given[0], dir_fd=given[2]).st_mode & 0o777)));"
        f"store(pathlib.Path({str(tmp_path / 'pin')!r}), {PIN!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["os.rename", "0o600"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store(tmp_path / "nowhere" / "pin", PIN)
