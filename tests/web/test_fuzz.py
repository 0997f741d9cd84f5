"""A hundred thousand senseless requests, against the real program over real sockets.

Hypothesis assembles a fifth from the parts of a request; the others are recorded requests of browsers with some of
their bytes changed. No response is a 500, nothing is logged as a mistake, and the program does not grow.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import urllib3
from conftest import Soak
from fakes.epub_file import make_epub
from fakes.gemini import FakeGemini, Reply
from fakes.process import Process
from fakes.program import Appliance
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

AT_ONCE = 50
PATIENCE_SECONDS = 0.25  # for a response that may never come: the request may announce more bytes
GROWTH_MB = 6

CLOSING = b"\r\n\r\nGET /chats HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
"""Behind every request, so that one whose end is missing has one, and the connection too."""


class Target:
    """The program, with a Gemini that answers every question."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._open = contextlib.ExitStack()
        gemini = self._open.enter_context(FakeGemini())
        gemini.default = Reply.answer("**Ja.** [x](http://example.org)\n")
        self._appliance = Appliance(folder, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY, **more)
        self._open.callback(self._appliance.close)
        self._clients = self._open.enter_context(ThreadPoolExecutor(AT_ONCE))
        self._process = Process(self._appliance.process.pid)
        (secret,) = folder.rglob("owner-secret")
        self.owner = secret.read_bytes().hex().encode()
        self.cookie = ""
        if "KINDLE_APPLIANCE_PIN" in more:
            self.sign_in(more["KINDLE_APPLIANCE_PIN"])
        self._appliance.ask("Why?")
        self._book = self._add(make_epub(folder / "book.epub")).encode()

    def _add(self, path: Path) -> str:
        """Put a book on the shelf, and return its name, which requests call "the-book"."""
        kind = {"Content-Type": "application/epub+zip", "Accept": "application/json", "Cookie": self.cookie}
        address = f"http://127.0.0.1:{self._appliance.port}/books"
        added = urllib3.request("POST", address, body=path.read_bytes(), headers=kind)
        assert added.status == 201, added.data
        return str(added.json()["name"])

    def sign_in(self, pin: str) -> None:
        self.cookie = str(self._appliance.post("/pin", pin=pin).headers["Set-Cookie"]).partition(";")[0]
        self._appliance.sign_in(self.cookie)

    def close(self) -> None:
        self._open.close()

    def send(self, requests: Iterable[bytes]) -> None:
        """Send each request on a connection of its own, some at a time."""
        for request, statuses in self._clients.map(self._exchange, requests):
            self.statuses.update(statuses)
            assert 500 not in statuses, request

    def _exchange(self, request: bytes) -> tuple[bytes, list[int]]:
        received = bytearray()
        address = ("127.0.0.1", self._appliance.port)
        # The program may close with bytes still unread, or wait for more.
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=PATIENCE_SECONDS) as client:
            client.sendall(request.replace(b"the-book", self._book) + CLOSING)
            while data := client.recv(65536):
                received += data
        SCANNER.scan_connection(bytes(received))
        return request, [int(each) for each in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", received, re.MULTILINE)]

    def prove(self, send: Callable[[int], None], count: int) -> str:
        """Send a fifth, measure the program's memory, and send the rest; returns a summary."""
        send(count // 5)
        begun, memory = time.monotonic(), self._process.memory()
        send(count - count // 5)
        grown, seconds = self._process.memory() - memory, time.monotonic() - begun
        log = self._appliance.errors.read_text()
        mistake = re.search(r"Traceback|^ERROR", log, re.MULTILINE)
        assert not mistake, log[mistake.start() : mistake.start() + 3000]
        assert self._appliance.get("/").status == 200, "pages are served, also to a browser that is signed in"
        assert grown < GROWTH_MB
        found = ", ".join(f"{status}: {number}" for status, number in sorted(self.statuses.items()))
        return f"{count} requests in {seconds * 1.25:.0f} s, {grown:+.1f} MB; answers {found}"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    target = Target(tmp_path)
    yield target
    target.close()


# ---- From the parts of a request

PLACED = ("per_cent", "chapter", "position", "words", "finished")
NUMBERS = st.sampled_from(
    ("0", "1", "2", "-1", "01", "999999999999999", "9999999999999999", "1.5", "٣", "1%00", "x")
)
WORDS = st.sampled_from(
    (
        "",
        "1",
        "wait",
        "from",
        "as",
        "events",
        "text",
        "chat",
        "start",
        "question",
        "form",
        "look",
        "back",
        "before",
        "at",
        "finished",
        "é",
        "\0",
    )
) | st.text(max_size=12)
PLACES = st.sampled_from(
    (
        *(
            "/",
            "/ask",
            "/look",
            "/chats",
            "/books",
            "/api/chat",
            "/check",
            "/check/reports",
            "/healthz",
            "/pin",
            "/favicon.ico",
        ),
        *("/chats/{}", "/chats/{}/{}", "/answers/{}", "/answers/{}/stop", "/chats/{}/delete", "/answers/{}/go-on"),
        *("/books", "/books/the-book", "/books/the-book/place", "/books/the-book/put-back", "/books/{}"),
    )
)
METHODS = st.sampled_from(
    ("GET",) * 8 + ("POST",) * 8 + ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI")
)
TEXTS = st.text(max_size=60) | st.sampled_from(
    ("x" * 4001, "海" * 4000, "\ud7ff\u202e", "%", "%zz", "$name", "${Ask}")
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    path = draw(PLACES).format(draw(NUMBERS), draw(NUMBERS))
    if draw(st.integers(0, 5)) == 0:
        path += draw(
            st.text(max_size=20).map(quote) | st.sampled_from(("/", "//", "/..", "/%2e%2e/", ";a=b", "%", "#"))
        )
    query = draw(st.lists(st.tuples(WORDS, WORDS | NUMBERS), max_size=3))
    return path + ("?" + urlencode(query) if query else "")


def forms() -> st.SearchStrategy[bytes]:
    names = st.sampled_from(("question", "chat", "form", "look", "back", "pin", "digits", *PLACED)) | WORDS
    values = TEXTS | NUMBERS | st.sampled_from(("3b", "9", "/chats/1/1", "//evil.example", "/\r\nX: y"))
    fields = st.lists(st.tuples(names, values), max_size=6)
    return fields.map(lambda pairs: urlencode(pairs, errors="replace").encode()) | st.binary(max_size=200)


def documents() -> st.SearchStrategy[bytes]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
    trees = st.recursive(leaves, lambda each: st.lists(each, max_size=4) | st.dictionaries(WORDS, each, max_size=4))
    messages = st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(("user", "model", "system", 1)), "text": trees})
    )
    chats = st.fixed_dictionaries({"message": TEXTS | trees}, optional={"history": messages | trees})
    written = (trees | chats).map(lambda value: json.dumps(value).encode())
    return written | st.sampled_from((b"", b"{", b"[" * 30_000, b"1" * 5000, b"\xff", b'"\\ud800"', b"NaN"))


PART = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n\xff\r\n--b--\r\n'
BODIES = st.one_of(
    st.tuples(st.just("application/x-www-form-urlencoded"), forms()),
    st.tuples(st.just("application/json"), documents()),
    st.tuples(
        st.sampled_from(
            ("multipart/form-data; boundary=b", "multipart/x", "text/plain; a; b", "application/epub+zip")
        ),
        st.sampled_from((PART % b"question", PART % b"book", b"PK\3\4")),
    ),
    st.tuples(TEXTS.map(quote), st.binary(max_size=100)),
)
COOKIES = st.lists(
    st.tuples(
        st.sampled_from(("device", "look", "unread", "places", "pin", "server", "x")),
        st.sampled_from(
            (
                "3",
                "8b",
                "0",
                "1.2.3",
                "1.0.0.0.2.3",
                "z" * 200,
                "." * 50,
                "9" * 200,
                "abcdefgh",
                '"\\303\\251"',
                "!a=?b",
                "é",
                "\\",
                '"',
            )
        ),
    ),
    max_size=4,
).map(lambda pairs: "; ".join(f"{name}={value}" for name, value in pairs))
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Cookie"), COOKIES),
        st.tuples(st.just("Accept"), st.sampled_from(("application/json", "text/event-stream", "*/*", ",", "é"))),
        st.tuples(
            st.just("Accept-Language"), st.sampled_from(("zh-CN", "en;q=x", "zh;q=nan,en;q=inf", ",;q=", "é", "*"))
        ),
        st.tuples(st.just("Accept-Encoding"), st.sampled_from(("gzip", "gzip;q=0", "br", "identity"))),
        st.tuples(st.just("Connection"), st.sampled_from(("close", "keep-alive", "upgrade", "x" * 300))),
        st.tuples(st.just("Expect"), st.sampled_from(("100-continue", "x"))),
        st.tuples(
            st.just("Transfer-Encoding"), st.sampled_from(("chunked", "gzip, chunked", "identity", "chunked, x"))
        ),
        st.tuples(
            st.just("Content-Length"), st.sampled_from(("0", "5", "-1", "+1", "1e3", "99999999999999999999", "x"))
        ),
        st.tuples(
            st.sampled_from(("Origin", "Referer")),
            st.sampled_from(("null", "http://127.0.0.1", "http://[", "é", "")),
        ),
        st.tuples(
            st.just("Host"), st.sampled_from(("127.0.0.1", "[::1", "evil.example", "", "127.0.0.1:99999", "a,b"))
        ),
        st.tuples(
            st.sampled_from(("Range", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Authorization")),
            TEXTS.map(quote),
        ),
    ),
    max_size=5,
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    kind, body = draw(BODIES)
    method = draw(METHODS)
    version = draw(st.sampled_from(("HTTP/1.1",) * 6 + ("HTTP/1.0", "HTTP/2.0", "")))
    headers = [] if draw(st.integers(0, 9)) == 0 else [("Host", "127.0.0.1")]
    headers += draw(HEADERS)
    if method == "POST" or draw(st.booleans()):
        headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    else:
        body = b""
    lines = [f"{method} {draw(addresses())} {version}".rstrip(), *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_no_request_assembled_from_parts_is_logged_as_a_mistake(target: Target, soak: Soak) -> None:
    def send(count: int) -> None:
        @settings(
            max_examples=count // AT_ONCE,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(requests(), min_size=AT_ONCE, max_size=AT_ONCE))
        def run(batch: list[bytes]) -> None:
            target.send(batch)

        run()

    soak.tell(f"put together: {target.prove(send, soak(1000, full=20_000))}")


# ---- From recorded requests of browsers

BROWSER = b"""Host: 127.0.0.1
User-Agent: Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML) Kindle/3.0+
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
Accept-Language: en-US, zh;q=0.8
Accept-Encoding: gzip
Cookie: device=c2FsdHlzZWEt; look=4b; unread=1.2; places=1.3.0.4.2.3
Referer: http://127.0.0.1/chats/1/1
Connection: keep-alive
""".replace(b"\n", b"\r\n")


def recorded(line: bytes, kind: bytes = b"", body: bytes = b"") -> bytes:
    about = b"Content-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body)) if kind else b""
    return line + b" HTTP/1.1\r\n" + BROWSER + about + b"\r\n" + body


FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
UPLOAD, EPUB = b"multipart/form-data; boundary=----b", b"application/epub+zip"
FILE = (
    b'------b\r\nContent-Disposition: form-data; name="book"; filename="a.epub"\r\n'
    b"Content-Type: application/epub+zip\r\n\r\nPK\3\4\r\n------b--\r\n"
)
RECORDED = (
    recorded(b"GET /"),
    recorded(b"POST /ask", FORM, b"question=Why+is+the+sea+salty%3F+%E6%B5%B7&form=b2Zm&chat=1"),
    recorded(b"POST /look", FORM, b"look=4b&back=%2Fchats%2F1%2F1"),
    recorded(b"GET /chats/1/1"),
    recorded(b"GET /books?q=moor"),
    recorded(b"GET /books/the-book/place?at=41&from=2&finished=1"),
    recorded(b"POST /books/the-book/place", FORM, b"per_cent=41"),
    recorded(b"POST /books/the-book/place", FORM, b"chapter=1&finished=1"),
    recorded(b"POST /books/the-book/place", FORM, b"words=the+gardener+was+%E6%B5%B7+wet"),
    recorded(b"POST /books/the-book/remove", FORM, b""),
    recorded(b"POST /books/the-book/put-back", FORM, b""),
    recorded(b"GET /answers/1?as=events&from=12&wait=0"),
    recorded(b"POST /check", JSON, b'{"page": "600 x 706", "lacks": ["bind"], "ratio": 1.5, "zoom": null}'),
    recorded(b"POST /api/chat", JSON, b'{"message": "?", "history": [{"role": "user", "text": "a"}]}'),
    recorded(b"POST /books", UPLOAD, FILE),
    recorded(b"POST /books", EPUB, b"PK\3\4"),
    recorded(b"POST /books", EPUB + b"\r\nExpect: 100-continue", b"PK\3\4"),
    b"POST /answers/1/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\n\r\n",
    b"GET http://127.0.0.1/chats?x=%C3%A9&y=%ff#z HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
)
TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"%",
    b"%00",
    b"%ff",
    b"\xff",
    b"\xc3\xa9",
    b'"',
    b"\\",
    b";",
    b"&",
    b"=",
)


def mutated(chance: random.Random, recorded: Sequence[bytes]) -> bytes:
    """A recorded request with a few bytes changed, lost, doubled, or crossed with those of another one."""
    data = bytearray(chance.choice(recorded))
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 8, 64))
        how = chance.randrange(7)
        if how == 0:
            data[at : at + length] = chance.randbytes(length)
        elif how == 1:
            data[at : at + 1] = bytes(each ^ 1 << chance.randrange(8) for each in data[at : at + 1])
        elif how == 2:
            del data[at : at + length]
        elif how == 3:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 30))
        elif how == 4:
            data[at:at] = chance.choice(TOKENS)
        elif how == 5:
            other = chance.choice(recorded)
            data[at:] = other[chance.randrange(len(other)) :]
        else:
            number = re.search(rb"\d+", data[at:])
            if number:
                value = chance.choice(
                    (b"0", b"-1", b"99999999999999999999", b"1e9", b"0x10", b"65536", b"2147483648")
                )
                data[at + number.start() : at + number.end()] = value
    return bytes(data)


def changed(target: Target, recorded: Sequence[bytes]) -> Callable[[int], None]:
    """A function that sends a number of mutations of recorded requests."""
    chance = random.Random(6)

    def send(count: int) -> None:
        for _ in range(count // 1000 + 1):
            target.send([mutated(chance, recorded) for _ in range(min(count, 1000))])

    return send


def test_no_request_with_a_few_bytes_changed_is_logged_as_a_mistake(target: Target, soak: Soak) -> None:
    # As the owner, who may add more than ten books.
    requests = [
        each.replace(b"Cookie: ", b"Kindle-Appliance-Owner: %s\r\nCookie: " % target.owner) for each in RECORDED
    ]
    target.send(requests)
    assert not {400, 404} & set(target.statuses), (
        f"unchanged, the recorded requests are understood: {target.statuses}"
    )
    soak.tell(f"mutated: {target.prove(changed(target, requests), soak(3000, full=80_000))}")


def test_with_a_pin_no_request_is_logged_as_a_mistake(tmp_path: Path, soak: Soak) -> None:
    """No request has the right PIN: a changed byte could put it into any header, which the log may quote."""
    with contextlib.closing(Target(tmp_path, KINDLE_APPLIANCE_PIN="70413")) as target:
        requests = [each.replace(b"Cookie: ", b"Cookie: %s; " % target.cookie.encode()) for each in RECORDED[:5]]
        requests.append(recorded(b"POST /pin", FORM, b"pin=12&key=3&back=%2Fchats%2F1"))
        requests.append(recorded(b"POST /pin", FORM, b"pin=1234&back=%2F%3Fchat%3D1"))
        bearer = b"Authorization: Bearer 1234\r\nCookie: "
        requests.append(recorded(b"GET /healthz").replace(b"Cookie: ", bearer))
        target.send(requests)
        assert set(target.statuses) == {200, 303, 403}, (
            "a request behind another one on its connection also gets 403"
        )
        soak.tell(f"mutated, with a PIN: {target.prove(changed(target, requests), soak(2000, full=10_000))}")
