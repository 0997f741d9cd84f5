"""A sleeping reader: its connection is cut fifty times within one answer, and its page shows the whole answer."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from conftest import Soak
from fakes.cable import Cable
from fakes.endless import CUTS, Writer
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from fakes.reader import Reader, page_of
from urllib3.exceptions import HTTPError

pytestmark = pytest.mark.slow


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["stream", "poll"])
def test_a_reader_whose_connection_is_cut_fifty_times_has_the_whole_page(
    way: str, gemini: FakeGemini, house: House, soak: Soak
) -> None:
    chance = random.Random(way)
    writer = Writer(chance)
    gemini.replies(Reply(writer))
    chat, number = house.ask("Tell me everything")
    with Cable(house.server.port) as cable:
        reader = Reader(cable.url, 1)
        cuts, partial = 0, 0
        cut = cable.cut_after(chance.randrange(4000))
        while reader.end is None:
            before = reader.upto, reader.tail
            if way == "poll":
                time.sleep(chance.uniform(0, 0.1))  # like a page between two polls
            with suppress(HTTPError):
                reader.stream() if way == "stream" else reader.poll()
            cable.plug()
            if cuts < CUTS and cut.is_set():  # a cut within the headers looks like an end
                cuts += 1
                partial += (reader.upto, reader.tail) != before
                if cuts < CUTS:
                    cut = cable.cut_after(chance.randrange(4000))
                else:
                    writer.enough.set()
    assert (cuts, reader.tail, reader.end["finish"]) == (CUTS, "", "complete")
    assert reader.blocks == page_of(writer.text)
    assert "\n".join(reader.blocks) in house.get(f"/chats/{chat}/{number}").data.decode()
    soak.tell(
        f"cut {cuts} times, {partial} of them after something new had come ({way}):"
        f" {len(reader.blocks)} blocks of {len(writer.text)} characters, as if it had never slept"
    )
