"""Adds a model to the list: finds its server, lets the owner choose, tries it, and writes it into the settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

from ..errors import ApplianceError, StartError
from ..host.plain_files import check_plain, read_plain, replace_plain
from ..host.terminal import one_line
from ..options.entries import Entry, EntryError, make
from ..options.kinds import CONTEXT
from ..options.server_address import ServerAddress, has_port
from ..settings import Settings
from ..upstream.catalogue import MODEL_FILE, Catalogue
from ..upstream.waiting import Tell
from . import service
from .discovery import Server, candidates, fetch_models, find_server
from .insertion import CannotInsert, insert
from .installation import Installation
from .model_list import named
from .models import clocks_of, how_to_get, open_rungs, tell_refusal, wants_key
from .pace import measure
from .secrets import keep_key, keys_folder, read_key

_MOST_BYTES = 1024 * 1024  # of a settings file
_MOST_TRIES = 3
_MOST_LISTED = 60
_STORE = "To store it all the same: --untried"

Ask = Callable[[str], ApplianceError | None]
"""Asks a server for something with a key, and returns why it has refused."""


@dataclass(frozen=True)
class Wish:
    """What the command line says: the `address` of a server; the `model` there ("": chosen here); the file with its
    key; its `context` size in tokens (None: what the server says); whether it is to be the `first` of the list.
    `untried`: store it even if it cannot be tried; `plain_http`: ask it over http although it is outside the house;
    `restart`: let the service know at once.
    """

    address: str
    model: str = ""
    key_file: Path | None = None
    context: int | None = None
    first: bool = False
    untried: bool = False
    plain_http: bool = False
    restart: bool = True


def add_model(
    settings: Settings,
    installation: Installation | None,
    config: Path | None,
    wish: Wish,
    tell: Tell,
) -> int:
    """Add what the owner wishes to the list of models in the settings file `config` (None: the installed one).
    Raises `StartError`; nothing is changed then, but the server's key may be stored if the list cannot be.
    """
    file = config or (installation.settings if installation else None)
    origin = settings.origins.get("models", "default")
    if file and origin not in ("default", str(file)):
        raise StartError(f"the list of models comes from {origin}, which counts before {file}. Change it there.")
    server, key = _find(settings, wish)
    known = ("", settings.keys.get(server.address.name))
    if file and key not in known:
        keys_folder(settings, installation)  # before the model is tried: there may be no place for the key
    entry = _entry(server, wish)
    is_listed = any((each.model, each.at) == (entry.model, entry.at) for each in settings.models)
    if is_listed:
        print(f"{named(entry)} is in the list already. To change it, edit `models` in {origin}.")
    elif not wish.untried:
        key = _try(settings, entry, server.address, key, tell)
    is_new_key = key not in known
    if is_listed and not is_new_key:
        return 0
    if file is None:
        _tell_variables(settings, None if is_listed else entry, server.address if is_new_key else None, wish.first)
        return 0
    if is_new_key:
        keep_key(server.address, key, settings, installation)
    if not is_listed:
        _store(settings, file, entry, wish.first)
    if settings.demo:
        print(f"demo = true is set, so examples answer. Take that line out of {file}.")
    if wish.restart:
        service.take_effect(installation)
    return 0


def _find(settings: Settings, wish: Wish) -> tuple[Server, str]:
    """The server, and the key with which it was asked."""

    def key_for(address: ServerAddress) -> str:
        return read_key(address, wish.key_file) if wish.key_file else settings.keys.get(address.name, "")

    try:
        server = find_server(settings, wish.address, wish.plain_http)
    except StartError as error:
        if not (wish.untried and wish.model):
            raise
        address = list(candidates(wish.address))[-1]
        if not (address.is_secure or has_port(wish.address)):
            raise StartError(f"{error} To store it all the same, name its port, too.") from None
        print(f"It could not be tried: {error}")
        return Server(address, Catalogue()), key_for(address)
    address = server.address
    key = key_for(address)

    def ask(key: str) -> ApplianceError | None:
        nonlocal server
        server = Server(address, fetch_models(settings, address, key, wish.plain_http))
        return server.catalogue.error

    refused = ask(key) if wish.key_file else server.catalogue.error
    if refused and wish.untried and wish.model:
        print(f"It could not be tried: {tell_refusal(refused, address.name, key)}")
        return server, key
    key = _with_right_key(address, key, refused, ask)
    print(f"A model server answers at {address}.", flush=True)
    return server, key


def _with_right_key(
    address: ServerAddress, key: str, error: ApplianceError | None, ask: Ask, advice: str = ""
) -> str:
    """A key with which the server does as it is asked: `key`, which gets this `error`, or what the owner types."""
    tries = _MOST_TRIES if sys.stdin.isatty() else 0
    while error:
        told = tell_refusal(error, address.name, key)
        if not (tries and wants_key(error)):
            hint = "To give one: --model-key-file FILE" if wants_key(error) else advice
            raise StartError(f"{told} Nothing was changed. {hint}".rstrip())
        tries -= 1
        print(told)
        key = read_key(address, None)
        error = ask(key)
    return key


def _entry(server: Server, wish: Wish) -> Entry:
    listed = _choose(server, wish)
    values: dict[str, object] = {"model": wish.model or _called(listed), "at": str(server.address)}
    context = wish.context or server.catalogue.contexts.get(listed)
    if wish.context or CONTEXT.accepts(context):
        values["context"] = context
    if wish.plain_http:
        values["plain_http"] = True
    try:
        return make(values)
    except EntryError as error:
        raise StartError(
            f"that cannot stand in the list of models: {error}. Allowed is {error.allowed}. Nothing was changed."
        ) from None


def _choose(server: Server, wish: Wish) -> str:
    """The model, as the server lists it. Of several the owner chooses."""
    models, name = server.catalogue.models, server.address.name
    if wish.model:
        if models and not server.catalogue.offers(wish.model) and not wish.untried:
            advice = how_to_get(wish.model, server.address)
            raise StartError(f"{name} does not offer {wish.model}. {_offers(models)} {advice}".rstrip())
        return server.catalogue.find(wish.model) or wish.model
    if not models:
        raise StartError(f"{name} has no model yet. {how_to_get('qwen3:8b', server.address)}".rstrip())
    if len(models) == 1:
        return models[0]
    if not sys.stdin.isatty():
        raise StartError(f"{name} offers several models. Choose one with --model NAME. {_offers(models)}")
    for number, model in enumerate(models, 1):
        print(one_line(f"{number:>4}  {model}"))
    for _ in range(_MOST_TRIES):
        typed = _type(f"Which one? [1-{len(models)}] ")
        if typed in models:
            return typed
        if re.fullmatch("[0-9]{1,9}", typed) and 1 <= int(typed) <= len(models):
            return models[int(typed) - 1]
    raise StartError("no model was chosen. Nothing was changed.")


def _type(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


def _called(listed: str) -> str:
    """A model's name for readers: llama.cpp lists the path of a file, and answers under any name."""
    return PureWindowsPath(listed).stem if listed.endswith(MODEL_FILE) else listed  # it reads both kinds of path


def _offers(models: Sequence[str]) -> str:
    more = f", and {len(models) - _MOST_LISTED} more" if len(models) > _MOST_LISTED else ""
    return one_line(f"It offers: {', '.join(models[:_MOST_LISTED])}{more}.")


def _try(settings: Settings, entry: Entry, address: ServerAddress, key: str, tell: Tell) -> str:
    """Ask the model a short question, and return the key with which it has answered. A server that lists its models
    for everybody refuses a question without the right key: only then can the owner be asked for it.
    """

    def ask(key: str) -> ApplianceError | None:
        print(f"{named(entry)} is asked a short question ...", flush=True)
        rung = open_rungs(replace(settings, models=(entry,)), clocks_of(settings))[0]
        with closing(rung.place.upstream):
            pace = measure(replace(rung, place=replace(rung.place, key=key)), settings.system_instruction, tell)
        if pace.fault and not pace.error:
            raise StartError(f"{pace.fault} Nothing was changed. {_STORE}")
        if not pace.fault:
            print(pace, flush=True)
        return pace.error

    return _with_right_key(address, key, ask(key), ask, _STORE)


def _store(settings: Settings, file: Path, entry: Entry, first: bool) -> None:
    """Write the entry into the settings file. Where nothing could answer before, it becomes the whole list."""
    others = () if _is_alone(settings) else settings.models
    try:
        data = read_plain(file, _MOST_BYTES + 1) if check_plain(file) else b""
        if len(data) > _MOST_BYTES:
            raise CannotInsert(f"it has more than {_MOST_BYTES} bytes")
        replace_plain(file, insert(data.decode(), entry, others, first=first).encode())
    except CannotInsert as error:
        raise StartError(
            f"{file} cannot be changed by itself: {error}. Add this to `models` there: {entry}"
        ) from None
    except (OSError, ValueError) as error:
        raise StartError(f"{file} cannot be changed: {getattr(error, 'strerror', error)}.") from error
    if _is_alone(settings):
        told = "It is the only one that is asked."
    elif first:
        told = "It is asked first."
    else:
        told = "It is the last of the list. For another order, edit `models` there."
    print(f"{named(entry)} was stored in {file}. {told}")


def _is_alone(settings: Settings) -> bool:
    return settings.origins.get("models", "default") == "default" and settings.key is None


def _tell_variables(settings: Settings, entry: Entry | None, address: ServerAddress | None, first: bool) -> None:
    """What to set where nothing can be stored: the list with a new `entry`, and the key of the server there."""
    print("Nothing is stored: the appliance is not installed, and no settings file is named (--config FILE).")
    print("Set this when you start it:")
    if entry:
        others = [] if _is_alone(settings) else list(settings.models)
        listed = [entry, *others] if first else [*others, entry]
        print(f'    KINDLE_APPLIANCE_MODELS="{", ".join(map(str, listed))}"')
    if address:
        print(f'    KINDLE_APPLIANCE_KEYS="{address.name}=KEY", with the key in place of KEY')
