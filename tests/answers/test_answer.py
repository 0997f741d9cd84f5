"""One answer, followed from any offset while it is written."""

from __future__ import annotations

import random
import threading

from kindle_appliance.answers.answer import START, Answer, Position
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.sentences import Sentence

COMPLETE = Ending(Finish.COMPLETE, model="model-a")
TEXT = (
    "# One\n\nTwo *three*\nfour.\n\n1. five\n1. six\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n"
    "```\ncode\n```\n\n末尾 seven"
)


def read_all(answer: Answer, position: Position = START) -> tuple[list[str], str, Ending | None]:
    """Follow an answer to its end. Return the settled blocks, the raw tail and the ending."""
    blocks: list[str] = []
    tail = ""
    while True:
        news = answer.news(position, 5)
        if news.blocks:
            blocks += [block.html for block in news.blocks]
            tail = ""
        tail += news.text
        position = news.position
        if news.ending:
            return blocks, tail, news.ending


def test_a_reader_gets_only_what_it_does_not_have_yet() -> None:
    answer = Answer()
    answer.append("One.\n\nTw")
    first = answer.news(START, 0)
    assert [block.html for block in first.blocks] == ["<p>One.</p>"] and first.text == "Tw"
    answer.append("o")
    second = answer.news(first.position, 0)
    assert not second.blocks and second.text == "o"
    answer.append(".\n\nThree")
    third = answer.news(second.position, 0)
    assert [block.html for block in third.blocks] == ["<p>Two.</p>"] and third.text == "Three"
    nothing = answer.news(third.position, 0)
    assert not nothing.blocks and not nothing.text and nothing.ending is None


def test_every_reader_ends_with_the_same_page_whenever_it_joins() -> None:
    expected = read_all(Answer.of(TEXT, COMPLETE))
    for seed in range(20):
        assert read_by_three(random.Random(seed)) == [expected] * 3


def read_by_three(chance: random.Random) -> list[tuple[list[str], str, Ending | None]]:
    """Write TEXT in random pieces, with readers that join before it, early and late."""
    answer = Answer()
    results: list[tuple[list[str], str, Ending | None]] = []
    readers = [threading.Thread(target=lambda: results.append(read_all(answer))) for _ in range(3)]
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
    all_blocks, _, _ = read_all(answer)
    upto = [block.upto for block in answer.news(START, 0).blocks]
    for offset in range(len(TEXT) + 50):
        position = answer.position(offset)
        known = sum(1 for end in upto if end <= offset)
        assert position.settled == (upto[known - 1] if known else 0), "offsets round down to the end of a block"
        blocks, tail, ending = read_all(answer, position)
        assert blocks == all_blocks[known:]
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
    reader = threading.Thread(target=lambda: woken.append(answer.news(START, 60).text))
    reader.start()
    answer.append("x")
    reader.join(30)
    assert woken == ["x"], "long before its timeout of a minute"


def test_a_reader_gets_a_state_once_and_its_end_once() -> None:
    answer, waits = Answer(), Sentence("Stop")
    assert answer.news(START, 0).states == ()
    answer.tell((0, waits))
    first = answer.news(START, 5)
    assert first.states == (waits,)
    assert answer.news(first.position, 0).states == ()
    answer.append("x")
    second = answer.news(first.position, 5)
    assert (second.states, second.text) == ((None,), "x")
    assert answer.news(second.position, 0).states == ()
    assert answer.news(START, 0).states == (), "a later reader does not get it"


def test_a_delayed_state_is_sent_after_its_delay() -> None:
    answer, waits = Answer(), Sentence("Stop")
    position = START
    answer.tell((0.2, waits))
    assert answer.news(position, 0).states == (), "not yet"
    while not (news := answer.news(position, 0.05)).states:
        position = news.position
    assert news.states == (waits,)
    answer.append("x")
    assert answer.news(news.position, 5).states == (None,)
