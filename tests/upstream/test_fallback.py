"""A question and its fallback list, over real sockets: the model that is asked, the next one, and the ending.

Each test also checks that no thread and no socket is left behind, and that the key is in no log.
"""

from __future__ import annotations

import itertools
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from queue import Queue
from typing import Any

import pytest
from fakes.calls import LONG, SOON, Open
from fakes.gemini import (
    ClientGoneError,
    FakeGemini,
    Reply,
    chunk,
    error_body,
    error_info,
    event,
    quota_failure,
    refusing_url,
    retry_info,
)
from fakes.rungs import gemini_rungs
from fakes.secrets import KEY

from kindle_appliance.conversation import Message, Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import (
    ContextExceeded,
    OwnerError,
    QuotaExhausted,
    SignInPage,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
    UpstreamUnreadable,
)
from kindle_appliance.upstream.call import Call, Clocks, Upstream
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung
from kindle_appliance.upstream.waiting import Waiting

pytestmark = pytest.mark.usefixtures("nothing_leaks")

MODELS = ("flash", "lite")
QUESTION = Question("Why?")
NOON = 1_800_000_000.0  # Unix time
QUICK = Clocks(connect=SOON, first_byte=1, progress=1)


def fallback_to(upstream: Upstream, models: Sequence[str] = MODELS) -> Fallback:
    return Fallback(gemini_rungs(upstream, models), Quotas(), upstream.clocks.first_byte)


def ask(upstream: Upstream, models: Sequence[str] = MODELS) -> Generation:
    return fallback_to(upstream, models).ask(QUESTION)


def asked(gemini: FakeGemini) -> list[str | None]:
    return [call.model for call in gemini.calls]


def usage(tokens: int) -> bytes:
    """A chunk that counts tokens and has no text."""
    return chunk(None, usage={"totalTokenCount": tokens})


# One model answers


def test_text_comes_piece_by_piece_and_then_the_ending(gemini: FakeGemini, open_upstream: Open) -> None:
    gates = threading.Event(), threading.Event()
    last = chunk("cause.", "STOP", usage={"totalTokenCount": 7}, model_version="flash-9")
    gemini.replies(Reply([chunk("Hm…", thought=True), chunk("Be"), gates[0], last, gates[1]]))
    generation = ask(open_upstream(gemini.url))
    pieces = iter(generation)
    assert gemini.calls == []
    assert next(pieces) == "Be"
    assert generation.ending is None
    gates[0].set()
    assert next(pieces) == "cause."
    gates[1].set()
    assert list(pieces) == []
    ending = generation.ending
    assert ending is not None
    assert (ending.finish, ending.note, ending.model, ending.tokens) == (Finish.COMPLETE, None, "flash", 7)
    assert generation.error is None
    (call,) = gemini.calls
    assert (call.model, call.headers["x-goog-api-key"]) == ("flash", KEY)
    assert call.json == {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}


RAW_ERROR = error_body(503, "UNAVAILABLE", "a {brace} in it")


@pytest.mark.parametrize(
    ("reply", "text", "finish"),
    [
        (Reply([chunk("a", "MAX_TOKENS")]), "a", Finish.LENGTH),
        (Reply([chunk("a"), chunk(None, "SAFETY")]), "a", Finish.BLOCKED),
        (Reply([chunk(None, "PROHIBITED_CONTENT")]), "", Finish.BLOCKED),
        (Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})]), "", Finish.BLOCKED),
        (Reply([chunk("a", "OTHER")]), "a", Finish.FAILED),
        (Reply([chunk("a"), RAW_ERROR]), "a", Finish.INTERRUPTED),
        (Reply([chunk("a"), event({"error": {"code": 500}})]), "a", Finish.INTERRUPTED),
        (Reply([chunk("a"), RAW_ERROR], ending="stall"), "a", Finish.INTERRUPTED),
        (Reply([chunk("a", "STOP"), RAW_ERROR]), "a", Finish.COMPLETE),
        (Reply([chunk("a", "STOP")], ending="reset"), "a", Finish.COMPLETE),
        (Reply([chunk("a", "STOP")[:-4]]), "a", Finish.COMPLETE),
        (Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})], ending="reset"), "", Finish.BLOCKED),
        (Reply([chunk("a")]), "a", Finish.INTERRUPTED),
        (Reply([chunk("a")], framing="close", ending="cut"), "a", Finish.INTERRUPTED),
        (Reply([chunk("a")], ending="cut"), "a", Finish.INTERRUPTED),
        (Reply([chunk("a")], ending="reset"), "a", Finish.INTERRUPTED),
    ],
)  # fmt: skip
def test_an_answer_has_its_text_and_one_ending_and_is_not_asked_for_again(
    gemini: FakeGemini, open_upstream: Open, reply: Reply, text: str, finish: Finish
) -> None:
    gemini.default = Reply.answer("asked twice")
    gemini.replies(reply)
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == text
    assert generation.ending is not None
    assert generation.ending.finish is finish
    assert (generation.ending.note is None) == (finish is Finish.COMPLETE)
    assert asked(gemini) == ["flash"]


def test_an_endless_answer_is_ended_at_the_greatest_length(
    gemini: FakeGemini, open_upstream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.attempt._MOST_CHARACTERS", 1000)
    gemini.replies(Reply(itertools.repeat(chunk("On and on. "))))
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation).startswith("On and on. " * 90)
    assert generation.ending is not None and generation.ending.finish is Finish.LENGTH
    assert "greatest length" in str(generation.ending.note)
    gemini.calls[0].wait_gone()
    assert asked(gemini) == ["flash"]


# The next model


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(404, "NOT_FOUND", "retired"),
        Reply.error(429, "RESOURCE_EXHAUSTED", "slowly"),
        Reply.error(500, "INTERNAL", "oh"),
        Reply.error(503, "UNAVAILABLE", "overloaded", wrapped=True),
        Reply.error(504, "DEADLINE_EXCEEDED", "late"),
        Reply.html(502),
        Reply([error_body(503, "UNAVAILABLE", "overloaded")], 503, ending="cut"),
        Reply(status=None, ending="cut"),
        Reply(status=None, ending="reset"),
        Reply([chunk("Hm…", thought=True)], ending="cut"),
        Reply([chunk("half a line")[:20]]),
        Reply([RAW_ERROR]),
        Reply([b"data: no JSON\r\n\r\n"]),
        Reply([b"data: " + b"x" * 5_000_000]),
    ],
    ids=lambda reply: f"{reply.status} {reply.ending} {str(reply.body)[:20]}",
)
def test_a_model_without_text_is_followed_by_the_next_one(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.replies(reply, Reply.answer("Because", "."))
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == "Because."
    assert generation.ending is not None
    assert (generation.ending.finish, generation.ending.model) == (Finish.COMPLETE, "lite")
    assert generation.error is None
    assert asked(gemini) == ["flash", "lite"]


def test_when_all_models_refuse_alike_the_last_failure_is_reported(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply.error(404, "NOT_FOUND", "retired"), Reply.html(500), Reply.error(429, "", "slowly"))
    generation = ask(open_upstream(gemini.url), ("a", "b", "c"))
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamError)
    assert generation.error.detail.startswith("429")
    assert generation.ending is not None
    assert (generation.ending.finish, generation.ending.note) == (Finish.FAILED, generation.error.sentence)
    assert asked(gemini) == ["a", "b", "c"]


# Quotas

PER_DAY = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")


def refused(*details: dict[str, Any]) -> Reply:
    return Reply.error(429, "RESOURCE_EXHAUSTED", "quota", details)


def test_a_model_with_an_exhausted_quota_is_not_asked_the_next_question(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    fallback = fallback_to(open_upstream(gemini.url))
    gemini.replies(refused(PER_DAY), Reply.answer("One."), Reply.answer("Two."))
    for text in ("One.", "Two."):
        generation = fallback.ask(QUESTION)
        assert "".join(generation) == text
        assert generation.ending is not None and (generation.ending.rung, generation.ending.model) == (1, "lite")
    assert asked(gemini) == ["flash", "lite", "lite"]


def test_when_every_quota_is_exhausted_no_model_is_asked_and_the_reader_learns_until_when(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    fallback = fallback_to(open_upstream(gemini.url))
    gemini.default = refused(PER_DAY, retry_info("5s"))
    for _ in range(2):
        generation = fallback.ask(QUESTION)
        assert "".join(generation) == ""
        assert isinstance(generation.error, QuotaExhausted)
        assert generation.error.retry_after is not None and 0 < generation.error.retry_after <= 25 * 3600
        assert generation.ending is not None and generation.ending.finish is Finish.FAILED
        said = str(generation.ending.note)
        assert re.search(r"used up\. New questions from \d\d:00 (today|tomorrow)\.", said), said
    assert asked(gemini) == ["flash", "lite"], "the second question is sent to no model"


def test_a_retired_model_does_not_mask_the_exhausted_quotas_of_the_others(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    fallback = fallback_to(open_upstream(gemini.url), (*MODELS, "old"))
    gemini.default = refused(PER_DAY)
    for _ in range(2):
        gemini.replies(Reply.error(404, "NOT_FOUND", "retired"), model="old")
        generation = fallback.ask(QUESTION)
        assert "".join(generation) == ""
        assert generation.ending is not None and "used up. New questions from" in str(generation.ending.note)
    assert asked(gemini) == ["flash", "lite", "old", "old"], "an unknown model rather than none"


def test_the_most_promising_failure_is_reported(gemini: FakeGemini, open_upstream: Open) -> None:
    retired = Reply.error(404, "NOT_FOUND", "retired")
    gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"), refused(PER_DAY), retired)
    generation = ask(open_upstream(gemini.url), ("a", "b", "c"))
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamError) and generation.error.detail.startswith("503")
    assert generation.ending is not None and generation.ending.note == generation.error.sentence
    assert asked(gemini) == ["a", "b", "c"]


def test_a_model_with_two_names_is_asked_once(gemini: FakeGemini, open_upstream: Open) -> None:
    fallback = fallback_to(open_upstream(gemini.url), ("flash", "lite", "3.6-flash"))
    gemini.replies(Reply.answer("One.", model_version="3.6-flash"))
    assert "".join(fallback.ask(QUESTION)) == "One."
    gemini.default = Reply.error(503, "UNAVAILABLE", "overloaded")
    assert "".join(fallback.ask(QUESTION)) == ""
    assert asked(gemini) == ["flash", "flash", "lite"]


def test_when_all_refuse_a_short_retry_delay_is_announced_and_waited_for(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    gemini.replies(Reply.error(404, "NOT_FOUND", "retired"), refused(retry_info("0.3s")), Reply.answer("At last."))
    told: list[Waiting] = []
    fallback = fallback_to(open_upstream(gemini.url))
    assert "".join(fallback.ask(QUESTION, told.append)) == "At last."
    assert [str(waiting.sentence()) for waiting in told] == [
        "flash is thinking ...",
        "lite is thinking ...",
        "Too many questions at once for lite. It is asked again in 1 s ...",
        "lite is thinking ...",
    ]
    assert asked(gemini) == ["flash", "lite", "lite"], "a model without a retry delay is not asked again"


def test_a_retry_delay_is_counted_down() -> None:
    delay = Waiting("lite", 14.4, is_delay=True)
    assert [delay.sentence(seconds).values["seconds"] for seconds in (0, 10, 20)] == [14, 4, 1]


def test_a_quota_that_comes_back_while_the_reader_is_told_when_makes_no_mistake(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    moments = iter(
        [NOON] * 4
    )  # twice before it is asked, when it refuses, when the reader is told; then the day ends
    quotas = Quotas(clock=lambda: next(moments, NOON + 86400.0))
    gemini.default = refused(PER_DAY)
    rung = Rung(Gemini(clock=lambda: NOON), Place(open_upstream(gemini.url), KEY), "flash")
    generation = Fallback([rung], quotas).ask(QUESTION)
    assert "".join(generation) == ""
    assert generation.ending is not None and "used up. New questions from" in str(generation.ending.note)


def test_a_refused_key_is_reported_although_all_quotas_are_used_up(gemini: FakeGemini, open_upstream: Open) -> None:
    fallback = fallback_to(open_upstream(gemini.url), ("flash", "lite"))
    error = error_body(403, "PERMISSION_DENIED", "The key is gone.")
    gemini.replies(refused(PER_DAY), Reply([chunk("Hm…", thought=True, model_version="flash"), error]))
    generation = fallback.ask(QUESTION)
    assert "".join(generation) == ""
    assert isinstance(generation.error, OwnerError)
    assert generation.ending is not None and generation.ending.note == generation.error.sentence


@pytest.mark.parametrize("delay", ["20.5s", "34.4s"])
def test_a_long_retry_delay_is_not_waited_for(gemini: FakeGemini, open_upstream: Open, delay: str) -> None:
    gemini.default = refused(retry_info(delay))
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamError) and generation.error.retry_after == float(delay[:-1])
    assert asked(gemini) == ["flash", "lite"]


@pytest.mark.slow
def test_the_waiting_for_one_question_is_bounded(
    gemini: FakeGemini, open_upstream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.delays._MOST_BUSY_SECONDS", 2.5)
    gemini.default = refused(retry_info("0s"))
    assert "".join(ask(open_upstream(gemini.url), ["flash"])) == ""
    assert asked(gemini) == ["flash"] * 3


def test_stop_ends_the_waiting(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(refused(retry_info("20s")))
    told = threading.Event()
    fallback = fallback_to(open_upstream(gemini.url), ["flash"])
    generation = fallback.ask(QUESTION, lambda waiting: told.set() if waiting.is_delay else None)
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit("".join, generation)
        assert told.wait(SOON)
        generation.cancel()
        assert text.result(SOON) == ""
    assert generation.ending is not None and generation.ending.finish is Finish.STOPPED
    assert asked(gemini) == ["flash"]


@pytest.mark.parametrize(("ending", "error"), [("stall", UpstreamSilent), ("cut", UpstreamCut)])
def test_silence_and_a_cut_of_the_last_model_are_different_errors(
    gemini: FakeGemini, open_upstream: Open, ending: Any, error: type[UpstreamError]
) -> None:
    gemini.replies(Reply([chunk("Hm…", thought=True)], ending=ending))
    generation = ask(open_upstream(gemini.url, Clocks(connect=SOON, first_byte=2)), ["flash"])
    assert "".join(generation) == ""
    assert type(generation.error) is error
    assert generation.ending is not None
    assert (generation.ending.finish, generation.ending.note) == (Finish.INTERRUPTED, generation.error.sentence)


SUSPENDED = f"Permission denied: Consumer 'api_key:{KEY}' has been suspended."  # Google quotes the key


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(400, "INVALID_ARGUMENT", "bad key", [error_info("API_KEY_INVALID")]),
        Reply.error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."),
        Reply.error(403, "PERMISSION_DENIED", "blocked", [error_info("API_KEY_IP_ADDRESS_BLOCKED")]),
        Reply.error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", [retry_info("1s")]),
        Reply.error(429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."),
        Reply.error(400, "FAILED_PRECONDITION", "not in this region"),
        Reply.error(401, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        Reply.error(402, "RESOURCE_EXHAUSTED", "credit"),
        Reply.error(403, "PERMISSION_DENIED", SUSPENDED),
        Reply([error_body(403, "PERMISSION_DENIED", SUSPENDED)]),
        Reply.redirect("http://127.0.0.1:1/"),
        Reply([b"{}"], 403, {"Connection": "close"}, "length"),
        Reply([b"{"], 402, ending="cut"),
        Reply([b"{"], 307, ending="reset"),
        Reply([b"{"], 401, ending="stall"),
    ],
    ids=lambda reply: f"{reply.status} {reply.ending} {str(reply.body)[:20]}",
)
def test_an_error_that_only_the_owner_can_fix_is_final(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.default = Reply.answer("asked again")
    gemini.replies(reply)
    generation = ask(open_upstream(gemini.url, Clocks(connect=0.5, first_byte=SOON)))
    assert "".join(generation) == ""
    assert isinstance(generation.error, OwnerError)
    assert generation.ending is not None
    assert (generation.ending.finish, generation.ending.note) == (Finish.FAILED, generation.error.sentence)
    assert KEY not in repr(generation.error) + generation.error.detail + repr(generation.ending)
    assert asked(gemini) == ["flash"]


def test_without_a_connection_no_second_one_is_tried() -> None:
    class CountingUpstream(Upstream):
        calls = 0

        def call(self) -> Call:
            self.calls += 1
            return super().call()

    with refusing_url() as url:
        for base_url in (url, "http://gemini.invalid"):
            upstream = CountingUpstream(base_url, provider="Gemini")
            generation = ask(upstream)
            assert "".join(generation) == ""
            assert isinstance(generation.error, UpstreamUnreachable)
            assert generation.ending is not None
            assert (generation.ending.finish, generation.ending.note) == (Finish.FAILED, generation.error.sentence)
            assert upstream.calls == 1
            upstream.close()


# What a refusal means


EMPTY = [
    Reply([chunk("", "STOP")]),
    Reply([chunk(None, "MALFORMED_FUNCTION_CALL")]),
    Reply([chunk(None, "UNEXPECTED_TOOL_CALL")]),
    Reply([chunk(None, "OTHER")]),
    Reply([chunk(None, "MAX_TOKENS"), RAW_ERROR]),
    Reply([chunk("Hm…", thought=True), chunk(None, "TIRED_OF_2030")]),
]
empty = pytest.mark.parametrize("reply", EMPTY, ids=lambda reply: str(reply.body[-1])[-50:-10])


@empty
def test_an_answer_without_text_is_tried_once_more_on_the_next_rung(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.replies(reply, Reply.answer("Because."))
    assert "".join(ask(open_upstream(gemini.url))) == "Because."
    assert asked(gemini) == ["flash", "lite"]


@empty
def test_an_only_model_that_sends_no_text_is_asked_once_more(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.replies(reply, Reply.answer("Because."))
    assert "".join(ask(open_upstream(gemini.url), ["flash"])) == "Because."
    assert asked(gemini) == ["flash", "flash"]


@empty
def test_two_answers_without_text_are_the_last_and_told_without_jargon(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.default = reply
    generation = ask(open_upstream(gemini.url), ["flash", "lite", "old"])
    assert "".join(generation) == ""
    assert asked(gemini) == ["flash", "lite"], "each of them may have been billed"
    assert generation.ending is not None and generation.ending.finish is Finish.FAILED
    assert re.fullmatch(r"Gemini (?:sent no answer|thought for so long)[^_“]*", str(generation.ending.note))


ABOUT_ONE_MODEL = [
    "Thinking level MINIMAL is not supported for this model.",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    'Invalid JSON payload received. Unknown name "thinkingLevel": Cannot find field.',
    "The thinking budget 50000 is invalid. Please choose a value between 512 and 24576.",
    "it has a maxOutputTokens value of 70000 but the supported range is from 1 to 65537",
    "Request contains an invalid argument.",
]


@pytest.mark.parametrize("message", ABOUT_ONE_MODEL)
def test_a_400_about_one_model_goes_to_the_next(gemini: FakeGemini, open_upstream: Open, message: str) -> None:
    gemini.replies(Reply.error(400, "INVALID_ARGUMENT", message), Reply.answer("Because."))
    assert "".join(ask(open_upstream(gemini.url))) == "Because."
    assert asked(gemini) == ["flash", "lite"]


@pytest.mark.parametrize("error", ["key", "region", "address", "network"])
def test_what_rules_out_a_place_leaves_the_others(open_upstream: Open, error: str) -> None:
    refusal = {
        "key": Reply.error(401, "UNAUTHENTICATED", "no"),
        "region": Reply.error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        "address": Reply.error(403, "PERMISSION_DENIED", "no", [error_info("API_KEY_IP_ADDRESS_BLOCKED")]),
        "network": Reply([b"<html>Sign in"], headers={"Content-Type": "text/html"}),
    }[error]
    with FakeGemini() as first, FakeGemini() as second:
        first.default, second.default = refusal, Reply.answer("Because.")
        rungs = gemini_rungs(open_upstream(first.url), MODELS) + gemini_rungs(open_upstream(second.url), MODELS)
        assert "".join(Fallback(rungs, Quotas()).ask(QUESTION)) == "Because."
        assert (asked(first), asked(second)) == (["flash"], ["flash"])


def test_an_unknown_model_is_not_asked_again_for_a_day(gemini: FakeGemini, open_upstream: Open) -> None:
    ticks = [0.0]
    quotas = Quotas(ticks=lambda: ticks[0])
    fallback = Fallback(gemini_rungs(open_upstream(gemini.url), MODELS), quotas)
    gemini.default = Reply.answer("Because.")
    gemini.replies(Reply.error(404, "NOT_FOUND", "retired"), model="flash")
    for moment in (0.0, 1.0, Gemini.unknown_seconds - 1, Gemini.unknown_seconds + 1):
        ticks[0] = moment
        assert "".join(fallback.ask(QUESTION)) == "Because."
    assert asked(gemini) == ["flash", "lite", "lite", "lite", "flash"]


def test_models_that_are_all_unknown_are_asked_again(gemini: FakeGemini, open_upstream: Open) -> None:
    """A wrong answer of Gemini's for a minute must not silence the appliance for a day."""
    fallback = fallback_to(open_upstream(gemini.url))
    gemini.replies(*[Reply.error(404, "NOT_FOUND", "retired")] * 2, Reply.answer("Because."))
    assert "".join(fallback.ask(QUESTION)) == ""
    assert "".join(fallback.ask(QUESTION)) == "Because."


TOO_LONG = [
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    "The input token count is 70000 but the model only supports up to 32768.",
    "Request payload size exceeds the limit: 20971520 bytes.",
    "The prompt is too long for the context window of this model.",
]


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_chat_that_is_too_long_is_cut_once_and_then_another_model_is_asked(
    gemini: FakeGemini, open_upstream: Open, message: str
) -> None:
    history = tuple(Message(role, f"{number}. " + "x" * 1000) for number in range(8) for role in ("user", "model"))
    gemini.replies(*[Reply.error(400, "INVALID_ARGUMENT", message)] * 3, Reply.answer("Because."))
    generation = fallback_to(open_upstream(gemini.url)).ask(Question("Why?", history))
    assert "".join(generation) == "Because."
    assert asked(gemini) == ["flash", "flash", "lite", "lite"]
    sent = [len(call.json["contents"]) for call in gemini.calls]
    assert sent == [17, 5, 17, 5], "first the whole history, then a quarter of it"


def test_a_question_that_is_too_long_for_every_model_is_told(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = Reply.error(400, "INVALID_ARGUMENT", TOO_LONG[0])
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == ""
    assert isinstance(generation.error, ContextExceeded)
    assert asked(gemini) == ["flash", "lite"], "without a history there is nothing to cut"


PAGE = b"<!DOCTYPE html>\n<p>Welcome! Please sign in.\n"


@pytest.mark.parametrize(
    "reply",
    [
        Reply([PAGE], headers={"Content-Type": "text/html"}),
        Reply([PAGE]),
        Reply([b"\r\n  ", PAGE], piece=1),
        Reply([b"\xef\xbb\xbf" + PAGE], piece=2),
        Reply([b""], headers={"Content-Type": "TEXT/HTML; charset=utf-8"}),
        Reply([PAGE], ending="stall"),
    ],
    ids=[
        "by its type",
        "by its first byte",
        "blank before it, in single bytes",
        "a byte order mark",
        "empty",
        "stuck",
    ],
)
def test_the_sign_in_page_of_a_network_is_named(gemini: FakeGemini, open_upstream: Open, reply: Reply) -> None:
    gemini.default = reply
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == ""
    assert isinstance(generation.error, SignInPage)
    assert generation.ending is not None and "sign-in page of the network" in str(generation.ending.note)
    assert asked(gemini) == ["flash"], "every model is behind that network"


def test_names_that_a_server_gives_are_short(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = Reply([chunk("Be", "Z" * 10_000 + "\n", model_version="m" * 10_000)])
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == "Be"
    ending = generation.ending
    assert ending is not None and ending.note is not None
    assert len(ending.model) <= 80 and len(ending.note.to_json()) < 300


def test_a_body_that_unpacks_to_far_more_is_ended(gemini: FakeGemini, open_upstream: Open) -> None:
    """100 MB of comments, packed to 100 KB."""
    gemini.default = Reply(itertools.repeat(b":" + b" " * 1_000_000 + b"\n", 100), gzip=True)
    generation = ask(open_upstream(gemini.url), ["flash"])
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamUnreadable)


def test_a_404_that_names_no_model_is_not_remembered(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = Reply.answer("Because.")
    gemini.replies(Reply([b"{}"], 404, framing="length"))
    fallback = fallback_to(open_upstream(gemini.url), ["flash"])
    assert "".join(fallback.ask(QUESTION)) == ""
    assert "".join(fallback.ask(QUESTION)) == "Because."


def test_unknown_models_are_asked_again_when_no_other_can_be(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(refused(PER_DAY), Reply.error(404, "NOT_FOUND", "retired"), Reply.answer("Because."))
    fallback = fallback_to(open_upstream(gemini.url))
    assert "".join(fallback.ask(QUESTION)) == ""
    assert "".join(fallback.ask(QUESTION)) == "Because."
    assert asked(gemini) == ["flash", "lite", "lite"]


NO_INSTRUCTION = Reply.error(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply.error(503, "UNAVAILABLE", "overloaded"), "too much to do"),
        (refused(PER_DAY), "used up. New questions from"),
        (refused(retry_info("55s")), "Too many questions at once"),
        (Reply.error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "prepaid credit"),
    ],
    ids=["busy", "quota", "rate", "credit"],
)
def test_a_model_that_does_not_take_the_request_masks_nothing(
    gemini: FakeGemini, open_upstream: Open, reply: Reply, words: str
) -> None:
    gemini.replies(NO_INSTRUCTION, model="gemma")
    for model in MODELS:
        gemini.replies(reply, model=model)
    for models in (("gemma", *MODELS), (*MODELS, "gemma")):
        generation = ask(open_upstream(gemini.url), models)
        assert "".join(generation) == ""
        assert generation.ending is not None and words in str(generation.ending.note)
        gemini.replies(NO_INSTRUCTION, model="gemma")
        for model in MODELS:
            gemini.replies(reply, model=model)


def test_a_busy_model_is_not_asked_before_its_own_delay_is_over(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = refused(retry_info("50s"))
    gemini.replies(refused(retry_info("0.1s")), Reply.answer("Because."), model="flash")
    assert "".join(ask(open_upstream(gemini.url), ["flash", "lite", "old"])) == "Because."
    assert asked(gemini) == ["flash", "lite", "old", "flash"]


def test_short_retry_delays_do_not_multiply_the_requests(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = refused(retry_info("0.4s"))
    assert "".join(ask(open_upstream(gemini.url), list("abcd"))) == ""
    assert len(gemini.calls) <= 3 * 4


@pytest.mark.parametrize("status", [200, 203, 400, 401, 402, 403, 404, 407, 451, 511])
def test_a_page_of_a_network_blames_neither_the_key_nor_gemini(
    gemini: FakeGemini, open_upstream: Open, status: int
) -> None:
    gemini.default = Reply.html(status)
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == ""
    assert isinstance(generation.error, SignInPage) and asked(gemini) == ["flash"]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf\r\n\r\n", b"\xef\xbb\xbf\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff\0"])
def test_a_page_is_found_behind_any_mark(gemini: FakeGemini, open_upstream: Open, mark: bytes) -> None:
    gemini.default = Reply([mark + b"<html><p>Please sign in."], piece=1)
    generation = ask(open_upstream(gemini.url))
    assert "".join(generation) == ""
    assert isinstance(generation.error, SignInPage)


@pytest.mark.parametrize(
    ("start", "text", "finish", "models"),
    [
        ([chunk("Hi", "STOP")], "Hi", Finish.COMPLETE, ["flash"]),
        ([chunk("Hi")], "Hi", Finish.INTERRUPTED, ["flash"]),
        ([chunk("Hm…", thought=True)], "Because.", Finish.COMPLETE, ["flash", "lite"]),
    ],
    ids=["after STOP", "in the text", "before the text"],
)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_a_tls_error_in_the_stream_is_a_cut(
    open_upstream: Open, start: list[bytes], text: str, finish: Finish, models: list[str]
) -> None:
    with FakeGemini(tls=True) as gemini:
        generation = ask(open_upstream(gemini.url, certificates=str(gemini.certificate)))
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit("".join, generation)
            call = gemini.next_call()
            call.start()
            for piece in start:
                call.send(piece)
            gemini.replies(Reply.answer("Because."))
            call.send_in_the_clear(b"HTTP/1.1 302 Found\r\n\r\n")
            assert read.result(SOON) == text
        assert generation.ending is not None and generation.ending.finish is finish
        assert asked(gemini) == models


# Clocks


@pytest.mark.slow
@pytest.mark.parametrize("reply", EMPTY[:2], ids=["STOP", "MALFORMED"])
def test_an_answer_that_has_ended_without_text_is_not_waited_for(
    gemini: FakeGemini, open_upstream: Open, reply: Reply
) -> None:
    gemini.replies(replace(reply, ending="stall"), Reply.answer("Because."))
    start = time.monotonic()
    assert "".join(ask(open_upstream(gemini.url))) == "Because."
    assert time.monotonic() - start < LONG.first_byte / 2
    assert asked(gemini) == ["flash", "lite"]


def test_an_error_body_that_stalls_runs_under_the_deadline(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply([b"{"], 503, ending="stall"))
    generation = ask(open_upstream(gemini.url, Clocks(connect=SOON * 6, first_byte=0.5)), ["flash"])
    start = time.monotonic()
    assert "".join(generation) == ""
    assert time.monotonic() - start < SOON * 3


def test_one_deadline_covers_all_attempts_and_a_silent_model_is_the_last(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"), Reply(status=None, ending="stall"))
    gemini.default = Reply.answer("asked too often")
    fallback = fallback_to(open_upstream(gemini.url, QUICK), ["flash", "lite", "old"])
    generation = fallback.ask(QUESTION)
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamSilent)
    assert asked(gemini) == ["flash", "lite"], "each more would be billed"
    assert generation.ending is not None and generation.ending.next_rung == 2
    assert "".join(fallback.ask(QUESTION, first=2)) == "asked too often"
    assert asked(gemini)[2:] == ["old"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "late", [Reply([b"{"], 503, ending="stall"), replace(EMPTY[0], ending="stall")], ids=["refusal", "no text"]
)
def test_a_refusal_at_the_end_of_the_time_is_told_and_the_next_model_offered(
    gemini: FakeGemini, open_upstream: Open, late: Reply
) -> None:
    gemini.replies(late)
    generation = ask(open_upstream(gemini.url, QUICK))
    assert "".join(generation) == ""
    assert asked(gemini) == ["flash"]
    assert generation.ending is not None and not isinstance(generation.error, UpstreamSilent)
    assert generation.ending.note is not None and "in time" not in str(generation.ending.note)
    assert generation.ending.next_rung == 1


@pytest.mark.slow
def test_a_chat_is_not_cut_and_asked_again_at_the_end_of_the_time(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply([error_body(400, "INVALID_ARGUMENT", TOO_LONG[0])], 400, ending="stall"))
    question = Question("And then?", (Message("user", "Why?"), Message("model", "Because.")))
    generation = fallback_to(open_upstream(gemini.url, QUICK)).ask(question)
    assert "".join(generation) == ""
    assert asked(gemini) == ["flash"] and isinstance(generation.error, ContextExceeded)


def test_after_the_last_rung_there_is_no_next_one_to_offer(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = Reply([chunk("Hm…", thought=True)], ending="stall")
    generation = ask(open_upstream(gemini.url, QUICK), ["flash"])
    assert "".join(generation) == ""
    assert generation.ending is not None and generation.ending.next_rung == 0


def test_counted_tokens_do_not_extend_the_deadline_for_the_first_text(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    def think() -> Iterator[bytes]:
        for tokens in itertools.count(1):
            time.sleep(0.02)
            yield usage(tokens)

    gemini.default = Reply(think())
    generation = ask(open_upstream(gemini.url, QUICK))
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamSilent) and asked(gemini) == ["flash"]


def test_headers_that_drip_run_under_the_deadline_for_the_first_text(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    generation = ask(open_upstream(gemini.url, QUICK))
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit("".join, generation)
        call = gemini.next_call()
        with suppress(ClientGoneError):
            for _ in range(1000):
                call.send_raw(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.02)
        assert text.result(SOON) == ""
    assert isinstance(generation.error, UpstreamSilent)


def test_the_reader_is_told_how_the_time_passes(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.default = Reply.answer("Because.")
    told: list[Waiting] = []
    fallback = Fallback(gemini_rungs(open_upstream(gemini.url), MODELS), Quotas(), 300)
    assert "".join(fallback.ask(QUESTION, told.append)) == "Because."
    (waiting,) = told
    assert [str(waiting.sentence(seconds)) for seconds in (0, 10, 50, 60, 290)] == [
        "flash is thinking ...",
        "flash is thinking, 10 s ...",
        "flash is thinking, 50 s ...",
        "flash is thinking, 60 s of at most 300 ...",
        "flash is thinking, 290 s of at most 300 ...",
    ]


@pytest.mark.slow
def test_before_the_first_text_the_clock_for_the_first_byte_applies(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    def think() -> Iterator[bytes]:
        time.sleep(3 * QUICK.progress)
        yield chunk("At last.", "STOP")

    gemini.replies(Reply(think()))
    generation = ask(open_upstream(gemini.url, Clocks(first_byte=SOON, progress=QUICK.progress)))
    assert "".join(generation) == "At last."
    assert asked(gemini) == ["flash"]


@pytest.mark.parametrize("silent", [False, True], ids=["the same count", "silence"])
def test_an_answer_without_progress_is_interrupted_even_if_bytes_arrive(
    gemini: FakeGemini, open_upstream: Open, silent: bool
) -> None:
    def repeat() -> Iterator[bytes]:
        yield chunk("Be", usage={"totalTokenCount": 5})
        for _ in itertools.count():
            time.sleep(0.02)
            yield usage(5)

    gemini.replies(Reply([chunk("Be")], ending="stall") if silent else Reply(repeat()))
    start = time.monotonic()
    generation = ask(open_upstream(gemini.url, Clocks(first_byte=60, progress=QUICK.progress)))
    assert "".join(generation) == "Be"
    assert QUICK.progress <= time.monotonic() - start < SOON
    assert generation.ending is not None
    assert generation.ending.finish is Finish.INTERRUPTED
    gemini.calls[0].wait_gone()
    assert asked(gemini) == ["flash"]


def test_bytes_without_progress_before_the_first_text_count_as_silence(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    def repeat() -> Iterator[bytes]:
        for _ in itertools.count():
            yield usage(5)
            time.sleep(0.02)

    gemini.replies(Reply(repeat()))
    generation = ask(open_upstream(gemini.url, QUICK))
    assert "".join(generation) == ""
    assert isinstance(generation.error, UpstreamSilent) and asked(gemini) == ["flash"]


@pytest.mark.slow
def test_a_growing_token_count_is_progress(gemini: FakeGemini, open_upstream: Open) -> None:
    clocks = Clocks(first_byte=SOON, progress=1)

    def count() -> Iterator[bytes]:
        yield chunk("Be")
        deadline = time.monotonic() + 1.5 * clocks.progress
        for tokens in itertools.count(1):
            yield usage(tokens)
            time.sleep(0.02)
            if time.monotonic() > deadline:
                break
        yield chunk("cause.", "STOP")

    gemini.replies(Reply(count()))
    generation = ask(open_upstream(gemini.url, clocks))
    assert "".join(generation) == "Because."
    assert generation.ending is not None
    assert generation.ending.finish is Finish.COMPLETE


# Stop


def test_a_cancel_before_the_first_step_asks_nobody(gemini: FakeGemini, open_upstream: Open) -> None:
    generation = ask(open_upstream(gemini.url))
    generation.cancel()
    assert list(generation) == []
    assert generation.ending is not None
    assert generation.ending.finish is Finish.STOPPED
    assert gemini.calls == []


@pytest.mark.parametrize("stage", ["headers", "first text", "more text", "refusal", "second model"])
def test_a_cancel_at_any_stage_stops_and_asks_no_other_model(
    gemini: FakeGemini, open_upstream: Open, stage: str
) -> None:
    generation = ask(open_upstream(gemini.url))
    said: Queue[str] = Queue()
    if stage == "second model":
        gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"), model="flash")
    with ThreadPoolExecutor() as readers:
        reader = readers.submit(lambda: deque(map(said.put, generation)))
        call = gemini.next_call()
        if stage == "refusal":
            call.start(503)
        elif stage in ("first text", "more text"):
            call.start()
        if stage == "more text":
            call.text("Be")
            assert said.get(timeout=SOON) == "Be"
        generation.cancel()
        reader.result(SOON)  # long before the clock for the first byte, a minute
    call.wait_gone()
    assert said.empty()
    assert generation.error is None
    assert generation.ending is not None
    assert generation.ending.finish is Finish.STOPPED
    assert asked(gemini) == (["flash", "lite"] if stage == "second model" else ["flash"])


def test_a_cancel_from_within_the_loop_ends_it(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply([chunk("Be")], ending="stall"))
    generation = ask(open_upstream(gemini.url))
    for text in generation:
        assert text == "Be"
        generation.cancel()
    assert generation.ending is not None
    assert generation.ending.finish is Finish.STOPPED


def test_a_cancel_after_the_end_changes_nothing(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply.answer("Because."))
    generation = ask(open_upstream(gemini.url))
    list(generation)
    generation.cancel()
    assert generation.ending is not None
    assert generation.ending.finish is Finish.COMPLETE


def test_an_abandoned_generation_closes_its_connection(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply([chunk("Be")], ending="stall"))
    pieces = iter(ask(open_upstream(gemini.url)))
    assert next(pieces) == "Be"
    assert isinstance(pieces, Generator)
    pieces.close()
    gemini.calls[0].wait_gone()
