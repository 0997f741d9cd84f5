"""What a question waits for before there is text, and what readers are told of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..sentences import Sentence

_LONG_SECONDS = 60
"""After so much silence a reader wonders whether it will ever end, and is told when it will."""
_STEP_SECONDS = 10
"""How exactly readers are told for how long a model has been loading."""


@dataclass(frozen=True)
class Waiting:
    """A question waits for the answer of `model`, for at most `most` seconds. `is_delay`: every rung has refused,
    and the question waits so long until this model may be asked again. `loading`: for so many seconds its server
    has been loading the model; None: it has not said so.
    """

    model: str
    most: float
    is_delay: bool = False
    loading: float | None = None

    def sentence(self, seconds: int = 0) -> Sentence:
        """What readers are told so many seconds after the waiting began.

        A server that loads is asked every few seconds, and refuses at once. So a request that lasts is an answer
        in the making, and a short one changes nothing on the page.
        """
        if self.loading is not None and (self.is_delay or not seconds):
            return _loading(self.model, int(self.loading + seconds) // _STEP_SECONDS * _STEP_SECONDS)
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


def _loading(model: str, seconds: int) -> Sentence:
    if not seconds:
        return Sentence("%(model)s is being loaded on its computer ...", model=model)
    return Sentence("%(model)s is being loaded on its computer, %(seconds)d s ...", model=model, seconds=seconds)
