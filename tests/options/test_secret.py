"""A key or PIN as its owner gives it: pasted in any usual form, in a plain file of a bounded size."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import SettingsError
from kindle_appliance.options import secret
from kindle_appliance.settings import load

FORMS = [
    "{}",
    "  {}\r\n",
    '"{}"',
    "'{}'",
    "`{}`",
    "“{}”",
    "‘ {} ’",
    "GEMINI_API_KEY={}",
    'GEMINI_API_KEY="{}"',
    "export GEMINI_API_KEY={}",
    "export GEMINI_API_KEY='{}';",
    "set GEMINI_API_KEY={}",
    "key = '{}'",
    "KEY: {}",
    'api-key : "{}"',
    '"GEMINI_API_KEY={}"',
    "# from https://aistudio.google.com/apikey\n\nGEMINI_API_KEY={}\n",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_in_quotes_or_behind_its_name_is_understood_from_a_file_and_from_the_environment(
    form: str, tmp_path: Path
) -> None:
    given = form.format(KEY)
    assert secret.parse(given) == KEY
    assert load({}, {"GEMINI_API_KEY": given}).key == KEY
    file = tmp_path / "key"
    file.write_text(given, encoding="utf-8")
    assert load({}, {"KINDLE_APPLIANCE_KEY_FILE": str(file)}).key == KEY
    SCANNER.exempt(file)


def test_a_pin_is_understood_in_the_same_forms() -> None:
    for form in (PIN, f'"{PIN}"', f"KINDLE_APPLIANCE_PIN={PIN}", f"pin: '{PIN}'"):
        assert load({}, {"KINDLE_APPLIANCE_PIN": form}).pin == PIN


@pytest.mark.parametrize(
    "given",
    [
        f"{KEY} {KEY}",
        f"{KEY}\n{KEY}",
        f"a={KEY}\nb={KEY}",
        f'"{KEY}',
        f"my key {KEY}",
        "key =",
        "''",
        f"{{'key': '{KEY}'}}",
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(given: str) -> None:
    with pytest.raises(SettingsError, match="Allowed is the key on one line") as error:
        load({}, {"GEMINI_API_KEY": given})
    assert KEY not in str(error.value)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80))
def test_a_key_without_quotes_and_name_is_taken_as_it_is(key: str) -> None:
    if key[0] not in "\"'`#" and not set(key) & set("=:"):
        assert secret.parse(f" {key}\n") == key
    assert secret.parse(secret.parse(key)) == secret.parse(key)


# The file


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(path))


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def slightly_too_large(path: Path) -> None:
    path.write_text("k" * (secret.MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (fifo, "not a plain file"),
        (device, "not a plain file"),
        (Path.mkdir, "Is a directory"),
        (listening, "No such device or address"),
        (huge, "more than 4096 bytes"),
        (slightly_too_large, "more than 4096 bytes"),
    ],
    ids=["a pipe", "a device", "a folder", "a socket", "1 GB", "4097 bytes"],
)
def test_anything_but_a_small_plain_file_is_refused_at_once(make: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    make(path)  # type: ignore[operator]
    with pytest.raises(OSError, match=why):
        secret.read(path)
    with pytest.raises(SettingsError, match=f"The key file {path} cannot be read: .*{why}"):
        load({}, {"KINDLE_APPLIANCE_KEY_FILE": str(path)})
    if path.is_file():
        path.unlink()  # the search for secrets would read all of it


def test_a_link_to_a_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("\ufeffk\n")
    (tmp_path / "key").symlink_to("real")
    assert secret.read(tmp_path / "key") == "k\n"
