"""The shelf, a book, and the place of a reader in it, as routes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.shelf import CHAPTERS, novel_file, put

from kindle_appliance.books.place import at_per_cent, end_of_chapter, per_cent
from kindle_appliance.books.shelf import UNDO_SECONDS
from kindle_appliance.books.shelved_book import ShelvedBook
from kindle_appliance.clock import now
from kindle_appliance.storage.database import Database, Row

KINDLE, PHONE = "device=the-kindle-1", "device=the-phone-22"
UNKNOWN_BOOK = "/books/" + "0" * 64


@pytest.fixture
def book(house: House) -> ShelvedBook:
    return put(house.shelf, novel_file())


def page(house: House, path: str, cookie: str = KINDLE, **headers: str) -> str:
    response = house.get(path, Cookie=cookie, **headers)
    assert response.status == 200, path
    return response.data.decode()


def titles(text: str) -> list[str]:
    """The titles of the books that a page lists."""
    return [unescape(each) for each in re.findall(r'<a href="/books/[0-9a-f]{64}"[^>]*>([^<]*)<small>', text)]


def set_place(house: House, book: ShelvedBook, cookie: str = KINDLE, **fields: str) -> int | None:
    """Set a place by the form, and return where it is then."""
    response = house.post(f"/books/{book.name}/place", fields, Cookie=cookie)
    assert (response.status, response.headers["Location"]) == (303, f"/books/{book.name}")
    return place(house, book, cookie)


def place(house: House, book: ShelvedBook, cookie: str = KINDLE) -> int | None:
    return house.places.find(book.name, cookie.partition("=")[2], book.length)


# The shelf


def test_an_empty_shelf_says_so_and_where_books_are_added(house: House) -> None:
    text = page(house, "/books")
    assert "There are no books here yet." in text and 'type="file"' in text
    assert f"<b>http://127.0.0.1:{house.server.port}/books</b>" in text
    assert '<a href="/books">Books</a>' in page(house, "/")


def test_the_shelf_has_every_book_with_this_devices_place(house: House, book: ShelvedBook) -> None:
    assert "not begun" in page(house, "/books")
    set_place(house, book, per_cent="50")
    assert re.search(r"chapter \d+, at about 50\u00a0%", page(house, "/books"))
    assert "not begun" in page(house, "/books", PHONE)


def test_books_in_hand_come_first_the_newest_place_before_others(house: House) -> None:
    books = [put(house.shelf, novel_file(f"Book {number}", chapters=1)) for number in range(25)]
    set_place(house, books[0], per_cent="1")
    set_place(house, books[20], per_cent="1")
    set_place(house, books[2], per_cent="1")
    first = titles(page(house, "/books"))
    assert first[:5] == ["Book 2", "Book 20", "Book 0", "Book 24", "Book 23"]
    assert len(first) == len(set(first))


def test_every_book_is_reached_by_links(house: House) -> None:
    books = [put(house.shelf, novel_file(f"Book {number} & more", chapters=1)) for number in range(45)]
    for book in books[::3]:
        set_place(house, book, per_cent="1")
    path: str | None = "/books"
    seen, pages = list[str](), 0
    while path:
        text = page(house, path)
        seen += titles(text)
        older = re.search(r'<a href="([^"]*)">Older', text)
        path, pages = unescape(older[1]) if older else None, pages + 1
        assert (">&#8249; Newest" in text) == (pages > 1)
    assert sorted(seen) == sorted(book.title for book in books) and pages == 3


def test_a_book_is_found_by_title_or_author(house: House) -> None:
    for title, creator in (("The Moor", "A. C. Doyle"), ("Emma", "Jane Austen"), ("红楼梦", "曹雪芹")):
        put(house.shelf, novel_file(title, creator, chapters=1))
    for words, expected in (
        ("austen", ["Emma"]),
        ("MOOR doyle", ["The Moor"]),
        ("红楼", ["红楼梦"]),
        ("mountain", []),
        ("  ", ["红楼梦", "Emma", "The Moor"]),
        ("", ["红楼梦", "Emma", "The Moor"]),
        ("x" * 1500, []),
    ):
        text = page(house, f"/books?q={quote(words)}")
        assert titles(text) == expected, words
        assert ("No such book was found." in text) == (not expected)


def test_a_field_to_find_a_book_is_there_with_more_than_a_page(house: House) -> None:
    for number in range(20):
        put(house.shelf, novel_file(f"Book {number}", chapters=1))
    assert 'name="q"' not in page(house, "/books")
    put(house.shelf, novel_file("One more", chapters=1))
    assert 'name="q"' in page(house, "/books")
    assert "Book 7" in page(house, "/books?q=book")


def test_a_script_gets_all_books_as_json(house: House) -> None:
    books = [put(house.shelf, novel_file(f"Book {number}", chapters=1)) for number in range(30)]
    response = house.get("/books", Accept="application/json")
    listed = json.loads(response.data)["books"]
    assert [each["name"] for each in listed] == [each.name for each in books[::-1]]
    assert {**listed[0], "added": 0} == {
        "name": books[-1].name,
        "title": "Book 29",
        "author": "A. C. Doyle",
        "size": books[-1].size,
        "added": 0,
    }


@pytest.mark.parametrize(
    "query", ["?before=x", f"?before={'0' * 64}", "?before=", "?q=%FF%00%_*\"'%ED%A0%80", "?before=%00&q=a"]
)
def test_a_query_that_means_nothing_is_no_error(house: House, book: ShelvedBook, query: str) -> None:
    page(house, f"/books{query}")


# The place


def test_without_a_place_on_this_device_the_page_that_asks_for_one_comes_first(
    house: House, book: ShelvedBook
) -> None:
    path = f"/books/{book.name}"
    assert "How far are you?" in page(house, path) and "How far are you?" in page(house, path, PHONE)
    set_place(house, book, per_cent="41")
    text = page(house, path)
    assert "How far are you?" not in text and "at about 41\u00a0%" in text
    assert "How far are you?" in page(house, path, PHONE), "the other device has none"


@pytest.mark.parametrize(
    ("typed", "figure"),
    [("0", 0), ("41", 41), ("100", 100), (" 41 % ", 41), ("41.9", 41), ("41,", 41), ("４１％", 41)],
)
def test_a_place_is_told_by_per_cent(house: House, book: ShelvedBook, typed: str, figure: int) -> None:
    assert set_place(house, book, per_cent=typed) == at_per_cent(figure, book.length)
    assert f"at about {figure}\u00a0%" in page(house, f"/books/{book.name}")


@pytest.mark.parametrize("typed", ["", "abc", "101", "1000", "-1", "4 1", "1e1", "0x1", "41%%", "²", "9" * 5000])
def test_what_is_no_figure_is_refused_and_stays_in_the_field(house: House, book: ShelvedBook, typed: str) -> None:
    set_place(house, book, per_cent="41")
    response = house.post(f"/books/{book.name}/place", {"per_cent": typed}, Cookie=KINDLE)
    text = response.data.decode()
    assert response.status == 400 and "Please type a number from 0 to 100." in text
    assert f'name="per_cent" value="{typed[:20]}"' in text
    assert place(house, book) == at_per_cent(41, book.length), "the place stays"


def test_a_place_is_told_by_a_chapter_begun_or_finished(house: House, book: ShelvedBook) -> None:
    chapters = house.shelf.chapters(book)
    assert len(chapters) >= CHAPTERS
    assert set_place(house, book, chapter="5") == chapters[5].start
    assert set_place(house, book, chapter="5", finished="1") == end_of_chapter(chapters, 5, book.length)
    last = len(chapters) - 1
    assert set_place(house, book, chapter=str(last), finished="1") == book.length
    assert "at about 100\u00a0%" in page(house, f"/books/{book.name}")


def test_a_place_is_told_by_words_of_the_page(house: House, book: ShelvedBook) -> None:
    response = house.post(f"/books/{book.name}/place", {"words": "here begins number7 of"}, Cookie=KINDLE)
    text = response.data.decode()
    assert response.status == 200 and 'value="here begins number7 of"' in text
    finds = re.findall(r'name="position" value="(\d+)"[^>]*>([^<]*)<', text)
    assert 1 <= len(finds) <= 5
    chapter = house.shelf.chapters(book)[6]
    position = int(finds[0][0])
    assert chapter.start < position < chapter.start + 60
    assert finds[0][1] == f"chapter 7, at about {per_cent(position, book.length)}\u00a0%"
    assert "rained" not in text and "The Moor." not in text, "no line of the book is shown"
    assert place(house, book) is None, "nothing is set before a tap"
    assert set_place(house, book, position=finds[0][0]) == position


def test_words_that_are_nowhere_stay_in_the_field(house: House, book: ShelvedBook) -> None:
    for typed, note in (
        ("zebra xylophone", "These words are not in this book."),
        ("", "Please type a few words of your page."),
        (" \r\n\t ", "Please type a few words of your page."),
        ('"*( OR NEAR/2', ""),
        ("x" * 10_000, "These words are not in this book."),
        ("\0", ""),
    ):
        response = house.post(f"/books/{book.name}/place", {"words": typed}, Cookie=KINDLE)
        assert response.status == 200 and note in response.data.decode(), typed
    text = house.post(f"/books/{book.name}/place", {"words": "y" * 300}).data.decode()
    assert f'value="{"y" * 200}"' in text


def test_moving_back_is_allowed_and_takes_effect_at_once(house: House, book: ShelvedBook) -> None:
    set_place(house, book, per_cent="80")
    assert set_place(house, book, per_cent="20") == at_per_cent(20, book.length)
    assert "at about 20\u00a0%" in page(house, f"/books/{book.name}")
    assert "Name 12" not in page(house, f"/books/{book.name}/place?from=4")


def test_each_device_has_a_place_of_its_own(house: House, book: ShelvedBook) -> None:
    set_place(house, book, per_cent="80")
    set_place(house, book, PHONE, per_cent="10")
    assert "at about 80\u00a0%" in page(house, f"/books/{book.name}")
    assert "at about 10\u00a0%" in page(house, f"/books/{book.name}", PHONE)


def test_a_browser_gets_its_name_with_the_page_of_a_book(house: House, book: ShelvedBook) -> None:
    response = house.get(f"/books/{book.name}")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert re.fullmatch(r"device=[\w-]{16}", cookie)
    set_place(house, book, cookie, per_cent="41")
    assert "41" in page(house, f"/books/{book.name}", cookie)
    assert "Set-Cookie" not in house.get("/books").headers, "who only looks at the shelf is still new to the house"


def test_a_browser_that_keeps_no_cookies_is_known_by_its_address(house: House, book: ShelvedBook) -> None:
    path = f"/books/{book.name}"
    assert house.post(f"{path}/place", {"per_cent": "41"}).status == 303
    assert "at about 41\u00a0%" in house.get(path).data.decode()
    assert "How far are you?" in house.at("127.0.0.2").get(path).data.decode()


def test_one_tap_more_is_the_same_place(house: House, book: ShelvedBook) -> None:
    set_place(house, book, per_cent="41")
    text = page(house, f"/books/{book.name}")
    button = re.search(r'<button name="(per_cent)" value="(\d+)">\+&#8201;5', text)
    assert button
    for _ in range(2):
        set_place(house, book, per_cent=button[2])
    assert place(house, book) == at_per_cent(46, book.length)
    following = re.search(r'<button name="chapter" value="(\d+)">Next chapter', page(house, f"/books/{book.name}"))
    assert following
    before = place(house, book)
    after = set_place(house, book, chapter=following[1])
    assert before is not None and after is not None and before < after == house.shelf.chapters(book)[6].start


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"chapter": ""},
        {"chapter": "x"},
        {"chapter": "-1"},
        {"chapter": "99"},
        {"chapter": "9" * 15},
        {"chapter": "9" * 30},
        {"chapter": "99", "finished": "1"},
        {"finished": "1"},
        {"position": "-5"},
        {"position": "x"},
        {"position": "9" * 14},
        {"position": "9" * 400},
        {"something": "else"},
    ],
)
def test_a_form_without_a_place_that_can_be_is_refused(
    house: House, book: ShelvedBook, fields: dict[str, str]
) -> None:
    response = house.post(f"/books/{book.name}/place", fields, Cookie=KINDLE)
    assert response.status == 400 and "does not understand this request" in response.data.decode()
    beyond = house.post(f"/books/{book.name}/place", {"position": str(book.length + 1)}, Cookie=KINDLE)
    assert beyond.status == 400 and place(house, book) is None


def test_what_is_no_form_is_refused(house: House, book: ShelvedBook) -> None:
    response = house.send(f"/books/{book.name}/place", {"per_cent": "41"}, Cookie=KINDLE)
    assert response.status == 415 and place(house, book) is None


@pytest.mark.parametrize(
    "query",
    [
        "at=41",
        "at=9999",
        "at=x",
        "from=99",
        "from=3&finished=1&names=1",
        "at=0&from=0",
        "names",
        "finished=",
        "at=" + "9" * 400,
    ],
)
def test_the_page_of_the_place_takes_any_query(house: House, book: ShelvedBook, query: str) -> None:
    text = page(house, f"/books/{book.name}/place?{query}")
    back = re.search(r'name="back" value="([^"]*)"', text)
    assert back
    response = house.post("/look", {"look": "48", "back": unescape(back[1])})
    assert response.status == 303, "the text size can be changed on it"


def test_without_script_plus_and_minus_lead_to_the_figure_and_its_chapters(house: House, book: ShelvedBook) -> None:
    text = page(house, f"/books/{book.name}/place?at=41")
    more = re.search(r'<a href="([^"]*)">\+&#8201;5</a>', text)
    assert more
    text = page(house, unescape(more[1]))
    assert 'name="per_cent" value="46"' in text
    assert 'value="5"' in text and 'value="0"' not in text, "the chapters around it"


# Removing, and the undo


def test_a_removed_book_can_be_put_back_with_its_places(house: House, book: ShelvedBook) -> None:
    path = f"/books/{book.name}"
    set_place(house, book, per_cent="41")
    response = house.post(f"{path}/remove", {}, Cookie=KINDLE)
    assert (response.status, response.headers["Location"]) == (303, "/books")
    text = page(house, "/books")
    assert titles(text) == [] and "Removed:" in text and "The Moor" in text
    for method, gone in (
        ("GET", path),
        ("GET", f"{path}/place"),
        ("POST", f"{path}/place"),
        ("POST", f"{path}/remove"),
    ):
        response = house.get(gone) if method == "GET" else house.post(gone, {"per_cent": "1"})
        assert response.status == 404 and "This book was removed." in response.data.decode()
        assert '<a href="/books">Books' in response.data.decode()
    assert house.post(f"{path}/put-back", {}).status == 303
    assert "at about 41\u00a0%" in page(house, path) and "Removed:" not in page(house, "/books")
    assert house.post(f"{path}/put-back", {}).status == 303, "a second tap finds it there"


def test_after_a_day_a_removed_book_is_gone(house: House, book: ShelvedBook) -> None:
    house.shelf.remove(book.name, now() - UNDO_SECONDS - 60)
    assert "Removed:" not in page(house, "/books")
    response = house.post(f"/books/{book.name}/put-back", {})
    assert response.status == 404 and "not here any more" in response.data.decode()
    assert "There is no such page here." in house.get(f"/books/{book.name}").data.decode()


def test_a_script_removes_a_book_and_puts_it_back(house: House, book: ShelvedBook) -> None:
    for action in ("remove", "put-back"):
        response = house.post(f"/books/{book.name}/{action}", {}, Accept="application/json")
        assert response.status == 200 and json.loads(response.data)["title"] == "The Moor"
    response = house.post(f"{UNKNOWN_BOOK}/remove", {}, Accept="application/json")
    assert response.status == 404 and "error" in json.loads(response.data)


def test_a_book_that_is_not_there_is_not_found(house: House) -> None:
    for path in (UNKNOWN_BOOK, f"{UNKNOWN_BOOK}/place", "/books/x", "/books/" + "A" * 64, "/books/" + "0" * 63):
        assert house.get(path).status == 404, path
    for action in ("place", "remove", "put-back"):
        assert house.post(f"{UNKNOWN_BOOK}/{action}", {"per_cent": "4"}).status == 404
    assert house.get(f"{UNKNOWN_BOOK}/remove").status == 405


# The page to ask on


def test_the_page_to_ask_on_has_the_book_in_hand(house: House, book: ShelvedBook) -> None:
    other = put(house.shelf, novel_file("Emma"))
    assert titles(page(house, "/")) == []
    set_place(house, other, per_cent="1")
    set_place(house, book, per_cent="41")
    text = page(house, "/")
    assert titles(text) == ["The Moor"] and "You are reading" in text
    assert titles(page(house, "/", PHONE)) == []
    house.shelf.remove(book.name, now())
    assert titles(page(house, "/")) == ["Emma"]


def test_nothing_is_read_twice_or_for_nothing(
    house: House, book: ShelvedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_place(house, book, per_cent="41")
    read, asked = Database.read, list[str]()

    def noted(self: Database, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        asked.append(query)
        return read(self, query, values)

    def count(of: str) -> int:
        return sum(of in each for each in asked)

    monkeypatch.setattr(Database, "read", noted)
    assert "at about 41\u00a0%" in page(house, "/")
    assert (count("FROM places WHERE device"), count("FROM places WHERE book")) == (1, 0)
    asked.clear()
    assert house.post(f"/books/{book.name}/remove", {}, Cookie=KINDLE).status == 303
    assert (count("places"), count("chapters")) == (0, 0)


# Trouble


def test_a_card_that_takes_nothing_is_told_and_reading_goes_on(house: House, book: ShelvedBook) -> None:
    set_place(house, book, per_cent="41")
    house.database._writer.execute("PRAGMA query_only = ON")
    refused = house.post(f"/books/{book.name}/place", {"per_cent": "42"}, Cookie=KINDLE)
    house.database._writer.execute("PRAGMA query_only = OFF")
    assert refused.status == 503 and "full or read-only" in refused.data.decode()
    assert "at about 41\u00a0%" in page(house, f"/books/{book.name}")


def test_a_shelf_that_cannot_be_opened_is_told_and_questions_are_asked(gemini: FakeGemini, tmp_path: Path) -> None:
    (tmp_path / "books").write_text("no folder")
    with House(gemini.url, tmp_path) as house:
        response = house.get("/books", Cookie=KINDLE)
        assert response.status == 503 and "cannot open its books" in response.data.decode()
        assert house.get(UNKNOWN_BOOK).status == 503
        assert house.get("/books", Accept="application/json").status == 503
        house.places.keep("0" * 64, KINDLE.partition("=")[2], 1, 2, now())
        assert "You are reading" not in page(house, "/")


def test_nothing_of_the_words_is_logged(house: House, book: ShelvedBook, caplog: pytest.LogCaptureFixture) -> None:
    house.post(f"/books/{book.name}/place", {"words": "xyzzy plugh"})
    assert "xyzzy" not in caplog.text
