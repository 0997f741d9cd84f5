"""The markup of a stranger's document, XML or HTML, right or wrong, as elements and text. Pure.

The same reader serves both, so that one wrong sign in a long chapter does not change how the rest is read. It takes
text in any pieces, never fails, and costs time in proportion to their length; it holds 64 KB at most. The standard
library's HTML parser does none of these. It holds what is not closed, and looks through all of it again with each
piece; it raises errors for some declarations; and what it finds differs from one release of Python to the next,
while positions in a book must stay.

Entities are those of HTML, and those that a document declares as a few characters. One that is declared by others,
or is long, is refused: it is there to grow. One that stands for another file is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import unescape
from typing import Protocol

from .unreadable import GROWS, Unreadable

MOST_HELD = 64 * 1024
"""Characters of a tag or a document type. What is longer is no tag, or one with a picture in it: it is left out."""

MOST_STEPS = 3_000_000
"""Tags, texts between them, and entities of a book: what costs time, some microseconds each. A novel has 20,000."""

_MOST_ENTITY = 40  # characters of a reference, as &name; or &#number;
_MOST_IN_ENTITY = 1000  # characters that it stands for
_MOST_ENTITIES = 1000

_TAG = re.compile(r"<(/?)([^\s/>]++)((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)>")
_NEAR_TAG = re.compile(r"<(/?)([^\s/><]++)((?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+)>")
_LOOSE_TAG = re.compile(r"<(/?)([^\s/>]++)([^>]*+)>")  # a quotation mark in it is not closed
_TAG_START = re.compile(r"</?[^\W\d]")
_ATTRIBUTE = re.compile(r"([^\s=/\"'>]++)(?:\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++))?")
_COMMENT, _CDATA, _DOCTYPE = "<!--", "<![cdata[", "<!doctype"
_WHOLE_DOCTYPE = re.compile(
    r"<!doctype(?:[^>\[\"']++|\"[^\"]*+\"|'[^']*+')*+"
    r"(?:\[((?:[^\]\"'<]++|\"[^\"]*+\"|'[^']*+'|<!--(?:[^-]++|-(?!->))*+-->|<(?!!--))*+)\]\s*+)?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    r"<!ENTITY\s++(?:%\s++)?+([^\s\"'>]++)\s++(?:(SYSTEM|PUBLIC)\b|\"([^\"]*+)\"|'([^']*+)')", re.IGNORECASE
)
_NESTED = re.compile(r"[&%](?!(?:amp|lt|gt|quot|apos);)[^\s;#&%]++;")
_REFERENCE = re.compile(r"&([^\s;#&]{1,40});")
_END_OF_RAW = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
"""Elements whose content is no markup."""

_WAIT = -1


class Target(Protocol):
    """What takes the elements and the text of a document. Names are in lower case; that of an element has no
    prefix, that of an attribute the one it is written with.
    """

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None:
        """An element begins. `is_empty`: it is written as `<name/>`, and no `end` follows."""

    def end(self, name: str) -> None:
        """A tag that ends an element, which need not have begun."""

    def text(self, text: str) -> None:
        """Some text, not always all of that between two tags."""


class Markup:
    """Reads the documents of one book, or one other file."""

    def __init__(self) -> None:
        self._steps = MOST_STEPS
        self._begin(_Nobody())

    def read(self, texts: Iterable[str], target: Target) -> None:
        """Read a document, whose text comes in any pieces. Raises Unreadable for entities that would grow, and for
        markup without end. If the pieces break off with an error, all that has come is read but for the last tag.
        """
        self._begin(target)
        for text in texts:
            self._read(self._rest + text, is_last=False)
        self._read(self._rest, is_last=True)

    def _begin(self, target: Target) -> None:
        self._target = target
        self._rest = ""
        self._until = ""  # the end of the comment, CDATA section or long tag that is being read
        self._is_text = False  # whether it is text
        self._raw: re.Pattern[str] | None = None  # the end of the raw element that is being read
        self._entities: dict[str, str] = {}
        self._is_beginning = True  # a document type may come: only once, for it is looked through as a whole
        self._open_until = 0  # up to here in the text, a quotation mark of an earlier tag stays open

    def _read(self, text: str, is_last: bool) -> None:
        at = 0
        while at < len(text):
            self._spend(1)
            if self._raw:
                end = self._skip_raw(text, at, self._raw)
            elif self._until:
                end = self._skip(text, at, is_last)
            elif text[at] == "<":
                end = self._read_markup(text, at, is_last)
            else:
                end = self._read_text(text, at, is_last)
            if end == _WAIT:
                break
            at = end
        self._rest = text[at:]
        self._open_until -= at

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise Unreadable(GROWS, f"more than {MOST_STEPS} tags and entities")

    def _skip_raw(self, text: str, at: int, end: re.Pattern[str]) -> int:
        found = end.search(text, at)
        if found:
            self._raw = None
            return found.start()
        stop = len(text) - len(end.pattern) + 1
        return stop if stop > at else _WAIT

    def _skip(self, text: str, at: int, is_last: bool) -> int:
        found = text.find(self._until, at)
        if found >= 0:
            stop, end = found, found + len(self._until)
            self._until = ""
        else:
            stop = end = len(text) if is_last else len(text) - len(self._until) + 1
        if self._is_text and stop > at:
            self._target.text(text[at:stop])
        self._is_text = self._is_text and found < 0
        return end if end > at else _WAIT

    def _read_text(self, text: str, at: int, is_last: bool) -> int:
        end = text.find("<", at)
        if end < 0:
            end = len(text)
            if not is_last:
                ampersand = text.rfind("&", max(at, end - _MOST_ENTITY))
                if ampersand >= 0 and ";" not in text[ampersand:]:
                    end = ampersand
        if end == at:
            return _WAIT
        self._target.text(self._unescaped(text[at:end]))
        return end

    def _read_markup(self, text: str, at: int, is_last: bool) -> int:
        sign = text[at + 1 : at + 2]
        is_short = len(text) - at < len(_CDATA)
        if is_short and not is_last and (sign in ("", "!") or ">" not in text[at:]):
            return _WAIT
        if sign == "!":
            return self._read_declaration(text, at, is_last)
        if sign == "?":
            self._until = ">"
            return at + 2
        if not _TAG_START.match(text, at):
            if sign == "/":
                self._until = ">"
            else:
                self._target.text("<")
            return at + 1
        limit = at + MOST_HELD
        is_near = at < self._open_until
        tag = (_NEAR_TAG if is_near else _TAG).match(text, at, limit)
        if not tag:
            if not is_last and len(text) < limit:
                return _WAIT
            if not is_near:  # the tags that follow would look as far in vain: they do not look beyond a "<"
                self._open_until = limit
            tag = _LOOSE_TAG.match(text, at, limit)
            if not tag:
                self._until = ">"
                return at + 1
        self._read_tag(tag)
        return tag.end()

    def _read_declaration(self, text: str, at: int, is_last: bool) -> int:
        beginning = text[at : at + len(_CDATA)].lower()
        if beginning.startswith(_COMMENT):
            self._until = "-->"
            return at + len(_COMMENT)
        if beginning == _CDATA:
            self._until = "]]>"
            self._is_text = True
            return at + len(_CDATA)
        if beginning == _DOCTYPE and self._is_beginning:
            limit = at + MOST_HELD
            doctype = _WHOLE_DOCTYPE.match(text, at, limit)
            if doctype:
                self._is_beginning = False
                self._entities = _declared(doctype[1] or "")
                return doctype.end()
            if not is_last and len(text) < limit:
                return _WAIT
        self._is_beginning = False
        self._until = ">"
        return at + 2

    def _read_tag(self, tag: re.Match[str]) -> None:
        self._is_beginning = False
        name = tag[2].lower().rpartition(":")[2]
        if tag[1]:
            self._target.end(name)
            return
        inside = tag[3]
        is_empty = inside.endswith("/")
        attributes: dict[str, str] = {}
        if inside and not inside.isspace():
            for key, written in _ATTRIBUTE.findall(inside):
                value = written[1:-1] if written[:1] in ("'", '"') else written
                attributes.setdefault(key.lower(), self._unescaped(value))
        self._target.start(name, attributes, is_empty)
        if not is_empty:
            self._raw = _END_OF_RAW.get(name)

    def _unescaped(self, text: str) -> str:
        if "&" not in text:
            return text
        self._spend(text.count("&"))
        if self._entities:
            text = _REFERENCE.sub(lambda found: self._entities.get(found[1], found[0]), text)
        try:
            return unescape(text)
        except ValueError:  # the number of a character with thousands of digits
            return text


class _Nobody:
    """The target before the first document."""

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


def _declared(subset: str) -> dict[str, str]:
    """The entities that a document type declares. Raises Unreadable."""
    entities: dict[str, str] = {}
    for name, place, double, single in _ENTITY.findall(subset):
        value = "" if place else double or single
        if len(value) > _MOST_IN_ENTITY or len(entities) >= _MOST_ENTITIES or _NESTED.search(value):
            raise Unreadable(GROWS, f"entity {name[:40]!r}")
        entities.setdefault(name, value)
    return entities
