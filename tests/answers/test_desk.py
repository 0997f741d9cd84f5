"""The desk: it starts, stops and stores answers, and sends the history with each question."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.filesystem import files_not_larger_than
from fakes.gemini import FakeGemini, Reply, chunk
from fakes.house import House

from kindle_appliance.answers.desk import SAVE_SECONDS
from kindle_appliance.ending import DELETED, Ending, Finish
from kindle_appliance.errors import StorageError
from kindle_appliance.storage.database import Connection
from kindle_appliance.storage.rows import Turn


def test_a_silent_model_is_said_to_be_thinking_and_for_how_long(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.answers.answer.STATE_SECONDS", 1)
    house.ask("Why?")
    gemini.next_call()
    answer = house.desk.find(1)
    assert answer is not None
    follower, said = answer.follow(), list[str]()
    while len(said) < 2:
        said += map(str, follower.news(0.05).states)
    assert said == ["model-a is thinking ...", "model-a is thinking, 1 s ..."]


def test_an_answer_is_written_to_its_end_with_nobody_listening(gemini: FakeGemini, house: House) -> None:
    chat, number = house.ask("Why?")
    call = gemini.next_call()
    call.start()
    call.text("Because")
    call.text(".", finish="STOP", model_version="model-a-001")
    call.end()
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    answer = house.desk.find(turn.id)
    assert answer is not None and answer.wait_for_end(10)
    stored = house.chats.find_turn(chat, number)
    assert stored is not None and stored.answer == "Because."
    assert stored.ending == Ending(Finish.COMPLETE, None, "model-a", 0), "as the owner calls it"


def test_of_a_long_chat_only_as_much_is_read_as_a_model_gets(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = house.chats.ask("Question 1?", None, "1")
    for number in range(2, 101):
        house.chats.ask(f"Question {number}?", first.chat, f"{number}")
    for turn in range(1, 101):
        house.chats.store_ending(turn, f"Answer {turn}." + "x" * 1000, Ending(Finish.COMPLETE))
    read = []
    before = house.chats.turns_before

    def counted(turn: Turn) -> Iterator[Turn]:
        for earlier in before(turn):
            read.append(earlier.number)
            yield earlier

    monkeypatch.setattr(house.chats, "turns_before", counted)
    house.ask("And now?", first.chat)
    call = gemini.next_call()
    sent = [content["parts"][0]["text"][:12].rstrip("?.x") for content in call.json["contents"]]
    assert sent == [*(f"{kind} {n}" for n in range(78, 101) for kind in ("Question", "Answer")), "And now"]
    assert read == list(range(100, 76, -1)), "and the first that does not fit"
    call.play(Reply.answer("Now."))


def test_the_question_is_stored_before_gemini_is_asked(gemini: FakeGemini, house: House, tmp_path: Path) -> None:
    house.ask("Is this kept?")
    call = gemini.next_call()
    with sqlite3.connect(tmp_path / "chats.sqlite") as other:
        assert other.execute("SELECT question, finish FROM turns").fetchall() == [("Is this kept?", None)]
    call.play(Reply.answer("Yes."))


def test_a_reader_who_looks_right_after_the_commit_finds_the_answer_being_written(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asking thread is held where the question is stored and its answer has not begun."""
    stored, goes_on = threading.Event(), threading.Event()
    store = house.chats.ask

    def hold(*arguments: Any) -> tuple[Turn, bool]:
        monkeypatch.undo()  # only the first question is held
        result = store(*arguments)
        stored.set()
        assert goes_on.wait(30)
        return result

    monkeypatch.setattr(house.chats, "ask", hold)
    with ThreadPoolExecutor(1) as asking:
        first = asking.submit(house.ask, "Why?", form="form")
        try:
            assert stored.wait(30)
            assert house.ask("Why?", form="form") == (1, 1), "a second tap leads to the page"
            page = house.get("/chats/1/1").data.decode()
            now = house.get("/answers/1?as=events&wait=0").data.decode()
            listed = house.get("/chats").data.decode()
        finally:
            goes_on.set()
        assert first.result(30) == (1, 1)
    assert "switched off" not in page + now + listed
    assert "event: end" not in now and 'class="reading ended' not in page
    gemini.next_call().play(Reply.answer("Because."))
    assert wait_for_turn(house, 1, 1).finish is Finish.COMPLETE
    assert len(gemini.calls) == 1


def test_a_question_whose_commit_fails_leaves_no_answer_on_the_desk_and_costs_nothing(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path, allowed=(1, 1, 1), ticks=lambda: 0.0) as house:
        log = tmp_path / "chats.sqlite-wal"
        placed = []

        @contextmanager
        def charge(connection: Connection) -> Iterator[None]:
            placed.append(connection.in_transaction)
            yield

        with files_not_larger_than(log.stat().st_size):
            for number in range(3):
                refused = house.post("/ask", {"question": "Why?", "form": f"form-{number}"})
                assert refused.status == 503 and "cannot store" in refused.data.decode()
                with pytest.raises(StorageError):
                    house.desk.ask("Why?", None, "form", "", charge)
        assert placed == [True] * 3, "the commit has failed, not a statement before it"
        assert house.desk.writing == 0 and gemini.calls == []
        assert wait_for_turn(house, *house.ask("Why?")).finish is Finish.COMPLETE
        assert house.post("/ask", {"question": "One more?", "form": "f"}).status == 429


def test_a_question_and_its_count_are_one_transaction_and_a_repeated_form_is_none(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    """Each transaction that changes something is a synchronous write to the card."""
    with House(gemini.url, tmp_path, allowed=(1000, 1000, 1000)) as house:
        commits = []

        def trace(statement: str) -> None:
            if statement == "COMMIT":
                commits.append(house.database._writer.total_changes)

        before = house.database._writer.total_changes
        house.database._writer.set_trace_callback(trace)
        for _ in range(3):
            house.ask("Why?", form="form")
        house.database._writer.set_trace_callback(None)
        assert before < commits[0] == commits[1] == commits[2] and len(commits) == 3
        gemini.next_call().play(Reply.answer("Because."))


def test_growing_text_is_stored_while_it_grows(gemini: FakeGemini, house: House, tmp_path: Path) -> None:
    chat, number = house.ask("Tell me a lot")
    call = gemini.next_call()
    call.start()
    call.text("The first half")
    stored = ""
    waits = threading.Event()
    for _ in range(200):  # at most 10 s; about one is expected
        turn = house.chats.find_turn(chat, number)
        stored = turn.answer if turn else ""
        if stored:
            break
        waits.wait(0.05)
    assert stored == "The first half"
    call.text(" and the second.", finish="STOP")
    call.end()


def test_the_history_has_earlier_turns_without_failed_ones(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("Blue."), Reply.error(401, "UNAUTHENTICATED", "no"), Reply.answer("Rayleigh."))
    ask_in_one_chat(house, "What colour is the sky?", "This fails", "Why?")
    contents = [(each["role"], each["parts"][0]["text"]) for each in gemini.calls[2].json["contents"]]
    assert contents == [("user", "What colour is the sky?"), ("model", "Blue."), ("user", "Why?")]


def test_the_history_keeps_to_its_budget_on_the_page_and_for_scripts(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer("Once upon a time. " * 400)
    with House(gemini.url, tmp_path, history=10_000) as house:
        ask_in_one_chat(house, "Tell me a story", "And another", "And?")
        told = [{"role": "user", "text": "?"}, {"role": "model", "text": "x" * 9_999}]
        house.send("/api/chat", {"message": "And?", "history": [*told, *told]})
    sent = [[each["parts"][0]["text"] for each in call.json["contents"]] for call in gemini.calls]
    assert [len(texts) for texts in sent] == [1, 3, 3, 3]
    assert sent[2][0] == "And another" and sent[2][-1] == "And?"
    assert sent[3] == ["?", "x" * 9_999, "And?"]


def test_the_history_has_no_answer_that_failed_half_way(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply([chunk("Nonsense", "MALFORMED_FUNCTION_CALL")]), Reply.answer("Sense."))
    chat, _ = house.ask("Talk nonsense")
    assert wait_for_turn(house, chat, 1).finish is Finish.FAILED
    house.ask("Talk sense", chat)
    wait_for_turn(house, chat, 2)
    assert [each["parts"][0]["text"] for each in gemini.calls[1].json["contents"]] == ["Talk sense"]


def test_stop_closes_the_connection_to_gemini_and_keeps_the_text(gemini: FakeGemini, house: House) -> None:
    chat, number = house.ask("Count to a million")
    call = gemini.next_call()
    call.start()
    call.text("1, 2, 3")
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    answer = house.desk.find(turn.id)
    assert answer is not None
    while answer.length < 7:
        answer.more_text(answer.length, 5)
    house.desk.stop(turn.id)
    call.wait_gone(5)
    assert answer.wait_for_end(5)
    stored = house.chats.find_turn(chat, number)
    assert stored is not None and stored.ending is not None
    assert (stored.answer, stored.ending.finish) == ("1, 2, 3", Finish.STOPPED)


def test_deleting_a_chat_stops_its_answer_and_forgets_it(gemini: FakeGemini, house: House) -> None:
    kept, _ = house.ask("Keep this")
    chat, number = house.ask("Tell me a secret")
    calls = [gemini.next_call(), gemini.next_call()]
    for call in calls:
        call.start()
        call.text("It is ")
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    with house.follow(f"/answers/{turn.id}?as=events") as follow:
        follow.read_until("It is")
        house.desk.delete(chat)
        follow.read_to_end()
    assert follow.state.end is not None and follow.state.end["note"] == "This chat was deleted."
    assert house.chats.find_turn(chat, number) is None and house.desk.find(turn.id) is None
    (gone,) = [call for call in calls if "secret" in str(call.json)]
    gone.wait_gone(5)
    calls.remove(gone)
    calls[0].text("kept.", finish="STOP")
    calls[0].end()
    assert wait_for_turn(house, kept, 1).finish is Finish.COMPLETE, "the other chat is unchanged"
    assert house.desk.writing == 0


def test_a_chat_that_cannot_be_deleted_goes_on(gemini: FakeGemini, house: House) -> None:
    chat, number = house.ask("Keep this")
    call = gemini.next_call()
    call.start()
    house.database._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        house.desk.delete(chat)
    house.database._writer.execute("PRAGMA query_only = OFF")
    call.text("Kept.", finish="STOP")
    call.end()
    assert wait_for_turn(house, chat, number).finish is Finish.COMPLETE


def test_deletion_ends_even_an_answer_that_does_not_react(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, number = house.ask("Think hard")
    gemini.next_call()
    answer = house.desk.find(1)
    assert answer is not None
    monkeypatch.setattr("kindle_appliance.upstream.fallback.Generation.cancel", lambda generation: None)
    house.desk.delete(chat)
    monkeypatch.undo()
    assert answer.ending is not None and answer.ending.note == DELETED
    assert house.chats.find_turn(chat, number) is None and house.desk.writing == 0


def test_an_unknown_chat_cannot_be_deleted(house: House) -> None:
    with pytest.raises(KeyError):
        house.desk.delete(7)


def test_stop_works_before_the_first_byte(gemini: FakeGemini, house: House) -> None:
    chat, number = house.ask("Think hard")
    call = gemini.next_call()
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    house.desk.stop(turn.id)
    call.wait_gone(5)
    ending = wait_for_turn(house, chat, number)
    assert ending.finish is Finish.STOPPED
    assert len(gemini.calls) == 1, "no other model is asked"


def test_closing_interrupts_and_stores_growing_answers(gemini: FakeGemini, tmp_path: Path) -> None:
    house = House(gemini.url, tmp_path)
    with house:
        chat, number = house.ask("Go on")
        call = gemini.next_call()
        call.start()
        call.text("So far")
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until("So far")
            house.desk.close(5)
            assert follow.read_to_end() == b"So far"
        call.wait_gone(5)
    with house:
        turn = house.chats.find_turn(chat, number)
        assert turn is not None and turn.ending is not None
        assert (turn.answer, turn.ending.finish) == ("So far", Finish.INTERRUPTED)


def test_an_answer_that_cannot_be_stored_stays_readable_and_is_stored_later(
    gemini: FakeGemini, house: House
) -> None:
    chat, number = house.ask("Is the card full?")
    call = gemini.next_call()
    call.start()
    with house.database.write() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    house.database._writer.execute(f"PRAGMA max_page_count = {pages}")
    long = "Yes. " * 4000
    call.text(long, finish="STOP")
    call.end()
    with house.follow("/answers/1?as=text") as follow:
        assert follow.read_to_end().decode() == long
    assert house.get(f"/chats/{chat}/{number}").status == 200
    refused = house.post("/ask", {"question": "x" * 4000, "form": "f"})
    assert refused.status == 503 and "x" * 4000 in refused.data.decode(), "the typed question comes back"
    house.database._writer.execute("PRAGMA max_page_count = 100000")
    ending = wait_for_turn(house, chat, number)
    stored = house.chats.find_turn(chat, number)
    assert stored is not None and stored.answer == long and ending.finish is Finish.COMPLETE


@pytest.mark.slow
def test_a_full_filesystem_does_not_fill_the_log(
    gemini: FakeGemini, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.ask("Is the card full?")
    call = gemini.next_call()
    call.start()
    with house.database.write() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    house.database._writer.execute(f"PRAGMA max_page_count = {pages}")
    call.text("Yes. " * 4000, finish="STOP")
    call.end()
    pause = threading.Event()
    for _ in range(400):
        times = [record.created for record in caplog.records if "cannot store an answer" in record.message]
        if len(times) == 4:
            break
        pause.wait(0.05)
    assert len(times) == 4 and times[3] - times[2] > 2 * SAVE_SECONDS, times


def test_the_space_of_a_deleted_chat_is_given_back_to_the_card(house: House, tmp_path: Path) -> None:
    files = [tmp_path / "chats.sqlite", tmp_path / "chats.sqlite-wal"]
    chats = []
    for number in range(8):
        turn, _ = house.chats.ask("Why?", None, f"form {number}")
        house.chats.store_ending(turn.id, "Ink and paper. " * 40_000, Ending(Finish.COMPLETE))
        chats.append(turn.chat)
    assert sum(file.stat().st_size for file in files) > 5_000_000
    for chat in chats:
        house.desk.delete(chat)
    pause = threading.Event()
    for _ in range(400):
        if sum(file.stat().st_size for file in files) < 400_000:
            break
        pause.wait(0.05)
    else:
        raise AssertionError(files)


def test_a_bug_ends_the_answer_with_a_sentence(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kindle_appliance.upstream.gemini.Gemini.request", lambda *_: 1 / 0)
    answer = house.desk.converse("?", [])
    assert answer.wait_for_end(5)
    assert answer.ending is not None and answer.ending.finish is Finish.FAILED
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_that_gets_no_thread_ends_with_a_sentence(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("answer-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ending = wait_for_turn(house, *house.ask("Why?"))
    assert ending.finish is Finish.FAILED and "too much to do" in str(ending.note)
    assert house.desk.writing == 0 and gemini.calls == []


def test_the_desk_keeps_no_ended_answer_and_no_thread(gemini: FakeGemini, tmp_path: Path) -> None:
    before = threading.active_count()
    with House(gemini.url, tmp_path) as house:
        gemini.default = Reply([chunk("a"), chunk("b", "STOP")])
        for _ in range(8):
            wait_for_turn(house, *house.ask("?"))
        assert house.desk.writing == 0
    assert threading.active_count() <= before + 1, "the fake keeps one of its own"


def ask_in_one_chat(house: House, *questions: str) -> None:
    """Ask one question after the other, each after the end of the answer before it."""
    chat: int | str = ""
    for question in questions:
        chat, number = house.ask(question, chat)
        wait_for_turn(house, chat, number)


def wait_for_turn(house: House, chat: int, number: int) -> Ending:
    """Wait until a turn has ended in the database, and a moment later on the desk."""
    pause = threading.Event()
    for _ in range(400):
        turn = house.chats.find_turn(chat, number)
        if turn is not None and turn.ending is not None:
            answer = house.desk.find(turn.id)
            assert answer is None or answer.wait_for_end(20)
            return turn.ending
        pause.wait(0.05)
    raise AssertionError(f"turn {number} of chat {chat} has not ended")
