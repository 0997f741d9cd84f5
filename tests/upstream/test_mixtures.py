"""Lists of Gemini and servers of the house: each kind of failure at each position, both ways, over real sockets.

What must hold is written down once more, as plainly as possible (`expect`, `check`): who is asked, who answers,
and what the reader hears if nobody does.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import gemini as of_gemini
from fakes import openai as of_house
from fakes.calls import LONG, SOON
from fakes.gemini import Call, FakeGemini, Reply, error_info, quota_failure, refusing_url, retry_info
from fakes.house import House
from fakes.openai import OpenAIServer
from fakes.secrets import KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.conversation import Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import (
    ApplianceError,
    ContextExceeded,
    CreditUsedUp,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    UnknownModel,
    UpstreamBusy,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.dialect import Dialect
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.openai import OpenAI
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung

QUESTION = Question("Why?")
PAGE = Reply([b"<!DOCTYPE html><p>Please sign in."], headers={"Content-Type": "text/html"})
CUT = Reply(status=None, ending="reset")
NOISE = Reply([b"data: no JSON\n\n"])
PER_DAY = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
NO_KEY = [error_info("API_KEY_INVALID")]


@dataclass(frozen=True)
class Kind:
    """A way to behave, of Gemini and of a server of the house. `error`: what it is for the fallback, None: an
    answer or its end; `is_of_place`: whether it rules out the other models of the place.
    """

    of_gemini: Reply
    of_house: Reply
    error: type[ApplianceError] | None = None
    is_of_place: bool = False
    text: str = ""
    finish: Finish = Finish.FAILED


KINDS = {
    "answer": Kind(Reply.answer("Because."), of_house.answer("Because."), text="Because.", finish=Finish.COMPLETE),
    "broken": Kind(
        Reply([of_gemini.chunk("Be")], ending="cut"),
        Reply([of_house.chunk("Be")], ending="cut"),
        text="Be",
        finish=Finish.INTERRUPTED,
    ),
    "rules": Kind(
        Reply([of_gemini.chunk(None, "SAFETY")]),
        Reply([of_house.chunk("", "content_filter"), of_house.DONE]),
        finish=Finish.BLOCKED,
    ),
    "empty": Kind(Reply([of_gemini.chunk("", "STOP")]), of_house.answer("")),
    "quota": Kind(
        Reply.error(429, "RESOURCE_EXHAUSTED", "quota", [PER_DAY]),
        of_house.error(429, "Rate limit exceeded: free-models-per-day", retry_after="3600"),
        QuotaExhausted,
    ),
    "unknown": Kind(Reply.error(404, "NOT_FOUND", "retired"), of_house.NO_MODEL, UnknownModel),
    "refused": Kind(
        Reply.error(400, "INVALID_ARGUMENT", "an invalid argument"),
        of_house.error(400, "bad field"),
        RequestRefused,
    ),
    "context": Kind(
        Reply.error(400, "INVALID_ARGUMENT", "The prompt is too long for the context window of this model."),
        of_house.TOO_LONG,
        ContextExceeded,
    ),
    "busy": Kind(Reply.error(503, "UNAVAILABLE", "overloaded"), of_house.error(503, "busy"), UpstreamBusy),
    "trouble": Kind(Reply.error(500, "INTERNAL", "oh"), of_house.error(500, "oh", "server_error"), UpstreamError),
    "cut": Kind(CUT, CUT, UpstreamCut),
    "noise": Kind(NOISE, NOISE),
    "key": Kind(
        Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", NO_KEY),
        of_house.WRONG_KEY,
        OwnerError,
        is_of_place=True,
    ),
    "page": Kind(PAGE, PAGE, UpstreamUnreachable, is_of_place=True),
    "off": Kind(CUT, CUT, UpstreamUnreachable, is_of_place=True),
}
"""`off`: no connection at all."""
BY_PROMISE = (UnknownModel, RequestRefused, ContextExceeded, QuotaExhausted, OwnerError, UpstreamUnreachable)


@dataclass(frozen=True)
class Asked:
    """A model of the list, and how it behaves. `place`: "gemini" or "house"."""

    place: str
    name: str
    kind: str

    @property
    def how(self) -> Kind:
        return KINDS[self.kind]


class Places:
    """A Gemini and a server of the house, with what each model answers; and both places switched off."""

    def __init__(self, stops: ExitStack) -> None:
        self.asked: list[str] = []
        self._kinds: dict[str, Asked] = {}
        self._servers = {"gemini": FakeGemini(), "house": OpenAIServer()}
        self._places = {}
        off = stops.enter_context(refusing_url())
        for name, server in self._servers.items():
            server.default = self._reply
            url = stops.enter_context(server).url
            for is_off in (False, True):
                upstream = Upstream(off if is_off else url, LONG, provider=name, is_at_home=name == "house")
                stops.callback(upstream.close)
                self._places[name, is_off] = Place(upstream, KEY)

    def _reply(self, call: Call) -> Reply:
        assert call.model is not None
        self.asked.append(call.model)
        asked = self._kinds[call.model]
        return asked.how.of_gemini if asked.place == "gemini" else asked.how.of_house

    def rungs(self, asked: Sequence[Asked]) -> list[Rung]:
        """The list; a place is off if one of its models is."""
        self.asked.clear()
        self._kinds = {each.name: each for each in asked}
        off = {each.place for each in asked if each.kind == "off"}
        dialects: dict[str, Dialect] = {"gemini": Gemini(), "house": OpenAI("house")}
        return [
            Rung(dialects[each.place], self._places[each.place, each.place in off], each.name) for each in asked
        ]


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    with ExitStack() as stops:
        yield Places(stops)


@dataclass
class Expected:
    """Who is asked, and the one that ends the question (None: nobody has answered)."""

    asked: list[Asked]
    last: Asked | None


def expect(models: Sequence[Asked]) -> Expected:
    """Down the list, without places that are ruled out, until one answers; after two empty answers no more."""
    asked: list[Asked] = []
    ruled_out: set[str] = set()
    empty = 0
    for each in models:
        if each.place in ruled_out:
            continue
        asked.append(each)
        if each.how.finish is not Finish.FAILED:
            return Expected(asked, each)
        if each.how.is_of_place:
            ruled_out.add(each.place)
        empty += each.kind == "empty"
        if empty == 2:
            return Expected(asked, None)
    if asked[-1].kind == "empty":
        asked.append(asked[-1])
    return Expected(asked, None)


def promise(each: Asked) -> int:
    kinds = [rank for rank, kind in enumerate(BY_PROMISE) if each.how.error and issubclass(each.how.error, kind)]
    return kinds[0] if kinds else len(BY_PROMISE)


def check(places: Places, models: Sequence[Asked]) -> None:
    """Ask these models, and compare who was asked and what came of it."""
    if {"off"} & {each.kind for each in models}:  # a computer is off as a whole
        off = {each.place for each in models if each.kind == "off"}
        models = [Asked(each.place, each.name, "off") if each.place in off else each for each in models]
    expected = expect(models)
    generation = Fallback(places.rungs(models), Quotas()).ask(QUESTION)
    text = "".join(generation)
    ending = generation.ending
    assert ending is not None
    told = f"{models}: {ending}, {generation.error!r}"
    assert places.asked == [each.name for each in expected.asked if each.kind != "off"], told
    names = [each.name for each in models]
    if expected.last is not None:
        index, how = models.index(expected.last), expected.last.how
        assert (text, ending.finish, ending.model) == (how.text, how.finish, names[index] if text else ""), told
        assert ending.rung == (index if text else 0), told
        assert [each.model for each in ending.passed] == names[:index], told
        return
    assert text == "" and ending.finish in (Finish.FAILED, Finish.INTERRUPTED), told
    hopeless = {UnknownModel, RequestRefused, ContextExceeded}
    away = {each.place for each in models if each.kind == "off"}
    hopeful = [each for each in models if each.how.error not in hopeless and each.place not in away]
    if hopeful and all(each.kind == "quota" for each in hopeful):
        assert ending.back_at > time.time() and ending.note is not None, told
        assert isinstance(generation.error, UpstreamUnreachable if away else QuotaExhausted), told
        assert ("does not reach" in str(ending.note), "used up" in str(ending.note)) == (bool(away), True), told
    elif sum(each.kind == "empty" for each in expected.asked) < 2:
        best = max(map(promise, expected.asked))
        (*_, reported) = (each for each in dict.fromkeys(expected.asked) if promise(each) == best)
        assert ending.model == "" and ending.back_at == 0, told
        assert isinstance(generation.error, reported.how.error or type(None)), told
    assert {each.name for each in expected.asked} <= {each.model for each in ending.passed}, told


def test_each_pair_of_a_model_of_gemini_and_one_of_the_house_both_ways(places: Places) -> None:
    for first, second in itertools.product(KINDS, KINDS):
        check(places, [Asked("gemini", "flash", first), Asked("house", "small", second)])
        check(places, [Asked("house", "small", first), Asked("gemini", "flash", second)])


LISTS = st.lists(
    st.tuples(st.sampled_from(["gemini", "house"]), st.sampled_from([*KINDS, "answer", "quota"])),
    min_size=3,
    max_size=6,
)


@given(LISTS)
def test_what_rules_out_a_place_rules_out_no_other_in_any_list(
    places: Places, drawn: list[tuple[str, str]]
) -> None:
    check(places, [Asked(place, f"model-{number}", kind) for number, (place, kind) in enumerate(drawn)])


HABITS = [habit for length in range(4) for habit in itertools.product(["empty", "delay"], repeat=length)]


@pytest.mark.parametrize("place", ["gemini", "house"])
def test_an_only_model_that_sends_no_text_or_delays_is_asked_until_it_has_had_its_chances(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer without text is the last one, and so is a delay at the third time."""
    monkeypatch.setattr("kindle_appliance.upstream.delays._LEAST_SECONDS", 0.01)
    is_gemini = place == "gemini"
    delay = Reply.error(503, "UNAVAILABLE", "busy", [retry_info("0s")])
    replies = {name: how.of_gemini if is_gemini else how.of_house for name, how in KINDS.items()}
    replies["delay"] = delay if is_gemini else of_house.error(503, "busy", retry_after="0")
    with (
        FakeGemini() if is_gemini else OpenAIServer() as server,
        closing(Upstream(server.url, LONG, provider=place)) as upstream,
    ):
        for number, habit in enumerate(HABITS):
            rung = Rung(Gemini() if is_gemini else OpenAI(place), Place(upstream, KEY), f"model-{number}")
            server.replies(*(replies[name] for name in (*habit, "answer")), model=rung.model)
            text = "".join(Fallback([rung], Quotas()).ask(QUESTION))
            asked = sum(call.model == rung.model for call in server.calls)
            last = [
                times
                for times, each in enumerate(habit, 1)
                if habit[:times].count("empty") == 2 or (each == "delay" and times == 3)
            ]
            assert (text, asked) == (("", last[0]) if last else ("Because.", len(habit) + 1)), habit


def test_used_up_credit_rules_out_no_model_that_costs_nothing() -> None:
    with OpenAIServer() as server, closing(Upstream(server.url, LONG, provider="router")) as upstream:
        rungs = [Rung(OpenAI("router"), Place(upstream, KEY), name) for name in ("large", "large:free")]
        no_credit = of_house.error(402, "Insufficient credits.")
        server.replies(no_credit, of_house.answer("Because."))
        generation = Fallback(rungs, Quotas()).ask(QUESTION)
        assert "".join(generation) == "Because." and generation.ending is not None
        assert [str(each.why).partition(".")[0] for each in generation.ending.passed] == [
            "The credit at router is used up"
        ]
        server.replies(no_credit, of_house.error(429, "free-models-per-day", retry_after="3600"))
        generation = Fallback(rungs, Quotas()).ask(QUESTION)
        assert "".join(generation) == "" and generation.ending is not None
        assert generation.ending.back_at > time.time(), "tomorrow the free one answers again"
        server.replies(no_credit, of_house.NO_MODEL)
        generation = Fallback(rungs, Quotas()).ask(QUESTION)
        assert "".join(generation) == "" and isinstance(generation.error, CreditUsedUp)


def test_a_router_hides_none_of_the_models_that_have_answered_under_its_name() -> None:
    with OpenAIServer() as server, closing(Upstream(server.url, LONG, provider="router")) as upstream:
        rungs = [Rung(OpenAI("router"), Place(upstream, KEY), name) for name in ("any-free", "llama:free")]
        fallback = Fallback(rungs, Quotas())
        server.replies(of_house.answer("One.", model="llama:free"), KINDS["busy"].of_house, of_house.answer("Two."))
        assert ["".join(fallback.ask(QUESTION)) for _ in range(2)] == ["One.", "Two."]
        assert [call.model for call in server.calls] == ["any-free", "any-free", "llama:free"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["gemini", "house"])
def test_a_silent_model_is_the_last_and_the_next_place_is_offered(first: str) -> None:
    """It may be thinking still, and thoughts are billed; the reader can have the next one asked."""
    clocks = Clocks(connect=SOON, first_byte=1, progress=1)
    with FakeGemini() as gemini, OpenAIServer() as server, ExitStack() as stops:
        silent = Reply([], ending="stall")
        gemini.default, server.default = (
            (silent, of_house.answer("Because.")) if first == "gemini" else (Reply.answer("Because."), silent)
        )
        upstreams = [Upstream(each.url, clocks, provider="it") for each in (gemini, server)]
        for upstream in upstreams:
            stops.callback(upstream.close)
        rungs = [Rung(Gemini(), Place(upstreams[0]), "flash"), Rung(OpenAI("pc"), Place(upstreams[1]), "small")]
        fallback = Fallback(rungs if first == "gemini" else rungs[::-1], Quotas(), clocks.first_byte)
        generation = fallback.ask(QUESTION)
        assert "".join(generation) == "" and isinstance(generation.error, UpstreamSilent)
        assert generation.ending is not None and generation.ending.next_rung == 1
        assert len(gemini.calls) + len(server.calls) == 1
        following = fallback.ask(QUESTION, first=1)
        assert "".join(following) == "Because." and following.ending is not None
        assert [str(each.why) for each in following.ending.passed] == ["It had not answered before."]


def test_what_was_passed_over_and_when_a_quota_is_back_outlive_a_restart(places: Places, tmp_path: Path) -> None:
    models = [Asked("gemini", "flash", "quota"), Asked("house", "small", "quota"), Asked("house", "tiny", "answer")]
    with House("http://127.0.0.1:1", tmp_path, rungs=places.rungs(models)) as house:
        house.ask("Why?")
        answer = house.desk.find(1)
        assert answer is not None and answer.wait_for_end(SOON)
    with House("http://127.0.0.1:1", tmp_path, rungs=places.rungs(models[:2])) as house:
        turn = house.chats.find_turn(1, 1)
        assert turn is not None and turn.ending is not None and turn.ending.model == "tiny"
        assert [each.model for each in turn.ending.passed] == ["flash", "small"]
        assert all(str(each.why).startswith("Its free questions are used up until ") for each in turn.ending.passed)
        house.ask("And now?")
        answer = house.desk.find(2)
        assert answer is not None and answer.wait_for_end(SOON) and answer.ending is not None
        assert time.time() < answer.ending.back_at <= time.time() + 3600, "the house's is back first"
        assert places.asked == [], "both are known to be out"
