"""A rung of the list of models: which model, where, in which dialect, with which options and limits.

Values only. Two rungs may be the same model at two places, or two models at one place: a quota, and whether a model
exists, belong to the pair of place and model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from ..conversation import GenerationOptions
from .call import Upstream
from .dialect import Dialect


@dataclass(frozen=True)
class Place:
    """A model server, and the key that it wants ("": none)."""

    upstream: Upstream
    key: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        """Its name in the database: address and key. Of the key only a digest, too short to try keys against."""
        return f"{self.upstream.base_url} {sha256(self.key.encode()).hexdigest()[:4]}"


@dataclass(frozen=True)
class Limits:
    """What goes along with a question at most: `history_characters` of the messages before it."""

    history_characters: int = 24_000


@dataclass(frozen=True)
class Rung:
    """One model at one place."""

    dialect: Dialect
    place: Place
    model: str
    options: GenerationOptions = field(default_factory=GenerationOptions)
    limits: Limits = field(default_factory=Limits)

    @property
    def provider(self) -> str:
        """Who answers here, in sentences for readers."""
        return self.dialect.provider
