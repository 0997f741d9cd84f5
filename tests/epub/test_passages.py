"""Lines to passages: together they are the text, and each ends where a reader would pause."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.epub import passages as module
from kindle_appliance.epub.book import Passage
from kindle_appliance.epub.passages import MOST_IN_PASSAGE, Passages
from kindle_appliance.epub.unreadable import TOO_LONG, Unreadable

_WORDS = ["a", "Mr.", "end.", "really?”", "字", "字。", "ไทย", "كلمة", "e\u0301\u0302", "x" * 300, "字" * 300]
WORDS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=150)
LINES = st.lists(WORDS.map("".join) | WORDS.map(" ".join), max_size=8)


def passages_of(lines: Sequence[str], step: int = 10**9) -> list[Passage]:
    found: list[Passage] = []
    passages = Passages(found.append)
    for line in lines:
        for at in range(0, len(line), step):
            passages.write(line[at : at + step])
        passages.end_line()
    passages.end_passage()
    assert passages.length == sum(len(each.text) for each in found)
    return found


@given(LINES, st.integers(1, 700))
def test_passages_are_the_text_without_a_gap_whatever_the_pieces(lines: list[str], step: int) -> None:
    found = passages_of(lines, step)
    assert "".join(each.text for each in found) == "".join(f"{line}\n" for line in lines)
    assert [each.start for each in found] == [0, *(each.end for each in found)][: len(found)]
    assert all(0 < len(each.text) <= MOST_IN_PASSAGE for each in found)
    assert found == passages_of(lines)


@given(LINES)
def test_a_passage_holds_whole_lines_or_a_piece_of_one_and_as_many_lines_as_fit(lines: list[str]) -> None:
    found = [each.text for each in passages_of(lines)]
    for text, following in pairwise(found):
        line, end, _ = following.partition("\n")
        if not text.endswith("\n"):
            assert "\n" not in text
            assert len(text) > MOST_IN_PASSAGE // 2 - 1
        elif end:
            assert len(text) + len(line) + 1 > MOST_IN_PASSAGE


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("This is a sentence. " * 40, "sentence. "),
        ("“It is,” he said. No end " * 40, " he said. "),
        ("word " * 200, "word "),
        ("吾輩は猫である。名前はまだ無い。" * 50, "。"),
        ("「そうか。」と言った" * 80, "。」"),
        ("これは終わらない文" * 100, ""),
        ("هذه جملة طويلة؟ " * 60, "؟ "),
    ],
)
def test_a_long_line_is_cut_at_the_end_of_a_sentence_or_behind_a_word(line: str, end: str) -> None:
    found = [each.text for each in passages_of([line])]
    assert len(found) > 1
    assert all(each.endswith(end) for each in found[:-1])


def test_no_accent_is_cut_from_its_letter() -> None:
    found = [each.text for each in passages_of(["e\u0301" * 2000, "ที่" * 1000])]
    assert not any(each[0] in "\u0301\u0e35\u0e48" for each in found)


def test_a_book_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CHARACTERS", 1000)
    passages_of(["x" * 999])
    with pytest.raises(Unreadable) as error:
        passages_of(["x" * 600, "x" * 400])
    assert error.value.sentence == TOO_LONG
    assert error.value.status == 422
