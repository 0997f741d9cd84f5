"""The numbers and titles of chapters, from the names that books give them."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub.numbering import Label, number_of, numbered


def found(*names: str) -> list[tuple[int, str]]:
    return numbered([Label(name, 0) for name in names])


def to_roman(number: int) -> str:
    values = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
    roman = ""
    for value, sign in values:
        roman += sign * (number // value)
        number %= value
    return roman


def to_chinese(number: int) -> str:
    digits = "零一二三四五六七八九"
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    text = f"{digits[hundreds]}百" if hundreds else ""
    if tens:
        text += ("" if tens == 1 and not hundreds else digits[tens]) + "十"
    elif hundreds and ones:
        text += "零"
    return text + (digits[ones] if ones else "")


def to_english(number: int) -> str:
    small = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    small += " seventeen eighteen nineteen"
    tens = "x x twenty thirty forty fifty sixty seventy eighty ninety"
    if number < 20:
        return small.split()[number]
    word = tens.split()[number // 10]
    return f"{word}-{small.split()[number % 10]}" if number % 10 else word


@given(st.integers(1, 399))
def test_numbers_are_read_in_digits_roman_and_chinese(number: int) -> None:
    assert number_of(str(number)) == number
    assert number_of(to_roman(number)) == number
    assert number_of(to_roman(number).lower()) == number
    assert number_of(to_chinese(number)) == number
    assert number_of(str(number).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))) == number
    assert number_of(str(number).translate(str.maketrans("0123456789", "０１２３４５６７８９"))) == number


@given(st.integers(1, 99))
def test_numbers_are_read_in_english_words(number: int) -> None:
    assert number_of(to_english(number)) == number
    assert number_of(to_english(number).replace("-", " ").upper()) == number


@pytest.mark.parametrize("text", ["", "0", "1984", "IIX", "Mix", "Civil", "zero", "twenty ten", "一本", "İ", "Xİ"])
def test_other_texts_are_no_numbers(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    ("name", "number", "title"),
    [
        ("Chapter 5", 5, ""),
        ("CHAPTER V. Down the Rabbit-Hole", 5, "Down the Rabbit-Hole"),
        ("Chapter Five: The House", 5, "The House"),
        ("Chapter Twenty-One The House", 21, "The House"),
        ("Chapter the First", 1, ""),
        ("chapter xii — A Title", 12, "A Title"),
        ("Ch. 7: Seven", 7, "Seven"),
        ("Chapter 3 / Three", 3, "Three"),
        ("Stave I: Marley’s Ghost", 1, "Marley’s Ghost"),
        ("Kapitel IX", 9, ""),
        ("Erstes Kapitel", 1, ""),
        ("Zwölftes Kapitel: Die Flucht", 12, "Die Flucht"),
        ("3. Kapitel - Im Wald", 3, "Im Wald"),
        ("Chapitre premier", 1, ""),
        ("Capítulo 4. La casa", 4, "La casa"),
        ("Capitolo VI", 6, ""),
        ("Глава 12. Дом", 12, "Дом"),
        ("Глава первая", 1, ""),
        ("第五章 标题", 5, "标题"),
        ("第十二回　標題", 12, "標題"),
        ("第5章：标题", 5, "标题"),
        ("第１２話", 12, ""),
        ("第一百零八回", 108, ""),
        ("제3장 제목", 3, "제목"),
        ("الفصل الأول", 1, ""),
        ("الفصل 5: عنوان", 5, "عنوان"),
        ("الفصل الثالث عشر", 13, ""),
        ("2. fejezet", 2, ""),
    ],
)
def test_a_number_behind_a_word_for_a_chapter_is_the_chapters(name: str, number: int, title: str) -> None:
    assert found(name) == [(number, title)]
    told = (number, title)
    assert found("Cover", name, "An Interlude", name) == [(0, "Cover"), told, (0, "An Interlude"), told]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["Capítulo primero", "Capítulo segundo", "Capítulo tercero"], [1, 2, 3]),
        (["Zwanzigstes Kapitel", "Einundzwanzigstes Kapitel", "Zweiundzwanzigstes Kapitel: A"], [20, 21, 22]),
        (["Глава первая", "Вторая глава", "Третья часть", "Пятьдесят третья глава"], [1, 2, 0, 3]),
        (["第二十二章", "第廿三章", "第二十四章 A"], [22, 23, 24]),
        (["Chapter Ⅲ", "Chapter Ⅳ"], [3, 4]),
        (["Chapter Ninety-Nine", "Chapter One Hundred", "Chapter One Hundred and One"], [99, 100, 101]),
        (["Chapter 4", "Chapter 5-6: A", "Chapter 6.5", "Chapter 8"], [4, 5, 6, 8]),
        (["Capi\u0301tulo primero", "Capi\u0301tulo 2"], [1, 2]),
    ],
)
def test_a_word_for_a_chapter_with_an_unknown_number_counts_on(names: list[str], numbers: list[int]) -> None:
    assert [number for number, _ in found(*names)] == numbers


def of_levels(*entries: tuple[str, int]) -> list[int]:
    return [number for number, _ in numbered([Label(*each) for each in entries])]


def test_sections_within_chapters_have_no_numbers() -> None:
    for chapter, section in (("Chapter {}", "{}. Section"), ("第{}章", "第{}节 A"), ("{}. A", "{}. B")):
        levels = (chapter, 0), (section, 1), (section, 1), (chapter, 0), (section, 1)
        names = [
            (name.format(number), level) for (name, level), number in zip(levels, (1, 1, 2, 2, 1), strict=True)
        ]
        assert of_levels(*names) == [1, 0, 0, 2, 0]
    assert [number for number, _ in found("第一章", "第一节 A", "第二节 B", "第二章", "第一节")] == [1, 0, 0, 2, 0]
    assert [number for number, _ in found("第一节 A", "第二节 B")] == [1, 2]
    assert of_levels(("I. A", 0), ("Chapter 1", 1), ("Chapter 2", 1), ("II. B", 0), ("Chapter 3", 1)) == [
        0,
        1,
        2,
        0,
        3,
    ]
    assert of_levels(("1. A", 0), ("1.1 B", 1), ("1.2 C", 1), ("2. D", 0)) == [1, 0, 0, 2]


@pytest.mark.parametrize(
    "names",
    [
        ["First Love", "Second Thoughts", "Third Girl"],
        ["One Day", "Two Cities", "Emma"],
        ["1 May", "2 May", "5 May"],
        ["Emma", "Persuasion", "Chapter One: A Memoir", "Dracula"],
    ],
)
def test_names_of_novels_and_days_keep_their_words(names: list[str]) -> None:
    assert found("Cover", *names) == [(0, "Cover"), *enumerate(names, 1)]


def test_parts_are_the_chapters_where_only_matter_is_beside_them() -> None:
    assert [number for number, _ in found("Cover", "Title Page", "Book One", "Book Two", "Acknowledgments")] == [
        *(0, 0, 1, 2, 0),
    ]


def test_matter_is_known_by_the_beginning_of_its_name_and_by_the_title_of_the_book() -> None:
    matter = ("The SEA", "Prologue: Rain", "Praise for X", "About the Author", "Also by Y", "Copyright 2020")
    labels = [Label(name, 0) for name in (*matter, "Table of Content", "About a Boy", "Prologues")]
    assert [number for number, _ in numbered(labels, "The Sea")] == [0, 0, 0, 0, 0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    "names",
    [
        ["I: Mr. Sherlock Holmes", "II: The Curse of the Baskervilles", "III: The Problem"],
        ["1. Mr. Sherlock Holmes", "2. The Curse of the Baskervilles", "3. The Problem"],
        ["1 Mr. Sherlock Holmes", "2 The Curse of the Baskervilles", "3 The Problem"],
        ["(1) Mr. Sherlock Holmes", "(2) The Curse of the Baskervilles", "(3) The Problem"],
        ["I Mr. Sherlock Holmes", "II The Curse of the Baskervilles", "III The Problem"],
        ["One: Mr. Sherlock Holmes", "Two: The Curse of the Baskervilles", "Three: The Problem"],
        ["一、Mr. Sherlock Holmes", "二、The Curse of the Baskervilles", "三、The Problem"],
        ["1 | Mr. Sherlock Holmes", "2 | The Curse of the Baskervilles", "3 | The Problem"],
    ],
)
def test_numbers_that_follow_each_other_are_the_chapters(names: list[str]) -> None:
    assert found("Titlepage", *names, "Colophon") == [
        (0, "Titlepage"),
        (1, "Mr. Sherlock Holmes"),
        (2, "The Curse of the Baskervilles"),
        (3, "The Problem"),
        (0, "Colophon"),
    ]


@pytest.mark.parametrize("numerals", [to_roman, str, to_chinese, to_english])
def test_a_name_that_is_nothing_but_a_number_has_no_title(numerals: object) -> None:
    assert callable(numerals)
    assert found(*(numerals(number) for number in range(1, 40))) == [(number, "") for number in range(1, 40)]


def test_chapters_that_begin_anew_in_each_part_keep_their_numbers() -> None:
    names = ["Part One", "1", "2", "3", "Part Two", "1", "2"]
    assert [number for number, _ in found(*names)] == [0, 1, 2, 3, 0, 1, 2]
    names = ["Part I", "Chapter 1", "Chapter 2", "Part II", "Chapter 3"]
    assert [number for number, _ in found(*names)] == [0, 1, 2, 0, 3]


@pytest.mark.parametrize(
    "names",
    [
        ["M. Dupin", "C. Auguste", "1984", "12 Angry Men", "I Am Legend", "One Day", "2001: A Space Odyssey"],
        ["20,000 Leagues", "Seven Pillars", "Mix and Match", "Did He", "五月", "三国"],
    ],
)
def test_names_that_begin_like_numbers_are_names(names: list[str]) -> None:
    assert found(*names) == list(enumerate(names, 1))


def test_a_book_that_tells_no_numbers_is_counted_without_what_stands_around_its_text() -> None:
    labels = [
        *(Label("Cover", 0), Label("Ein Vorwort", 0, is_matter=True), Label("Loomings", 0), Label("A Section", 1)),
        *(Label("The Carpet-Bag", 0), Label("Acknowledgements", 0), Label("版权", 0), Label("目次", 0)),
    ]
    assert [number for number, _ in numbered(labels)] == [0, 0, 1, 0, 2, 0, 0, 0]


@pytest.mark.parametrize("parts", [("Part One", "Part Two"), ("Erster Teil", "Zweiter Teil"), ("第一部", "第二部")])
def test_chapters_within_parts_are_counted_through(parts: Sequence[str]) -> None:
    labels = [
        *(Label("Prologue", 0), Label(parts[0], 0), Label("Loomings", 1), Label("The Bag", 1)),
        *(Label(parts[1], 0), Label("The Inn", 1), Label("The Counterpane", 1)),
    ]
    assert [number for number, _ in numbered(labels)] == [0, 0, 1, 2, 0, 3, 4]


def test_parts_are_no_chapters_in_a_flat_table_unless_there_is_nothing_else() -> None:
    assert [number for number, _ in found("Part One", "Loomings", "The Bag", "Book the Second", "The Inn")] == [
        *(0, 1, 2, 0, 3),
    ]
    assert [number for number, _ in found("Part of the Plan", "Book Lovers", "Band of Brothers")] == [1, 2, 3]
    assert [number for number, _ in found("Part One", "Part Two")] == [1, 2]


@given(st.lists(st.builds(Label, st.text(max_size=30), st.integers(0, 3), st.booleans()), max_size=30))
def test_any_table_is_numbered(labels: list[Label]) -> None:
    numbers = numbered(labels)
    assert len(numbers) == len(labels)
    for (number, title), label in zip(numbers, labels, strict=True):
        assert 0 <= number <= 999
        assert title in normalize("NFC", label.text)
