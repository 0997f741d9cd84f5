"""The dialect of Google's Gemini API: a conversation to a request, a stream of bytes to text and one ending,
errors to ours. No I/O. A second dialect would stand beside this module; what is Gemini's stays in here.

Sources: https://ai.google.dev/api/generate-content (read 2026-11) for request, chunk and finish reasons;
recorded streams for what is not written there (errors as bare JSON in the middle of a stream, finish reasons on
every chunk, events without their final blank line).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from ..ending import Ending, Finish
from ..errors import ApplianceError, EventTooLarge, OwnerError, UnknownModel, UpstreamError
from ..sentences import Sentence
from .sse import MAX_EVENT_BYTES, Event, EventStreamParser

log = logging.getLogger(__name__)

_ORDINARY_ENDS = {"STOP": Finish.COMPLETE, "MAX_TOKENS": Finish.LENGTH, "CONTINUATION": Finish.LENGTH}
_NO_REASON = {"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"}
_BLOCKED = {
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
    "PUP_LIMITED_DISABLED",
}  # fmt: skip

_KEY = re.compile(r"\b(?:AIza|AQ\.)[\w.-]+|(?<=api_key:)\S+")  # Google quotes the key that it suspends

TOO_LONG = Sentence("The answer reached its greatest length.")
_BROKEN_OFF = Sentence("Gemini's answer broke off here.")
_UNREADABLE = Sentence("Gemini sent something that the appliance cannot read.")
_NO_ANSWER = Sentence("Gemini sent no answer. Please ask again.")
_TROUBLE = Sentence("Gemini has a problem at the moment. Please ask again in a few minutes.")
_REGION = Sentence("Google does not offer Gemini in this region without billing. The owner can set it up there.")
_REDIRECTED = Sentence(
    "Something between the appliance and Gemini redirects it elsewhere. The owner can check the network and the"
    " address of Gemini in the settings."
)
_FOR_THE_OWNER = {
    400: Sentence("Gemini did not understand the request. The owner can check the settings of the appliance."),
    401: Sentence("Google does not accept the key of this appliance. Its owner can store a new one."),
    402: Sentence("The prepaid credit for Gemini is used up. The owner can add to it in Google AI Studio."),
    403: Sentence("Google does not let this appliance's key use Gemini. Its owner can look into Google AI Studio."),
}
_UNKNOWN = Sentence("Gemini does not know this model any more.")
_BUSY = Sentence("Gemini has too much to do at the moment. Please ask again in a few minutes.")


class Message(NamedTuple):
    """One message of a conversation; `role` as Gemini names it."""

    role: Literal["user", "model"]
    text: str


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are to be written. Of the two thinking fields at most one may be set (both: status 400)."""

    system_instruction: str = ""
    temperature: float | None = None
    max_output_tokens: int | None = None
    thinking_level: str | None = None
    thinking_budget: int | None = None


@dataclass(frozen=True)
class Request:
    """What goes to Gemini: a POST of `body` to `path`; without a body, a GET. `headers` carry the key and are never
    shown.
    """

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def request(model: str, conversation: Sequence[Message], generation: GenerationOptions, key: str) -> Request:
    """The request for an answer to `conversation`, whose last message is the question.

    The key goes into a header: in the address it would end up in the logs of every proxy.
    """
    settings: dict[str, Any] = {}
    if generation.temperature is not None:
        settings["temperature"] = generation.temperature
    if generation.max_output_tokens is not None:
        settings["maxOutputTokens"] = generation.max_output_tokens
    if generation.thinking_level is not None:
        settings["thinkingConfig"] = {"thinkingLevel": generation.thinking_level}
    elif generation.thinking_budget is not None:
        settings["thinkingConfig"] = {"thinkingBudget": generation.thinking_budget}
    body: dict[str, Any] = {
        "contents": [{"role": message.role, "parts": [{"text": message.text}]} for message in conversation]
    }
    if generation.system_instruction:
        body["system_instruction"] = {"parts": [{"text": generation.system_instruction}]}
    if settings:
        body["generationConfig"] = settings
    return Request(
        path=f"/v1beta/models/{quote(model, safe='')}:streamGenerateContent?alt=sse",
        headers={"x-goog-api-key": key, "Content-Type": "application/json"},
        body=json.dumps(body).encode(),
    )


def models_request(key: str) -> Request:
    """The request for the models that a key may use (https://ai.google.dev/api/models, read 2026-11): it costs
    nothing, and a key that is not accepted is refused as for an answer.
    """
    return Request("/v1beta/models?pageSize=1000", {"x-goog-api-key": key}, b"")


def read_models(body: bytes) -> tuple[str, ...]:
    """The names of the models that write answers, from the response to `models_request()`. Raises `UpstreamError`
    for anything else, such as the page of a network that wants a password first.
    """
    document = _document(body)
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise UpstreamError(_UNREADABLE, "no list of models")
    return tuple(
        _text(model.get("name")).removeprefix("models/")
        for model in models
        if isinstance(model, dict) and "generateContent" in (model.get("supportedGenerationMethods") or ())
    )


class AnswerReader:
    """The body of one 200 response of `model`: feed it bytes as they arrive, then `close()` it, once.

    `progress` grows with every new piece of text and with every token that Gemini counts, thinking included:
    when it stands still for long, Gemini is stuck, even if bytes still come. `error` is what Gemini reported
    inside the stream, if anything.
    """

    def __init__(self, model: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.progress = 0
        self.model = model
        self.tokens = 0
        self.error: ApplianceError | None = None
        self.has_text = False
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
            self.error = self.error or error
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
            self.error = self.error or error
        texts = self._take_strays(self._parser.dispatched)
        for event in pending:
            if _document(event.data) is None:
                cut = True  # the end of the stream came in the middle of an event
            else:
                texts.append(self._take_json(event.data))
        if self._bare.is_open:
            cut = True
            if '"error"' in self._bare.unfinished and self.error is None:
                self.error = UpstreamError(_TROUBLE, "an error whose JSON was cut")
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
            return Finish.INTERRUPTED, Sentence("The connection to Gemini broke before an answer came.")
        if self._unreadable:
            return Finish.FAILED, _UNREADABLE
        return Finish.FAILED, _NO_ANSWER

    def _finish_for(self, reason: str) -> tuple[Finish, Sentence | None]:
        if reason in _ORDINARY_ENDS:
            finish = _ORDINARY_ENDS[reason]
            if finish is Finish.LENGTH:
                if not self.has_text:
                    return Finish.FAILED, Sentence(
                        "Gemini used up the greatest length of an answer with thinking alone. Please ask for"
                        " less, or let the owner raise “max_output_tokens”."
                    )
                return finish, TOO_LONG
            return (finish, None) if self.has_text else (Finish.FAILED, _NO_ANSWER)
        if reason in _BLOCKED or reason.startswith("IMAGE_"):
            return Finish.BLOCKED, self._rules(reason)
        return Finish.FAILED, Sentence(
            "Gemini stopped writing for a reason of its own (%(reason)s).", reason=reason
        )

    def _rules(self, reason: str) -> Sentence:
        if self.has_text:
            return Sentence("Google's rules stopped the answer here (%(reason)s).", reason=reason)
        return Sentence("Google's rules do not let Gemini answer this question (%(reason)s).", reason=reason)

    def _said(self, text: str) -> str:
        if text:
            self.has_text = True
            self.progress += 1
        return text

    def _take_strays(self, before: int) -> list[str]:
        """The text in bare JSON lines that came before event number `before`."""
        texts = []
        strays = self._parser.stray
        while self._strays_taken < len(strays) and strays[self._strays_taken].after <= before:
            for document in self._bare.feed(strays[self._strays_taken].text):
                texts.append(self._take_json(document))
            self._strays_taken += 1
        return texts

    def _take_json(self, document: str) -> str:
        chunk = _document(document)
        if isinstance(chunk, list):
            return "".join(self._take_chunk(part) for part in chunk)
        return self._take_chunk(chunk)

    def _take_chunk(self, chunk: object) -> str:
        if not isinstance(chunk, dict):
            self._unreadable += 1
            log.warning("gemini: skipped an unreadable event")
            return ""
        if chunk.get("error") is not None:
            if self.error is None:
                self.error = _reported_error(chunk["error"], status=0)
            return ""
        self._take_usage(chunk)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            block = _text(feedback.get("blockReason"))
            if block not in _NO_REASON:
                self._block_reason = block
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict):
            return ""
        reason = _text(candidate.get("finishReason"))
        if reason not in _NO_REASON:
            self._reason = reason
        return "".join(_texts(candidate.get("content")))

    def _take_usage(self, chunk: Mapping[str, object]) -> None:
        self.model = _text(chunk.get("modelVersion")) or self.model
        usage = chunk.get("usageMetadata")
        total = usage.get("totalTokenCount") if isinstance(usage, dict) else None
        if isinstance(total, int) and not isinstance(total, bool) and 0 <= total < 2**53:
            self.tokens = total
            if total > self._most_tokens:
                self._most_tokens = total
                self.progress += 1


def refusal(status: int, body: bytes) -> ApplianceError:
    """What a response other than 200 means: `UpstreamError` where another model or a later time may help,
    `OwnerError` where only the owner can. Judged by the status: the body may be JSON, JSON in an array, HTML
    or empty, under any content type.
    """
    document = _document(body)
    if isinstance(document, list):
        document = document[0] if document else None
    error = document.get("error") if isinstance(document, dict) else None
    return _reported_error(error if isinstance(error, dict) else {}, status)


def _texts(content: object) -> Iterator[str]:
    parts = content.get("parts") if isinstance(content, dict) else None
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and not part.get("thought"):
            yield _text(part.get("text"))


def _document(text: str | bytes) -> Any:
    """A JSON document; None if it is none, or is nested too deeply to be one of Gemini's."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    """A string of a document, "" for anything else. JSON can spell half a surrogate pair (RFC 8259, 8.2), which no
    UTF-8 can say.
    """
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _reported_error(error: object, status: int) -> ApplianceError:
    """The error object of Gemini; `status` is that of the response, or 0 for an error inside a stream."""
    error = error if isinstance(error, dict) else {}
    code, given = error.get("code"), error.get("details")
    status = status or (code if isinstance(code, int) else 0)
    name, message = _text(error.get("status")), _KEY.sub("***", _text(error.get("message")))
    details = [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []
    detail = " ".join(filter(None, (str(status or "no status"), name, message)))[:300]

    if any(d.get("reason") == "API_KEY_INVALID" for d in details):
        status = 401  # Google says 400
    if status == 429:
        return _quota_error(message, details, detail)
    if status == 400 and name == "FAILED_PRECONDITION":
        return OwnerError(_REGION, detail)
    if status in _FOR_THE_OWNER or 300 <= status < 400:
        return OwnerError(_FOR_THE_OWNER.get(status, _REDIRECTED), detail)
    if status == 404:
        return UnknownModel(_UNKNOWN, detail)
    return UpstreamError(_BUSY if status == 503 else _TROUBLE, detail)


def _quota_error(message: str, details: Sequence[Mapping[str, Any]], detail: str) -> UpstreamError:
    retry_after = None
    per_day = False
    for entry in details:
        kind = str(entry.get("@type", "")).rpartition(".")[2]
        if kind == "RetryInfo":
            retry_after = _seconds(entry.get("retryDelay"))
        elif kind == "QuotaFailure":
            per_day = per_day or "PerDay" in json.dumps(entry.get("violations"))
    if re.search(r"\blimit: 0\b", message):  # this model is not free at all: as good as used up
        per_day = True
    if per_day:
        sentence = Sentence("Gemini's free questions for today are used up.")
    else:
        sentence = Sentence("Too many questions at once for Gemini. Please ask again in a minute.")
    return UpstreamError(sentence, detail, retry_after=retry_after, out_for_the_day=per_day)


def _seconds(duration: object) -> float | None:
    """A protobuf Duration in JSON, such as "34.4s"."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", duration) if isinstance(duration, str) else None
    return float(match[1]) if match else None


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
