"""Reads the rows of a SQLite file without SQLite, as far as they can be read: for a file that SQLite refuses.

Bytes in, rows out; no input raises, and none makes it read without bounds: each page is used once. What was deleted
does not come back: only cells that a page still points to are read, and no free pages. The format: "Database File
Format", https://www.sqlite.org/fileformat2.html (read 2026-11); section numbers below are its own.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

from .damage import Damaged, decode

MAGIC = b"SQLite format 3\0"
_USUAL_PAGE = 4096
_PAGE_SIZES = (_USUAL_PAGE, 1024, 512, 2048, 8192, 16384, 32768, 65536)
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_MOST_PAYLOAD = 16 * 1024 * 1024
"""Bytes of a row; the longest answer has some 4 MB."""
_MOST_COLUMNS = 200
_MOST_GUESSED = 1000  # pages that are looked at for their size
_FRAME_HEADER, _LOG_HEADER = 24, 32
_LOG_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
_FREE_PAGE = 2  # in a pointer map


class Lost:
    """Stands for a value that cannot be read."""


LOST: Final = Lost()

Value = None | int | float | str | bytes | Lost


class Record(NamedTuple):
    """A row. `key`: its rowid (None in a table that has none); `values`: one for each column that was stored."""

    key: int | None
    values: tuple[Value, ...]


class Log:
    """The committed pages of a write-ahead log (4.1): the offset of the newest frame of each, and `count`, the
    pages of the whole file after the last commit (0: unknown).

    A transaction counts when each of its frames has its checksum (4.2). After a broken one the next ones still do:
    each checksum begins with the one that stands in the frame before.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self.offsets: dict[int, int] = {}
        self.count = self.page_size = 0
        head = _read(file, _LOG_HEADER) if file else b""
        if file is None or len(head) < _LOG_HEADER:
            return
        magic, _, size, _, *salts, first, second = struct.unpack(">8I", head)
        order, seeds = _LOG_MAGICS.get(magic, "<"), (first, second)
        if magic not in _LOG_MAGICS or _checksum(head[:24], order, (0, 0)) != seeds:
            size, salts = _USUAL_PAGE, []  # as in the first frame
        elif size not in _PAGE_SIZES:
            return
        transaction: dict[int, int] = {}
        is_whole = True
        for offset in range(_LOG_HEADER, 1 << 40, _FRAME_HEADER + size):
            frame = _read(file, _FRAME_HEADER + size)
            if len(frame) < _FRAME_HEADER + size:
                return
            number, count, *theirs, first, second = struct.unpack(">6I", frame[:_FRAME_HEADER])
            salts = salts or theirs
            summed = _checksum(frame[_FRAME_HEADER:], order, _checksum(frame[:8], order, seeds))
            is_good = theirs == salts and summed == (first, second)
            is_whole &= is_good
            seeds = first, second
            transaction[number] = offset + _FRAME_HEADER
            if count and theirs == salts:
                if is_whole:
                    self.page_size = size
                    self.offsets |= transaction
                    self.count = count
                transaction, is_whole = {}, True


def has_readable_head(log: BinaryIO) -> bool:
    """Whether a log is empty, or has a good header: without that, SQLite leaves the whole log out."""
    head = log.read(_LOG_HEADER)
    if not head:
        return True
    order = _LOG_MAGICS.get(int.from_bytes(head[:4], "big"))
    return (
        order is not None
        and len(head) == _LOG_HEADER
        and _checksum(head[:24], order, (0, 0)) == struct.unpack(">2I", head[24:])
    )


class Pages:
    """The pages of a file as they were committed last, with those of its log. Numbers begin with 1."""

    def __init__(self, file: BinaryIO, log: BinaryIO | None) -> None:
        self._file, self._log_file = file, log
        self._log = Log(log)
        self._bytes = file.seek(0, 2)
        self.size = self._find_size()
        most = max(self._bytes // self.size, *self._log.offsets, 0)
        self.count = min(self._log.count or most, most)
        self.has_header = self.read(1).startswith(MAGIC)
        self.is_used = bytearray(self.count + 1)  # by a tree or a row, or free
        self.is_used[0] = 1

    def read(self, number: int) -> bytes:
        """A page; b"" if it is not there."""
        if not 0 < number <= self.count:
            return b""
        source, offset = self._file, (number - 1) * self.size
        if self._log_file and self._log.page_size == self.size and number in self._log.offsets:
            source, offset = self._log_file, self._log.offsets[number]
        source.seek(offset)
        page = _read(source, self.size)
        return page if len(page) == self.size else b""

    def take(self, number: int) -> bytes:
        """A page that nobody has had so far; b"" for any other."""
        if not 0 < number <= self.count or self.is_used[number]:
            return b""
        self.is_used[number] = 1
        return self.read(number)

    def set_free_aside(self) -> bool:
        """Mark the pages that are free as used. Whether all of those are known: where the list of them (1.5) is
        damaged, what looks like a part of it counts, and so do pointer maps (1.7).
        """
        first, wanted = struct.unpack(">2I", self.read(1)[32:40] if self.has_header else bytes(8))
        found = 0
        while first and (page := self.take(first)):
            following, count = struct.unpack(">2I", page[:8])
            leaves = struct.unpack_from(f">{min(count, self.size // 4 - 2)}I", page, 8)
            found += 1 + sum(self._mark(each) for each in leaves)
            first = following
        if self.has_header and found == wanted and not first:
            return True
        for number in range(2, self.count + 1):
            page = self.read(number)
            for each in (*_listed_as_free(page, self.count), *self._mapped_as_free(number, page)):
                self._mark(each)
        return False

    def _mark(self, number: int) -> bool:
        is_new = 0 < number <= self.count and not self.is_used[number]
        if is_new:
            self.is_used[number] = 1
        return is_new

    def _mapped_as_free(self, number: int, page: bytes) -> Iterator[int]:
        entries = self.size // 5
        if (number - 2) % (entries + 1) or not page or not 0 < page[0] <= 5:
            return
        known = min(entries, self.count - number)
        kinds = page[: known * 5 : 5]
        if all(0 < kind <= 5 for kind in kinds):
            self.is_used[number] = 1
            yield from (number + 1 + index for index, kind in enumerate(kinds) if kind == _FREE_PAGE)

    def _find_size(self) -> int:
        """The size of the pages: what the log or the header says, else what most of the pages look like."""
        self._file.seek(0)
        head = _read(self._file, 100)
        named = int.from_bytes(head[16:18], "big") if head.startswith(MAGIC) else 0
        named = self._log.page_size or (65536 if named == 1 else named)
        if named in _PAGE_SIZES:
            return named
        scores = Counter({_USUAL_PAGE: 1})
        for size in _PAGE_SIZES:
            for offset in range(size, min(self._bytes, _MOST_GUESSED * size), size):
                self._file.seek(offset)
                scores[size] += is_sound(_read(self._file, size))  # a larger size finds each second one, or fewer
        return scores.most_common(1)[0][0]


def walk(pages: Pages, root: int, damage: list[int], *, has_keys: bool = True) -> Iterator[Record]:
    """The rows of the tree with this root. Each page of it that cannot be read is appended to `damage`, and each
    with a row that cannot. `has_keys`: whether it is a table with rowids.
    """
    waiting = [root]
    while waiting:
        number = waiting.pop()
        page = pages.take(number)
        cells = _Cells(page, 100 if number == 1 else 0)
        if cells.kind not in ((_TABLE_INTERIOR, _TABLE_LEAF) if has_keys else (_INDEX_INTERIOR, _INDEX_LEAF)):
            damage.append(number)
            continue
        if not (cells.are_sound and cells.are_all):
            damage.append(number)
            if not (cells.are_sound or cells.is_leaf):
                continue  # its children are found as orphans; a wrong one could be the page of another table
        if not cells.is_leaf:
            waiting += reversed([*(_number(page, start) for start in cells.starts), cells.right_child])
        if cells.kind != _TABLE_INTERIOR:
            for start in cells.starts:
                record = _record(pages, page, start, cells.kind)
                if record is None or any(isinstance(value, Lost | Damaged) for value in record.values):
                    damage.append(number)
                if record is not None:
                    yield record


def orphans(pages: Pages, only: Callable[[Record], bool] = lambda record: True) -> Iterator[list[Record]]:
    """The rows of each page of a table that no tree has led to, unless `only` is false for the first of them."""
    for number in range(2, pages.count + 1):
        if pages.is_used[number] or not is_sound(page := pages.read(number)) or page[0] != _TABLE_LEAF:
            continue
        starts = _Cells(page).starts
        first = _record(None, page, starts[0], _TABLE_LEAF) if starts else None
        if first is not None and only(first):
            pages.is_used[number] = 1
            found = [_record(pages, page, start, _TABLE_LEAF) for start in starts]
            yield [record for record in found if record is not None]


def is_sound(page: bytes) -> bool:
    """Whether a page looks like one of a tree in all that can be told from it alone."""
    return len(page) >= min(_PAGE_SIZES) and page[0] in (2, 5, 10, 13) and _Cells(page).are_sound


class _Cells:
    """The cells of a page of a tree (1.6)."""

    def __init__(self, page: bytes, head: int = 0) -> None:
        self.kind = page[head] if page else 0
        self.is_leaf = self.kind in (_INDEX_LEAF, _TABLE_LEAF)
        self.right_child = 0
        self.starts: list[int] = []
        self.are_sound = False
        if self.kind not in (_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF):
            return
        free, count, content, self._fragments = struct.unpack_from(">3HB", page, head + 1)
        first = head + (8 if self.is_leaf else 12)
        if not self.is_leaf:
            self.right_child = _number(page, head + 8)
        most = max(0, (len(page) - first) // 2)
        starts = struct.unpack_from(f">{min(count, most)}H", page, first)
        end = first + 2 * len(starts)
        self.starts = [start for start in dict.fromkeys(starts) if end <= start <= len(page) - 4]
        self.are_sound = (
            len(self.starts) == count
            and (content or 65536) <= min(starts, default=len(page))
            and (not free or end <= free < len(page))
            and (self.is_leaf or bool(self.right_child))
        )
        self._page, self._free, self._content = page, free, content or 65536

    @property
    def are_all(self) -> bool:
        """Whether the cells of a sound page and what it has as free fill the space from the first one on: otherwise
        a damaged number leaves some out, or each row.
        """
        filled, free, before = sum(map(self._size, self.starts)), self._free, 0
        while before < free <= len(self._page) - 4:
            filled += int.from_bytes(self._page[free + 2 : free + 4], "big")
            free, before = int.from_bytes(self._page[free : free + 2], "big"), free
        return bool(filled + self._fragments == len(self._page) - self._content)

    def _size(self, start: int) -> int:
        """The bytes of a cell in its page."""
        at = start if self.is_leaf else start + 4
        size = 0
        if self.kind != _TABLE_INTERIOR:
            size, at = _varint(self._page, at)
        if self.kind in (_TABLE_INTERIOR, _TABLE_LEAF):
            _, at = _varint(self._page, at)
        local = _local_size(size, len(self._page), self.kind)
        return max(4, at + local + (4 if size > local else 0) - start)


def _record(pages: Pages | None, page: bytes, start: int, kind: int) -> Record | None:
    """The row of a cell; None if it is none. Without `pages`, only what stands in this page."""
    if kind == _INDEX_INTERIOR:
        start += 4
    size, start = _varint(page, start)
    key = None
    if kind == _TABLE_LEAF:
        key, start = _varint(page, start)
    if not 0 < size <= _MOST_PAYLOAD:
        return None
    local = _local_size(size, len(page), kind)
    payload = page[start : start + local]
    if pages and size > local:
        pieces, missing, following = [payload], size - local, _number(page, start + local)
        while missing > 0 and (more := pages.take(following)):
            pieces.append(more[4 : 4 + missing])
            missing -= len(pieces[-1])
            following = _number(more, 0)
        payload = b"".join(pieces)
    values = tuple(islice(_values(payload), _MOST_COLUMNS))
    return Record(key, values) if values else None


def _values(payload: bytes) -> Iterator[Value]:
    """The columns of a record (2.1)."""
    head, at = _varint(payload, 0)
    if not 0 < head <= len(payload):
        return
    place = head
    while at < head:
        kind, at = _varint(payload, at)
        if kind < 0:
            return
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else max(0, (kind - 12) // 2)
        raw = payload[place : place + size]
        place += size
        if kind in (10, 11) or (len(raw) < size and (kind < 12 or not raw)):
            yield LOST
        elif kind >= 12:
            if kind % 2 == 0:
                yield raw if len(raw) == size else LOST
            else:
                yield decode(raw) if len(raw) == size else Damaged(decode(raw))
        elif kind == 7:
            yield float(struct.unpack(">d", raw)[0])
        elif kind:
            yield kind - 8 if kind > 7 else int.from_bytes(raw, "big", signed=True)
        else:
            yield None


def _local_size(size: int, usable: int, kind: int) -> int:
    """How much of a payload stands in its cell; the rest in a chain of pages."""
    most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    return local if local <= most else least


def _read(file: BinaryIO, size: int) -> bytes:
    """Some bytes; b"" where the card does not give them."""
    try:
        return file.read(size) or b""
    except OSError:
        return b""


def _listed_as_free(page: bytes, count: int) -> Iterable[int]:
    """What a page names as free, if it looks like a part of the list of free pages."""
    if len(page) < 8:
        return ()
    following, length = struct.unpack(">2I", page[:8])
    if not 0 < length <= len(page) // 4 - 2 or following > count:
        return ()
    named = struct.unpack_from(f">{length}I", page, 8)
    return named if len(set(named)) == length and all(1 < each <= count for each in named) else ()


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A number of variable length (1.6), signed, and where it ends."""
    value = 0
    for at in range(start, min(start + 8, len(data))):
        value = value << 7 | data[at] & 0x7F
        if data[at] < 0x80:
            return value, at + 1
    if start + 8 >= len(data):
        return 0, len(data)
    value = value << 8 | data[start + 8]
    return value - (1 << 64) if value >> 63 else value, start + 9


def _number(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 4], "big")


def _checksum(data: bytes, order: str, seeds: tuple[int, int]) -> tuple[int, int]:
    first, second = seeds
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
