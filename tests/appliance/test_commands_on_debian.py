"""The owner's commands beside the installed service, on real machines: Debian bookworm and trixie."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from fakes.epub_file import make_epub
from fakes.secret_scanner import SCANNER
from fakes.secrets import PIN

from .debian import DEBIANS, Machine
from .test_install import ADDRESS, CONFIG, ask, get, install, switched_on, unit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STATE = "/var/lib/kindle-appliance"
SHORT = "Which planets are there?"
"""The demo's answer to it takes two seconds, and that to most others ten."""


@pytest.fixture(scope="module", params=DEBIANS, ids=lambda debian: debian.suite)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of each release in turn, with the appliance installed."""
    with switched_on(request.param, tmp_path_factory.mktemp("machine")) as machine:
        install(machine)
        yield machine


def command(machine: Machine, *arguments: str, given: str = "", is_to_work: bool = True) -> str:
    """Run a command as root; returns its output."""
    done = machine.run("kindle-appliance", *arguments, input=given, is_to_work=is_to_work)
    assert done.returncode == (0 if is_to_work else 1), done
    return done.stdout + done.stderr


def as_nobody(machine: Machine, *arguments: str) -> tuple[int, str]:
    line = ["runuser", "-u", "nobody", "--", "kindle-appliance", *arguments]
    done = machine.run(*line, is_to_work=False)
    return done.returncode, done.stdout + done.stderr


def events(machine: Machine) -> list[tuple[str, str]]:
    """The service's lines in the journal, each with its priority."""
    said = machine.run("journalctl", "--unit=kindle-appliance", "--output=json", "--no-pager").stdout
    entries = [json.loads(line) for line in said.splitlines()]
    return [(each["PRIORITY"], each["MESSAGE"]) for each in entries if each.get("_COMM") != "systemd"]


def test_the_doctor_finds_the_service_its_chats_and_its_address(machine: Machine) -> None:
    said = command(machine, "doctor")
    for line in (
        rf"ok +port +pages are served at http://{ADDRESS}/",
        r"ok +database +\d+ chats, intact",
        "ok +disk ",
    ):
        assert re.search(f"^{line}", said, re.MULTILINE), said
    assert "sudo kindle-appliance key" in said
    machine.run("systemctl", "stop", "kindle-appliance.socket", "kindle-appliance.service")
    said = command(machine, "doctor", is_to_work=False)
    assert re.search("^failure +port .*systemctl status", said, re.MULTILINE), said
    machine.run("systemctl", "start", "kindle-appliance.socket", "kindle-appliance.service")


def test_a_question_starts_a_stopped_service(machine: Machine) -> None:
    machine.run("systemctl", "stop", "kindle-appliance.service")
    assert "demo" in command(machine, "ask", SHORT)


def test_any_user_may_ask_and_only_root_may_use_the_other_commands(machine: Machine) -> None:
    status, said = as_nobody(machine, "ask", SHORT)
    assert status == 0
    assert "(a demo answer)" in said
    for name in ("settings", "doctor", "key", "books", "backup"):
        status, said = as_nobody(machine, *([name, "/tmp/backup"] if name == "backup" else [name]))
        assert (status, said.partition(":")[0]) == (1, "kindle-appliance")
        assert f"sudo kindle-appliance {name}" in said


def test_a_stored_pin_is_handed_to_the_service_alone(machine: Machine) -> None:
    before = unit(machine, "InvocationID")
    assert "was stored" in command(machine, "pin", given=f"{PIN}\n")
    assert unit(machine, "InvocationID") != before
    assert machine.run("stat", "--format=%U %a", f"{CONFIG}/pin").stdout == "root 600\n"
    assert machine.run("cat", "/run/credentials/kindle-appliance.service/pin").stdout == f"{PIN}\n"
    assert re.search("^port +80 +systemd, kindle-appliance.socket$", command(machine, "settings"), re.MULTILINE)
    assert re.search(r"^pin +\(set\) +/etc/kindle-appliance/pin$", command(machine, "settings"), re.MULTILINE)
    assert re.search(r"^ok +port ", command(machine, "doctor"), re.MULTILINE)
    assert "demo" in command(machine, "ask", SHORT)
    assert "http://kindle.local/ " in install(machine), "the installer knows the PIN"
    command(machine, "pin", "--remove")
    assert not any(PIN in message for _, message in events(machine))


def test_a_restore_brings_back_chats_settings_and_secrets_that_the_service_can_use(machine: Machine) -> None:
    page = ask(machine, "What was first?")
    machine.run("sh", "-c", f"echo 'text_size = 5' >> {CONFIG}/settings.toml")
    command(machine, "pin", "--no-restart", given=PIN)
    SCANNER.exempt(machine.changes / "root" / "backup")  # it holds the secrets on purpose
    assert "pin" in command(machine, "backup", "--with-secrets", "/root/backup")
    assert machine.run("stat", "--format=%U %a", "/root/backup").stdout == "root 600\n"
    command(machine, "pin", "--remove")
    machine.run("sed", "-i", "s/^text_size = 5/text_size = 6/", f"{CONFIG}/settings.toml")
    later = ask(machine, "What was later?")
    said = command(machine, "restore", "/root/backup")
    assert said.count("was brought back") == 2
    assert unit(machine, "ActiveState") == "active"
    command(machine, "pin", "--remove")
    assert "What was first?" in get(machine, page)
    assert machine.run("grep", "-c", "^text_size = 5$", f"{CONFIG}/settings.toml").stdout == "1\n"
    # The files belong to the service's user, so that it can go on writing, and nobody else can read them.
    found = machine.run("find", f"{STATE}/", "-type", "f", "-printf", "%U %m\n").stdout.splitlines()
    owner = machine.run("stat", "--dereference", "--format=%u", STATE).stdout.strip()
    assert set(found) == {f"{owner} 600"}
    assert ask(machine, "What was later?") == later
    assert "What was later?" in get(machine, later)


def test_a_folder_of_books_is_added_and_comes_back_from_a_backup_with_books(machine: Machine) -> None:
    library = machine.root / "root" / "library"
    for title, author in (("Emma", "Jane Austen"), ("Der Sandmann", "E. T. A. Hoffmann")):
        (library / author).mkdir(parents=True)
        make_epub(library / author / f"{title}.epub", title=title, creator=author)
    command(machine, "pin", given=PIN)
    said = command(machine, "books", "add", "/root/library")
    assert said == "Der Sandmann, E. T. A. Hoffmann: added.\nEmma, Jane Austen: added.\nBooks: 2 added.\n"
    command(machine, "pin", "--remove")
    assert "2 books are not in it" in command(machine, "backup", "/root/without")
    assert ", 2 books, settings.toml;" in command(machine, "backup", "--with-books", "/root/with")
    assert "Emma, Jane Austen: removed." in command(machine, "books", "remove", "Emma")
    assert "Emma" not in command(machine, "books", "list")
    machine.run("sh", "-c", f"rm {STATE}/books/books.sqlite*")
    said = command(machine, "restore", "/root/with")
    assert "1 books were put on the shelf, and 1 were there already." in said
    while "still being read" in (listed := command(machine, "books", "list")):
        time.sleep(0.1)
    assert "Emma, Jane Austen" in listed and "Der Sandmann, E. T. A. Hoffmann" in listed
    assert "Emma" in get(machine, "/books")
    assert re.search("^ok +books +2 of 500 books", command(machine, "doctor"), re.MULTILINE)
    # They are the service's, as its secret is, and nobody else can read them.
    found = machine.run("find", f"{STATE}/", "-type", "f", "-printf", "%f %U %m\n").stdout.splitlines()
    owner = machine.run("stat", "--dereference", "--format=%u", STATE).stdout.strip()
    assert f"owner-secret {owner} 600" in found
    assert sum(each.partition(" ")[0].endswith(".epub") for each in found) == 2
    assert all(each.endswith(f" {owner} 600") for each in found)
    assert not any("Emma" in message for _, message in events(machine)), "the log names no book"


def test_a_restore_replaces_a_broken_database_and_keeps_its_file(machine: Machine) -> None:
    page = ask(machine, "What is worth keeping?")
    command(machine, "backup", "/root/backup")
    machine.run("systemctl", "stop", "kindle-appliance.socket", "kindle-appliance.service")
    machine.run("sh", "-c", f"echo broken > {STATE}/chats.sqlite")
    assert re.search(
        r"^failure +database .*restore FILE", command(machine, "doctor", is_to_work=False), re.MULTILINE
    )
    command(machine, "restore", "/root/backup")
    assert machine.run("cat", f"{STATE}/before-restore.sqlite").stdout == "broken\n"
    machine.run("systemctl", "start", "kindle-appliance.socket", "kindle-appliance.service")
    assert "What is worth keeping?" in get(machine, page)


def test_the_service_sets_a_broken_database_aside_and_a_restore_brings_the_chats_back(machine: Machine) -> None:
    page = ask(machine, "What was there before the damage?")
    command(machine, "backup", "/root/backup")
    machine.run("systemctl", "stop", "kindle-appliance.socket", "kindle-appliance.service")
    machine.run("sh", "-c", f"echo broken > {STATE}/chats.sqlite")
    machine.run("systemctl", "start", "kindle-appliance.socket", "kindle-appliance.service")
    assert "</html>" in get(machine)
    said = command(machine, "doctor")
    aside = re.search(r"^warning +database .*(chats-damaged-[\w-]+\.sqlite)", said, re.MULTILINE)
    assert aside, said
    assert machine.run("cat", f"{STATE}/{aside[1]}").stdout == "broken\n"
    command(machine, "restore", "/root/backup")
    assert "What was there before the damage?" in get(machine, page)
    assert machine.run("cat", f"{STATE}/{aside[1]}").stdout == "broken\n"
    machine.run("rm", f"{STATE}/{aside[1]}")


def test_no_link_of_the_services_user_leads_root_to_its_own_files(machine: Machine) -> None:
    page = ask(machine, "What is worth keeping now?")
    command(machine, "backup", "/root/backup")
    victim = "/etc/issue"
    before = machine.run("stat", "--format=%U %G %a %s", victim).stdout
    assert not before.endswith(" 0\n")
    machine.run("systemctl", "stop", "kindle-appliance.socket", "kindle-appliance.service")
    owner = machine.run("stat", "--dereference", "--format=%u:%g", STATE).stdout.strip()
    # `rest`: what is put back where the link was.
    for name, rest in (("lock", "none"), ("chats.sqlite", "kept"), (".restore.sqlite", "none")):
        place = f"{STATE}/{name}"
        machine.run("sh", "-c", f"mv {place} /root/{rest} || :; ln -s {victim} {place}; chown -h {owner} {place}")
        for line in (["restore", "/root/backup"], ["backup", "/root/other"], ["doctor"]):
            done = machine.run("kindle-appliance", *line, is_to_work=False)
            assert done.returncode in (0, 1), done
            assert machine.run("stat", "--format=%U %G %a %s", victim).stdout == before, (name, line)
            if name == "chats.sqlite" or (name, line[0]) == ("lock", "restore"):
                assert f"{name}" in done.stdout + done.stderr
                assert "This is a link" in done.stdout + done.stderr
        machine.run("sh", "-c", f"rm -f {place}; mv /root/kept {place} || :; rm -f /root/none /root/other")
    machine.run("systemctl", "start", "kindle-appliance.socket", "kindle-appliance.service")
    assert "What is worth keeping now?" in get(machine, page)


def test_the_journal_has_levels_and_no_questions(machine: Machine) -> None:
    ask(machine, "How deep is the ocean?")
    command(machine, "ask", SHORT)
    said = events(machine)
    assert any(priority == "6" and message.startswith("started: version") for priority, message in said)
    assert any(re.fullmatch("answers: answer \\d+ was asked for", message) for _, message in said)
    assert any(message.startswith("answers: a script's answer ended: complete, by demo") for _, message in said)
    assert not any("ocean" in message or "planets" in message or message.startswith("<") for _, message in said)
