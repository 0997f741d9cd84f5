"""Stop reaches Gemini: the milliseconds from a reader's tap to the end of the connection there."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest
from conftest import Soak
from fakes.gemini import FakeGemini, Reply, chunk
from fakes.house import House

PROMISED = 0.1  # seconds; a few milliseconds are usual, so a slow machine keeps it too

STAGES = {
    "before the headers": Reply(status=None, ending="stall"),
    "before the first byte": Reply(ending="stall"),
    "while it thinks": Reply([chunk("Hm…", thought=True)], ending="stall"),
    "within the text": Reply([chunk("Be")], ending="stall"),
    "in an endless answer": Reply(itertools.repeat(chunk("On and on.\n\n"))),
}


@pytest.mark.alone
@pytest.mark.parametrize("stage", STAGES)
def test_stop_closes_the_connection_to_gemini_within_a_tenth_of_a_second(
    stage: str, gemini: FakeGemini, house: House, soak: Soak
) -> None:
    gemini.default = STAGES[stage]
    has_text = stage in ("within the text", "in an endless answer")
    times = []
    for number in range(1, soak(7, full=50) + 1):
        turn = house.desk.ask("Why?", None, f"form {number}")
        call = gemini.wait_for_calls(number)[-1]
        answer = house.desk.find(turn.id)
        assert answer is not None
        if has_text:
            assert answer.wait_for_text(10) and answer.length
        start = time.monotonic()
        stopped = house.post(f"/answers/{turn.id}/stop", {})
        times.append(call.wait_gone() - start)
        assert stopped.status == 303 and answer.ending is not None and answer.ending.finish == "stopped"
        assert bool(answer.length) == has_text
    assert len(gemini.calls) == len(times), "no other model is asked"
    assert statistics.median(times) < PROMISED, times
    soak.tell(
        f"stop {stage}: at Gemini after {statistics.median(times) * 1000:.1f} ms"
        f" (median of {len(times)}; the slowest {max(times) * 1000:.1f} ms)"
    )
