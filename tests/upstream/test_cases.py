"""Refusals and empty answers that misled version 0.1, from a question over real sockets to its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.calls import Open
from fakes.gemini import FakeGemini, Reply
from fakes.rungs import gemini_rungs

from kindle_appliance.conversation import Question
from kindle_appliance.errors import OwnerError
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.quotas import Quotas

MODELS = ("a", "b", "c")


def answered_by_the_next(generation: Generation, text: str, asked: list[str | None]) -> None:
    assert text == "All well."
    assert asked == ["a", "b"]


def told(words: str) -> Callable[[Generation, str, list[str | None]], None]:
    """Only the owner can mend it, so one model is asked."""

    def check(generation: Generation, text: str, asked: list[str | None]) -> None:
        assert text == "" and asked == ["a"]
        assert isinstance(generation.error, OwnerError) and words in str(generation.error.sentence)

    return check


RIGHT = {
    "400-location.json": told("A VPN or a proxy can be the reason"),
    "400-system-instruction.json": answered_by_the_next,
    "400-thinking-level.json": answered_by_the_next,
    "429-prepay.json": told("The prepaid credit for Gemini is used up"),
    "malformed-function-call.sse": answered_by_the_next,
    "stop-without-text.sse": answered_by_the_next,
}


@pytest.mark.usefixtures("nothing_leaks")
@pytest.mark.parametrize("name", RIGHT)
def test_a_case_that_misled_has_the_right_outcome(
    shared: Path, gemini: FakeGemini, open_upstream: Open, name: str
) -> None:
    body = (shared / "cases" / "upstream" / name).read_bytes()
    is_refusal = name.endswith(".json")
    status, kind = (int(name[:3]), "application/json") if is_refusal else (200, "text/event-stream")
    gemini.replies(Reply([body], status, {"Content-Type": kind}), model="a")
    gemini.default = Reply.answer("All well.")
    generation = Fallback(gemini_rungs(open_upstream(gemini.url), MODELS), Quotas()).ask(Question("Why?"))
    text = "".join(generation)
    RIGHT[name](generation, text, [call.model for call in gemini.calls])


def test_every_case_has_a_right_outcome(shared: Path) -> None:
    cases = {path.name for path in (shared / "cases" / "upstream").iterdir() if path.suffix in (".json", ".sse")}
    assert cases == set(RIGHT)
