"""Books, in each engine: one comes from a phone, and readers tell how far they are, on two devices."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import Soak
from fakes.epub_file import make_epub, members, pack
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy
from fakes.shelf import novel_file, put

from kindle_appliance.books.place import at_per_cent
from kindle_appliance.books.shelved_book import ShelvedBook
from kindle_appliance.clock import now
from kindle_appliance.storage.shelf_layout import MOST_BYTES

from .browser import Browser
from .conftest import KINDLE_4, demand
from .devtools import DevTools
from .engines import CHROMIUM, ENGINES, Engine
from .screens import LOOKS, PHONE, screens
from .steps import alter_pages, choose_look, says, take

IN_CI = os.environ.get("CI") == "true"
LEAST_HEIGHT = 48  # CSS pixels of a Kindle of 600 x 706

ARABIC = [
    ("الفصل الأول", ["كان يا ما كان في قديم الزمان ملك عظيم يحب الكتب والقراءة كثيرا. " * 8]),
    ("الفصل الثاني", ["وفي الصباح خرج الملك إلى السوق وحده، ولم يعرفه أحد من الناس هناك. " * 8]),
    ("الفصل الثالث", ["ثم عاد الملك إلى قصره حزينا، وأمر بأن تفتح خزائن الكتب لكل الناس. " * 8]),
]


@pytest.fixture(params=[each for each in ENGINES if each.files], ids=lambda engine: engine.name)
def sender(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser of each engine that can be driven to choose a file."""
    engine: Engine = request.param
    demand(engine, IN_CI)
    with engine.start(*KINDLE_4) as browser:
        yield browser


def location(browser: Browser) -> str:
    return str(browser.script("return location.pathname"))


def press(browser: Browser, label: str) -> None:
    """Press the button or the link with this label."""
    browser.script(
        "var all = document.querySelectorAll('a, button, input[type=submit]'), i, words;"
        "for (i = 0; i < all.length; i += 1) {"
        "  all[i].removeAttribute('data-pressed'); }"
        "for (i = 0; i < all.length; i += 1) {"
        "  words = (all[i].value && all[i].type === 'submit' && all[i].nodeName === 'INPUT')"
        "    ? all[i].value : all[i].textContent;"
        "  words = words.replace(/[\\u2009\\u00a0\\u2039\\u203a]/g, ' ').replace(/^\\s+|\\s+$/g, '');"
        "  if (words.replace(/\\s+/g, ' ') === arguments[0]) { all[i].setAttribute('data-pressed', '1'); return; }"
        "} throw new Error('no ' + arguments[0]);",
        label,
    )
    browser.click(browser.find("[data-pressed]"))


def type_in(browser: Browser, css: str, text: str) -> None:
    field = browser.find(css)
    browser.script("arguments[0].value = '';", field)
    browser.type(field, text)


@contextmanager
def phone(house: House) -> Iterator[Browser]:
    """A phone of today."""
    demand(CHROMIUM, IN_CI)
    with CHROMIUM.start(*PHONE) as browser:
        browser.open(house.url + "/books")
        yield browser


def add(browser: Browser, path: Path) -> None:
    """Choose a file on the shelf's page, and send it."""
    browser.choose_file("#file", path)
    press(browser, "Add this book")


# ---- The whole way


def test_a_book_comes_from_a_phone_and_two_devices_tell_their_places(
    engine: Engine, house: House, shared: Path, screenshots: Path
) -> None:
    def picture(browser: Browser, name: str) -> None:
        take(browser, engine, screenshots / f"books-{name}-{browser.size[0]}-{engine.name}.png")

    with phone(house) as mobile:
        take(mobile, CHROMIUM, screenshots / "books-empty-phone.png")
        add(mobile, shared / "books" / "hound.epub")
        mobile.wait_until("/How far are you/.test(document.body.textContent)")
        take(mobile, CHROMIUM, screenshots / "books-added-phone.png")
        path = location(mobile)
        press(mobile, "Books")
        mobile.wait_until("/not begun/.test(document.body.textContent)")
        assert mobile.errors() == []
    book = house.shelf.find(path.rpartition("/")[2])
    assert book
    with engine.start(*KINDLE_4) as kindle, engine.start(*KINDLE_4) as other:
        kindle.open(house.url + "/")
        press(kindle, "Books")
        kindle.wait_until("location.pathname === '/books'")
        assert book.title in kindle.text and "not begun" in kindle.text
        picture(kindle, "shelf")
        kindle.click(kindle.find(".list a"))
        kindle.wait_until("/How far are you/.test(document.body.textContent)")
        picture(kindle, "first-place")

        chapters = house.shelf.chapters(book)
        fourth = next(index for index, each in enumerate(chapters) if each.number == 4)
        kindle.open(f"{house.url}{path}/place?from={max(fourth - 2, 0)}")
        kindle.click(kindle.find(f"button[name=chapter][value='{fourth}']"))
        kindle.wait_until("/You are in chapter 4/.test(document.body.textContent)")
        picture(kindle, "book")

        other.open(house.url + path)
        other.wait_until("!!document.getElementById('figure')")
        assert "You are in" not in other.text, "the other device has no place yet"
        type_in(other, "#figure", "60")
        press(other, "+ 1")
        press(other, "- 5".replace("-", "\u2212"))
        assert other.script("return document.getElementById('figure').value") == "56"
        assert location(other) == path, "without a round trip"
        press(other, "That is it")
        other.wait_until("/at about 56/.test(document.body.textContent)")
        for label, figure in (("+ 1 %", 57), ("+ 5 %", 62)):
            press(other, label)
            other.wait_until(f"/at about {figure}/.test(document.body.textContent)")
        press(other, "Next chapter")
        other.wait_until(
            "!/at about 62/.test(document.body.textContent) && /You are in/.test(document.body.textContent)"
        )
        press(other, "Change")
        other.wait_until("!!document.getElementById('words')")
        picture(other, "place")
        press(other, "or one you have finished")
        other.wait_until("/that you have finished/.test(document.body.textContent)")
        picture(other, "finished")
        press(other, "or one you begin")
        other.wait_until("/that you begin/.test(document.body.textContent)")

        type_in(other, "#words", "footprints of a gigantic hound")
        press(other, "Find")
        other.wait_until("!!document.querySelector('button[name=position]')")
        picture(other, "finds")
        assert "chapter 2, at about" in other.text and "Mortimer" not in other.text
        other.click(other.find("button[name=position]"))
        other.wait_until("/You are in chapter 2/.test(document.body.textContent)")  # further back, at once
        kindle.open(house.url + path)
        assert "You are in chapter 4" in kindle.text, "each device has its own"

        kindle.open(house.url + "/")
        assert "You are reading" in kindle.text and book.title in kindle.text
        picture(kindle, "asking")
        kindle.open(house.url + path)
        press(kindle, "Remove this book")
        kindle.wait_until("/Removed:/.test(document.body.textContent)")
        picture(kindle, "removed")
        press(kindle, "Put back")
        kindle.wait_until("!/Removed:/.test(document.body.textContent)")
        assert "chapter 4, at about" in kindle.text
        assert kindle.errors() == other.errors() == []


def test_the_figure_leads_to_the_chapters_around_it_in_two_taps(
    browser: Browser, engine: Engine, house: House, screenshots: Path
) -> None:
    book = put(house.shelf, novel_file(chapters=60))
    path = f"/books/{book.name}"
    browser.open(f"{house.url}{path}/place?finished=1")
    assert browser.script("return document.getElementById('near').offsetHeight") == 0
    press(browser, "+ 5")
    assert "Chapters near 5\u00a0%" in browser.text
    type_in(browser, "#figure", "45")
    assert "Chapters near 45\u00a0%" in browser.text
    take(browser, engine, screenshots / f"books-near-{engine.name}.png")
    assert browser.script("return document.getElementById('near').firstChild.offsetHeight") >= LEAST_HEIGHT
    type_in(browser, "#figure", "450")
    assert "Chapters near" not in browser.text
    type_in(browser, "#figure", "44")
    press(browser, "+ 1")
    press(browser, "Chapters near 45 %")
    browser.wait_until("location.search.indexOf('at=45') > 0")
    assert "that you have finished" in browser.text
    chapters = house.shelf.chapters(book)
    there = next(index for index, each in enumerate(chapters) if each.start * 100 > 45 * book.length)
    browser.click(browser.find(f"button[name=chapter][value='{there}']"))
    browser.wait_until("/You are in chapter/.test(document.body.textContent)")
    assert browser.errors() == []


# ---- Adding


def test_the_page_says_how_much_of_a_book_has_gone_and_goes_to_it(
    sender: Browser, house: House, tmp_path: Path
) -> None:
    large = pack(tmp_path / "large.epub", {**members(title="Large"), "OPS/noise.jpg": os.urandom(8_000_000)})
    with Proxy(house.server.port) as proxy:
        sender.open(proxy.url + "/books")
        proxy.stall()
        add(sender, large)
        # PhantomJS counts what it has handed to itself.
        sender.wait_until(says("sent", "Sending ... ") + " || " + says("sent", "and is being read ..."))
        add(sender, large)  # a second tap sends nothing more
        assert location(sender) == "/books"
        proxy.resume()
        sender.wait_until("/How far are you/.test(document.body.textContent)")
        assert sum(line.startswith(b"POST /books") for line in proxy.requests) == 1
    assert sender.errors() == []


def test_what_has_gone_is_drawn_twice_a_second_at_most(house: House, tmp_path: Path) -> None:
    large = pack(tmp_path / "large.epub", {**members(title="Large"), "OPS/noise.jpg": os.urandom(3_000_000)})
    with phone(house) as browser:
        assert isinstance(browser, DevTools)
        browser.devtools(
            "Network.emulateNetworkConditions",
            offline=False,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=1_000_000,
        )
        browser.script(
            "var note = document.getElementById('sent');"
            "window.name = '[]';"  # which lives on when the page is left
            "new MutationObserver(function () {"
            "  var all = JSON.parse(window.name); all.push([Date.now(), note.textContent]);"
            "  window.name = JSON.stringify(all);"
            "}).observe(note, { childList: true });"
        )
        add(browser, large)
        browser.wait_until("/How far are you/.test(document.body.textContent)", 30)
        drawn = [(moment, words) for moment, words in json.loads(browser.script("return window.name")) if words]
        times = [moment for moment, words in drawn if words.startswith("Sending")]
        assert len(times) >= 3, drawn
        assert all(later - earlier >= 499 for earlier, later in pairwise(times)), drawn
        assert drawn[-1][1].startswith("The book has arrived") and browser.errors() == []


def test_the_form_is_free_again_when_the_page_is_left(sender: Browser, house: House, tmp_path: Path) -> None:
    """On the way back a browser may show the page as it was left."""
    sender.open(house.url + "/books")
    sender.script(
        "window.onunload = window.onpagehide = function () {"
        "  var form = document.getElementById('adding');"
        "  localStorage.setItem('left', !!form.isBusy + document.getElementById('sent').textContent); };"
    )
    add(sender, make_epub(tmp_path / "book.epub"))
    sender.wait_until("/How far are you/.test(document.body.textContent)")
    assert sender.script("return localStorage.getItem('left')") == "false"


def test_a_file_that_is_too_large_is_told_so_before_it_is_sent(
    sender: Browser, house: House, tmp_path: Path
) -> None:
    large = tmp_path / "large.epub"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with Proxy(house.server.port) as proxy:
        sender.open(proxy.url + "/books")
        add(sender, large)
        sender.wait_until(says("sent", "A book may have up to 100 MB."))
        assert not any(line.startswith(b"POST /books") for line in proxy.requests)
    assert sender.errors() == []


def test_a_file_that_is_no_book_is_told_in_its_place(
    sender: Browser, house: House, tmp_path: Path, screenshots: Path
) -> None:
    sender.open(house.url + "/books")
    press(sender, "Add this book")
    sender.wait_until(says("sent", "Please choose a file first."))
    (tmp_path / "no.epub").write_bytes(b"no book at all" * 100)
    add(sender, tmp_path / "no.epub")
    sender.wait_until(says("sent", "This is not an EPUB file."))
    sender.screenshot(screenshots / "books-refused.png")
    assert house.shelf.count() == 0 and location(sender) == "/books"
    assert sender.errors() == []


def test_a_full_shelf_is_told_although_most_of_the_book_has_not_been_sent(
    sender: Browser, gemini: FakeGemini, tmp_path: Path
) -> None:
    large = pack(tmp_path / "large.epub", {**members(title="Large"), "OPS/noise.jpg": os.urandom(20_000_000)})
    with House(gemini.url, tmp_path, books=1) as house:
        put(house.shelf, novel_file())
        sender.open(house.url + "/books")
        add(sender, large)
        sender.wait_until(says("sent", "and it is full."), 30)
        assert location(sender) == "/books" and sender.errors() == []


def test_a_connection_that_breaks_is_told_and_the_book_can_be_sent_again(
    sender: Browser, house: House, tmp_path: Path
) -> None:
    path = make_epub(tmp_path / "book.epub")
    with Proxy(house.server.port) as proxy:
        sender.open(proxy.url + "/books")
        proxy.cut()
        add(sender, path)
        sender.wait_until(says("sent", "The connection broke."))
        proxy.restore()
        press(sender, "Add this book")
        sender.wait_until("/How far are you/.test(document.body.textContent)")
    assert sender.errors() == []


def test_without_script_the_form_itself_adds_a_book(
    scriptless_browser: Browser, house: House, tmp_path: Path
) -> None:
    browser = scriptless_browser
    browser.open(house.url + "/books")
    add(browser, make_epub(tmp_path / "book.epub"))
    browser.wait_until("/How far are you/.test(document.body.textContent)")
    path = location(browser)
    for label, figure in (("+ 5", "5"), ("+ 1", "6"), ("\u2212 1", "5")):
        press(browser, label)
        browser.wait_until(f"document.getElementById('figure').value === '{figure}'")
    press(browser, "That is it")
    browser.wait_until("/at about 5/.test(document.body.textContent)")
    assert location(browser) == path


def test_a_browser_that_takes_no_files_is_only_told_where_to_go(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter_pages(monkeypatch, '<input type="file"', '<input type="file" disabled')
    browser.open(house.url + "/books")
    assert "Type this address there" in browser.text
    assert browser.script("return document.getElementById('adding').offsetHeight") == 0
    assert browser.errors() == []


# ---- How it looks


@pytest.fixture(scope="module", params=["en", "zh-CN"])
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, dict[str, str]]]:
    """A house with books of several scripts, and the paths of their pages."""
    folder = tmp_path_factory.mktemp("library")
    with FakeGemini() as gemini, House(gemini.url, folder, language=request.param) as house:
        books: dict[str, ShelvedBook] = {}
        for number in range(22):
            put(house.shelf, novel_file(f"The Moor, volume {number}", chapters=1))
        long = "The Life and Strange Surprising Adventures of Robinson Crusoe, of York, Mariner, " * 2
        books["long"] = put(house.shelf, novel_file(long, "A Writer With a Rather Long Name, and Others", 30))
        books["arabic"] = put(
            house.shelf,
            make_epub(
                folder / "a.epub", title="الملك والكتب", chapters=ARABIC, language="ar", creator="كاتب"
            ).read_bytes(),
        )
        books["novel"] = put(house.shelf, novel_file("The Hound of the Baskervilles", "Arthur Conan Doyle"))
        gone = put(house.shelf, novel_file("Emma", "Jane Austen"))
        house.shelf.remove(gone.name, now())
        for book in books.values():
            house.places.keep(book.name, "the-gallery", at_per_cent(41, book.length), book.length, now())
        yield house, {name: f"/books/{book.name}" for name, book in books.items()}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_of_the_books_on_every_screen(
    engine: Engine, library: tuple[House, dict[str, str]], screenshots: Path, look: str, soak: Soak
) -> None:
    house, paths = library
    pages = {"shelf": "/books", "found": "/books?q=moor", "nothing": "/books?q=zebra"}
    for name, path in paths.items():
        pages |= {f"{name}-book": path, f"{name}-place": f"{path}/place", f"{name}-end": f"{path}/place?at=100"}
    for size in screens(engine, look, soak.is_full) if house.language == "en" else (KINDLE_4,):
        with engine.start(*size) as browser:
            choose_look(browser, house.url, look)
            browser.script("document.cookie = 'device=the-gallery; path=/'")
            for kind, path in pages.items():
                browser.open(house.url + path)
                name = f"books-{kind}-{house.language}-{size[0]}-{look}-{engine.name}.png"
                take(browser, engine, screenshots / name)
                assert not too_small(browser), f"{name}: too small for a finger: {too_small(browser)}"
            assert browser.errors() == []


def too_small(browser: Browser) -> list[tuple[str, int]]:
    """The links, buttons and fields below the bar that a finger would miss, with their heights."""
    found = browser.script(
        "var all = document.querySelectorAll('[role=main] a, [role=main] button, [role=main] input'), found = [];"
        "var i;"
        "for (i = 0; i < all.length; i += 1) {"
        "  if (!/hidden|file/.test(all[i].type) && all[i].offsetHeight < arguments[0]) {"
        "    found.push([all[i].textContent || all[i].value, all[i].offsetHeight]); } }"
        "return found;",
        LEAST_HEIGHT,
    )
    return [(words, height) for words, height in found]
