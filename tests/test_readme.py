"""The README is true: its commands exist, and its table is the option table."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import ROOT

from kindle_appliance.__main__ import COMMANDS
from kindle_appliance.settings import OPTIONS, Option

PROGRAM = [sys.executable, "-m", "kindle_appliance"]
FLAG = r"(?<![\w-])--[a-z][a-z-]+"
APART = ("browsers", "appliance", "home")
"""The folders of tests that `make quick` leaves out."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def row(option: Option) -> str:
    """The row of an option in the README's table. The test below prints missing rows."""
    flag = f"`{option.flag}`" if option.flag else ""
    default = "see settings.py" if option.name == "system_instruction" else option.describe(option.default)
    name = "" if option.secret else f"`{option.name}`"
    return f"| {name} | {flag} | `{option.env}` | {default} | {option.help}; {option.kind.allowed} |"


def test_the_table_of_settings_is_the_option_table() -> None:
    table = [line for line in README.splitlines() if re.search(r"\| `[A-Z_]+` \|", line)]
    expected = [row(option) for option in OPTIONS]
    assert table == expected, "the table should read:\n" + "\n".join(expected)


@pytest.mark.slow
def test_every_option_that_the_readme_uses_exists() -> None:
    commands = [[each] for each in COMMANDS] + [["models", "add"], ["books", "add"], ["books", "remove"]]
    done = [
        subprocess.run([*PROGRAM, *each, "--help"], capture_output=True, text=True, check=True) for each in commands
    ]
    flags = set(re.findall(FLAG, "".join(each.stdout for each in done)))
    assert {"--port", "--with-secrets", "--help"} <= flags
    installer = (ROOT / "install.sh").read_text(encoding="utf-8")
    # of sudo, pip, llama-server, vLLM
    of_other_programs = {"--preserve-env", "--dest", "--requirement", "--api-key", "--reasoning-parser"}
    assert set(re.findall(FLAG, README)) <= flags | set(re.findall(FLAG, installer)) | of_other_programs


def test_every_command_is_in_the_readme() -> None:
    told = set(re.findall(r"^ +(?:sudo )?kindle-appliance (\w+)", README, re.MULTILINE))
    assert set(COMMANDS) - {"serve"} <= told


def test_the_readme_explains_who_can_answer_before_it_asks_for_a_key() -> None:
    told = README.partition("## Who answers\n")[2].partition("\n## ")[0]
    for words in (
        "sees every chat",
        "can delete",
        "free key",
        "18 or older",
        "regions",
        "/gemini-api/terms)",
    ):
        assert words in told
    assert README.index("(#who-answers)") < README.index("GEMINI_API_KEY=... make run")


def test_the_readme_and_the_test_command_agree() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in ci and "make check" in ci and "CI=true" in ci
    assert "Every change must pass `.ci/run`" in README
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tests = makefile.partition("\ntest:")[2].partition("\n\n")[0]
    for part in ("$(MAKE) --no-print-directory coverage", *(f"tests/{each}" for each in APART)):
        assert part in tests
    left_out = re.findall(r"--ignore=tests/(\w+)", makefile.partition("ELSEWHERE")[2].partition("\n")[0])
    assert left_out == list(APART)
