"""The page of a stored answer that takes long to set, or is too long to be sent at once."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, PageState
from fakes.reader import page_of

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.typesetting.typesetter import Block, Typesetter
from kindle_appliance.web import streams
from kindle_appliance.web.server import RESERVED_THREADS

LONG = "A paragraph of *some* words, and [a link](http://example.org/).\n\n" * 3000
FINISH = Ending(Finish.COMPLETE, model="model-a")


def store(house: House, text: str, question: str = "Why?") -> str:
    """Store an answer, and return the path of its page."""
    turn, _ = house.chats.ask(question, None, question)
    house.chats.store_ending(turn.id, text, FINISH)
    return f"/chats/{turn.chat}/{turn.number}"


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until the event is set, a text that begins with "Slow" is being set."""
    go_on, feed = threading.Event(), Typesetter.feed

    def slowly(typesetter: Typesetter, text: str) -> list[Block]:
        if text.startswith("Slow"):
            assert go_on.wait(60)
        return feed(typesetter, text)

    monkeypatch.setattr(Typesetter, "feed", slowly)
    yield go_on
    go_on.set()


def test_a_page_longer_than_a_connection_buffers_arrives_whole_and_needs_no_script(house: House) -> None:
    page = house.get(store(house, LONG)).data.decode()
    assert 'class="reading ended complete"' in page and "EventReader" not in page and "\0" not in page
    assert page.count("<p>A paragraph of <em>some</em> words") == 3000
    assert page.rstrip().endswith("</html>")


def test_a_page_that_is_sent_in_pieces_gives_its_seat_back(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        path, other = store(house, LONG), store(house, "Short.", "What?")
        assert b"</html>" in house.get(path).data
        with house.desk._turns.take(is_long=False, since=0, timeout=0):
            with house.follow(other) as page:
                page.read_until("What?")
                assert house.get("/answers/1?as=events").data.endswith(b"retry: 2000\n\n"), "it has the only seat"
            deadline = time.monotonic() + 30
            while house.get("/answers/1?as=events").data.endswith(b"retry: 2000\n\n"):
                assert time.monotonic() < deadline, "the reader has left"


def test_it_arrives_packed_as_well(house: House) -> None:
    path = store(house, LONG)
    with socket.create_connection(("127.0.0.1", house.server.port)) as browser:
        browser.sendall(
            f"GET {path} HTTP/1.0\r\nHost: localhost\r\nCookie: unread=1\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        )
        received = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    page = gzip.decompress(body).decode()
    assert "\n".join(page_of(LONG)) in page and page.rstrip().endswith("</html>")
    assert b"Set-Cookie: unread=" in head and len(body) < len(page) / 20


def test_a_page_that_is_not_set_in_a_moment_arrives_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_MOMENT_SECONDS", 0.05)
    with ExitStack() as others:
        others.enter_context(house.desk._turns.take(is_long=False, since=0, timeout=0))
        with house.follow(store(house, "Short.")) as page:
            page.read_until("Why?")
            assert b"<p>Short.</p>" not in page.body
            others.close()
            assert b"<p>Short.</p>" in page.read_to_end()
    assert b'class="reading ended complete"' in page.body


def test_without_a_seat_the_page_follows_what_is_not_set_yet(
    gemini: FakeGemini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_MOMENT_SECONDS", 0.05)
    with House(gemini.url, tmp_path, followers=1) as house, ExitStack() as others:
        others.enter_context(house.desk._turns.take(is_long=False, since=0, timeout=0))
        path = store(house, "Short.")
        with house.follow(path) as seated:
            seated.read_until("Why?")
            page = house.get(path).data.decode()
            assert 'class="reading writing"' in page and "EventReader" in page
            assert '<noscript><meta http-equiv="refresh"' in page
            given = re.search(r'<script type="application/json" id="given">(\{.*\})</script>', page)
            assert given and json.loads(given[1])["upto"] == 0
            assert house.get("/answers/1?as=events").data.endswith(b"retry: 2000\n\n")
            assert house.get("/answers/1?as=events&wait=0").data == b""
            others.close()
            seated.read_to_end()
        state = PageState()
        state.feed(house.get("/answers/1?as=events&wait=0").data.decode())
        assert state.blocks == ["<p>Short.</p>"] and state.end and state.end["finish"] == "complete"


def test_polls_reach_the_end_of_a_long_answer(house: House) -> None:
    store(house, LONG)
    state, polls = PageState(), 0
    while state.end is None:
        response = house.get(f"/answers/1?as=events&wait=0&from={state.upto}")
        assert len(response.data) < 1_000_000
        state.feed(response.data.decode())
        polls += 1
    assert state.blocks == page_of(LONG) and polls > 1


def test_a_stream_of_a_long_answer_comes_in_pieces_and_whole(house: House) -> None:
    store(house, LONG)
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    assert follow.state.blocks == page_of(LONG) and follow.state.tail == "" and follow.state.end
    with house.follow(f"/answers/1?as=events&from={len(LONG) // 2}") as follow:
        follow.read_to_end()
    assert len(follow.state.blocks) == 1500


def test_pages_that_wait_leave_threads_for_the_watchdog_and_for_short_answers(
    gemini: FakeGemini, tmp_path: Path, blocked: threading.Event
) -> None:
    assert streams.MOST_MOMENTS < RESERVED_THREADS
    with House(gemini.url, tmp_path, followers=2) as house:
        slow = [store(house, "Slow. " * 2000, f"Why {number}?") for number in range(20)]
        short = store(house, "Short.")
        with ThreadPoolExecutor(len(slow)) as readers:
            pages = [readers.submit(house.get, path) for path in slow]
            for _ in range(20):
                assert house.get("/healthz").status == 200
                assert "<p>Short.</p>" in house.get(short).data.decode()
            assert not all(page.done() for page in pages), "some have seats, and wait for their text"
            blocked.set()
            assert all(page.result().status == 200 for page in pages)
