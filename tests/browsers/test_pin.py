"""The number pad of the PIN, in each engine, with script and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy
from fakes.secrets import PIN

from kindle_appliance.web.pin import Gate

from .browser import Browser
from .engines import CHROMIUM, Engine, W3m
from .steps import sizes, take


@pytest.fixture
def pin() -> str:
    return PIN


@pytest.fixture
def locked(gemini: FakeGemini, tmp_path: Path, pin: str) -> Iterator[House]:
    with House(gemini.url, tmp_path, gate=Gate(pin, b"secret")) as house:
        yield house


def press(browser: Browser, keys: str, *, sends: bool = False) -> None:
    """Press keys of the pad, "<" to take one back; with `sends` each of them loads the page anew."""
    expected = str(browser.script("return document.getElementById('pin').value"))
    for key in keys:
        expected = expected[:-1] if key == "<" else expected + key
        browser.click(browser.find(f"#pad button[value='{'delete' if key == '<' else key}']"))
        browser.wait_until(f"document.getElementById('pin').value === '{expected}'")
    assert not sends or browser.url.endswith("/pin")


def ok(browser: Browser) -> None:
    browser.click(browser.find(".go input"))


def test_the_pin_is_entered_once_and_leads_to_the_requested_page(
    engine: Engine, locked: House, screenshots: Path
) -> None:
    for width, height in sizes(engine):
        with engine.start(width, height) as browser, Proxy(locked.server.port) as proxy:
            browser.open(proxy.url + "/chats")
            take(browser, engine, screenshots / f"pin-{width}-{engine.name}.png")
            before = len(proxy.requests)
            press(browser, f"99<<{PIN[:-1]}0<{PIN[-1]}")
            assert len(proxy.requests) == before, "no request for a digit"
            ok(browser)
            browser.wait_until("location.pathname === '/chats' && !document.getElementById('pin')")
            browser.open(proxy.url + "/")
            assert browser.find("#question") and browser.errors() == []


def test_a_wrong_pin_can_be_entered_anew(browser: Browser, locked: House) -> None:
    browser.open(locked.url + "/")
    press(browser, "0000")
    ok(browser)
    browser.wait_until("document.body.textContent.indexOf('That is not the PIN.') >= 0")
    press(browser, PIN)
    ok(browser)
    browser.wait_until("!!document.getElementById('question')")
    assert browser.errors() == []


def test_the_pin_can_be_typed(browser: Browser, locked: House) -> None:
    browser.open(locked.url + "/chats")
    browser.type(browser.find("#pin"), PIN)
    ok(browser)
    browser.wait_until("location.pathname === '/chats' && !document.getElementById('pin')")


@pytest.mark.parametrize("pin", ["70413"])  # the page returns the keys typed so far with each key
def test_without_script_the_pad_works_too(scriptless_browser: Browser, locked: House, screenshots: Path) -> None:
    browser = scriptless_browser
    browser.open(locked.url + "/chats")
    press(browser, "7<704", sends=True)
    take(browser, CHROMIUM, screenshots / "pin-no-script.png")
    press(browser, "13", sends=True)
    ok(browser)
    browser.wait_until("location.pathname === '/chats' && !document.getElementById('pin')")


def test_the_pad_is_there_in_a_text_browser(w3m: W3m, locked: House) -> None:
    text = w3m.dump(locked.url + "/chats")
    assert "Please enter the PIN of the house." in text and "7 8 9" in text
