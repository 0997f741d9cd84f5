"""A list of two: a scripted Gemini and llama.cpp's server, each as the first choice. What the first one cannot
answer, the second one does, and the reader sees who it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from browsers.browser import Browser
from browsers.steps import ENDED, ask, says, text_of
from fakes import openai
from fakes.gemini import FakeGemini, Reply, chunk, error_info, quota_failure
from fakes.llama import LlamaServer
from fakes.openai import OpenAIServer

from kindle_appliance.ending import Finish
from kindle_appliance.upstream.call import Clocks

from .conftest import HouseWith
from .steps import MODEL, asked, entry

GEMINI = "gemini-3.8-flash"
SHORT = Clocks(connect=2, first_byte=4, progress=4)
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
OUT = Reply.error(429, "RESOURCE_EXHAUSTED", "enough", [quota_failure(PER_DAY)])
BAD_KEY = Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", [error_info("API_KEY_INVALID")])
EMPTY = Reply([chunk(None, "STOP")])
ANSWER = "Hello from outside."


@pytest.mark.parametrize(
    ("reply", "is_remembered"), [(OUT, True), (BAD_KEY, False), (EMPTY, False)], ids=["quota", "refusal", "empty"]
)
def test_what_gemini_does_not_answer_the_model_at_home_does(
    gemini: FakeGemini, llama: LlamaServer, house_with: HouseWith, reply: Reply, is_remembered: bool
) -> None:
    gemini.default = reply
    house = house_with(GEMINI, entry(llama, 16), gemini_url=gemini.url)
    for _ in range(2):
        answer = asked(house, "Say hi.")
        assert answer.text.startswith("Hello there!")
        assert (answer.ending.model, answer.ending.rung) == (MODEL, 1)
    assert len(gemini.calls) == (1 if is_remembered else 2), "a quota that is used up is not asked for again"


def test_a_gemini_that_is_silent_is_waited_for_and_the_model_at_home_is_asked_by_one_tap(
    browser: Browser, gemini: FakeGemini, llama: LlamaServer, house_with: HouseWith
) -> None:
    gemini.default = Reply(status=None, ending="stall")
    house = house_with(GEMINI, entry(llama, 16), gemini_url=gemini.url, clocks=SHORT)
    ask(browser, house.url, "Say hi.")
    browser.wait_until(says("state", f"{GEMINI} is thinking"))
    browser.wait_until(ENDED, 30)
    browser.click(browser.find("button.anew"))
    browser.wait_until(f"location.pathname === '/chats/1/2' && {ENDED}", 30)
    assert "Hello there!" in text_of(browser, "text")
    assert text_of(browser, "by") == f"Answered by {MODEL}."
    assert text_of(browser, "why") == f"Why not {GEMINI}?"
    assert len(gemini.calls) == 1


def off(llama: LlamaServer) -> None:
    llama.kill()


def wants_a_key(llama: LlamaServer) -> None:
    llama.stop()
    llama.start(api_keys=["another-key"])


def is_small(llama: LlamaServer) -> None:
    llama.stop()
    llama.start(n_ctx=256)


def is_empty(llama: LlamaServer) -> None:
    llama.stop()
    llama.start(grammar='root ::= ""')


@pytest.mark.parametrize(
    ("fail", "why"),
    [
        (off, "was not reached"),
        (wants_a_key, "wants a key"),
        (is_small, "This chat is too long for it."),
        (is_empty, "It sent no answer."),
    ],
)
def test_what_the_model_at_home_does_not_answer_gemini_does(
    gemini: FakeGemini, llama: LlamaServer, house_with: HouseWith, fail: Callable[[LlamaServer], None], why: str
) -> None:
    gemini.default = Reply.answer(ANSWER)
    house = house_with(entry(llama, 16), GEMINI, gemini_url=gemini.url)
    fail(llama)
    answer = asked(house, "Say hi to the captain and the crew of each ship on this list: " + "Anna, Bert, " * 60)
    assert (answer.text, answer.finish) == (ANSWER, Finish.COMPLETE)
    assert (answer.ending.model, answer.ending.rung) == (GEMINI, 1)
    (passed,) = answer.ending.passed
    assert passed.model == MODEL and why in str(passed.why)


def test_a_frozen_model_at_home_is_waited_for_and_gemini_is_asked_by_one_tap(
    browser: Browser, gemini: FakeGemini, llama: LlamaServer, house_with: HouseWith
) -> None:
    gemini.default = Reply.answer(ANSWER)
    house = house_with(entry(llama, 16), GEMINI, gemini_url=gemini.url, clocks=SHORT)
    llama.freeze()
    ask(browser, house.url, "Say hi.")
    browser.wait_until(says("state", f"{MODEL} is thinking"))
    browser.wait_until(ENDED, 30)
    browser.click(browser.find("button.anew"))
    browser.wait_until(f"location.pathname === '/chats/1/2' && {ENDED}", 30)
    assert ANSWER in text_of(browser, "text") and text_of(browser, "by") == f"Answered by {GEMINI}."
    browser.click(browser.find("#why"))
    browser.wait_until("location.pathname === '/chats/1/2/why'")
    assert MODEL in browser.text and "It had not answered before." in browser.text


@pytest.fixture
def service() -> Iterator[OpenAIServer]:
    """A free service with a quota: llama.cpp's server has none."""
    with OpenAIServer() as service:
        service.default = openai.error(429, "Rate limit exceeded: free-models-per-day", Retry_After="40000")
        yield service


def test_a_service_without_quota_left_is_passed_over_for_the_model_at_home(
    llama: LlamaServer, house_with: HouseWith, service: OpenAIServer
) -> None:
    house = house_with(f"small at {service.url}", entry(llama, 16))
    for _ in range(2):
        answer = asked(house, "Say hi.")
        assert answer.text.startswith("Hello there!") and answer.ending.model == MODEL
    assert len(service.calls) == 1
