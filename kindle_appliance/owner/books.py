"""The owner's commands for the books: what each does and prints. One that cannot be carried out raises with a
sentence.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from ..errors import StartError
from ..host.confinement import as_owner
from ..host.plain_files import reading
from ..host.terminal import give_up_stdout, one_line
from ..storage.kept_secret import OWNER, find_secret
from ..storage.shelf_layout import MOST_BYTES
from .candidates import Candidates
from .remote_shelf import Lost, Refused, RemoteBook, RemoteShelf, Shorter
from .service import Service

_PIECE_BYTES = 1024 * 1024
_MB = 1_000_000
_SHOWN_PROGRESS_BYTES = 4 * _MB
_WAITING_SECONDS = 300.0
"""So long one command waits in all while other books come in."""
_MOST_ALIKE = 5
"""After so many files in a row that are refused for the same reason, such as a full shelf, no more are sent."""
_LEAST_DIGITS = 8  # of a short name: fewer may be a word
_ABOUT_ONE_FILE = (400, 415, 422)

_NOT_RUNNING = (
    "the appliance does not answer, and only while it runs can books be added, listed or removed."
    " See what is wrong with: kindle-appliance doctor"
)


def open_shelf(running: Service | None, folder: Path, is_installed: bool) -> RemoteShelf:
    """The shelf of a possibly running appliance, whose state folder this is. Raises `StartError`."""
    facts = running.health() if running else None  # also starts the installed service
    if running is None or facts is None:
        raise StartError(f"{_NOT_RUNNING}." if is_installed else f"{_NOT_RUNNING}, with the same settings.")
    if "version" not in facts:
        raise StartError(
            "the appliance does not know this PIN. If the PIN has just been changed:"
            " sudo systemctl restart kindle-appliance"
            if is_installed
            else "the appliance wants a PIN. Set KINDLE_APPLIANCE_PIN for this command, too."
        )

    def find(folder: Path) -> str | None:
        secret = find_secret(folder, OWNER)
        return secret.hex() if secret else None

    return RemoteShelf(running, as_owner(folder, lambda access: find(access.settle())))


def show_books(shelf: RemoteShelf) -> int:
    """Print a line for each book, the newest first."""
    books = _list(shelf)
    lines = [f"{book.short_name}  {book.day}  {book.size / _MB:6.1f} MB  {book.label}" for book in books]
    try:
        print(*map(one_line, lines or ["There are no books yet. Add some with: books add FILE|FOLDER"]), sep="\n")
        sys.stdout.flush()
    except BrokenPipeError:  # as with `| head`
        give_up_stdout()
    return 0


def remove_book(shelf: RemoteShelf, wanted: str) -> int:
    """Remove the one book with this short name, title or beginning of a title."""
    book = _choose(_list(shelf), wanted)
    try:
        shelf.remove(book.name)
    except (Refused, Lost) as error:
        raise StartError(_told(error)) from None
    print(one_line(f"{book.label}: removed. For a day it can be put back, on the page of the books."))
    return 0


def add_books(shelf: RemoteShelf, places: Sequence[Path]) -> int:
    """Send files to the appliance, and print what it says to each; 1 if one of them could not be added."""
    addition = _Addition(shelf, {book.name: book for book in _list(shelf)})
    candidates = Candidates()
    try:
        addition.add(candidates.find(places))
        if not addition.count and not candidates.unread:
            raise StartError("there is no EPUB file there.")
    finally:
        addition.conclude(candidates)
    return 1 if addition.failed or candidates.unread else 0


def _list(shelf: RemoteShelf) -> list[RemoteBook]:
    try:
        return shelf.list()
    except (Refused, Lost) as error:
        raise StartError(_told(error)) from None


def _choose(books: Iterable[RemoteBook], wanted: str) -> RemoteBook:
    words = " ".join(wanted.split()).casefold()
    titles = [(" ".join(book.title.split()).casefold(), book) for book in books]
    for found in (
        [book for title, book in titles if words and title == words],
        [book for _, book in titles if len(words) >= _LEAST_DIGITS and book.name.startswith(words)],
        [book for title, book in titles if words and title.startswith(words)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            lines = [f"    {book.short_name}  {book.label}" for book in found]
            raise StartError("\n".join(["several books are called so. Name one of them:", *map(one_line, lines)]))
    raise StartError(f"there is no book {one_line(wanted)!r}. See them with: books list")


@dataclass
class _Addition:
    """Files on their way to the shelf. `known`: the books that are there, by name."""

    shelf: RemoteShelf
    known: dict[str, RemoteBook]
    added: int = 0
    present: int = 0
    failed: int = 0
    _waited: float = 0.0
    _alike: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.added + self.present + self.failed

    def add(self, paths: Iterable[Path]) -> None:
        """Send each of these files, and say what has become of it."""
        for path in paths:
            if len(self._alike) >= _MOST_ALIKE:
                print(f"The same was said {_MOST_ALIKE} times in a row, so no more files are sent.", flush=True)
                return
            try:
                with closing(reading(path)) as file:
                    self._add(path, file)
            except OSError as error:
                self._fail(path, f"{error.strerror}.")
            except Shorter:
                self._fail(path, "This file changed while it was being sent. Please add it again.")

    def conclude(self, candidates: Candidates) -> None:
        """Print what has become of all files."""
        for error in candidates.unread:
            print(one_line(f"{error.filename}: {error.strerror}."))
        for count, one, several in (
            (candidates.others, "file in another format was left out.", "files in other formats were left out."),
            (candidates.links, "link was not followed.", "links were not followed."),
        ):
            if count:
                print(f"{count} {one if count == 1 else several}")
        if candidates.is_cut:
            print("There is more in these folders than is looked at in one go. Name some of those in them.")
        counts = ((self.added, "added"), (self.present, "already there"), (self.failed, "not added"))
        if self.count > 1:
            print(f"Books: {', '.join(f'{count} {what}' for count, what in counts if count)}.", flush=True)

    def _add(self, path: Path, file: BinaryIO) -> None:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        if size > MOST_BYTES:
            self._fail(path, f"This file has {size // _MB} MB. A book may have up to {MOST_BYTES // 1024**2} MB.")
            return
        if self.known and (book := self.known.get(_hash(file))):
            self._tell(book, "was there already.")
            return
        try:
            book, is_new = self._send(path, file, size)
        except Refused as error:
            self._fail(path, error.sentence, error.status)
            return
        self._tell(book, "added." if is_new else "put back.")  # it had been removed
        self.known[book.name] = book

    def _send(self, path: Path, file: BinaryIO, size: int) -> tuple[RemoteBook, bool]:
        """Send a file as often as it takes. Raises `Refused`, `Shorter`, OSError, and `StartError`."""
        breaks = 0
        while True:
            file.seek(0)
            try:
                with closing(_Progress(path, size)) as progress:
                    return self.shelf.add(file, size, progress.show)
            except Refused as error:
                if error.status != 503 or not self._wait(error):
                    raise
            except Lost:
                breaks += 1
                if self.shelf.service.health() is None:
                    raise StartError("the appliance does not answer any more.") from None
                if breaks > 1:
                    raise Refused("The connection broke off, twice.", 502, None) from None

    def _wait(self, error: Refused) -> bool:
        """Wait as long as the appliance has said, because another book is coming in. False if that was done long
        enough, or does not help.
        """
        seconds = min(error.retry_after or 0, 60) + 0.1
        facts = self.shelf.service.health()
        if (
            error.retry_after is None
            or self._waited + seconds > _WAITING_SECONDS
            or (facts or {}).get("status") != "ok"
        ):
            return False
        if not self._waited:
            print(one_line(f"({error.sentence} Waiting ...)"), file=sys.stderr, flush=True)
        self._waited += seconds
        time.sleep(seconds)
        return True

    def _tell(self, book: RemoteBook, what: str) -> None:
        is_there = book.name in self.known
        self.present += is_there
        self.added += not is_there
        self._alike.clear()
        print(one_line(f"{book.label}: {what}"), flush=True)

    def _fail(self, path: Path, sentence: str, status: int = 400) -> None:
        self.failed += 1
        if status in _ABOUT_ONE_FILE or sentence not in self._alike:
            self._alike.clear()
        if status not in _ABOUT_ONE_FILE:
            self._alike.append(sentence)
        print(one_line(f"{path}: {sentence}"), flush=True)


class _Progress:
    """Tells at a terminal how much of a large file is sent, in one line."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._shown = 0
        self._is_on = size >= _SHOWN_PROGRESS_BYTES and sys.stdout.isatty()

    def show(self, sent: int) -> None:
        tenth = 10 * sent // self._size
        if self._is_on and tenth > self._shown:
            if not self._shown:
                print(one_line(f"{self._path.name}, {self._size // _MB} MB:"), end="")
            self._shown = tenth
            print(f" {10 * tenth} %", end="", flush=True)

    def close(self) -> None:
        if self._shown:
            print(flush=True)


def _hash(file: BinaryIO) -> str:
    digest = sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _told(error: Refused | Lost) -> str:
    return error.sentence if isinstance(error, Refused) else "the appliance has not answered. Please try again."
