"""Models of small contexts: what each rung of a list gets of a long chat, and what happens if it is too much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.calls import LONG, Open
from fakes.gemini import FakeGemini, Reply
from fakes.openai import TOO_LONG, OpenAIServer, answer
from fakes.rungs import gemini_rungs

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.errors import ContextExceeded
from kindle_appliance.settings import SYSTEM_INSTRUCTION
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.openai import OpenAI
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Limits, Place, Rung
from kindle_appliance.upstream.tokens import estimate

pytestmark = pytest.mark.usefixtures("nothing_leaks")

OPTIONS = GenerationOptions(max_output_tokens=8192)
CHAT = tuple(
    Message(role, f"{number}. " + "Salt comes from rocks. " * 40)
    for number in range(10)
    for role in ("user", "model")
)
QUESTION = Question("And why is rain not salty?", CHAT, SYSTEM_INSTRUCTION)


@pytest.fixture
def place(server: OpenAIServer) -> Iterator[Place]:
    upstream = Upstream(server.url, LONG, provider="pc.local", is_at_home=True)
    yield Place(upstream)
    upstream.close()


def rung(place: Place, context: int | None, model: str = "small") -> Rung:
    return Rung(OpenAI("pc.local"), place, model, OPTIONS, Limits(24_000, context))


def sent(body: dict[str, object]) -> int:
    """The tokens of a request's messages, estimated."""
    messages = body["messages"]
    assert isinstance(messages, list)
    return sum(estimate(message["content"]) for message in messages)


def test_each_model_gets_what_its_own_context_holds(
    gemini: FakeGemini, open_upstream: Open, server: OpenAIServer, place: Place
) -> None:
    gemini.default = Reply.error(503, "UNAVAILABLE", "overloaded")
    server.replies(Reply(status=503), Reply(status=503), answer("Because."))
    rungs = [rung(place, 4096), rung(place, 256, "tiny"), rung(place, None, "large")]
    fallback = Fallback([*gemini_rungs(open_upstream(gemini.url), ["flash"]), *rungs], Quotas())
    assert "".join(fallback.ask(QUESTION)) == "Because."
    whole = len(CHAT) + 1
    assert len(gemini.calls[0].json["contents"]) == whole, "the small ones take nothing from it"
    small, tiny, large = (call.json for call in server.calls)
    assert 1024 < sent(small) <= 2048 and small["max_tokens"] == 2048
    assert small["messages"][0]["content"] == SYSTEM_INSTRUCTION
    assert sent(tiny) <= 128 and tiny["max_tokens"] == 128
    rules = tiny["messages"][0]["content"]
    assert 0 < estimate(rules) <= 32 and rules.endswith(".") and SYSTEM_INSTRUCTION.startswith(rules)
    assert len(large["messages"]) == whole + 1 and large["max_tokens"] == 8192
    assert {body["messages"][-1]["content"] for body in (small, tiny, large)} == {QUESTION.text}


def test_a_context_that_is_exceeded_all_the_same_is_cut_once_more_and_then_the_next_model_is_asked(
    gemini: FakeGemini, open_upstream: Open, server: OpenAIServer, place: Place
) -> None:
    server.default = TOO_LONG
    gemini.default = Reply.answer("Because.")
    fallback = Fallback([rung(place, 8192), *gemini_rungs(open_upstream(gemini.url), ["flash"])], Quotas())
    generation = fallback.ask(QUESTION)
    assert "".join(generation) == "Because."
    first, second = (call.json for call in server.calls)
    assert (first["max_tokens"], second["max_tokens"]) == (4096, 1024), "half of what is set, and of what is told"
    assert 512 < sent(second) <= 1024 < sent(first)
    assert second["messages"][0]["content"] == SYSTEM_INSTRUCTION, "of which there was little"
    assert len(gemini.calls[0].json["contents"]) == len(CHAT) + 1, "another model gets all again"
    assert generation.ending is not None
    assert [str(each.why) for each in generation.ending.passed] == ["This chat is too long for it."]


def test_a_chat_that_no_model_takes_is_told(server: OpenAIServer, place: Place) -> None:
    server.default = TOO_LONG
    generation = Fallback([rung(place, 4096)], Quotas()).ask(QUESTION)
    assert "".join(generation) == "" and isinstance(generation.error, ContextExceeded)
    assert len(server.calls) == 2
    assert generation.ending is not None
    assert str(generation.ending.note) == "This chat has become too long for pc.local. Please begin a new one."


def test_a_question_that_is_too_long_by_itself_is_told_so_also_in_a_long_chat(
    server: OpenAIServer, place: Place
) -> None:
    """A new chat would not help."""
    server.default = TOO_LONG
    text = "Why is the sea salty? " * 1000
    generation = Fallback([rung(place, 4096)], Quotas()).ask(Question(text, CHAT, SYSTEM_INSTRUCTION))
    assert "".join(generation) == "" and isinstance(generation.error, ContextExceeded)
    roles = [[message["role"] for message in call.json["messages"]] for call in server.calls]
    assert roles[-1] == ["system", "user"], "nothing of the chat goes along"
    assert generation.ending is not None
    assert str(generation.ending.note) == "This question is too long for pc.local. Please shorten it."
