"""The health of the running appliance, as commands and the installer beside it ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.secrets import PIN

from kindle_appliance.errors import StorageError
from kindle_appliance.owner.service import Service
from kindle_appliance.sentences import Sentence
from kindle_appliance.web.guard import Gate, Guard


def test_health_is_told_under_the_names_of_the_appliance_only(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, guard=Guard(lambda: {"pi.home.arpa"})) as house:
        service = Service(house.url)
        for host in (None, "localhost", "pi.home.arpa"):
            facts = service.health(host)
            assert facts and facts["status"] == "ok" and facts["mdns"] == {"state": "off"}, host
        assert service.health("pi.example.org") is None


def test_without_the_pin_only_the_status_is_told(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"secret")) as house:
        assert Service(house.url).health() == {"status": "ok"}
        facts = Service(house.url, PIN).health()
        assert facts and "mdns" in facts


def test_an_appliance_that_cannot_read_its_chats_says_that_it_is_failing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError(Sentence("The chats cannot be read."))

    monkeypatch.setattr(house.database, "read", fail)
    facts = Service(house.url).health()
    assert facts and facts["status"] == "failing"
