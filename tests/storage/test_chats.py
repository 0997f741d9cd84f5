"""Chats and turns: a question is stored once, an answer comes back as it was written, nothing else changes."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.chats import catch_up
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kindle_appliance.ending import Ending, Finish, Passed
from kindle_appliance.sentences import CHINESE, ENGLISH, Moment, Sentence
from kindle_appliance.storage import chats as module
from kindle_appliance.storage.chats import Chats, Piece
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.rows import Turn
from kindle_appliance.storage.schema import CHATS, SUM_UP
from kindle_appliance.storage.terms import Query

COMPLETE = Ending(Finish.COMPLETE, model="gemini-flash-latest", tokens=12)

TEXTS = {
    "NUL": "before\0after",
    "emoji": "👩‍👩‍👧‍👦 🇨🇭 ☺️ \U0010ffff",
    "right to left": "\u202eلماذا البحر مالح؟ \u200fלמה הים מלוח?\u202c",
    "4,000 Han characters": "海水为什么是咸的" * 500,
    "line ends of all kinds": "\n\na\r\nb\rc\u2028d\u2029e\x85f\x0b\x0cg\n",
    "combining": "e\u0301 Å A\u030a \u0958 \ufeff",
    "SQL and formats": '\'; DROP TABLE turns; -- "?" ?1 :a %s %(x)s {} \\0 \\',
    "spaces": "  \t ",
    "nothing": "",
}


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


@pytest.fixture
def form() -> Iterator[str]:
    """One-time form ids; `next` takes one."""
    return (f"form-{number}" for number in count())


def stored(chats: Chats, turn: Turn) -> Turn:
    found = chats.find_turn_by_id(turn.id)
    assert found is not None
    return found


# Asking


def test_a_question_without_a_chat_starts_one_and_is_found_again(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "now", lambda: 1234.5)
    turn, is_new = chats.ask("Why?", None, "form")
    assert is_new
    assert (turn.number, turn.question, turn.asked, turn.answer, turn.ending) == (1, "Why?", 1234.5, "", None)
    assert chats.find_turn_by_id(turn.id) == chats.find_turn(turn.chat, 1) == turn
    assert chats.count_turns(turn.chat) == 1


def test_numbers_count_up_in_each_chat_and_turns_come_in_their_order(chats: Chats, form: Iterator[str]) -> None:
    first, _ = chats.ask("a1", None, next(form))
    other, _ = chats.ask("b1", None, next(form))
    turns = [first, other]
    for question, chat in (("a2", first.chat), ("b2", other.chat), ("a3", first.chat)):
        turns.append(chats.ask(question, chat, next(form))[0])
    assert first.chat != other.chat
    assert [(turn.chat, turn.number) for turn in turns] == [
        (first.chat, 1),
        (other.chat, 1),
        (first.chat, 2),
        (other.chat, 2),
        (first.chat, 3),
    ]
    assert [turn.question for turn in chats.turns_before(turns[-1])] == ["a2", "a1"]
    assert list(chats.turns_before(first)) == []
    assert (chats.count_turns(first.chat), chats.count_turns(other.chat)) == (3, 2)


def test_the_same_form_with_the_same_question_is_the_same_turn(chats: Chats) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    chats.store_ending(turn.id, "Because.", COMPLETE)
    again, is_new = chats.ask("Why?", None, "form")
    assert not is_new
    assert again == stored(chats, turn)
    assert again.answer == "Because."
    assert len(chats.recent(10)) == 1


def test_a_cached_form_with_another_question_and_a_new_form_with_the_same_are_new_turns(chats: Chats) -> None:
    first, _ = chats.ask("Why?", None, "form")
    other, other_is_new = chats.ask("How?", None, "form")
    third, third_is_new = chats.ask("Why?", None, "another form")
    assert other_is_new
    assert third_is_new
    assert len({first.id, other.id, third.id}) == 3


def test_a_form_sent_by_many_threads_at_once_makes_one_turn_and_one_chat(chats: Chats) -> None:
    together = threading.Barrier(8)

    def send() -> tuple[Turn, bool]:
        together.wait()
        return chats.ask("Why?", None, "form")

    with ThreadPoolExecutor(8) as pool:
        sent = [each.result() for each in [pool.submit(send) for _ in range(8)]]
    assert len({turn.id for turn, _ in sent}) == 1
    assert [is_new for _, is_new in sent].count(True) == 1
    assert len(chats.recent(10)) == 1


def test_the_database_refuses_a_second_turn_with_the_same_form_and_question(
    chats: Chats, database: Database
) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        columns = "question, form, asked"
        connection.execute(f"INSERT INTO turns (chat, number, {columns}) SELECT chat, 2, {columns} FROM turns")
    assert chats.count_turns(turn.chat) == 1


def test_simultaneous_questions_in_one_chat_get_different_numbers(chats: Chats) -> None:
    chat = chats.ask("first", None, "first")[0].chat
    together = threading.Barrier(8)

    def send(number: int) -> int:
        together.wait()
        return chats.ask("Why?", chat, f"form-{number}")[0].number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(send, range(8))) == [2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("unknown", [0, -1, 2, 10**15 - 1])
def test_an_unknown_chat_is_a_key_error_and_stores_nothing(chats: Chats, database: Database, unknown: int) -> None:
    chats.ask("Why?", None, "form")
    with pytest.raises(KeyError):
        chats.ask("How?", unknown, "another")
    assert [row["question"] for row in database.read("SELECT question FROM turns")] == ["Why?"]
    assert len(database.read("SELECT id FROM chats")) == 1
    assert chats.find_turn(unknown, 1) is None
    assert chats.find_turn_by_id(unknown) is None
    assert chats.count_turns(unknown) == 0


def test_ids_are_not_used_again_after_a_chat_was_deleted(chats: Chats, database: Database) -> None:
    kept, _ = chats.ask("kept", None, "1")
    deleted, _ = chats.ask("deleted", None, "2")
    with database.write() as connection:
        connection.execute("DELETE FROM chats WHERE id = ?", (deleted.chat,))
    assert chats.find_turn_by_id(deleted.id) is None  # its turns went with it
    assert [chats.is_deleted_chat(id) for id in (0, deleted.chat, deleted.chat + 1)] == [False, True, False]
    assert [chats.is_deleted_turn(id) for id in (0, deleted.id, deleted.id + 1)] == [False, True, False]
    turn, _ = chats.ask("new", None, "3")
    assert turn.chat > deleted.chat
    assert turn.id > deleted.id
    assert stored(chats, kept) == kept


ASKING = """
import sys
from pathlib import Path
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
turn, _ = Chats(Database(Path(sys.argv[1]), CHATS)).ask("Why?", None, "form")
print(turn.id, flush=True)
sys.stdin.read()
"""


def test_a_question_survives_a_kill_right_after_ask_returned(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite"
    command = [sys.executable, "-c", ASKING, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        turn = int(child.stdout.readline())
        child.kill()
    with closing(Database(path, CHATS)) as database:
        found = Chats(database).find_turn_by_id(turn)
        assert found is not None
        assert (found.question, found.ending) == ("Why?", None)


# Answers


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_text_comes_back_exactly_as_it_was_written(chats: Chats, text: str) -> None:
    turn, _ = chats.ask(text, None, "form")
    assert turn.question == stored(chats, turn).question == text
    assert chats.recent(1)[0].title == text[:200]
    assert chats.ask(text, None, "form") == (turn, False)
    chats.store_pieces([Piece(turn.id, 0, text)])
    assert stored(chats, turn).answer == text
    chats.store_ending(turn.id, text + text, COMPLETE)
    assert stored(chats, turn).answer == text + text


def test_growing_text_is_stored_but_never_overwrites_an_ended_answer(chats: Chats) -> None:
    ended, _ = chats.ask("one", None, "1")
    growing, _ = chats.ask("two", None, "2")
    untouched, _ = chats.ask("three", None, "3")
    chats.store_ending(ended.id, "All of it.", COMPLETE)
    chats.store_pieces([Piece(ended.id, 0, "All of"), Piece(growing.id, 0, "Some")])
    chats.store_pieces([Piece(growing.id, 4, " more")])
    assert (stored(chats, ended).answer, stored(chats, ended).ending) == ("All of it.", COMPLETE)
    assert (stored(chats, growing).answer, stored(chats, growing).ending) == ("Some more", None)
    assert stored(chats, untouched) == untouched


def test_a_piece_that_is_stored_twice_or_cut_differently_is_in_the_text_once(chats: Chats) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    for at, text in ((0, "Ink"), (3, " and"), (3, " and"), (3, " and paper"), (0, "Ink, "), (5, "海 and water")):
        chats.store_pieces([Piece(turn.id, at, text)])
    assert stored(chats, turn).answer == "Ink, 海 and water"


def test_an_answer_that_ends_leaves_no_pieces_but_those_of_answers_that_began_before(
    chats: Chats, database: Database
) -> None:
    turns = [chats.ask("Why?", None, str(number))[0] for number in range(3)]
    for second in range(4):
        chats.store_pieces([Piece(turn.id, second, str(second)) for turn in turns[: second + 1]])
    chats.store_ending(turns[1].id, "0123", COMPLETE)
    assert [stored(chats, turn).answer for turn in turns] == ["0123", "0123", "23"]
    chats.store_ending(turns[0].id, "0123", COMPLETE)
    assert [tuple(row) for row in database.read("SELECT DISTINCT turn FROM pieces WHERE at = 2")] == [
        (turns[2].id,)
    ]
    chats.store_ending(turns[2].id, "23", COMPLETE)
    assert database.read("SELECT * FROM pieces") == []


def test_a_deleted_chat_takes_its_growing_text_with_it(chats: Chats, database: Database) -> None:
    turn, other = (chats.ask("Why?", None, form)[0] for form in "ab")
    chats.store_pieces([Piece(turn.id, 0, "Because."), Piece(other.id, 0, "Why not?")])
    chats.delete(turn.chat)
    chats.store_pieces([Piece(turn.id, 8, " It"), Piece(other.id, 8, " Indeed.")])
    assert [tuple(row) for row in database.read("SELECT turn, at FROM pieces")] == [(other.id, 0), (other.id, 8)]


@pytest.mark.parametrize("finish", Finish)
def test_every_kind_of_ending_comes_back_with_its_model_and_tokens(chats: Chats, finish: Finish) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    busy = Sentence("%(provider)s has too much to do at the moment.", provider="pc.local:11434")
    used_up = Sentence("Its free questions are used up until %(moment)s.", moment=Moment(1_800_000_000.0))
    passed = (Passed("qwen3:8b", busy), Passed("“安全” 100%", used_up))
    ending = Ending(finish, None, "gemini-3.6-flash", 4321, 2, 3, passed, 1_800_000_000.5)
    chats.store_ending(turn.id, "Because.", ending)
    assert stored(chats, turn).ending == ending


def test_of_a_very_long_list_of_models_the_first_that_were_passed_over_are_kept(chats: Chats) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    passed = tuple(Passed(f"model-{number}", Sentence("x" * 100)) for number in range(1000))
    chats.store_ending(turn.id, "Because.", Ending(Finish.COMPLETE, passed=passed))
    assert stored(chats, turn).ending == Ending(Finish.COMPLETE, passed=passed[:32])


def test_the_note_of_an_ending_comes_back_with_its_values_in_both_languages(chats: Chats) -> None:
    turn, _ = chats.ask("Why?", None, "form")
    note = Sentence("Google's rules stopped the answer here (%(reason)s).", reason="SAFETY 100% “安全”")
    chats.store_ending(turn.id, "Because", Ending(Finish.BLOCKED, note))
    ending = stored(chats, turn).ending
    assert ending is not None
    assert ending.note == note
    english, chinese = ending.note.to(ENGLISH), ending.note.to(CHINESE)
    assert english == "Google's rules stopped the answer here (SAFETY 100% “安全”)."
    assert "SAFETY 100% “安全”" in chinese
    assert "Google's rules" not in chinese


OLD_NOTES = {
    "Gemini's answer broke off here.": "Gemini 的回答到这里中断了。",
    "Gemini did not answer in time. Please ask again.": "Gemini 没有及时回答。请再问一次。",
    "The appliance does not reach Google. Is the internet working?": "设备连不上 Gemini。家里能上网吗？",
    "Google does not accept the key of this appliance. Its owner can store a new one.": (
        "Google 不接受这台设备的密钥。请机主换一个新的。"
    ),
    "The prepaid credit for Gemini is used up. The owner can add to it in Google AI Studio.": (
        "Gemini 的预付余额已用完。机主可以到 Google AI Studio 充值。"
    ),
}


def test_notes_stored_by_version_0_1_are_still_shown_in_the_language_of_the_reader(tmp_path: Path) -> None:
    file = tmp_path / "chats.sqlite"
    with closing(Database(file, replace(CHATS, migrations=CHATS.migrations[:6]))) as old, old.write() as connection:
        connection.execute("INSERT INTO chats DEFAULT VALUES")
        connection.executemany(
            "INSERT INTO turns (chat, number, question, form, asked, finish, note)"
            " VALUES (1, ?, 'Why?', ?, 0, 'failed', ?)",
            [(number, str(number), Sentence(note).to_json()) for number, note in enumerate(OLD_NOTES, 1)],
        )
        no_json = "INSERT INTO turns (chat, number, question, form, asked, note) VALUES (1, 9, '', '', 0, '')"
        connection.execute(no_json)
    with closing(Database(file, CHATS)) as database:
        for number, (english, chinese) in enumerate(OLD_NOTES.items(), 1):
            turn = Chats(database).find_turn(1, number)
            assert turn is not None and turn.ending is not None and turn.ending.note is not None
            assert turn.ending.note.to("zh-CN") == chinese
            assert turn.ending.note.to("en") == english.replace("reach Google", "reach Gemini")


def test_an_answer_cut_by_a_crash_is_interrupted_with_its_text_and_no_other_is_touched(chats: Chats) -> None:
    ended, _ = chats.ask("one", None, "1")
    begun, _ = chats.ask("two", None, "2")
    silent, _ = chats.ask("three", None, "3")
    chats.store_ending(ended.id, "All of it.", COMPLETE)
    chats.store_pieces([Piece(begun.id, 0, "So"), Piece(ended.id, 0, "Late.")])
    chats.store_pieces([Piece(begun.id, 2, "me")])
    assert chats.interrupt_unfinished() == 2
    assert stored(chats, ended).ending == COMPLETE
    for turn, text in ((begun, "Some"), (silent, "")):
        cut = stored(chats, turn)
        assert cut.answer == text
        assert cut.ending is not None
        assert cut.ending.finish is Finish.INTERRUPTED
        assert "switched off" in str(cut.ending.note)
    assert chats.interrupt_unfinished() == 0


# The list


def test_the_list_shows_the_most_recently_asked_chats_first_with_title_count_and_time(
    chats: Chats, form: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(100)
    monkeypatch.setattr(module, "now", lambda: float(next(clock)))
    assert chats.recent(10) == []
    first, _ = chats.ask("first title", None, next(form))
    second, _ = chats.ask("second title", None, next(form))
    chats.ask("more", first.chat, next(form))
    listed = [(chat.id, chat.title, chat.questions, chat.asked) for chat in chats.recent(10)]
    assert listed == [(first.chat, "first title", 2, 102.0), (second.chat, "second title", 1, 101.0)]
    assert [chat.id for chat in chats.recent(1)] == [first.chat]


def test_the_list_marks_the_chats_with_an_unfinished_answer(chats: Chats, form: Iterator[str]) -> None:
    quiet, _ = chats.ask("quiet", None, next(form))
    busy, _ = chats.ask("busy", None, next(form))
    newer, _ = chats.ask("newer", busy.chat, next(form))
    for turn in (quiet, newer):  # the older of the two questions is still being answered
        chats.store_ending(turn.id, "Done.", COMPLETE)
    assert {chat.id: chat.writing for chat in chats.recent(10)} == {quiet.chat: False, busy.chat: True}
    chats.store_ending(busy.id, "Done.", COMPLETE)
    assert not any(chat.writing for chat in chats.recent(10))


def test_lists_are_read_through_indexes_however_many_turns_there_are(chats: Chats, database: Database) -> None:
    turn, _ = chats.ask("The sea", None, "1", "the-device")
    chats.ask("More", turn.chat, "2", "the-device")
    chats.interrupt_unfinished()
    catch_up(chats)
    read: list[str] = []
    database._reader.set_trace_callback(read.append)
    assert chats.recent(20) and chats.recent(20, before=9) and chats.recent(6, "the-device") and chats.after(20, 0)
    assert chats.search(Query("sea"), 20).hits and chats.find_chat(1) and chats.count_turns(1) == 2
    assert list(chats.turns_before(replace(turn, number=3)))
    database._reader.set_trace_callback(None)
    assert len(read) > 10
    for statement in [each for each in read if not each.startswith("--")]:  # those that FTS5 asks itself
        plan = [row["detail"] for row in database.read(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any(re.match(r"SCAN (turns|chats|asked_in)\b", step) for step in plan), f"{statement}: {plan}"


def test_a_device_finds_the_chats_in_which_it_has_asked_last(chats: Chats, form: Iterator[str]) -> None:
    first, _ = chats.ask("first", None, next(form), "one")
    second, _ = chats.ask("second", None, next(form), "one")
    other, _ = chats.ask("other", None, next(form), "another")
    chats.ask("more", first.chat, next(form), "another")
    nameless, _ = chats.ask("nameless", None, next(form))
    assert [chat.id for chat in chats.recent(9, "one")] == [second.chat, first.chat]
    assert [chat.id for chat in chats.recent(9, "another")] == [first.chat, other.chat]
    assert [chat.id for chat in chats.recent(1, "another")] == [first.chat]
    assert chats.recent(9, "") == chats.recent(9, "unknown") == []
    assert [chat.id for chat in chats.recent(9)] == [nameless.chat, first.chat, other.chat, second.chat]
    chats.delete(first.chat)
    assert [chat.id for chat in chats.recent(9, "another")] == [other.chat]


class Listed(RuleBasedStateMachine):
    """Whatever happens to chats, their entries in lists are what their turns say."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._database = Database(Path(self._folder.name) / "chats.sqlite", CHATS)
        self._chats = Chats(self._database)
        self._forms = count()

    def teardown(self) -> None:
        self._database.close()
        self._folder.cleanup()

    @rule(chat=st.integers(1, 4), device=st.sampled_from(["", "one", "two"]), is_new=st.booleans())
    def ask(self, chat: int, device: str, is_new: bool) -> None:
        with suppress(KeyError):
            self._chats.ask("Why " * (chat * 20), None if is_new else chat, str(next(self._forms)), device)

    @rule(chat=st.integers(1, 4))
    def delete(self, chat: int) -> None:
        with suppress(KeyError):
            self._chats.delete(chat)

    @rule(chat=st.integers(1, 4), name=st.sampled_from(["", "A name"]))
    def rename(self, chat: int, name: str) -> None:
        with suppress(KeyError):
            self._chats.rename(chat, name)

    @rule()
    def interrupt(self) -> None:
        self._chats.interrupt_unfinished()

    @invariant()
    def summed_up_anew_they_are_the_same(self) -> None:
        tables = "SELECT * FROM chats ORDER BY id", "SELECT * FROM asked_in ORDER BY chat, device"
        kept = [[tuple(row) for row in self._database.read(table)] for table in tables]
        with self._database.write() as connection:
            for statement in filter(str.strip, SUM_UP.split(";")):
                connection.execute(statement)
        assert [[tuple(row) for row in self._database.read(table)] for table in tables] == kept


TestListed = Listed.TestCase
TestListed.settings = settings(max_examples=25, stateful_step_count=20)


def test_a_piece_that_becomes_more_than_an_answer_has_costs_its_turn_a_sentence(
    chats: Chats, database: Database
) -> None:
    turn, _ = chats.ask("Is this backup yours?", None, "form")
    with database.write() as connection:
        for at in range(2):
            bomb = zlib.compress(bytes(64) + b"x" * (at + 3) * 1024 * 1024)
            connection.execute("INSERT INTO pieces (turn, at, text) VALUES (?, ?, ?)", (turn.id, at, bomb))
    found = stored(chats, turn)
    assert found.is_damaged and len(found.answer) < 5 * 1024 * 1024
    assert chats.interrupt_unfinished() == 1
    assert "damaged" in str(stored(chats, turn).ending)
