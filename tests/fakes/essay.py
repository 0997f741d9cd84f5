"""An essay at the speed of a model, followed as a page does, and what its events cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .gemini import FakeGemini, Reply, chunk
from .house import Follow, House

_PARAGRAPH = (
    "Rain takes up a little carbon dioxide from the air, and so it is a *weak* acid. Where it runs over rocks, it"
    " dissolves a very small part of them, and the rivers carry these salts into the sea. There the water leaves"
    " again, as vapour, but the salts do not: they have gathered for **hundreds of millions** of years."
)
ESSAY = "\n\n".join([_PARAGRAPH] * 5)[:1500]
"""Fifteen hundred characters."""

_PIECES_PER_SECOND = 10


def write(text: str, per_second: float, faster: float = 1) -> Iterator[bytes]:
    """The chunks of an answer that is written at so many characters a second; `faster`: on a clock of its own."""
    begun = time.monotonic()
    size = round(per_second / _PIECES_PER_SECOND)
    for number, start in enumerate(range(0, len(text), size)):
        time.sleep(max(0.0, begun + number / _PIECES_PER_SECOND / faster - time.monotonic()))
        yield chunk(text[start : start + size], "STOP" if start + size >= len(text) else None)


def follow_essay(house: House, gemini: FakeGemini, per_second: float, faster: float = 1) -> Follow:
    """Follow the essay to its end; its body is what a page gets."""
    gemini.replies(Reply(write(ESSAY, per_second, faster)))
    chat, number = house.ask("Why is the sea salty?")
    turn = house.chats.find_turn(chat, number)
    assert turn
    with house.follow(f"/answers/{turn.id}?as=events") as follow:
        follow.read_to_end()
    assert house.get(f"/answers/{turn.id}?as=text").data.decode() == ESSAY
    return follow
