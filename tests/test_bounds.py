"""SECURITY.md says who can use up what: each line of that table is shown here over real sockets, with its figures.

To add a line: write it into the table, and a function here with `@shows(resource, who)`. It gets the figures of the
line's third column.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest
import urllib3
from conftest import ROOT
from fakes import mdns_packets
from fakes.chats import catch_up
from fakes.epub_file import members, pack, package
from fakes.gemini import FakeGemini, Reply, retry_info
from fakes.house import House, answered, begin
from fakes.program import Appliance
from fakes.raw_client import connect, is_open
from fakes.secrets import PIN
from fakes.shelf import novel_file, put

from kindle_appliance.books.shelf import Incoming
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.host.sieve import Sieve, place
from kindle_appliance.settings import Settings
from kindle_appliance.storage.buckets import MOST_BUCKETS
from kindle_appliance.storage.terms import Query
from kindle_appliance.typesetting.typesetter import Block, Typesetter
from kindle_appliance.web.body import USUAL_PACE, Body, Pace
from kindle_appliance.web.guard import Guard
from kindle_appliance.web.pin import Gate
from kindle_appliance.web.server import RESERVED_THREADS, USUAL_LIMITS, Limits

USUAL = Settings()
STREAM = "/answers/1?as=events"


class Bound:
    """What a proof gets: a Gemini, a folder, and a clock for the questions of a minute that stands still."""

    def __init__(self, gemini: FakeGemini, folder: Path) -> None:
        self.gemini = gemini
        self.folder = folder
        self.ticks = 0.0

    @contextmanager
    def house(
        self, guard: Guard | None = None, gate: Gate | None = None, limits: Limits = USUAL_LIMITS
    ) -> Iterator[House]:
        """The appliance with its default limits."""
        allowed = (USUAL.questions_per_minute, USUAL.device_questions_per_day, USUAL.questions_per_day)
        with House(
            self.gemini.url,
            self.folder,
            allowed=allowed,
            followers=USUAL.followers,
            ticks=lambda: self.ticks,
            guard=guard,
            gate=gate,
            limits=limits,
        ) as house:
            yield house

    @contextmanager
    def program(self) -> Iterator[Appliance]:
        """The program itself, with its default settings."""
        with closing(Appliance(self.folder, "--demo", "--no-mdns", "--data", str(self.folder / "data"))) as running:
            yield running


Proof = Callable[[Bound, Sequence[int]], None]
PROOFS: dict[tuple[str, str], Proof] = {}


def shows(resource: str, who: str) -> Callable[[Proof], Proof]:
    def add(proof: Proof) -> Proof:
        PROOFS[resource, who] = proof
        return proof

    return add


def lines() -> list[tuple[str, str, str, str]]:
    """The lines of the table: resource, who, at most, where."""
    _, _, section = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Who can use up what\n")
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| `(.+?)` \|$", section.partition("\n## ")[0], re.MULTILINE)
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def figures(text: str) -> list[int]:
    return [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*\b", text)]


_COMPUTED = (
    "time and memory, with reading a book",
    "each book",
)  # most of its time; coverage would make it minutes


@pytest.mark.parametrize(
    "line",
    [pytest.param(each, marks=pytest.mark.slow if each[:2] == _COMPUTED else ()) for each in lines()],
    ids=lambda line: f"{line[0]}, {line[1]}",
)
def test_each_line_about_who_can_use_up_what_holds(
    line: tuple[str, str, str, str], gemini: FakeGemini, tmp_path: Path
) -> None:
    resource, who, most, where = line
    assert (ROOT / "kindle_appliance" / where).is_file()
    assert (resource, who) in PROOFS, "a line without a proof"
    gemini.default = Reply.answer("Yes.")
    PROOFS[resource, who](Bound(gemini, tmp_path), figures(most))


def test_each_proof_has_its_line_in_the_table() -> None:
    assert [each[:2] for each in lines()] == list(PROOFS)


# ---- Questions


def asked(house: House, count: int, cookie: str = "") -> int:
    """Ask `count` questions, with a cookie or each with a new one. Return how many are accepted; others get 429."""
    statuses = []
    for number in range(count):
        fields = {"question": "Why?"}  # without the id of a form each is a new one
        name = cookie or f"made-up-{number}"
        statuses.append(house.post("/ask", fields, Cookie=f"device={name}").status)
    assert set(statuses) <= {303, 429}
    return statuses.count(303)


def have_asked(house: House, address: str, count: int) -> None:
    """Store that so many questions have been asked today from an address."""
    with house.database.write() as connection:
        values = (date.today().isoformat(), address, "earlier", count)
        connection.execute("INSERT INTO asked (day, address, reader, questions) VALUES (?, ?, ?, ?)", values)


@shows("questions of a minute", "one browser")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, seconds = most
    with bound.house() as house:
        assert asked(house, at_once + 3, "a-browser") == at_once
        bound.ticks += seconds - 0.1
        assert asked(house, 1, "a-browser") == 0
        bound.ticks += 0.2
        assert asked(house, 2, "a-browser") == 1
        assert asked(house, 1, "another-browser") == 1


@shows("questions of a minute", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, in_a_minute = most
    with bound.house() as house:
        assert asked(house, 200) == at_once
        bound.ticks += 60
        assert asked(house, 60) == in_a_minute
        assert house.send("/api/chat", {"message": "Why?"}).status == 429, "scripts are counted with them"
        assert asked(house.at("127.0.0.2"), 1) == 1


@shows("questions of a day", "one address, once another has asked within seven days")
def _(bound: Bound, most: Sequence[int]) -> None:
    of_one, of_all = most
    with bound.house() as house:
        have_asked(house, "127.0.0.1", of_one - 1)
        assert asked(house.at("127.0.0.2"), 1) == 1
        assert asked(house, 3) == 1
        assert asked(house.at("127.0.0.2"), 1) == 1
        assert of_all == USUAL.questions_per_day


@shows("questions of a day", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        have_asked(house, "127.0.0.9", most[0] // 2)
        have_asked(house, "127.0.0.1", most[0] - most[0] // 2 - 1)
        assert asked(house, 3) == 1
        assert asked(house.at("127.0.0.2"), 1) == 0


@shows("questions", "one form with one question, sent again and again")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        for _ in range(10):
            assert house.ask("Why?", form="the-form") == (1, 1)
        assert house.database.read("SELECT sum(questions) FROM asked")[0][0] == most[0]


@shows("length of a question", "each question")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        for more, by_form, by_script in ((0, 303, 200), (1, 413, 413)):
            question = "x" * (most[0] + more)
            assert house.post("/ask", {"question": question}).status == by_form
            assert house.send("/api/chat", {"message": question}).status == by_script


@shows("memory of the limits of a minute", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    assert most[0] == MOST_BUCKETS
    with bound.house() as house:
        assert asked(house, 1, "a-browser") == 1  # one of the browser, and one of its address
        for number in range(most[0] - 2):
            assert house.rate_limit._buckets.take({("reader", str(number)): 6}) == 0
        assert asked(house.at("127.0.0.2"), 20) == asked(house, 20) == 0, "new ones wait"
        assert asked(house, 9, "a-browser") == USUAL.questions_per_minute - 1, "the others have what they had"
        assert len(house.rate_limit._buckets) == most[0]
        bound.ticks += 61
        assert asked(house.at("127.0.0.2"), 1) == 1


# ---- Streams and connections


def streams(house: House, count: int, stack: ExitStack) -> int:
    """Follow the answer `count` times. Return how many of these are streams; the others must poll."""
    followed = 0
    for _ in range(count):
        follow = stack.enter_context(house.follow(STREAM))
        while b"Word" not in follow.body and b"retry: " not in follow.body:
            assert follow.read()
        followed += b"Word" in follow.body
    return followed


@shows("streams, which hold a thread each", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    of_one, of_all, status = most
    bound.gemini.default = None
    with bound.house() as house, ExitStack() as stack:
        call = begin(house, bound.gemini, "Word ")
        assert streams(house, of_one + 3, stack) == of_one
        assert house.get("/check/stream").status == house.get("/answers/1?as=text").status == status
        assert house.get("/answers/1?wait=0").data == b"Word "
        assert streams(house.at("127.0.0.2"), 1, stack) == 1
        assert of_all == USUAL.followers
        call.finish(".")


@shows("streams, which hold a thread each", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    of_all, pages = most
    bound.gemini.default = None
    with bound.house() as house, ExitStack() as stack:
        call = begin(house, bound.gemini, "Word ")
        taken = [streams(house.at(f"127.0.0.{number}"), of_all // 4 + 1, stack) for number in range(2, 9)]
        assert sum(taken) == of_all
        with house.converse_later({"message": "Why?"}) as script:
            answer = bound.gemini.next_call()
            assert house.at("127.0.0.9").send("/api/chat", {"message": "Why?"}).status == 503
            assert house.get("/").status == 200 and pages == RESERVED_THREADS - 2
            answer.start()
            answer.finish("Because.")
            assert script.result(20) == b"Because."
        call.finish(".")


def open_connections(running: Appliance, addresses: Sequence[str], expected: int) -> int:
    """Open a connection from each of these addresses. Return how many the program leaves open, once these are as
    few as expected.
    """
    with ExitStack() as stack:
        clients = []
        for address in addresses:
            clients.append(stack.enter_context(connect(running.port, address)))
        running.patience = 50  # a slow machine takes so long to accept them all; none is too long idle by then
        assert running.get("/healthz").status == 200, "by then it has accepted them all"
        deadline = time.monotonic() + 20
        while (left := sum(map(is_open, clients))) > expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


@shows("connections", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.program() as running:
        assert open_connections(running, ["127.0.0.2"] * (most[0] + 9), most[0]) == most[0]


@shows("connections", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.program() as running:
        addresses = [f"127.0.0.{2 + number % 20}" for number in range(most[0] + 20)]
        own = 1  # to see that the program answers
        assert open_connections(running, addresses, most[0] - own) == most[0] - own


@shows("bytes of a request", "each request")
def _(bound: Bound, most: Sequence[int]) -> None:
    body, head = (each * 1024 for each in most)
    with bound.house() as house:
        for more, status in ((0, 200), (1, 413)):
            assert house.send("/api/chat", b'{"message": "Why?"}'.ljust(body + more)).status == status
        for size, status in ((head - 500, 200), (head, 431)):
            assert house.get("/", X_Long="x" * size).status == status


# ---- Books


def add(house: House, data: bytes) -> urllib3.BaseHTTPResponse:
    """Send a file, as a script does."""
    return house.send("/books", data, Content_Type="application/epub+zip", Accept="application/json")


@contextmanager
def upload(house: House, rate: float = 0.0) -> Iterator[tuple[socket.socket, Body]]:
    """A connection on which a large book comes in with so many bytes a second, and what the server keeps of it."""
    head = "POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/epub+zip\r\n"
    stop = threading.Event()

    def pour() -> None:
        with suppress(OSError):
            while rate and not stop.wait(0.05):
                client.sendall(bytes(int(rate / 20)))

    def uploads() -> list[Body]:
        return [each.upload for each in house.server._channels() if each.upload]

    earlier = uploads()
    with connect(house.server.port) as client, ThreadPoolExecutor(1) as sender:
        client.sendall(f"{head}Content-Length: {10**8}\r\n\r\n".encode())
        deadline, begun = time.monotonic() + 20, list[Body]()
        while not begun:
            assert time.monotonic() < deadline
            begun = [each for each in uploads() if each not in earlier and each._is_read]
        sender.submit(pour)
        try:
            yield client, begun[0]
        finally:
            stop.set()


@shows("memory, with a book that comes in", "each connection")
def _(bound: Bound, most: Sequence[int]) -> None:
    writes = threading.Event()
    with bound.house() as house, pytest.MonkeyPatch.context() as patch, upload(house) as (client, body):
        patch.setattr(Incoming, "write", lambda *_: writes.wait(60))  # a card that takes its time
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.send(bytes(65536))
        assert len(body._kept) == most[0] * 1024
        writes.set()


@shows("time, with a book that comes in", "each upload")
def _(bound: Bound, most: Sequence[int]) -> None:
    silent, waiting, rate = most
    assert (silent, waiting, rate * 1024) == (
        USUAL_PACE.silent_seconds,
        USUAL_PACE.grace_seconds,
        USUAL_PACE.least_rate,
    )
    hasty = Limits(pace=Pace(silent_seconds=silent / 20, grace_seconds=waiting / 20, least_rate=rate * 1024))
    with bound.house(limits=hasty) as house:
        with upload(house) as (client, _):
            assert b" 408 " in client.recv(1000)
        with upload(house) as (client, _):
            client.settimeout(0.1)
            sent = 0
            while True:
                sent += client.send(bytes(rate * 100 // 2))
                with suppress(TimeoutError):
                    assert b" 408 " in client.recv(1000)
                    break
            assert sent < 10**6


@shows("the turn to add a book", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    kilobytes, seconds = most
    assert seconds == USUAL_PACE.moment_seconds
    with bound.house(limits=Limits(pace=Pace(moment_seconds=seconds / 10))) as house:
        other = house.at("127.0.0.2")
        for rate, status in ((10 * kilobytes, 503), (kilobytes / 10, 422)):
            with upload(house, rate * 1024) as (_, body):
                while body._waited < seconds / 5:
                    time.sleep(0.01)
                assert add(other, b"no book %d" % rate).status == status
            while add(house, b"mine").status == 503 and add(other, b"its turn %d" % rate).status == 503:
                time.sleep(0.01)


@shows("the turn to add a book", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house, upload(house):
        refused = add(house, b"no book"), add(house.at("127.0.0.2"), b"no book")
        assert [each.status for each in refused] == [503, 503] and most == [1]
        assert all(int(each.headers["Retry-After"]) > 0 for each in refused)


@shows("the card, with books", "each book")
def _(bound: Bound, most: Sequence[int]) -> None:
    data, written = bytes(most[0] * 2**20), list[int]()
    write = Incoming.write

    def counted(incoming: Incoming, piece: bytes) -> None:
        written.append(len(piece))
        write(incoming, piece)

    with bound.house() as house, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Incoming, "write", counted)
        assert add(house, data).status == 422 and sum(written) == len(data)
        assert add(house, data + b"x").status == 413 and sum(written) <= 2 * len(data)
        assert not [*(bound.folder / "books" / "incoming").iterdir()]


@shows("the card, with books", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, minutes = most
    with bound.house() as house:
        assert [add(house, b"%d" % number).status for number in range(at_once + 3)] == [422] * at_once + [429] * 3
        assert 0 < int(add(house, b"x").headers["Retry-After"]) <= 60 * minutes + 1
        assert add(house.at("127.0.0.2"), b"x").status == 422


@shows("the card, with books", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, minutes = most
    with bound.house() as house:
        houses = [house.at(f"127.0.0.{2 + number}") for number in range(7)]
        statuses = [add(houses[number % 7], b"%d" % number).status for number in range(at_once + 3)]
        assert statuses == [422] * at_once + [429] * 3
        assert 0 < int(add(houses[6], b"x").headers["Retry-After"]) <= 60 * minutes + 1


@shows("time and memory, with reading a book", "each book")
def _(bound: Bound, most: Sequence[int]) -> None:
    parts, megabytes, tags, characters = most
    noise = "".join(random.Random(1).choices("abcdefghij klmnop", k=20_000))  # deflate makes a hundredth of it

    def status(house: House, **documents: bytes) -> int:
        opf = package([f"{name}.xhtml" for name in documents], "")
        own = {"OPS/package.opf": opf, **{f"OPS/{name}.xhtml": data for name, data in documents.items()}}
        return add(house, pack(bound.folder / "a.epub", {**members(), **own}).read_bytes()).status

    with bound.house() as house:
        empty = {f"x{number}": b"" for number in range(parts - len(members()))}
        for more, expected in ((0, 201), (1, 422)):
            data = pack(bound.folder / "a.epub", {**members(), **empty, **dict.fromkeys(["y"][:more], b"")})
            assert add(house, data.read_bytes()).status == expected
        comment = f"<!--{noise}-->".encode() * (megabytes * 1_000_000 // 4 // 20_007 + 1)
        assert status(house, a=comment, b=comment, c=comment, d=b"<p>x</p>") == 201
        assert status(house, a=comment, b=comment, c=comment, d=comment) == 422
        unit = f"{'<b/>' * 1000}<!--{noise}-->".encode()
        for units, expected in ((tags // 3000 - 50, 201), (tags // 3000 + 1, 422)):
            assert status(house, a=unit * units, b=unit * units, c=unit * units + b"<p>x</p>") == expected
        page = noise.encode() * (characters // 19_000 // 2)  # several spaces are one
        assert status(house, a=page, b=page) == 422


# ---- Reading


LONG = "A paragraph of *some* words.\n\n" * 35_000


@shows("memory, with responses that are not read", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house, ExitStack() as clients:
        answered(bound.gemini, house, LONG)
        for number in range(2 * most[0]):  # of 1 MB each
            client = clients.enter_context(connect(house.server.port, f"127.0.0.{2 + number % 5}", takes=4096))
            client.sendall(b"GET /answers/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(1), "the response has begun"
        held = sum(each.total_outbufs_len for each in house.server._channels() if not each.must_close)
        assert most[0] / 2 < held / 2**20 <= most[0] + 1, "one more may just have been written"


@shows("time of the processor, with pages of answers", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    now, at_once = 0, set[int]()
    feed = Typesetter.feed

    def counted(typesetter: Typesetter, text: str) -> list[Block]:
        nonlocal now
        now += 1
        at_once.add(now)
        try:
            return feed(typesetter, text)
        finally:
            now -= 1

    with bound.house() as house, pytest.MonkeyPatch.context() as patch:
        for number in range(6):
            answered(bound.gemini, house, LONG[: (100_000, 4000)[number % 2]])
        patch.setattr(Typesetter, "feed", counted)
        with ThreadPoolExecutor(24) as readers:
            paths = [f"/chats/{1 + number % 6}/1" for number in range(24)]
            assert [reply.status for reply in readers.map(house.get, paths)] == [200] * 24
    assert at_once and max(at_once) <= most[0]


@shows("HTML of an answer", "each answer")
def _(bound: Bound, most: Sequence[int]) -> None:
    times, besides = most
    address = "https://example.org/" + "x" * 1800
    text = f"[a]: {address}\n\n" + "[a] [a] [a]\n\n" * 2000
    with bound.house() as house:
        answered(bound.gemini, house, text)
        with house.follow(STREAM) as follow:
            follow.read_to_end()
        html = "".join(follow.state.blocks)
    assert 10 < html.count("(example.org)") == 6000 - html.count("[a]"), "the rest is set plainer, and is there"
    assert len(html.encode()) <= times * len(text.encode()) + besides * 1024


@shows("requests to the model server", "each question")
def _(bound: Bound, most: Sequence[int]) -> None:
    seconds, times = most
    assert seconds == USUAL.first_byte_seconds
    bound.gemini.default = Reply.error(429, "RESOURCE_EXHAUSTED", "slowly", [retry_info("0.1s")])
    with bound.house() as house:
        house.ask("Why?")
        with house.follow("/answers/1") as follow:
            follow.read_to_end()
    assert Counter(call.model for call in bound.gemini.calls) == dict.fromkeys(("model-a", "model-b"), times)


# ---- The card


@shows("the card, with reports of browsers", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        sent = [house.send("/check", {}).status for _ in range(most[0] + 5)]
        assert sent == [204] * most[0] + [429] * 5
        assert 0 < int(house.send("/check", {}).headers["Retry-After"]) <= 61
        assert house.at("127.0.0.2").send("/check", {}).status == 204


@shows("the card, with reports of browsers", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, in_a_minute, kept = most
    with bound.house() as house:
        clients = [house.at(f"127.0.0.{number}") for number in range(2, 12)]
        sent = [client.send("/check", {}).status for client in clients for _ in range(20)]
        assert sent == [204] * at_once + [429] * (200 - at_once)
        assert 0 < int(house.send("/check", {}).headers["Retry-After"]) <= 60 / in_a_minute + 1
        assert len(house.reports.latest()) == kept


def renamed(house: House, count: int) -> list[int]:
    """Rename a chat so often, and return the statuses. (The name that it has already costs nothing.)"""
    name = house.chats.recent(1)[0].name
    return [house.post("/chats/1/rename", {"name": f"{name[-20:]}{number}"}).status for number in range(count)]


@shows("the card, with names", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        house.ask("Why?")
        assert renamed(house, most[0] + 5) == [303] * most[0] + [429] * 5
        assert 0 < int(house.post("/chats/1/rename", {"name": "x"}).headers["Retry-After"]) <= 61
        assert renamed(house.at("127.0.0.2"), 1) == [303]


@shows("the card, with names", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, in_a_minute = most
    with bound.house() as house:
        house.ask("Why?")
        statuses = [status for number in range(2, 12) for status in renamed(house.at(f"127.0.0.{number}"), 20)]
        assert statuses == [303] * at_once + [429] * (200 - at_once)
        after = int(house.post("/chats/1/rename", {"name": "x"}).headers["Retry-After"])
        assert 0 < after <= 60 / in_a_minute + 1


def let_wait(house: House, count: int) -> list[int]:
    """Take a question back, which nothing limits, and let it wait, so often; return the statuses of the latter."""
    statuses = []
    for _ in range(count):
        assert house.post("/answers/1/withdraw", {}).status == 303
        statuses.append(house.post("/answers/1/wait", {}).status)
    return statuses


def fail(house: House, questions: int) -> None:
    """Ask questions that could wait for a quota."""
    for number in range(questions):
        turn, _ = house.chats.ask("Why?", None, f"form-{number}")
        house.chats.store_ending(turn.id, "", Ending(Finish.FAILED, back_at=time.time() + 3600))


@shows("the card, by waiting", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        fail(house, 1)
        assert let_wait(house, most[0]) == [303] * most[0]
        assert let_wait(house, 1) == [429]
        assert 0 < int(house.post("/answers/1/wait", {}).headers["Retry-After"]) <= 61
        assert let_wait(house.at("127.0.0.2"), 1) == [303]


@shows("the card, by waiting", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, in_a_minute, waiting = most
    with bound.house() as house:
        fail(house, waiting + 1)
        others = [house.at(f"127.0.0.{number}") for number in range(2, 12)]
        statuses = [
            others[number % 10].post(f"/answers/{number}/wait", {}).status for number in range(1, waiting + 2)
        ]
        assert statuses == [303] * waiting + [409]
        left = at_once - waiting - 1
        statuses = [status for other in others for status in let_wait(other, 10)]
        assert statuses == [303] * left + [429] * (100 - left)
        after = int(house.post("/answers/21/wait", {}).headers["Retry-After"])
        assert 0 < after <= 60 / in_a_minute + 1


def set_places(house: House, path: str, count: int, first: int = 0) -> list[int]:
    """Set so many places, each another than the last one (the same again costs nothing); return the statuses."""
    figures = [str((first + number) % 90) for number in range(count)]
    return [house.post(f"{path}/place", {"per_cent": each}).status for each in figures]


@shows("the card, with places in books, and by removing books", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        path = f"/books/{put(house.shelf, novel_file()).name}"
        assert set_places(house, path, most[0] - 2) == [303] * (most[0] - 2)
        assert [house.post(f"{path}/{each}", {}).status for each in ("remove", "put-back")] == [303, 303]
        assert set_places(house, path, 5, most[0]) == [429] * 5
        assert [house.post(f"{path}/{each}", {}).status for each in ("remove", "put-back")] == [429, 303]
        assert 0 < int(house.post(f"{path}/place", {"per_cent": "99"}).headers["Retry-After"]) <= 61
        assert set_places(house.at("127.0.0.2"), path, 1) == [303]


@shows("the card, with places in books, and by removing books", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    at_once, in_a_minute, kept = most
    with bound.house() as house:
        path = f"/books/{put(house.shelf, novel_file()).name}/place"
        clients = [house.at(f"127.0.0.{number}") for number in range(2, 12)]
        statuses = [
            clients[number // 30].post(path, {"per_cent": "9"}, Cookie=f"device=made-up-{number:03}").status
            for number in range(300)
        ]
        assert statuses == [303] * at_once + [429] * (300 - at_once)
        after = int(house.post(path, {"per_cent": "99"}).headers["Retry-After"])
        assert 0 < after <= 60 / in_a_minute + 1
        assert house.database.read("SELECT count(*) FROM places")[0][0] == kept
        assert "You are" in house.get(path[:-6], Cookie=f"device=made-up-{at_once - 1:03}").data.decode(), (
            "the last"
        )


@shows("a search", "each")
def _(bound: Bound, most: Sequence[int]) -> None:
    characters, terms, looks, answers = most
    assert Query(" " * (characters - 3) + "sea lake").terms == ("sea",)
    assert len(Query(" ".join("abcdefghijklmnopqrst")).terms) == terms
    with bound.house() as house:
        with house.database.write() as connection:
            connection.execute("INSERT INTO chats (questions, newest) VALUES (1, 1)")
            connection.executemany(
                "INSERT INTO turns (chat, number, question, form, asked, finish)"
                " VALUES (1, ?, 'sea', ?, 0, 'stopped')",
                [(number, str(number)) for number in range(1, 2 * looks * answers)],
            )
        catch_up(house.chats)
        found = house.chats.search(Query("sea"), 20)
        newest = house.chats.search(Query("sea"), 1).hits[0].number
        assert found.older is not None and newest - found.older == looks * answers - 1


@shows("the card, by reading", "everybody")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house() as house:
        house.ask("Why?")
        with house.follow("/answers/1") as follow:
            assert follow.read_to_end() == b"Yes."
        book = f"/books/{put(house.shelf, novel_file()).name}"
        assert set_places(house, book, 1) == [303]
        names = ("chats.sqlite", "books/books.sqlite")
        files = [bound.folder / f"{name}{each}" for name in names for each in ("", "-wal")]
        before = [each.read_bytes() for each in files]
        for _ in range(10):
            for path in (
                "/",
                "/chats",
                "/chats?q=why",
                "/chats/1/edit",
                "/chats/1/1",
                STREAM,
                f"{STREAM}&wait=0",
                "/check",
                "/check/reports",
                "/books",
                "/books?q=moor",
                book,
                f"{book}/place",
            ):
                assert house.get(path).status == 200
            assert house.post(f"{book}/place", {"words": "here begins number7"}).status == 200
            assert set_places(house, book, 1) == [303], "the same place again"
            house.post("/look", {"look": "5", "back": "/"})
        assert [each.read_bytes() for each in files] == before and not most


# ---- Wrong PINs


def wrong_pins(house: House, count: int) -> list[int]:
    return [house.get("/chats", Authorization="Bearer 0000").status for _ in range(count)]


class Reading(asyncio.DatagramProtocol):
    """A listener of asyncio in the place of zeroconf's: the sources of the packets that it gets to read."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sources.append(addr[0])


@shows("multicast DNS packets that are read", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    in_a_second, of_one, size = most
    question = mdns_packets.packet(0, [mdns_packets.question(mdns_packets.name("kindle", "local"), 1)], [])
    reading, errors = Reading(), list[BaseException]()
    loop = asyncio.new_event_loop()
    try:
        opening = loop.create_datagram_endpoint(lambda: reading, ("127.0.0.1", 0))
        transport, _ = loop.run_until_complete(opening)
        # The time stands still: this is one second.
        place(Sieve(("kindle",), (), lambda: 0.0), loop, [transport], errors.append)
        loop.run_until_complete(asyncio.sleep(0))
        address = transport.get_extra_info("sockname")
        for number in range(1, 21):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as machine:
                machine.bind((f"127.0.1.{number}", 0))
                machine.sendto(question.ljust(size + 1, b"\0"), address)
                for _ in range(of_one + 3 if number == 1 else 4):
                    machine.sendto(question.ljust(size, b"\0"), address)
            loop.run_until_complete(asyncio.sleep(0.01))
    finally:
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert not errors
    assert Counter(reading.sources)["127.0.1.1"] == of_one
    assert len(reading.sources) == in_a_second


@shows("wrong PINs", "one address")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house(gate=Gate(PIN, b"s" * 32)) as house:
        assert 429 not in wrong_pins(house, most[0] - 1)
        assert wrong_pins(house, 1) == [429]
        assert house.get("/chats", Authorization=f"Bearer {PIN}").status == 429
        assert house.at("127.0.0.2").get("/chats", Authorization=f"Bearer {PIN}").status == 200


@shows("wrong PINs", "all together")
def _(bound: Bound, most: Sequence[int]) -> None:
    with bound.house(gate=Gate(PIN, b"s" * 32)) as house:
        signed_in = house.post("/pin", {"pin": PIN, "back": "/"}).headers["Set-Cookie"].partition(";")[0]
        for number in range(most[0] - 1):
            wrong_pins(house.at(f"127.0.0.{2 + number}"), 1)
        fresh = house.at("127.0.0.200")
        assert fresh.get("/chats", Authorization=f"Bearer {PIN}").status == 200
        wrong_pins(house.at("127.0.0.201"), 1)
        assert fresh.get("/chats", Authorization=f"Bearer {PIN}").status == 429
        assert house.get("/chats", Cookie=signed_in).status == 200
