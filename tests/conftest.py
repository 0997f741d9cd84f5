"""What all tests share: where the shared data lies, a Gemini and a house to try it in, and no skipping in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was skipped, for whatever reason, is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded streams and conformance cases, beside the checkout; not part of the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "streams" / "expected.json").is_file():
        unavailable("the recorded streams are not on this machine (a folder beside the checkout)")
    return folder


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    """A Gemini that does as the test says."""
    with FakeGemini() as gemini:
        yield gemini


@pytest.fixture
def house(gemini: FakeGemini, tmp_path: Path) -> Iterator[House]:
    """The appliance, asking that Gemini."""
    with House(gemini.url, tmp_path) as house:
        yield house


def unavailable(reason: str) -> None:
    """Skip with a reason; in CI, where everything must run, fail with it."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)
