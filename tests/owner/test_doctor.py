"""The doctor names each fault and its remedy, and never shows a secret."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes import openai
from fakes.certificates import certificate_of_the_future
from fakes.chats import write_chats
from fakes.damage import CHATS_KEPT, change, destroyed, write_weeks
from fakes.filesystem import mounted
from fakes.gemini import FakeGemini, Reply, chunk, error_body, error_info, refusing_url
from fakes.house import House
from fakes.installed import Installed
from fakes.openai import OpenAIServer
from fakes.ports import free_port
from fakes.program import Appliance, run
from fakes.rungs import gemini_rungs
from fakes.secret_scanner import SCANNER
from fakes.secrets import KEY, PIN, SERVER_KEY

from kindle_appliance.errors import StartError
from kindle_appliance.options.credentials import Keys
from kindle_appliance.options.entries import Entry
from kindle_appliance.owner import doctor
from kindle_appliance.owner.doctor import Finding, Patient, Verdict, examine
from kindle_appliance.owner.models import open_rungs
from kindle_appliance.owner.service import Service
from kindle_appliance.settings import Settings
from kindle_appliance.storage.backup import back_up
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.web.pin import Gate

SUBJECTS = [
    *("versions", "settings", "memory", "disk", "database", "books"),
    *("network", "port", "name", "clock", "key"),
]
QUICK = Clocks(connect=5, first_byte=5, progress=5)


@pytest.fixture
def healthy(house: House, gemini: FakeGemini, tmp_path: Path) -> Patient:
    """A running appliance with a key that Google accepts."""
    gemini.default = Reply.models("gemini-a", date=datetime.now(UTC))
    house_of_one = ("127.0.0.0/8",)
    settings = Settings(
        "127.0.0.1", key=KEY, models=(Entry("gemini-a"),), gemini_url=gemini.url, networks=house_of_one
    )
    return patient(settings, tmp_path, Service(f"{house.url}/"))


def patient(settings: Settings, folder: Path, service: Service | None, **more: object) -> Patient:
    rungs = open_rungs(settings, QUICK) if settings.key and not settings.demo else []
    facts = {"version": "0.0.0", "is_installed": True, "lan_address": "127.0.0.2", "resolve": nobody, **more}
    return Patient(settings=settings, folder=folder, rungs=rungs, service=service, **facts)  # type: ignore[arg-type]


def nobody(name: str) -> set[str]:
    """Finds no address for any name: these tests send no mDNS query."""
    return set()


def found(whose: Patient) -> dict[str, Finding]:
    """The doctor's findings by subject; asserts that each is one line without a secret."""
    findings = list(examine(whose))
    subjects = [finding.subject for finding in findings]
    assert subjects == SUBJECTS or (whose.asks and subjects == [*SUBJECTS, "answer"])
    for finding in findings:
        assert re.fullmatch(r"(ok|warning|failure) +\w+ +.*[.)/]", str(finding))
        assert KEY not in str(finding) and PIN not in str(finding)
        SCANNER.scan("output", str(finding))
        if finding.verdict is Verdict.FAILURE:
            assert finding.remedy or finding.subject in ("key", "answer")
    return {finding.subject: finding for finding in findings}


def verdicts(findings: dict[str, Finding]) -> dict[str, str]:
    return {subject: str(each.verdict) for subject, each in findings.items() if each.verdict is not Verdict.OK}


# Each subject


def test_a_healthy_appliance_is_ok_in_everything_but_its_unannounced_name(healthy: Patient) -> None:
    findings = found(healthy)
    assert verdicts(findings) == {"name": "warning"}
    assert "offers 1 model, all of the settings among them" in findings["key"].text
    assert healthy.service is not None
    assert healthy.service.url in findings["port"].text
    assert "0 chats, intact" in findings["database"].text
    assert re.search(r"time zone \S+ \(UTC[+-]\d{4}\)", findings["clock"].text)
    assert re.search(r"the appliance uses \d+", findings["memory"].text)


@pytest.mark.parametrize(
    ("answers", "verdict", "said"),
    [
        ({"192.168.1.23"}, "ok", "leads here, to 192.168.1.23"),
        ({"192.168.1.23", "192.168.1.99"}, "warning", "leads to 192.168.1.99, which is another machine"),
        (set(), "warning", "nobody answers"),
    ],
    ids=["us", "another too", "nobody"],
)
def test_an_announced_name_is_looked_up_on_the_network(
    healthy: Patient, house: House, answers: set[str], verdict: str, said: str
) -> None:
    up = {"state": "up", "name": "kindle-2.local", "addresses": ["192.168.1.23"], "reason": ""}
    object.__setattr__(house.health, "mdns", lambda: up)
    finding = found(replace(healthy, resolve=lambda name: answers if name == "kindle-2.local" else set()))["name"]
    assert finding.verdict == verdict
    assert said in finding.text


def test_the_reason_for_an_unannounced_name_is_given(healthy: Patient, house: House) -> None:
    object.__setattr__(
        house.health, "mdns", lambda: {"state": "failed", "name": "", "reason": "UDP port 5353 is taken"}
    )
    finding = found(healthy)["name"]
    assert (finding.verdict, finding.text) == ("warning", "no name is announced (UDP port 5353 is taken).")
    unwanted = replace(healthy, settings=replace(healthy.settings, mdns=False))
    assert found(unwanted)["name"].verdict == "ok"


def test_a_name_that_is_just_being_announced_is_waited_for(healthy: Patient, house: House) -> None:
    probing = {"state": "probing", "name": "kindle.local", "addresses": [], "reason": ""}
    up = {"state": "up", "name": "kindle.local", "addresses": ["192.168.1.23"], "reason": ""}
    later = iter([probing] * 3)
    object.__setattr__(house.health, "mdns", lambda: next(later, up))
    finding = found(replace(healthy, resolve=lambda name: {"192.168.1.23"}))["name"]
    assert (finding.verdict, finding.text) == ("ok", "kindle.local leads here, to 192.168.1.23.")


def test_a_name_is_not_waited_for_without_end(
    healthy: Patient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_ANNOUNCEMENT_SECONDS", 0.6)
    object.__setattr__(house.health, "mdns", lambda: {"state": "probing", "name": "", "reason": ""})
    finding = found(healthy)["name"]
    assert (finding.verdict, finding.text) == ("warning", "no name is announced (probing).")


def test_a_pin_changed_since_the_start_is_a_warning_to_restart(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, gate=Gate("0042", b"secret")) as house:
        finding = found(patient(Settings(demo=True), tmp_path, Service(f"{house.url}/", "1234")))["name"]
    assert finding.verdict == "warning" and "another PIN: restart" in finding.text


@pytest.mark.parametrize(
    ("reply", "verdict", "said", "remedy"),
    [
        (
            Reply.error(400, "INVALID_ARGUMENT", "Bad.", [error_info("API_KEY_INVALID")]),
            "failure",
            "Google does not know this key. Please copy it again.",
            "key",
        ),
        (Reply.error(403, "PERMISSION_DENIED", f"'api_key:{KEY}' is suspended."), "failure", "suspended", "key"),
        (Reply.error(503, "UNAVAILABLE", "Overloaded."), "warning", "Overloaded", ""),
        (Reply.html(200), "failure", "sign-in page", ""),
        (Reply.models("gemini-b"), "failure", "but not gemini-a", "models"),
    ],
    ids=["refused", "suspended", "busy", "a hotel", "unknown models"],
)
def test_googles_reply_to_the_key_is_reported(
    healthy: Patient, gemini: FakeGemini, reply: Reply, verdict: str, said: str, remedy: str
) -> None:
    gemini.default = reply
    finding = found(healthy)["key"]
    assert finding.verdict == verdict
    assert said in finding.text
    assert remedy in finding.remedy


def test_a_network_without_google_is_a_failure(healthy: Patient) -> None:
    with refusing_url() as url:
        settings = Settings(host="127.0.0.1", key=KEY, gemini_url=url)
        assert found(patient(settings, healthy.folder, healthy.service))["key"].verdict == "failure"


def test_a_missing_key_is_a_warning_and_google_is_not_asked(healthy: Patient, gemini: FakeGemini) -> None:
    for settings in (Settings(gemini_url=gemini.url), Settings(key=KEY, demo=True, gemini_url=gemini.url)):
        finding = found(patient(settings, healthy.folder, None))["key"]
        assert (finding.verdict, finding.text) == ("warning", "demo: answers are built-in examples.")
        assert "aistudio.google.com" in finding.remedy
    assert not gemini.calls


# Model servers of the house, and several places


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.default = openai.models("qwen3:8b")
        yield server


def of_places(healthy: Patient, *models: Entry, **more: object) -> list[Finding]:
    """What is said of the places of these models."""
    settings = replace(healthy.settings, models=models, **more)  # type: ignore[arg-type]
    findings = list(examine(replace(healthy, settings=settings, rungs=open_rungs(settings, QUICK))))
    for finding in findings:
        SCANNER.scan("output", str(finding))
    return [finding for finding in findings if finding.subject in ("key", "server")]


def test_a_server_without_a_key_says_what_it_offers(healthy: Patient, server: OpenAIServer) -> None:
    (finding,) = of_places(healthy, Entry("qwen3:8b", server.url), key=None)
    name = server.root.removeprefix("http://")
    text = f"{name} offers 1 model, all of the settings among them."
    assert (finding.verdict, finding.subject, finding.text) == ("ok", "server", text)
    (finding,) = of_places(healthy, Entry("llama3", server.url), key=None)
    assert (finding.verdict, finding.text) == ("failure", f"{name} offers 1 model, but not llama3.")
    assert finding.remedy.endswith("With Ollama, there: ollama pull llama3")
    (finding,) = of_places(healthy, Entry("llama3", server.url), Entry("qwen3:8b", server.url), key=None)
    assert finding.verdict == "warning"


def test_a_server_that_wants_another_key_is_a_failure_with_the_command_for_it(
    healthy: Patient, server: OpenAIServer
) -> None:
    server.default = openai.WRONG_KEY
    name = server.root.removeprefix("http://")
    for keys in (Keys(), Keys({name: "sk-wrong-0123456789"})):
        (finding,) = of_places(healthy, Entry("qwen3:8b", server.url), key=None, keys=keys)
        assert (finding.verdict, finding.subject) == ("failure", "key" if keys else "server")
        said = f"{name} does not accept this key. Please copy it again." if keys else f"{name} wants a key."
        assert finding.text.startswith(said) and "sk-wrong" not in str(finding)
        assert finding.remedy == f"For {'another' if keys else 'a'} key: sudo kindle-appliance key --for {name}."


def test_a_server_of_the_list_is_not_said_to_accept_its_key(healthy: Patient, server: OpenAIServer) -> None:
    """It may list its models for everybody."""
    name = server.root.removeprefix("http://")
    (finding,) = of_places(healthy, Entry("qwen3:8b", server.url), key=None, keys=Keys({name: SERVER_KEY}))
    text = f"{name} offers 1 model, all of the settings among them."
    assert (finding.verdict, finding.subject, finding.text) == ("ok", "server", text)


def test_a_computer_that_is_off_is_a_failure_only_where_nobody_else_answers(
    healthy: Patient, gemini: FakeGemini
) -> None:
    gemini.default = Reply.models("gemini-a", date=datetime.now(UTC))
    with refusing_url() as off:
        away = Entry("qwen3:8b", f"{off}/v1")
        (alone,) = of_places(healthy, away, key=None)
        gone, there = of_places(healthy, away, Entry("gemini-a"))
        gemini.default = Reply.error(400, "INVALID_ARGUMENT", "Bad.", [error_info("API_KEY_INVALID")])
        both = of_places(healthy, away, Entry("gemini-a"))
    assert (alone.verdict, gone.verdict, there.verdict) == ("failure", "warning", "ok")
    assert "Is that computer on" in alone.text and "listen on the network" in gone.remedy
    assert [each.verdict for each in both] == ["failure", "failure"]


def test_models_that_nobody_asks_for_want_of_a_key_are_named(healthy: Patient, server: OpenAIServer) -> None:
    gemini, own = of_places(healthy, Entry("gemini-a"), Entry("qwen3:8b", server.url), key=None)
    assert (gemini.verdict, own.verdict) == ("warning", "ok")
    assert gemini.text == "there is no key for Gemini, so nobody asks gemini-a."
    assert "sudo kindle-appliance key" in gemini.remedy


def test_a_key_for_gemini_without_a_model_of_geminis_is_named(healthy: Patient, server: OpenAIServer) -> None:
    unused, own = of_places(healthy, Entry("qwen3:8b", server.url))
    assert (unused.verdict, unused.subject, own.verdict) == ("warning", "key", "ok")
    assert unused.text == "there is a key for Gemini, but no model of Gemini's is in the list, so it is not used."
    assert unused.remedy == 'Add one to `models` in the settings, such as "gemini-3.8-flash".'


EMPTY = Reply([chunk(None, "MAX_TOKENS")])
CREDIT = Reply.error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")


@pytest.mark.parametrize(
    ("replies", "verdict", "said", "count"),
    [
        ([EMPTY], "ok", r"gemini-a answers, after 0\.\d s\.", 1),
        ([Reply.answer("Hello")], "ok", r"gemini-a answers, after 0\.\d s\.", 1),
        ([CREDIT], "failure", "The prepaid credit for Gemini is used up.", 1),
        ([Reply([error_body(429, "RESOURCE_EXHAUSTED", "monthly spending cap")])], "failure", "used up", 1),
        (
            [Reply.error(503, "UNAVAILABLE", "Overloaded."), EMPTY],
            "warning",
            r"gemini-b answers, after 0\.\d s\. gemini-a:",
            2,
        ),
        (
            [Reply.error(400, "INVALID_ARGUMENT", "no"), Reply.error(404, "", "no")],
            "failure",
            "gemini-b: Gemini",
            2,
        ),
        ([Reply.html(200)], "failure", "sign-in page", 1),
        ([Reply([]), Reply([])], "failure", "neither text nor an ending", 2),
    ],
    ids=["one token", "an answer", "credit", "a cap in the stream", "busy", "refused", "a hotel", "nothing"],
)
def test_a_question_on_request_finds_what_the_list_of_models_does_not_show(
    healthy: Patient, gemini: FakeGemini, replies: list[Reply], verdict: str, said: str, count: int
) -> None:
    models = ("gemini-a", "gemini-b")
    gemini.default = lambda call: None if call.model else Reply.models(*models)
    gemini.replies(*replies[:1], model="gemini-a")
    gemini.replies(*replies[1:], model="gemini-b")
    rungs = open_rungs(replace(healthy.settings, models=tuple(map(Entry, models))), QUICK)
    finding = found(replace(healthy, rungs=rungs, asks=True))["answer"]
    assert finding.verdict == verdict and re.search(said, finding.text)
    asked = [call for call in gemini.calls if call.model]
    assert [call.model for call in asked] == list(models[:count])
    assert all(call.json["generationConfig"] == {"maxOutputTokens": 1} for call in asked)


def test_a_model_that_is_loaded_for_the_question_has_as_long_as_for_a_readers(
    healthy: Patient, server: OpenAIServer
) -> None:
    """Ollama and LM Studio load a model when it is first asked. A list of models has to come sooner."""
    loaded = threading.Event()
    answer = replace(openai.answer("Hello"), before=loaded)
    server.default = openai.answers(lambda call: answer, openai.models("qwen3:8b"))
    settings = replace(healthy.settings, key=None, models=(Entry("qwen3:8b", server.url),))
    short = Clocks(connect=5, first_byte=2, progress=2)
    asked = replace(healthy, settings=settings, rungs=open_rungs(settings, short), asks=True)
    loading = threading.Timer(3, loaded.set)
    loading.start()
    try:
        findings = {finding.subject: finding for finding in examine(asked)}
    finally:
        loading.cancel()
    assert findings["answer"].verdict == "ok" and findings["answer"].text.startswith("qwen3:8b answers, after ")


@pytest.mark.parametrize("off", [timedelta(seconds=90), timedelta(days=-400)])
def test_a_clock_that_differs_from_googles_is_a_failure_with_the_difference(
    healthy: Patient, gemini: FakeGemini, off: timedelta
) -> None:
    gemini.default = Reply.models("gemini-a", date=datetime.now(UTC) + off)
    finding = found(healthy)["clock"]
    assert finding.verdict == "failure"
    seconds = re.search(r"(\d+) s away", finding.text)
    assert seconds and abs(int(seconds[1]) - abs(off.total_seconds())) < 30
    assert "timedatectl" in finding.remedy


@pytest.mark.parametrize("shown", [5.0, 4.2e9, 253_402_300_800.0])
def test_a_clock_that_cannot_be_right_is_a_failure_also_without_internet(
    healthy: Patient, monkeypatch: pytest.MonkeyPatch, shown: float
) -> None:
    monkeypatch.setattr("kindle_appliance.clock.shown", lambda: shown)
    finding = found(replace(healthy, rungs=()))["clock"]
    assert finding.verdict == "failure" and "timedatectl" in finding.remedy
    assert time.strftime("%Y-%m-%d", time.localtime(shown)) in finding.text


def test_a_certificate_that_is_not_yet_valid_is_blamed_on_the_clock(healthy: Patient, tmp_path: Path) -> None:
    with FakeGemini(tls=True) as gemini:
        gemini.present(*certificate_of_the_future(tmp_path))
        upstream = Upstream(gemini.url, QUICK, certificates=str(gemini.certificate), provider="Gemini")
        findings = found(replace(healthy, rungs=gemini_rungs(upstream, ["gemini-a"])))
    assert findings["clock"].verdict == "failure"
    assert "the clock is wrong" in findings["clock"].text
    assert findings["key"].verdict == "failure"
    assert "clock of the appliance" in findings["key"].text


def test_an_untrusted_certificate_is_not_blamed_on_the_clock(healthy: Patient) -> None:
    with FakeGemini(tls=True) as gemini:
        findings = found(patient(Settings(key=KEY, gemini_url=gemini.url), healthy.folder, healthy.service))
    assert findings["clock"].verdict == "ok"
    assert findings["key"].verdict == "failure"


def test_damaged_chats_are_a_failure_and_a_backup_the_remedy(healthy: Patient, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    write_chats(folder / "chats.sqlite", "Why?")
    file = folder / "chats.sqlite"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 8192)
    finding = found(patient(healthy.settings, folder, healthy.service))["database"]
    assert finding.verdict == "failure"
    assert "systemctl restart kindle-appliance" in finding.remedy
    assert "sudo kindle-appliance restore" in finding.remedy


def test_damaged_rows_are_counted_and_a_damaged_file_is_named_as_long_as_it_lies_there(
    healthy: Patient, tmp_path: Path
) -> None:
    file = tmp_path / "weeks" / "chats.sqlite"
    write_weeks(file)
    change(file, finish="complftd")
    weeks = patient(healthy.settings, file.parent, healthy.service)
    finding = found(weeks)["database"]
    assert finding.verdict == "warning"
    assert f"{CHATS_KEPT} chats, not intact" in finding.text and "; 1 of all questions" in finding.text
    change(file, finish="complete")
    assert found(weeks)["database"].verdict == "ok"
    file.write_bytes(destroyed(file.read_bytes(), 1, "head"))
    assert found(weeks)["database"].verdict == "failure"
    Database(file, CHATS, mends=True).close()
    finding = found(weeks)["database"]
    (aside,) = file.parent.glob("chats-damaged-*.sqlite")
    assert finding.verdict == "warning" and f"{CHATS_KEPT} chats, intact" in finding.text
    assert "40 questions were saved" in finding.text and str(aside) in finding.text
    aside.unlink()
    assert found(weeks)["database"].verdict == "ok"


def test_the_shelf_is_told_with_its_room_and_a_full_one_is_a_warning(healthy: Patient, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    few = replace(healthy.settings, books=2, books_megabytes=5)
    asked = patient(few, folder, healthy.service)
    assert found(asked)["books"].text == "0 of 2 books, 0 of 5 MB with their index."
    (folder / "books" / "removed").mkdir(parents=True)
    (folder / "books" / f"{'0a' * 32}.epub").write_bytes(bytes(1_200_000))
    assert found(asked)["books"].text == "1 of 2 books, 1 of 5 MB with their index."
    (folder / "books" / "removed" / f"1780000000-{'0b' * 32}.epub").write_bytes(bytes(1_000_000))
    (folder / "books" / "books.sqlite").write_bytes(bytes(2_900_000))
    full = found(asked)["books"]
    assert (full.verdict, full.text) == ("warning", "1 of 2 books, 5 of 5 MB with their index: the shelf is full.")
    assert "books_megabytes" in full.remedy
    (folder / "books" / "books.sqlite").unlink()
    (folder / "books" / f"{'0c' * 32}.epub").write_bytes(b"")
    assert "2 of 2 books" in found(asked)["books"].text and found(asked)["books"].verdict == "warning"


def test_a_shelf_that_the_service_cannot_open_is_a_failure(healthy: Patient, house: House, tmp_path: Path) -> None:
    object.__setattr__(house.health, "has_books", lambda: False)
    finding = found(healthy)["books"]
    assert finding.verdict == "failure" and "cannot be used" in finding.text
    books = tmp_path / "books"
    books.rename(tmp_path / "elsewhere")
    books.symlink_to(tmp_path / "elsewhere")
    finding = found(healthy)["books"]
    assert finding.verdict == "failure" and str(books) in finding.text


@pytest.mark.slow
def test_chats_locked_by_the_appliance_on_a_full_filesystem_are_not_called_damaged(
    healthy: Patient, tmp_path: Path
) -> None:
    folder = tmp_path / "alone"
    write_chats(folder / "chats.sqlite", "Why?")
    with closing(sqlite3.connect(folder / "chats.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
        finding = found(patient(healthy.settings, folder, healthy.service))["database"]
        with pytest.raises(StartError, match="cannot be reached: database is locked"):
            back_up(folder, tmp_path / "backup", {})
    assert finding.verdict == "warning"
    assert "database is locked" in finding.text and "restart" in finding.remedy


def test_chats_of_a_newer_version_are_a_failure(healthy: Patient, tmp_path: Path) -> None:
    folder = tmp_path / "newer"
    write_chats(folder / "chats.sqlite", "Why?")
    with closing(sqlite3.connect(folder / "chats.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {CHATS.version + 1}")
    finding = found(patient(healthy.settings, folder, healthy.service))["database"]
    assert finding.verdict == "failure"
    assert "newer version" in finding.remedy


def test_no_chats_yet_and_no_folder_for_them_is_no_failure(healthy: Patient, tmp_path: Path) -> None:
    findings = found(patient(healthy.settings, tmp_path / "not" / "yet", healthy.service))
    assert findings["database"].verdict == "warning"
    assert findings["disk"].verdict == "ok"


def test_a_folder_that_cannot_be_written_to_is_a_failure(healthy: Patient) -> None:
    finding = found(patient(healthy.settings, Path("/proc/sys"), healthy.service))["disk"]
    assert finding.verdict == "failure"
    assert "cannot be written to" in finding.text


def test_a_full_filesystem_is_not_called_a_worn_card(healthy: Patient, tmp_path: Path) -> None:
    with mounted(tmp_path / "full", "size=64k") as folder:
        finding = found(patient(healthy.settings, folder, healthy.service))["disk"]
    assert finding.verdict == "failure"
    assert "No space left" in finding.text and "Make room" in finding.remedy


def test_no_address_is_a_failure(healthy: Patient) -> None:
    finding = found(patient(healthy.settings, healthy.folder, healthy.service, lan_address=None))["network"]
    assert finding.verdict == "failure"
    assert "Wi-Fi" in finding.remedy


def test_an_address_outside_the_allowed_networks_is_a_warning(healthy: Patient) -> None:
    finding = found(replace(healthy, lan_address="192.168.1.23"))["network"]
    assert finding.verdict == "warning"
    assert "only those of 127.0.0.0/8 may" in finding.text and "`networks`" in finding.remedy


def test_a_service_that_only_this_machine_reaches_is_a_failure(healthy: Patient) -> None:
    everywhere = Settings(key=KEY, gemini_url=healthy.settings.gemini_url)  # but it listens on 127.0.0.1
    finding = found(patient(everywhere, healthy.folder, healthy.service))["port"]
    assert finding.verdict == "failure"
    assert "127.0.0.2" in finding.text
    assert "firewall" in finding.remedy


def test_a_version_that_answers_pages_with_500_is_a_failure(
    healthy: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindle_appliance.web.pages.Pages.asking", None)
    finding = found(healthy)["port"]
    assert finding.verdict == "failure"
    assert finding.text.endswith(" answers, but serves no pages: the first page has status 500.")


def test_pages_are_fetched_with_the_pin(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"secret")) as house:
        settings = Settings("127.0.0.1", demo=True)
        assert found(patient(settings, tmp_path, Service(f"{house.url}/", PIN)))["port"].verdict == "ok"
        finding = found(patient(settings, tmp_path, Service(f"{house.url}/", PIN[::-1])))["port"]
    assert finding.verdict == "failure"
    assert "the PIN is not taken" in finding.text and "systemctl restart" in finding.remedy


def test_an_appliance_that_serves_pages_without_being_well_is_a_failure(
    healthy: Patient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = replace(house.health.check(), facts={"status": "failing"})
    monkeypatch.setattr(type(house.health), "check", lambda self: ill)
    finding = found(healthy)["port"]
    assert finding.verdict == "failure"
    assert "pages are served at" in finding.text and "lines about the disk and the database" in finding.remedy


def test_a_service_that_cannot_start_is_a_failure_with_the_command_for_its_log(
    healthy: Patient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = replace(house.health.check(), facts={"status": "failed"})
    monkeypatch.setattr(type(house.health), "check", lambda self: page)
    finding = found(healthy)["port"]
    assert finding.verdict == "failure"
    assert "only a page that says" in finding.text and "journalctl" in finding.remedy


def test_a_silent_installed_service_is_a_failure_with_the_command_for_its_status(
    healthy: Patient,
) -> None:
    with refusing_url() as url:
        for service in (Service(url), None):
            finding = found(patient(healthy.settings, healthy.folder, service))["port"]
            assert finding.verdict == "failure"
            assert "systemctl status" in finding.remedy


def test_a_port_taken_by_another_program_is_a_failure_in_a_checkout(healthy: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(host="127.0.0.1", port=port)
        assert found(patient(settings, healthy.folder, None, is_installed=False))["port"].verdict == "failure"
    assert found(patient(settings, healthy.folder, None, is_installed=False))["port"].verdict == "warning"


def test_an_old_version_that_still_runs_is_a_warning(healthy: Patient) -> None:
    finding = found(patient(healthy.settings, healthy.folder, healthy.service, version="0.0.1"))["versions"]
    assert finding.verdict == "warning"
    assert "0.0.0 is running, 0.0.1 is installed" in finding.text


# The command


@pytest.fixture
def installed(tmp_path: Path, gemini: FakeGemini) -> Iterator[Installed]:
    installed = Installed(tmp_path / "installed")
    installed.at.settings.write_text(f'gemini_url = "{gemini.url}"\nhost = "127.0.0.1"\nmodels = ["gemini-a"]\n')
    yield installed


@pytest.mark.slow
def test_the_command_checks_the_service_and_its_exit_status_tells_whether_all_works(
    installed: Installed, gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.models("gemini-a", date=datetime.now(UTC))
    installed.at.secret("key").write_text(KEY)
    installed.at.secret("pin").write_text(PIN)
    with closing(Appliance(tmp_path, "--data", str(installed.at.state))) as appliance:
        installed.systemd(port=appliance.port)
        status, printed, errors = installed.run("doctor")
    assert (status, errors) == (0, "")
    lines = [line.split(maxsplit=2) for line in printed.splitlines()]
    assert [line[1] for line in lines] == SUBJECTS
    assert {line[1] for line in lines if line[0] != "ok"} <= {"name", "network"}
    assert KEY not in printed and PIN not in printed
    status, printed, errors = installed.run("doctor")  # nothing answers now
    assert (status, errors) == (1, "")
    assert re.search("^failure +port ", printed, re.MULTILINE)


@pytest.mark.slow
def test_bad_settings_are_the_only_finding(installed: Installed) -> None:
    installed.at.settings.write_text("port = 0\n")
    status, printed, errors = installed.run("doctor")
    assert (status, errors) == (1, "")
    finding, shown = printed.split("\n", 1)
    assert re.fullmatch(r"failure +settings +port = 0, from .*settings.toml, line 1, is not allowed.*", finding)
    assert shown.splitlines()[1:] == [
        "    port = 0",
        "           ^",
        "A right line, for example:",
        "    port = 8080",
    ]


@pytest.mark.slow
def test_in_a_checkout_the_command_checks_the_appliance_that_uses_the_same_chats(tmp_path: Path) -> None:
    status, printed, errors = run(tmp_path, "doctor", "--host", "127.0.0.1", "--port", str(free_port()))
    assert (status, errors) == (0, "")
    assert re.search("^warning +port .* is not running", printed, re.MULTILINE)
    with closing(Appliance(tmp_path)) as appliance:
        status, printed, errors = run(tmp_path, "doctor", "--host", "127.0.0.1")
        assert (status, errors) == (0, "")
        assert f"pages are served at http://127.0.0.1:{appliance.port}/\n" in printed
