"""The tail of an answer on the wire: how often it is made and sent, to whom, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from conftest import Soak
from fakes.essay import ESSAY, follow_essay, write
from fakes.gemini import FakeGemini, Reply
from fakes.house import Follow, House, begin
from fakes.reader import page_of

from kindle_appliance.answers.answer import SETTING_SECONDS
from kindle_appliance.typesetting.typesetter import Typesetter

_SPEEDS = {100: 4, 40: 6}  # characters a second, and how many times the text's bytes its events may have


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """When each tail was made."""
    times, tail = list[float](), Typesetter.tail

    def counted(typesetter: Typesetter) -> str:
        times.append(time.monotonic())
        return tail(typesetter)

    monkeypatch.setattr(Typesetter, "tail", counted)
    yield times


@pytest.mark.slow
@pytest.mark.parametrize("per_second", _SPEEDS)
def test_the_events_of_an_essay_cost_a_few_times_its_text(
    per_second: int, gemini: FakeGemini, house: House, soak: Soak, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = soak(8, full=1)
    monkeypatch.setattr("kindle_appliance.answers.answer.SETTING_SECONDS", 0.5 / faster)
    follow = follow_essay(house, gemini, per_second, faster)
    tails = [name for name, _ in follow.state.events].count("tail")
    times = len(follow.body) / len(ESSAY.encode())
    soak.tell(f"an essay at {per_second} characters a second: {times:.2f} times its bytes, {tails} tails")
    assert tails > 20 and times <= _SPEEDS[per_second]


@pytest.mark.slow
def test_thirty_followers_that_come_at_different_times_get_the_same_two_tails_a_second(
    gemini: FakeGemini, house: House, made: list[float]
) -> None:
    seconds, followers = 5, 30
    text = (ESSAY * 4)[: 1000 * seconds]
    gemini.replies(Reply(write(text, 1000)))
    house.ask("Why?")

    def follow(number: int) -> Follow:
        time.sleep(0.05 * number)
        with house.at(f"127.0.0.{number + 2}").follow("/answers/1?as=events") as follow:
            follow.read_to_end()  # which counts what its tails keep
        return follow

    with ThreadPoolExecutor(followers) as readers:
        follows = list(readers.map(follow, range(followers)))
    assert 2 * seconds - 2 <= len(made) <= 2 * seconds + 1, "once for all"
    assert min(later - earlier for earlier, later in pairwise(made)) >= SETTING_SECONDS
    for each in follows:
        assert each.state.blocks == page_of(text)
        tails = [value for name, value in each.state.events if name == "tail"]
        assert 2 * seconds - 6 <= len(tails) <= 2 * seconds + 1


def test_no_tail_is_made_when_nobody_follows(gemini: FakeGemini, house: House, made: list[float]) -> None:
    call = begin(house, gemini, "Nobody reads *this* ")
    with house.follow("/answers/1?as=text") as follow:
        for word in ("but ", "its ", "raw ", "text "):
            call.text(word)
            follow.read_until(word)
        assert made == [], "and who reads the raw text needs none"
        with house.follow("/answers/1?as=events") as follower:
            follower.read_until("<em>this</em>")
        assert len(made) == 1
        call.finish("now.")
        follow.read_to_end()


def test_after_a_burst_the_last_text_comes_without_more(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "One ")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("One")
        for word in ("two ", "*three ", "\U00010330\U00010331 ", "four* ", "five "):
            call.text(word)
        while "five" not in follow.state.tail:
            assert follow.read()
        assert follow.state.tail == "<p>One two <em>three \U00010330\U00010331 four</em> five</p>"
        call.finish("six.")
        follow.read_to_end()


def test_a_mistake_in_a_tail_costs_nothing_but_the_tail(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Typesetter, "tail", lambda _: 1 // 0)
    call = begin(house, gemini, "One.\n\nTwo ")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("One.")
        call.text("and three.\n\nFour ")
        follow.read_until("three.")
        call.finish("and five.")
        follow.read_to_end()
    # A reader who comes before the first text is told what is being waited for.
    names = [name for name, _ in follow.state.events if name != "state"]
    assert names == ["block", "block", "block", "end"] and follow.state.blocks[-1] == "<p>Four and five.</p>"
    (logged,) = [record for record in caplog.records if record.name == "kindle_appliance.answers.answer"]
    assert "a mistake while setting a tail" in logged.message and logged.exc_info


def test_after_a_lost_connection_a_tail_is_sent_whole(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "One.\n\nTwo ")
    for path in ("/answers/1?as=events", "/answers/1?as=events&from=6", "/answers/1?as=events&from=8"):
        with house.follow(path) as follow:
            follow.read_until("Two")
        assert [value for name, value in follow.state.events if name == "tail"] == [
            {"keep": 0, "html": "<p>Two</p>"}
        ]
    call.finish("and three.")
