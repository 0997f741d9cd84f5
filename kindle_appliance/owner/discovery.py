"""Finds the model server at an address as its owner gives it, mostly without a port."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from ..errors import OwnerError, StartError, UnknownModel, UpstreamBusy, UpstreamUnreachable, WebPage
from ..options.entries import Entry
from ..options.server_address import ServerAddress, has_port, told_of_plain_http
from ..settings import Settings
from ..upstream.catalogue import Catalogue, fetch_catalogue
from .models import LET_LISTEN, open_rungs, short_clocks

PORTS = {11434: "Ollama", 8080: "llama.cpp", 1234: "LM Studio"}
"""Where the usual programs listen (their documentation, read 2026-11)."""
_LOADING_SECONDS = 120.0
"""For so long a server is waited for that still loads its model: a Raspberry Pi can take a minute."""
_PAUSE_SECONDS = 1.0
_NO_NAME = "NameResolutionError"  # how the detail of an error begins, see `call`


class Server(NamedTuple):
    """A server that answers, and what it said about its models."""

    address: ServerAddress
    catalogue: Catalogue


def find_server(settings: Settings, text: str, plain_http: bool) -> Server:
    """The server at the address `text`: of several that answer, the first that lists its models; else one that
    refuses to without another key. Each gets its own key of the settings and no new one: other programs may listen
    on these ports. Says so if this may take a while. Raises `StartError`.
    """
    asked: list[ServerAddress] = []
    guarded: list[Server] = []
    strangers: list[str] = []
    faults: list[str] = []
    for address in candidates(text):
        if not (address.is_secure or address.is_private or plain_http):
            raise StartError(f"{told_of_plain_http(address.name)} Take https, or say --plain-http.")
        if not asked and address.is_private and not has_port(text):
            # each port takes seconds if it is off
            print(f"Looking for a model server at {address.host} ...", flush=True)
        catalogue = fetch_models(settings, address, settings.keys.get(address.name, ""), plain_http)
        error = catalogue.error
        if error is None:
            return Server(address, catalogue)
        asked.append(address)
        if isinstance(error, OwnerError):
            guarded.append(Server(address, catalogue))
        elif isinstance(error, UnknownModel | WebPage):
            strangers.append(address.name)
        elif not isinstance(error, UpstreamUnreachable) or catalogue.date:
            faults.append(f"{address}: {error}")
        elif _NO_NAME in error.detail:
            raise StartError(_tell_unknown(address))
    if guarded:
        return guarded[0]
    if faults:
        raise StartError(f"no list of models came. {' '.join(faults)}")
    raise StartError(_tell_absent(text, asked, strangers))


def _tell_unknown(address: ServerAddress) -> str:
    if address.is_private:
        return f"no computer of the name {address.host} is found. Take its number, such as 192.168.1.20."
    return f"no server of the name {address.host} is found. Is it written right, and is the internet working?"


def _tell_absent(text: str, asked: Sequence[ServerAddress], strangers: Sequence[str]) -> str:
    """Why there is no model server at an address: nothing listens there, or other programs do."""
    if not asked[0].is_private:
        fault = f"{asked[0]} is not that of a model server" if strangers else f"nothing answers at {asked[0]}"
        return f"{fault}. Is this the address that the handbook of the server gives?"
    usual = ", ".join(f"{port} for {program}" for port, program in PORTS.items())
    if not has_port(text) and not asked[0].is_secure:
        other = f" Another program answers at {', '.join(strangers)}." if strangers else ""
        return (
            f"no model server answers at {asked[0].host}, on the usual ports ({usual}) or on 80.{other} Is the"
            f" computer switched on? If the server has another port, put it behind a colon. {LET_LISTEN}"
        )
    if strangers:
        return f"{strangers[0]} answers, but not as a model server. Is this its port? (Usual ones: {usual}.)"
    secure = " It may have to be asked with http:// and not https://." if asked[0].is_secure else ""
    return (
        f"nothing answers at {asked[0]}. Is the computer switched on, and is this its port? (Usual ones:"
        f" {usual}.){secure} {LET_LISTEN}"
    )


def candidates(text: str) -> Iterator[ServerAddress]:
    """What an address may mean: without a port at a computer of the house, each usual one. Raises `StartError`."""
    try:
        address = ServerAddress.parse(text)
    except ValueError as error:
        raise StartError(f"{text} is not the address of a server: {error}.") from None
    if address.is_private and not address.is_secure and not has_port(text):
        yield from (replace(address, port=port) for port in PORTS)
    yield address


def fetch_models(settings: Settings, address: ServerAddress, key: str, plain_http: bool) -> Catalogue:
    """What the server says about its models, when it has loaded one. Says so if that is waited for."""
    asked = replace(settings, models=(Entry("", str(address), plain_http=plain_http),))
    rung = open_rungs(asked, short_clocks(settings))[0]
    place = replace(rung.place, key=key)
    deadline = time.monotonic() + _LOADING_SECONDS
    with closing(place.upstream):
        catalogue = fetch_catalogue(rung.dialect, place)
        if isinstance(catalogue.error, UpstreamBusy):
            print(catalogue.error.sentence, flush=True)
        while isinstance(catalogue.error, UpstreamBusy) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            catalogue = fetch_catalogue(rung.dialect, place)
    return catalogue
