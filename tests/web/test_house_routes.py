"""The routes of the whole house: the look of pages in one browser, and the appliance's addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.web.look import USUAL_LOOK, Look


def test_the_look_is_kept_in_a_cookie_without_script_too(house: House) -> None:
    response = house.post("/look", {"look": "28b", "back": "/chats/1/2"})
    assert (response.status, response.headers["Location"]) == (303, "/chats/1/2#look")
    assert response.headers["Set-Cookie"].startswith("look=28b;")
    page = house.get("/", Cookie="look=28b").data.decode()
    assert 'class="size-28 bold"' in page
    assert re.findall(r'name="look" value="(\w+)">(?!<span)', page) == ["34b", "22b", "28"]
    for look, buttons in (("62", ["62", "55", "62b"]), ("13", ["17", "13", "13b"])):
        page = house.get("/", Cookie=f"look={look}").data.decode()
        assert re.findall(r'name="look" value="(\w+)">(?!<span)', page) == buttons


def test_the_owner_can_set_the_usual_look(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, look=Look(22)) as house:
        assert 'class="size-22"' in house.get("/").data.decode()
        assert 'class="size-62"' in house.get("/", Cookie="look=62").data.decode()
        for wrong in ("0", "9", "14", "63", "048", "2x", "", "b", "２"):
            cookie = f"look={wrong}".encode().decode("latin-1")
            assert 'class="size-22"' in house.get("/", Cookie=cookie).data.decode()


@pytest.mark.parametrize(
    ("old", "size"), [("1", 48), ("2", 40), ("3", 40), ("4b", 34), ("5", 28), ("6b", 22), ("7", 17), ("8b", 13)]
)
def test_a_cookie_of_version_0_1_keeps_its_size_and_weight(house: House, old: str, size: int) -> None:
    page = house.get("/", Cookie=f"look={old}").data.decode()
    assert f'class="size-{size}{" bold" if "b" in old else ""}"' in page


def test_the_first_visit_offers_the_text_size_in_one_tap(house: House) -> None:
    first = house.get("/")
    form = first.data.decode().partition('id="sizes"')[2].partition("</form>")[0]
    values = re.findall(r'name="look" value="(\w+)"', form)
    assert len(values) >= 3 and str(USUAL_LOOK) in values
    for value in values:
        assert house.post("/look", {"look": value, "back": "/"}).headers["Set-Cookie"].startswith(f"look={value};")
    device = first.headers["Set-Cookie"].partition(";")[0]
    assert 'id="sizes"' not in house.get("/", Cookie=device).data.decode()


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
