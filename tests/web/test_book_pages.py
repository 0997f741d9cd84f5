"""The HTML of the books' pages: their content, escaped, in the reader's language."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from test_pages import NASTY, Tags

from kindle_appliance.books.shelved_book import ShelvedBook
from kindle_appliance.epub.book import Chapter
from kindle_appliance.sentences import CHINESE, ENGLISH, Sentence
from kindle_appliance.web.book_pages import BookPages, BookRow, Here, row_of
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.paths import is_own_page
from kindle_appliance.web.reader import Reader
from kindle_appliance.web.templates import Page

READER = Reader(ENGLISH)
BOOK = ShelvedBook("ab" * 32, "The Hound", "A. C. Doyle", "en", "ltr", 1000, 5, 1e9)
CHAPTERS = [Chapter(100 * number, number + 1, f"Name {number + 1}") for number in range(10)]
HERE = Here(BOOK, CHAPTERS, 412)
PATH = f"/books/{BOOK.name}"


@pytest.fixture(scope="module")
def pages() -> BookPages:
    return BookPages(Layout(False))


def look_back(page: str) -> str:
    """The page that the form of the text size leads back to."""
    found = re.search(r'name="back" value="([^"]*)"', page)
    assert found
    return found[1].replace("&amp;", "&")


def nasty_pages(pages: BookPages, reader: Reader) -> list[Page]:
    book = replace(BOOK, title=NASTY, creator=NASTY, faults=(Sentence("There are no books here yet."),))
    here = Here(book, [Chapter(0, 0, NASTY), Chapter(10, 1, NASTY)], 5)
    return [
        pages.shelf(reader, [row_of(here, ENGLISH)], words=NASTY, removed=[book], older=book.name, address=NASTY),
        pages.book(reader, here),
        pages.place(reader, here, typed=NASTY, note=Sentence("Please type a number from 0 to 100.")),
        pages.place(reader, replace_place(here, None)),
        pages.finds(reader, here, NASTY, [0, 5]),
        pages.finds(reader, here, NASTY, [], Sentence("Please type a few words of your page.")),
    ]


def replace_place(here: Here, place: int | None) -> Here:
    return Here(here.book, here.chapters, place)


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_every_page_is_escaped_and_closes_its_elements(pages: BookPages, language: str) -> None:
    for page in nasty_pages(pages, Reader(language)):
        assert Tags(page).seen.count("script") == 2, "our own"
        assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
        assert is_own_page(look_back(page))


def test_the_shelf_tells_the_place_in_each_book_or_that_it_is_not_begun(pages: BookPages) -> None:
    other = BookRow("cd" * 32, row_of(HERE, ENGLISH).title, row_of(HERE, ENGLISH).creator, None)
    page = pages.shelf(READER, [row_of(HERE, ENGLISH), other])
    assert re.findall(r"<small>(.*?)</small>", page) == [
        "<span>A. C. Doyle</span> &#183; chapter 5, at about 41\u00a0%",
        "<span>A. C. Doyle</span> &#183; not begun",
    ]
    assert f'href="{PATH}"' in page and 'enctype="multipart/form-data"' in page
    assert "Put back" not in page and 'name="q"' not in page and "Older" not in page


def test_the_book_page_has_one_tap_for_a_little_further(pages: BookPages) -> None:
    page = pages.book(READER, HERE)
    assert "<b>You are in chapter 5, at about 41\u00a0%.</b>" in page
    assert re.findall(r'<button name="(\w+)" value="(\d+)">', page)[:3] == [
        ("per_cent", "42"),
        ("per_cent", "46"),
        ("chapter", "5"),
    ]
    at_end = pages.book(READER, replace_place(HERE, 1000))
    assert "per_cent" not in at_end and "Next chapter" not in at_end
    nearly = pages.book(READER, replace_place(HERE, 970))
    assert 'value="98"' in nearly and "+&#8201;5" not in nearly and "Next chapter" not in nearly


def test_what_could_not_be_read_is_told_with_the_book(pages: BookPages) -> None:
    faults = [Sentence("There are no books here yet.")] * 9
    page = pages.book(READER, Here(replace(BOOK, faults=faults), CHAPTERS, 0))
    assert page.count("There are no books here yet.") == 5


def test_who_has_just_added_a_book_is_told_what_could_not_be_read(pages: BookPages) -> None:
    """The page that asks for the place comes first then."""
    book = replace(BOOK, faults=[Sentence("There are no books here yet.")] * 9)
    assert pages.place(READER, Here(book, CHAPTERS, None)).count("There are no books here yet.") == 5
    assert "There are no books here yet." not in pages.place(READER, Here(book, CHAPTERS, 0))


def test_each_step_without_script_is_a_link_that_keeps_the_rest(pages: BookPages) -> None:
    page = pages.place(READER, HERE, at=99, are_finished=True, has_names=True, start=2)
    links = re.findall(rf'href="{PATH}/place\?([^"]*)">(?:&#8722;|\+)', page)
    assert links == [f"at={figure}&amp;finished=1&amp;names=1" for figure in (94, 98, 100, 100)]
    assert 'name="per_cent" value="99"' in page
    assert look_back(page) == f"{PATH}/place?at=99&from=2&finished=1&names=1"
    assert f'href="{PATH}/place?at=99&amp;from=2&amp;names=1">or one you begin' in page


def test_names_of_what_comes_later_are_shown_on_a_tap(pages: BookPages) -> None:
    around, later = pages.place(READER, HERE), pages.place(READER, HERE, start=7)
    assert "Name 7" in around and "Name 8" in later and "Name 9" not in later
    assert f'href="{PATH}/place?names=1">Show all names' in around
    everything = pages.place(READER, HERE, start=7, has_names=True)
    assert "Name 10" in everything and "Show all names" not in everything


def test_without_a_place_the_title_is_told_and_the_way_back_is_the_shelf(pages: BookPages) -> None:
    page = pages.place(READER, replace_place(HERE, None))
    assert "The Hound</p>" in page and '<a href="/books">&#8249; Books' in page and 'value="0"' in page


def test_finds_are_buttons_that_set_the_place_and_show_nothing_of_the_book(pages: BookPages) -> None:
    page = pages.finds(READER, HERE, "the moor", [250, 412])
    assert re.findall(r'<button name="position" value="(\d+)" class="serif">(.*?)</button>', page) == [
        ("250", "chapter 3, at about 25\u00a0%"),
        ("412", "chapter 5, at about 41\u00a0%"),
    ]
    assert 'value="the moor"' in page and "Name" not in page.partition("<main>")[2]


def test_of_finds_that_are_told_alike_the_best_is_shown(pages: BookPages) -> None:
    page = pages.finds(READER, HERE, "the moor", [415, 250, 412, 411, 255, 252])
    assert re.findall(r'name="position" value="(\d+)"', page) == ["415", "250"]
    assert "Tap to set your place." in pages.finds(READER, HERE, "the moor", [412, 415])


def test_a_book_written_from_right_to_left_is_set_so(pages: BookPages) -> None:
    book = replace(BOOK, title="البؤساء", creator="فيكتور هوجو")
    here = Here(book, [Chapter(0, 1, "الفصل الأول")], 5)
    assert '<h1 class="serif" dir="rtl">البؤساء</h1>' in pages.book(READER, here)
    assert '<span dir="rtl">الفصل الأول</span>' in pages.place(READER, here)
    assert f'<a href="{PATH}" dir="rtl">' in pages.shelf(READER, [row_of(here, ENGLISH)])


def test_a_book_in_chinese_is_set_as_chinese(pages: BookPages) -> None:
    here = Here(replace(BOOK, title="红楼梦", creator="曹雪芹"), CHAPTERS, 412)
    page = pages.book(Reader(CHINESE), here)
    assert "您读到第 5 章，大约 41\u00a0%。" in page and "下一章" in page


def test_a_book_without_text_says_why_and_can_be_removed(pages: BookPages) -> None:
    fault = Sentence("No such book was found.")
    unread = Here(replace(BOOK, title="", creator="", length=0, size=1_234_567, is_read=False), (), None)
    unreadable = Here(replace(BOOK, title="abab", length=0, faults=[fault]), (), None)
    for here, row, words in (
        (unread, "A book of 1.2 MB", "still reading this book"),
        (unreadable, "abab", "No such book was found."),
    ):
        assert not here.is_to_ask
        page = pages.book(READER, here)
        assert row in page and words in page and "Remove this book" in page
        assert "per_cent" not in page and "Change" not in page
        assert row in pages.shelf(READER, [row_of(here, ENGLISH)])


def test_a_chapter_without_a_name_is_told_by_its_number(pages: BookPages) -> None:
    page = pages.place(READER, Here(BOOK, [Chapter(0, 1, ""), Chapter(500, 2, "")], 5))
    assert "chapter 1" in page and "chapter 2" in page and "Show all names" not in page
