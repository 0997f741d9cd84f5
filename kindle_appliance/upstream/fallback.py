"""Which rung is asked, and which next when it cannot answer.

Free quotas are small and models come and go, so a question goes down a list of rungs until one begins to answer: a
round of attempts. When all have refused, and one of them says that it can be asked again in a moment, the question
waits for that and goes on to another round. One deadline for the first text covers all of it. A model that is
silent until then is the last one that is asked, because its thoughts are most likely billed; the reader can have
the next one asked. Once text has arrived nothing is asked twice: a reader's page never starts over, and no answer
is paid for twice.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from ..clock import now
from ..conversation import Question
from ..ending import STOPPED, Ending, Finish
from ..errors import (
    ApplianceError,
    ContextExceeded,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    UnknownModel,
    UpstreamUnreachable,
)
from ..sentences import Moment, Sentence
from .attempt import Attempt
from .call import Clocks
from .history import trim
from .quotas import Quotas
from .rung import Place, Rung

log = logging.getLogger(__name__)

_MOST_WAITING_SECONDS = 20.0
"""For how long, in all, a question waits until a rung may be asked again."""
_LEAST_WAITING_SECONDS = 1.0
_LONG_SECONDS = 60
"""After so much silence a reader wonders whether it will ever end, and is told when it will."""
_MOST_ROUNDS = 3
"""So often a question goes down the list, however short the delays are that it is told."""
_TOO_LONG_A_QUESTION = Sentence("This question is too long for %(provider)s. Please shorten it.")
_SHORTER = 4
"""A history that is too long for a model is cut to this part."""


@dataclass(frozen=True)
class Waiting:
    """What a question waits for before there is text: the answer of `model`, for at most `most` seconds.
    `is_delay`: every rung has refused, and the question waits so long until this model may be asked again.
    """

    model: str
    most: float
    is_delay: bool = False

    def sentence(self, seconds: int = 0) -> Sentence:
        """What readers are told so many seconds after the waiting began."""
        if self.is_delay:
            return Sentence(
                "Too many questions at once for %(model)s. It is asked again in %(seconds)d s ...",
                model=self.model,
                seconds=max(1, round(self.most) - seconds),
            )
        if not seconds:
            return Sentence("%(model)s is thinking ...", model=self.model)
        if seconds < _LONG_SECONDS:
            return Sentence("%(model)s is thinking, %(seconds)d s ...", model=self.model, seconds=seconds)
        return Sentence(
            "%(model)s is thinking, %(seconds)d s of at most %(most)d ...",
            model=self.model,
            seconds=seconds,
            most=math.ceil(self.most),
        )


Tell = Callable[[Waiting], None]
"""Takes what a question waits for from now on; it replaces what was told before."""


class Fallback:
    """The rungs, best first, and what is known of their quotas. `patience`: seconds from a question to its first
    text.
    """

    def __init__(self, rungs: Sequence[Rung], quotas: Quotas, patience: float = Clocks.first_byte) -> None:
        self._rungs = tuple(rungs)
        self._quotas = quotas
        self._patience = patience

    @property
    def history_characters(self) -> int:
        """So much of the history some rung can use; it never gets more."""
        return max((rung.limits.history_characters for rung in self._rungs), default=0)

    def ask(self, question: Question, tell: Tell = lambda _: None, first: int = 0) -> Generation:
        """An answer to `question`. Nothing is sent before it is read. `first`: the index of the rung to begin with;
        past the end of the list it is the first one.
        """
        first = first if first < len(self._rungs) else 0
        return Generation(self._rungs, first, self._quotas, question, tell, self._patience)


class Generation:
    """One answer in the making, over as many attempts as it takes: iterate for its text, then read `ending`, and
    `error` if anything went wrong.

    `cancel()` may come from any thread at any moment and closes the connection at once; the ending is then
    `stopped`.
    """

    def __init__(
        self, rungs: Sequence[Rung], first: int, quotas: Quotas, question: Question, tell: Tell, patience: float
    ) -> None:
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None
        self._all_rungs = rungs
        self._rungs = rungs[first:]
        self._quotas = quotas
        self._question = question
        self._tell = tell
        self._patience = patience
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._attempt: Attempt | None = None
        self._given_up: list[Rung] = []  # rungs that are not asked again for this question
        self._ready_at: dict[Rung, float] = {}  # when a busy rung may be asked again, on time.monotonic()
        self._shortened: set[Rung] = set()  # rungs that get less history
        self._has_been_empty = False  # a model has ended its answer without text

    def __iter__(self) -> Iterator[str]:
        self._begun = time.monotonic()
        if self._quotas.find_next(self._rungs, ()) is None:  # rather ask for an unknown model than for none
            self._quotas.forget_unknown()
        waited = 0.0
        refusals: dict[Rung, Attempt] = {}
        for _ in range(_MOST_ROUNDS):
            refused = yield from self._ask_round()
            if refused is None:  # one has answered, or there is no time left
                return
            refusals |= {attempt.rung: attempt for attempt in refused}
            self._report(list(refusals.values()))
            soonest = min(self._ready_at, key=self._ready_at.__getitem__, default=None)
            if soonest is None:
                return
            delay = max(self._ready_at[soonest] - time.monotonic(), _LEAST_WAITING_SECONDS)
            waited += delay
            if waited > _MOST_WAITING_SECONDS or self._passed() + delay > self._patience:
                return
            self._tell(Waiting(soonest.model, delay, is_delay=True))
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
        """Ask rung by rung until one answers, or until the deadline: None. If all refuse, their refusals."""
        now = time.monotonic()
        tried = [*self._given_up, *(rung for rung, ready_at in self._ready_at.items() if ready_at > now)]
        refusals: list[Attempt] = []
        rung = self._quotas.find_next(self._rungs, tried)
        while rung is not None:
            tried.append(rung)
            self._tell(Waiting(rung.model, self._patience - self._passed()))
            attempt = self._begin(rung)
            yield from attempt
            self._learn(attempt)
            self._ready_at.pop(rung, None)
            if not attempt.is_refusal or attempt.is_silent:
                self._conclude(attempt, tried)
                return None
            log.warning("fallback: %s did not answer: %s", rung.model, attempt.error or "no text")
            if attempt.is_empty and self._has_been_empty:
                self._conclude(attempt)
                return None
            self._has_been_empty |= attempt.is_empty
            refusals.append(attempt)
            rung = self._following(attempt, tried)
            if rung is not None and self._passed() >= self._patience:
                self._report(refusals)
                self._offer(rung)
                return None
        return refusals

    def _following(self, attempt: Attempt, tried: list[Rung]) -> Rung | None:
        """The rung to ask after this refusal; None if there is none in this round."""
        rung = attempt.rung
        if self._may_be_shortened(attempt):
            self._shortened.add(rung)
            return rung
        if attempt.rules_out_place:
            self._rule_out(rung.place, tried)
        elif attempt.retry_after is None:
            self._given_up.append(rung)
        else:
            self._ready_at[rung] = time.monotonic() + attempt.retry_after
        return self._quotas.find_next(self._rungs, tried) or (rung if attempt.is_empty else None)

    def _begin(self, rung: Rung) -> Attempt:
        question = trim(self._question, rung.limits.history_characters)
        if rung in self._shortened:
            question = trim(question, _length(question) // _SHORTER)
        attempt = Attempt(rung, question, self._begun + self._patience)
        with self._lock:
            self._attempt = attempt
            if self._cancelled.is_set():
                attempt.cancel()
        return attempt

    def _may_be_shortened(self, attempt: Attempt) -> bool:
        """Whether the same rung is asked once more, with less history."""
        is_too_long = isinstance(attempt.error, ContextExceeded)
        return is_too_long and bool(self._question.history) and attempt.rung not in self._shortened

    def _learn(self, attempt: Attempt) -> None:
        """Remember what this attempt has shown of its model."""
        if attempt.model != attempt.rung.model:
            self._quotas.learn(attempt.rung, attempt.model)
        if isinstance(attempt.error, QuotaExhausted):
            self._quotas.set_out(attempt.rung, attempt.error.until)
        elif isinstance(attempt.error, UnknownModel):
            self._quotas.set_unknown(attempt.rung)

    def _rule_out(self, place: Place, tried: list[Rung]) -> None:
        """Ask no rung of a place whose key or network has failed."""
        rungs = [rung for rung in self._rungs if rung.place == place]
        self._given_up += rungs
        tried += rungs
        for rung in rungs:
            self._ready_at.pop(rung, None)

    def _conclude(self, attempt: Attempt, tried: Sequence[Rung] = ()) -> None:
        self.error, self.ending = attempt.error, attempt.ending
        if self.ending is None:
            return
        if isinstance(self.error, ContextExceeded) and not self._question.history:
            self.ending = replace(self.ending, note=_TOO_LONG_A_QUESTION.having(provider=attempt.rung.provider))
        if attempt.has_text:
            self.ending = replace(self.ending, rung=self._all_rungs.index(attempt.rung))
        elif attempt.is_silent:
            self._offer(self._quotas.find_next(self._rungs, tried))

    def _offer(self, following: Rung | None) -> None:
        """Leave it to the reader whether this rung is asked, too."""
        if self.ending is not None and following is not None:
            self.ending = replace(self.ending, next_rung=self._all_rungs.index(following))

    def _report(self, refusals: Sequence[Attempt]) -> None:
        """Report the most promising failure, so that a retired model does not mask a busy one. If every quota is
        used up, say when the first is back.
        """
        if refusals:
            self._conclude(max(reversed(refusals), key=_promise))
        hopeless = [each.rung for each in refusals if isinstance(each.error, RequestRefused | ContextExceeded)]
        known = [rung for rung in self._rungs if rung not in hopeless and not self._quotas.is_unknown(rung)]
        back = self._quotas.first_back(known)
        if back is None or any(each.rules_out_place for each in refusals):  # the owner must hear of a refused key
            return
        wait = max(0.0, back.at - now())
        self.error = QuotaExhausted(back.rung.provider, until=back.at, retry_after=wait)
        note = Sentence(
            "%(provider)s's free questions for today are used up. New questions from %(moment)s.",
            provider=back.rung.provider,
            moment=Moment(back.at),
        )
        self.ending = Ending(Finish.FAILED, note)

    def _passed(self) -> float:
        """Seconds since the question was asked."""
        return time.monotonic() - self._begun


_LEAST_PROMISING = (UnknownModel, RequestRefused, ContextExceeded, QuotaExhausted, OwnerError, UpstreamUnreachable)


def _promise(attempt: Attempt) -> int:
    """How soon a rung that has refused may answer after all: never, if less is asked, tomorrow, when the owner has
    mended it, soon.
    """
    kinds = enumerate(_LEAST_PROMISING)
    return next((rank for rank, kind in kinds if isinstance(attempt.error, kind)), len(_LEAST_PROMISING))


def _length(question: Question) -> int:
    return sum(len(message.text) for message in question.history)
