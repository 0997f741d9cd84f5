"""The package is complete from every source: checkout, editable install, source archive, wheel."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from appliance.debian import SetUpError, download
from appliance.tools import missing
from conftest import ROOT, unavailable
from fakes.secret_scanner import SCANNER

from kindle_appliance import __version__
from kindle_appliance.text.hyphens import DICTIONARIES

pytestmark = pytest.mark.slow

USE = """
import sys
sys.path = [each for each in sys.path if each not in ("", {root!r})]
sys.path.insert(0, {place!r})
import kindle_appliance
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.reader import Reader
from kindle_appliance.web.templates import STATIC
from kindle_appliance.sentences import Sentence
assert kindle_appliance.__file__.startswith({place!r}), kindle_appliance.__file__
assert str(STATIC).startswith({place!r}), STATIC
assert "page.js" in [path.name for path in STATIC.iterdir()] and (STATIC / "demo_answers.md").is_file()
print(Pages(Layout(False)).message(Reader("zh-CN"), Sentence("Stop")))
"""


def use_from(place: Path, folder: Path) -> str:
    """Return a page of the package imported from `place`, with `folder` as the working directory."""
    script = folder / "use.py"
    script.write_text(USE.format(root=str(ROOT), place=str(place)))
    done = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout to build from, because building writes into the source."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", ".venv", ".engines", ".llama", "build", "*.egg-info", "__pycache__"),
    )
    SCANNER.exempt(source)  # the tests, and pytest's notes about them, contain the secrets
    for folder in ("kindle_appliance", "static", "tests"):
        compiled = source / folder / "__pycache__" / "left.cpython-311.pyc"
        compiled.parent.mkdir()
        compiled.touch()
    return source


@pytest.fixture(scope="module")
def unpacked(source: Path) -> Path:
    """The source archive that setuptools makes, unpacked; inside the copy, because it contains the secrets too."""
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, "dist"], cwd=source, check=True, capture_output=True)
    (archive,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(source / "dist", filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """A wheel of this checkout."""
    return make_wheel(source, source.parent)


def make_wheel(source: Path, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (built,) = folder.glob("*.whl")
    return built


def checksums(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}


def test_a_checkout_is_enough(tmp_path: Path) -> None:
    assert "停止" in use_from(ROOT, tmp_path)


def test_a_wheel_has_every_file_that_pages_need(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
        names = archive.namelist()
    assert "停止" in use_from(installed, tmp_path)
    assert not [name for name in names if name.startswith("tests/") or name.endswith((".po", ".pyc"))]


def test_a_wheel_has_every_module_of_every_folder(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "kindle_appliance").rglob("*.py")}
    assert modules == {name for name in checksums(wheel) if name.endswith(".py")}, "setup.cfg lists the folders"


NOT_IN_THE_ARCHIVE = {".gitignore"}
"""Files for work with git only."""


def test_the_source_archive_has_every_tracked_file(unpacked: Path) -> None:
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        unavailable(f"this is no git checkout: {git.stderr}")
    tracked = {name for name in git.stdout.split("\0") if name and (ROOT / name).exists()}
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    made = {name for name in names if name == "PKG-INFO" or name.startswith("kindle_appliance.egg-info/")}
    assert names - made == tracked - NOT_IN_THE_ARCHIVE, "MANIFEST.in lists the files"


def test_the_source_archive_builds_the_same_wheel(wheel: Path, unpacked: Path) -> None:
    assert checksums(make_wheel(unpacked, unpacked.parent)) == checksums(wheel)


@pytest.mark.slow
def test_the_tests_can_be_collected_in_an_unpacked_archive(unpacked: Path) -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(collect, cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "tests/test_packaging.py::test_a_checkout_is_enough" in done.stdout


def test_the_installer_finds_what_it_needs_in_an_unpacked_archive_and_reads_its_version(unpacked: Path) -> None:
    script = (unpacked / "install.sh").read_text(encoding="utf-8")
    found = re.search(r"^SOURCES='(.*)'$", script, re.MULTILINE)
    reading = re.search(r"^ +release=.*$", script, re.MULTILINE)
    assert found and reading
    assert [each for each in found[1].split() if not (unpacked / each).exists()] == []
    read = ["sh", "-euc", f'source=$1\n{reading[0]}\nprintf %s "$release"', "sh", str(unpacked)]
    assert subprocess.run(read, capture_output=True, text=True, check=True).stdout == __version__


def readme_lines(first: str) -> list[str]:
    """The lines to paste in the README's block that begins with `first`, but for those that log in or need root."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(
        each for each in re.findall(r"(?:^ {4}.*\n)+", readme, re.MULTILINE) if each.startswith(f"    {first}")
    )
    return [line.strip() for line in block.splitlines() if not re.match(" +(ssh|scp|sudo apt) ", line)]


def paste(lines: list[str], folder: Path) -> str:
    """Run the lines of the README in one shell, the installer without rights; returns what it prints."""
    script = "\n".join(lines).replace("sudo ./install.sh", "./install.sh --help")
    done = subprocess.run(["sh", "-euc", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_lines_get_the_program_with_git_and_a_newer_version_later(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        unavailable("this is no git checkout")
    first = readme_lines("ssh pi@raspberrypi.local\n    sudo apt install git")
    assert first[0] == "git clone ADDRESS kindle-appliance" and first[-1] == "sudo ./install.sh"
    origin = tmp_path / "origin"
    subprocess.run(["git", "clone", "--quiet", ROOT, origin], check=True)
    subprocess.run(["git", "-C", origin, "checkout", "-q", "-B", "main"], check=True)
    assert "Usage: sudo ./install.sh" in paste([first[0].replace("ADDRESS", str(origin)), *first[1:]], tmp_path)
    newer = readme_lines("ssh pi@raspberrypi.local\n    cd kindle-appliance")
    assert newer == ["cd kindle-appliance", "git pull", "sudo ./install.sh"]
    assert "Usage: sudo ./install.sh" in paste(newer, tmp_path)
    SCANNER.exempt(tmp_path)  # the tests in it contain the secrets


def test_the_readmes_lines_unpack_the_archive_and_find_the_installer(unpacked: Path, tmp_path: Path) -> None:
    lines = readme_lines("scp ")
    assert lines[0] == "tar -xf kindle_appliance-VERSION.tar.gz"
    archive = unpacked.with_name(f"{unpacked.name}.tar.gz")
    shutil.copy(archive, tmp_path)
    version = unpacked.name.removeprefix("kindle_appliance-")
    assert "Usage: sudo ./install.sh" in paste([each.replace("VERSION", version) for each in lines], tmp_path)
    SCANNER.exempt(tmp_path)  # the tests in it contain the secrets


def test_make_run_changes_only_what_the_makefiles_first_lines_name(tmp_path: Path) -> None:
    if not (Path(sys.prefix) / "installed").is_file():
        unavailable("make has not made this environment")
    copy = tmp_path / "copy"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(
            ".git", ".venv", ".engines", ".llama", "build", "__pycache__", ".*_cache", "tests"
        ),
    )
    (copy / ".venv").symlink_to(Path(sys.prefix))
    (home := tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    before = {path for path in copy.rglob("*") if not path.is_relative_to(copy / ".venv")}
    making = ["make", "run", "ARGS=--host 127.0.0.1 --no-mdns"]
    with subprocess.Popen(
        making, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        said = ""
        while "aistudio" not in said:
            said += running.stdout.readline()
        os.killpg(running.pid, signal.SIGTERM)
    (folder,) = re.findall(r"The chats are kept in: +(/.*)\n", said)
    assert {path for path in copy.rglob("*") if not path.is_relative_to(copy / ".venv")} == before
    assert all(Path(folder).is_relative_to(path) or path.is_relative_to(folder) for path in home.rglob("*"))
    first = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()[0]
    assert ".venv" in first and "names the folder of its chats" in first


def test_the_command_of_this_environment_runs() -> None:
    command = Path(sysconfig.get_path("scripts")) / "kindle-appliance"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("kindle-appliance 0.")


@pytest.mark.parametrize("python", ["", "/bin/false"], ids=["no Python", "an old Python"])
def test_without_a_recent_python_make_says_so_first(tmp_path: Path, python: str) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", "run", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("kindle-appliance needs Python 3.11 or newer")
    assert "apt install" in done.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


# The installer's packages

PINS = dict(
    line.split("==")
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def needed() -> set[str]:
    """The packages that the program needs on this machine, dependencies of dependencies included."""
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


def test_the_installer_pins_exactly_the_needed_packages_at_their_tested_versions() -> None:
    assert set(PINS) == needed()
    assert {name: importlib.metadata.version(name) for name in PINS} == PINS


def test_ruff_and_mypy_are_installed_at_their_pinned_versions() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pins = dict(re.findall(r"^(ruff|mypy)==(.+)$", setup["options.extras_require"]["test"], re.MULTILINE))
    assert pins == {name: importlib.metadata.version(name) for name in ("ruff", "mypy")}


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


# Licences

LICENCES = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
SPDX = {
    "License :: OSI Approved :: MIT License": "MIT",
    "ZPL 2.1": "ZPL-2.1",
    "PSFL": "PSF-2.0",
    "License :: OSI Approved :: GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "License :: OSI Approved :: GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "License :: OSI Approved :: Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
}
"""The SPDX names of licences in older metadata."""


def licence(package: str) -> str:
    """The licence in the metadata of an installed package."""
    metadata = importlib.metadata.metadata(package)
    classifiers: list[str] = [
        each for each in metadata.get_all("Classifier") or () if each.startswith("License ::")
    ]
    named: list[str] = [
        *(metadata.get_all("License-Expression") or ()),
        *(metadata.get_all("License") or ()),
        *classifiers,
    ]
    spdx = [SPDX.get(each, each) for each in named]
    return " OR ".join(spdx) if named == classifiers else spdx[0]


def test_the_table_of_licences_matches_the_metadata_of_the_packages() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| ([\w. -]+) \| [^|]+ \| (`[^|]+`) \|$", LICENCES, re.MULTILINE)
    assert {package: named for package, named, _ in rows} == {package: licence(package) for package in PINS}
    for package, _, texts in rows:
        files = {str(file).partition(".dist-info/")[2] for file in importlib.metadata.files(package) or ()}
        assert set(re.findall("`(.+?)`", texts)) == {
            each for each in files if "LICENSE" in each or "COPYING" in each
        }


def test_the_page_on_licences_names_the_dictionary_of_each_language_that_is_hyphenated() -> None:
    named = re.findall(r"^\| \w+ \| `hyph_(\w+)\.dic` \| [^|]+ \| `(README_\w+\.txt)`", LICENCES, re.MULTILINE)
    assert [dictionary for dictionary, _ in named] == list(DICTIONARIES.values())
    files = {file.name for file in importlib.metadata.files("pyphen") or ()}
    assert {each for dictionary, readme in named for each in (f"hyph_{dictionary}.dic", readme)} <= files


def test_the_page_on_licences_names_the_installed_releases() -> None:
    named = re.findall(r"([\w-]+)==([\w.]+)", LICENCES)
    assert named and set(named) <= set(PINS.items())


# Shell and units

SCRIPTS = ("install.sh", "systemd/launcher")
SERVICE = ROOT / "systemd" / "kindle-appliance.service"
SOCKET = ROOT / "systemd" / "kindle-appliance.socket"


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing_with_all_its_checks(script: str) -> None:
    if reason := missing("shellcheck"):
        unavailable(reason)
    done = subprocess.run(
        ["shellcheck", "-o", "all", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_holds_only_functions_so_that_a_truncated_copy_does_nothing(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert text.endswith('\nmain "$@"\n')
    outside = re.sub(r"^[a-z_]+\(\) \{\n.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in outside.splitlines()[:-1]:
        assert re.fullmatch(r"(#.*|set -eu|[A-Z_]+=('.*'|\S*)( +#.*)?)?", line), line


def test_the_help_of_the_installer_says_apart_from_the_options_what_happens_without_them() -> None:
    done = subprocess.run(["sh", "install.sh", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    options, _, after = done.stdout.partition("  --help  ")
    assert "Without a key or a model server you are asked" not in options
    assert "\n\nWithout a key or a model server you are asked who is to answer" in after


def test_each_directive_of_the_units_has_a_sentence_above_it() -> None:
    for unit in (SERVICE, SOCKET):
        lines = unit.read_text(encoding="utf-8").splitlines()
        for above, line in pairwise(lines):
            if "=" in line and not line.startswith("#"):
                assert above.startswith("# "), f"{unit.name}: {line}"


def test_the_exposure_of_the_service_stays_low() -> None:
    if reason := missing("systemd-analyze"):
        unavailable(reason)
    analyze = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(SERVICE)]
    said = subprocess.run(analyze, capture_output=True, text=True, check=True).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert exposure and float(exposure[1]) <= 1.1, said
