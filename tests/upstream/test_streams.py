"""Every recorded stream, ended anywhere and in every way, on its whole way from a socket into the database.

The tests of the dialect compare every offset of these streams with the recorded texts.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
from conftest import Soak
from fakes.gemini import Call, FakeGemini, Framing, Reply
from fakes.house import House
from fakes.process import Process

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.upstream.gemini import GeminiReader

Way = Literal["clean", "cut", "reset", "stall"]
MODEL = "model-a"
OFFSETS = 20
AT_ONCE = 160
UNHURRIED = Clocks(connect=30, first_byte=60, progress=60)
HURRIED = Clocks(connect=30, first_byte=5, progress=5)


@dataclass(frozen=True)
class Cut:
    """A recorded stream that ends at an offset, in one of the ways."""

    stream: Path
    sent: bytes
    reply: Reply

    def expected(self) -> tuple[str, Ending, int]:
        """The text, how it ends, and how often the question is sent: once more after an end without text, if any
        time is left.
        """
        reader = GeminiReader(MODEL)
        text = reader.feed(self.sent)
        # Without a length or chunks, a closed connection is the regular end of a response.
        is_clean = self.reply.ending == "clean" or (self.reply.ending, self.reply.framing) == ("cut", "close")
        last, ending = reader.close(cut=not is_clean)
        is_empty = ending.finish is Finish.FAILED and reader.has_ended and not reader.has_text
        return text + last, ending, 2 if is_empty and self.reply.ending != "stall" else 1


def cuts(streams: list[Path], ending: Way, at_every_line: bool) -> Iterator[Cut]:
    for stream in streams:
        recorded = stream.read_bytes()
        chance = random.Random(f"{stream.name} {ending}")
        offsets = set(chance.sample(range(len(recorded) + 1), min(OFFSETS, len(recorded) + 1)))
        if at_every_line:
            offsets |= {end.end() + step for end in re.finditer(rb"\r?\n", recorded) for step in (-1, 0)}
        for offset in sorted(offsets):
            sent = recorded[:offset]
            framings: tuple[Framing, ...] = ("chunked", "length", "close")
            yield Cut(stream, sent, Reply([sent], framing=chance.choice(framings), ending=ending))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "clocks"), [("clean", UNHURRIED), ("cut", UNHURRIED), ("reset", UNHURRIED), ("stall", HURRIED)]
)
def test_a_stream_that_ends_anywhere_is_stored_up_to_its_end_and_leaks_nothing(
    shared: Path, tmp_path: Path, soak: Soak, ending: Way, clocks: Clocks
) -> None:
    folder = shared / "streams"
    streams = [folder / name for name in json.loads((folder / "expected.json").read_bytes())]
    all_cuts = list(cuts(streams, ending, soak.is_full))
    before = set(threading.enumerate()), Process().descriptors()

    with FakeGemini() as gemini, House(gemini.url, tmp_path, models=(MODEL,), clocks=clocks) as house:

        def index_of(call: Call) -> int:
            return int(call.json["contents"][-1]["parts"][0]["text"])

        def reply(call: Call) -> Reply:
            return all_cuts[index_of(call)].reply

        def ask(number: int) -> tuple[str, Ending | None]:
            turn = house.desk.ask(str(number), None, "form")
            answer = house.desk.find(turn.id)
            assert answer is not None and answer.wait_for_end(60)
            stored = house.chats.find_turn_by_id(turn.id)
            assert stored is not None
            return stored.answer, stored.ending

        gemini.default = reply
        with ThreadPoolExecutor(AT_ONCE) as readers:
            stored = list(readers.map(ask, range(len(all_cuts))))
        assert house.desk.writing == 0
        sent = Counter(index_of(call) for call in gemini.calls)

    for index, (cut, (text, end)) in enumerate(zip(all_cuts, stored, strict=True)):
        where = f"{cut.stream.name}, cut at {len(cut.sent)}"
        expected_text, expected, times = cut.expected()
        assert text == expected_text, where
        assert sent[index] == times, where
        assert end is not None, where
        expected = replace(expected, note=None, model=MODEL if text else "")
        assert replace(end, note=None, passed=()) == expected, where
        assert (end.note is None) == (end.finish is Finish.COMPLETE), where
    assert set(threading.enumerate()) <= before[0]
    assert Process().descriptors() == before[1]
    soak.tell(
        f"{len(streams)} recorded streams, ended {len(all_cuts)} times ({ending}): all stored up to their end"
    )
