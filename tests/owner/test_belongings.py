"""Settings and secrets of a backup: what decides where questions go comes back only if the owner agrees."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.chats import write_chats
from fakes.installed import Installed
from fakes.secrets import KEY, PIN, SERVER_KEY

from kindle_appliance.options.credentials import SETTINGS_CREDENTIAL, store_key
from kindle_appliance.owner.belongings import bring_back, gather
from kindle_appliance.owner.installation import Installation
from kindle_appliance.settings import OPTIONS, load
from kindle_appliance.storage.backup import back_up

OTHERS: dict[str, tuple[str, str]] = {
    # Each option that decides where questions go or who may ask: another value, and how it is shown.
    "gemini_url": ('"https://evil.example:81"', "https://evil.example:81"),
    "proxy": ('"http://evil.example:3128"', "http://evil.example:3128"),
    "networks": ('["0.0.0.0/0"]', "0.0.0.0/0"),
    "hosts": ('[\n  "evil.example",  # a list of several lines\n]', "evil.example"),
    "proxies": ('["0.0.0.0/0"]', "0.0.0.0/0"),
    "data": ('"""/root/\\u001b[2J"""', "/root/\\x1b[2J"),
    "key_file": ("'/etc/shadow'", "/etc/shadow"),
    "models": ('["a at evil.example"]', "a at https://evil.example/v1"),
    "keys_folder": ("'/root/keys'", "/root/keys"),
    "pin_file": ("'/etc/shadow'", "/etc/shadow"),
}
OWN = "# mine\nlanguage = 'en'\nhosts = [\n  'mine.example',\n]\nproxy = 'http://own.example:3128'\n"


@pytest.fixture
def at(tmp_path: Path) -> Installation:
    """An installed appliance with settings of its own, and neither a key nor a PIN."""
    at = Installed(tmp_path).at
    at.settings.write_text(OWN)
    return at


class Owner:
    """An owner who says the same to everything. `shown`: what was asked."""

    def __init__(self, agrees: bool) -> None:
        self.agrees = agrees
        self.shown: list[str] = []

    def __call__(self, changes: Sequence[str]) -> bool:
        self.shown += changes
        return self.agrees


def test_the_table_of_options_says_what_a_restore_asks_for() -> None:
    asked = {option.name for option in OPTIONS if option.directs}
    assert asked == {*OTHERS, "key", "keys", "pin"}, "a new option that directs questions needs its line in OTHERS"


@pytest.mark.parametrize("name", OTHERS)
def test_what_directs_questions_changes_only_if_the_owner_agrees(at: Installation, name: str) -> None:
    value, shown = OTHERS[name]
    contents = {SETTINGS_CREDENTIAL: f"{name} = {value}\ntext_size = 5\n"}
    refusing = Owner(False)
    assert list(bring_back(at, contents, refusing)) == [f"{at.settings} was brought back."]
    assert any(line.startswith(f"{name}: ") and line.endswith(f" -> {shown}") for line in refusing.shown)
    for own in ("proxy = 'http://own.example:3128'", "hosts = [\n  'mine.example',\n]"):
        assert own in at.settings.read_text()
    assert value not in at.settings.read_text()
    assert "text_size = 5" in at.settings.read_text()
    assert at.settings.with_name("settings.toml.before-restore").read_text() == OWN
    assert list(bring_back(at, contents, Owner(True))) == [f"{at.settings} was brought back."]
    assert at.settings.read_text() == contents[SETTINGS_CREDENTIAL]


def test_settings_that_direct_nothing_are_brought_back_without_a_question(at: Installation) -> None:
    owner = Owner(False)
    contents = {SETTINGS_CREDENTIAL: OWN.replace("'en'", "'zh-CN'") + "text_size = 6\n"}
    assert list(bring_back(at, contents, owner)) == [f"{at.settings} was brought back."]
    assert owner.shown == []
    assert at.settings.read_text() == contents[SETTINGS_CREDENTIAL]


def test_a_password_in_an_address_is_not_shown(at: Installation) -> None:
    contents = {SETTINGS_CREDENTIAL: f"proxy = 'http://name:{PIN}-secret@evil.example'\n"}
    said = "".join(bring_back(at, contents, Owner(True)))
    assert f"{at.settings} was left as it is" in said
    assert f"{PIN}-secret" not in said
    assert at.settings.read_text() == OWN


def test_settings_in_which_our_own_values_cannot_be_kept_are_left_as_they_are(at: Installation) -> None:
    long = "[\n" + "'192.168.1.0/24',\n" * 300 + "]"
    for text in (f"networks = {long}\n", "\x1b[2J = 1\n", "gemini_url.x = 1\n", "[hosts]\nx = 1\n", "x = {" * 900):
        said = list(bring_back(at, {SETTINGS_CREDENTIAL: text}, Owner(False)))
        assert len(said) == 1
        assert said[0].startswith(f"{at.settings} was left as it is: ") and said[0].isprintable()
        assert at.settings.read_text() == OWN
    assert sorted(each.name for each in at.folder.iterdir()) == ["gemini-key", "pin", "settings.toml"]


def test_a_secret_takes_the_place_of_none_but_that_of_another_only_if_the_owner_agrees(at: Installation) -> None:
    key = at.secret("key")
    assert list(bring_back(at, {"gemini-key": KEY}, Owner(False))) == [f"{key} was brought back."]
    for other in ("AIza-of-somebody-else", ""):
        refusing = Owner(False)
        (said,) = bring_back(at, {"gemini-key": other}, refusing)
        assert said == f"{key} was left as it is: you have not agreed."
        assert refusing.shown == [f"key: {'another one' if other else 'none'} instead of yours"]
        assert key.read_text() == f"{KEY}\n"
    assert list(bring_back(at, {"gemini-key": ""}, Owner(True))) == [f"{key} was brought back."]
    assert key.read_text() == ""
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_models_with_tables_of_their_own_are_kept_as_they_are(at: Installation) -> None:
    own = OWN + '[[models]]\nmodel = "mine"  # [mine]\nat = """pc.local"""\n# mine\n[[ models ]]\nmodel = "b"\n'
    theirs = 'text_size = 40\n[[models]]\nmodel = "theirs"\nat = "evil.example"\n\n[[models]]\nmodel = "c"\n'
    at.settings.write_text(own)
    owner = Owner(False)
    assert list(bring_back(at, {SETTINGS_CREDENTIAL: theirs}, owner)) == [f"{at.settings} was brought back."]
    assert "models: mine at http://pc.local/v1, b -> theirs at https://evil.example/v1, c" in owner.shown
    text = at.settings.read_text()
    assert "theirs" not in text and "evil" not in text and text.startswith("text_size = 40\n")
    assert text.index("hosts = [") < text.index("[[models]]") and 'model = "mine"  # [mine]' in text
    assert list(map(str, load({}, at.environment({})).models)) == ["mine at http://pc.local/v1", "b"]


def test_a_setting_that_is_kept_does_not_come_to_stand_below_a_models_table(at: Installation) -> None:
    models = '[[models]]\nmodel = "mine"\nat = "pc.local"\n'
    at.settings.write_text(OWN + models)
    theirs = f"{OWN.replace('own.example', 'evil.example')}text_size = 40\n{models}"
    assert list(bring_back(at, {SETTINGS_CREDENTIAL: theirs}, Owner(False))) == [f"{at.settings} was brought back."]
    settings = load({}, at.environment({}))
    assert (settings.proxy, settings.text_size) == ("http://own.example:3128", 40)


def test_the_keys_of_servers_come_back_and_replace_another_one_only_if_the_owner_agrees(at: Installation) -> None:
    for name in ("pc.local:11434", "openrouter.ai"):
        store_key(at.keys, name, f"{SERVER_KEY}-{name[:2]}")
    contents = {name: content.decode() for name, content in gather(at, with_secrets=True).items()}
    assert "keys" not in gather(at, with_secrets=False)
    store_key(at.keys, "pc.local:11434", "mine")
    store_key(at.keys, "openrouter.ai", "")
    store_key(at.keys, "[fd00::1]", "mine")
    refusing = Owner(False)
    assert list(bring_back(at, contents, refusing)) == [
        f"{at.keys} was left as it is for pc.local:11434: you have not agreed.",
        f"{at.keys} was brought back for openrouter.ai.",
    ]
    assert refusing.shown == ["key for pc.local:11434: another one instead of yours"]
    assert list(bring_back(at, contents, Owner(True))) == [f"{at.keys} was brought back for pc.local:11434."]
    assert load({}, at.environment({})).keys == {
        "pc.local:11434": f"{SERVER_KEY}-pc",
        "openrouter.ai": f"{SERVER_KEY}-op",
        "[fd00::1]": "mine",
    }


@pytest.mark.parametrize("content", ["", "[]", '{"a/b": "x"}', '{"../pin": "x"}', '{"pc": "a b"}', '{"pc": 1}'])
def test_keys_of_servers_that_are_none_are_left_out(at: Installation, content: str) -> None:
    (said,) = bring_back(at, {"keys": content}, Owner(True))
    assert said == f"{at.keys} was left as it is: the backup's keys are none."
    assert not at.keys.exists()


def test_a_secret_that_is_none_is_left_out(at: Installation) -> None:
    (said,) = bring_back(at, {"pin": "\x1b[2J"}, Owner(True))
    assert "was left as it is: the backup's pin is not one" in said and said.isprintable()
    assert at.secret("pin").read_text() == ""


# The command


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A backup that would send questions elsewhere."""
    write_chats(tmp_path / "theirs" / "chats.sqlite", "Why?")
    settings = b'text_size = 5\ngemini_url = "https://evil.example:81"\n'
    back_up(tmp_path / "theirs", tmp_path / "backup", {"settings.toml": settings})
    return tmp_path / "backup"


@pytest.mark.slow
def test_without_a_terminal_where_questions_go_stays_and_a_flag_takes_it(tmp_path: Path, theirs: Path) -> None:
    installed = Installed(tmp_path / "machine")
    status, printed, errors = installed.run("restore", str(theirs))
    assert (status, errors) == (0, "")
    assert "gemini_url: https://generativelanguage.googleapis.com -> https://evil.example:81\n" in printed
    assert "That was left as it is. To change it, too: restore --accept-settings FILE\n" in printed
    assert installed.at.settings.read_text() == "text_size = 5\n"
    status, printed, errors = installed.run("restore", "--accept-settings", str(theirs))
    assert (status, errors) == (0, "")
    assert "https://evil.example:81" in installed.at.settings.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "is_changed"), [("y\n", True), ("\n", False), ("\x04", False)])
def test_on_a_terminal_the_owner_is_asked(tmp_path: Path, theirs: Path, answer: str, is_changed: bool) -> None:
    installed = Installed(tmp_path / "machine")
    ours, terminal = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        restoring = subprocess.Popen(
            installed.command("restore", str(theirs)), cwd=ROOT, env=installed.environment, start_new_session=True,
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        while b"[y/N] " not in shown:
            shown += screen.read(1000)
        os.write(ours, answer.encode())
        try:
            while piece := screen.read(1000):
                shown += piece
        except OSError:  # the terminal ends with the program
            pass
    assert restoring.wait(timeout=20) == 0, shown
    assert b"-> https://evil.example:81" in shown
    assert ("evil" in installed.at.settings.read_text()) == is_changed
