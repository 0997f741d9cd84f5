"""The list of models as rungs: each at its place, with that place's key."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.secrets import KEY, SERVER_KEY

from kindle_appliance.conversation import GenerationOptions
from kindle_appliance.options.entries import parse
from kindle_appliance.owner.models import open_rungs
from kindle_appliance.settings import load
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.upstream.catalogue import fetch_catalogue
from kindle_appliance.upstream.rung import Rung

CLOCKS = Clocks(connect=1, first_byte=1, progress=1)


def rungs(models: str, **environment: str) -> list[Rung]:
    """The rungs of a list on one line, with a key for Gemini."""
    settings = load({}, {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_MODELS": models, **environment})
    assert settings.models == tuple(map(parse, models.split(",")))
    found = open_rungs(settings, CLOCKS)
    for rung in found:
        rung.place.upstream.close()
    return found


def test_each_server_gets_its_own_key_and_no_other() -> None:
    keys = f"pc.local:11434={SERVER_KEY}, openrouter.ai=theirs"
    asked = "a at pc.local:11434, b at https://pc.local:11434/v1/, c at openrouter.ai/api, d at pc.local, gemini-1"
    found = rungs(asked, KINDLE_APPLIANCE_KEYS=keys)
    assert {rung.model: rung.place.key for rung in found} == {
        "a": SERVER_KEY,
        "b": SERVER_KEY,
        "c": "theirs",
        "d": "",
        "gemini-1": KEY,
    }


@pytest.mark.parametrize("models", ["a at pc.local, gemini-1", "a at 10.0.0.1:8080"])
def test_a_server_gets_no_key_where_none_is_set(models: str) -> None:
    assert rungs(models)[0].place.key == ""


def test_a_server_in_the_house_is_asked_without_the_proxy_and_one_outside_through_it() -> None:
    """The proxy is told whom to ask; the server in the house hears from nobody else."""
    with FakeGemini() as proxy, FakeGemini() as server:
        for each in (proxy, server):
            each.default = Reply([b'{"data": []}'])
        models = f"a at {server.url}, b at http://203.0.113.9:8080 plain_http=true, gemini-1"
        settings = load({}, {"KINDLE_APPLIANCE_MODELS": models, "KINDLE_APPLIANCE_PROXY": proxy.url})
        for rung in open_rungs(settings, CLOCKS):
            with closing(rung.place.upstream):
                assert fetch_catalogue(rung.dialect, rung.place).error is None
    assert [call.path for call in server.calls] == ["/v1/models"]
    assert [call.path for call in proxy.calls] == ["http://203.0.113.9:8080/v1/models"]


def test_a_server_in_the_house_that_stands_in_for_gemini_is_asked_without_the_proxy() -> None:
    with FakeGemini() as proxy, FakeGemini() as server:
        server.default, proxy.default = Reply.models("gemini-1"), Reply([], 403)
        settings = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_PROXY": proxy.url}
        for url in (server.url, "https://gemini.example"):
            (rung, *_) = open_rungs(load({"gemini_url": url}, settings), CLOCKS)
            with closing(rung.place.upstream):
                assert fetch_catalogue(rung.dialect, rung.place).models == (
                    ("gemini-1",) if url == server.url else ()
                )
    assert len(server.calls) == 1 and [call.path for call in proxy.calls] == ["gemini.example:443"]


def test_an_entrys_own_options_take_the_place_of_those_for_all_models() -> None:
    asked = "gemini-1, gemini-2 thinking_budget=0, gemini-3 temperature=0 max_output_tokens=9, a at pc, b at pc"
    environment = {
        "KINDLE_APPLIANCE_THINKING_LEVEL": "low",
        "KINDLE_APPLIANCE_TEMPERATURE": "0.5",
        "KINDLE_APPLIANCE_MAX_OUTPUT_TOKENS": "99",
    }
    found = {rung.model: rung.options for rung in rungs(f"{asked} thinking_level=high", **environment)}
    assert found == {
        "gemini-1": GenerationOptions(0.5, 99, "low"),
        "gemini-2": GenerationOptions(0.5, 99, None, 0),
        "gemini-3": GenerationOptions(0, 9, "low"),
        "a": GenerationOptions(0.5, 99),
        "b": GenerationOptions(0.5, 99, "high"),
    }


def test_a_budget_for_thinking_from_version_0_1_holds_for_geminis_models_only() -> None:
    found = rungs("a at pc.local, gemini-1", KINDLE_APPLIANCE_THINKING_BUDGET="1024")
    assert [rung.options.thinking_budget for rung in found] == [None, 1024]


def test_the_models_of_one_server_are_at_one_place() -> None:
    found = rungs("a at pc.local, b at http://pc.local/v1, c at pc.local:8080, gemini-1, gemini-2")
    places = [rung.place for rung in found]
    assert places[0] == places[1] != places[2] and places[3] == places[4]


def test_a_model_of_the_house_has_a_small_context_unless_its_owner_says_more() -> None:
    """What it may write follows from that."""
    found = rungs(
        "a at pc.local, b at pc.local context=16384, c at openrouter.ai, d at openrouter.ai context=512, e"
    )
    assert [rung.limits.context for rung in found] == [4096, 16_384, None, 512, None]
    assert [rung.limits.bounded(rung.options).max_output_tokens for rung in found] == [2048, 8192, 8192, 256, 8192]
