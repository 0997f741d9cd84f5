"""No control character from outside reaches a terminal or the journal, and no password of an address."""

from __future__ import annotations

import io
import json
import re
import subprocess
import unicodedata
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TextIO, cast

import pytest
from conftest import ROOT
from fakes.gemini import FakeGemini, Reply
from fakes.program import PROGRAM, Appliance, environment, run
from fakes.raw_client import connect, read_to_end
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import SettingsError
from kindle_appliance.host.terminal import MOST_CHARACTERS, Screen, complaint, mask, mask_address, one_line, shown
from kindle_appliance.settings import load

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = [chr(each) for each in (*range(0x20), *range(0x7F, 0xA0))]
ALL = [*CONTROLS, *BIDI, "\u2028", "\u2029", "\ud800", "\udfff"]
HOSTILE = "".join(f"{each}[2J" for each in ALL) + "\x1b]0;owned\x07\n<0>forged\nERROR forged"
ANY_TEXT = st.text(st.one_of(st.characters(), st.sampled_from(ALL)), max_size=60)


def forbidden(printed: str, of: Iterable[str] = (*CONTROLS, "\u202d", "\u202e"), but: str = "\n\t") -> list[str]:
    """The characters in `printed` that may not be there."""
    found = {each for each in printed if unicodedata.category(each) in ("Cc", "Cs") or each in set(of)}
    return sorted(found - set(but))


def printed_by(folder: Path, *arguments: str, **more: str) -> tuple[bytes, bytes]:
    """The bytes on stdout and stderr of a command that has ended."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        check=False,
        cwd=ROOT,
        env=environment(folder, **more),
        capture_output=True,
        timeout=30,
    )
    SCANNER.scan("output", done.stdout + done.stderr)
    return done.stdout, done.stderr


# Texts


@given(ANY_TEXT)
def test_any_text_in_a_line_is_one_line_without_control_characters(text: str) -> None:
    line = one_line(text)
    assert forbidden(line, ALL, but="") == []
    assert len(line.splitlines()) <= 1
    line.encode()


@given(ANY_TEXT)
def test_any_answer_keeps_everything_but_control_characters(text: str) -> None:
    answer = shown(text)
    assert forbidden(answer) == []
    answer.encode()
    harmless = [each for each in text if not forbidden(each) and each != "\r"]
    assert [each for each in answer if each != "\ufffd"] == [each for each in harmless if each != "\ufffd"]


@given(st.lists(ANY_TEXT, max_size=5))
def test_an_answer_in_any_pieces_is_as_harmless_as_in_one(pieces: list[str]) -> None:
    assert forbidden("".join(map(shown, pieces))) == []
    assert [shown(each) for each in ("\x1b", "[2J")] == ["\ufffd", "[2J"]


def test_answers_in_all_scripts_stay_as_they_are() -> None:
    for text in (
        "a\tb\nc",
        "海水为什么是咸的？",
        "مرحبا \u2067Kindle\u2069 \u200fبكم",
        "a\u200db 👩‍🔬",
        "é\u00a0ñ",
    ):
        assert shown(text) == text
    assert shown("a\r\nb") == "a\nb"


def test_a_line_is_too_short_for_the_journal_to_cut_it() -> None:
    assert len(one_line("海" * 100_000).encode()) < 48 * 1024
    assert len(one_line("\u202e" * 100_000)) <= MOST_CHARACTERS + 1


def test_a_complaint_of_several_lines_gives_none_of_them_a_priority() -> None:
    assert complaint("line 3:\n    name = \x1b\n<0>forged") == "line 3:\n    name = \\x1b\n\\x3c0>forged"


# Passwords


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:pw@host:3128/x", "http://***@host:3128/x"),
        ("http://user:p%40w@host", "http://***@host"),
        ("http://user@host", "http://***@host"),
        ("http://user:pa ss@host is not allowed", "http://***@host is not allowed"),
        ("http://user:p/w@host", "http://***@host"),
        ("socks5://:pw@[fe80::1]:1", "socks5://***@[fe80::1]:1"),
        ("user:pw@host:notaport", "***@host:notaport"),
        ("two: http://a:b@c and http://d:e@f", "two: http://***@c and http://***@f"),
        (
            "LocationParseError: Failed to parse: 'http://u:p@h:x'",
            "LocationParseError: Failed to parse: 'http://***@h:x'",
        ),
        ("http://******@host", "http://******@host"),
        ("see http://a.b:8080/ and write to me@x.y", "see http://a.b:8080/ and write to me@x.y"),
        ("at 12:30 me@x.y", "at 12:30 me@x.y"),
    ],
)
def test_name_and_password_of_an_address_are_masked_wherever_it_stands(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert one_line(text) == masked


@pytest.mark.parametrize("text", ["a:" * 50_000 + "@", "://" * 50_000 + "@", "://a:" * 50_000, "@" * 100_000])
def test_a_hostile_line_is_masked_in_linear_time(text: str) -> None:
    assert len(one_line(text)) <= MOST_CHARACTERS + 1
    mask(text)


SECRET = "Op3n-Sesame"
PASSWORDS = [SECRET, f"a {SECRET}", f"{SECRET}/b", f"p%40{SECRET}", f"'{SECRET}\"", f"p@{SECRET}", f"#{SECRET}?"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["http://me:{}@proxy:3128", "me:{}@proxy:notaport", "htp://me:{}@proxy"])
@pytest.mark.parametrize("option", ["proxy", "gemini_url"])
def test_a_complaint_about_a_proxy_does_not_show_its_password(
    tmp_path: Path, option: str, form: str, password: str
) -> None:
    address = form.format(password)
    assert SECRET not in mask_address(address) and SECRET not in mask_address(repr(address))
    settings = tmp_path / "settings.toml"
    for value in (address, [address]):
        settings.write_text(f"{option} = {json.dumps(value)}\n")
        with pytest.raises(SettingsError, match=option) as told:
            load({}, {}, settings)
        assert SECRET not in str(told.value)
    with pytest.raises(SettingsError, match=option) as told:
        load({}, {f"KINDLE_APPLIANCE_{option.upper()}": address})
    assert SECRET not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("serve",), ("settings",), ("ask", "Why?"), ("doctor",)])
def test_a_password_is_masked_in_the_complaint_of_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    name = {"KINDLE_APPLIANCE_PROXY": f"http://me:{SECRET}@proxy:3128"}
    status, printed, errors = run(tmp_path, *command, **name)
    assert status == (1 if command == ("doctor",) else 2)
    assert re.search(r"proxy = 'http://\*\*\*@proxy:3128', .* is not allowed\.", printed + errors)
    assert SECRET not in printed + errors


# The real program


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "arabic"), [("utf-8", "مرحبا"), ("latin-1", "?????"), ("ascii", "?????")])
def test_nothing_that_a_model_says_steers_the_terminal_of_ask(
    tmp_path: Path, gemini: FakeGemini, encoding: str, arabic: str
) -> None:
    gemini.replies(Reply.answer("Because ", "\x1b", "[2J", *ALL, HOSTILE, "\n", "مرحبا"))
    arguments = ("ask", "Why?", "--gemini-url", gemini.url)
    more = {"GEMINI_API_KEY": KEY, "PYTHONIOENCODING": encoding}
    printed, errors = printed_by(tmp_path, *arguments, **more)
    answer = printed.decode(encoding)
    assert forbidden(answer) == []
    assert answer.startswith("Because ") and answer.endswith(f"\n{arabic}\n")
    assert errors == b""


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(403, "PERMISSION_DENIED", HOSTILE),
        Reply.error(400, HOSTILE, HOSTILE),
        Reply.error(418, HOSTILE, "No."),
        Reply.answer("Because ", HOSTILE, model_version=HOSTILE),
        Reply([b"data: " + json.dumps({"candidates": [{"finishReason": HOSTILE}]}).encode() + b"\r\n\r\n"]),
        Reply([b"data: " + json.dumps({"promptFeedback": {"blockReason": HOSTILE}}).encode() + b"\r\n\r\n"]),
        Reply([b"<html>\x1b[2J\x9b2J"], 200, {"Content-Type": "text/html; \x9b2J"}, "length"),
    ],
    ids=["message", "status", "unknown status", "model", "finish reason", "block reason", "page"],
)
def test_no_refusal_or_ending_steers_a_terminal_or_forges_a_line_of_the_log(
    tmp_path: Path, gemini: FakeGemini, reply: Reply
) -> None:
    gemini.default = reply
    more = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_MODELS": "model-a"}
    for command in (["ask", "Why?"], ["doctor", "--ask"]):
        printed, errors = printed_by(tmp_path, *command, "--gemini-url", gemini.url, **more)
        assert forbidden(printed.decode()) == []
        assert forbidden(errors.decode(), ALL) == []
        lines = printed.decode().splitlines() if "--ask" in command else []
        assert all(re.match("ok |warning |failure ", line) for line in lines), "a finding is one line"
        assert not re.search(r"^(<0>|ERROR )", errors.decode(), re.MULTILINE)
    (tmp_path / "stderr").touch()
    journal = (tmp_path / "stderr").stat()
    more["JOURNAL_STREAM"] = f"{journal.st_dev}:{journal.st_ino}"
    more["KINDLE_APPLIANCE_LOG_LEVEL"] = "debug"
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, **more)) as appliance:
        appliance.ask("Why?")
        appliance.get("/answers/1?as=events").read()
        for head in requests():
            with closing(connect(appliance.port)) as client:
                client.sendall(head)
                read_to_end(client)
        appliance.rest()
        assert appliance.process.wait(10) == 0
    log = (tmp_path / "stderr").read_bytes()
    assert b"<6>stopped\n" in log
    assert forbidden(log.decode(), ALL, but="\n") == []
    assert all(re.match("<[3467]>[^<]", line) for line in log.decode().split("\n")[:-1]), log
    assert "\n<0>" not in log.decode() and not re.search(r"^<\d>(ERROR|forged)", log.decode(), re.MULTILINE)


def requests() -> Iterable[bytes]:
    """Requests with every control character in path, query, host, agent, method and form."""
    raw = HOSTILE.encode("utf-8", "surrogatepass").replace(b"\n", b"").replace(b"\r", b"")
    quoted = "".join(f"%{each:02x}" for each in HOSTILE.encode("utf-8", "surrogatepass")).encode()
    end = b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
    for path in (b"/" + quoted, b"/chats/" + quoted, b"/?q=" + quoted, b"/" + raw.replace(b" ", b"")):
        yield b"GET " + path + b" HTTP/1.1\r\n" + end
    for name in (b"Host", b"User-Agent", b"Accept-Language", b"X-Forwarded-For", b"Cookie", b"Last-Event-ID"):
        yield b"GET / HTTP/1.1\r\n" + name + b": " + raw + b"\r\n" + end
    yield raw.replace(b" ", b"") + b" / HTTP/1.1\r\n" + end
    form = b"question=" + quoted + b"&form=" + quoted
    head = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(form)
    yield b"POST /ask HTTP/1.1\r\n" + head + end + form
    yield b"POST /reports HTTP/1.1\r\n" + head + end + form


@pytest.mark.slow
def test_a_bug_that_quotes_a_stranger_is_shown_in_lines_of_its_own(tmp_path: Path) -> None:
    script = """
import sys
from kindle_appliance import __main__
def broken(*arguments):
    raise ZeroDivisionError(sys.argv[1])
__main__._run = broken
sys.exit(__main__.main(["settings"]))
"""
    text = HOSTILE.replace("\0", "").replace("\ud800", "").replace("\udfff", "") + " http://me:secret@proxy"
    done = subprocess.run(
        [PROGRAM[0], "-B", "-c", script, text],
        check=False,
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        timeout=30,
    )
    assert b"ZeroDivisionError" in done.stderr and done.returncode == 1
    assert forbidden(done.stderr.decode(), ALL) == []
    assert b"\n<0>" not in done.stderr and b"secret" not in done.stderr


@pytest.mark.slow
def test_a_wrong_command_line_and_setting_are_quoted_without_control_characters(tmp_path: Path) -> None:
    for arguments in (
        ("--name", "a\x1b[2J"),
        ("\x1b[2J",),
        ("--port", "\x9b1"),
        ("--log\x1b", "x"),
        ("pin", "\x1b"),
    ):
        _, errors = printed_by(tmp_path, *arguments, KINDLE_APPLIANCE_PORT="0")
        assert errors and forbidden(errors.decode(), ALL) == []
    settings = tmp_path / "settings.toml"
    settings.write_text('system_instruction = "\\u001b[2J\\u0007\\u202e"\nfollow_ups = ["\\u009b2J"]\n')
    printed, errors = printed_by(tmp_path, "settings", "--config", str(settings))
    assert errors == b"" and b"[2J" in printed
    assert forbidden(printed.decode(), ALL) == []


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", ">/dev/full"])
def test_a_command_without_a_place_to_print_at_ends_without_a_traceback(tmp_path: Path, closed: str) -> None:
    command = f'exec "$0" "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, *PROGRAM, "ask", "Why?", "--demo"],
        check=False,
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        timeout=30,
    )
    assert b"Traceback" not in done.stderr and b"(a demo answer)" in done.stderr


def test_a_screen_cleans_whatever_way_it_is_written_to() -> None:
    stream = io.StringIO()
    screen = cast(TextIO, Screen(stream, shown))
    print("\x1b[2J", "a", sep="\x07", end="\x9b", file=screen)
    screen.writelines(["\x1b", "b\n"])
    screen.flush()
    assert stream.getvalue() == "\ufffd[2J\ufffda\ufffd\ufffdb\n"
