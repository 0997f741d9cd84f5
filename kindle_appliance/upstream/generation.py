"""One answer in the making: which rung is asked, and which next when it cannot answer.

A question goes down the list of rungs until one begins to answer: a round of attempts. When all have refused, and
one of them can be asked again in a moment, or loads its model, the question waits for that and goes on to another
round. One deadline for the first text covers all of it. A model that is silent until then is the last one that is
asked, because its thoughts are most likely billed; the reader can have the next one asked. Once text has arrived
nothing is asked twice: a reader's page never starts over, and no answer is paid for twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from ..clock import now
from ..conversation import Question
from ..ending import STOPPED, Ending, Finish, Passed
from ..errors import (
    ApplianceError,
    ContextExceeded,
    CreditUsedUp,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    UnknownModel,
    UpstreamUnreachable,
)
from ..sentences import Moment, Sentence
from .attempt import Attempt
from .delays import Delays
from .history import fit, length
from .passed import passed_over
from .quotas import Quotas
from .rung import Limits, Place, Rung
from .waiting import Tell, Waiting

log = logging.getLogger(__name__)

_USED_UP = Sentence("%(provider)s's free questions for today are used up. New questions from %(moment)s.")
_USED_UP_AND_AWAY = Sentence(
    "The appliance does not reach %(away)s. %(provider)s's free questions for today are used up. New questions from"
    " %(moment)s."
)
_TOO_LONG_A_QUESTION = Sentence("This question is too long for %(provider)s. Please shorten it.")


class Generation:
    """Iterate for the text, then read `ending`, and `error` if anything went wrong.

    `cancel()` may come from any thread at any moment and closes the connection at once; the ending is then
    `stopped`.
    """

    def __init__(
        self, rungs: Sequence[Rung], first: int, quotas: Quotas, question: Question, tell: Tell, patience: float
    ) -> None:
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None
        self._all_rungs = rungs
        self._first = first
        self._rungs = rungs[first:]
        self._quotas = quotas
        self._question = question
        self._tell = tell
        self._patience = patience
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._attempt: Attempt | None = None
        self._refusals: dict[Rung, Attempt] = {}  # the last of each rung
        self._given_up: set[Rung] = set()  # rungs that are not asked again for this question
        self._delays = Delays()
        self._limits: dict[Rung, Limits] = {}  # of rungs for which the question was too long
        self._has_been_empty = False  # a model has ended its answer without text

    def __iter__(self) -> Iterator[str]:
        self._begun = time.monotonic()
        if self._quotas.find_next(self._rungs, ()) is None:  # rather ask for an unknown model than for none
            self._quotas.forget_unknown()
        while not (yield from self._ask_round()):
            self._report()
            waiting = self._delays.next(self._patience - self._passed())
            if waiting is None:
                return
            self._tell(waiting)
            if self._cancelled.wait(waiting.most):
                self.ending = Ending(Finish.STOPPED, STOPPED)
                return

    def cancel(self) -> None:
        """Stop at once; harmless when the answer is complete."""
        with self._lock:
            self._cancelled.set()
            if self._attempt is not None:
                self._attempt.cancel()

    def _ask_round(self) -> Generator[str, None, bool]:
        """Ask rung by rung. Returns whether that was the last round: one has answered, or no time is left."""
        tried = [*self._given_up, *self._delays.pending()]
        rung = self._quotas.find_next(self._rungs, tried)
        while rung is not None:
            tried.append(rung)
            self._tell(Waiting(rung.model, self._patience - self._passed(), loading=self._delays.loading(rung)))
            attempt = self._begin(rung)
            yield from attempt
            self._learn(attempt)
            self._delays.forget(rung)
            if not attempt.is_refusal or attempt.is_silent:
                self._conclude(attempt, tried)
                return True
            self._log(attempt)
            self._refusals[rung] = attempt
            if attempt.is_empty and self._has_been_empty:
                self._conclude(attempt)
                return True
            self._has_been_empty |= attempt.is_empty
            rung = self._following(attempt, tried)
            if rung is not None and self._passed() >= self._patience:
                self._report()
                self._offer(rung)
                return True
        return False

    def _following(self, attempt: Attempt, tried: list[Rung]) -> Rung | None:
        """The rung to ask after this refusal; None if there is none in this round."""
        rung = attempt.rung
        if self._shorten(attempt):
            return rung
        if attempt.rules_out_place:
            self._rule_out(rung.place, tried)
        elif self._delays.take(attempt):
            self._given_up.discard(rung)  # where it stands if it has sent an answer without text before
        else:
            self._given_up.add(rung)
        return self._quotas.find_next(self._rungs, tried) or (rung if attempt.is_empty else None)

    def _begin(self, rung: Rung) -> Attempt:
        limits = self._limits.get(rung, rung.limits)
        attempt = Attempt(rung, fit(self._question, limits), self._begun + self._patience, limits)
        with self._lock:
            self._attempt = attempt
            if self._cancelled.is_set():
                attempt.cancel()
        return attempt

    def _shorten(self, attempt: Attempt) -> bool:
        """Whether the same rung is asked once more, with less: once for each, if there is anything to leave out."""
        rung, error = attempt.rung, attempt.error
        if not isinstance(error, ContextExceeded) or rung in self._limits:
            return False
        limits = rung.limits.after_excess(length(attempt.question), error.context)
        before, most = attempt.options.max_output_tokens, limits.bounded(rung.options).max_output_tokens
        is_less = before is not None and most is not None and most < before  # some servers add this to the prompt
        if not is_less and fit(self._question, limits) == attempt.question:
            return False
        self._limits[rung] = limits
        return True

    def _learn(self, attempt: Attempt) -> None:
        """Remember what this attempt has shown of its model and its place."""
        rung, error = attempt.rung, attempt.error
        if rung.dialect.has_aliases and attempt.model != rung.model:
            self._quotas.learn(rung, attempt.model)
        if attempt.has_responded:
            self._quotas.set_reached(rung.place)
        elif isinstance(error, UpstreamUnreachable):
            self._quotas.set_away(rung.place)
        if isinstance(error, QuotaExhausted):
            self._quotas.set_out(rung, error.until)
        elif isinstance(error, UnknownModel):
            self._quotas.set_unknown(rung)

    def _log(self, attempt: Attempt) -> None:
        """Log a refusal; of a server that loads its model, which is asked every few seconds, only the first."""
        level = logging.WARNING if self._delays.loading(attempt.rung) is None else logging.DEBUG
        log.log(level, "fallback: %s did not answer: %s", attempt.rung.model, attempt.error or "no text")

    def _rule_out(self, place: Place, tried: list[Rung]) -> None:
        """Ask no rung of a place whose key or network has failed."""
        rungs = [rung for rung in self._rungs if rung.place == place]
        self._given_up.update(rungs)
        tried += rungs
        for rung in rungs:
            self._delays.forget(rung)

    def _conclude(self, attempt: Attempt, tried: Sequence[Rung] = ()) -> None:
        self.error, self.ending = attempt.error, attempt.ending
        if self.ending is None:
            return
        index = self._all_rungs.index(attempt.rung)
        is_last = self._refusals.get(attempt.rung) is not attempt
        passed = self._passed_over(index if is_last else len(self._all_rungs))
        model, position = (attempt.rung.model, index) if attempt.has_text else ("", 0)
        self.ending = replace(self.ending, model=model, rung=position, passed=passed)
        if isinstance(self.error, ContextExceeded) and not attempt.question.history:
            self.ending = replace(self.ending, note=_TOO_LONG_A_QUESTION.having(provider=attempt.rung.provider))
        if attempt.is_silent:
            self._offer(self._quotas.find_next(self._rungs, tried))

    def _passed_over(self, upto: int) -> tuple[Passed, ...]:
        """The entries before this index that have not answered."""
        return tuple(passed_over(self._all_rungs[:upto], self._first, self._refusals, self._quotas))

    def _offer(self, following: Rung | None) -> None:
        """Leave it to the reader whether this rung is asked, too."""
        if self.ending is not None and following is not None:
            self.ending = replace(self.ending, next_rung=self._all_rungs.index(following))

    def _report(self) -> None:
        """Report the most promising failure, so that a retired model does not mask a busy one. If nothing can
        answer before a quota is back, say when the first is.
        """
        refusals = list(self._refusals.values())
        best = max(reversed(refusals), key=_promise, default=None)
        if best is not None:
            self._conclude(best)
        hopeless = [each.rung for each in refusals if isinstance(each.error, _HOPELESS)]
        back = self._quotas.first_back(rung for rung in self._rungs if rung not in hopeless)
        is_for_owner = any(isinstance(each.error, OwnerError) for each in refusals)  # who must hear of it
        if back is None or is_for_owner:
            return
        note = _USED_UP.having(provider=back.rung.provider, moment=Moment(back.at))
        if best is not None and isinstance(best.error, UpstreamUnreachable):
            note = _USED_UP_AND_AWAY.having(**note.values, away=best.rung.provider)
        else:
            wait = max(0.0, back.at - now())
            self.error = QuotaExhausted(back.rung.provider, until=back.at, retry_after=wait)
        passed = self._passed_over(len(self._all_rungs))
        self.ending = Ending(Finish.FAILED, note, passed=passed, back_at=back.at)

    def _passed(self) -> float:
        """Seconds since the question was asked."""
        return time.monotonic() - self._begun


_HOPELESS = (UnknownModel, RequestRefused, ContextExceeded, CreditUsedUp)
"""What another day does not mend either."""
_LEAST_PROMISING = (*_HOPELESS, QuotaExhausted, OwnerError, UpstreamUnreachable)


def _promise(attempt: Attempt) -> int:
    """How soon a rung that has refused may answer after all: never, if less is asked, tomorrow, when the owner has
    mended it, soon.
    """
    kinds = enumerate(_LEAST_PROMISING)
    return next((rank for rank, kind in kinds if isinstance(attempt.error, kind)), len(_LEAST_PROMISING))
