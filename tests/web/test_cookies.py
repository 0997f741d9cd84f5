"""The cookies: a browser finds its own chats, unread answers and places, and malformed cookies do no harm."""

from __future__ import annotations

import re
import time

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.web.cookies import read_places


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


def detail(house: House, path: str, **headers: str) -> str:
    """What the list of this page says of its first chat, below the title."""
    found = re.search(r"<small>(.*?)\s*</small>", house.get(path, **headers).data.decode(), re.DOTALL)
    assert found
    return found[1].replace("&#183;", "·")


def test_lists_say_on_which_page_this_device_has_left_the_newest_answer(gemini: FakeGemini, house: House) -> None:
    mine = "device=the-device"
    gemini.replies(Reply.answer("One."), Reply.answer("Two."))
    for form, chat in (("1", ""), ("2", "1")):
        house.post("/ask", {"question": "Why?", "form": form, "chat": chat}, Cookie=mine)
        with house.follow(f"/answers/{form}?as=text") as follow:
            follow.read_to_end()
    place = f"{mine}; places=1.3.0.4.2.3_2.a.1.4.c.1a"
    for path in ("/", "/chats"):
        assert re.fullmatch(r"today, \d\d:\d\d · page 12 of 46", detail(house, path, Cookie=place))
        assert detail(house, path, Cookie=place, Accept_Language="zh-CN").endswith(" · 第 12 页，共 46 页")
        assert detail(house, path, Cookie=mine).endswith(" · 2 questions")
        response = house.get(path, Cookie=place)
        assert "places" not in response.headers.get("Set-Cookie", ""), "only the page writes it"
        for other in (
            "1.3.0.4.2.3",
            "2.3.0.4.2.0",
            "2.0.0.0.1.4",
            "2.3.0.4.5.4",
            "2.3.0.4.2.3.4",
            "2.3.0.4.2",
            "2",
        ):
            assert detail(house, path, Cookie=f"{mine}; places={other}").endswith(" · 2 questions"), other
    assert detail(house, "/chats", Cookie=f"{place}; unread=2") == "ready · 2 questions"
    house.post("/ask", {"question": "How?", "form": "3", "chat": "1"})
    gemini.next_call().start()
    assert detail(house, "/chats", Cookie=f"{place}_3.1.0.0.2.2") == "being answered · 3 questions"
    assert "· <span" in detail(house, "/chats?q=one", Cookie=place), "what was found says more"


NUMBERS = st.integers(0, 40_000)
LETTERS = st.text("0123456789abcdefghijklmnopqrstuvwxyzAZ._-é\n ١", max_size=500)


def to_base_36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return (to_base_36(number // 36) if number >= 36 else "") + digits[number % 36]


@given(st.lists(st.tuples(*[NUMBERS] * 6), max_size=30), LETTERS)
def test_places_are_read_as_the_page_writes_them_among_whatever_else(
    written: list[tuple[int, ...]], noise: str
) -> None:
    entries = [".".join(map(to_base_36, each)) for each in written]
    expected = {each[0]: (each[4], each[5]) for each in written[-20:] if 1 < each[4] <= each[5]}
    assert read_places("_".join(entries)) == expected
    assert read_places("_".join([noise, *entries[-20:]])) == expected


@given(st.one_of(st.text(max_size=1000), LETTERS, st.integers(1, 20_000).map(lambda count: "z" * count)))
def test_no_cookie_of_places_is_too_odd_to_be_read(text: str) -> None:
    found = read_places(text)
    assert len(found) <= 20
    assert all(0 <= each < 36**9 and 1 < page <= pages < 36**5 for each, (page, pages) in found.items())
