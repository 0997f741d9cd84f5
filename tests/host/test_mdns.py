"""The mDNS name: decisions, messages, and what goes wrong. appliance/test_lan.py has the whole program."""

from __future__ import annotations

import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import zeroconf
from appliance.conftest import lan
from appliance.lan import Lan, advertising
from fakes import mdns_packets
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.host import mdns, network
from kindle_appliance.host.mdns import (
    Advertiser,
    Snapshot,
    State,
    addresses_in,
    foreign,
    gives_way,
    names,
    question,
)

__all__ = ["lan"]  # a fixture

NAME = "kindle.local"
PI, OTHER, PHONE, STRANGER = "10.83.0.20", "10.83.0.30", "10.83.0.50", "10.83.0.66"
LABELS = b"\6kindle\5local\0"


def record(address: bytes = b"\x0a\0\0\x09", name: bytes = LABELS, kind: int = 1) -> bytes:
    return name + struct.pack(">HHIH", kind, 0x8001, 120, len(address)) + address


def answer(*records: bytes, flags: int = 0x8400) -> bytes:
    return struct.pack(">6H", 0, flags, 0, len(records), 0, 0) + b"".join(records)


# Decisions


def test_at_most_twenty_names_are_tried_in_order() -> None:
    tried = list(names("kindle"))
    assert tried[:3] == ["kindle.local", "kindle-2.local", "kindle-3.local"]
    assert len(tried) == 20


@pytest.mark.parametrize(
    ("source", "address", "is_foreign"),
    [
        ("10.0.0.9", "10.0.0.9", True),
        ("10.0.0.5", "10.0.0.5", False),  # this machine itself, or avahi on it
        ("10.0.0.5", "10.0.0.4", False),  # avahi on this machine has not noticed its new address
        ("10.0.0.1", "10.0.0.5", False),  # a router repeats our own announcement from another network
        ("10.0.0.1", "10.0.0.9", True),
    ],
)
def test_only_another_machine_with_another_address_is_foreign(source: str, address: str, is_foreign: bool) -> None:
    own = {"10.0.0.5", "172.17.0.1", "127.0.0.1"}
    assert foreign([(source, address), ("10.0.0.5", "172.17.0.1")], own) == ({address} if is_foreign else set())


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (["10.0.0.5"], [], False),
        (["10.0.0.5"], ["10.0.0.9"], True),
        (["10.0.0.10"], ["10.0.0.9"], False),  # compared as numbers, not as letters
        (["10.0.0.5", "192.168.1.2"], ["10.0.0.9"], False),
        (["10.0.0.9"], ["10.0.0.5", "192.168.1.2"], True),
    ],
)
def test_of_two_machines_with_one_name_exactly_one_gives_way(
    own: list[str], others: list[str], expected: bool
) -> None:
    assert gives_way(own, others) is expected
    if others:
        assert gives_way(others, own) is not expected


# Messages


def test_a_question_asks_for_the_address_and_has_an_id_of_its_own() -> None:
    asked = question(NAME)
    assert asked[2:] == b"\0\0\0\1\0\0\0\0\0\0" + LABELS + b"\0\1\0\1"
    assert len({question(NAME) for _ in range(20)}) > 10


def test_only_addresses_of_the_name_are_found_and_only_in_an_answer() -> None:
    strange = record(name=b"\7kindle2\5local\0")
    shouted = record(b"\x0a\0\0\x0a", name=b"\6KINDLE\5Local\0")
    sixteen = record(b"\xfd" + bytes(15), kind=28)
    message = answer(record(), strange, shouted, sixteen)
    assert list(addresses_in(message, NAME)) == ["10.0.0.9", "10.0.0.10"]
    assert list(addresses_in(answer(record(), flags=0), NAME)) == [], "a question is not read as an answer"


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda end: answer(record(), end, end)))
def test_any_bytes_from_the_network_yield_only_valid_addresses(data: bytes) -> None:
    for address in addresses_in(data, NAME):
        assert str(IPv4Address(address)) == address


def test_an_answer_cut_anywhere_yields_no_false_address() -> None:
    whole = answer(record(), record(b"\x0a\0\0\x0a"))
    for length in range(len(whole)):
        assert set(addresses_in(whole[:length], NAME)) <= {"10.0.0.9"}


# The advertiser


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "::"])
def test_an_address_that_no_kindle_can_reach_is_not_announced(host: str) -> None:
    advertiser = Advertiser("kindle", "1")
    advertiser.start(host, 8080)
    assert not advertiser.is_on
    assert advertiser.snapshot() == Snapshot(State.OFF)
    advertiser.close()


def test_the_advertiser_waits_for_a_missing_address_and_still_closes_at_once() -> None:
    advertiser = Advertiser("kindle", "1")
    advertiser.start("198.51.100.7", 8080)
    assert advertiser.is_on
    advertiser.close()
    assert not advertiser.is_on
    assert advertiser.snapshot().state is State.OFF
    assert "mdns" not in [thread.name for thread in threading.enumerate()]


def test_each_state_is_one_line_for_the_log() -> None:
    for state in State:
        line = str(Snapshot(state, NAME, ("10.0.0.5",)))
        assert len(line) > 20 and "\n" not in line


# What goes wrong


def wait_for(advertiser: Advertiser, *expected: State) -> Snapshot:
    deadline = time.monotonic() + 20
    while (snapshot := advertiser.snapshot()).state not in expected:
        assert advertiser.is_on, "the thread has ended"
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.01)
    return snapshot


class Unforeseen(BaseException):
    """Not even an Exception, like asyncio's CancelledError."""


class Failing:
    """Raises each of `errors` once in the place of `function`, and then calls it."""

    def __init__(self, function: Callable[..., Any], *errors: BaseException) -> None:
        self._function = function
        self._errors = list(errors)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return self._function(*arguments, **more)

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Any]:
        return lambda *arguments, **more: self(instance, *arguments, **more)


@pytest.mark.parametrize(
    ("owner", "function"),
    [
        (network, "interfaces"),
        (zeroconf, "ServiceInfo"),
        (zeroconf.Zeroconf, "__init__"),
        (zeroconf.Zeroconf, "register_service"),
        (Advertiser, "_query"),
        (mdns, "question"),
        (mdns, "place"),
        (socket, "inet_aton"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_the_name_is_announced_at_last_whatever_was_raised_before(
    lan: Lan, monkeypatch: pytest.MonkeyPatch, owner: Any, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mdns, "_RETRY_SECONDS", 0.3)
    errors = [OSError(19, "No such device"), ValueError("odd"), MemoryError(), SystemExit(3), Unforeseen("strange")]
    monkeypatch.setattr(owner, function, Failing(getattr(owner, function), *errors))
    pi = lan.host(PI)
    with advertising(pi) as advertiser:
        failed = wait_for(advertiser, State.FAILED)
        assert failed.reason is not None and failed.facts()["reason"]
        assert wait_for(advertiser, State.UP).addresses == (PI,)
        lan.host(PHONE).ask_until(NAME, {PI}, 10)
    logged = [each.getMessage() for each in caplog.records if each.levelno > logging.DEBUG]
    assert len(logged) == len(set(logged)) <= len(errors) + 3, "one line for each reason, and two for the end"


def test_a_close_of_zeroconf_that_fails_is_tried_again(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    pi, phone = lan.host(PI), lan.host(PHONE)
    monkeypatch.setattr(zeroconf.Zeroconf, "close", Failing(zeroconf.Zeroconf.close, zeroconf.EventLoopBlocked()))
    with advertising(pi) as advertiser:
        wait_for(advertiser, State.UP)
        before = threading.active_count()
    assert not phone.ask(NAME)
    assert threading.active_count() == before - 2, "zeroconf's thread has ended, too"


def test_what_a_packet_or_a_timer_raises_is_a_line_of_the_log_and_changes_nothing(
    lan: Lan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with advertising(lan.host(PI)) as advertiser:
        wait_for(advertiser, State.UP)
        for number in range(1000):
            advertiser._tell_of(ZeroDivisionError(number))
        lan.host(PHONE).ask_until(NAME, {PI}, 10)
    told = [
        each for each in caplog.records if "made a mistake" in each.getMessage() and each.levelno > logging.DEBUG
    ]
    assert 0 < len(told) <= 10
    assert caplog.records[-1].getMessage() == "mdns: the name is no longer announced", "also after too many lines"


KINDS = ["large_records", "small_records", "questions", "truncated", "malformed"]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_packets_leave_the_name_findable_and_nothing_behind(
    lan: Lan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    made: list[zeroconf.Zeroconf] = []
    begin = zeroconf.Zeroconf.__init__

    def note(self: zeroconf.Zeroconf, *arguments: Any, **more: Any) -> None:
        made.append(self)
        begin(self, *arguments, **more)

    monkeypatch.setattr(zeroconf.Zeroconf, "__init__", note)
    monkeypatch.setattr(mdns, "_CONFLICT_CHECK_SECONDS", 1.0)
    pi, phone, stranger = (lan.host(each) for each in (PI, PHONE, STRANGER))
    (tmp_path / "upstairs").mkdir()
    stop = threading.Event()
    packets = getattr(mdns_packets, kind)(random.Random(5))
    with (
        advertising(pi) as advertiser,
        Lan(tmp_path / "upstairs") as upstairs,
        advertising(upstairs.host(OTHER)) as higher,
        ThreadPoolExecutor(1) as attack,
    ):
        wait_for(advertiser, State.UP)
        wait_for(higher, State.UP)
        hearing = phone.overhear(PHONE)
        try:
            sent = attack.submit(
                stranger.within, lambda: mdns_packets.send(packets, STRANGER, 500, seconds=20, stop=stop)
            )
            for _ in range(5):
                phone.ask_until(NAME, {PI}, 3)
            instance = made[0]
            records = sum(len(instance.cache.entries_with_name(each)) for each in instance.cache.names())
            assert records < 20, "its own, which it hears"
            assert len(instance.question_history._history) < 20
            assert not any(each._deferred or each._timers for each in instance.engine.protocols)
            lan.join(upstairs)  # where a machine with a higher address has the same name
            deadline = time.monotonic() + 15
            while advertiser.snapshot().name != "kindle-2.local" or advertiser.snapshot().state is not State.UP:
                assert time.monotonic() < deadline, advertiser.snapshot()
                time.sleep(0.02)
            phone.ask_until("kindle-2.local", {PI}, 3)
            assert higher.snapshot().name == NAME
            advertiser.close()
            hearing.wait_for(f"kindle-2.local. 0 {PI}", 20)
        finally:
            stop.set()
        assert sent.result(timeout=10) > 500
