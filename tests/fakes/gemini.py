"""A Gemini on loopback that follows a test's commands, chunk by chunk, over real sockets.

`with FakeGemini() as gemini:` listens on `gemini.url`. A script answers requests (`gemini.replies`,
`gemini.default`); the test itself answers those without a script (`gemini.next_call`). No code here sleeps until
something has happened: a test waits for a request or for the client's leaving, or sets an Event.

The end of the context raises the errors of the fake's threads, and an error for each unanswered request. So a
superfluous second POST does not go unnoticed.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from .http_peer import GLANCE, ClientGoneError, Peer, Request

__all__ = [
    "Call",
    "ClientGoneError",
    "FakeGemini",
    "Reply",
    "chunk",
    "error_body",
    "error_info",
    "event",
    "quota_failure",
    "refusing_url",
    "retry_info",
]

Framing = Literal["chunked", "length", "close"]
Ending = Literal["clean", "cut", "reset", "stall"]
_T = TypeVar("_T")


def event(data: object) -> bytes:
    """Any JSON as one event of the stream, with the CRLF CRLF that Gemini ends it with."""
    return b"data: " + _encode(json.dumps(data, ensure_ascii=False)) + b"\r\n\r\n"


def chunk(
    text: str | None,
    finish: str | None = None,
    thought: bool = False,
    usage: Mapping[str, Any] | None = None,
    model_version: str | None = None,
) -> bytes:
    """One event of an answer. Without text it has no content; without a finish reason either, no candidates."""
    candidate: dict[str, Any] = {}
    if text is not None:
        part = {"text": text, "thought": True} if thought else {"text": text}
        candidate["content"] = {"parts": [part], "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    data: dict[str, Any] = {"candidates": [{**candidate, "index": 0}]} if candidate else {}
    if usage is not None:
        data["usageMetadata"] = dict(usage)
    if model_version is not None:
        data["modelVersion"] = model_version
    return event(data)


def error_body(
    code: int, status: str, message: str, details: Sequence[Mapping[str, Any]] = (), wrapped: bool = False
) -> bytes:
    """Gemini's JSON error, pretty-printed as it is on the wire; `wrapped` puts it into an array."""
    error = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return _encode(json.dumps([error] if wrapped else error, indent=2, ensure_ascii=False)) + b"\n"


def _encode(text: str) -> bytes:
    """JSON as bytes; half a character, which no encoding has, as its escape."""
    return text.encode(errors="backslashreplace")


def retry_info(delay: str) -> dict[str, Any]:
    """An entry of `details`: the retry delay, such as "34.4s"."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota_failure(*quota_ids: str) -> dict[str, Any]:
    """An entry of `details`: exhausted quotas, such as GenerateRequestsPerDayPerProjectPerModel-FreeTier."""
    violations = [{"quotaId": quota_id} for quota_id in quota_ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def error_info(reason: str) -> dict[str, Any]:
    """An entry of `details`: the reason for programs, such as "API_KEY_INVALID"."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


@dataclass(frozen=True)
class Reply:
    """A scripted answer.

    `body` is sent piece by piece; sending waits for each Event in it. It may be endless, and each request iterates
    over it once (so a generator serves one). `piece` cuts it again, into pieces of that many bytes. The status line
    waits for `before`; with `status=None` nothing is sent before the ending.

    `ending`: "clean" ends as the framing defines; "cut" sends a FIN before the promised end; "reset" sends an RST;
    "stall" leaves the connection open and silent until the client leaves or the fake closes.
    """

    body: Iterable[bytes | threading.Event] = ()
    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "chunked"
    ending: Ending = "clean"
    gzip: bool = False
    piece: int | None = None
    before: threading.Event | None = None

    @classmethod
    def answer(cls, *texts: str, model_version: str | None = None) -> Reply:
        """A whole answer: a chunk for each text, the last one with STOP."""
        body = [chunk(text, model_version=model_version) for text in texts[:-1]]
        return cls([*body, chunk(texts[-1], "STOP", model_version=model_version)])

    @classmethod
    def error(
        cls,
        code: int,
        status: str,
        message: str,
        details: Sequence[Mapping[str, Any]] = (),
        wrapped: bool = False,
    ) -> Reply:
        """A refusal as JSON; see `error_body`."""
        body = error_body(code, status, message, details, wrapped)
        return cls([body], code, {"Content-Type": "application/json; charset=UTF-8"}, "length")

    @classmethod
    def models(cls, *names: str, date: datetime | None = None) -> Reply:
        """A list of models, with one that writes no answers. `date`: Google's clock."""
        models = [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in names]
        models.append({"name": "models/embedding-001", "supportedGenerationMethods": ["embedContent"]})
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if date is not None:
            headers["Date"] = format_datetime(date.astimezone(UTC), usegmt=True)
        return cls([json.dumps({"models": models}, indent=2).encode()], 200, headers, "length")

    @classmethod
    def html(cls, code: int) -> Reply:
        """A refusal as a web page, as from a front end of Google's or a captive portal."""
        page = f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {code}</title>\n<p><b>{code}.</b> An error.\n"
        return cls([page.encode()], code, {"Content-Type": "text/html; charset=UTF-8"}, "length")

    @classmethod
    def redirect(cls, location: str, code: int = 307) -> Reply:
        """A redirect; 307 asks for the same POST again, with its body and headers."""
        return cls((), code, {"Location": location}, "length")

    def pieces(self) -> Iterator[bytes | threading.Event]:
        """The body, compressed and cut as set, without framing."""
        for item in self._compressed() if self.gzip else self.body:
            if self.piece is None or not isinstance(item, bytes):
                yield item
            else:
                yield from (item[start : start + self.piece] for start in range(0, len(item), self.piece))

    def _compressed(self) -> Iterator[bytes | threading.Event]:
        deflate = zlib.compressobj(wbits=31)
        for item in self.body:
            if isinstance(item, bytes):  # flushed, so that it can be read before the rest is there
                yield deflate.compress(item) + deflate.flush(zlib.Z_SYNC_FLUSH)
            else:
                yield item
        if self.ending == "clean":
            yield deflate.flush()


OUT = Reply.error(429, "RESOURCE_EXHAUSTED", "quota", [quota_failure("RequestsPerDay")])
"""The quota of the day is used up."""


class Call:
    """A request, read to its end, and the means to answer it.

    The names of `headers` are in lower case. `model` is the one in the path or the body, or None. `connection`
    counts the connections from 1: equal numbers mean that the client kept one alive. Sending raises
    ClientGoneError once the client has left (shutting down only its sending side counts as leaving), and
    TimeoutError if the client does not read for `patience` seconds.
    """

    def __init__(self, peer: Peer, request: Request) -> None:
        self.method = request.method
        self.path = request.path
        self.headers = request.headers
        self.body = request.body
        named = re.search(r"/models/([^/:?]+)", request.path)
        self.model = named[1] if named else _model_in(request.body)
        self.connection = peer.number
        self.patience: float | None = 10.0
        self.answered = False  # set before the last byte is sent: the client may react before we do
        self._peer = peer
        self._framing: Framing | None = None
        self._promised = 0
        self._closes = False

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.path} on connection {self.connection}>"

    @property
    def json(self) -> Any:
        """The request's body, decoded."""
        return json.loads(self.body)

    def start(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        framing: Framing = "chunked",
        length: int | None = None,
    ) -> None:
        """Send the status line and the headers; framing "length" promises `length` bytes.

        `headers` replace the usual ones, even if they contradict the framing.
        """
        if self._framing is not None:
            raise RuntimeError("the answer has been started already")
        if (framing == "length") != (length is not None):
            raise ValueError("a length goes with framing='length', and only with it")
        self._framing = framing
        self._closes = framing == "close" or self.headers.get("connection", "").lower() == "close"
        fields = {"Content-Type": "text/event-stream"}
        if framing == "chunked":
            fields["Transfer-Encoding"] = "chunked"
        elif length is not None:
            fields["Content-Length"] = str(length)
            self._promised = length
            self.answered = length == 0
        if self._closes:
            fields["Connection"] = "close"
        fields |= {name.title(): value for name, value in (headers or {}).items()}
        phrase = next((known.phrase for known in HTTPStatus if known == status), "")
        lines = [f"HTTP/1.1 {status} {phrase}"] + [f"{name}: {value}" for name, value in fields.items()]
        self.send_raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send(self, data: bytes) -> None:
        """Send a piece of the body, framed, at once."""
        if self._framing is None:
            raise RuntimeError("start() comes first")
        if self._framing == "chunked":
            if data:  # an empty chunk would end the body
                self.send_raw(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if self._framing == "length":
            if len(data) > self._promised:
                raise ValueError(f"{len(data)} bytes, but only {self._promised} of the length are left")
            self._promised -= len(data)
            self.answered = self._promised == 0
        self.send_raw(data)

    def send_raw(self, data: bytes) -> None:
        """Send bytes unchanged, for an answer that is not HTTP or breaks its framing."""
        self._peer.send(data, self.patience)

    def send_in_the_clear(self, data: bytes) -> None:
        """Send a few bytes past TLS, which breaks its stream."""
        self._peer.send_in_the_clear(data)

    def text(
        self,
        delta: str | None,
        finish: str | None = None,
        thought: bool = False,
        model_version: str | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> None:
        """Send one event of an answer; see `chunk`."""
        self.send(chunk(delta, finish, thought, usage, model_version))

    def finish(self, text: str) -> None:
        """Send the last piece of a complete answer, and end it."""
        self.text(text, "STOP")
        self.end()

    def end(self) -> None:
        """End the answer as its framing defines. The connection stays open if possible."""
        if self._framing is None:
            raise RuntimeError("start() comes first")
        if self._framing == "length" and self._promised:
            raise RuntimeError(f"{self._promised} bytes of the length are missing: close() or reset() cuts")
        self.answered = True
        if self._framing == "chunked":
            self.send_raw(b"0\r\n\r\n")
        if self._closes:
            self._peer.finish(notify=True)

    def close(self) -> None:
        """Send a FIN now, even before the promised end; over TLS without close_notify."""
        self._peer.finish(notify=False)

    def reset(self) -> None:
        """Send an RST after all that was sent."""
        self._peer.reset(self.patience)

    def wait_gone(self, timeout: float = 5.0) -> float:
        """Wait until the client has closed its side. Return that moment, on time.monotonic()."""
        if not self._peer.gone.wait(timeout):
            raise TimeoutError(f"after {timeout} s the client still holds {self!r}")
        return self._peer.gone_at

    def play(self, reply: Reply) -> None:
        """Answer with a scripted reply, in the calling thread."""
        if reply.before is not None:
            self._wait_for(reply.before)
        pieces: Iterable[bytes | threading.Event] = reply.pieces()
        length = None
        if reply.framing == "length":
            if not isinstance(reply.body, Sequence):
                raise ValueError("framing='length' wants the body as a list: the length is sent first")
            pieces = list(pieces)
            length = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
            length += reply.ending != "clean"  # or the answer would be complete before its bad end
        if reply.status is not None:
            coding = {"Content-Encoding": "gzip"} if reply.gzip else {}
            self.start(reply.status, {**coding, **reply.headers}, reply.framing, length)
            for piece in pieces:
                if isinstance(piece, bytes):
                    self.send(piece)
                else:
                    self._wait_for(piece)
        if reply.ending != "stall":
            {"clean": self.end, "cut": self.close, "reset": self.reset}[reply.ending]()

    def _wait_for(self, gate: threading.Event) -> None:
        # One thread cannot wait for two events: it notices the gate at once, and the client's leaving soon.
        while not gate.wait(GLANCE):
            if self._peer.gone.is_set():
                raise ClientGoneError("the client left while a gate was closed")


class FakeGemini:
    """The server. The docstring of this file explains its use.

    `default` answers the requests without a scripted reply: a Reply, or a function that returns one for a Call, or
    None, which leaves them to the test. The function runs in the thread that reads the connection, so it must not
    wait; it may return None too. `calls`: all requests, in the order in which they were read to their end.
    `certificate`: with `tls=True`, the PEM file that a client must trust; self-signed by the `openssl` command, for
    127.0.0.1 and localhost.
    """

    def __init__(self, tls: bool = False) -> None:
        self.url = ""
        self.certificate: Path | None = None
        self.default: Reply | Callable[[Call], Reply | None] | None = None
        self.calls: list[Call] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._listener: socket.socket | None = None
        self._stopping = False
        self._changed = threading.Condition()  # guards `calls` and all below
        self._scripts: dict[str | None, deque[Reply]] = {}
        self._waiting: list[Call] = []
        self._threads: set[threading.Thread] = set()
        self._peers: set[Peer] = set()
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        if self._context is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="fake-gemini-")
            self.certificate = Path(self._folder.name, "certificate.pem")
            key = Path(self._folder.name, "key.pem")
            _make_certificate(self.certificate, key)
            self._context.load_cert_chain(self.certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        scheme = "http" if self._context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._spawn("accept", self._accept, self._listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        problems = list(self._failures)
        problems += [AssertionError(f"nobody answered {call!r}") for call in self._waiting]
        problems += [AssertionError(f"did not end: {name}") for name in self.leftovers()]
        if error is not None:  # the test's own failure comes first; those of the fake may explain it
            for problem in problems:
                if problem is not error:
                    error.add_note(f"In the fake Gemini: {problem!r}")
        elif len(problems) == 1:
            raise problems[0]
        elif problems:
            raise ExceptionGroup("in the fake Gemini", problems)

    def present(self, certificate: Path, key: Path) -> None:
        """Present another certificate from now on."""
        if self._context is None:
            raise RuntimeError("only a fake with tls=True has a certificate")
        self._context.load_cert_chain(certificate, key)
        self.certificate = certificate

    def replies(self, *replies: Reply, model: str | None = None) -> None:
        """Answer the next requests with these replies in turn. Those for a `model` come before those for any."""
        with self._changed:
            self._scripts.setdefault(model, deque()).extend(replies)

    def next_call(self, timeout: float = 5.0, model: str | None = None) -> Call:
        """Wait for the next request (for that model) without a scripted reply, read to its end."""

        def take() -> Call | None:
            found = next((call for call in self._waiting if model in (None, call.model)), None)
            if found is not None:
                self._waiting.remove(found)
            return found

        return self._when(take, timeout)

    def wait_for_calls(self, count: int, timeout: float = 5.0) -> list[Call]:
        """Wait until there are `count` requests, answered or not. Return all of them."""
        return self._when(lambda: list(self.calls) if len(self.calls) >= count else None, timeout)

    def close(self) -> None:
        """End every thread and socket, and refuse connections from now on. The end of the context calls it."""
        self._stopping = True
        if self._listener is not None and self._listener.fileno() >= 0:
            # Our own connection wakes accept() on every system; shutting down the listener does so only on Linux.
            with suppress(OSError), socket.create_connection(self._listener.getsockname(), timeout=1):
                pass
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with self._changed:
                for peer in self._peers:
                    peer.abort()
                running = next((thread for thread in self._threads if thread.is_alive()), None)
            if running is None:
                break
            running.join(GLANCE)  # briefly: it may have started another thread, which must be woken too
        if self._folder is not None:
            self._folder.cleanup()

    def leftovers(self) -> list[str]:
        """The names of running threads and open sockets; empty after `close`."""
        with self._changed:
            names = [thread.name for thread in self._threads if thread.is_alive()]
            names += [f"socket {open_.number}" for open_ in self._peers if not open_.gone.is_set()]
        if self._listener is not None and self._listener.fileno() >= 0:
            names.append("listening socket")
        return names

    def _when(self, look: Callable[[], _T | None], timeout: float) -> _T:
        deadline = time.monotonic() + timeout
        with self._changed:
            while (found := look()) is None:
                if self._failures:
                    raise self._failures[0]
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not asked within {timeout} s; asked so far: {self.calls}")
                self._changed.wait(left)
        return found

    def _spawn(self, name: str, target: Callable[..., None], *args: object) -> None:
        def run() -> None:
            try:
                target(*args)
            except Exception as error:
                with self._changed:
                    self._failures.append(error)
                    self._changed.notify_all()

        thread = threading.Thread(target=run, name=f"fake-gemini-{name}", daemon=True)
        with self._changed:
            # A thread is removed only when it is dead: until then it counts as running.
            self._threads = {other for other in self._threads if other.is_alive()}
            thread.start()
            self._threads.add(thread)

    def _accept(self, listener: socket.socket) -> None:
        count = 0
        with listener:
            while True:
                connected, _ = listener.accept()
                if self._stopping:
                    connected.close()
                    return
                try:
                    if (tls := self._context) is not None:  # the connection's thread does the handshake
                        connected = tls.wrap_socket(connected, True, do_handshake_on_connect=False)
                except OSError:  # the client has left already
                    connected.close()
                    continue
                count += 1
                peer = Peer(connected, count)
                with self._changed:
                    held = {other for other in self._peers if not other.gone.is_set()}
                    self._peers = held | {peer}
                self._spawn(f"connection-{count}", self._serve, peer)

    def _serve(self, peer: Peer) -> None:
        call: Call | None = None
        with closing(peer.requests()) as requests:
            for request in requests:
                earlier, call = call, Call(peer, request)
                if earlier is not None and not earlier.answered:
                    raise RuntimeError(f"{call!r} was sent into the unfinished answer to the one before")
                self._answer(peer, call)

    def _answer(self, peer: Peer, call: Call) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
            script = self._scripts.get(call.model) or self._scripts.get(None)
            reply = script.popleft() if script else None
        if reply is None:
            reply = self.default(call) if callable(self.default) else self.default
        if reply is not None:
            self._spawn(f"reply-{call.connection}", self._play, peer, call, reply)
            return
        with self._changed:
            self._waiting.append(call)
            self._changed.notify_all()

    def _play(self, peer: Peer, call: Call, reply: Reply) -> None:
        call.patience = None  # for a script, a slow reader is no failure
        try:
            call.play(reply)
        except ClientGoneError:
            pass  # a client may leave at any time; `wait_gone` tells when
        except Exception:
            peer.abort()  # otherwise its client would wait for the rest
            raise


@contextmanager
def refusing_url() -> Iterator[str]:
    """A base URL on loopback that refuses connections: the port is bound, but no socket listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def _model_in(body: bytes) -> str | None:
    """The model that a question names in its body, as in other dialects than Gemini's."""
    try:
        named = json.loads(body)["model"]
    except (ValueError, TypeError, LookupError):
        return None
    return named if isinstance(named, str) else None


def _make_certificate(certificate: Path, key: Path) -> None:
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-days", "2", "-subj", "/CN=fake Gemini", "-keyout", str(key), "-out", str(certificate)]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]  # Python 3.13 requires it
    subprocess.run(command, check=True, capture_output=True, timeout=30)
