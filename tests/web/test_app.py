"""Behaviour of every route: malformed headers, short error pages, compression, languages, and our own bugs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House, answered


@pytest.mark.parametrize(
    "header",
    [
        {"Cookie": "odd=[1, 2]; =none; path=/; look=5; a,b=c; device=abcdefgh"},
        {"Cookie": 'a="b; look=5; é=é; \udcff'},
        {"Cookie": "look=5", "Accept-Language": "\udcff\udcfe"},
        {"Cookie": "look=5", "User-Agent": "\udcff", "Accept": "\udcff", "Content-Type": "a; b; c"},
    ],
)
def test_malformed_headers_do_not_hide_the_others(house: House, header: dict[str, str]) -> None:
    raw = {name: value.encode("utf-8", "surrogateescape") for name, value in header.items()}
    response = house.client.request("GET", house.url + "/", headers=raw)  # type: ignore[arg-type]
    assert response.status == 200 and 'class="size-5"' in response.data.decode()


def test_a_browser_that_takes_no_gzip_gets_none(house: House) -> None:
    for accepted in ("", "deflate", "identity"):
        response = house.get("/", Accept_Encoding=accepted)
        assert "Content-Encoding" not in response.headers and response.headers["Vary"] == "Accept-Encoding"
        assert response.data.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    "path",
    ["/chats/9/delete", "/chats/9", "/chats/1/9", "/chats/0/0", "/chats/x/y", f"/chats/{'9' * 40}/1", "/answers/9",
     "/answers/x", f"/answers/{'9' * 15}", "/nothing", "/static/page.js", "/../etc/passwd", "/%00", "/chats/1/1/",
     "/answers/"],
)  # fmt: skip
def test_an_unknown_path_gets_a_short_page(house: House, path: str) -> None:
    response = house.get(path)
    assert response.status == 404 and "There is no such page here." in response.data.decode()


def test_pages_are_in_the_readers_language(house: House) -> None:
    chinese = house.get("/", Accept_Language="zh-CN,zh;q=0.9").data.decode()
    assert '<html lang="zh-CN"' in chinese and "您的问题" in chinese and "Your question" not in chinese
    assert "没有这个页面" in house.get("/nothing", Accept_Language="zh").data.decode()


def test_the_owner_can_fix_the_language(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, language="zh-CN") as house:
        assert "您的问题" in house.get("/", Accept_Language="en").data.decode()


def test_the_demo_says_so_on_every_page(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, is_demo=True) as house:
        path = answered(gemini, house, "A demo.")
        for each in ("/", "/chats", path, "/nothing"):
            assert "Demo: these answers are examples" in house.get(each).data.decode()


def test_every_state_changing_request_is_a_post(gemini: FakeGemini, house: House) -> None:
    for path in ("/ask", "/answers/1/stop", "/api/chat"):
        assert house.get(path).status == 405
    assert house.post("/", {}).status == 405


def test_a_bug_shows_no_traceback_to_the_reader(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(house.chats, "recent", lambda most: 1 // 0)
    response = house.get("/chats")
    page = response.data.decode()
    assert response.status == 500 and "The appliance made a mistake." in page
    assert "Traceback" not in page and "ZeroDivision" not in page
    assert "ZeroDivisionError" in caplog.text, "it is in the log"
