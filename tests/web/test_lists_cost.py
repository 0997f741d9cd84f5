"""What lists, the search and a question cost does not grow with the number of chats."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Soak
from fakes.chats import Corpus, write_house
from fakes.gemini import FakeGemini, Reply
from fakes.house import House

pytestmark = [pytest.mark.slow, pytest.mark.alone]

DEVICE = "the-device"
QUESTIONS = 500  # of the long chat
ROUNDS = 30
MEASUREMENTS = 3


Action = Callable[[House], Callable[[], None]]
"""What is timed, and returns what has to happen afterwards."""


@contextmanager
def houses(
    gemini: FakeGemini, folder: Path, sizes: tuple[int, ...], long_chat: int = 0
) -> Iterator[dict[int, House]]:
    """Houses with so many chats, all of them serving."""
    gemini.default = Reply.answer("Yes.")
    with ExitStack() as stack:
        served = {}
        for size in sizes:
            home = folder / str(size)
            home.mkdir()
            write_house(home / "chats.sqlite", size, long_chat, DEVICE)
            served[size] = stack.enter_context(House(gemini.url, home))
        yield served


def medians(served: dict[int, House], actions: dict[str, Action]) -> dict[str, dict[int, float]]:
    """The median time of each action in each house, in milliseconds. What disturbs one house disturbs all."""
    taken: dict[str, dict[int, list[float]]] = {name: {size: [] for size in served} for name in actions}
    chance = random.Random(1)
    for _ in range(ROUNDS):
        for name, action in actions.items():
            for size in chance.sample([*served], len(served)):
                start = time.perf_counter()
                settle = action(served[size])
                taken[name][size].append((time.perf_counter() - start) * 1000)
                settle()
    return {
        name: {size: statistics.median(times) for size, times in of_sizes.items()}
        for name, of_sizes in taken.items()
    }


def compare(
    served: dict[int, House], actions: dict[str, Action], few: int, many: int
) -> dict[str, tuple[str, float]]:
    """For each action its times in words, and how many times as long it takes with many chats as with few: in the
    best of a few measurements, since another program may disturb one.
    """
    found: dict[str, tuple[str, float]] = {}
    for _ in range(MEASUREMENTS):
        left = {name: action for name, action in actions.items() if found.get(name, ("", 9.0))[1] >= 1.2}
        for name, taken in medians(served, left).items():
            ratio = taken[many] / taken[few]
            if name not in found or ratio < found[name][1]:
                found[name] = ", ".join(f"{ms:.1f} ms with {size:,}" for size, ms in taken.items()), ratio
    return found


def opens(path: str, rows: int) -> Action:
    """Opens a page, and checks that it lists so many chats."""

    def act(house: House) -> Callable[[], None]:
        page = house.get(path, Cookie=f"device={DEVICE}").data.decode()
        assert page.count("<small>") == rows, path
        return lambda: None

    return act


FORMS = count()


def asks_on(house: House) -> Callable[[], None]:
    """Asks in the long chat. What it returns waits for the end of the answer."""
    turn = house.chats.recent(1)[0].newest + 1
    assert house.ask("Why?", house.chats.recent(1)[0].id, f"f{next(FORMS)}")

    def settle() -> None:
        with house.follow(f"/answers/{turn}") as follow:
            follow.read_to_end()

    return settle


def test_lists_and_questions_take_as_long_with_many_chats_as_with_few(
    gemini: FakeGemini, tmp_path: Path, soak: Soak
) -> None:
    few, many = 30, soak(1500, full=10_000)
    actions = {
        "GET / of a device with chats": opens("/", 6),
        "GET /chats": opens("/chats", 20),
        "GET /chats, the oldest": opens("/chats?after=0", 20),
        f"POST /ask in a chat of {QUESTIONS} turns": asks_on,
    }
    with houses(gemini, tmp_path, (few, soak(200, full=1000), many), QUESTIONS) as served:
        for name, (taken, ratio) in compare(served, actions, few, many).items():
            soak.tell(f"{name}: {taken} chats: {ratio:.2f} times as long")
            assert ratio < 1.3, name


def test_a_search_takes_as_long_with_many_chats_as_with_few(gemini: FakeGemini, tmp_path: Path, soak: Soak) -> None:
    few, many = soak(300, full=1000), soak(2000, full=10_000)
    corpus = Corpus()
    searches = {
        "a word that every chat has": (corpus.common_word, 20),
        "two very common characters": (corpus.common_pair, 20),
        "a word that one chat has": ("no7n1", 1),
        "a word that no chat has": ("zzzzz", 0),
        "a beginning of very many words": (corpus.common_word[:3], 20),
        "very many words": ("e t a o i n s h r d l u " * 10, 0),
        "no word at all": ('*"(' * 100, 0),
    }
    actions = {name: opens(f"/chats?q={quote(words)}", rows) for name, (words, rows) in searches.items()}
    with houses(gemini, tmp_path, (few, many)) as served:
        for name, (taken, ratio) in compare(served, actions, few, many).items():
            soak.tell(f"a search for {name}: {taken} chats: {ratio:.2f} times as long")
            assert ratio < 1.3, name
