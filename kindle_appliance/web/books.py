"""Routes: the shelf, a book, and the place of a reader in it. `adding.py` has the one that takes a file."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bottle import HTTPError, HTTPResponse, request

from ..books.place import at_per_cent, end_of_chapter
from ..books.shelf import Shelf
from ..books.shelved_book import ShelvedBook
from ..clock import now
from ..errors import NOT_UNDERSTOOD, LimitError, StorageError
from ..host.network import web_address
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.chats import clean
from ..storage.places import Places
from . import cookies, replies, visitor
from .book_pages import MOST_WORDS, BookPages, BookRow, Here, row_of
from .forms import is_form
from .paths import BOOK, is_number
from .visitor import Visitors

log = logging.getLogger(__name__)

_ROWS = 20
"""Of a page of the shelf."""
_IN_HAND = 6
"""So many books with a place on this device stand first on the shelf."""
_MOST_GONE = 6
"""So many of the last places may be in books that have left the shelf."""
_MOST_FINDS = 5
_MOST_REMOVED = 5
PLACES_PER_ADDRESS, PLACES, PLACE_SECONDS = 60, 240, 3600
"""So many places can be set, and books removed or put back, at once from one address, and from all; after as many
seconds, all of them again.
"""
_FIGURE = re.compile(r"\s*(\d{1,3})(?:[.,]\d*)?\s*[%％]?\s*")
_NOT_ANY_MORE = Sentence("That book is not here any more.")
_NO_FIGURE = Sentence("Please type a number from 0 to 100.")


@dataclass(frozen=True)
class Books:
    """`GET /books`, `GET /books/<name>`, `GET` and `POST /books/<name>/place`, `POST /books/<name>/remove`, `POST
    /books/<name>/put-back`. `addresses`: those that the house reaches the appliance at, best first.
    """

    visitors: Visitors
    pages: BookPages
    shelf: Shelf
    places: Places
    buckets: Buckets
    addresses: Callable[[], Sequence[str]]

    def show(self) -> HTTPResponse:
        """`GET /books`: the books with a place on this device, then all others, newest first. `?before=<name>`:
        those behind this book; `?q=<words>`: those with the words in their title or author's name. A script that
        accepts JSON gets all books.
        """
        self._check()
        if visitor.wants_json():
            return replies.to_json({"books": [_facts(each) for each in self._all()]})
        before = request.query.get("before", "")
        before = before if re.fullmatch(BOOK, before, re.ASCII) else ""
        words = None
        if "q" in request.query:
            words = clean(request.query.getunicode("q") or "")[:MOST_WORDS].strip() or None
        in_hand = [] if words else self._in_hand(_IN_HAND)
        first = {each.book.name for each in in_hand}
        found = self.shelf.list(_ROWS + 1, before, words or "")
        others = [self._find_place(each) for each in found[:_ROWS] if each.name not in first]
        reader = self.visitors.reader()
        rows = [row_of(each, reader.language) for each in [*([] if before else in_hand), *others]]
        page = self.pages.shelf(
            reader,
            rows,
            before=before,
            older=found[_ROWS - 1].name if len(found) > _ROWS else "",
            words=words,
            can_search=bool(before) or len(found) > _ROWS,
            removed=() if before or words else self.shelf.removed(now())[:_MOST_REMOVED],
            address=self._typed_address(),
        )
        return replies.html(page)

    def show_book(self, name: str) -> HTTPResponse:
        """`GET /books/<name>`: the book; without a place on this device, the page that asks for one."""
        here, reader = self._find(name), self.visitors.reader()
        page = self.pages.place(reader, here) if here.is_to_ask else self.pages.book(reader, here)
        return _with_device(replies.html(page))

    def ask_place(self, name: str) -> HTTPResponse:
        """`GET /books/<name>/place`: how far the reader is. `?at=<per cent>` shows this figure, `?from=<index>` the
        chapters from there on, `?finished=1` their ends, `?names=1` all their names.
        """
        here, figure, start = self._find(name), _number("at"), _number("from")
        if not here.book.length:
            return replies.see_other(f"/books/{name}")
        page = self.pages.place(
            self.visitors.reader(),
            here,
            at=None if figure is None else min(figure, 100),
            start=start,
            are_finished="finished" in request.query,
            has_names="names" in request.query,
        )
        return _with_device(replies.html(page))

    def set_place(self, name: str) -> HTTPResponse:
        """`POST /books/<name>/place`: a form with one of `per_cent`, `chapter` (which one of the list; with
        `finished` its end), `position`, or `words` to look for. It leads to the book, `words` to where they are.
        """
        here = self._find(name)
        if not is_form():
            raise HTTPError(415, NOT_UNDERSTOOD)
        if not here.book.length:
            return replies.see_other(f"/books/{name}")
        if "words" in request.forms:
            return self._find_words(here)
        position = self._position(here)
        if position is None:
            typed = request.forms.getunicode("per_cent")
            if typed is None:
                raise HTTPError(400, NOT_UNDERSTOOD)
            page = self.pages.place(self.visitors.reader(), here, typed=clean(typed)[:20], note=_NO_FIGURE)
            return replies.html(page, 400)
        if position != here.place:  # a second tap costs nothing
            with replies.telling():
                self._charge()
                self.places.keep(here.book.name, _device(), position, here.book.length, now())
        return replies.see_other(f"/books/{here.book.name}")

    def remove(self, name: str) -> HTTPResponse:
        """`POST /books/<name>/remove`: take a book from the shelf; for a day it can be put back."""
        book = self._find_book(name)
        with replies.telling():
            self._charge()
            if not self.shelf.remove(book.name, now()):
                raise replies.not_found(False)
        return replies.to_json(_facts(book)) if visitor.wants_json() else replies.see_other("/books")

    def put_back(self, name: str) -> HTTPResponse:
        """`POST /books/<name>/put-back`: a book that was removed."""
        self._check()
        if (book := self.shelf.find(name)) is None:
            book = next((each for each in self.shelf.removed(now()) if each.name == name), None)
            if book is None:
                raise HTTPError(404, _NOT_ANY_MORE)
            with replies.telling():
                self._charge()
                if not self.shelf.put_back(name):
                    raise HTTPError(404, _NOT_ANY_MORE)
        return replies.to_json(_facts(book)) if visitor.wants_json() else replies.see_other("/books")

    def in_hand(self) -> BookRow | None:
        """The book that this device has set its last place in, for the page to ask on: no trouble with books keeps
        a reader from that.
        """
        try:
            newest = self._in_hand(1)
        except StorageError as error:
            log.error("web: %s", error)
            return None
        return row_of(newest[0], self.visitors.language()) if newest else None

    def _find_words(self, here: Here) -> HTTPResponse:
        """Words are part of a book that the house reads: they are not kept, logged, or in an address."""
        words = " ".join(clean(request.forms.getunicode("words") or "").split())[:MOST_WORDS]
        note: Sentence | None = None
        finds: Sequence[int] = ()
        if not words:
            note = Sentence("Please type a few words of your page.")
        else:
            finds = self.shelf.find_words(here.book, words)[:_MOST_FINDS]
            if not finds:
                note = Sentence("These words are not in this book. Other words of your page may help.")
        return _with_device(replies.html(self.pages.finds(self.visitors.reader(), here, words, finds, note)))

    def _position(self, here: Here) -> int | None:
        """The place that a form tells; None if it has none that can be."""
        chapters, length = here.chapters, here.book.length
        figure = _FIGURE.fullmatch(request.forms.getunicode("per_cent") or "")
        if figure and int(figure[1]) <= 100:
            return at_per_cent(int(figure[1]), length)
        chapter, position = request.forms.get("chapter", ""), request.forms.get("position", "")
        if is_number(chapter) and int(chapter) < len(chapters):
            if "finished" in request.forms:
                return end_of_chapter(chapters, int(chapter), length)
            return chapters[int(chapter)].start
        return int(position) if is_number(position) and int(position) <= length else None

    def _find(self, name: str) -> Here:
        """A book, for its own pages. Raises the response for one that is not on the shelf."""
        book = self._find_book(name)
        return Here(book, self.shelf.chapters(book), self.places.find(name, _device(), book.length))

    def _find_book(self, name: str) -> ShelvedBook:
        """Raises the response for a book that is not on the shelf."""
        self._check()
        if (book := self.shelf.find(name)) is not None:
            return book
        if any(each.name == name for each in self.shelf.removed(now())):
            raise HTTPError(
                404, Sentence("This book was removed. For a day it can be put back, on the page “Books”.")
            )
        raise HTTPError(404)

    def _find_place(self, book: ShelvedBook) -> Here:
        """A book, for a list."""
        place = self.places.find(book.name, _device(), book.length)
        return Here(book, () if place is None else self.shelf.chapters(book), place)

    def _in_hand(self, most: int) -> list[Here]:
        """The books that this device has a place in, the newest place first."""
        books: list[Here] = []
        for kept in self.places.newest(_device(), most + _MOST_GONE):
            if len(books) < most and (book := self.shelf.find(kept.book)):
                books.append(Here(book, self.shelf.chapters(book), kept.within(book.length)))
        return books

    def _all(self) -> Iterator[ShelvedBook]:
        before = ""
        while listed := self.shelf.list(100, before):
            yield from listed
            before = listed[-1].name

    def _check(self) -> None:
        """Raises the response for a shelf that cannot be opened."""
        if self.shelf.trouble:
            raise HTTPError(503, self.shelf.trouble)

    def _typed_address(self) -> str:
        addresses, port = self.addresses(), int(request.environ["SERVER_PORT"])
        return web_address(addresses[0], port) + "books" if addresses else ""

    def _charge(self) -> None:
        if wait := visitor.take(self.buckets, PLACES_PER_ADDRESS, PLACES):
            raise LimitError.too_often(wait)


def _device() -> str:
    """Whose place it is: a browser's, or a client's by its address where no cookies are kept."""
    return visitor.asker().reader


def _with_device(response: HTTPResponse) -> HTTPResponse:
    """Give the browser its name, so that it finds its places again. Only a page does: who has none when it sends a
    form keeps no cookies.
    """
    cookies.keep_device(response, cookies.device() or secrets.token_urlsafe(12))
    return response


def _number(name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if is_number(text) else None


def _facts(book: ShelvedBook) -> dict[str, str | int]:
    """What a script is told of a book."""
    return {
        "name": book.name,
        "title": book.title,
        "author": book.creator,
        "size": book.size,
        "added": int(book.added),
    }
