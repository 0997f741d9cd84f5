"""The package finds its templates and sentences wherever it is installed: checkout, editable install, wheel."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from appliance.debian import SetUpError, download
from appliance.tools import missing
from conftest import ROOT, unavailable
from fakes.written import WRITTEN

pytestmark = pytest.mark.slow

USE = """
import sys
sys.path = [each for each in sys.path if each not in ("", {root!r})]
sys.path.insert(0, {place!r})
import kindle_appliance
from kindle_appliance.web.pages import Pages, Reader
from kindle_appliance.web.templates import STATIC
from kindle_appliance.sentences import Sentence
assert kindle_appliance.__file__.startswith({place!r}), kindle_appliance.__file__
assert str(STATIC).startswith({place!r}), STATIC
assert "page.js" in [path.name for path in STATIC.iterdir()] and (STATIC / "demo_answers.md").is_file()
print(Pages(False).message(Reader("zh-CN"), Sentence("Stop")))
"""


def use_from(place: Path, folder: Path) -> str:
    """What a page says when the package is imported from `place`, with `folder` as the working directory."""
    script = folder / "use.py"
    script.write_text(USE.format(root=str(ROOT), place=str(place)))
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built from a copy: building writes into the source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", ".venv", ".engines", "build", "*.egg-info", "__pycache__"),
    )
    WRITTEN.exempt(source)  # where the tests, and what pytest notes of them, have their secrets
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (built,) = folder.glob("*.whl")
    return built


def test_a_checkout_is_enough(tmp_path: Path) -> None:
    assert "停止" in use_from(ROOT, tmp_path)


def test_a_wheel_brings_all_that_the_pages_need(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
        names = archive.namelist()
    assert "停止" in use_from(installed, tmp_path)
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".po")]


def test_the_command_of_this_environment_runs() -> None:
    command = Path(sysconfig.get_path("scripts")) / "kindle-appliance"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("kindle-appliance 0.")


@pytest.mark.parametrize("python", ["", "/bin/false"], ids=["no Python", "an old Python"])
def test_a_machine_without_a_python_that_is_new_enough_is_told_so_first(tmp_path: Path, python: str) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", "run", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("kindle-appliance needs Python 3.11 or newer")
    assert "apt install" in done.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


# What the installer installs

PINS = dict(
    line.split("==")
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def needed() -> set[str]:
    """The packages that the program needs, and those that they need, here."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].split("\n")
    names: set[str] = set()
    while wanted:
        line = wanted.pop()
        name = re.match(r"[\w.-]*", line)
        if name and name[0] and "extra ==" not in line and name[0] not in names:
            names.add(name[0])
            wanted += importlib.metadata.requires(name[0]) or []
    return names


def test_the_installer_takes_exactly_what_is_needed_in_the_versions_that_were_tested() -> None:
    assert set(PINS) == needed()
    assert {name: importlib.metadata.version(name) for name in PINS} == PINS


@pytest.mark.parametrize("machine", ["aarch64", "armv7l"])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_a_raspberry_pi_need_not_compile_anything(tmp_path: Path, machine: str, python: str) -> None:
    try:
        download(tmp_path, python, machine, "--requirement", "requirements.txt")
    except SetUpError as error:
        if "No matching distribution" not in str(error) or "from versions: none" in str(error):
            unavailable(f"the package index does not answer: {error}")
        raise
    assert {each.name.split("-")[0].replace("_", "-") for each in tmp_path.glob("*.whl")} == set(PINS)


# Shell and units

SCRIPTS = ("install.sh", "systemd/launcher")
SERVICE = ROOT / "systemd" / "kindle-appliance.service"
SOCKET = ROOT / "systemd" / "kindle-appliance.socket"


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing_to_say_with_all_its_checks(script: str) -> None:
    if reason := missing("shellcheck"):
        unavailable(reason)
    done = subprocess.run(
        ["shellcheck", "-o", "all", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_of_a_script_is_in_functions_so_that_a_copy_that_was_cut_off_does_nothing(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert text.endswith('\nmain "$@"\n')
    outside = re.sub(r"^[a-z_]+\(\) \{\n.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in outside.splitlines()[:-1]:
        assert re.fullmatch(r"(#.*|set -eu|[A-Z_]+=('.*'|\S*)( +#.*)?)?", line), line


def test_each_directive_of_the_units_has_a_sentence_above_it() -> None:
    for unit in (SERVICE, SOCKET):
        lines = unit.read_text(encoding="utf-8").splitlines()
        for above, line in pairwise(lines):
            if "=" in line and not line.startswith("#"):
                assert above.startswith("# "), f"{unit.name}: {line}"


def test_the_service_is_exposed_as_little_as_it_can_be() -> None:
    if reason := missing("systemd-analyze"):
        unavailable(reason)
    analyze = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(SERVICE)]
    said = subprocess.run(analyze, capture_output=True, text=True, check=True).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure and float(exposure[1]) <= 1.1, said
