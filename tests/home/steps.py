"""What the tests with a real model server do again and again."""

from __future__ import annotations

from typing import NamedTuple

from fakes.house import House
from fakes.llama import LlamaServer

from kindle_appliance.ending import Ending, Finish

LONG = "Tell me a long story about a ship and its captain."
"""A question whose answer takes half a minute."""
MODEL = "smollm2:135m"


class Answer(NamedTuple):
    """A stored answer: its text and how it ended."""

    text: str
    ending: Ending

    @property
    def finish(self) -> Finish:
        return self.ending.finish


def entry(llama: LlamaServer, tokens: int = 1000, **options: object) -> str:
    """The model as an owner writes it; with the temperature 0 it writes the same again."""
    more = "".join(f" {name}={value}" for name, value in options.items())
    return f"{MODEL} at {llama.address} max_output_tokens={tokens} temperature=0{more}"


def asked(house: House, question: str, chat: int | str = "", rung: int = 0) -> Answer:
    """Ask as a form does, and read the answer to its end. `rung`: the model to begin with."""
    response = house.post("/ask", {"question": question, "chat": str(chat), "form": "", "rung": str(rung)})
    assert response.status == 303, response.data.decode()
    chat, number = map(int, response.headers["Location"].split("/")[2:])
    turn = house.chats.find_turn(chat, number)
    assert turn
    with house.follow(f"/answers/{turn.id}?as=text") as follow:
        follow.read_to_end()
    stored = house.chats.find_turn(chat, number)
    assert stored and stored.ending
    return Answer(stored.answer, stored.ending)
