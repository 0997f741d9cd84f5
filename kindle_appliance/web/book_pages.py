"""Which page of the books has what: the shelf, a book, a reader's place in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from ..books.place import END, per_cent
from ..books.shelved_book import ShelvedBook
from ..epub.book import Chapter
from ..sentences import Sentence
from ..storage.shelf_layout import MOST_BYTES
from .chapter_list import chapters_shown, index_of_next, place_in_short, place_in_words
from .file_field import TOO_LARGE
from .layout import SCRIPTS, Layout
from .reader import Reader
from .templates import Page
from .typed import Typed, without_signs

MOST_WORDS = 200
"""Characters of the words by which a place is looked for."""
_MOST_FAULTS = 5
_STEPS = (-5, -1, 1, 5)

_ADDING = {
    "sending": Sentence("Sending ... {done}"),
    "reading": Sentence("The book has arrived, and is being read ..."),
    "notSent": Sentence("The connection broke. The book was not added. Please try again."),
    "noFile": Sentence("Please choose a file first."),
    "tooLarge": TOO_LARGE,
}
"""What static/adding.js says."""
_NEAR = Sentence("Chapters near {figure}")
"""What static/per_cent.js says."""


class BookRow(NamedTuple):
    """A book in a list. `place`: this device's, None if it has none."""

    name: str
    title: Typed
    creator: Typed
    place: Sentence | None


class Find(NamedTuple):
    """Where words were found: the position, and it in words."""

    position: int
    place: Sentence


class Here(NamedTuple):
    """A book with its chapters and this device's place, None if it has none."""

    book: ShelvedBook
    chapters: Sequence[Chapter]
    place: int | None

    @property
    def is_to_ask(self) -> bool:
        """Whether the place is what is missing."""
        return self.place is None and self.book.length > 0


def row_of(here: Here, language: str) -> BookRow:
    """A book in a list. Its chapters are needed only with a place."""
    book = here.book
    place = None if here.place is None else place_in_short(here.chapters, here.place, book.length)
    if not book.length:
        place = Sentence("cannot be read") if book.is_read else Sentence("is still being read")
    return BookRow(book.name, title_of(book, language), _typed(book.creator), place)


def title_of(book: ShelvedBook, language: str) -> Typed:
    """A book's title, without emoji. Nobody knows it before the book is read."""
    if not book.is_read:
        size = f"{max(book.size / 1_000_000, 0.1):.1f}"
        return Typed(Sentence("A book of %(size)s MB", size=size).to(language))
    return _typed(book.title)


def _typed(text: str) -> Typed:
    return Typed(without_signs(text))


class BookPages:
    """All pages of the books."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def shelf(
        self,
        reader: Reader,
        rows: Sequence[BookRow],
        *,
        before: str = "",
        older: str = "",
        words: str | None = None,
        can_search: bool = False,
        removed: Sequence[ShelvedBook] = (),
        address: str = "",
    ) -> Page:
        """The shelf, a page of it. `before`: the book behind which it begins; `older`: behind which the next page
        does, "" if this is the last; `words`: what was looked for, None if nothing was; `removed`: what can be put
        back; `address`: where this page is found on other devices.
        """
        say = {name: each.to(reader.language) for name, each in _ADDING.items()}
        first = "/books" if words is None else f"/books?q={quote(words, safe='')}"
        more = f"{first}{'&' if words is not None else '?'}before="
        return self._layout.page(
            reader,
            "shelf.html",
            scripts=SCRIPTS["shelf"],
            given={"adding": {"mostBytes": MOST_BYTES} | say},
            rows=rows,
            words=None if words is None else Typed(words),
            can_search=can_search or words is not None,
            newest=first if before else None,
            older=more + older if older else None,
            removed=[(each.name, title_of(each, reader.language)) for each in removed],
            typed_address=address,
            address=more + before if before else first,
        )

    def book(self, reader: Reader, here: Here) -> Page:
        """A book, with this device's place in it, or why it has no text."""
        book, chapters, place = here.book, here.chapters, here.place or 0
        now, is_readable = per_cent(place, book.length), book.length > 0
        faults = book.faults[:_MOST_FAULTS]
        if not book.is_read:
            faults = [Sentence("The appliance is still reading this book. Please look again in a minute.")]
        return self._layout.page(
            reader,
            "book.html",
            path=f"/books/{book.name}",
            called=title_of(book, reader.language),
            creator=_typed(book.creator),
            place=place_in_words(chapters, place, book.length) if is_readable else None,
            steps=[(step, now + step) for step in _STEPS if step > 0 and now + step <= END and is_readable],
            next_chapter=index_of_next(chapters, place) if is_readable else None,
            faults=faults,
            address=f"/books/{book.name}",
        )

    def place(
        self,
        reader: Reader,
        here: Here,
        *,
        at: int | None = None,
        start: int | None = None,
        are_finished: bool = False,
        has_names: bool = False,
        typed: str | None = None,
        note: Sentence | None = None,
    ) -> Page:
        """The page on which a reader tells how far they are. `at`: the per cent that it shows, if not those of the
        place; `start`, `are_finished`, `has_names`: see `chapters_shown()`; `typed` and `note`: a figure that was
        refused, and why.
        """
        book, chapters, length = here.book, here.chapters, here.book.length
        shown = per_cent(here.place or 0, length) if at is None else at
        near = (here.place or 0) if at is None else -(-at * length // END)
        listed = chapters_shown(
            chapters,
            length,
            here.place,
            near=near,
            start=start,
            are_finished=are_finished,
            has_names=has_names,
        )
        path = f"/books/{book.name}"
        kept = {"at": at, "from": start, "finished": are_finished or None, "names": has_names or None}

        def link(**changed: int | bool | None) -> str:
            query = {key.rstrip("_"): value for key, value in changed.items()}
            query = {key: int(value) for key, value in {**kept, **query}.items() if value is not None}
            return f"{path}/place?{urlencode(query)}" if query else f"{path}/place"

        return self._layout.page(
            reader,
            "place.html",
            scripts=SCRIPTS["place"],
            given={"near": _NEAR.to(reader.language)},
            path=path,
            called=title_of(book, reader.language),
            is_known=here.place is not None,
            faults=() if here.place is not None else book.faults[:_MOST_FAULTS],  # who has just added it looks here
            figure=str(shown) if typed is None else typed,
            steps=[(step, link(at=min(max(shown + step, 0), END), from_=None)) for step in _STEPS],
            listed=listed,
            are_finished=are_finished,
            other=link(finished=None if are_finished else True),
            earlier=None if listed.earlier is None else link(from_=listed.earlier),
            later=None if listed.later is None else link(from_=listed.later),
            all_names=link(names=True) if listed.hides else None,
            note=note,
            most_words=MOST_WORDS,
            address=link(),
        )

    def finds(
        self, reader: Reader, here: Here, words: str, positions: Sequence[int], note: Sentence | None = None
    ) -> Page:
        """Where words of a page were found, best first; no text of the book is shown. Of finds that are told in the
        same words, only the best is a choice. `note`: why nothing was found.
        """
        book = here.book
        told: dict[str, Find] = {}
        for each in positions:
            place = place_in_short(here.chapters, each, book.length)
            told.setdefault(place.to(reader.language), Find(each, place))
        return self._layout.page(
            reader,
            "finds.html",
            path=f"/books/{book.name}",
            words=Typed(words),
            finds=[*told.values()],
            note=note,
            most_words=MOST_WORDS,
            address=f"/books/{book.name}/place",
        )
