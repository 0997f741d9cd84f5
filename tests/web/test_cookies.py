"""The cookies: a browser finds its own chats and unread answers, and malformed cookies do no harm."""

from __future__ import annotations

import re
import time

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House


def test_hostile_cookies_are_read_quickly(house: House) -> None:
    """Python's http.cookies takes a second or two for each of these."""
    begun = time.monotonic()
    for _ in range(20):
        page = house.get("/", Cookie='hard="' + "\\1" * 7000 + '"; look=28')
        assert page.status == 200 and 'class="size-28"' in page.data.decode()
    assert time.monotonic() - begun < 5


def test_a_device_finds_its_own_chats_on_the_first_page(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("One."), Reply.answer("Two."))
    first = house.get("/")
    assert "bookmarks" in first.data.decode()
    cookie = re.match(r"device=([\w-]{16});.*HttpOnly; .*SameSite=lax", first.headers["Set-Cookie"])
    assert cookie and "Path=/" in cookie[0]
    mine = {"Cookie": f"device={cookie[1]}"}
    house.post("/ask", {"question": "Mine?", "form": "1"}, **mine)
    house.post("/ask", {"question": "Of another?", "form": "2"}, Cookie="device=another-device")
    page = house.get("/", **mine).data.decode()
    assert "Mine?" in page and "Of another?" not in page and "bookmarks" not in page
    assert "Mine?" not in house.get("/").data.decode(), "not for an unknown browser"
    assert "Of another?" in house.get("/chats", **mine).data.decode(), "the list shows the chats of all"


@pytest.mark.parametrize(
    "cookie", ["device=; x", "device=a b", "device=<script>", "device=" + "x" * 99, "device=é"]
)
def test_an_invalid_device_cookie_is_replaced(house: House, cookie: str) -> None:
    response = house.get("/", Cookie=cookie)
    assert response.status == 200 and re.match(r"device=[\w-]{16};", response.headers["Set-Cookie"])


def test_an_answer_is_unread_until_its_end_has_been_shown(gemini: FakeGemini, house: House) -> None:
    asked = house.post("/ask", {"question": "Why?", "form": "1"}, Cookie="unread=7.8")
    assert asked.headers["Set-Cookie"].startswith("unread=7.8.1;")
    call = gemini.next_call()
    call.start()
    assert "Set-Cookie" not in house.get("/chats/1/1", Cookie="unread=7.8.1").headers, "it has not ended"
    call.finish("Because.")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()
    gemini.replies(Reply.answer("So."))
    cookies = {"Cookie": "device=the-device; unread=7.1.8"}
    assert "<small>ready" in house.get("/chats", **cookies).data.decode()
    assert house.get("/chats/1/1", **cookies).headers["Set-Cookie"].startswith("unread=7.8;")
    assert "<small>ready" not in house.get("/chats", Cookie="unread=7.8").data.decode()
    many = ".".join(map(str, range(100, 200)))
    asked = house.post("/ask", {"question": "How?", "form": "2"}, Cookie=f"unread={many}")
    kept = re.match(r"unread=([\d.]+);", asked.headers["Set-Cookie"])
    assert kept and kept[1].split(".") == [*map(str, range(181, 200)), "2"], "the twenty newest are kept"
