"""Routes: the plain contract for scripts, `POST /api/chat`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass

from bottle import HTTPResponse

from ..answers.answer import Answer
from ..answers.desk import AnswerDesk
from ..conversation import Message
from ..ending import Finish
from ..errors import BUSY, OWN_MISTAKE, ReaderError, StorageError
from ..sentences import Sentence
from ..storage.chats import check_question, clean
from ..storage.rate_limit import RateLimit
from . import frames, replies, visitor
from .headers import TRY_SOON
from .json_body import read_json
from .seats import Seats
from .streams import BEAT_SECONDS, follow_text
from .visitor import Visitors

log = logging.getLogger(__name__)

HISTORY_MESSAGES = 200


@dataclass(frozen=True)
class Scripts:
    """`POST /api/chat`.

    It takes one of the `seats`, so that scripts cannot hold every thread.
    """

    visitors: Visitors
    desk: AnswerDesk
    rate_limit: RateLimit
    seats: Seats

    def converse(self) -> HTTPResponse:
        """`POST /api/chat` with `{"message", "history"}`: the answer as plain text while it is written. It is not
        stored and stops when its client leaves. The status waits for the first text; an answer that breaks off
        later cuts the body, so that clients notice.
        """
        language = self.visitors.language()
        try:
            question, history = _conversation(read_json())
            seat = self.seats.take_for_script(visitor.source())
            if seat is None:
                return replies.json_error(503, BUSY, language, TRY_SOON)
            try:
                self.rate_limit.take(visitor.asker())
                answer = self.desk.converse(question, history)
            except BaseException:
                seat.release()
                raise
        except ReaderError as error:
            replies.log_refusal(error)
            return replies.json_error(error.status, error.sentence, language, replies.retry_after(error))
        except StorageError as error:
            log.error("web: %s", error)
            return replies.json_error(503, error.sentence, language)
        body = seat.hold(self._stream(answer, visitor.is_gone()))
        next(body)  # up to the first text, or to the end without one
        if answer.length or answer.ending is None:
            return replies.stream(body, frames.PLAIN_TEXT)
        body.close()
        sentence = answer.ending.note or OWN_MISTAKE
        return replies.json_error(replies.status_of(answer), sentence, language, replies.retry_after(answer.error))

    def _stream(self, answer: Answer, is_gone: Callable[[], bool]) -> Generator[bytes]:
        """Yields nothing, once, as soon as there is text or an end; then the text."""
        try:
            while not (answer.wait_for_text(BEAT_SECONDS) or is_gone()):
                pass
            yield b""
            yield from follow_text(answer, 0, is_gone)
        finally:
            self.desk.abandon(answer)
        if answer.ending is not None and answer.ending.finish in (Finish.INTERRUPTED, Finish.FAILED):
            # Waitress takes an OSError as a broken connection: it closes without the last chunk.
            raise ConnectionAbortedError(f"the answer was not finished: {answer.ending.finish}")


def _conversation(body: object) -> tuple[str, list[Message]]:
    """The question of an API request and the messages before it, checked; an error names the place."""
    if not isinstance(body, dict):
        raise ReaderError(Sentence("The request must be an object with “message” and “history”."))
    message, history = body.get("message"), body.get("history", [])
    if not isinstance(message, str):
        raise ReaderError(Sentence("“%(place)s” must be a text.", place="message"))
    question = clean(message)
    check_question(question)
    if not isinstance(history, list) or len(history) > HISTORY_MESSAGES:
        raise ReaderError(Sentence("“history” must be a list of at most %(most)d messages.", most=HISTORY_MESSAGES))
    return question, [_message(entry, f"history[{index}]") for index, entry in enumerate(history)]


def _message(entry: object, place: str) -> Message:
    if not isinstance(entry, dict):
        raise ReaderError(Sentence("“%(place)s” must be an object with “role” and “text”.", place=place))
    role, text = entry.get("role"), entry.get("text")
    if role != "user" and role != "model":
        raise ReaderError(Sentence("“%(place)s” must be “user” or “model”.", place=f"{place}.role"))
    if not isinstance(text, str) or not text.strip():
        raise ReaderError(Sentence("“%(place)s” must be a text that is not empty.", place=f"{place}.text"))
    return Message(role, clean(text))
