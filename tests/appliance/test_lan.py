"""The real program on a network of hosts, with avahi as the other side: whether, and when, its name is found.

The seconds are a person's wait; they count from the moment when the program says that it serves.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from kindle_appliance import __version__
from kindle_appliance.host.mdns import Advertiser, Snapshot, State

from . import lan as network
from .lan import Host, Lan, advertising

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PI, OTHER, DESK, PHONE = "10.83.0.20", "10.83.0.30", "10.83.0.40", "10.83.0.50"
START_SECONDS = 3
CHANGE_SECONDS = 6
UP = "mdns: {} is announced for {}"


@pytest.fixture
def desk(lan: Lan) -> Host:
    """A computer of the house, on which avahi looks names up."""
    desk = lan.host(DESK)
    desk.start_avahi("desk")
    return desk


@pytest.fixture
def phone(lan: Lan) -> Host:
    """A telephone of the house, which asks anew each time."""
    return lan.host(PHONE)


def wait_until_up(advertiser: Advertiser, name: str) -> Snapshot:
    deadline = time.monotonic() + 15
    while (snapshot := advertiser.snapshot()).state is not State.UP or snapshot.name != name:
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.02)
    return snapshot


def test_name_and_service_are_found_within_3_s_and_lead_to_the_page(lan: Lan, desk: Host) -> None:
    pi = lan.host(PI)
    serving = pi.serve()
    deadline = time.monotonic() + START_SECONDS
    desk.resolve("kindle.local", PI, START_SECONDS)
    record = rf"^=;eth0;IPv4;Kindle.*;_http\._tcp;local;kindle\.local;{PI};8080;"
    desk.browse(rf'{record}.*"version={__version__}" "path=/"', deadline - time.monotonic())
    serving.wait_for(UP.format("kindle.local", PI))
    page = desk.get(f"http://{PI}:8080/addresses")
    assert page.index(f'<a href="http://{PI}:8080/">') < page.index('<a href="http://kindle.local:8080/">')
    assert desk.ask("kindle.local") == {PI}
    known = {"state": "up", "name": "kindle.local", "addresses": [PI], "reason": ""}
    assert json.loads(desk.get(f"http://{PI}:8080/healthz"))["mdns"] == known


def test_a_new_address_is_found_within_6_s(lan: Lan, desk: Host) -> None:
    pi = lan.host(PI)
    serving = pi.serve()
    desk.resolve("kindle.local", PI, START_SECONDS)
    serving.wait_for(UP.format("kindle.local", PI))
    pi.lease(OTHER)
    desk.resolve("kindle.local", OTHER, CHANGE_SECONDS)
    serving.wait_for(UP.format("kindle.local", OTHER))
    assert desk.ask("kindle.local") == {OTHER}


def test_the_name_is_found_within_6_s_on_a_late_network_or_a_new_device(lan: Lan, desk: Host) -> None:
    pi = lan.host()
    serving = pi.serve()
    serving.wait_for("mdns: no network")
    assert "no network at the moment" in pi.get("http://127.0.0.1:8080/addresses")
    pi.plug(PI)
    desk.resolve("kindle.local", PI, CHANGE_SECONDS)
    serving.wait_for(UP.format("kindle.local", PI))
    pi.unplug()
    pi.plug(PI)  # before the advertiser has noticed
    desk.ask_until("kindle.local", {PI}, CHANGE_SECONDS)
    pi.unplug()
    serving.wait_for("mdns: no network")
    pi.plug(PI)
    desk.ask_until("kindle.local", {PI}, CHANGE_SECONDS)


@pytest.mark.parametrize("device", ["\udcff\udcfe", "büro-wlan", "fifteen-letters"])
def test_a_device_with_an_odd_name_is_one_like_others(lan: Lan, desk: Host, device: str) -> None:
    pi = lan.host(PI)
    pi.ip("link set dev eth0 down")
    pi.ip(f"link set dev eth0 name {device}")
    pi.ip(f"link set dev {device} up")
    serving = pi.serve()
    desk.resolve("kindle.local", PI, START_SECONDS)
    serving.wait_for(UP.format("kindle.local", PI))
    assert f"http://{PI}:8080/" in desk.get(f"http://{PI}:8080/addresses")


def test_a_name_of_another_computer_stays_with_that_computer(lan: Lan, desk: Host) -> None:
    lan.host(OTHER).start_avahi("kindle")
    pi = lan.host(PI)
    serving = pi.serve()
    desk.resolve("kindle-2.local", PI, START_SECONDS)
    serving.wait_for(UP.format("kindle-2.local", PI) + rf" \(kindle.local belongs to {OTHER}\.\)")
    assert desk.ask("kindle.local") == {OTHER}
    page = desk.get(f"http://{PI}:8080/addresses")
    assert "http://kindle-2.local:8080/" in page
    assert f"kindle.local belongs to {OTHER}." in page
    assert "Your question" in desk.get(f"http://{PI}:8080/", "kindle-2.local:8080")
    assert "does not know the name “kindle.local”" in desk.get(f"http://{PI}:8080/", "kindle.local:8080")


def test_three_appliances_get_three_names_even_when_two_start_together(lan: Lan, phone: Host) -> None:
    with advertising(lan.host(PI)) as lower, advertising(lan.host(OTHER)) as higher:
        assert wait_until_up(lower, "kindle-2.local").addresses == (PI,)
        assert wait_until_up(higher, "kindle.local").addresses == (OTHER,)
        with advertising(lan.host(DESK)) as third:
            wait_until_up(third, "kindle-3.local")
            held = [phone.ask(name) for name in ("kindle.local", "kindle-2.local", "kindle-3.local")]
            assert held == [{OTHER}, {PI}, {DESK}]


def test_when_two_networks_are_joined_the_lower_address_gives_way(lan: Lan, phone: Host, tmp_path: Path) -> None:
    with (
        Lan(tmp_path) as upstairs,
        advertising(lan.host(PI)) as lower,
        advertising(upstairs.host(OTHER)) as higher,
    ):
        for advertiser in (lower, higher):
            assert wait_until_up(advertiser, "kindle.local").reason is None
        lan.join(upstairs)
        assert str(wait_until_up(lower, "kindle-2.local").reason) == f"kindle.local belongs to {OTHER}."
        assert higher.snapshot().name == "kindle.local"
        assert (phone.ask("kindle.local"), phone.ask("kindle-2.local")) == ({OTHER}, {PI})


def test_the_addresses_of_containers_are_not_announced(lan: Lan, phone: Host) -> None:
    pi = lan.host(PI)
    for number, bridge in enumerate(("docker0", "br-0123456789ab")):
        pi.ip(f"link add {bridge} type bridge")
        pi.ip(f"address add 172.{17 + number}.0.1/16 dev {bridge}")
        pi.ip(f"link add veth{number} type veth peer name inner{number}")
        pi.ip(f"link set veth{number} master {bridge} up")
        pi.ip(f"link set inner{number} up")
        pi.ip(f"link set {bridge} up")
    hearing = phone.overhear(PHONE)
    pi.serve().wait_for(UP.format("kindle.local", PI))
    assert phone.ask("kindle.local") == {PI}
    hearing.wait_for(f"kindle.local. 120 {PI}")
    assert not [line for line in hearing.said if " 172." in line]
    assert "172." not in phone.get(f"http://{PI}:8080/addresses")


def test_avahi_on_the_same_machine_under_the_same_name_is_no_conflict(lan: Lan, desk: Host) -> None:
    pi = lan.host(PI)
    avahi = pi.start_avahi("kindle")
    serving = pi.serve()
    serving.wait_for(UP.format("kindle.local", f"{PI}$"))
    desk.resolve("kindle.local", PI, START_SECONDS)
    assert not [line for line in avahi.said if "conflict" in line]


def test_the_name_is_withdrawn_within_1_s_of_a_stop(lan: Lan, phone: Host) -> None:
    serving = lan.host(PI).serve()
    serving.wait_for(UP.format("kindle.local", PI))
    hearing = phone.overhear(PHONE)
    serving.process.send_signal(signal.SIGTERM)
    hearing.wait_for(f"kindle.local. 0 {PI}", 1)
    serving.wait_for("mdns: the name is no longer announced")
    assert serving.process.wait(timeout=5) == 0
    assert not phone.ask("kindle.local")


def test_with_the_mdns_port_taken_pages_are_served_and_the_name_follows_once_it_is_free(
    lan: Lan, phone: Host
) -> None:
    pi = lan.host(PI)
    with pi.within(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as another:
        another.bind(("", network.MDNS[1]))
        serving = pi.serve()
        serving.wait_for("WARNING mdns: the name cannot be announced; .*UDP port 5353 .*in use")
        page = phone.get(f"http://{PI}:8080/addresses")
        assert f"http://{PI}:8080/" in page and "UDP port 5353" in page and ".local" not in page
        health = json.loads(phone.get(f"http://{PI}:8080/healthz"))
        assert health["status"] == "ok" and health["mdns"]["state"] == "failed"
        assert "Send" in phone.get(f"http://{PI}:8080/")
    serving.wait_for(UP.format("kindle.local", PI), 20)
    assert phone.ask("kindle.local") == {PI}


def test_a_name_without_multicast_is_reported_as_not_heard(lan: Lan) -> None:
    pi = lan.host(PI)
    # zeroconf reports no error when it cannot join the multicast group.
    pi.within(lambda: Path("/proc/sys/net/ipv4/igmp_max_memberships").write_text("0"))
    with advertising(pi) as advertiser:
        while (snapshot := advertiser.snapshot()).state is not State.FAILED:
            assert snapshot.state is State.PROBING
            time.sleep(0.02)
        assert "Nobody hears it" in str(snapshot.reason)


def test_nothing_is_announced_with_no_mdns(lan: Lan, phone: Host) -> None:
    hearing = phone.overhear(PHONE)
    serving = lan.host(PI).serve("--no-mdns")
    lan.host(OTHER).serve("--name", "other").wait_for(
        UP.format("other.local", OTHER)
    )  # by then the first one could have announced too
    page = phone.get(f"http://{PI}:8080/addresses")
    assert f"http://{PI}:8080/" in page and "switched off" in page
    assert phone.ask("kindle.local") == set()
    serving.process.terminate()
    assert serving.process.wait(timeout=5) == 0
    assert not [line for line in hearing.said if "kindle.local" in line]
