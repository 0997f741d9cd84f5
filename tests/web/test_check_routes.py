"""The page that tests a browser, its slow stream, and the reports that it sends."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, begin

from kindle_appliance.errors import StorageError
from kindle_appliance.sentences import Sentence
from kindle_appliance.web.check import REPORT_SECONDS, REPORTS, REPORTS_PER_ADDRESS


def test_the_check_sets_a_cookie_that_its_script_can_read(house: House) -> None:
    response = house.get("/check")
    page = response.data.decode()
    made_at = re.search(r'name="madeAt" value="(\d+)"', page)
    assert response.status == 200 and made_at
    cookie = response.headers["Set-Cookie"].lower()
    assert cookie.startswith(f"server={made_at[1]}; path=/check") and "httponly" not in cookie
    assert 'href="/check/reports"' in page and "Asking and reading work all the same" in page


def test_the_pieces_of_the_check_come_one_by_one(house: House) -> None:
    begun = time.monotonic()
    with house.follow("/check/stream") as follow:
        assert follow.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        for number in range(3):
            follow.read_until(f"data: {number}\n\n")
            assert f"data: {number + 1}".encode() not in follow.body, "it has arrived before the next is sent"
        assert follow.read_to_end().count(b"data: ") == 3
    assert follow.body.index(b"data: ") > 1024, "a padded start"
    assert time.monotonic() - begun > 1.1, "with a pause after each"


def test_the_check_takes_no_seat_from_readers(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        call = begin(house, gemini, "Word ")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_until("Word")
            assert house.get("/check/stream").data == b""
            assert house.get("/check/stream").status == 503, "the page says that it does not know"
            call.finish(".")
            follow.read_to_end()


def test_a_report_is_stored_and_shown_as_text_only(house: House) -> None:
    nasty = "<script>alert(1)</script> ${Ask} $style </td> \U0001f600 | ' \""
    report = {"agent": nasty, nasty: {nasty: 1}, "row": f"| {nasty} |", "Engine": nasty, "when": nasty}
    assert house.send("/check", report).status == 204
    page = house.get("/check/reports").data.decode()
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert(1)") == 6 and "${Ask} $style" in page
    assert house.reports.latest()[0].values == report


def test_half_a_surrogate_pair_in_a_report_does_no_harm(house: House) -> None:
    assert house.send("/check", b'{"agent": "a\\ud83d\\u0000", "\\udc00": [NaN, 1]}').status == 400
    assert house.send("/check", b'{"agent": "a\\ud83d\\u0000", "\\udc00": ["\\ud83d", 1]}').status == 204
    assert house.reports.latest()[0].values == {"agent": "a?\0", "?": ["?", 1]}
    assert "a?" in house.get("/check/reports").data.decode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b"\xff", 400, "not valid JSON"),
        (b"[" * 8000, 400, "not valid JSON"),
        ([], 400, "an object of short values"),
        ("text", 400, "an object of short values"),
        (None, 400, "an object of short values"),
        ({"a": "x" * 601}, 400, "an object of short values"),
        ({"a": ["x" * 601]}, 400, "an object of short values"),
        ({"a": {"b": []}}, 400, "an object of short values"),
        ({"a": [{}]}, 400, "an object of short values"),
        (b'{"a": NaN}', 400, "an object of short values"),
        (b'{"a": 1e999}', 400, "an object of short values"),
        (b'{"a": %s}' % (b"9" * 5000), 400, "not valid JSON"),
        (b'{"a": %s}' % (b"9" * 700), 400, "an object of short values"),
        ({str(number): 1 for number in range(41)}, 400, "an object of short values"),
        ({str(number): "x" * 590 for number in range(14)}, 413, "too much at once"),
    ],
)
def test_a_malformed_report_is_refused_with_a_sentence(house: House, body: object, status: int, words: str) -> None:
    response = house.send("/check", body)
    assert (response.status, words in json.loads(response.data)["error"]) == (status, True), response.data
    assert house.reports.latest() == []


def test_a_report_must_be_json_which_no_foreign_page_can_send(house: House) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = house.send("/check", {"agent": "x"}, Content_Type=content_type)
        assert response.status == 415 and "application/json" in json.loads(response.data)["error"]
    assert house.post("/check/reports", {}).status == house.post("/check/stream", {}).status == 405


@pytest.mark.parametrize("addresses", [1, 10])
def test_a_house_that_tests_ten_devices_three_times_is_never_refused(house: House, addresses: int) -> None:
    for number in range(30):
        client = house.at(f"127.0.0.{2 + number % addresses}")
        assert client.get("/check").status == 200
        assert client.send("/check", {"agent": f"device {number % 10}"}).status == 204


def test_reports_without_end_are_refused_and_others_may_still_send_theirs(house: House) -> None:
    sent = [house.send("/check", {"agent": str(number)}) for number in range(REPORTS_PER_ADDRESS + 5)]
    assert [each.status for each in sent] == [204] * REPORTS_PER_ADDRESS + [429] * 5
    assert 0 < int(sent[-1].headers["Retry-After"]) <= REPORT_SECONDS / REPORTS_PER_ADDRESS + 1
    assert "Too many reports at once. Please try again in" in json.loads(sent[-1].data)["error"]
    assert house.reports.latest()[0].values == {"agent": str(REPORTS_PER_ADDRESS - 1)}
    taken = sum(
        house.at(f"127.0.0.{2 + number // REPORTS_PER_ADDRESS}").send("/check", {}).status == 204
        for number in range(REPORTS)
    )
    assert taken == REPORTS - REPORTS_PER_ADDRESS, "there is a limit for all addresses together"


def test_a_report_that_cannot_be_stored_is_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(report: object) -> None:
        raise StorageError(Sentence("The appliance cannot store anything: its card is full or read-only."))

    monkeypatch.setattr(house.reports, "add", fails)
    response = house.send("/check", {})
    assert response.status == 503 and "cannot store" in json.loads(response.data)["error"]
