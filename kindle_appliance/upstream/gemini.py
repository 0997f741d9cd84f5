"""The dialect of Google's Gemini API, v1beta. No I/O. Everything that only Gemini does stays in this file, and in
`gemini_refusals`.

Sources: https://ai.google.dev/api/generate-content (read 2026-11) for request, chunk and finish reasons; recorded
streams for what is not written there (errors as bare JSON in the middle of a stream, finish reasons on every chunk,
events without their final blank line).
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ..clock import now
from ..conversation import GenerationOptions, Question
from ..ending import TOO_LONG, Ending, Finish
from ..errors import ApplianceError, UpstreamError, UpstreamUnreadable
from ..sentences import Sentence
from .dialect import OptionError, Request
from .gemini_refusals import PROVIDER, Clock, reported_error, text_of
from .sse import MAX_EVENT_BYTES, Event, EventStreamParser, EventTooLarge

log = logging.getLogger(__name__)

_ORDINARY_ENDS = {"STOP": Finish.COMPLETE, "MAX_TOKENS": Finish.LENGTH, "CONTINUATION": Finish.LENGTH}
_NO_REASON = {"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"}
_BLOCKED = {
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
    "PUP_LIMITED_DISABLED",
}  # fmt: skip

_KNOWN_FIELDS = {
    "candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "error", "createTime",
    "modelStatus",
}  # fmt: skip
_MOST_UNREADABLE = 1000
"""So many unreadable events are skipped. A server that sends more is not Gemini, and each costs time."""
_NAME_CHARACTERS = 80
"""Of a model version or a finish reason. The longest that are known have half as many."""

_BROKEN_OFF = Sentence("%(provider)s's answer broke off here.", provider=PROVIDER)
_NO_ANSWER = Sentence("%(provider)s sent no answer. Please ask again.", provider=PROVIDER)
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
    options = frozenset({"temperature", "max_output_tokens", "thinking_level", "thinking_budget"})

    def __init__(self, clock: Clock = now) -> None:
        self._clock = clock

    def check_options(self, options: GenerationOptions) -> None:
        if options.thinking_level is not None and options.thinking_budget is not None:
            raise OptionError(
                "Gemini refuses that (status 400). Allowed is one of them.",
                "thinking_level",
                "thinking_budget",
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

    def reader(self, model: str) -> AnswerReader:
        return AnswerReader(model, clock=self._clock)

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
        """Judged by the status first: the body may be JSON, JSON in an array or an event, HTML or empty, under any
        content type.
        """
        document = _document(body.strip().removeprefix(b"data:"))
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

    def read_catalogue(self, body: bytes) -> tuple[str, ...]:
        document = _document(body)
        models = document.get("models") if isinstance(document, dict) else None
        if not isinstance(models, list):
            raise UpstreamUnreadable(PROVIDER, "no list of models")
        return tuple(
            text_of(model.get("name")).removeprefix("models/")
            for model in models
            if isinstance(model, dict) and "generateContent" in (model.get("supportedGenerationMethods") or ())
        )


class AnswerReader:
    """The body of one 200 response of `model`, as `StreamReader` says."""

    def __init__(self, model: str, *, clock: Clock = now, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.progress = 0
        self.model = model
        self.tokens = 0
        self.error: ApplianceError | None = None
        self.has_text = False
        self._clock = clock
        self._blanks: list[str] = []
        self._parser = EventStreamParser(max_event_bytes)
        self._bare = _BareJson()
        self._strays_taken = 0
        self._reason = ""
        self._block_reason = ""
        self._most_tokens = 0  # the running count can fall, which is no progress
        self._unreadable = 0  # events that were no JSON, or not of the expected shape

    @property
    def has_ended(self) -> bool:
        """Whether a finish reason has come. Old models repeat it on every chunk, so reading goes on."""
        return bool(self._reason or self._block_reason)

    def feed(self, data: bytes) -> str:
        """The answer's text in the next bytes; thoughts and all that is no text are left out."""
        events_before = self._parser.dispatched
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            self._fail(UpstreamUnreadable(PROVIDER, str(error)))
            return ""
        texts = []
        for number, event in enumerate(events, events_before):
            texts += self._take_strays(number)
            texts.append(self._take_json(event.data))
        texts += self._take_strays(self._parser.dispatched)
        return self._said("".join(texts))

    def close(self, *, cut: bool = False) -> tuple[str, Ending]:
        """The body has ended, or was cut: the last piece of text, if any, and how the answer ended.

        A finish reason that has been seen stands, whatever comes after it. Without one the text so far is kept:
        the answer was interrupted. A body that ended in good order and brought no text at all is a failure.
        """
        pending: list[Event] = []
        try:
            pending = self._parser.close()
        except EventTooLarge as error:
            self._fail(UpstreamUnreadable(PROVIDER, str(error)))
        texts = self._take_strays(self._parser.dispatched)
        for event in pending:
            if _document(event.data) is None:
                cut = True  # the end of the stream came in the middle of an event
            else:
                texts.append(self._take_json(event.data))
        if self._bare.is_open:
            cut = True
            if '"error"' in self._bare.unfinished:
                self._fail(UpstreamError(PROVIDER, "an error whose JSON was cut"))
        text = self._said("".join(texts))
        return text, self._ending(cut)

    def _ending(self, cut: bool) -> Ending:
        finish, note = self._finish(cut)
        return Ending(finish, note, self.model, self.tokens)

    def _finish(self, cut: bool) -> tuple[Finish, Sentence | None]:
        if self._block_reason:
            return Finish.BLOCKED, self._rules(self._block_reason)
        if self._reason:
            return self._finish_for(self._reason)
        if self.error is not None:
            finish = Finish.INTERRUPTED if self.has_text else Finish.FAILED
            return finish, _BROKEN_OFF if self.has_text else self.error.sentence
        if self.has_text:
            return Finish.INTERRUPTED, _BROKEN_OFF
        if cut:
            return Finish.INTERRUPTED, Sentence(
                "The connection to %(provider)s broke before an answer came.", provider=PROVIDER
            )
        if self._unreadable:
            return Finish.FAILED, UpstreamUnreadable.describe(PROVIDER)
        return Finish.FAILED, _NO_ANSWER

    def _finish_for(self, reason: str) -> tuple[Finish, Sentence | None]:
        if reason in _ORDINARY_ENDS:
            finish = _ORDINARY_ENDS[reason]
            if finish is Finish.LENGTH:
                if not self.has_text:
                    return Finish.FAILED, Sentence(
                        "%(provider)s thought for so long that no room was left for an answer. Please ask again,"
                        " for less at once.",
                        provider=PROVIDER,
                    )
                return finish, TOO_LONG
            return (finish, None) if self.has_text else (Finish.FAILED, _NO_ANSWER)
        if reason in _BLOCKED or reason.startswith("IMAGE_"):
            return Finish.BLOCKED, self._rules(reason)
        if not self.has_text:
            return Finish.FAILED, _NO_ANSWER
        return Finish.FAILED, Sentence(
            "%(provider)s stopped writing for a reason of its own (%(reason)s).", provider=PROVIDER, reason=reason
        )

    def _rules(self, reason: str) -> Sentence:
        if self.has_text:
            return Sentence("Google's rules stopped the answer here (%(reason)s).", reason=reason)
        return Sentence("Google's rules do not let Gemini answer this question (%(reason)s).", reason=reason)

    def _fail(self, error: ApplianceError) -> None:
        """Keep the first error: what follows it is mostly its consequence."""
        self.error = self.error or error

    def _said(self, text: str) -> str:
        """Blank text is held back until other text follows: an answer of nothing else would be an empty page."""
        if not text:
            return ""
        if not self.has_text and all(map(_is_blank, text)):
            self._blanks.append(text)
            return ""
        text = "".join([*self._blanks, text])
        self._blanks.clear()
        self.has_text = True
        self.progress += 1
        return text

    def _take_strays(self, before: int) -> list[str]:
        """The text in bare JSON lines that came before event number `before`."""
        texts: list[str] = []
        strays = self._parser.stray
        while self._strays_taken < len(strays) and strays[self._strays_taken].after <= before:
            line = strays[self._strays_taken].text
            documents = self._bare.feed(line)
            texts += map(self._take_json, documents)
            if line.strip() and not (documents or self._bare.is_open):
                self._skip()
            self._strays_taken += 1
        return texts

    def _take_json(self, document: str) -> str:
        chunk = _document(document)
        if isinstance(chunk, list):
            return "".join(self._take_chunk(part) for part in chunk)
        return self._take_chunk(chunk)

    def _take_chunk(self, chunk: object) -> str:
        if not isinstance(chunk, dict) or not chunk.keys() & _KNOWN_FIELDS:
            self._skip()
            return ""
        if chunk.get("error") is not None:
            self._fail(reported_error(chunk["error"], 0, self._clock))
            return ""
        self._take_usage(chunk)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            block = _name(feedback.get("blockReason"))
            if block not in _NO_REASON:
                self._block_reason = block
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            return ""
        reason = _name(candidate.get("finishReason"))
        if reason not in _NO_REASON:
            self._reason = reason
        return "".join(_texts(candidate.get("content")))

    def _skip(self) -> None:
        """Skip what cannot be read. It is logged once, since there can be thousands."""
        self._unreadable += 1
        if self._unreadable == 1:
            log.warning("gemini: skipped an unreadable event")
        elif self._unreadable == _MOST_UNREADABLE:
            self._fail(UpstreamUnreadable(PROVIDER, f"{_MOST_UNREADABLE} unreadable events"))

    def _take_usage(self, chunk: Mapping[str, object]) -> None:
        self.model = _name(chunk.get("modelVersion")) or self.model
        usage = chunk.get("usageMetadata")
        total = usage.get("totalTokenCount") if isinstance(usage, dict) else None
        if isinstance(total, int) and not isinstance(total, bool) and 0 <= total < 2**53:
            self.tokens = total
            if total > self._most_tokens:
                self._most_tokens = total
                self.progress += 1


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


def _is_blank(character: str) -> bool:
    """Whether it shows nothing, such as a space or a zero-width mark."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _texts(content: object) -> Iterator[str]:
    parts = content.get("parts") if isinstance(content, dict) else None
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and not part.get("thought"):
            yield text_of(part.get("text"))


def _document(text: str | bytes) -> Any:
    """A JSON document; None if it is none, or is nested too deeply to be one of Gemini's."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _name(value: object) -> str:
    """A name in a document, such as a finish reason: it is stored and shown with the answer, so it is short."""
    return "".join(filter(str.isprintable, text_of(value)[:_NAME_CHARACTERS]))


class _BareJson:
    """JSON documents that stand in a stream line by line without `data:`, found by counting braces outside
    strings, so that a brace in a message does not count. Lines that cannot begin a document are passed over.
    """

    _TOKEN = re.compile(r'[{}\[\]"\\]')

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self._in_string = False

    @property
    def is_open(self) -> bool:
        return bool(self._lines)

    @property
    def unfinished(self) -> str:
        return "\n".join(self._lines)

    def feed(self, line: str) -> list[str]:
        """The documents that this line completes."""
        documents = []
        start = 0
        escaped_at = -1
        for token in self._TOKEN.finditer(line):
            mark, at = token[0], token.start()
            if self._in_string:
                if at == escaped_at:
                    continue
                if mark == "\\":
                    escaped_at = at + 1
                elif mark == '"':
                    self._in_string = False
            elif mark == '"':
                self._in_string = self._depth > 0
            elif mark in "{[":
                if self._depth == 0:
                    start = at
                self._depth += 1
            elif mark in "}]" and self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._lines.append(line[start : at + 1])
                    documents.append("\n".join(self._lines))
                    self._lines.clear()
                    start = at + 1
        if self._depth:
            self._lines.append(line[start:])
        return documents
