"""Which model is asked, and which next when it cannot answer. Yields text and one ending.

Free quotas are small and models come and go, so a question goes down a list of models until one begins to
answer. Once text has arrived nothing is asked twice: a reader's page never starts over, and no answer is paid
for twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .ending import Ending, Finish
from .errors import ApplianceError, Cancelled, GeminiCut, GeminiSilent, GeminiUnreachable, OwnerError
from .gemini import AnswerReader, Generation, refusal, request
from .gemini import Message as Message
from .sentences import Sentence
from .upstream import Call, Upstream

log = logging.getLogger(__name__)

Conversation = Sequence[Message]
"""What has been said, in order; the last message is the question."""

_ERROR_BODY_BYTES = 64 * 1024


class Ladder:
    """The models of the house, best first. `key` is Gemini's; it is sent and nothing else."""

    def __init__(self, upstream: Upstream, key: str, models: Sequence[str], generation: Generation) -> None:
        self._upstream = upstream
        self._key = key
        self._models = tuple(models)
        self._generation = generation

    def ask(self, conversation: Conversation) -> Climb:
        """A climb for `conversation`. Nothing is sent before it is read."""
        return Climb(self._upstream, self._key, self._models, self._generation, conversation)


class Climb:
    """One question on its way down the ladder: iterate for its text, then read `ending`.

    `cancel()` may come from any thread at any moment and closes the connection to Gemini at once; the ending is
    then `stopped`.
    """

    def __init__(
        self,
        upstream: Upstream,
        key: str,
        models: Sequence[str],
        generation: Generation,
        conversation: Conversation,
    ) -> None:
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None  # what went wrong, if anything did
        self._upstream = upstream
        self._key = key
        self._models = models
        self._generation = generation
        self._conversation = conversation
        self._lock = threading.Lock()
        self._cancelled = False
        self._call: Call | None = None

    def __iter__(self) -> Iterator[str]:
        for model in self._models:
            reader = AnswerReader(model)
            self.error = None
            try:
                yield from self._ask_model(model, reader)
            except Cancelled:
                self.ending = Ending(
                    Finish.STOPPED, Sentence("You stopped this answer."), reader.model, reader.tokens
                )
            except ApplianceError as error:
                self.error = error
                self.ending = Ending(Finish.FAILED, error.sentence, reader.model, reader.tokens)
            else:
                self.error = reader.error
            if not self._may_ask_another(reader):
                return
            log.warning("ladder: %s did not answer: %s", model, self.error or self.ending)

    def cancel(self) -> None:
        """Stop at once; harmless when the climb is over."""
        with self._lock:
            self._cancelled = True
            if self._call is not None:
                self._call.cancel()

    def _may_ask_another(self, reader: AnswerReader) -> bool:
        ending = self.ending
        if reader.has_text or ending is None or ending.finish is Finish.STOPPED:
            return False
        if isinstance(self.error, OwnerError | GeminiUnreachable):  # the other models live at the same address
            return False
        return not reader.has_ended  # with a finish reason it has answered, be it with nothing

    def _ask_model(self, model: str, reader: AnswerReader) -> Iterator[str]:
        call = self._upstream.call()
        with self._lock:
            self._call = call
            if self._cancelled:
                call.cancel()
        try:
            asked = request(model, self._conversation, self._generation, self._key)
            status = call.open(asked.path, asked.headers, asked.body)
            if status != 200:
                timeout = self._upstream.clocks.connect
                raise refusal(status, call.read_short(_ERROR_BODY_BYTES, timeout))
            yield from self._read(call, reader)
        finally:
            with self._lock:
                self._call = None
            call.close()

    def _read(self, call: Call, reader: AnswerReader) -> Iterator[str]:
        """The text of the body, under two clocks: any byte, and once text has begun, progress."""
        clocks = self._upstream.clocks
        cut: ApplianceError | None = None
        progress, since = 0, time.monotonic()
        while reader.error is None:
            wait = clocks.first_byte
            if reader.has_text:
                if reader.progress != progress:
                    progress, since = reader.progress, time.monotonic()
                wait = clocks.progress - (time.monotonic() - since)
                if wait <= 0:
                    cut = GeminiSilent(Sentence("Gemini did not answer in time. Please ask again."), "no progress")
                    break
            try:
                data = call.read(wait)
            except (GeminiCut, GeminiSilent) as error:
                cut = error
                break
            if not data:
                break
            text = reader.feed(data)
            if text:
                yield text
        text, self.ending = reader.close(cut=cut is not None)
        if cut is not None and self.ending.finish is Finish.INTERRUPTED and not reader.has_text:
            self.ending = replace(self.ending, note=cut.sentence)  # silence is not a broken connection
        reader.error = reader.error or cut
        if text:
            yield text
        log.info("ladder: %s answered: %s, %d tokens", reader.model, self.ending.finish, self.ending.tokens)
