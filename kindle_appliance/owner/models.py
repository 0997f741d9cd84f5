"""Who answers, as the owner has set it: the settings as a way to Gemini, or to the built-in examples."""

from __future__ import annotations

from contextlib import ExitStack

from ..settings import Settings
from ..storage.database import Database
from ..upstream import demo
from ..upstream.call import Clocks, Upstream
from ..upstream.demo import DemoGemini
from ..upstream.fallback import Fallback
from ..upstream.gemini import GenerationOptions
from ..upstream.quotas import Models
from ..web.templates import STATIC


def needs_demo(settings: Settings) -> bool:
    """Whether the built-in examples answer: as told, or because there is no key for Gemini."""
    return settings.demo or settings.key is None


def open_fallback(settings: Settings, stops: ExitStack, database: Database | None = None) -> Fallback:
    """The way to Gemini, or to the built-in examples. `database` remembers which models are out for the day."""
    clocks = Clocks(settings.connect_seconds, settings.first_byte_seconds, settings.progress_seconds)
    models, key = settings.models, settings.key or ""
    if needs_demo(settings):
        stand_in = DemoGemini(STATIC / "demo_answers.md")
        stops.callback(stand_in.close)
        upstream = Upstream(stand_in.url, clocks)
        models, key, database = (demo.MODEL,), "", None
    else:
        upstream = Upstream(settings.gemini_url, clocks, settings.proxy)
    stops.callback(upstream.close)
    generation = GenerationOptions(
        settings.system_instruction,
        settings.temperature,
        settings.max_output_tokens,
        settings.thinking_level,
        settings.thinking_budget,
    )
    return Fallback(upstream, key, Models(models, database, key=key), generation)
