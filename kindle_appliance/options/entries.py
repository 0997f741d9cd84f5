"""The entries of the list of models: which model answers, where, and with which options of its own. Pure.

An entry is a model's name, for Gemini, or a name and the address of a server. It is written on one line

    qwen3:8b at pc.local:11434 context=8192

or as a table of the settings file, `{model = "qwen3:8b", at = "pc.local:11434", context = 8192}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..host.terminal import mask_address
from .kinds import (
    CONTEXT,
    MAX_OUTPUT_TOKENS,
    OWN_THINKING_LEVEL,
    SWITCH,
    TEMPERATURE,
    THINKING_BUDGET,
    Kind,
)
from .server_address import ServerAddress, told_of_plain_http

_AT = re.compile(r"\s+at\s+")
_OPTION = re.compile(r"([A-Za-z_-]+)=(\S*)")
_GEMINI_NAME = re.compile(r"(?=.*[A-Za-z])[\w.-]{1,100}", re.ASCII)
"""With a letter: on one line, 0,7 would else be a 0 and one more model."""
_NAME_CHARACTERS = 200
_KEY_NAME = re.compile("key|token$|secret|password|bearer|authorization", re.IGNORECASE)


class EntryError(ValueError):
    """An entry that is not allowed; the text is the reason, and shows no value that may be a key. `field`: what is
    wrong in it ("": the entry as a whole); `understood`: what it says, as far as that is known to be no key;
    `number`: its place in the list, from 1 on (0: the list itself); `allowed`: what may stand there ("": the reason
    says it).
    """

    def __init__(
        self,
        reason: str,
        field: str = "",
        understood: str = "",
        number: int = 0,
        allowed: str | None = None,
    ) -> None:
        super().__init__(reason)
        kind = OPTIONS.get(field)
        self.field = field
        self.understood = understood
        self.number = number
        self.allowed = allowed
        if allowed is None:
            self.allowed = f"{field} = {kind.allowed}" if kind else _ALLOWED.get(field, MODELS.allowed)


@dataclass(frozen=True)
class Entry:
    """One model at one place. `at`: the base URL of its server as it is understood; "": Gemini's. `context`: how
    many tokens question, history, instruction and answer may have together. `plain_http`: whether the owner wants
    it asked over http although it is outside the house. The other options are those of the same name for all
    models, of which these take the place; None: they do not.
    """

    model: str
    at: str = ""
    context: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    thinking_level: str | None = None
    thinking_budget: int | None = None
    plain_http: bool = False

    @property
    def address(self) -> ServerAddress | None:
        """Where its server is; None: Gemini's."""
        return ServerAddress.parse(self.at) if self.at else None

    @property
    def values(self) -> dict[str, Any]:
        """What is set, by its name in the settings file, as `make()` takes it."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value not in (None, "") and value is not False}

    def __str__(self) -> str:
        """The entry on one line, as `parse()` reads it."""
        options = [f"{name}={value}" for name, value in self.values.items() if name in OPTIONS]
        return " ".join([self.model, *(("at", self.at) if self.at else ()), *options])


OPTIONS: Mapping[str, Kind] = {
    "context": CONTEXT,
    "max_output_tokens": MAX_OUTPUT_TOKENS,
    "temperature": TEMPERATURE,
    "thinking_level": OWN_THINKING_LEVEL,
    "thinking_budget": THINKING_BUDGET,
    "plain_http": SWITCH,
}
"""What can be set for one entry."""

EXAMPLES: Mapping[str, str] = {
    "": 'models = ["qwen3:8b at pc.local:11434", "gemini-3.8-flash"]',
    "model": 'model = "qwen3:8b"',
    "at": 'at = "pc.local:11434"',
    "context": "context = 8192",
    "max_output_tokens": "max_output_tokens = 2048",
    "temperature": "temperature = 0.7",
    "thinking_level": 'thinking_level = "low"',
    "thinking_budget": "thinking_budget = 1024",
    "plain_http": "plain_http = true",
}
"""A right line for each thing that may stand in an entry's table; "": for the whole list."""

_ALLOWED = {
    "model": f"a name of at most {_NAME_CHARACTERS} characters, as the server calls it, and without commas",
    "at": "an address such as pc.local:11434, 192.168.1.20:8080 or https://openrouter.ai/api/v1",
}


def parse(text: str) -> Entry:
    """An entry on one line. Raises `EntryError`."""
    name, *rest = _AT.split(text.strip(), maxsplit=1)
    words = re.sub(r"\s*=\s*", "=", (rest or [name])[0]).split()
    values: dict[str, Any] = {}
    twice = ""
    while len(words) > 1 and (option := _OPTION.fullmatch(words[-1])):
        twice = option[1] if option[1] in values else twice
        values[option[1]] = option[2]
        words.pop()
    values = {"model": name if rest else " ".join(words), **({"at": " ".join(words)} if rest else {}), **values}
    if twice:
        raise EntryError(f"{twice} is set twice", twice, understood(values))
    return make(values)


def make(values: Mapping[str, Any]) -> Entry:
    """An entry of named values: of a table of the settings file, or still as text. Raises `EntryError`."""
    try:
        return _make(values)
    except EntryError as error:
        error.understood = understood(values)
        raise


def _make(values: Mapping[str, Any]) -> Entry:
    for name in values:
        if name not in ("model", "at", *OPTIONS):
            if _KEY_NAME.search(name):
                raise EntryError(
                    "a key does not belong into the settings. Take it out, and store it with: kindle-appliance key"
                    " --for ADDRESS",
                    name,
                )
            raise EntryError(f"{name} cannot be set for one model", name, allowed=", ".join(filter(None, EXAMPLES)))
    model, at = values.get("model"), values.get("at", "")
    if not isinstance(model, str) or not model.strip():
        raise EntryError("it names no model", "model" if "model" in values else "")
    if not isinstance(at, str):
        raise EntryError("its address is no text", "at")
    model, at = model.strip(), at.strip()
    if len(model) > _NAME_CHARACTERS or not model.isprintable() or "," in model or _is_entry(model):
        raise EntryError("that cannot be the name of a model", "model")
    if not at and not _GEMINI_NAME.fullmatch(model):
        raise EntryError("that is no name of a model of Gemini's, and there is no address with it")
    options: dict[str, Any] = {name: _option(name, value) for name, value in values.items() if name in OPTIONS}
    address = _address(at) if at else None
    if address and not (address.is_secure or address.is_private or options.get("plain_http")):
        raise EntryError(f"{told_of_plain_http(address.name)} Take https://, or add plain_http = true", "at")
    return Entry(model, str(address or ""), **options)


def _is_entry(model: str) -> bool:
    """Whether a name holds more than a name, for whoever reads the entry as one line."""
    return any(word == "at" or word.partition("=")[0] in OPTIONS for word in model.split() if word != model)


def _address(text: str) -> ServerAddress:
    if len(text.split()) > 1:
        raise EntryError(
            "what follows its address is no option",
            "at",
            allowed="an address, and behind it options such as context=8192 and temperature=0.7",
        )
    try:
        return ServerAddress.parse(text)
    except ValueError as error:
        raise EntryError(f"its address cannot be used: {error}", "at") from None


def _option(name: str, value: object) -> object:
    kind = OPTIONS[name]
    try:
        parsed = kind.parse(value) if isinstance(value, str) else value
    except (ValueError, KeyError):
        parsed = None
    if parsed is None or not kind.accepts(parsed):
        raise EntryError(f"{name} has no allowed value", name)
    return parsed


def understood(values: Mapping[str, Any]) -> str:
    """What an entry says, without what may be a key: values of unknown names, and what follows an address."""
    return ", ".join(f"{name} = {_shown(name, value)}" for name, value in values.items())


def _shown(name: str, value: object) -> str:
    if name not in ("model", "at", *OPTIONS) or isinstance(value, list | Mapping):
        return "***"
    text = str(value)
    if name == "at":
        begun = re.split(r"(?<=[?#])|(?<=\S)(?=\s)", mask_address(text), maxsplit=1)
        text = f"{begun[0]}{'***' if begun[0][-1:] in ('?', '#') else ' ***' if begun[1:] else ''}"
    return text[:_NAME_CHARACTERS]


def _some(items: list[Any], read: Callable[[Any], Entry]) -> list[Entry]:
    if not items:
        raise EntryError("it names no model")
    entries = []
    for number, item in enumerate(items, 1):
        try:
            entries.append(read(item))
        except EntryError as error:
            error.number = number
            raise
    return entries


def _parse_list(text: str) -> list[Entry]:
    return _some([item for item in text.split(",") if item.strip()], parse)


def _read(item: object) -> Entry:
    if isinstance(item, Mapping):
        return make(item)
    if not isinstance(item, str):
        raise EntryError("it is neither a name nor a table")
    return parse(item)


def _read_list(value: object) -> list[Entry]:
    if isinstance(value, Mapping):
        raise EntryError("it is a single table. Each model has a table of its own, with [[models]] above it")
    if not isinstance(value, list):
        raise EntryError("it is no list")
    return _some(value, _read)


MODELS = Kind(
    "a list of at least one model: a name of Gemini's, or a name and an address such as qwen3:8b at pc.local:11434",
    _parse_list,
    lambda value: isinstance(value, list) and bool(value),
    _read_list,
)
