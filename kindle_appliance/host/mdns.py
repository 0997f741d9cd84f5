"""Announces the appliance's name by multicast DNS (RFC 6762); the only module with zeroconf.

zeroconf answers queries for the name. Four things that it does not do are done here:

- It does not check whether a host name is free: one-shot queries do (RFC 6762, 6.7).
- It does not notice an interface that appears later: the interfaces are read every second, and after a change the
  announcement is set up again.
- It would announce the addresses of docker's bridges: it is given a list of addresses.
- It reads and keeps what any machine sends: a sieve gets it only what it needs.

All of this runs in a separate thread, which also imports the library: no error there stops the appliance, or the
thread.
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
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from ..errors import ApplianceError, OwnerError
from ..sentences import Sentence
from . import network
from .network import Interface
from .sieve import Sieve, place

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # between two reads of the interfaces; a change must last as long to count
_CONFLICT_CHECK_SECONDS = 60.0  # between two checks whether another machine uses the name
_RETRY_SECONDS = 15.0
_CLOSE_SECONDS = 3.0
_QUERIES = 3
_ANSWER_SECONDS = 0.25
_MAX_NAMES = 20
_LOGGED_SECONDS, _LOGGED_LINES = 600.0, 10  # at most so many lines of the log in so long, whatever the network does
_GROUP = ("224.0.0.251", 5353)
_TYPE_A, _CLASS_IN = 1, 1  # RFC 1035, 3.2
_TYPE_LABELS = ("_http", "_services")  # RFC 6763, 7 and 9


class State(StrEnum):
    """The state of the announcement."""

    OFF = "off"
    NO_NETWORK = "no network"
    PROBING = "probing"
    UP = "up"
    FAILED = "failed"


@dataclass(frozen=True)
class Snapshot:
    """The state of the announcement at one moment.

    `name`: the announced name, such as `kindle-2.local`, while UP or PROBING again; `addresses`: what it resolves
    to.
    `reason`, for the owner: why the announcement FAILED, or why the name is not the configured one.
    """

    state: State = State.OFF
    name: str = ""
    addresses: tuple[str, ...] = ()
    reason: Sentence | None = None

    def facts(self) -> dict[str, object]:
        """Return the snapshot as values for JSON."""
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
    """Announces `<label>.local` and its web page, with the `version`, from `start()` to `close()`."""

    def __init__(self, label: str, version: str) -> None:
        self._label = label
        self._version = version
        self._snapshot = self._logged = Snapshot()
        self._log_times = deque[float](maxlen=_LOGGED_LINES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mdns", daemon=True)

    def start(self, host: str, port: int) -> None:
        """Announce the server on `host` and `port`, unless no other machine can reach it by IPv4."""
        if ":" in host or host.startswith("127."):
            return
        self._host, self._port = host, port
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # this module logs what matters
        self._set_snapshot(Snapshot(State.PROBING))
        self._thread.start()

    def close(self) -> None:
        """Withdraw the announcement, so that other machines forget the name. Takes less than a second."""
        self._stopping.set()
        if self.is_on:
            self._thread.join(_CLOSE_SECONDS)

    @property
    def is_on(self) -> bool:
        """Whether a name is announced, or will be."""
        return self._thread.is_alive()

    def snapshot(self) -> Snapshot:
        """Return the current state; can be called from any thread."""
        return self._snapshot

    def _run(self) -> None:
        while not self._stopping.is_set():
            interfaces: tuple[Interface, ...] = ()
            try:
                interfaces = self._find_interfaces()
                if interfaces:
                    self._announce(interfaces)
                else:
                    self._set_snapshot(Snapshot(State.NO_NETWORK))
                    self._wait_for_change(interfaces)
            except BaseException as error:  # of any kind: the next try may succeed
                log.debug("mdns: %s", error, exc_info=True)
                system_error = Sentence("The system says: %(error)s", error=str(error) or type(error).__name__)
                reason = error.sentence if isinstance(error, ApplianceError) else system_error
                self._set_snapshot(Snapshot(State.FAILED, reason=reason))
                self._pause(interfaces)
        self._set_snapshot(Snapshot())

    def _pause(self, known: tuple[Interface, ...]) -> None:
        """Wait before another try, for less long if the interfaces change."""
        try:
            self._wait_for_change(known, _RETRY_SECONDS)
        except BaseException:  # the interfaces cannot be read
            self._stopping.wait(_RETRY_SECONDS)

    def _set_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        if snapshot.state is not State.PROBING and snapshot != self._logged:
            level = logging.WARNING if snapshot.state is State.FAILED else logging.INFO
            if self._log(level, str(snapshot)):
                self._logged = snapshot

    def _log(self, level: int, event: str) -> bool:
        """Log an event, unless there have been too many; return whether it was logged."""
        now = time.monotonic()
        is_busy = len(self._log_times) == _LOGGED_LINES and now < self._log_times[0] + _LOGGED_SECONDS
        if is_busy and not self._stopping.is_set():
            return False
        self._log_times.append(now)
        log.log(level, "mdns: %s", event)
        return True

    def _find_interfaces(self) -> tuple[Interface, ...]:
        return network.of_the_house(network.interfaces(), self._host)

    def _wait_for_change(self, known: tuple[Interface, ...], seconds: float = float("inf")) -> bool:
        """Wait up to `seconds` for a change of the interfaces, or for `close()`; return whether one came.

        The interfaces have changed if two successive reads give the same result, and it differs from `known`.
        """
        deadline, last = time.monotonic() + seconds, known
        while time.monotonic() < deadline:
            if self._stopping.wait(_POLL_SECONDS) or (now := self._find_interfaces()) == last != known:
                return True
            last = now
        return False

    def _announce(self, interfaces: tuple[Interface, ...]) -> None:
        """Choose a name and announce it until the interfaces change, another name is needed, or `close()`."""
        from zeroconf import IPVersion, ServiceInfo, Zeroconf

        addresses = tuple(each.address for each in interfaces)
        self._set_snapshot(Snapshot(State.PROBING, self._snapshot.name))
        name, reason = self._choose_name(addresses)
        if self._stopping.is_set():
            return
        self._set_snapshot(Snapshot(State.PROBING, name, addresses))
        try:
            zeroconf = Zeroconf(list(addresses), ip_version=IPVersion.V4Only)
        except OSError as error:
            sentence = Sentence(
                "UDP port %(port)d cannot be used: %(error)s", port=_GROUP[1], error=error.strerror or str(error)
            )
            raise OwnerError(sentence) from error
        try:
            sieve = Sieve((*_TYPE_LABELS, name.removesuffix(".local")), addresses)
            transports = [reader.transport for reader in zeroconf.engine.readers]
            place(sieve, zeroconf.loop, transports, self._tell_of)
            info = ServiceInfo(
                "_http._tcp.local.",
                # Unique without another query: it contains our host name and port.
                f"Kindle appliance ({name.removesuffix('.local')}:{self._port})._http._tcp.local.",
                self._port,
                properties={"path": "/", "version": self._version},
                server=f"{name}.",
                parsed_addresses=list(addresses),
            )
            zeroconf.register_service(info, cooperating_responders=True)
            pause, missed_once = _POLL_SECONDS, False
            while True:
                answers = self._query(name, addresses)
                others = foreign(answers, _own_addresses())
                if self._stopping.is_set() or gives_way(addresses, others):
                    return
                if any(address in addresses for _, address in answers):
                    missed_once = False
                    conflict = Sentence("%(address)s answers for %(name)s too.", address=_listed(others), name=name)
                    self._set_snapshot(Snapshot(State.UP, name, addresses, conflict if others else reason))
                elif missed_once:
                    raise OwnerError(
                        Sentence("Nobody hears it; a firewall may keep UDP port %(port)d closed.", port=_GROUP[1])
                    )
                else:
                    missed_once = True  # once is no failure: the network may be busy
                # A machine that started at the same time may answer a little later, so the first pauses are short.
                pause = min(pause * 2, _CONFLICT_CHECK_SECONDS)
                if self._wait_for_change(interfaces, pause):
                    return
        finally:
            try:
                zeroconf.close()
            except Exception:  # it may have done a part of it; a second call does the rest
                zeroconf.close()

    def _tell_of(self, error: BaseException) -> None:
        """Log what a packet or a timer of zeroconf has raised. It goes on by itself."""
        log.debug("mdns: %s", error, exc_info=error)
        self._log(logging.WARNING, f"zeroconf made a mistake: {error or type(error).__name__}")

    def _choose_name(self, addresses: Collection[str]) -> tuple[str, Sentence | None]:
        """Return the first name that no other machine uses, and why it is not the configured one."""
        reason = None
        for name in names(self._label):
            others = foreign(self._query(name, addresses), _own_addresses())
            if not others:
                return name, reason
            reason = reason or Sentence("%(name)s belongs to %(address)s.", name=name, address=_listed(others))
        raise OwnerError(Sentence("Every name up to %(name)s is taken.", name=name))

    def _query(self, name: str, addresses: Iterable[str]) -> set[tuple[str, str]]:
        """Query `name` on the networks of `addresses` and return the answers.

        An answer is a pair: the address of the responder, and the address that it gives for the name. An answer
        that names another machine ends the query early.
        """
        answers: set[tuple[str, str]] = set()
        own = _own_addresses()
        with ExitStack() as stack:
            ready = stack.enter_context(selectors.DefaultSelector())
            for address in addresses:
                sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sender.setblocking(False)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
                sender.bind((address, 0))
                ready.register(sender, selectors.EVENT_READ, sender)
            for _ in range(_QUERIES):
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
    """Return the addresses that the house's network gives for a name, this machine's own answer included."""
    own = [each.address for each in network.of_the_house(network.interfaces())]
    return {address for _, address in Advertiser("", "")._query(name, own)}


def names(label: str) -> Iterator[str]:
    """Yield the names to try, in order."""
    yield f"{label}.local"
    yield from (f"{label}-{number}.local" for number in range(2, _MAX_NAMES + 1))


def foreign(answers: Iterable[tuple[str, str]], own: Collection[str]) -> set[str]:
    """Return the addresses in `answers` that belong to other machines.

    Answers from this machine do not count: avahi may answer here for the same name. Nor do our own addresses that
    another machine repeats.
    """
    return {address for source, address in answers if source not in own and address not in own}


def gives_way(own: Iterable[str], others: Iterable[str]) -> bool:
    """Whether we must choose another name. Of two machines with one name, the one with the lower address must."""
    return max(map(IPv4Address, own)) < max(map(IPv4Address, others), default=IPv4Address(0))


def question(name: str) -> bytes:
    """Return a query for the address of `name`.

    It has a random id: a responder that has just answered another query might take an equal one for a repetition.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack(">6H", secrets.randbelow(0x10000), 0, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">2H", _TYPE_A, _CLASS_IN)


def addresses_in(data: bytes, name: str) -> Iterator[str]:
    """Yield the IPv4 addresses that a message gives for a name; none if it is not a response."""
    from zeroconf import DNSAddress, DNSIncoming  # type: ignore[attr-defined]

    message = DNSIncoming(data)
    for record in message.answers() if message.valid and message.is_response() else ():
        if isinstance(record, DNSAddress) and record.type == _TYPE_A and record.name.lower() == f"{name}.":
            yield socket.inet_ntoa(record.address)


def _listed(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses))


def _own_addresses() -> set[str]:
    return {each.address for each in network.interfaces()}
