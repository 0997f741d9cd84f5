"""What the pages of the books cost does not grow with the number of books."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.shelf import novel_file, put
from fakes.wire import FIRST_FLIGHT, wire_bytes
from ratios import assert_usual_ratio

from kindle_appliance.books.shelved_book import ShelvedBook

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FEW, MANY = 10, 500
TIMES = 20  # in a measurement
COOKIE = "device=the-device-1"


class Stocked:
    """A house with so many books, of which one is in hand."""

    def __init__(self, house: House, count: int) -> None:
        self.house = house
        self.books: list[ShelvedBook] = [
            put(house.shelf, novel_file(f"Book {number}", chapters=2)) for number in range(count)
        ]
        house.places.keep(self.books[0].name, COOKIE.partition("=")[2], 5, self.books[0].length, 1e9)

    def seconds(self, path: str) -> float:
        """How long it takes to get a page."""
        begin = time.perf_counter()
        for _ in range(TIMES):
            assert self.house.get(path, Cookie=COOKIE, Accept_Encoding="gzip").status == 200
        return time.perf_counter() - begin


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stocked, Stocked]]:
    """A house with few books and one with many."""
    with FakeGemini() as gemini, ExitStack() as stack:
        folders = [tmp_path_factory.mktemp(name) for name in ("few", "many")]
        houses = [stack.enter_context(House(gemini.url, folder)) for folder in folders]
        few, many = (Stocked(house, count) for house, count in zip(houses, (FEW, MANY), strict=True))
        yield few, many


@pytest.mark.parametrize("path", ["/books", "/", "BOOK", "BOOK/place"])
def test_a_page_takes_as_long_with_many_books_as_with_few(stocked: tuple[Stocked, Stocked], path: str) -> None:
    paths = [path.replace("BOOK", f"/books/{each.books[0].name}") for each in stocked]
    assert_usual_ratio(
        1.3,
        lambda: (stocked[0].seconds(paths[0]), stocked[1].seconds(paths[1])),
        least=3,
        of=f"{path} with {MANY} books instead of {FEW}",
    )


def test_the_pages_of_books_fit_the_first_flight_of_a_connection(stocked: tuple[Stocked, Stocked]) -> None:
    name = stocked[1].books[0].name
    for path in ("/books", f"/books/{name}", f"/books/{name}/place", "/"):
        for language in ("en", "zh-CN"):
            assert wire_bytes(stocked[1].house, path, language) <= FIRST_FLIGHT, path
