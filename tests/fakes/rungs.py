"""Rungs for tests: models of a scripted Gemini at one place, and lists as an owner writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kindle_appliance.conversation import GenerationOptions
from kindle_appliance.options.entries import parse
from kindle_appliance.owner.models import open_rungs
from kindle_appliance.settings import Settings
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.rung import Limits, Place, Rung

from .secrets import KEY


def gemini_rungs(
    upstream: Upstream, models: Sequence[str], key: str = KEY, limits: Limits | None = None
) -> list[Rung]:
    """One rung for each model, best first."""
    place = Place(upstream, key)
    return [Rung(Gemini(), place, model, GenerationOptions(), limits or Limits()) for model in models]


def listed(*entries: str, clocks: Clocks, gemini_url: str | None = None, **settings: Any) -> list[Rung]:
    """The rungs of a list, best first: each entry as on one line of the settings, such as "a at 127.0.0.1:8080".
    Names alone are models of the Gemini at `gemini_url`.
    """
    models = tuple(map(parse, entries))
    if gemini_url is not None:
        settings |= {"gemini_url": gemini_url, "key": KEY}
    return open_rungs(Settings(models=models, **settings), clocks)
