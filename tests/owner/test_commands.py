"""The owner's commands on the terminal, with the real program, installed and from a checkout."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.chats import write_chats
from fakes.gemini import FakeGemini, Reply, chunk, error_info, refusing_url
from fakes.installed import Installed
from fakes.program import Appliance, Program, complete, run
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN

from kindle_appliance.settings import OPTIONS
from kindle_appliance.storage.backup import back_up
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.lock import FolderLock
from kindle_appliance.storage.schema import CHATS

OTHER = "AIza" + "SyOtherSecret-0123456789_abcdefghij"
REFUSED = Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", [error_info("API_KEY_INVALID")])
pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]


@pytest.fixture
def installed(tmp_path: Path, gemini: FakeGemini) -> Iterator[Installed]:
    """An installed appliance that asks the test's Gemini."""
    installed = Installed(tmp_path)
    installed.at.settings.write_text(f'gemini_url = "{gemini.url}"\nconnect_seconds = 5\n')
    yield installed


# The key and the PIN


def test_a_key_that_google_accepts_is_stored_and_the_service_restarted(
    installed: Installed, gemini: FakeGemini
) -> None:
    gemini.replies(Reply.models("gemini-a", "gemini-b"))
    status, printed, errors = installed.run("key", given=f"{KEY}\n")
    assert (status, errors) == (0, "")
    place = installed.at.secret("key")
    assert printed == (f"Gemini accepts the key and offers 2 models.\nThe key was stored in {place}.\n")
    assert place.read_text() == f"{KEY}\n"
    assert place.stat().st_mode & 0o777 == 0o600
    assert gemini.calls[0].headers["x-goog-api-key"] == KEY
    assert installed.told() == ["try-restart kindle-appliance.service"]


def test_a_key_that_google_refuses_is_not_stored_and_googles_reason_is_shown(
    installed: Installed, gemini: FakeGemini
) -> None:
    installed.at.secret("key").write_text(OTHER)
    gemini.replies(REFUSED)
    status, printed, errors = installed.run("key", "--untried", given=KEY)
    assert (status, printed) == (1, "")
    assert re.fullmatch(
        r"kindle-appliance: Google does not know this key\. Please copy it again\. \(400 .*API key not valid.*\)"
        r" Nothing was changed\.\n",
        errors,
    )
    assert installed.at.secret("key").read_text() == OTHER
    assert installed.told() == []


def test_an_expired_key_is_told_apart_from_an_unknown_one(installed: Installed, gemini: FakeGemini) -> None:
    message = "API key expired. Please renew the API key."
    gemini.replies(Reply.error(400, "INVALID_ARGUMENT", message, [error_info("API_KEY_INVALID")]))
    status, _, errors = installed.run("key", given=KEY)
    assert status == 1
    assert "This key has expired. Please make a new one" in errors and "copy it again" not in errors


@pytest.mark.parametrize("form", ['"{}"', "export GEMINI_API_KEY={}", "key = '{}'"])
def test_a_key_in_quotes_or_behind_its_name_is_stored_without_them(
    installed: Installed, gemini: FakeGemini, tmp_path: Path, form: str
) -> None:
    gemini.default = Reply.models("gemini-a")
    own = tmp_path / "own"
    own.write_text(form.format(KEY))
    SCANNER.exempt(own)
    for arguments, given in ((["--file", str(own)], ""), ([], form.format(KEY))):
        assert installed.run("key", *arguments, given=given)[0] == 0
        assert installed.at.secret("key").read_text() == f"{KEY}\n"
        installed.at.secret("key").write_text("")


def test_a_key_from_a_pipe_with_a_name_is_refused_at_once(installed: Installed, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    status, _, errors = installed.run("key", "--file", str(tmp_path / "pipe"))
    assert status == 1
    assert re.fullmatch("kindle-appliance: .*pipe cannot be read: It is not a plain file.\n", errors)


def test_a_key_that_cannot_be_tried_is_stored_only_on_request(installed: Installed) -> None:
    with refusing_url() as url:
        installed.at.settings.write_text(f'gemini_url = "{url}"\n')
        status, printed, errors = installed.run("key", given=KEY)
        assert (status, printed) == (1, "")
        assert "could not be tried" in errors and "--untried" in errors and KEY not in errors
        assert installed.at.secret("key").read_text() == ""
        status, printed, errors = installed.run("key", "--untried", "--no-restart", given=KEY)
    assert (status, errors) == (0, "")
    assert "could not be tried" in printed
    assert installed.at.secret("key").read_text() == f"{KEY}\n"
    assert installed.told() == []


@pytest.mark.parametrize("bad", [f"{KEY} {KEY}", f"{KEY}é", "", " \n"], ids=["two", "an accent", "none", "blank"])
def test_a_malformed_key_is_refused_without_asking_google(
    installed: Installed, gemini: FakeGemini, bad: str
) -> None:
    status, printed, errors = installed.run("key", given=bad)
    assert (status, printed) == (1, "")
    assert "Nothing was changed" in errors
    assert KEY not in errors
    assert not gemini.calls


def test_a_key_can_also_come_from_a_file(installed: Installed, gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.replies(Reply.models("gemini-a"))
    own = tmp_path / "own"
    own.write_bytes(b"\xef\xbb\xbf" + KEY.encode() + b"\r\n")
    assert installed.run("key", "--file", str(own))[0] == 0
    assert installed.at.secret("key").read_text() == f"{KEY}\n"
    status, _, errors = installed.run("key", "--file", str(tmp_path / "missing"))
    assert status == 1
    assert re.fullmatch(r"kindle-appliance: .*missing cannot be read: No such file.*\n", errors)


def test_the_same_key_again_changes_nothing_and_restarts_nothing(installed: Installed, gemini: FakeGemini) -> None:
    gemini.default = Reply.models("gemini-a")
    installed.run("key", "--no-restart", given=KEY)
    before = installed.at.secret("key").stat().st_mtime_ns
    status, printed, _ = installed.run("key", given=KEY)
    assert status == 0
    assert "already" in printed
    assert installed.at.secret("key").stat().st_mtime_ns == before
    assert installed.told() == []


def test_a_bad_stored_key_can_be_replaced_by_a_good_one(installed: Installed, gemini: FakeGemini) -> None:
    installed.at.secret("key").write_text("two words")
    gemini.replies(Reply.models("gemini-a"))
    assert installed.run("key", given=KEY)[0] == 0
    assert installed.at.secret("key").read_text() == f"{KEY}\n"


def test_a_removed_key_leaves_an_empty_file_and_a_demo(installed: Installed) -> None:
    installed.at.secret("key").write_text(KEY)
    status, printed, errors = installed.run("key", "--remove")
    assert (status, errors) == (0, "")
    assert "removed" in printed
    assert installed.at.secret("key").read_text() == ""
    assert installed.told() == ["try-restart kindle-appliance.service"]


def test_a_valid_pin_is_stored_and_a_bad_one_is_refused(installed: Installed) -> None:
    status, printed, errors = installed.run("pin", given=f"{PIN}\n")
    assert (status, errors) == (0, "")
    assert printed == f"The PIN was stored in {installed.at.secret('pin')}.\n"
    assert installed.at.secret("pin").read_text() == f"{PIN}\n"
    for bad in ("123", "12a4", "1" * 13):
        status, _, errors = installed.run("pin", given=bad)
        assert status == 1
        assert "4 to 12 digits" in errors and bad not in errors
    assert installed.at.secret("pin").read_text() == f"{PIN}\n"
    assert installed.run("pin", "--remove")[0] == 0
    assert installed.at.secret("pin").read_text() == ""


def test_a_pin_typed_on_the_terminal_is_not_shown_there(installed: Installed) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        asking = subprocess.Popen(
            installed.command("pin"), cwd=ROOT, env=installed.environment, start_new_session=True,
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"not shown): " not in shown:
            shown += screen.read(1000)
        os.write(ours, f"{PIN}\n".encode())
        try:
            while piece := screen.read(1000):
                shown += piece
        except OSError:  # the terminal ends with the program
            pass
    assert asking.wait(timeout=20) == 0
    SCANNER.scan("output", shown)
    assert PIN.encode() not in shown
    assert installed.at.secret("pin").read_text() == f"{PIN}\n"


def test_a_failed_restart_of_the_service_is_reported(installed: Installed) -> None:
    installed.systemd(broken=True)
    status, printed, _ = installed.run("pin", given=PIN)
    assert status == 0
    assert "Restart the appliance" in printed


def test_in_a_checkout_a_secret_is_stored_only_in_the_file_that_the_settings_name(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text(PIN)
    status, _, errors = run(tmp_path, "pin", "--file", str(new))
    assert status == 1
    assert "not installed" in errors and "KINDLE_APPLIANCE_PIN" in errors and "pin_file" in errors
    place = tmp_path / "pin"
    status, printed, _ = run(tmp_path, "pin", "--file", str(new), KINDLE_APPLIANCE_PIN_FILE=str(place))
    assert status == 0
    assert f"stored in {place}" in printed and "Restart the appliance" in printed
    assert place.read_text() == f"{PIN}\n"


# Settings


def test_the_settings_are_shown_with_their_origins_and_without_the_secrets(installed: Installed) -> None:
    installed.at.secret("key").write_text(KEY)
    installed.at.secret("pin").write_text(PIN)
    status, printed, errors = installed.run("settings", "--port", "8099")
    assert (status, errors) == (0, "")
    rows = {row[0]: row[1:] for row in (re.split(r" {2,}", line) for line in printed.splitlines())}
    assert list(rows) == [option.name for option in OPTIONS]
    assert rows["port"] == ["8099", "the command line, --port"]
    assert rows["connect_seconds"] == ["5", str(installed.at.settings)]
    assert rows["key"] == ["(set)", str(installed.at.secret("key"))]
    assert rows["pin"] == ["(set)", str(installed.at.secret("pin"))]
    assert rows["language"] == ["auto", "default"]
    assert KEY not in printed and PIN not in printed
    assert max(map(len, printed.splitlines())) < 200


def test_the_port_of_an_installed_appliance_is_that_of_systemds_socket(installed: Installed) -> None:
    installed.at.settings.write_text("port = 8090\n")
    installed.systemd(port=80)
    _, printed, _ = installed.run("settings")
    assert re.search("^port +80 +systemd, kindle-appliance.socket$", printed, re.MULTILINE)


# Ask


def test_a_question_goes_through_the_running_appliance_and_is_not_stored(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    gemini.replies(Reply.answer("Because ", "of 海."))
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)) as appliance:
        # The command itself has no key and no address of Gemini: the running appliance answers.
        assert run(tmp_path, "ask", "Why?") == (0, "Because of 海.\n", "")
        assert gemini.calls[0].headers["x-goog-api-key"] == KEY
        assert "Why?" not in appliance.get("/chats").read().decode()


def test_an_answer_of_the_running_appliance_is_shown_as_it_is_written_and_stops_with_the_command(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    with (
        closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)),
        closing(Program(tmp_path, "ask", "Why?")) as asking,
    ):
        call = gemini.next_call(20)  # once the program has started
        call.start()
        call.text("Because ")
        assert asking.read_until("Because ") == "Because "
        asking.process.send_signal(signal.SIGINT)
        assert asking.process.wait(timeout=20) == 0
        call.wait_gone()


def test_a_failure_of_the_running_appliance_is_shown_in_its_own_sentence(
    tmp_path: Path, gemini: FakeGemini
) -> None:
    gemini.default = Reply.error(403, "PERMISSION_DENIED", "No.")
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY=KEY)):
        status, printed, errors = run(tmp_path, "ask", "Why?")
        assert (status, printed) == (1, "")
        assert re.fullmatch(r"kindle-appliance: Google does not let .*\n", errors)
        gemini.default = Reply([chunk("Because ")], ending="cut")
        status, printed, errors = run(tmp_path, "ask", "Why?")
        assert (status, printed) == (1, "Because \n")
        assert "broke off" in errors


def test_an_address_announced_before_a_kill_is_ignored_afterwards(tmp_path: Path, gemini: FakeGemini) -> None:
    with closing(Appliance(tmp_path)) as appliance:
        appliance.process.kill()
        appliance.process.wait()
        gemini.replies(Reply.answer("Directly."))
        more = {"GEMINI_API_KEY": KEY, "KINDLE_APPLIANCE_GEMINI_URL": gemini.url}
        assert run(tmp_path, "ask", "Why?", **more) == (0, "Directly.\n", "")


def test_any_user_may_ask_the_installed_service_unless_it_has_a_pin(installed: Installed, tmp_path: Path) -> None:
    installed.at.secret("key").chmod(0)
    as_nobody = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    ask = [*as_nobody, *installed.command("ask", "Why?")]
    (tmp_path / "elsewhere").mkdir()
    with closing(Appliance(tmp_path / "elsewhere")) as appliance:
        installed.systemd(port=appliance.port)
        status, printed, errors = complete(ask, installed.environment)
        assert (status, errors) == (0, "(a demo answer)\n")
        assert printed
    with closing(Appliance(tmp_path / "elsewhere", KINDLE_APPLIANCE_PIN="0042")) as appliance:
        installed.systemd(port=appliance.port)  # the service asks for a PIN that only root may read
        guarded = complete(ask, installed.environment)
    for status, printed, errors in (guarded, complete(ask, installed.environment)):
        assert (status, printed) == (1, "")
        assert "sudo kindle-appliance ask" in errors


# Backup and restore


def test_a_backup_of_the_running_service_is_restored_while_the_service_is_stopped(
    installed: Installed, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    installed.at.secret("key").write_text(f"{KEY}\n")
    with closing(Database(installed.at.state / "chats.sqlite", CHATS)) as running:  # open, as in the service
        Chats(running).ask("Why?", None, "form")
        status, printed, errors = installed.run("backup", str(file))
        assert (status, errors) == (0, "")
        assert re.fullmatch(rf"{file}: 1 chats, settings.toml; 0\.\d MB\.\n", printed)
        Chats(running).ask("Later?", None, "form-2")
    assert KEY.encode() not in file.read_bytes()
    status, printed, errors = installed.run("restore", str(file))
    assert (status, errors) == (0, "")
    assert "What was there is in" in printed
    units = "kindle-appliance.socket kindle-appliance.service"
    assert installed.told() == [f"stop {units}", f"start {units}"]
    with closing(Database(installed.at.state / "chats.sqlite", CHATS)) as database:
        assert [each.title for each in Chats(database).recent(9)] == ["Why?"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_restored_chats_belong_to_the_service(installed: Installed, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    write_chats(tmp_path / "chats.sqlite", "Why?")
    back_up(tmp_path, file, {})
    os.chown(installed.at.state, 61234, 61234)
    assert installed.run("restore", str(file))[0] == 0
    owners = {path.name: path.stat().st_uid for path in installed.at.state.iterdir()}
    assert owners == {"chats.sqlite": 61234, "lock": 61234}


def test_the_secrets_and_settings_of_a_backup_come_back_on_a_new_machine(
    installed: Installed, tmp_path: Path, gemini: FakeGemini
) -> None:
    file = tmp_path / "backup"
    write_chats(installed.at.state / "chats.sqlite", "Why?")
    installed.at.settings.write_text(f'text_size = 5\ngemini_url = "{gemini.url}"\n')
    for name, secret in (("key", KEY), ("pin", PIN)):
        installed.at.secret(name).write_text(f"{secret}\n")
    SCANNER.exempt(file)  # it holds the secrets on purpose
    assert installed.run("backup", "--with-secrets", str(file))[0] == 0
    new = Installed(tmp_path / "new")
    new.at.settings.write_text("text_size = 4\n")
    status, printed, errors = new.run("restore", "--accept-settings", str(file))
    assert (status, errors) == (0, "")
    assert printed.count("was brought back") == 3
    assert new.at.settings.read_text() == installed.at.settings.read_text()
    assert new.at.settings.with_name("settings.toml.before-restore").read_text() == "text_size = 4\n"
    assert new.at.secret("key").read_text() == f"{KEY}\n"
    assert new.at.secret("pin").read_text() == f"{PIN}\n"
    assert KEY not in printed


def test_settings_unknown_to_this_version_stay_in_the_backup(installed: Installed, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    write_chats(tmp_path / "chats.sqlite", "Why?")
    back_up(tmp_path, file, {"settings.toml": b"colour = true\n"})
    before = installed.at.settings.read_text()
    status, printed, _ = installed.run("restore", str(file))
    assert status == 0
    assert "was left as it is: colour" in printed
    assert installed.at.settings.read_text() == before


def test_the_service_is_not_stopped_for_a_file_that_is_no_backup(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("Dear diary\n" * 1000)
    for name, sentence in (("diary", "not a good backup"), ("nothing", "there is no file")):
        status, printed, errors = installed.run("restore", str(tmp_path / name))
        assert (status, printed) == (1, "")
        assert re.fullmatch(rf"kindle-appliance: .*{sentence}.*\n", errors)
    assert installed.told() == []


def test_the_service_starts_again_when_a_restore_fails(installed: Installed, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    write_chats(tmp_path / "chats.sqlite", "Why?")
    back_up(tmp_path, file, {})
    with FolderLock(installed.at.state):  # as if the service still ran
        status, printed, errors = installed.run("restore", str(file))
    assert (status, printed) == (1, "")
    assert "Stop it first" in errors
    assert [line.partition(" ")[0] for line in installed.told()] == ["stop", "start"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_the_service_starts_again_when_the_terminal_is_closed_during_a_restore(
    installed: Installed, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "backup"
    write_chats(tmp_path / "chats.sqlite", "Why?")
    back_up(tmp_path, file, {})
    installed.systemd(held=True)
    command = installed.command("restore", str(file))
    with subprocess.Popen(command, cwd=ROOT, env=installed.environment, stderr=subprocess.PIPE) as restoring:
        while not installed.told():
            time.sleep(0.02)
        restoring.send_signal(number)
        _, errors = restoring.communicate(timeout=20)
    assert (restoring.returncode, errors) == (128 + number, b"")
    units = "kindle-appliance.socket kindle-appliance.service"
    assert installed.told() == [f"stop {units}", f"start {units}"]


def test_a_restore_is_refused_when_the_service_cannot_be_stopped(installed: Installed, tmp_path: Path) -> None:
    write_chats(tmp_path / "chats.sqlite", "Why?")
    back_up(tmp_path, tmp_path / "backup", {})
    installed.systemd(broken=True)
    status, _, errors = installed.run("restore", str(tmp_path / "backup"))
    assert status == 1
    assert "could not stop" in errors
    assert not (installed.at.state / "chats.sqlite").exists()


def test_a_restore_is_refused_while_an_appliance_runs_from_a_checkout(tmp_path: Path) -> None:
    with closing(Appliance(tmp_path)) as appliance:
        appliance.ask("Why?")
        status, printed, _ = run(tmp_path, "backup", str(tmp_path / "backup"))
        assert status == 0
        assert "1 chats" in printed
        status, _, errors = run(tmp_path, "restore", str(tmp_path / "backup"))
        assert status == 1
        assert "Stop it first" in errors
        appliance.rest()
        appliance.process.wait()
    assert run(tmp_path, "restore", str(tmp_path / "backup"))[0] == 0


@pytest.mark.parametrize("place", ["nowhere/backup", "."])
def test_a_backup_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, place: str) -> None:
    write_chats(tmp_path / "data" / "chats.sqlite", "Why?")
    status, printed, errors = run(tmp_path, "backup", str(tmp_path / place), "--data", str(tmp_path / "data"))
    assert (status, printed) == (1, "")
    assert re.fullmatch(r"kindle-appliance: .*\n", errors)
