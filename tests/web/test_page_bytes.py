"""The bytes of the pages that a reader opens most. test_reading_routes.py has that of an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.wire import FIRST_FLIGHT, wire_bytes

from kindle_appliance.ending import Ending, Finish

CHATS = 25  # more than a page of the list has
DEMO = (ROOT / "static" / "demo_answers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_first_page_and_the_list_fit_the_first_flight_of_a_connection(
    gemini: FakeGemini, tmp_path: Path, language: str
) -> None:
    with House(gemini.url, tmp_path, is_demo=True) as house:
        first_visit = wire_bytes(house, "/", language)
        questions = re.findall(r"[A-Z][^.!?\n]{40,120}[.!?]", DEMO)[:CHATS]
        for number, question in enumerate(questions):
            turn, _ = house.chats.ask(question, None, f"form-{number}")
            house.chats.store_ending(turn.id, "An answer.", Ending(Finish.COMPLETE, None, "model-a"))
        assert len(house.chats.recent(CHATS)) > 20
        for size in (first_visit, *(wire_bytes(house, path, language) for path in ("/", "/?chat=1", "/chats"))):
            assert size <= FIRST_FLIGHT
