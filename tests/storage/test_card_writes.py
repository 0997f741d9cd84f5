"""What an answer costs the SD card: a trace of the real program counts its syncs and the bytes that it writes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from appliance import tools
from conftest import ROOT, Soak, unavailable
from fakes.gemini import Call, FakeGemini, Reply, chunk
from fakes.program import PROGRAM, UNLIMITED, Appliance

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]

TRACE = ("strace", "-D", "-f", "-y", "-qq", "-e", "trace=pwrite64,write,fsync,fdatasync")
PIECES_PER_SECOND = 5
TEXT = (ROOT / "README.md").read_text(encoding="utf-8") * 8  # English, as a model writes it


class Cost(NamedTuple):
    """What the files of the chats have cost from the start of the program to its end: syncs, and bytes written."""

    syncs: int
    bytes: int


def cost(trace: Path, folder: Path) -> Cost:
    text = trace.read_text(errors="replace")
    # A call that another thread interrupts is on two lines; its file is on the first, its result on the second.
    begun: dict[str, bool] = {}
    syncs = written = 0
    for line in text.splitlines():
        thread, _, call = line.partition(" ")
        if "(" in call and "resumed>" not in call:
            begun[thread] = (f"<{folder}" in call and "sqlite" in call) or f"<{folder}>" in call
            is_sync = call.lstrip().startswith(("fsync", "fdatasync"))
            syncs += is_sync and begun[thread]
        done = re.search(r"\) += (\d+)$", call)
        if done and begun.get(thread):
            written += int(done[1])
    return Cost(syncs, written)


def write_at_a_rate(call: Call) -> Reply:
    """An answer as its question wants it: "kilobytes seconds"."""
    kilobytes, seconds = map(int, call.json["contents"][-1]["parts"][0]["text"].split()[:2])
    count = seconds * PIECES_PER_SECOND
    size = kilobytes * 1024 // count

    def body() -> Iterator[bytes]:
        since = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, since + number / PIECES_PER_SECOND - time.monotonic()))  # as a model does
            yield chunk(TEXT[number * size : (number + 1) * size])
        yield chunk(None, "STOP")

    return Reply(body())


def trace_answers(
    folder: Path, kilobytes: int, seconds: int, answers: int, monkeypatch: pytest.MonkeyPatch
) -> Cost:
    """What so many answers at once cost, on a card that has chats already."""
    if reason := tools.missing("strace"):
        unavailable(reason)
    folder.mkdir()
    trace, data = folder / "trace", folder / "data"
    with FakeGemini() as gemini:
        gemini.default = write_at_a_rate
        options = ["--data", str(data), "--gemini-url", gemini.url]
        with closing(Appliance(folder, *options, **UNLIMITED)) as appliance:
            appliance.ask("1 1")
            appliance.get("/answers/1?as=text").read()
            appliance.rest()
        monkeypatch.setattr("fakes.program.PROGRAM", [*TRACE, "-o", str(trace), *PROGRAM])
        with closing(Appliance(folder, *options, **UNLIMITED)) as appliance:
            for number in range(answers):
                assert appliance.refused(f"{kilobytes} {seconds} {number}") == 303
            for number in range(answers):
                text = appliance.get(f"/answers/{number + 2}?as=text").read()
                assert len(text) > kilobytes * 1000
            appliance.rest()
    return cost(trace, data)


def test_growing_text_costs_the_card_a_page_a_second_and_each_character_twice(
    tmp_path: Path, soak: Soak, monkeypatch: pytest.MonkeyPatch
) -> None:
    if soak.is_full:
        one = trace_answers(tmp_path / "one", 50, 60, 1, monkeypatch)
        eight = trace_answers(tmp_path / "eight", 50, 60, 8, monkeypatch)
        for name, found in (("one answer", one), ("eight at once", eight)):
            soak.tell(f"{name} of 50 KB in 60 s: {found.syncs} syncs, {found.bytes / 1e6:.2f} MB written")
        assert one.syncs <= 70 and one.bytes <= 0.65e6
        assert eight.syncs <= 90 and eight.bytes <= 5e6
    short = trace_answers(tmp_path / "short", 80, 4, 1, monkeypatch)
    long = trace_answers(tmp_path / "long", 160, 8, 1, monkeypatch)
    assert long.syncs - short.syncs <= 4, "at most one a second"
    # The text goes to the log in pieces, then as an answer, and at the end to the file. Rewritten each time, twice
    # the text in twice the time costs four times as much.
    assert long.bytes < 2.2 * short.bytes
    assert long.bytes < 4.5 * 160 * 1024


def test_more_answers_at_once_cost_no_more_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trace_answers(tmp_path / "one", 10, 5, 1, monkeypatch)
    four = trace_answers(tmp_path / "four", 10, 5, 4, monkeypatch)
    questions_and_endings = 2 * 3
    assert four.syncs <= one.syncs + questions_and_endings + 2
    assert four.bytes < 4 * one.bytes
