"""Answers: written in the background, followed from any offset by any number of readers.

An answer belongs to the appliance, not to a connection. Who asks gets a turn at once; its answer is written to
its end, or until somebody presses Stop, whoever is listening. All offsets are characters of the raw text.
"""

from __future__ import annotations

import bisect
import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..ending import Ending, Finish
from ..errors import BUSY, OWN_MISTAKE, StorageError
from ..sentences import Sentence
from ..storage.chats import Chats, Turn
from ..upstream.fallback import Climb, Fallback
from ..upstream.fallback import Conversation as Conversation
from ..upstream.fallback import Message as Message
from ..upstream.history import trim
from .typesetter import Block, Typesetter

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 0.5
"""What a cancelled writer gets to end by itself. Only one that is still connecting needs longer."""

SAVE_SECONDS = 0.6
"""How often growing text is stored: even with a slow commit, nothing older than a second is lost."""
_MOST_PAUSE_SECONDS = 30.0
"""A full card is tried, and spoken of in the log, ever more seldom."""

_THINKING_AFTER_SECONDS = 10.0
_THINKING = Sentence("Gemini is thinking. That can take a few minutes.")


class Position(NamedTuple):
    """Where a reader is: it holds everything up to `settled` as blocks and raw text behind that up to `sent`, and
    knows `state`, what is being waited for.
    """

    settled: int
    sent: int
    state: Sentence | None = None


_SWITCHED_OFF = Sentence("The appliance was switched off while it wrote this.")

START = Position(0, 0)
"""Of a reader that has nothing yet."""


class News(NamedTuple):
    """What a reader at a position lacks. After blocks its raw tail is empty: `text` begins where they end. `states`
    has what is being waited for, if that has changed; None: nothing any more.
    """

    blocks: Sequence[Block]
    text: str
    ending: Ending | None
    position: Position
    states: Sequence[Sentence | None] = ()


class Answer:
    """Append-only text with waiters. One thread writes it, any number read.

    `error` is why there is no answer, for callers that report by status.
    """

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._typesetter = Typesetter()
        self._pieces: list[str] = []
        self._starts: list[int] = []  # offset of each piece
        self._length = 0
        self._waits_for: Sentence | None = None
        self._waits_since = time.monotonic()

    @classmethod
    def of(cls, text: str, ending: Ending) -> Answer:
        """An answer that has been written before."""
        answer = cls()
        answer.append(text)
        answer.end(ending)
        return answer

    def append(self, text: str) -> None:
        """Add the next piece of the text; nothing is added to an answer that has ended."""
        with self._changed:
            if not text or self.ending is not None:
                return
            self._pieces.append(text)
            self._starts.append(self._length)
            self._length += len(text)
            self._typesetter.feed(text)
            self._changed.notify_all()

    def tell(self, state: Sentence | None) -> None:
        """What is being waited for before any text; None: for Gemini."""
        with self._changed:
            self._waits_for, self._waits_since = state, time.monotonic()
            self._changed.notify_all()

    def end(self, ending: Ending) -> None:
        """No more text will come."""
        with self._changed:
            self._typesetter.close()
            self.ending = ending
            self._changed.notify_all()

    @property
    def length(self) -> int:
        return self._length

    def text(self, start: int = 0) -> str:
        """The raw text from an offset on; nothing if that lies past the end."""
        with self._changed:
            return self._text(start)

    def position(self, offset: int) -> Position:
        """Where a reader stands that says it has everything up to `offset`: offsets inside a block, in the raw
        tail or past the end round down to the end of a settled block.
        """
        with self._changed:
            blocks = self._typesetter.blocks
            index = bisect.bisect_right(blocks, offset, key=lambda block: block.upto)
            settled = blocks[index - 1].upto if index else 0
            return Position(settled, settled)

    def news(self, position: Position, timeout: float) -> News:
        """What a reader at `position` lacks; waits up to `timeout` seconds until there is anything."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(position), timeout)
            blocks = self._typesetter.blocks
            fresh = blocks[bisect.bisect_right(blocks, position.settled, key=lambda block: block.upto) :]
            settled, sent = (fresh[-1].upto, fresh[-1].upto) if fresh else position[:2]
            state = self._state()
            states = () if state == position.state else (state,)
            reached = Position(settled, max(sent, self._length), state)
            return News(fresh, self._text(sent), self.ending, reached, states)

    def wait_for_end(self, timeout: float) -> bool:
        """Whether the answer has ended; waits up to `timeout` seconds for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ending is not None, timeout)

    def _has_news(self, position: Position) -> bool:
        blocks = self._typesetter.blocks
        settled = blocks[-1].upto if blocks else 0
        has_more = self._length > position.sent or settled > position.settled
        return self.ending is not None or has_more or self._state() != position.state

    def _state(self) -> Sentence | None:
        if self._length or self.ending is not None:
            return None
        is_slow = time.monotonic() - self._waits_since >= _THINKING_AFTER_SECONDS
        return self._waits_for or (_THINKING if is_slow else None)

    def _text(self, start: int) -> str:
        if start >= self._length:
            return ""
        first = bisect.bisect_right(self._starts, start) - 1
        return "".join(self._pieces[first:])[start - self._starts[first] :]


class _Writing:
    """An answer that is being written now."""

    def __init__(self, answer: Answer, climb: Climb, turn: Turn | None) -> None:
        self.answer = answer
        self.climb = climb
        self.turn = turn.id if turn else None
        self.chat = turn.chat if turn else None
        self.ending: Ending | None = None
        self.stored = 0  # characters
        self.cut_off = False  # the appliance is stopping
        self.since = time.monotonic()

    def __str__(self) -> str:
        return f"answer {self.turn}" if self.turn else "a script's answer"


class AnswerDesk:
    """Starts, finds, stops and stores answers. `history`: how many characters of what was said before go along with
    a question.
    """

    def __init__(self, chats: Chats, fallback: Fallback, history: int = 24_000) -> None:
        self._chats = chats
        self._fallback = fallback
        self._history = history
        self._lock = threading.Lock()
        self._busy = threading.Event()  # something is being written
        self._closing = threading.Event()
        self._writing: dict[Answer, _Writing] = {}
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def ask(self, question: str, chat: int | None, form: str, device: str = "") -> Turn:
        """Store a question and start its answer. The same form with the same question starts nothing again.

        Raises KeyError for an unknown chat, `StorageError` when the question cannot be stored.
        """
        turn, is_new = self._chats.ask(question, chat, form, device)
        if is_new:
            self._start(self._conversation(turn), turn)
        return turn

    def converse(self, conversation: Conversation) -> Answer:
        """An answer that is not stored and that ends when `abandon()` is called."""
        return self._start(conversation, None)

    def find(self, turn: int) -> Answer | None:
        """The answer of a turn, being written or as stored."""
        # Twice, because an answer can end and leave the desk between the look at the desk and at the store.
        for is_last_look in (False, True):
            live = self._find_writing(turn)
            if live is not None:
                return live.answer
            stored = self._chats.find_turn_by_id(turn)
            if stored is None:
                return None
            # Cut off by a power cut, if it has no ending even then, and the card cannot be written since.
            ending = stored.ending or (Ending(Finish.INTERRUPTED, _SWITCHED_OFF) if is_last_look else None)
            if ending is not None:
                return Answer.of(stored.answer, ending)
        return None

    def stop(self, turn: int) -> None:
        """The reader pressed Stop: the connection to Gemini is closed at once. Harmless when nothing is written."""
        live = self._find_writing(turn)
        if live is not None:
            live.climb.cancel()
            if not live.answer.wait_for_end(_PATIENCE_SECONDS):
                self._finish(live, Ending(Finish.STOPPED, Sentence("You stopped this answer.")))

    def delete(self, chat: int) -> None:
        """Forget a chat; what is being written in it is stopped first. Raises KeyError for an unknown one,
        `StorageError` when it cannot be deleted.
        """
        self._stop_chat(chat)
        self._chats.delete(chat)
        self._stop_chat(chat)  # asked in between; what it writes is stored nowhere

    def abandon(self, answer: Answer) -> None:
        """Nobody follows this unstored answer any more."""
        with self._lock:
            live = self._writing.get(answer)
        if live is not None:
            live.climb.cancel()

    @property
    def writing(self) -> int:
        """How many answers are being written."""
        return len(self._writing)

    @property
    def is_closing(self) -> bool:
        """Whether the appliance is stopping: followers leave then."""
        return self._closing.is_set()

    def close(self, timeout: float) -> None:
        """Interrupt and store everything that is being written, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._closing.set()
        self._busy.set()
        with self._lock:
            writing = list(self._writing.values())
        for live in writing:
            live.cut_off = True
            live.climb.cancel()
        for live in writing:
            if not live.answer.wait_for_end(max(0.0, deadline - time.monotonic())):
                self._finish(live, Ending(Finish.INTERRUPTED, _SWITCHED_OFF))
        self._keeper.join(max(0.1, deadline - time.monotonic()))

    def _conversation(self, turn: Turn) -> Conversation:
        messages: list[Message] = []
        for earlier in self._chats.turns_before(turn):
            has_failed = earlier.ending is not None and earlier.ending.finish is Finish.FAILED
            if earlier.answer and not has_failed:
                messages += [Message("user", earlier.question), Message("model", earlier.answer)]
        return [*messages, Message("user", turn.question)]

    def _stop_chat(self, chat: int) -> None:
        with self._lock:
            turns = [live.turn for live in self._writing.values() if live.chat == chat]
        for turn in turns:
            if turn is not None:
                self.stop(turn)

    def _find_writing(self, turn: int) -> _Writing | None:
        with self._lock:
            return next((live for live in self._writing.values() if live.turn == turn), None)

    def _start(self, conversation: Conversation, turn: Turn | None) -> Answer:
        answer = Answer()
        live = _Writing(answer, self._fallback.ask(trim(conversation, self._history), answer.tell), turn)
        with self._lock:
            self._writing[live.answer] = live
            live.cut_off = self.is_closing
        if live.cut_off:
            live.climb.cancel()
        self._busy.set()
        log.info("answers: %s was asked for", live)
        try:
            threading.Thread(target=self._write, args=(live,), name=f"answer-{live.turn}", daemon=True).start()
        except RuntimeError as error:  # the machine, or systemd, allows no more of them
            log.error("answers: nobody can write %s: %s", live, error)
            self._finish(live, Ending(Finish.FAILED, BUSY))
        return live.answer

    def _write(self, live: _Writing) -> None:
        answer = live.answer
        try:
            for text in live.climb:
                answer.append(text)
            ending = live.climb.ending
            answer.error = live.climb.error
        except Exception:
            log.exception("answers: a mistake while writing")
            ending = None
        if ending is None:
            ending = Ending(Finish.FAILED, OWN_MISTAKE)
        if live.cut_off and ending.finish is Finish.STOPPED:
            ending = Ending(Finish.INTERRUPTED, _SWITCHED_OFF, ending.model, ending.tokens)
        self._finish(live, ending)

    def _finish(self, live: _Writing, ending: Ending) -> None:
        """End an answer, once: by its writer, or over the head of one that does not hear."""
        with self._lock:
            if live.ending is not None:
                return
            live.ending = ending
        _tell_of(live, ending)
        # Stored before it is announced: a page that reloads at the end finds the end.
        try:
            self._leave_desk(live, ending)
        finally:
            live.answer.end(ending)

    def _leave_desk(self, live: _Writing, ending: Ending) -> bool:
        """Store a whole answer. If that fails it stays on the desk, can be read there, and is tried again."""
        if live.turn is not None:
            try:
                self._chats.store_ending(live.turn, live.answer.text(), ending)
            except StorageError as error:
                log.error("answers: cannot store an answer: %s", error)
                return False
        with self._lock:
            self._writing.pop(live.answer, None)  # writer and keeper may both have come this far
            if not self._writing and not self.is_closing:
                self._busy.clear()
        return True

    def _keep(self) -> None:
        """Store growing text now and then, while there is any."""
        took = 0.0  # on a busy machine the card is slow too: that time counts
        pause = SAVE_SECONDS
        while self._busy.wait() and not self._closing.wait(max(pause / 4, pause - took)):
            start = time.monotonic()
            pause = min(2 * pause, _MOST_PAUSE_SECONDS)
            try:
                if self._store_growth():
                    pause = SAVE_SECONDS
            except StorageError as error:
                log.error("answers: cannot store growing text: %s", error)
            except Exception:
                log.exception("answers: a mistake while storing")
            took = time.monotonic() - start

    def _store_growth(self) -> bool:
        """One transaction for all that grows; and another try for what could not be stored at its end. Returns
        whether all is stored.
        """
        with self._lock:
            writing = [live for live in self._writing.values() if live.turn is not None]
        ended = [(live, live.answer.ending) for live in writing if live.answer.ending is not None]
        is_stored = all([self._leave_desk(live, ending) for live, ending in ended])
        grown = [live for live in writing if live.ending is None and live.answer.length > live.stored]
        texts = {live.turn: live.answer.text() for live in grown if live.turn is not None}
        if texts:
            self._chats.store_texts(texts)
        for live in grown:
            live.stored = len(texts[live.turn or 0])
        return is_stored


def _tell_of(live: _Writing, ending: Ending) -> None:
    seconds, error = time.monotonic() - live.since, live.climb.error
    told = f"{ending.finish}, by {ending.model or 'nobody'}, {ending.tokens} tokens, {seconds:.1f} s"
    if error is None:
        log.info("answers: %s ended: %s", live, told)
    else:
        log.warning("answers: %s ended: %s: %s", live, told, error)
