"""Computers of the house that are off, or still loading their model: who is asked instead, what is waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from conftest import unavailable
from fakes.calls import LONG, SOON, Open
from fakes.gemini import FakeGemini, Reply, refusing_url
from fakes.json_lines import JsonLines, answer, refusal
from fakes.network_namespace import without_network
from fakes.rungs import gemini_rungs

from kindle_appliance.conversation import Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import ComputerAway, ModelLoading
from kindle_appliance.upstream.call import Call, Clocks, Upstream
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.quotas import AWAY_SECONDS, Quotas
from kindle_appliance.upstream.rung import Place, Rung
from kindle_appliance.upstream.waiting import Waiting

pytestmark = pytest.mark.usefixtures("nothing_leaks")

QUESTION = Question("Why?")
BUSY = Reply.error(503, "UNAVAILABLE", "overloaded")


class Counted(Upstream):
    """Counts how often it is asked for a connection."""

    calls = 0

    def call(self) -> Call:
        self.calls += 1
        return super().call()


@pytest.fixture
def shed() -> Iterator[FakeGemini]:
    """A model server on a computer of the house."""
    with FakeGemini() as server:
        yield server


@pytest.fixture
def flash(gemini: FakeGemini, open_upstream: Open) -> Rung:
    """A model on the internet."""
    return gemini_rungs(open_upstream(gemini.url), ["flash"])[0]


@contextmanager
def at_home(url: str, models: str = "small", clocks: Clocks = LONG) -> Iterator[list[Rung]]:
    """Rungs of a server of the house at `url`."""
    upstream = Counted(url, clocks, provider=JsonLines.provider, is_at_home=True)
    try:
        yield [Rung(JsonLines(), Place(upstream), model) for model in models.split()]
    finally:
        upstream.close()


@contextmanager
def port_that_hangs() -> Iterator[str]:
    """A base URL whose port takes no further connection and refuses none: the backlog of its socket is full, so the
    kernel drops what comes (listen(2)).
    """
    with ExitStack() as opened:
        silent = opened.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def said(generation: Generation) -> str:
    text = "".join(generation)
    assert generation.ending is not None
    return text


def calls(rung: Rung) -> int:
    assert isinstance(rung.place.upstream, Counted)
    return rung.place.upstream.calls


def passed(generation: Generation) -> list[tuple[str, str]]:
    assert generation.ending is not None
    return [(model, str(why)) for model, why in generation.ending.passed]


# Away


def test_a_computer_that_is_off_is_skipped_for_a_minute_with_all_its_models(
    gemini: FakeGemini, flash: Rung
) -> None:
    ticks = [0.0]
    gemini.default = Reply.answer("Because.")
    with refusing_url() as url, at_home(url, "small tiny") as rungs:
        fallback = Fallback([*rungs, flash], Quotas(ticks=lambda: ticks[0]))
        for moment, asked in ((0.0, 1), (1.0, 1), (AWAY_SECONDS - 1, 1), (AWAY_SECONDS + 1, 2)):
            ticks[0] = moment
            generation = fallback.ask(QUESTION)
            assert said(generation) == "Because."
            assert calls(rungs[0]) == asked
            assert passed(generation) == [(name, "The shed was not reached.") for name in ("small", "tiny")]
            assert generation.ending is not None and (generation.ending.model, generation.ending.rung) == (
                "flash",
                2,
            )


def test_a_computer_that_was_off_is_asked_if_no_other_can_answer(
    gemini: FakeGemini, flash: Rung, shed: FakeGemini
) -> None:
    gemini.default = BUSY
    shed.default = answer("I am back.")
    quotas = Quotas(ticks=lambda: 0.0)
    with at_home(shed.url) as rungs:
        quotas.set_away(rungs[0].place)
        fallback = Fallback([*rungs, flash], quotas)
        for _ in range(2):
            assert said(fallback.ask(QUESTION)) == "I am back."
        assert len(gemini.calls) == 1, "it has answered, so it is the first choice again"


@pytest.mark.parametrize("is_home", [True, False])
def test_what_is_said_of_a_server_that_is_not_reached_depends_on_where_it_is(
    open_upstream: Open, is_home: bool
) -> None:
    with refusing_url() as url, at_home(url) as rungs:
        asked = rungs if is_home else gemini_rungs(open_upstream(url), ["flash"])
        generation = Fallback(asked, Quotas()).ask(QUESTION)
        assert said(generation) == "" and isinstance(generation.error, ComputerAway) == is_home
        ending = generation.ending
        assert ending is not None and ("Is that computer on" in str(ending.note)) == is_home
        assert ("internet" in str(ending.note)) != is_home


@pytest.mark.slow
def test_a_connection_in_the_house_is_not_waited_for_as_long_as_one_to_the_internet() -> None:
    with port_that_hangs() as url, at_home(url, clocks=Clocks(connect=SOON, first_byte=60)) as rungs:
        start = time.monotonic()
        generation = Fallback(rungs, Quotas()).ask(QUESTION)
        assert said(generation) == "" and isinstance(generation.error, ComputerAway)
        assert time.monotonic() - start < SOON / 2


def test_without_a_network_a_computer_of_the_house_is_away() -> None:
    def ask() -> Generation:
        with at_home("http://192.168.1.20:8080") as rungs:
            generation = Fallback(rungs, Quotas()).ask(QUESTION)
            assert said(generation) == ""
            return generation

    try:
        generation = without_network(ask)
    except PermissionError:
        unavailable("only root may make a network namespace")
    assert isinstance(generation.error, ComputerAway) and "unreachable" in generation.error.detail


def test_a_place_whose_key_is_refused_is_not_away(gemini: FakeGemini, flash: Rung, shed: FakeGemini) -> None:
    shed.replies(refusal(401), answer("With the right one."))
    gemini.default = Reply.answer("Because.")
    with at_home(shed.url) as rungs:
        fallback = Fallback([*rungs, flash], Quotas())
        assert [said(fallback.ask(QUESTION)) for _ in range(2)] == ["Because.", "With the right one."]


def test_an_unknown_model_of_a_house_is_asked_for_again_at_once(
    gemini: FakeGemini, flash: Rung, shed: FakeGemini
) -> None:
    shed.replies(refusal(404), answer("Pulled."))
    gemini.default = Reply.answer("Because.")
    with at_home(shed.url) as rungs:
        fallback = Fallback([*rungs, flash], Quotas())
        first = fallback.ask(QUESTION)
        assert said(first) == "Because." and passed(first) == [("small", "The shed does not have it.")]
        assert said(fallback.ask(QUESTION)) == "Pulled."


# Loading


def test_a_model_that_is_being_loaded_is_waited_for_if_no_other_answers(
    gemini: FakeGemini, flash: Rung, shed: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.delays._LEAST_SECONDS", 0.1)
    gemini.default = BUSY
    shed.replies(*[refusal(425, Again_In="0.1")] * 5, answer("At last."))
    told: list[Waiting] = []
    with at_home(shed.url) as rungs:
        fallback = Fallback([*rungs, flash], Quotas())
        assert said(fallback.ask(QUESTION, told.append)) == "At last."
    assert len(shed.calls) == 6, "more often than a busy server"
    assert len(gemini.calls) == 1
    states = list(dict.fromkeys(str(waiting.sentence()) for waiting in told))
    assert states == [
        "small is thinking ...",
        "flash is thinking ...",
        "small is being loaded on its computer ...",
    ], "the page says nothing else meanwhile"
    assert str(told[-1].sentence(10)) == "small is thinking, 10 s ...", "a request that lasts is an answer"


def test_while_a_model_is_being_loaded_the_next_one_answers(
    gemini: FakeGemini, flash: Rung, shed: FakeGemini
) -> None:
    shed.replies(refusal(425))
    gemini.default = Reply.answer("Because.")
    with at_home(shed.url) as rungs:
        generation = Fallback([*rungs, flash], Quotas()).ask(QUESTION)
        assert said(generation) == "Because."
        assert passed(generation) == [("small", "It was still being loaded.")]


def test_readers_are_told_how_long_a_model_has_been_loading() -> None:
    assert [str(Waiting("small", 3, True, loading).sentence()) for loading in (0.1, 9.9, 10.2, 38.0)] == [
        "small is being loaded on its computer ...",
        "small is being loaded on its computer ...",
        "small is being loaded on its computer, 10 s ...",
        "small is being loaded on its computer, 30 s ...",
    ]


@pytest.mark.slow
def test_the_waiting_for_a_model_that_is_never_loaded_is_bounded(
    shed: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.delays._MOST_LOADING_SECONDS", 2.5)
    shed.default = refusal(425, Again_In="0.1")
    with at_home(shed.url) as rungs:
        generation = Fallback(rungs, Quotas()).ask(QUESTION)
        assert said(generation) == "" and isinstance(generation.error, ModelLoading)
    assert len(shed.calls) == 3


def test_a_busy_server_does_not_end_the_waiting_for_one_that_loads(
    gemini: FakeGemini, flash: Rung, shed: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.delays._LEAST_SECONDS", 0.1)
    gemini.default = Reply.error(429, "RESOURCE_EXHAUSTED", "Please retry in 0.1s")
    shed.replies(*[refusal(425, Again_In="0.1")] * 4, answer("At last."))
    with at_home(shed.url) as rungs:
        fallback = Fallback([flash, *rungs], Quotas())
        assert said(fallback.ask(QUESTION)) == "At last."
    assert len(gemini.calls) == 3, "as often as a busy one is asked at most"


def test_stop_ends_the_waiting_for_a_model_that_loads(shed: FakeGemini) -> None:
    shed.default = refusal(425)
    told = threading.Event()
    with at_home(shed.url) as rungs, ThreadPoolExecutor(1) as pool:
        generation = Fallback(rungs, Quotas()).ask(QUESTION, lambda each: told.set() if each.is_delay else None)
        text = pool.submit("".join, generation)
        assert told.wait(SOON)
        generation.cancel()
        assert text.result(SOON) == ""
    assert generation.ending is not None and generation.ending.finish is Finish.STOPPED
    assert len(shed.calls) == 1
