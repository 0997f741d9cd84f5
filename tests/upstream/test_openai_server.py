"""The OpenAI-compatible dialect over real sockets: a question, its answer and its refusals, the list of models."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import openai
from fakes.gemini import Framing, Reply
from fakes.openai import OpenAIServer
from fakes.secrets import KEY

from kindle_appliance.conversation import GenerationOptions, Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import (
    ApplianceError,
    ContextExceeded,
    ModelLoading,
    OwnerError,
    UnknownModel,
    UpstreamUnreachable,
)
from kindle_appliance.options.server_address import ServerAddress
from kindle_appliance.upstream.attempt import Attempt
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.catalogue import fetch_catalogue
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.openai import OpenAI
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung
from kindle_appliance.upstream.trial import find_refusal

CLOCKS = Clocks(connect=10, first_byte=10, progress=10)


@pytest.fixture
def rung(server: OpenAIServer) -> Iterator[Rung]:
    """A model as an owner would set it, by the address that is understood."""
    address = ServerAddress.parse(server.root)
    upstream = Upstream(str(address), CLOCKS, provider=address.name)
    yield Rung(OpenAI(address.name), Place(upstream, KEY), "qwen3:8b", GenerationOptions(max_output_tokens=100))
    upstream.close()


def attempt(rung: Rung) -> Attempt:
    return Attempt(rung, Question("Why?", instruction="Be short."), time.monotonic() + CLOCKS.first_byte)


def test_a_question_goes_to_the_address_with_the_key_and_its_answer_comes_back(
    server: OpenAIServer, rung: Rung
) -> None:
    server.replies(openai.answer("Be", "cause.", thoughts="Hm.", tokens=12))
    asked = attempt(rung)
    assert "".join(asked) == "Because."
    assert asked.ending is not None and (asked.ending.finish, asked.ending.tokens) == (Finish.COMPLETE, 12)
    (call,) = server.calls
    assert (call.method, call.path) == ("POST", "/v1/chat/completions")
    assert {name: value for name, value in call.headers.items() if KEY in value} == {
        "authorization": f"Bearer {KEY}"
    }
    assert call.model == "qwen3:8b" and call.json["messages"][0] == {"role": "system", "content": "Be short."}


def test_each_recorded_stream_comes_out_of_a_socket_as_expected(
    shared: Path, server: OpenAIServer, rung: Rung
) -> None:
    """In pieces of any size, in each framing; all other endings are the business of the dialect's tests."""
    folder, chance = shared / "openai-streams", random.Random("recorded")
    for name, expected in json.loads((folder / "expected.json").read_bytes()).items():
        framing: Framing = chance.choice(["chunked", "length", "close"])
        server.replies(Reply([openai.recorded(shared, name)], framing=framing, piece=chance.randint(200, 5000)))
        asked = attempt(rung)
        assert "".join(asked) == expected["text"], name
        assert asked.ending is not None and asked.ending.tokens == (expected["total_tokens"] or 0), name
        is_refusal = not expected["text"]
        assert (asked.error is not None) == bool(expected["error"]) and asked.is_refusal == is_refusal, name


def test_text_is_passed_on_while_the_answer_is_written(server: OpenAIServer, rung: Rung) -> None:
    gate = threading.Event()
    server.replies(openai.gated("Be", gate, "cause."))
    texts = iter(attempt(rung))
    assert next(texts) == "Be"
    gate.set()
    assert "".join(texts) == "cause."


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (openai.LOADING, ModelLoading),
        (openai.WRONG_KEY, OwnerError),
        (openai.NO_MODEL, UnknownModel),
        (openai.TOO_LONG, ContextExceeded),
        (Reply.redirect("http://elsewhere.invalid/v1/chat/completions"), OwnerError),
    ],
    ids=["loading", "a wrong key", "no such model", "too long", "a redirect"],
)
def test_a_refusal_has_its_meaning(
    server: OpenAIServer, rung: Rung, reply: Reply, kind: type[ApplianceError]
) -> None:
    server.replies(reply)
    asked = attempt(rung)
    assert "".join(asked) == "" and type(asked.error) is kind
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (200, UpstreamUnreachable, "no model server is at this address"),
        (401, OwnerError, "wants a key"),
        (404, UnknownModel, "not as a model server"),
    ],
)
def test_a_web_page_of_a_computer_at_home_is_no_sign_in_page(
    server: OpenAIServer, status: int, kind: type[ApplianceError], words: str
) -> None:
    server.default = Reply.html(status)
    place = Place(Upstream(server.url, CLOCKS, provider="pc.local", is_at_home=True))
    at_home = Rung(OpenAI("pc.local"), place, "small")
    asked = attempt(at_home)
    assert "".join(asked) == ""
    for error in (asked.error, fetch_catalogue(at_home.dialect, place).error, find_refusal(at_home)):
        assert isinstance(error, kind) and words in str(error)
    place.upstream.close()


def test_a_bound_of_the_answer_that_exceeds_the_context_is_asked_for_again_with_a_smaller_one(
    server: OpenAIServer, rung: Rung
) -> None:
    """vLLM refuses it even with the shortest question."""
    told = (
        "'max_tokens' is too large: 8192. This model's maximum context length is 4096 tokens and your request has 9"
    )
    server.replies(openai.error(400, f"{told} input tokens."), openai.answer("Because."))
    asked = replace(rung, options=GenerationOptions(max_output_tokens=8192))
    assert "".join(Fallback([asked], Quotas()).ask(Question("Why?"))) == "Because."
    assert [call.json["max_tokens"] for call in server.calls] == [8192, 2048]


QUOTED = {"error": {"message": "hunter2, is that a key?", "code": 401}}
QUOTES = {
    "as a refusal": openai.refusal(401, QUOTED),
    "with an escape": openai.refusal(401, json.dumps(QUOTED).replace("hunter", r"hunte\u0072").encode()),
    "in the stream": Reply([openai.event(QUOTED)]),
    "in the stream, in pieces": Reply([openai.event(QUOTED)], piece=5),
    "in an event": Reply([b"event: error\n" + openai.event(QUOTED)]),
    "behind text": Reply([openai.chunk("Be"), openai.event(QUOTED)]),
    "at the end of what is logged": openai.refusal(401, {"error": {"message": f"{'x' * 290}hunter2"}}),
}


@pytest.mark.parametrize("reply", QUOTES.values(), ids=QUOTES)
def test_a_key_of_any_form_that_a_server_quotes_is_in_no_error(
    server: OpenAIServer, rung: Rung, reply: Reply
) -> None:
    server.default = reply
    place = Place(rung.place.upstream, "hunter2")
    with_key = replace(rung, place=place)
    asked = attempt(with_key)
    "".join(asked)
    errors = [asked.error, find_refusal(with_key)]
    if reply.status == 401:
        errors.append(fetch_catalogue(rung.dialect, place).error)
    for error in errors:
        assert isinstance(error, OwnerError) and "***" in str(error)
        assert "hunter" not in f"{error!r} {error.sentence} {error.advice}"


def test_the_list_of_models_is_asked_for_with_the_key(server: OpenAIServer, rung: Rung) -> None:
    server.replies(openai.models("qwen3:8b", smollm2=2048), openai.WRONG_KEY)
    catalogue = fetch_catalogue(rung.dialect, rung.place)
    assert (catalogue.models, catalogue.contexts) == (("qwen3:8b", "smollm2"), {"smollm2": 2048})
    assert isinstance(fetch_catalogue(rung.dialect, rung.place).error, OwnerError)
    assert [(call.method, call.path) for call in server.calls] == [("GET", "/v1/models")] * 2
    assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in server.calls)
