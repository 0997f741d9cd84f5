"""A power cut leaves a book on the shelf whole, or not at all; and a shelf that tells the truth.

The program is killed at the beginning of a call that would change a file, at many of them one after the other. The
kernel keeps what a killed program has written; a power cut may lose what was not synced. So each time the same is
tried with a shorter write-ahead log, too, and a trace shows what is on the card before what.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT, Soak
from fakes.shelf import MB, book_file, names_below, put, settle
from fakes.system_calls import calls, trace_writes

from kindle_appliance.books.shelf import Shelf
from kindle_appliance.books.shelved_book import ShelvedBook

pytestmark = [pytest.mark.slow, pytest.mark.untraced, pytest.mark.timeout(300)]

PARAGRAPHS = 1500
ADDED = book_file("Ulysses", paragraphs=PARAGRAPHS)
PRESENT = book_file("Emma", paragraphs=PARAGRAPHS)
POINTS = 16

BEGIN = """
import sys, time
from pathlib import Path
from kindle_appliance.books.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]), 10, 10 ** 8)
"""
DO = {
    "add": """
with shelf.incoming() as file:
    data = Path(sys.argv[2]).read_bytes()
    file.write(data[:10000])
    file.write(data[10000:])
    book, _ = file.shelve()
print(book.name, flush=True)
""",
    "remove": "shelf.remove(sys.argv[2], time.time()); print(flush=True)",
    "put back": "shelf.put_back(sys.argv[2]); print(flush=True)",
    "purge": """
shelf.remove(sys.argv[2], time.time() - 90000)
shelf.remove('', time.time())
while shelf._catalogue.tidy_some():
    pass
""",
}
CARELESS = """
from kindle_appliance.books import files
files.sync = lambda path: None
"""


def command(action: str, *values: object, before: str = "") -> Sequence[str]:
    return [sys.executable, "-B", "-c", BEGIN + before + DO[action], *map(str, values)]


def run(folder: Path, action: str, what: object, *, kill_at: int = 0, before: str = "") -> str:
    """Do something with the shelf in `folder`. Return the trace."""
    trace = folder.parent / "trace"
    program = command(action, folder, what, before=before)
    trace_writes(program, trace, kill_at=kill_at, PATH=os.environ["PATH"], PYTHONPATH=str(ROOT))
    return trace.read_text()


def is_whole(shelf: Shelf, book: ShelvedBook, data: bytes) -> bool:
    """Whether a book has its file, and all of its text."""
    file = shelf._files.find(book.name)
    (found,) = shelf._catalogue._database.read(
        "SELECT count(*), sum(length(text)) FROM passages WHERE id BETWEEN ? AND ?", (book.first, book.last)
    )
    return (
        file is not None
        and file.path.read_bytes() == data
        and found[1] == book.length
        and len(shelf.chapters(book)) == 2
        and len(shelf.find_words(book, f"Paragraph {PARAGRAPHS - 1} of {book.title}")) > 0
    )


def look(folder: Path) -> tuple[list[str], list[str]]:
    """Start the appliance's shelf again. The titles on the shelf, and of removed books, all of which are whole."""
    files = {"Ulysses": ADDED, "Emma": PRESENT}
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
        there, removed = shelf.list(10), [*shelf.removed(0)]
        assert all(is_whole(shelf, book, files[book.title]) for book in (*there, *removed))
        assert len(names_below(folder)) == len(there) + len(removed), "nothing else is left"
        (passages,) = shelf._catalogue._database.read("SELECT count(*) FROM passages")[0]
        assert passages == sum(book.last - book.first + 1 for book in (*there, *removed))
        with shelf._catalogue._database.write() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    return [book.title for book in there], [book.title for book in removed]


@pytest.fixture
def shelved(tmp_path: Path) -> Path:
    """A shelf with a book, as it is after the power was cut: with its log."""
    folder = tmp_path / "before" / "books"
    folder.parent.mkdir()
    with closing(Shelf(folder, 10, 100 * MB)) as shelf:
        put(shelf, PRESENT)
        (tmp_path / "copy").mkdir()
        shutil.copytree(folder, tmp_path / "copy" / "books")
    (tmp_path / "Ulysses.epub").write_bytes(ADDED)
    return tmp_path / "copy" / "books"


@pytest.mark.parametrize("action", DO)
def test_a_kill_at_any_moment_leaves_each_book_whole_or_not_at_all(
    tmp_path: Path, shelved: Path, soak: Soak, action: str
) -> None:
    with closing(Shelf(shelved, 10, 100 * MB)) as shelf:
        (present,) = shelf.list(1)
        if action == "put back":
            shelf.remove(present.name, time.time())
    what = tmp_path / "Ulysses.epub" if action == "add" else present.name
    folder = tmp_path / "whole" / "books"
    shutil.copytree(shelved, folder)
    count = len(run(folder, action, what).splitlines())
    shelf_after, removed_after = look(folder)
    chance = random.Random(action)
    points = range(1, count + 1)
    outcomes = set()
    for point in points if soak.is_full else sorted({1, count, *chance.sample(points, POINTS)}):
        killed = tmp_path / f"killed-{point}" / "books"
        shutil.copytree(shelved, killed)
        run(killed, action, what, kill_at=point)
        cut = tmp_path / f"cut-{point}" / "books"
        shutil.copytree(killed, cut)
        log = cut / "books.sqlite-wal"
        if log.exists() and action != "purge":  # whose log is folded into the file meanwhile
            os.truncate(log, chance.randrange(log.stat().st_size + 1))
        for each in (killed, cut):
            there, removed = look(each)
            outcomes.add((*there, "-", *removed))
            assert "Emma" in (*there, *removed) or action == "purge"
            shutil.rmtree(each.parent)
    before = {"put back": ("-", "Emma")}.get(action, ("Emma", "-"))
    after = (*shelf_after, "-", *removed_after)
    assert outcomes <= {before, after}
    assert action == "purge" or outcomes == {before, after}
    soak.tell(f"{action} a book: killed at {len(points)} calls that change a file, or at some of them")


def check_order(trace: str, folder: Path) -> None:
    """Assert that a book is on the card before it is told of, each step before the next."""
    found = list(calls(trace))
    told = next(number for number, call in enumerate(found) if call.text.startswith("write(1<"))
    found = found[: told + 1]  # at its end, the program folds the log into the file
    place = re.escape(str(folder))

    def last(pattern: str) -> tuple[int, int]:
        fitting = [call for call in found if re.match(pattern, call.text)]
        assert fitting, f"there is no {pattern}"
        return fitting[-1].began, fitting[-1].returned

    steps = {
        "the file is written": last(rf"write\(\d+<{place}/incoming/"),
        "it is synced": last(rf"fsync\(\d+<{place}/incoming/\w+>"),
        "it gets its name": last(rf'rename\("{place}/incoming/\w+", "{place}/\w+\.epub"'),
        "the name is synced": last(rf"fsync\(\d+<{place}>"),
        "the book is shown": last(rf"pwrite64\(\d+<{place}/books\.sqlite-wal>"),
        "that is synced": last(rf"fdatasync\(\d+<{place}/books\.sqlite-wal>"),
        "it is told": last(r'write\(1<.*"[0-9a-f]{64}\\n'),
    }
    for first, second in pairwise(steps):
        assert steps[first][1] < steps[second][0], f"{first} before {second}"


def test_a_book_is_on_the_card_before_it_is_shown(tmp_path: Path, shelved: Path) -> None:
    check_order(run(shelved, "add", tmp_path / "Ulysses.epub"), shelved)


def test_the_check_of_the_order_fails_where_the_file_is_not_synced(tmp_path: Path, shelved: Path) -> None:
    trace = run(shelved, "add", tmp_path / "Ulysses.epub", before=CARELESS)
    with pytest.raises(AssertionError, match="there is no fsync"):
        check_order(trace, shelved)
