"""A sleeping reader: its connection is cut fifty times within one answer, and its page shows the whole answer."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from conftest import Soak
from fakes.endless_answer import CUTS, EndlessAnswer
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from fakes.proxy import Proxy
from fakes.reader import Reader, page_of
from urllib3.exceptions import HTTPError

pytestmark = pytest.mark.slow


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["stream", "poll"])
def test_a_reader_whose_connection_is_cut_fifty_times_has_the_whole_page(
    way: str, gemini: FakeGemini, house: House, soak: Soak
) -> None:
    chance = random.Random(way)
    endless = EndlessAnswer(chance)
    gemini.replies(Reply(endless))
    chat, number = house.ask("Tell me everything")
    with Proxy(house.server.port) as proxy:
        reader = Reader(proxy.url, 1)
        cuts, partial = 0, 0
        cut = proxy.cut_after(chance.randrange(4000))
        while reader.end is None:
            before = reader.upto, reader.tail
            if way == "poll":
                time.sleep(chance.uniform(0, 0.1))  # like a page between two polls
            with suppress(HTTPError):
                reader.stream() if way == "stream" else reader.poll()
            proxy.restore()
            if cuts < CUTS and cut.is_set():  # a cut within the headers looks like an end
                cuts += 1
                partial += (reader.upto, reader.tail) != before
                if cuts < CUTS:
                    cut = proxy.cut_after(chance.randrange(4000))
                else:
                    endless.enough.set()
    assert (cuts, reader.tail, reader.end["finish"]) == (CUTS, "", "complete")
    assert reader.blocks == page_of(endless.text)
    assert "".join(reader.blocks) in house.get(f"/chats/{chat}/{number}").data.decode()
    soak.tell(
        f"cut {cuts} times, {partial} of them after something new had come ({way}):"
        f" {len(reader.blocks)} blocks of {len(endless.text)} characters, as if it had never slept"
    )
