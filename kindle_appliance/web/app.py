"""The routes; the only module with bottle. Thin: parse, ask the right module, answer.

Three cookies are no secrets: `device` names a browser, so that it finds its own chats again; `look` is its text
size; `unread` names its answers whose end it has not seen. Where there is a PIN, `pin` is the pass of a browser in
which it has been entered.

Whatever a stranger sends gets a short page, or JSON under /api/, with the right status and a sentence that a
reader understands. Everything that changes state is a POST.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bottle import Bottle, HTTPError, HTTPResponse, request

from ..answers.desk import START, Answer, AnswerDesk, Conversation, Message, Position
from ..ending import Finish
from ..errors import (
    BUSY,
    NOT_UNDERSTOOD,
    OWN_MISTAKE,
    TOO_MUCH,
    ApplianceError,
    LimitError,
    ReaderError,
    StorageError,
    UpstreamError,
    UpstreamSilent,
)
from ..host.mdns import Snapshot
from ..sentences import Sentence, choose_language
from ..storage.chats import Chats, Turn, check_question, clean
from ..storage.rate_limit import RateLimit
from ..storage.reports import Reports
from . import frames
from .guard import Gate, Guard, Visit
from .health import Health
from .look import USUAL_LOOK, Look
from .pages import Pages, Reader
from .templates import Page

log = logging.getLogger(__name__)

HISTORY_MESSAGES = 200

_BEAT_SECONDS = 1.0  # a follower looks at least this often whether its reader has left
_KEEP_ALIVE_SECONDS = 10.0
_POLL_MS = 2000
_RECENT_CHATS = 6
_MOST_CHATS = 200
_REPORT_BYTES = 8 * 1024  # ours have about 1 KB
_CHECK_PIECES = 3
_CHECK_SECONDS = 0.4  # between two pieces
_NUMBER = "[0-9]{1,15}"  # what SQLite can hold
_MOST_UNREAD = 20
_MOST_TOLD = 100
_MOST_FIELDS = 64  # of a form; ours have four
_KEEP_SECONDS = 400 * 86400  # the longest that browsers keep a cookie (RFC 6265bis, 5.5)
_OWN_PAGE = r"/(\?chat=[0-9]{1,15}|chats(/[0-9]{1,15}(/([0-9]{1,15}|delete))?)?|check(/reports)?|addresses)?"

_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),  # also makes Chromium show text/plain as it arrives
    ("Cache-Control", "no-store"),
    ("X-Frame-Options", "DENY"),
    # With `no-referrer` Chromium would send `Origin: null` with the forms of our own pages.
    ("Referrer-Policy", "same-origin"),
)
_POLICY = "Content-Security-Policy"
_NO_PAGE = (_POLICY, "default-src 'none'; frame-ancestors 'none'")

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

_COOKIE = re.compile("(?:^|;) *(device|look|pin|unread)=([0-9A-Za-z._-]*) *(?=;|$)")
_FORM_TYPE = "application/x-www-form-urlencoded"

_CLIENT = "kindle_appliance.client"  # in the environment of a request: who the guard says that it is
_WITHOUT_PIN = (("POST", "/pin"), ("GET", "/healthz"))
_PIN_DIGITS = 12
_YEAR = 365 * 86400

_PIN_FIRST = Sentence("Please enter the PIN of the house first.")
_WRONG_PIN = Sentence("That is not the PIN.")
_CHAT_GONE = Sentence("That chat is gone. A question starts a new one.")
_BY_STATUS = {
    404: Sentence("There is no such page here."),
    405: Sentence("This address cannot be used that way."),
    413: TOO_MUCH,
}


@dataclass(frozen=True)
class Web:
    """Everything that the routes need. `language`: the house's, or None for what each browser asks for; `look`:
    until a reader chooses another; `followers`: how many responses may follow an answer at once; `addresses`: those
    that the house reaches the appliance at, best first; `mdns`: how things stand with its name; `guard`: who may
    ask; `gate`: the PIN, if there is one.
    """

    desk: AnswerDesk
    chats: Chats
    pages: Pages
    reports: Reports
    rate_limit: RateLimit
    health: Health
    language: str | None = None
    look: Look = USUAL_LOOK
    followers: int = 32
    addresses: Callable[[], Sequence[str]] = tuple
    mdns: Callable[[], Snapshot] = Snapshot
    guard: Guard = field(default_factory=Guard)
    gate: Gate | None = None

    def application(self) -> Callable[..., Iterable[bytes]]:
        """The WSGI application."""
        routes = _Routes(self)
        app = Bottle()
        app.get("/", callback=routes.asking)
        app.post("/ask", callback=routes.ask)
        app.post("/look", callback=routes.set_look)
        app.get("/chats", callback=routes.list_chats)
        app.get(f"/chats/<chat:re:{_NUMBER}>", callback=routes.newest_turn)
        app.get(f"/chats/<chat:re:{_NUMBER}>/delete", callback=routes.confirm_deletion)
        app.post(f"/chats/<chat:re:{_NUMBER}>/delete", callback=routes.delete)
        app.get(f"/chats/<chat:re:{_NUMBER}>/<number:re:{_NUMBER}>", callback=routes.turn)
        app.get(f"/answers/<answer:re:{_NUMBER}>", callback=routes.follow)
        app.post(f"/answers/<answer:re:{_NUMBER}>/stop", callback=routes.stop)
        app.post("/api/chat", callback=routes.converse)
        app.get("/addresses", callback=routes.list_addresses)
        app.get("/check", callback=routes.check)
        app.post("/check", callback=routes.add_report)
        app.get("/check/stream", callback=routes.check_stream)
        app.get("/check/reports", callback=routes.list_reports)
        app.get("/healthz", callback=routes.check_health)
        if self.gate:
            app.get("/pin", callback=lambda: HTTPResponse(status=303, headers={"Location": "/"}))
            app.post("/pin", callback=partial(routes.enter_pin, self.gate))
        app.add_hook("before_request", routes.admit)
        app.add_hook("before_request", _limit_fields)
        app.default_error_handler = routes.error
        return _with_headers(app)


def _with_headers(app: Bottle) -> Callable[..., Iterable[bytes]]:
    """The headers of every response, also of those that bottle makes by itself."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _make_legible(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            policy = [] if any(name == _POLICY for name, _ in headers) else [_NO_PAGE]
            return start_response(status, [*headers, *policy, *_HEADERS], exc_info)

        result: Iterable[bytes] = app(environ, start)
        return result

    return application


def _make_legible(environ: dict[str, Any]) -> None:
    """Leave of the headers what bottle can read. It raises for one that is not UTF-8, for a type whose parameters
    have no values, for a form in parts (which no page of ours sends) that is not in order, and for a cookie that is
    none; behind an odd one, which another program on this machine may have set, it would see no more of ours. And
    Python takes seconds for the quoted ones of one request (CVE-2024-7592). Ours are plain words.
    """
    for name in environ:
        if name.startswith("HTTP_"):
            environ[name] = environ[name].encode("ascii", "replace").decode()
    cookies = dict(_COOKIE.findall(environ.get("HTTP_COOKIE", "")))
    environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    kind = re.match(r" *((?!multipart)[\w.+-]+/[\w.+-]+) *(;|$)", environ.get("CONTENT_TYPE", "").lower(), re.ASCII)
    environ["CONTENT_TYPE"] = kind[1] if kind else ""


class _Routes:
    def __init__(self, web: Web) -> None:
        self._desk = web.desk
        self._chats = web.chats
        self._pages = web.pages
        self._reports = web.reports
        self._rate_limit = web.rate_limit
        self._health = web.health
        self._language = web.language
        self._look = web.look
        self._addresses = web.addresses
        self._mdns = web.mdns
        self._seats = threading.BoundedSemaphore(web.followers)
        self._guard = web.guard
        self._gate = web.gate
        self._told: set[str] = set()

    # ---- Who may ask

    def admit(self) -> None:
        """Before every route: raises what the client gets instead, if it may not ask."""
        visit = Visit(*(request.environ.get(fact, "") for fact in _FACTS))
        try:
            client = request.environ[_CLIENT] = self._guard.admit(visit)
        except ReaderError as error:
            self._tell(f"refused {visit.peer}: {error}")
            raise HTTPError(error.status, error.sentence) from None
        gate = self._gate
        if gate and (request.method, request.path) not in _WITHOUT_PIN and not _is_signed_in(gate, client):
            page = request.path + (f"?{request.query_string}" if request.query_string else "")
            note = _WRONG_PIN if "HTTP_AUTHORIZATION" in request.environ else None
            raise self._locked(gate, client, _own_page(page), note)

    def enter_pin(self, gate: Gate) -> HTTPResponse:
        """`POST /pin`: a form with `pin`, the digits so far; `key`, which is one more or takes one back, or none if
        that was all; and `back`, the page that was wanted.
        """
        client = request.environ[_CLIENT]
        back, key = _own_page(request.forms.get("back", "")), request.forms.get("key", "")
        typed = request.forms.get("pin", "") + (key if key != "delete" else "")
        digits = re.sub("[^0-9]", "", typed)[:_PIN_DIGITS]
        if key:
            return _html(self._pages.pin(self._reader(), back, digits[:-1] if key == "delete" else digits))
        if not digits:
            return self._locked(gate, client, back, _PIN_FIRST)
        if not gate.is_right(digits, client, time.monotonic()):
            return self._locked(gate, client, back, _WRONG_PIN)
        response = HTTPResponse(status=303, headers={"Location": back})
        _remember(response, "pin", gate.pass_until(time.time() + _YEAR), httponly=True, seconds=_YEAR)
        return response

    def _locked(self, gate: Gate, client: str, back: str, note: Sentence | None) -> HTTPResponse:
        """What they get who have not entered the PIN, or a wrong one."""
        # With a status of 401 some old browsers would ask for a name and a password, and show no page.
        status, headers = 403, {}
        if pause := gate.pause(client, time.monotonic()):
            self._tell(f"too many wrong PINs, the last from {client}")
            status, headers = 429, {"Retry-After": str(pause)}
            note = Sentence(
                "Too many wrong PINs. Please try again in %(count)d minute.",
                plural="Too many wrong PINs. Please try again in %(count)d minutes.",
                count=math.ceil(pause / 60),
            )
        if request.path.startswith("/api/") or _wants_json():
            status, headers = (status, headers) if pause else (401, {"WWW-Authenticate": "Bearer"})
            return self._json_error(status, note or _PIN_FIRST, headers)
        page = _html(self._pages.pin(self._reader(), back, note=note), status)
        page.headers.update(headers)
        return page

    def _tell(self, event: str) -> None:
        """Log what may happen many times a second, once."""
        if event not in self._told:
            self._told = {event, *list(self._told)[:_MOST_TOLD]}
            log.info("web: %s", event)

    # ---- Asking

    def asking(self) -> HTTPResponse:
        """`GET /`, with `?chat=<id>` for one more question in a chat, or `?start=<number>` for a starter."""
        chat, start = request.query.get("chat", ""), request.query.get("start", "")
        turn = self._first_turn(chat) if chat else None
        note = _CHAT_GONE if chat and turn is None else None
        starters = dict(enumerate(self._pages.starters(self._reader_language())))
        starter = starters.get(int(start), "") if re.fullmatch("[0-9]{1,3}", start, re.ASCII) else ""
        page = self._asking_page(404 if note else 200, turn, starter and starter + " ", note)
        _remember(page, "device", _device() or secrets.token_urlsafe(12), httponly=True)
        return page

    def ask(self) -> HTTPResponse:
        """`POST /ask`: a form with `question`, `chat` (may be empty) and `form`, its one-time id. It leads to the
        new turn; a script that accepts JSON is told where that is, or why there is none.
        """
        if _content_type() != _FORM_TYPE:
            return self._asking_page(415, None, note=NOT_UNDERSTOOD)
        question = clean(request.forms.getunicode("question", ""))
        chat = request.forms.getunicode("chat", "")
        form = request.forms.getunicode("form", "")
        if not re.fullmatch(r"[\w-]{1,64}", form, re.ASCII):
            form = _new_form_id()
        turn = self._first_turn(chat) if chat else None
        try:
            if chat and turn is None:
                raise ReaderError(_CHAT_GONE, 404)
            check_question(question)
            if not self._chats.was_asked(question, form):
                self._rate_limit.take(_who())
            asked = self._desk.ask(question, turn.chat if turn else None, form, _device())
        except ReaderError as error:
            _tell_of(error)
            refusal = self._not_asked(error.status, turn, question, error.sentence)
            refusal.headers.update(_retry_after(error))
            return refusal
        except KeyError:  # deleted in this very moment
            return self._not_asked(404, None, question, _CHAT_GONE)
        except StorageError as error:
            log.error("web: %s", error)
            return self._not_asked(503, turn, question, error.sentence)
        response = _see(asked)
        if _wants_json():
            response = _json_response({"url": response.headers["Location"]}, 201)
        _remember_unread(response, [*_unread_but(asked.id), asked.id])
        return response

    def _not_asked(self, status: int, chat: Turn | None, question: str, sentence: Sentence) -> HTTPResponse:
        if _wants_json():
            return self._json_error(status, sentence)
        return self._asking_page(status, chat, question, sentence)

    def _asking_page(
        self, status: int, chat: Turn | None, question: str = "", note: Sentence | None = None
    ) -> HTTPResponse:
        page = self._pages.asking(
            self._reader(),
            _new_form_id(),
            () if chat or not _device() else self._chats.recent(_RECENT_CHATS, _device()),
            time.time(),
            question=question,
            chat=chat,
            note=note or self._rate_limit.notice(_who()),
            is_first_visit=not _device(),
        )
        return _html(page, status)

    def _first_turn(self, chat: str) -> Turn | None:
        return self._chats.find_turn(int(chat), 1) if re.fullmatch(_NUMBER, chat, re.ASCII) else None

    def set_look(self) -> HTTPResponse:
        """`POST /look`: a form with `look`, the text size and weight, and `back`, the page to go back to."""
        look, back = Look.read(request.forms.get("look", "")), request.forms.get("back", "")
        if look is None or not re.fullmatch(_OWN_PAGE, back, re.ASCII):
            raise HTTPError(400)
        response = HTTPResponse(status=303, headers={"Location": f"{back}#look"})
        _remember(response, "look", str(look))
        return response

    # ---- Reading

    def list_chats(self) -> HTTPResponse:
        """`GET /chats`."""
        page = self._pages.list(self._reader(), self._chats.recent(_MOST_CHATS), time.time())
        return _html(page)

    def newest_turn(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>`: to its newest turn."""
        count = self._chats.count_turns(int(chat))
        if not count:
            raise HTTPError(404)
        return HTTPResponse(status=303, headers={"Location": f"/chats/{int(chat)}/{count}"})

    def confirm_deletion(self, chat: str) -> HTTPResponse:
        """`GET /chats/<chat>/delete`: the page that asks whether it is meant."""
        turn, count = self._first_turn(chat), self._chats.count_turns(int(chat))
        if turn is None:
            raise HTTPError(404)
        return _html(self._pages.deletion(self._reader(), turn, count))

    def delete(self, chat: str) -> HTTPResponse:
        """`POST /chats/<chat>/delete`: forget this chat; back to the others."""
        try:
            self._desk.delete(int(chat))
        except KeyError:
            raise HTTPError(404) from None
        except StorageError as error:
            log.error("web: %s", error)
            raise HTTPError(503, error.sentence) from None
        return HTTPResponse(status=303, headers={"Location": "/chats"})

    def turn(self, chat: str, number: str) -> HTTPResponse:
        """`GET /chats/<chat>/<number>`: one question and its answer."""
        turn = self._chats.find_turn(int(chat), int(number))
        answer = self._desk.find(turn.id) if turn else None
        if turn is None or answer is None:
            raise HTTPError(404)
        count = self._chats.count_turns(turn.chat)
        news = answer.news(START, 0)
        reader = self._reader()
        page = _html(
            self._pages.reading(reader, turn, count, news, _new_form_id(), self._rate_limit.notice(_who()))
        )
        if news.ending is not None and turn.id in reader.unread:
            _remember_unread(page, _unread_but(turn.id))
        return page

    def follow(self, answer: str) -> HTTPResponse:
        """`GET /answers/<id>?from=<offset>&as=events|text&wait=0`: the answer from an offset on, until it ends
        or, with `wait=0`, as far as it goes now.
        """
        found = self._desk.find(int(answer))
        if found is None:
            raise HTTPError(404)
        offset = request.query.get("from", "0")
        if not re.fullmatch(_NUMBER, offset, re.ASCII):
            raise HTTPError(400, Sentence("“from” is to be an offset: a whole number from 0 on."))
        wanted = request.query.get("as") or (
            "events" if _accepts_events(request.get_header("Accept", "")) else "text"
        )
        if wanted not in ("events", "text"):
            raise HTTPError(400, Sentence("“as” is to be “events” or “text”."))
        as_events = wanted == "events"
        headers = {"Content-Type": frames.EVENT_STREAM if as_events else frames.PLAIN_TEXT}
        language = self._reader_language()
        start = int(offset)
        if request.query.get("wait") == "0":
            now = _events_now(found, start, language) if as_events else found.text(start).encode()
            return HTTPResponse(now, headers=headers)
        if as_events:
            follow = _follow_events(found, start, language, _is_gone())
            return HTTPResponse(self._seated(follow, frames.PADDING + frames.retry(_POLL_MS)), headers=headers)
        follow = _follow_text(found, start, _is_gone())
        return HTTPResponse(self._seated(follow, found.text(start).encode()), headers=headers)

    def _seated(self, body: Iterator[bytes], otherwise: bytes) -> Iterator[bytes]:
        """A body that holds a follower's seat while it lasts; `otherwise` is said when no seat is free."""
        if not self._seats.acquire(blocking=False):
            yield otherwise
            return
        try:
            yield from body
        finally:
            self._seats.release()

    def stop(self, answer: str) -> HTTPResponse:
        """`POST /answers/<id>/stop`: write no more; back to the turn."""
        turn = self._chats.find_turn_by_id(int(answer))
        found = self._desk.find(int(answer))
        if turn is None or found is None:
            raise HTTPError(404)
        self._desk.stop(turn.id)
        found.wait_for_end(_BEAT_SECONDS)
        return HTTPResponse(status=204) if _wants_json() else _see(turn)

    # ---- Scripts

    def converse(self) -> HTTPResponse:
        """`POST /api/chat` with `{"message", "history"}`: the answer as plain text while it is written. It is not
        stored and stops when its client leaves. The status waits for the first text; an answer that breaks off
        later cuts the body, so that clients notice.
        """
        try:
            conversation = _conversation(_json_body())
            if not self._seats.acquire(blocking=False):
                return self._json_error(503, BUSY, {"Retry-After": "2"})
            try:
                self._rate_limit.take(_who())
            except ApplianceError:
                self._seats.release()
                raise
        except ReaderError as error:
            _tell_of(error)
            return self._json_error(error.status, error.sentence, _retry_after(error))
        except StorageError as error:
            log.error("web: %s", error)
            return self._json_error(503, error.sentence)
        answer = self._desk.converse(conversation)
        body = self._conversing(answer, _is_gone())
        next(body)  # up to the first text, or to the end without one
        if answer.length or answer.ending is None:
            return HTTPResponse(body, headers={"Content-Type": frames.PLAIN_TEXT})
        body.close()
        return self._json_error(_status_of(answer), answer.ending.note or OWN_MISTAKE, _retry_after(answer.error))

    def _conversing(self, answer: Answer, gone: Callable[[], bool]) -> Generator[bytes]:
        """Yields nothing, once, as soon as there is text or an end; then the text."""
        try:
            while not (answer.length or answer.ending or gone()):
                answer.news(START, _BEAT_SECONDS)
            yield b""
            yield from _follow_text(answer, 0, gone)
        finally:
            self._desk.abandon(answer)
            self._seats.release()
        if answer.ending is not None and answer.ending.finish in (Finish.INTERRUPTED, Finish.FAILED):
            # Waitress takes an OSError as a broken connection: it closes without the last chunk.
            raise ConnectionAbortedError(f"the answer was not finished: {answer.ending.finish}")

    def list_addresses(self) -> HTTPResponse:
        """`GET /addresses`: what to type into a Kindle."""
        port = int(request.environ["SERVER_PORT"])
        return _html(self._pages.addresses(self._reader(), self._addresses(), port, self._mdns()))

    # ---- Checking a browser

    def check(self) -> HTTPResponse:
        """`GET /check`: the page that tests the browser which opens it."""
        now = time.time()
        response = _html(self._pages.check(self._reader(), now))
        response.set_cookie("server", str(int(now * 1000)), path="/check")  # to be found by the script
        return response

    def check_stream(self) -> HTTPResponse:
        """`GET /check/stream`: a few pieces, and silence behind each, to see which of them come before the end."""
        return HTTPResponse(self._seated(_pieces(_is_gone()), b""), headers={"Content-Type": frames.EVENT_STREAM})

    def add_report(self) -> HTTPResponse:
        """`POST /check`: what the page found, as JSON."""
        try:
            if request.content_length > _REPORT_BYTES:
                raise ReaderError(_BY_STATUS[413], 413)
            self._reports.add(_json_body())
        except ReaderError as error:
            return self._json_error(error.status, error.sentence)
        except StorageError as error:
            log.error("web: %s", error)
            return self._json_error(503, error.sentence)
        return HTTPResponse(status=204)

    def list_reports(self) -> HTTPResponse:
        """`GET /check/reports`: what browsers have said of themselves."""
        return _html(self._pages.reports(self._reader(), self._reports.latest(), time.time()))

    # ---- Looking after it

    def check_health(self) -> HTTPResponse:
        """`GET /healthz`: whether pages can be served, as a status and as JSON; more only to who knows the PIN."""
        checkup = self._health.check()
        facts, gate = checkup.facts, self._gate
        if gate and not _is_signed_in(gate, request.environ[_CLIENT]):
            facts = {"status": facts["status"]}
        return _json_response(facts, 200 if checkup.is_well else 503)

    # ---- What goes wrong

    def error(self, error: HTTPError) -> Any:
        """Bottle's errors, and ours raised as such: the body is a sentence or nothing of interest."""
        status = error.status_code
        if error.exception is not None:
            log.error("web: a mistake in %s %s", request.method, request.path, exc_info=error.exception)
        fallback = OWN_MISTAKE if status >= 500 else NOT_UNDERSTOOD
        sentence = error.body if isinstance(error.body, Sentence) else _BY_STATUS.get(status, fallback)
        if request.path.startswith("/api/") or _wants_json():
            return self._json_error(status, sentence)
        return _html(self._pages.message(self._reader(), sentence), status)

    def _json_error(self, status: int, sentence: Sentence, headers: dict[str, str] | None = None) -> HTTPResponse:
        return _json_response({"error": sentence.to(self._reader_language())}, status, headers)

    def _reader(self) -> Reader:
        look = Look.read(request.get_cookie("look", "")) or self._look
        return Reader(self._reader_language(), look, _unread())

    def _reader_language(self) -> str:
        return choose_language(request.get_header("Accept-Language", ""), self._language)


def _is_gone() -> Callable[[], bool]:
    """Whether the reader of this request has left, to be asked from anywhere."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return gone


def _events_now(answer: Answer, offset: int, language: str) -> bytes:
    return frames.events(answer.news(answer.position(offset), 0), language)


def _follow_events(answer: Answer, offset: int, language: str, gone: Callable[[], bool]) -> Iterator[bytes]:
    yield frames.PADDING
    position = answer.position(offset)
    last_sent = time.monotonic()
    while not gone():
        news = answer.news(position, _BEAT_SECONDS)
        position = news.position
        data = frames.events(news, language)
        if not data and time.monotonic() - last_sent >= _KEEP_ALIVE_SECONDS:
            data = frames.KEEP_ALIVE
        if data:
            yield data
            last_sent = time.monotonic()
        if news.ending is not None:
            return


def _follow_text(answer: Answer, offset: int, gone: Callable[[], bool]) -> Iterator[bytes]:
    position = Position(0, offset)
    while not gone():
        news = answer.news(position, _BEAT_SECONDS)
        text = answer.text(position.sent)
        position = Position(news.position.settled, position.sent + len(text))
        if text:
            yield text.encode()
        if news.ending is not None:
            return


def _pieces(gone: Callable[[], bool]) -> Iterator[bytes]:
    yield frames.PADDING
    for number in range(_CHECK_PIECES):
        if gone():
            return
        yield b"data: %d\n\n" % number
        time.sleep(_CHECK_SECONDS)


def _status_of(answer: Answer) -> int:
    """The HTTP status for an answer that has no text."""
    if answer.ending is not None and answer.ending.finish is Finish.BLOCKED:
        return 422
    if isinstance(answer.error, UpstreamSilent):
        return 504
    return 503 if isinstance(answer.error, UpstreamError) else 502


def _retry_after(error: Exception | None) -> dict[str, str]:
    seconds = error.retry_after if isinstance(error, UpstreamError | LimitError) else None
    return {} if seconds is None else {"Retry-After": str(int(seconds) + 1)}


def _tell_of(error: ReaderError) -> None:
    """The owner hears of limits, which may be too narrow; not of questions that were empty or too long."""
    if isinstance(error, LimitError):
        log.info("web: refused a question from %s: %s", request.remote_addr, error)


def _content_type() -> str:
    return str(request.environ["CONTENT_TYPE"])


def _limit_fields() -> None:
    """Bottle would make an entry of each field: 32,000 fit into the largest body that the server takes."""
    if _content_type() != "application/json" and request.body.read().count(b"&") >= _MOST_FIELDS:
        raise HTTPError(413)


def _json_body() -> object:
    if _content_type() != "application/json":
        raise ReaderError(Sentence("The request is to be JSON, with the content type application/json."), 415)
    try:
        return json.loads(request.body.read())
    except (ValueError, RecursionError):
        raise ReaderError(Sentence("The request is not valid JSON.")) from None


def _conversation(body: object) -> Conversation:
    """The messages of an API request, checked; an error names the place."""
    if not isinstance(body, dict):
        raise ReaderError(Sentence("The request is to be an object with “message” and “history”."))
    message, history = body.get("message"), body.get("history", [])
    if not isinstance(message, str):
        raise ReaderError(Sentence("“%(place)s” is to be a text.", place="message"))
    question = clean(message)
    check_question(question)
    if not isinstance(history, list) or len(history) > HISTORY_MESSAGES:
        raise ReaderError(
            Sentence("“history” is to be a list of at most %(most)d messages.", most=HISTORY_MESSAGES)
        )
    messages = [_message(entry, f"history[{index}]") for index, entry in enumerate(history)]
    return [*messages, Message("user", question)]


def _message(entry: object, place: str) -> Message:
    if not isinstance(entry, dict):
        raise ReaderError(Sentence("“%(place)s” is to be an object with “role” and “text”.", place=place))
    role, text = entry.get("role"), entry.get("text")
    if role != "user" and role != "model":
        raise ReaderError(Sentence("“%(place)s” is to be “user” or “model”.", place=f"{place}.role"))
    if not isinstance(text, str) or not text.strip():
        raise ReaderError(Sentence("“%(place)s” is to be a text that is not empty.", place=f"{place}.text"))
    return Message(role, clean(text))


def _wants_json() -> bool:
    return "application/json" in request.get_header("Accept", "")


def _json_response(body: object, status: int, headers: dict[str, str] | None = None) -> HTTPResponse:
    text = json.dumps(body, ensure_ascii=False)
    return HTTPResponse(text, status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def _device() -> str:
    """The name that this browser was given, "" if it has none yet."""
    name = str(request.get_cookie("device", ""))
    return name if re.fullmatch(r"[\w-]{8,64}", name, re.ASCII) else ""


def _who() -> str:
    """What tells this reader from others: the browser, or where it is, if it keeps no cookies."""
    return _device() or str(request.environ[_CLIENT])


def _unread() -> tuple[int, ...]:
    ids = str(request.get_cookie("unread", "")).split(".")
    return tuple(int(each) for each in ids if re.fullmatch(_NUMBER, each, re.ASCII))[-_MOST_UNREAD:]


def _unread_but(turn: int) -> list[int]:
    return [each for each in _unread() if each != turn]


def _remember_unread(response: HTTPResponse, turns: list[int]) -> None:
    _remember(response, "unread", ".".join(map(str, turns[-_MOST_UNREAD:])))


def _remember(
    response: HTTPResponse, name: str, value: str, httponly: bool = False, seconds: int = _KEEP_SECONDS
) -> None:
    """Give the browser a cookie; no other site may send it here."""
    response.set_cookie(name, value, path="/", max_age=seconds, httponly=httponly, samesite="lax")


def _is_signed_in(gate: Gate, client: str) -> bool:
    """Whether a browser has brought its pass, or a script the PIN."""
    if gate.takes(request.get_cookie("pin", ""), time.time()):
        return True
    scheme, _, pin = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return scheme.lower() == "bearer" and gate.is_right(pin.strip(), client, time.monotonic())


def _own_page(path: str) -> str:
    """A page of ours to go to; the first one, if this is none."""
    return path if re.fullmatch(_OWN_PAGE, path, re.ASCII) else "/"


def _accepts_events(accept: str) -> bool:
    return "text/event-stream" in accept


def _new_form_id() -> str:
    return secrets.token_urlsafe(9)


def _see(turn: Turn) -> HTTPResponse:
    return HTTPResponse(status=303, headers={"Location": f"/chats/{turn.chat}/{turn.number}"})


def _html(page: Page, status: int = 200) -> HTTPResponse:
    """A page, packed for a browser that takes it so: it then fits the first flight of a TCP connection."""
    body, headers = page.encode(), {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}
    headers[_POLICY] = page.policy
    if "gzip" in request.get_header("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return HTTPResponse(body, status, headers)
