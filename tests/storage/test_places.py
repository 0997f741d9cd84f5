"""The places of readers: the last one that each device told, for a bounded number of devices and books."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kindle_appliance.clock import UNKNOWN
from kindle_appliance.storage.backup import back_up, restore
from kindle_appliance.storage.database import Database, inspect
from kindle_appliance.storage.places import MOST_BOOKS, MOST_DEVICES, Kept, Places
from kindle_appliance.storage.schema import CHATS

BOOK, OTHER = "a" * 64, "0123456789abcdef" * 4
NOW = 1_790_000_000.5


@pytest.fixture
def places(database: Database) -> Places:
    return Places(database)


def test_a_device_finds_the_place_that_it_told_last_also_one_further_back(places: Places) -> None:
    assert places.find(BOOK, "kindle", 1000) is None
    places.keep(BOOK, "kindle", 700, 1000, NOW)
    places.keep(BOOK, "kindle", 300, 1000, NOW)
    assert places.find(BOOK, "kindle", 1000) == 300
    assert places.find(BOOK, "phone", 1000) is None
    assert places.find(OTHER, "kindle", 1000) is None


@pytest.mark.parametrize(("length", "expected"), [(1000, 333), (2000, 666), (999, 332), (10, 3), (0, 0)])
def test_a_place_moves_with_a_book_that_is_read_otherwise_now_and_never_ahead(
    places: Places, length: int, expected: int
) -> None:
    places.keep(BOOK, "kindle", 333, 1000, NOW)
    assert places.find(BOOK, "kindle", length) == expected


@pytest.mark.parametrize("length", [1, 7, 1000, 320_547])
def test_a_finished_book_stays_finished_and_an_unread_one_unread(places: Places, length: int) -> None:
    places.keep(BOOK, "kindle", 1000, 1000, NOW)
    places.keep(OTHER, "kindle", 0, 0, NOW)
    assert places.find(BOOK, "kindle", length) == length
    assert places.find(OTHER, "kindle", length) == 0


def test_the_books_in_hand_come_with_the_last_one_first_whatever_the_clock_says(places: Places) -> None:
    places.keep(BOOK, "kindle", 1, 10, NOW)
    places.keep(OTHER, "kindle", 2, 10, UNKNOWN)
    places.keep("b" * 64, "phone", 3, 10, NOW)
    assert places.newest("kindle", 5) == [Kept(OTHER, 2, 10, UNKNOWN), Kept(BOOK, 1, 10, NOW)]
    places.keep(BOOK, "kindle", 5, 10, NOW - 1e6)
    assert places.newest("kindle", 1) == [Kept(BOOK, 5, 10, NOW - 1e6)]
    assert places.newest("tablet", 5) == []


def test_the_newest_fifty_devices_of_a_book_are_kept_and_others_push_out_none_of_another(
    database: Database, places: Places
) -> None:
    assert MOST_DEVICES == 50
    places.keep(OTHER, "kindle", 1, 10, NOW)
    for number in range(MOST_DEVICES):
        places.keep(BOOK, f"device-{number}", number, 100, UNKNOWN)
    places.keep(BOOK, "device-0", 70, 100, UNKNOWN)  # it is the newest now
    places.keep(BOOK, "one-more", 60, 100, UNKNOWN)
    assert places.find(BOOK, "device-0", 100) == 70
    assert places.find(BOOK, "device-1", 100) is None
    assert places.find(BOOK, "device-2", 100) == 2
    assert places.find(OTHER, "kindle", 10) == 1
    assert database.read("SELECT count(*) FROM places")[0][0] == MOST_DEVICES + 1


def test_all_devices_and_books_take_little_of_the_card(database: Database) -> None:
    places, before = Places(database, MOST_DEVICES, 20), pages(database)
    for book in range(24):
        for device in range(MOST_DEVICES + 1):
            places.keep(f"{book:064x}", f"{device:022x}", 250_000, 320_000, NOW)
    assert database.read("SELECT count(*) FROM places")[0][0] == 20 * MOST_DEVICES
    assert (pages(database) - before) * 4096 / 20 * MOST_BOOKS < 60_000_000


def pages(database: Database) -> int:
    return int(database.read("PRAGMA page_count")[0][0])


def test_a_forgotten_book_has_no_place(places: Places) -> None:
    for device in ("kindle", "phone"):
        places.keep(BOOK, device, 3, 10, NOW)
        places.keep(OTHER, device, 4, 10, NOW)
    places.forget(BOOK)
    places.forget("c" * 64)
    assert [places.find(BOOK, device, 10) for device in ("kindle", "phone")] == [None, None]
    assert [places.find(OTHER, device, 10) for device in ("kindle", "phone")] == [4, 4]


@pytest.mark.parametrize(
    ("book", "device", "position", "length"),
    [
        ("A" * 64, "kindle", 1, 2),
        ("a" * 63, "kindle", 1, 2),
        (BOOK, "", 1, 2),
        (BOOK, "k" * 65, 1, 2),
        (BOOK, "kin dle", 1, 2),
        (BOOK, "kindle", -1, 2),
        (BOOK, "kindle", 3, 2),
        (BOOK, "kindle", 1, 1 << 40),
    ],
)
def test_what_can_be_no_place_is_a_bug(
    database: Database, places: Places, book: str, device: str, position: int, length: int
) -> None:
    with pytest.raises(ValueError, match="no place"):
        places.keep(book, device, position, length, NOW)
    assert database.read("SELECT * FROM places") == []


def test_asking_for_places_writes_nothing(tmp_path: Path, database: Database, places: Places) -> None:
    places.keep(BOOK, "kindle", 3, 10, NOW)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if "-shm" not in each.name}
    places.find(BOOK, "kindle", 10)
    places.find(BOOK, "phone", 10)
    places.newest("kindle", 10)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if "-shm" not in each.name} == before


@pytest.mark.parametrize(
    "change",
    [
        "book = 'no hash'",
        "device = CAST(x'ff00fe' AS TEXT)",
        "device = CAST(zeroblob(64) AS TEXT)",
        "position = -1",
        "position = 11",
        "length = 1 << 60, position = 1 << 59",
        "moment = 1e300",
        "moment = -1",
    ],
)
def test_a_damaged_place_is_none_and_counts_as_damaged(
    tmp_path: Path, database: Database, places: Places, change: str
) -> None:
    places.keep(BOOK, "kindle", 3, 10, NOW)
    places.keep(OTHER, "kindle", 4, 10, NOW)
    with database.write() as connection:
        connection.execute(f"UPDATE places SET {change} WHERE book = ?", (BOOK,))
    assert places.find(BOOK, "kindle", 10) is None
    assert places.find(OTHER, "kindle", 10) == 4
    assert [kept.book for kept in places.newest("kindle", 9)] == [OTHER]
    assert inspect(tmp_path / "chats.sqlite", CHATS).damaged == 1
    places.keep(BOOK, "kindle", 5, 10, NOW)
    assert places.find(BOOK, "kindle", 10) == 5


def test_a_number_after_which_there_is_none_does_not_mix_up_the_order(database: Database) -> None:
    places = Places(database, most_devices=2)
    places.keep(BOOK, "old", 1, 10, NOW)
    with database.write() as connection:
        connection.execute("UPDATE places SET told = 9223372036854775807")
    for number, device in enumerate(("one", "two", "three")):
        places.keep(BOOK, device, number, 10, NOW)
        assert places.find(BOOK, device, 10) == number


def test_places_are_in_a_backup_and_come_back_with_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with closing(Database(state / "chats.sqlite", CHATS)) as database:
        Places(database).keep(BOOK, "kindle", 3, 10, NOW)
    back_up(state, tmp_path / "backup", {})
    with closing(Database(state / "chats.sqlite", CHATS)) as database:
        Places(database).keep(BOOK, "kindle", 9, 10, NOW)
    restore(tmp_path / "backup", state, ())
    with closing(Database(state / "chats.sqlite", CHATS)) as database:
        assert Places(database).newest("kindle", 2) == [Kept(BOOK, 3, 10, NOW)]
        Places(database).keep(OTHER, "kindle", 1, 10, NOW)
        assert [kept.book for kept in Places(database).newest("kindle", 2)] == [OTHER, BOOK]


def test_a_file_of_the_version_before_gets_its_places(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    with closing(Database(path, CHATS.at(13))) as database, database.write() as connection:
        connection.execute("INSERT INTO chats DEFAULT VALUES")
    with closing(Database(path, CHATS)) as database:
        Places(database).keep(BOOK, "kindle", 3, 10, NOW)
        assert Places(database).find(BOOK, "kindle", 10) == 3
    assert inspect(path, CHATS).trouble == "" and inspect(path, CHATS).rows == 1


class Told(RuleBasedStateMachine):
    """A model that keeps a list of all places, the last one told at its end."""

    DEVICES, BOOKS = 3, 4
    device = st.sampled_from([f"device-{number}" for number in range(6)])
    book = st.sampled_from([f"{number}" * 64 for number in range(7)])

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.told: dict[tuple[str, str], Kept] = {}
        self.open()

    def open(self) -> None:
        self.database = Database(Path(self.folder.name) / "chats.sqlite", CHATS)
        self.places = Places(self.database, self.DEVICES, self.BOOKS)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    @rule(
        book=book,
        device=device,
        place=st.integers(0, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    )
    def tell(self, book: str, device: str, place: tuple[int, int]) -> None:
        self.places.keep(book, device, *place, NOW)
        self.told.pop((book, device), None)
        self.told[book, device] = Kept(book, *place, NOW)
        devices = [each for each in self.told if each[0] == book]
        for each in devices[: -self.DEVICES]:
            del self.told[each]
        books = list(dict.fromkeys(each[0] for each in reversed(self.told)))
        self.told = {each: kept for each, kept in self.told.items() if each[0] in books[: self.BOOKS]}

    @rule(book=book)
    def forget(self, book: str) -> None:
        self.places.forget(book)
        self.told = {each: kept for each, kept in self.told.items() if each[0] != book}

    @rule()
    def start_again(self) -> None:
        self.database.close()
        self.open()

    @rule(book=book, device=device, length=st.integers(0, 60))
    def ask(self, book: str, device: str, length: int) -> None:
        kept = self.told.get((book, device))
        found = self.places.find(book, device, length)
        assert (found is None) == (kept is None)
        if kept is not None and found is not None:
            assert 0 <= found <= length
            assert (
                found == kept.position if length == kept.length else found * kept.length <= kept.position * length
            )

    @invariant()
    def each_device_has_its_books(self) -> None:
        if hasattr(self, "database"):
            for number in range(6):
                mine = [kept for (_, device), kept in reversed(self.told.items()) if device == f"device-{number}"]
                assert self.places.newest(f"device-{number}", 2) == mine[:2]
            assert self.database.read("SELECT count(*) FROM places")[0][0] == len(self.told)


@pytest.mark.slow
def test_places_are_those_of_a_model_that_keeps_a_list() -> None:
    run_state_machine_as_test(Told)
