"""What a refusal of Gemini's means: status, error object and message to an error by role. No I/O.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting and .../rate-limits (read 2026-11), by which free
questions are counted for each model and begin anew at midnight Pacific time; and public bug reports until 2026-11,
for what a message tells and its status does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..clock import Clock, next_midnight
from ..errors import (
    ApplianceError,
    ContextExceeded,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    SignInPage,
    UnknownModel,
    UpstreamBusy,
    UpstreamError,
    UpstreamRateLimited,
)
from ..sentences import Sentence
from .reader import text_of

PROVIDER = "Gemini"

_KEY = re.compile(r"\b(?:AIza|AQ\.)[\w.-]+|(?<=api_key:)\S+")  # Google quotes the key that it suspends
_PACIFIC = "America/Los_Angeles"
_ANYWHERE = re.IGNORECASE | re.DOTALL
_MOST_CHARACTERS = 4000
"""Of a message that is searched: the patterns take its square. The longest known messages have half as many."""
_IS_ABOUT_KEY = re.compile(
    r"\bAPI[ _]key\b.*\b(?:not valid|invalid|expired|not found|leaked|suspended|blocked|restricted|disabled)"
    r"|\bvalid API key\b",
    _ANYWHERE,
)
_IS_EXPIRED = re.compile(r"\bexpired\b", _ANYWHERE)
_IS_ABOUT_MODEL = re.compile(r"\bmodels?\b|\bthinking|\binstructions?\b", _ANYWHERE)
_HAS_NO_MODEL = re.compile(
    r"\bmodels?\b.*\b(?:not found|retired|no longer|does not exist|may not exist)", _ANYWHERE
)
_IS_ABOUT_REGION = re.compile(r"\b(?:location|regions?|countr(?:y|ies)|territor(?:y|ies))\b", _ANYWHERE)
_IS_NOT_OFFERED = re.compile(
    r"\b(?:not|un)[ -]?(?:\w+ ){0,2}(?:supported|available|offered|allowed)|\brestricted", _ANYWHERE
)
_IS_ABOUT_BILLING = re.compile(r"\bbilling\b|\bpaid\b", _ANYWHERE)
_IS_ABOUT_LENGTH = re.compile(
    r"\btoken(?:s| count)\b.*\b(?:exceed|maximum|up to|too (?:many|long|large))"
    r"|\b(?:too many|maximum number of) tokens|\bexceed\w*\b.*\b(?:tokens?|context)\b"
    r"|\bcontext\b.*\b(?:too long|exceed|length|window)"
    r"|\b(?:input|prompt|request|payload)\b[^.]*\b(?:too (?:long|large)|exceeds)",
    _ANYWHERE,
)
_IS_ABOUT_OUTPUT = re.compile(r"max_?output_?tokens|\boutput tokens?|\bthinking|\bbudget", _ANYWHERE)
_IS_ABOUT_CREDIT = re.compile(
    r"\b(?:prepa(?:y|id)\w*|credits?|balance)\b.*\b(?:depleted|exhausted|used up|insufficient|empty|run out)"
    r"|\b(?:depleted|exhausted|insufficient|not enough|no|out of)\b[^.]*\b(?:credits?|balance)\b"
    r"|\bspend(?:ing)?[ _-]+(?:cap|limit)|\bspend\w*\b[^.]*\bcaps?\b"
    r"|\bbilling account\b[^.]*\b(?:not active|inactive|past due|suspended|closed|disabled)"
    r"|\bexceed\w*\b[^.]*\bbudget|\bbudget\b[^.]*\b(?:exceeded|reached)",
    _ANYWHERE,
)
_IS_PER_DAY = re.compile(r"per[_ ]?day", _ANYWHERE)
_IS_NEVER_FREE = re.compile(r"\blimit: 0\b|\"quota_?(?:limit_?)?value\": \"?0\b", _ANYWHERE)
_RETRY_IN = re.compile(r"\bretry in (\d{1,9}(?:\.\d+)?s)\b", _ANYWHERE)

_STATUS_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""For errors inside a stream whose code is none of HTTP's (google/rpc/code.proto)."""

_REGION = Sentence(
    "Google does not offer Gemini where this appliance is, or seems to be. A VPN or a proxy can be the reason. The"
    " owner can check that."
)
_REGION_WITHOUT_BILLING = Sentence(
    "Google does not offer Gemini in this region without billing. The owner can set it up there."
)
_REDIRECTED = Sentence(
    "Something between the appliance and Gemini redirects it elsewhere. The owner can check the network and the"
    " address of Gemini in the settings."
)
_CREDIT_USED_UP = Sentence("The prepaid credit for Gemini is used up. The owner can add to it in Google AI Studio.")
_COPY_KEY_AGAIN = "Google does not know this key. Please copy it again."
_RENEW_KEY = "This key has expired. Please make a new one in Google AI Studio."
_FOR_THE_OWNER = {
    401: Sentence("Google does not accept the key of this appliance. Its owner can store a new one."),
    402: _CREDIT_USED_UP,
    403: Sentence("Google does not let this appliance's key use Gemini. Its owner can look into Google AI Studio."),
}


def reported_error(error: object, status: int, clock: Clock, retry_after: float | None = None) -> ApplianceError:
    """The error object of Gemini. `status` and `retry_after` (seconds) are those of the response; 0 and None for an
    error inside a stream.
    """
    refusal = _Refusal.read(error, status, retry_after)
    return refusal.owners() or refusal.models(clock) or refusal.places()


def details_of(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The details of an error object (google/rpc/error_details.proto)."""
    given = error.get("details")
    return [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []


def find_end_of_day(details: Sequence[Mapping[str, Any]], message: str, now: float) -> float | None:
    """When a used-up quota is back (Unix time), if it is one of a day; None if it is not. A limit of 0 means that
    this model is not free at all, which is as good as used up.
    """
    told = " ".join(json.dumps([entry.get("violations"), entry.get("metadata")]) for entry in details) + message
    is_of_day = _IS_PER_DAY.search(told) or _IS_NEVER_FREE.search(told)
    if not is_of_day:
        return None
    from zoneinfo import ZoneInfo  # here: until a quota is used up, nothing of it is in memory

    return next_midnight(now, ZoneInfo(_PACIFIC))


@dataclass(frozen=True)
class _Refusal:
    """The parts of an error object, and what they mean. `detail`: all of it, for the log."""

    status: int
    name: str
    message: str
    details: Sequence[Mapping[str, Any]]
    retry_after: float | None

    @classmethod
    def read(cls, error: object, status: int, retry_after: float | None) -> _Refusal:
        error = error if isinstance(error, dict) else {}
        code, name = str(error.get("code")), text_of(error.get("status"))
        if not status:
            status = int(code) if re.fullmatch("[1-5][0-9]{2}", code, re.ASCII) else _STATUS_OF.get(name, 0)
        message = _KEY.sub("***", text_of(error.get("message"))[:_MOST_CHARACTERS])
        return cls(status, name, message, details_of(error), retry_after)

    @property
    def detail(self) -> str:
        return " ".join(filter(None, (str(self.status or "no status"), self.name, self.message)))[:300]

    def owners(self) -> OwnerError | None:
        """What only the owner can mend, and what therefore rules out every model of the place: a refused key,
        used-up credit (asking again does not help, whatever delays come with it), the region, a redirect.
        """
        sentence = None
        has_bad_key = any(entry.get("reason") == "API_KEY_INVALID" for entry in self.details)  # with status 400
        is_about_model = bool(_IS_ABOUT_MODEL.search(self.message))
        if self.status in (400, 402, 403, 429) and _IS_ABOUT_CREDIT.search(self.message):
            sentence = _CREDIT_USED_UP
        elif has_bad_key or (self.status == 400 and _IS_ABOUT_KEY.search(self.message)):
            sentence = _FOR_THE_OWNER[401]
        elif self.status in (400, 403) and not is_about_model and self._is_about_region:
            sentence = self._region
        elif self.status == 403 and is_about_model:
            return None
        elif 300 <= self.status < 400:
            sentence = _REDIRECTED
        else:
            sentence = _FOR_THE_OWNER.get(self.status)
        if sentence is None:
            return None
        advice = _RENEW_KEY if _IS_EXPIRED.search(self.message) else _COPY_KEY_AGAIN
        return OwnerError(sentence, self.detail, advice if sentence is _FOR_THE_OWNER[401] else "")

    def models(self, clock: Clock) -> UpstreamError | None:
        """What is about one model: it is unknown, its quota is used up, it does not take this request."""
        if self.status == 429:
            return self._quota(clock())
        if self.status == 410 or (self.status in (400, 403, 404) and _HAS_NO_MODEL.search(self.message)):
            return UnknownModel(PROVIDER, self.detail)
        if self.status == 404 and self.name == "NOT_FOUND":  # without it a filter or an outage, by recorded cases
            return UnknownModel(PROVIDER, self.detail)
        is_too_long = _IS_ABOUT_LENGTH.search(self.message) and not _IS_ABOUT_OUTPUT.search(self.message)
        if self.status == 413 or (self.status == 400 and is_too_long):
            return ContextExceeded(PROVIDER, self.detail)
        return RequestRefused(PROVIDER, self.detail) if self.status in (400, 403) else None

    def places(self) -> UpstreamError:
        """What passes, or is nobody's fault."""
        if self.status == 511:  # RFC 6585, 6: from a network, never from Google
            return SignInPage(PROVIDER, self.detail)
        kind = UpstreamBusy if self.status == 503 else UpstreamError
        return kind(PROVIDER, self.detail, retry_after=self._retry_after)

    @property
    def _is_about_region(self) -> bool:
        """Unless it says something else, a failed precondition is about the region: see `_region`."""
        is_said = _IS_ABOUT_REGION.search(self.message) and _IS_NOT_OFFERED.search(self.message)
        return self.name == "FAILED_PRECONDITION" or bool(is_said)

    @property
    def _region(self) -> Sentence:
        """Billing helps if the message says so, or names no reason: then it is about the free questions
        (https://ai.google.dev/gemini-api/docs/troubleshooting, read 2026-11).
        """
        has_reason = _IS_ABOUT_REGION.search(self.message) and not _IS_ABOUT_BILLING.search(self.message)
        return _REGION if has_reason else _REGION_WITHOUT_BILLING

    def _quota(self, now: float) -> UpstreamError:
        until = find_end_of_day(self.details, self.message, now)
        if until is not None:
            return QuotaExhausted(PROVIDER, self.detail, until=until, retry_after=self._retry_after)
        return UpstreamRateLimited(PROVIDER, self.detail, retry_after=self._retry_after)

    @property
    def _retry_after(self) -> float | None:
        """Seconds, from the details, the message or the response, in this order."""
        for entry in self.details:
            if str(entry.get("@type", "")).endswith(".RetryInfo"):
                return _seconds(entry.get("retryDelay"))
        said = _RETRY_IN.search(self.message)
        return _seconds(said[1]) if said else self.retry_after


def _seconds(duration: object) -> float | None:
    """A protobuf Duration in JSON, such as "34.4s"."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", duration) if isinstance(duration, str) else None
    return float(match[1]) if match else None
