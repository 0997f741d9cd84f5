"""A clock that nobody can believe, as on a machine without a battery: every page comes all the same."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House

from kindle_appliance import clock
from kindle_appliance.sentences import Moment, Sentence
from kindle_appliance.storage.backup import back_up, restore
from kindle_appliance.web.listed import when
from kindle_appliance.web.pin import Gate

UNBELIEVED = {
    "1970": 5.0,
    "2103": 4.2e9,
    "the year 10000": 253_402_300_800.0,
}
ABSURD = [-1e300, 1e12, math.inf]
PAGES = ("/", "/chats", "/chats/1/1", "/check", "/check/reports", "/addresses", "/healthz", "/answers/1?as=events")


@pytest.fixture(params=list(UNBELIEVED.values()), ids=list(UNBELIEVED))
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """A time that the clock of the machine shows."""
    shown: float = request.param
    monkeypatch.setattr(time, "time", lambda: shown)
    return shown


def test_the_clock_is_believed_from_2020_to_2100_only(monkeypatch: pytest.MonkeyPatch) -> None:
    end = 2100 if clock.LAST > 2**31 else 2038  # where dates end with the numbers of 32 bits
    for year, month, is_believed in ((2019, 12, False), (2020, 1, True), (end - 1, 12, True), (end, 1, False)):
        moment = datetime(year, month, 1, tzinfo=UTC).timestamp()
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert clock.is_believed(moment) == is_believed
        assert clock.now() == (moment if is_believed else clock.UNKNOWN)
    assert not clock.is_believed(math.nan)


def test_every_page_comes_whatever_the_clock_shows(wrong: float, gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer("Because.")
    with House(gemini.url, tmp_path) as house:
        assert house.ask("Why?") == (1, 1)
        assert house.send("/check", {"agent": "Kindle"}).status == 204
        with house.follow("/answers/1?as=text") as follow:
            assert follow.read_to_end() == b"Because."
        for page in PAGES:
            assert house.get(page).status == 200, page
        assert "on an unknown day" in house.get("/chats").data.decode()
        assert "on an unknown day" in house.get("/check/reports").data.decode()
        turn = house.chats.find_turn(1, 1)
        assert turn is not None and turn.asked == clock.UNKNOWN
        assert back_up(tmp_path, tmp_path / "backup", {})[0].rows == 1
    assert restore(tmp_path / "backup", tmp_path, ())[:2] == ({}, 0)


def test_a_pin_opens_a_session_whatever_the_clock_shows(wrong: float, gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, gate=Gate("4321", b"secret")) as house:
        assert house.get("/").status == 403
        cookie = house.post("/pin", {"pin": "4321"}).headers["Set-Cookie"].partition(";")[0]
        assert house.get("/", Cookie=cookie).status == 200


def test_the_limit_of_a_day_refuses_whatever_the_clock_shows(
    wrong: float, gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Because.")
    with House(gemini.url, tmp_path, allowed=(1000, None, 1)) as house:
        house.ask("Why?")
        refused = house.post("/ask", {"question": "How?"})
        assert refused.status == 429 and "New questions from tomorrow" in refused.data.decode()
        assert 0 < int(refused.headers["Retry-After"]) <= 86_401
        assert house.get("/").status == 200


def test_a_model_without_quota_is_asked_again_as_long_as_the_time_is_unknown(
    wrong: float, gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.error(429, "RESOURCE_EXHAUSTED", "Quota exceeded: GenerateRequestsPerDayPerProject")
    with House(gemini.url, tmp_path) as house:
        for number in (1, 2):
            house.ask("Why?")
            with house.follow(f"/answers/{number}?as=events") as follow:
                follow.read_to_end()
            assert "used up" in house.get(f"/chats/{number}/1").data.decode()
            asked = len(gemini.calls) / number
            assert asked == int(asked) >= 1, "as often as the first time"


@pytest.mark.parametrize("moment", ABSURD)
def test_an_absurd_time_in_a_row_breaks_no_page(
    moment: float, house: House, gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Because.")
    house.ask("Why?")
    house.reports.add({"agent": "Kindle"})
    note = Sentence("New questions from %(moment)s.", moment=Moment(moment)).to_json()
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    with house.database.write() as connection:
        connection.execute("UPDATE turns SET asked = ?, finish = 'failed', note = ?", (moment, note))
        connection.execute("UPDATE reports SET received = ?", (moment,))
        connection.execute("REPLACE INTO quotas VALUES ('place', 'model', ?, ?)", (moment, moment))
    house.stop()
    house.start()
    for page in PAGES:
        assert house.get(page).status == 200, page
    assert "New questions from tomorrow" in house.get("/chats/1/1").data.decode()


def test_a_moment_is_said_as_far_as_it_is_known() -> None:
    now = 1_795_910_400.0
    assert str(when(now, now)).startswith("today, ")
    assert str(when(now, clock.UNKNOWN)) == f"on {time.strftime('%Y-%m-%d', time.localtime(now))}"
    assert str(when(clock.UNKNOWN, now)) == str(when(math.nan, clock.UNKNOWN)) == "on an unknown day"


@pytest.mark.parametrize("moment", [clock.FIRST, clock.LAST - 1, 2.0**31, 4.1e9])
def test_a_moment_that_is_believed_can_be_said_on_every_system(moment: float) -> None:
    known = "today, " if clock.is_believed(moment) else "on an unknown day"
    assert str(when(moment, moment)).startswith(known)
    assert ":" in Moment(moment).to("en") or not clock.is_believed(moment)
