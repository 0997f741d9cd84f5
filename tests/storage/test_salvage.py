"""A file that SQLite cannot use is set aside untouched, and what can be read of it is in a new one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Soak
from fakes.damage import CHATS_KEPT, DEVICE, PAGE, ROWS, Weeks, count_pages, destroyed, saved, write_weeks
from fakes.filesystem import mounted, remount

from kindle_appliance.clock import UNKNOWN
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import OwnerError, StorageError
from kindle_appliance.storage.backup import back_up
from kindle_appliance.storage.chats import Chats
from kindle_appliance.storage.damage import Damage
from kindle_appliance.storage.database import Database, inspect
from kindle_appliance.storage.places import Places
from kindle_appliance.storage.reports import Reports
from kindle_appliance.storage.rows import Turn
from kindle_appliance.storage.schema import CHATS
from kindle_appliance.storage.set_aside import MOST_SET_ASIDE


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Weeks:
    """The content of a file, and its turns."""
    file = tmp_path_factory.mktemp("weeks") / "chats.sqlite"
    turns = write_weeks(file)
    return Weeks(file.read_bytes(), turns)


@pytest.fixture
def file(weeks: Weeks, tmp_path: Path) -> Path:
    """A good file of some weeks."""
    file = tmp_path / "chats.sqlite"
    file.write_bytes(weeks[0])
    return file


@contextmanager
def mended(file: Path) -> Iterator[Database]:
    with closing(Database(file, CHATS, mends=True)) as database:
        yield database


def damage(file: Path, page: int = 1, kind: str = "zeros") -> bytes:
    """Destroy a page of a file, and return what it holds then."""
    file.write_bytes(destroyed(file.read_bytes(), page, kind))
    return file.read_bytes()


def set_aside(file: Path) -> list[Path]:
    return sorted(file.parent.glob("chats-damaged-*.sqlite"))


def check_new(database: Database) -> None:
    """Asserts that a salvaged file is a good one in every respect."""
    assert database.read("PRAGMA integrity_check")[0][0] == "ok"
    assert database.read("PRAGMA foreign_key_check") == []
    assert database.read("PRAGMA user_version")[0][0] == CHATS.version


@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_whatever_page_is_destroyed_nearly_all_rows_are_saved(
    weeks: Weeks, tmp_path: Path, kind: str, soak: Soak
) -> None:
    content, turns = weeks
    results = []
    for page in range(1, len(content) // PAGE + 1):
        file = tmp_path / str(page) / "chats.sqlite"
        file.parent.mkdir()
        bad = destroyed(content, page, kind)
        file.write_bytes(bad)
        with mended(file) as database:
            chats = Chats(database)
            assert len(chats.recent(100)) == len(chats.recent(100, DEVICE)) == CHATS_KEPT
            results.append((page, *saved(chats, turns)))
            assert chats.ask("New?", None, "new")[0].id > max(turns)
            if aside := set_aside(file):
                check_new(database)
                assert aside[0].read_bytes() == bad
        shutil.rmtree(file.parent)
    for page, whole, there in results:
        soak.tell(
            f"page {page} of {len(results)}, {kind}: {whole} of {ROWS} turns whole, {there} with their question"
        )
    assert all(there >= 38 for _, _, there in results)
    assert sum(whole < 38 for _, whole, _ in results) <= 2, results


@pytest.mark.parametrize("count", [0, 1, 0xFFFF])
def test_a_page_that_says_another_number_of_rows_than_it_has_takes_no_others_away(
    weeks: Weeks, tmp_path: Path, count: int
) -> None:
    content, turns = weeks
    for page in range(1, len(content) // PAGE + 1):
        start = (page - 1) * PAGE + (100 if page == 1 else 0)
        if content[start] not in (2, 5, 10, 13):
            continue
        file = tmp_path / str(page) / "chats.sqlite"
        file.parent.mkdir()
        file.write_bytes(content[: start + 3] + count.to_bytes(2, "big") + content[start + 5 :])
        with mended(file) as database:
            whole, there = saved(Chats(database), turns)
            assert there >= 38 and whole >= 34, page
            check_new(database)


def test_an_index_that_differs_from_its_table_is_made_anew(file: Path, weeks: Weeks, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"Question 9:")] ^= 1
    file.write_bytes(content)
    assert "missing from index" in inspect(file, CHATS).trouble
    with mended(file) as database:
        assert database.damage is None
        check_new(database)
        assert len(Chats(database).recent(100)) == CHATS_KEPT
    assert inspect(file, CHATS).trouble == "" and not set_aside(file)
    assert back_up(file.parent, tmp_path / "backup", {})[0].rows == CHATS_KEPT


def test_a_file_with_a_destroyed_header_loses_nothing(file: Path, weeks: Weeks) -> None:
    before = damage(file, kind="head")
    with mended(file) as database:
        assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)
        assert len(Reports(database).latest()) == 1
        assert Places(database).find("5a" * 32, DEVICE, 320_000) == 1234
        assert [tuple(row) for row in database.read("SELECT * FROM quotas")] == [("place", "model", 1.5, 2.5)]
        assert [row[0] for row in database.read("SELECT questions FROM asked")] == [ROWS + 3]
        check_new(database)
        damaged = database.damage
    assert damaged is not None and damaged.saved == ROWS
    assert [each.read_bytes() for each in set_aside(file)] == [before]
    with mended(file) as database:  # and once more
        assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)
    assert len(set_aside(file)) == 1
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_what_was_deleted_stays_deleted_whatever_page_is_destroyed(weeks: Weeks, tmp_path: Path) -> None:
    content, turns = weeks
    for page in range(1, len(content) // PAGE + 1):
        file = tmp_path / "chats.sqlite"
        file.write_bytes(destroyed(content, page, "zeros"))
        with mended(file) as database:
            texts = [row[0] for row in database.read("SELECT question FROM turns")]
            assert not [text for text in texts if text.startswith(("Question 0:", "Question 1:", "Question 2:"))]
            assert Chats(database).is_deleted_turn(min(turns) - 1)
        for each in tmp_path.iterdir():
            each.unlink()


def test_rows_of_a_deleted_chat_on_free_pages_do_not_come_back(tmp_path: Path) -> None:
    """Even where SQLite leaves what it frees as it is, and the list of free pages is lost with the header."""
    file = tmp_path / "chats.sqlite"
    with closing(Database(file, CHATS)) as database:
        chats = Chats(database)
        turns = [chats.ask(f"Question {number}", None, str(number))[0] for number in range(20)]
        for turn in turns:
            chats.store_ending(turn.id, "secret " * 400, Ending(Finish.COMPLETE))
        with database.write() as connection:
            connection.execute("PRAGMA secure_delete=OFF")
        for turn in turns[3:17]:
            chats.delete(turn.chat)
    assert b"secret" in file.read_bytes()
    for kind in ("zeros", "head"):
        damage(file, kind=kind)
        with mended(file) as database:
            kept = {row[0] for row in database.read("SELECT question FROM turns")}
            assert kept == {turn.question for turn in (*turns[:3], *turns[17:])}


def test_what_stands_only_in_the_log_is_saved_and_the_log_set_aside_too(
    file: Path, weeks: Weeks, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / "chats.sqlite"
    copy.parent.mkdir()
    with closing(Database(file, CHATS)) as database:
        turn, _ = Chats(database).ask("Only in the log?", None, "new")
        Chats(database).delete(max(each.chat for each in weeks[1].values()))
        gone = {each.id for each in weeks[1].values() if Chats(database).find_turn_by_id(each.id) is None}
        for suffix in ("", "-wal"):
            shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    damage(copy, page=count_pages(copy) // 2)
    (wal := copy.with_name("chats.sqlite-wal")).stat()
    log = wal.read_bytes()
    copy.write_bytes(b"These are my shopping lists.\n" + copy.read_bytes()[29:])
    # The log has the first page, so SQLite would still read the file. Without the index of its tables it cannot.
    with mended(copy) as database:
        found = Chats(database).find_turn_by_id(turn.id)
        assert found is not None and found.question == "Only in the log?"
        assert gone and all(Chats(database).find_turn_by_id(each) is None for each in gone)
    if aside := set_aside(copy):
        assert aside[0].with_name(f"{aside[0].name}-wal").read_bytes() == log


def test_a_log_without_its_file_or_header_is_not_thrown_away(file: Path, weeks: Weeks, tmp_path: Path) -> None:
    for name in ("the file is empty", "the header is destroyed", "a frame is destroyed"):
        copy = tmp_path / name / "chats.sqlite"
        copy.parent.mkdir()
        with closing(Database(file, CHATS)) as database:
            Chats(database).ask(name, None, name)
            Chats(database).ask("And then?", None, name)
            for suffix in ("", "-wal"):
                shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
        wal = copy.with_name("chats.sqlite-wal")
        log = bytearray(wal.read_bytes())
        if name == "the file is empty":
            copy.write_bytes(b"")
        elif name == "the header is destroyed":
            log[:32] = os.urandom(32)
            wal.write_bytes(log)
        else:
            log[-100:] = os.urandom(100)
            wal.write_bytes(log)
        with mended(copy) as database:
            questions = {row[0] for row in database.read("SELECT question FROM turns")}
            assert name in questions
            if name == "the header is destroyed":
                assert "And then?" in questions
                assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)


def test_a_log_whose_file_is_gone_is_salvaged_and_set_aside(tmp_path: Path) -> None:
    kept, file = tmp_path / "kept" / "chats.sqlite", tmp_path / "chats.sqlite"
    with closing(Database(kept, CHATS)) as database:
        Chats(database).ask("Where is the rest?", None, "form")
        shutil.copy(f"{kept}-wal", f"{file}-wal")
    with mended(file) as database:
        assert [row[0] for row in database.read("SELECT question FROM turns")] == ["Where is the rest?"]
        assert database.damage is not None and database.damage.saved == 1
    (aside,) = set_aside(file)
    assert aside.stat().st_size == 0 and aside.with_name(f"{aside.name}-wal").stat().st_size > 0


@pytest.mark.parametrize("what", ["a part", "zeros", "text", "empty", "folder", "noise"])
def test_something_else_in_the_place_of_the_file_is_set_aside_and_said(file: Path, weeks: Weeks, what: str) -> None:
    content = file.read_bytes()
    others = {
        "a part": content[: len(content) * 3 // 4 + 100],
        "zeros": bytes(len(content)),
        "text": b"These are my shopping lists.\n" * 2000,
        "empty": b"",
        "noise": os.urandom(100_000),
    }
    file.unlink()
    if what == "folder":
        file.mkdir()
        (file / "kept").touch()
    else:
        file.write_bytes(others[what])
    with mended(file) as database:
        _, there = saved(Chats(database), weeks[1])
        assert (there > 10) == (what == "a part")
        check_new(database)
        told = database.damage
        Chats(database).ask("Does it go on?", None, "new")
    if what == "empty":  # the same as a new one
        assert told is None
        return
    assert told is not None and told.saved == there
    aside = file.with_name(told.file)
    assert (aside / "kept").is_file() if what == "folder" else aside.read_bytes() == others[what]
    assert ("Nothing of them could be saved" in str(told.sentence(told.moment + 60))) == (what != "a part")
    assert told.sentence(told.moment + 8 * 86400) is None


def test_a_file_of_each_older_version_is_salvaged_and_migrated(tmp_path: Path) -> None:
    for version in range(1, CHATS.version + 1):
        for kind in ("head", "zeros", "last"):
            file = tmp_path / f"{version}-{kind}" / "chats.sqlite"
            older = replace(CHATS, migrations=CHATS.migrations[:version])
            with closing(Database(file, older)) as old, old.write() as connection:
                for number in range(30):
                    connection.execute("INSERT INTO chats DEFAULT VALUES")
                    connection.execute(
                        "INSERT INTO turns (chat, number, question, form, asked, answer, finish)"
                        " VALUES (?, 1, ?, ?, 5, ?, 'complete')",
                        (number + 1, f"Why {number}?", str(number), "Because. " * 100),
                    )
            page = count_pages(file) if kind == "last" else 1
            damage(file, page, "zeros" if kind == "last" else kind)
            with mended(file) as database:
                check_new(database)
                found = [Chats(database).find_turn_by_id(number) for number in range(1, 31)]
                assert sum(each is not None and each.answer == "Because. " * 100 for each in found) >= 24
                assert set_aside(file)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'turns'",
        "UPDATE sqlite_sequence SET seq = 4611686018427387904 WHERE name = 'chats'",
        "UPDATE turns SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM turns)",
    ],
)
def test_an_id_after_which_there_is_none_does_not_end_the_asking(file: Path, weeks: Weeks, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()
    with mended(file) as database:
        chats = Chats(database)
        assert saved(chats, weeks[1])[0] >= ROWS - 1
        turn, _ = chats.ask("Does it go on?", None, "new")
        assert max(weeks[1]) < turn.id < 10**6 and turn.chat < 10**6
        check_new(database)


def test_ids_are_not_given_again_even_when_their_counter_is_lost(file: Path, weeks: Weeks) -> None:
    with closing(Database(file, CHATS)) as database:
        newest = Chats(database).ask("To be deleted", None, "new")[0]
        Chats(database).delete(newest.chat)
        (page,) = database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'")[0]
    damage(file, page)
    with mended(file) as database:
        turn, _ = Chats(database).ask("The next one", None, "newer")
        assert turn.id > newest.id and turn.chat > newest.chat
        assert Chats(database).is_deleted_turn(newest.id) and Chats(database).is_deleted_chat(newest.chat)
        assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)


def test_earlier_damaged_files_are_never_overwritten_and_not_collected_without_end(file: Path) -> None:
    kept = []
    for number in range(MOST_SET_ASIDE):
        kept.append(damage(file, kind="head"))
        with mended(file) as database:
            assert Chats(database).ask(f"Question {number} of a bad day", None, str(number))
        assert len(set_aside(file)) == number + 1
    assert sorted(each.read_bytes() for each in set_aside(file)) == sorted(kept)
    bad = damage(file, kind="head")
    with mended(file) as database:  # reading goes on
        assert len(Chats(database).recent(100)) == CHATS_KEPT + MOST_SET_ASIDE
        assert database.damage is not None and not database.damage.file
        with pytest.raises(StorageError):
            Chats(database).ask("One more?", None, "more")
    assert file.read_bytes() == bad


# While it runs


def forget_pages(database: Database) -> None:
    """Let a running database read pages from the card again."""
    database.read("PRAGMA shrink_memory")
    with database.write() as connection:
        connection.execute("PRAGMA shrink_memory")


def test_damage_met_while_running_is_mended_once_for_all_threads(file: Path, weeks: Weeks) -> None:
    with mended(file) as database:
        chats = Chats(database)
        (root,) = database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'turns'")[0]
        damage(file, root)
        forget_pages(database)
        together = threading.Barrier(8)

        def work(number: int) -> int:
            together.wait()
            listed = len(chats.recent(100))
            chats.ask(f"Thread {number}", None, f"thread-{number}")
            return listed

        with ThreadPoolExecutor(8) as pool:
            assert min(pool.map(work, range(8))) >= CHATS_KEPT
        assert saved(chats, weeks[1])[1] == ROWS
        asked = {row[0] for row in database.read("SELECT question FROM turns")}
        assert {f"Thread {number}" for number in range(8)} <= asked
        check_new(database)
    assert len(set_aside(file)) == 1
    with mended(file) as database:
        assert saved(Chats(database), weeks[1])[1] == ROWS


def test_a_write_that_meets_damage_is_done_and_not_done_twice(file: Path) -> None:
    with mended(file) as database:
        chats = Chats(database)
        (root,) = database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_turns_2'")[0]
        damage(file, root)
        forget_pages(database)
        entered = []

        @contextmanager
        def accept(connection: sqlite3.Connection, turn: Turn) -> Iterator[None]:
            entered.append(turn)
            yield

        turn, is_new = chats.ask("Once?", None, "once", accept=accept)
        assert is_new and entered[-1] == turn
        assert [row[0] for row in database.read("SELECT id FROM turns WHERE question = 'Once?'")] == [turn.id]
        assert len(set_aside(file)) == 1


def test_a_read_inside_a_transaction_that_meets_damage_runs_the_whole_again(file: Path) -> None:
    with mended(file) as database:
        chats = Chats(database)
        (root,) = database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'reports'")[0]
        damage(file, root)
        forget_pages(database)

        @contextmanager
        def accept(connection: sqlite3.Connection, turn: Turn) -> Iterator[None]:
            Reports(database).latest()
            yield

        turn, _ = chats.ask("Once?", None, "once", accept=accept)
        assert chats.find_turn_by_id(turn.id) is not None
        assert len(set_aside(file)) == 1


# A card that cannot be written to, and a power cut


def test_on_a_full_card_what_can_be_read_is_read_and_the_file_stays(weeks: Weeks, tmp_path: Path) -> None:
    content, turns = weeks
    with mounted(tmp_path / "card", f"size={len(content) + 3 * PAGE}") as card:
        file = card / "chats.sqlite"
        file.write_bytes(destroyed(content, 1, "head"))
        with mended(file) as database:
            assert saved(Chats(database), turns) == (ROWS, ROWS)
            with pytest.raises(StorageError):
                Chats(database).ask("Is there room?", None, "new")
            assert "takes nothing new" in str(database.damage and database.damage.sentence(0))
        assert file.read_bytes() == destroyed(content, 1, "head")
        assert {each.name for each in card.iterdir()} <= {"chats.sqlite", "chats.sqlite-wal", "chats.sqlite-shm"}
        remount(card, f"size={4 * len(content)}")
        with mended(file) as database:
            assert saved(Chats(database), turns) == (ROWS, ROWS)
            assert Chats(database).ask("Is there room?", None, "new")


def test_on_a_read_only_card_what_can_be_read_is_read(weeks: Weeks, tmp_path: Path) -> None:
    content, turns = weeks
    with mounted(tmp_path / "card") as card:
        file = card / "chats.sqlite"
        file.write_bytes(destroyed(content, 1, "zeros"))
        remount(card, "ro")
        with mended(file) as database:
            assert saved(Chats(database), turns) == (ROWS, ROWS)
            with pytest.raises(StorageError):
                Chats(database).ask("May I?", None, "new")


CUT = """
import os, signal, sys
from pathlib import Path
from kindle_appliance.storage import set_aside
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.schema import CHATS
steps = int(sys.argv[2])
def counted(call):
    def run(*values, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*values, **named)
    return run
for name in ("rename", "replace", "unlink", "write_text", "touch"):
    setattr(Path, name, counted(getattr(Path, name)))
os.fsync = counted(os.fsync)
Database(Path(sys.argv[1]), CHATS, mends=True).close()
print("done")
"""


def test_a_power_cut_at_any_step_of_a_salvage_loses_nothing(file: Path, weeks: Weeks, tmp_path: Path) -> None:
    with closing(Database(file, CHATS)) as database:
        turn, _ = Chats(database).ask("Only in the log?", None, "new")
        source = tmp_path / "source"
        source.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{file}{suffix}", source / f"chats.sqlite{suffix}")
    (source / "chats.sqlite").write_bytes(bytes(PAGE) + (source / "chats.sqlite").read_bytes()[PAGE:])
    log = bytearray((source / "chats.sqlite-wal").read_bytes())
    log[:4] = b"\xff" * 4
    (source / "chats.sqlite-wal").write_bytes(log)
    for step in range(100):
        folder = tmp_path / str(step)
        shutil.copytree(source, folder)
        command = [sys.executable, "-c", CUT, str(folder / "chats.sqlite"), str(step)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        with mended(folder / "chats.sqlite") as database:
            assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)
            assert Chats(database).find_turn_by_id(turn.id) is not None
            assert database.damage is not None and database.damage.saved == ROWS + 1
        aside = set_aside(folder / "chats.sqlite")
        assert [each.read_bytes() for each in aside] == [(source / "chats.sqlite").read_bytes()]
        assert aside[0].with_name(f"{aside[0].name}-wal").read_bytes() == bytes(log)
        assert not list(folder.glob(".chats*"))
        if done.returncode == 0:
            assert step > 8
            return
    pytest.fail("the salvage never ended")


# What it must not do


def test_a_good_file_and_one_of_a_newer_version_are_left_alone(file: Path) -> None:
    before = file.read_bytes()
    with mended(file) as database:
        assert database.damage is None
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {CHATS.version + 1}")
        connection.execute("CREATE TABLE of_a_newer_version (id INTEGER PRIMARY KEY)")
    with pytest.raises(OwnerError, match="newer version") as refused:
        Database(file, CHATS, mends=True)
    assert not isinstance(refused.value, StorageError)
    assert before and not set_aside(file)


def test_a_migration_that_cannot_be_done_leaves_the_file_where_it_is(file: Path) -> None:
    broken = replace(CHATS, migrations=(*CHATS.migrations, "INSERT INTO nowhere VALUES (1)"))
    before = file.read_bytes()
    with pytest.raises(StorageError):
        Database(file, broken, mends=True)
    assert not set_aside(file) and file.read_bytes()[100:] == before[100:]


@pytest.mark.parametrize("place", range(0, 100, 4))
def test_whatever_bit_of_the_header_turns_over_all_is_read_and_the_next_question_stored(
    file: Path, weeks: Weeks, place: int
) -> None:
    content = file.read_bytes()
    for bit in range(32):
        changed = bytearray(content)
        changed[place + bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        with mended(file) as database:
            chats = Chats(database)
            assert saved(chats, weeks.turns) == (ROWS, ROWS), bit
            assert chats.ask("New?", None, "new")[0].id > max(weeks.turns)
            check_new(database)
        for each in [*file.parent.iterdir()]:
            each.unlink()


def test_each_step_of_the_schema_changes_what_the_file_says_of_its_tables() -> None:
    # So a file without the tables of its version is damaged, not newer or older.
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        found: list[object] = [[]]
        for version in range(1, CHATS.version + 1):
            CHATS.migrate(connection, version)
            found.append(connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall())
            assert found[-1] != found[-2], version


@pytest.mark.parametrize("bit", range(8))
def test_a_schema_with_a_flipped_bit_is_mended(file: Path, weeks: Weeks, bit: int) -> None:
    content = bytearray(file.read_bytes())
    place = content.index(b"question TEXT NOT NULL")
    content[place + 2] ^= 1 << bit
    file.write_bytes(content)
    with mended(file) as database:
        assert len(Chats(database).recent(100)) == CHATS_KEPT
        assert saved(Chats(database), weeks[1]) == (ROWS, ROWS)


def test_the_record_of_a_salvage_goes_with_the_damaged_file(file: Path) -> None:
    damage(file)
    with mended(file) as database:
        assert database.damage is not None
        record = json.loads(set_aside(file)[0].with_suffix(".json").read_text())
        assert record["saved"] == ROWS
        set_aside(file)[0].unlink()
        assert database.damage is None
    assert inspect(file, CHATS).damaged == 0


def test_a_message_of_sqlite_that_quotes_the_damage_is_no_bug(file: Path, weeks: Weeks) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"question TEXT NOT NULL")] = 0xE5
    content[content.index(b"TEXT NOT NULL,\n            form")] = 0xE5
    content[content.index(b"PRIMARY KEY AUTOINCREMENT,\n            chat")] = 0xE5
    file.write_bytes(content)
    assert "malformed" in inspect(file, CHATS).trouble
    with mended(file) as database:
        assert saved(Chats(database), weeks.turns) == (ROWS, ROWS)


def test_damage_that_was_met_before_the_time_was_known_is_told_of_afterwards() -> None:
    today = 1_795_000_000.0
    assert Damage(UNKNOWN, "chats-damaged-1970-01-01.sqlite", 3).sentence(today) is not None
    assert Damage(today, "chats-damaged.sqlite", 3).sentence(today + 8 * 86400) is None
