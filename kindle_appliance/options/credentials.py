"""The secrets that lie in files of their own: the key for Gemini, the PIN, and the keys of other model servers.

systemd hands them to the service in the directory that CREDENTIALS_DIRECTORY names (systemd.exec(5), Credentials).
A directory of credentials arrives there flat: its file FILE is called `keys_FILE`. An owner's command reads the
files where they lie, in the folder `keys`. They are written so that no file is ever readable to others or half
written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import SettingsError
from ..host.plain_files import check_plain, make_private, read_plain, write_private
from . import secret
from .kinds import KEY, Kind
from .server_address import ServerAddress
from .settings_file import mask_secrets

CREDENTIALS = {"key": "gemini-key", "pin": "pin"}
"""The secrets, and the name under which systemd hands each over."""

SETTINGS_CREDENTIAL = "settings.toml"
"""The settings file, handed over in the same way: a dynamic user could not read it where it lies."""

KEYS_CREDENTIAL = "keys"
"""The directory with the keys of servers."""


class Keys(Mapping[str, str]):
    """A key for each server that wants one, by its `ServerAddress.name`. It never shows a key."""

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._keys = dict(keys or {})

    def __getitem__(self, name: str) -> str:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __hash__(self) -> int:
        return hash(frozenset(self._keys))

    def __repr__(self) -> str:
        return f"<the keys of {len(self)} servers>"


def _parse_keys(text: str) -> Keys:
    """Keys on one line, such as `pc.local:11434=KEY, openrouter.ai=KEY`."""
    found: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        address, _, key = item.partition("=")
        name = ServerAddress.parse(address).name
        if name in found:
            raise ValueError
        found[name] = secret.parse(key)
    return Keys(found)


KEYS = Kind(
    "an address and its key for each server, such as pc.local:11434=KEY, openrouter.ai=KEY",
    _parse_keys,
    lambda value: isinstance(value, Keys) and all(map(KEY.accepts, value.values())),
)


def file_name(name: str) -> str:
    """The name of the file with a server's key: systemd allows no colon in it. `server_of()` undoes it."""
    return (name if name.startswith("[") else name.replace("_", "__")).replace(":", "_")


def server_of(file: str) -> str | None:
    """The `ServerAddress.name` of the server whose key a file of this name holds; None: of none."""
    if file.startswith("["):
        name = file.replace("_", ":")
    else:
        name = re.sub("__?", lambda found: "_" if len(found[0]) == 2 else ":", file)
    try:
        return name if ServerAddress.parse(name).name == name else None
    except ValueError:
        return None


def find(name: str, environment: Mapping[str, str]) -> Path | None:
    """The file or folder that systemd hands over under this name, if there is one. Raises `SettingsError`."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return Path(folder, name) if Path(folder, name).exists() else None
    except OSError as error:
        raise SettingsError(f"The folder {folder} cannot be read: {error.strerror}.") from error


def read(name: str, path: Path) -> str:
    """The text of the file with a secret of this name; "" if it is empty. Raises `SettingsError`."""
    try:
        return secret.read(path).strip()
    except OSError as error:
        raise SettingsError(
            f"The {name} file {mask_secrets(str(path))} cannot be read: {error.strerror}."
        ) from error


def read_keys(folder: Path | None, environment: Mapping[str, str]) -> tuple[Keys, str]:
    """The keys of servers in a folder, else those that systemd hands over, and where they were found. What is not
    called like a server, such as the copy that an editor leaves, is no key. Raises `SettingsError`.
    """
    given = environment.get("CREDENTIALS_DIRECTORY")
    if folder is None and given:
        folder = find(KEYS_CREDENTIAL, environment)
    prefix = "" if folder or not given else f"{KEYS_CREDENTIAL}_"
    folder = folder or (Path(given) if given else None)
    if folder is None:
        return Keys(), ""
    found: dict[str, str] = {}
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise SettingsError(
            f"The folder of keys {mask_secrets(str(folder))} cannot be read: {error.strerror}."
        ) from error
    for path in files:
        server = server_of(path.name.removeprefix(prefix)) if path.name.startswith(prefix) else None
        if server is None:
            continue
        text = read("key", path)
        key = secret.parse(text)
        if text and not KEY.accepts(key):
            raise SettingsError(
                f"The key in {mask_secrets(str(path))} (a secret, not shown) is not allowed."
                f" Allowed is {KEY.allowed}."
            )
        if key:
            found[server] = key
    return Keys(found), f"{folder}" if found else ""


def store(path: Path, secret: str) -> bool:
    """Replace the content of `path` with `secret` ("" for none) atomically, and return whether that changed it.

    Raises OSError; the file is then unchanged.
    """
    content = f"{secret}\n".encode() if secret else b""
    if check_plain(path) and read_plain(path, len(content) + 1) == content:
        make_private(path)
        return False
    write_private(path, content)
    return True


def store_key(folder: Path, server: str, key: str) -> bool:
    """Replace the key of a server (its `ServerAddress.name`; "": no key), and return whether that changed it. The
    folder is made for a key if it is missing; only its owner may enter it then. Raises OSError.
    """
    file = folder / file_name(server)
    if not key:
        if not check_plain(file):
            return False
        file.unlink()
        return True
    folder.mkdir(0o700, exist_ok=True)
    folder.chmod(0o700)
    return store(file, key)
