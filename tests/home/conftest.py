"""Fixtures of the tests with a real model server: it, houses that ask it, a browser as on older Kindles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from browsers.browser import Browser
from browsers.conftest import KINDLE_4, demand
from browsers.engines import ENGINES
from conftest import IN_CI, unavailable
from fakes.house import House
from fakes.llama import LlamaServer, missing
from fakes.rungs import listed

from kindle_appliance.upstream.call import Clocks

CLOCKS = Clocks(connect=5, first_byte=60, progress=60)
(PHANTOMJS,) = (each for each in ENGINES if each.name == "phantomjs-2.1.1")


class HouseWith(Protocol):
    """Opens a house with this list of models, each as an owner writes it, and other settings."""

    def __call__(
        self, *entries: str, clocks: Clocks = CLOCKS, gemini_url: str | None = None, **settings: Any
    ) -> House: ...


@pytest.fixture
def llama(tmp_path: Path) -> Iterator[LlamaServer]:
    """The model server, running, with one slot. The test may end it and start it again."""
    if reason := missing():
        unavailable(reason)
    with LlamaServer(tmp_path) as llama:
        yield llama


@pytest.fixture
def house_with(tmp_path: Path) -> Iterator[HouseWith]:
    """Opens a house, with chats of its own; it is closed at the end."""
    numbers = itertools.count(1)
    with ExitStack() as stops:

        def open_house(
            *entries: str, clocks: Clocks = CLOCKS, gemini_url: str | None = None, **settings: Any
        ) -> House:
            rungs = listed(*entries, clocks=clocks, gemini_url=gemini_url, **settings)
            (folder := tmp_path / f"house-{next(numbers)}").mkdir()
            return stops.enter_context(House("http://127.0.0.1:9", folder, rungs=rungs, clocks=clocks))

        yield open_house


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A fresh browser with the page size of a Kindle 4."""
    demand(PHANTOMJS, IN_CI)
    with PHANTOMJS.start(*KINDLE_4) as browser:
        yield browser
