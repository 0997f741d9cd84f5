"""The package finds its templates and sentences wherever it is installed: checkout, editable install, wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

USE = """
import sys
sys.path = [each for each in sys.path if each not in ("", {root!r})]
sys.path.insert(0, {place!r})
import kindle_appliance
from kindle_appliance.pages import STATIC, Pages, Reader
from kindle_appliance.sentences import Sentence
assert kindle_appliance.__file__.startswith({place!r}), kindle_appliance.__file__
assert str(STATIC).startswith({place!r}), STATIC
assert "page.js" in [path.name for path in STATIC.iterdir()] and (STATIC / "exhibits.md").is_file()
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
