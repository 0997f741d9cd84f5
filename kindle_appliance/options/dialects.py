"""How each model of the list is asked: the dialect of its server, and its options for generating an answer.

An entry's own options take the place of those for all models. How much a model thinks is set for all of Gemini's
models at once, and for any other in its own entry: servers differ in what they take, and many models refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..conversation import GenerationOptions
from ..upstream.dialect import Dialect, OptionError
from ..upstream.gemini import Gemini
from ..upstream.openai import OpenAI
from .entries import Entry, EntryError, understood

_THINKING = ("thinking_level", "thinking_budget")
_FOR_ALL = ("temperature", "max_output_tokens")


def dialect_of(entry: Entry) -> Dialect:
    """The dialect that an entry's server speaks."""
    return OpenAI(entry.address.name) if entry.address else Gemini()


def options_of(entry: Entry, for_all: Mapping[str, Any]) -> GenerationOptions:
    """The options of an entry; `for_all` has those of all models, by their names."""
    values = {name: getattr(entry, name) for name in (*_FOR_ALL, *_THINKING)}
    thinks_by_itself = bool(entry.at) or any(values[name] is not None for name in _THINKING)
    for name in _FOR_ALL if thinks_by_itself else values:
        values[name] = for_all[name] if values[name] is None else values[name]
    return GenerationOptions(**values)


def check_for_all(for_all: Mapping[str, Any]) -> None:
    """Raise `OptionError` for options of all models that exclude each other."""
    Gemini().check_options(GenerationOptions(**{name: for_all[name] for name in (*_FOR_ALL, *_THINKING)}))


def check_entries(entries: Sequence[Entry]) -> None:
    """Raise `EntryError` for an entry with options that its server does not take."""
    for number, entry in enumerate(entries, 1):
        try:
            dialect_of(entry).check_options(options_of(entry, dict.fromkeys((*_FOR_ALL, *_THINKING))))
        except OptionError as error:
            reason = f"{' and '.join(error.options)} cannot be set for {entry.model}: {error}".removesuffix(".")
            raise EntryError(reason, error.options[-1], understood(entry.values), number, "") from None
