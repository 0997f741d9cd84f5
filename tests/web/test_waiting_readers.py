"""What readers cost who wait: for a model that is silent, and for a long answer to be set. Against the program in a
process of its own.
"""

from __future__ import annotations

import http.client
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from conftest import Soak
from fakes.gemini import Call, FakeGemini, Reply
from fakes.process import Process
from fakes.program import UNLIMITED, Appliance

from kindle_appliance.answers.answer import SETTING_SECONDS, STATE_SECONDS
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ADDRESSES = [f"127.0.0.{last}" for last in range(2, 34)]
"""Loopback addresses of the readers: what one address may have is limited."""

THINKING_SECONDS = 11
"""After this time readers have been told once how long the model has been thinking. Until 0.1, some spun from then
on.
"""


def request(kind: str) -> bytes:
    """A request of a reader that waits for the first answer, or for a script's."""
    if kind != "script":
        return f"GET /answers/1?as={kind} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    body = b'{"message": "Why?"}'
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /api/chat HTTP/1.1\r\n{head}".encode() + body


def busy_loop_share(seconds: float) -> float:
    """The share of a core that a busy loop gets on this machine now: less than 1 if others need it, too."""
    wall, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - wall < seconds:
        pass
    return (time.process_time() - cpu) / (time.monotonic() - wall)


def share_of_a_core(process: Process, seconds: float) -> float:
    before, start = process.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (process.cpu_seconds() - before) / (time.monotonic() - start)


WAKING = """
import sys, threading, time
def wake(number):
    time.sleep(number / int(sys.argv[1]))
    while True: time.sleep(1)
for number in range(int(sys.argv[1])):
    threading.Thread(target=wake, args=(number,), daemon=True).start()
time.sleep(float(sys.argv[2]))
"""


def share_of_waking_threads(count: int, seconds: float) -> float:
    """The share of a core that threads need which wake once a second, one after the other, and do nothing."""
    command = [sys.executable, "-c", WAKING, str(count), str(seconds + 10)]
    with subprocess.Popen(command) as program:
        time.sleep(2)  # until all have begun
        share = share_of_a_core(Process(program.pid), seconds)
        program.kill()
    return share


def test_readers_of_a_silent_model_cost_next_to_nothing(tmp_path: Path, gemini: FakeGemini, soak: Soak) -> None:
    """Beyond what it costs to wait as such: on a virtual machine each time that a thread wakes may count as
    milliseconds. Other programs disturb a measurement: one of three has to be within the bound.
    """
    seconds = soak(STATE_SECONDS + 2, full=3 * STATE_SECONDS)  # in which they are told again
    gemini.default = Reply(ending="stall")
    kinds = ("events", "text", "script")
    followers = {"KINDLE_APPLIANCE_FOLLOWERS": str(4 * len(kinds) * len(ADDRESSES))}
    with ExitStack() as stops:
        appliance = stops.enter_context(
            closing(Appliance(tmp_path, "--gemini-url", gemini.url, **followers, **UNLIMITED))
        )
        process = Process(appliance.process.pid)
        alone = share_of_a_core(process, seconds)
        appliance.ask("Why?")
        gemini.wait_for_calls(1)
        for address in ADDRESSES:
            for kind in kinds:
                reader = socket.create_connection(("127.0.0.1", appliance.port), 30, source_address=(address, 0))
                stops.enter_context(reader).sendall(request(kind))
        gemini.wait_for_calls(1 + len(ADDRESSES))
        time.sleep(THINKING_SECONDS)
        for _ in range(3):
            share = share_of_a_core(process, seconds)
            waiting = alone + share_of_waking_threads(1 + len(ADDRESSES), seconds)
            spinning = busy_loop_share(1)
            if share - waiting < 0.03 * spinning:
                break
    soak.tell(
        f"{len(ADDRESSES)} readers of each of {', '.join(kinds)} for a silent model: {share:.2%} of a core in all;"
        f" without them, and for as many threads that only wake each second: {waiting:.2%}"
    )
    assert share - waiting < 0.03 * spinning


# ---- A long answer, and everybody else


PATTERNS: dict[str, Callable[[int], str]] = {
    "paragraphs": lambda size: "Some *words* and [a link](http://a.example/b), `code` too.\n\n" * (size // 60),
    "one paragraph": lambda size: "Some *words* and [a link](http://a.example/b), `code` too.\n" * (size // 59),
    "one-character lines": lambda size: "x\n" * (size // 2),
    "rows of a wide table": lambda size: "|h" * 20 + "|\n" + "|-" * 20 + "|\n" + "b|\n" * (size // 3),
    "a long reference": lambda size: f"[a]: http://a.example/{'a' * 200}\n\n" + "[a] " * (size // 4),
}
GROWING = 6
"""So many answers grow at a time: each has a word in half a second, and a median needs more than a few."""
SHORT = "A short answer in *two* lines,\nand a list:\n\n- one\n- two\n"


class Shelf:
    """The appliance's database before it starts, with stored answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._database = Database(folder / "chats.sqlite", CHATS)
        self._chats = Chats(self._database)
        self._count = 0

    def add(self, text: str) -> str:
        """Store an answer, and return the path of its page."""
        self._count += 1
        turn, _ = self._chats.ask("Why?", None, f"form {self._count}")
        self._chats.store_ending(turn.id, text, Ending(Finish.COMPLETE, model="model-a"))
        return f"/chats/{turn.chat}/{turn.number}"

    def close(self) -> None:
        self._database.close()


def get(port: int, path: str, address: str = "127.0.0.1") -> tuple[float, str]:
    """The seconds for a page, and the page."""
    start = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300, source_address=(address, 0))) as client:
        client.request("GET", path)
        response = client.getresponse()
        page = response.read().decode()
        assert response.status == 200
        return time.monotonic() - start, page


class House:
    """The watchdog, and readers that want other pages; each stored one is new to the appliance."""

    def __init__(self, port: int, short: Iterator[str]) -> None:
        self._port = port
        self._short = short

    def seconds(self, times: int, is_over: Callable[[], bool] = lambda: False) -> dict[str, list[float]]:
        """The seconds for each of their pages, at most `times` times."""
        taken: dict[str, list[float]] = {"/healthz": [], "/": [], "a short answer": []}
        for _ in range(times):
            for path in ("/healthz", "/"):
                taken[path].append(get(self._port, path)[0])
            seconds, page = get(self._port, next(self._short))
            assert "reading ended complete" in page and "<li>two</li>" in page, "the whole page"
            taken["a short answer"].append(seconds)
            if is_over():
                break
            time.sleep(0.02)
        return taken


class Growing:
    """An answer that grows, and a page that follows it. To `taken` come the seconds from each word at the model to
    the page, which does not wait for one at a time at which it may have more.
    """

    def __init__(self, call: Call, port: int, answer: int, taken: list[float]) -> None:
        self._taken = taken
        self._call, self._port, self._answer = call, port, answer
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._writing = self._threads.submit(self._write_and_follow)

    def close(self) -> None:
        self._stop.set()
        self._writing.result()
        self._threads.shutdown()

    def _write_and_follow(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)) as client:
            client.request("GET", f"/answers/{self._answer}?as=events")
            page = client.getresponse()
            while not self._stop.wait(SETTING_SECONDS):
                start, word, seen = time.monotonic(), f"word{len(self._taken)}.", b""
                self._call.text(f"{word}\n\n")
                while word.encode() not in seen:
                    piece = page.read1(65536)
                    assert piece, f"the answer has ended before {word}"
                    seen += piece
                self._taken.append(time.monotonic() - start)
        self._call.finish("The end.")


def look(port: int, path: str, answer: str, address: str) -> None:
    """A reader that opens the page of a long answer, and polls for what the page does not have, as its script does;
    until the appliance is gone.
    """
    with suppress(OSError, http.client.HTTPException):
        _, page = get(port, path, address)
        given = re.search('"upto": ([0-9]+)', page)
        while given:
            _, events = get(port, f"/answers/{answer}?as=events&wait=0&from={given[1]}", address)
            upto = re.findall("^id: ([0-9]+)$", events, re.MULTILINE)
            given = re.search("([0-9]+)", upto[-1]) if upto else given
            if "event: end" in events:
                return
            time.sleep(2)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_sixty_looks_at_a_long_answer_delay_nobody_else(
    pattern: str, tmp_path: Path, gemini: FakeGemini, soak: Soak
) -> None:
    looks, size, times = soak(24, full=60), soak(30_000, full=1_000_000), soak(40, full=200)
    shelf = Shelf(tmp_path / "data")
    long = [shelf.add(PATTERNS[pattern](size)) for _ in range(soak(24, full=1))]  # so that it takes a while
    short = iter([shelf.add(SHORT) for _ in range(2 * times)])
    shelf.close()
    with ExitStack() as stops:
        readers = stops.enter_context(ThreadPoolExecutor(looks))
        options = ["--data", str(tmp_path / "data"), "--gemini-url", gemini.url]
        appliance = stops.enter_context(closing(Appliance(tmp_path, *options, **UNLIMITED)))
        port, process = appliance.port, Process(appliance.process.pid)
        house = House(port, short)
        taken: list[float] = []
        for number in range(GROWING):
            appliance.ask(f"Why, {number}?")
            call = gemini.next_call()
            call.start()
            growing = Growing(call, port, len(long) + 2 * times + 1 + number, taken)
            stops.enter_context(closing(growing))
        quiet = house.seconds(times)
        quiet["a word of a growing answer"] = taken[:]
        memory = process.memory()
        looking = [
            readers.submit(
                look,
                port,
                long[number % len(long)],
                str(number % len(long) + 1),
                ADDRESSES[number % len(ADDRESSES)],
            )
            for number in range(looks)
        ]
        busy = house.seconds(times, is_over=lambda: all(each.done() for each in looking))
        busy["a word of a growing answer"] = taken[len(quiet["a word of a growing answer"]) :]
        more = process.memory() - memory
    ratios = {}
    for what, seconds in busy.items():
        usual = statistics.median(quiet[what])
        ratios[what] = statistics.median(seconds) / usual
        soak.tell(
            f"{looks} looks at {pattern} of {size} characters: {what} {statistics.median(seconds) * 1000:.1f} ms,"
            f" {ratios[what]:.1f} times the usual {usual * 1000:.1f}; at most {max(seconds) * 1000:.0f} ms"
            f" ({len(seconds)} times); {more:.0f} MB more"
        )
    assert max(ratios.values()) < 10, ratios
