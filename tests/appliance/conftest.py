"""Fixtures for tests of a whole appliance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import unavailable
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from . import lan as network
from .debian import DEBIANS
from .lan import Lan


class ByMachine(LoadScopeScheduling):  # type: ignore[misc]
    """Two processes run these tests: those of a file and a release share a machine, so they stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """What the tests of a machine have in common. (With pytest 9.2 the marker `xdist_group` does nothing:
    https://github.com/pytest-dev/pytest-xdist/issues/1386, 2026-09.)
    """
    file, _, test = nodeid.partition("::")
    parameters = re.split(r"[\[\]-]", test)
    return " ".join([file, *(each.suite for each in DEBIANS if each.suite in parameters)])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByMachine | None:
    """Let `--dist loadgroup` keep together what shares a machine."""
    return ByMachine(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """A house's network; fails the test if anything of it is left afterwards."""
    if reason := network.missing():
        unavailable(reason)
    with Lan(tmp_path) as lan:
        yield lan
    assert not list(network.left_over())
