"""What the README's "Who answers" says of llama.cpp, done to the letter with its real server: `models add` finds it
and stores it, and the appliance that starts with these settings answers from it and says so.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from fakes.installed import Installed
from fakes.llama import LlamaServer
from fakes.program import Appliance

from kindle_appliance.owner.settings_template import template

pytestmark = pytest.mark.timeout(120)


def test_a_server_at_home_is_added_and_answers_and_the_page_says_that_nothing_leaves_the_house(
    llama: LlamaServer, tmp_path: Path
) -> None:
    installed = Installed(tmp_path)
    installed.at.settings.write_text(template({"name": "books"}))
    status, printed, errors = installed.run("models", "add", llama.address, "--no-restart")
    assert (status, errors) == (0, "")
    assert re.search(r"The first word came after \d+\.\d s, .* words a minute", printed), printed
    (entry,) = tomllib.loads(installed.at.settings.read_text())["models"]
    assert llama.address in entry and "context=2048" in entry, "the server has told how much it takes"
    assert installed.run("models")[0] == 0

    name = entry.partition(" at ")[0]
    with closing(Appliance(tmp_path, "--config", str(installed.at.settings), "--no-mdns")) as appliance:
        appliance.ask("Say hi.")
        answer = appliance.get("/answers/1?as=text").read().decode()
        assert len(answer.split()) > 3
        page = appliance.get("/chats/1/1").read().decode()
        assert f"Answered by {name}." in page
        told = f"Answers come from {name} on this appliance. Nothing leaves your house."
        assert told in appliance.get("/about").read().decode()
        assert "DEMO" not in appliance.rest()
