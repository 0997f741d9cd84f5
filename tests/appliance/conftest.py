"""Fixtures for tests of a whole appliance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import unavailable

from . import lan as network
from .lan import Lan


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """A house's network; fails the test if anything of it is left afterwards."""
    if reason := network.missing():
        unavailable(reason)
    with Lan(tmp_path) as lan:
        yield lan
    assert not list(network.left_over())
