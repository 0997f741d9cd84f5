"""A database as it is after some weeks, and what a bad card does to it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.sentences import Sentence
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.places import Places
from kindle_appliance.storage.rate_limit import Asker, RateLimit
from kindle_appliance.storage.reports import Reports
from kindle_appliance.storage.rows import Turn
from kindle_appliance.storage.schema import CHATS

PAGE = 4096
ROWS, CHATS_KEPT = 40, 9
DEVICE = "device-of-a-test"
_WORDS = ["Meer", "Salz", "海水", "为什么", "Почему", "соль", "ملح", "brine", "—"]


class Weeks(NamedTuple):
    """The content of a file, and its turns by id."""

    content: bytes
    turns: dict[int, Turn]

    def __repr__(self) -> str:
        return "Weeks(...)"  # what fails is told without them


def write_weeks(file: Path) -> dict[int, Turn]:
    """Write 40 turns in nine chats, one of them with many, and delete another chat. Returns the turns by id."""
    chance = random.Random(12)
    with closing(Database(file, CHATS)) as database:
        chats, limit = Chats(database), RateLimit(database, 1000, None, None)
        Reports(database).add({"agent": "Kindle"})
        asker = Asker(DEVICE, "192.168.1.5")
        chat = None
        kept: list[int] = []
        for number in range(ROWS + 3):
            chat = None if number in (3, 4, 7, 12, 14, 15, 16, 30, 36) else chat
            question = f"Question {number}: " + " ".join(chance.choices(_WORDS, k=chance.randrange(3, 40)))
            turn, _ = chats.ask(question, chat, f"form-{number}", DEVICE, lambda each, _: limit.charge(asker, each))
            chat = turn.chat
            length = chance.choice((40, 60, 120, 150, 200, 250, 300, 900))
            answer = f"**Answer {number}.** " + " ".join(chance.choices(_WORDS, k=length))
            note = Sentence("%(provider)s's answer broke off here.", provider="Gemini") if number % 9 == 0 else None
            finish = Finish.INTERRUPTED if note else Finish.COMPLETE
            chats.store_ending(turn.id, answer, Ending(finish, note, "model-a", 12))
            kept.append(turn.id)
        first = chats.find_turn_by_id(kept[0])
        assert first is not None
        chats.delete(first.chat)
        Places(database).keep("5a" * 32, DEVICE, 1234, 320_000, 1.5)
        with database.write() as connection:
            connection.execute("INSERT INTO quotas VALUES ('place', 'model', 1.5, 2.5)")
        found = [chats.find_turn_by_id(turn) for turn in kept[3:]]
        turns = {turn.id: turn for turn in found if turn is not None}
    assert len(turns) == ROWS
    return turns


def count_pages(file: Path) -> int:
    return file.stat().st_size // PAGE


def destroyed(content: bytes, page: int, kind: str) -> bytes:
    """The content of a file with a page overwritten by `zeros` or `random` bytes, or its first 100 bytes by those
    (`head`).
    """
    start, size = (page - 1) * PAGE, 100 if kind == "head" else PAGE
    junk = bytes(size) if kind == "zeros" else random.Random(page).randbytes(size)
    return content[:start] + junk + content[start + size :]


def saved(chats: Chats, turns: dict[int, Turn]) -> tuple[int, int]:
    """Of these turns, how many are as they were, and how many are there at least with their place in their chat."""
    whole = there = 0
    for turn in turns.values():
        found = chats.find_turn_by_id(turn.id)
        if found is not None and (found.chat, found.number) == (turn.chat, turn.number):
            there += 1
            whole += found == turn
            assert found == turn or found.is_damaged or found.ending != turn.ending, "a loss that is not told"
    return whole, there


def change(file: Path, **values: object) -> None:
    """Change columns of the first turn of a closed file, past what the appliance would store."""
    with closing(sqlite3.connect(file)) as connection:
        for name, value in values.items():
            connection.execute(f"UPDATE turns SET {name} = ? WHERE id = (SELECT min(id) FROM turns)", (value,))
        connection.commit()


def flip_a_bit(file: Path, text: str) -> None:
    """Turn over the highest bit of the character in the middle of an ASCII text, which no UTF-8 has alone."""
    content = bytearray(file.read_bytes())
    places = list(_places(content, text.encode()))
    assert places
    for place in places:
        content[place + len(text) // 2] ^= 0x80
    file.write_bytes(content)


def _places(content: bytes | bytearray, text: bytes) -> Iterator[int]:
    place = content.find(text)
    while place >= 0:
        yield place
        place = content.find(text, place + 1)
