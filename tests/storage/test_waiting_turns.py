"""The questions that wait for a quota: which may, in which order, how many, and what the card has of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import ReaderError
from kindle_appliance.sentences import Sentence
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Connection, Database
from kindle_appliance.storage.rows import Turn
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.terms import Query
from kindle_appliance.storage.waiting import MOST_TIMES, MOST_WAITING, WaitingTurn

NOW = 1_800_000_000.0
BACK = NOW + 3600
OUT = Ending(Finish.FAILED, Sentence("Used up."), back_at=BACK)


@pytest.fixture
def chats(database: Database, monkeypatch: pytest.MonkeyPatch) -> Chats:
    monkeypatch.setattr("kindle_appliance.clock.shown", lambda: NOW)
    return Chats(database)


def failed(chats: Chats, question: str = "Why?", chat: int | None = None, ending: Ending = OUT) -> Turn:
    """A turn that has ended so without text."""
    number = len(chats.recent(100)) + chats.count_turns(chat or 0)
    turn, _ = chats.ask(question, chat, f"{question} {number}")
    chats.store_ending(turn.id, "", ending)
    return turn


def begin(chats: Chats, turn: int) -> Turn | None:
    return chats.waiting.reopen(turn, lambda connection, turn: nullcontext())


def order(chats: Chats) -> list[int]:
    return [each.turn for each in chats.waiting.all()]


def test_they_wait_in_the_order_in_which_they_were_taken_until_their_quota_is_back(chats: Chats) -> None:
    first, second, third = (failed(chats, question).id for question in "ABC")
    for turn in (second, third, first, second):  # the last is a second tap
        assert chats.waiting.let_wait(turn)
    assert order(chats) == [second, third, first]
    assert {(each.at, each.said, each.times) for each in chats.waiting.all()} == {(BACK, NOW, 0)}
    chats.waiting.withdraw(third)
    assert order(chats) == [second, first]
    assert chats.waiting.let_wait(third) and order(chats) == [second, first, third]
    assert chats.waiting.find(third) == WaitingTurn(third, 3, BACK, NOW, 4, 0, 1)
    assert {chat: each.turn for chat, each in chats.waiting.by_chat().items()} == {1: first, 2: second, 3: third}


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("", Ending(Finish.FAILED)),
        ("", Ending(Finish.STOPPED, back_at=BACK)),
        ("Half", Ending(Finish.INTERRUPTED)),
        ("All.", Ending(Finish.COMPLETE)),
        ("", None),
    ],
)
def test_only_a_question_that_has_met_used_up_quotas_can_wait(
    chats: Chats, text: str, ending: Ending | None
) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    if ending:
        chats.store_ending(turn.id, text, ending)
    assert not chats.waiting.let_wait(turn.id) and not chats.waiting.let_wait(99)
    assert order(chats) == [] and chats.waiting.find(turn.id) is None


def test_so_many_wait_at_most_and_the_next_one_is_told(chats: Chats) -> None:
    turns = [failed(chats, f"Question {number}").id for number in range(MOST_WAITING + 1)]
    for turn in turns[:-1]:
        assert chats.waiting.let_wait(turn)
    with pytest.raises(ReaderError, match="20 questions wait already") as refused:
        chats.waiting.let_wait(turns[-1])
    assert refused.value.status == 409 and order(chats) == turns[:-1]
    assert chats.waiting.let_wait(turns[0]), "one that waits already is no new one"
    chats.waiting.withdraw(turns[3])
    assert chats.waiting.let_wait(turns[-1])


def test_one_is_opened_again_once_and_begins_as_a_new_turn_does(chats: Chats) -> None:
    turn = failed(chats, ending=Ending(Finish.FAILED, Sentence("Out."), "model-a", 7, 1, 2, back_at=BACK))
    chats.waiting.let_wait(turn.id)
    opened = begin(chats, turn.id)
    assert opened == chats.find_turn(turn.chat, turn.number) == turn, "as it was when it was asked"
    assert order(chats) == [] and begin(chats, turn.id) is None
    assert not chats.waiting.let_wait(turn.id), "it is being answered"
    chats.store_ending(turn.id, "Because.", Ending(Finish.COMPLETE, None, "model-a", 9))
    stored = chats.find_turn(turn.chat, turn.number)
    assert stored and stored.answer == "Because."
    assert stored.ending == Ending(Finish.COMPLETE, None, "model-a", 9)


def test_one_whose_answer_cannot_begin_goes_on_waiting(chats: Chats) -> None:
    turn = failed(chats)
    chats.waiting.let_wait(turn.id)

    @contextmanager
    def refuse(connection: Connection, turn: Turn) -> Iterator[None]:
        raise RuntimeError
        yield

    with pytest.raises(RuntimeError):
        chats.waiting.reopen(turn.id, refuse)
    assert order(chats) == [turn.id] and chats.find_turn_by_id(turn.id).ending == OUT  # type: ignore[union-attr]


def test_one_that_was_cut_off_by_a_crash_says_so_and_is_not_asked_again(chats: Chats) -> None:
    turn = failed(chats)
    chats.waiting.let_wait(turn.id)
    begin(chats, turn.id)
    assert chats.interrupt_unfinished() == 1 and order(chats) == []
    stored = chats.find_turn_by_id(turn.id)
    assert stored and stored.ending and stored.ending.finish is Finish.INTERRUPTED


def test_one_that_meets_a_used_up_quota_again_waits_before_the_others_and_not_for_ever(chats: Chats) -> None:
    first, second = failed(chats, "A"), failed(chats, "B")
    for turn in (first, second):
        chats.waiting.let_wait(turn.id)
    for times in range(1, MOST_TIMES + 2):
        waits = chats.waiting.find(first.id)
        assert waits is not None and order(chats) == [first.id, second.id]
        begin(chats, first.id)
        chats.store_ending(first.id, "", OUT, waits.again(BACK + times))
    assert order(chats) == [second.id]
    assert chats.waiting.let_wait(first.id), "a reader can let it wait once more"
    assert WaitingTurn(1, 1, 0.0).again(NOW - 5).at == NOW + 60, "never at once: each time is a write to the card"


def test_one_is_due_at_its_moment_and_when_the_clock_was_set_back_far_behind_it() -> None:
    waits = WaitingTurn(1, 1, BACK, NOW)
    assert not waits.is_due(BACK - 1) and waits.is_due(BACK)
    assert waits.is_due(BACK + 1e6) and not waits.is_due(NOW - 60) and waits.is_due(NOW - 86400)
    assert not waits.is_due(0.0) and not waits.is_due(9e9), "the time is not known then"
    assert WaitingTurn(1, 1, 0.0).is_due(NOW), "its moment cannot be read"


def test_all_can_be_put_off_and_those_of_a_wrong_clock_too(chats: Chats) -> None:
    early, late, wrong = (failed(chats, question).id for question in "ABC")
    for turn in (early, late, wrong):
        chats.waiting.let_wait(turn)
    with chats._database.write() as connection:
        connection.execute("UPDATE waiting SET at = ? WHERE turn = ?", (BACK + 9000, late))
        connection.execute("UPDATE waiting SET at = 4e9, said = 3.9e9 WHERE turn = ?", (wrong,))
    chats.waiting.postpone(BACK + 7200)
    assert [(each.turn, each.at, each.said) for each in chats.waiting.all()] == [
        (early, BACK + 7200, NOW),
        (late, BACK + 9000, NOW),
        (wrong, BACK + 7200, NOW),
    ]


def test_they_are_gone_with_their_chat_also_when_one_of_them_is_being_asked(chats: Chats) -> None:
    first = failed(chats, "A")
    second = failed(chats, "B", first.chat)
    for turn in (first, second):
        chats.waiting.let_wait(turn.id)
    waits = chats.waiting.find(first.id)
    begin(chats, first.id)
    chats.delete(first.chat)
    assert waits and order(chats) == []
    chats.store_ending(first.id, "", OUT, waits.again(BACK))
    assert order(chats) == [] and begin(chats, second.id) is None


@pytest.mark.parametrize("is_crashed", [False, True])
def test_a_search_finds_what_was_answered_later_and_nothing_of_it_once_it_is_deleted(
    chats: Chats, database: Database, is_crashed: bool
) -> None:
    """The index holds turns in the order of their ids, and each under the words that it had when it was put in."""

    def found(words: str) -> list[int]:
        while chats.index.wake.is_set():
            chats.index.catch_up()
        return [hit.chat.id for hit in chats.search(Query(words), 20).hits]

    turns = [failed(chats, f"Question {number}").id for number in range(20)]
    assert found("question") and database.read("SELECT high FROM search_span")[0][0] >= turns[3]
    chats.waiting.let_wait(turns[3])
    begin(chats, turns[3])
    assert 4 not in found("question")
    if is_crashed:
        chats.interrupt_unfinished()
    else:
        chats.store_ending(turns[3], "A walrus.", Ending(Finish.COMPLETE))
        assert found("walrus") == [4]
    assert 4 in found("question")
    chats.delete(4)
    with database.write() as connection:
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert found("walrus") == [] and 4 not in found("question") and 5 in found("question")
    assert database.read("SELECT rowid FROM words WHERE words MATCH 'walrus'") == []
    assert turns[3] not in [row[0] for row in database.read("SELECT rowid FROM words WHERE words MATCH 'question'")]


def test_a_turn_that_is_opened_again_while_it_is_indexed_has_its_new_words(
    chats: Chats, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [failed(chats, f"Question {number}").id for number in range(10)]
    chats.waiting.let_wait(turns[2])
    write = database.write

    @contextmanager
    def answered_before() -> Iterator[Connection]:
        monkeypatch.setattr(database, "write", write)
        begin(chats, turns[2])
        chats.store_ending(turns[2], "A walrus.", Ending(Finish.COMPLETE))
        with write() as connection:
            yield connection

    monkeypatch.setattr(database, "write", answered_before)
    chats.index.catch_up()
    assert database.read("SELECT high FROM search_span")[0][0] == turns[-1]
    assert [row[0] for row in database.read("SELECT rowid FROM words WHERE words MATCH 'walrus'")] == [turns[2]]


def test_an_earlier_file_gets_the_table_and_one_of_a_stranger_brings_no_more_than_may_wait(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "chats.sqlite", CHATS.at(12))) as database:
        assert not database.read("SELECT 1 FROM sqlite_schema WHERE name = 'waiting'")
    with closing(Database(tmp_path / "chats.sqlite", CHATS)) as database:
        chats = Chats(database)
        turns = [failed(chats, f"Question {number}").id for number in range(30)]
        with database.write() as connection:
            connection.executemany(
                "INSERT INTO waiting VALUES (?, ?, ?, ?, 0)", [(turn, BACK, NOW, 100 - turn) for turn in turns]
            )
        chats.waiting.trim()
        assert order(chats) == turns[:9:-1]
        assert database.read("SELECT count(*) FROM waiting")[0][0] == MOST_WAITING


def test_a_damaged_row_stops_nobody(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "chats.sqlite", CHATS)) as database:
        chats = Chats(database)
        turns = [failed(chats, f"Question {number}").id for number in range(2)]
        answered, _ = chats.ask("Why?", None, "other")
        chats.store_ending(answered.id, "Because.", Ending(Finish.COMPLETE))
        for turn in turns:
            chats.waiting.let_wait(turn)
        with database.write() as connection:
            connection.execute("UPDATE waiting SET at = -1e300, said = 9e300, taken = -5 WHERE turn = ?", turns[:1])
            connection.execute("INSERT INTO waiting VALUES (?, 0, 0, 9, 0)", (answered.id,))
        first = chats.waiting.all()[0]
        assert (first.turn, first.is_due(NOW)) == (turns[0], True)
        assert begin(chats, answered.id) is None and len(order(chats)) == 2, "it needs no answer"
        assert chats.find_turn_by_id(answered.id).answer == "Because."  # type: ignore[union-attr]


def test_letting_wait_is_durable(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "chats.sqlite", CHATS)) as database:
        turn = failed(Chats(database))
        Chats(database).waiting.let_wait(turn.id)
        with closing(sqlite3.connect(tmp_path / "chats.sqlite")) as other:
            assert other.execute("SELECT turn FROM waiting").fetchall() == [(turn.id,)]
