"""Stored answers: set once for all their readers, kept within a bound, and gone when their chat is deleted."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Iterator

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House, answered

from kindle_appliance.answers.answer import Answer
from kindle_appliance.answers.stored import StoredAnswers
from kindle_appliance.answers.turns import Turns
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.typesetting.typesetter import Block, Typesetter

COMPLETE = Ending(Finish.COMPLETE, model="model-a")
FORMS = itertools.count()


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All text that is typeset."""
    fed, feed = list[str](), Typesetter.feed

    def counted(typesetter: Typesetter, text: str) -> list[Block]:
        fed.append(text)
        return feed(typesetter, text)

    monkeypatch.setattr(Typesetter, "feed", counted)
    yield fed


def store(chats: Chats, text: str) -> int:
    turn, _ = chats.ask("Why?", None, str(next(FORMS)))
    chats.store_ending(turn.id, text, COMPLETE)
    return turn.id


def read(answer: Answer | None) -> str:
    assert answer is not None
    news = answer.follow().now(30)
    assert news.ending == COMPLETE
    return "".join(block.html for block in news.blocks)


def test_an_answer_that_is_opened_again_is_not_set_again(chats: Chats, fed: list[str]) -> None:
    stored = StoredAnswers(chats, Turns())
    turn = store(chats, "Some *text*.")
    for _ in range(3):
        assert read(stored.find(turn)) == "<p>Some <em>text</em>.</p>"
        gc.collect()
    assert fed == ["Some *text*."]


def test_an_answer_that_is_only_read_as_text_is_not_kept(chats: Chats, fed: list[str]) -> None:
    stored = StoredAnswers(chats, Turns())
    turn = store(chats, "x" * 1000)
    answer = stored.find(turn)
    assert answer is not None and answer.more_text(0, 0) == ("x" * 1000, COMPLETE)
    gone = weakref.ref(answer)
    del answer
    gc.collect()
    assert gone() is None and stored.size == 0 and fed == []


def test_the_answers_that_were_read_last_are_kept_up_to_a_number_of_bytes(chats: Chats, fed: list[str]) -> None:
    stored = StoredAnswers(chats, Turns(), kept_bytes=10_000)
    turns = [store(chats, f"{number} " + "word " * 300) for number in range(5)]
    for turn in turns:
        read(stored.find(turn))
        read(stored.find(turns[0]))
        assert 0 < stored.size <= 10_000
    assert sum(piece.startswith("0 ") for piece in fed) == 1, "it was used in between, and never set again"
    fed.clear()
    read(stored.find(turns[0]))
    read(stored.find(turns[-1]))
    assert fed == [], "used again and again, and the last one"
    read(stored.find(turns[1]))
    assert fed != [], "the least used one"


def test_the_memory_of_kept_answers_is_about_what_is_counted(chats: Chats) -> None:
    answer = StoredAnswers(chats, Turns()).find(store(chats, "Some *text* in paragraphs.\n\n" * 1000))
    assert answer is not None
    blocks = list[Block]()
    follower = answer.follow()
    while (news := follower.news(5)).ending is None:
        blocks += news.blocks
    blocks += news.blocks
    least = len(answer.text()) + sum(len(block.html) for block in blocks)
    assert len(blocks) == 1000 and least < answer.size < least + 1000 * 300


def test_an_answer_larger_than_the_cache_is_shared_by_its_readers_and_pushes_nothing_out(
    chats: Chats, fed: list[str]
) -> None:
    stored = StoredAnswers(chats, Turns(), kept_bytes=10_000)
    small, large = store(chats, "Small."), store(chats, "Large. " * 3000)
    read(stored.find(small))
    first, second = stored.find(large), stored.find(large)
    assert first is second and read(first) == read(second)
    assert "".join(fed) == "Small." + "Large. " * 3000
    gone = weakref.ref(first)
    del first, second
    gc.collect()
    assert gone() is None
    fed.clear()
    read(stored.find(small))
    assert fed == []


def test_unfinished_and_unknown_answers_are_not_found(chats: Chats) -> None:
    stored = StoredAnswers(chats, Turns())
    turn, _ = chats.ask("Why?", None, "form")
    assert stored.find(turn.id) is None and stored.find(7) is None
    chats.store_ending(turn.id, "Because.", COMPLETE)
    assert read(stored.find(turn.id)) == "<p>Because.</p>"


def test_a_deleted_answer_is_neither_found_nor_kept_even_by_who_is_reading_it(chats: Chats) -> None:
    stored = StoredAnswers(chats, Turns())
    turn = store(chats, "A *secret*.\n\n" * 100)
    answer = stored.find(turn)
    assert answer is not None
    follower = answer.follow()
    chats.delete(1)
    assert stored.find(turn) is None, "also before it is told of the deletion"
    stored.drop()
    while follower.news(5).ending is None:
        pass
    assert stored.size == 0
    gone = weakref.ref(answer)
    del answer, follower
    gc.collect()
    assert gone() is None


def test_an_answer_deleted_while_it_is_looked_for_is_not_kept(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = StoredAnswers(chats, Turns())
    turn = store(chats, "A secret.")
    find = chats.find_turn_by_id

    def find_and_delete(turn: int) -> object:
        found = find(turn)
        chats.delete(1)
        stored.drop()
        return found

    monkeypatch.setattr(chats, "find_turn_by_id", find_and_delete)
    assert stored.find(turn) is None
    assert stored.size == 0 and not stored._known


def test_readers_that_come_at_the_same_moment_share_an_answer(chats: Chats) -> None:
    stored = StoredAnswers(chats, Turns())
    turn = store(chats, "Text. " * 1000)
    together, found = threading.Barrier(16), list[Answer | None]()

    def look() -> None:
        together.wait()
        found.append(stored.find(turn))

    readers = [threading.Thread(target=look) for _ in range(16)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert len(found) == 16 and len(set(found)) == 1 and None not in found


def test_a_page_and_its_events_share_one_setting_and_a_script_needs_none(
    gemini: FakeGemini, house: House, fed: list[str]
) -> None:
    path = answered(gemini, house, "Some *text*.")
    assert house.get("/answers/1?as=text").data == b"Some *text*."
    gemini.replies(Reply.answer("A *script's*."))
    assert house.send("/api/chat", {"message": "x"}).data == b"A *script's*."
    assert fed == []
    for _ in range(2):
        assert "<em>text</em>" in house.get(path).data.decode()
        assert b"<em>text</em>" in house.get("/answers/1?as=events").data
        assert b"<em>text</em>" in house.get("/answers/1?as=events&wait=0").data
    assert fed == ["Some *text*."]
    house.post("/chats/1/delete", {})
    assert house.get(path).status == 404 and house.get("/answers/1?as=events").status == 404
    assert house.desk._stored.size == 0
