"""`GET /healthz`: its status is for watchdogs, its JSON for people and programs."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.filesystem import mounted, remount
from fakes.gemini import FakeGemini
from fakes.house import House, begin

from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.web.health import Health


def test_a_healthy_appliance_reports_its_version_and_state(house: House, gemini: FakeGemini) -> None:
    response = house.get("/healthz")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Cache-Control"] == "no-store"
    facts = response.json()
    assert 1_000_000 < facts.pop("memory_bytes") < 2_000_000_000
    assert 0 <= facts.pop("uptime_seconds") < 60
    assert facts == {
        "status": "ok",
        "version": "0.0.0",
        "build": "",
        "database": "ok",
        "storage": "ok",
        "mdns": {"state": "off"},
        "books": "ok",
        "answers_being_written": 0,
        "demo": False,
    }
    assert not gemini.calls


def test_it_counts_the_answers_that_are_being_written(house: House, gemini: FakeGemini) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    assert house.get("/healthz").json()["answers_being_written"] == 1
    call.start()
    call.finish("Because.")
    with house.follow("/answers/1") as follow:
        follow.read_to_end()
    assert house.get("/healthz").json()["answers_being_written"] == 0


def test_its_uptime_is_that_of_the_appliance(house: House) -> None:
    earlier = Health("1", house.database, house.desk, since=house.health.since - 3600)
    assert 3600 <= earlier.check().facts["uptime_seconds"] < 3660


def test_it_reports_the_state_of_the_mdns_advertiser(house: House) -> None:
    state: dict[str, Any] = {"state": "up", "name": "kindle-2.local"}
    health = Health("1", house.database, house.desk, mdns=lambda: state)
    assert json.loads(json.dumps(health.check().facts))["mdns"] == state


def test_chats_that_cannot_be_read_are_a_503_that_names_them(
    gemini: FakeGemini, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with House(gemini.url, tmp_path) as house:
        house.database.close()  # as when a card is gone, and with it all that was open on it
        with closing(Database(tmp_path / "chats.sqlite", CHATS)) as unmended:
            object.__setattr__(house.health, "database", unmended)
            destroy_all_but_the_header(tmp_path / "chats.sqlite")
            unmended.read("PRAGMA shrink_memory")
            response = house.get("/healthz")
    assert response.status == 503
    assert response.json()["status"] == "failing"
    assert response.json()["database"] == "cannot be read"
    assert "health: " in caplog.text


def test_a_full_or_read_only_card_is_a_503_that_names_it_while_pages_are_served(
    house: House, tmp_path: Path
) -> None:
    object.__setattr__(house.health, "folder", tmp_path / "card")
    with mounted(tmp_path / "card", "size=2M") as card:
        assert house.get("/healthz").json()["storage"] == "ok"
        (card / "large").write_bytes(bytes(1536 * 1024))
        response = house.get("/healthz")
        assert (response.status, response.json()["storage"]) == (503, "full")
        assert response.json()["status"] == "failing"
        (card / "large").unlink()
        assert house.get("/healthz").status == 200
        remount(card, "ro")
        response = house.get("/healthz")
        assert (response.status, response.json()["storage"]) == (503, "cannot be written to")
        assert house.get("/").status == 200


def test_chats_that_are_destroyed_while_it_runs_are_set_aside_and_told(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path):
        pass  # stopping moves its writes from the write-ahead log into the file
    with House(gemini.url, tmp_path) as house:
        destroy_all_but_the_header(tmp_path / "chats.sqlite")
        house.database.read("PRAGMA shrink_memory")
        response = house.get("/healthz")
    assert response.status == 200
    facts = response.json()
    assert (facts["status"], facts["salvaged"]["saved"]) == ("ok", 0)
    assert (tmp_path / facts["salvaged"]["file"]).is_file()


def destroy_all_but_the_header(file: Path) -> None:
    with file.open("r+b") as damaged:  # the first page has the header of the file
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.stat().st_size - 4096))


def test_it_answers_while_every_seat_is_taken(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=2) as house:
        call = begin(house, gemini, "Because ")
        with house.follow("/answers/1") as first, house.at("127.0.0.2").follow("/answers/1") as second:
            first.read_until("Because")
            second.read_until("Because")
            assert house.get("/healthz").status == 200
        call.finish(".")


def test_it_answers_many_requests_at_once(house: House) -> None:
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(house.get("/healthz").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20
