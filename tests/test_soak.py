"""The whole house reads at once, in `make soak` for ten minutes: nothing grows, and every page is its answer."""

from __future__ import annotations

import itertools
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from conftest import Soak
from fakes.endless_answer import DEMO_ANSWERS
from fakes.gemini import Call, FakeGemini, Reply, chunk, error_body
from fakes.process import Process
from fakes.program import UNLIMITED, Appliance
from fakes.reader import Reader, page_of
from fakes.secret_scanner import Client
from urllib3.exceptions import HTTPError

pytestmark = [pytest.mark.slow, pytest.mark.alone]

READERS = 32
KEPT = 32  # connections to Gemini, for the next question
RAW_ERROR = error_body(503, "UNAVAILABLE", "The {model} is overloaded.")
MODELS = {"KINDLE_APPLIANCE_MODELS": "first,second"}
# glibc caches freed memory for each thread, and the caches grow for hours. Without them, growth is the program's.
NO_CACHES = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


@dataclass(frozen=True)
class Outcome:
    """How an answer ends: `reply` turns its pieces into Gemini's reply, and the page shows `finish`. Without
    `has_text` the reply has none of the text; with `is_stopped` a reader presses Stop before the end.
    """

    finish: str
    reply: Callable[[Iterator[bytes], str | None], Reply]
    has_text: bool = True
    is_stopped: bool = False


def ended(reason: str) -> Callable[[Iterator[bytes], str | None], Reply]:
    return lambda pieces, _: Reply(itertools.chain(pieces, [chunk(None, reason)]))


def refused(code: int, status: str) -> Callable[[Iterator[bytes], str | None], Reply]:
    return lambda *_: Reply.error(code, status, "In Google's words.")


def broken(pieces: Iterator[bytes], _: str | None) -> Reply:
    return Reply(itertools.chain(pieces, [RAW_ERROR]))


def by_the_second(pieces: Iterator[bytes], model: str | None) -> Reply:
    return ended("STOP")(pieces, model) if model == "second" else Reply.error(503, "UNAVAILABLE", "Overloaded.")


OUTCOMES = {
    "complete": Outcome("complete", ended("STOP")),
    "complete, packed": Outcome("complete", lambda pieces, model: replace(ended("STOP")(pieces, model), gzip=True)),
    "complete, by the second model": Outcome("complete", by_the_second),
    "length": Outcome("length", ended("MAX_TOKENS")),
    "blocked": Outcome("blocked", ended("SAFETY")),
    "stopped": Outcome("stopped", lambda pieces, _: Reply(pieces, ending="stall"), is_stopped=True),
    "interrupted, by an error": Outcome("interrupted", broken),
    "interrupted, by a reset": Outcome("interrupted", lambda pieces, _: Reply(pieces, ending="reset")),
    "interrupted, by a cut": Outcome("interrupted", lambda pieces, _: Reply(pieces, ending="cut")),
    "failed for the owner": Outcome("failed", refused(400, "INVALID_ARGUMENT"), has_text=False),
    "failed for now": Outcome("failed", refused(503, "UNAVAILABLE"), has_text=False),
}


def pieces(question: str) -> list[str]:
    """Gemini's answer to a question: a part of the demo answers, cut into pieces by the question."""
    chance = random.Random(question)
    start = chance.randrange(len(DEMO_ANSWERS) // 2)
    text = DEMO_ANSWERS[start : start + chance.choice((100, 1000, 4000))]
    cuts = sorted(chance.randrange(len(text)) for _ in range(len(text) // 100))
    return [text[a:b] for a, b in itertools.pairwise((0, *cuts, len(text)))]


def answer(call: Call) -> Reply:
    question = call.json["contents"][-1]["parts"][0]["text"]

    def written() -> Iterator[bytes]:
        for piece in pieces(question):
            yield chunk(piece)
            time.sleep(0.15)

    return OUTCOMES[question.partition(":")[0]].reply(written(), call.model)


class Kindle:
    """A reader that asks and reads until the time is up."""

    def __init__(self, name: int, url: str, until: float) -> None:
        self.counted: Counter[str] = Counter()
        self._name = name
        self._cookie = {"Cookie": f"device=kindle-no-{name}"}
        self._url = url
        self._until = until
        self._chance = random.Random(name)

    def read(self) -> Counter[str]:
        """Returns the number of answers read, by outcome."""
        with Client(retries=False, timeout=30) as client:
            while time.monotonic() < self._until:
                kind = self._chance.choice(list(OUTCOMES))
                self._read_one(client, kind, f"{kind}: {self._name}, {self.counted.total()}?")
                self.counted[kind] += 1
        return self.counted

    def _read_one(self, client: Client, kind: str, question: str) -> None:
        form = urlencode({"question": question, "form": "form"})
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._cookie}
        asked = client.request("POST", f"{self._url}/ask", body=form, headers=headers, redirect=False)
        assert asked.status == 303, asked.data.decode()
        address = self._url + asked.headers["Location"]
        found = re.search(r'"answer": (\d+)', client.request("GET", address).data.decode())
        assert found
        outcome, text = OUTCOMES[kind], "".join(pieces(question))
        readers = [Reader(self._url, int(found[1])) for _ in range(self._chance.choice((1, 1, 2)))]
        if outcome.is_stopped:
            readers[0].stream(2)  # the beginning of a stream, and a piece of text
            client.request("POST", f"{self._url}/answers/{found[1]}/stop", redirect=False)
            said = client.request("GET", f"{self._url}/answers/{found[1]}?as=text").data.decode()
            assert text.startswith(said)
            text = said
        for reader in readers:
            self._follow(reader)
            assert reader.end and reader.end["finish"] == outcome.finish, question
            expected = page_of(text if outcome.has_text else "", outcome.finish)
            assert reader.tail == "" and reader.blocks == expected, question
            page = client.request("GET", address).data.decode()
            deadline = time.monotonic() + 30
            while '"reading writing"' in page and time.monotonic() < deadline:  # not set in time: it follows
                page = client.request("GET", address).data.decode()
            assert f'"reading ended {outcome.finish}' in page and "".join(reader.blocks) in page, question

    def _follow(self, reader: Reader) -> None:
        """Follow by one stream, by polling, or over connections that break off."""
        way = self._chance.choice(("stream", "poll", "sleep"))
        while reader.end is None:
            if way == "poll" or (way == "stream" and reader.connections):  # the places for followers may be taken
                reader.poll()
                time.sleep(0.2)
            else:
                with suppress(HTTPError):
                    reader.stream(self._chance.randrange(1, 20) if way == "sleep" else None)


def at_rest(process: Process, threads: int | None = None) -> tuple[int, int, float]:
    """Threads, descriptors and memory once no answer is being written."""
    deadline = time.monotonic() + 20
    while threads is not None and process.threads() > threads and time.monotonic() < deadline:
        time.sleep(0.1)
    return process.threads(), len(process.descriptors()), process.memory()


def test_a_house_full_of_readers_leaves_nothing_behind_and_every_page_is_its_answer(
    tmp_path: Path, soak: Soak
) -> None:
    seconds, first = soak(20, full=600), soak(8, full=60)
    with FakeGemini() as gemini:
        gemini.default = answer
        options = ["--data", str(tmp_path / "data"), "--gemini-url", gemini.url]
        with closing(Appliance(tmp_path, *options, **UNLIMITED, **MODELS, **NO_CACHES)) as appliance:
            process = Process(appliance.process.pid)
            urlopen(f"http://127.0.0.1:{appliance.port}/healthz", timeout=20).close()  # one thread waits after it
            before = at_rest(process)
            start = time.monotonic()
            samples: list[tuple[int, int, float]] = []
            with ThreadPoolExecutor(READERS) as readers:
                url = f"http://127.0.0.1:{appliance.port}"
                house = [Kindle(name, url, start + seconds) for name in range(READERS)]
                reading = [readers.submit(each.read) for each in house]
                while not all(each.done() for each in reading):
                    time.sleep(1)
                    samples.append((process.threads(), len(process.descriptors()), process.memory()))
                counted = sum((each.result() for each in reading), Counter[str]())
            after = at_rest(process, before[0])
            log = appliance.errors.read_text()
    early, late = (
        statistics.median(memory for *_, memory in part) for part in (samples[first:][:10], samples[-10:])
    )
    soak.tell(
        f"{READERS} readers, {seconds} s, {counted.total()} answers of {len(counted)} kinds, every page right;"
        f" memory {early:.1f} MB after {first} s and {late:.1f} MB at the end;"
        f" threads {before[0]} at rest, at most {max(threads for threads, *_ in samples)}, {after[0]} at the end;"
        f" descriptors {before[1]} at rest, at most {max(files for _, files, _ in samples)}, {after[1]} at the end"
    )
    assert "Traceback" not in log
    assert set(counted) == set(OUTCOMES)
    assert after[0] == before[0]
    assert after[1] <= before[1] + KEPT
    assert late - early < soak(8, full=2), "MB"
