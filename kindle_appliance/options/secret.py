"""A key or PIN as its owner gives it: the file that is read for it, and which part of the text is meant."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

MOST_BYTES = 4096
"""Of a file with a secret; a key has about 40."""

_NAMED = re.compile(r"(?:export\s+|set\s+)?(?:[\w-]*[_-])?(?:key|pin)\s*[=:](.*?);?", re.IGNORECASE | re.ASCII)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "„": "“"}


def read(path: Path) -> str:
    """The text of a plain file of at most `MOST_BYTES`. Raises OSError for any other: a pipe could hold the program
    up for ever, and a device fill the memory.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "It is not a plain file", str(path))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"It has more than {MOST_BYTES} bytes", str(path))
    return data.decode("utf-8-sig", "replace")


def parse(text: str) -> str:
    """The secret in a text as people copy it: in quotes, or with its variable's name in front, as it stands in the
    settings of a shell or in an .env file. Comment lines do not count. Of several other lines none can be chosen:
    they stay, and no kind of secret accepts them.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    secret = lines[0] if len(lines) == 1 else "\n".join(lines)
    while True:
        if len(secret) > 1 and _QUOTES.get(secret[0]) == secret[-1]:
            secret = secret[1:-1].strip()
        elif named := _NAMED.fullmatch(secret):
            secret = named[1].strip()
        else:
            return secret
