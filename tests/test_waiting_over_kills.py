"""Questions that wait, asked by the real program: once and in order, whatever is killed and when."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Soak
from fakes.gemini import OUT, Call, FakeGemini, Reply
from fakes.program import UNLIMITED, Appliance

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

QUESTIONS = 6
SETTINGS = {**UNLIMITED, "KINDLE_APPLIANCE_MODELS": "model-a"}


def question(call: Call) -> str:
    return str(call.json["contents"][-1]["parts"][0]["text"])


def write(call: Call) -> Reply:
    """An answer that takes a moment: long enough to be cut off."""
    threading.Event().wait(0.05)
    return Reply.answer(f"Answer to {question(call)}")


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "data" / "chats.sqlite", timeout=20)) as database:
        return database.execute(query).fetchall()


def make_due(folder: Path) -> None:
    """Let the moment of all that wait have come, as if the appliance had been off until then."""
    with closing(sqlite3.connect(folder / "data" / "chats.sqlite", timeout=20)) as database:
        database.execute("UPDATE waiting SET at = 1600000000")
        database.execute("DELETE FROM quotas")
        database.commit()


def eventually(happens: Callable[[], object], appliance: Appliance) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline, appliance.errors.read_text()
        threading.Event().wait(0.02)


def test_each_that_waits_is_asked_once_and_in_order_over_any_number_of_kills(tmp_path: Path, soak: Soak) -> None:
    chance = random.Random(15)
    kills = asked = cut = 0
    with FakeGemini() as gemini:
        options = ["--data", str(tmp_path / "data"), "--gemini-url", gemini.url]
        for history in range(soak(2, full=30)):
            gemini.default = OUT
            with closing(Appliance(tmp_path, *options, **SETTINGS)) as appliance:
                names = [f"History {history}, question {number}?" for number in range(QUESTIONS)]
                for name in names:
                    appliance.ask(name)
                turns: dict[str, int] = dict(rows(tmp_path, "SELECT question, id FROM turns"))
                order = chance.sample(names, QUESTIONS)
                for name in order:
                    path = f"/answers/{turns[name]}"
                    appliance.get(f"{path}?as=text").read()
                    assert appliance.post(f"{path}/wait", back="").status == 303
                appliance.process.kill()
            make_due(tmp_path)
            before = len(gemini.calls)
            gemini.default = write
            while rows(tmp_path, "SELECT turn FROM waiting"):
                with closing(Appliance(tmp_path, *options, **SETTINGS)) as appliance:
                    if chance.random() < 0.3:
                        eventually(lambda: not rows(tmp_path, "SELECT turn FROM waiting"), appliance)
                    threading.Event().wait(chance.uniform(0, 0.15))
                    appliance.process.kill()
                    kills += 1
            with closing(Appliance(tmp_path, *options, **SETTINGS)) as appliance:
                appliance.get("/chats").read()  # what was cut off has an end now
                calls = [question(call) for call in gemini.calls[before:]]
                assert calls == [name for name in order if name in calls], "in the order in which they were taken"
                assert max(Counter(calls).values()) == 1, "and each once"
                found = rows(tmp_path, "SELECT question, answer, finish FROM turns")
                for name, answer, finish in found[-QUESTIONS:]:
                    if finish == "complete":
                        assert answer == f"Answer to {name}" and name in calls
                        asked += 1
                    else:  # killed after it was opened; its reader is told, and can ask again
                        assert finish == "interrupted"
                        cut += 1
            charged = rows(tmp_path, "SELECT sum(questions) FROM asked")
            assert charged == [((history + 1) * QUESTIONS,)]
    assert asked
    soak.tell(f"waiting: {kills} kills, {asked} questions answered once and in order, {cut} cut off and told so")
