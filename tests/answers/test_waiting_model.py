"""Any history of waiting: each question is asked in order and once, whatever starts, stops and jumps in between."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Soak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kindle_appliance import clock
from kindle_appliance.answers.desk import AnswerDesk
from kindle_appliance.conversation import Question
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import ReaderError
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.waiting import MOST_TIMES, MOST_WAITING
from kindle_appliance.upstream.waiting import Tell

HOUR = 3600.0


class Writing:
    """What the desk reads of an answer in the making."""

    error = None

    def __init__(self, text: str, ending: Ending) -> None:
        self._text = text
        self.ending = ending

    def __iter__(self) -> Iterator[str]:
        yield from [self._text] * bool(self._text)

    def cancel(self) -> None:
        """It ends at once anyway."""


class Models:
    """Stands for the fallback: one model that answers `left` questions and is then out until `until`."""

    history_characters = 1000

    def __init__(self) -> None:
        self.left = 0
        self.until = 0.0
        self.answered: list[str] = []

    @property
    def back_at(self) -> float:
        return self.until if clock.now() < self.until else 0.0

    def ask(self, question: Question, tell: Tell, first: int = 0) -> Writing:
        if self.back_at or not self.left:
            self.until = self.back_at or clock.now() + 5 * HOUR
            return Writing("", Ending(Finish.FAILED, back_at=self.until))
        self.left -= 1
        self.answered.append(question.text)
        return Writing("Yes.", Ending(Finish.COMPLETE, None, "model"))


class Waiting(RuleBasedStateMachine):
    """A desk whose timer looks when the test lets it, and what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.moment = 1_800_000_000.0
        self.patch.setattr("kindle_appliance.clock.shown", lambda: self.moment)
        self.models = Models()
        self.failed: dict[int, str] = {}  # turns and their questions that could wait
        self.waiting: list[int] = []  # in the order in which they were taken
        self.times: dict[int, int] = {}
        self.asked = 0

    def teardown(self) -> None:
        self.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        self.desk.close(5)
        self.database.close()

    @initialize(questions=st.sampled_from((3, MOST_WAITING + 2)))
    def begin(self, questions: int) -> None:
        self.start()
        for _ in range(questions):
            self.ask(False)

    def start(self) -> None:
        self.database = Database(self.folder / "chats.sqlite", CHATS)
        self.chats = Chats(self.database)
        assert self.chats.interrupt_unfinished() == 0
        self.desk = AnswerDesk(self.chats, self.models)  # type: ignore[arg-type]
        self.desk._keeper.start()

    @rule(is_same_chat=st.booleans())
    def ask_one(self, is_same_chat: bool) -> None:
        self.ask(is_same_chat)

    def ask(self, is_same_chat: bool) -> None:
        self.asked += 1
        text, left, is_out = f"Question {self.asked}?", self.models.left, bool(self.models.back_at)
        recent = self.chats.recent(1)
        turn = self.desk.ask(text, recent[0].id if recent and is_same_chat else None, text)
        answer = self.desk.find(turn.id)
        assert answer is not None and answer.wait_for_end(10)
        if is_out or not left:
            self.failed[turn.id] = text

    @precondition(lambda self: self.failed)
    @rule(data=st.data())
    def let_wait(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(sorted(self.failed)))
        try:
            assert self.chats.waiting.let_wait(turn)
        except ReaderError:
            assert len(self.waiting) == MOST_WAITING and turn not in self.waiting
        else:
            if turn not in self.waiting:
                self.waiting.append(turn)
                self.times[turn] = 0
        self.look()

    @rule(data=st.data())
    def let_all_wait(self, data: st.DataObject) -> None:
        for turn in data.draw(st.permutations(sorted(self.failed))):
            if turn in self.waiting:
                continue
            if len(self.waiting) == MOST_WAITING:
                with pytest.raises(ReaderError, match="wait already"):
                    self.chats.waiting.let_wait(turn)
                continue
            assert self.chats.waiting.let_wait(turn)
            self.waiting.append(turn)
            self.times[turn] = 0
        self.look()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(self.waiting))
        self.chats.waiting.withdraw(turn)
        self.waiting.remove(turn)
        self.look()

    @precondition(lambda self: self.failed)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        turn = self.chats.find_turn_by_id(data.draw(st.sampled_from(sorted(self.failed))))
        assert turn is not None
        self.desk.delete(turn.chat)
        for each in [*self.failed]:
            if self.chats.find_turn_by_id(each) is None:
                self.forget(each)
        self.look()

    @rule(hours=st.sampled_from((0.5, 5.0, 24.0)), more=st.integers(0, 4))
    def time_passes(self, hours: float, more: int) -> None:
        self.moment += hours * HOUR
        self.models.left = more
        self.look()

    @rule(years=st.sampled_from((-40.0, -1.0, 5.0, 90.0)))
    def the_clock_jumps_and_back(self, years: float) -> None:
        right = self.moment
        self.moment += years * 365 * 24 * HOUR
        self.look()
        self.moment = right
        self.models.until = min(self.models.until, right + 5 * HOUR)  # as `Quotas` mends it
        self.look()

    @rule()
    def restart(self) -> None:
        self.close()
        self.start()
        self.look()

    def look(self) -> None:
        """Let the timer do all that is due, and compare."""
        timer, answered = self.desk._timer, len(self.models.answered)
        for _ in range(3 * MOST_WAITING):
            rows = self.chats.waiting.all()
            due = [each for each in rows if each.is_due(self.moment)]
            pause = timer.look()
            if not pause:
                if pause is None:
                    break
                self.compare(due[0].turn, answered)
                answered = len(self.models.answered)
                continue
            assert not due
            break
        assert [each.turn for each in self.chats.waiting.all()] == self.waiting
        assert len(self.waiting) <= MOST_WAITING

    def compare(self, first: int, answered: int) -> None:
        """After one look: the first that was due has its answer, or waits again."""
        new = self.models.answered[answered:]
        stored = self.chats.find_turn_by_id(first)
        assert stored is not None and stored.ending is not None
        if new:
            assert new == [self.failed[first]] and stored.answer == "Yes."
            self.forget(first)
            return
        assert stored.answer == "" and stored.ending.finish is Finish.FAILED
        row = self.chats.waiting.find(first)
        if row is None:
            assert self.times[first] == MOST_TIMES
            self.waiting.remove(first)
        else:
            assert row.times in (self.times[first], self.times[first] + 1)
            assert not row.is_due(self.moment), "nothing is asked twice at a moment"
            self.times[first] = row.times

    def forget(self, turn: int) -> None:
        self.failed.pop(turn, None)
        if turn in self.waiting:
            self.waiting.remove(turn)


def test_each_is_asked_in_order_and_once_whatever_happens(soak: Soak) -> None:
    examples = soak(25, full=1000)
    run_state_machine_as_test(Waiting, settings=settings(max_examples=examples, stateful_step_count=30))
    soak.tell(f"waiting: {examples} histories of 30 steps agree with the model")
