"""Shared by all tests: the folder of shared data, a Gemini and an appliance, the scale of long proofs, and two
rules: CI skips no test, and coverage traces no slow one.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from coverage import Coverage
from fakes.calls import nothing_leaks, open_upstream
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.openai import OpenAIServer
from fakes.secret_check import SecretCheck
from fakes.secret_scanner import SCANNER
from hypothesis import HealthCheck

from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"
COVERAGE_OF_PROGRAMS = "COVERAGE_PROCESS_CONFIG"
"""The variable in which coverage hands its options on (`patch = subprocess` in setup.cfg, version 7.17)."""

__all__ = ["nothing_leaks", "open_upstream"]  # fixtures

_SOAK_SECONDS = 3600  # the timeout of a test with --soak
_FIGURES = pytest.StashKey[list[str]]()
_CHECK = pytest.StashKey[SecretCheck]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the proofs that are scaled down otherwise in full")


def pytest_configure(config: pytest.Config) -> None:
    # A background job of a shell ignores Ctrl-C, and so would every program that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a loaded machine, any example may take long.
    hypothesis.settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis.settings.load_profile("loaded")
    config.stash[_FIGURES] = []
    config.stash[_CHECK] = SecretCheck(config.stash[_FIGURES])
    config.pluginmanager.register(config.stash[_CHECK])
    # All log records are searched for secrets, also those that only KINDLE_APPLIANCE_LOG_LEVEL=debug would show.
    logging.getLogger().addHandler(SCANNER.handler())
    logging.getLogger("kindle_appliance").setLevel(logging.DEBUG)


@pytest.hookimpl(tryfirst=True)  # before `-m soak` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that use the fixture `soak`."""
    for item in items:
        if "soak" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.soak)
            if config.getoption("soak"):
                item.add_marker(pytest.mark.timeout(_SOAK_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage would make four times as much of what a slow test computes, and knows nearly all of it from others.
    So it traces neither that test nor the programs that it starts.
    """
    tracing = Coverage.current() if item.get_closest_marker("slow") else None
    if tracing is None:
        return (yield)
    in_programs = os.environ.pop(COVERAGE_OF_PROGRAMS, None)
    tracing.stop()
    try:
        return (yield)
    finally:
        tracing.start()
        if in_programs is not None:
            os.environ[COVERAGE_OF_PROGRAMS] = in_programs


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the measurements of the long proofs."""
    figures = config.stash[_FIGURES]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, every skipped test is a failure."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash[_FIGURES]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Add the measurements of the tests in another process."""
    node.config.stash[_FIGURES].extend(getattr(node, "workeroutput", {}).get("figures", []))


@pytest.fixture(scope="session", autouse=True)
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Search the files that the tests of this process write for secrets."""
    request.config.stash[_CHECK].folder = tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded streams and conformance cases, next to the checkout; not part of the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "streams" / "expected.json").is_file():
        unavailable("the recorded streams are not on this machine (a folder beside the checkout)")
    return folder


@pytest.fixture(scope="session")
def answers(shared: Path) -> list[str]:
    """The texts of all recorded answers."""
    recorded = json.loads((shared / "streams" / "expected.json").read_bytes())
    return [case["computed"]["text"] for case in recorded.values() if case["computed"]["text"]]


class Soak:
    """The scale of a long proof: `soak(8, full=200)` is 200 in `make soak` and 8 in every other run."""

    def __init__(self, is_full: bool, figures: list[str]) -> None:
        self.is_full = is_full
        self._figures = figures

    def __call__(self, scaled: int, *, full: int) -> int:
        return full if self.is_full else scaled

    def tell(self, figure: str) -> None:
        """Print a line at the end of the run."""
        self._figures.append(figure)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> Soak:
    """The scale of long proofs."""
    return Soak(request.config.getoption("soak"), request.config.stash[_FIGURES])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database, open."""
    with closing(Database(tmp_path / "chats.sqlite", CHATS)) as database:
        yield database


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    """A Gemini that follows the test's commands."""
    with FakeGemini() as gemini:
        yield gemini


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server of the OpenAI-compatible dialect that follows the test's commands."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def house(gemini: FakeGemini, tmp_path: Path) -> Iterator[House]:
    """The appliance, with the test's Gemini."""
    with House(gemini.url, tmp_path) as house:
        yield house


def unavailable(reason: str) -> None:
    """Skip with a reason. In CI, where every test must run, fail with it."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)
