"""The health of the running appliance, as commands and the installer beside it ask for it."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini, refusing_url
from fakes.house import House
from fakes.secrets import PIN

from kindle_appliance.errors import StorageError
from kindle_appliance.owner.service import Service
from kindle_appliance.sentences import Sentence
from kindle_appliance.web.guard import Guard
from kindle_appliance.web.pin import OWN_TRIES, Gate


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


def test_fetching_the_first_page_leaves_no_trace(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stored = [tmp_path / "chats.sqlite", tmp_path / "chats.sqlite-wal"]
    before = [file.read_bytes() for file in stored]
    assert Service(house.url).find_page_fault() is None
    assert [file.read_bytes() for file in stored] == before
    assert not caplog.records


def test_the_first_page_is_fetched_through_the_page_of_the_pin(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"secret")) as house:
        assert Service(house.url, PIN).find_page_fault() is None
        assert Service(house.url).find_page_fault() == "the first page has status 403"
        wrong = Service(house.url, PIN[::-1])
        assert wrong.find_page_fault() == "the PIN is not taken (status 403)"
        for _ in range(OWN_TRIES):
            wrong.find_page_fault()
        assert Service(house.url, PIN).find_page_fault() == "the first page has status 429"


def test_the_first_page_is_fetched_under_another_name(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, guard=Guard(lambda: {"pi.home.arpa"}), gate=Gate(PIN, b"secret")) as house:
        assert Service(house.url, PIN).find_page_fault("pi.home.arpa") is None
        assert Service(house.url, PIN).find_page_fault("pi.example.org") == "the first page has status 421"


def test_a_version_that_answers_pages_with_500_has_a_fault_though_its_health_is_ok(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.web.pages.Pages.asking", None)
    facts = Service(house.url).health()
    assert facts and facts["status"] == "ok"
    assert Service(house.url).find_page_fault() == "the first page has status 500"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "RemoteDisconnected"),
        (b"Hello\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + bytes(9_999_999), "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "HTTPException"),
    ],
    ids=["nothing", "no HTTP", "half a page", "far too much", "too many headers"],
)
def test_what_is_not_a_whole_page_is_a_fault(answer: bytes, fault: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with closing(door.accept()[0]) as client:
                client.recv(65536)
                with suppress(OSError):  # the client leaves a page that is too long
                    client.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        found = Service(f"http://127.0.0.1:{door.getsockname()[1]}/").find_page_fault()
        server.join()
    assert found == f"no page comes ({fault})"


def test_nobody_there_is_a_fault() -> None:
    with refusing_url() as url:
        assert Service(url).find_page_fault() == "no page comes (ConnectionRefusedError)"
