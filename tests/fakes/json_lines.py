"""A second, tiny dialect: an answer is lines of JSON. All code behind `Dialect` must work with it unchanged.

`{"text": "..."}` is text, `{"thoughts": 7}` counts tokens, `{"end": "done" | "long" | "refused"}` is the finish
reason. A refusal is a status; the header `Again-In` (seconds) or `Until` (Unix time) has its retry delay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kindle_appliance.conversation import GenerationOptions, Question
from kindle_appliance.ending import TOO_LONG, Ending, Finish
from kindle_appliance.errors import (
    ApplianceError,
    ContextExceeded,
    ModelLoading,
    OwnerError,
    QuotaExhausted,
    UnknownModel,
    UpstreamBusy,
    UpstreamError,
    UpstreamUnreadable,
)
from kindle_appliance.sentences import Sentence
from kindle_appliance.upstream.dialect import OptionError, Request

from .gemini import Reply

PROVIDER = "The shed"
WRONG_TOKEN = Sentence("The shed wants another token.")


def line(**values: object) -> bytes:
    return json.dumps(values).encode() + b"\n"


def answer(*texts: str, end: str = "done") -> Reply:
    """A whole answer, one line for each text."""
    return Reply([*(line(text=text) for text in texts), line(end=end)])


def refusal(status: int, **headers: str) -> Reply:
    return Reply([b""], status, {name.replace("_", "-"): value for name, value in headers.items()}, "length")


class JsonLines:
    """The dialect."""

    provider = PROVIDER
    has_aliases = False
    unknown_seconds = 0.0

    def check_options(self, options: GenerationOptions) -> None:
        if options.thinking_level is not None:
            raise OptionError("The shed has no levels.", "thinking_level")

    def with_defaults(self, model: str, options: GenerationOptions) -> GenerationOptions:
        return options

    def request(self, model: str, question: Question, options: GenerationOptions, key: str) -> Request:
        body = {
            "model": model,
            "said": [list(message) for message in question.messages],
            "rules": question.instruction,
            "warmth": options.temperature,
        }
        return Request("/write", {"Token": key}, json.dumps(body).encode())

    def trial(self, model: str, key: str) -> Request:
        return self.request(model, Question("Hi"), GenerationOptions(), key)

    def reader(self, model: str) -> LineReader:
        return LineReader(model)

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
        again_in = float(headers["again-in"]) if "again-in" in headers else None
        match status:
            case 401:
                return OwnerError(WRONG_TOKEN, "401")
            case 404:
                return UnknownModel(PROVIDER, "404")
            case 413:
                return ContextExceeded(PROVIDER, "413")
            case 425:
                return ModelLoading(PROVIDER, "425", retry_after=again_in)
            case 429 if "until" in headers:
                return QuotaExhausted(PROVIDER, "429", until=float(headers["until"]))
            case 429:
                return UpstreamBusy(PROVIDER, "429", retry_after=again_in)
        return UpstreamError(PROVIDER, str(status))

    def catalogue_request(self, key: str) -> Request:
        return Request("/tools", {"Token": key}, b"")

    def read_catalogue(self, body: bytes) -> dict[str, int | None]:
        try:
            return dict.fromkeys(json.loads(body)["tools"])
        except (ValueError, KeyError, TypeError):
            raise UpstreamUnreadable(PROVIDER, "no list of tools") from None


class LineReader:
    """Reads the body of one response."""

    def __init__(self, model: str) -> None:
        self.progress = 0
        self.model = model
        self.tokens = 0
        self.error: ApplianceError | None = None
        self.has_text = False
        self._end = ""
        self._unfinished = b""

    @property
    def has_ended(self) -> bool:
        return bool(self._end)

    def feed(self, data: bytes) -> str:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        return "".join(self._take(json.loads(each)) for each in lines)

    def close(self, *, cut: bool = False) -> tuple[str, Ending]:
        finish = {"done": Finish.COMPLETE, "long": Finish.LENGTH, "refused": Finish.BLOCKED}.get(self._end)
        if finish is None:
            finish = Finish.INTERRUPTED if self.has_text or cut else Finish.FAILED
        note = TOO_LONG if finish is Finish.LENGTH else None
        return "", Ending(finish, note, self.model, self.tokens)

    def _take(self, document: dict[str, Any]) -> str:
        self.progress += 1
        self.tokens += document.get("thoughts", 0)
        self._end = document.get("end", self._end)
        text = str(document.get("text", ""))
        self.has_text = self.has_text or bool(text)
        return text
