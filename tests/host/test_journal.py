"""The log tells the owner what happened, one line for each event, and never contains a question."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import closing
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.program import Appliance, end_event
from fakes.secrets import KEY

from kindle_appliance.host.journal import Lines


def record(message: str, *values: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("name", level, __file__, 1, message, values, None)


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_the_level_is_a_number_in_the_journal_and_a_name_on_the_terminal(level: int, priority: int) -> None:
    told = record("web: %s", "so", level=level)
    assert Lines(True).format(told) == f"<{priority}>web: so"
    assert Lines(False).format(told) == f"{logging.getLevelName(level)} web: so"


@pytest.mark.parametrize("sent", ["a\nERROR made up", "a\r\nb", "a\u2028b", "a\x1b[2Jb", "a\x85b"])
def test_line_breaks_in_received_text_start_no_new_line(sent: str) -> None:
    for formatter in (Lines(True), Lines(False)):
        text = formatter.format(record("fallback: %s", sent))
        assert text.splitlines() == [text]
        assert text.isprintable()


def test_text_in_other_scripts_stays_readable() -> None:
    assert Lines(False).format(record("fallback: %s", "海 é")) == "WARNING fallback: 海 é"


def test_each_line_of_a_traceback_has_its_level_and_none_looks_like_an_event() -> None:
    told = record("web: a mistake", level=logging.ERROR)
    try:
        raise ZeroDivisionError("in two\n<0>lines\x1b[2J\rERROR http://me:secret@proxy")
    except ZeroDivisionError:
        told.exc_info = sys.exc_info()
    lines = Lines(True).format(told).splitlines()
    assert lines[0] == "<3>web: a mistake"
    assert lines[-2:] == [
        "<3>    ZeroDivisionError: in two",
        r"<3>    <0>lines\x1b[2J\rERROR http://***@proxy",
    ]
    assert all(line.startswith("<3>    ") for line in lines[1:])


@pytest.mark.slow
def test_the_life_of_an_appliance_is_a_few_lines_without_any_question(tmp_path: Path, gemini: FakeGemini) -> None:
    gemini.replies(Reply.answer("Because of ", "salt."))
    gemini.default = Reply.error(403, "PERMISSION_DENIED", "No\nsuch luck.")
    (tmp_path / "stderr").touch()
    journal = (tmp_path / "stderr").stat()
    more = {
        "GEMINI_API_KEY": KEY,
        "JOURNAL_STREAM": f"{journal.st_dev}:{journal.st_ino}",
        "KINDLE_APPLIANCE_QUESTIONS_PER_DAY": "2",
    }
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, **more)) as appliance:
        for number in (1, 2):
            appliance.ask(f"Why is the sea salty? {number}")
            assert end_event(appliance.get(f"/answers/{number}?as=events").read())
        assert appliance.refused("Why not?") == 429
        appliance.process.terminate()
        assert appliance.process.wait(timeout=20) == 0
    lines = (tmp_path / "stderr").read_text().splitlines()
    expected = [
        rf"<6>started: version \S+, port {appliance.port}",
        "<6>answers: answer 1 was asked for",
        r"<6>answers: answer 1 ended: complete, by gemini-3.8-flash, \d+ tokens, \d+\.\d s",
        "<6>answers: answer 2 was asked for",
        r"<4>answers: answer 2 ended: failed, by \S+, 0 tokens, \d+\.\d s: Google does not let .*No\\nsuch luck.*",
        "<6>web: refused a question from 127.0.0.1: .*",
        "<6>stopping",
        "<6>stopped",
    ]
    for pattern in expected:
        assert [line for line in lines if re.fullmatch(pattern, line)], (pattern, lines)
    assert all(re.match("<[346]>", line) for line in lines)
    assert not re.search(f"sea|salt|Why|{KEY}", "\n".join(lines))


@pytest.mark.slow
def test_a_log_that_is_not_the_journal_gets_levels_by_name(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path, JOURNAL_STREAM="8:1")) as appliance:
        appliance.rest()
    assert "INFO started: version" in (tmp_path / "stderr").read_text()
