"""The SQLite file: it migrates forward and never back, keeps committed writes, and stays readable when full."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.filesystem import files_not_larger_than, mounted, remount

from kindle_appliance.errors import OwnerError, StorageError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS

NOBODY = 65534
NEXT_STEP = "ALTER TABLE turns ADD COLUMN mark TEXT NOT NULL DEFAULT 'none'"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "chats.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path, CHATS)) as opened:
        yield opened


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    """Rows that another program reads from the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def count_chats(database: Database) -> int:
    return int(database.read("SELECT count(*) FROM chats")[0][0])


def add_chat(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO chats DEFAULT VALUES")


def add_turn(database: Database, question: str) -> None:
    with database.write() as connection:
        chat = connection.execute("INSERT INTO chats DEFAULT VALUES").lastrowid
        turn = "INSERT INTO turns (chat, number, question, form, asked) VALUES (?, 1, ?, 'form', 0)"
        connection.execute(turn, (chat, question))


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


# Versions of the schema


def test_a_fresh_file_gets_its_folder_and_todays_schema(path: Path) -> None:
    Database(path, CHATS).close()
    assert look(path, "PRAGMA user_version") == [(CHATS.version,)]
    assert look(path, "PRAGMA journal_mode") == [("wal",)]
    assert look(path, "SELECT count(*) FROM chats, turns") == [(0,)]


def test_opening_again_changes_neither_schema_nor_rows(path: Path) -> None:
    with closing(Database(path, CHATS)) as database:
        add_chat(database)
    schema = look(path, "PRAGMA schema_version")
    with closing(Database(path, CHATS)) as database:
        assert count_chats(database) == 1
    assert look(path, "PRAGMA schema_version") == schema


def test_a_file_of_version_0_is_brought_to_todays_schema(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as older:
        older.execute("CREATE TABLE older (kept)")
        older.execute("INSERT INTO older VALUES ('a row')")
        older.commit()
    Database(path, CHATS).close()
    assert look(path, "PRAGMA user_version") == [(CHATS.version,)]
    assert look(path, "SELECT count(*) FROM turns") == [(0,)]
    assert look(path, "SELECT kept FROM older") == [("a row",)]


def test_a_file_of_an_older_version_moves_forward_with_its_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(path, replace(CHATS, migrations=CHATS.migrations[:1]))) as database:
        add_turn(database, "Why?")
    assert look(path, "PRAGMA user_version") == [(1,)]
    with closing(Database(path, replace(CHATS, migrations=(CHATS.migrations[0], NEXT_STEP)))) as database:
        assert [tuple(row) for row in database.read("SELECT question, mark FROM turns")] == [("Why?", "none")]
    assert look(path, "PRAGMA user_version") == [(2,)]


def test_a_file_of_a_newer_version_is_refused_with_its_path_and_left_unchanged(path: Path) -> None:
    with closing(Database(path, CHATS)) as database, database.write() as connection:
        connection.execute(f"PRAGMA user_version = {CHATS.version + 1}")
    with pytest.raises(OwnerError, match="newer version") as refused:
        Database(path, CHATS)
    assert not isinstance(refused.value, StorageError)
    assert str(path) in str(refused.value)
    assert look(path, "PRAGMA user_version") == [(CHATS.version + 1,)]


def test_a_failed_migration_leaves_the_version_before_it_the_rows_and_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(path, CHATS)) as database:
        add_turn(database, "Why?")
    wrong = "ALTER TABLE turns ADD COLUMN half TEXT; INSERT INTO nowhere VALUES (1)"
    with pytest.raises(StorageError) as failed:
        Database(path, replace(CHATS, migrations=(*CHATS.migrations, NEXT_STEP, wrong)))
    assert str(path) in str(failed.value)
    assert look(path, "PRAGMA user_version") == [(CHATS.version + 1,)]
    assert look(path, "SELECT question, mark FROM turns") == [("Why?", "none")]
    assert "half" not in str(look(path, "SELECT sql FROM sqlite_schema"))
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("INSERT INTO chats DEFAULT VALUES")  # raises if the failed connection still locks the file


# Transactions


def test_the_writing_connection_has_full_durability_a_write_ahead_log_and_foreign_keys(database: Database) -> None:
    with database.write() as connection:
        names = ("synchronous", "journal_mode", "foreign_keys")
        assert [pragma(connection, name) for name in names] == [2, "wal", 1]  # 2 is FULL
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.execute("INSERT INTO turns (chat, number, question, form, asked) VALUES (7, 1, '?', 'f', 0)")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_write_that_raises_is_rolled_back_and_the_next_one_works(
    database: Database, error: type[BaseException]
) -> None:
    with pytest.raises(error), database.write() as connection:
        connection.execute("INSERT INTO chats DEFAULT VALUES")
        raise error
    assert count_chats(database) == 0
    add_chat(database)
    assert count_chats(database) == 1


def test_readers_see_the_last_committed_state_while_a_write_is_open(database: Database) -> None:
    with ThreadPoolExecutor(1) as reader:
        with database.write() as connection:
            connection.execute("INSERT INTO chats DEFAULT VALUES")
            assert reader.submit(count_chats, database).result(timeout=5) == 0
        assert reader.submit(count_chats, database).result(timeout=5) == 1


def test_a_second_writer_waits_for_the_first(database: Database) -> None:
    with ThreadPoolExecutor(1) as other:
        with database.write() as connection:
            second = other.submit(add_chat, database)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.2)
            connection.execute("INSERT INTO chats DEFAULT VALUES")
        second.result(timeout=5)
    assert count_chats(database) == 2


def test_simultaneous_writes_and_reads_of_many_threads_lose_nothing(database: Database) -> None:
    together = threading.Barrier(8)

    def work() -> list[int]:
        together.wait()
        seen = []
        for _ in range(15):
            add_chat(database)
            seen.append(count_chats(database))
        return seen

    with ThreadPoolExecutor(8) as pool:
        counts = [each.result() for each in [pool.submit(work) for _ in range(8)]]
    assert count_chats(database) == 8 * 15
    for seen in counts:  # each thread sees its own write at once, and no row disappears
        assert seen == sorted(set(seen))


def test_closing_folds_the_log_into_the_file(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    with closing(Database(path, CHATS)) as database:
        add_chat(database)
        assert log.stat().st_size > 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert look(path, "SELECT count(*) FROM chats") == [(1,)]


WRITER = """
import os, sys
from pathlib import Path
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
database = Database(Path(sys.argv[1]), CHATS)
with database.write() as connection:
    connection.execute("INSERT INTO chats DEFAULT VALUES")
os.write(1, b"write has returned")
"""


def test_the_log_is_synced_to_the_disk_before_write_returns(path: Path, tmp_path: Path, database: Database) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], check=False, capture_output=True).returncode:
        # Without strace, rely on the setting that SQLite reports for the writing connection.
        with database.write() as connection:
            assert pragma(connection, "synchronous") == 2
        return
    trace = tmp_path / "trace"
    watch = [strace, "-f", "-y", "-o", str(trace), "-e", "trace=pwrite64,fsync,fdatasync,write"]
    child = [sys.executable, "-c", WRITER, str(tmp_path / "watched.sqlite")]
    subprocess.run([*watch, *child], check=True, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=60)
    calls, _, rest = trace.read_text(errors="replace").partition("write has returned")
    log_calls = [line.split(maxsplit=1)[1].partition("(")[0] for line in calls.splitlines() if "-wal>" in line]
    assert rest
    assert "pwrite64" in log_calls
    assert log_calls[-1] in ("fsync", "fdatasync")


# Space that is given back


def size(path: Path) -> int:
    """The bytes on the card: the file, and its write-ahead log."""
    return sum(each.stat().st_size for each in path.parent.iterdir() if "-shm" not in each.name)


def fill(database: Database, megabytes: int) -> None:
    for number in range(megabytes * 5):
        with database.write() as connection:
            chat = connection.execute("INSERT INTO chats DEFAULT VALUES").lastrowid
            turn = "INSERT INTO turns (chat, number, question, form, asked, answer) VALUES (?, 1, '?', ?, 0, ?)"
            connection.execute(turn, (chat, str(number), "Ink and paper. " * (200 * 1024 // 15)))


def delete_all(database: Database) -> int:
    """Delete all chats but the first, and give their space back. Returns the number of transactions for that."""
    with database.write() as connection:
        connection.execute("DELETE FROM chats WHERE id > 1")
    steps = 0
    while database.give_back():
        steps += 1
    return steps


def test_the_space_of_deleted_chats_is_given_back_in_steps_while_readers_read(
    path: Path, database: Database
) -> None:
    fill(database, 5)
    assert size(path) > 5_000_000
    is_over = threading.Event()

    def read() -> int:
        times = 0
        while not is_over.is_set():
            assert len(database.read("SELECT answer FROM turns WHERE chat = 1")[0][0]) > 200_000
            times += 1
        return times

    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read) for _ in range(2)]
        steps = delete_all(database)
        is_over.set()
        assert all(each.result() for each in reading)
    assert size(path) < 600_000
    assert 5 <= steps <= 9
    assert look(path, "PRAGMA integrity_check") == [("ok",)]
    assert count_chats(database) == 1


def test_a_few_free_pages_stay_for_the_next_answers(path: Path, database: Database) -> None:
    add_turn(database, "Why? " * 10_000)
    with database.write() as connection:
        connection.execute("DELETE FROM chats")
    log = path.with_name(path.name + "-wal").stat().st_size
    assert not database.give_back()
    assert path.with_name(path.name + "-wal").stat().st_size == log, "nothing is written"


def test_the_log_is_folded_once_another_program_has_read(path: Path, database: Database) -> None:
    fill(database, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM turns").fetchone()
        with database.write() as connection:
            connection.execute("DELETE FROM chats WHERE id > 1")
        assert all(database.give_back() for _ in range(4)), "there is more to do as long as it reads"
        assert size(path) > 1_000_000
        other.execute("COMMIT")
        while database.give_back():
            pass
        assert size(path) < 600_000


def make_old(path: Path) -> None:
    """A file as older versions made it: it keeps its free pages."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as older:
        older.execute("PRAGMA journal_mode=WAL")
        older.executescript("".join(CHATS.migrations[:9]) + "PRAGMA user_version = 9")


def test_a_file_of_an_older_version_is_rewritten_once_and_gives_space_back_too(path: Path) -> None:
    make_old(path)
    with closing(Database(path, CHATS)) as database:
        fill(database, 2)
        assert delete_all(database) > 1
        assert size(path) < 600_000
    schema = look(path, "PRAGMA schema_version")
    Database(path, CHATS).close()
    assert look(path, "PRAGMA schema_version") == schema, "VACUUM would have raised it"


def test_a_full_card_leaves_a_file_of_an_older_version_as_it_is_and_a_later_start_rewrites_it(
    tmp_path: Path,
) -> None:
    with mounted(tmp_path / "card", "size=6m") as card:
        check_that_a_later_start_rewrites(card, card / "chats" / "chats.sqlite")


def check_that_a_later_start_rewrites(card: Path, old: Path) -> None:
    make_old(old)
    with closing(sqlite3.connect(old)) as older:
        older.executemany(
            "INSERT INTO turns (chat, number, question, form, asked, answer) VALUES (1, ?, '', ?, 0, ?)",
            [(number, str(number), "x" * 100_000) for number in range(20)],
        )
        older.execute("INSERT INTO chats DEFAULT VALUES")
        older.commit()
    with closing(Database(old, CHATS)) as database:
        with database.write() as connection:
            connection.execute("DELETE FROM chats")
        assert not database.give_back()
    assert look(old, "PRAGMA auto_vacuum") == [(0,)]
    remount(card, "size=20m")
    with closing(Database(old, CHATS)) as database:
        assert look(old, "PRAGMA auto_vacuum") == [(2,)]
        assert not database.give_back()
    assert size(old) < 200_000


# A full or failing filesystem, and a folder without permission


def test_a_full_disk_is_a_storage_error_and_writes_work_again_once_there_is_room(database: Database) -> None:
    add_turn(database, "before")
    with database.write() as connection:
        pages = pragma(connection, "page_count")
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        add_turn(database, "too much " * 10_000)
    assert [row[0] for row in database.read("SELECT question FROM turns")] == ["before"]
    assert count_chats(database) == 1
    with database.write() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
        connection.execute("UPDATE turns SET form = 'another'")
    add_turn(database, "too much " * 10_000)
    assert count_chats(database) == 2


def test_a_failed_write_is_a_storage_error_and_the_database_stays_readable(path: Path, database: Database) -> None:
    add_chat(database)
    log = path.with_name(path.name + "-wal")
    with files_not_larger_than(log.stat().st_size), pytest.raises(StorageError, match="I/O error"):
        add_chat(database)
    assert count_chats(database) == 1
    add_chat(database)
    assert count_chats(database) == 2


def test_a_damaged_page_of_the_file_is_a_storage_error(path: Path) -> None:
    with closing(Database(path, CHATS)) as database:
        for _ in range(3):
            add_chat(database)
        with database.write() as connection:
            connection.execute("UPDATE sqlite_sequence SET seq = seq")
            (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chats'").fetchone()
            size = int(str(pragma(connection, "page_size")))
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with closing(Database(path, CHATS)) as database:
        with pytest.raises(StorageError, match="malformed"):
            database.read("SELECT name FROM chats")
        with pytest.raises(StorageError, match="malformed"):
            add_chat(database)


def test_a_wrong_statement_is_an_sqlite_error_and_not_a_storage_error(database: Database) -> None:
    with pytest.raises(sqlite3.Error):
        database.read("SELECT nothing FROM nowhere")
    with pytest.raises(sqlite3.Error), database.write() as connection:
        connection.execute("INSERT INTO nowhere VALUES (1)")


@pytest.mark.parametrize("obstacle", ["no database", "a folder", "a file where the folder should be"])
def test_a_path_without_a_database_is_a_storage_error_that_names_it(path: Path, obstacle: str) -> None:
    if obstacle == "a folder":
        path.mkdir(parents=True)
    elif obstacle == "no database":
        path.parent.mkdir()
        path.write_text("These are my shopping lists.\n" * 200)
    else:
        path.parent.write_text("a file")
    with pytest.raises(StorageError) as failed:
        Database(path, CHATS)
    assert str(path) in str(failed.value)
    assert obstacle != "no database" or path.read_text() == "These are my shopping lists.\n" * 200


@pytest.mark.parametrize("denied", ["a new folder", "a new file", "a read-only file"])
def test_a_folder_without_permission_is_a_storage_error_that_names_the_path(denied: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to other users
        folder = Path(name)
        path = folder / "more" / "chats.sqlite" if denied == "a new folder" else folder / "chats.sqlite"
        if denied == "a read-only file":
            Database(path, CHATS).close()
            path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(StorageError) as failed:
            Database(path, CHATS)
        folder.chmod(0o755)
    assert str(path) in str(failed.value)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as the user nobody meanwhile, since root may write anywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
