"""The language of a text: by its script, and for Latin letters by the most frequent words. Pure functions.

Half of the words of a prose text are among a language's forty most frequent ones, so a line or two suffice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from .writing import east_asian_language

WORD = re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]+")
"""A run of Latin letters."""

_MOST_WORDS = 120
_ENOUGH_WORDS = 12
"""So many words show their language, or are in none that is known here."""
_LEAST_FREQUENT = 2
_LEAD = 1.25
_SHARE = 6
"""At least one word in six is among the frequent ones of its language."""

_WORDS = {
    "en": "the of and to a in is that it for as was with be on by are this or from an at which not but have"
    " has had were their they you your can its also we he she his her who will would there been more"
    " when if what how than these those into about such may out up so them then some only other"
    " between most while because through like over both after many each where does did do could should"
    " no all one two why i me my let here make",
    "fr": "le la les de des du un une et est en que qui dans pour pas au aux ce cette ces sur par plus avec"
    " son sa ses il elle ils elles nous vous se ne sont ou mais comme on leur leurs être été avoir"
    " fait tout tous même aussi d l qu c s n j entre sans sous peut était quel quelle comment pourquoi",
    "es": "el la los las de del un una unos y e es en que se por para con no al lo su sus como más pero"
    " este esta estos estas ser son fue era ha han hay también muy sin sobre entre cuando desde hasta"
    " porque le les o si todo todos puede donde qué cómo por",
    "it": "il lo la i gli le di del della dei delle da dal in nel nella un una uno e è che non per con si"
    " come più ma anche sono stato essere ha questo questa questi su sul al alla ai tra fra o se loro"
    " suo sua molto dove quando perché cosa ed l d",
    "pt": "o a os as de do da dos das um uma e é em no na nos nas que se por para com não ao à mais como"
    " mas seu sua seus este esta isso ser são foi era tem também muito sem sobre entre quando ou até"
    " pelo pela eles ele ela já porque você",
    # Languages that are only told apart from those above.
    "de": "der die das den dem des und ist nicht ein eine einer einen einem zu im in von mit auf für als"
    " auch sich es sie er wir ich sind war wird werden durch bei aus nach oder aber wie so dass wenn"
    " nur noch kann warum was",
    "nl": "de het een van en in is dat op te zijn met voor niet aan er die ook als door maar om bij naar"
    " uit wordt worden heeft hebben was waren kan deze dit of hij ze zij wij je ik nog waarom wat",
    "sv": "och att det som en ett är på för med av den till inte om har de från kan så men var vi jag eller vid",
    "da": "og at det som en et er på for med af den til ikke om har de fra kan så men var vi jeg eller ved blev",
    "ca": "el la els les de del dels un una i és en que per amb no al als com més però aquest aquesta ser"
    " són va ha també molt sense sobre entre quan perquè o si",
    "ro": "și în de la cu pe este sunt un o care că nu din pentru mai fi a au fost ca sau dar între după prin",
    "pl": "i w na z do że się nie jest to o jak po od za ale przez są był była dla które który ich oraz tym",
}

_FREQUENT = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_LANGUAGES_OF: Mapping[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _FREQUENT.items() if word in words)
    for word in frozenset[str]().union(*_FREQUENT.values())
}


def is_frequent(word: str, language: str) -> bool | None:
    """Whether a word is one of the frequent ones of this language; None if it is one of no language."""
    languages = _LANGUAGES_OF.get(word)
    return None if languages is None else language in languages


def language_of(text: str, otherwise: str | None = None) -> str | None:
    """The language of a text, as two letters. `otherwise` if the text is too short to tell; None if it is in doubt,
    or in a language that is not known here.
    """
    if language := east_asian_language(text):
        return language[:2]
    letters = sum(map(str.isalpha, text))
    words = [match[0].lower() for match in WORD.finditer(text)]
    if 2 * sum(map(len, words)) < letters:
        return None
    words = words[:_MOST_WORDS]
    count = Counter(language for word in words for language in _LANGUAGES_OF.get(word, ()))
    (best, most), (_, second) = [*count.most_common(2), ("", 0), ("", 0)][:2]
    if most >= max(_LEAST_FREQUENT, _LEAD * second, len(words) / _SHARE):
        return best
    return None if len(words) >= _ENOUGH_WORDS else otherwise
