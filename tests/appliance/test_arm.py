"""What `make arm` says before it begins, and what it takes from install.sh. The rest takes half an hour."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from .arm import STEPS, TESTS
from .debian import ROOT

pytestmark = pytest.mark.slow


def said(*arguments: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
    """The status and the output of `make arm`. `before`: the program that runs it."""
    command = [*before, sys.executable, "-B", "-m", "appliance.arm", *arguments]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_without_root_it_says_that_it_needs_root() -> None:
    # In a namespace of its own, root becomes a usual user who may still read root's files.
    before = () if os.geteuid() else ("unshare", "--user", "--map-user=1000")
    status, output = said(before=before)
    assert (status, output) == (1, "arm: systems of other processors need root: sudo make arm\n")


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    assert said("arm64", "m68k") == (2, "arm: there is no m68k, only arm64, armhf, armel\n")


def test_the_installer_builds_a_version_in_the_steps_that_it_takes() -> None:
    script = (ROOT / "install.sh").read_text(encoding="utf-8")
    (install,) = re.findall(r"^install\(\) \{\n(.*?)^\}\n", script, re.MULTILINE | re.DOTALL)
    assert [each for each in install.split() if each in STEPS] == list(STEPS)
    assert script.endswith('\nmain "$@"\n')


def test_the_tests_that_it_runs_exist() -> None:
    assert [each for each in TESTS if not (ROOT / each.partition("::")[0]).is_file()] == []
