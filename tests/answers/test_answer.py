"""One answer, followed from any offset while it is written."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.answers.answer import Answer, Follower, News, Tail
from kindle_appliance.answers.turns import Turns
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.sentences import Sentence
from kindle_appliance.typesetting.typesetter import Block, Typesetter

COMPLETE = Ending(Finish.COMPLETE, model="model-a")
TEXT = (
    "# One\n\nTwo *three*\nfour.\n\n1. five\n1. six\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n"
    "```\ncode\n```\n\n末尾 seven"
)


def read_all(follower: Follower) -> tuple[list[str], str, Ending | None]:
    """Follow an answer to its end. Return the settled blocks, the tail and the ending."""
    blocks: list[str] = []
    tail = ""
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, "no end"
        news = follower.news(5)
        if news.blocks:
            blocks += [block.html for block in news.blocks]
            tail = ""
        if news.tail:
            assert news.tail.had == tail != news.tail.html
            tail = news.tail.html
        if news.ending:
            return blocks, tail, news.ending


def test_a_reader_gets_only_what_it_does_not_have_yet() -> None:
    answer = Answer()
    answer.append("One.\n\nTwo ")
    follower = answer.follow()
    first = follower.news(0)
    assert [block.html for block in first.blocks] == ["<p>One.</p>"] and first.tail == Tail("<p>Two</p>")
    answer.append("*or* ")
    second = follower.news(5)
    assert not second.blocks and second.tail == Tail("<p>Two <em>or</em></p>", "<p>Two</p>")
    answer.append("so.\n\nThree ")
    third = follower.news(5)
    assert [block.html for block in third.blocks] == ["<p>Two <em>or</em> so.</p>"]
    assert third.tail == Tail("<p>Three</p>"), "after a block it is sent whole"
    nothing = follower.news(0)
    assert is_empty(nothing)


def test_every_reader_ends_with_the_same_page_whenever_it_joins() -> None:
    expected = read_all(Answer.of(TEXT, COMPLETE).follow())
    for seed in range(20):
        assert read_by_three(random.Random(seed)) == [expected] * 3


def read_by_three(chance: random.Random) -> list[tuple[list[str], str, Ending | None]]:
    """Write TEXT in random pieces, with readers that join before it, early and late."""
    answer = Answer()
    results: list[tuple[list[str], str, Ending | None]] = []
    readers = [threading.Thread(target=lambda: results.append(read_all(answer.follow()))) for _ in range(3)]
    for index, reader in enumerate(readers):
        if index:
            answer.append(TEXT[answer.length : answer.length + chance.randrange(20)])
        reader.start()
    while answer.length < len(TEXT):
        answer.append(TEXT[answer.length : answer.length + chance.randrange(1, 30)])
    answer.end(COMPLETE)
    for reader in readers:
        reader.join()
    return results


def test_resuming_from_every_offset_gives_the_rest_of_the_same_page() -> None:
    answer = Answer.of(TEXT, COMPLETE)
    all_blocks, _, _ = read_all(answer.follow())
    upto = [block.upto for block in answer.follow().now(5).blocks]
    for offset in range(len(TEXT) + 50):
        known = sum(1 for end in upto if end <= offset)
        blocks, tail, ending = read_all(answer.follow(offset))
        assert blocks == all_blocks[known:], "offsets round down to the end of a block"
        assert tail == "" and ending == COMPLETE


def test_the_raw_text_from_any_offset_is_the_rest_of_the_text() -> None:
    answer = Answer()
    for character in TEXT:
        answer.append(character)
    assert [answer.text(offset) for offset in range(len(TEXT) + 2)] == [
        TEXT[offset:] for offset in range(len(TEXT) + 2)
    ]


def test_a_waiting_reader_wakes_as_soon_as_there_is_text() -> None:
    answer, woken = Answer(), []
    reader = threading.Thread(target=lambda: woken.append(answer.follow().news(60).tail))
    reader.start()
    answer.append("x ")
    reader.join(30)
    assert woken == [Tail("<p>x</p>")], "long before its timeout of a minute"


def test_a_reader_gets_a_state_once_and_its_end_once() -> None:
    answer, waits = Answer(), Sentence("Stop")
    follower = answer.follow()
    assert follower.news(0).states == ()
    answer.tell(lambda seconds: waits)
    assert follower.news(5).states == (waits,)
    assert follower.news(0).states == ()
    answer.append("x ")
    second = follower.news(5)
    assert (second.states, second.tail) == ((None,), Tail("<p>x</p>"))
    assert follower.news(0).states == ()
    assert answer.follow().news(0).states == (), "a later reader does not get it"


def waits_for(seconds: int) -> Sentence:
    return Sentence("%(count)d question", plural="%(count)d questions", count=seconds)


def test_readers_are_told_in_steps_how_long_they_have_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever they came, and each of them once for a step."""
    moment = 1000.0
    monkeypatch.setattr("kindle_appliance.answers.answer.time.monotonic", lambda: moment)
    answer = Answer()
    answer.tell(waits_for)
    first = answer.follow()
    said: list[Sequence[Sentence | None]] = [first.news(0).states]
    for passed in (9.9, 10, 19.9, 20, 200):
        moment = 1000.0 + passed
        said.append(first.news(0).states)
    assert said == [(waits_for(0),), (), (waits_for(10),), (), (waits_for(20),), (waits_for(200),)]
    assert answer.follow().news(0).states == (waits_for(200),), "as after a reload"
    answer.tell(waits_for)
    assert first.news(0).states == (waits_for(0),), "another model counts from its own beginning"
    answer.append("x ")
    assert first.news(0).states == (None,) and answer.follow().news(0).states == ()


# ---- Nothing wakes a reader twice


GROWTH = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(["x", "\n", "a *b* c\n\n", "- d\n"])),
        st.tuples(st.just("tell"), st.sampled_from(["Stop", "Ask", "Chats"])),
    ),
    max_size=5,
)


@given(growth=GROWTH, offset=st.integers(0, 30))
def test_a_reader_that_has_all_waits_whatever_has_happened_before(
    growth: list[tuple[str, str]], offset: int
) -> None:
    answer = Answer()
    follower, late = answer.follow(), answer.follow(offset)
    for kind, value in growth:
        if kind == "append":
            answer.append(value)
        else:
            answer.tell(lambda seconds, value=value: Sentence(value))  # type: ignore[misc]
        follower.news(0)
    late.news(0)
    time.sleep(QUICK + 0.001)
    follower.news(0)
    late.news(0)
    sent = answer.text(offset)
    assert waits(lambda: is_empty(follower.news(WAIT)))
    assert waits(lambda: is_empty(late.news(WAIT)))
    assert waits(lambda: answer.more_text(offset + len(sent), WAIT) == ("", None))
    assert waits(lambda: not answer.wait_for_text(WAIT)) or answer.length


@pytest.fixture(autouse=True, scope="module")
def quick_settings() -> Iterator[None]:
    """A growing text is set a hundred times as often as by the appliance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kindle_appliance.answers.answer.SETTING_SECONDS", QUICK)
        yield


QUICK = 0.005
WAIT = 0.003  # seconds; the hundred examples take this a few times


def is_empty(news: News) -> bool:
    return not (news.blocks or news.tail or news.ending or news.states)


def waits(read: Callable[[], bool]) -> bool:
    """Whether a reader gets nothing, and has waited for it."""
    start = time.monotonic()
    return read() and time.monotonic() - start >= WAIT


def test_what_is_waited_for_does_not_wake_a_reader_of_text() -> None:
    answer = Answer()
    answer.tell(lambda seconds: Sentence("Stop"))
    assert waits(lambda: answer.more_text(0, WAIT) == ("", None))
    assert waits(lambda: not answer.wait_for_text(WAIT))


def test_text_comes_in_parts_and_the_ending_with_the_last() -> None:
    answer = Answer.of("0123456789" * 20_000, COMPLETE)
    parts, ending = list[str](), None
    while ending is None:
        part, ending = answer.more_text(sum(map(len, parts)), 5)
        assert part and len(part) < 100_000
        parts.append(part)
    assert "".join(parts) == answer.text() and len(parts) > 2


# ---- The tail


def test_text_comes_at_once_then_at_most_twice_a_second_and_the_end_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.SETTING_SECONDS", 0.5)
    answer = Answer()
    follower = answer.follow()
    assert seconds(lambda: answer.append("One ")) + seconds(lambda: follower.news(9)) < 0.3
    times = list[float]()
    for word in ("two ", "three.\n\nFour "):
        answer.append(word)
        answer.append("and ")
        times.append(seconds(lambda: follower.news(9)))
    assert all(0.4 < each < 0.9 for each in times), "also of blocks"
    answer.append("five.")
    assert is_empty(follower.news(0.1)), "it is not due yet"
    end = threading.Timer(0.05, answer.end, [COMPLETE])
    end.start()
    start, news = time.monotonic(), follower.news(9)
    assert news.ending == COMPLETE and time.monotonic() - start < 0.3
    assert news.blocks[-1].html == "<p>Four and five.</p>" and news.tail is None


def seconds(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_who_joins_gets_at_once_what_was_set_for_the_others_and_then_the_same_as_they(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.SETTING_SECONDS", 0.5)
    answer = Answer()
    answer.append("One ")
    first = answer.follow()
    assert first.news(9).tail == Tail("<p>One</p>")
    answer.append("two ")
    second = answer.follow()
    assert second.news(0).tail == Tail("<p>One</p>"), "a text is not set again for each reader"
    time.sleep(0.3)
    third = answer.follow()
    assert third.news(0).tail == Tail("<p>One</p>")
    answer.append("three ")
    now = first.news(9)
    assert now.tail == Tail("<p>One two three</p>", "<p>One</p>")
    answer.append("four ")
    assert second.news(9).tail == now.tail
    start = time.monotonic()
    assert third.news(9).tail == Tail("<p>One two three four</p>", "<p>One</p>"), "half a second after its first"
    assert time.monotonic() - start > 0.3


def test_no_reader_gets_a_tail_of_other_blocks_than_its_own() -> None:
    states, typesetter = set[tuple[int, str]](), Typesetter()
    for character in TEXT:
        typesetter.feed(character)
        states.add((typesetter.blocks[-1].upto if typesetter.blocks else 0, typesetter.tail()))
    shown = [each for seed in range(10) for each in shown_to_four(random.Random(seed))]
    assert set(shown) <= states
    assert len(set(shown)) > 5, "how many depends on the machine"


def shown_to_four(chance: random.Random) -> list[tuple[int, str]]:
    """Write TEXT in random pieces. Return what four pages that followed it have shown."""
    answer, shown = Answer(), list[tuple[int, str]]()
    readers = [threading.Thread(target=lambda: shown.extend(pages(answer.follow()))) for _ in range(4)]
    for reader in readers:
        reader.start()
    while answer.length < len(TEXT):
        answer.append(TEXT[answer.length : answer.length + chance.randrange(1, 9)])
        time.sleep(chance.uniform(0, QUICK))
    answer.end(COMPLETE)
    for reader in readers:
        reader.join()
    return shown


def pages(follower: Follower) -> list[tuple[int, str]]:
    """What a page shows after each piece of news but the last: where its blocks end, and its tail."""
    shown, upto, tail = list[tuple[int, str]](), 0, ""
    while (news := follower.news(5)).ending is None:
        upto = news.blocks[-1].upto if news.blocks else upto
        tail = news.tail.html if news.tail else "" if news.blocks else tail
        shown.append((upto, tail))
    return shown


def test_a_page_keeps_its_tail_until_all_of_the_text_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer()
    answer.append("The first ")
    follower = answer.follow()
    assert follower.news(5).tail == Tail("<p>The first</p>")
    monkeypatch.setattr("kindle_appliance.answers.answer.TURN_SECONDS", 0.0)
    answer.append("word.\n\n" + "A paragraph.\n\n" * 100 + "The last ")
    news = follower.news(5)
    assert news.tail and news.tail.had == "" and news.tail.html.endswith("<p>The last</p>"), "after several turns"
    html = "".join(block.html for block in news.blocks) + news.tail.html
    assert html.count("<p>A paragraph.</p>") == 100 and len(news.blocks) > 80


def test_thirty_two_followers_cost_little_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.SETTING_SECONDS", 0.1)
    one, many = cpu_seconds(1), cpu_seconds(32)
    assert many < 8 * one


def cpu_seconds(followers: int) -> float:
    """What a second of writing costs with so many followers."""
    answer = Answer()
    readers = [threading.Thread(target=lambda: read_all(answer.follow())) for _ in range(followers)]
    for reader in readers:
        reader.start()
    before = time.process_time()
    for number in range(1000):
        answer.append(f"*word* {number}\n\n" if number % 100 == 99 else f"*word* {number} ")
        time.sleep(0.001)
    answer.end(COMPLETE)
    for reader in readers:
        reader.join()
    return time.process_time() - before


# ---- Setting


def test_an_answer_that_nobody_reads_as_blocks_is_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = list[str]()
    monkeypatch.setattr(Typesetter, "feed", lambda _, text: fed.append(text))
    answer = Answer()
    answer.append(TEXT)
    assert answer.wait_for_text(5) and answer.more_text(0, 5) == (TEXT, None)
    answer.end(COMPLETE)
    assert answer.more_text(0, 5) == (TEXT, COMPLETE) and answer.text() == TEXT
    assert fed == []


def test_neither_the_writer_nor_a_reader_of_text_waits_while_blocks_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_setting, go_on = threading.Event(), threading.Event()

    def feed(typesetter: Typesetter, text: str) -> list[object]:
        is_setting.set()
        assert go_on.wait(30)
        return []

    monkeypatch.setattr(Typesetter, "feed", feed)
    answer = Answer()
    answer.append("One.\n\n")
    reader = threading.Thread(target=lambda: answer.follow().news(5))
    reader.start()
    assert is_setting.wait(30)
    answer.append("Two.")
    assert answer.more_text(6, 5) == ("Two.", None)
    assert is_empty(answer.follow().now(0)), "and a page that cannot wait gets what there is"
    answer.end(COMPLETE)
    go_on.set()
    reader.join(30)


def test_forty_readers_at_once_set_an_answer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fed, feed = list[str](), Typesetter.feed

    def counted(typesetter: Typesetter, text: str) -> list[Block]:
        fed.append(text)
        return feed(typesetter, text)

    monkeypatch.setattr(Typesetter, "feed", counted)
    answer = Answer.of(TEXT * 100, COMPLETE)
    found = list[tuple[list[str], str, Ending | None]]()
    readers = [threading.Thread(target=lambda: found.append(read_all(answer.follow()))) for _ in range(40)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert "".join(fed) == TEXT * 100
    assert found == [whole(TEXT * 100)] * 40


def test_a_long_text_is_set_in_turns_and_a_short_one_passes_it() -> None:
    turns = Turns()
    long, short = Answer.of(TEXT * 1000, COMPLETE, turns), Answer.of(TEXT, COMPLETE, turns)
    with turns.take(is_long=True, since=0, timeout=0):
        assert is_empty(long.follow().now(0.05)), "it is another one's turn"
        assert short.follow().now(30).ending == COMPLETE
    follower, count = long.follow(), 0
    while (news := follower.news(5)).ending is None:
        count += bool(news.blocks)
    assert count > 1


def test_a_short_text_that_is_slow_work_lets_others_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.TURN_SECONDS", 0.0)
    turns = Turns()
    slow = Answer.of(TEXT * 40, COMPLETE, turns)
    assert len(slow.text()) < 8192
    with turns.take(is_long=True, since=0, timeout=0):
        assert slow.follow().now(0.2).ending is None
    assert slow.follow().now(30).ending == COMPLETE


def test_a_growing_answer_does_not_wait_for_a_stored_one_even_if_it_is_long() -> None:
    turns = Turns()
    answer = Answer(turns)
    follower = answer.follow()
    with turns.take(is_long=True, since=0, timeout=0):
        settled = 0
        for _ in range(100):
            answer.append(TEXT + "\n\n")
            settled += len(follower.news(5).blocks)
        assert settled > 100
        answer.append("The last. " * 100)
        answer.end(COMPLETE)
        assert read_all(follower)[2] == COMPLETE
        news = follower.news(5)
        assert news.ending == COMPLETE


def test_one_page_gets_no_more_html_than_a_connection_buffers_and_loses_none() -> None:
    answer = Answer.of("A paragraph of *some* words.\n\n" * 8000, COMPLETE)
    assert read_all(answer.follow())[2] == COMPLETE
    first = answer.follow().now(0)
    assert first.ending is None and 200_000 < sum(len(block.html) for block in first.blocks) < 300_000
    rest = answer.follow(first.blocks[-1].upto)
    blocks, _, ending = read_all(rest)
    assert len(first.blocks) + len(blocks) == 8000 and ending == COMPLETE


def test_a_mistake_while_setting_is_raised_and_a_next_reader_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer.of(TEXT, COMPLETE)
    with monkeypatch.context() as broken:
        broken.setattr(Typesetter, "close", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            answer.follow().news(5)
    assert read_all(answer.follow()) == whole(TEXT)


def whole(text: str) -> tuple[list[str], str, Ending | None]:
    """What a reader has at the end, by the typesetter alone."""
    typesetter = Typesetter()
    typesetter.feed(text)
    typesetter.close()
    return [block.html for block in typesetter.blocks], "", COMPLETE
