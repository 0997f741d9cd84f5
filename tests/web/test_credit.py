"""Below an answer stands who wrote it, as the owner calls it, and one tap away why it was not the first choice: on
the page that follows it, on the stored one, in both languages, and without script.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fakes import openai
from fakes.gemini import FakeGemini, Reply, chunk, quota_failure
from fakes.house import House
from fakes.openai import OpenAIServer
from fakes.rungs import listed

from kindle_appliance.ending import Ending, Finish, Passed
from kindle_appliance.sentences import Sentence
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.web.credit import answered_by, why_not

PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
OUT = Reply.error(429, "RESOURCE_EXHAUSTED", "enough", [quota_failure(PER_DAY)])
CLOCKS = Clocks(connect=5, first_byte=30, progress=30)
WHY = Sentence("It had a problem.")


def test_the_page_says_who_answered_and_why_not_the_first_choice(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = OUT
    with OpenAIServer() as server:
        server.default = openai.answer("Because.", model="/models/some-file.gguf")
        rungs = listed("gemini-a", f"qwen3:8b at {server.url}", clocks=CLOCKS, gemini_url=gemini.url)
        with House(gemini.url, tmp_path, rungs=rungs) as house:
            house.ask("Why?")
            with house.follow("/answers/1?as=events") as follow:
                follow.read_to_end()
            assert follow.state.end == {
                "finish": "complete",
                "note": "",
                "model": "qwen3:8b",
                "by": "Answered by qwen3:8b.",
                "why": "Why not gemini-a?",
            }
            page = house.get("/chats/1/1").data.decode()
            assert "some-file" not in page
            link = re.search(
                r'<p class="by"><span id="by">([^<]*)</span> *<a href="([^"]*)" id="why">([^<]*)<', page
            )
            assert link and link.groups() == ("Answered by qwen3:8b.", "/chats/1/1/why", "Why not gemini-a?")
            why = house.get(link[2]).data.decode()
            assert "gemini-a<small>Its free questions are used up until " in why and 'href="/chats/1/1"' in why

            chinese = house.get("/chats/1/1", Accept_Language="zh-CN").data.decode()
            assert "这是 qwen3:8b 的回答。" in chinese and "为什么不是 gemini-a？" in chinese
            assert "gemini-a<small>" in house.get(link[2], Accept_Language="zh-CN").data.decode()


def test_an_answer_of_the_first_choice_names_it_and_asks_no_why(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("Because."))
    house.ask("Why?")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    assert follow.state.end and follow.state.end["by"] == "Answered by model-a." and "why" not in follow.state.end
    page = house.get("/chats/1/1").data.decode()
    assert "Answered by model-a." in page and 'id="why"' not in page
    assert "Answered by model-a." in house.get("/chats/1/1/why").data.decode()


def test_an_answer_that_is_being_written_has_no_why_yet(gemini: FakeGemini, house: House) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    response = house.get("/chats/1/1/why")
    assert (response.status, response.headers["Location"]) == (303, "/chats/1/1")
    assert '<span id="by"></span> <a id="why"></a>' in house.get("/chats/1/1").data.decode(), (
        "no link without words"
    )
    assert house.get("/chats/1/2/why").status == house.get("/chats/7/1/why").status == 404
    call.start()
    call.finish("Because.")


def test_who_wrote_nothing_is_no_author_and_who_was_cut_is(gemini: FakeGemini, tmp_path: Path) -> None:
    """Two refuse, and Stop comes before the third's first word; then the rules cut the answer of the first."""
    with House(gemini.url, tmp_path, models=("model-a", "model-b", "model-c")) as house:
        gemini.replies(Reply.error(404, "NOT_FOUND", "retired"), Reply.error(404, "NOT_FOUND", "retired"))
        house.ask("Why?")
        assert gemini.next_call().model == "model-c"
        house.post("/answers/1/stop", {})
        stopped = house.get("/chats/1/1").data.decode()
        assert "You stopped this answer." in stopped and "Answered by" not in stopped
        assert "Answered by" not in house.get("/answers/1?as=events").data.decode()

        gemini.replies(Reply([chunk("Half of it"), chunk(None, "SAFETY")]), Reply([chunk(None, "SAFETY")]))
        for turn, is_written in ((2, True), (3, False)):
            path = "/chats/{}/{}".format(*house.ask("And this?"))
            with house.follow(f"/answers/{turn}?as=events") as follow:
                follow.read_to_end()
            assert follow.state.end and follow.state.end["finish"] == "blocked"
            assert follow.state.end.get("by", "").startswith("Answered by model-") == is_written
            assert ("Answered by model-" in house.get(path).data.decode()) == is_written


@pytest.mark.parametrize("finish", Finish)
def test_only_what_was_answered_has_an_author_and_one_failure_is_told_once(finish: Finish) -> None:
    one, two = (Passed("a", WHY),), (Passed("a", WHY), Passed("b", WHY))
    assert (answered_by(Ending(finish, model="c")) is not None) == (finish is not Finish.FAILED)
    assert answered_by(Ending(finish)) is None, "nobody knows who"
    assert why_not(Ending(finish)) is why_not(Ending(finish, passed=one)) is None
    assert str(why_not(Ending(finish, rung=1, passed=one))) == "Why not a?"
    assert str(why_not(Ending(finish, passed=two))) == "Why not a?"


def test_a_hostile_name_stays_a_name(gemini: FakeGemini, house: House) -> None:
    name = "<script>alert(1)</script>"
    turn, _ = house.chats.ask("Why?", None, "form")
    ending = Ending(Finish.COMPLETE, None, name, 7, 1, passed=(Passed(name, WHY),))
    house.chats.store_ending(turn.id, "Because.", ending)
    for path in ("/chats/1/1", "/chats/1/1/why"):
        assert name not in house.get(path).data.decode()
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    assert json.dumps(name)[1:-1] in json.dumps(follow.state.end)
