"""The name of the appliance on the network, by multicast DNS (RFC 6762); the only module with zeroconf.

zeroconf answers for the name; what it leaves to others is here. It never asks whether a host name is free: one-shot
questions do (RFC 6762, 6.7). It never sees an interface that comes later: the network is looked at every second,
and after a change everything is made anew. It would tell the addresses of docker's bridges: it gets a list. All of
it runs in a thread of its own, where the library is loaded, too: nothing that happens there stops the appliance.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from ..errors import ApplianceError, OwnerError
from ..sentences import Sentence
from . import network
from .network import Interface

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # at the network; a change has to last as long
_AGAIN_SECONDS = 60.0  # whether somebody else has come to use the name
_RETRY_SECONDS = 15.0
_CLOSE_SECONDS = 3.0
_QUESTIONS = 3
_ANSWER_SECONDS = 0.25
_MOST_NAMES = 20
_GROUP = ("224.0.0.251", 5353)
_TYPE_A, _CLASS_IN = 1, 1  # RFC 1035, 3.2


class State(StrEnum):
    """How far the name is known."""

    OFF = "off"
    NO_NETWORK = "no network"
    PROBING = "probing"
    UP = "up"
    FAILED = "failed"


@dataclass(frozen=True)
class Snapshot:
    """How things stand. `name`: what the network knows the appliance as, such as `kindle-2.local`, while it is UP
    or PROBING once more; `addresses`: those that the name leads to. `reason`, for the owner: why it is FAILED, or
    why the name is not the one that was wanted.
    """

    state: State = State.OFF
    name: str = ""
    addresses: tuple[str, ...] = ()
    reason: Sentence | None = None

    def facts(self) -> dict[str, object]:
        """As values for JSON."""
        reason = str(self.reason) if self.reason else ""
        return {"state": self.state.value, "name": self.name, "addresses": list(self.addresses), "reason": reason}

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return {
            State.OFF: "the name is no longer announced",
            State.NO_NETWORK: "no network to announce the name on; waiting for one",
            State.PROBING: "finding out which name is free",
            State.UP: f"{self.name} is announced for {_listed(self.addresses)}{because}",
            State.FAILED: f"the name cannot be announced; trying again{because}",
        }[self.state]


class Advertiser:
    """Announces `<label>.local`, and the web page there with its `version`, from `start()` to `close()`."""

    def __init__(self, label: str, version: str) -> None:
        self._label = label
        self._version = version
        self._snapshot = self._logged = Snapshot()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mdns", daemon=True)

    def start(self, host: str, port: int) -> None:
        """Announce what listens on `host` and `port`; nothing, if no other machine can reach that by IPv4."""
        if ":" in host or host.startswith("127."):
            return
        self._host, self._port = host, port
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what matters of it is told here
        self._become(Snapshot(State.PROBING))
        self._thread.start()

    def close(self) -> None:
        """Say goodbye, so that nobody looks for the name here any longer. Takes less than a second."""
        self._stopping.set()
        if self.is_on:
            self._thread.join(_CLOSE_SECONDS)

    @property
    def is_on(self) -> bool:
        """Whether there is, or will be, a name."""
        return self._thread.is_alive()

    def snapshot(self) -> Snapshot:
        """How things stand; may be asked from any thread."""
        return self._snapshot

    def _run(self) -> None:
        while not self._stopping.is_set():
            found = self._look()
            try:
                if found:
                    self._announce(found)
                else:
                    self._become(Snapshot(State.NO_NETWORK))
                    self._watch(found)
            except Exception as error:  # whatever it is: pages are served all the same
                log.debug("mdns: %s", error, exc_info=True)
                unforeseen = Sentence("The system says: %(error)s", error=str(error) or type(error).__name__)
                reason = error.sentence if isinstance(error, ApplianceError) else unforeseen
                self._become(Snapshot(State.FAILED, reason=reason))
                self._watch(found, _RETRY_SECONDS)
        self._become(Snapshot())

    def _become(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        if snapshot.state is not State.PROBING and snapshot != self._logged:
            log.log(logging.WARNING if snapshot.state is State.FAILED else logging.INFO, "mdns: %s", snapshot)
            self._logged = snapshot

    def _look(self) -> tuple[Interface, ...]:
        return network.of_the_house(network.interfaces(), self._host)

    def _watch(self, found: tuple[Interface, ...], seconds: float = float("inf")) -> bool:
        """Wait until the network is another than `found`, twice the same, or the end has come: True; or for
        `seconds`: False.
        """
        deadline, last = time.monotonic() + seconds, found
        while time.monotonic() < deadline:
            if self._stopping.wait(_LOOK_SECONDS) or (now := self._look()) == last != found:
                return True
            last = now
        return False

    def _announce(self, found: tuple[Interface, ...]) -> None:
        """Find a name and answer for it until the network changes, another one has to be found, or the end."""
        from zeroconf import IPVersion, ServiceInfo, Zeroconf

        addresses = tuple(each.address for each in found)
        self._become(Snapshot(State.PROBING, self._snapshot.name))
        name, reason = self._find_name(addresses)
        if self._stopping.is_set():
            return
        self._become(Snapshot(State.PROBING, name, addresses))
        try:
            zeroconf = Zeroconf(list(addresses), ip_version=IPVersion.V4Only)
        except OSError as error:
            sentence = Sentence(
                "UDP port %(port)d cannot be used: %(error)s", port=_GROUP[1], error=error.strerror or str(error)
            )
            raise OwnerError(sentence) from error
        try:
            info = ServiceInfo(
                "_http._tcp.local.",
                # Nobody else is called so: the name is ours, the port too. No need to ask again.
                f"Kindle appliance ({name.removesuffix('.local')}:{self._port})._http._tcp.local.",
                self._port,
                properties={"path": "/", "version": self._version},
                server=f"{name}.",
                parsed_addresses=list(addresses),
            )
            zeroconf.register_service(info, cooperating_responders=True)
            pause, is_unheard = _LOOK_SECONDS, False
            while True:
                answers = self._ask(name, addresses)
                others = foreign(answers, _own_addresses())
                if self._stopping.is_set() or gives_way(addresses, others):
                    return
                if any(address in addresses for _, address in answers):
                    is_unheard = False
                    both = Sentence("%(address)s answers for %(name)s too.", address=_listed(others), name=name)
                    self._become(Snapshot(State.UP, name, addresses, both if others else reason))
                elif is_unheard:
                    raise OwnerError(
                        Sentence("Nobody hears it; a firewall may keep UDP port %(port)d closed.", port=_GROUP[1])
                    )
                else:
                    is_unheard = True  # once may be a busy moment
                # Somebody who started together with us may answer a moment later: at first the pauses are short.
                pause = min(pause * 2, _AGAIN_SECONDS)
                if self._watch(found, pause):
                    return
        finally:
            zeroconf.close()

    def _find_name(self, addresses: Collection[str]) -> tuple[str, Sentence | None]:
        """A name that nobody else answers for, and why it is not the first one."""
        reason = None
        for name in names(self._label):
            others = foreign(self._ask(name, addresses), _own_addresses())
            if not others:
                return name, reason
            reason = reason or Sentence("%(name)s belongs to %(address)s.", name=name, address=_listed(others))
        raise OwnerError(Sentence("Every name up to %(name)s is taken.", name=name))

    def _ask(self, name: str, addresses: Iterable[str]) -> set[tuple[str, str]]:
        """Who answers for `name` on the networks of `addresses`: pairs of who says so and the address it gives. A
        foreign answer ends it.
        """
        answers: set[tuple[str, str]] = set()
        own = _own_addresses()
        with ExitStack() as stack:
            ready = stack.enter_context(selectors.DefaultSelector())
            for address in addresses:
                asker = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                asker.setblocking(False)
                asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
                asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
                asker.bind((address, 0))
                ready.register(asker, selectors.EVENT_READ, asker)
            for _ in range(_QUESTIONS):
                for key in ready.get_map().values():
                    key.data.sendto(question(name), _GROUP)
                deadline = time.monotonic() + _ANSWER_SECONDS
                while (left := deadline - time.monotonic()) > 0:
                    for key, _ in ready.select(left):
                        with contextlib.suppress(BlockingIOError):
                            data, (source, _) = key.data.recvfrom(9000)
                            answers |= {(source, each) for each in addresses_in(data, name)}
                    if self._stopping.is_set() or foreign(answers, own):
                        return answers
        return answers


def resolve(name: str) -> set[str]:
    """The addresses that the network of the house gives for a name, this machine's own answer among them."""
    own = [each.address for each in network.of_the_house(network.interfaces())]
    return {address for _, address in Advertiser("", "")._ask(name, own)}


def names(label: str) -> Iterator[str]:
    """The names to try, one after the other."""
    yield f"{label}.local"
    yield from (f"{label}-{number}.local" for number in range(2, _MOST_NAMES + 1))


def foreign(answers: Iterable[tuple[str, str]], own: Collection[str]) -> set[str]:
    """The addresses in `answers` that are another machine's. Not what this one says itself, where avahi may answer
    for the same name; nor what another one repeats to us.
    """
    return {address for source, address in answers if source not in own and address not in own}


def gives_way(own: Iterable[str], others: Iterable[str]) -> bool:
    """Whether we have to find another name: of two machines that claim one, that with the lower address does."""
    return max(map(IPv4Address, own)) < max(map(IPv4Address, others), default=IPv4Address(0))


def question(name: str) -> bytes:
    """Who has the name? With a number of its own, or those who were just asked by another would not answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack(">6H", secrets.randbelow(0x10000), 0, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">2H", _TYPE_A, _CLASS_IN)


def addresses_in(data: bytes, name: str) -> Iterator[str]:
    """The IPv4 addresses that a message gives for a name; none, if it is no answer."""
    from zeroconf import DNSAddress, DNSIncoming  # type: ignore[attr-defined]

    message = DNSIncoming(data)
    for record in message.answers() if message.valid and message.is_response() else ():
        if isinstance(record, DNSAddress) and record.type == _TYPE_A and record.name.lower() == f"{name}.":
            yield socket.inet_ntoa(record.address)


def _listed(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses))


def _own_addresses() -> set[str]:
    return {each.address for each in network.interfaces()}
