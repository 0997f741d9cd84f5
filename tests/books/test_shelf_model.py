"""Any order of adding, removing, putting back, starting again, damage and losing the catalogue, against a model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import hypothesis.strategies as st
import pytest
from conftest import Soak
from fakes.shelf import MB, book_file, names_below, put, tidy
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kindle_appliance import clock
from kindle_appliance.books.shelf import UNDO_SECONDS, Shelf
from kindle_appliance.clock import UNKNOWN
from kindle_appliance.errors import ReaderError

MOST = 3
BOOKS = {title: book_file(title, paragraphs=40) for title in "ABCD"}
YEAR = 365 * 86400.0
T0 = 1_700_000_000.0

titles = st.sampled_from(sorted(BOOKS))


@dataclass
class Model:
    """What the shelf should hold: the books in the order of their adding; removed ones with the moment."""

    there: list[str] = field(default_factory=list)
    removed: dict[str, float] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)  # whose file is
    waiting: set[str] = field(default_factory=set)  # to be read
    unreadable: set[str] = field(default_factory=set)

    def purge(self, now: float) -> None:
        """Forget what was removed too long ago, and begin days whose begin was not known."""
        if now == UNKNOWN:
            return
        for title, moment in list(self.removed.items()):
            if moment != UNKNOWN and now - moment >= UNDO_SECONDS:
                del self.removed[title]
            elif not 0 < moment <= now:
                self.removed[title] = now


class ShelfMachine(RuleBasedStateMachine):
    """A shelf, and its model. Time stands still but for `wait`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.model = Model()
        self.moment = T0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("kindle_appliance.clock.shown", lambda: self.moment)
        self.names: dict[str, str] = {}
        self.open()

    @property
    def now(self) -> float:
        return clock.now()

    def open(self) -> None:
        self.shelf = Shelf(self.folder / "books", MOST, 100 * MB)
        self.shelf._purge(self.now)
        self.model.purge(self.now)

    def teardown(self) -> None:
        self.shelf.close()
        shutil.rmtree(self.folder)
        self.patch.undo()

    @initialize()
    def begin(self) -> None:
        self.add("A")
        self.add("B")

    @rule(title=titles)
    def add(self, title: str) -> None:
        model = self.model
        model.purge(self.now)
        try:
            book = put(self.shelf, BOOKS[title])
        except ReaderError:  # what was removed has given way in vain
            assert title not in model.there or title in model.unreadable
            assert len(model.there) == MOST and not model.removed
            return
        self.names[title] = book.name
        if title in (*model.there, *model.removed) and title not in model.unreadable:
            model.removed.pop(title, None)
        else:
            while len(model.there) + len(model.removed) >= MOST:
                del model.removed[min(model.removed, key=lambda each: (model.removed[each], self.names[each]))]
            model.removed.pop(title, None)
            for each in (model.damaged, model.unreadable, model.waiting):
                each.discard(title)
        assert book.title == ("" if title in model.waiting else title)
        if title not in model.there:
            model.there.append(title)

    @rule(title=titles)
    def remove(self, title: str) -> None:
        is_there = title in self.model.there
        assert self.shelf.remove(self.names.get(title, "f" * 64), self.now) == is_there
        self.model.purge(self.now)
        if is_there:
            self.model.there.remove(title)
            self.model.removed[title] = self.now

    @rule(title=titles)
    def put_back(self, title: str) -> None:
        is_known = title in self.model.there or title in self.model.removed
        assert self.shelf.put_back(self.names.get(title, "f" * 64)) == is_known
        if self.model.removed.pop(title, None) is not None:
            self.model.there.append(title)

    @rule(hours=st.sampled_from([1, 23, 25]))
    def wait(self, hours: int) -> None:
        self.moment += 3600 * hours

    @rule(years=st.sampled_from([-40, 40, 90]))
    def the_clock_jumps_and_back(self, years: int) -> None:
        """What is done meanwhile is done at a wrong time, or at one that is not believed."""
        self.moment += years * YEAR
        self.remove("A")
        self.moment -= years * YEAR

    @rule(title=titles, is_found=st.booleans())
    def damage(self, title: str, is_found: bool) -> None:
        """Flip a bit of a book's file, and find that out when the books are read anew."""
        file = self.shelf._files.find(self.names.get(title, ""))
        if file and title not in self.model.damaged:
            with file.path.open("r+b") as stored:
                stored.seek(file.size - 1)
                stored.write(bytes([BOOKS[title][-1] ^ 1]))
            self.model.damaged.add(title)
            if is_found:
                self.lose_the_catalogue()
                self.tidy()

    @rule()
    def start_again(self) -> None:
        self.shelf.close()
        self.open()

    @rule()
    def lose_the_catalogue(self) -> None:
        self.shelf.close()
        for path in (self.folder / "books").glob("books.sqlite*"):
            path.unlink()
        self.model.unreadable.clear()
        self.model.waiting = {*BOOKS}
        self.open()

    @rule()
    def tidy(self) -> None:
        tidy(self.shelf)
        self.model.unreadable |= self.model.damaged & self.model.waiting
        self.model.waiting.clear()
        self.model.purge(self.now)

    @invariant()
    def the_shelf_is_as_the_model_says(self) -> None:
        there, removed = self.shelf.list(10), self.shelf.removed(UNKNOWN)
        names = {self.names[title] for title in self.model.there}
        assert {book.name for book in there} == names and self.shelf.count() == len(names)
        assert {book.name: book.removed for book in removed} == {
            self.names[title]: moment for title, moment in self.model.removed.items()
        }
        assert len(names_below(self.folder)) == len(there) + len(removed)
        for book in there:
            assert self.shelf.find(book.name) == book
            if book.name in {self.names[title] for title in self.model.unreadable}:
                assert book.is_read and book.title == book.name[:12] and book.faults
            elif book.is_read:
                assert self.names[book.title] == book.name
                assert self.shelf.find_words(book, f"Paragraph 39 of {book.title}")


def test_a_shelf_is_as_a_plain_model_says(soak: Soak) -> None:
    examples = soak(25, full=500)
    phases = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink what failed would take minutes
    run_state_machine_as_test(
        ShelfMachine, settings=settings(max_examples=examples, stateful_step_count=20, phases=phases)
    )
