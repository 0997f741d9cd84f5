"""The real program in processes of its own: its output, its exit, and its files."""

from __future__ import annotations

import http.client
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import urllib3
from conftest import ROOT
from fakes.filesystem import mounted, remount
from fakes.gemini import FakeGemini, Reply, chunk
from fakes.ports import free_port
from fakes.program import PROGRAM, Appliance, Program, complete, end_event, environment, run
from fakes.secrets import KEY, PIN

from kindle_appliance import __version__
from kindle_appliance.host.network import addresses, lan_address
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database, inspect
from kindle_appliance.storage.schema import CHATS

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake


def read(response: http.client.HTTPResponse) -> str:
    """The headers and the body of a response."""
    return f"{response.headers}{response.read().decode()}"


# The command line


def test_the_help_shows_the_version_and_the_commands(tmp_path: Path) -> None:
    assert run(tmp_path, "--version") == (0, f"kindle-appliance {__version__}\n", "")
    status, usage, errors = run(tmp_path, "--help")
    assert (status, errors) == (0, "")
    assert re.search(r"^ +serve +\w.*\n +ask +\w", usage, re.MULTILINE)


def test_the_help_of_serve_has_every_flag_and_none_for_the_key(tmp_path: Path) -> None:
    _, usage, _ = run(tmp_path, "serve", "--help")
    flags = {"--help", "--config", "--host", "--port", "--data", "--gemini-url", "--no-mdns", "--demo"}
    flags |= {"--name"}
    assert set(re.findall(r"--[\w-]+", usage)) == flags
    assert "8080" in usage
    assert re.search(r"--no-mdns +do not announce", usage)
    assert "not set" not in usage


WORD_TOO_MANY = "there is a word too many; it is not shown, because it may be the key. See --help."


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--key", KEY, "--prot=80"], "unrecognized arguments: --key --prot"),
        (["serve", f"--pin={PIN}"], "unrecognized arguments: --pin"),
        ([KEY], WORD_TOO_MANY),
        (["key", KEY], WORD_TOO_MANY),
        (["pin", PIN], WORD_TOO_MANY),
        (["key", f"--untried={KEY}"], "argument --untried: ignored explicit argument (not shown)"),
    ],
    ids=["a flag", "in one word", "alone", "for key", "for pin", "for a switch"],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    status, printed, errors = run(tmp_path, *arguments)
    assert (status, printed) == (2, "")
    assert errors.endswith(f"error: {named}\n")
    assert KEY not in errors and PIN not in errors


WRONG_SETTINGS = {
    "a flag": (["--port", "0"], {}, ["port = '0'", "the command line, --port", "from 1 to 65535"]),
    "a variable": (["serve"], {"KINDLE_APPLIANCE_PORT": "http"}, ["'http'", "KINDLE_APPLIANCE_PORT", "from 1 to"]),
    "for ask": (["ask", "?"], {"KINDLE_APPLIANCE_MODELS": ","}, ["KINDLE_APPLIANCE_MODELS", "at least one model"]),
    "a host": (["--host", "localhost:80"], {}, ["host = 'localhost:80'", "the command line, --host", "address"]),
    "a proxy": (
        [],
        {"KINDLE_APPLIANCE_PROXY": "http://my pc:1", "GEMINI_API_KEY": KEY},
        ["proxy = 'http://my pc:1'"],
    ),
    "a key": ([], {"GEMINI_API_KEY": f"{KEY} {KEY}"}, ["not shown", "GEMINI_API_KEY", "without spaces"]),
    "no file": (["--config", "/nowhere/at/all"], {}, ["/nowhere/at/all", "No such file"]),
    "a folder": (["ask", "?", "--config", "/"], {}, ["settings file /", "directory"]),
}


@pytest.mark.parametrize(("arguments", "more", "named"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_wrong_setting_ends_the_program_with_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], more: dict[str, str], named: list[str]
) -> None:
    status, printed, errors = run(tmp_path, *arguments, **more)
    assert (status, printed) == (2, "")
    assert re.fullmatch(r"kindle-appliance: .*\n", errors)
    assert all(part in errors for part in named)
    assert KEY not in errors
    assert not (tmp_path / "state").exists()


# Ask


# Some of Google's errors do contain the key.
KEY_IN_AN_ERROR = f"Permission denied: Consumer 'api_key:{KEY}' has been suspended."


@pytest.mark.parametrize("question", ["", " \n", "?" * 4001], ids=["empty", "blank", "too long"])
def test_the_terminal_refuses_the_same_questions_as_the_page(tmp_path: Path, question: str) -> None:
    status, printed, errors = run(tmp_path, "ask", question)
    assert (status, printed) == (2, "")
    assert re.fullmatch(r"kindle-appliance: .*question.*\n", errors)


def test_without_a_key_a_question_on_the_terminal_gets_a_demo_answer(tmp_path: Path) -> None:
    demo_answers = (ROOT / "static" / "demo_answers.md").read_text(encoding="utf-8")
    status, printed, errors = run(tmp_path, "ask", "لماذا البحر مالح؟")
    assert status == 0
    assert printed.rstrip("\n") == demo_answers.partition("<!-- arabic -->\n")[2].partition("<!--")[0].rstrip("\n")
    assert "demo" in errors


def test_an_answer_is_shown_while_it_is_written_and_the_key_is_sent_only_in_its_header(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    with closing(Program(tmp_path, "ask", "Why?", "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as asking:
        call = gemini.next_call(20)  # once the program has started
        assert call.json["contents"] == [{"role": "user", "parts": [{"text": "Why?"}]}]
        assert {name: value for name, value in call.headers.items() if KEY in value} == {"x-goog-api-key": KEY}
        assert KEY not in call.path
        assert KEY.encode() not in call.body
        call.start()
        call.text("Because ")
        assert asking.read_until("Because ") == "Because "
        call.finish("海.")
        assert asking.output.read().decode() == "海.\n"
        assert asking.process.wait(timeout=10) == 0
        assert KEY not in asking.errors.read_text()


@pytest.mark.parametrize(("code", "name"), [(403, "PERMISSION_DENIED"), (503, "UNAVAILABLE"), (400, "SO_SO")])
def test_a_failure_on_the_terminal_is_a_sentence_without_the_key_and_status_1(
    tmp_path: Path, gemini: FakeGemini, code: int, name: str
) -> None:
    gemini.default = Reply.error(code, name, KEY_IN_AN_ERROR)
    status, printed, errors = run(tmp_path, "ask", "?", "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)
    assert (status, printed.strip()) == (1, "")
    assert re.search(r"^kindle-appliance: [A-Z].*\.$", errors, re.MULTILINE)
    assert "Traceback" not in errors
    assert KEY not in errors


def test_an_answer_that_breaks_off_on_the_terminal_says_so_and_who_wrote_it(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    gemini.replies(Reply([chunk("Half")]))
    ways = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_MODELS": "model-a"}
    status, printed, errors = run(tmp_path, "ask", "?", "--gemini-url", gemini.url, **ways)
    assert (status, printed) == (1, "Half\n")
    assert errors.endswith("broke off here. Answered by model-a.\n")


def test_a_closed_output_ends_the_question_without_an_error(tmp_path: Path, gemini: FakeGemini) -> None:
    with closing(Program(tmp_path, "ask", "Why?", "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as asking:
        call = gemini.next_call(20)  # once the program has started
        call.start()
        call.text("Because ")
        asking.read_until("Because ")
        asking.output.close()
        call.text("of the sea.")
        call.wait_gone()
        asking.process.wait(timeout=10)
        assert not re.search("listen|Traceback|Error", asking.errors.read_text())


def test_a_terminal_shows_a_substitute_for_an_unsupported_character(tmp_path: Path, gemini: FakeGemini) -> None:
    gemini.replies(Reply.answer("“海” is the sea."))
    ways = {"GEMINI_API_KEY": KEY, "PYTHONIOENCODING": "ascii"}
    status, printed, _ = run(tmp_path, "ask", "?", "--gemini-url", gemini.url, **ways)
    assert (status, printed) == (0, "??? is the sea.\n")


def test_a_fault_in_the_settings_file_is_shown_below_its_sentence(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('mdns = true\nport = "http"\n')
    status, printed, errors = run(tmp_path, "--config", str(config))
    assert (status, printed) == (2, "")
    assert errors == (
        f"kindle-appliance: port = 'http', from {config}, line 2, is not allowed."
        " Allowed is a whole number from 1 to 65535.\n"
        f'Line 2 of {config}:\n    port = "http"\n           ^\n'
        "A right line, for example:\n    port = 8080\n"
    )


# Serve


def test_without_command_and_key_the_program_serves_a_demo_and_the_terminal_and_the_page_say_so(
    tmp_path: Path,
) -> None:
    with closing(Appliance(tmp_path)) as appliance:
        response = appliance.get("/")
        assert response.status == 200
        assert "Demo: these answers are examples" in response.read().decode()
        assert "DEMO" in appliance.rest()
    assert (tmp_path / "state" / "kindle-appliance" / "chats.sqlite").is_file()


def test_the_address_for_the_kindle_comes_before_the_one_for_this_machine(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path, "--no-mdns", host="0.0.0.0")) as appliance:
        lan = lan_address()
        hosts = re.findall(rf"http://(.*):{appliance.port}/\n", appliance.greeting)
        assert hosts == ([lan, "127.0.0.1"] if lan else ["127.0.0.1"])
        assert appliance.get("/").status == 200


def test_the_readme_shows_what_make_run_prints(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"(?:^ {4}.*\n)+", readme, re.MULTILINE) if "DEMO: " in each)
    shown = [line.strip() for line in block.splitlines() if "kindle.local" not in line]  # not announced in a test
    with closing(Appliance(tmp_path, "--no-mdns", host="0.0.0.0")) as appliance:
        said = appliance.rest().replace(f":{appliance.port}/", ":8080/").replace(f"{tmp_path}/", "/home/pi/.local/")
    lan = lan_address()
    printed = said.replace(lan, "192.168.1.23") if lan else said
    assert [line for line in printed.splitlines()] == [line for line in shown if lan or "192.168" not in line]


def test_with_a_key_nothing_says_demo_and_the_chats_are_in_the_chosen_folder(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path, "serve", "--data", str(tmp_path / "own"), GEMINI_API_KEY=KEY)) as appliance:
        page = appliance.get("/").read().decode()
        said = page + appliance.rest() + appliance.errors.read_text()
    assert not re.search(f"DEMO|Demo:|{KEY}", said)
    assert (tmp_path / "own" / "chats.sqlite").is_file()
    assert not (tmp_path / "state").exists()


def test_a_key_in_an_error_from_google_is_in_neither_log_nor_answer(tmp_path: Path, gemini: FakeGemini) -> None:
    gemini.default = Reply.error(503, "UNAVAILABLE", KEY_IN_AN_ERROR)
    debug = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_LOG_LEVEL": "debug"}
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, **debug)) as appliance:
        appliance.ask("Why?")
        answer = appliance.get("/answers/1?as=events").read()
        assert end_event(answer)["finish"] == "failed"
        log = appliance.errors.read_text()
    assert "has been suspended" in log
    assert KEY not in log
    assert KEY.encode() not in answer


def test_the_appliance_answers_to_the_machines_own_names_and_those_in_the_settings(tmp_path: Path) -> None:
    name = socket.gethostname()
    more = {"KINDLE_APPLIANCE_HOSTS": "ai.home", "KINDLE_APPLIANCE_NETWORKS": "100.64.0.0/10"}
    more["KINDLE_APPLIANCE_PROXIES"] = "127.0.0.1"
    with closing(Appliance(tmp_path, **more)) as appliance:
        for host in (name, f"{name.partition('.')[0]}.local:80", "localhost", "ai.home", "100.99.1.2", "127.0.0.1"):
            assert appliance.get("/", Host=host).status == 200, host
        for host in ("evil.example", "192.168.1.2", "kindle.local"):
            assert appliance.get("/", Host=host).status == 421, host
        assert appliance.get("/", X_Forwarded_For="100.99.1.2").status == 200
        assert appliance.get("/", X_Forwarded_For="192.168.1.2").status == 403


def test_the_machines_own_addresses_are_served_under_any_networks(tmp_path: Path) -> None:
    """The check for systemd's watchdog uses such an address if the appliance listens on that one only."""
    narrow = {"KINDLE_APPLIANCE_NETWORKS": "100.64.0.0/10"}
    with closing(Appliance(tmp_path, "--no-mdns", host="0.0.0.0", **narrow)) as appliance:
        for own in addresses("0.0.0.0"):
            url = f"http://{own}:{appliance.port}/healthz"
            assert urllib3.request("GET", url, retries=False, timeout=20).status == 200


def test_a_browser_stays_signed_in_through_a_restart_but_not_through_a_change_of_the_pin(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path, KINDLE_APPLIANCE_PIN=PIN)) as appliance:
        assert appliance.get("/").status == 403
        cookie = str(appliance.post("/pin", pin=PIN).headers["Set-Cookie"]).partition(";")[0]
        assert appliance.get("/", Cookie=cookie).status == 200
    secret = tmp_path / "state" / "kindle-appliance" / "pin-secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    for pin, status in ((PIN, 200), ("70414", 403), (PIN, 200)):
        with closing(Appliance(tmp_path, KINDLE_APPLIANCE_PIN=pin)) as appliance:
            assert appliance.get("/", Cookie=cookie).status == status
    secret.write_bytes(b"cut")  # as after a power cut
    with closing(Appliance(tmp_path, KINDLE_APPLIANCE_PIN=PIN)) as appliance:
        assert appliance.get("/", Cookie=cookie).status == 403
    assert len(secret.read_bytes()) == 32


def test_only_their_owner_can_read_the_files_of_the_chats_whoever_started_the_program(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    gemini.default = Reply.answer("Because.")
    data = tmp_path / "data"
    arguments = ("--data", str(data), "--gemini-url", gemini.url)
    more = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_PIN": PIN}

    def modes() -> dict[str, int]:
        """With a question that is being answered, so that all files are there."""
        with closing(Appliance(tmp_path, *arguments, **more)) as appliance:
            appliance.sign_in(str(appliance.post("/pin", pin=PIN).headers["Set-Cookie"]).partition(";")[0])
            appliance.ask("Why?")
            return {each.name: stat.S_IMODE(each.stat().st_mode) for each in data.iterdir()}

    private = dict.fromkeys(
        ("chats.sqlite", "chats.sqlite-wal", "chats.sqlite-shm", "lock", "owner-secret", "pin-secret"), 0o600
    ) | {"books": 0o700}
    umask = os.umask(0o022)
    try:
        assert modes() == private
        foreign = data / "holidays.txt"
        foreign.touch()
        for each in data.iterdir():
            each.chmod(0o644)
        assert modes() == private | {"holidays.txt": 0o644}
        code, output, errors = run(tmp_path, "backup", "--data", str(data), str(tmp_path / "saved"))
        assert not code, output + errors
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o600


def test_the_pin_can_be_entered_when_the_filesystem_is_read_only(tmp_path: Path, filesystem: Path) -> None:
    with closing(Appliance(tmp_path, "--data", str(filesystem))) as appliance:
        appliance.rest()
    remount(filesystem, "ro")
    with closing(Appliance(tmp_path, "--data", str(filesystem), KINDLE_APPLIANCE_PIN=PIN)) as appliance:
        cookie = str(appliance.post("/pin", pin=PIN).headers["Set-Cookie"]).partition(";")[0]
        assert appliance.get("/chats", Cookie=cookie).status == 200
        assert "every browser must enter the PIN again" in appliance.errors.read_text()


def test_no_secret_is_in_the_log_the_pages_the_store_or_the_process_list(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    gemini.default = Reply.error(403, "PERMISSION_DENIED", KEY_IN_AN_ERROR)
    for name, secret in (("gemini-key", KEY), ("pin", PIN)):
        (tmp_path / name).write_text(secret + "\n")
    more = {"CREDENTIALS_DIRECTORY": str(tmp_path), "KINDLE_APPLIANCE_LOG_LEVEL": "debug"}
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, **more)) as appliance:
        said = read(appliance.get("/"))
        for pin, key in (("90909", ""), ("7041", "3")):
            said += read(appliance.post("/pin", pin=pin, key=key))
        cookie = str(appliance.post("/pin", pin=PIN).headers["Set-Cookie"]).partition(";")[0]
        appliance.sign_in(cookie)
        appliance.ask("Why?")
        for path in ("/answers/1?as=events", "/chats/1/1", "/chats", "/", "/check/reports", "/nothing", "/pin"):
            said += read(appliance.get(path))
        said += cookie
        assert gemini.calls[0].headers["x-goog-api-key"] == KEY and 'class="reading ended failed empty"' in said
        processes = Path(f"/proc/{appliance.process.pid}/cmdline").read_bytes()
        said += appliance.rest() + appliance.errors.read_text()
    stored = b"".join(each.read_bytes() for each in (tmp_path / "state").rglob("*") if each.is_file())
    typed = 'aria-label="PIN" value="70413"'  # the digits typed in a browser without script, which the page returns
    assert said.count("70413") == said.count(typed) == 1
    for secret in (KEY, PIN, "70413", "90909"):
        assert secret.encode() not in stored + processes and secret not in said.replace(typed, "")


def test_a_second_appliance_on_the_same_chats_is_refused(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path)):
        status, printed, errors = run(tmp_path, "--host", "127.0.0.1", "--port", str(free_port()))
    assert (status, printed) == (1, "")
    assert re.fullmatch(r"kindle-appliance: another appliance uses the chats in .*--data.*\n", errors)


NEWER = """
import sys
from dataclasses import replace
from kindle_appliance.storage import schema
schema.CHATS = replace(schema.CHATS, migrations=(*schema.CHATS.migrations, "CREATE TABLE newer (id INTEGER)"))
from kindle_appliance.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_newer_version_does_not_migrate_the_chats_of_an_appliance_that_is_running(tmp_path: Path) -> None:
    chats = tmp_path / "state" / "kindle-appliance" / "chats.sqlite"
    newer = [sys.executable, "-B", "-c", NEWER, "--host", "127.0.0.1", "--port", str(free_port())]
    with closing(Appliance(tmp_path)):
        status, printed, errors = complete(newer, environment(tmp_path))
        assert (status, printed) == (1, "") and "another appliance uses the chats" in errors
        assert inspect(chats, CHATS).version == CHATS.version
    with closing(Appliance(tmp_path)) as again:
        assert again.get("/chats").status == 200


def test_of_several_first_starts_at_once_one_serves_and_the_others_say_why_not(tmp_path: Path) -> None:
    chats = str(tmp_path / "chats")
    with ExitStack() as stops:
        programs = []
        for number in range(4):
            (tmp_path / f"{number}").mkdir()
            program = Program(tmp_path / f"{number}", "--data", chats, "--no-mdns", "--port", str(free_port()))
            stops.callback(program.close)
            programs.append(program)
        with ThreadPoolExecutor(len(programs)) as pool:  # the first byte of its greeting, or the end without one
            greeted = list(pool.map(lambda each: bool(each.output.read(1)), programs))
        assert greeted.count(True) == 1
        for program, is_serving in zip(programs, greeted, strict=True):
            if not is_serving:
                assert program.process.wait(20) == 1
                assert "another appliance uses the chats" in program.errors.read_text()


def test_an_unknown_host_is_reported_in_one_line(tmp_path: Path) -> None:
    status, _, errors = run(tmp_path, "--host", "nobody.invalid", "--port", str(free_port()))
    assert status == 1
    assert re.fullmatch(r"kindle-appliance: cannot listen on nobody.invalid.*\n", errors)


def test_what_cannot_listen_leaves_no_thread_behind(tmp_path: Path) -> None:
    """One that stored texts met the closed database, when a name took long to be looked up."""
    script = (
        "import sys, threading; from kindle_appliance.__main__ import main;"
        "print(main(sys.argv[1:]), *(each.name for each in threading.enumerate()))"
    )
    command = [sys.executable, "-c", script, "--host", "nobody.invalid", "--port", str(free_port())]
    _, output, _ = complete(command, environment(tmp_path))
    assert output == "1 MainThread\n"


def test_a_second_appliance_on_a_taken_port_says_so_and_leaves_the_first_ones_answers_alone(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        appliance.ask("Why?")
        gemini.next_call()
        for folder, named in (
            (tmp_path / "other", rf"port {appliance.port}.*--port"),
            (tmp_path, "uses the chats"),
        ):
            status, printed, errors = run(folder, "--host", "127.0.0.1", "--port", str(appliance.port))
            assert (status, printed) == (1, "")
            assert re.fullmatch(rf"kindle-appliance: .*{named}.*\n", errors)
        with closing(Database(tmp_path / "state" / "kindle-appliance" / "chats.sqlite", CHATS)) as database:
            turn = Chats(database).find_turn_by_id(1)
        assert turn is not None
        assert turn.ending is None


def greeting_of(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """The port that a program without a chosen port serves on, and its greeting."""
    with closing(Program(tmp_path, "--host", "127.0.0.1", "--no-mdns", *arguments)) as program:
        said = program.read_until("aistudio")
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/\n", said)
        with socket.create_connection(("127.0.0.1", int(port)), 20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        return int(port), said


def test_without_a_chosen_port_the_next_free_one_is_taken_and_said(tmp_path: Path) -> None:
    with ExitStack() as others:
        for port in (8080, 8081):
            with suppress(OSError):  # another program of this machine has it, which is as good
                others.enter_context(socket.create_server(("127.0.0.1", port)))
        port, said = greeting_of(tmp_path)
    assert 8082 <= port <= 8099
    assert f"Port 8080 is used by another program, so it is {port} today." in said


def test_the_folder_of_the_chats_is_named_at_the_start(tmp_path: Path) -> None:
    _, said = greeting_of(tmp_path)
    (folder,) = re.findall(r"The chats are kept in: +(/.*)\n", said)
    assert (Path(folder) / "chats.sqlite").is_file()
    _, said = greeting_of(tmp_path, "--data", str(tmp_path / "elsewhere"))
    assert f"{tmp_path}/elsewhere\n" in said


def test_chats_that_cannot_be_opened_end_the_program_with_a_sentence_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, printed, errors = run(tmp_path, "--data", str(tmp_path / "file"), "--port", str(free_port()))
    assert (status, printed) == (1, "")
    assert re.fullmatch(rf"kindle-appliance: .*{tmp_path}/file cannot be used.*\n", errors)


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_program_within_5_s_and_reader_and_store_keep_the_text_so_far(
    tmp_path: Path, gemini: FakeGemini, number: signal.Signals
) -> None:
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        appliance.ask("Why?")
        call = gemini.next_call()
        call.start()
        call.text("Because the sea ")
        reader = appliance.get("/answers/1?as=events")
        body = b""
        while b"Because the sea" not in body:
            body += reader.read1()
        appliance.process.send_signal(number)
        assert appliance.process.wait(timeout=5) == 0
        call.wait_gone()
        body += reader.read()  # raises if the stream was cut
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        assert appliance.get("/chats/1/1").status == 200
        assert appliance.get("/answers/1").read() == b"Because the sea "
        again = end_event(appliance.get("/answers/1?as=events").read())
        assert end_event(body) == again
        assert again["finish"] == "interrupted"
        assert "switched off" in again["note"]
        assert "Traceback" not in appliance.errors.read_text()


SIGNALLED = """
import os, sys
from kindle_appliance import __main__, appliance
from kindle_appliance.storage import database
place, number = sys.argv[1], int(sys.argv[2])
where = next(each for each in (appliance, database.Database) if hasattr(each, place))
begin = getattr(where, place)
def begin_and_signal(*arguments, **more):
    os.kill(os.getpid(), number)
    begun = begin(*arguments, **more)
    os.kill(os.getpid(), number)
    return begun
setattr(where, place, begin_and_signal)
sys.exit(__main__.main(sys.argv[3:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "place", ["data_folder", "FolderLock", "_migrate", "_connect", "_listen", "Advertiser", "_greet", "Watch"]
)
def test_a_signal_in_any_phase_of_the_start_ends_the_program_as_later(
    tmp_path: Path, place: str, number: signal.Signals
) -> None:
    options = ["--demo", "--host", "127.0.0.1", "--port", str(free_port())]
    command = [sys.executable, "-B", "-c", SIGNALLED, place, str(int(number)), *options]
    status, _, errors = complete(command, environment(tmp_path))
    assert (status, "Traceback" in errors) == (0, False), errors
    with closing(Appliance(tmp_path, "--demo")) as appliance:
        appliance.ask("Why?")


@pytest.mark.parametrize("command", ["serve", "ask"])
def test_a_program_under_nohup_outlives_its_terminal(tmp_path: Path, gemini: FakeGemini, command: str) -> None:
    options = ["--gemini-url", gemini.url]
    options += ["Why?"] if command == "ask" else ["--host", "127.0.0.1", "--port", str(free_port())]
    env = environment(tmp_path, GEMINI_API_KEY=KEY)
    with subprocess.Popen(
        ["nohup", *PROGRAM, command, *options], cwd=ROOT, env=env, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        if command == "serve":
            program.stdout.readline()
            program.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(timeout=1)
            program.terminate()
        else:
            call = gemini.next_call()
            call.start()
            call.text("Because ")
            assert program.stdout.read(8) == b"Because "
            program.send_signal(signal.SIGHUP)
            call.finish("of 海.")
            assert program.stdout.read().decode() == "of 海.\n"
        assert program.wait(timeout=10) == 0


@pytest.mark.parametrize("through_the_appliance", [True, False])
def test_a_closed_terminal_ends_ask_and_the_answer_that_it_was_waiting_for(
    tmp_path: Path, gemini: FakeGemini, through_the_appliance: bool
) -> None:
    with ExitStack() as stops:
        options = ["--gemini-url", gemini.url]
        if through_the_appliance:
            stops.enter_context(closing(Appliance(tmp_path, *options, GEMINI_API_KEY=KEY)))
            options = []
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            errors = os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(errors, 2)
            env = environment(tmp_path, GEMINI_API_KEY=KEY)
            os.execve(sys.executable, [*PROGRAM, "ask", "Why?", *options], env)
        call = gemini.next_call()
        call.start()
        call.text("Because ")
        shown = b""
        while b"Because " not in shown:
            shown += os.read(terminal, 100)
        os.close(terminal)
        call.wait_gone()
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
        assert (tmp_path / "said").read_text() == ""


def test_an_answer_cut_by_a_kill_is_interrupted_after_the_restart(tmp_path: Path, gemini: FakeGemini) -> None:
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        appliance.ask("Why?")
        gemini.next_call()
        appliance.process.kill()
    with closing(Appliance(tmp_path)) as appliance:
        assert end_event(appliance.get("/answers/1?as=events").read())["finish"] == "interrupted"
        assert "1 answers were cut off" in appliance.errors.read_text()


@pytest.fixture
def filesystem(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own, which can become read-only like a failing SD card."""
    with mounted(tmp_path / "filesystem") as folder:
        yield folder


@pytest.mark.parametrize("is_killed", [True, False], ids=["after a power cut", "after a clean end"])
@pytest.mark.parametrize("is_read_only", [True, False], ids=["read-only", "full"])
def test_chats_on_a_read_only_or_full_filesystem_are_still_shown_and_a_new_question_is_refused_with_the_reason(
    tmp_path: Path, gemini: FakeGemini, filesystem: Path, is_read_only: bool, is_killed: bool
) -> None:
    arguments = ("--data", str(filesystem), "--gemini-url", gemini.url)
    gemini.replies(Reply.answer("Because of the salt."))
    with closing(Appliance(tmp_path, *arguments, GEMINI_API_KEY=KEY)) as appliance:
        appliance.ask("Why is the sea salty?")
        assert appliance.get("/answers/1").read() == b"Because of the salt."
        appliance.ask("And the Dead Sea?")
        call = gemini.next_call()
        call.start()
        call.text("Because of")
        with closing(sqlite3.connect(filesystem / "chats.sqlite")) as other:
            while not other.execute("SELECT text FROM pieces WHERE turn = 2").fetchone():
                time.sleep(0.05)
        appliance.process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
        appliance.process.wait(10)
    room = os.statvfs(filesystem)
    trouble = "ro" if is_read_only else f"size={(room.f_blocks - room.f_bfree) * room.f_frsize}"
    remount(filesystem, trouble)
    with closing(Appliance(tmp_path, *arguments, GEMINI_API_KEY=KEY)) as appliance:
        assert b"Because of the salt." in appliance.get("/chats/1/1").read()
        page = appliance.get("/chats/2/1").read().decode()
        assert "Because of" in page and "switched off while it wrote this" in page and "Go on" in page
        refused = appliance.post("/ask", question="Can you hear me?", form="f")
        page = refused.read().decode()
        assert refused.status == 503
        assert "card is full or read-only" in page and "Can you hear me?</textarea>" in page
        assert "Traceback" not in appliance.errors.read_text()
        if not is_read_only:
            remount(filesystem, "size=10m")
            assert appliance.post("/ask", question="Can you hear me?", form="f").status == 303
            gemini.next_call()


def test_the_program_ends_within_5_s_and_ends_its_answers_while_a_connection_to_gemini_hangs(
    tmp_path: Path,
) -> None:
    with (
        swallowing_url() as url,
        closing(Appliance(tmp_path, "--gemini-url", url, GEMINI_API_KEY=KEY)) as appliance,
    ):
        appliance.ask("Why?")
        reader = appliance.get("/answers/1?as=events")
        appliance.process.terminate()
        assert appliance.process.wait(timeout=5) == 0
        assert end_event(reader.read())["finish"] == "interrupted"


@contextmanager
def swallowing_url() -> Iterator[str]:
    """A base URL on loopback where connecting hangs: the listener's queue of connections is full."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# Python


def old_pythons() -> Iterator[str]:
    """This machine's outdated Pythons, one of each version, from the path or from pyenv."""
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for version in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10"):
        for found in filter(None, (shutil.which(f"python{version}", path=folder) for folder in folders)):
            # On the path it may be a shim of pyenv for a version that is not selected.
            if subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0:
                yield found
                break


PRETENDING = (
    "import runpy, sys; sys.version_info = (3, 10, 13); runpy.run_module('kindle_appliance', None, '__main__')"
)
TOO_OLD = {"pretending": [sys.executable, "-B", "-c", PRETENDING]}
TOO_OLD |= {Path(each).name: [each, *PROGRAM[1:]] for each in old_pythons()}


@pytest.mark.parametrize("command", TOO_OLD.values(), ids=TOO_OLD)
def test_under_an_old_python_the_first_line_says_which_one_is_needed(tmp_path: Path, command: list[str]) -> None:
    status, printed, errors = complete(command, environment(tmp_path))
    assert (status, printed) == (1, "")
    assert re.match("kindle-appliance needs Python 3.11 or newer.* Install", errors)
    assert "Traceback" not in errors
