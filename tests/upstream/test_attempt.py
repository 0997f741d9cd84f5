"""One attempt, where the tests of the fallback cannot reach it: its clock runs out between two reads."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from fakes.calls import Open
from fakes.gemini import FakeGemini, Reply, chunk
from fakes.rungs import gemini_rungs

from kindle_appliance.conversation import Question
from kindle_appliance.ending import Finish
from kindle_appliance.errors import UpstreamSilent
from kindle_appliance.upstream import attempt as module
from kindle_appliance.upstream.attempt import Attempt
from kindle_appliance.upstream.call import Clocks

pytestmark = pytest.mark.usefixtures("nothing_leaks")


@pytest.mark.parametrize(
    ("first", "text", "is_refusal"),
    [
        (chunk("Be", usage={"totalTokenCount": 5}), "Be", False),
        (chunk("Hm…", thought=True, usage={"totalTokenCount": 5}), "", True),
    ],
    ids=["after text", "before text"],
)
def test_bytes_that_keep_arriving_do_not_extend_the_clock_for_progress(
    gemini: FakeGemini,
    open_upstream: Open,
    monkeypatch: pytest.MonkeyPatch,
    first: bytes,
    text: str,
    is_refusal: bool,
) -> None:
    """No read times out, because each look at the clock takes 25 of its 60 seconds."""
    moments = itertools.count(0.0, 25.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    repeated = itertools.repeat(chunk(None, usage={"totalTokenCount": 5}))
    gemini.replies(Reply(itertools.chain([first], repeated)))
    upstream = open_upstream(gemini.url, Clocks(first_byte=60, progress=60))
    attempt = Attempt(gemini_rungs(upstream, ["flash"])[0], Question("Why?"), deadline=60.0)
    assert "".join(attempt) == text
    assert isinstance(attempt.error, UpstreamSilent) and attempt.error.detail == "no progress"
    assert attempt.ending is not None and attempt.ending.finish is Finish.INTERRUPTED
    assert attempt.is_refusal is is_refusal
    gemini.calls[0].wait_gone()
