"""Bytes of a document to text. Pure.

What is not UTF-8 says so at its beginning: by a byte order mark, an XML declaration, or a `meta` element. Some
documents say one thing and are another, as their first piece that is not ASCII shows: Windows-1252 where UTF-8 is
declared, or UTF-8 where an encoding of one byte for each character is.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

_UTF_8 = "utf-8"
_WESTERN = "cp1252"

_MARKS = (
    (codecs.BOM_UTF8, _UTF_8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""What a document begins with, with and without a mark (XML 1.0, appendix F)."""

_DECLARED = re.compile(
    rb"(?:<\?xml[^>]{0,200}?encoding|<meta[^>]{0,200}?charset)\s{0,9}=\s{0,9}[\"']?([\w.:-]{2,40})", re.IGNORECASE
)
_WITHIN = 1024
"""Bytes in which a document says what it is (HTML, 13.2.3.2)."""

_NAMES = (
    "utf-8 cp1252 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-10 iso8859-13"
    " iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 gb18030 big5"
    " big5hkscs cp932 euc_jp euc_kr cp949 koi8-r koi8-u mac-roman tis-620 cp874"
)
_KNOWN = frozenset(_NAMES.split())
"""Names that Python's codecs have. It has others that are no encodings of text."""

_OF_ONE_BYTE = _KNOWN - set(["utf-8", "gb18030", "big5", "big5hkscs", "cp932", "euc_jp", "euc_kr", "cp949"])
_ASCII_FIRST = _OF_ONE_BYTE | {_UTF_8}
"""Declared, they may be wrong. All have ASCII, so the first other sign decides."""

_ASCII = re.compile(rb"[\x00-\x7f]*+")
_LONGEST = 4
"""Bytes of a character in UTF-8: with fewer, it is not known what stands at the end of a piece."""

_MEANT = {"iso8859-1": _WESTERN, "ascii": _WESTERN, "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}
"""What browsers read under these names (Encoding Standard, 4.2)."""


def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """The text of a document in pieces. What cannot be decoded becomes U+FFFD."""
    pieces = iter(pieces)
    held = next(pieces, b"")
    told = _told_by(held)
    while told in _ASCII_FIRST and len(held) - (known := _ASCII.match(held).end()) < _LONGEST:  # type: ignore[union-attr]
        yield held[:known].decode("ascii")
        piece = next(pieces, b"")
        held = held[known:] + piece
        if not piece:
            break
    decoder = codecs.getincrementaldecoder(_meant_by(told, held))("replace")
    for piece in chain((held,), pieces):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _told_by(beginning: bytes) -> str:
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    declared = _DECLARED.search(beginning, 0, _WITHIN)
    return _name_of(declared[1].decode("ascii", "replace")) if declared else _UTF_8


def _meant_by(told: str, sample: bytes) -> str:
    """The encoding of `sample`, which has the first signs that are not ASCII."""
    if told not in _ASCII_FIRST or sample.isascii():
        return told
    text = codecs.getincrementaldecoder(_UTF_8)("replace").decode(sample)  # it may end within a character
    strange = text.count("\ufffd")
    if told != _UTF_8:
        return told if strange else _UTF_8
    return _WESTERN if strange > sum(not character.isascii() for character in text) - strange else _UTF_8


def _name_of(declared: str) -> str:
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        return _UTF_8
    name = _MEANT.get(name, name)
    return name if name in _KNOWN else _UTF_8
