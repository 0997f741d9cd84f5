"""A damaged card takes no page of the house away: what cannot be read costs its turn a sentence."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Soak
from fakes.damage import DEVICE, PAGE, ROWS, Weeks, change, destroyed, flip_a_bit, saved, write_weeks
from fakes.filesystem import mounted, remount
from fakes.gemini import FakeGemini, Reply
from fakes.house import House, answered
from fakes.program import Appliance
from hypothesis import given, settings
from hypothesis import strategies as st

from kindle_appliance.storage.database import inspect
from kindle_appliance.storage.rows import Turn
from kindle_appliance.storage.schema import CHATS

DAMAGED = "The card has damaged this answer."
COOKIE = f"device={DEVICE}"


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Weeks:
    """The content of a file, and its turns."""
    file = tmp_path_factory.mktemp("weeks") / "chats.sqlite"
    turns = write_weeks(file)
    return Weeks(file.read_bytes(), turns)


def visit(house: House, turns: dict[int, Turn]) -> None:
    """Ask for every page of the house, as text and as events too; asserts that none is a 5xx."""
    chats = sorted({turn.chat for turn in turns.values()})
    paths = ["/", "/chats", "/healthz", "/addresses", "/check", "/check/reports", "/chats/1", "/answers/1"]
    paths += ["/chats?after=0", "/chats?before=9", "/chats?q=brine", "/chats?q=%D1%81%D0%BE", "/chats?q=nowhere"]
    ways = ("/chats/{}", "/chats/{}/edit", "/chats/{}/delete", "/?chat={}")
    paths += [way.format(chat) for chat in chats for way in ways]
    for turn in turns.values():
        paths += [
            f"/chats/{turn.chat}/{turn.number}",
            f"/answers/{turn.id}?as=text",
            f"/answers/{turn.id}?as=events",
        ]
    for path in paths:
        response = house.get(path, Cookie=COOKIE)
        assert response.status < 500, (path, response.data)
    for chat in ("", str(chats[-1])):
        fields = {"question": f"Is it still there? {chat}", "chat": chat, "form": f"visit-{chat}"}
        asked = house.post("/ask", fields, Cookie=COOKIE)
        assert asked.status in (303, 404), asked.data
    assert house.post(f"/chats/{chats[0]}/rename", {"name": "Salt"}).status in (303, 404)
    assert house.get("/chats?q=salt").status == 200
    assert house.post(f"/chats/{chats[0]}/delete", {}).status in (303, 404)


@pytest.mark.slow
def test_whatever_page_is_destroyed_every_page_of_the_house_comes(
    weeks: Weeks, tmp_path: Path, gemini: FakeGemini, soak: Soak
) -> None:
    content, turns = weeks
    gemini.default = Reply.answer("Yes.")
    last = len(content) // PAGE
    cases = [(page, kind) for kind in ("zeros", "random") for page in range(1, last + 1, soak(9, full=1))]
    results = []
    for page, kind in [(1, "head"), *cases]:
        folder = tmp_path / f"{page}-{kind}"
        folder.mkdir()
        (folder / "chats.sqlite").write_bytes(destroyed(content, page, kind))
        with House(gemini.url, folder) as house:
            whole, there = saved(house.chats, turns)
            visit(house, turns)
        results.append((whole, there))
        soak.tell(f"page {page} of {last}, {kind}: {whole} of {ROWS} turns whole, {there} in their place")
    assert all(there >= 38 for _, there in results)


@pytest.mark.slow
def test_a_page_destroyed_while_it_runs_is_no_500_either(
    weeks: Weeks, tmp_path: Path, gemini: FakeGemini, soak: Soak
) -> None:
    content, turns = weeks
    gemini.default = Reply.answer("Yes.")
    for page in range(1, len(content) // PAGE + 1, soak(11, full=1)):
        folder = tmp_path / str(page)
        folder.mkdir()
        file = folder / "chats.sqlite"
        file.write_bytes(content)
        with House(gemini.url, folder) as house:
            with file.open("r+b") as opened:
                opened.seek((page - 1) * PAGE)
                opened.write(bytes(PAGE))
            house.database.read("PRAGMA shrink_memory")
            with house.database.write() as connection:
                connection.execute("PRAGMA shrink_memory")
            visit(house, turns)
            assert saved(house.chats, {each: turn for each, turn in turns.items() if turn.chat != 2})[1] >= 34


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 30, 300]))
def test_bits_that_turn_over_are_never_a_500_and_never_hang(
    weeks: Weeks, tmp_path_factory: pytest.TempPathFactory, seed: int, bits: int
) -> None:
    content, turns = bytearray(weeks[0]), weeks[1]
    chance = random.Random(seed)
    for _ in range(bits):
        content[chance.randrange(64, len(content))] ^= 1 << chance.randrange(8)
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "chats.sqlite").write_bytes(content)
    with FakeGemini() as gemini, House(gemini.url, folder) as house:
        gemini.default = Reply.answer("Yes.")
        visit(house, dict(list(turns.items())[:: 1 + bits % 7]))


# One row


@pytest.fixture
def chat_of(gemini: FakeGemini, tmp_path: Path) -> Iterator[Path]:
    """The file of a house with a chat of two turns, the first of which a test damages."""
    with House(gemini.url, tmp_path) as house:
        answered(gemini, house, "The first answer is about salt in the sea.", "Why is the sea salty, at all?")
        gemini.replies(Reply.answer("The second answer."))
        house.ask("And lakes?", 1)
        with house.follow("/answers/2?as=text") as follow:
            follow.read_to_end()
    yield tmp_path / "chats.sqlite"


def test_a_flipped_bit_in_an_answer_costs_its_turn_a_sentence_and_can_be_deleted(
    chat_of: Path, gemini: FakeGemini
) -> None:
    flip_a_bit(chat_of, "answer is about salt")
    with House(gemini.url, chat_of.parent) as house:
        page = house.get("/chats/1/1").data.decode()
        assert DAMAGED in page and "The first answer" in page and "in the sea." in page
        chinese = house.get("/chats/1/1", Accept_Language="zh-CN").data.decode()
        assert "这个回答损坏了" in chinese
        text = house.get("/answers/1?as=text")
        assert text.status == 200 and text.data.decode() == "The first answer is \ufffdbout salt in the sea."
        with house.follow("/answers/1?as=events") as follow:
            follow.read_to_end()
            assert follow.state.end is not None and DAMAGED in str(follow.state.end["note"])
        for path in ("/", "/chats", "/chats/1/2"):
            assert house.get(path).status == 200
        facts = house.get("/healthz").json()
        assert (facts["status"], facts["database"]) == ("ok", "damaged turns: 1")
        found = inspect(chat_of, CHATS)
        assert (found.trouble, found.damaged) == ("", 1)
        # What goes along to the model is what can be read.
        house.ask("And rivers?", 1)
        sent = gemini.next_call()
        assert [each["parts"][0]["text"] for each in sent.json["contents"]][1].startswith("The first answer")
        sent.start()
        sent.finish("The third.")
        assert house.post("/chats/1/delete", {}).status == 303
        assert "sea" not in house.get("/chats").data.decode()
        assert house.get("/healthz").json()["database"] == "ok"
    assert not list(chat_of.parent.glob("*damaged*"))


@pytest.mark.parametrize(
    "values",
    [
        {"finish": "complftd"},
        {"finish": 7},
        {"note": "no JSON"},
        {"note": '["%(count)q", null, {"count": 3}]'},
        {"note": '[["deep"], 5, [1]]'},
        {"answer": b"\xff\xfe\xfd"},
        {"asked": 1e300},
        {"asked": -5},
        {"asked": "yesterday"},
        {"asked": b"\0"},
        {"model": b"\xff"},
        {"tokens": "many"},
        {"rung": "first", "next_rung": -3},
        {"passed": "[7]"},
        {"passed": '[["model-b", "no JSON"]]'},
        {"passed": "[" * 50_000},
        {"passed": b"\xff"},
        {"back_at": 1e300},
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_a_sentence(
    chat_of: Path, gemini: FakeGemini, values: dict[str, object]
) -> None:
    change(chat_of, **values)
    with House(gemini.url, chat_of.parent) as house:
        page = house.get("/chats/1/1")
        assert page.status == 200 and (DAMAGED in page.data.decode()) == ("asked" not in values)
        for path in ("/", "/chats", "/chats/1", "/answers/1?as=text", "/answers/1?as=events", "/?chat=1"):
            assert house.get(path, Cookie=COOKIE).status in (200, 303), path
        assert house.get("/healthz").json()["database"] == "damaged turns: 1"
        assert house.post("/chats/1/delete", {}).status == 303
    assert inspect(chat_of, CHATS).trouble == ""


@pytest.mark.parametrize("value", [b"\xff", "x", 1e300, 2**63 - 1], ids=str)
@pytest.mark.parametrize(
    "place", ["turns SET number", "asked SET questions", "days SET number", "turns SET chat", "turns SET asked"]
)
def test_a_number_that_none_follows_does_not_refuse_the_next_questions(
    chat_of: Path, gemini: FakeGemini, place: str, value: object
) -> None:
    gemini.default = Reply.answer("Yes.")
    with closing(sqlite3.connect(chat_of, isolation_level=None)) as connection:
        try:
            connection.execute(
                f"UPDATE {place} = ? WHERE rowid = 1" if "turns" in place else f"UPDATE {place} = ?", (value,)
            )
        except sqlite3.IntegrityError:
            return  # SQLite sees such damage itself
    with House(gemini.url, chat_of.parent) as house:
        for number in range(2):
            for chat in ("", "1"):
                fields = {"question": f"More {number}{chat}?", "chat": chat, "form": f"form-{number}{chat}"}
                assert house.post("/ask", fields, Cookie=COOKIE).status == 303
        assert house.get("/", Cookie=COOKIE).status == 200


def test_a_question_that_cannot_be_read_is_a_sentence_in_lists_too_and_is_not_asked_again(
    chat_of: Path, gemini: FakeGemini
) -> None:
    change(chat_of, question=b"\xff", finish="failed")
    with closing(sqlite3.connect(chat_of)) as connection:
        connection.execute("UPDATE chats SET title = ?", (b"\xff",))
        connection.commit()
    with House(gemini.url, chat_of.parent) as house:
        for path in ("/chats", "/chats/1/1", "/chats/1/delete", "/?chat=1"):
            assert "The card has damaged this question." in house.get(path).data.decode(), path
        assert 'class="anew"' not in house.get("/chats/1/1").data.decode()
        house.ask("And rivers?", 1)
        call = gemini.next_call()
        sent = [each["parts"][0]["text"] for each in call.json["contents"]]
        assert sent == ["And lakes?", "The second answer.", "And rivers?"]
        call.start()
        call.finish("Yes.")


def test_a_report_that_cannot_be_read_is_left_out(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path) as house:
        house.reports.add({"agent": "damaged"})
        house.reports.add({"agent": "a good one"})
    with closing(sqlite3.connect(tmp_path / "chats.sqlite")) as connection:
        connection.execute("UPDATE reports SET report = '{' WHERE id = 1")
        connection.commit()
    with House(gemini.url, tmp_path) as house:
        page = house.get("/check/reports")
        assert page.status == 200 and "a good one" in page.data.decode()


def test_turns_of_a_chat_that_there_never_was_can_be_deleted(chat_of: Path, gemini: FakeGemini) -> None:
    change(chat_of, chat=4711)
    with House(gemini.url, chat_of.parent) as house:
        assert house.get("/chats/4711/1").status == 200
        assert house.get("/chats/4711/delete").status == 200
        assert house.post("/chats/4711/delete", {}).status == 303
        assert house.get("/chats/4711/1").status == 404


# The whole file


def test_readers_are_told_for_a_week_that_the_chats_were_damaged(
    weeks: Weeks, tmp_path: Path, gemini: FakeGemini
) -> None:
    (tmp_path / "chats.sqlite").write_bytes(destroyed(weeks[0], 1, "head"))
    with House(gemini.url, tmp_path) as house:
        for path in ("/", "/chats"):
            assert f"{ROWS} questions were saved" in house.get(path).data.decode()
            assert f"救回了 {ROWS} 个问题" in house.get(path, Accept_Language="zh").data.decode()
        facts = house.get("/healthz").json()
        assert facts["database"] == "ok" and facts["salvaged"]["saved"] == ROWS
        damage = house.database.damage
        assert damage is not None
        assert damage.sentence(damage.moment + 6 * 86400) and damage.sentence(damage.moment + 8 * 86400) is None
        assert damage.sentence(damage.moment - 86400) is None  # a clock that jumped


def test_between_the_turns_that_were_saved_one_can_turn_over_those_that_were_lost(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path) as house:
        chat, _ = house.ask("One?")
        for question in ("Two?", "Three?", "Four?"):
            house.ask(question, chat)
        with house.database.write() as connection:
            connection.execute("DELETE FROM turns WHERE number IN (1, 3)")
        assert house.get(f"/chats/{chat}").headers["Location"] == f"/chats/{chat}/4"
        four = house.get(f"/chats/{chat}/4").data.decode()
        assert f"/chats/{chat}/2" in four and "4 of 4" in four
        lost = house.get(f"/chats/{chat}/3")
        assert lost.status == 404 and "The card has lost this question" in lost.data.decode()
        links = re.findall(rf"/chats/{chat}/(\d)", lost.data.decode())
        assert links == ["2", "4"]
        assert house.get(f"/chats/{chat}/5").status == 404
        for path in ("/chats", f"/chats/{chat}/delete"):
            assert "One?" in house.get(path).data.decode()  # the list knows the beginning of the first question


@pytest.mark.slow
def test_on_a_damaged_card_that_takes_nothing_new_the_pages_say_so(weeks: Weeks, tmp_path: Path) -> None:
    content, turns = weeks
    turn = min(turns.values(), key=lambda each: each.id)
    with mounted(tmp_path / "card") as card:
        (card / "chats.sqlite").write_bytes(destroyed(content, 1, "head"))
        remount(card, "ro")
        with closing(Appliance(tmp_path, "--data", str(card), "--demo")) as appliance:
            for path in ("/", "/chats"):
                assert b"takes nothing new" in appliance.get(path).read()
            assert turn.answer.encode() == appliance.get(f"/answers/{turn.id}?as=text").read()
            assert appliance.refused("Is there room?") == 503
            facts = json.loads(appliance.get("/healthz").read())
            assert facts["database"] == "damaged, and can only be read"


@pytest.mark.slow
def test_the_program_starts_with_a_destroyed_header_and_goes_on(weeks: Weeks, tmp_path: Path) -> None:
    """It ended with status 1 before, and systemd started it again for ever."""
    (tmp_path / "chats.sqlite").write_bytes(destroyed(weeks[0], 1, "head"))
    with closing(Appliance(tmp_path, "--data", str(tmp_path), "--demo")) as appliance:
        assert f"{ROWS} questions were saved".encode() in appliance.get("/chats").read()
        appliance.ask("Does it go on?")
        told = appliance.errors.read_text()
    assert "chats.sqlite is damaged: file is not a database" in told and f"{ROWS} turns; it is" in told
