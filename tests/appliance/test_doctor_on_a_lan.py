"""The doctor on a network of its own: it asks for the name as any machine of the house would."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .lan import Host, Lan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PI, DESK = "10.84.0.20", "10.84.0.30"


def examine(host: Host, data: Path, *options: str) -> dict[str, str]:
    """What the doctor says there, by subject."""
    doctor = host.start(sys.executable, "-B", "-m", "kindle_appliance", "doctor", "--data", str(data), *options)
    doctor.wait_for("^[a-z]+ +key ", 60)
    lines = (re.fullmatch(r"(\w+ +(\w+) +.*)", line) for line in doctor.said)
    return {line[2]: line[1] for line in lines if line}


def test_the_name_leads_here_and_pages_are_served_where_kindles_come_to(lan: Lan, tmp_path: Path) -> None:
    pi = lan.host(PI)
    serving = pi.serve("--data", str(tmp_path / "chats"))
    serving.wait_for("mdns: kindle.local is announced", 15)
    said = examine(pi, tmp_path / "chats")
    assert said["name"].startswith("ok") and f"kindle.local leads here, to {PI}." in said["name"]
    assert said["port"].startswith("ok") and f"http://{PI}:8080/" in said["port"]
    assert said["network"].startswith("ok") and PI in said["network"]


def test_a_name_that_another_machine_had_first_is_told_with_the_one_that_is_held(lan: Lan, tmp_path: Path) -> None:
    lan.host(DESK).start_avahi("kindle")
    pi = lan.host(PI)
    pi.serve("--data", str(tmp_path / "chats")).wait_for("mdns: kindle-2.local is announced", 15)
    assert f"kindle-2.local leads here, to {PI}." in examine(pi, tmp_path / "chats")["name"]


def test_without_a_network_it_says_so_and_how_to_get_one(lan: Lan, tmp_path: Path) -> None:
    pi = lan.host()
    pi.serve("--data", str(tmp_path / "chats"))
    said = examine(pi, tmp_path / "chats")
    assert said["network"].startswith("failure") and "Wi-Fi" in said["network"]
    assert said["name"].startswith("warning") and "no network" in said["name"]
    assert said["port"].startswith("ok")


def test_where_one_kindle_alone_may_connect_it_can_and_the_doctor_says_who_cannot(lan: Lan, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'networks = ["{DESK}"]\n')
    pi = lan.host(PI)
    pi.serve("--data", str(tmp_path / "chats"), "--config", str(settings)).wait_for("is announced", 15)
    assert "Your question" in lan.host(DESK).get(f"http://{PI}:8080/")
    said = examine(pi, tmp_path / "chats", "--config", str(settings))
    assert said["port"].startswith("ok") and f"http://{PI}:8080/" in said["port"]
    assert said["network"].startswith("warning") and "`networks`" in said["network"]
