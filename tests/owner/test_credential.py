"""A secret as a file: private and complete at every moment."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.secrets import KEY, PIN

from kindle_appliance.owner.credential import store


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
        "import os, pathlib, sys; from kindle_appliance.owner.credential import store; os.umask(0);"
        "sys.addaudithook(lambda name, given: name in ('os.chmod', 'os.rename') and 'pin' in os.fsdecode(given[0])"
        " and print(name, oct(os.stat(given[0], dir_fd=given[2]).st_mode & 0o777)));"
        f"store(pathlib.Path({str(tmp_path / 'pin')!r}), {PIN!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["os.rename", "0o600"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store(tmp_path / "nowhere" / "pin", PIN)
