"""A small XML file of a book, such as its package document: as XML, or as what can be read of it.

defusedxml reads what is well-formed, without entities and external references. What it refuses is read again like a
document, which tells malformed XML from an attack (`Markup`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from .archive import Missing
from .encoding import decoded
from .markup import Markup, Target

_MOST_DEPTH = 200
_MOST_ELEMENTS = 100_000
"""The XML parser holds open elements, with 150 bytes each, and all names. Larger files are not read by it."""

_Found = TypeVar("_Found", bound=Target)


def read_xml(read: Callable[[], Iterable[bytes]], make: Callable[[], _Found]) -> _Found:
    """What the target that `make` returns finds in the file, whose pieces `read` returns. Names of elements and
    attributes have no prefixes. Raises Unreadable for an attack, and Missing if the file breaks off.
    """
    from defusedxml import DefusedXmlException  # here: an appliance that gets no books needs no parser
    from defusedxml.ElementTree import ParseError, XMLParser

    target = make()
    missing = None
    try:
        parser = XMLParser(target=_Bare(target, _MOST_ELEMENTS))
        try:
            for piece in read():
                parser.feed(piece)
        except Missing as error:
            missing = error  # all may be there, and only the checksum wrong
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # the last ones: of an unknown encoding
        if missing:
            raise missing from None
        target = make()
        Markup().read(decoded(read()), _Bare(target))
    return target


class _Bare:
    """Takes what either reader finds, and hands it on with bare names, in lower case. Raises ValueError beyond
    `most` elements, if that is given.
    """

    def __init__(self, target: Target, most: int = 0) -> None:
        self._target = target
        self._most = most
        self._count = self._depth = 0

    def start(self, name: str, attributes: Mapping[str, str], is_empty: bool = False) -> None:
        self._count += 1
        self._depth += 1
        if self._most and (self._count > self._most or self._depth > _MOST_DEPTH):
            raise ValueError("too many elements")
        self._target.start(_bare(name), {_bare(key): value for key, value in attributes.items()}, is_empty=False)
        if is_empty:
            self.end(name)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._target.end(_bare(name))

    def text(self, text: str) -> None:
        self._target.text(text)

    data = text  # as the XML parser calls it


def _bare(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2].lower()
