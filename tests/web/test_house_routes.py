"""The routes of the whole house: the look of pages in one browser, and the appliance's addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.web.look import Look


def test_the_look_is_kept_in_a_cookie_without_script_too(house: House) -> None:
    response = house.post("/look", {"look": "5b", "back": "/chats/1/2"})
    assert (response.status, response.headers["Location"]) == (303, "/chats/1/2#look")
    assert response.headers["Set-Cookie"].startswith("look=5b;")
    page = house.get("/", Cookie="look=5b").data.decode()
    assert 'class="size-5 bold"' in page
    assert re.findall(r'name="look" value="(\w+)"', page) == ["4b", "6b", "5"]
    for look, buttons in (("1", ["1", "2", "1b"]), ("8", ["7", "8", "8b"])):
        page = house.get("/", Cookie=f"look={look}").data.decode()
        assert re.findall(r'name="look" value="(\w+)"', page) == buttons


def test_the_owner_can_set_the_usual_look(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, look=Look(6)) as house:
        assert 'class="size-6"' in house.get("/").data.decode()
        assert 'class="size-2"' in house.get("/", Cookie="look=2").data.decode()
        for wrong in ("0", "9", "2x", "", "b", "２"):
            cookie = f"look={wrong}".encode().decode("latin-1")
            assert 'class="size-6"' in house.get("/", Cookie=cookie).data.decode()


@pytest.mark.parametrize(
    ("look", "back"),
    [("9", "/"), ("", "/"), ("3", "//evil.example"), ("3", "http://evil.example/"), ("3", "/\r\nX: y"),
     ("3", "/?chat=1&x"), ("3", ""), ("3", "/look"), ("3", "/chats/1/2/3")],
)  # fmt: skip
def test_an_invalid_look_or_way_back_is_refused(house: House, look: str, back: str) -> None:
    response = house.post("/look", {"look": look, "back": back})
    assert response.status == 400 and "Set-Cookie" not in response.headers


def test_the_list_of_chats_links_to_the_addresses_of_the_appliance(house: House) -> None:
    assert 'href="/addresses"' in house.get("/chats").data.decode()
    page = house.get("/addresses").data.decode()
    assert f'href="{house.url}/"' in page and "switched off" in page
    assert house.post("/look", {"look": "5", "back": "/addresses"}).headers["Location"] == "/addresses#look"
