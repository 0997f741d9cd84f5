"""Questions that wait for a quota: asked when it is back, in order, one by one, once, and at no further cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.calls import SOON
from fakes.gemini import OUT, Call, FakeGemini, Reply, refusing_url
from fakes.house import House
from fakes.rungs import listed

from kindle_appliance.answers import waiting
from kindle_appliance.answers.waiting import WaitingTimer, next_wait
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import StorageError, UpstreamUnreachable
from kindle_appliance.sentences import Sentence
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.damage import LAST_MOMENT
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.waiting import MOST_TIMES, WaitingTurn
from kindle_appliance.upstream.call import Clocks

DAY = 24 * 3600.0


class Clock:
    """The clock on the wall, as the test sets it."""

    def __init__(self) -> None:
        self.moment = 1_800_000_000.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("kindle_appliance.clock.shown", clock)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
    return clock


@pytest.fixture
def house(gemini: FakeGemini, tmp_path: Path, clock: Clock) -> Iterator[House]:
    """An appliance with one model, which counts its questions."""
    with House(gemini.url, tmp_path, models=("model-a",), allowed=(1000, 50, 50)) as house:
        yield house


def eventually(happens: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while not happens():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def looks(clock: Clock, times: int = 3) -> None:
    """Return when the clock has been looked at so often: nothing was due then."""
    before = clock.looks
    eventually(lambda: clock.looks >= before + times)


def out_of_quota(house: House, gemini: FakeGemini, *questions: str, chat: int | str = "") -> list[int]:
    """Ask these questions while the quota is used up, and return their turns."""
    gemini.replies(OUT)
    turns = []
    for question in questions:
        path = house.ask(question, chat)
        turn = house.chats.find_turn(*path)
        assert turn
        answer = house.desk.find(turn.id)
        assert answer and answer.wait_for_end(30) and answer.ending and answer.ending.back_at
        turns.append(turn.id)
    return turns


def let_wait(house: House, *turns: int) -> float:
    """Let these wait, and return the moment at which they are asked."""
    for turn in turns:
        assert house.post(f"/answers/{turn}/wait", {}).status == 303
    return house.chats.waiting.all()[0].at


def ending(house: House, turn: int) -> Ending | None:
    stored = house.chats.find_turn_by_id(turn)
    return stored.ending if stored else None


def question(call: Call) -> str:
    return str(call.json["contents"][-1]["parts"][0]["text"])


def charged(house: House) -> int:
    return int(house.database.read("SELECT coalesce(sum(questions), 0) FROM asked")[0][0])


def test_they_are_asked_at_their_moment_in_order_one_by_one_and_are_not_charged_again(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    first, second, third = out_of_quota(house, gemini, "A?", "B?", "C?")
    at = let_wait(house, second, third, first)
    assert clock.moment < at < clock.moment + DAY + 3600 and charged(house) == 3
    clock.moment = at - 1
    looks(clock)
    assert len(gemini.calls) == 1, "only the one that told of the quota"
    clock.moment = at
    for turn, expected in ((second, "B?"), (third, "C?"), (first, "A?")):
        call = gemini.next_call()
        assert question(call) == expected
        assert ending(house, turn) is None and house.desk.writing == 1
        call.play(Reply.answer(f"Answer to {expected}"))
    eventually(lambda: ending(house, first))
    for turn, expected in ((second, "B?"), (third, "C?"), (first, "A?")):
        stored = house.chats.find_turn_by_id(turn)
        assert stored and stored.answer == f"Answer to {expected}" and stored.ending
        assert stored.ending.finish is Finish.COMPLETE
    assert charged(house) == 3 and len(gemini.calls) == 4 and house.chats.waiting.all() == []


def test_one_that_meets_the_quota_used_up_again_waits_again_and_no_other_is_asked(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    first, second = out_of_quota(house, gemini, "A?", "B?")
    clock.moment = at = let_wait(house, first, second)
    gemini.next_call().play(OUT)
    eventually(lambda: all(each.at > at for each in house.chats.waiting.all()))
    looks(clock)
    assert [(each.turn, each.times) for each in house.chats.waiting.all()] == [(first, 1), (second, 0)]
    assert len(gemini.calls) == 2 and charged(house) == 2
    told = ending(house, first)
    assert told and told.finish is Finish.FAILED and told.back_at == house.chats.waiting.all()[0].at
    clock.moment = house.chats.waiting.all()[1].at
    gemini.next_call().play(Reply.answer("Yes."))
    gemini.next_call().play(Reply.answer("No."))
    eventually(lambda: ending(house, second) not in (None, told))


@pytest.mark.parametrize("is_off", [False, True], ids=["busy", "off"])
def test_a_server_that_is_busy_or_away_is_asked_once_and_all_wait_a_while(
    gemini: FakeGemini, house: House, clock: Clock, is_off: bool
) -> None:
    first, second = out_of_quota(house, gemini, "A?", "B?")
    at = let_wait(house, first, second)
    fallback = house.desk._fallback
    rungs = fallback._rungs
    with refusing_url() as off:
        if is_off:
            clocks = Clocks(connect=SOON, first_byte=30, progress=30)
            fallback._rungs = tuple(listed(f"small at {off}", clocks=clocks))
        else:
            gemini.replies(Reply.error(503, "UNAVAILABLE", "busy"))
        clock.moment = at
        eventually(lambda: [each.at for each in house.chats.waiting.all()] == [at + waiting.RETRY_SECONDS] * 2)
    assert [(each.turn, each.times) for each in house.chats.waiting.all()] == [(first, 1), (second, 0)]
    assert [question(call) for call in gemini.calls[1:]] == ["A?"] * (not is_off)
    fallback._rungs = rungs
    gemini.replies(Reply.answer("Yes."), Reply.answer("No."))
    clock.moment = at + waiting.RETRY_SECONDS
    eventually(lambda: not house.chats.waiting.all() and ending(house, second))
    assert [question(call) for call in gemini.calls[-2:]] == ["A?", "B?"]


def test_a_network_that_is_off_for_a_night_costs_no_question(clock: Clock) -> None:
    begun, waits = clock.moment, WaitingTurn(1, 1, clock.moment)
    tries = list[float]()
    while waits.times <= MOST_TIMES:
        clock.moment = waits.at
        tries.append((clock.moment - begun) / 60)
        again = next_wait(waits, 0.0, UpstreamUnreachable("Gemini"))
        assert again is not None
        waits = again
    assert tries == [0, 10, 30, 70, 150, 310, 630, 1270], "minutes"
    damaged = next_wait(waits._replace(times=1 << 61), 0.0, UpstreamUnreachable("Gemini"))
    assert damaged and damaged.at - clock.moment < DAY


def test_beside_a_computer_that_is_off_a_quota_is_waited_for_and_no_other_question_tries_it(
    gemini: FakeGemini, tmp_path: Path, clock: Clock
) -> None:
    with refusing_url() as off:
        clocks = Clocks(connect=SOON, first_byte=30, progress=30)
        rungs = listed("model-a", f"small at {off}", clocks=clocks, gemini_url=gemini.url)
        with House(gemini.url, tmp_path, rungs=rungs) as house:
            first, second = out_of_quota(house, gemini, "A?", "B?")
            told = ending(house, first)
            assert told and str(told.note).startswith("The appliance does not reach 127.0.0.1:"), told
            clock.moment = at = let_wait(house, first, second)
            gemini.next_call().play(OUT)
            eventually(lambda: all(each.at > at for each in house.chats.waiting.all()))
            assert [(each.turn, each.times) for each in house.chats.waiting.all()] == [(first, 1), (second, 0)]
            clock.moment = house.chats.waiting.all()[1].at
            gemini.next_call().play(Reply.answer("Yes."))
            gemini.next_call().play(Reply.answer("No."))
            eventually(lambda: not house.chats.waiting.all() and ending(house, second))


def test_another_failure_ends_the_waiting(gemini: FakeGemini, house: House, clock: Clock) -> None:
    first, second = out_of_quota(house, gemini, "A?", "B?")
    gemini.replies(Reply.error(400, "INVALID_ARGUMENT", "no"), Reply.answer("Yes."))
    clock.moment = let_wait(house, first, second)
    eventually(lambda: house.chats.waiting.all() == [] and ending(house, second))
    told = ending(house, first)
    assert told and told.finish is Finish.FAILED and not told.back_at


def test_the_clock_is_believed_or_nothing_is_asked_and_a_jump_of_it_is_noticed(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    (turn,) = out_of_quota(house, gemini, "A?")
    at, begun = let_wait(house, turn), clock.moment
    for wrong in (0.0, 9e9, at - 1, begun - 1800):
        clock.moment = wrong
        looks(clock)
        assert ending(house, turn) is not None and len(gemini.calls) == 1, wrong
    clock.moment = at + 3 * DAY  # nobody has told the appliance of the jump
    call = gemini.next_call()
    call.play(Reply.answer("Yes."))
    eventually(lambda: house.chats.waiting.all() == [])


def test_a_clock_that_was_wrong_when_it_was_let_wait_does_not_keep_it_for_ever(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    right = clock.moment
    clock.moment += 20 * 365 * DAY
    (turn,) = out_of_quota(house, gemini, "A?")
    let_wait(house, turn)
    clock.moment = right
    gemini.next_call().play(OUT)
    eventually(lambda: [each for each in house.chats.waiting.all() if right < each.at < right + 2 * DAY])
    assert len(gemini.calls) == 2


def test_later_turns_of_the_chat_go_on_and_the_answer_joins_its_history(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    chat, _ = house.ask("First?")
    gemini.next_call().play(Reply.answer("One."))
    eventually(lambda: ending(house, 1))
    (turn,) = out_of_quota(house, gemini, "Second?", chat=chat)
    at = let_wait(house, turn)
    house.ask("Third?", chat)
    eventually(lambda: ending(house, 3))
    clock.moment = at
    call = gemini.next_call()
    sent = [each["parts"][0]["text"] for each in call.json["contents"]]
    assert sent == ["First?", "One.", "Second?"], "what was said before it, and not what came after it"
    call.play(Reply.answer("Two."))
    eventually(lambda: ending(house, turn))
    house.ask("Fourth?", chat)
    call = gemini.next_call()
    sent = [each["parts"][0]["text"] for each in call.json["contents"]]
    assert sent == ["First?", "One.", "Second?", "Two.", "Fourth?"]
    call.play(Reply.answer("Four."))


def test_a_deleted_chat_is_not_asked_about_and_one_that_is_being_asked_is_stopped(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    first, second, third = out_of_quota(house, gemini, "A?", "B?", "C?")
    at = let_wait(house, first, second, third)
    house.post("/chats/1/delete", {})
    clock.moment = at
    call = gemini.next_call()
    assert question(call) == "B?"
    house.post("/chats/2/delete", {})
    call.wait_gone(30)
    call = gemini.next_call()
    assert question(call) == "C?"
    call.play(Reply.answer("Yes."))
    eventually(lambda: ending(house, third))
    assert len(gemini.calls) == 3


def test_after_a_restart_those_that_are_overdue_are_asked_in_order(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    first, second, third = out_of_quota(house, gemini, "A?", "B?", "C?")
    at = let_wait(house, third, first, second)
    house.stop()
    clock.moment = at + 5 * 3600
    house.start()
    for expected in ("C?", "A?", "B?"):
        call = gemini.next_call()
        assert question(call) == expected
        call.play(Reply.answer("Yes."))
    eventually(lambda: house.chats.waiting.all() == [] and ending(house, second))
    assert charged(house) == 3


def test_one_that_is_due_while_the_appliance_stops_waits_for_the_next_start(
    gemini: FakeGemini, house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (turn,) = out_of_quota(house, gemini, "A?")
    at = let_wait(house, turn)
    reopen, is_held, goes_on = house.chats.waiting.reopen, threading.Event(), threading.Event()

    def held(*given: Any) -> Any:
        is_held.set()
        assert goes_on.wait(30)
        return reopen(*given)

    monkeypatch.setattr(house.chats.waiting, "reopen", held)
    clock.moment = at
    assert is_held.wait(30)
    stopping = threading.Thread(target=house.stop)
    stopping.start()
    eventually(lambda: house.desk.is_closing)
    goes_on.set()
    stopping.join()
    house.start()
    call = gemini.next_call()
    assert question(call) == "A?" and len(gemini.calls) == 2
    call.play(Reply.answer("Yes."))
    eventually(lambda: ending(house, turn))


def test_a_reader_who_looks_while_it_begins_finds_it_being_written_and_then_its_answer(
    gemini: FakeGemini, house: House, clock: Clock
) -> None:
    (turn,) = out_of_quota(house, gemini, "A?")
    before = house.desk.find(turn)  # somebody holds the old one
    clock.moment = let_wait(house, turn)
    call = gemini.next_call()
    answer = house.desk.find(turn)
    assert answer is not None and answer is not before and answer.ending is None
    with house.follow(f"/answers/{turn}?as=events") as follow:
        call.play(Reply.answer("Because."))
        follow.read_to_end()
        assert follow.state.end and follow.state.end["finish"] == "complete"
    found = house.desk.find(turn)
    assert found is not None and found.text() == "Because." and found is not before


def test_a_card_that_takes_nothing_is_tried_again(
    gemini: FakeGemini, house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (turn,) = out_of_quota(house, gemini, "A?")
    at = let_wait(house, turn)
    reopen, tried = house.chats.waiting.reopen, list[int]()

    def fail(*given: Any) -> Any:
        tried.append(given[0])
        if len(tried) < 3:
            raise StorageError(Sentence("The card is full."))
        return reopen(*given)

    monkeypatch.setattr(house.chats.waiting, "reopen", fail)
    clock.moment = at
    gemini.next_call().play(Reply.answer("Yes."))
    eventually(lambda: ending(house, turn))
    assert tried == [turn] * 3


def test_while_they_wait_nothing_is_read_and_nothing_written(
    gemini: FakeGemini, house: House, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (turn,) = out_of_quota(house, gemini, "A?")
    let_wait(house, turn)
    eventually(lambda: not house.chats.waiting.changed.is_set())
    looks(clock)
    touched = list[str]()
    for name in ("read", "write"):
        method = getattr(Database, name)

        def counted(*given: Any, method: Any = method, name: str = name) -> Any:
            if threading.current_thread().name == "waiting":
                touched.append(name)
            return method(*given)

        monkeypatch.setattr(Database, name, counted)
    log = (tmp_path / "chats.sqlite-wal").stat()
    looks(clock, 10)
    assert touched == []
    assert (tmp_path / "chats.sqlite-wal").stat().st_mtime_ns == log.st_mtime_ns


@pytest.mark.parametrize("damaged", [-1e300, 0.0, LAST_MOMENT, 9e300])
def test_a_moment_that_the_card_has_damaged_does_not_make_it_spin(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, damaged: float
) -> None:
    """Neither while the quota is still used up, nor while nobody knows the time."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 60.0)
    chats, back_at = Chats(database), clock.moment + 3600
    turn, _ = chats.ask("Why?", None, "form")
    chats.store_ending(turn.id, "", Ending(Finish.FAILED, back_at=back_at))
    assert chats.waiting.let_wait(turn.id)
    with database.write() as connection:
        connection.execute("UPDATE waiting SET at = ?", (damaged,))
    timer = WaitingTimer(chats.waiting, lambda row: pytest.fail("it is not asked yet"), lambda: back_at)
    right, clock.moment = clock.moment, 0.0
    assert timer.look() == 1.0
    clock.moment = right
    assert timer.look() == 0.0 and chats.waiting.all()[0].at == back_at
    assert timer.look() == 60.0


def test_with_nothing_that_waits_the_clock_is_not_even_looked_at(house: House, clock: Clock) -> None:
    eventually(lambda: not house.chats.waiting.changed.is_set())
    before = clock.looks
    threading.Event().wait(0.3)
    assert clock.looks <= before + 1
