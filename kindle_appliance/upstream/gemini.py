"""The dialect of Google's Gemini API, v1beta. No I/O. Everything that only Gemini does stays in this file, and in
`gemini_refusals`.

Sources: https://ai.google.dev/api/generate-content (read 2026-11) for request, chunk and finish reasons; recorded
streams for what is not written there (errors as bare JSON in the middle of a stream, finish reasons on every chunk,
events without their final blank line).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from ..clock import Clock, now
from ..conversation import GenerationOptions, Question
from ..ending import Finish
from ..errors import ApplianceError, UpstreamUnreadable
from ..sentences import Sentence
from .dialect import OptionError, Request
from .gemini_refusals import PROVIDER, reported_error
from .reader import AnswerReader, document_of, name_of, text_of
from .sse import MAX_EVENT_BYTES

LADDER = (
    "gemini-3.8-flash",
    "gemini-4-hydrogen",
    "gemini-3.6-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.1-flash-lite",
    "gemma-4-31b-it",
    "gemini-flash-latest",
    "gemini-flash-lite-latest",
)
"""The models that are asked unless the owner names others, the best first."""
_BLOCKED = {
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
    "PUP_LIMITED_DISABLED",
}  # fmt: skip

_KNOWN_FIELDS = {
    "candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "error", "createTime",
    "modelStatus",
}  # fmt: skip
_LEAST_THINKING = {
    "gemini-4-": "low",
    "gemini-3.8-flash": "low",
    "gemini-3.7-flash": "low",
    "gemini-3.6-flash": "minimal",
    "gemini-3.5-flash": "minimal",
    "gemini-3.1-flash-lite": "minimal",
}
"""The lowest thinking level that models of these names take (google-genai 3.6.1 and the pages of the models, read
2026-11). A level that a model does not take is an error, and what is not set is the model's own choice, up to
"high": too much for a short answer.
"""
_NEVER_THINK = "gemma-"
_MOST_OUTPUT_TOKENS = 65_536
_THINKING_TOKENS = 24_576
"""`maxOutputTokens` counts thoughts, so room for them is added: the greatest budget that is documented for a Flash
model (2.5 Flash, https://ai.google.dev/gemini-api/docs/thinking, read 2026-11), and for a high level all that a
model can write.
"""


class Gemini:
    """The dialect, for `Rung`."""

    provider = PROVIDER
    owner = "Google"
    terms = Sentence("With a free key, Google may use questions and answers, and people there may read them.")
    has_aliases = True
    unknown_seconds = 24 * 3600.0

    def __init__(self, clock: Clock = now) -> None:
        self._clock = clock

    def check_options(self, options: GenerationOptions) -> None:
        if options.thinking_level is not None and options.thinking_budget is not None:
            raise OptionError(
                "Gemini refuses that (status 400). Allowed is one of them.",
                "thinking_level",
                "thinking_budget",
            )
        if options.thinking_level == "none":
            raise OptionError(
                "Gemini has no such level. Not set, each model thinks as little as it can.", "thinking_level"
            )

    def with_defaults(self, model: str, options: GenerationOptions) -> GenerationOptions:
        """Thinks as little as the model can, unless a level or a budget is set."""
        if options.thinking_level is not None or options.thinking_budget is not None:
            return options
        levels = (level for name, level in _LEAST_THINKING.items() if model.startswith(name))
        return replace(options, thinking_level=next(levels, None))

    def request(self, model: str, question: Question, options: GenerationOptions, key: str) -> Request:
        config: dict[str, Any] = {}
        if options.temperature is not None:
            config["temperature"] = options.temperature
        if options.max_output_tokens is not None:
            config["maxOutputTokens"] = _with_thoughts(model, options, options.max_output_tokens)
        if options.thinking_level is not None:
            config["thinkingConfig"] = {"thinkingLevel": options.thinking_level}
        elif options.thinking_budget is not None:
            config["thinkingConfig"] = {"thinkingBudget": options.thinking_budget}
        body: dict[str, Any] = {"contents": [_content(each.role, each.text) for each in question.messages]}
        if question.instruction:
            body["system_instruction"] = {"parts": [{"text": question.instruction}]}
        if config:
            body["generationConfig"] = config
        return self._request(model, key, body)

    def trial(self, model: str, key: str) -> Request:
        """One token, thoughts included: the answer has most likely no text."""
        return self._request(
            model, key, {"contents": [_content("user", "Hi")], "generationConfig": {"maxOutputTokens": 1}}
        )

    def reader(self, model: str) -> GeminiReader:
        return GeminiReader(model, clock=self._clock)

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
        """Judged by the status first: the body may be JSON, JSON in an array or an event, HTML or empty, under any
        content type.
        """
        document = document_of(body.strip().removeprefix(b"data:"))
        if isinstance(document, list):
            document = document[0] if document else None
        error = document.get("error") if isinstance(document, dict) else None
        delay = headers.get("retry-after", "")
        retry_after = float(delay) if re.fullmatch("[0-9]{1,9}", delay, re.ASCII) else None
        return reported_error(error, status, self._clock, retry_after)

    def _request(self, model: str, key: str, body: dict[str, Any]) -> Request:
        """The key goes into a header: in the address it would end up in the logs of every proxy."""
        return Request(
            path=f"/v1beta/models/{quote(model, safe='')}:streamGenerateContent?alt=sse",
            headers={"x-goog-api-key": key, "Content-Type": "application/json"},
            body=json.dumps(body).encode(),
        )

    def catalogue_request(self, key: str) -> Request:
        """https://ai.google.dev/api/models (read 2026-11): free of charge; a key that is not accepted is refused as
        for an answer.
        """
        return Request("/v1beta/models?pageSize=1000", {"x-goog-api-key": key}, b"")

    def read_catalogue(self, body: bytes) -> dict[str, int | None]:
        document = document_of(body)
        models = document.get("models") if isinstance(document, dict) else None
        if not isinstance(models, list):
            raise UpstreamUnreadable(PROVIDER, "no list of models")
        return {
            text_of(model.get("name")).removeprefix("models/"): None
            for model in models
            if isinstance(model, dict) and "generateContent" in (model.get("supportedGenerationMethods") or ())
        }


class GeminiReader(AnswerReader):
    """The body of one 200 response of `model`. Old models repeat the finish reason on every chunk, so reading goes
    on after it.
    """

    ordinary_ends: ClassVar = {
        "STOP": Finish.COMPLETE, "MAX_TOKENS": Finish.LENGTH, "CONTINUATION": Finish.LENGTH
    }  # fmt: skip
    no_reason: ClassVar = ("", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED")

    def __init__(self, model: str, *, clock: Clock = now, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(PROVIDER, model, max_event_bytes)
        self._clock = clock

    def is_block(self, reason: str) -> bool:
        return reason in _BLOCKED or reason.startswith("IMAGE_")

    def rules(self, reason: str) -> Sentence:
        if self.has_text:
            return Sentence("Google's rules stopped the answer here (%(reason)s).", reason=reason)
        return Sentence("Google's rules do not let Gemini answer this question (%(reason)s).", reason=reason)

    def take_chunk(self, chunk: Mapping[str, Any]) -> str | None:
        if not chunk.keys() & _KNOWN_FIELDS:
            return None
        if chunk.get("error") is not None:
            self.fail(reported_error(chunk["error"], 0, self._clock))
            return ""
        self._take_usage(chunk)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            self.refuse(name_of(feedback.get("blockReason")))
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            return ""
        self.finish(name_of(candidate.get("finishReason")))
        return "".join(_texts(candidate.get("content")))

    def _take_usage(self, chunk: Mapping[str, object]) -> None:
        self.model = name_of(chunk.get("modelVersion")) or self.model
        usage = chunk.get("usageMetadata")
        self.count(usage.get("totalTokenCount") if isinstance(usage, dict) else None)


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def _with_thoughts(model: str, options: GenerationOptions, tokens: int) -> int:
    """The cap for `tokens` of text and the thoughts before it."""
    if model.startswith(_NEVER_THINK):
        return tokens
    room = _THINKING_TOKENS
    if options.thinking_level in ("high", "xhigh"):
        room = _MOST_OUTPUT_TOKENS
    elif options.thinking_budget is not None and options.thinking_budget >= 0:
        room = options.thinking_budget
    return max(tokens, min(tokens + room, _MOST_OUTPUT_TOKENS))


def _texts(content: object) -> Iterator[str]:
    parts = content.get("parts") if isinstance(content, dict) else None
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and not part.get("thought"):
            yield text_of(part.get("text"))
