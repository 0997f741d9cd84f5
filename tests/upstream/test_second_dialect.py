"""A second dialect at its own place, alone and mixed with Gemini, through fallback, desk, page and doctor.

It needs no change outside its module: no code behind the protocol knows a provider.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes import json_lines
from fakes.gemini import FakeGemini, Reply, error_info, quota_failure
from fakes.house import House
from fakes.json_lines import JsonLines, answer, line, refusal
from fakes.rungs import gemini_rungs
from fakes.secrets import KEY

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.ending import Finish
from kindle_appliance.owner.doctor import Patient, Verdict, examine
from kindle_appliance.settings import Settings
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.catalogue import fetch_catalogue
from kindle_appliance.upstream.dialect import Dialect, OptionError
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Limits, Place, Rung

CLOCKS = Clocks(connect=10, first_byte=10, progress=10)
PER_DAY = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
USED_UP = Reply.error(429, "RESOURCE_EXHAUSTED", "quota", [PER_DAY])
WRONG_KEY = Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", [error_info("API_KEY_INVALID")])

OpenHouse = Callable[..., House]


@pytest.fixture
def shed() -> Iterator[FakeGemini]:
    """The server of the second place. It sends what the test scripts: here, lines of JSON."""
    with FakeGemini() as server:
        yield server


@pytest.fixture
def upstreams(gemini: FakeGemini, shed: FakeGemini) -> Iterator[tuple[Upstream, Upstream]]:
    pair = Upstream(gemini.url, CLOCKS, provider="Gemini"), Upstream(shed.url, CLOCKS, provider=JsonLines.provider)
    yield pair
    for upstream in pair:
        upstream.close()


@pytest.fixture
def of_gemini(upstreams: tuple[Upstream, Upstream]) -> Rung:
    return gemini_rungs(upstreams[0], ["large"])[0]


@pytest.fixture
def of_shed(upstreams: tuple[Upstream, Upstream]) -> Rung:
    dialect: Dialect = JsonLines()
    return Rung(dialect, Place(upstreams[1], "a-token"), "large", GenerationOptions(temperature=0.5))


@pytest.fixture
def open_house(gemini: FakeGemini, tmp_path: Path) -> Iterator[OpenHouse]:
    """Starts the appliance with a list of rungs."""
    with ExitStack() as stops:
        yield lambda *rungs: stops.enter_context(House(gemini.url, tmp_path, rungs=rungs))


def read(house: House, question: str = "Why?") -> tuple[str, dict[str, str]]:
    """Ask on the page, and follow the answer to its end. Return the page of the turn and the `end` event."""
    chat, number = house.ask(question)
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    assert follow.state.end is not None
    return house.get(f"/chats/{chat}/{number}").data.decode(), follow.state.end


def test_its_answer_is_read_on_the_page_like_any_other(
    shed: FakeGemini, of_shed: Rung, open_house: OpenHouse
) -> None:
    house = open_house(of_shed)
    shed.replies(answer("Be", "cause *so*."), answer("Again."))
    page, end = read(house)
    assert "<p>Because <em>so</em>.</p>" in page
    assert end == {"finish": "complete", "note": "", "model": "large", "by": "Answered by large."}
    house.ask("And now?", chat=1)
    first, second = shed.wait_for_calls(2)
    assert (first.method, first.path, first.headers["token"]) == ("POST", "/write", "a-token")
    assert first.json == {"model": "large", "said": [["user", "Why?"]], "rules": "", "warmth": 0.5}
    assert second.json["said"] == [["user", "Why?"], ["model", "Because *so*."], ["user", "And now?"]]


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (answer("Much.", end="long"), "length"),
        (answer("Well ...", end="refused"), "blocked"),
        (Reply([line(text="Half an")]), "interrupted"),
        (Reply([line(thoughts=3)]), "failed"),
        (Reply([line(text="Half an")], ending="reset"), "interrupted"),
    ],
    ids=["too long", "refused", "no end", "no text", "reset"],
)
def test_its_endings_are_the_endings_of_every_answer(
    shed: FakeGemini, of_shed: Rung, open_house: OpenHouse, reply: Reply, finish: str
) -> None:
    shed.default = reply
    assert read(open_house(of_shed))[1]["finish"] == finish


def test_stop_closes_its_connection(shed: FakeGemini, of_shed: Rung, open_house: OpenHouse) -> None:
    house = open_house(of_shed)
    chat, number = house.ask("Why?")
    call = shed.next_call()
    call.start()
    call.send(line(text="One two"))
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("One two")
        house.post("/answers/1/stop", {})
        call.wait_gone()
    assert "You stopped this answer." in house.get(f"/chats/{chat}/{number}").data.decode()


def test_the_sentence_for_a_silent_model_names_it(shed: FakeGemini, of_shed: Rung, open_house: OpenHouse) -> None:
    house = open_house(of_shed)
    house.ask("Why?")
    call = shed.next_call()
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until(f"{of_shed.model} is thinking ...")
        call.start()
        call.send(line(end="done"))
        call.end()


NOT_BY_GEMINI = {
    "used up": USED_UP,
    "busy": Reply.error(503, "UNAVAILABLE", "overloaded"),
    "unknown": Reply.error(404, "NOT_FOUND", "retired"),
    "a wrong key": WRONG_KEY,
}
NOT_BY_THE_SHED = {
    "used up": refusal(429, Until=f"{time.time() + 3600}"),
    "busy": refusal(429),
    "unknown": refusal(404),
    "too long for it": refusal(413),
    "loading": refusal(425),
    "a wrong token": refusal(401),
    "in trouble": refusal(500),
}


@pytest.mark.parametrize("reply", NOT_BY_GEMINI.values(), ids=NOT_BY_GEMINI)
def test_it_answers_where_gemini_cannot(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, open_house: OpenHouse, reply: Reply
) -> None:
    gemini.replies(reply)
    shed.replies(answer("Because."))
    page, end = read(open_house(of_gemini, of_shed))
    assert "Because." in page
    assert end["by"] == "Answered by large." and end["why"] == "Why not large?"


@pytest.mark.parametrize("reply", NOT_BY_THE_SHED.values(), ids=NOT_BY_THE_SHED)
def test_gemini_answers_where_it_cannot(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, open_house: OpenHouse, reply: Reply
) -> None:
    shed.replies(reply)
    gemini.replies(Reply.answer("Because."))
    page, end = read(open_house(of_shed, of_gemini))
    assert "Because." in page
    assert end["by"] == "Answered by large." and end["why"] == "Why not large?"


def test_a_refused_key_rules_out_its_own_place_only(
    gemini: FakeGemini, shed: FakeGemini, upstreams: tuple[Upstream, Upstream], of_shed: Rung, open_house: OpenHouse
) -> None:
    gemini.default = WRONG_KEY
    shed.replies(answer("Because."))
    first, third = gemini_rungs(upstreams[0], ["large", "small"])
    assert "Because." in read(open_house(first, third, of_shed))[0]
    assert [call.model for call in gemini.calls] == ["large"], "the other model has the same key"


def test_when_no_place_answers_the_most_promising_failure_is_reported(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, open_house: OpenHouse
) -> None:
    gemini.default = Reply.error(503, "UNAVAILABLE", "overloaded")
    shed.default = refusal(404)
    _, end = read(open_house(of_gemini, of_shed))
    assert end["note"] == "Gemini has too much to do at the moment. Please ask again in a few minutes."


@pytest.mark.slow
def test_a_short_retry_delay_of_either_place_is_waited_for(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, open_house: OpenHouse
) -> None:
    gemini.replies(USED_UP)
    shed.replies(refusal(429, Again_In="0.5"), answer("At last."))
    house = open_house(of_gemini, of_shed)
    house.ask("Why?")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until(f"Too many questions at once for {of_shed.model}. It is asked again in 1 s ...")
        follow.read_to_end()
    assert follow.state.end is not None and follow.state.end["finish"] == "complete"
    assert len(gemini.calls) == 1 and len(shed.calls) == 2


def test_a_quota_belongs_to_a_place_and_its_model_and_outlives_a_restart(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, open_house: OpenHouse
) -> None:
    """Both places call their model "large"."""
    gemini.replies(USED_UP)
    shed.replies(answer("One."), answer("Two."), refusal(429, Until=f"{time.time() + 60}"))
    house = open_house(of_gemini, of_shed)
    assert "One." in read(house)[0]
    house.stop()
    house.start()
    house.ask("And now?", chat=1)
    assert house.desk.find(2).wait_for_end(10)  # type: ignore[union-attr]
    house.ask("And then?", chat=1)
    ending = house.desk.find(3)
    assert ending is not None and ending.wait_for_end(10) and ending.ending is not None
    assert ending.ending.finish is Finish.FAILED
    words = str(ending.ending.note)
    assert re.fullmatch(
        r"The shed's free questions for today are used up\. New questions from \d\d:\d\d (today|tomorrow)\.", words
    ), "its quota is reset first"
    assert len(gemini.calls) == 1 and len(shed.calls) == 3


def test_each_rung_gets_as_much_history_as_its_limit_allows(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, upstreams: tuple[Upstream, Upstream]
) -> None:
    small = Rung(JsonLines(), Place(upstreams[1]), "small", limits=Limits(history_characters=10))
    gemini.replies(Reply.error(503, "UNAVAILABLE", "overloaded"))
    shed.replies(answer("Because."))
    history = tuple(
        message for number in "12" for message in (Message("user", number * 4), Message("model", number * 4))
    )
    assert "".join(Fallback([of_gemini, small], Quotas()).ask(Question("Why?", history))) == "Because."
    assert len(gemini.calls[0].json["contents"]) == 5
    assert shed.calls[0].json["said"] == [["user", "2222"], ["model", "2222"], ["user", "Why?"]]


def test_its_catalogue_and_its_options_are_its_own(shed: FakeGemini, of_shed: Rung) -> None:
    shed.replies(Reply([b'{"tools": ["large", "spade"]}'], framing="length"), refusal(401), Reply([b"[]"]))
    fetched = [fetch_catalogue(of_shed.dialect, of_shed.place) for _ in range(3)]
    assert fetched[0].models == ("large", "spade")
    assert fetched[1].error is not None and fetched[1].error.sentence == json_lines.WRONG_TOKEN
    assert str(fetched[2].error) == "The shed sent something that the appliance cannot read. (no list of tools)"
    with pytest.raises(OptionError) as refused:
        of_shed.dialect.check_options(GenerationOptions(thinking_level="high"))
    assert refused.value.options == ("thinking_level",)


def test_the_doctor_asks_each_place(
    gemini: FakeGemini, shed: FakeGemini, of_gemini: Rung, of_shed: Rung, tmp_path: Path
) -> None:
    gemini.replies(Reply.models("large"))
    shed.replies(Reply([b'{"tools": ["spade"]}'], framing="length"))
    settings = Settings("127.0.0.1", key=KEY)
    patient = Patient("0.0.0", settings, tmp_path, [of_gemini, of_shed], None, True, "127.0.0.1", lambda name: ())
    keys = [finding for finding in examine(patient) if finding.subject == "key"]
    assert [(finding.verdict, finding.text) for finding in keys] == [
        (Verdict.OK, "Gemini accepts it and offers 1 model, all of the settings among them."),
        (Verdict.FAILURE, "The shed accepts it and offers 1 model, but not large."),
    ]
