"""Backup and restore: complete, readable to the owner only, and never at the cost of the existing chats."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.chats import write_chats
from fakes.filesystem import mounted
from fakes.gemini import FakeGemini, Reply
from fakes.house import House

from kindle_appliance.errors import StartError
from kindle_appliance.storage.backup import KEPT, back_up, restore
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.database import Database, Inspection, inspect
from kindle_appliance.storage.lock import FolderLock, announced_url
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.terms import Query

NOTHING: Mapping[str, bytes] = {}
NAMES = ("settings.toml", "gemini-key", "pin")


def questions(file: Path) -> list[str]:
    with closing(Database(file, CHATS)) as database:
        return [summary.title for summary in reversed(Chats(database).recent(1000))]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """A database with two chats, in a folder of its own."""
    file = tmp_path / "state" / "chats.sqlite"
    write_chats(file, "Why?", "海?")
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Backing up


def test_a_backup_is_one_file_that_only_its_owner_can_read(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "backup"
    file.parent.mkdir()
    assert back_up(chats.parent, file, NOTHING)[0].rows == 2
    assert names(file.parent) == ["backup"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert inspect(file, CHATS).trouble == ""
    assert names(file.parent) == ["backup"]


def test_a_backup_replaces_an_earlier_one_only_when_it_is_complete(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(chats.parent, file, NOTHING)
    before = file.read_bytes()
    chats.write_bytes(chats.read_bytes()[:4096] + b"\xff" * 8192)
    with pytest.raises(StartError, match="Restart it, and back up then"):
        back_up(chats.parent, file, NOTHING)
    assert file.read_bytes() == before
    assert names(tmp_path) == ["backup", "state"]


def test_a_restore_returns_only_the_files_that_were_backed_up_and_leaves_none_in_the_database(
    chats: Path, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    back_up(chats.parent, file, {"settings.toml": b"port = 80\n", "pin": b"0042\n"})
    assert restore(file, chats.parent, NAMES)[:2] == ({"settings.toml": "port = 80\n", "pin": "0042\n"}, 0)
    assert b"port = 80" not in chats.read_bytes()
    back_up(chats.parent, file, NOTHING)
    assert restore(file, chats.parent, NAMES)[:2] == ({}, 0)


def test_a_deleted_question_is_in_no_backup(chats: Path, tmp_path: Path) -> None:
    write_chats(chats, "A very Secret question")
    with closing(Database(chats, CHATS)) as database:
        stored = Chats(database)
        assert stored.interrupt_unfinished() == 3
        assert stored.search(Query("secret"), 20).hits
        stored.delete(3)
    back_up(chats.parent, tmp_path / "backup", NOTHING)
    assert b"secret" not in (tmp_path / "backup").read_bytes().lower(), "nor one of its words"


def test_an_answer_continues_while_backups_are_made(house: House, gemini: FakeGemini, tmp_path: Path) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    stop, file = threading.Event(), tmp_path / "backup"

    def write() -> None:
        while not stop.wait(0.01):
            call.text("Because. ")
        call.finish("End.")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            assert back_up(tmp_path, file, NOTHING)[0].rows == number + 1
            house.ask(f"And {number}?")
            gemini.next_call().play(Reply.answer("Yes."))
    finally:
        stop.set()
        writer.join()
    with house.follow("/answers/1") as follow:
        assert follow.read_to_end().endswith(b"End.")


def test_a_backup_without_chats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no chats"):
        back_up(tmp_path, tmp_path / "backup", NOTHING)
    assert names(tmp_path) == []


@pytest.mark.parametrize("folder", [".", "/", "..", "out"])
def test_a_backup_to_a_folder_is_refused_with_the_advice_to_name_a_file(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match=r"is a folder\. Name a file in it"):
        back_up(chats.parent, Path(folder), NOTHING)
    assert names(tmp_path) == ["out", "state"]


def test_the_error_of_a_full_stick_names_the_stick_and_not_the_chats(chats: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "stick", "size=32k") as stick:
        with pytest.raises(StartError, match="stick/backup cannot be written: database or disk is full"):
            back_up(chats.parent, stick / "backup", NOTHING)
        assert names(stick) == []


def test_the_file_of_the_chats_itself_is_refused_as_a_backup(chats: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.hardlink_to(chats)
    for file in (chats, chats.parent / ".." / "state" / "chats.sqlite", other):
        with pytest.raises(StartError, match="the chats themselves"):
            back_up(chats.parent, file, NOTHING)
        with pytest.raises(StartError, match="the chats themselves"):
            restore(file, chats.parent, NAMES)
    assert questions(chats) == ["Why?", "海?"]


# Restoring


def test_a_restore_brings_the_chats_back_and_keeps_the_replaced_ones(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(chats.parent, file, NOTHING)
    write_chats(chats, "Later?")
    restore(file, chats.parent, NAMES)
    assert questions(chats) == ["Why?", "海?"]
    kept = chats.with_name(KEPT)
    assert kept.stat().st_mode & 0o777 == 0o600
    restore(kept, chats.parent, NAMES)  # and back again
    assert questions(chats) == ["Why?", "海?", "Later?"]
    assert questions(kept) == ["Why?", "海?"]
    assert names(chats.parent) == [KEPT, "chats.sqlite", "lock"]


def test_a_restore_to_a_new_machine_makes_chats_that_only_their_owner_can_read(chats: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "backup", tmp_path / "new" / "chats.sqlite"
    new.parent.mkdir()
    back_up(chats.parent, file, NOTHING)
    restore(file, new.parent, NAMES)
    assert questions(new) == ["Why?", "海?"]
    assert new.stat().st_mode & 0o777 == 0o600
    assert names(new.parent) == ["chats.sqlite", "lock"]


def test_a_restore_replaces_damaged_chats_and_keeps_their_file(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(chats.parent, file, NOTHING)
    for damage in (b"\xff" * 20_000, b"", chats.read_bytes()[:4096] + b"\xff" * 4096):
        chats.write_bytes(damage)
        chats.with_name("chats.sqlite-wal").write_bytes(b"of the damaged ones")
        restore(file, chats.parent, NAMES)
        assert questions(chats) == ["Why?", "海?"]
        assert chats.with_name(KEPT).read_bytes() == damage


def test_a_backup_keeps_the_schema_version_of_the_chats(chats: Path, tmp_path: Path) -> None:
    """After a failed upgrade, the old version restores the backup that the new version has made."""
    old, file = tmp_path / "old" / "chats.sqlite", tmp_path / "backup"
    old.parent.mkdir()
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(CHATS.migrations[0] + "PRAGMA user_version = 1; INSERT INTO chats VALUES (7);")
    assert back_up(old.parent, file, {"settings.toml": b"x"})[:2] == (Inspection(1, 1, ""), 0)
    assert inspect(file, CHATS) == Inspection(1, 1, "")
    assert restore(file, chats.parent, NAMES)[:2] == ({"settings.toml": "x"}, 0)


def test_a_restore_brings_an_older_backup_to_todays_schema(chats: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(CHATS.migrations[0] + "PRAGMA user_version = 1; INSERT INTO chats VALUES (7);")
    restore(old, chats.parent, NAMES)
    assert inspect(chats, CHATS) == Inspection(CHATS.version, 1, "")
    assert inspect(old, CHATS).version == 1  # the backup itself is unchanged


BAD = {
    "no file": (None, "there is no file"),
    "an empty one": (b"", "not a good backup: it holds no chats"),
    "some text": (b"Dear diary\n" * 1000, "not a good backup: file is not a database"),
}


def test_a_file_with_only_some_of_the_tables_is_no_backup(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"CREATE TABLE chats (id INTEGER); PRAGMA user_version = {CHATS.version};")
    with pytest.raises(StartError, match="not a good backup: it holds no chats"):
        restore(file, chats.parent, NAMES)
    assert questions(chats) == ["Why?", "海?"]


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_file_that_is_no_backup_is_refused_and_the_chats_stay(
    chats: Path, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "backup"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError, match=sentence):
        restore(file, chats.parent, NAMES)
    assert questions(chats) == ["Why?", "海?"]
    assert names(chats.parent) == ["chats.sqlite"]


def test_a_damaged_backup_is_refused_wherever_the_damage_is(chats: Path, tmp_path: Path) -> None:
    good, file = tmp_path / "good", tmp_path / "backup"
    write_chats(chats, *("long " * 500 + str(number) for number in range(20)))
    back_up(chats.parent, good, NOTHING)
    content = good.read_bytes()
    chance = random.Random(5)
    refused = 0
    for _ in range(40):
        start = chance.randrange(len(content) - 2048)
        file.write_bytes(content[:start] + chance.randbytes(2048) + content[start + 2048 :])
        try:
            restore(file, chats.parent, NAMES)
        except StartError:
            refused += 1
        assert inspect(chats, CHATS).trouble == ""
    assert refused >= 30  # the rest hit free space or the inside of a text, which SQLite cannot detect


def test_a_backup_of_a_newer_version_is_refused_with_that_reason(chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(chats.parent, file, NOTHING)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {CHATS.version + 1}")
    with pytest.raises(StartError, match="newer version"):
        restore(file, chats.parent, NAMES)
    assert questions(chats) == ["Why?", "海?"]


@pytest.mark.slow
def test_a_restore_killed_at_any_moment_leaves_the_old_chats_or_the_new_ones(chats: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "backup", tmp_path / "other" / "chats.sqlite"
    write_chats(other, *(f"new {number} {'!' * 3000}" for number in range(300)))
    back_up(other.parent, file, NOTHING)
    write_chats(chats, *(f"old {number} {'?' * 3000}" for number in range(300)))
    back_up(chats.parent, tmp_path / "old", NOTHING)
    script = (
        "import sys, pathlib; from kindle_appliance.storage.backup import restore;"
        "sys.stdout.write('.'); sys.stdout.flush(); restore(*map(pathlib.Path, sys.argv[1:]), ())"
    )
    command = [sys.executable, "-c", script, str(file), str(chats.parent)]

    def restored(seconds: float) -> float:
        """Kill a restore after `seconds`; returns how long it ran."""
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as restoring:
            assert restoring.stdout is not None
            restoring.stdout.read(1)
            start = time.monotonic()
            try:
                restoring.wait(seconds)
            except subprocess.TimeoutExpired:
                restoring.kill()
        return time.monotonic() - start

    whole = restored(60)
    chance, outcomes = random.Random(7), []
    for _ in range(12):
        restore(tmp_path / "old", chats.parent, NAMES)
        restored(chance.uniform(0.1, 1.1) * whole)
        assert inspect(chats, CHATS).trouble == ""
        found = {question.partition(" ")[0] for question in questions(chats)}
        assert found in ({"old", "Why?", "海?"}, {"new"})
        outcomes.append("new" in found)
    assert not all(outcomes)  # at least one restore was cut short


# The lock


def test_a_folder_is_locked_by_one_appliance_and_announces_its_address(tmp_path: Path) -> None:
    assert announced_url(tmp_path) is None
    with FolderLock(tmp_path) as lock:
        assert announced_url(tmp_path) is None
        lock.announce("http://127.0.0.1:8080")
        assert announced_url(tmp_path) == "http://127.0.0.1:8080"
        with pytest.raises(StartError, match="another appliance uses the chats"):
            FolderLock(tmp_path)
        assert announced_url(tmp_path) == "http://127.0.0.1:8080"
    assert announced_url(tmp_path) is None
    FolderLock(tmp_path).close()
