"""The settings and secrets that a backup holds beside the chats: which files they are, and how they come back.

A backup may be a stranger's. If its settings decided where questions go, the next question would take the stored
key there. So what decides that, or who may ask (`Option.directs`), comes back only if the owner agrees.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import SettingsError, StartError
from ..host.plain_files import check_plain, read_plain, write_private
from ..host.terminal import one_line
from ..options import credentials
from ..options.credentials import (
    CREDENTIALS,
    KEYS_CREDENTIAL,
    SETTINGS_CREDENTIAL,
    file_name,
    read_keys,
    server_of,
)
from ..options.kinds import KEY
from ..settings import OPTIONS, Option, Settings, load
from ..storage.transfer import MOST_BELONGING_BYTES
from .installation import Installation

NAMES = (SETTINGS_CREDENTIAL, *CREDENTIALS.values(), KEYS_CREDENTIAL)
"""The names that belongings have in a backup."""

_SECRETS = {credential: name for name, credential in CREDENTIALS.items()}
_MOST_LINES = 200  # of one setting
_SHOWN_CHARACTERS = 200

Agree = Callable[[Sequence[str]], bool]
"""Asks the owner whether to change what the lines say."""


def gather(installation: Installation, with_secrets: bool) -> dict[str, bytes]:
    """The belongings of an installed appliance, by their names. Raises OSError or `StartError`."""
    found = {}
    for name, path in _files(installation).items():
        if check_plain(path) and (with_secrets or name == SETTINGS_CREDENTIAL):
            found[name] = read_plain(path, MOST_BELONGING_BYTES + 1)
            if len(found[name]) > MOST_BELONGING_BYTES:
                raise StartError(f"{path} has more than {MOST_BELONGING_BYTES} bytes.")
    if with_secrets and (keys := _keys(installation)):
        found[KEYS_CREDENTIAL] = json.dumps(keys).encode()
    return found


def bring_back(installation: Installation, contents: Mapping[str, str], agree: Agree) -> Iterator[str]:
    """Restore belongings, except those with which this version would not start, and those that the owner does not
    agree to. Yields what was done, a sentence for each file. Raises OSError or `StartError`.
    """
    for name, path in _files(installation).items():
        if name not in contents:
            continue
        new, old = contents[name].strip(), _read(path)
        if new == old:
            continue
        try:
            if name == SETTINGS_CREDENTIAL:
                new = _agreed(installation, old, new, agree)
            else:
                _check_secret(_SECRETS[name], old, new, agree)
        except SettingsError as error:
            yield f"{path} was left as it is: {error}"
            continue
        if credentials.store(path, new):
            yield f"{path} was brought back."
            if name == SETTINGS_CREDENTIAL and old:
                credentials.store(path.with_name(f"{name}.before-restore"), old)
    if KEYS_CREDENTIAL in contents:
        yield from _bring_back_keys(installation, contents[KEYS_CREDENTIAL], agree)


def _bring_back_keys(installation: Installation, content: str, agree: Agree) -> Iterator[str]:
    """Restore the keys of servers; those that the backup does not have stay."""
    own = _keys(installation)
    try:
        keys = json.loads(content)
        are_keys = isinstance(keys, dict) and all(
            server_of(file_name(name)) == name and KEY.accepts(key) for name, key in keys.items()
        )
    except (ValueError, RecursionError):
        are_keys = False
    if not are_keys:
        yield f"{installation.keys} was left as it is: the backup's keys are none."
        return
    others = [name for name in keys if own.get(name, keys[name]) != keys[name]]
    if others and not agree([f"key for {name}: another one instead of yours" for name in others]):
        keys = {name: key for name, key in keys.items() if name not in others}
        yield f"{installation.keys} was left as it is for {', '.join(others)}: you have not agreed."
    new = [name for name, key in keys.items() if credentials.store_key(installation.keys, name, key)]
    if new:
        yield f"{installation.keys} was brought back for {', '.join(new)}."


def _keys(installation: Installation) -> dict[str, str]:
    """The stored keys of servers. Raises `StartError` if one of them cannot be used."""
    try:
        return dict(read_keys(installation.keys, {})[0]) if installation.keys.is_dir() else {}
    except SettingsError as error:
        raise StartError(str(error)) from None


def _check_secret(name: str, old: str, new: str, agree: Agree) -> None:
    """Raise `SettingsError` unless a secret can be used and, where there is another one, the owner agrees."""
    option = next(option for option in OPTIONS if option.name == name)
    if new and not option.kind.accepts(new):
        raise SettingsError(f"the backup's {name} is not one: it has to be {option.kind.allowed}.")
    if old and option.directs and not agree([f"{name}: {'another one' if new else 'none'} instead of yours"]):
        raise SettingsError("you have not agreed.")


def _agreed(installation: Installation, old: str, new: str, agree: Agree) -> str:
    """The settings file to store: the backup's, with our own values where the owner does not agree to others.

    Raises `SettingsError` if this version would not start with it.
    """
    before, after = _load(installation, old), _load(installation, new)
    changed = _changed(before, after)
    lines = [f"{option.name}: {_shown(option, before)} -> {_shown(option, after)}" for option in changed]
    if not changed or agree(lines):
        return new
    merged = _merge(old, new, {option.name for option in changed})
    if _changed(before, _load(installation, merged)):
        raise SettingsError("what you have not agreed to could not be told apart in it.")
    return merged


def _changed(before: Settings, after: Settings) -> list[Option]:
    return [
        option
        for option in OPTIONS
        if option.directs and not option.secret and getattr(before, option.name) != getattr(after, option.name)
    ]


def _load(installation: Installation, text: str) -> Settings:
    """The settings that this text makes; the files that it names are not opened. Raises `SettingsError`."""
    with TemporaryDirectory(dir=installation.folder, prefix=".restore-") as folder:
        file = Path(folder, SETTINGS_CREDENTIAL)
        write_private(file, f"{text}\n".encode())
        try:
            return load({}, installation.environment({}), file, with_secrets=False)
        except SettingsError as error:
            raise SettingsError(_printable(str(error).replace(str(file), f"the backup's {file.name}"))) from None


def _merge(old: str, new: str, names: Set[str]) -> str:
    """The statements of the new file, but those of the old one for these options. Raises `SettingsError`."""
    kept = [text for found, text in _statements(new) if not names & found]
    kept += [text for found, text in _statements(old) if names & found]
    return "\n".join(sorted(kept, key=_is_table))  # what stands below a table would belong to it


def _is_table(text: str) -> bool:
    return text.lstrip().startswith("[")


def _statements(text: str) -> Iterator[tuple[set[str], str]]:
    """Each comment, empty line and setting of a file, with the names that it sets; a table with all that stands
    below it.
    """
    begun: list[str] = []
    names: set[str] = set()
    for line in text.split("\n"):
        if begun and names and _is_table(line):
            yield names, "\n".join(begun)
            begun = []
        begun.append(line)
        try:
            names = set(tomllib.loads("\n".join(begun)))
        except (ValueError, RecursionError):
            names = set()
            if len(begun) < _MOST_LINES:
                continue
            raise SettingsError(f"one of its settings has more than {_MOST_LINES} lines.") from None
        if not _is_table(begun[0]):
            yield names, "\n".join(begun)
            begun = []
    if begun:
        yield names, "\n".join(begun)


def _shown(option: Option, settings: Settings) -> str:
    return _printable(option.describe(getattr(settings, option.name)))


def _printable(text: str) -> str:
    """A stranger's text for the terminal, cut to a length that can be read."""
    plain = one_line(text)
    return plain if len(plain) <= _SHOWN_CHARACTERS else f"{plain[:_SHOWN_CHARACTERS]}..."


def _read(path: Path) -> str:
    return read_plain(path, MOST_BELONGING_BYTES).decode("utf-8", "replace").strip() if check_plain(path) else ""


def _files(installation: Installation) -> dict[str, Path]:
    """The files of an installed appliance that a backup holds, by their names in it."""
    secrets = {credential: installation.secret(name) for name, credential in CREDENTIALS.items()}
    return {SETTINGS_CREDENTIAL: installation.settings, **secrets}
