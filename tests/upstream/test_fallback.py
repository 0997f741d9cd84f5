"""A question and its fallback list, over real sockets: the model that is asked, the next one, and the ending.

Each test also checks that no thread and no socket is left behind, and that the key is in no log.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest
from fakes.calls import SOON, Open
from fakes.gemini import (
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

from kindle_appliance.conversation import Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import (
    OwnerError,
    QuotaExhausted,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from kindle_appliance.upstream.call import Call, Clocks, Upstream
from kindle_appliance.upstream.fallback import Fallback, Generation, Waiting
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung

pytestmark = pytest.mark.usefixtures("nothing_leaks")

MODELS = ("flash", "lite")
QUESTION = Question("Why?")
NOON = 1_800_000_000.0  # Unix time
QUICK = Clocks(connect=SOON, first_byte=0.3, progress=0.3)


def fallback_to(upstream: Upstream, models: Sequence[str] = MODELS) -> Fallback:
    return Fallback(gemini_rungs(upstream, models), Quotas())


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
    assert (ending.finish, ending.note, ending.model, ending.tokens) == (Finish.COMPLETE, None, "flash-9", 7)
    assert generation.error is None
    (call,) = gemini.calls
    assert (call.model, call.headers["x-goog-api-key"]) == ("flash", KEY)
    assert call.json == {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}


RAW_ERROR = error_body(503, "UNAVAILABLE", "a {brace} in it")


@pytest.mark.parametrize(
    ("reply", "text", "finish"),
    [
        (Reply([chunk("a", "MAX_TOKENS")]), "a", Finish.LENGTH),
        (Reply([chunk(None, "MAX_TOKENS")]), "", Finish.FAILED),
        (Reply([chunk("a"), chunk(None, "SAFETY")]), "a", Finish.BLOCKED),
        (Reply([chunk(None, "PROHIBITED_CONTENT")]), "", Finish.BLOCKED),
        (Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})]), "", Finish.BLOCKED),
        (Reply([chunk("a", "OTHER")]), "a", Finish.FAILED),
        (Reply([chunk("", "STOP")]), "", Finish.FAILED),
        (Reply([chunk("a"), RAW_ERROR]), "a", Finish.INTERRUPTED),
        (Reply([chunk("a"), event({"error": {"code": 500}})]), "a", Finish.INTERRUPTED),
        (Reply([chunk("a"), RAW_ERROR], ending="stall"), "a", Finish.INTERRUPTED),
        (Reply([chunk("a", "STOP"), RAW_ERROR]), "a", Finish.COMPLETE),
        (Reply([chunk("a", "STOP")], ending="reset"), "a", Finish.COMPLETE),
        (Reply([chunk("a", "STOP")[:-4]]), "a", Finish.COMPLETE),
        (Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})], ending="reset"), "", Finish.BLOCKED),
        (Reply([chunk(None, "MAX_TOKENS"), RAW_ERROR]), "", Finish.FAILED),
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
    assert "greatest length" in generation.ending.words("en")
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
        Reply(status=None, ending="stall"),
        Reply(ending="stall"),
        Reply([chunk("Hm…", thought=True)], ending="stall"),
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
    generation = ask(open_upstream(gemini.url, Clocks(connect=SOON, first_byte=0.5)))
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
        assert generation.ending is not None and generation.ending.rung == 1
        assert "lite answered" in generation.ending.words("en")
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
        said = generation.ending.words("en")
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
        assert generation.ending is not None and "used up. New questions from" in generation.ending.words("en")
    assert asked(gemini) == ["flash", "lite", "old", "old"]


def test_the_most_promising_failure_is_reported(gemini: FakeGemini, open_upstream: Open) -> None:
    gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"), refused(PER_DAY), Reply.error(404, "", "retired"))
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
    assert [str(waiting.sentence) for waiting in told if waiting.is_delay] == [
        "Too many questions at once for Gemini. It is asked again in 1 second."
    ]
    assert asked(gemini) == ["flash", "lite", "lite"], "a model without a retry delay is not asked again"


def test_a_model_that_thinks_is_told_apart_from_a_retry_delay_however_late_it_is_asked(
    gemini: FakeGemini, open_upstream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.fallback._THINKING_AFTER_SECONDS", 0.0)
    gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"), Reply.answer("At last."))
    told: list[Waiting] = []
    assert "".join(fallback_to(open_upstream(gemini.url)).ask(QUESTION, told.append)) == "At last."
    assert [(waiting.after, waiting.is_delay) for waiting in told] == [(0, False), (0, False)]


def test_a_quota_that_comes_back_while_the_reader_is_told_when_makes_no_mistake(
    gemini: FakeGemini, open_upstream: Open
) -> None:
    moments = iter([NOON] * 3)  # when it is asked, when it refuses, when the reader is told; then the day ends
    quotas = Quotas(clock=lambda: next(moments, NOON + 86400.0))
    gemini.default = refused(PER_DAY)
    rung = Rung(Gemini(clock=lambda: NOON), Place(open_upstream(gemini.url), KEY), "flash")
    generation = Fallback([rung], quotas).ask(QUESTION)
    assert "".join(generation) == ""
    assert generation.ending is not None and "used up. New questions from" in generation.ending.words("en")


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
    monkeypatch.setattr("kindle_appliance.upstream.fallback._MOST_WAITING_SECONDS", 2.5)
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
    generation = ask(open_upstream(gemini.url, Clocks(connect=SOON, first_byte=0.5)), ["flash"])
    assert "".join(generation) == ""
    assert type(generation.error) is error
    assert generation.ending is not None
    assert (generation.ending.finish, generation.ending.note) == (Finish.INTERRUPTED, generation.error.sentence)


SUSPENDED = f"Permission denied: Consumer 'api_key:{KEY}' has been suspended."  # Google quotes the key


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(400, "INVALID_ARGUMENT", "bad key", [error_info("API_KEY_INVALID")]),
        Reply.error(400, "INVALID_ARGUMENT", "bad field"),
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


# Clocks


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

    gemini.replies(Reply(repeat()), Reply.answer("Here."))
    assert "".join(ask(open_upstream(gemini.url, QUICK))) == "Here."
    assert asked(gemini) == ["flash", "lite"]


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
