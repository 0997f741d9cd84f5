"""Books on a house's shelf, put there without the web."""

from __future__ import annotations

from pathlib import Path

from kindle_appliance.books.shelved_book import ShelvedBook

from .epub_file import make_epub
from .house import House

CHAPTERS = 12


def shelve(house: House, path: Path) -> ShelvedBook:
    """Put a file on the shelf."""
    with house.shelf.incoming() as file:
        file.write(path.read_bytes())
        return file.shelve()[0]


def shelve_novel(
    house: House, folder: Path, title: str = "The Moor", creator: str = "A. C. Doyle", chapters: int = CHAPTERS
) -> ShelvedBook:
    """A book with chapters of the same length, each with a sentence of its own that nothing else has."""
    told = [
        (
            f"Chapter {number}: Name {number}",
            [f"Here begins number{number} of {title}. " + "It rained a lot. " * 40],
        )
        for number in range(1, chapters + 1)
    ]
    return shelve(house, make_epub(folder / "made.epub", title=title, creator=creator, chapters=told))
