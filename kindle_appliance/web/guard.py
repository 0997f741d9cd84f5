"""Who may ask: pure decisions on facts. No socket, no file and no clock; `web` tells what a request says of itself.

The appliance stands on a network with guests, televisions, and browsers that show strangers' pages. So

- only addresses of the house's networks may connect;
- it answers only to its own names and to addresses of those networks: a stranger's page can let the page's own name
  lead to this machine and then read everything (DNS rebinding), but `Host` still says that name;
- what changes something comes from a page of this very host (`Origin`, else `Referer`), or from what says nothing:
  a script, or a very old browser;
- where there is a PIN, somebody has entered it once in this browser (`Gate`).
"""

from __future__ import annotations

import hmac
import math
import re
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ReaderError
from ..host.network import HOUSE_NETWORKS, Address, is_in, parse_address, parse_networks
from ..sentences import Sentence

OWN_TRIES, ALL_TRIES = 5, 50
"""Wrong PINs that cost no pause: of one address, of all."""

FIRST_PAUSE, LONGEST_PAUSE, FORGOTTEN_AFTER = 60.0, 3600.0, 86400.0  # seconds

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, 9.2.1

_THIS_MACHINE = ("127.0.0.0/8", "::1/128")  # the owner's commands and systemd's watchdog ask, too
_PLACE = re.compile(r"(?:\[([0-9a-f:.]+)(?:%[\w.%-]+)?\]|([\w.-]+))(?::([0-9]{0,5}))?", re.ASCII | re.IGNORECASE)
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Visit:
    """What a request says of itself: its method, the address that it came from, and headers, "" if not sent."""

    method: str
    peer: str
    host: str = ""
    origin: str = ""
    referer: str = ""
    fetch_site: str = ""
    forwarded_for: str = ""
    forwarded_host: str = ""
    forwarded_proto: str = ""
    forwarded: str = ""
    real_ip: str = ""

    @property
    def is_relayed(self) -> bool:
        """Whether a proxy has had it in hand, and says so."""
        return bool(self.forwarded_for or self.forwarded_host or self.forwarded or self.real_ip)


@dataclass(frozen=True)
class _Place:
    """A host as a request names it: an address, or a name in small letters; and a port, if it says one."""

    name: Address | str
    port: int | None

    @classmethod
    def read(cls, text: str) -> _Place | None:
        """From a `Host` header (RFC 9112, 3.2) or the middle of an address; None if it is none."""
        match = _PLACE.fullmatch(text.strip())
        if not match:
            return None
        name = parse_address(match[1] or match[2]) or (match[2] or "").lower().removesuffix(".")
        return cls(name, int(match[3]) if match[3] else None) if name else None


class Guard:
    """The rules of a house. `names`: what the machine is called at the moment, its own addresses among it; `hosts`:
    what else it may be called; `networks`: who may connect, besides this machine; `proxies`: whose `X-Forwarded-`
    headers are believed.
    """

    def __init__(
        self,
        names: Callable[[], Collection[str]] = tuple,
        networks: Iterable[str] = HOUSE_NETWORKS,
        hosts: Iterable[str] = (),
        proxies: Iterable[str] = (),
    ) -> None:
        self._names = names
        self._networks = parse_networks((*_THIS_MACHINE, *networks))
        self._hosts = {"localhost", *((parse_address(each) or each.lower().removesuffix(".")) for each in hosts)}
        self._proxies = parse_networks(proxies)

    def admit(self, visit: Visit) -> str:
        """The address of the client, if it may do this here. Raises `ReaderError` with the reason if not."""
        client, host, scheme = self._seen_through_proxies(visit)
        if client is None or not (is_in(client, self._networks) or str(client) in self._names()):
            raise ReaderError(
                Sentence(
                    "%(client)s is not an address of this house's network. The owner of the appliance can allow"
                    " more with the setting “networks”.",
                    client=_short(str(client or visit.forwarded_for or visit.peer)),
                ),
                403,
            )
        place = _Place.read(host)
        if place is None:
            raise ReaderError(Sentence("The request does not say for which host it is."))
        if not self._is_called(place.name):
            raise ReaderError(
                Sentence(
                    "The appliance does not know the name “%(host)s”. If it is to have it, its owner can add it to"
                    " the setting “hosts”.",
                    host=_short(str(place.name)),
                ),
                421,
            )
        source = visit.origin or visit.referer
        is_foreign = bool(source and not _is_of(source, place, scheme)) or visit.fetch_site.lower() == "cross-site"
        if is_foreign and visit.method not in SAFE_METHODS:
            raise ReaderError(
                Sentence("This was sent by another page. Please ask on a page of the appliance itself."),
                403,
                _short("/".join(source.split("/")[:3]) or visit.fetch_site),  # which page, is nobody's business
            )
        return str(client)

    def is_proxy(self, peer: str) -> bool:
        """Whether whoever connects from there speaks for many clients, as the owner has said."""
        address = parse_address(peer)
        return address is not None and is_in(address, self._proxies)

    def _seen_through_proxies(self, visit: Visit) -> tuple[Address | None, str, str]:
        """Client, host and scheme ("" if nobody says it) as the outermost trusted proxy has seen them."""
        client = parse_address(visit.peer)
        if not self.is_proxy(visit.peer):
            if visit.is_relayed:
                raise ReaderError(
                    Sentence(
                        "This came through a proxy that the appliance has not been told of. Its owner can name it"
                        " in the setting “proxies”."
                    ),
                    403,
                    visit.peer,
                )
            return client, visit.host, "http"
        if not visit.forwarded_for and (visit.is_relayed or visit.forwarded_proto):
            # Nobody else must pass for the proxy; it may have reasons of its own to ask, and says nothing then.
            raise ReaderError(
                Sentence("The proxy does not say in “X-Forwarded-For” for whom it asks."), 403, visit.peer
            )
        hops = [each.strip() for each in visit.forwarded_for.split(",") if each.strip()]
        while hops and client is not None and is_in(client, self._proxies):
            hop = hops.pop()
            place = _Place.read(hop)  # some proxies add a port
            client = parse_address(hop) or (place.name if place and not isinstance(place.name, str) else None)
        return client, _last(visit.forwarded_host) or visit.host, _last(visit.forwarded_proto).lower()

    def _is_called(self, name: Address | str) -> bool:
        if name in self._hosts or (not isinstance(name, str) and is_in(name, self._networks)):
            return True
        return str(name) in self._names()


class Gate:
    """The PIN, and what browsers have that entered it. Threads may share it.

    A pass says until when it is good, signed with the secret and the PIN: another PIN signs everybody out. Wrong
    tries are counted for each address, and for all together, because a network has many addresses: after a few,
    each costs a pause that doubles. A day without any forgets them.
    """

    def __init__(self, pin: str, secret: bytes) -> None:
        self._pin = pin.encode()
        self._key = hmac.digest(secret, self._pin, "sha256")
        self._lock = threading.Lock()
        self._wrong: dict[str, _Wrong] = {}
        self._all = _Wrong(ALL_TRIES)

    def pass_until(self, end: float) -> str:
        """The pass of a browser that is signed in until `end` (Unix time)."""
        return f"{int(end)}.{self._signature(int(end))}"

    def takes(self, text: str, now: float) -> bool:
        """Whether this is a pass, and still good at `now` (Unix time)."""
        end, _, signature = text.partition(".")
        if not re.fullmatch("[0-9]{1,12}", end, re.ASCII) or not signature.isascii():
            return False
        return hmac.compare_digest(signature, self._signature(int(end))) and now < int(end)

    def is_right(self, pin: str, client: str, now: float) -> bool:
        """Try a PIN. During a pause none is right. `now` and that of `pause()` are of a clock that nobody sets."""
        with self._lock:
            own = self._wrong.get(client) or _Wrong(OWN_TRIES)
            if max(own.until, self._all.until) > now:
                return False
            if hmac.compare_digest(pin.encode(), self._pin):
                self._wrong.pop(client, None)
                self._all.count = max(0, self._all.count - own.count)
                return True
            self._wrong = {each: wrong for each, wrong in self._wrong.items() if not wrong.is_forgotten(now)}
            self._wrong[client] = own
            own.add(now)
            self._all.add(now)
            return False

    def pause(self, client: str, now: float) -> int:
        """Seconds until this client may try again; 0: at once."""
        with self._lock:
            own = self._wrong.get(client)
            return max(0, math.ceil(max(own.until if own else 0, self._all.until) - now))

    def _signature(self, end: int) -> str:
        return hmac.digest(self._key, str(end).encode(), "sha256").hex()


class _Wrong:
    """Wrong tries: how many, when the last was, and until when there is to be no other."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._last = 0.0
        self.count = 0
        self.until = 0.0

    def is_forgotten(self, now: float) -> bool:
        return now - self._last > FORGOTTEN_AFTER

    def add(self, now: float) -> None:
        self.count = 1 if self.is_forgotten(now) else self.count + 1
        self._last = now
        if self.count >= self._free:
            self.until = now + min(FIRST_PAUSE * 2 ** min(self.count - self._free, 9), LONGEST_PAUSE)


def _is_of(source: str, place: _Place, scheme: str) -> bool:
    """Whether a page with this address, or origin, is one of `place`'s."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    usual = _USUAL_PORTS.get(parts.scheme)
    found = _Place.read(parts.netloc)
    if usual is None or found is None or (scheme and parts.scheme != scheme):
        return False
    return found.name == place.name and (found.port or usual) == (place.port or usual)


def _last(forwarded: str) -> str:
    return forwarded.rpartition(",")[2].strip()


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
