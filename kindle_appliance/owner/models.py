"""Who answers, as the owner has set it: the settings as rungs. Here, and where options are checked, a dialect is
chosen; everything else knows only the protocol.
"""

from __future__ import annotations

from contextlib import ExitStack

from ..conversation import GenerationOptions
from ..settings import Settings
from ..storage.database import Database
from ..upstream import demo
from ..upstream.call import Clocks, Upstream
from ..upstream.demo import DemoGemini
from ..upstream.fallback import Fallback
from ..upstream.gemini import Gemini
from ..upstream.quotas import Quotas
from ..upstream.rung import Limits, Place, Rung
from ..web.templates import STATIC


def needs_demo(settings: Settings) -> bool:
    """Whether the built-in demo answers: as set, or for lack of a key."""
    return settings.demo or settings.key is None


def open_fallback(settings: Settings, stops: ExitStack, database: Database | None = None) -> Fallback:
    """The list of models, or the built-in demo. `database` remembers which models are out of quota; what is opened
    here is closed by `stops`.
    """
    clocks = Clocks(settings.connect_seconds, settings.first_byte_seconds, settings.progress_seconds)
    if not needs_demo(settings):
        rungs = open_rungs(settings, clocks, settings.key or "")
        for upstream in {rung.place.upstream for rung in rungs}:
            stops.callback(upstream.close)
        return Fallback(rungs, Quotas(database), clocks.first_byte)
    server = DemoGemini(STATIC / "demo_answers.md")
    stops.callback(server.close)
    upstream = Upstream(server.url, clocks, provider=Gemini.provider)
    stops.callback(upstream.close)
    return Fallback([Rung(Gemini(), Place(upstream), demo.MODEL)], Quotas(), clocks.first_byte)


def open_rungs(settings: Settings, clocks: Clocks, key: str) -> list[Rung]:
    """A rung for each model of the settings, asked with `key`; there is at least one. The caller closes their
    places' upstreams.
    """
    dialect = Gemini()
    place = Place(Upstream(settings.gemini_url, clocks, settings.proxy, provider=dialect.provider), key)
    options = GenerationOptions(
        settings.temperature, settings.max_output_tokens, settings.thinking_level, settings.thinking_budget
    )
    limits = Limits(settings.history_characters)
    return [Rung(dialect, place, model, dialect.with_defaults(model, options), limits) for model in settings.models]
