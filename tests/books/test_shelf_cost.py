"""What the shelf costs: the same with 500 books as with a few, and nothing while it is only read."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, Soak
from fakes.shelf import MB, book_file, put, settle
from fakes.system_calls import trace_writes
from ratios import assert_usual_ratio

from kindle_appliance.books.files import Found
from kindle_appliance.books.shelf import Shelf
from kindle_appliance.books.shelved_book import ShelvedBook
from kindle_appliance.epub.book import Book, Chapter, Passage

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]

PASSAGES = 60
MANY = 500
TIMES = 20


def fill(shelf: Shelf, count: int) -> ShelvedBook:
    """Put books on a shelf, past the files, which would take most of the time. Return one in the middle."""
    catalogue = shelf._catalogue
    for number in range(count):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        catalogue.begin(name, 1000)
        writer = catalogue.writer(name, lambda: None)
        position = 0
        for passage in range(PASSAGES):
            text = f"In book {number} it was passage {passage} of a stately and plump story. " * 6
            writer.take(Passage(position, text))
            position += len(text)
        writer.flush()
        chapters = [Chapter(position * each // 20, each, f"Chapter {each}") for each in range(20)]
        book = Book(f"Book {number}", f"Writer {number % 50}", "en", "ltr", position, chapters)
        catalogue.complete(name, book, Found(name, Path(name), 1000, 1_700_000_000.0 + number))
        catalogue.end(name)
    found = shelf.find(hashlib.sha256(str(count // 2).encode()).hexdigest())
    assert found
    return found


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shelf, Shelf]]:
    """A shelf with ten books, and one with 500."""
    folder = tmp_path_factory.mktemp("cost")
    with (
        closing(Shelf(folder / "few", 1000, 1000 * MB)) as few,
        closing(Shelf(folder / "many", 1000, 1000 * MB)) as many,
    ):
        fill(few, 10)
        fill(many, MANY)
        yield few, many


def took(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(TIMES):
        work()
    return time.perf_counter() - start


READING: dict[str, Callable[[Shelf, ShelvedBook], object]] = {
    "the first page": lambda shelf, book: (shelf.list(10), shelf.count(), shelf.removed(time.time())),
    "another page": lambda shelf, book: shelf.list(4, before=book.name),
    "a book": lambda shelf, book: shelf.find(book.name),
    "its chapters": lambda shelf, book: shelf.chapters(book),
    "its words": lambda shelf, book: shelf.find_words(book, "passage 31 of a stately and plump"),
}


@pytest.mark.parametrize("what", READING)
def test_reading_the_shelf_takes_as_long_with_500_books_as_with_ten(
    shelves: tuple[Shelf, Shelf], soak: Soak, what: str
) -> None:
    few, many = shelves
    read = READING[what]
    (book, *_), (other, *_) = few.list(5)[4:], many.list(5)[4:]
    assert read(many, other)
    ratio = assert_usual_ratio(
        1.3, lambda: (took(lambda: read(few, book)), took(lambda: read(many, other))), least=5, of=what
    )
    milliseconds = took(lambda: read(many, other)) * 1000 / TIMES
    soak.tell(f"{what}, with 500 books: {milliseconds:.2f} ms, {ratio:.2f} times as long as with ten")


def test_a_reader_writes_nothing(shelves: tuple[Shelf, Shelf]) -> None:
    _, many = shelves
    folder = many._files.folder

    def content() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in folder.rglob("*")
            if not path.name.endswith("-shm")  # memory that SQLite's connections share
        }

    before = content()
    for read in READING.values():
        read(many, many.list(1)[0])
    many.list(500, words="book 12")
    many.check_room(1000)
    assert content() == before


ADD = """
import sys
from pathlib import Path
from kindle_appliance.books.shelf import Shelf
shelf = Shelf(Path(sys.argv[1]), 10, 10 ** 8)
for name in sys.argv[2:]:
    with shelf.incoming() as file:
        file.write(Path(name).read_bytes())
        book, _ = file.shelve()
shelf.close()
"""


def written(folder: Path, *books: Path) -> int:
    """The bytes that adding books writes, with the start and the end of the shelf."""
    program = [sys.executable, "-B", "-c", ADD, str(folder / "books"), *map(str, books)]
    trace = folder / "trace"
    trace_writes(program, trace, PATH=os.environ["PATH"], PYTHONPATH=str(ROOT))
    return sum(map(int, re.findall(r" = (\d+)$", trace.read_text(), re.MULTILINE)))


def test_a_book_costs_the_card_a_few_times_its_text(tmp_path: Path, soak: Soak) -> None:
    costs = []
    for paragraphs in (4000, 8000):
        folder = tmp_path / str(paragraphs)
        folder.mkdir()
        book = folder / "book.epub"
        book.write_bytes(book_file(paragraphs=paragraphs))
        costs.append(written(folder, book))
    text = 8000 * 107
    soak.tell(f"a book of {text / 1e6:.1f} million characters costs the card {costs[1] / 1e6:.1f} MB")
    assert costs[1] < 2.3 * costs[0], "not with the square of its length"
    assert costs[1] < 8 * text


def test_a_start_with_nothing_to_do_writes_nothing(tmp_path: Path) -> None:
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        shelf.start()
        gone = put(shelf, book_file("Emma"))
        put(shelf, book_file())
        shelf.remove(gone.name, time.time())
        settle(shelf)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with closing(Shelf(tmp_path, 10, 100 * MB)) as shelf:
        shelf.start()
        settle(shelf)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_removed_book_costs_the_others_no_time(shelves: tuple[Shelf, Shelf]) -> None:
    """The index is merged by and by; what is left of deleted books does not slow a search."""
    _, many = shelves
    book = many.list(1)[0]
    before = many._catalogue.size()
    for name in [each.name for each in many.list(200)[1:]]:
        many._catalogue.dismiss(name)
    while many._catalogue.tidy_some():
        pass
    assert many.find_words(book, "passage 31 of a stately and plump")
    assert many._catalogue.size() < before * 0.7, "of 500 books, 301 are left"
