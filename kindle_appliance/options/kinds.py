"""The kinds of value that a setting can have: how text becomes a value, which values are allowed, how to say so."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..host.network import parse_networks
from . import secret


@dataclass(frozen=True)
class Kind:
    """A type of value: how text becomes one, which values are allowed, and how to say so."""

    allowed: str
    parse: Callable[[str], Any]
    accepts: Callable[[Any], bool]
    read: Callable[[Any], Any] = lambda value: value
    """How a value of the settings file that is no text becomes one. Raises ValueError."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):  # int() also takes "8_0"
        raise ValueError
    return int(text)


def whole(least: int, most: int) -> Kind:
    return Kind(
        f"a whole number from {least} to {most}",
        _parse_int,
        lambda value: _is_int(value) and least <= value <= most,
    )


TEXT_SIZE = Kind(
    "a number of letters on a line from 13 to 62, or a size of version 0.1 from 1 to 8",
    _parse_int,
    lambda value: _is_int(value) and (13 <= value <= 62 or 1 <= value <= 8),
)


def number(least: float, most: float) -> Kind:
    return Kind(
        f"a number from {least:g} to {most:g}",
        float,
        lambda value: (_is_int(value) or isinstance(value, float)) and least <= value <= most,
    )


def one_of(*choices: str) -> Kind:
    return Kind("one of " + ", ".join(choices), str, lambda value: value in choices)


def _parse_switch(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _is_host(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?", value, re.ASCII | re.IGNORECASE) is not None
    return True


def _is_host_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_host, value))


def _is_network_list(value: object) -> bool:
    if not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        return False
    try:
        parse_networks(value)
    except ValueError:
        return False
    return True


def _is_web_address(value: object) -> bool:
    try:
        # urlsplit() would quietly drop line ends and tabs.
        parts = urlsplit(value) if isinstance(value, str) and not re.search(r"[^!-~]", value) else None
        return (
            parts is not None
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and parts.username is None  # it would stand in the log
            and not parts.query
            and not parts.fragment
        )
    except ValueError:  # a port that is no number
        return False


def _parse_list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _is_phrase_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and 0 < len(item.strip()) <= 60 for item in value)


def _is_key(value: object) -> bool:
    # Visible ASCII only: anything else cannot stand in a header, and http.client would quote it in its error. A
    # single quote is what is left of a copy of which a part is missing.
    return isinstance(value, str) and re.fullmatch(r"(?:(?![\"'`])[!-~]){1,500}", value) is not None


TEXT = Kind("a text", str, lambda value: isinstance(value, str))
SWITCH = Kind("true or false", _parse_switch, lambda value: isinstance(value, bool))
WEB_ADDRESS = Kind("an address such as http://host:port", str, _is_web_address)
PHRASES = Kind("a list of short texts of up to 60 characters, or an empty list", _parse_list, _is_phrase_list)
SECRET_PATH = Kind("an absolute path", str, lambda value: isinstance(value, str) and value.startswith("/"))
PATH = Kind("a path", str, lambda value: isinstance(value, str) and bool(value) and "\0" not in value)
HOST = Kind("a name or address, without a port", str, _is_host)
HOSTS = Kind("a list of names and addresses without ports, or an empty list", _parse_list, _is_host_list)
NETWORKS = Kind(
    "a list of addresses and networks such as 192.168.178.0/24, or an empty list", _parse_list, _is_network_list
)
KEY = Kind("the key on one line, without spaces or quotes", secret.parse, _is_key)
HOST_LABEL = Kind(
    "1 to 30 letters, digits and hyphens",
    str.lower,
    lambda value: isinstance(value, str) and bool(re.fullmatch("[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", value)),
)
PIN = Kind(
    "4 to 12 digits",
    secret.parse,
    lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9]{4,12}", value)),
)
TEMPERATURE = number(0, 2)
MAX_OUTPUT_TOKENS = whole(1, 1_000_000)
_THINKING_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
THINKING_LEVEL = one_of(*_THINKING_LEVELS)
OWN_THINKING_LEVEL = one_of("none", *_THINKING_LEVELS)
"""Of one model: many servers can switch thinking off, Gemini's cannot."""
THINKING_BUDGET = whole(-1, 1_000_000)
CONTEXT = whole(256, 10_000_000)
"""Options of models, for all of them or for one."""
