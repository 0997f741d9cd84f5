"""Secrets that the appliance makes for itself, in files that only its own user and root can read.

They are not in the database, so that no backup has them.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes

from ..host.plain_files import read_plain

log = logging.getLogger(__name__)

SESSIONS = "pin-secret"
"""The file of the secret that signs the sessions of browsers: with it a PIN could be guessed without pauses."""

OWNER = "owner-secret"
"""The file of the secret that the owner's commands show, in hexadecimal digits, in the header `OWNER_HEADER`. Only
root, and the user whose appliance this is, can read it."""

OWNER_HEADER = "Kindle-Appliance-Owner"

_BYTES = 32


def keep_secret(folder: Path, name: str, when_lost: str) -> bytes:
    """The secret in the file `name` of `folder`, made there at the first call. Where the card takes no file, it is
    another one after the next start; `when_lost` tells the log what follows from that.
    """
    file = folder / name
    if kept := find_secret(folder, name):
        return kept
    secret = token_bytes(_BYTES)
    try:
        file.touch(mode=0o600)
        file.write_bytes(secret)
    except OSError as error:
        log.error("storage: after the next start %s: %s", when_lost, error)
    return secret


def find_secret(folder: Path, name: str) -> bytes | None:
    """The same, None if there is none, or it may not be read."""
    with suppress(OSError):
        kept = read_plain(folder / name, _BYTES + 1)
        if len(kept) == _BYTES:
            return kept
    return None
