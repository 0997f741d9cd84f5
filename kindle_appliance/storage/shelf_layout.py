"""How the books' files lie on the card, and what they leave of it: for the shelf, the backup and the doctor.

    <sha256>.epub                     a book; its time of change is when it came
    removed/<moment>-<sha256>.epub    one that was removed then (Unix time; 0: not known), and can come back
    incoming/                         what is coming in; the service empties it when it starts

A file is whole before it gets its name, and changes its place in one step.
"""

from __future__ import annotations

import re

INCOMING, REMOVED = "incoming", "removed"
"""The folders beside the books."""

NAME = re.compile("[0-9a-f]{64}")
"""Of a book."""
BOOK_FILE = re.compile(rf"({NAME.pattern})\.epub")
"""Its name is the group."""
REMOVED_FILE = re.compile(rf"([0-9]{{1,10}})-({NAME.pattern})\.epub")
"""The groups are the moment and the name."""

MOST_BYTES = 100 * 1024 * 1024
"""Of one book's file."""
_KEPT_FREE = 200 * 1000 * 1000


def kept_free(whole: int) -> int:
    """So many bytes of a card of `whole` bytes stay free for the chats."""
    return min(_KEPT_FREE, whole // 20)


def book_file(name: str) -> str:
    """The name of a book's file."""
    return f"{name}.epub"


def removed_file(moment: float, name: str) -> str:
    """The name of the file of a book that was removed at this Unix time."""
    return f"{int(moment)}-{name}.epub"
