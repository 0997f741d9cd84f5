"""Measures the bytes of pages on the wire. `make bench` prints them; they depend on no machine."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.wire import FIRST_FLIGHT, wire_bytes

from kindle_appliance.ending import Ending, Finish

_DEMO = Path(__file__).parents[1] / "static" / "demo_answers.md"
_SHORT = 1500  # characters


def main() -> None:
    """Print the bytes of each page, as a browser gets it that breaks words at soft hyphens."""
    print(f"Bytes of pages on the wire, with prose (at most {FIRST_FLIGHT}):")
    prose = _DEMO.read_text(encoding="utf-8").partition("-->")[2]
    short = prose[:_SHORT].rpartition("\n\n")[0] + "\n\n"
    with tempfile.TemporaryDirectory() as folder, FakeGemini() as gemini, House(gemini.url, Path(folder)) as house:

        def tell(what: str, path: str) -> None:
            print(f"  {what}: {wire_bytes(house, path, cookie='hyphens=1')}", flush=True)

        tell("asking, first visit", "/")
        for number, question in enumerate(re.findall(r"[A-Z][^.!?\n]{40,120}[.!?]", prose)[:25]):
            turn, _ = house.chats.ask(question, None, f"form-{number}")
            house.chats.store_ending(turn.id, short, Ending(Finish.COMPLETE, None, "model-a"))
        tell("asking, with chats", "/")
        tell("asking on", "/?chat=1")
        tell("the list", "/chats")
        tell("a short answer", "/chats/1/1")
        tell("the same once more, with hyphens", "/chats/1/1")
        chat, number = house.ask("Why is the sea salty, and why are lakes not?")
        call = gemini.next_call()
        call.start()
        call.text(short)
        with house.follow(f"/answers/{turn.id + 1}?as=text") as follow:
            follow.read_until(short.split()[-1])
        tell("a short answer while it is written", f"/chats/{chat}/{number}")
        call.finish("")


if __name__ == "__main__":
    main()
