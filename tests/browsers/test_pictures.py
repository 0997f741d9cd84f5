"""The gallery, in each engine that paints: every page, on every screen, at the usual and the largest text size.

People look at the pictures in build/screenshots. The tests check the rest: nothing is wider than the screen, no
line is cut, no script failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.damage import destroyed
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.storage.chats import Chats, Piece
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.upstream.demo import DemoGemini
from kindle_appliance.web.templates import STATIC

from .engines import Engine
from .steps import ENDED, lines_shown, page_number, sizes, take, turn

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


@pytest.fixture(scope="module")
def demo_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The demo, with one answer of each kind and one interrupted by a power cut."""
    demo = DemoGemini(STATIC / "demo_answers.md", pause=0)
    try:
        with House(demo.url, tmp_path_factory.mktemp("gallery"), is_demo=True) as house:
            for question in QUESTIONS.values():
                house.ask(question)
            for each in house.chats.recent(10):
                with house.follow(f"/answers/{each.newest}?as=text") as follow:
                    follow.read_to_end()
            cut, _ = house.chats.ask("Why did it go dark?", None, "form")
            house.chats.store_pieces([Piece(cut.id, 0, "It went dark because")])
            house.chats.interrupt_unfinished()
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


@pytest.mark.parametrize("look", ["48", "13"])
def test_long_lists_and_damaged_chats_on_every_screen(
    engine: Engine, house_of_many: House, screenshots: Path, look: str
) -> None:
    for width, height in sizes(engine):
        with engine.start(width, height) as browser:
            browser.open(house_of_many.url + "/no")
            browser.script(f"document.cookie = 'look={look}; path=/'")
            for path, kind in PAGES_OF_MANY.items():
                browser.open(house_of_many.url + path)
                take(browser, engine, screenshots / f"{kind}-{width}-{look}-{engine.name}.png")
                if kind == "edit-arabic":  # "1 question", not "question 1"
                    small = "document.querySelector('[dir=rtl] small')"
                    assert browser.script(f"return window.getComputedStyle({small}, null).direction") == "ltr"


@pytest.mark.parametrize("look", ["48", "13"])
def test_every_page_on_every_screen(engine: Engine, demo_house: House, screenshots: Path, look: str) -> None:
    for width, height in sizes(engine):
        with engine.start(width, height) as browser:
            browser.open(demo_house.url + "/no")
            browser.script(f"document.cookie = 'look={look}; path=/'")
            name = f"-{width}-{look}-{engine.name}.png"
            for number, kind in enumerate(QUESTIONS, 1):
                browser.open(f"{demo_house.url}/chats/{number}/1")
                browser.wait_until(ENDED)
                take(browser, engine, screenshots / f"{kind}{name}")
                lines_shown(browser)
                if kind == "long":
                    _, last = page_number(browser)
                    for _ in range(last // 2):
                        turn(browser, "next")
                    take(browser, engine, screenshots / f"middle{name}")
                    for _ in range(last - 1 - last // 2):
                        turn(browser, "next")
                    take(browser, engine, screenshots / f"last{name}")
                    browser.click(browser.find("#aa"))
                    take(browser, engine, screenshots / f"panel{name}")
            for path, kind in PAGES.items():
                browser.open(demo_house.url + path)
                take(browser, engine, screenshots / f"{kind}{name}")


def test_the_pictures_in_the_readme_are_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = [path.name for path in (ROOT / "docs").glob("*.png")]
    assert len(pictures) >= 3 and all(f"docs/{name}" in readme for name in pictures)
