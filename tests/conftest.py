"""Shared by all tests: the folder of shared data, a Gemini and an appliance, the scale of long proofs, and the rule
that CI skips no test.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.calls import nothing_leaks, open_upstream
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.secret_scanner import SCANNER

from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"

__all__ = ["nothing_leaks", "open_upstream"]  # fixtures

_SOAK_SECONDS = 3600  # the timeout of a test with --soak
_FIGURES = pytest.StashKey[list[str]]()
_TESTS = pytest.StashKey[dict[str, set[str]]]()  # of each file
_PASSED: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the proofs that are scaled down otherwise in full")


def pytest_configure(config: pytest.Config) -> None:
    # A background job of a shell ignores Ctrl-C, and so would every program that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_FIGURES] = []
    config.stash[_TESTS] = {}
    # All log records are searched for secrets, also those that only KINDLE_APPLIANCE_LOG_LEVEL=debug would show.
    logging.getLogger().addHandler(SCANNER.handler())
    logging.getLogger("kindle_appliance").setLevel(logging.DEBUG)


@pytest.hookimpl(tryfirst=True)  # before `-m soak` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that use the fixture `soak`, and put the search for secrets last, after all writes."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")
    for item in items:
        config.stash[_TESTS].setdefault(item.nodeid.partition("::")[0], set()).add(item.nodeid)
        if "soak" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.soak)
            if config.getoption("soak"):
                item.add_marker(pytest.mark.timeout(_SOAK_SECONDS))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _PASSED.add(report.nodeid)
    elif report.when == "teardown":
        SCANNER.scan("output", report.capstdout + report.capstderr)  # the output of programs that inherited ours


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the measurements of the long proofs."""
    figures = config.stash[_FIGURES]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, every skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search at the end of each process of a run, unless test_secrets.py has done so."""
    yield
    if not SCANNER.is_over:
        found = SCANNER.conclude(tmp_path_factory.getbasetemp())
        assert not found, "\n".join(found)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded streams and conformance cases, next to the checkout; not part of the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "streams" / "expected.json").is_file():
        unavailable("the recorded streams are not on this machine (a folder beside the checkout)")
    return folder


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
def passed(request: pytest.FixtureRequest) -> set[str]:
    """The files whose tests have all passed in this process; none in a run of single tests."""
    if any("::" in each for each in request.config.args):
        return set()
    return {file for file, tests in request.config.stash[_TESTS].items() if tests <= _PASSED}


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
def house(gemini: FakeGemini, tmp_path: Path) -> Iterator[House]:
    """The appliance, with the test's Gemini."""
    with House(gemini.url, tmp_path) as house:
        yield house


def unavailable(reason: str) -> None:
    """Skip with a reason. In CI, where every test must run, fail with it."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)
