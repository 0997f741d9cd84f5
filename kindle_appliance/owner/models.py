"""Who answers, as the owner has set it: the entries of the settings as rungs, or the built-in demo."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

from ..errors import ApplianceError, OwnerError
from ..options.dialects import dialect_of, options_of
from ..options.entries import Entry
from ..options.server_address import ServerAddress, is_private
from ..settings import Settings
from ..storage.database import Database
from ..upstream import demo
from ..upstream.call import Clocks, Upstream
from ..upstream.catalogue import Catalogue, fetch_catalogue
from ..upstream.demo import DemoGemini
from ..upstream.dialect import Dialect
from ..upstream.fallback import Fallback
from ..upstream.gemini import Gemini
from ..upstream.quotas import Quotas
from ..upstream.rung import HOME_CONTEXT, Limits, Place, Rung
from ..web.templates import STATIC

LET_LISTEN = (
    "Its program has to listen on the network: Ollama with OLLAMA_HOST=0.0.0.0, llama.cpp with --host 0.0.0.0, LM"
    ' Studio with "Serve on Local Network".'
)
"""What to do about a server of the house that is not reached (handbooks of the three, read 2026-11)."""


def needs_demo(settings: Settings) -> bool:
    """Whether the built-in demo answers: as set, or because no model can be asked without a key for Gemini."""
    return settings.demo or (settings.key is None and not any(entry.at for entry in settings.models))


def can_be_asked(settings: Settings, entry: Entry) -> bool:
    """Whether there is what its place needs: a key, for Gemini's."""
    return bool(entry.at) or settings.key is not None


def command(is_installed: bool) -> str:
    """How its owner calls the program."""
    return "sudo kindle-appliance" if is_installed else "kindle-appliance"


def key_command(is_installed: bool, address: ServerAddress | None = None) -> str:
    """How its owner gives the appliance a key for the server at `address` (None: for Gemini)."""
    if not is_installed:
        return f'set KINDLE_APPLIANCE_KEYS="{address.name}=KEY"' if address else "set GEMINI_API_KEY"
    return f"{command(is_installed)} key" + (f" --for {address.name}" if address else "")


def wants_key(error: ApplianceError | None) -> bool:
    """Whether a server has refused for want of a key, or of the right one. What its owner has to do then is the
    error's advice; an account that is closed has none.
    """
    return isinstance(error, OwnerError) and bool(error.advice)


def tell_refusal(error: ApplianceError, provider: str, key: str) -> str:
    """What an error says at the owner's terminal. `key`: that with which the server was asked; it is not shown."""
    if wants_key(error) and not key:
        return f"{provider} wants a key."
    said = error.for_owner() if isinstance(error, OwnerError) else str(error)
    return said.replace(key, "***") if key else said


def how_to_get(model: str, address: ServerAddress | None) -> str:
    """What to do where a server of the house does not have a model; "" elsewhere."""
    return f"With Ollama, there: ollama pull {model}" if address and address.is_private else ""


def open_fallback(settings: Settings, stops: ExitStack, database: Database | None = None) -> Fallback:
    """The list of models, or the built-in demo. `database` remembers which models are out of quota; what is opened
    here is closed by `stops`.
    """
    clocks = clocks_of(settings)
    if not needs_demo(settings):
        rungs = open_rungs(settings, clocks)
        for upstream in {rung.place.upstream for rung in rungs}:
            stops.callback(upstream.close)
        return Fallback(rungs, Quotas(database), clocks.first_byte)
    server = DemoGemini(STATIC / "demo_answers.md")
    stops.callback(server.close)
    upstream = Upstream(server.url, clocks, provider=Gemini.provider)
    stops.callback(upstream.close)
    return Fallback([Rung(Gemini(), Place(upstream), demo.MODEL)], Quotas(), clocks.first_byte)


def open_rungs(settings: Settings, clocks: Clocks) -> list[Rung]:
    """A rung for each entry of the settings that can be asked: Gemini's models only if there is a key. The caller
    closes their places' upstreams.
    """
    places: dict[tuple[str, bool], Place] = {}
    rungs = []
    for entry in settings.models:
        if not can_be_asked(settings, entry):
            continue
        dialect = dialect_of(entry)
        where = entry.at, entry.plain_http
        if where not in places:
            places[where] = _place(settings, entry, clocks, dialect)
        place = places[where]
        options = dialect.with_defaults(entry.model, options_of(entry, vars(settings)))
        usual = HOME_CONTEXT if place.upstream.is_at_home else None
        limits = Limits(settings.history_characters, entry.context or usual)
        rungs.append(Rung(dialect, place, entry.model, options, limits))
    return rungs


def fetch_catalogues(rungs: Sequence[Rung]) -> dict[Place, Catalogue]:
    """What each place of these rungs offers, in their order; its upstream is closed."""
    catalogues: dict[Place, Catalogue] = {}
    for rung in rungs:
        if rung.place not in catalogues:
            with closing(rung.place.upstream):
                catalogues[rung.place] = fetch_catalogue(rung.dialect, rung.place)
    return catalogues


def _place(settings: Settings, entry: Entry, clocks: Clocks, dialect: Dialect) -> Place:
    """The proxy is for what is outside the house. What is not encrypted stays inside, unless the owner says so."""
    address, url = entry.address, entry.at or settings.gemini_url
    parts = urlsplit(url)
    is_at_home = is_private(parts.hostname or "")
    upstream = Upstream(
        url,
        clocks,
        None if is_at_home else settings.proxy,
        provider=dialect.provider,
        is_at_home=is_at_home and address is not None,  # what stands in for Gemini speaks for it
        only_at_home=parts.scheme == "http" and not entry.plain_http,
    )
    return Place(upstream, settings.keys.get(address.name, "") if address else settings.key or "")


def clocks_of(settings: Settings) -> Clocks:
    """Clocks for a question."""
    return Clocks(settings.connect_seconds, settings.first_byte_seconds, settings.progress_seconds)


def short_clocks(settings: Settings) -> Clocks:
    """Clocks for a request that needs no thinking."""
    seconds = settings.connect_seconds
    return Clocks(seconds, seconds, seconds)
