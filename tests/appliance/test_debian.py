"""The machines of these tests themselves."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import unavailable
from fakes.secret_scanner import SCANNER

from .conftest import scope_of
from .debian import DEBIANS, Debian, Machine

pytestmark = pytest.mark.slow

SERVICE = ("systemd-run", "--quiet", "--unit=here", "sleep", "infinity")


@pytest.mark.parametrize("debian", DEBIANS, ids=lambda debian: debian.suite)
def test_a_service_is_stopped_on_one_machine_and_goes_on_on_another(debian: Debian, tmp_path: Path) -> None:
    """Two tests at once have two machines, each with the same service: one removed the control group of both."""
    if reason := debian.missing():
        unavailable(reason)
    with ExitStack() as stack:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        one, other = (
            stack.enter_context(Machine(debian, tmp_path / name, SCANNER.scan)) for name in ("one", "other")
        )
        for each in (one, other):
            each.run(*SERVICE)
        one.run("systemctl", "stop", "here")
        assert "Failed" not in one.run("journalctl", "--no-pager", "--unit=here").stdout
        assert other.run("systemctl", "is-active", "here").stdout == "active\n"
        other.run("systemctl", "stop", "here")
        assert "Failed" not in other.run("journalctl", "--no-pager", "--unit=here").stdout


def test_the_tests_of_a_file_and_a_release_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """They share a machine, and some build on what those before have left there."""
    bookworm, trixie = (f"tests/appliance/test_install.py {each.suite}" for each in DEBIANS)
    for test, scope in {
        "test_a[bookworm]": bookworm,
        "test_b[bookworm-more]": bookworm,
        "test_c[more-trixie]": trixie,
        "test_d[bookworms]": "tests/appliance/test_install.py",
        "test_e": "tests/appliance/test_install.py",
    }.items():
        assert scope_of(f"tests/appliance/test_install.py::{test}") == scope
    for item in request.session.items:
        machine = item.callspec.params.get("machine") if hasattr(item, "callspec") else None
        if isinstance(machine, Debian):
            assert scope_of(item.nodeid) == f"{item.nodeid.partition('::')[0]} {machine.suite}"
