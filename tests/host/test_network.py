"""The network interfaces of this machine, and those that lead to the home network."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from appliance.conftest import lan
from appliance.lan import Lan

from kindle_appliance.host.network import (
    Interface,
    addresses,
    interfaces,
    lan_address,
    of_the_house,
    source_of,
    web_address,
)

__all__ = ["lan"]  # a fixture

USABLE = 0x1 | 0x40 | 0x1000  # up, running, multicast (netdevice(7))
ETH = Interface(2, "eth0", "192.168.1.23", USABLE)
WIFI = Interface(3, "wlan0", "192.168.1.24", USABLE)
OWN = Interface(2, "eth0", "169.254.7.7", USABLE)
DOCKER = Interface(9, "docker0", "172.17.0.1", USABLE)


def test_the_kernel_names_the_loopback_interface_with_its_address() -> None:
    (loopback,) = [each for each in interfaces() if each.address == "127.0.0.1"]
    assert (loopback.name, loopback.index) == ("lo", socket.if_nametoindex("lo"))
    assert loopback.flags & 0x8
    assert loopback not in of_the_house(interfaces())


def test_an_interface_that_vanishes_meanwhile_is_left_out(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    pi = lan.host("10.83.0.20")
    index_of = socket.if_nametoindex

    def unplug_and_look(name: Any) -> int:
        if name == b"eth0":
            pi.unplug()  # after the list has been read
        return index_of(name)

    monkeypatch.setattr(socket, "if_nametoindex", unplug_and_look)
    assert [each.name for each in pi.within(interfaces)] == ["lo"]


def test_all_addresses_are_found_also_more_than_had_room_at_first(lan: Lan) -> None:
    pi = lan.host("10.83.0.20")
    for number in range(1, 131):
        pi.ip(f"address add 10.84.0.{number}/24 dev eth0")
    found = {each.address for each in pi.within(interfaces)}
    assert found == {"127.0.0.1", "10.83.0.20", *(f"10.84.0.{number}" for number in range(1, 131))}


ODD_NAMES = ["exactly-15-byte", "büro-wlan", "\udcff\udcfe", "a'b\"$(c)", "-x", "a@b.5", "\x1b[2J", "📚"]
"""The kernel takes all bytes but spaces, slashes and colons; some of these are not UTF-8."""


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_interface_may_have_any_name(lan: Lan, name: str) -> None:
    pi = lan.host("10.83.0.20")
    pi.ip("link add other type veth peer name far")
    pi.ip("link set far up")
    pi.ip(f"link set dev other name {name}")
    pi.ip(f"address add 10.84.0.20/24 dev {name}")
    pi.ip(f"link set dev {name} up")
    assert {each.address for each in pi.within(interfaces)} == {"127.0.0.1", "10.83.0.20", "10.84.0.20"}
    deadline = time.monotonic() + 10  # the kernel takes up to a second to report a cable
    while len(pi.within(lambda: of_the_house(interfaces()))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for each in pi.within(interfaces):
        each.name.encode()


def test_only_devices_with_a_link_count_and_an_alias_counts_as_its_device(lan: Lan) -> None:
    pi = lan.host("10.83.0.20")
    pi.ip("address add 10.83.0.21/24 dev eth0 label eth0:1")
    pi.ip("link add eth1 type veth peer name far")
    pi.ip("address add 10.84.0.20/24 dev eth1")
    pi.ip("link set eth1 up")

    def counts() -> list[str]:
        return [f"{each.name} {each.address}" for each in pi.within(lambda: of_the_house(interfaces()))]

    def count_soon(*expected: str) -> None:
        deadline = time.monotonic() + 10  # the kernel takes up to a second to report a cable
        while (found := counts()) != list(expected):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    count_soon("eth0 10.83.0.20", "eth0 10.83.0.21")
    assert len({each.index for each in pi.within(interfaces) if each.name == "eth0"}) == 1
    pi.ip("link set far up")
    count_soon("eth0 10.83.0.20", "eth0 10.83.0.21", "eth1 10.84.0.20")
    pi.ip("link set eth0 down")
    assert counts() == ["eth1 10.84.0.20"]
    pi.ip("link set far down")
    count_soon()
    assert {each.name for each in pi.within(interfaces)} >= {"eth0", "eth1"}, "they keep their addresses"


def test_devices_of_a_home_network_count() -> None:
    assert of_the_house([WIFI, DOCKER, ETH]) == (ETH, WIFI)
    for name in ("eth1", "end0", "enp3s0", "enxb827eb000000", "wlp2s0", "usb0", "br0", "bond0"):
        assert of_the_house([Interface(2, name, "10.0.0.5", USABLE)])


@pytest.mark.parametrize(
    "name",
    ["docker0", "br-0123456789ab", "veth12ab", "virbr0", "tun0", "wg0", "tailscale0", "zt3jn", "lxdbr0", "podman1"],
)
def test_interfaces_to_containers_and_vpns_do_not_count(name: str) -> None:
    assert of_the_house([Interface(4, name, "10.0.0.5", USABLE)]) == ()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (USABLE & ~0x1, "switched off"),
        (USABLE & ~0x40, "no cable, no Wi-Fi"),
        (USABLE & ~0x1000, "no multicast"),
        (USABLE | 0x8, "this machine only"),
        (USABLE | 0x10, "point to point"),
    ],
)
def test_an_interface_without_a_usable_link_does_not_count(flags: int, why: str) -> None:
    assert of_the_house([Interface(2, "eth0", "192.168.1.23", flags)]) == (), why


def test_a_link_local_address_is_the_last_resort() -> None:
    assert of_the_house([OWN]) == (OWN,)
    assert of_the_house([OWN, WIFI]) == (WIFI,)


def test_only_the_interface_of_the_listening_address_counts() -> None:
    assert of_the_house([ETH, WIFI], "192.168.1.24") == (WIFI,)
    assert of_the_house([ETH, WIFI], "10.0.0.1") == ()
    assert of_the_house([ETH, WIFI], "::") == (ETH, WIFI)


def test_a_device_with_a_new_index_is_another_one() -> None:
    assert of_the_house([ETH]) != of_the_house([Interface(7, "eth0", ETH.address, USABLE)])


def test_the_address_that_the_kernel_would_send_from_comes_first() -> None:
    found = addresses("0.0.0.0")
    assert found[:1] == [each for each in [lan_address()] if each in found]
    assert found[1:] == sorted(found[1:])
    assert addresses("192.168.7.7") == ["192.168.7.7"]


def test_a_web_address_is_as_short_as_it_can_be() -> None:
    assert web_address("192.168.1.23", 80) == "http://192.168.1.23/"
    assert web_address("kindle.local", 8080) == "http://kindle.local:8080/"
    assert web_address("::1", 8080) == "http://[::1]:8080/"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.168.1.23", "192.168.1.23"),
        ("::ffff:192.168.1.23", "192.168.1.23"),
        ("fd00::1", "fd00::/64"),
        ("fd00:0:0:1:2:3:4:5", "fd00:0:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("no address", "no address"),
    ],
)
def test_limits_count_an_ipv4_address_and_the_64_bits_of_an_ipv6_network(address: str, source: str) -> None:
    assert source_of(address) == source
