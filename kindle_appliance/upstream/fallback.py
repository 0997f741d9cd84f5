"""Which rung is asked, and which next when it cannot answer.

Free quotas are small and models come and go, so a question goes down a list of rungs until one begins to answer: a
round of attempts. When all have refused, and one of them says that it can be asked again in a moment, the question
waits for that and goes on to another round. Once text has arrived nothing is asked twice: a reader's page never
starts over, and no answer is paid for twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..conversation import Question
from ..ending import STOPPED, Ending, Finish
from ..errors import ApplianceError, QuotaExhausted, UnknownModel
from ..sentences import Moment, Sentence
from .attempt import Attempt
from .quotas import Quotas
from .rung import Place, Rung

log = logging.getLogger(__name__)

_MOST_WAITING_SECONDS = 20.0
"""For how long, in all, a question waits until a rung may be asked again."""
_LEAST_WAITING_SECONDS = 1.0
_THINKING_AFTER_SECONDS = 10.0
"""Silence that a reader takes for a moment's thought. After that the page says so."""


class Waiting(NamedTuple):
    """What a question waits for before there is text: `sentence`, to be shown once `after` seconds have passed.
    `is_delay`: every rung has refused, and the question waits until one may be asked again.
    """

    sentence: Sentence
    after: float = 0.0
    is_delay: bool = False


Tell = Callable[[Waiting], None]


class Fallback:
    """The rungs, best first, and what is known of their quotas."""

    def __init__(self, rungs: Sequence[Rung], quotas: Quotas) -> None:
        self._rungs = tuple(rungs)
        self._quotas = quotas

    def ask(self, question: Question, tell: Tell = lambda _: None) -> Generation:
        """An answer to `question`. Nothing is sent before it is read."""
        return Generation(self._rungs, self._quotas, question, tell)


class Generation:
    """One answer in the making, over as many attempts as it takes: iterate for its text, then read `ending`, and
    `error` if anything went wrong.

    `cancel()` may come from any thread at any moment and closes the connection at once; the ending is then
    `stopped`.
    """

    def __init__(self, rungs: Sequence[Rung], quotas: Quotas, question: Question, tell: Tell) -> None:
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None
        self._rungs = rungs
        self._quotas = quotas
        self._question = question
        self._tell = tell
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._attempt: Attempt | None = None
        self._unknown: set[Rung] = set()  # models that their place does not have
        self._given_up: list[Rung] = []  # rungs that are not asked again for this question

    def __iter__(self) -> Iterator[str]:
        waited = 0.0
        while True:
            refusals = yield from self._ask_round()
            if refusals is None:  # one has answered
                return
            self._report(refusals)
            soonest = min(
                (each for each in refusals if each.rung not in self._given_up),
                key=lambda each: each.retry_after or 0.0,
                default=None,
            )
            if soonest is None:
                return
            delay = max(soonest.retry_after or 0.0, _LEAST_WAITING_SECONDS)
            waited += delay
            if waited > _MOST_WAITING_SECONDS:
                return
            self._tell(Waiting(_asked_again_in(delay, soonest.rung.provider), is_delay=True))
            if self._cancelled.wait(delay):
                self.ending = Ending(Finish.STOPPED, STOPPED)
                return

    def cancel(self) -> None:
        """Stop at once; harmless when the answer is complete."""
        with self._lock:
            self._cancelled.set()
            if self._attempt is not None:
                self._attempt.cancel()

    def _ask_round(self) -> Generator[str, None, list[Attempt] | None]:
        """Ask rung by rung until one answers: None. If all refuse, their refusals."""
        start = time.monotonic()
        tried = list(self._given_up)
        refusals: list[Attempt] = []
        while (rung := self._quotas.find_next(self._rungs, tried)) is not None:
            tried.append(rung)
            silence = time.monotonic() - start
            self._tell(Waiting(_is_thinking(rung.provider), max(0.0, _THINKING_AFTER_SECONDS - silence)))
            attempt = self._begin(rung)
            yield from attempt
            self._learn(attempt)
            if not attempt.is_refusal:
                self._conclude(attempt)
                return None
            log.warning("fallback: %s did not answer: %s", rung.model, attempt.error or attempt.ending)
            refusals.append(attempt)
            if attempt.rules_out_place:
                self._rule_out(rung.place, tried)
            elif attempt.retry_after is None:
                self._given_up.append(rung)
        return refusals

    def _begin(self, rung: Rung) -> Attempt:
        attempt = Attempt(rung, self._question)
        with self._lock:
            self._attempt = attempt
            if self._cancelled.is_set():
                attempt.cancel()
        return attempt

    def _learn(self, attempt: Attempt) -> None:
        """Remember what this attempt has shown of its model."""
        if attempt.model != attempt.rung.model:
            self._quotas.learn(attempt.rung, attempt.model)
        if isinstance(attempt.error, QuotaExhausted):
            self._quotas.set_out(attempt.rung, attempt.error.until)
        elif isinstance(attempt.error, UnknownModel):
            self._unknown.add(attempt.rung)

    def _rule_out(self, place: Place, tried: list[Rung]) -> None:
        """Ask no rung of a place whose key or network has failed."""
        rungs = [rung for rung in self._rungs if rung.place == place]
        self._given_up += rungs
        tried += rungs

    def _conclude(self, attempt: Attempt) -> None:
        self.error, self.ending = attempt.error, attempt.ending
        if self.ending is not None and attempt.has_text:
            self.ending = replace(self.ending, rung=self._rungs.index(attempt.rung))

    def _report(self, refusals: Sequence[Attempt]) -> None:
        """Report the most promising failure, so that a retired model does not mask a busy one. If every quota is
        used up, say when the first is back.
        """
        if refusals:
            self._conclude(max(reversed(refusals), key=_promise))
        known = [rung for rung in self._rungs if rung not in self._unknown]
        back = self._quotas.first_back(known)
        if back is None or any(each.rules_out_place for each in refusals):  # the owner must hear of a refused key
            return
        wait = max(0.0, back.at - time.time())
        self.error = QuotaExhausted(back.rung.provider, until=back.at, retry_after=wait)
        note = Sentence(
            "%(provider)s's free questions for today are used up. New questions from %(moment)s.",
            provider=back.rung.provider,
            moment=Moment(back.at),
        )
        self.ending = Ending(Finish.FAILED, note)


def _promise(attempt: Attempt) -> int:
    """How soon a rung that has refused may answer after all: never, tomorrow, soon."""
    if isinstance(attempt.error, UnknownModel):
        return 0
    return 1 if isinstance(attempt.error, QuotaExhausted) else 2


def _is_thinking(provider: str) -> Sentence:
    return Sentence("%(provider)s is thinking. That can take a few minutes.", provider=provider)


def _asked_again_in(seconds: float, provider: str) -> Sentence:
    return Sentence(
        "Too many questions at once for %(provider)s. It is asked again in %(count)d second.",
        plural="Too many questions at once for %(provider)s. It is asked again in %(count)d seconds.",
        provider=provider,
        count=round(seconds),
    )
