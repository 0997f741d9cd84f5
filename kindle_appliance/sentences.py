"""The sentences for readers, and the catalogue that translates them.

A sentence is written once, in English, where it is needed, and travels as a value. It is looked up in the gettext
catalogue under `locale/` only when its reader is known (a page, an event, the terminal). So one stored answer says
in Chinese to one reader, and in English to the next, that it broke off. Tests collect every `Sentence("...")` of
the package and every `_("...")` of the templates and compare them with the catalogue: a missing or an unused one
fails.
"""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from . import clock

ENGLISH = "en"
CHINESE = "zh-CN"
LANGUAGES = (ENGLISH, CHINESE)

_CHINESE_LANGUAGES = frozenset(("zh", "cmn", "yue"))
_SIMPLIFIED = frozenset(("cn", "sg", "my"))
_TRADITIONAL = frozenset(("tw", "hk", "mo", "yue"))
"""Subtags of a language, which tell the script where it is not named (CLDR, likely subtags)."""

_MOST_WISHES = 50  # languages that are considered; a header may hold thousands

_MOST_STORED = 8192  # characters; a backup may be somebody else's
_PLAIN = re.compile(r"(?:[^%]|%%|%\(\w+\)[sd])*", re.ASCII)  # with a width, a few characters would fill the memory

_DOMAIN = "kindle_appliance"
_LOCALE = Path(__file__).parent / "locale"


class Moment(float):
    """A Unix time in a sentence, shown in the appliance's time zone and relative to the moment of reading:
    "tomorrow" becomes "today" when it is read a day later. One that is not believed is a vague "tomorrow", because
    it is the end of some day.
    """

    def to(self, language: str) -> str:
        if not clock.is_believed(self):
            return Sentence("tomorrow").to(language)
        moment, today = datetime.fromtimestamp(self), datetime.fromtimestamp(clock.now()).date()
        if moment.date() == today:
            phrase = Sentence("%(time)s today", time=moment.strftime("%H:%M"))
        elif moment.date() == today + timedelta(days=1):
            phrase = Sentence("%(time)s tomorrow", time=moment.strftime("%H:%M"))
        else:
            phrase = Sentence("%(time)s on %(date)s", time=moment.strftime("%H:%M"), date=moment.date().isoformat())
        return phrase.to(language)


@dataclass(frozen=True, init=False)
class Sentence:
    """English text with placeholders such as `%(name)s`, and their values; `plural` is used unless `count` is 1."""

    english: str
    plural: str | None
    values: dict[str, str | int | Moment] = field(hash=False)

    def __init__(self, english: str, /, *, plural: str | None = None, **values: str | int | Moment) -> None:
        object.__setattr__(self, "english", english)
        object.__setattr__(self, "plural", plural)
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        return self.to(ENGLISH)

    def having(self, **values: str | int | Moment) -> Sentence:
        """The same sentence with these values."""
        return Sentence(self.english, plural=self.plural, **{**self.values, **values})

    def to(self, language: str) -> str:
        """The sentence in `language` (one of `LANGUAGES`); in English where the catalogue lacks it."""
        catalogue = _catalogue(language)
        if self.plural is None:
            text = catalogue.gettext(self.english)
        else:
            text = catalogue.ngettext(self.english, self.plural, int(self.values["count"]))
        if not self.values:
            return text
        return text % {
            name: value.to(language) if isinstance(value, Moment) else value for name, value in self.values.items()
        }

    def to_json(self) -> str:
        """The form that is stored beside an answer, for any language later."""
        values = {
            name: {"moment": value} if isinstance(value, Moment) else value for name, value in self.values.items()
        }
        return json.dumps([self.english, self.plural, values], ensure_ascii=False)

    @classmethod
    def from_json(cls, stored: str) -> Sentence:
        """The sentence that `to_json()` stored. Raises ValueError for one that cannot be said."""
        try:
            if len(stored) > _MOST_STORED:
                raise ValueError("too long")
            english, plural, values = json.loads(stored)
            if not all(_PLAIN.fullmatch(text) for text in (english, plural or "")):
                raise ValueError("not ours")
            for name, value in values.items():
                if isinstance(value, dict):
                    values[name] = Moment(value["moment"])
            sentence = cls(english, plural=plural, **values)
            for language in LANGUAGES:
                sentence.to(language)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError) as error:
            raise ValueError(f"no sentence: {error}") from error
        return sentence


def joined(sentences: Iterable[Sentence], language: str) -> str:
    """These sentences one after the other. Chinese has no space between them."""
    return ("" if language == CHINESE else " ").join(sentence.to(language) for sentence in sentences)


def choose_language(accepted: str, fixed: str | None = None) -> str:
    """The reader's language: the house's `fixed` one, or the best of an `Accept-Language` header (RFC 9110,
    12.5.4) that we have, or English.

    We have no traditional Chinese. Who asks for it gets simplified Chinese only if the header names that as well: a
    bare `zh` behind `zh-TW` is the browser's own addition.
    """
    if fixed:
        return fixed
    wishes: list[tuple[float, list[str]]] = []
    for item in accepted.split(",")[:_MOST_WISHES]:
        name, _, parameters = item.strip().partition(";")
        weight = parameters.strip().removeprefix("q=") if parameters else "1"
        try:
            wishes.append((float(weight), name.strip().lower().split("-")))
        except ValueError:
            continue
    wishes = sorted((each for each in wishes if each[0] > 0), key=lambda each: -each[0])
    reads_traditional = any(_is_traditional(tag) for _, tag in wishes)
    for _, tag in wishes:
        if tag[0] == ENGLISH:
            return ENGLISH
        if tag[0] in _CHINESE_LANGUAGES and not _is_traditional(tag) and not (reads_traditional and tag == ["zh"]):
            return CHINESE
    return ENGLISH


def _is_traditional(tag: Sequence[str]) -> bool:
    """Whether this language, in lower-case subtags, is a Chinese of traditional characters."""
    if tag[0] not in _CHINESE_LANGUAGES or "hans" in tag:
        return False
    return "hant" in tag or (_SIMPLIFIED.isdisjoint(tag) and not _TRADITIONAL.isdisjoint(tag))


def languages_with_catalogue() -> Sequence[str]:
    """The languages that need a catalogue: all except the language of the code."""
    return [language for language in LANGUAGES if language != ENGLISH]


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(_DOMAIN, _LOCALE, [language.replace("-", "_")])
