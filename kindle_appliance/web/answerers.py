"""Who answers in this house, and what leaves it for that: the list of models as the owner has set it, in words.

Readers are told before they ask. Only what follows from the list is said: which server gets a question. What is
done with it there, only a dialect may know (`terms`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..sentences import Sentence, joined

_EXAMPLES = Sentence("The answers are the appliance's own examples.")
_NOTHING_LEAVES = Sentence("Nothing leaves your house.")


@dataclass(frozen=True)
class Answerer:
    """An entry of the list. `place`: what to call where it answers ("": this appliance); `outside`: who outside the
    house gets what it is asked ("": nobody); `called`: what to call the model together with others of that place;
    `terms`: what is done there with questions and answers.
    """

    model: str
    place: str
    outside: str = ""
    called: str = ""
    terms: Sentence | None = None


def who_answers(answerers: Sequence[Answerer], language: str) -> str:
    """Who answers and what leaves the house. Without answerers the built-in demo answers."""
    if not answerers:
        return joined((_EXAMPLES, _NOTHING_LEAVES), language)
    places: dict[str, list[Answerer]] = {}
    for each in answerers:
        places.setdefault(each.place, []).append(each)
    who = _any_of((_described(each, language) for each in places.values()), language)
    outside = list(dict.fromkeys(each.outside for each in answerers if each.outside))
    said = [Sentence("Answers come from %(who)s.", who=who)]
    if outside:
        goes = Sentence("Each question goes to %(outside)s, with the earlier part of its chat.")
        if not answerers[0].outside:
            goes = Sentence(
                "What the model in your house cannot answer goes to %(outside)s, with the earlier part of its chat."
            )
        said.append(goes.having(outside=_any_of(outside, language)))
        terms = {each.outside: each.terms for each in reversed(answerers)}
        unknown = Sentence("The terms of %(outside)s say what is done with it there.")
        said += [terms[each] or unknown.having(outside=each) for each in outside]
    else:
        said.append(_NOTHING_LEAVES)
    return joined(said, language)


def _described(together: Sequence[Answerer], language: str) -> str:
    """The models at one place, within a sentence: the first by its name."""
    first = together[0]
    first_name, *other_names = dict.fromkeys(each.called or each.model for each in together)
    model = Sentence("%(model)s and others", model=first_name).to(language) if other_names else first_name
    words = Sentence("%(model)s at %(place)s") if first.outside else Sentence("%(model)s on %(place)s")
    if not first.place:
        words = Sentence("%(model)s on this appliance")
    return words.having(model=model, place=first.place).to(language)


def _any_of(names: Iterable[str], language: str) -> str:
    """The names as alternatives; there is at least one."""
    said, *others = names
    for each in others:
        said = Sentence("%(one)s or %(other)s", one=said, other=each).to(language)
    return said
