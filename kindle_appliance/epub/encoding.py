"""Bytes of a document to text. Pure.

What is not UTF-8 says so at its beginning: by a byte order mark, an XML declaration, or a `meta` element. Some
documents say one thing and are another: what says that it is UTF-8, and is not, is Windows-1252.
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

_MEANT = {"iso8859-1": _WESTERN, "ascii": _WESTERN, "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}
"""What browsers read under these names (Encoding Standard, 4.2)."""


def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """The text of a document in pieces. What cannot be decoded becomes U+FFFD."""
    pieces = iter(pieces)
    first = next(pieces, b"")
    name = _encoding_of(first)
    decoder = codecs.getincrementaldecoder(name)("replace")
    for piece in chain((first,), pieces):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _encoding_of(beginning: bytes) -> str:
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    declared = _DECLARED.search(beginning, 0, _WITHIN)
    name = _name_of(declared[1].decode("ascii", "replace")) if declared else _UTF_8
    if name == _UTF_8:
        text = codecs.getincrementaldecoder(_UTF_8)("replace").decode(beginning)  # it may end within a character
        strange = text.count("\ufffd")
        if strange and strange > sum(not character.isascii() for character in text) - strange:
            return _WESTERN
    return name


def _name_of(declared: str) -> str:
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        return _UTF_8
    name = _MEANT.get(name, name)
    return name if name in _KNOWN else _UTF_8
