"""Browser reports: the last twenty are kept as sent; a bad one is refused before anything is stored."""

from __future__ import annotations

import time

import pytest

from kindle_appliance.errors import ReaderError
from kindle_appliance.storage.database import Database
from kindle_appliance.storage.reports import REPORTS_KEPT, Reports


@pytest.fixture
def reports(database: Database) -> Reports:
    return Reports(database)


def test_a_report_comes_back_as_it_was_sent_with_the_time(reports: Reports) -> None:
    sent = {
        "a": "海 \0 \"'",
        "b": -1.5,
        "c": True,
        "d": None,
        "e": [1, "x", None],
        "f": {"g": 0},
        "": 10**99,
    }
    begun = time.time()
    reports.add(sent)
    (report,) = reports.latest()
    assert report.values == sent
    assert begun <= report.received <= time.time()


def test_the_last_twenty_are_kept_newest_first(database: Database, reports: Reports) -> None:
    assert REPORTS_KEPT == 20 and reports.latest() == []
    for number in range(25):
        reports.add({"number": number})
    assert [report.values["number"] for report in reports.latest()] == list(range(24, 4, -1))
    assert database.read("SELECT count(*) FROM reports")[0][0] == 20, "older ones are deleted, not only hidden"


def test_the_oldest_is_deleted_in_the_transaction_that_stores_the_newest(
    database: Database, reports: Reports
) -> None:
    for number in range(20):
        reports.add({"number": number})
    with database.write() as connection:
        connection.execute("CREATE TRIGGER stop BEFORE DELETE ON reports BEGIN SELECT raise(ABORT, 'not now'); END")
    with pytest.raises(Exception, match="not now"):
        reports.add({"number": 20})
    assert [report.values["number"] for report in reports.latest()] == list(range(19, -1, -1))


@pytest.mark.parametrize(
    "value",
    ["x" * 601, ["x" * 601], {"a": "x" * 601}, [[]], [{}], {"a": []}, {"a": {}}, float("nan"), [-1e999], 10**601],
)
def test_a_value_that_is_long_or_deep_or_no_number_is_refused(reports: Reports, value: object) -> None:
    with pytest.raises(ReaderError, match="an object of short values"):
        reports.add({"fine": 1, "value": value})
    assert reports.latest() == []


@pytest.mark.parametrize("report", [None, 1, "text", [], [{}], {str(number): 1 for number in range(41)}])
def test_a_report_that_is_no_object_or_too_large_is_refused(reports: Reports, report: object) -> None:
    with pytest.raises(ReaderError, match="an object of short values"):
        reports.add(report)
    assert reports.latest() == []


def test_the_longest_allowed_values_fit_in_the_largest_allowed_number(reports: Reports) -> None:
    report = {str(number): "海" * 600 for number in range(40)}
    reports.add(report)
    assert reports.latest()[0].values == report
