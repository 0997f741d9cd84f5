"""Why the entries of the list before the one that answered were passed over, in words for readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..ending import Passed
from ..errors import (
    ApplianceError,
    ContextExceeded,
    CreditUsedUp,
    ModelLoading,
    QuotaExhausted,
    UnknownModel,
    UpstreamBusy,
    UpstreamCut,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamSilent,
    UpstreamUnreachable,
    UpstreamUnreadable,
    WebPage,
)
from ..sentences import Moment, Sentence
from .attempt import Attempt
from .quotas import Quotas
from .rung import Rung

_NOT_REACHED = Sentence("%(provider)s was not reached.")
_UNKNOWN = Sentence("%(provider)s does not have it.")
_USED_UP = Sentence("Its free questions are used up until %(moment)s.")
_NO_TEXT = Sentence("It sent no answer.")
_SILENT_BEFORE = Sentence("It had not answered before.")
_REASONS = {
    UnknownModel: _UNKNOWN,
    ContextExceeded: Sentence("This chat is too long for it."),
    CreditUsedUp: CreditUsedUp.words,
    ModelLoading: Sentence("It was still being loaded."),
    UpstreamRateLimited: Sentence("It was asked too often."),
    UpstreamBusy: Sentence("It had too much to do."),
    UpstreamSilent: Sentence("It did not answer in time."),
    UpstreamCut: Sentence("The connection to it broke."),
    UpstreamUnreadable: Sentence("It sent something that the appliance cannot read."),
    UpstreamUnreachable: _NOT_REACHED,
    UpstreamError: Sentence("It had a problem."),
}
"""By kind of error, the narrower ones first. What says more than its kind is told as it is."""


def passed_over(
    rungs: Sequence[Rung], first: int, refusals: Mapping[Rung, Attempt], quotas: Quotas
) -> Iterator[Passed]:
    """Those of `rungs` that were asked in vain or not at all, with the reason. `first`: the rung to begin with;
    `refusals`: the last refusal of each that was asked.
    """
    for index, rung in enumerate(rungs):
        why = _reason(rung, refusals, quotas) or (_SILENT_BEFORE if index < first else None)
        if why is not None:
            yield Passed(rung.model, why)


def _reason(rung: Rung, refusals: Mapping[Rung, Attempt], quotas: Quotas) -> Sentence | None:
    if rung in refusals:
        return _meaning(refusals[rung])
    if (until := quotas.out_until(rung)) is not None:
        return _USED_UP.having(moment=Moment(until))
    if quotas.is_unknown(rung):
        return _UNKNOWN.having(provider=rung.provider)
    if quotas.is_away(rung):
        return _NOT_REACHED.having(provider=rung.provider)
    for other, refusal in refusals.items():
        if quotas.model(other) == quotas.model(rung) or (refusal.rules_out_place and other.place == rung.place):
            return _meaning(refusal)
    return None


def _meaning(refusal: Attempt) -> Sentence:
    error = refusal.error
    if error is None:
        return _NO_TEXT
    if isinstance(error, QuotaExhausted):
        return _USED_UP.having(moment=Moment(error.until))
    provider = refusal.rung.provider
    if _says_more(error, provider):
        return error.sentence
    kinds = (sentence for kind, sentence in _REASONS.items() if isinstance(error, kind))
    return next(kinds, error.sentence).having(provider=provider)


def _says_more(error: ApplianceError, provider: str) -> bool:
    """Whether an error has a sentence of its own, or one that only its kind needs."""
    if not isinstance(error, UpstreamError) or isinstance(error, WebPage):
        return True
    return error.sentence != type(error).describe(provider)
