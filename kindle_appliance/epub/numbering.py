"""The numbers of chapters: the book's own where the names of its chapters tell them, or else a count. Pure.

The rule: a name tells a number
- with a word for a chapter ("Chapter 5: A Title", "Kapitel IX", "第五章", "Erstes Kapitel", "الفصل الأول"); a name
  with such a word and a number that is not known here has the number after the one before ("Chapter 5-6",
  "Capítulo vigésimo"). 节 is a chapter only where 章 is none; or
- at its beginning or as all of it ("5. A Title", "I: A Title", "XII", "Five"), if the entry before or behind it on
  its level that begins with such a number has the neighbouring one, and another name: "M. Dupin", "1984", "12 Angry
  Men" and "1 May, 2 May" are names, and so are words with no sign behind ("First Love"). In a book with words for
  chapters, such numbers count only on their level.
What is within an entry with a number has none. One number makes no numbered book, unless it is the only chapter.
The number and the signs behind it are not part of the title. Other entries of such a book have number 0: its parts,
and what stands before and behind the chapters.

A book that tells no numbers is counted from 1 on: its entries of the highest level, or, if there are parts ("Part
One", "Zweiter Teil", "第一部") and others, those without more within. What stands before and behind the text proper
has number 0 there: by its document's own word, by a name such as Contents and Imprint, or by that of the book.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from unicodedata import normalize

_MOST = 999
"""A greater number is a year."""

_CHAPTER = re.compile(
    r"(?:chapter|chap\.?|ch\.|stave|canto|kapitel|kap\.|chapitre|cap[íi]tulo|cap\.|capitolo|capitolul|cap[íi]tol"
    r"|hoofdstuk|kapittel|rozdział|kapitola|глава|розділ|κεφάλαιο|bölüm|luku|(?:ال)?فصل|פרק|अध्याय)"
    r"(?![^\W\d_])[\s.:]*(?:the\s+)?",
    re.IGNORECASE,
)
_CHAPTER_BEHIND = re.compile(r"[\s.]*(?:chapter|kapitel|kapittel|fejezet|bölüm|luku)\b[\s.:–—-]*", re.IGNORECASE)
_NOT_KNOWN_BEHIND = re.compile(
    r"(?:[^\W_]+[\s.-]+){1,3}(?:chapter|kapitel|kapittel|fejezet|bölüm|luku|глава|розділ|chapitre|cap[íi]tulo|capitolo)"
    r"\s*(?:[.:–—-]|$)|第\s*\w{1,8}?\s*[章回]",
    re.IGNORECASE,
)
_SECTION = re.compile(r"第?\s*[^\s章]{1,8}?\s*[节節]")
_EAST_ASIAN_CHAPTER = re.compile(
    r"第?\s*([\d〇零一二三四五六七八九十百两]+)\s*[章回节節话話幕夜][\s.:：、．。—–-]*|제\s*(\d+)\s*[장화회][\s.:-]*"
)

_PART_NAMES = (
    r"(?:part|book|volume|teil|buch|band|partie|livre|tome|parte|libro|часть|книга|том|deel|boek|część|(?:ال)?جزء)"
)
_PART = re.compile(rf"{_PART_NAMES}\b[\s.:]*(?:the\s+)?", re.IGNORECASE)
_PART_BEHIND = re.compile(rf"{_PART_NAMES}\b", re.IGNORECASE)
_EAST_ASIAN_PART = re.compile(r"第?\s*[\d〇零一二三四五六七八九十百两]{1,4}\s*[部卷篇編编冊册]|제\s*\d+\s*[부권]")

_NUMERAL = re.compile(r"[\s([（【]*(\d+|[^\W\d_]+(?:[\s-]+[^\W\d_]+)?)")
_BEHIND = re.compile(r"\s*[.:,;)\]】、．：。–—―|/-][\s.:,;)\]】、．：。–—―|/-]*|\s+|$")
_GOES_ON = re.compile(r"[\s-]+hundred\b|[.,–-]\d", re.IGNORECASE)
"""What makes it another number."""

_ROMAN = re.compile("(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,4})", re.IGNORECASE | re.ASCII)
_ROMAN_SIGNS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CHINESE_DIGITS = {
    "〇": 0,
    "零": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    **{sign: value for value, sign in enumerate("三四五六七八九", 3)},
}
_CHINESE_TENS = {"十": 10, "百": 100}

_COUNTED_WORDS = (
    " one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty",
    " first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    " erstes zweites drittes viertes fünftes sechstes siebentes achtes neuntes zehntes elftes zwölftes dreizehntes"
    " vierzehntes fünfzehntes sechzehntes siebzehntes achtzehntes neunzehntes zwanzigstes",
    " eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    " первая вторая третья четвертая пятая шестая седьмая восьмая девятая десятая одиннадцатая двенадцатая"
    " тринадцатая четырнадцатая пятнадцатая шестнадцатая семнадцатая восемнадцатая девятнадцатая двадцатая",
    " الأول الثاني الثالث الرابع الخامس السادس السابع الثامن التاسع العاشر",
    " erster zweiter dritter vierter fünfter sechster siebter achter neunter zehnter",
    " premier",
    " première deuxième troisième quatrième cinquième",
    " primero",
    " primera segunda tercera cuarta quinta",
    " primeiro",
    " primeira segunda terceira quarta quinta",
    " primo",
    " prima seconda terza quarta quinta",
)
_WORDS = {
    **{word: number for words in _COUNTED_WORDS for number, word in enumerate(words.split(" ")) if word},
    **{"siebtes": 7, "четвёртая": 4, "الحادي": 1, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60},
    **{"seventy": 70, "eighty": 80, "ninety": 90},
}
_ARABIC_TEN = "عشر"

_MATTER_NAMES = (
    "cover|cover page|author's note|author’s note|dramatis personae|title|titelei"
    "|title page|titlepage|half title|half-title|halftitle page|half title page|imprint|copyright"
    "|copyright page|uncopyright|colophon|contents|table of contents|toc|dedication|epigraph|frontispiece"
    "|acknowledgements|acknowledgments|foreword|preface|introduction|prologue|epilogue|afterword|appendix"
    "|notes|endnotes|footnotes|index|bibliography|glossary|about the author|about the publisher|also by"
    "|also by the author|other books|credits|list of illustrations|list of figures|illustrations|maps|map"
    "|landmarks|newsletter|praise|newsletters|start|the full project gutenberg license"
    "|transcriber's notes|transcriber’s notes|umschlag|titel|titelseite|impressum|inhalt"
    "|inhaltsverzeichnis|widmung|vorwort|einleitung|nachwort|prolog|epilog|anmerkungen|danksagung|anhang"
    "|über den autor|über die autorin|über das buch|buch|autor|couverture|page de titre|titre"
    "|table des matières|sommaire|dédicace|préface|avant-propos|épilogue|postface|remerciements|portada"
    "|cubierta|índice|créditos|dedicatoria|prólogo|epílogo|prefacio|introducción|agradecimientos|notas"
    "|copertina|indice|dedica|prefazione|introduzione|prologo|epilogo|ringraziamenti|note|capa|sumário"
    "|prefácio|introdução|agradecimentos|обложка|содержание|оглавление|предисловие|пролог|эпилог"
    "|примечания|от автора|封面|扉页|版权|版权页|版权信息|目录|目錄|前言|序|序言|自序|引言|楔子|后记|後記"
    "|附录|附錄|注释|献词|尾声|作者简介|表紙|扉|目次|奥付|奥付け|後付|まえがき|はじめに|あとがき|おわりに"
    "|序章|終章|プロローグ|エピローグ|解説|付録|凡例|الغلاف|غلاف|المحتويات|الفهرس|فهرس|مقدمة|المقدمة"
    "|إهداء|الإهداء|خاتمة|الخاتمة|تمهيد"
)
_MATTER = frozenset(_MATTER_NAMES.split("|"))
"""Names of what stands before and behind the text proper."""

_MATTER_BEGINNING = re.compile(
    r"(?:prologue?|pr[óo]logo|epilogue?|ep[íi]logo|foreword|preface|introduction|appendix|afterword)\s*[:.–—-]"
    r"|(?:praise for|also by|other books by|copyright|table of content)\b"
    r"|about (?:the (?:author|book|publisher|translator|editor|illustrator)|this (?:book|edition))",
    re.IGNORECASE,
)


_LOOSE_WORDS = "words before others"


class Label(NamedTuple):
    """An entry of a table of contents: its name and level, and whether it is known to stand before or behind the
    text proper.
    """

    text: str
    level: int
    is_matter: bool = False


def numbered(labels: Sequence[Label], book: str = "") -> list[tuple[int, str]]:
    """The number and the title of each entry: number 0 if it has none, title "" if it has nothing but a number.
    `book`: the book's title.
    """
    labels = [
        Label(text, level, is_matter or text.casefold() == book.casefold() or _is_matter_by_name(text))
        for text, level, is_matter in (each._replace(text=normalize("NFC", each.text)) for each in labels)
    ]
    own = _own_numbers(labels)
    told = [label.level for label, number in zip(labels, own, strict=True) if number]
    chapters = [each for each in labels if not each.is_matter and each.level in told and not _is_part(each.text)]
    if len(told) > 1 or (told and len(chapters) <= 1):
        return [found or (0, label.text) for found, label in zip(own, labels, strict=True)]
    return _counted(labels)


def number_of(text: str) -> int | None:
    """The number from 1 to 999 that a text is: in digits of any script, Roman, Chinese or in words. Else None."""
    return next((number for number, _ in _readings(text)), None)


def _counted(labels: Sequence[Label]) -> list[tuple[int, str]]:
    has_parts = any(_is_part(each.text) for each in labels if not each.level)
    is_all_parts = all(_is_part(each.text) for each in labels if not each.is_matter)
    number, found = 0, []
    for index, (text, level, is_matter) in enumerate(labels):
        if has_parts and not is_all_parts:
            has_more = index + 1 < len(labels) and labels[index + 1].level > level
            is_chapter = not has_more and not _is_part(text)
        else:
            is_chapter = not level
        is_counted = is_chapter and not is_matter
        number += is_counted
        found.append((number if is_counted else 0, text))
    return found


def _is_part(text: str) -> bool:
    word = _PART.match(text)
    if word:
        return any(_at_beginning(text[word.end() :]))
    return bool(_EAST_ASIAN_PART.match(text)) or any(_PART_BEHIND.match(rest) for _, _, rest in _at_beginning(text))


def _own_numbers(labels: Sequence[Label]) -> list[tuple[int, str] | None]:
    found = _numbers_with_words(labels)
    levels = {label.level for label, each in zip(labels, found, strict=True) if each}
    of_kind: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for index, (text, level, _) in enumerate(labels):
        if not found[index] and not _is_part(text) and (not levels or level in levels):
            for number, kind, title in _at_beginning(text):
                of_kind.setdefault((kind, level), []).append((index, number, title))
    of_kind = {kind: told for kind, told in of_kind.items() if kind[0] != _LOOSE_WORDS}
    for told in of_kind.values():
        for (before, number, name), (index, following, title) in pairwise(told):
            if following == number + 1 and (title != name or not title):
                found[before] = found[before] or (number, name)
                found[index] = found[index] or (following, title)
    return _outermost(labels, found)


def _numbers_with_words(labels: Sequence[Label]) -> list[tuple[int, str] | None]:
    has_chapters = any("章" in each.text for each in labels)
    found = [
        None
        if has_chapters and _SECTION.match(each.text)
        else _with_a_word(each.text) or _with_a_word_only(each.text)
        for each in labels
    ]
    if not any(each and each[0] for each in found):
        return [None] * len(labels)
    numbers, number = _outermost(labels, found), 0
    for index, each in enumerate(numbers):
        if each:
            number = each[0] or min(number + 1, _MOST)
            numbers[index] = number, each[1]
    return numbers


def _outermost(labels: Sequence[Label], found: Sequence[tuple[int, str] | None]) -> list[tuple[int, str] | None]:
    """What was found, without what is within another one."""
    numbers: list[tuple[int, str] | None] = []
    outer: int | None = None  # level of the one that the entry may be within
    for label, each in zip(labels, found, strict=True):
        is_within = outer is not None and label.level > outer
        numbers.append(None if is_within else each)
        if not is_within:
            outer = label.level if each else None
    return numbers


def _is_matter_by_name(text: str) -> bool:
    return text.casefold().strip(" .:") in _MATTER or bool(_MATTER_BEGINNING.match(text))


def _with_a_word(text: str) -> tuple[int, str] | None:
    east_asian = _EAST_ASIAN_CHAPTER.match(text)
    if east_asian and (number := number_of(east_asian[1] or east_asian[2])):
        return number, text[east_asian.end() :]
    word = _CHAPTER.match(text)
    if word:
        return next(((number, title) for number, _, title in _at_beginning(text[word.end() :])), None)
    for number, _, rest in _at_beginning(text):
        word = _CHAPTER_BEHIND.match(rest)
        if word:
            return number, rest[word.end() :]
    return None


def _with_a_word_only(text: str) -> tuple[int, str] | None:
    return (0, text) if _CHAPTER.match(text) or _NOT_KNOWN_BEHIND.match(text) else None


def _at_beginning(text: str) -> Iterator[tuple[int, str, str]]:
    """The numbers with which a text may begin: each with its kind, and what follows."""
    numeral = _NUMERAL.match(text)
    if numeral is None:
        return
    for words in dict.fromkeys((numeral[1], re.split(r"[\s-]", numeral[1])[0])):
        end = numeral.start(1) + len(words)
        behind = _BEHIND.match(text, end)
        readings = list(_readings(words)) if behind and not _GOES_ON.match(text, end) else []
        for number, kind in readings:
            is_loose = kind == "words" and behind and behind[0].isspace()
            yield number, _LOOSE_WORDS if is_loose else kind, text[behind.end() :].strip() if behind else ""
        if readings:
            return


def _readings(text: str) -> Iterator[tuple[int, str]]:
    text = normalize("NFKC", text)
    for kind, number in (
        ("digits", int(text) if text.isdecimal() and len(text) < 5 else 0),
        ("roman", _roman(text)),
        ("chinese", _chinese(text)),
        ("words", _in_words(text)),
    ):
        if 0 < number <= _MOST:
            yield number, kind


def _roman(text: str) -> int:
    if text not in (text.upper(), text.lower()) or not _ROMAN.fullmatch(text):
        return 0
    values = [_ROMAN_SIGNS[sign] for sign in text.upper()]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))


def _chinese(text: str) -> int:
    number = digit = 0
    has_tens = not _CHINESE_TENS.keys().isdisjoint(text)
    for sign in text[:9]:
        if sign in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[sign] + (0 if has_tens else 10 * digit)
        elif sign in _CHINESE_TENS:
            number += (digit or 1) * _CHINESE_TENS[sign]
            digit = 0
        else:
            return 0
    return number + digit


def _in_words(text: str) -> int:
    first, *more = (_WORDS.get(word, 0) for word in re.split(r"[\s-]+", text.casefold())[:3])
    if not more:
        return first
    if len(more) == 1 and first >= 20 and not first % 10 and 0 < more[0] < 10:
        return first + more[0]
    return first + 10 if first and text.endswith(_ARABIC_TEN) and len(more) == 1 else 0
