"""Readers are told who answers and what leaves the house, for the list of models as it is set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.secrets import KEY

from kindle_appliance.options.entries import parse
from kindle_appliance.owner.answerers import answerers
from kindle_appliance.sentences import CHINESE, ENGLISH
from kindle_appliance.settings import Settings
from kindle_appliance.web.answerers import who_answers
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.pages import Pages

HOME = "qwen3:8b at 192.168.1.20:11434"
SMALL = "gemma3:4b at pc.local"
ROUTER = "some/model:free at https://openrouter.ai/api"
FREE = "With a free key, Google may use questions and answers, and people there may read them."
EARLIER = "with the earlier part of its chat."


def settings(*entries: str, **more: Any) -> Settings:
    return Settings(models=tuple(map(parse, entries)), **more)


@pytest.mark.parametrize(
    ("entries", "more", "expected"),
    [
        ([HOME], {}, "Answers come from qwen3:8b on 192.168.1.20. Nothing leaves your house."),
        (
            [HOME, SMALL, "another:8b at 192.168.1.20:11434"],
            {},
            "Answers come from qwen3:8b and others on 192.168.1.20 or gemma3:4b on pc.local. Nothing leaves your"
            " house.",
        ),
        (
            ["gemini-a", "gemini-b"],
            {"key": KEY},
            f"Answers come from Gemini at Google. Each question goes to Google, {EARLIER} {FREE}",
        ),
        (
            [HOME, "gemini-a"],
            {"key": KEY},
            "Answers come from qwen3:8b on 192.168.1.20 or Gemini at Google. What the model in your house cannot"
            f" answer goes to Google, {EARLIER} {FREE}",
        ),
        (
            ["gemini-a", ROUTER, HOME],
            {"key": KEY},
            "Answers come from Gemini at Google or some/model:free at openrouter.ai or qwen3:8b on 192.168.1.20."
            f" Each question goes to Google or openrouter.ai, {EARLIER} {FREE}"
            " The terms of openrouter.ai say what is done with it there.",
        ),
        ([HOME, "gemini-a"], {}, "Answers come from qwen3:8b on 192.168.1.20. Nothing leaves your house."),
        (
            ["gpt-oss:120b-cloud at pc.local"],
            {},
            f"Answers come from gpt-oss:120b-cloud at ollama.com. Each question goes to ollama.com, {EARLIER}"
            " The terms of ollama.com say what is done with it there.",
        ),
        (
            ["gemini-a"],
            {"key": KEY, "gemini_url": "http://127.0.0.1:9"},
            "Answers come from Gemini on this appliance. Nothing leaves your house.",
        ),
        (
            ["small at localhost:8080", "smaller at 127.0.0.1", HOME],
            {},
            "Answers come from small and others on this appliance or qwen3:8b on 192.168.1.20. Nothing leaves your"
            " house.",
        ),
        (["gemini-a"], {}, "The answers are the appliance's own examples. Nothing leaves your house."),
        ([HOME], {"demo": True}, "The answers are the appliance's own examples. Nothing leaves your house."),
    ],
)
def test_what_leaves_the_house_is_told_for_the_list_as_it_is_set(
    entries: list[str], more: dict[str, Any], expected: str
) -> None:
    listed = answerers(settings(*entries, **more))
    assert who_answers(listed, ENGLISH) == expected
    chinese = who_answers(listed, CHINESE)
    assert not re.search(r"[，。：、] | [，。：、]|[一-龥] [一-龥]", chinese), "a space that Chinese has not"
    assert ("内容不会传到家外面。" in chinese) == ("Nothing leaves" in expected)


def test_the_first_visit_and_a_page_of_its_own_tell_it(gemini: FakeGemini, tmp_path: Path) -> None:
    listed = answerers(settings(HOME, "gemini-a", key=KEY))
    with House(gemini.url, tmp_path, pages=Pages(Layout(False), answerers=listed)) as house:
        told = who_answers(listed, ENGLISH)
        assert told in house.get("/").data.decode()
        again = house.get("/", Cookie="device=a-kindle").data.decode()
        assert told not in again and 'href="/about"' in again, "it is one tap away from then on"
        assert 'href="/about"' in house.get("/chats").data.decode()
        about = house.get("/about").data.decode()
        assert told in about and about.index("qwen3:8b<small>192.168.1.20") < about.index("gemini-a<small>Google")
        assert "回答来自" in house.get("/about", Accept_Language="zh-CN").data.decode()
        assert house.post("/look", {"look": "40", "back": "/about"}).headers["Location"] == "/about#look"
