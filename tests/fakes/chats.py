"""Chats for the start of a test."""

from __future__ import annotations

import itertools
import random
from contextlib import closing
from pathlib import Path

from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS, SUM_UP


def write_chats(file: Path, *questions: str) -> None:
    """Write a database with a chat for each question, unanswered."""
    with closing(Database(file, CHATS)) as database:
        for number, question in enumerate(questions):
            Chats(database).ask(question, None, f"form-{number}")


class Corpus:
    """Made-up questions and answers, half of them English, half Chinese. Words and characters are as unequally
    common as in a language: the most common ones are in every text.
    """

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        letters = "etaoinshrdlu"
        words = sorted(
            {"".join(self._chance.choices(letters, k=self._chance.randint(2, 9))) for _ in range(20_000)}
        )
        self._chance.shuffle(words)
        self._words = words, _cumulated(len(words))
        han = [chr(0x4E00 + 6 * number) for number in range(3000)]
        lengths = self._chance.choices((1, 2, 3), (3, 6, 1), k=20_000)
        common = _cumulated(len(han))
        chinese = sorted({"".join(self._chance.choices(han, cum_weights=common, k=length)) for length in lengths})
        self._chance.shuffle(chinese)
        self._chinese = chinese, _cumulated(len(chinese))
        self.common_word = words[0]
        self.common_pair = next(word for word in chinese if len(word) == 2)

    def text(self, characters: int, is_chinese: bool) -> str:
        """A text of about so many characters. A Chinese one has a third, which is as much to read and to store."""
        source, space = (self._chinese, "") if is_chinese else (self._words, " ")
        count = characters // (6 if is_chinese else 7)
        return space.join(self._chance.choices(source[0], cum_weights=source[1], k=count))


def _cumulated(count: int) -> list[float]:
    """Weights for so many words, the most common ones first, as `random.choices` takes them."""
    return list(itertools.accumulate(1 / (rank + 2) for rank in range(count)))  # after Zipf


def write_house(file: Path, chats: int, long_chat: int = 0, device: str = "") -> None:
    """Write a database with so many chats of about 3 KB, indexed, and a newest one with `long_chat` questions."""
    corpus = Corpus()
    turns = [(chat, 1) for chat in range(1, chats + 1)]
    turns += [(chats + 1, number) for number in range(1, long_chat + 1)]
    with closing(Database(file, CHATS)) as database:
        stored = Chats(database)
        with database.write() as connection:
            connection.executemany("INSERT INTO chats (id) VALUES (?)", {(chat,) for chat, _ in turns})
            connection.executemany(
                "INSERT INTO turns (chat, number, question, form, asked, answer, finish, device)"
                " VALUES (?, ?, ?, '', ?, ?, 'complete', ?)",
                [
                    (chat, number, f"{corpus.text(70, chat % 2 == 0)} no{chat}n{number}?", 1_700_000_000 + chat,
                     corpus.text(2900, chat % 2 == 0), device)
                    for chat, number in turns
                ],
            )  # fmt: skip
            for statement in filter(str.strip, SUM_UP.split(";")):
                connection.execute(statement)
        stored.index.make_anew()
        catch_up(stored)


def catch_up(chats: Chats) -> int:
    """Index all that can be indexed now, and return the number of steps."""
    steps = 0
    while chats.index.wake.is_set():
        chats.index.catch_up()
        steps += 1
    return steps
