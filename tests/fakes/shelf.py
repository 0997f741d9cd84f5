"""Books for a shelf, and a shelf at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from kindle_appliance.books.shelf import Shelf
from kindle_appliance.books.shelved_book import ShelvedBook

from .epub_file import Chapters, make_epub

MB = 1_000_000
CHAPTERS = 12
"""Of a novel."""
_SENTENCE = "Stately, plump Buck Mulligan came from the stairhead, bearing a bowl of lather."


def book_file(
    title: str = "Ulysses", *, creator: str = "James Joyce", paragraphs: int = 20, words: str = _SENTENCE
) -> bytes:
    """An EPUB file of numbered paragraphs, in two chapters."""
    text = [f"Paragraph {number} of {title}. {words}" for number in range(paragraphs)]
    half = (paragraphs + 1) // 2
    return _file(title, creator, [("Morning", text[:half]), ("Evening", text[half:])])


def novel_file(title: str = "The Moor", creator: str = "A. C. Doyle", chapters: int = CHAPTERS) -> bytes:
    """An EPUB file with chapters of the same length, each with a sentence that nothing else has."""
    told = [
        (
            f"Chapter {number}: Name {number}",
            [f"Here begins number{number} of {title}. " + "It rained a lot. " * 40],
        )
        for number in range(1, chapters + 1)
    ]
    return _file(title, creator, told)


def _file(title: str, creator: str, chapters: Chapters) -> bytes:
    with TemporaryDirectory() as folder:
        path = make_epub(Path(folder) / "book.epub", title=title, creator=creator, chapters=chapters)
        return path.read_bytes()


def put(shelf: Shelf, data: bytes) -> ShelvedBook:
    """Add a book, as it comes from a network: in pieces."""
    with shelf.incoming() as file:
        for start in range(0, len(data), 65_536):
            file.write(data[start : start + 65_536])
        book, _ = file.shelve()
    return book


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "that takes too long"
        time.sleep(0.01)


def settle(shelf: Shelf) -> None:
    """Wait until all books are read, and nothing is left of those that are gone."""

    catalogue = shelf._catalogue
    until(lambda: not catalogue._database.read("SELECT 1 FROM books WHERE state < 2"))
    while catalogue.tidy_some():
        pass


def tidy(shelf: Shelf) -> None:
    """Do at once all that there is to do in the background of a shelf that is not started, if it is one at all."""
    while shelf._parts and shelf._parts[2]._step() == 0:
        pass


def names_below(folder: Path) -> Sequence[str]:
    """The files of books in a folder, without what SQLite keeps there."""
    files = (path for path in folder.rglob("*") if path.is_file() and "books.sqlite" not in path.name)
    return sorted(str(path.relative_to(folder)) for path in files)
