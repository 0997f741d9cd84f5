"""A stand-in for Gemini on loopback, for a machine without a key: a few demo answers, marked as such.

It speaks the real wire format, so that a demo runs the same code as an appliance with a key.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "demo"

_WORDS_PER_CHUNK = 3
_SECONDS_PER_CHUNK = 0.08
_CHOICES = (
    (re.compile("[\u4e00-\u9fff]"), "chinese"),
    (re.compile("[\u0600-\u06ff]"), "arabic"),
    (re.compile(r"\b(tables?|planets?|compare)\b", re.IGNORECASE), "table"),
    (re.compile(r"\b(code|programs?|python|functions?)\b", re.IGNORECASE), "code"),
    (re.compile(r"\b(lists?|steps?|how (do|to))\b", re.IGNORECASE), "list"),
)


class DemoGemini:
    """Serves on 127.0.0.1 from its creation until `close()`; `url` is its address.

    `demo_answers`: a file of answers, each behind a comment line with its name. `pause`: seconds between two
    pieces.
    """

    def __init__(self, demo_answers: Path, pause: float = _SECONDS_PER_CHUNK) -> None:
        texts = re.split(r"<!-- (\w+) -->\n", demo_answers.read_text(encoding="utf-8"))[1:]
        server = _Server(("127.0.0.1", 0), _Handler)
        server.demo_answers = dict(zip(texts[::2], texts[1::2], strict=True))
        server.pause = pause
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="demo", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def close(self) -> None:
        """Stop serving, and cut the answers under way."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()  # waits for the threads


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    demo_answers: dict[str, str]
    pause: float

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close every connection: an idle one would hold its thread."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["contents"][-1]["parts"][0]["text"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in _chunks(self.server.demo_answers[_choose(question)]):
                data = f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                time.sleep(self.server.pause)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the reader pressed Stop
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the appliance logs its questions itself."""


def _choose(question: str) -> str:
    return next((name for pattern, name in _CHOICES if pattern.search(question)), "prose")


def _chunks(text: str) -> Iterator[dict[str, Any]]:
    words = re.findall(r"\S+\s*|\s+", text)
    if len(words) < len(text) / 10:  # a script that writes no spaces
        words = re.findall(r".{1,4}", text, re.DOTALL)
    for start in range(0, len(words), _WORDS_PER_CHUNK):
        piece = "".join(words[start : start + _WORDS_PER_CHUNK])
        candidate: dict[str, Any] = {"content": {"parts": [{"text": piece}], "role": "model"}, "index": 0}
        if start + _WORDS_PER_CHUNK >= len(words):
            candidate["finishReason"] = "STOP"
        tokens = start + _WORDS_PER_CHUNK
        yield {
            "candidates": [candidate],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": tokens, "totalTokenCount": tokens + 1},
            "modelVersion": MODEL,
        }
