"""Which model is asked, and which next when it cannot answer. Yields text and one ending.

Free quotas are small and models come and go, so a question goes down a list of models until one begins to
answer. When none does, and one says that it can be asked again in a moment, that is waited for. Once text has
arrived nothing is asked twice: a reader's page never starts over, and no answer is paid for twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from ..ending import Ending, Finish
from ..errors import (
    ApplianceError,
    Cancelled,
    OwnerError,
    UnknownModel,
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from ..sentences import Moment, Sentence
from .call import Call, Upstream
from .gemini import TOO_LONG, AnswerReader, GenerationOptions, refusal, request
from .gemini import Message as Message
from .quotas import Models

log = logging.getLogger(__name__)

Conversation = Sequence[Message]
"""What has been said, in order; the last message is the question."""

_ERROR_BODY_BYTES = 64 * 1024
_MOST_WAITING_SECONDS = 20.0
"""For how long, in all, a question waits until a model may be asked again."""
_LEAST_WAITING_SECONDS = 1.0
_MOST_CHARACTERS = 1_000_000
"""No model writes as much. What does would go on for ever, and fill memory and card."""


_STOPPED = Sentence("You stopped this answer.")
_USED_UP = Sentence("Gemini's free questions for today are used up.")


class Fallback:
    """The way to Gemini for every question. `key` is Gemini's; it is sent and nothing else."""

    def __init__(self, upstream: Upstream, key: str, models: Models, generation: GenerationOptions) -> None:
        self._upstream = upstream
        self._key = key
        self._models = models
        self._generation = generation

    def ask(self, conversation: Conversation, tell: Callable[[Sentence | None], None] = lambda _: None) -> Climb:
        """A climb for `conversation`. Nothing is sent before it is read. `tell` learns what is waited for,
        and that (None) it has come.
        """
        return Climb(self._upstream, self._key, self._models, self._generation, conversation, tell)


class Climb:
    """One question on its way down the fallback: iterate for its text, then read `ending`.

    `cancel()` may come from any thread at any moment and closes the connection to Gemini at once; the ending is
    then `stopped`.
    """

    def __init__(
        self,
        upstream: Upstream,
        key: str,
        models: Models,
        generation: GenerationOptions,
        conversation: Conversation,
        tell: Callable[[Sentence | None], None],
    ) -> None:
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None  # what went wrong, if anything did
        self._upstream = upstream
        self._key = key
        self._models = models
        self._generation = generation
        self._conversation = conversation
        self._tell = tell
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._call: Call | None = None
        self._unknown: set[str] = set()  # models that Gemini does not have

    def __iter__(self) -> Iterator[str]:
        waited = 0.0
        hopeless: list[str] = []  # models that did not say when to come again
        while (wait := (yield from self._descend(hopeless))) is not None:
            wait = max(wait, _LEAST_WAITING_SECONDS)
            if waited + wait > _MOST_WAITING_SECONDS:
                return
            waited += wait
            self._tell(
                Sentence(
                    "Too many questions at once for Gemini. It is asked again in %(count)d second.",
                    plural="Too many questions at once for Gemini. It is asked again in %(count)d seconds.",
                    count=round(wait),
                )
            )
            if self._cancelled.wait(wait):
                self.ending = Ending(Finish.STOPPED, _STOPPED)
                return
            self._tell(None)

    def cancel(self) -> None:
        """Stop at once; harmless when the climb is over."""
        with self._lock:
            self._cancelled.set()
            if self._call is not None:
                self._call.cancel()

    def _descend(self, hopeless: list[str]) -> Generator[str, None, float | None]:
        """Ask model by model until one answers. When all have refused: the seconds after which the first of them
        can be asked again, as it says; None when there is nothing to wait for. What is told then is why the best
        hope came to nothing: a model that is retired or used up is not why the question has no answer.
        """
        tried, waits = list(hopeless), []
        hope, told = 0, (self.error, self.ending)
        while (model := self._models.next(tried)) is not None:
            tried.append(model)
            reader = AnswerReader(model)
            yield from self._try(model, reader)
            if reader.model != model:
                self._models.learn(model, reader.model)
            error = self.error
            if isinstance(error, UpstreamError) and error.out_for_the_day:
                self._models.set_out(model)
            if not self._may_ask_another(reader):
                return None
            log.warning("fallback: %s did not answer: %s", model, error or self.ending)
            if isinstance(error, UnknownModel):
                self._unknown.add(model)
            if (left := _hope(error)) >= hope:
                hope, told = left, (error, self.ending)
            if isinstance(error, UpstreamError) and error.retry_after is not None and not error.out_for_the_day:
                waits.append(error.retry_after)
            else:
                hopeless.append(model)
        self.error, self.ending = told
        if (moment := self._models.back_at(self._unknown)) is not None:
            self.error = UpstreamError(_USED_UP, retry_after=max(0.0, moment - time.time()), out_for_the_day=True)
            self.ending = Ending(
                Finish.FAILED,
                Sentence(
                    "Gemini's free questions for today are used up. New questions from %(moment)s.",
                    moment=Moment(moment),
                ),
            )
        return min(waits, default=None)

    def _try(self, model: str, reader: AnswerReader) -> Iterator[str]:
        self.error = None
        try:
            yield from self._ask_model(model, reader)
        except Cancelled:
            self.ending = Ending(Finish.STOPPED, _STOPPED, reader.model, reader.tokens)
        except ApplianceError as error:
            self.error = error
            self.ending = Ending(Finish.FAILED, error.sentence, reader.model, reader.tokens)
        else:
            self.error = reader.error
        if self.ending is not None and reader.has_text:
            self.ending = replace(self.ending, rung=self._models.names.index(model))

    def _may_ask_another(self, reader: AnswerReader) -> bool:
        ending = self.ending
        if reader.has_text or ending is None or ending.finish is Finish.STOPPED:
            return False
        if isinstance(self.error, OwnerError | UpstreamUnreachable):  # the other models live at the same address
            return False
        return not reader.has_ended  # with a finish reason it has answered, be it with nothing

    def _ask_model(self, model: str, reader: AnswerReader) -> Iterator[str]:
        call = self._upstream.call()
        with self._lock:
            self._call = call
            if self._cancelled.is_set():
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
        """The text of the body. Bytes alone are not enough: without text or newly counted tokens Gemini is stuck,
        and until it has begun to write it gets more time for them.
        """
        clocks = self._upstream.clocks
        cut: ApplianceError | None = None
        progress, since, length = 0, time.monotonic(), 0
        while reader.error is None and length < _MOST_CHARACTERS:
            if reader.progress != progress:
                progress, since = reader.progress, time.monotonic()
            patience = clocks.progress if reader.has_text else clocks.first_byte
            wait = patience - (time.monotonic() - since)
            if wait <= 0:
                cut = UpstreamSilent(Sentence("Gemini did not answer in time. Please ask again."), "no progress")
                break
            try:
                data = call.read(wait)
            except (UpstreamCut, UpstreamSilent) as error:
                cut = error
                break
            if not data:
                break
            text = reader.feed(data)
            length += len(text)
            if text:
                yield text
        text, self.ending = reader.close(cut=cut is not None)
        if cut is not None and self.ending.finish is Finish.INTERRUPTED and not reader.has_text:
            self.ending = replace(self.ending, note=cut.sentence)  # silence is not a broken connection
        if length >= _MOST_CHARACTERS and self.ending.finish is Finish.INTERRUPTED:
            self.ending = replace(self.ending, finish=Finish.LENGTH, note=TOO_LONG)
        reader.error = reader.error or cut
        if text:
            yield text
        log.debug("fallback: %s answered: %s, %d tokens", reader.model, self.ending.finish, self.ending.tokens)


def _hope(error: ApplianceError | None) -> int:
    """How soon a model that has refused may answer after all: never, tomorrow, soon."""
    if isinstance(error, UnknownModel):
        return 0
    return 1 if isinstance(error, UpstreamError) and error.out_for_the_day else 2
