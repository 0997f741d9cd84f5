"""Frames: events that the parser of event streams reads back, one line of JSON each."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.answers.answer import Answer, News, Tail
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.sentences import Sentence
from kindle_appliance.typesetting.typesetter import Block
from kindle_appliance.upstream.sse import Event, EventStreamParser
from kindle_appliance.web import frames


def parsed(data: bytes) -> list[Event]:
    return EventStreamParser().feed(data)


def news(blocks: list[Block], tail: str, ending: Ending | None, had: str = "") -> News:
    return News(blocks, Tail(tail, had) if tail != had else None, ending)


def test_blocks_come_first_then_the_tail_behind_them_then_the_end() -> None:
    ending = Ending(
        Finish.INTERRUPTED, Sentence("%(provider)s's answer broke off here.", provider="Gemini"), "model-a"
    )
    events = parsed(frames.events(news([Block("<p>a</p>", 3), Block("<p>b</p>", 6)], "tail", ending), "en"))
    assert [event.event for event in events] == ["block", "block", "tail", "end"]
    assert [event.id for event in events] == ["3", "6", "6", "end"]
    assert [json.loads(event.data) for event in events] == [
        {"html": "<p>a</p>", "upto": 3},
        {"html": "<p>b</p>", "upto": 6},
        {"keep": 0, "html": "tail"},
        {
            "finish": "interrupted",
            "note": "Gemini's answer broke off here.",
            "model": "model-a",
            "by": "Answered by model-a.",
        },
    ]


def test_a_state_is_sent_first_and_its_end_too() -> None:
    thinking = Sentence("%(model)s is thinking, %(seconds)d s ...", model="model-a", seconds=20)
    for states, said in (([thinking], "model-a 正在思考，已经 20 秒……"), ([None], "")):
        first, _ = parsed(frames.events(news([], "tail", None)._replace(states=states), "zh-CN"))
        assert (first.event, json.loads(first.data)) == ("state", said)


def test_the_end_is_said_in_the_readers_language() -> None:
    (event,) = parsed(
        frames.events(news([], "", Ending(Finish.STOPPED, Sentence("You stopped this answer."))), "zh-CN")
    )
    assert json.loads(event.data)["note"] == "您停止了这个回答。"


def test_the_end_names_the_next_model_only_where_one_is_offered() -> None:
    for rung in (0, 3):
        (event,) = parsed(frames.events(news([], "", Ending(Finish.FAILED, next_rung=rung)), "en"))
        assert json.loads(event.data).get("next", 0) == rung and ("next" in json.loads(event.data)) == bool(rung)


def test_no_text_can_break_out_of_its_line() -> None:
    nasty = 'a\nb\r\nc\rd\u2028e\u2029f\x85g\0"\\ data: x\n\nevent: end\n\n'
    (event,) = parsed(frames.events(news([], nasty, None), "en"))
    assert event.event == "tail" and json.loads(event.data) == {"keep": 0, "html": nasty}
    (event,) = parsed(frames.events(news([Block(nasty, 3)], "", None), "en"))
    assert event.event == "block" and json.loads(event.data) == {"html": nasty, "upto": 3}


@given(
    stays=st.text("ab<>\n\u0939\u00e9\u6d77\U0001f30d\U0001f30e", max_size=20),
    had=st.text("a\U0001f30d\U0001f30e\U0001f9d2", max_size=3),
    html=st.text("a\U0001f30d\U0001f30e\U0001f9d2", max_size=3),
)
def test_of_a_tail_only_what_changes_is_sent_and_no_character_by_half(stays: str, had: str, html: str) -> None:
    data = frames.events(news([], stays + html, None, stays + had), "en")
    if had == html:
        assert data == b""
        return
    (event,) = parsed(data)
    change = json.loads(event.data)
    kept, units = (stays + had).encode("utf-16-le"), change["keep"]
    assert kept[: 2 * units].decode("utf-16-le") + change["html"] == stays + html
    assert units >= len(stays.encode("utf-16-le")) // 2, "all that can stay stays"


def test_a_tail_that_vanishes_is_an_event() -> None:
    (event,) = parsed(frames.events(news([], "", None, "<p>a</p>"), "en"))
    assert json.loads(event.data) == {"keep": 0, "html": ""}


def test_without_news_there_are_no_bytes() -> None:
    assert frames.events(news([], "", None), "en") == b""


def test_padding_and_keep_alive_are_comments_and_retry_is_no_event() -> None:
    parser = EventStreamParser()
    assert parser.feed(frames.PADDING + frames.KEEP_ALIVE + frames.retry(2000)) == []
    assert parser.retry == 2000
    assert parser.stray == []
    assert len(frames.PADDING) > 1024


def test_the_events_of_a_whole_answer_rebuild_it() -> None:
    answer = Answer()
    answer.append("# Title\n\nSome *text*.\n\nThe last")
    answer.append(" line")
    now = answer.follow().now(5)
    events = parsed(frames.events(now, "en"))
    html = [json.loads(event.data)["html"] for event in events if event.event == "block"]
    assert html == ['<h1 class="heading" aria-level="2">Title</h1>', "<p>Some <em>text</em>.</p>"]
    assert json.loads(events[-1].data) == {"keep": 0, "html": "<p>The last</p>"}, "up to a whole word"
