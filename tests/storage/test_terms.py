"""The terms of texts in all languages, and what a reader's query finds in them. Pure."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kindle_appliance.storage.terms import MOST_ASKED_CHARACTERS, Query, terms


def is_found(asked: str, text: str) -> bool:
    """Whether a text has all terms of a query, as the index tells it, and the longer runs as they are."""
    query = Query(asked)
    return bool(query.terms) and query.matches(terms(text)) and query.is_in(text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("salty", "Why is the sea salty?"),
        ("SALTY sea", "Why is the sea salty?"),
        ("volc", "Two volcanoes erupted."),
        ("cafe", "Das Café an der Straße"),
        ("strasse CAFÉ", "Das Cafe\u0301 an der Straße"),
        ("STRASSE", "Straße"),
        ("angstrom", "one Ångström"),
        ("海", "海水为什么是咸的？"),
        ("海水", "海水为什么是咸的？"),
        ("什么是咸", "海水为什么是咸的？"),
        ("咸 海水", "海水为什么是咸的？"),
        ("python编程", "学Python编程"),
        ("カタ", "ｶﾀｶﾅとひらがな"),
        ("ひら", "カタカナとひらがな"),
        ("바다", "바다는 왜 짠가요?"),
        ("ทะเล", "ทำไมน้ำทะเลเค็ม"),
        ("हिन्दी", "यह हिन्दी है"),
        ("बंगाल", "बंगाल की खाड़ी"),
        ("البحر", "لماذا البَحْر مالح؟"),
        ("العربية", "الْعَرَبِيَّة"),
        ("הים", "למה הַיָּם מלוח?"),
        ("море", "Почему МОРЕ солёное?"),
        ("соленое", "Почему море солёное?"),
        ("θαλασσα", "Γιατί η ΘΆΛΑΣΣΑ;"),
        ("istanbul", "İstanbul"),
        ("viet", "Việt Nam"),
        ("final", "the ﬁnal"),
        ("42", "It is 42."),
        ("don't", "I don't know"),
        ('"sea" AND (NOT* salty', "and not: the sea is salty"),
        ("𠮷野", "𠮷野家"),
    ],
)
def test_a_text_is_found_by_its_words_in_every_language(query: str, text: str) -> None:
    assert is_found(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("salty lake", "Why is the sea salty?"),
        ("alty", "Why is the sea salty?"),
        ("sal sea", "Why is the sea salty?"),  # only the last word may be a beginning
        ("se", "Why is the sea salty?"),  # too short to be one
        ("水海", "海水为什么是咸的？"),
        ("海咸", "海水为什么是咸的？"),
        ("水为海水", "海水为什么？海水。水为海。"),  # all its pairs are there, but not in a row
        ("バ", "ハ"),
    ],
)
def test_a_text_without_all_of_a_query_is_not_found(query: str, text: str) -> None:
    assert not is_found(query, text)


SCRIPTS = st.text(
    st.sampled_from("abzéßÅ09 -*\"'()海水为的がパ한국ทะเहिन्दीبَحر\u0301\u00ad\U00020bb7\n"), min_size=1
)


@given(SCRIPTS, st.data())
def test_every_part_of_a_text_between_two_spaces_finds_it(text: str, data: st.DataObject) -> None:
    words = text.split()
    start = data.draw(st.integers(0, len(words)))
    part = " ".join(words[start : start + data.draw(st.integers(1, 3))])
    assert is_found(part, text) or not Query(part).terms


@given(st.text(max_size=5000))
@example('*"(' * 1000)
@example("a " * 2000)
@example("的" * 4000)
@example("\ud800 \x00")
def test_what_a_stranger_types_becomes_a_few_plain_terms(text: str) -> None:
    query = Query(text)
    assert len(query.terms) <= 12 and all(0 < len(term) <= 40 for term in query.terms)
    assert not any(re.search(r"[\s\"*()\0]", term) for term in query.terms)
    assert query.terms == Query(text[:MOST_ASKED_CHARACTERS]).terms


def test_a_line_around_what_was_found_has_no_markdown_and_whole_words() -> None:
    text = (
        "# The sea\n\nRivers carry **salt** from rocks.\n- It `stays`, since only water evaporates." + " More." * 50
    )
    assert Query("evapor").excerpt(text).startswith("… since only water evaporates. More.")
    assert Query("salt").excerpt(text).startswith("The sea Rivers carry salt from rocks. It stays, ")
    assert Query("salt").excerpt(text).endswith(" evaporates. …")
    assert Query("nothing").excerpt(text) == ""
    assert "海水为什么" in Query("为什").excerpt("前" * 100 + "海水为什么是咸的")
