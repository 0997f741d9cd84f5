"""The addresses that the name of a server stands for, and which of them a connection may be made to.

Names under `.local` are looked up here by multicast DNS: the system knows them only if a package of its own does so
(nss-mdns). Other names are the system's.

What is not encrypted must stay in the house. The settings judge that by the name; here each address is judged: a
name can lead anywhere, and elsewhere at the next connection.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from ..errors import OwnerError
from ..host import mdns
from ..host.network import is_of_the_house, parse_address
from ..sentences import Sentence

_LEADS_OUT = Sentence(
    "The name of %(provider)s leads out of the house. Nothing is sent there, because it would not be encrypted. The"
    " owner can check the address in the settings."
)


def addresses(provider: str, host: str, port: int, only_at_home: bool) -> list[str]:
    """The addresses of a host, in the order in which they are tried. Raises OSError if it has none, `OwnerError` if
    `only_at_home` allows none of them.
    """
    found = list(dict.fromkeys(_look_up(host.strip("[]").rstrip(".").lower(), port)))
    allowed = [address for address in found if not only_at_home or is_at_home(address)]
    if not allowed:
        raise OwnerError(_LEADS_OUT.having(provider=provider), f"{host} is {', '.join(found)}")
    return allowed


def is_at_home(address: str) -> bool:
    """Whether it is one of the house, or of this machine."""
    parsed = parse_address(address)
    return parsed is not None and (parsed.is_loopback or is_of_the_house(parsed))


def _look_up(host: str, port: int) -> Iterator[str]:
    if host.endswith(".local") and (answers := _ask_the_house(host)):
        yield from answers
        return
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        yield socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]


def _ask_the_house(name: str) -> list[str]:
    """What the computers of the house answer; nothing without a network."""
    try:
        return sorted(mdns.resolve(name))
    except OSError:
        return []
