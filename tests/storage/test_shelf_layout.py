"""Names of books' files are written and read alike, and in one module."""

from __future__ import annotations

import re

from conftest import ROOT

from kindle_appliance.storage.shelf_layout import BOOK_FILE, REMOVED_FILE, book_file, removed_file

NAME = "0f" * 32


def test_the_name_of_a_file_tells_its_book_and_when_it_was_removed() -> None:
    for moment in (0.0, 1_780_000_000.9):
        match = REMOVED_FILE.fullmatch(removed_file(moment, NAME))
        assert match is not None
        assert match.groups() == (str(int(moment)), NAME)
    match = BOOK_FILE.fullmatch(book_file(NAME))
    assert match is not None
    assert match.groups() == (NAME,)


def test_no_other_file_has_such_a_name() -> None:
    others = ("notes", NAME.upper(), NAME[1:], f"{NAME}0", f"17-{NAME}", f"../{NAME}")
    assert not any(BOOK_FILE.fullmatch(book_file(each)) for each in others)
    assert not BOOK_FILE.fullmatch(f"{book_file(NAME)}\n")
    assert not REMOVED_FILE.fullmatch(book_file(NAME))


def test_the_layout_and_the_size_of_a_book_are_written_down_once() -> None:
    layout = re.compile(r"""["']incoming["']|\{64\}\)?\\\.epub|MOST_BYTES = 100 |MEGABYTES = 100\b""")
    paths = (ROOT / "kindle_appliance").rglob("*.py")
    found = [path.stem for path in paths if layout.search(path.read_text(encoding="utf-8"))]
    assert found == ["shelf_layout"]
