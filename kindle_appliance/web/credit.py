"""Who answered, in words: what stands below an answer, and what is one tap away. Pure."""

from __future__ import annotations

from ..ending import Ending, Finish
from ..sentences import Sentence


def answered_by(ending: Ending) -> Sentence | None:
    """The model that answered, by the name that the owner gave it; None if none did, or nobody knows which."""
    if ending.finish is Finish.FAILED or not ending.model:
        return None
    return Sentence("Answered by %(model)s.", model=ending.model)


def why_not(ending: Ending) -> Sentence | None:
    """What a reader may want to know of the model that should have answered. None if it did, and if it was the only
    one: then the note of the ending tells why it did not.
    """
    if len(ending.passed) <= (0 if ending.rung else 1):
        return None
    return Sentence("Why not %(model)s?", model=ending.passed[0].model)
