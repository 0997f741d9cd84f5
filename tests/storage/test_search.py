"""The index of the chats: what is found, how it catches up, and what happens when it is damaged."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from conftest import Soak
from fakes.chats import Corpus, catch_up
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.storage.chats import Chats, Piece
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.search import NEWEST, SearchIndex
from kindle_appliance.storage.terms import Query
from kindle_appliance.storage.worker import Worker

COMPLETE = Ending(Finish.COMPLETE)
FORMS = count()


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


def answered(chats: Chats, question: str, answer: str = "Yes.", chat: int | None = None) -> int:
    """Store a question with its answer, and return its chat."""
    turn, _ = chats.ask(question, chat, str(next(FORMS)))
    chats.store_ending(turn.id, answer, COMPLETE)
    return turn.chat


def found(chats: Chats, words: str) -> list[str]:
    return [hit.chat.title for hit in chats.search(Query(words), 20).hits]


def damage(database: Database) -> None:
    """Overwrite all blocks of the index."""
    with database.write() as connection:
        connection.execute("UPDATE words_data SET block = x'ffffffffffffffff' WHERE id > 1")


# Finding


def test_a_chat_is_found_by_its_questions_and_answers_newest_first(chats: Chats) -> None:
    first = answered(chats, "Why is the sea salty?", "Rivers carry salt.")
    answered(chats, "What is a river?")
    answered(chats, "And lakes?", "Some are salty, like the sea.", first)
    assert found(chats, "river") == ["What is a river?", "Why is the sea salty?"]
    assert found(chats, "salty") == ["Why is the sea salty?"], "once, though two of its turns match"
    (hit,) = chats.search(Query("salty sea"), 20).hits
    assert (hit.number, hit.excerpt) == (2, "Some are salty, like the sea.")
    assert found(chats, "river lakes") == [], "the words must occur in one turn"


def test_an_answer_is_found_once_it_has_ended_or_was_cut_off(chats: Chats) -> None:
    turn, _ = chats.ask("Why?", None, "1")
    chats.store_pieces([Piece(turn.id, 0, "Because of tides")])
    assert found(chats, "tides") == []
    assert chats.interrupt_unfinished() == 1
    assert found(chats, "tides") == ["Why?"]


def test_a_search_shows_pages_of_chats_and_ends_with_the_last(chats: Chats) -> None:
    for number in range(45):
        answered(chats, f"Question {number} of the sea")
    before, seen = NEWEST, []
    for size in (20, 20, 5):
        page = chats.search(Query("sea"), 20, before)
        assert len(page.hits) == size
        seen += [hit.chat.title for hit in page.hits]
        before = page.older or 0
    assert before == 0
    assert seen == [f"Question {number} of the sea" for number in reversed(range(45))]
    assert chats.search(Query("lake"), 20).hits == chats.search(Query(""), 20).hits == []


def test_a_chat_with_very_many_finds_neither_hides_the_others_nor_makes_the_search_long(
    chats: Chats, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(chats, "The sea, long ago")
    long = answered(chats, "The sea")
    with database.write() as connection:
        connection.executemany(
            "INSERT INTO turns (chat, number, question, form, asked, finish)"
            " VALUES (?, ?, 'More of the sea?', ?, 0, 'complete')",
            [(long, number, str(next(FORMS))) for number in range(2, 1500)],
        )
    catch_up(chats)
    before, titles, looks = NEWEST, [], 0
    find = chats.index.find

    def counted(*arguments: object) -> list[int]:
        nonlocal looks
        looks += 1
        return find(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(chats.index, "find", counted)
    for _ in range(4):
        looks = 0
        page = chats.search(Query("sea"), 20, before)
        titles += [hit.chat.title for hit in page.hits]
        assert looks <= 16
        if page.older is None:
            break
        before = page.older
    assert page.older is None and "The sea, long ago" in titles


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300))
def test_nothing_that_is_typed_is_syntax(chats: Chats, words: str) -> None:
    chats.search(Query(words), 20)
    chats.search(Query(f'sea" OR {words} NEAR( - ^ : {{x}}:'), 20)


def test_an_entry_without_a_turn_is_not_shown(chats: Chats, database: Database) -> None:
    answered(chats, "The sea")
    with database.write() as connection:
        connection.execute("INSERT INTO words (rowid, terms) VALUES (1, 'sea'), (77, 'sea')")
        connection.execute("UPDATE search_span SET high = 77")
    assert found(chats, "sea") == ["The sea"]


# Changing


def test_a_deleted_chat_is_found_no_more_and_its_words_are_taken_out(chats: Chats) -> None:
    kept, deleted = answered(chats, "The sea"), answered(chats, "The salty sea", "海水")
    answered(chats, "More of the sea", "Yes", deleted)
    chats.delete(deleted)
    assert found(chats, "sea") == ["The sea"]
    assert [chats.index.find(Query(word), NEWEST, 9) for word in ("salty", "海水", "sea")] == [[], [], [kept]]


def test_an_answer_that_ends_after_its_chat_was_deleted_is_not_indexed(chats: Chats) -> None:
    turn, _ = chats.ask("The sea", None, "1")
    chats.delete(turn.chat)
    chats.store_ending(turn.id, "Salty.", COMPLETE)
    assert chats.index.find(Query("salty"), NEWEST, 9) == []


def test_a_chat_is_found_under_the_name_that_it_was_given(chats: Chats) -> None:
    chat = answered(chats, "The sea")
    answered(chats, "And lakes?", "Lakes too.", chat)
    for is_indexed in (False, True):
        if is_indexed:
            for _ in range(8):
                answered(chats, "Else")
            catch_up(chats)
        for name in ("Holidays in 海水浴场", "Work"):
            chats.rename(chat, name)
            assert found(chats, "sea") == found(chats, "lakes") == [name]
            assert found(chats, "holidays") == found(chats, "水浴场") == [name] * (name != "Work")
        chats.rename(chat, "")
        assert found(chats, "sea") == ["The sea"] and found(chats, "work") == []
    chats.delete(chat)
    assert chats.index.find(Query("sea"), NEWEST, 9) == []


# Catching up


def old_chats(path: Path, number: int, answer: str = "Salty.") -> None:
    """Write chats as the version before the index did."""
    with closing(Database(path, replace(CHATS, migrations=CHATS.migrations[:9]))) as old, old.write() as connection:
        for chat in range(1, number + 1):
            connection.execute("INSERT INTO chats DEFAULT VALUES")
            connection.executemany(
                "INSERT INTO turns (chat, number, question, form, asked, answer, finish, device)"
                " VALUES (?, ?, ?, ?, ?, ?, 'complete', ?)",
                [
                    (chat, 1, f"Sea {chat}", f"{chat}", 100 + chat, answer, "one-device"),
                    (chat, 2, "And lakes?", f"{chat} 2", 200 + chat, answer, "another-one"),
                ],
            )


def test_chats_of_an_earlier_version_are_listed_at_once_and_indexed_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    old_chats(path, 60)
    with closing(Database(path, CHATS)) as database:
        chats = Chats(database)
        newest, *_ = listed = chats.recent(100)
        assert len(listed) == 60 and len(chats.recent(100, "one-device")) == 60
        assert (newest.title, newest.questions, newest.asked, newest.newest) == ("Sea 60", 2, 260, 120)
        assert chats.search(Query("salty"), 20).is_whole is False
        chats.index.catch_up()
        page = chats.search(Query("sea"), 20)
        assert [hit.chat.title for hit in page.hits][:2] == ["Sea 60", "Sea 59"] and not page.is_whole
        chats.delete(60)  # indexed
        chats.delete(1)  # not yet
        answered(chats, "Sea 2 again", chat=2)
        running, _ = chats.ask("Sea 3 again", 3, "running")
    with closing(Database(path, CHATS)) as database:  # after a restart
        chats = Chats(database)
        assert catch_up(chats) > 1
        chats.store_ending(running.id, "Now", COMPLETE)
        page = chats.search(Query("sea"), 100)
        assert page.is_whole
        expected = ["Sea 3", "Sea 2", *[f"Sea {number}" for number in range(59, 3, -1)]]
        assert [hit.chat.title for hit in page.hits] == expected
        hits = database.read("SELECT rowid FROM words WHERE words MATCH 'sea'")
        assert len(hits) == len({row[0] for row in hits}) == 58, "each turn once; two wait"


def test_an_answer_that_ends_while_the_index_is_made_anew_is_indexed_once(chats: Chats) -> None:
    for number in range(40):
        answered(chats, f"Sea {number}")
    early, _ = chats.ask("Sea early", None, "early")
    late, _ = chats.ask("Sea late", None, "late")
    chats.index.make_anew()
    chats.store_ending(early.id, "", COMPLETE)  # still before the backlog has come to it
    chats.index.catch_up()
    chats.store_ending(late.id, "", COMPLETE)  # the backlog has passed it
    catch_up(chats)
    assert len(chats.index.find(Query("sea"), NEWEST, 100)) == 42
    chats.delete(early.chat)
    chats.delete(late.chat)
    assert len(chats.index.find(Query("sea"), NEWEST, 100)) == 40


def test_the_indexer_works_off_a_backlog_and_then_sleeps(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    old_chats(path, 60)
    with closing(Database(path, CHATS)) as database:
        chats = Chats(database)
        indexer = chats.index.worker()
        indexer.start()
        while not chats.index.is_whole:
            indexer._thread.join(0.01)
            assert indexer._thread.is_alive()
        assert len(chats.search(Query("sea"), 100).hits) == 60
        indexer.close()
        assert not indexer._thread.is_alive()


class ClosedWhileItSteps(SearchIndex):
    """An index whose indexer is told to end in the moment in which a step begins."""

    indexer: Worker

    def catch_up(self) -> None:
        self.wake.clear()
        threading.Thread(target=self.indexer.close, daemon=True).start()
        assert self.wake.wait(10)
        super().catch_up()


def test_an_indexer_that_is_closed_as_it_takes_a_step_ends(database: Database) -> None:
    """The step took the wake-up of the close for one of its own, and the appliance never came to its end."""
    index = ClosedWhileItSteps(database)
    index.indexer = index.worker()
    index.indexer.start()
    index.indexer._thread.join(10)
    assert not index.indexer._thread.is_alive()


def test_a_row_that_is_no_text_any_more_does_not_stop_the_indexer(chats: Chats, database: Database) -> None:
    answered(chats, "Sea one")
    broken = answered(chats, "Sea two")
    with database.write() as connection:
        connection.execute(
            "UPDATE turns SET answer = CAST(x'ff73616c74ff20e6b5b7' AS TEXT) WHERE chat = ?", (broken,)
        )
    chats.index.make_anew()
    catch_up(chats)
    assert len(chats.index.find(Query("sea"), NEWEST, 9)) == 2
    assert len(chats.index.find(Query("salt"), NEWEST, 9)) == 1


def test_the_start_after_an_update_waits_for_no_indexing_and_no_step_of_it_is_long(
    tmp_path: Path, soak: Soak
) -> None:
    path, number = tmp_path / "chats.sqlite", soak(200, full=5000)
    old_chats(path, number, Corpus().text(2900, is_chinese=False))
    begun = time.thread_time()
    with closing(Database(path, CHATS)) as database:
        chats = Chats(database)
        started = time.thread_time() - begun
        steps = []
        while chats.index.wake.is_set():
            begun = time.thread_time()
            chats.index.catch_up()
            steps.append(time.thread_time() - begun)
        assert chats.index.is_whole and len(chats.search(Query("lakes"), 20).hits) == 20
    soak.tell(
        f"an update with {2 * number:,} old turns: the start waits {started:.2f} s; indexing takes"
        f" {sum(steps):.1f} s in {len(steps)} steps of at most {max(steps) * 1000:.0f} ms"
    )
    assert started < sum(steps) / 2 and max(steps) < sum(steps) / 5


# Damage


@pytest.mark.parametrize(
    "use",
    [
        lambda chats: chats.search(Query("sea"), 20),
        lambda chats: [answered(chats, "Sea of more") for _ in range(8)] and chats.index.catch_up(),
        lambda chats: chats.delete(2),
    ],
    ids=["a search", "an addition", "a deletion"],
)
def test_a_damaged_index_stops_nothing_and_is_made_anew(
    chats: Chats, database: Database, use: Callable[[Chats], object]
) -> None:
    for number in range(8):
        answered(chats, f"Sea {number}")
    catch_up(chats)
    damage(database)
    use(chats)
    assert not chats.search(Query("sea"), 20).is_whole
    catch_up(chats)
    left = len(chats.recent(20))
    page = chats.search(Query("sea"), 20)
    assert page.is_whole and len(page.hits) == left
    answered(chats, "Sea at last")
    assert len(found(chats, "sea")) == left + 1


def test_an_index_that_is_damaged_again_and_again_is_left_alone(chats: Chats, database: Database) -> None:
    for _ in range(2):
        for _ in range(8):
            answered(chats, "Sea")
        catch_up(chats)
        damage(database)
        chats.search(Query("sea"), 20)
        catch_up(chats)
    assert not chats.index.is_possible
    answered(chats, "Still stored")
    assert chats.recent(1)[0].title == "Still stored"


def test_chats_are_kept_where_sqlite_cannot_search(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    read = database.read

    def without_fts5(query: str, values: object = ()) -> list[object]:
        return [] if "module_list" in query else read(query, values)  # type: ignore[arg-type,return-value]

    monkeypatch.setattr(database, "read", without_fts5)
    chats = Chats(database)
    assert not chats.index.is_possible
    chats.delete(answered(chats, "Sea"))


# The card


def written(chats: Chats, database: Database, answers: Sequence[str]) -> float:
    """Store these answers and index what can be indexed. Return the pages that this writes into the log."""
    turns = [chats.ask("Why?", None, str(next(FORMS)))[0].id for _ in answers]
    database._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for turn, answer in zip(turns, answers, strict=True):
        chats.store_ending(turn, answer, COMPLETE)
    catch_up(chats)
    return float(database._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


@pytest.mark.parametrize(("language", "most"), [("English", 60), ("Chinese", 130)])
def test_the_index_of_a_long_answer_costs_the_card_little(
    chats: Chats, database: Database, soak: Soak, language: str, most: int
) -> None:
    corpus = Corpus()
    texts = [corpus.text(50_000, language == "Chinese") for _ in range(24)]
    assert all(45_000 < len(text.encode()) < 55_000 for text in texts)
    written(chats, database, texts[:8])  # the first ones make the tables' pages
    with_index = written(chats, database, texts[8:16])
    chats.index.is_possible = False
    without = written(chats, database, texts[16:])
    cost = (with_index - without) / 8 * (4120 + 4096) / 1000  # a frame of the log, and the page itself later
    soak.tell(f"indexing an answer of 50 KB in {language} writes {cost:.0f} KB, checkpoint included, of eight")
    assert cost <= most


def test_no_step_of_the_indexer_merges_the_whole_index(chats: Chats, database: Database, soak: Soak) -> None:
    corpus = Corpus()
    steps = [
        written(chats, database, [corpus.text(2900, number % 2 == 0) for number in range(8)])
        for _ in range(soak(40, full=600))
    ]
    chats.index.is_possible = False
    alone = written(chats, database, [corpus.text(2900, number % 2 == 0) for number in range(8)])
    mean = (statistics.mean(steps) - alone) / 8
    soak.tell(
        f"indexing an answer of 3 KB writes {mean:.1f} pages on average ({8 * len(steps):,} answers), storing it"
        f" {alone / 8:.1f}; at most {max(steps) - alone:.0f} for eight at once"
    )
    assert mean < 8 and max(steps) - alone < 400
