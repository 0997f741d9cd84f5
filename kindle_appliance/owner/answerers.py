"""Who answers, as readers are told: the entries of the settings with what leaves the house for each."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..options.entries import Entry
from ..options.server_address import is_private, is_this_machine
from ..settings import Settings
from ..upstream.gemini import Gemini
from ..web.answerers import Answerer
from .models import can_be_asked, needs_demo

_IS_IN_THE_CLOUD = re.compile(r"[:-]cloud$")
_OLLAMAS_CLOUD = "ollama.com"
"""A model of this name is asked at home and answers there (https://docs.ollama.com/cloud, read 2026-11)."""


def answerers(settings: Settings) -> list[Answerer]:
    """Those that can be asked, best first; none if it is the demo."""
    if needs_demo(settings):
        return []
    return [_answerer(settings, entry) for entry in settings.models if can_be_asked(settings, entry)]


def _answerer(settings: Settings, entry: Entry) -> Answerer:
    address = entry.address
    if address is None:
        host = urlsplit(settings.gemini_url).hostname or ""
        if host == urlsplit(Settings.gemini_url).hostname:
            return Answerer(entry.model, Gemini.owner, Gemini.owner, Gemini.provider, Gemini.terms)
        return Answerer(entry.model, _place(host), "" if is_private(host) else host, Gemini.provider)
    if not address.is_private:
        return Answerer(entry.model, address.host, address.host)
    if _IS_IN_THE_CLOUD.search(entry.model):
        return Answerer(entry.model, _OLLAMAS_CLOUD, _OLLAMAS_CLOUD)
    return Answerer(entry.model, _place(address.host))


def _place(host: str) -> str:
    """What to call a host of the house: this machine has no name by which readers know it."""
    return "" if is_this_machine(host) else host
