"""The file in a form that a browser sends (multipart/form-data, RFC 7578), in the pieces in which it arrives.

Only the bytes of one field are handed on, and nothing else is kept. The name of the file is not looked at, beyond
whether there is one: it says nothing reliable about the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..errors import NOT_UNDERSTOOD, ReaderError
from ..sentences import Sentence
from ..storage.shelf_layout import MOST_BYTES

KIND = "multipart/form-data"

TOO_LARGE = Sentence("This file is too large. A book may have up to %(count)d MB.", count=MOST_BYTES // 1024**2)
"""So large a book may be, in whatever way it is sent."""

_MOST_PARTS, _MOST_HEADERS, _HEADER_BYTES = 8, 8, 4096  # of a browser's form: one part with two headers
_BOUNDARY = re.compile(r";\s*boundary=(?:\"([^\"]+)\"|([^\s\";,]+))", re.IGNORECASE | re.ASCII)
_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1

_NO_FILE = Sentence("No file was chosen. Please choose one first.")


def file_field(pieces: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """The bytes of the file in the field `name`, from those of the form; `kind`: its content type with parameters.

    Raises `ReaderError` if no file was chosen, or if this is not a whole form with one such file.
    """
    # Imported when it is needed, since most houses add books only now and then.
    from multipart import MultipartError, PushMultipartParser

    boundary = _BOUNDARY.search(kind)
    text = (boundary[1] or boundary[2]) if boundary else ""
    if not 0 < len(text) <= _BOUNDARY_BYTES:
        raise ReaderError(NOT_UNDERSTOOD)
    files, is_file, is_empty = 0, False, True
    try:
        with PushMultipartParser(
            text,
            max_header_size=_HEADER_BYTES,
            max_header_count=_MOST_HEADERS,
            max_segment_count=_MOST_PARTS,
            header_charset="latin-1",  # names in any encoding are names
        ) as parser:
            for piece in pieces:
                for event in parser.parse(piece):
                    if event is None:
                        is_file = False
                    elif isinstance(event, bytes | bytearray):
                        if is_file:
                            is_empty = False
                            yield bytes(event)
                    elif event.name == name and event.filename is not None:
                        is_file, files = True, files + 1
                        has_name = bool(event.filename)
    except MultipartError:
        raise ReaderError(NOT_UNDERSTOOD) from None
    if files != 1:
        raise ReaderError(NOT_UNDERSTOOD)
    if is_empty and not has_name:
        raise ReaderError(_NO_FILE)
