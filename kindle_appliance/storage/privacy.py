"""Takes the files of the chats away from other users of the machine.

What the program creates is its owner's alone, whatever umask it was started with: the command line sees to that.
This is for files from before: an older version left them readable for all when it was started by hand.
"""

from __future__ import annotations

import logging
import stat
from contextlib import suppress
from pathlib import Path

from ..host.plain_files import check_plain, make_private
from .folder import SUFFIXES
from .kept_secret import OWNER, SESSIONS

log = logging.getLogger(__name__)

_DATABASES = ("chats.sqlite", "chats-damaged-[12][0-9][0-9][0-9]-*.sqlite", "before-restore.sqlite")
_OURS = ("lock", SESSIONS, OWNER, *(name + suffix for name in _DATABASES for suffix in SUFFIXES))
"""The folder can be one with other files, too, such as a home folder. SQLite gives the files beside a
database the mode that it has."""


def keep_private(folder: Path) -> None:
    """Let only their owner read and write our files in `folder`. What cannot be changed stays as it is: on a
    read-only card, or if another user owns it.
    """
    for path in (path for pattern in _OURS for path in folder.glob(pattern)):
        with suppress(OSError):
            status = check_plain(path)
            if status and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                make_private(path)
                log.warning("other users could read %s; now only its owner can", path)
