"""What a refusal of an OpenAI-compatible server means: status, headers and body to an error by role. No I/O.

The dialect fixes how an answer looks, but not how an error does. So this reads all that servers are known to send:
an error object, a text in its place, FastAPI's `detail`, plain text and web pages. The status counts for more than
the text. Sources: handbooks and code of llama.cpp, Ollama, LM Studio, vLLM, LocalAI, OpenRouter, Groq, Mistral,
DeepSeek and Together, and public bug reports (read 2026-11).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..clock import UNKNOWN, Clock, is_believed, next_midnight
from ..errors import (
    ApplianceError,
    ContextExceeded,
    CreditUsedUp,
    ModelLoading,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    SignInPage,
    UnknownModel,
    UpstreamBusy,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnreadable,
)
from ..sentences import Sentence
from .gemini_refusals import details_of, find_end_of_day
from .reader import NOT_ALLOWED, document_of, name_of, text_of

_ANYWHERE = re.IGNORECASE | re.DOTALL
_TEXTS = ("message", "msg", "error", "detail", "errors", "title", "raw")
"""Where the text of an error stands, in any shape. `raw`: what OpenRouter itself was told, as JSON."""
_CODES = ("type", "code", "status_code", "http_status_code")
_MOST_CHARACTERS = 4000
"""Of a text or of an object that are searched. The longest known errors have half as many."""
_DEEPEST = 6
_DETAIL_CHARACTERS = 300

_KEY = re.compile(
    r"\b(?:sk|gsk|csk|rk|pk|xai|hf|nvapi|tgp|fw|lm|AQ)[-_.][\w*.:-]{4,}|\bAIza[\w-]+|(?<=\bBearer )\S+"
    r"|(?<=\bprovided: )\S+|(?<=\bkey[:=] )\S+|(?<=\bkey[:=])\S+|(?<=\btoken: )(?!\d)\S+|(?<=\bkey ['\"`])[^'\"`]+",
    re.IGNORECASE,
)
"""Keys that servers quote."""
_IS_ABOUT_KEY = re.compile(
    r"\bAPI[ _-]?key\b.{0,80}?\b(?:not valid|invalid|incorrect|expired|missing|not found|required|revoked)"
    r"|\b(?:invalid|incorrect|valid|expired|missing|no|wrong)\b.{0,20}\bAPI[ _-]?(?:key|token)\b",
    _ANYWHERE,
)
_IS_ABOUT_CREDIT = re.compile(
    r"\binsufficient[ _](?:quota|balance|credits?|funds)|\bexceeded_current_quota"
    r"|\b(?:more|enough|out of|no) credits\b|\b(?:credit|key) limit exceeded|\bonly afford\b"
    r"|\bnegative balance|\barrearage",
    _ANYWHERE,
)
_IS_ABOUT_RULES = re.compile(
    r"\bcontent[ _]?(?:filter|policy|management)|\bmoderation\b|\bflagged\b|\bdata_?inspection"
    r"|\binappropriate content|\bcontent exists risk|\busage guidelines|\bresponsibleai",
    _ANYWHERE,
)
_IS_ABOUT_MODEL = re.compile(r"\bmodels?\b|\bmodel_|_model\b|\bendpoints? found\b|\bdeployment", _ANYWHERE)
_HAS_NO_MODEL = re.compile(
    r"\bmodels?\b.{0,250}?\b(?:not found|not exist|no longer|not available|not been found|unknown|retired)"
    r"|\b(?:invalid|unknown|unable to access|not found the|no such|failed to load) model\b"
    r"|\bvalid model (?:id|name)|\bno models? loaded\b|\bno endpoints found for\b"
    r"|\bmodel_not_found|\binvalid_model|\bdeployment ?not ?found",
    _ANYWHERE,
)
_IS_ABOUT_LENGTH = re.compile(
    r"\bexceed_context|\bcontext_length_exceeded|\bcontext[ -](?:length|window|size)\b|\bcontext the overflows"
    r"|\bcontext overflow|\bmodel token limit|\btoo many (?:input |prompt )?tokens|\btokens? .{0,60}\bexceed"
    r"|\bexceed\w*\b.{0,60}\b(?:tokens|context)\b"
    r"|\b(?:input|prompt|message|request)s?\b[^.\"]{0,60}\btoo (?:long|large)\b"
    r"|\breduce (?:the length of )?(?:the|your) (?:messages?|input|prompt)|\brange of input length"
    r"|\bmaximum (?:input|prompt) length|\binputs?` tokens|\bmax_model_len|\bstring_above_max_length",
    _ANYWHERE,
)
_IS_ABOUT_OUTPUT = re.compile(r"\bmax_(?:completion_|output_)?tokens\W{1,3}(?:must|should|value|cannot)", _ANYWHERE)
_CONTEXT_SIZE = re.compile(
    r"(?:\bcontext (?:length|size|window) (?:is |of )?(?:only )?\(?|\bmaximum (?:input|prompt) length (?:is )?"
    r"|\bmodel token limit: )(\d{1,3}(?:[,. ]\d{3}){1,2}|\d{1,9})\b(?![,.]\d)",
    _ANYWHERE,
)
_IS_LOADING = re.compile(
    r"\bloading (?:the )?model\b|\bmodel\b.{0,250}?\b(?:is|are|still|currently) (?:being )?load(?:ing|ed)\b",
    _ANYWHERE,
)
_HAS_NO_MEMORY = re.compile(
    r"\bmore (?:system )?memory\b|\bout of memory\b|\binsufficient (?:system )?(?:memory|resources)\b", _ANYWHERE
)
_IS_OVERLOADED = re.compile(r"\boverloaded|\bserver[ _]busy\b|\bat capacity\b|\bcapacity[ _]exceeded", _ANYWHERE)
_IS_PER_DAY = re.compile(r"per[-_ ]?(?:day|week|month)|\b(?:dai|week|month)ly\b|_daily\b|\b[RT]PD\b", _ANYWHERE)
_PART = r"\d{1,9}(?:\.\d{1,9})? ?(?:ms|milliseconds?|[dhms]|days?|h(?:ou)?rs?|min(?:ute)?s?|sec(?:ond)?s?)"
_TRY_AGAIN_IN = re.compile(
    rf"\b(?:again|retry) (?:in|after)"
    rf" ({_PART}(?:,?(?: and)? ?{_PART}){{,4}}(?![a-z0-9])|[\d.]{{,30}}\d(?! ?[a-z0-9]))",
    _ANYWHERE,
)
_BESIDE_UNITS = re.compile(r"[ ,]|and|(?<=m)illi|(?<=[dhms])(?!s\b|illi)[a-z]+")
"""What makes a delay of words longer than the same duration, such as "1m30s"."""
_DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d+)?)s)?(?:(\d{1,9}(?:\.\d+)?)ms)?", re.ASCII
)
_NUMBER = re.compile(r"\d{1,16}(?:\.\d{1,9})?", re.ASCII)

_LEAST_EPOCH, _LEAST_EPOCH_MS = 1e9, 1e11
"""From these on, a number is a Unix time and not a delay in seconds, and a Unix time in milliseconds."""
_LONG_SECONDS = 900.0
"""Whoever is asked to wait for longer has used up a quota."""
_MOST_SECONDS = 31 * 86_400.0
"""No quota is counted for longer than a month; a server that says so is misunderstood, and asked again."""
_SHORT_SECONDS = 60.0
"""A daily quota that is back as soon counts the last 24 hours, and is waited for like any other limit."""

_STATUS_OF = {
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "api_error": 500,
    "overloaded_error": 503,
    "unavailable_error": 503,
}
"""For errors inside a stream that have a type or a code but no status."""

_NO_KEY = Sentence(
    "%(provider)s wants a key, or does not accept the key of this appliance. The owner can store the right one."
)
_FORBIDDEN = Sentence("%(provider)s does not let this appliance ask. The owner can look into the account there.")
_REDIRECTED = Sentence(
    "%(provider)s, or something before it, redirects elsewhere. The owner can check its address in the settings."
)
_WRONG_PATH = Sentence(
    "%(provider)s answers, but not as a model server, or it does not have this model. The owner can check the"
    " settings of the appliance."
)
_NO_MEMORY = Sentence(
    "The computer with %(provider)s does not have enough memory for this model. The owner can choose a smaller one."
)


def refusal(provider: str, status: int, headers: Mapping[str, str], body: bytes, clock: Clock) -> ApplianceError:
    """A response other than 200. `headers`: names in lower case."""
    text = re.sub(rb"\A(?:event:.*\s+)?data:", b"", body.strip())
    document = document_of(text)
    if document is None and not text.startswith(b"<"):
        document = text[:_MOST_CHARACTERS].decode("utf-8", "replace")
    return _Refusal.read(provider, document, status, headers, clock()).meaning()


def reported_error(provider: str, document: object, clock: Clock) -> ApplianceError:
    """An error inside a stream: the chunk that has it."""
    return _Refusal.read(provider, document, 0, {}, clock()).meaning()


@dataclass(frozen=True)
class _Refusal:
    """The parts of a refusal, and what they mean. `kind`: its types and codes; `message`: all its texts;
    `everything`: them and all other fields, to be searched; `size`: llama.cpp's field with the
    context size, or 0; `day_ends`: when a daily quota of Google's is back; `now`: Unix time, or `UNKNOWN`.
    """

    provider: str
    status: int
    kind: str
    message: str
    everything: str
    size: int
    day_ends: float | None
    delay: float | None
    now: float

    @classmethod
    def read(cls, provider: str, document: object, status: int, headers: Mapping[str, str], now: float) -> _Refusal:
        if isinstance(document, list):
            document = document[0] if document else None
        fields = document if isinstance(document, dict) else {}
        error = fields.get("error")
        error = error if isinstance(error, dict) else {}
        told = [each.get(name) for each in (error, fields) for name in _CODES]
        kinds = [str(each)[:80] for each in told if isinstance(each, str | int) and each != "error"]
        if not status:
            numbers = [int(each) for each in kinds if re.fullmatch("[345][0-9]{2}", each, re.ASCII)]
            status = next(iter([*numbers, *(_STATUS_OF[each] for each in kinds if each in _STATUS_OF)]), 0)
        kind = " ".join(name_of(each) for each in dict.fromkeys(kinds) if not each.isdecimal())
        message = " ".join(" ".join(dict.fromkeys(_texts(document)))[:_MOST_CHARACTERS].split())
        everything = f"{kind} {message} {json.dumps(error)[:_MOST_CHARACTERS] if error else ''}"
        delay = _delay(status, headers, error or fields, message, now)
        size = error.get("n_ctx")
        size = size if type(size) is int and size > 0 else 0
        day_ends = find_end_of_day(details_of(error), "", now)
        return cls(provider, status, kind, _KEY.sub("***", message), everything, size, day_ends, delay, now)

    @property
    def detail(self) -> str:
        """For the log."""
        return " ".join(filter(None, (str(self.status or "no status"), self.kind, self.message)))[
            :_DETAIL_CHARACTERS
        ]

    def meaning(self) -> ApplianceError:
        """The error by role."""
        return self._credit() or self._owners() or self._models() or self._places()

    def _credit(self) -> CreditUsedUp | None:
        if self.status == 402 or (self.status in (400, 403, 429) and self._says(_IS_ABOUT_CREDIT)):
            return CreditUsedUp(self.provider, self.detail)
        return None

    def _owners(self) -> OwnerError | None:
        """What only the owner can mend, and what therefore rules out every model of the place."""
        if 300 <= self.status < 400:
            return self._owner_error(_REDIRECTED)
        if self.status == 401 or (self.status in (400, 403) and self._says(_IS_ABOUT_KEY)):
            return self._owner_error(
                _NO_KEY,
                f"{self.provider} does not accept this key. Please copy it again.",
            )
        if self.status == 403 and not (self._says(_IS_ABOUT_RULES) or self._says(_IS_ABOUT_MODEL)):
            return self._owner_error(_FORBIDDEN)
        return None

    def _models(self) -> UpstreamError | None:
        """What is about one model: it loads, is unknown, has used up its quota, or does not take this request."""
        status, provider, detail = self.status, self.provider, self.detail
        if status in (0, 400, 413, 422, 500) and self._is_too_long:
            return ContextExceeded(provider, detail, context=self._context)
        if (status in (0, 409, 425, 429) or status >= 500) and self._says(_IS_LOADING):
            return ModelLoading(provider, detail, retry_after=self.delay)
        if self._says(_HAS_NO_MEMORY):
            return RequestRefused(provider, detail, sentence=_NO_MEMORY.having(provider=provider))
        if status == 429:
            return self._limit()
        if status in (0, 400, 403, 404, 410, 422) and self._says(_HAS_NO_MODEL):
            return UnknownModel(provider, detail)
        if status in (404, 405, 410, 501):
            sentence = None if self._says(_IS_ABOUT_MODEL) else _WRONG_PATH.having(provider=provider)
            return UnknownModel(provider, detail, sentence=sentence)
        if status in (400, 403, 422, 451) and self._says(_IS_ABOUT_RULES):
            reason = self.kind.partition(" ")[0] or str(status)
            return RequestRefused(provider, detail, sentence=NOT_ALLOWED.having(provider=provider, reason=reason))
        if 400 <= status < 500 and status not in (408, 409, 423, 424, 425, 498, 499):
            return RequestRefused(provider, detail)
        return None

    def _places(self) -> UpstreamError:
        """What passes, or is nobody's fault."""
        if self.status == 511:  # RFC 6585, 6: from a network, never from a server
            return SignInPage(self.provider, self.detail)
        if 100 <= self.status < 300:
            return UpstreamUnreadable(self.provider, self.detail)
        is_busy = self.status in (498, 503, 529) or self._says(_IS_OVERLOADED)  # 498: Groq, 529: without a standard
        kind = UpstreamBusy if is_busy else UpstreamError
        return kind(self.provider, self.detail, retry_after=self.delay)

    def _says(self, what: re.Pattern[str]) -> bool:
        return bool(what.search(self.everything))

    def _owner_error(self, sentence: Sentence, advice: str = "") -> OwnerError:
        return OwnerError(sentence.having(provider=self.provider), self.detail, advice)

    @property
    def _is_too_long(self) -> bool:
        """Whether question, history and answer together exceed the context, and not the answer its own bound."""
        return self.status == 413 or (self._says(_IS_ABOUT_LENGTH) and not self._says(_IS_ABOUT_OUTPUT))

    @property
    def _context(self) -> int | None:
        """The context size in tokens, if the refusal tells it."""
        told = _CONTEXT_SIZE.search(self.message)
        size = self.size or (int(re.sub(r"\D", "", told[1])) if told else 0)
        return size if size >= 256 else None  # what is said to be less is another number, such as a part of one

    def _limit(self) -> UpstreamError:
        if self.day_ends is not None:  # Google's delay is that of a minute's quota all the same
            return QuotaExhausted(self.provider, self.detail, until=self.day_ends)
        delay = self.delay
        is_quota = self._says(_IS_PER_DAY) if delay is None or delay < _LONG_SECONDS else True
        if not is_quota or (delay is not None and delay < _SHORT_SECONDS):
            return UpstreamRateLimited(self.provider, self.detail, retry_after=delay)
        until = next_midnight(self.now, UTC)  # where daily quotas begin anew if the server does not say when
        if delay and is_believed(self.now):
            until = self.now + min(delay, _MOST_SECONDS)
        return QuotaExhausted(self.provider, self.detail, until=until, retry_after=delay)


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """The texts of an error, the outermost first."""
    if isinstance(value, str):
        inner = document_of(value) if value.lstrip().startswith(("{", "[")) else None
        yield from [text_of(value)] if inner is None or depth >= _DEEPEST else _texts(inner, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        for each in value[:3]:
            yield from _texts(each, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        for each in (*(value.get(name) for name in _TEXTS), value.get("metadata")):
            yield from _texts(each, depth + 1) if isinstance(each, str | list | dict) else ()


def _delay(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any], message: str, now: float
) -> float | None:
    """Seconds until the server may be asked again, by the most exact of what it says; None if it does not."""
    metadata = error.get("metadata")
    own = metadata.get("headers") if isinstance(metadata, dict) else None  # so OpenRouter passes on its own
    if isinstance(own, dict):
        headers = {**{str(name).lower(): str(value) for name, value in own.items()}, **headers}
    said = _TRY_AGAIN_IN.search(message)
    told: list[object] = [f"{headers['retry-after-ms']}ms" if "retry-after-ms" in headers else ""]
    said_delay = _BESIDE_UNITS.sub("", said[1].lower()) if said else ""
    told += [headers.get("retry-after"), said_delay, *(each.get("retryDelay") for each in details_of(error))]
    if status == 429:
        told += [headers.get(f"x-ratelimit-reset{of}") for of in _exhausted(headers)]
        told += [headers.get("x-ratelimit-reset"), headers.get("ratelimit-reset")]
    told.append(error.get("estimated_time"))
    return next((delay for each in told if (delay := _seconds(each, now)) is not None), None)


def _exhausted(headers: Mapping[str, str]) -> list[str]:
    """Which of the two limits, of requests and of tokens, nothing is left of."""
    return [of for of in ("-requests", "-tokens") if headers.get(f"x-ratelimit-remaining{of}", "").strip() == "0"]


def _seconds(value: object, now: float) -> float | None:
    """The delay that a server tells: a number of seconds, a Unix time in seconds or milliseconds, a duration such
    as "1m30.5s", or a date. None if it is none of them, or a moment while the time is not known.
    """
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _LEAST_EPOCH:
            return number
        moment = number / 1000 if number >= _LEAST_EPOCH_MS else number
    elif text and (parts := _DURATION.fullmatch(text.lower())):
        sizes = (86_400, 3600, 60, 1, 0.001)
        return sum(float(part) * size for part, size in zip(parts.groups(), sizes, strict=True) if part)
    else:
        moment = _moment(text)
    return max(0.0, moment - now) if is_believed(moment) and is_believed(now) else None


def _moment(text: str) -> float:
    """The Unix time of a date, in the form of HTTP (RFC 9110, 5.6.7) or of ISO 8601; `UNKNOWN` if it is none."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text)
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
    return UNKNOWN
