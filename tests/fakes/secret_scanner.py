"""A secret scanner: searches everything that the program writes in a test run for the key and the PIN of the tests.

It stores only what it finds: each response, line and file is searched at once, by the thread that gets it. So the
process of the tests knows every finding and its place, even if the program itself has crashed. A run in several
processes has one scanner in each.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import logging
import os
import re
import stat
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import urllib3

from .secrets import KEY, PIN

KINDS = ("response", "output", "log", "file", "journal")
"""HTTP responses, output on stdout and stderr, log records, files, and lines in systemd's journal."""

_CHUNK_BYTES = 1 << 20
_GZIP_START = b"\x1f\x8b\x08"  # RFC 1952
_GZIP = 16 + zlib.MAX_WBITS


def disguises(secret: str) -> Iterator[tuple[bytes, str]]:
    """Yield each encoding of a secret with its name. Escaping for HTML does not change the secret."""
    data = secret.encode()
    yield data, "plain"
    for digits in (data.hex(), data.hex().upper()):
        pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
        yield digits.encode(), "in hexadecimal"
        yield "".join(f"%{pair}" for pair in pairs).encode(), "percent-encoded"
        yield "".join(f"\\u00{pair}" for pair in pairs).encode(), "escaped for JSON"
    yield "".join(f"&#{byte};" for byte in data).encode(), "escaped for HTML"
    yield secret.encode("utf-16-le"), "in UTF-16"
    for before in range(
        3
    ):  # a longer text has it at any offset, and its neighbours change the characters at its ends
        text = base64.b64encode(b"\0" * before + data)
        inner = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield inner, "in base64"
        yield inner.translate(bytes.maketrans(b"+/", b"-_")), "in base64 for addresses"


# Half of a key is a leak too. Half of a PIN would be found in many numbers.
_NEEDLES = {
    needle: f"{name}, {how}"
    for name, part in (("the key", KEY[4:21]), ("the key", KEY[21:]), ("the PIN", PIN))
    for needle, how in disguises(part)
}
_OVERLAP = max(map(len, _NEEDLES)) - 1


def secrets_in(data: bytes) -> list[str]:
    """The secrets in `data`, with their encodings."""
    return sorted({name for needle, name in _NEEDLES.items() if needle in data})


class SecretScanner:
    """Searches all that the program has written, and counts the findings and the searched pieces."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.pieces: Counter[tuple[str, str]] = Counter()  # by kind, and by the test's file or a file's own name
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._exempt: set[Path] = set()

    def scan(self, kind: str, written: bytes | str, file: Path | None = None) -> None:
        """Search a whole piece, such as a log record."""
        assert kind in KINDS
        data = written.encode(errors="surrogateescape") if isinstance(written, str) else written
        if not data:
            return
        test = os.environ.get("PYTEST_CURRENT_TEST", "")  # which pytest sets
        secrets = secrets_in(data)
        with self._lock:
            self.pieces[kind, file.name if file else test.partition("::")[0]] += 1
            self.bytes[kind] += len(data)
            self.found += [f"{each} in a {kind} {file or f'of {test}'}" for each in secrets]

    def scan_connection(self, received: bytes) -> None:
        """Search the raw responses of a connection, some of them compressed."""
        self.scan("response", received)
        for found in re.finditer(_GZIP_START, received):
            with suppress(zlib.error):
                self.scan("response", zlib.decompressobj(_GZIP).decompress(received[found.start() :]))

    def stream(self, kind: str, coding: str = "", file: Path | None = None) -> Stream:
        """Return a stream for data that arrives in pieces. `coding`: its Content-Encoding."""
        return Stream(lambda data: self.scan(kind, data, file), coding)

    @contextmanager
    def aside(self) -> Iterator[list[str]]:
        """Yields the findings of the block, which do not count for the run."""
        before, self.found = self.found, []
        try:
            yield self.found
        finally:
            self.found = before

    def conclude(self, folder: Path) -> list[str]:
        """Search `folder`, which has the files of this run, after the last write. Return all findings."""
        self.scan_files(folder)
        return sorted(set(self.found))

    def exempt(self, path: Path) -> None:
        """Skip a path with a secret that the test itself has written, or expects."""
        self._exempt.add(path)

    def scan_files(self, folder: Path) -> None:
        """Search every file below `folder`, and its name. A file with only a secret is the owner's store for it."""
        for above, folders, names in os.walk(folder):
            folders[:] = [each for each in folders if Path(above, each) not in self._exempt]
            for path in (Path(above, name) for name in names):
                with suppress(FileNotFoundError, PermissionError):
                    if path not in self._exempt and stat.S_ISREG(path.lstat().st_mode):
                        self._scan_file(path)

    def _scan_file(self, path: Path) -> None:
        stream = self.stream("file", file=path)
        with path.open("rb") as file:
            start = file.read(_CHUNK_BYTES)
            if start.removeprefix(b"\xef\xbb\xbf").strip() in (KEY.encode(), PIN.encode()):
                return
            stream.feed(path.name.encode(errors="surrogateescape") + b"\0")
            file.seek(0)
            while data := file.read(_CHUNK_BYTES):
                stream.feed(data)
        if start.startswith(_GZIP_START):
            with suppress(EOFError, zlib.error, gzip.BadGzipFile), gzip.open(path) as unpacked:
                while data := unpacked.read(_CHUNK_BYTES):
                    stream.feed(data)

    # ---- Where the scanner listens

    def handler(self) -> logging.Handler:
        """A handler for the root logger, which searches every record with its traceback."""
        handler = _Handler()
        handler.scanner = self
        return handler

    def application(self, application: Callable[..., Any]) -> Callable[..., Any]:
        """The same WSGI application, with each response searched while it is sent."""

        def heard(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            coding = ""

            def start_heard(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
                nonlocal coding
                coding = dict(headers).get("Content-Encoding", "")
                self.scan("response", f"{status}\n{headers}")
                return start(status, headers, *error)

            body = application(environ, start_heard)
            if isinstance(body, list | tuple):  # the server uses their length
                self.stream("response", coding).feed(b"".join(body))
                return body
            return _HeardBody(body, lambda: self.stream("response", coding))

        return heard


class Stream:
    """Data in pieces: a secret that spans two of them is found too."""

    def __init__(self, scan: Callable[[bytes], None], coding: str = "") -> None:
        self._scan = scan
        self._unpacker = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        self._end = b""

    def feed(self, data: bytes) -> None:
        if self._unpacker:
            try:
                data = self._unpacker.decompress(data)
            except zlib.error:  # not compressed, in spite of its header
                self._unpacker = None
        if data:
            data = self._end + data
            self._scan(data)
            self._end = data[-_OVERLAP:]


class _Handler(logging.Handler):
    scanner: SecretScanner

    def emit(self, record: logging.LogRecord) -> None:
        self.scanner.scan("log", self.format(record))


class _HeardBody:
    """The body of a response that is made while it is sent."""

    def __init__(self, body: Any, stream: Callable[[], Stream]) -> None:
        self._body = body
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        stream = self._stream()
        for piece in self._body:
            stream.feed(piece)
            yield piece

    def close(self) -> None:
        if hasattr(self._body, "close"):
            self._body.close()


SCANNER = SecretScanner()
"""The scanner of this run."""


class Response(http.client.HTTPResponse):
    """A response of a program in another process; see `Connection`."""

    def begin(self) -> None:
        super().begin()
        SCANNER.scan("response", f"{self.status} {self.reason}\n{self.headers}")
        self._stream = SCANNER.stream("response", self.getheader("Content-Encoding", ""))

    def read(self, amt: int | None = None) -> bytes:
        return self._heard(super().read(amt))

    def read1(self, n: int = -1) -> bytes:
        return self._heard(super().read1(n))

    def _heard(self, data: bytes) -> bytes:
        self._stream.feed(data)
        return data


class Connection(http.client.HTTPConnection):
    """A connection to a program in another process. Closing it reads the rest of a response that a test has left
    unread, if the end of that response is known.
    """

    response_class = Response
    _response: http.client.HTTPResponse | None = None

    def getresponse(self) -> http.client.HTTPResponse:
        self._response = super().getresponse()
        return self._response

    def close(self) -> None:
        if self._response and self._response.length:
            with suppress(OSError, http.client.HTTPException):
                self._response.read()
        self._response = None
        super().close()


class Client(urllib3.PoolManager):
    """A client for a program in another process. A test that reads in pieces must feed them to a stream."""

    def urlopen(  # type: ignore[override]  # as in the class itself
        self, method: str, url: str, redirect: bool = True, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        response = super().urlopen(method, url, redirect, **more)
        SCANNER.scan("response", f"{response.status} {response.reason}\n{response.headers}")
        if more.get("preload_content", True):
            SCANNER.scan("response", response.data)
        return response


class Output:
    """The output of a program in another process: the part of a file's interface that the tests need."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._stream = SCANNER.stream("output")

    def read(self, size: int = -1) -> bytes:
        data = self._pipe.read(size)
        self._stream.feed(data)
        return data

    def close(self) -> None:
        self._pipe.close()
