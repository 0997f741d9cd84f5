"""The reader of SQLite's format finds what SQLite finds in a good file, and comes to an end with any other."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindle_appliance.storage.btrees import Log, Pages, Record, has_readable_head, orphans, walk
from kindle_appliance.storage.damage import decode

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=40),
    st.builds(lambda text, times: text * times, st.text("aé海😀", min_size=1, max_size=5), st.integers(1, 9000)),
)
ROWS = st.lists(st.tuples(st.integers(-(2**40), 2**40), VALUES, VALUES), max_size=60, unique_by=lambda row: row[0])


def make(path: Path, rows: Sequence[tuple[object, ...]], page_size: int, *, in_log: bool) -> tuple[bytes, bytes]:
    """A file with two tables of the same rows, the second one without rowids, and its log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE keyed (id INTEGER PRIMARY KEY, one, other)")
        connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, one, other) WITHOUT ROWID")
        connection.execute(f"PRAGMA wal_autocheckpoint={0 if in_log else 1}")
        connection.execute("BEGIN")
        for table in ("keyed", "bare"):
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM keyed WHERE id % 5 = 0")
        connection.execute("COMMIT")
        log = path.with_name(f"{path.name}-wal")
        return path.read_bytes(), log.read_bytes()


@given(ROWS, st.sampled_from([512, 1024, 4096, 65536]), st.booleans())
@settings(max_examples=30)
def test_a_good_file_has_the_rows_that_sqlite_finds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, object, object]], page_size: int, in_log: bool
) -> None:
    path = tmp_path_factory.mktemp("good") / "good.sqlite"
    file, log = make(path, rows, page_size, in_log=in_log)
    pages = Pages(BytesIO(file), BytesIO(log))
    damage: list[int] = []
    schema = {record.values[1]: record.values[3] for record in walk(pages, 1, damage)}
    root, bare = schema["keyed"], schema["bare"]
    assert isinstance(root, int) and isinstance(bare, int)
    found = [(record.key, *record.values[1:]) for record in walk(pages, root, damage)]
    without = {record.values[0]: record.values for record in walk(pages, bare, damage, has_keys=False)}
    assert damage == []
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = decode
        assert connection.execute("SELECT * FROM keyed ORDER BY id").fetchall() == found, "the rows differ"
        assert {row[0]: row for row in connection.execute("SELECT * FROM bare")} == without, "the rows differ"
    if pages.has_header:
        assert pages.set_free_aside()
    assert list(orphans(pages)) == []


@given(st.data())
@settings(max_examples=50)
def test_no_bytes_make_it_raise_or_read_without_end(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = [(number, "x" * (number * 97 % 3000), number) for number in range(1, 80)]
    path = tmp_path_factory.mktemp("bad") / "bad.sqlite"
    content, log = map(bytearray, make(path, rows, 512, in_log=data.draw(st.booleans())))
    for part in (content, log):
        for place in data.draw(st.lists(st.integers(0, max(0, len(part) - 1)), max_size=60)):
            part[place : place + 4] = data.draw(st.sampled_from([b"\0\0\0\1", b"\xff" * 4, b"\5", b"\r", b"\x81"]))
    read = CountingFile(content)
    pages = Pages(read, BytesIO(log))
    read.reads = 0
    damage: list[int] = []
    total = sum(len(list(walk(pages, root, damage))) for root in range(1, pages.count + 1))
    pages.set_free_aside()
    total += sum(map(len, orphans(pages)))
    assert read.reads <= 5 * pages.count + 10  # each page is taken once, and looked at for free and lost ones
    assert total <= 512 * pages.count


@given(st.binary(max_size=3000), st.binary(max_size=3000))
@settings(max_examples=50)
def test_anything_at_all_is_read_to_its_end(content: bytes, log: bytes) -> None:
    pages = Pages(BytesIO(content), BytesIO(log))
    has_readable_head(BytesIO(log))
    assert all(isinstance(record, Record) for record in walk(pages, 1, []))
    pages.set_free_aside()
    list(orphans(pages))


@pytest.mark.parametrize("kind", [2, 5, 10, 13])
def test_a_file_that_ends_within_the_head_of_a_page_is_read(kind: int) -> None:
    for size in range(1, 20):
        assert Pages(BytesIO(bytes(512) + bytes([kind]) + bytes(size - 1)), None).count == 0


class BadCard(BytesIO):
    """A file of which the card does not give one page, as with a bad sector."""

    def __init__(self, content: bytes, start: int) -> None:
        super().__init__(content)
        self._start = start

    def read(self, size: int | None = -1, /) -> bytes:
        place, content = self.tell(), super().read(size)
        if place < self._start + 512 and place + len(content) > self._start:
            raise OSError(errno.EIO, "Input/output error")
        return content


def test_a_page_that_the_card_does_not_give_is_the_only_one_that_is_missed(tmp_path: Path) -> None:
    rows = [(number, "x" * 50, number) for number in range(1, 200)]
    content, _ = make(tmp_path / "some.sqlite", rows, 512, in_log=False)
    good = Pages(BytesIO(content), None)
    for start in range(0, len(content), 512):
        pages = Pages(BadCard(content, start), None)
        assert pages.size == 512 or start == 0
        if pages.size == 512:
            missed = [number for number in range(1, good.count + 1) if pages.read(number) != good.read(number)]
            assert missed == [start // 512 + 1]


class CountingFile(BytesIO):
    """A file that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


def test_of_a_log_only_whole_transactions_count_and_the_newest_frame_of_a_page(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE words (word)")
        for word in ("first", "second", "third"):
            connection.execute("INSERT INTO words VALUES (?)", (word,))
        content = path.read_bytes()
        log = path.with_name("log.sqlite-wal").read_bytes()

    def words(log: bytes) -> list[object]:
        return [record.values[0] for record in walk(Pages(BytesIO(content), BytesIO(log)), 2, [])]

    assert words(log) == ["first", "second", "third"]
    assert words(log[:-1]) == ["first", "second"]  # a power cut in the middle of the last frame
    frame = 24 + 4096
    broken = bytearray(log)
    broken[len(log) - frame - 100] ^= 1  # in the frame before the last one: that is not needed
    assert words(bytes(broken)) == ["first", "second", "third"]
    stale = log + log[32 : 32 + frame].replace(log[16:24], b"another.")  # of an earlier log, after the end
    assert words(stale) == ["first", "second", "third"]
    headless = bytes(32) + log[32:]
    assert not has_readable_head(BytesIO(headless)) and has_readable_head(BytesIO(log))
    assert words(headless)[-1] == "third"
    assert Log(None).offsets == Log(BytesIO(b"")).offsets == {}
