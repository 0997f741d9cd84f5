"""What the tests of a whole appliance share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import unavailable

from . import lan as network
from .lan import Lan


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """A network of a house, of which nothing is left afterwards."""
    if reason := network.missing():
        unavailable(reason)
    with Lan(tmp_path) as lan:
        yield lan
    assert not list(network.left_over())
