"""The list of models on the owner's terminal: where each is, whether it can be asked, and how fast it answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import ApplianceError, StartError
from ..host.terminal import one_line
from ..options.entries import Entry
from ..sentences import ENGLISH, Moment
from ..settings import Settings
from ..storage.database import Database
from ..storage.folder import look
from ..upstream.catalogue import Catalogue
from ..upstream.quotas import Quotas
from ..upstream.rung import Rung
from ..upstream.waiting import Tell
from . import models
from .pace import measure

_HEADS = ("", "model", "place", "context", "key", "state")


@dataclass(frozen=True)
class Listed:
    """An entry of the list, and its rung; None: it is not asked, for want of a key."""

    entry: Entry
    rung: Rung | None


def show_models(settings: Settings, folder: Path, is_installed: bool) -> int:
    """Print a line for each model: where it is, its context size, whether it has a key, and its state. Every server
    is asked for its models, which costs nothing. 1 if none is ready.
    """
    listed = _listed(settings, models.open_rungs(settings, models.short_clocks(settings)))
    rungs = [each.rung for each in listed if each.rung]
    catalogues = models.fetch_catalogues(rungs)
    outages = dict(zip(rungs, _read_outages(folder, rungs), strict=True))
    rows = [_HEADS]
    is_one_ready = False
    for number, each in enumerate(listed, 1):
        state = f"no key, so it is not asked: {models.key_command(is_installed)}"
        if each.rung:
            state = _state(each.entry, each.rung, catalogues[each.rung.place], outages[each.rung], is_installed)
        is_one_ready |= state == "ready"
        rows.append((f"{number}", each.entry.model, _place(each.entry), *_facts(each), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(one_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()))
    if models.needs_demo(settings):
        why = "demo = true is set" if settings.demo else "There is no key for Gemini, and no model server"
        print(f"{why}: built-in examples answer, and none of these.")
        if not settings.demo:
            print(f"For a model server: {models.command(is_installed)} models add ADDRESS")
    return 0 if is_one_ready else 1


def try_models(settings: Settings, is_installed: bool, tell: Tell) -> int:
    """Ask each model a short question, one after the other, and print how fast it answers. 1 if one does not."""
    faults = 0
    listed = _listed(settings, models.open_rungs(settings, models.clocks_of(settings)))
    for number, each in enumerate(listed, 1):
        print(f"{number}  {named(each.entry)}: ", end="", flush=True)
        said = f"no key, so it is not asked: {models.key_command(is_installed)}"
        if each.rung:
            with closing(each.rung.place.upstream):
                pace = measure(each.rung, settings.system_instruction, tell)
            said = str(pace)
        if not each.rung or pace.fault:
            faults += 1
        print(one_line(said), flush=True)
    return 1 if faults else 0


def named(entry: Entry) -> str:
    """A model with its place, for sentences."""
    return f"{entry.model} at {_place(entry)}" if entry.at else entry.model


def _listed(settings: Settings, opened: Sequence[Rung]) -> list[Listed]:
    rungs = iter(opened)
    return [
        Listed(entry, next(rungs) if models.can_be_asked(settings, entry) else None) for entry in settings.models
    ]


def _read_outages(folder: Path, rungs: Sequence[Rung]) -> list[float | None]:
    """When the quota of each is back, as the running appliance has stored it."""

    def read(chats: Path) -> list[float | None]:
        with closing(Database(chats, None)) as database:
            quotas = Quotas(database)
            return [quotas.out_until(rung) for rung in rungs]

    try:
        outages: list[float | None] = look(folder, read)
        return outages
    except (StartError, OSError, ApplianceError):
        return [None] * len(rungs)


def _place(entry: Entry) -> str:
    return entry.address.name if entry.address else "Gemini"


def _facts(listed: Listed) -> tuple[str, str]:
    context = listed.rung.limits.context if listed.rung else listed.entry.context
    return str(context or "-"), "yes" if listed.rung and listed.rung.place.key else "no"


def _state(entry: Entry, rung: Rung, catalogue: Catalogue, until: float | None, is_installed: bool) -> str:
    error = catalogue.error
    if models.wants_key(error):
        wish = "refuses the key" if rung.place.key else "wants a key"
        return f"it {wish}: {models.key_command(is_installed, entry.address)}"
    if error:
        return str(error.sentence)
    if until is not None:
        return f"used up until {Moment(until).to(ENGLISH)}"
    if not catalogue.offers(rung.model):
        return f"not offered there. {models.how_to_get(rung.model, entry.address)}".rstrip()
    return "ready"
