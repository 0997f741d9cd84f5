"""The stand-in for Gemini: a fitting demo answer for each question, in Gemini's dialect, and a complete close."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.calls import SOON, Open, read_all
from fakes.rungs import gemini_rungs

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import UpstreamUnreachable
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.demo import MODEL, DemoGemini
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.gemini import Gemini, GeminiReader
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.web.templates import STATIC

pytestmark = pytest.mark.usefixtures("nothing_leaks")

DEMO_ANSWERS = STATIC / "demo_answers.md"
QUESTIONS = {
    "prose": "Why is the sea salty?",
    "list": "How do I brew tea?",
    "table": "Compare the inner planets in a table.",
    "code": "Write some Python code for me.",
    "chinese": "海水为什么是咸的？",
    "arabic": "لماذا البحر مالح؟",
}


@pytest.fixture
def demo() -> Iterator[DemoGemini]:
    gemini = DemoGemini(DEMO_ANSWERS, pause=0)
    yield gemini
    gemini.close()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[DemoGemini]:
    """A demo whose answer exceeds every socket buffer, so that writing lasts until a client reads on."""
    demo_answers = tmp_path / "demo_answers.md"
    demo_answers.write_text("<!-- prose -->\n" + "word " * 400_000, encoding="utf-8")
    gemini = DemoGemini(demo_answers, pause=0)
    yield gemini
    gemini.close()


def ask(upstream: Upstream, question: str, *history: Message) -> Generation:
    return Fallback(gemini_rungs(upstream, [MODEL], key=""), Quotas()).ask(Question(question, history))


def demo_answer(name: str) -> str:
    return DEMO_ANSWERS.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")[2].partition("<!-- ")[0]


@pytest.mark.parametrize(
    ("name", "marked", "shown"),
    [
        ("prose", "demo answer", "## Why the sea is salty"),
        ("list", "demo answer", "\n1. Bring"),
        ("table", "demo answer", "\n|:---"),
        ("code", "demo answer", "\n```python\n"),
        ("chinese", "演示回答", "\n- 水"),
        ("arabic", "إجابة تجريبية", "\n- يتبخر"),
    ],
)
def test_each_question_gets_a_fitting_answer_marked_as_a_demo_in_its_language(
    demo: DemoGemini, open_upstream: Open, name: str, marked: str, shown: str
) -> None:
    generation = ask(open_upstream(demo.url), QUESTIONS[name])
    text = "".join(generation)
    assert text == demo_answer(name)
    assert marked in text
    assert shown in text
    ending = generation.ending
    assert ending == Ending(Finish.COMPLETE, None, MODEL, ending.tokens if ending else 0)
    assert ending.tokens > 10


def test_the_last_question_of_a_conversation_counts(demo: DemoGemini, open_upstream: Open) -> None:
    generation = ask(
        open_upstream(demo.url),
        QUESTIONS["list"],
        Message("user", QUESTIONS["table"]),
        Message("model", demo_answer("table")),
    )
    assert "".join(generation) == demo_answer("list")


def test_the_demo_speaks_geminis_dialect(demo: DemoGemini, open_upstream: Open) -> None:
    asked = Gemini().request("any-model", Question(QUESTIONS["chinese"]), GenerationOptions(), "")
    call = open_upstream(demo.url).call()
    assert call.open(asked.path, asked.headers, asked.body, 30) == 200
    body = read_all(call)
    call.close()
    events = body.split(b"\r\n\r\n")
    assert events.pop() == b""
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert len(chunks) > 8  # the answer grows visibly, although Chinese has few spaces to cut at
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * (len(chunks) - 1) + ["STOP"]
    assert {chunk["modelVersion"] for chunk in chunks} == {MODEL}
    totals = [chunk["usageMetadata"]["totalTokenCount"] for chunk in chunks]
    assert totals == sorted(set(totals))
    reader = GeminiReader("any-model")
    assert reader.feed(body) == demo_answer("chinese")
    assert reader.close() == ("", Ending(Finish.COMPLETE, None, MODEL, totals[-1]))


def test_several_readers_are_answered_at_once(demo: DemoGemini, open_upstream: Open) -> None:
    upstream = open_upstream(demo.url)
    generations = {name: iter(ask(upstream, question)) for name, question in QUESTIONS.items()}
    texts = {name: next(generation) for name, generation in generations.items()}
    for name, generation in generations.items():
        assert texts[name] + "".join(generation) == demo_answer(name)


def test_stop_ends_the_writing(
    endless: DemoGemini, open_upstream: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    generation = ask(open_upstream(endless.url), QUESTIONS["prose"])
    pieces = iter(generation)
    assert next(pieces).startswith("word ")
    (writer,) = set(threading.enumerate()) - before
    generation.cancel()
    assert list(pieces) == []
    assert generation.ending is not None
    assert generation.ending.finish is Finish.STOPPED
    writer.join(SOON)
    assert not writer.is_alive()
    assert capsys.readouterr() == ("", "")


def test_closing_ends_every_thread_although_clients_stay_connected(
    demo: DemoGemini, endless: DemoGemini, open_upstream: Open
) -> None:
    before = set(threading.enumerate())
    idle = open_upstream(demo.url)
    assert "".join(ask(idle, QUESTIONS["list"])) == demo_answer("list")
    (kept,) = set(threading.enumerate()) - before  # its connection is idle
    generation = ask(open_upstream(endless.url), QUESTIONS["prose"])
    pieces = iter(generation)
    next(pieces)
    assert kept.is_alive()
    with ThreadPoolExecutor() as closer:
        for gemini in (demo, endless):
            closer.submit(gemini.close).result(SOON)
    assert set(threading.enumerate()) < before
    assert "".join(pieces).startswith("word ")
    assert generation.ending is not None
    assert generation.ending.finish is Finish.INTERRUPTED
    generation = ask(idle, QUESTIONS["list"])
    assert list(generation) == []
    assert isinstance(generation.error, UpstreamUnreachable)
