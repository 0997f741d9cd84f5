"""The mDNS name without a network: decisions and messages. appliance/test_lan.py tries it on a network."""

from __future__ import annotations

import struct
import threading
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

NAME = "kindle.local"
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
