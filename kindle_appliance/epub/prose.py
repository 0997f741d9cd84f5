"""A document of a book as the lines that a reader sees. Pure, and fed bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .contents import MOST_ENTRIES, MOST_IN_LABEL, kind_of
from .passages import Passages
from .plain_text import line, seen

_BLOCK_NAMES = (
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre section summary"
    " table tbody tfoot thead tr ul"
    " text"  # SVG
    " doctitle docauthor level level1 level2 level3 level4 line linegroup list sidebar"  # DTBook
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
"""Elements that begin and end lines."""

_CELLS = frozenset(("td", "th"))
"""Elements with a space around them: a row of a table is a line. So has a piece of SVG text with its own place."""

_UNSEEN_NAMES = (
    "head title script style template"
    " rt rp rtc"  # how a word is read
    " audio video canvas iframe object select textarea datalist"  # what stands in their place, and forms
    " annotation annotation-xml"  # MathML
    " metadata desc"  # SVG
    " case"  # of epub:switch, whose `default` any reader can show
    " pagenum"  # DTBook
)
_UNSEEN = frozenset(_UNSEEN_NAMES.split())
"""Elements whose text is not seen."""

_NAMES = frozenset(("head", "title", "desc", "img"))
"""Elements with the names of pages and pictures."""

_EMPTY_NAMES = "area base br col embed hr img input link meta param source track wbr"
_EMPTY = frozenset(_EMPTY_NAMES.split())
"""Elements that HTML never ends (13.1.2)."""

_ENDED_BY: Mapping[str, Collection[str]] = {
    **{"rt": ("ruby", "rb"), "rp": ("ruby", "rb"), "rtc": ("ruby",)},
    **{"head": _BLOCKS, "title": _BLOCKS, "p": _BLOCKS - {"br"}},
}
"""HTML leaves out some end tags (13.1.2.4): other elements, which begin or end, do their work."""

_MATTER = frozenset(("frontmatter", "backmatter"))
_SECTIONS = frozenset(("body", "section", "article", "div"))
_TEXT_PROPER = frozenset(("bodymatter", "chapter", "part"))

_HEADINGS = ("h1", "h2", "h3")


@dataclass
class Findings:
    """What the documents of a book hold besides their text.

    `anchors`: the positions of wanted fragments of each document; `headings`: position, level from 0 and text;
    `matter`: documents that say that they stand before or behind the text proper; `is_right_to_left`: whether a
    document says so.
    """

    anchors: dict[tuple[str, str], int] = field(default_factory=dict)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    matter: set[str] = field(default_factory=set)
    is_right_to_left: bool = False


class Prose:
    """Takes the elements and the text of one document, and writes lines.

    Inline elements join, other elements and line breaks end lines. White space is one space. Headings, notes and
    tables are text; pictures, page numbers, readings of Han characters and what is hidden are not. In a book of
    pictures, there are only the names of pages and pictures to read: `with_names`.
    """

    def __init__(
        self,
        member: str,
        wanted: Collection[str],
        passages: Passages,
        findings: Findings,
        with_names: bool = False,
    ) -> None:
        self._blocks = _BLOCKS | _NAMES if with_names else _BLOCKS
        self._left_out = _UNSEEN - _NAMES if with_names else _UNSEEN
        self._member = member
        self._wanted = wanted
        self._passages = passages
        self._start = passages.length
        self._findings = findings
        self._is_open = False  # the line has text
        self._has_space = False  # and then a space
        self._unseen = ""  # the element that is left out
        self._depth = 0  # and how many of its name are open in it
        self._preformatted = 0
        self._waiting: dict[str, None] = {}  # anchors before the next text, in order
        self._heading: list[str] | None = None
        self._heading_start = 0

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        if attributes:
            self._look_at(name, attributes)
        if self._unseen and name in _ENDED_BY.get(self._unseen, ()):
            self._unseen = ""
        if self._unseen:
            self._depth += name == self._unseen and not is_empty
            return
        if name in self._blocks:
            self._end_line()
            if name == "img":
                self._write(attributes.get("alt", ""))
            if name in _HEADINGS and not is_empty:
                self._passages.end_passage()
                self._heading, self._heading_start = [], self._passages.length
            elif name == "pre" and not is_empty:
                self._preformatted += 1
        elif name in _CELLS or (name == "tspan" and "x" in attributes):
            self._has_space = True
        is_unseen = name in self._left_out or (attributes and _is_hidden(attributes))
        if is_unseen and not is_empty and name not in _EMPTY:
            self._unseen, self._depth = name, 1

    def end(self, name: str) -> None:
        if self._unseen:
            if name == self._unseen:
                self._depth -= 1
            if not self._depth or name in _ENDED_BY.get(self._unseen, ()):
                self._unseen = ""
            return
        if name in self._blocks:
            self._end_line()
            if name in _HEADINGS:
                self._end_heading(int(name[1]) - 1)
            elif name == "pre":
                self._preformatted = max(0, self._preformatted - 1)
        elif name in _CELLS:
            self._has_space = True

    def text(self, text: str) -> None:
        if self._unseen:
            return
        if not self._preformatted:
            self._write(text)
            return
        for index, piece in enumerate(text.split("\n")):
            if index:
                self._end_line()
            self._write(piece)

    def close(self) -> None:
        """The document ends, and with it the line and the passage."""
        self._end_line()
        self._passages.end_passage()
        self._place_anchors(self._passages.length)

    def _look_at(self, name: str, attributes: Mapping[str, str]) -> None:
        for key in ("id", "xml:id", "name") if name == "a" else ("id", "xml:id"):
            anchor = attributes.get(key)
            if anchor and anchor in self._wanted:
                self._waiting[anchor] = None
        if name in ("html", "body") and attributes.get("dir", "").lower() == "rtl":
            self._findings.is_right_to_left = True
        if name not in _SECTIONS:
            return
        kinds = kind_of(attributes).split()
        if not _TEXT_PROPER.isdisjoint(kinds):
            self._findings.matter.discard(self._member)  # a book in one document has all of it
        elif self._is_first() and not _MATTER.isdisjoint(kinds):
            self._findings.matter.add(self._member)

    def _is_first(self) -> bool:
        return self._passages.length == self._start

    def _write(self, text: str) -> None:
        text = seen(text)
        words = " ".join(text.split())
        if not words:
            self._has_space = self._has_space or bool(text)
            return
        if self._is_open and (self._has_space or text[0].isspace()):
            words = " " + words
        self._has_space = text[-1].isspace()
        self._is_open = True
        if self._waiting:
            self._place_anchors(self._passages.length + (words[0] == " "))
        if self._heading is not None and len(self._heading) < MOST_IN_LABEL:
            self._heading.append(words[:MOST_IN_LABEL])
        self._passages.write(words)

    def _end_line(self) -> None:
        if self._is_open:
            self._passages.end_line()
            if self._heading is not None:
                self._heading.append(" ")
        self._is_open = self._has_space = False

    def _end_heading(self, level: int) -> None:
        text = line("".join(self._heading or ()), MOST_IN_LABEL)
        if text and len(self._findings.headings) < MOST_ENTRIES:
            self._findings.headings.append((self._heading_start, level, text))
        self._heading = None

    def _place_anchors(self, position: int) -> None:
        for anchor in self._waiting:
            self._findings.anchors.setdefault((self._member, anchor), position)
        self._waiting.clear()


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    if "hidden" in attributes:
        return True
    return "pagebreak" in kind_of(attributes).split() or attributes.get("role") == "doc-pagebreak"
