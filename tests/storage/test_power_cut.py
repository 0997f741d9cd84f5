"""A question survives a power cut: it is on the disk before the reader's 303 and the request to Gemini leave.

Killing the process does not show this, since the kernel keeps its writes. A trace of the real program's system
calls does: the write-ahead log gets the question, then fdatasync() on it returns, and only then is the reader's
303 sent and a connection to Gemini opened.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from appliance import tools
from conftest import unavailable
from fakes.gemini import FakeGemini
from fakes.program import PROGRAM, Appliance
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY
from fakes.system_calls import calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

QUESTION = "Is this question on the disk before anybody hears of it?"
TRACE = ("strace", "-D", "-f", "-yy", "-s", "9999", "-e", "trace=network,write,pwrite64,fsync,fdatasync")
# The same program without the setting under test.
CARELESS = """
import sys
from kindle_appliance import __main__
from kindle_appliance.storage import database
connect = database.Database._connect
def connect_carelessly(self, *arguments):
    connection = connect(self, *arguments)
    connection.execute("PRAGMA synchronous=OFF")
    return connection
database.Database._connect = connect_carelessly
sys.exit(__main__.main())
"""


def check_order(trace: str, gemini_port: int, folder: Path) -> None:
    """Asserts that the question was on the disk before the reader and Gemini were told."""
    found = list(calls(trace))
    told = [
        next(call for call in found if re.match(pattern, call.text))
        for pattern in (r'sendto\(.*"HTTP/1\.1 303 See Other', rf"connect\(.*htons\({gemini_port}\)")
    ]
    first_told = min(call.began for call in told)
    log = re.escape(f"<{folder}/chats.sqlite-wal>")
    written = [c for c in found if re.match(rf"pwrite64\(\d+{log}", c.text) and c.began < first_told]
    assert any(QUESTION in call.text for call in written), (
        "the log has the question before the reader or Gemini is told of it"
    )
    last = max(call.returned for call in written)
    for name, place, since in (("the log", log, last), ("its folder", re.escape(f"<{folder}>"), 0)):
        assert any(
            re.match(rf"f(data)?sync\(\d+{place}\) += 0", call.text)
            and since < call.began <= call.returned < first_told
            for call in found
        ), f"{name} is not synced before the reader or Gemini is told of the question"


def trace_a_question(
    folder: Path, gemini: FakeGemini, program: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The system calls of the program from its start until Gemini has been asked."""
    if reason := tools.missing("strace"):
        unavailable(reason)
    if subprocess.run([*TRACE, "true"], check=False, capture_output=True).returncode:
        unavailable("strace may not trace on this machine")
    trace = folder / "trace"
    SCANNER.exempt(trace)  # the trace also records the request to Gemini
    monkeypatch.setattr("fakes.program.PROGRAM", [*TRACE, "-o", str(trace), *program])
    data = ["--data", str(folder / "data")]
    with closing(Appliance(folder, *data, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        appliance.ask(QUESTION)
        call = gemini.next_call()
        pid = appliance.process.pid
        appliance.process.kill()
    call.wait_gone()
    deadline = time.monotonic() + 60
    while not re.search(rf"^{pid} +\+\+\+ killed", trace.read_text(), re.MULTILINE):
        assert time.monotonic() < deadline, "strace has not finished"
        time.sleep(0.05)
    return trace.read_text()


def test_a_question_is_on_the_disk_before_the_reader_and_gemini_are_told(
    tmp_path: Path, gemini: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = trace_a_question(tmp_path, gemini, PROGRAM, monkeypatch)
    check_order(trace, int(gemini.url.rpartition(":")[2]), tmp_path / "data")


def test_the_check_of_the_trace_fails_without_synchronous_writes(
    tmp_path: Path, gemini: FakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = trace_a_question(tmp_path, gemini, [sys.executable, "-B", "-c", CARELESS], monkeypatch)
    with pytest.raises(AssertionError, match="the log is not synced"):
        check_order(trace, int(gemini.url.rpartition(":")[2]), tmp_path / "data")
