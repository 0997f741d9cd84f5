"""A rung of the list of models: which model, where, in which dialect, with which options and limits.

Values only. Two rungs may be the same model at two places, or two models at one place: a quota, and whether a model
exists, belong to the pair of place and model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ..conversation import GenerationOptions
from ..errors import ApplianceError
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

    def without_key(self, error: ApplianceError) -> ApplianceError:
        """The error, its detail without the key: some servers quote it, and what they say is logged. It is masked
        only here, where it is in one piece; but what the detail has room for can end within it. A shorter key than
        any real one could be a word of the error.
        """
        begins = [re.escape(self.key[:length]) for length in range(len(self.key), 5, -1)]
        if begins:
            key = re.compile(rf"{begins[0]}|(?:{'|'.join(begins)})(?=\)?\Z)")
            error.detail, error.args = key.sub("***", error.detail), (key.sub("***", str(error)),)
        return error


_SHORTER = 4
"""A history that is too long for a model is cut to this part."""
HOME_CONTEXT = 4096
"""The context of a model of the house unless its owner has said more: that of Ollama and LM Studio as installed."""


@dataclass(frozen=True)
class Limits:
    """What goes along with a question at most: `history_characters` of the messages before it. `context`: so many
    tokens has the model for the prompt and its answer, each of which gets one half; None: so many that nobody has
    to count them.
    """

    history_characters: int = 24_000
    context: int | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """For the question, its history and its instruction."""
        return None if self.context is None else self.context // 2

    def bounded(self, options: GenerationOptions) -> GenerationOptions:
        """These options, with an answer that fits the context."""
        if self.context is None:
            return options
        half = self.context - self.context // 2
        return replace(options, max_output_tokens=min(options.max_output_tokens or half, half))

    def after_excess(self, sent: int, told: int | None) -> Limits:
        """The limits for asking once more, after `sent` characters of history were too much. `told`: the context as
        the server has told it.
        """
        context = None if self.context is None else self.context // 2
        if told is not None and (self.context is None or told < self.context):
            context = told
        return Limits(sent // _SHORTER, context)


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
