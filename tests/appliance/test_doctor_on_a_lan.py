"""The doctor on a network of its own: it looks up the name as any machine of the house would."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .lan import Host, Lan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PI, DESK = "10.84.0.20", "10.84.0.30"


def examine(host: Host, data: Path, *options: str) -> dict[str, str]:
    """The doctor's lines on this host, by subject."""
    doctor = host.start(sys.executable, "-B", "-m", "kindle_appliance", "doctor", "--data", str(data), *options)
    doctor.wait_for("^[a-z]+ +key ", 60)
    lines = (re.fullmatch(r"(\w+ +(\w+) +.*)", line) for line in doctor.said)
    return {line[2]: line[1] for line in lines if line}


def test_the_name_leads_here_and_pages_are_served_at_the_address_for_kindles(lan: Lan, tmp_path: Path) -> None:
    pi = lan.host(PI)
    serving = pi.serve("--data", str(tmp_path / "chats"))
    serving.wait_for("mdns: kindle.local is announced", 15)
    said = examine(pi, tmp_path / "chats")
    assert said["name"].startswith("ok") and f"kindle.local leads here, to {PI}." in said["name"]
    assert said["port"].startswith("ok") and f"http://{PI}:8080/" in said["port"]
    assert said["network"].startswith("ok") and PI in said["network"]


def test_when_another_machine_has_the_name_the_doctor_gives_the_second_name(lan: Lan, tmp_path: Path) -> None:
    lan.host(DESK).start_avahi("kindle")
    pi = lan.host(PI)
    pi.serve("--data", str(tmp_path / "chats")).wait_for("mdns: kindle-2.local is announced", 15)
    assert f"kindle-2.local leads here, to {PI}." in examine(pi, tmp_path / "chats")["name"]


def test_a_missing_network_is_a_failure_with_a_remedy(lan: Lan, tmp_path: Path) -> None:
    pi = lan.host()
    pi.serve("--data", str(tmp_path / "chats"))
    said = examine(pi, tmp_path / "chats")
    assert said["network"].startswith("failure") and "Wi-Fi" in said["network"]
    assert said["name"].startswith("warning") and "no network" in said["name"]
    assert said["port"].startswith("ok")


def test_with_one_allowed_kindle_it_connects_and_the_doctor_warns_about_the_others(
    lan: Lan, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'networks = ["{DESK}"]\n')
    pi = lan.host(PI)
    pi.serve("--data", str(tmp_path / "chats"), "--config", str(settings)).wait_for("is announced", 15)
    assert "Your question" in lan.host(DESK).get(f"http://{PI}:8080/")
    said = examine(pi, tmp_path / "chats", "--config", str(settings))
    assert said["port"].startswith("ok") and f"http://{PI}:8080/" in said["port"]
    assert said["network"].startswith("warning") and "`networks`" in said["network"]
