"""Takes the key for Gemini, the PIN, or the key of another model server from the owner, tries it, and stores it."""

from __future__ import annotations

import getpass
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..errors import OwnerError, StartError
from ..options import credentials, secret
from ..options.credentials import Keys
from ..options.entries import Entry
from ..options.kinds import KEY
from ..options.server_address import ServerAddress, has_port
from ..options.settings_file import mask_secrets
from ..settings import OPTIONS, Settings
from ..upstream.catalogue import fetch_catalogue
from . import service
from .installation import Installation
from .models import command, open_rungs, short_clocks, tell_refusal


def store_secret(
    name: str,
    values: Settings,
    installation: Installation | None,
    file: Path | None,
    *,
    remove: bool,
    untried: bool,
    restart: bool,
) -> int:
    """Try the `key` for Gemini or the `pin`, and store it where the service reads it."""
    named = getattr(values, f"{name}_file")
    told = name.upper() if name == "pin" else name
    option = next(option for option in OPTIONS if option.name == name)
    if not named and not installation:
        raise StartError(
            f"this appliance is not installed, so it has no place for a {told}. Set {option.env} when you start it,"
            f" or name a file for the {told} with the setting {name}_file."
        )
    place = Path(named) if named or not installation else installation.secret(name)
    new = ""
    if not remove:
        new = _read_secret(told, file, f" To have none: {name} --remove")
        if not option.kind.accepts(new):
            raise StartError(f"that is not a {told}: it has to be {option.kind.allowed}. Nothing was changed.")
        if name == "key":
            print(_try_key(replace(values, key=new, models=(Settings.models[0],)), new, untried), flush=True)
    try:
        is_new = credentials.store(place, new)
    except OSError as error:
        raise StartError(f"{place} cannot be written: {error.strerror}.") from error
    _tell(told, place, is_new, remove)
    if name == "key" and not remove and all(entry.at for entry in values.models):
        print("No model of Gemini's is in the list, so the key is not used yet.")
        print(f'Add one to `models` in {values.origins["models"]}, such as "{Settings.models[0].model}".')
    if is_new and restart:
        service.take_effect(installation)
    return 0


def store_server_key(
    given: str,
    values: Settings,
    installation: Installation | None,
    file: Path | None,
    *,
    remove: bool,
    untried: bool,
    restart: bool,
) -> int:
    """Try the key of the model server at an address, and store it where the service reads it."""
    entry = _entry_at(given, values)
    address = ServerAddress.parse(entry.at)
    keys_folder(values, installation)
    own = command(installation is not None)
    is_listed = any(each.at == entry.at for each in values.models)
    key = ""
    if not remove:
        key = read_key(address, file)
        tried = replace(values, models=(entry,), keys=Keys({address.name: key}))
        print(_try_key(tried, key, untried, f" To try it: {own} models test" if is_listed else ""), flush=True)
    is_new = keep_key(address, key, values, installation)
    if not (remove or is_listed):
        print(f"No model at {address} is in the list yet. To add one: {own} models add {address.name}")
    if is_new and restart:
        service.take_effect(installation)
    return 0


def read_key(address: ServerAddress, file: Path | None) -> str:
    """The key of a server, from a file, a pipe, or the terminal without echo. Raises `StartError`."""
    key = _read_secret(f"key for {address.name}", file)
    if not KEY.accepts(key):
        raise StartError(f"that is not a key: it has to be {KEY.allowed}. Nothing was changed.")
    return key


def keep_key(address: ServerAddress, key: str, values: Settings, installation: Installation | None) -> bool:
    """Store the key of a server ("": none from now on), say so, and return whether that changed anything. Raises
    `StartError`.
    """
    folder = keys_folder(values, installation)
    try:
        is_new = credentials.store_key(folder, address.name, key)
    except OSError as error:
        raise StartError(f"the keys in {folder} cannot be changed: {error.strerror}.") from error
    _tell(f"key for {address.name}", folder, is_new, remove=not key)
    return is_new


def keys_folder(values: Settings, installation: Installation | None) -> Path:
    """The folder with the keys of servers. Raises `StartError` if there is no place for them."""
    if values.keys_folder:
        return Path(values.keys_folder)
    if installation:
        return installation.keys
    raise StartError(
        "this appliance is not installed, so it has no place for a key. Set KINDLE_APPLIANCE_KEYS when you start"
        " it, or name a folder for keys with the setting keys_folder."
    )


def _entry_at(given: str, values: Settings) -> Entry:
    """An entry of the list at this address. Without a port in it, it may mean the only server of that computer; one
    that is not in the list yet is asked as its address says.
    """
    try:
        address = ServerAddress.parse(given)
    except ValueError as error:
        raise StartError(f"that is not the address of a model server: {error}. It is not shown.") from None
    listed = {entry.address.name: entry for entry in values.models if entry.address}
    of_the_computer = [entry for entry in listed.values() if entry.address and entry.address.host == address.host]
    if address.name in listed:
        return listed[address.name]
    if len(of_the_computer) == 1 and not has_port(given):
        return of_the_computer[0]
    if not (address.is_secure or address.is_private):
        raise StartError(
            f"{mask_secrets(address.name)} is outside the house, and over http everybody on the way could read the"
            " key. Take https://"
        )
    return Entry("any", str(address))


def _tell(told: str, place: Path, is_new: bool, remove: bool) -> None:
    if not is_new:
        print(f"There is no {told} anyway." if remove else f"{place} has this {told} already.")
    elif remove:
        print(f"The {told} was removed from {place}.")
    else:
        print(f"The {told} was stored in {place}.")


def _read_secret(told: str, file: Path | None, hint: str = "") -> str:
    """Read a secret from a file, a pipe, or the terminal without echo. `hint`: what else may have been meant, if
    none is given.
    """
    try:
        if file:
            given = secret.read(file)
        elif sys.stdin.isatty():
            given = getpass.getpass(f"The {told} (it is not shown): ")
        else:
            given = sys.stdin.read(secret.MOST_BYTES).removeprefix("\ufeff")
    except OSError as error:
        raise StartError(f"{file or 'what was given'} cannot be read: {error.strerror}.") from error
    except EOFError:
        given = ""
    found = secret.parse(given)
    if not found:
        raise StartError(f"no {told} was given. Nothing was changed.{hint}")
    return found


def _try_key(values: Settings, key: str, untried: bool, test: str = "") -> str:
    """Try a key at the only server of these settings, and return what to print. `test`: how to try it where the
    list of models is public, as it is at OpenRouter and at many a llama.cpp; Gemini's is not.

    Raises `StartError` if the server refuses it, or cannot be asked and `untried` does not allow that.
    """
    rung = open_rungs(values, short_clocks(values))[0]
    with closing(rung.place.upstream):
        catalogue = fetch_catalogue(rung.dialect, rung.place)
        is_listed = catalogue.error is None and bool(values.models[0].at)
        is_public = is_listed and fetch_catalogue(rung.dialect, replace(rung.place, key="")).error is None
    if is_public:
        return f"{rung.provider} lists its models without a key, too, so the key was not tried.{test}"
    if catalogue.error is None:
        return f"{rung.provider} accepts the key and offers {catalogue.extent}."
    said = tell_refusal(catalogue.error, rung.provider, key)
    if isinstance(catalogue.error, OwnerError):
        raise StartError(f"{said} Nothing was changed.")
    if not untried:
        raise StartError(
            f"the key could not be tried: {said} Nothing was changed. To store it all the same: --untried"
        )
    return f"The key could not be tried: {said}"
