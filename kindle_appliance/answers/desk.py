"""The desk: starts answers in the background, finds, stops and stores them.

An answer belongs to the appliance, not to a connection. A question becomes a turn at once; its answer is written to
its end, or until a reader presses Stop, however many readers follow it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from ..conversation import Message, Question
from ..ending import DELETED, STOPPED, SWITCHED_OFF, Ending, Finish
from ..errors import BUSY, OWN_MISTAKE, Cancelled, StorageError
from ..storage.chats import Chats, Piece
from ..storage.database import Connection
from ..storage.rows import Turn
from ..storage.waiting import WaitingTurn
from ..upstream.fallback import Fallback
from ..upstream.generation import Generation
from .answer import Answer
from .going_on import opened_before
from .stored import StoredAnswers
from .turns import Turns
from .waiting import WaitingTimer, next_wait

log = logging.getLogger(__name__)

BY_DELETION = Ending(Finish.STOPPED, DELETED)
_BY_READER = Ending(Finish.STOPPED, STOPPED)
_BY_SWITCHING_OFF = Ending(Finish.INTERRUPTED, SWITCHED_OFF)
"""How an answer ends that the desk cancels, by who wanted that."""

_PATIENCE_SECONDS = 0.5
"""Cancelled writers get this time to end by themselves. Only one that is still connecting needs longer."""

SAVE_SECONDS = 1.1
"""From one write of growing text to the next. Each costs a page of the card, however little text there is."""
_LOST_SECONDS = 1.25
"""So old may text be when it is stored. As a commit takes its time too, slow ones begin earlier."""
_MOST_PAUSE_SECONDS = 30.0
"""A full card is tried, and logged, ever more seldom."""


Charge = Callable[[Connection], AbstractContextManager[object]]
"""What a question costs: taken in the transaction that stores it, given back if that fails."""


class _Writing:
    """An answer in the making."""

    def __init__(self, answer: Answer, generation: Generation, turn: Turn | None) -> None:
        self.answer = answer
        self.generation = generation
        self.turn = turn.id if turn else None
        self.chat = turn.chat if turn else None
        self.waited: WaitingTurn | None = None
        self.ending: Ending | None = None
        self.stored = 0  # characters
        self.when_cancelled = _BY_READER
        self.since = time.monotonic()

    def __str__(self) -> str:
        return f"answer {self.turn}" if self.turn else "a script's answer"


class AnswerDesk:
    """Starts, finds, stops and stores answers, between `start()` and `close()`. `instruction`: the system
    instruction of each question.
    """

    def __init__(self, chats: Chats, fallback: Fallback, instruction: str = "") -> None:
        self._chats = chats
        self._fallback = fallback
        self._instruction = instruction
        self._turns = Turns()
        self._stored = StoredAnswers(chats, self._turns)
        self._lock = threading.Lock()
        self._busy = threading.Event()  # something is being written, or has been deleted
        self._has_freed = True  # there may be space to give back to the card, also from before
        self._closing = threading.Event()
        self._writing: dict[Answer, _Writing] = {}
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._timer = WaitingTimer(chats.waiting, self._reopen, lambda: fallback.back_at)
        self._busy.set()

    def start(self) -> None:
        """Store growing text, and ask questions that wait, from now on, until `close()`. What the last start has
        left without an end must have one by now.
        """
        self._keeper.start()
        self._timer.start()

    def ask(
        self,
        question: str,
        chat: int | None,
        form: str,
        device: str = "",
        charge: Charge = lambda connection: nullcontext(),
        first_rung: int = 0,
    ) -> Turn:
        """Store a question and start its answer. A form that is sent twice with the same question starts one
        answer, and is charged once. `first_rung`: the position of the model to begin with.

        Raises KeyError for an unknown chat, `StorageError` when the question cannot be stored, and what `charge`
        raises.
        """
        accepted: list[_Writing] = []

        @contextmanager
        def accept(connection: Connection, turn: Turn) -> Iterator[None]:
            # On the desk before the turn can be seen: a reader would take a turn with neither an ending nor a
            # writer for one that a power cut broke off.
            placed = self._placed(turn.question, self._history(turn), turn, first_rung)
            with charge(connection), placed as live:
                accepted[:] = [live]  # not also that of a transaction that had to run again
                yield

        turn, _ = self._chats.ask(question, chat, form, device, accept)
        for live in accepted:
            self._start(live)
        return turn

    def converse(self, question: str, history: Sequence[Message]) -> Answer:
        """An answer that is not stored and that ends when `abandon()` is called."""
        with self._placed(question, history, None) as live:
            self._start(live)
        return live.answer

    def find(self, turn: int) -> Answer | None:
        """The answer of a turn: the one being written, or as it is stored."""
        # Two looks: an answer can end and leave the desk between the look at the desk and the one at the store.
        for _ in range(2):
            live = self._find_writing(turn)
            found = live.answer if live is not None else self._stored.find(turn)
            if found is not None:
                return found
        stored = self._chats.find_turn_by_id(turn)
        # Still without an ending: a power cut broke it off, and the disk has not been writable since.
        if stored is None:
            return None
        ending = stored.ending or _BY_SWITCHING_OFF
        return Answer.of(stored.answer, ending, self._turns, opened=opened_before(self._chats, stored))

    def stop(self, turn: int) -> None:
        """Close the connection to the model server at once. Harmless when nothing is being written."""
        live = self._find_writing(turn)
        if live is not None:
            self._cancel([live], _BY_READER, _PATIENCE_SECONDS)

    def delete(self, chat: int) -> None:
        """Delete a chat, and stop the answers being written in it, which are stored nowhere then. Raises KeyError
        for an unknown chat, `StorageError` when it cannot be deleted: its answers go on.
        """
        self._chats.delete(chat)
        self._stored.drop()
        with self._lock:
            orphans = [live for live in self._writing.values() if live.chat == chat]
            self._has_freed = True
            self._busy.set()
        self._cancel(orphans, BY_DELETION, _PATIENCE_SECONDS)

    def abandon(self, answer: Answer) -> None:
        """Stop an unstored answer whose client has left."""
        with self._lock:
            live = self._writing.get(answer)
        if live is not None:
            live.generation.cancel()

    @property
    def writing(self) -> int:
        """The number of answers that are being written."""
        return len(self._writing)

    @property
    def is_closing(self) -> bool:
        """Whether the appliance is stopping; followers leave then."""
        return self._closing.is_set()

    def close(self, timeout: float) -> None:
        """Interrupt all answers being written and store them, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._closing.set()
        self._timer.close()
        self._busy.set()
        with self._lock:
            writing = list(self._writing.values())
        self._cancel(writing, _BY_SWITCHING_OFF, timeout)
        self._timer.join(max(0.1, deadline - time.monotonic()))
        self._keeper.join(max(0.1, deadline - time.monotonic()))

    def _reopen(self, waiting: WaitingTurn) -> Answer | None:
        """Ask a question that has waited, and return its answer; None if it waits no longer. It was charged when it
        was asked first. Raises `Cancelled` when the appliance stops: the question goes on waiting.
        """
        accepted: list[_Writing] = []

        @contextmanager
        def accept(connection: Connection, turn: Turn) -> Iterator[None]:
            with self._placed(turn.question, self._history(turn), turn) as live:
                if self.is_closing:
                    raise Cancelled
                live.waited = waiting
                accepted[:] = [live]
                yield

        turn = self._chats.waiting.reopen(waiting.turn, accept)
        self._stored.drop_one(waiting.turn)
        if turn is None:
            return None
        self._start(accepted[0])
        return accepted[0].answer

    def _history(self, turn: Turn) -> list[Message]:
        """The messages before this turn, back to the first that no model would get. A question without an answer is
        left out, and one that cannot be read.
        """
        messages: list[Message] = []
        left = self._fallback.history_characters
        for earlier in self._chats.turns_before(turn):
            has_failed = earlier.ending is not None and earlier.ending.finish is Finish.FAILED
            if earlier.question and earlier.answer and not has_failed:
                messages += [Message("model", earlier.answer), Message("user", earlier.question)]
                left -= len(earlier.answer) + len(earlier.question)
            if left < 0:
                break
        return messages[::-1]

    def _cancel(self, writing: Sequence[_Writing], ending: Ending, timeout: float) -> None:
        """End answers before their time: by themselves within `timeout` seconds, or without their writers."""
        deadline = time.monotonic() + timeout
        for live in writing:
            live.when_cancelled = ending
            live.generation.cancel()
        for live in writing:
            if not live.answer.wait_for_end(max(0.0, deadline - time.monotonic())):
                self._finish(live, ending)

    def _find_writing(self, turn: int) -> _Writing | None:
        with self._lock:
            return next((live for live in self._writing.values() if live.turn == turn), None)

    @contextmanager
    def _placed(
        self, text: str, history: Sequence[Message], turn: Turn | None, first_rung: int = 0
    ) -> Iterator[_Writing]:
        """Put a new answer on the desk. It is removed if this context is left by an error."""
        answer = Answer(self._turns, opened=opened_before(self._chats, turn) if turn else None)
        question = Question(text, tuple(history), self._instruction)
        generation = self._fallback.ask(question, lambda state: answer.tell(state.sentence), first_rung)
        live = _Writing(answer, generation, turn)
        with self._lock:
            self._writing[live.answer] = live
            is_late = self.is_closing
        if is_late:
            live.when_cancelled = _BY_SWITCHING_OFF
            live.generation.cancel()
        try:
            yield live
        except BaseException:
            self._remove(live)
            answer.end(Ending(Finish.FAILED, OWN_MISTAKE))  # of a question that nobody was told of
            raise

    def _remove(self, live: _Writing) -> None:
        with self._lock:
            self._writing.pop(live.answer, None)  # writer and keeper may both have come this far
            self._rest_if_idle()

    def _rest_if_idle(self) -> None:
        """Let the keeper wait if it has nothing to do. Called with `_lock`."""
        if not self._writing and not self._has_freed and not self.is_closing:
            self._busy.clear()

    def _start(self, live: _Writing) -> None:
        self._busy.set()
        log.info("answers: %s was asked for", live)
        try:
            threading.Thread(target=self._write, args=(live,), name=f"answer-{live.turn}", daemon=True).start()
        except RuntimeError as error:  # the machine, or systemd, allows no more threads
            log.error("answers: nobody can write %s: %s", live, error)
            self._finish(live, Ending(Finish.FAILED, BUSY))

    def _write(self, live: _Writing) -> None:
        answer = live.answer
        try:
            for text in live.generation:
                answer.append(text)
            ending = live.generation.ending
            answer.error = live.generation.error
        except Exception:
            log.exception("answers: a mistake while writing")
            ending = None
        if ending is None:
            ending = Ending(Finish.FAILED, OWN_MISTAKE)
        if ending.finish is Finish.STOPPED:
            cancelled = live.when_cancelled
            ending = replace(ending, finish=cancelled.finish, note=cancelled.note)
        self._finish(live, ending)

    def _finish(self, live: _Writing, ending: Ending) -> None:
        """End an answer, once: from its writer thread, or for a writer that does not react in time."""
        with self._lock:
            if live.ending is not None:
                return
            live.ending = ending
        _tell_of(live, ending)
        # Stored before it is announced: a page that reloads at the end must find the end.
        try:
            self._leave_desk(live, ending)
        finally:
            live.answer.end(ending)

    def _leave_desk(self, live: _Writing, ending: Ending) -> bool:
        """Store a complete answer. If that fails, it stays readable on the desk, and storing is tried again."""
        if live.turn is not None:
            try:
                self._chats.store_ending(live.turn, live.answer.text(), ending, _waits_again(live, ending))
            except StorageError as error:
                log.error("answers: cannot store an answer: %s", error)
                return False
        self._remove(live)
        return True

    def _keep(self) -> None:
        """Store growing text, and give back space, at intervals, as long as there is any."""
        pause = SAVE_SECONDS / 2  # the first commit tells how long they take
        after_failure = SAVE_SECONDS
        while self._busy.wait() and not self._closing.wait(pause):
            start = time.monotonic()
            is_stored = False
            try:
                is_stored = self._store_growth()
                self._give_back()
            except StorageError as error:
                log.error("answers: cannot store growing text: %s", error)
            except Exception:
                log.exception("answers: a mistake while storing")
            if is_stored:
                took = time.monotonic() - start
                after_failure = SAVE_SECONDS
                pause = max(SAVE_SECONDS / 4, min(SAVE_SECONDS - took, _LOST_SECONDS - 2 * took))
            else:
                pause = after_failure = min(2 * after_failure, _MOST_PAUSE_SECONDS)

    def _give_back(self) -> None:
        """Give back a part of the space that deletions have left. After an error the next deletion tries again."""
        with self._lock:
            has_more, self._has_freed = self._has_freed, False
        try:
            has_more = has_more and self._chats.give_back()
        except StorageError as error:
            has_more = False
            log.error("answers: cannot give back the space of deleted chats: %s", error)
        with self._lock:
            self._has_freed = self._has_freed or has_more
            self._rest_if_idle()

    def _store_growth(self) -> bool:
        """Store what is new of all growing texts in one transaction, and try again what could not be stored at its
        end. Returns whether all is stored.
        """
        with self._lock:
            writing = [live for live in self._writing.values() if live.turn is not None]
        ended = [(live, live.answer.ending) for live in writing if live.answer.ending is not None]
        is_stored = all([self._leave_desk(live, ending) for live, ending in ended])
        grown = [live for live in writing if live.ending is None and live.answer.length > live.stored]
        pieces = [Piece(live.turn or 0, live.stored, live.answer.text(live.stored)) for live in grown]
        if pieces:
            self._chats.store_pieces(pieces)
        for live, piece in zip(grown, pieces, strict=True):
            live.stored += len(piece.text)
        return is_stored


def _waits_again(live: _Writing, ending: Ending) -> WaitingTurn | None:
    if live.waited is None or ending.finish is not Finish.FAILED or live.answer.length:
        return None
    return next_wait(live.waited, ending.back_at, live.generation.error)


def _tell_of(live: _Writing, ending: Ending) -> None:
    seconds, error = time.monotonic() - live.since, live.generation.error
    told = f"{ending.finish}, by {ending.model or 'nobody'}, {ending.tokens} tokens, {seconds:.1f} s"
    if error is None:
        log.info("answers: %s ended: %s", live, told)
    else:
        log.warning("answers: %s ended: %s: %s", live, told, error)
