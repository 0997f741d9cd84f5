"""The catalogue has exactly the sentences that readers see, in every language."""

from __future__ import annotations

import ast
import gettext
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from bottle import SimpleTemplate
from conftest import ROOT

from kindle_appliance.sentences import (
    CHINESE,
    ENGLISH,
    Moment,
    Sentence,
    choose_language,
    languages_with_catalogue,
)
from kindle_appliance.web.templates import STATIC

PACKAGE = ROOT / "kindle_appliance"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
"""A place for a value, of the appliance's (`%(count)d`) or of a page's script (`{page}`)."""
HAN = "[\u4e00-\u9fff]"


def sentences_in_code() -> Iterator[tuple[str, ...]]:
    """The texts of `Sentence("...")` anywhere in the package: English, or English and its plural."""
    for path in PACKAGE.rglob("*.py"):
        yield from sentences_said(path.read_text(encoding="utf-8"), "Sentence")


def sentences_in_templates() -> Iterator[tuple[str, ...]]:
    """The texts of `_("...")` in templates, from the Python that bottle makes of them."""
    for path in STATIC.glob("*.html"):
        yield from sentences_in_template(path.read_text(encoding="utf-8"))


def sentences_in_template(source: str) -> Iterator[tuple[str, ...]]:
    code = SimpleTemplate(source).code
    for call in calls_of("_", code):
        known = isinstance(call.args[0], ast.Constant | ast.Name | ast.Attribute)
        assert known, f"no catalogue can have the text of {ast.unparse(call)}"
    yield from sentences_said(code, "_")


def sentences_said(code: str, function: str) -> Iterator[tuple[str, ...]]:
    for call in calls_of(function, code):
        words = [call.args[0]] + [each.value for each in call.keywords if each.arg == "plural"]
        yield tuple(ast.literal_eval(word) for word in words if isinstance(word, ast.Constant))


def calls_of(function: str, code: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function and node.args:
            yield node


def test_each_sentence_of_the_code_stands_at_one_place() -> None:
    words = list(sentences_in_code())
    assert [each for each in set(words) if each and words.count(each) > 1] == []


def catalogue_path(language: str, kind: str) -> Path:
    return PACKAGE / "locale" / language.replace("-", "_") / "LC_MESSAGES" / f"kindle_appliance.{kind}"


def catalogue(language: str) -> Catalog:
    with catalogue_path(language, "po").open("rb") as file:
        return read_po(file)


def entries(language: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for message in catalogue(language):
        if message.id:
            found[_tuple(message.id)] = _tuple(message.string)
    return found


def _tuple(text: object) -> tuple[str, ...]:
    return tuple(map(str, text)) if isinstance(text, list | tuple) else (str(text or ""),)


@pytest.mark.parametrize("language", languages_with_catalogue())
def test_the_catalogue_has_every_sentence_and_no_unused_one(language: str) -> None:
    used = {words for words in (*sentences_in_code(), *sentences_in_templates()) if words}
    assert len(used) > 40, "the search finds the sentences of the package"
    assert set(entries(language)) == used


def test_sentences_are_found_anywhere_in_a_template() -> None:
    source = """% rebase("frame.html", title=_("A title"))
    <p title="{{_("It's an attribute")}}">{{_("One") if x else _('Another')}} {{_(note)}}
    % if x:
    {{_("%(count)d line", plural="%(count)d lines", count=x)}}
    % end
    """
    found = {words for words in sentences_in_template(source) if words}
    assert found == {
        *(("A title",), ("It's an attribute",), ("One",), ("Another",)),
        ("%(count)d line", "%(count)d lines"),
    }


@pytest.mark.parametrize("words", ["'A ' + x", "f'A {x}'", "'A' if x else 'B'"])
def test_a_sentence_composed_in_a_template_is_an_error(words: str) -> None:
    with pytest.raises(AssertionError, match="no catalogue can have"):
        list(sentences_in_template(f"<p>{{{{_({words})}}}}</p>"))


def is_sound(english: tuple[str, ...], translated: tuple[str, ...], plurals: int) -> bool:
    """Whether each form of a translation has the placeholders of the English one, each as often and of the same
    kind, and no other sign that could be one. `plurals`: how many forms the language has.
    """
    return len(translated) == (plurals if len(english) == 2 else 1) and all(
        Counter(PLACEHOLDER.findall(text)) == Counter(PLACEHOLDER.findall(english[-1]))
        and not re.search("[%{}％｛｝]", PLACEHOLDER.sub("", text))
        for text in translated
    )


@pytest.mark.parametrize("language", languages_with_catalogue())
def test_every_translation_has_text_with_the_same_placeholders(language: str) -> None:
    plurals = catalogue(language).num_plurals
    for english, translated in entries(language).items():
        assert all(translated), english
        assert is_sound(english, translated, plurals), english
        assert not any(re.search("[A-Za-z]{4,} [a-z]{3,} [a-z]{3,}", text) for text in translated), english


@pytest.mark.parametrize("language", languages_with_catalogue())
def test_each_placeholder_that_is_lost_misspelt_or_doubled_is_noticed(language: str) -> None:
    plurals, broken = catalogue(language).num_plurals, 0
    for english, translated in entries(language).items():
        for index, text in enumerate(translated):
            for place in PLACEHOLDER.finditer(text):
                found = place[0]
                other_kind = found[:-1] + ("d" if found[-1] == "s" else "s")
                for wrong in ("", found.upper(), found * 2, found[0], found[:-1], other_kind, f"％{found[1:]}"):
                    changed = text[: place.start()] + wrong + text[place.end() :]
                    assert not is_sound(english, (*translated[:index], changed, *translated[index + 1 :]), plurals)
                    broken += 1
    assert broken > 500
    assert not is_sound(("%(count)d second", "%(count)d seconds"), ("%(count)d 秒", "%(count)d 秒"), 1)
    assert not is_sound(("Half of it",), ("50% 的内容",), 1), "a stray sign"


def test_the_chinese_is_set_as_chinese_is() -> None:
    """Full-width punctuation, a space beside Latin letters and figures, and one word for each thing."""
    wrong = {
        f"{HAN}[.,;:?!()]|[,;:?!(]{HAN}|\\.\\.|。。": "half-width punctuation",
        f"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}": "no space",
        "[，。；：？！（）、“”…] | [，。；：？！（）、“”…]": "a space beside full-width punctuation",
        "本家|主人|写作": "another word for 家里, 机主, 回答",
    }
    for english, translated in entries(CHINESE).items():
        for text in translated:
            shown = PLACEHOLDER.sub("1", text.replace("%(moment)s", "今天 08:00 "))  # it brings its own space
            for pattern, fault in wrong.items():
                assert not re.search(pattern, shown), (fault, english, text)


@pytest.mark.parametrize("language", languages_with_catalogue())
def test_the_compiled_catalogue_matches_its_source(language: str) -> None:
    with catalogue_path(language, "mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for english, translated in entries(language).items():
        said = compiled.ngettext(*english, 2) if len(english) == 2 else compiled.gettext(english[0])
        assert said == translated[-1], "run `make messages`"
    # Else it would differ after each compilation, and any two changes of it would be in conflict.
    assert "POT-Creation-Date: 2026-08-01" in compiled.gettext("")


def test_a_sentence_is_said_in_the_language_of_its_reader() -> None:
    sentence = Sentence("today, %(time)s", time="14:05")
    assert sentence.to(ENGLISH) == "today, 14:05"
    assert sentence.to(CHINESE) == "今天 14:05"


def test_a_count_of_one_is_singular() -> None:
    def count(number: int) -> Sentence:
        return Sentence("%(count)d question", plural="%(count)d questions", count=number)

    assert [count(number).to(ENGLISH) for number in (0, 1, 2)] == ["0 questions", "1 question", "2 questions"]
    assert count(2).to(CHINESE) == "2 个问题"


def test_a_stored_sentence_can_be_translated_later() -> None:
    english = "%(provider)s stopped writing for a reason of its own (%(reason)s)."
    again = Sentence.from_json(Sentence(english, provider="Gemini", reason="NEW").to_json())
    assert again.to(ENGLISH).endswith("(NEW).")
    assert "NEW" in again.to(CHINESE) and again.to(CHINESE) != again.to(ENGLISH)


def test_a_moment_is_worded_relative_to_the_day_of_reading() -> None:
    noon = datetime.now().replace(hour=12, minute=5)
    for days, english, chinese in (
        (0, "New questions from 12:05 today.", "今天 12:05 起"),
        (1, "New questions from 12:05 tomorrow.", "明天 12:05 起"),
        (-3, "New questions from 12:05 on 2", " 12:05 起"),
    ):
        moment = Moment((noon + timedelta(days=days)).timestamp())
        said = Sentence(
            "%(provider)s's free questions for today are used up. New questions from %(moment)s.",
            provider="Gemini",
            moment=moment,
        )
        again = Sentence.from_json(said.to_json())
        assert again == said
        assert english in again.to(ENGLISH) and chinese in again.to(CHINESE)


def test_a_sentence_missing_from_the_catalogue_stays_english() -> None:
    gone = "No version says this %(count)d times any more."
    assert Sentence.from_json(f'["{gone}", null, {{"count": 2}}]').to(CHINESE) == gone % {"count": 2}


@pytest.mark.parametrize(
    ("accepted", "fixed", "expected"),
    [
        ("", None, ENGLISH),
        ("en-US,en;q=0.9", None, ENGLISH),
        ("zh-CN,zh;q=0.9,en;q=0.8", None, CHINESE),
        ("zh", None, CHINESE),
        ("zh-Hans-HK", None, CHINESE),
        ("zh-SG,zh;q=0.9", None, CHINESE),
        ("ZH-hans", None, CHINESE),
        # Traditional characters, which we do not have
        ("zh-TW", None, ENGLISH),
        ("zh-tw", None, ENGLISH),
        ("zh-HK", None, ENGLISH),
        ("zh-MO", None, ENGLISH),
        ("zh-Hant", None, ENGLISH),
        ("zh-Hant-TW", None, ENGLISH),
        ("ZH-HANT-cn", None, ENGLISH),
        ("yue", None, ENGLISH),
        ("zh-yue-HK", None, ENGLISH),
        ("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7", None, ENGLISH),  # as Chrome and Firefox send it in Taiwan
        ("zh-HK,zh;q=0.9", None, ENGLISH),
        ("fr, zh-TW;q=0.9, zh;q=0.9", None, ENGLISH),
        ("zh,zh-TW;q=0.9", None, ENGLISH),
        ("zh-TW,zh-CN;q=0.8,en;q=0.5", None, CHINESE),  # both can be read
        ("zh-TW,en;q=0.8,zh-CN;q=0.5", None, ENGLISH),
        ("zh-CN,zh;q=0.9,zh-TW;q=0.8", None, CHINESE),
        ("zh-TW;q=0, zh", None, CHINESE),  # not wanted at all
        ("yue-Hans, en;q=0.5", None, CHINESE),
        ("zh-TW", CHINESE, CHINESE),  # the owner's choice for the house
        ("de-DE, zh;q=0.3, en;q=0.7", None, ENGLISH),
        ("de-DE, zh;q=0.7, en;q=0.3", None, CHINESE),
        ("de-DE", None, ENGLISH),
        ("zh;q=0, en", None, ENGLISH),
        ("zh;q=x, ;;, ,q=1", None, ENGLISH),
        ("en", CHINESE, CHINESE),
        ("zh", ENGLISH, ENGLISH),
        ("," * 15_000 + "zh", None, ENGLISH),  # only the beginning is read
    ],
)
def test_the_language_is_the_owners_choice_or_the_browsers_favourite(
    accepted: str, fixed: str | None, expected: str
) -> None:
    assert choose_language(accepted, fixed) == expected


@pytest.mark.parametrize(
    "stored",
    ['["%(count)999999999d", null, {"count": 1}]', '["%(a).99999999s%(a)99999999s", null, {"a": "b"}]', "[" * 9000],
)
def test_what_would_fill_the_memory_is_no_sentence(stored: str) -> None:
    with pytest.raises(ValueError, match="no sentence"):
        Sentence.from_json(stored)
