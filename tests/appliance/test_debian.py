"""The machines of these tests themselves."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import unavailable
from fakes.secret_scanner import SCANNER

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
