"""What refusals of OpenAI-compatible servers mean: messages as servers send them, statuses, delays and quotas."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.gemini import quota_failure, retry_info
from fakes.secrets import KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.clock import UNKNOWN
from kindle_appliance.errors import (
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
from kindle_appliance.upstream.openai import OpenAI

NOW = datetime(2026, 11, 30, 15, 0, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
SERVER = "pc.local:8080"


def refusal(
    status: int, body: object = b"", headers: dict[str, str] | None = None, now: float = NOW
) -> ApplianceError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return OpenAI(SERVER, clock=lambda: now).refusal(status, headers or {}, data)


def said(message: str, **more: object) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


# ---- Messages of real servers, by what they mean

CONTEXT: list[tuple[int, object]] = [
    (400, said("request (4031 tokens) exceeds the available context size (2048 tokens), try increasing it",
               type="exceed_context_size_error", n_prompt_tokens=4031, n_ctx=2048)),
    (400, {"object": "error", "type": "BadRequestError", "code": 400, "message":
           "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (4568 in the"
           " messages, 2048 in the completion). Please reduce the length of the messages or completion."}),
    (400, said("Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with"
               " context length of only 4096 tokens, which is not enough.")),
    (400, said("Provided message exceeds context limit", code="context_length_exceeded")),
    (413, said("Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000",
               type="tokens", code="rate_limit_exceeded")),
    (422, said("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000")),
    (400, said("Provider returned error", code=400, metadata={
        "raw": json.dumps(said("This endpoint's maximum context length is 8192 tokens.")), "provider_name": "X"})),
    (400, said("Your request exceeded model token limit: 8192")),
    (500, {"error": "rpc error: the prompt is too long: 5000 tokens"}),
    (400, {"detail": "prompt is too long"}),
    (400, said("'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is"
               " 4096 tokens and your request has 10 input tokens (8192 > 4096 - 10).")),
    (400, said("This model's maximum prompt length is 131072 but the request contains 140000 tokens.")),
    (400, said("Input length 9000 exceeds maximum input length 8191")),
    (413, b"<html><h1>413 Request Entity Too Large</h1></html>"),
    (400, said("This model's maximum context length is 131,072 tokens.")),
    (400, said("The prompt exceeds the context window of 1.048.576 tokens")),
    (400, said("The prompt exceeds the context size (128 000).")),
    (400, said("The prompt exceeds the context size of 131,07 tokens.")),
    (400, said("Context length is 128 of 131072: the prompt is too long.")),
]  # fmt: skip

SIZES = [
    *(2048, 6048, 4096, None, None, None, 8192, 8192, None, None, 4096, 131_072, 8191, None, 131_072, 1_048_576),
    *(128_000, None, None),
]

UNKNOWN_MODEL: list[tuple[int, object]] = [
    (404, said('model "qwen3:8b" not found, try pulling it first', type="api_error", param=None, code=None)),
    (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}),
    (404, said("The model `llama-3.9` does not exist or you do not have access to it.", code="model_not_found")),
    (404, said("No endpoints found for some/model:free.", code=404)),
    (400, said("some/model is not a valid model ID", code=400)),
    (400, {"object": "error", "message": "Invalid model: small", "type": "invalid_model", "code": "1500"}),
    (400, said("Model Not Exist", type="invalid_request_error")),
    (400, {"error": 'Failed to load model "x". Error: Model does not exist.'}),
    (400, said("No models loaded. Please load a model in the developer page or use the `lms load` command.")),
    (404, said("The API deployment for this resource does not exist.", code="DeploymentNotFound")),
    (404, {"detail": "Model m was not found"}),
    (410, said("The model m has been retired.")),
    # No model is named: it is the path, or the model. Other models may be there.
    (404, said("File Not Found", type="not_found_error", code=404)),
    (404, {"detail": "Not Found"}),
    (404, b"404 page not found"),
    (404, b""),
    (405, {"detail": "Method Not Allowed"}),
]  # fmt: skip

OWNERS: list[tuple[int, object, str]] = [
    (401, said("Invalid API Key", type="authentication_error", code=401), "key"),
    (401, b"Unauthorized", "key"),
    (401, said("User not found.", code=401), "key"),
    (400, said("Incorrect API key provided: AB***yz. You can obtain one from https://console.x.ai."), "key"),
    (400, [said("API key not valid. Please pass a valid API key.", code=400, status="INVALID_ARGUMENT")], "key"),
    (403, said("Invalid API key"), "key"),
    (403, b"", "does not let this appliance ask"),
    (403, said("Access denied. Please check your network settings."), "does not let this appliance ask"),
    (301, b"", "redirects"),
    (307, b"", "redirects"),
    (308, b"<html>moved</html>", "redirects"),
]

REFUSED: list[tuple[int, object]] = [
    (400, said("'messages' is required", type="invalid_request_error", code=400)),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "value_error.missing"}]}),
    (400, {"error": '"llama3" does not support thinking'}),
    (400, said("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than"
               " the `context_window` for this model")),
    (400, said("max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you"
               " provided 8192.")),
    (403, said("This model requires a subscription.")),
    (500, said("model requires more system memory (5.6 GiB) than is available (3.1 GiB)", type="api_error")),
    (415, b""),
]  # fmt: skip

CREDIT: list[tuple[int, object]] = [
    (402, said("Insufficient credits. This account never purchased credits.", code=402)),
    (402, said("This request requires more credits, or fewer max_tokens. You requested up to 8192 tokens, but can"
               " only afford 0.", code=402)),
    (402, b""),
    (429, said("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")),
    (403, said("Insufficient Balance")),
    (403, said("Key limit exceeded (daily limit). Manage it using https://openrouter.ai/settings/keys", code=403)),
]  # fmt: skip

LOADING: list[tuple[int, object]] = [
    (503, said("Loading model", type="unavailable_error", code=503)),
    (503, {"error": "Model some/model is currently loading", "estimated_time": 20.0}),
    (500, {"error": "the model is still being loaded"}),
]

CASES = [
    *((status, body, ContextExceeded, "too long") for status, body in CONTEXT),
    *((status, body, UnknownModel, "") for status, body in UNKNOWN_MODEL),
    *((status, body, OwnerError, words) for status, body, words in OWNERS),
    *((status, body, CreditUsedUp, "The credit at pc.local:8080 is used up") for status, body in CREDIT),
    *((status, body, RequestRefused, "") for status, body in REFUSED),
    *((status, body, ModelLoading, "still loading its model") for status, body in LOADING),
    (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, UpstreamBusy, "too much"),
    (503, b"<html><h1>503 Service Unavailable</h1></html>", UpstreamBusy, "too much"),
    (529, said("Overloaded", type="overloaded_error"), UpstreamBusy, "too much"),
    (500, said("The model has crashed without additional information."), UpstreamError, "has a problem"),
    (502, b"<html>Bad Gateway</html>", UpstreamError, "has a problem"),
    (524, b"error code: 524", UpstreamError, "has a problem"),
    (408, b"", UpstreamError, "has a problem"),
    (511, b"<html>Sign in</html>", SignInPage, "sign-in page"),
    (204, b"", UpstreamUnreadable, "cannot read"),
    (403, said("The response was filtered", code="content_filter"), RequestRefused, "rules of pc.local:8080"),
    (403, said("m requires moderation on X. Your input was flagged", metadata={"reasons": ["x"]}), RequestRefused,
     "rules of pc.local:8080"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "words"), CASES)
def test_a_message_of_a_real_server_has_its_meaning(
    status: int, body: object, kind: type[ApplianceError], words: str
) -> None:
    error = refusal(status, body)
    assert type(error) is kind
    assert words in str(error.sentence)
    assert error.detail.startswith(str(status)) and error.detail.isprintable()
    assert "Google" not in f"{error.sentence} {getattr(error, 'advice', '')}"


@pytest.mark.parametrize(
    ("status", "body", "context"), [(*case, size) for case, size in zip(CONTEXT, SIZES, strict=True)]
)
def test_the_context_size_is_read_where_it_is_told(status: int, body: object, context: int | None) -> None:
    error = refusal(status, body)
    assert isinstance(error, ContextExceeded) and error.context == context


def test_an_address_that_leads_elsewhere_has_words_of_its_own() -> None:
    assert "but not as a model server" in str(refusal(404, b"404 page not found").sentence)
    assert "does not have this model" in str(refusal(404, said("model m not found")).sentence)
    no_memory = refusal(500, {"error": "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"})
    assert "does not have enough memory" in str(no_memory.sentence)


def test_the_recorded_refusals_of_llama_cpp_have_their_meaning(shared: Path) -> None:
    folder = shared / "openai-streams" / "llama.cpp"
    kinds = {}
    for path in folder.glob("*.http"):
        head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
        kinds[path.stem] = type(refusal(int(head.split()[1]), body))
    assert kinds == {"bad-request": RequestRefused, "context-exceeded": ContextExceeded, "not-found": UnknownModel}


def test_a_refused_key_is_to_be_copied_again() -> None:
    error = refusal(401, said("Invalid API Key"))
    assert isinstance(error, OwnerError)
    assert error.for_owner().startswith("pc.local:8080 does not accept this key. Please copy it again. (401")


# ---- Delays and quotas


def at(moment: float) -> str:
    return format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True)


DELAYS: dict[str, tuple[dict[str, str], str, float | None]] = {
    "seconds": ({"retry-after": "20"}, "", 20),
    "parts of a second": ({"retry-after": "1.5"}, "", 1.5),
    "a date": ({"retry-after": at(NOW + 30)}, "", 30),
    "a date that has passed": ({"retry-after": at(NOW - 30)}, "", 0),
    "milliseconds": ({"retry-after-ms": "1500"}, "", 1.5),
    "reset in milliseconds of Unix time": ({"x-ratelimit-reset": f"{(NOW + 9) * 1000:.0f}"}, "", 9),
    "reset in Unix time": ({"x-ratelimit-reset": f"{NOW + 9:.0f}"}, "", 9),
    "reset in seconds": ({"x-ratelimit-reset": "9"}, "", 9),
    "reset as a duration": ({"x-ratelimit-reset": "1m30s"}, "", 90),
    "reset in ISO 8601": ({"x-ratelimit-reset": "2026-11-30T15:00:45Z"}, "", 45),
    "the limit that is used up": (
        {
            "x-ratelimit-reset-requests": "2m59.5s",
            "x-ratelimit-reset-tokens": "7.66s",
            "x-ratelimit-remaining-tokens": "0",
        },
        "",
        7.66,
    ),
    "in the message": ({}, "Please try again in 9m38.016s. Need more tokens? Upgrade today.", 578.016),
    "in the message, short": ({}, "Limit 12000, Used 4437. Please try again in 450ms.", 0.45),
    "in words": ({}, "Please try again in 2 minutes.", 120),
    "in words, short": ({}, "Please retry after 1 sec, then go on.", 1),
    "in words, with a space": ({}, "Please try again in 450 ms.", 0.45),
    "in words, long": ({}, "Please try again in 90 Milliseconds or more.", 0.09),
    "in words, of two parts": ({}, "try again in 1 minute and 30.5 seconds", 90.5),
    "in words, with a comma": ({}, "try again in 2 mins, 1 second", 121),
    "in words, without a unit": ({}, "Please retry after 20.", 20),
    "in words, with an unknown unit": ({}, "Please try again in 2 fortnights.", None),
    "the more exact one": ({"retry-after": "3", "x-ratelimit-reset": "59"}, "", 3),
    "nothing": ({}, "Slow down.", None),
    "nonsense": ({"retry-after": "soon", "x-ratelimit-reset": "-1"}, "Please try again in a minute.", None),
}


@pytest.mark.parametrize(("headers", "message", "delay"), DELAYS.values(), ids=DELAYS)
def test_a_delay_is_read_in_each_form(headers: dict[str, str], message: str, delay: float | None) -> None:
    error = refusal(429, said(message), headers)
    assert type(error) is UpstreamRateLimited
    assert error.retry_after == (None if delay is None else pytest.approx(delay))


def test_a_date_says_nothing_while_the_time_is_not_known() -> None:
    for headers in ({"retry-after": at(NOW + 30)}, {"x-ratelimit-reset": f"{NOW + 9:.0f}"}):
        error = refusal(429, b"", headers, now=UNKNOWN)
        assert isinstance(error, UpstreamRateLimited) and error.retry_after is None


QUOTAS: dict[str, tuple[dict[str, str], object, float]] = {
    "OpenRouter's, in the body": (
        {},
        said(
            "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
            code=429,
            metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{MIDNIGHT * 1000:.0f}"}},
        ),
        MIDNIGHT,
    ),
    "OpenRouter's, in the headers": (
        {"x-ratelimit-reset": f"{MIDNIGHT * 1000:.0f}"},
        said("Rate limit exceeded: limit_rpd/some/model"),
        MIDNIGHT,
    ),
    "Google's": (
        {},
        [
            said(
                "You exceeded your current quota, please check your plan and billing details.",
                code=429,
                status="RESOURCE_EXHAUSTED",
                details=[
                    quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
                    retry_info("34.4s"),
                ],
            )
        ],
        MIDNIGHT + 8 * 3600,  # in Los Angeles
    ),
    "Groq's": (
        {"retry-after": "579"},
        said("Rate limit reached for model `m` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619."),
        NOW + 579,
    ),
    "Groq's, in the message": (
        {},
        said("on requests per day (RPD): Limit 9. Please try again in 1h2m3s."),
        NOW + 3723,
    ),
    "one in words": ({}, said("Daily limit reached. Please try again in 5 hours."), NOW + 5 * 3600),
    "one in more words": ({}, said("Please try again in 1 day, 2 hours and 3 minutes."), NOW + 93_780),
    "Ollama's of a week": ({}, {"error": "you (x) have reached your weekly usage limit, upgrade"}, MIDNIGHT),
    "one without a moment": ({}, said("You have reached your daily limit."), MIDNIGHT),
    "a long delay": ({"retry-after": "20000"}, b"", NOW + 20_000),
    "an absurd delay": ({"retry-after": "999999999"}, b"", NOW + 31 * 86_400),
}


@pytest.mark.parametrize(("headers", "body", "until"), QUOTAS.values(), ids=QUOTAS)
def test_a_daily_quota_is_used_up_until_the_moment_that_is_told(
    headers: dict[str, str], body: object, until: float
) -> None:
    error = refusal(429, body, headers)
    assert isinstance(error, QuotaExhausted)
    assert error.until == pytest.approx(until)
    unknown = refusal(429, body, {name: value for name, value in headers.items() if "reset" not in name}, UNKNOWN)
    assert isinstance(unknown, UpstreamError) and getattr(unknown, "until", UNKNOWN) == UNKNOWN


def test_a_daily_quota_that_is_back_at_once_is_a_limit_like_any_other() -> None:
    error = refusal(429, said("on tokens per day (TPD): Limit 100000. Please try again in 3.5s."))
    assert type(error) is UpstreamRateLimited and error.retry_after == 3.5


def test_a_busy_or_loading_server_says_for_how_long() -> None:
    for status, body, headers in (
        (503, b"", {"retry-after": "7"}),
        (503, said("Loading model"), {"retry-after": "7"}),
        (503, {"error": "Model m is currently loading", "estimated_time": 7.0}, {}),
        (429, said("x", details=[{"@type": "RetryInfo", "retryDelay": "7s"}]), {}),
    ):
        error = refusal(status, body, headers)
        assert isinstance(error, UpstreamBusy) and error.retry_after == 7


# ---- Whatever comes


@pytest.mark.parametrize(
    "message",
    [
        f"Incorrect API key provided: {KEY}.",
        f"Bad header: Bearer {KEY}",
        f"invalid key: {KEY}",
        f"The key '{KEY}' is suspended",
        "Malformed LM Studio API token provided: sk-lm-1234abcd:5678efgh",
        "sk-or-v1-5678efgh is disabled",
    ],
)
def test_keys_that_a_server_quotes_are_masked(message: str) -> None:
    error = refusal(401, said(message))
    assert "***" in error.detail
    assert KEY not in str(error) and "5678" not in str(error)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "detail",
                    "code",
                    "type",
                    "metadata",
                    "headers",
                    "raw",
                    "details",
                    "retryDelay",
                ]
            )
            | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    st.integers(100, 999),
    st.binary() | ANY_JSON.map(lambda body: json.dumps(body).encode()),
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "ratelimit-reset"]),
        st.text() | st.integers(0, 10**18).map(str) | st.from_regex(r"[0-9]{1,6}[dhms]", fullmatch=True),
    ),
    st.sampled_from([NOW, UNKNOWN]),
)
def test_any_refusal_is_an_error_with_a_sentence(
    status: int, body: bytes, headers: dict[str, str], now: float
) -> None:
    error = refusal(status, body, headers, now)
    assert isinstance(error, UpstreamError | OwnerError)
    assert str(error.sentence) and error.sentence.to("zh-CN")
    assert len(error.detail) <= 300
    assert getattr(error, "until", UNKNOWN) <= now + 31 * 86_400
