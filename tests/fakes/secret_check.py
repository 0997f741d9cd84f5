"""Fails a test run that has written a secret anywhere, and one that has searched too little for secrets.

Each process of a run searches its own files after its last test: see secret_scanner.py. The first process reports
the findings of all. All tests of a file run in one process (`--dist loadfile`), because a minimum covers a file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .secret_scanner import KINDS, SCANNER

LEAST = {
    "tests/web/test_app.py": {"response": 40},
    "tests/web/test_asking_routes.py": {"response": 100, "log": 40},
    "tests/web/test_check_routes.py": {"response": 50},
    "tests/web/test_cookies.py": {"response": 45},
    "tests/web/test_reading_routes.py": {"response": 150, "log": 45},
    "tests/web/test_scripts_routes.py": {"response": 60, "log": 30},
    "tests/test_main.py": {"response": 60, "output": 30, "chats.sqlite": 20, "chats.sqlite-wal": 1, "stderr": 20},
    "tests/owner/test_commands.py": {"output": 30, "backup": 5},
    "tests/owner/test_doctor.py": {"output": 100},
    "tests/web/test_fuzz.py": {"response": 2000},
    "tests/test_killing.py": {"response": 200},
    "tests/test_soak.py": {"response": 500},
    "tests/browsers/test_pin.py": {"response": 50},
    "tests/appliance/test_install.py": {"output": 100, "journal": 2},
}
"""The minimum of pieces to search once all tests of a file have passed: of each kind, and of files by name."""


class SecretCheck:
    """A plugin of pytest. `problems` fail the run; `figures` are printed at its end. The files that this process
    writes are in `folder`.
    """

    def __init__(self, figures: list[str]) -> None:
        self.problems: list[str] = []
        self.folder: Path | None = None
        self._figures = figures
        self._tests: dict[str, set[str]] = {}  # of each file
        self._passed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)  # before `-m` deselects some
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Check that a file with a minimum runs as a whole: no marker may divide it between two runs."""
        runs: dict[str, set[tuple[bool, ...]]] = {}
        for item in items:
            file = item.nodeid.partition("::")[0]
            self._tests.setdefault(file, set()).add(item.nodeid)
            run = tuple(item.get_closest_marker(each) is not None for each in ("untraced", "alone"))
            runs.setdefault(file, set()).add(run)
        divided = [file for file in LEAST if len(runs.get(file, ())) > 1]
        self.problems += [f"{file}: all of its tests must be untraced, or alone, or none" for file in divided]
        if any("::" in each for each in config.args):  # a run of single tests
            self._tests.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Search the output of programs that have inherited that of the tests."""
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)
        elif report.when == "teardown":
            SCANNER.scan("output", report.capstdout + report.capstderr)

    @pytest.hookimpl(tryfirst=True)  # while this process can still report results
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search the files that this process has written, and report problems."""
        if self.folder:
            self.problems += SCANNER.conclude(self.folder)
            self._compare()
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["problems"] = self.problems
        elif self.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            problems = dict.fromkeys(self.problems)  # each once, although several processes may have it
            session.config.hook.pytest_runtest_logreport(report=_error("\n".join(problems)))

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the findings of another process. A crashed one fails the run anyway."""
        self.problems += getattr(node, "workeroutput", {}).get("problems", [])

    def _compare(self) -> None:
        complete = [file for file in LEAST if file in self._tests and self._tests[file] <= self._passed]
        for file in complete:
            for each, least in LEAST[file].items():
                pieces = SCANNER.pieces[(each, file) if each in KINDS else ("file", each)]
                if pieces < least:
                    self.problems.append(f"{file}: only {pieces} of {each} were searched for secrets, not {least}")
        counts: Counter[str] = Counter()
        for (kind, _), pieces in SCANNER.pieces.items():
            counts[kind] += pieces
        sizes = (f"{counts[kind]} of {kind} ({SCANNER.bytes[kind] / 1e6:.1f} MB)" for kind in KINDS)
        minimum = f"; at least the minimum of {', '.join(complete)}" if complete and not self.problems else ""
        self._figures.append(f"pieces that were searched for the key and the PIN: {', '.join(sizes)}{minimum}")


def _error(text: str) -> pytest.TestReport:
    """An error of the whole run, which pytest shows and counts like those of single tests."""
    where = ("tests/fakes/secret_check.py", None, "no_secret_is_written")
    return pytest.TestReport(
        nodeid=f"{where[0]}::{where[2]}",
        location=where,
        keywords={},
        outcome="failed",
        longrepr=text,
        when="teardown",
    )
