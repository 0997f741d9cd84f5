"""A book on the shelf, as pages and commands show it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..sentences import Sentence


@dataclass(frozen=True)
class ShelvedBook:
    """A book on the shelf. `name`: the SHA-256 of its file, in hexadecimal digits, which is also its address;
    `size`: of the file, in bytes; `added` and `removed`: when, as Unix times; `removed` is 0 for a book that is
    there. `first` and `last`: the numbers of its passages. `is_read`: its text is there; until then nothing
    is known but name, size and `added`. A file that turned out to be unreadable has no text, but a fault.
    """

    name: str
    title: str
    creator: str
    language: str
    direction: str
    length: int
    size: int
    added: float
    removed: float = 0.0
    faults: Sequence[Sentence] = ()
    first: int = 0
    last: int = -1
    is_read: bool = True
