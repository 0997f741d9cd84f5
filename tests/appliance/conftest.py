"""Fixtures for tests of a whole appliance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import unavailable

from . import lan as network
from .debian import Debian
from .lan import Lan


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes run these tests: those of a file and a release share a machine, so they stay together."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        machine = parameters.get("machine")
        release = machine.suite if isinstance(machine, Debian) else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path} {release}"))


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """A house's network; fails the test if anything of it is left afterwards."""
    if reason := network.missing():
        unavailable(reason)
    with Lan(tmp_path) as lan:
        yield lan
    assert not list(network.left_over())
