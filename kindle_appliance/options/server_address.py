"""The address of a model server as people give it, and what is understood by it. Pure.

`pc.local`, `192.168.1.20:8080`, `http://pc:1234/v1/` and `https://openrouter.ai/api` all say where a server of the
OpenAI-compatible dialect is; what they leave out is added here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..host.network import is_of_the_house, parse_address

_ROUTERS_ENDINGS = (".local", ".lan", ".home", ".home.arpa", ".internal", ".intranet", ".localdomain", ".localhost")
"""Names that no public name server knows: mDNS (RFC 6762), the home's own domain (RFC 8375), private use (ICANN,
2024-07), and what routers make up.
"""
_ROUTERS_OWN = ("fritz.box", "speedport.ip", "easy.box")
_VERSION = re.compile(r"/v[0-9]+[a-z0-9]*(/|$)")
_VERSION_TWICE = re.compile(r"(/v[0-9]+[a-z0-9]*)\1+$")
_CALLS = re.compile(r"^/api/(?:chat|generate|tags|version)$|(?:/chat|/completions|/models)+$")
"""The ends of what is called there; the former are those of Ollama's own dialect."""
_PATH = re.compile(r"(?:/[\w.~%+@:-]*)*", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)  # what inet_aton(3) may take for an address
_SCHEMES = ("http", "https")
_NO_PORT = "its port is not a number from 1 to 65535"


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is: `host` (a name, or an address without brackets), `port`, and `path` without a slash at its
    end; `is_secure`: over https.
    """

    host: str
    port: int
    path: str
    is_secure: bool

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Raises ValueError, with what is wrong, for what is no address of a server."""
        text = text.strip()
        given = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
        scheme = given[1].lower() if given else ""
        if scheme not in ("", *_SCHEMES):
            raise ValueError("its beginning is neither http:// nor https://")
        if re.search(r"[^!-~]", text):
            raise ValueError("it has a character that cannot stand in an address")
        try:
            parts = urlsplit(text if given else f"//{text}")
            host = (parts.hostname or "").removesuffix(".")
        except ValueError:
            raise ValueError("it names no computer") from None
        if parts.username is not None or re.search("[?#]", text) or not _PATH.fullmatch(parts.path):
            raise ValueError("it has more than a computer, a port and a path")
        if not _is_host(host):
            raise ValueError("it names no computer")
        try:
            port = parts.port
        except ValueError:
            raise ValueError(_NO_PORT) from None
        if port == 0:
            raise ValueError(_NO_PORT)
        is_secure = scheme == "https" if scheme else not is_private(host) or port == 443
        path = _CALLS.sub("", re.sub(r"/+", "/", parts.path).rstrip("/")).rstrip("/")
        path = _VERSION_TWICE.sub(r"\1", path)
        if not _VERSION.search(path):
            path += "/v1"
        return cls(host, port or (443 if is_secure else 80), path, is_secure)

    @property
    def is_private(self) -> bool:
        """Whether it is a computer of the house, as far as its name or number tells."""
        return is_private(self.host)

    @property
    def name(self) -> str:
        """What to call the server in sentences, and what its key is stored under, for http and https alike: its
        host, with the port only if that is not the usual one of a website.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The base URL, as it is understood."""
        return f"{'https' if self.is_secure else 'http'}://{self.name}{self.path}"


def is_this_machine(host: str) -> bool:
    """Whether a name or number is of this machine, wherever it is asked."""
    number = parse_address(host)
    return number.is_loopback if number is not None else f".{host.lower()}".endswith(".localhost")


def has_port(text: str) -> bool:
    """Whether an address that can be parsed names a port."""
    text = text.strip()
    return urlsplit(text if "://" in text else f"//{text}").port is not None


def told_of_plain_http(host: str) -> str:
    """Why no question goes over http to this host outside the house."""
    return f"{host} is outside the house, and over http everybody on the way could read the questions and the key."


def is_private(host: str) -> bool:
    """Whether a name or number is of the house, or of this machine."""
    number = parse_address(host)
    if number is not None:
        return is_this_machine(host) or is_of_the_house(number)
    name = host.lower()
    return "." not in name or f".{name}".endswith((*_ROUTERS_ENDINGS, *(f".{own}" for own in _ROUTERS_OWN)))


def _is_host(host: str) -> bool:
    """A name, or an address of one computer: servers listen on 0.0.0.0, but nobody reaches them there."""
    try:
        return not ipaddress.ip_address(host).is_unspecified and "%" not in host
    except ValueError:
        name = host.lower()
        return bool(_HOST.fullmatch(name)) and not _NUMBER.fullmatch(name) and name not in _SCHEMES
