"""What conftest.py promises of a test run holds for one process and for several."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.secret_check import LEAST

pytestmark = pytest.mark.slow

QUIET = "\ndef test_nothing(): pass\n"
LEAKING = """
import pytest
from fakes.secrets import KEY

@pytest.fixture
def closing():
    yield
    print(KEY)

def test_nothing(closing): pass
"""
SKIPPED = "\nimport pytest\ndef test_skipped(): pytest.skip('not here')\n"
MEASURING = "\ndef test_measured(soak): soak.tell(f'{soak(20 + 3, full=7)} m')\n"
DIVIDED = "\nimport pytest\ndef test_one(): pass\n@pytest.mark.untraced\ndef test_other(): pass\n"

Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=[(), ("-n", "2", "--dist", "loadfile")], ids=["one process", "two processes"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs tests with the real conftest.py: the exit status and the output."""

    def run_tests(code: str, file: str = "tests/test_it.py", **variables: str) -> tuple[int, str]:
        for name, content in ((file, code), ("tests/test_quiet.py", QUIET)):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        config = ["-c", str(ROOT / "setup.cfg"), f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'written'}"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "conftest",
                "-p",
                "no:cacheprovider",
                *config,
                *request.param,
                "tests",
            ],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    return run_tests


def test_a_run_that_writes_nothing_passes(run: Run) -> None:
    status, said = run(QUIET)
    assert status == 0 and " 2 passed in " in said


def test_a_secret_fails_the_run_though_only_the_last_teardown_writes_it(run: Run) -> None:
    status, said = run(LEAKING)
    assert status == 1 and " 2 passed, 1 error in " in said, said
    assert "the key, plain in a output of " in said


def test_too_little_to_search_fails_the_run(run: Run) -> None:
    assert all((ROOT / file).is_file() for file in LEAST), "a file of tests has moved"
    file = next(iter(LEAST))
    status, said = run(QUIET, file)
    assert status == 1 and " 2 passed, 1 error in " in said, said
    assert re.search(rf"{file}: only 0 of [\w.-]+ were searched for secrets, not \d", said)


def test_no_marker_divides_a_file_with_a_minimum_between_two_runs(run: Run) -> None:
    status, said = run(DIVIDED, next(iter(LEAST)))
    assert status == 1 and " 3 passed, 1 error in " in said, said
    assert said.count("all of its tests must be untraced, or alone, or none") == 1, said


def test_a_skipped_test_fails_the_run_in_ci(run: Run) -> None:
    assert run(SKIPPED)[0] == 0
    status, said = run(SKIPPED, CI="true")
    assert status == 1 and " 1 passed, 1 skipped in " in said


def test_the_figures_of_every_process_are_printed(run: Run) -> None:
    assert "\n23 m\n" in run(MEASURING)[1]
