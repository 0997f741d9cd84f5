"""An EPUB file, 2 or 3, to a book: what it says of itself, its text in passages, and its chapters.

Files are strangers', and real ones are malformed: what can be read is read, what cannot is counted. No part of a
file is in memory as a whole. Each module states its own bounds: for the list of members and what they unpack to
(`archive`), tags and entities (`markup`), tables of contents (`contents`), characters (`passages`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from unicodedata import bidirectional

from ..sentences import Sentence
from ..text.languages import language_of
from .archive import Archive, Missing
from .book import Book, Chapter, Passage
from .contents import Contents, Entry, read_contents
from .encoding import decoded
from .markup import Markup
from .numbering import Label, numbered
from .package import read_package
from .passages import Passages
from .plain_text import line
from .prose import Findings, Prose
from .unreadable import DAMAGED, NO_TEXT, Unreadable

MOST_IN_DOCUMENT = 32_000_000
"""Bytes of one document. A novel in a single one has 3 or 4 million."""

_SAMPLE = 2000
"""Characters at the beginning of a book that tell its language, if the file does not."""

_MOST_IN_TITLE = 60
"""Characters of the first line, where it is the title for want of a better one."""

_FEW = 3
"""So many headings are more of a table of contents than a list with one entry."""

_RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ji", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"])
"""Languages that are always written so (CLDR, orientation)."""


def read(path: Path, take: Callable[[Passage], None]) -> Book:
    """Read a file. `take` gets its passages one after the other; together they are the text. Raises Unreadable for
    what is no EPUB, is locked or damaged, has no text, or would cost too much: then what `take` got counts for
    nothing.
    """
    sample = _Sample(take)
    with Archive(path) as archive:
        package = read_package(archive)
        contents = read_contents(archive, package)
        text = _Text(contents, Passages(sample.take))
        faults = []
        unread = package.missing + text.read(archive, package.spine)
        if not text.length:
            text.read(archive, package.spine, with_names=True)
            faults.append(Sentence("This book is made of pictures. Only the names of its pages could be read."))
    if not text.length:
        raise Unreadable(DAMAGED if unread else NO_TEXT)
    if unread:
        faults.append(
            Sentence(
                "%(count)d part of this book could not be read.",
                plural="%(count)d parts of this book could not be read.",
                count=unread,
            )
        )
    language = package.language or language_of(sample.text) or ""
    return Book(
        title=package.title or _title(text.findings, sample.text),
        creator=package.creator,
        language=language,
        direction=_direction(language, text.findings, sample.text),
        length=text.length,
        chapters=_chapters(package.title, contents, text.starts, text.findings),
        faults=tuple(faults),
    )


class _Text:
    """The text of a book while it is read, with what is found in it."""

    def __init__(self, contents: Contents, passages: Passages) -> None:
        self.findings = Findings()
        self.starts: dict[str, int] = {}  # of each document
        self._passages = passages
        self._wanted = _wanted(contents)
        self._markup = Markup()

    @property
    def length(self) -> int:
        return self._passages.length

    def read(self, archive: Archive, spine: Sequence[str], with_names: bool = False) -> int:
        """Read these documents, `with_names` of pages and pictures. Returns how many are not whole, or no text."""
        unread = 0
        for name in spine:
            self.starts[name] = self.length
            prose = Prose(name, self._wanted.get(name, ()), self._passages, self.findings, with_names)
            try:
                self._markup.read(_texts(archive, name), prose)
            except Missing:
                unread += 1
            prose.close()
        return unread


def _texts(archive: Archive, name: str) -> Iterator[str]:
    """The text of a document, in pieces. Raises Missing."""
    for index, text in enumerate(decoded(archive.pieces(name, MOST_IN_DOCUMENT))):
        if not index and "\0" in text:
            raise Missing("no text")
        yield text


class _Sample:
    """The beginning of a book, beside its passages."""

    def __init__(self, take: Callable[[Passage], None]) -> None:
        self.text = ""
        self._take = take

    def take(self, passage: Passage) -> None:
        if len(self.text) < _SAMPLE:
            self.text += passage.text
        self._take(passage)


def _wanted(contents: Contents) -> Mapping[str, set[str]]:
    """The fragments of each document whose positions are asked for."""
    found: dict[str, set[str]] = {}
    for entry in contents.entries:
        found.setdefault(entry.member, set()).add(entry.fragment)
    if contents.beginning:
        member, fragment = contents.beginning
        found.setdefault(member, set()).add(fragment)
    return found


def _chapters(title: str, contents: Contents, starts: Mapping[str, int], findings: Findings) -> Sequence[Chapter]:
    """The entries with their positions, in reading order: those of the table of contents, or the headings."""

    def position(member: str, fragment: str) -> int | None:
        return findings.anchors.get((member, fragment), starts.get(member))

    placed: list[tuple[int, Entry]] = []
    behind: tuple[int, int] | None = None  # level and position of the entry behind
    for entry in reversed(contents.entries):
        start = position(entry.member, entry.fragment)
        if not entry.member and behind and behind[0] > entry.level:
            start = behind[1]
        if start is not None:
            placed.append((start, entry))
            behind = entry.level, start
    placed.reverse()
    if len(placed) <= 1 and len(findings.headings) >= max(_FEW * len(placed), 1):
        highest = min(level for _, level, _ in findings.headings)
        placed = [(start, Entry(text, level - highest)) for start, level, text in findings.headings]
    placed.sort(key=lambda each: each[0])
    beginning = position(*contents.beginning) if contents.beginning else None
    labels = [
        Label(entry.label, entry.level, entry.member in findings.matter or start < (beginning or 0))
        for start, entry in placed
    ]
    return tuple(
        Chapter(start, number, name, entry.level)
        for (start, entry), (number, name) in zip(placed, numbered(labels, title), strict=True)
    )


def _title(findings: Findings, sample: str) -> str:
    if findings.headings:
        return findings.headings[0][2]
    return line(sample.partition("\n")[0], _MOST_IN_TITLE)


def _direction(language: str, findings: Findings, sample: str) -> str:
    """Some books name a wrong language, or have one document in the other direction: most letters decide."""
    directions = Counter(map(bidirectional, sample))
    if language in _RIGHT_TO_LEFT or directions["R"] + directions["AL"] > directions["L"]:
        return "rtl"
    return "rtl" if not language and findings.is_right_to_left else "ltr"
