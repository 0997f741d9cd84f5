"""The network as this machine sees it: its interfaces, and the addresses that the house reaches it at.

The kernel is asked each time: Wi-Fi comes late, leases change, adapters are pulled out and put back. IPv4 only: no
old Kindle knows another. The library ifaddr does not do: it reads no interface at all if the name of one is not
UTF-8, and the kernel takes any bytes for it.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

HOUSE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
"""Private and link-local (RFC 1918, 3927, 4193, 4291). Python's `is_private` admits more."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

_RESOLVER = Path("/etc/resolv.conf")
_SIOCGIFCONF, _SIOCGIFFLAGS = 0x8912, 0x8913  # netdevice(7)
_IFCONF = struct.Struct("@iP")  # the size and the place of a list
_IFREQ = struct.Struct("@16sH22x")  # a name and its flags, in the 40 bytes of a 64-bit struct ifreq
_LISTED = struct.Struct(f"@16s4x4s{struct.calcsize('@LLHBBB0L') - 8}x")  # a name and its address (linux/if.h)

_IS_UP, _IS_LOOPBACK, _IS_POINT_TO_POINT, _IS_RUNNING, _IS_MULTICAST = 0x1, 0x8, 0x10, 0x40, 0x1000
_INNER = ("docker", "br-", "veth", "virbr", "vnet", "lxc", "lxd", "podman", "cni", "vmnet", "vboxnet")
_TUNNELS = ("tun", "tap", "wg", "tailscale", "zt")
"""How interfaces are called that lead to containers, virtual machines and far networks."""


@dataclass(frozen=True, order=True)
class Interface:
    """One IPv4 address of an interface. A device that was pulled out and put back has another `index`; `flags` may
    change at any time, and make no difference between two.
    """

    index: int
    name: str
    address: str
    flags: int = field(compare=False)


def interfaces() -> list[Interface]:
    """All that have an address. One that vanishes meanwhile is left out."""
    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        for label, address in _LISTED.iter_unpack(_list(kernel)):
            name = label.partition(b"\0")[0].partition(b":")[0]  # an alias is called eth0:1
            with contextlib.suppress(OSError):
                index, flags = socket.if_nametoindex(name), _flags(name, kernel)
                found.append(Interface(index, name.decode(errors="replace"), socket.inet_ntoa(address), flags))
    return found


def _list(kernel: socket.socket) -> bytes:
    """The kernel's list of all IPv4 addresses."""
    size, length = 0, 0
    while length == size:  # there may be more than had room
        size += 64 * _LISTED.size
        room = array.array("B", bytes(size))
        length = int(
            _IFCONF.unpack(fcntl.ioctl(kernel, _SIOCGIFCONF, _IFCONF.pack(size, room.buffer_info()[0])))[0]
        )
    return room.tobytes()[:length]


def _flags(name: bytes, kernel: socket.socket) -> int:
    """The flags of an interface. Raises OSError if there is none of that name.

    /sys/class/net does not do: it shows the network namespace in which /sys was mounted, which in a container may
    be another one, and its `flags` lack IFF_RUNNING.
    """
    return int(_IFREQ.unpack(fcntl.ioctl(kernel, _SIOCGIFFLAGS, _IFREQ.pack(name, 0)))[1])


def of_the_house(found: Iterable[Interface], host: str = EVERYWHERE[0]) -> tuple[Interface, ...]:
    """Those of `found` that other machines of the house can be behind, if the appliance listens on `host`.

    Without containers' bridges and tunnels; with an address that a machine gave itself (RFC 3927) only if there is
    no other.
    """
    usable = [
        each
        for each in found
        if each.flags & (_IS_UP | _IS_RUNNING | _IS_MULTICAST) == _IS_UP | _IS_RUNNING | _IS_MULTICAST
        and not each.flags & (_IS_LOOPBACK | _IS_POINT_TO_POINT)
        and not each.name.startswith(_INNER + _TUNNELS)
        and host in (*EVERYWHERE, each.address)
    ]
    given = [each for each in usable if not each.address.startswith("169.254.")]
    return tuple(sorted(given or usable))


def addresses(host: str) -> list[str]:
    """What to type into a Kindle instead of a name, best first, if the appliance listens on `host`."""
    if host not in EVERYWHERE:
        return [host]
    best = lan_address()
    return sorted({each.address for each in of_the_house(interfaces())}, key=lambda each: (each != best, each))


def lan_address() -> str | None:
    """The IPv4 address that other machines of the house reach this one at, if it has a network at all.

    Connecting a UDP socket sends nothing; the kernel only chooses the address that it would send from. 192.0.2.1
    is set aside for documentation (RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def parse_address(text: str) -> Address | None:
    """An IP address without its zone, an IPv4-mapped IPv6 one as IPv4; None for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def source_of(address: str) -> str:
    """What limits count a client by: its IPv4 address, or the /64 of its IPv6 address.

    A machine can give itself any of the 2^64 addresses of its link (RFC 8981), link-local ones too (RFC 4291,
    2.5.6): to count them one by one would limit nothing. So the IPv6 devices of one link share what one IPv4 device
    may use. Anything else is counted as it is.
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as `192.168.178.0/24`, or single addresses. Raises `ValueError` for anything else."""
    return tuple(ip_network(each, strict=False) for each in texts)


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address in network for network in networks)


def is_of_the_house(address: Address) -> bool:
    """Whether the address is a private one, as homes have them (`HOUSE_NETWORKS`)."""
    return is_in(address, parse_networks(HOUSE_NETWORKS))


def web_address(host: str, port: int) -> str:
    """As it is typed into a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}{'' if port == 80 else f':{port}'}/"


def names() -> set[str]:
    """What this machine is called at the moment, its addresses among it."""
    try:
        resolver = _RESOLVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        resolver = ""
    return names_of_machine(socket.gethostname(), resolver) | {each.address for each in interfaces()}


def names_of_machine(host_name: str, resolver: str) -> set[str]:
    """What a machine is called on its network: its name, bare and under `.local`, and under each domain that
    `resolver`, the text of resolv.conf(5), searches.
    """
    host_name = host_name.lower().rstrip(".")
    bare = host_name.partition(".")[0]
    words = [line.lower().split() for line in resolver.splitlines()]
    domains = [
        domain.strip(".") for line in words if line and line[0] in ("search", "domain") for domain in line[1:]
    ]
    return {host_name, bare, *(f"{bare}.{domain}" for domain in ("local", *domains) if domain)}
