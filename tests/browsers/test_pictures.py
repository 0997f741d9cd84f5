"""The gallery, in each engine: every page and every state of an answer, on every screen, with the smallest, the
usual and the largest text. `make soak` has all of it; other runs a part, in which each screen has each text size.

People look at the pictures in build/screenshots, most easily on the sheets of `make pictures`. The tests check the
rest: nothing is wider than the screen, no line is cut, no script failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, Soak
from fakes.damage import destroyed
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from kindle_appliance.ending import STOPPED, SWITCHED_OFF, TOO_LONG, Ending, Finish
from kindle_appliance.errors import BUSY
from kindle_appliance.sentences import Sentence
from kindle_appliance.storage.chats import Chats, Piece
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.upstream.demo import MODEL, DemoGemini
from kindle_appliance.web.templates import STATIC

from .browser import Browser
from .engines import Engine
from .screens import LOOKS, screens
from .steps import ENDED, LONG, choose_look, lines_shown, page_number, says, shows, take, turn

QUESTIONS = {
    "long": "Tell me a long story of the sea",
    "list": "List the steps of making tea",
    "table": "Compare the planets in a table",
    "code": "Show me some Python code",
    "chinese": "海水为什么是咸的？",
    "arabic": "لماذا البحر مالح؟",
}

PAGES = {
    "/": "asking",
    "/?chat=1": "asking-more",
    "/chats": "chats",
    "/chats?q=water": "found",
    "/chats/1/edit": "edit",
    "/chats/1/delete": "deletion",
    "/chats/7/1": "interrupted",
    "/addresses": "addresses",
    "/no": "error",
}

TITLES = ("Why is the sea salty, and why is the water of rivers that flow into it not?", *QUESTIONS.values())
MANY = 45

PAGES_OF_MANY = {
    "/": "asking-saved",
    "/chats": "chats-saved",
    "/chats?before=40": "chats-older",
    "/chats?after=0": "chats-oldest",
    "/chats?q=%E6%B5%B7%E6%B0%B4": "found-chinese",
    "/chats?q=%D8%A7%D9%84%D8%A8%D8%AD%D8%B1": "found-arabic",
    "/chats?q=mountain": "found-nothing",
    "/chats/7/edit": "edit-arabic",
    "/chats/7/delete": "deletion-arabic",
    "/chats/1/edit": "edit-long",
    "/chats/1/1": "damaged",
    "/chats/2/2": "lost",
}


RULES = Sentence("Google's rules stopped the answer here (%(reason)s).", reason="SAFETY")
STATES = {
    "complete": ("One page holds all of this answer.", Ending(Finish.COMPLETE)),
    "length": (LONG, Ending(Finish.LENGTH, TOO_LONG)),
    "stopped": (LONG, Ending(Finish.STOPPED, STOPPED)),
    "stopped-before": ("", Ending(Finish.STOPPED, STOPPED)),
    "blocked": ("It begins well, and", Ending(Finish.BLOCKED, RULES)),
    "switched-off": ("It went dark because", Ending(Finish.INTERRUPTED, SWITCHED_OFF)),
    "failed": ("", Ending(Finish.FAILED, BUSY)),
    "failed-next": ("", Ending(Finish.FAILED, BUSY, next_rung=1)),
}
"""What an answer has, and how it ended."""

KINDS = ("formulas", "headings", "prose", "quotes", "steps", "verse", "wide-table")


@pytest.fixture(scope="module")
def demo_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demo, with one answer of each kind and one interrupted by a power cut."""
    demo = DemoGemini(STATIC / "demo_answers.md", pause=0)
    try:
        with House(demo.url, tmp_path_factory.mktemp("gallery"), models=(MODEL,), is_demo=True) as house:
            for question in QUESTIONS.values():
                house.ask(question)
            for each in house.chats.recent(10):
                with house.follow(f"/answers/{each.newest}?as=text") as follow:
                    follow.read_to_end()
            cut, _ = house.chats.ask("Why did it go dark?", None, "form")
            house.chats.store_pieces([Piece(cut.id, 0, "It went dark because")])
            house.chats.interrupt_unfinished()
            house.hyphenate()
            yield house
    finally:
        demo.close()


@pytest.fixture(scope="module")
def house_of_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Chats for three pages of the list, saved from a damaged file. Since then the card has damaged the first
    answer, and lost the second of three questions.
    """
    folder = tmp_path_factory.mktemp("many")
    file = folder / "chats.sqlite"
    with closing(Database(file, CHATS)) as database:
        chats = Chats(database)
        questions = [(TITLES[number % len(TITLES)], None) for number in range(MANY)] + [("And then?", 2)] * 2
        for number, (question, chat) in enumerate(questions):
            turn, _ = chats.ask(question, chat, f"form-{number}")
            answer = "Rivers carry **salt** into it. 海水里有盐。 البحر مالح. " * 3
            chats.store_ending(turn.id, answer, Ending(Finish.COMPLETE, None, "model-a"))
        chats.rename(2, "لماذا البحر مالح والأنهار التي تصب فيه عذبة؟ سؤال طويل عن الملح")
    file.write_bytes(destroyed(file.read_bytes(), 1, "head"))
    with FakeGemini() as gemini, House(gemini.url, folder) as house:
        with house.database.write() as connection:
            connection.execute("UPDATE turns SET finish = 'complftd' WHERE chat = 1")
            connection.execute("DELETE FROM turns WHERE chat = 2 AND number = 2")
        yield house


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, FakeGemini, dict[str, str]]]:
    """Answers that have ended in each way, and texts of some kinds: the path of each."""
    texts = {kind: (ROOT / "tests/browsers/kinds" / f"{kind}.md").read_text(encoding="utf-8") for kind in KINDS}
    answers = STATES | {kind: (text.replace("¦", ""), Ending(Finish.COMPLETE)) for kind, text in texts.items()}
    paths = {}
    with FakeGemini() as gemini, House(gemini.url, tmp_path_factory.mktemp("states")) as house:
        for kind, (text, ending) in answers.items():
            asked, _ = house.chats.ask(QUESTIONS.get(kind, "Why is the sea salty?"), None, kind)
            house.chats.store_ending(asked.id, text, ending)
            paths[kind] = f"/chats/{asked.chat}/{asked.number}"
        yield house, gemini, paths


class Album:
    """Takes the pictures of one engine, screen and text size."""

    def __init__(self, browser: Browser, engine: Engine, folder: Path, look: str) -> None:
        self.browser = browser
        self._engine = engine
        self._name = f"-{browser.size[0]}-{look}-{engine.name}.png"
        self._folder = folder
        self._look = look

    def choose(self, url: str) -> None:
        """Choose the text size."""
        choose_look(self.browser, url, self._look)

    def take(self, kind: str) -> None:
        take(self.browser, self._engine, self._folder / f"{kind}{self._name}")

    def open(self, url: str, kind: str) -> None:
        self.browser.open(url)
        self.take(kind)

    def read(self, url: str, kind: str, names: Sequence[str] = ()) -> None:
        """The first page of an answer; the middle one and the last, if they are named, where there are so many."""
        self.browser.open(url)
        self.browser.wait_until(ENDED)
        self.page(kind)
        pages = page_number(self.browser)[1]
        for name, page in zip(names, (pages // 2 + 1, pages), strict=False):
            while page_number(self.browser)[0] < page:
                turn(self.browser, "next")
            self.page(name)

    def page(self, kind: str) -> None:
        """A page that has text, none of whose lines is cut."""
        self.take(kind)
        assert any(map(str.strip, lines_shown(self.browser))), f"{kind}{self._name} has no text"

    def panel(self, opener: str, kind: str) -> None:
        self.browser.click(self.browser.find(opener))
        self.take(kind)
        self.browser.click(self.browser.find(opener))


@pytest.mark.parametrize("look", LOOKS)
def test_long_lists_and_damaged_chats_on_every_screen(
    engine: Engine, house_of_many: House, screenshots: Path, look: str, soak: Soak
) -> None:
    for size in screens(engine, look, soak.is_full):
        with engine.start(*size) as browser:
            album = Album(browser, engine, screenshots, look)
            album.choose(house_of_many.url)
            for path, kind in PAGES_OF_MANY.items():
                album.open(house_of_many.url + path, kind)
                if kind == "edit-arabic":  # "1 question", not "question 1"
                    small = "document.querySelector('[dir=rtl] small')"
                    assert browser.script(f"return window.getComputedStyle({small}, null).direction") == "ltr"


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_on_every_screen(
    engine: Engine, demo_house: House, screenshots: Path, look: str, soak: Soak
) -> None:
    for size in screens(engine, look, soak.is_full):
        with engine.start(*size) as browser:
            album = Album(browser, engine, screenshots, look)
            album.open(demo_house.url + "/", "asking-first")
            album.choose(demo_house.url)
            for number, kind in enumerate(QUESTIONS, 1):
                album.read(f"{demo_house.url}/chats/{number}/1", kind, ("middle", "last") if kind == "long" else ())
                if kind == "long":
                    album.panel("#aa", "panel")
                    album.panel("#count", "panel-pages")
            for path, kind in PAGES.items():
                album.open(demo_house.url + path, kind)


@pytest.mark.parametrize("look", LOOKS)
def test_every_state_on_every_screen(
    engine: Engine, states: tuple[House, FakeGemini, dict[str, str]], screenshots: Path, look: str, soak: Soak
) -> None:
    house, gemini, paths = states
    for size in screens(engine, look, soak.is_full):
        with engine.start(*size) as browser, Proxy(house.server.port) as proxy:
            album = Album(browser, engine, screenshots, look)
            album.choose(proxy.url)
            for kind, path in paths.items():
                album.read(proxy.url + path, f"state-{kind}" if kind in STATES else f"text-{kind}")
            chat, number = house.ask("Why is the sea salty?")
            call = gemini.next_call(20)
            call.start()
            browser.open(f"{proxy.url}/chats/{chat}/{number}")
            browser.wait_until(says("state", "model-a"))
            album.page("state-waiting")
            call.text("Rivers carry salt to the sea.\n\nAnd then it ")
            browser.wait_until(shows("And then it"))
            album.page("state-writing")
            proxy.cut()
            browser.wait_until("/Connection lost/.test(document.getElementById('state').textContent)")
            album.page("state-lost")
            call.finish("ended.")


def test_the_pictures_in_the_readme_are_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = [path.name for path in (ROOT / "docs").glob("*.png")]
    assert len(pictures) >= 3 and all(f"docs/{name}" in readme for name in pictures)
