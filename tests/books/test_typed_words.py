"""The comparison of typed words with a text, beside a plain one of every letter with every letter."""

from __future__ import annotations

from string import ascii_letters, digits

from hypothesis import example, given
from hypothesis import strategies as st

from kindle_appliance.books.typed_words import TypedWords, end_of_word, fold_letters

FEW = st.text("ab1é海", max_size=12)
ANY = st.text(max_size=40)


def plain_best_end(letters: str, text: str) -> tuple[int, int]:
    """As `best_end()`, by the matrix of all edit distances."""
    column = list(range(len(letters) + 1))
    best = (column[-1], 0)
    for count, letter in enumerate(text, 1):
        before, column[0] = column[0], 0
        for row, own in enumerate(letters, 1):
            before, column[row] = column[row], min(column[row] + 1, column[row - 1] + 1, before + (own != letter))
        if column[-1] < best[0]:
            best = (column[-1], count)
    return best


@given(letters=FEW.filter(fold_letters), text=FEW.map(lambda text: text * 3))
@example("ab", "")
@example("a" * 200, "b" * 300 + "a" * 199)
@example("moor", "onthemooorandonthemoor")
def test_the_best_end_is_that_of_all_comparisons(letters: str, text: str) -> None:
    typed = TypedWords(letters)
    assert typed.best_end(fold_letters(text)) == plain_best_end(typed.letters, fold_letters(text))


@given(ANY)
@example("ﬁn Ｓａｉｎｔ ½ ﷺ ① ٣ œuvre İstanbul")
def test_the_letters_of_a_text_are_those_of_its_characters_one_by_one(text: str) -> None:
    assert fold_letters(text) == "".join(map(fold_letters, text))
    assert fold_letters(text).isalnum() or not fold_letters(text)


@given(text=ANY, count=st.integers(1, 40))
@example("ab", 5)
def test_a_word_ends_behind_its_letter_and_not_in_the_next_word(text: str, count: int) -> None:
    end = end_of_word(text, count)
    assert 0 <= end <= len(text)
    if end < len(text):
        assert len(fold_letters(text[:end])) >= count
        assert (
            len(fold_letters(text[:end].rstrip().rpartition(" ")[0])) < count
            or "\n" in text
            or not text[:end].strip()
        )


@given(typed=st.text(min_size=1, max_size=60).filter(fold_letters), before=ANY, behind=ANY)
def test_a_text_that_has_all_letters_agrees_most(typed: str, before: str, behind: str) -> None:
    words = TypedWords(typed)
    text = fold_letters(before) + words.letters + fold_letters(behind)
    assert words.best_end(text)[0] == 0
    assert words.agreement(text) >= words.agreement(fold_letters(before + behind))


@given(st.text(max_size=600))
@example("\ufdfa" * 600)
@example("ab" * 300)
@example("a b " * 150)
@example("the hound_was")
def test_what_is_looked_for_has_bounds_and_nothing_that_the_index_would_take_for_syntax(typed: str) -> None:
    words = TypedWords(typed)
    assert len(words.letters) <= 100 and len(words.terms) <= 24
    assert words.beginning.isalnum() or not words.beginning
    signs = set(map(chr, range(128))) - set(ascii_letters + digits)
    assert not any(signs & set(term) for term in words.terms)
