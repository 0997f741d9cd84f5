"""The web application: who may ask, the routes of each area of the house, the headers of every response.

A stranger's request gets a short page, or JSON under /api/, with the right status and a sentence that a reader
understands. Every state-changing request is a POST.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bottle import Bottle, HTTPError, HTTPResponse, request, response

from ..answers.desk import AnswerDesk
from ..books.shelf import Shelf
from ..errors import NOT_UNDERSTOOD, OWN_MISTAKE, TOO_MUCH, ReaderError, StorageError
from ..host.mdns import Snapshot
from ..sentences import Sentence
from ..storage.buckets import Buckets
from ..storage.chats import Chats
from ..storage.places import Places
from ..storage.rate_limit import RateLimit
from ..storage.reports import Reports
from ..text.hyphens import Hyphens
from . import cookies, replies, visitor
from .adding import ADDING_PATH, ADDING_SECONDS, Adding
from .asking import Asking
from .book_pages import BookPages
from .books import PLACE_SECONDS, Books
from .chats import RENAME_SECONDS, ChatList
from .check import REPORT_SECONDS, Check
from .forms import limit_fields
from .guard import Guard, Visit
from .headers import NO_PAGE, POLICY, SECURITY_HEADERS
from .health import Health
from .house import HouseWide
from .look import USUAL_LOOK, Look
from .pages import Pages
from .paths import BOOK, NUMBER
from .pin import Gate
from .reading import Reading
from .scripts import Scripts
from .seats import Seats
from .sign_in import SignIn
from .visitor import Visitors
from .waiting import WAIT_SECONDS, Waiting

log = logging.getLogger(__name__)

_MOST_TOLD = 100

# What the guard wants to know, in the order of `Visit`.
_FACTS = (
    *("REQUEST_METHOD", "REMOTE_ADDR", "HTTP_HOST", "HTTP_ORIGIN", "HTTP_REFERER", "HTTP_SEC_FETCH_SITE"),
    *(
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_FORWARDED",
        "HTTP_X_REAL_IP",
    ),
)

_BY_STATUS = {
    404: Sentence("There is no such page here."),
    405: Sentence("This address cannot be used that way."),
    413: TOO_MUCH,
}

_CANNOT_READ = Sentence("The appliance cannot read its card at the moment. Its owner can look after it.")


class Web:
    """All areas of the house. `language`: the house's, or None for what each browser asks for; `look`: until a
    reader chooses another; `followers`: how many responses may follow an answer at once; `addresses`: those that
    the house reaches the appliance at, best first; `mdns`: the state of its name; `guard`: who may ask; `gate`: the
    PIN, if there is one; `hyphens`: the dictionaries in memory; `shelf`, `places` and `book_pages`: the books, how
    far readers are in them, and their pages; `owner_secret`: what only the owner's commands can show;
    `ticks`: a monotonic clock in seconds, for rates.
    """

    def __init__(
        self,
        desk: AnswerDesk,
        chats: Chats,
        pages: Pages,
        reports: Reports,
        rate_limit: RateLimit,
        health: Health,
        *,
        language: str | None = None,
        look: Look = USUAL_LOOK,
        followers: int = 32,
        addresses: Callable[[], Sequence[str]] = tuple,
        mdns: Callable[[], Snapshot] = Snapshot,
        guard: Guard | None = None,
        gate: Gate | None = None,
        hyphens: Hyphens | None = None,
        shelf: Shelf | None = None,
        places: Places | None = None,
        book_pages: BookPages | None = None,
        owner_secret: bytes = b"",
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        visitors, seats, hyphens = Visitors(language, look), Seats(followers), hyphens or Hyphens()
        self._visitors = visitors
        self._pages = pages
        self._guard = guard or Guard()
        self._told: set[str] = set()
        self._sign_in = SignIn(visitors, pages, gate, self._log_once) if gate else None
        self._books: Books | None = None
        if shelf and places and book_pages:
            self._books = Books(visitors, book_pages, shelf, places, Buckets(PLACE_SECONDS, ticks), addresses)
        in_hand = self._books.in_hand if self._books else _nothing_in_hand
        self._asking = Asking(visitors, pages, chats, desk, rate_limit, hyphens, in_hand)
        self._reading = Reading(visitors, pages, chats, desk, rate_limit, seats, hyphens)
        self._waiting = Waiting(chats, Buckets(WAIT_SECONDS, ticks))
        self._chats = ChatList(visitors, pages, chats, desk, Buckets(RENAME_SECONDS, ticks))
        self._scripts = Scripts(visitors, desk, rate_limit, seats)
        self._check = Check(visitors, pages, reports, seats, Buckets(REPORT_SECONDS, ticks))
        self._adding = Adding(visitors, shelf, Buckets(ADDING_SECONDS, ticks), owner_secret) if shelf else None
        self._house = HouseWide(visitors, pages, health, self._sign_in, addresses, mdns)

    def application(self) -> Callable[..., Iterable[bytes]]:
        """The WSGI application: every route of the house."""
        app = Bottle()
        app.get("/", callback=self._asking.show)
        app.post("/ask", callback=self._asking.ask)
        app.get(f"/chats/<chat:re:{NUMBER}>/<number:re:{NUMBER}>", callback=self._reading.show)
        app.get(f"/chats/<chat:re:{NUMBER}>/<number:re:{NUMBER}>/why", callback=self._reading.explain)
        app.get(f"/answers/<answer:re:{NUMBER}>", callback=self._reading.follow)
        app.post(f"/answers/<answer:re:{NUMBER}>/stop", callback=self._reading.stop)
        app.post(f"/answers/<answer:re:{NUMBER}>/wait", callback=self._waiting.let_wait)
        app.post(f"/answers/<answer:re:{NUMBER}>/withdraw", callback=self._waiting.withdraw)
        app.get("/chats", callback=self._chats.show)
        app.get(f"/chats/<chat:re:{NUMBER}>", callback=self._chats.go_to_newest)
        app.get(f"/chats/<chat:re:{NUMBER}>/edit", callback=self._chats.edit)
        app.post(f"/chats/<chat:re:{NUMBER}>/rename", callback=self._chats.rename)
        app.get(f"/chats/<chat:re:{NUMBER}>/delete", callback=self._chats.confirm_deletion)
        app.post(f"/chats/<chat:re:{NUMBER}>/delete", callback=self._chats.delete)
        app.post("/api/chat", callback=self._scripts.converse)
        app.get("/check", callback=self._check.show)
        app.post("/check", callback=self._check.add_report)
        app.get("/check/stream", callback=self._check.stream)
        app.get("/check/reports", callback=self._check.list_reports)
        if self._books:
            app.get("/books", callback=self._books.show)
            app.get(f"/books/<name:re:{BOOK}>", callback=self._books.show_book)
            app.get(f"/books/<name:re:{BOOK}>/place", callback=self._books.ask_place)
            app.post(f"/books/<name:re:{BOOK}>/place", callback=self._books.set_place)
            app.post(f"/books/<name:re:{BOOK}>/remove", callback=self._books.remove)
            app.post(f"/books/<name:re:{BOOK}>/put-back", callback=self._books.put_back)
        app.get("/addresses", callback=self._house.list_addresses)
        app.get("/about", callback=self._house.tell_who_answers)
        app.post("/look", callback=self._house.set_look)
        app.get("/healthz", callback=self._house.check_health)
        if self._adding:
            app.post(ADDING_PATH, callback=self._adding.add)
        if self._sign_in:
            app.get("/pin", callback=self._sign_in.go_to_first_page)
            app.post("/pin", callback=self._sign_in.enter_pin)
        app.add_hook("before_request", self._admit)
        app.add_hook("before_request", limit_fields)
        app.default_error_handler = self._error
        return _with_headers(app)

    def _admit(self) -> None:
        """Before every route: raises the response for a client that may not ask."""
        visit = Visit(*(request.environ.get(fact, "") for fact in _FACTS))
        try:
            request.environ[visitor.CLIENT] = self._guard.admit(visit)
        except ReaderError as error:
            self._log_once(f"refused {visit.peer}: {error}")
            raise HTTPError(error.status, error.sentence) from None
        if self._sign_in and (locked := self._sign_in.check()):
            raise locked

    def _error(self, error: HTTPError) -> HTTPResponse:
        """Bottle's errors, and ours raised as such: the body is a sentence or nothing of interest."""
        status = error.status_code
        if isinstance(error.exception, StorageError):
            log.error("web: %s %s: %s", request.method, request.path, error.exception)
            status, error = 503, HTTPError(503, _CANNOT_READ)
        if error.exception is not None:
            log.error("web: a mistake in %s %s", request.method, request.path, exc_info=error.exception)
        otherwise = OWN_MISTAKE if status >= 500 else NOT_UNDERSTOOD
        sentence = error.body if isinstance(error.body, Sentence) else _BY_STATUS.get(status, otherwise)
        if visitor.wants_json():
            reply = replies.json_error(status, sentence, self._visitors.language())
        else:
            is_of_books = request.path.startswith("/books")
            reply = replies.html(self._pages.message(self._visitors.reader(), sentence, is_of_books), status)
        if allowed := error.headers.get("Allow"):  # bottle names the methods of the routes, and takes HEAD as GET
            methods = {*allowed.split(","), *(["HEAD"] if "GET" in allowed else [])}
            reply.headers["Allow"] = ", ".join(sorted(methods))
        if later := error.headers.get("Retry-After"):
            reply.headers["Retry-After"] = later
        return reply

    def _log_once(self, event: str) -> None:
        """Log what may happen many times a second, once."""
        if event not in self._told:
            self._told = {event, *list(self._told)[:_MOST_TOLD]}
            log.info("web: %s", event)


def _nothing_in_hand() -> None:
    """Of a house without books."""


def _with_headers(app: Bottle) -> Callable[..., Iterable[bytes]]:
    """The headers of every response, bottle's own included."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _strip(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            policy = [] if any(name == POLICY for name, _ in headers) else [NO_PAGE]
            return start_response(status, [*headers, *policy, *SECURITY_HEADERS], exc_info)

        result: Iterable[bytes] = app(environ, start)
        response.body = None  # else this thread would keep it until its next request
        return result

    return application


def _strip(environ: dict[str, Any]) -> None:
    """Strip header values that make bottle raise: those that are not UTF-8, a content type whose parameters have no
    values, a malformed form in parts (which no page of ours sends), cookies that are not ours.
    """
    for name in environ:
        if name.startswith("HTTP_"):
            environ[name] = environ[name].encode("ascii", "replace").decode()
    environ["HTTP_COOKIE"] = cookies.only_ours(environ.get("HTTP_COOKIE", ""))
    kind = re.match(r" *((?!multipart)[\w.+-]+/[\w.+-]+) *(;|$)", environ.get("CONTENT_TYPE", "").lower(), re.ASCII)
    environ["CONTENT_TYPE"] = kind[1] if kind else ""
