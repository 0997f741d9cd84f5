"""Calls to a model server over real sockets, and a check that they leak nothing. conftest.py has the fixtures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kindle_appliance.upstream.call import Call, Clocks, Upstream

from .secrets import KEY

SOON = 10.0  # seconds: enough on the slowest machine for anything that happens at once


LONG = Clocks(connect=SOON, first_byte=60)  # without the cancel, a call would wait six times as long


Open = Callable[..., Upstream]


@pytest.fixture
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Checks that no thread and no socket is left behind, and that the key is in no log line."""
    caplog.set_level(logging.DEBUG)
    threads, sockets = set(threading.enumerate()), open_sockets()
    yield
    assert set(threading.enumerate()) <= threads
    assert open_sockets() == sockets
    assert KEY not in "\n".join(caplog.handler.format(record) for record in caplog.get_records("call"))


def open_sockets() -> int | None:
    """The number of sockets that this process holds, if the system tells it."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return None
    count = 0
    for entry in folder.iterdir():
        with suppress(OSError):  # the descriptor that lists the folder is closed by now
            count += str(entry.readlink()).startswith("socket:")
    return count


@pytest.fixture
def open_upstream() -> Iterator[Open]:
    """A function that opens an Upstream. The fixture closes it at the end."""
    opened: list[Upstream] = []

    def open_one(url: str, clocks: Clocks = LONG, **more: Any) -> Upstream:
        opened.append(Upstream(url, clocks, provider="Gemini", **more))
        return opened[-1]

    yield open_one
    for upstream in opened:
        upstream.close()


def read_all(call: Call) -> bytes:
    return b"".join(iter(lambda: call.read(SOON), b""))
