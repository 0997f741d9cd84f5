"""Decides which requests are allowed. Pure functions of a request's properties: no socket, no file, no clock.

The appliance's network also has guests, televisions, and browsers that show pages of strangers. So

- only clients with an address of the house's networks may connect;
- the `Host` header must be a name of the appliance or an address of those networks: a foreign page can make its own
  host name resolve to this machine and then read everything (DNS rebinding), but `Host` still has that name;
- a state-changing request must come from a page of the same host (`Origin`, else `Referer`), or have neither of
  these headers, as from a script or a very old browser;
- if a PIN is set, this browser must have signed in with it (`Gate`).
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
"""The number of wrong PINs before a pause: from one address, and from all together."""

FIRST_PAUSE, LONGEST_PAUSE, FORGOTTEN_AFTER = 60.0, 3600.0, 86400.0  # seconds

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, 9.2.1

_THIS_MACHINE = ("127.0.0.0/8", "::1/128")  # the owner's commands and the watchdog's check connect, too
_HOST_PATTERN = re.compile(
    r"(?:\[([0-9a-f:.]+)(?:%[\w.%-]+)?\]|([\w.-]+))(?::([0-9]{0,5}))?", re.ASCII | re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Visit:
    """The parts of a request that the rules use: its method, the peer's address, and headers ("" if not sent)."""

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
        """Whether its headers say that a proxy forwarded it."""
        return bool(self.forwarded_for or self.forwarded_host or self.forwarded or self.real_ip)


@dataclass(frozen=True)
class _Host:
    """A host as a request names it: an address, or a name in lower case; and the port, if there is one."""

    name: Address | str
    port: int | None

    @classmethod
    def read(cls, text: str) -> _Host | None:
        """Parse a `Host` header (RFC 9112, 3.2) or the host part of a URL; None if it is neither."""
        match = _HOST_PATTERN.fullmatch(text.strip())
        if not match:
            return None
        name = parse_address(match[1] or match[2]) or (match[2] or "").lower().removesuffix(".")
        return cls(name, int(match[3]) if match[3] else None) if name else None


class Guard:
    """The access rules of one appliance.

    `names`: the machine's current names, its own addresses included; `hosts`: further names that are allowed;
    `networks`: the networks that may connect, besides this machine; `proxies`: the proxies whose `X-Forwarded-`
    headers are trusted.
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
        """Return the client's address if the request is allowed; otherwise raise `ReaderError` with the reason."""
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
        target = _Host.read(host)
        if target is None:
            raise ReaderError(Sentence("The request does not say for which host it is."))
        if not self._is_own_name(target.name):
            raise ReaderError(
                Sentence(
                    "The appliance does not know the name “%(host)s”. If it is to have it, its owner can add it to"
                    " the setting “hosts”.",
                    host=_short(str(target.name)),
                ),
                421,
            )
        source = visit.origin or visit.referer
        is_foreign = (
            bool(source and not _is_same_host(source, target, scheme)) or visit.fetch_site.lower() == "cross-site"
        )
        if is_foreign and visit.method not in SAFE_METHODS:
            raise ReaderError(
                Sentence("This was sent by another page. Please ask on a page of the appliance itself."),
                403,
                _short("/".join(source.split("/")[:3]) or visit.fetch_site),  # only for the log
            )
        return str(client)

    def is_proxy(self, peer: str) -> bool:
        """Whether this address belongs to a proxy that the owner has configured."""
        address = parse_address(peer)
        return address is not None and is_in(address, self._proxies)

    def _seen_through_proxies(self, visit: Visit) -> tuple[Address | None, str, str]:
        """Return client, host and scheme ("" if unknown) as the outermost trusted proxy saw them."""
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
            # A client must not be taken for the proxy itself. The proxy may send requests of its own, such as
            # health checks; those have none of these headers.
            raise ReaderError(
                Sentence("The proxy does not say in “X-Forwarded-For” for whom it asks."), 403, visit.peer
            )
        hops = [each.strip() for each in visit.forwarded_for.split(",") if each.strip()]
        while hops and client is not None and is_in(client, self._proxies):
            hop = hops.pop()
            parsed = _Host.read(hop)  # some proxies add the port
            client = parse_address(hop) or (parsed.name if parsed and not isinstance(parsed.name, str) else None)
        return client, _last(visit.forwarded_host) or visit.host, _last(visit.forwarded_proto).lower()

    def _is_own_name(self, name: Address | str) -> bool:
        if name in self._hosts or (not isinstance(name, str) and is_in(name, self._networks)):
            return True
        return str(name) in self._names()


class Gate:
    """Checks the PIN, and signs and checks the session cookies of browsers that entered it. Safe for threads.

    A session cookie (a "pass") holds its expiry time, signed with a key from the secret and the PIN: a change of
    the PIN signs everybody out. Wrong PINs are counted for each address, and for all addresses together, because a
    client can use many. After a few wrong PINs, each further one starts a pause, which doubles. A day without a
    wrong PIN resets the count.
    """

    def __init__(self, pin: str, secret: bytes) -> None:
        self._pin = pin.encode()
        self._key = hmac.digest(secret, self._pin, "sha256")
        self._lock = threading.Lock()
        self._wrong: dict[str, _WrongPins] = {}
        self._all = _WrongPins(ALL_TRIES)

    def pass_until(self, end: float) -> str:
        """Return a session cookie that is valid until `end` (Unix time)."""
        return f"{int(end)}.{self._signature(int(end))}"

    def takes(self, text: str, now: float) -> bool:
        """Whether this is a session cookie that is valid at `now` (Unix time)."""
        end, _, signature = text.partition(".")
        if not re.fullmatch("[0-9]{1,12}", end, re.ASCII) or not signature.isascii():
            return False
        return hmac.compare_digest(signature, self._signature(int(end))) and now < int(end)

    def is_right(self, pin: str, client: str, now: float) -> bool:
        """Check a PIN, and count it if it is wrong. During a pause every PIN is refused.

        `now`, here and in `pause()`, must come from a monotonic clock.
        """
        with self._lock:
            own = self._wrong.get(client) or _WrongPins(OWN_TRIES)
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
        """Return the seconds until this client may try again; 0 for at once."""
        with self._lock:
            own = self._wrong.get(client)
            return max(0, math.ceil(max(own.until if own else 0, self._all.until) - now))

    def _signature(self, end: int) -> str:
        return hmac.digest(self._key, str(end).encode(), "sha256").hex()


class _WrongPins:
    """Wrong PINs: their number, the time of the last one, and the end of the pause."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._last = 0.0
        self.count = 0
        self.until = 0.0

    def is_forgotten(self, now: float) -> bool:
        return now - self._last > FORGOTTEN_AFTER

    def add(self, now: float) -> None:
        self.count = 1 if self.is_forgotten(now) else self.count + 1
        self._last = now
        if self.count >= self._allowed:
            self.until = now + min(FIRST_PAUSE * 2 ** min(self.count - self._allowed, 9), LONGEST_PAUSE)


def _is_same_host(source: str, target: _Host, scheme: str) -> bool:
    """Whether this URL or origin has the same host and port as `target`, and the scheme."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return False
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    found = _Host.read(parts.netloc)
    if default_port is None or found is None or (scheme and parts.scheme != scheme):
        return False
    return found.name == target.name and (found.port or default_port) == (target.port or default_port)


def _last(forwarded: str) -> str:
    return forwarded.rpartition(",")[2].strip()


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
