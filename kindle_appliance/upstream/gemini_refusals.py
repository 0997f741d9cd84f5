"""What a refusal of Gemini's means: status, error object and message to an error by role. No I/O.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting and .../rate-limits (read 2026-11), by which free
questions are counted for each model and begin anew at midnight Pacific time; and public bug reports until 2026-11,
for what a message tells and its status does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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

PROVIDER = "Gemini"

_KEY = re.compile(r"\b(?:AIza|AQ\.)[\w.-]+|(?<=api_key:)\S+")  # Google quotes the key that it suspends
_PACIFIC = "America/Los_Angeles"
_ANYWHERE = re.IGNORECASE | re.DOTALL
_IS_ABOUT_KEY = re.compile(
    r"\bAPI[ _]key\b.*\b(?:not valid|invalid|expired|not found)|\bvalid API key\b", _ANYWHERE
)
_IS_ABOUT_REGION = re.compile(r"\b(?:location|regions?|countr(?:y|ies)|territor(?:y|ies))\b", _ANYWHERE)
_IS_NOT_OFFERED = re.compile(r"\b(?:not|un)[ -]?(?:supported|available|offered|allowed)", _ANYWHERE)
_IS_ABOUT_BILLING = re.compile(r"\bbilling\b|\bpaid\b", _ANYWHERE)
_IS_ABOUT_LENGTH = re.compile(
    r"\btoken(?:s| count)\b.*\b(?:exceed|maximum|up to|too (?:many|long|large))"
    r"|\b(?:too many|maximum number of) tokens|\bexceed\w*\b.*\b(?:tokens?|context)\b"
    r"|\bcontext\b.*\b(?:too long|exceed|length|window)"
    r"|\b(?:input|prompt|request|payload)\b[^.]*\b(?:too (?:long|large)|exceeds)",
    _ANYWHERE,
)
_IS_ABOUT_OUTPUT = re.compile(r"max_?output_?tokens|\boutput token", _ANYWHERE)
_IS_ABOUT_CREDIT = re.compile(
    r"\bprepa(?:y|id)|\bcredits?\b.*\b(?:depleted|exhausted|used up|insufficient)"
    r"|\b(?:depleted|exhausted|insufficient|no)\b[^.]*\bcredits?\b|\bspend(?:ing)?[ _-]+(?:cap|limit)|\bbudget\b",
    _ANYWHERE,
)

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
_FOR_THE_OWNER = {
    401: Sentence("Google does not accept the key of this appliance. Its owner can store a new one."),
    402: _CREDIT_USED_UP,
    403: Sentence("Google does not let this appliance's key use Gemini. Its owner can look into Google AI Studio."),
}

Clock = Callable[[], float]
"""Unix time; quotas are told relative to it."""


def reported_error(error: object, status: int, clock: Clock) -> ApplianceError:
    """The error object of Gemini; `status` is that of the response, or 0 for an error inside a stream."""
    error = error if isinstance(error, dict) else {}
    code, given = error.get("code"), error.get("details")
    status = status or (code if isinstance(code, int) else 0)
    name, message = text_of(error.get("status")), _KEY.sub("***", text_of(error.get("message")))
    details = [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []
    detail = " ".join(filter(None, (str(status or "no status"), name, message)))[:300]

    if any(d.get("reason") == "API_KEY_INVALID" for d in details):
        status = 401  # Google says 400
    if status == 429:
        return _quota_error(message, details, detail, clock())
    if status == 400:
        return _bad_request(name, message, detail)
    if status == 403 and _is_about_region(message):
        return OwnerError(_region(message), detail)
    if status in _FOR_THE_OWNER or 300 <= status < 400:
        return OwnerError(_FOR_THE_OWNER.get(status, _REDIRECTED), detail)
    if status == 404:
        return UnknownModel(PROVIDER, detail)
    if status == 511:  # RFC 6585, 6: from a network, never from Google
        return SignInPage(PROVIDER, detail)
    if status == 413:
        return ContextExceeded(PROVIDER, detail)
    return UpstreamBusy(PROVIDER, detail) if status == 503 else UpstreamError(PROVIDER, detail)


def _bad_request(name: str, message: str, detail: str) -> ApplianceError:
    """The meaning of status 400: about the key, the region, the length of the chat, or else about one model."""
    if _IS_ABOUT_KEY.search(message):
        return OwnerError(_FOR_THE_OWNER[401], detail)
    if name == "FAILED_PRECONDITION" or _is_about_region(message):
        return OwnerError(_region(message), detail)
    if _IS_ABOUT_LENGTH.search(message) and not _IS_ABOUT_OUTPUT.search(message):
        return ContextExceeded(PROVIDER, detail)
    return RequestRefused(PROVIDER, detail)


def _is_about_region(message: str) -> bool:
    return bool(_IS_ABOUT_REGION.search(message) and _IS_NOT_OFFERED.search(message))


def _region(message: str) -> Sentence:
    """Billing helps if the message says so, or names no reason: then it is about the free questions
    (https://ai.google.dev/gemini-api/docs/troubleshooting, read 2026-11).
    """
    has_reason = _IS_ABOUT_REGION.search(message) and not _IS_ABOUT_BILLING.search(message)
    return _REGION if has_reason else _REGION_WITHOUT_BILLING


def _quota_error(message: str, details: Sequence[Mapping[str, Any]], detail: str, now: float) -> ApplianceError:
    if _IS_ABOUT_CREDIT.search(message):  # to wait does not help, whatever quotas and delays come with it
        return OwnerError(_CREDIT_USED_UP, detail)
    retry_after = None
    is_per_day = False
    for entry in details:
        kind = str(entry.get("@type", "")).rpartition(".")[2]
        if kind == "RetryInfo":
            retry_after = _seconds(entry.get("retryDelay"))
        elif kind == "QuotaFailure":
            is_per_day = is_per_day or "PerDay" in json.dumps(entry.get("violations"))
    # A limit of 0: this model is not free at all, which is as good as used up.
    if is_per_day or re.search(r"\blimit: 0\b", message):
        return QuotaExhausted(PROVIDER, detail, until=_next_midnight(now), retry_after=retry_after)
    return UpstreamRateLimited(PROVIDER, detail, retry_after=retry_after)


def _next_midnight(moment: float) -> float:
    """The Pacific midnight after a moment; both Unix time."""
    day = datetime.fromtimestamp(moment, ZoneInfo(_PACIFIC)).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(_PACIFIC)).timestamp()


def _seconds(duration: object) -> float | None:
    """A protobuf Duration in JSON, such as "34.4s"."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", duration) if isinstance(duration, str) else None
    return float(match[1]) if match else None


def text_of(value: object) -> str:
    """A string of a document, "" for anything else. JSON can spell half a surrogate pair (RFC 8259, 8.2), which no
    UTF-8 can say.
    """
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
