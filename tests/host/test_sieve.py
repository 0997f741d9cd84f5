"""Which packets of the network reach zeroconf, and how many."""

from __future__ import annotations

import itertools
import random
import struct
from collections import Counter

import pytest
from fakes import mdns_packets
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import DNSIncoming  # type: ignore[attr-defined]

from kindle_appliance.host.sieve import MOST_BYTES, PACKETS, PACKETS_OF_ONE, Sieve, SievedListener

OWN, OTHER = "10.0.0.5", "10.0.0.9"
KINDS = ["large_records", "small_records", "questions", "truncated", "malformed"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sieve(clock: Clock | None = None) -> Sieve:
    return Sieve(("_http", "_services", "kindle"), {OWN}, clock or Clock())


def asked(*labels: str, flags: int = 0) -> bytes:
    return mdns_packets.packet(flags, [mdns_packets.question(mdns_packets.name(*labels), 1)], [])


@pytest.mark.parametrize(
    "labels",
    [
        ("kindle", "local"),
        ("KINDLE", "Local"),
        ("_http", "_tcp", "local"),
        ("_services", "_dns-sd", "_udp", "local"),
        ("Kindle appliance (kindle:80)", "_http", "_tcp", "local"),
    ],
)
def test_questions_for_the_name_and_its_page_pass(labels: tuple[str, ...]) -> None:
    assert sieve().passed(asked(*labels), OTHER) == asked(*labels)


def test_questions_for_others_and_all_that_others_announce_do_not_pass() -> None:
    assert sieve().passed(asked("kindle-2", "local"), OTHER) is None
    assert sieve().passed(asked("_googlecast", "_tcp", "local"), OTHER) is None
    assert sieve().passed(asked("kindle", "local", flags=0x8400), OTHER) is None
    assert sieve().passed(asked("kindle", "local", flags=0x8400), OWN) is not None
    for packet in itertools.islice(mdns_packets.large_records(random.Random(1)), 3):
        assert sieve().passed(packet, OTHER) is None


def test_a_question_that_promises_more_is_answered_as_it_is() -> None:
    passed = sieve().passed(asked("kindle", "local", flags=0x0200), OTHER)
    assert passed == asked("kindle", "local")


@given(st.binary(max_size=2000), st.sampled_from([OWN, OTHER]))
def test_any_bytes_pass_unchanged_or_not_at_all(data: bytes, source: str) -> None:
    passed = sieve().passed(data, source)
    if passed is not None:
        assert len(data) <= MOST_BYTES and passed[:2] + passed[3:] == data[:2] + data[3:]
        assert not DNSIncoming(passed).truncated


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sources", [1, 1000])
def test_a_flood_leaves_a_few_packets_a_second_and_nothing_else_in_memory(kind: str, sources: int) -> None:
    clock, chance = Clock(), random.Random(3)
    tried = sieve(clock)
    flood = getattr(mdns_packets, kind)(chance)
    passed: Counter[int] = Counter()
    for number in range(5000):
        clock.now = number / 500
        passed[int(clock.now)] += tried.passed(next(flood), f"10.9.0.{chance.randrange(sources)}") is not None
        assert len(tried._read) <= PACKETS
    assert max(passed.values()) <= (PACKETS_OF_ONE if sources == 1 else PACKETS)
    clock.now += 1
    assert tried.passed(asked("kindle", "local"), OTHER)


def test_one_machine_does_not_use_up_what_the_others_have() -> None:
    tried = sieve()
    results = [tried.passed(asked("kindle", "local"), OTHER) is not None for _ in range(500)]
    assert results.count(True) == PACKETS_OF_ONE
    assert tried.passed(asked("kindle", "local"), "10.0.0.10")
    for number in range(500):
        tried.passed(asked("kindle", "local"), f"10.1.0.{number}")
    assert tried.passed(asked("kindle", "local"), "10.0.0.11") is None
    assert tried.passed(asked("kindle", "local"), OWN), "so that it hears itself"


def test_of_a_torrent_most_is_not_even_looked_at() -> None:
    clock = Clock()
    tried = sieve(clock)
    rests = [tried.seconds_to_rest() for _ in range(101)]
    assert rests[:100] == [0.0] * 100
    assert rests[100] == pytest.approx(0.1)
    clock.now += rests[100]
    assert tried.seconds_to_rest() == 0.0


class Listener:
    """Fails for a packet whose id is 1."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if struct.unpack(">H", data[:2]) == (1,):
            raise ZeroDivisionError(data)
        self.heard.append(source)

    def error_received(self, error: Exception) -> None:
        self.heard.append(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.append(error)


def test_a_packet_at_which_zeroconf_fails_does_not_keep_the_next_one_from_it() -> None:
    listener, errors = Listener(), list[BaseException]()
    sieved = SievedListener(listener, sieve(), errors.append)
    good = asked("kindle", "local")
    for packet in (good, b"\0\1" + good[2:], b"", good):
        sieved.datagram_received(packet, (OTHER, 5353))
    assert listener.heard == [(OTHER, 5353)] * 2
    assert [type(each) for each in errors] == [ZeroDivisionError]
    gone = OSError("gone")
    sieved.error_received(gone)
    sieved.connection_lost(None)
    assert listener.heard[2:] == [gone, None]
