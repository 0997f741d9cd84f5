"""A book's table of contents: the `nav` of EPUB 3, or the `ncx` of EPUB 2, as names with their addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from .archive import Archive, Missing
from .encoding import decoded
from .markup import Markup
from .package import Package, resolved
from .plain_text import line
from .xml_file import read_xml

MOST_ENTRIES = 2000
"""Of a table of contents. The longest real ones, of the Bible and of laws, have 1,300."""

MOST_IN_LABEL = 200  # characters
MOST_LEVEL = 9

_MOST_BYTES = 16_000_000
_MOST_PIECES = 50  # of a label's text
_MOST_IN_ADDRESS = 1000


@dataclass
class Entry:
    """A line of a table of contents. `member`, `fragment`: where it leads, "" if it leads nowhere itself."""

    label: str
    level: int
    address: str = ""
    member: str = ""
    fragment: str = ""


@dataclass
class Contents:
    """A table of contents. `beginning`: the member and the fragment where the text proper begins, if told."""

    entries: list[Entry]
    beginning: tuple[str, str] | None = None


def read_contents(archive: Archive, package: Package) -> Contents:
    """The book's table of contents, without what leads to nothing. Empty if the book has none that can be read."""
    found = Contents([])
    if package.beginning:
        found.beginning = resolved(archive, package.name, package.beginning)
    for name, read in ((package.nav, _read_nav), (package.ncx, _read_ncx)):
        if name is None or found.entries:
            continue
        try:
            listed, beginning = read(partial(archive.pieces, name, _MOST_BYTES))
        except Missing:
            continue
        for entry in listed:
            place = resolved(archive, name, entry.address) if entry.address else ("", "")
            if place and entry.label:
                entry.member, entry.fragment = place
                found.entries.append(entry)
        if beginning:
            found.beginning = resolved(archive, name, beginning) or found.beginning
    return found


def _read_nav(read: Callable[[], Iterable[bytes]]) -> tuple[list[Entry], str]:
    nav = _Nav()
    Markup().read(decoded(read()), nav)
    nav.finish()  # if the last tags are missing
    return nav.entries, nav.beginning


def _read_ncx(read: Callable[[], Iterable[bytes]]) -> tuple[list[Entry], str]:
    return read_xml(read, _Ncx).entries, ""


class _Label:
    """Collects the text of a label."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._entry: Entry | None = None
        self._text: list[str] = []
        self._hidden = 0  # open elements whose text does not count: some are never closed

    def _begin(self, entry: Entry | None) -> None:
        self._entry, self._text, self._hidden = entry, [], 0

    def _add(self, text: str) -> None:
        if self._entry and len(self._text) < _MOST_PIECES:
            self._text.append(text[:MOST_IN_LABEL])

    def finish(self) -> None:
        """End the label."""
        if self._entry:
            self._entry.label = line("".join(self._text), MOST_IN_LABEL)
        self._entry = None

    def _new(self, level: int, address: str = "") -> Entry | None:
        if len(self.entries) >= MOST_ENTRIES:
            return None
        entry = Entry("", min(max(level, 0), MOST_LEVEL), address[:_MOST_IN_ADDRESS])
        self.entries.append(entry)
        return entry


class _Nav(_Label):
    """The lists of a navigation document (EPUB 3.3, 5.4)."""

    def __init__(self) -> None:
        super().__init__()
        self.beginning = ""
        self._kind = ""
        self._depth = 0

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if name == "nav":
            kinds = (kind_of(attributes) + " " + attributes.get("role", "").replace("doc-", "")).split()
            known = [kind for kind in ("toc", "landmarks") if kind in kinds]
            self._kind, self._depth = next(iter(known), ""), 0
        elif self._kind == "landmarks" and name == "a" and "bodymatter" in kind_of(attributes).split():
            self.beginning = self.beginning or attributes.get("href", "")
        elif self._kind != "toc" or (is_empty and name != "img" and name != "br"):
            return
        elif name in ("ol", "ul"):
            self.finish()
            self._depth += 1
        elif name == "a" and self._depth:
            self._begin(self._new(self._depth - 1, attributes.get("href", "")))
        elif name == "span" and self._depth and not self._entry:
            self._begin(self._new(self._depth - 1))
        elif name == "img":
            self._add(attributes.get("alt", ""))
        elif name == "br":
            self._add(" ")
        elif name in ("rt", "rp"):
            self._hidden += 1

    def end(self, name: str) -> None:
        if name == "nav":
            self.finish()
            self._kind = ""
        elif name in ("ol", "ul"):
            self._depth = max(0, self._depth - 1)
        elif name in ("a", "li") or (name == "span" and self._entry and not self._entry.address):
            self.finish()
        elif name in ("rt", "rp"):
            self._hidden = max(0, self._hidden - 1)

    def text(self, text: str) -> None:
        if not self._hidden:
            self._add(text)


class _Ncx(_Label):
    """The map of an NCX file (OPF 2.0.1, 2.4.1)."""

    def __init__(self) -> None:
        super().__init__()
        self._points: list[Entry | None] = []

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if name == "navpoint":
            self._points.append(self._new(len(self._points)))
        elif name == "text" and self._points:
            self._begin(self._points[-1])
        elif name == "content" and self._points and (point := self._points[-1]):
            point.address = point.address or attributes.get("src", "")[:_MOST_IN_ADDRESS]

    def end(self, name: str) -> None:
        if name == "navpoint" and self._points:
            self._points.pop()
        elif name == "text":
            self.finish()

    def text(self, text: str) -> None:
        self._add(text)


def kind_of(attributes: Mapping[str, str]) -> str:
    """What an element is in a book: its `epub:type`, whatever the prefix is."""
    found = attributes.get("epub:type")
    if found is None:
        found = next((value for name, value in attributes.items() if name.endswith(":type")), "")
    return found.lower()
