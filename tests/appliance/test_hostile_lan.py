"""The real program on a network with a machine that floods it by multicast: its memory, its time, its name."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from conftest import Soak
from fakes import mdns_packets
from fakes.process import Process

from .lan import Host, Lan
from .test_lan import PHONE, PI, UP

pytestmark = [pytest.mark.slow, pytest.mark.untraced, pytest.mark.timeout(300)]

STRANGER = "10.83.0.66"
RATE = 500  # packets a second
UNSIEVED = """
import sys
from kindle_appliance import __main__
from kindle_appliance.host import mdns
mdns.place = lambda *arguments: None
sys.exit(__main__.main())
"""


@dataclass(frozen=True)
class Cost:
    """Of a flood: the program's memory in MB before it and at most, its processor time, and how often the name was
    found of how many times.
    """

    before: float
    most: float
    cpu_seconds: float
    found: int
    asked: int

    @property
    def grown(self) -> float:
        return self.most - self.before


def pid_of(host: Host) -> int:
    """The only process on this host."""
    done = subprocess.run(
        ["ip", "netns", "pids", host.name], capture_output=True, text=True, check=True, timeout=10
    )
    return int(done.stdout)


def flood(lan: Lan, kind: str, seconds: int, is_sieved: bool = True) -> Cost:
    """Start the program, flood it, and stop it again."""
    pi, phone, stranger = lan.host(PI), lan.host(PHONE), lan.host(STRANGER)
    serving = pi.serve() if is_sieved else pi.serve(program=("-c", UNSIEVED))
    serving.wait_for(UP.format("kindle.local", PI))
    phone.ask_until("kindle.local", {PI}, 3)
    process, stop = Process(pid_of(pi)), threading.Event()
    packets = getattr(mdns_packets, kind)(random.Random(7))
    before, cpu = process.memory(), process.cpu_seconds()
    most, asked, found = before, 0, 0
    with ThreadPoolExecutor(1) as attack:
        sent = attack.submit(stranger.within, lambda: mdns_packets.send(packets, STRANGER, RATE, seconds, stop))
        while not sent.done():
            found += phone.ask("kindle.local", 0.5) == {PI}
            asked += 1
            most = max(most, process.memory())
        assert sent.result() > 0.5 * RATE * seconds, "this machine is too busy for a flood"
    cost = Cost(before, max(most, process.memory()), process.cpu_seconds() - cpu, found, asked)
    hearing = phone.overhear(PHONE)
    serving.process.send_signal(signal.SIGTERM)
    hearing.wait_for(f"kindle.local. 0 {PI}", 2)
    assert serving.process.wait(timeout=10) == 0
    assert len([line for line in serving.said if "mdns:" in line]) == 2, "one line as it begins, one at its end"
    for host in (pi, phone, stranger):
        host.unplug()
    return cost


@pytest.mark.parametrize("kind", ["large_records", "small_records", "questions", "truncated", "malformed"])
def test_a_flood_costs_next_to_no_memory_and_the_name_is_found_all_the_while(
    lan: Lan, soak: Soak, kind: str
) -> None:
    seconds = soak(4, full=60)
    unsieved, sieved = flood(lan, kind, seconds, is_sieved=False), flood(lan, kind, seconds)
    for name, cost in (("as zeroconf is", unsieved), ("sieved", sieved)):
        soak.tell(
            f"mDNS, {kind}, {RATE} packets a second for {seconds} s, {name}: {cost.before:.1f} MB before, at most"
            f" {cost.most:.1f} MB, {cost.cpu_seconds:.1f} s of CPU; name found {cost.found} of {cost.asked} times"
        )
    assert sieved.found >= 0.9 * sieved.asked
    assert sieved.grown < max(1.5, unsieved.grown / 4)
    assert sieved.cpu_seconds < unsieved.cpu_seconds + 0.5
    if kind == "large_records":
        assert unsieved.grown > 10, "else this shows nothing"
