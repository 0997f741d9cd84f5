"""An OpenAI-compatible server on loopback that follows a test's commands: FakeGemini with another script.

`with OpenAIServer() as server:` listens on `server.url`, the base URL as an owner would set it (with `/v1`). It is
scripted like FakeGemini: `server.replies(answer("Because."), ...)`, `server.default`, `server.next_call()`; each of
`server.calls` has `path`, `headers`, `json` and `model`. The functions below make replies, and their events.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from .gemini import Call, FakeGemini, Reply

DONE = b"data: [DONE]\n\n"
MODEL = "small-model"
"""What the server calls the model that answers, unless a test says otherwise."""


class OpenAIServer(FakeGemini):
    """The server; its address without `/v1` is `root`."""

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def __enter__(self) -> Self:
        super().__enter__()
        self.url += "/v1"
        return self


def event(data: object, line_end: str = "\n") -> bytes:
    """Any JSON as one event of the stream."""
    return f"data: {json.dumps(data, ensure_ascii=False)}{line_end}{line_end}".encode(errors="backslashreplace")


def chunk(
    content: object = None,
    finish: str | None = None,
    *,
    reasoning: str | None = None,
    model: str = MODEL,
    usage: Mapping[str, Any] | None = None,
    **delta: object,
) -> bytes:
    """One event of an answer: its text, thoughts as `reasoning_content`, a finish reason. `delta`: further fields
    of the delta. With `usage` and nothing else it has no choices, like the last chunk of an answer.
    """
    fields = {"content": content, **delta}
    if reasoning is not None:
        fields["reasoning_content"] = reasoning
    choices = [{"index": 0, "delta": fields, "finish_reason": finish}]
    if usage is not None and content is None and finish is None and not delta:
        choices = []
    data: dict[str, Any] = {"object": "chat.completion.chunk", "model": model, "choices": choices}
    if usage is not None:
        data["usage"] = dict(usage)
    return event(data)


def answer(*texts: str, finish: str = "stop", thoughts: str = "", model: str = MODEL, tokens: int = 0) -> Reply:
    """A whole answer as llama.cpp sends it: a first chunk without text, one for each text, one with the finish
    reason, with `tokens` one with the usage, and the end mark.
    """
    body = [chunk(None, model=model, role="assistant")]
    body += [chunk(None, reasoning=thoughts, model=model)] if thoughts else []
    body += [chunk(text, model=model) for text in texts]
    body.append(event({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    body += [chunk(model=model, usage={"total_tokens": tokens})] if tokens else []
    return Reply([*body, DONE])


def gated(first: str, gate: threading.Event, last: str, model: str = MODEL) -> Reply:
    """An answer that waits for the gate in its middle."""
    return Reply([chunk(first, model=model), gate, chunk(last, "stop", model=model), DONE])


def refusal(status: int, body: object = b"", **headers: str) -> Reply:
    """A response other than 200: `body` as it is, or as JSON. In the names of `headers`, `_` stands for `-`."""
    fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return Reply([body], status, fields, "length")
    return Reply([json.dumps(body).encode()], status, {"Content-Type": "application/json", **fields}, "length")


def error(status: int, message: str, type: str = "invalid_request_error", **headers: str) -> Reply:
    """A refusal with the usual error object."""
    return refusal(status, {"error": {"message": message, "type": type, "code": status}}, **headers)


LOADING = error(503, "Loading model", "unavailable_error")
WRONG_KEY = error(401, "Invalid API Key", "authentication_error")
NO_MODEL = error(404, 'model "missing" not found, try pulling it first', "api_error")
TOO_LONG = refusal(
    400,
    {
        "error": {
            "code": 400,
            "message": "request (4031 tokens) exceeds the available context size (2048 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 4031,
            "n_ctx": 2048,
        }
    },
)
"""As llama.cpp and Ollama (for the unknown model) send them."""


def models(*names: str, **contexts: int) -> Reply:
    """A list of models. `contexts`: names with the context size, as llama.cpp tells it."""
    data: list[dict[str, Any]] = [{"id": name, "object": "model"} for name in names]
    data += [{"id": name, "object": "model", "meta": {"n_ctx": size}} for name, size in contexts.items()]
    return refusal(200, {"object": "list", "data": data})


def answers(reply: Callable[[Call], Reply | None], listed: Reply) -> Callable[[Call], Reply | None]:
    """A default that lists models for each GET, and answers questions by `reply`."""
    return lambda call: listed if call.method == "GET" else reply(call)


def recorded(shared: Path, stream: str) -> bytes:
    """A recorded stream, framed if it holds only its chunks."""
    data = (shared / "openai-streams" / stream).read_bytes()
    if not stream.endswith(".chunks.txt"):
        return data
    return b"".join(b"data: " + line + b"\n\n" for line in data.splitlines() if line)
