"""The appliance as it runs at home, inside a test: real server, database and sockets, and the test's Gemini.

Only the command line and the signals are missing; test_main.py tests those.
"""

from __future__ import annotations

import codecs
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import urllib3

from kindle_appliance.answers.desk import AnswerDesk
from kindle_appliance.books.shelf import Shelf
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.places import Places
from kindle_appliance.storage.rate_limit import RateLimit
from kindle_appliance.storage.reports import Reports
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.text.hyphens import Hyphens, Words
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Limits, Rung
from kindle_appliance.web.adding import ADDING_PATH
from kindle_appliance.web.app import Web
from kindle_appliance.web.book_pages import BookPages
from kindle_appliance.web.guard import Guard
from kindle_appliance.web.health import Health
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.look import USUAL_LOOK, Look
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.pin import Gate
from kindle_appliance.web.server import USUAL_LIMITS, Server
from kindle_appliance.web.server import Limits as ServerLimits

from .gemini import Call, FakeGemini, Reply
from .rungs import gemini_rungs
from .secret_scanner import SCANNER

_READERS_STOP_SECONDS = 1.5
"""As in the appliance. A browser may hold a connection open on which it has asked nothing: Chromium does."""


class House:
    """Serves from `start()` (or entering) to `stop()` (or leaving). The folder keeps the chats between them."""

    def __init__(
        self,
        gemini_url: str,
        folder: Path,
        *,
        models: tuple[str, ...] = ("model-a", "model-b"),
        rungs: Sequence[Rung] = (),
        clocks: Clocks | None = None,
        followers: int = 32,
        language: str | None = None,
        is_demo: bool = False,
        pages: Pages | None = None,
        look: Look = USUAL_LOOK,
        guard: Guard | None = None,
        gate: Gate | None = None,
        history: int = 24_000,
        allowed: tuple[int, int | None, int | None] = (1000, None, None),
        ticks: Callable[[], float] = time.monotonic,
        books: int = 500,
        books_megabytes: int = 4000,
        owner_secret: bytes = b"",
        limits: ServerLimits = USUAL_LIMITS,
    ) -> None:
        self._gemini_url = gemini_url
        self._file = folder / "chats.sqlite"
        self._books = folder / "books", books, books_megabytes * 1_000_000
        self._owner_secret = owner_secret
        self._limits = limits  # of connections
        self._models = models
        self._rungs = rungs  # instead of the models of the test's Gemini
        self._clocks = clocks or Clocks(connect=5, first_byte=30, progress=30)
        self._followers = followers
        self.language = language
        layout = Layout(is_demo)
        self._pages = pages or Pages(layout)
        self._book_pages = BookPages(layout)
        self._look = look
        self._guard = guard or Guard()
        self._gate = gate
        self._history = history
        self._allowed = allowed
        self._ticks = ticks  # the clock of the questions of a minute
        self.client = urllib3.PoolManager(maxsize=64, retries=False, timeout=30)
        self._clients = [self.client]

    def start(self) -> None:
        self.database = Database(self._file, CHATS, mends=True)
        self.chats = Chats(self.database)
        self.chats.interrupt_unfinished()
        self.indexer = self.chats.index.worker()
        self.indexer.start()
        self.places = Places(self.database)
        self.shelf = Shelf(*self._books, self.places.forget)
        self.shelf.start()
        self.upstream = Upstream(self._gemini_url, self._clocks, provider=Gemini.provider)
        rungs = self._rungs or gemini_rungs(self.upstream, self._models, limits=Limits(self._history))
        self.desk = AnswerDesk(self.chats, Fallback(rungs, Quotas(self.database), self._clocks.first_byte))
        self.desk.start()
        self.reports = Reports(self.database)
        self.rate_limit = RateLimit(self.database, *self._allowed, ticks=self._ticks)
        self._has_dictionaries = False
        self.hyphens = Hyphens(read=self._read_dictionary)
        self.health = Health("0.0.0", self.database, self.desk, damaged=self.chats.look_further)
        web = Web(
            self.desk,
            self.chats,
            self._pages,
            self.reports,
            self.rate_limit,
            self.health,
            language=self.language,
            look=self._look,
            followers=self._followers,
            addresses=lambda: ["127.0.0.1"],
            guard=self._guard,
            gate=self._gate,
            hyphens=self.hyphens,
            shelf=self.shelf,
            owner_secret=self._owner_secret,
            ticks=self._ticks,
            places=self.places,
            book_pages=self._book_pages,
        )
        application = SCANNER.application(web.application())
        self.server = Server(
            application,
            "127.0.0.1",
            0,
            self._followers,
            limits=self._limits,
            language=self.language,
            uploads=[ADDING_PATH],
        )
        self.url = f"http://127.0.0.1:{self.server.port}"
        self._thread = threading.Thread(target=self.server.run, name="house")
        self._thread.start()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join()
        self.desk.close(5)
        self.server.close(_READERS_STOP_SECONDS)
        self.shelf.close()
        self.indexer.close()
        self.database.close()
        for upstream in {self.upstream, *(rung.place.upstream for rung in self._rungs)}:
            upstream.close()
        for client in self._clients:
            client.clear()

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def make_due(self) -> None:
        """Let the moment of all questions that wait come, and the quotas be back."""
        with self.database.write() as connection:
            connection.execute("UPDATE waiting SET at = ?", (time.time() - 1,))
            connection.execute("DELETE FROM quotas")
        self.desk._fallback._quotas._outages.clear()
        self.chats.waiting.changed.set()

    def hyphenate(self, language: str = "en") -> None:
        """Have the dictionary of a language in memory. Without this, text has no hyphens, and a page stays as it is
        when it is opened again.
        """
        self._has_dictionaries = True
        while not self.hyphens.has(language):
            time.sleep(0.01)

    def _read_dictionary(self, language: str) -> Any:
        return Words(language) if self._has_dictionaries else None

    # ---- As a browser

    def at(self, address: str) -> House:
        """The same house, as a client with another address of 127.0.0.0/8 sees it."""
        seen = copy(self)
        seen.client = urllib3.PoolManager(maxsize=64, retries=False, timeout=30, source_address=(address, 0))
        self._clients.append(seen.client)
        return seen

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.client.request("GET", self.url + path, headers=_named(headers), redirect=False)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> urllib3.BaseHTTPResponse:
        """Send a form, as a browser does."""
        return self.client.request(
            "POST",
            self.url + path,
            body=urlencode(fields),
            headers={"Content-Type": "application/x-www-form-urlencoded", **_named(headers)},
            redirect=False,
        )

    def send(self, path: str, body: object, **headers: str) -> urllib3.BaseHTTPResponse:
        """Send JSON, as a script does; `bytes` are sent unchanged."""
        return self.client.request(
            "POST",
            self.url + path,
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **_named(headers)},
            redirect=False,
        )

    def ask(self, question: str, chat: int | str = "", form: str = "") -> tuple[int, int]:
        """Ask through the form. Return the chat and the number of the new turn."""
        response = self.post("/ask", {"question": question, "chat": str(chat), "form": form})
        assert response.status == 303, response.data.decode()
        match = re.fullmatch(r"/chats/(\d+)/(\d+)", response.headers["Location"])
        assert match
        return int(match[1]), int(match[2])

    @contextmanager
    def follow(self, path: str, **headers: str) -> Iterator[Follow]:
        """Get a response that is read while it is sent."""
        response = self.client.request(
            "GET", self.url + path, headers=_named(headers), redirect=False, preload_content=False
        )
        try:
            yield Follow(response)
        finally:
            response.close()

    @contextmanager
    def converse(self, body: object, **headers: str) -> Iterator[Follow]:
        """`POST /api/chat`, read while it is sent."""
        response = self.client.request(
            "POST",
            self.url + "/api/chat",
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **_named(headers)},
            redirect=False,
            preload_content=False,
        )
        try:
            yield Follow(response)
        finally:
            response.close()

    @contextmanager
    def converse_later(self, body: object) -> Iterator[Future[bytes]]:
        """`POST /api/chat` in a thread of its own. The future holds the whole answer."""

        def converse() -> bytes:
            with self.converse(body) as follow:
                return follow.read_to_end()

        with ThreadPoolExecutor(1) as client:
            yield client.submit(converse)


def answered(gemini: FakeGemini, house: House, text: str, question: str = "Why?") -> str:
    """Ask, let Gemini answer with `text`, and wait for the end. Return the path of the turn."""
    gemini.replies(Reply.answer(text))
    chat, number = house.ask(question)
    turn = house.chats.find_turn(chat, number)
    assert turn
    with house.follow(f"/answers/{turn.id}?as=text") as follow:
        follow.read_to_end()
    return f"/chats/{chat}/{number}"


def begin(house: House, gemini: FakeGemini, text: str) -> Call:
    """Ask a question on the page, and let Gemini begin its answer with `text`."""
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    call.text(text)
    return call


class Follow:
    """A response that is still being sent. `state` is that of the page: settled blocks, then the HTML of a tail."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.response = response
        self.status = response.status
        self.headers = response.headers
        self.body = b""
        self.state = PageState()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._scanned = SCANNER.stream("response")

    def read(self) -> bytes:
        """The next bytes, `b""` at the end."""
        data = self.response.read1(65536)
        self._scanned.feed(data)
        self.body += data
        self.state.feed(self._decoder.decode(data))
        return data

    def read_until(self, text: str) -> None:
        """Read until `text` has arrived."""
        while text.encode() not in self.body:
            assert self.read(), f"ended without {text!r}: {self.body!r}"

    def read_to_end(self) -> bytes:
        while self.read():
            pass
        return self.body


class PageState:
    """The reader's half of the protocol: what static/live.js does with events, in Python."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.upto = 0
        self.tail = ""
        self.state = ""
        self.end: dict[str, str] | None = None
        self.events: list[tuple[str, Any]] = []
        self._partial = ""

    def feed(self, text: str) -> None:
        *frames, self._partial = (self._partial + text).split("\n\n")
        for frame in frames:
            lines = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line and line[0] != ":")
            if "event" not in lines:
                continue
            name, value = lines["event"], json.loads(lines["data"])
            assert self.end is None, f"{name} after the end"
            self.events.append((name, value))
            if name == "tail":
                had = self.tail.encode("utf-16-le")
                assert 0 <= 2 * value["keep"] <= len(had) and value != {"keep": len(had) // 2, "html": ""}
                self.tail = had[: 2 * value["keep"]].decode("utf-16-le") + value["html"]
            elif name == "state":
                self.state = value
            elif name == "block":
                assert lines["id"] == str(value["upto"])
                self.blocks.append(value["html"])
                self.upto, self.tail = value["upto"], ""
            else:
                assert name == "end"
                self.end = value


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
