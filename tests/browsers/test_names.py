"""What those hear who listen to a page: landmarks, one heading, a name for every control. Chromium tells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.secrets import PIN

from kindle_appliance.web.pin import Gate

from .browser import Browser
from .devtools import DevTools
from .engines import MODERN, Engine
from .steps import ENDED, LONG, answered, begin

pytestmark = pytest.mark.parametrize("engine", MODERN, ids=lambda engine: engine.name, indirect=True)

CONTROLS = ("button", "link", "textbox", "textField", "searchbox", "combobox", "checkbox", "radio")
PAGES = (
    *("/", "/?chat=1", "/chats", "/chats?q=sea", "/chats?q=", "/addresses", "/check", "/check/reports"),
    *("/chats/1/edit", "/chats/1/delete", "/chats/1/1", "/chats/1/2", "/chats/2/1", "/nothing"),
)
ANSWER = "# Title\n\nA [link](http://example.org/).\n\n## Part\n\n" + LONG


def nodes(browser: Browser) -> list[dict[str, Any]]:
    """The accessibility tree, flat: of each node the role, the name and the level."""
    assert isinstance(browser, DevTools)
    browser.devtools("Accessibility.enable")
    found = []
    for node in browser.devtools("Accessibility.getFullAXTree")["nodes"]:
        if not node.get("ignored"):
            properties = {each["name"]: each["value"].get("value") for each in node.get("properties", ())}
            role, name = (node.get(each, {}).get("value", "") for each in ("role", "name"))
            found.append({"role": role, "name": str(name).strip(), "level": properties.get("level")})
    return found


def check_names(browser: Browser, page: str, least: int = 2) -> None:
    """Asserts a landmark each for the ways and for what matters, one heading of the first level, and names."""
    found = nodes(browser)
    roles = [node["role"] for node in found]
    assert roles.count("main") == 1 and "navigation" in roles, f"{page}: {set(roles)}"
    firsts = [node["name"] for node in found if node["role"] == "heading" and node["level"] == 1]
    assert len(firsts) == 1 and firsts[0], f"{page}: {firsts}"
    controls = [node for node in found if node["role"] in CONTROLS]
    assert len(controls) >= least, page
    # A name that can be spoken: a letter or a digit in it, and not only "A+".
    mute = [node for node in controls if not re.search(r"\w\w|^\d$", node["name"])]
    assert not mute, f"{page}: {mute}"
    assert not [node for node in found if node["role"] in ("table", "LayoutTable") and page != "/check/reports"], (
        page
    )


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
def test_every_page_has_landmarks_one_heading_and_a_name_for_every_control(
    engine: Engine, gemini: FakeGemini, house: House, scripts: bool
) -> None:
    answered(house, gemini, ANSWER, "Why is the sea salty?")
    answered(house, gemini, "More.", "And then?", chat=1)
    house.ask("Another?")
    call = begin(gemini)
    call.text(ANSWER)
    with engine.start(600, 706) as browser:
        if not scripts:
            browser.disable_scripts()
        for page in PAGES:
            browser.open(house.url + page)
            if scripts and page == "/check":
                browser.wait_until("document.body.className === 'check tested'")
            check_names(browser, page)
        assert browser.errors() == []
    call.finish(".")


def test_what_changes_by_itself_is_announced_because_its_place_was_there_before(
    engine: Engine, gemini: FakeGemini, house: House
) -> None:
    house.ask("Why?")
    with engine.start(600, 706) as browser:
        for page, places in (("/", 1), ("/chats/1/1", 3)):
            browser.open(house.url + page)
            statuses = [node for node in nodes(browser) if node["role"] == "status"]
            assert len(statuses) == places, page
        call = begin(gemini)
        call.finish("An answer.")
        browser.wait_until(ENDED)
        assert len([node for node in nodes(browser) if node["role"] == "status"]) == places


@pytest.fixture
def locked(gemini: FakeGemini, tmp_path: Path) -> Iterator[House]:
    with House(gemini.url, tmp_path, gate=Gate(PIN, b"secret")) as house:
        yield house


def test_the_page_of_the_pin_has_them_too(engine: Engine, locked: House) -> None:
    with engine.start(600, 706) as browser:
        browser.open(locked.url + "/")
        check_names(browser, "PIN", 13)
