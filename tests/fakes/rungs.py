"""Rungs for tests: models of a scripted Gemini at one place."""

from __future__ import annotations

from collections.abc import Sequence

from kindle_appliance.conversation import GenerationOptions
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.rung import Limits, Place, Rung

from .secrets import KEY


def gemini_rungs(
    upstream: Upstream, models: Sequence[str], key: str = KEY, limits: Limits | None = None
) -> list[Rung]:
    """One rung for each model, best first."""
    place = Place(upstream, key)
    return [Rung(Gemini(), place, model, GenerationOptions(), limits or Limits()) for model in models]
