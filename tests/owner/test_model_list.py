"""`kindle-appliance models`: the list with its states, and how fast each answers, with the real program."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import openai
from fakes.gemini import FakeGemini, Reply, quota_failure, refusing_url
from fakes.installed import Installed
from fakes.openai import OpenAIServer
from fakes.program import run
from fakes.secrets import KEY, SERVER_KEY

from kindle_appliance.options.credentials import file_name
from kindle_appliance.options.entries import Entry
from kindle_appliance.owner.models import open_rungs
from kindle_appliance.owner.pace import count_words
from kindle_appliance.settings import Settings
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.upstream.quotas import Quotas

pytestmark = pytest.mark.timeout(120)

PER_DAY = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
PACE = r"The first word came after \d+\.\d s, (then \d+ words a minute|and the rest with it)\."
Row = list[str]


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def settings(installed: Installed, *models: str, **more: str) -> None:
    values = {"connect_seconds": 5, "models": list(models), **more}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    installed.at.settings.write_text(text)


def place(server: FakeGemini) -> str:
    """A server as the list names it."""
    return re.sub("^http://|/.*", "", server.url)


def rows(printed: str) -> list[Row]:
    head, *lines = printed.splitlines()
    assert head.split() == ["model", "place", "context", "key", "state"]
    return [re.split(" {2,}", line, maxsplit=5) for line in lines]


def test_the_list_tells_place_context_key_and_state_of_each_model(
    installed: Installed, server: OpenAIServer, gemini: FakeGemini
) -> None:
    installed.at.secret("key").write_text(KEY)
    gemini.default = Reply.models("gemini-a", "gemini-b")
    server.default = openai.models("qwen3:8b", "gemma3:latest")
    with refusing_url() as off:
        models = [
            *("gemini-a", "gemini-b", "gemini-retired"),
            f"qwen3:8b at {server.url} context=8192",
            *(f"gemma3 at {server.url}", f"llama at {server.url}", f"qwen3:8b at {off}"),
        ]
        settings(installed, *models, gemini_url=gemini.url)
        with closing(Database(installed.at.state / "chats.sqlite", CHATS)) as database:
            rungs = open_rungs(
                Settings(key=KEY, gemini_url=gemini.url, models=(Entry("gemini-a"), Entry("gemini-b"))), Clocks()
            )
            Quotas(database).set_out(rungs[1], time.time() + 3600)
        status, printed, errors = installed.run("models")
    assert (status, errors) == (0, "")
    found = rows(printed)
    assert [row[0] for row in found] == list("1234567")
    assert found[0][1:] == ["gemini-a", "Gemini", "-", "yes", "ready"]
    assert re.fullmatch(r"used up until \d\d:\d\d (today|tomorrow)", found[1][5])
    assert found[2][5] == "not offered there."
    assert found[3][1:] == ["qwen3:8b", place(server), "8192", "no", "ready"]
    assert found[4][5] == "ready", "Ollama completes a name without a tag"
    assert found[5][5] == "not offered there. With Ollama, there: ollama pull llama"
    assert re.fullmatch(r"The appliance does not reach \S+\. Is that computer on, and does .*", found[6][5])
    assert len(gemini.calls) == len(server.calls) == 1, "each server is asked once"
    assert KEY not in printed


def test_what_lacks_a_key_is_named_with_the_command_for_it(installed: Installed, server: OpenAIServer) -> None:
    server.default = openai.WRONG_KEY
    settings(installed, "gemini-a", f"qwen3:8b at {server.url}")
    status, printed, errors = installed.run("models")
    assert (status, errors) == (1, ""), "none is ready"
    for row, command in zip(rows(printed), ("key", f"key --for {place(server)}"), strict=True):
        assert row[4] == "no" and row[5].endswith(f"sudo kindle-appliance {command}")


def test_without_key_and_server_the_list_says_that_a_demo_answers(tmp_path: Path) -> None:
    status, printed, _ = run(tmp_path, "models", KINDLE_APPLIANCE_MODELS="gemini-a")
    assert status == 1
    assert "no key, so it is not asked: set GEMINI_API_KEY" in printed
    assert printed.endswith(
        "There is no key for Gemini, and no model server: built-in examples answer, and none of these.\n"
        "For a model server: kindle-appliance models add ADDRESS\n"
    )


def test_each_model_is_asked_a_question_and_its_pace_is_told(
    installed: Installed, server: OpenAIServer, gemini: FakeGemini
) -> None:
    installed.at.secret("key").write_text(KEY)
    (installed.at.folder / "keys").mkdir(exist_ok=True)
    (installed.at.folder / "keys" / file_name(place(server))).write_text(SERVER_KEY)
    gemini.default = Reply.error(429, "RESOURCE_EXHAUSTED", "quota", [PER_DAY])
    server.replies(openai.answer("Because of the salt."))
    settings(installed, f"qwen3:8b at {server.url}", "gemini-a", gemini_url=gemini.url)
    status, printed, errors = installed.run("models", "test")
    assert (status, errors) == (1, ""), "one has not answered"
    first, second = printed.splitlines()
    assert re.fullmatch(rf"1  qwen3:8b at {re.escape(place(server))}: {PACE}", first)
    assert re.fullmatch(r"2  gemini-a: Gemini's free questions for today are used up.*", second)
    (asked,) = server.calls
    assert asked.headers["authorization"] == f"Bearer {SERVER_KEY}"
    assert [each["role"] for each in asked.json["messages"]] == ["system", "user"], "as a reader would ask"


def test_the_pace_is_measured_while_the_model_writes_and_it_is_stopped_then(
    installed: Installed, server: OpenAIServer
) -> None:
    """More than sixty words are enough: the rest, which would come at full speed, is not written."""
    settings(installed, f"qwen3:8b at {server.url}")
    written = 0

    def answer() -> Iterator[bytes]:
        nonlocal written
        for written in range(1, 100_000):
            if written < 80:
                time.sleep(0.02)
            yield openai.chunk(f"word{written} ")

    server.default = lambda call: Reply(answer())
    status, printed, _ = installed.run("models", "test")
    assert status == 0
    assert re.search(r"The first word came after \d+\.\d s, then \d+ words a minute\.", printed)
    assert 60 < written < 99_999


@pytest.mark.parametrize(
    "texts",
    [
        ["Because of ", "the salt."],
        ["Be", "cause", " of the", "salt", " ", "\n", "in it."],
        [" ", "one", " ", "two "],
        list("a few words, letter by letter"),
    ],
)
def test_words_are_counted_across_the_pieces_in_which_they_come(texts: list[str]) -> None:
    ends = [" ", *(text[-1] for text in texts)]
    assert sum(map(count_words, ends, texts)) == len("".join(texts).split())
