"""A stranger's zip file, read within bounds: no more of it than a book has, and never all of a part at once.

What it lists is counted before the standard library reads the list: 100,000 members cost that 54 MB (measured
2026-11). Nothing is ever unpacked to the card, so a path cannot lead anywhere.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO
from unicodedata import normalize
from urllib.parse import unquote

from .unreadable import (
    DAMAGED,
    GROWS,
    KINDLE,
    LOCKED,
    MANY_PARTS,
    OTHER,
    PDF,
    Unreadable,
)

MOST_MEMBERS = 10_000
"""The longest books of one file for each page have 3,000."""

MOST_DIRECTORY = 4_000_000
"""Bytes of the list of members; with the longest names of real books, 150 bytes each."""

MOST_UNPACKED = 100_000_000
"""Bytes of all parts that are read. A long novel has 5 million, markup included."""

MOST_RATIO = 200
"""How many times its packed size a part may have. Text has 3 to 10, and deflate reaches 1,032."""

_SHORT = 1_000_000
"""Bytes. The ratio of a part that has no more does not matter."""

_PIECE = 16 * 1024

_END, _END_64, _LOCATOR_64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_END_SIZE, _END_64_SIZE, _ENTRY_SIZE = 22, 56 + 20, 46
_MOST_COMMENT = 0xFFFF
"""The zip format, APPNOTE 6.3.10, 4.3."""

_ENCRYPTED, _UTF_8 = 0x1, 0x800  # a member's flags; without the latter, zipfile takes its name for code page 437
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What an EPUB may use (OCF 3.3, 4.2.2). Other methods let the file choose the memory."""

_WRONG = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
    struct.error,
)
"""What zipfile raises for damaged files."""


class Missing(Exception):
    """A part that is not there, or not whole. The others may be."""


class Archive:
    """The members of a zip file. Raises Unreadable if the file is not a zip or exceeds a bound."""

    def __init__(self, path: Path) -> None:
        self._left = MOST_UNPACKED
        self._folded: dict[str, str] | None = None
        self._file = path.open("rb")
        try:
            _check_format(self._file)
            _check_directory(self._file)
            try:
                self._zip = zipfile.ZipFile(self._file)
            except _WRONG as error:
                raise Unreadable(DAMAGED, repr(error)) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    def names(self) -> list[str]:
        """The members' names, in the order of the file."""
        return self._zip.namelist()

    def find(self, path: str) -> str | None:
        """The name of the member with this path, or with one that differs only in case, in backslashes, in the
        form of its accents, in percent signs or in its encoding; None if there is none.
        """
        if path in self._zip.NameToInfo:
            return path
        if self._folded is None:
            self._folded = {}
            for info in self._zip.infolist():
                self._folded.setdefault(_folded(info.filename), info.filename)
                if not info.flag_bits & _UTF_8 and not info.filename.isascii():
                    with suppress(UnicodeError):  # many programs write UTF-8 and do not say so
                        self._folded.setdefault(_folded(info.filename.encode("cp437").decode()), info.filename)
        return self._folded.get(_folded(path))

    def pieces(self, name: str, most: int) -> Iterator[bytes]:
        """The content of a member, in pieces. Raises Missing after what could be read, if it is not whole or has
        more than `most` bytes, and Unreadable if it is encrypted or exceeds a bound of the file.
        """
        try:
            info = self._zip.getinfo(name)
            if info.flag_bits & _ENCRYPTED:
                raise Unreadable(LOCKED, f"encrypted: {name[:80]!r}")
            if info.compress_type not in _METHODS:
                raise Missing(f"compressed in a strange way: {name!r}")
            size = checksum = 0
            with self._zip.open(_unchecked(info)) as member:
                while piece := member.read(_PIECE):
                    size += len(piece)
                    self._left -= len(piece)
                    whole = max(size, info.file_size)
                    if whole > _SHORT and whole > MOST_RATIO * info.compress_size:
                        raise Unreadable(GROWS, f"{whole} bytes of {info.compress_size}: {name[:80]!r}")
                    if self._left < 0:
                        raise Unreadable(GROWS, f"more than {MOST_UNPACKED} bytes in all: {name[:80]!r}")
                    if size > most:
                        raise Missing(f"more than {most} bytes: {name[:80]!r}")
                    checksum = zlib.crc32(piece, checksum)
                    yield piece
            if checksum != info.CRC:
                raise Missing(f"changed: {name[:80]!r}")
        except _WRONG as error:
            raise Missing(repr(error)) from error


def _unchecked(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """So that zipfile does not hold back the end of a member whose checksum is wrong."""
    unchecked = copy(info)
    del unchecked.CRC
    return unchecked


def leaves(path: str) -> bool:
    """Whether a path leads out of the archive."""
    depth = 0
    for part in PurePosixPath(path.replace("\\", "/")).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _folded(path: str) -> str:
    return normalize("NFC", unquote(path).replace("\\", "/")).lstrip("./").casefold()


def _check_format(file: BinaryIO) -> None:
    """Raise Unreadable for PDF and Kindle files, and for the voucher that Adobe's shops sell in place of a book."""
    beginning = file.read(1024)
    if b"%PDF-" in beginning:
        raise Unreadable(PDF)
    palm = beginning[60:68]
    if palm in (b"BOOKMOBI", b"TEXtREAd") or beginning.startswith((b"TPZ", b"CONT", b"\xeaDRMION")):
        raise Unreadable(KINDLE)
    if b"fulfillmentToken" in beginning:
        raise Unreadable(LOCKED, "acsm")


def _check_directory(file: BinaryIO) -> None:
    """Count the members that the central directory lists, where zipfile will look for it. Raises Unreadable."""
    size = file.seek(0, 2)
    start = max(0, size - _END_SIZE - _MOST_COMMENT)
    file.seek(start)
    tail = file.read()
    at = len(tail) - _END_SIZE
    if at < 0 or not (tail.startswith(_END, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        file.seek(0)
        raise Unreadable(DAMAGED if file.read(4) == b"PK\3\4" else OTHER, "no end of a zip file")
    end = start + at
    (directory,) = struct.unpack_from("<L", tail, at + 12)
    if end >= _END_64_SIZE:
        file.seek(end - _END_64_SIZE)
        record = file.read(_END_64_SIZE)
        if record.startswith(_END_64) and record.startswith(_LOCATOR_64, 56):
            (directory,) = struct.unpack_from("<Q", record, 40)
            end -= _END_64_SIZE
    if directory > MOST_DIRECTORY:
        raise Unreadable(MANY_PARTS.having(count=MOST_MEMBERS), f"a directory of {directory} bytes")
    if directory > end:
        raise Unreadable(DAMAGED, "the directory is not whole")
    file.seek(end - directory)
    entries = file.read(directory)
    at = members = 0
    while at + _ENTRY_SIZE <= len(entries):
        members += 1
        at += _ENTRY_SIZE + sum(struct.unpack_from("<3H", entries, at + 28))
    if members > MOST_MEMBERS:
        raise Unreadable(MANY_PARTS.having(count=MOST_MEMBERS), f"{members} members")
    file.seek(0)
