"""/check in each engine: its findings are shown in words, sent, and shown to the owner; and its failures."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from fakes.house import House
from fakes.proxy import Proxy

from kindle_appliance.web import check, frames
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.reader import Reader
from kindle_appliance.web.templates import Page

from .browser import Browser
from .engines import CHROMIUM, Engine
from .steps import alter_pages, says, take, zoom

README = (ROOT / "README.md").read_text(encoding="utf-8")
TESTED = "document.body.className === 'check tested'"
DEVICE = 'A <Kindle> | "1.2" \\ é海'
SIZES = ((600, 706), (1072, 1231))


def send(browser: Browser) -> None:
    browser.click(browser.find("#send"))
    browser.wait_until(says("state", "Sent to the appliance."))


def table(readme: str) -> list[list[str]]:
    """The rows of the README's table of devices, its header first."""
    found = re.search(r"^\| device, firmware .*(?:\n\|.*)+", readme, re.MULTILINE)
    assert found, "the README has a table of devices"
    return [cells(row) for row in found[0].splitlines() if not row.startswith("|--")]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_findings_about_a_browser_are_shown_in_words_and_stored_once_sent(
    engine: Engine, size: tuple[int, int], house: House, screenshots: Path
) -> None:
    with engine.start(*size) as browser:
        browser.open(house.url + "/check")
        browser.wait_until(TESTED)
        assert house.reports.latest() == [], "the page sends nothing before a tap on Send"
        take(browser, engine, screenshots / f"check-{size[0]}-{engine.name}.png")
        browser.type(browser.find("#device"), DEVICE)
        browser.resize(size[0], size[1] // 2)  # as the keyboard does
        browser.wait_until(says("result", f"and {size[0]} x {size[1] // 2} while the keyboard is open"))
        browser.resize(*size)
        browser.click(browser.find("#box"))
        browser.click(browser.find("#box"))
        browser.wait_until(says("result", "A double tap does not magnify the page."))
        for words in (
            "Answers appear while they are written: yes",
            "Cookies: yes",
            "The time zone is the appliance's.",
        ):
            assert browser.script("return " + says("result", words))
        browser.script("document.getElementById('result').scrollIntoView()")
        take(browser, engine, screenshots / f"check-result-{size[0]}-{engine.name}.png")
        send(browser)
        browser.script("document.getElementById('row').scrollIntoView()")
        take(browser, engine, screenshots / f"check-sent-{size[0]}-{engine.name}.png")
        shown = browser.script("return document.getElementById('row').textContent")

        (report,) = house.reports.latest()
        values = report.values
        assert values["row"] == shown and values["device"] == DEVICE
        assert (values["page"], values["zoom"], values["answers"]) == (f"{size[0]} x {size[1]}", 1, True)
        assert values["keyboard"] == f"{size[0]} x {size[1] // 2}"
        assert values["agent"] == browser.script("return navigator.userAgent")
        assert values["cookies"] is values["sentCookies"] is values["windowName"] is True
        assert values["storage"] is engine.storage
        assert values["pieces"] > 1 and abs(values["clock"]) < 60
        browser.open(house.url + "/check/reports")
        assert shown in browser.text and DEVICE in browser.text
        take(browser, engine, screenshots / f"check-reports-{size[0]}-{engine.name}.png")


def test_a_double_tap_that_magnifies_is_noticed(browser: Browser, house: House) -> None:
    browser.open(house.url + "/check")
    browser.wait_until(TESTED)
    zoom(browser)
    browser.script("document.getElementById('box').onclick();")  # the browser may swallow the second tap
    browser.wait_until(says("result", "A double tap magnifies the page: 2 times"))
    browser.script("document.getElementById('send').onclick();")
    browser.wait_until(says("state", "Sent to the appliance."))
    values = house.reports.latest()[0].values
    assert values["zoom"] == 2 and cells(values["row"])[4] == "x 2"
    assert values["page"] == f"{browser.size[0]} x {browser.size[1]}", "the size before the double tap"


def test_the_readmes_row_of_an_engine_matches_its_report(browser: Browser, engine: Engine, house: House) -> None:
    browser.open(house.url + "/check")
    browser.wait_until(TESTED)
    send(browser)
    (report,) = house.reports.latest()
    found = cells(report.values["row"])
    header, *rows = table(README)
    assert len(found) == len(header)
    name = "chromium-of-debian" if engine is CHROMIUM else engine.name
    (row,) = [row for row in rows if row[0].lower().replace(" ", "-").startswith(name)]
    if engine is CHROMIUM:
        found[1] = re.sub(r" \d+", "", found[1])  # the version depends on the system
    assert found[1:] == row[1:]


def test_features_missing_in_an_old_browser_are_reported_and_harm_nothing(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Removed from the browser itself, its driver would miss them too.
    renamed = {
        "window.JSON": "window.noJSON",
        "new Function": "new NoFunction",
        "'forEach']": "'noForEach']",
        "localStorage": "noStorage",
        "navigator.": "noNavigator.",
        "screen.width": "noScreen.width",
    }
    page = Pages(Layout(False)).check(Reader("en"), 0)
    for name, absent in renamed.items():
        assert name in page
        alter_pages(monkeypatch, name, absent)
    browser.open(house.url + "/check")
    browser.wait_until(says("result", "JavaScript, not tested: { delete: 1 }"))
    assert browser.script("return " + says("result", "noForEach"))
    assert browser.script("return " + says("result", "Storage in the browser: no"))
    send(browser)
    values = house.reports.latest()[0].values
    assert values["untested"] == ["{ delete: 1 }"] and {"JSON", "noForEach"} <= set(values["lacks"])
    assert (values["agent"], values["screen"], values["storage"]) == ("null", None, False)
    assert browser.errors() == []


def test_a_proxy_that_holds_back_streams_is_noticed(browser: Browser, house: House) -> None:
    with Proxy(house.server.port, buffers_streams=True) as proxy:
        browser.open(proxy.url + "/check")
        browser.wait_until(says("result", "Answers appear while they are written: no"), 30)
        send(browser)
    assert house.reports.latest()[0].values["answers"] is False
    assert browser.errors() == []


@pytest.mark.parametrize("are_held", [False, True], ids=["at the end", "before the end"])
def test_pieces_that_arrive_together_do_not_count_as_a_stream(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch, are_held: bool
) -> None:
    may_end = threading.Event()

    def together(gone: object) -> Iterator[bytes]:
        yield frames.PADDING + b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        if are_held:
            assert may_end.wait(20)

    alter_pages(monkeypatch, "found.pieces += 1;", "window.saw = true; found.pieces = found.pieces + 1;")
    monkeypatch.setattr(check, "_pieces", together)
    browser.open(house.url + "/check")
    if are_held:
        browser.wait_until("window.saw")
    may_end.set()
    browser.wait_until(says("result", "Answers appear while they are written: no"))


def test_a_report_that_was_not_sent_can_be_sent_again(
    browser: Browser, engine: Engine, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        browser.open(proxy.url + "/check")
        browser.wait_until(TESTED)
        proxy.cut()
        browser.click(browser.find("#send"))
        browser.wait_until(says("state", "Not sent."))
        assert browser.script("return document.getElementById('send').value") == "Send again"
        take(browser, engine, screenshots / f"check-not-sent-{engine.name}.png")
        proxy.restore()
        send(browser)
    assert len(house.reports.latest()) == 1
    assert browser.errors() == []


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(-110, "The clock is the appliance's"), (-200, "ahead of the appliance's: 3 minutes"),
     (7300, "behind the appliance's: 2 hours"), (-400_000, "ahead of the appliance's: 5 days")],
)  # fmt: skip
def test_a_difference_from_the_appliances_clock_is_shown_in_words(
    browser: Browser, house: House, monkeypatch: pytest.MonkeyPatch, ahead: int, words: str
) -> None:
    check = Pages.check

    def check_elsewhere(pages: Pages, reader: Reader, now: float) -> Page:
        page = check(pages, reader, now + ahead)
        return Page(re.sub(r'(name="ownZone" value=")[^"]*', r"\g<1>-825", page), page.policy)

    monkeypatch.setattr(Pages, "check", check_elsewhere)
    browser.open(house.url + "/check")
    browser.wait_until(says("result", words))
    assert browser.script("return " + says("result", "the appliance's is UTC-13:45."))
    assert browser.script("return " + says("result", "Cookies: no")), "the appliance's cookie holds another time"


def test_without_script_the_page_says_that_only_javascript_is_missing(
    scriptless_browser: Browser, house: House, screenshots: Path
) -> None:
    browser = scriptless_browser
    browser.open(house.url + "/check")
    assert "JavaScript is off or missing in this browser. Asking and reading work all the same" in browser.text
    assert "Tap" not in browser.text, "no step that needs JavaScript is shown"
    take(browser, CHROMIUM, screenshots / "check-no-script.png")
