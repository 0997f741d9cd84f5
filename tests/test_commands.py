"""What the owner does on the terminal, with the real program, installed and from a checkout."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.gemini import FakeGemini, Reply, error_info, refusing_url
from fakes.installed import Installed
from test_main import run

KEY = "AIza" + "SyTopSecret-0123456789_abcdefghijklm"
OTHER = "AIza" + "SyOtherSecret-0123456789_abcdefghij"
REFUSED = Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", [error_info("API_KEY_INVALID")])
pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]


@pytest.fixture
def installed(tmp_path: Path, gemini: FakeGemini) -> Iterator[Installed]:
    """An installed appliance that asks a Gemini of the test's."""
    installed = Installed(tmp_path)
    installed.at.settings.write_text(f'gemini_url = "{gemini.url}"\nconnect_seconds = 5\n')
    yield installed


# The key and the PIN


def test_a_key_that_google_accepts_is_stored_and_the_service_told(installed: Installed, gemini: FakeGemini) -> None:
    gemini.replies(Reply.models("gemini-a", "gemini-b"))
    status, printed, errors = installed.run("key", given=f"{KEY}\n")
    assert (status, errors) == (0, "")
    place = installed.at.secret("key")
    assert printed == (f"Google accepts the key and offers 2 models.\nThe key was stored in {place}.\n")
    assert place.read_text() == f"{KEY}\n"
    assert place.stat().st_mode & 0o777 == 0o600
    assert gemini.calls[0].headers["x-goog-api-key"] == KEY
    assert installed.told() == ["try-restart kindle-appliance.service"]


def test_a_key_that_google_refuses_is_not_stored_and_what_google_said_is_told(
    installed: Installed, gemini: FakeGemini
) -> None:
    installed.at.secret("key").write_text(OTHER)
    gemini.replies(REFUSED)
    status, printed, errors = installed.run("key", "--untried", given=KEY)
    assert (status, printed) == (1, "")
    assert re.fullmatch(
        r"kindle-appliance: Google does not accept .*API key not valid.*Nothing was changed.\n", errors
    )
    assert installed.at.secret("key").read_text() == OTHER
    assert installed.told() == []


def test_a_key_that_cannot_be_tried_is_stored_only_if_that_is_wanted(installed: Installed) -> None:
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
def test_what_cannot_be_a_key_is_refused_before_anybody_is_asked(
    installed: Installed, gemini: FakeGemini, bad: str
) -> None:
    status, printed, errors = installed.run("key", given=bad)
    assert (status, printed) == (1, "")
    assert "Nothing was changed" in errors
    assert KEY not in errors
    assert not gemini.calls


def test_a_key_comes_from_a_file_too(installed: Installed, gemini: FakeGemini, tmp_path: Path) -> None:
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


def test_a_bad_key_in_its_file_does_not_keep_a_good_one_out(installed: Installed, gemini: FakeGemini) -> None:
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


def test_a_pin_is_stored_if_it_can_be_one(installed: Installed) -> None:
    status, printed, errors = installed.run("pin", given="0042\n")
    assert (status, errors) == (0, "")
    assert printed == f"The pin was stored in {installed.at.secret('pin')}.\n"
    assert installed.at.secret("pin").read_text() == "0042\n"
    for bad in ("123", "12a4", "1" * 13):
        status, _, errors = installed.run("pin", given=bad)
        assert status == 1
        assert "4 to 12 digits" in errors and bad not in errors
    assert installed.at.secret("pin").read_text() == "0042\n"
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
        os.write(ours, b"0042\n")
        try:
            while piece := screen.read(1000):
                shown += piece
        except OSError:  # the terminal ends with the program
            pass
    assert asking.wait(timeout=20) == 0
    assert b"0042" not in shown
    assert installed.at.secret("pin").read_text() == "0042\n"


def test_a_service_that_cannot_be_restarted_is_told(installed: Installed) -> None:
    installed.systemd(broken=True)
    status, printed, _ = installed.run("pin", given="0042")
    assert status == 0
    assert "Restart the appliance" in printed


def test_in_a_checkout_a_key_goes_where_the_settings_say_or_nowhere(tmp_path: Path, gemini: FakeGemini) -> None:
    status, _, errors = run(tmp_path, "pin", "--remove")
    assert status == 1
    assert "pin_file" in errors
    place = tmp_path / "pin"
    status, printed, _ = run(tmp_path, "pin", "--file", "/dev/fd/0", KINDLE_APPLIANCE_PIN_FILE=str(place))
    assert (status, printed) == (1, "")
