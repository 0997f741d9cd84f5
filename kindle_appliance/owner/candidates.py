"""The files that the owner wants on the shelf: those that are named, and the EPUB files in folders that are named.

A calibre library (Author/Title (id)/title.epub, beside other formats, and removed books in .caltrash) needs no rule
of its own. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EPUB = ".epub"
_OTHERS = {
    *(".azw", ".azw3", ".azw4", ".cb7", ".cbr", ".cbz", ".djvu", ".doc", ".docx", ".fb2", ".kfx", ".lit", ".lrf"),
    *(".mobi", ".odt", ".pdb", ".pdf", ".prc", ".rtf", ".tpz", ".txt"),
}
"""The other formats that calibre knows as books."""

_DEEPEST = 16
_MOST_ENTRIES = 200_000
_MOST_FILES = 10_000


@dataclass
class Candidates:
    """What was found: EPUB files, one by one, and of the rest how much it is.

    `others`: files in other formats; `links`: EPUB files and folders that are links, which are not followed;
    `unread`: folders that cannot be read, each with the reason; `is_cut`: whether there was more than is looked at.
    """

    others: int = 0
    links: int = 0
    unread: list[OSError] = field(default_factory=list)
    is_cut: bool = False
    _entries: int = 0
    _files: int = 0

    def find(self, places: Sequence[Path]) -> Iterator[Path]:
        """Each file that is named, whatever its name, and those of folders, in the order of their names."""
        for place in places:
            if place.is_dir():
                yield from self._walk(place, 0)
            else:
                yield place

    def _walk(self, folder: Path, depth: int) -> Iterator[Path]:
        try:
            entries = sorted(folder.iterdir(), key=lambda each: (each.name.casefold(), each.name))
        except OSError as error:
            self.unread.append(error)
            return
        for entry in entries:
            self._entries += 1
            if self._entries > _MOST_ENTRIES or self._files >= _MOST_FILES:
                self.is_cut = True
                return
            kind = entry.suffix.lower()
            if entry.name.startswith("."):  # what programs hide: a bin, or what a Mac knows of a file
                continue
            if entry.is_symlink():
                self.links += kind == EPUB or entry.is_dir()
            elif kind == EPUB:
                self._files += 1
                yield entry
            elif entry.is_dir():
                if depth < _DEEPEST:
                    yield from self._walk(entry, depth + 1)
                else:
                    self.is_cut = True
            else:
                self.others += kind in _OTHERS
