"""The routes over real sockets: asking, reading, following, stopping, the API, and what goes wrong."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import socket
import threading
import time
from pathlib import Path
from random import Random

import pytest
from fakes.gemini import FakeGemini, Reply, chunk, error_body, quota_failure, retry_info
from fakes.house import House, PageState
from fakes.secrets import KEY

from kindle_appliance.errors import StorageError
from kindle_appliance.sentences import Sentence
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.web import streams
from kindle_appliance.web.look import Look
from kindle_appliance.web.pages import Pages

LONG = "# One\n\nTwo **three**.\n\n- four\n- five\n\nThe sixth is the last paragraph.\n"


def hidden(page: str, name: str) -> str:
    match = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)
    assert match, page
    return match[1]


def answered(gemini: FakeGemini, house: House, text: str, question: str = "Why?") -> str:
    """Ask, let Gemini answer with `text`, wait for the end; the path of the turn."""
    gemini.replies(Reply.answer(text))
    chat, number = house.ask(question)
    turn = house.chats.find_turn(chat, number)
    assert turn
    with house.follow(f"/answers/{turn.id}?as=text") as follow:
        follow.read_to_end()
    return f"/chats/{chat}/{number}"


# ---- Asking


def test_the_first_page_asks_and_nothing_else_is_loaded(house: House) -> None:
    page = house.get("/")
    text = page.data.decode()
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.search('<textarea [^>]*name="question"', text) and 'action="/ask" method="post"' in text
    assert not re.search(r'<(link rel="stylesheet|script src|img|iframe)', text)
    assert 'href="data:,"' in text, "no request for an icon"


def test_a_question_leads_to_its_own_page(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("Because."))
    form = hidden(house.get("/").data.decode(), "form")
    response = house.post("/ask", {"question": "Why is the sea salty?", "chat": "", "form": form})
    assert (response.status, response.headers["Location"]) == (303, "/chats/1/1")
    page = house.get("/chats/1/1").data.decode()
    assert "Why is the sea salty?" in page


def test_each_page_has_a_form_id_of_its_own(house: House) -> None:
    ids = {hidden(house.get("/").data.decode(), "form") for _ in range(5)}
    assert len(ids) == 5 and all(len(each) >= 12 for each in ids)


def test_the_same_form_sent_twice_asks_once(gemini: FakeGemini, house: House) -> None:
    gemini.default = Reply.answer("Once.")
    first = house.ask("Twice?", form="the-form")
    assert house.ask("Twice?", form="the-form") == first
    assert house.ask("Another?", form="the-form") != first, "a page from the cache, with another question"
    gemini.wait_for_calls(2)
    assert len(gemini.calls) == 2


def test_a_further_question_goes_into_the_same_chat(gemini: FakeGemini, house: House) -> None:
    gemini.default = Reply.answer("Yes.")
    house.ask("One?")
    form = house.get("/?chat=1").data.decode()
    assert hidden(form, "chat") == "1" and "One?" in form
    assert house.ask("Two?", 1) == (1, 2)
    assert house.get("/chats/1").headers["Location"] == "/chats/1/2"


@pytest.mark.parametrize(
    ("question", "status", "sentence"),
    [
        ("", 400, "Please type a question first."),
        (" \r\n\t ", 400, "Please type a question first."),
        ("x" * 4001, 413, "Your question has 4001 characters; at most 4000 fit. Please shorten it."),
        ("海" * 7000, 413, "Your question has 7000 characters; at most 4000 fit. Please shorten it."),
    ],
)
def test_a_question_that_cannot_be_asked_comes_back_with_a_sentence(
    house: House, question: str, status: int, sentence: str
) -> None:
    response = house.post("/ask", {"question": question, "chat": "", "form": "f"})
    page = response.data.decode()
    assert response.status == status and sentence in page
    assert question.strip() in page, "what was typed is not lost"
    assert not house.chats.recent(10)


def test_the_longest_question_is_asked_whole(gemini: FakeGemini, house: House) -> None:
    question = "海" * 4000
    gemini.replies(Reply.answer("Ja."))
    house.ask(question)
    (call,) = gemini.wait_for_calls(1)
    assert call.json["contents"][-1]["parts"] == [{"text": question}]


def test_line_ends_of_a_form_become_plain_ones(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("Ja."))
    house.ask("  a\r\nb\rc\0  ")
    (call,) = gemini.wait_for_calls(1)
    assert call.json["contents"][-1]["parts"] == [{"text": "a\nb\nc\ufffd"}]


@pytest.mark.parametrize("chat", ["7", "0", "-1", "x", "9" * 30, "1 OR 1", "１"])
def test_a_question_in_a_chat_that_is_gone_comes_back(house: House, chat: str) -> None:
    response = house.post("/ask", {"question": "Still here?", "chat": chat, "form": "f"})
    page = response.data.decode()
    assert response.status == 404 and "Still here?" in page and "That chat is gone" in page
    assert hidden(page, "chat") == "", "sent again it starts a new chat"
    assert house.get(f"/?chat={chat}".replace(" ", "+")).status == 404


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"question": "x"}', 415),
        ("text/plain", b"question=x", 415),
        ("", b"", 415),
        ("application/x-www-form-urlencoded", b"question=%ff%fe%zz", 400),
        ("application/x-www-form-urlencoded", b"\xff\xfe", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense", 415),
        ("multipart/form-data", b"", 415),
    ],
)
def test_a_form_that_is_none_gets_a_page_and_no_turn(
    house: House, content_type: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = house.client.request("POST", house.url + "/ask", body=body, headers=headers, redirect=False)
    assert response.status == status and "</html>" in response.data.decode()
    assert not house.chats.recent(10)


@pytest.mark.parametrize(
    "header",
    [
        {"Cookie": "odd=[1, 2]; =none; path=/; look=5; a,b=c; device=abcdefgh"},
        {"Cookie": 'a="b; look=5; é=é; \udcff'},
        {"Cookie": "look=5", "Accept-Language": "\udcff\udcfe"},
        {"Cookie": "look=5", "User-Agent": "\udcff", "Accept": "\udcff", "Content-Type": "a; b; c"},
    ],
)
def test_headers_that_are_none_hide_no_others(house: House, header: dict[str, str]) -> None:
    raw = {name: value.encode("utf-8", "surrogateescape") for name, value in header.items()}
    response = house.client.request("GET", house.url + "/", headers=raw)  # type: ignore[arg-type]
    assert response.status == 200 and 'class="size-5"' in response.data.decode()


def test_cookies_that_are_hard_to_read_take_no_time(house: House) -> None:
    """Python's own reader takes a second or two for each of these."""
    begun = time.monotonic()
    for _ in range(20):
        page = house.get("/", Cookie='hard="' + "\\1" * 7000 + '"; look=5')
        assert page.status == 200 and 'class="size-5"' in page.data.decode()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("start", ["0", "3", "99", "x"])
def test_a_starter_begins_the_question_without_script_too(house: House, start: str) -> None:
    page = house.get(f"/?start={start}").data.decode()
    assert ("\nExplain: </textarea>" in page) == (start == "0")


def test_a_script_that_asks_is_told_where_the_answer_is_or_why_there_is_none(
    gemini: FakeGemini, house: House
) -> None:
    gemini.replies(Reply.answer("Because."))
    fields = {"question": "Why?", "chat": "", "form": "a-form"}
    for _ in range(2):
        response = house.post("/ask", fields, Accept="application/json")
        assert (response.status, response.json()) == (201, {"url": "/chats/1/1"})
    for wrong, status, words in (
        ({"question": " "}, 400, "type a question"),
        ({"question": "x" * 4001}, 413, "at most 4000"),
        ({"chat": "99"}, 404, "That chat is gone"),
    ):
        response = house.post("/ask", {**fields, **wrong}, Accept="application/json")
        assert response.status == status and words in response.json()["error"]
    assert house.chats.count_turns(1) == 1


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
    assert "Mine?" not in house.get("/").data.decode(), "not for whom nobody knows"
    assert "Of another?" in house.get("/chats", **mine).data.decode(), "the list has all"


@pytest.mark.parametrize(
    "cookie", ["device=; x", "device=a b", "device=<script>", "device=" + "x" * 99, "device=é"]
)
def test_a_cookie_that_is_none_of_ours_is_replaced(house: House, cookie: str) -> None:
    response = house.get("/", Cookie=cookie)
    assert response.status == 200 and re.match(r"device=[\w-]{16};", response.headers["Set-Cookie"])


def test_an_answer_is_unread_until_its_end_has_been_shown(gemini: FakeGemini, house: House) -> None:
    asked = house.post("/ask", {"question": "Why?", "form": "1"}, Cookie="unread=7.8")
    assert asked.headers["Set-Cookie"].startswith("unread=7.8.1;")
    call = gemini.next_call()
    call.start()
    assert "Set-Cookie" not in house.get("/chats/1/1", Cookie="unread=7.8.1").headers, "it is being written"
    call.text("Because.", finish="STOP")
    call.end()
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
    assert kept and kept[1].split(".") == [*map(str, range(181, 200)), "2"], "the newest twenty"


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


def test_the_house_has_a_look_of_its_own(gemini: FakeGemini, tmp_path: Path) -> None:
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
def test_a_look_that_makes_no_sense_or_leads_away_is_refused(house: House, look: str, back: str) -> None:
    response = house.post("/look", {"look": look, "back": back})
    assert response.status == 400 and "Set-Cookie" not in response.headers


def test_starters_and_follow_ups_are_the_houses(gemini: FakeGemini, tmp_path: Path) -> None:
    pages = Pages(False, ["In <simple> words:"], ["Why & how?", "Who?", "When?"])
    with House(gemini.url, tmp_path, pages=pages) as house:
        assert '<a href="/?start=0">In &lt;simple&gt; words:</a>' in house.get("/").data.decode()
        assert "In &lt;simple&gt; words: </textarea>" in house.get("/?start=0").data.decode()
        page = house.get(answered(gemini, house, "A.")).data.decode()
        assert re.findall('type="submit" name="question" value="([^"]*)"', page) == [
            "Why &amp; how?",
            "Who?",
            "When?",
        ]
    with House(gemini.url, tmp_path, pages=Pages(False, [], [])) as house:
        assert "start=0" not in house.get("/").data.decode()
        assert 'name="question" value="Simpler"' not in house.get("/chats/1/1").data.decode()


# ---- Reading


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("is_written", [True, False])
def test_the_page_of_a_short_answer_fits_the_first_flight_of_a_connection(
    gemini: FakeGemini, tmp_path: Path, language: str, is_written: bool
) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz    " if language == "en" else [chr(0x4E00 + n) for n in range(3000)]
    text = "".join(Random(1).choice(letters) for _ in range(1500)) + "\n\n"
    with House(gemini.url, tmp_path, is_demo=True) as house:
        house.ask("Why is the sea salty, and why are lakes not?")
        call = gemini.next_call()
        call.start()
        call.text(text)
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until(text.strip()[-10:])
        if not is_written:
            call.text("", finish="STOP")
        call.end()
        with socket.create_connection(("127.0.0.1", house.server.port)) as browser:
            browser.sendall(
                f"GET /chats/1/1 HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, deflate\r\n"
                f"Accept-Language: {language}\r\nConnection: close\r\n\r\n".encode()
            )
            received = b"".join(iter(lambda: browser.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head and text.strip()[-10:].encode() in gzip.decompress(body)
    assert len(received) <= 14_600


def test_a_browser_that_takes_no_gzip_gets_none(house: House) -> None:
    for accepted in ("", "deflate", "identity"):
        response = house.get("/", Accept_Encoding=accepted)
        assert "Content-Encoding" not in response.headers and response.headers["Vary"] == "Accept-Encoding"
        assert response.data.startswith(b"<!DOCTYPE html>")


def test_a_finished_answer_is_a_page_that_needs_no_script(gemini: FakeGemini, house: House) -> None:
    page = house.get(answered(gemini, house, LONG)).data.decode()
    assert "<h1>One</h1>" in page and "<strong>three</strong>" in page and "last paragraph" in page
    assert "EventReader" not in page and "http-equiv" not in page, "nothing is followed"
    assert 'class="reading ended complete"' in page


def test_a_page_opened_while_writing_shows_what_has_settled_and_reloads_without_script(
    gemini: FakeGemini, house: House
) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    call.text("Settled.\n\nNot yet")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("yet")
    page = house.get("/chats/1/1").data.decode()
    assert "<p>Settled.</p>" in page and "Not yet" not in page
    assert re.search(r'<noscript><meta http-equiv="refresh" content="5"></noscript>', page)
    assert re.search(r'<noscript>[^/]*href="/chats/1/1">Refresh', page)
    answer = re.search(r'<script type="application/json" id="given">(\{.*\})</script>', page)
    assert answer and json.loads(answer[1])["upto"] == len("Settled.\n\n")
    call.text(".", finish="STOP")
    call.end()


def test_a_question_beyond_the_quota_of_the_day_is_kept_with_a_sentence_and_one_tap_to_ask_it_again(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.error(429, "RESOURCE_EXHAUSTED", "quota", [quota_failure("RequestsPerDay")])
    with House(gemini.url, tmp_path) as house:
        read_answer(house, *house.ask("Why?"))
    with House(gemini.url, tmp_path) as house:
        page = read_answer(house, *house.ask("And why not?"))
        assert re.search(r"used up\. New questions from \d\d:00 (today|tomorrow)\.", page)
        assert '<button class="anew" name="question" value="And why not?">Ask again</button>' in page
        assert "go-on" not in page.partition("<body")[2] and "Try again" not in page
        assert [chat.title for chat in house.chats.recent(9)] == ["And why not?", "Why?"]
        refused = house.send("/api/chat", {"message": "And now?"})
        assert refused.status == 503 and 0 < int(refused.headers["Retry-After"]) <= 25 * 3600
    assert len(gemini.calls) == 2, "both models once, before the restart"


def test_an_answer_that_grew_too_long_can_go_on(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply([chunk("So long", "MAX_TOKENS")]))
    page = read_answer(house, *house.ask("Tell me all"))
    assert "reached its greatest length" in page
    assert re.findall(r'<button class="([\w-]+)" name="question"', page) == ["go-on"]


def test_an_answer_that_is_not_the_last_one_goes_on_from_its_own_end(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply([chunk("The sea is"), chunk(" salty\nbecause")]), Reply.answer("Deep."))
    first = house.ask("Why is the sea salty?")
    read_answer(house, *first)
    read_answer(house, *house.ask("How deep is it?", first[0]))
    page = html.unescape(read_answer(house, *first))
    assert re.search(r'class="go-on" name="question" value="[^"]*after “… The sea is salty because”\."', page), page


def read_answer(house: House, chat: int, number: int) -> str:
    """The page of a turn once its answer has ended."""
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    with house.follow(f"/answers/{turn.id}?as=text") as follow:
        follow.read_to_end()
    return house.get(f"/chats/{chat}/{number}").data.decode()


def test_the_list_has_every_chat_with_a_way_to_its_newest_turn(gemini: FakeGemini, house: House) -> None:
    assert "Nothing has been asked yet." in house.get("/chats").data.decode()
    answered(gemini, house, "A.", "First <b>chat</b>?")
    answered(gemini, house, "B.", "Second chat?")
    gemini.replies(Reply.answer("C."))
    house.ask("More?", 1)
    page = house.get("/chats").data.decode()
    assert re.findall(r'href="(/chats/\d+/\d+)"', page) == ["/chats/1/2", "/chats/2/1"], "last asked in first"
    assert "First &lt;b&gt;chat&lt;/b&gt;?" in page and "2 questions" in page and "1 question<" in page


def test_who_asks_too_much_at_once_gets_the_question_back_and_hears_for_how_long(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path, allowed=(2, None, None)) as house:
        for number in range(2):
            house.ask("Again?", form=f"form-{number}")
        assert house.post("/ask", {"question": "Again?", "form": "form-1"}).status == 303, "sent twice, asked once"
        refused = house.post("/ask", {"question": "And a <third>?", "form": "form-2"})
        assert refused.status == 429 and 0 < int(refused.headers["Retry-After"]) <= 31
        page = refused.data.decode()
        assert "That was a lot at once. Please ask again in" in page and "And a &lt;third&gt;?</textarea>" in page
        by_script = house.post("/ask", {"question": "Third?", "form": "form-3"}, Accept="application/json")
        assert by_script.status == 429 and "a lot at once" in json.loads(by_script.data)["error"]
        assert "Retry-After" in by_script.headers
        for_scripts = house.send("/api/chat", {"message": "Third?"})
        assert for_scripts.status == 429 and "Retry-After" in for_scripts.headers
        other = house.post("/ask", {"question": "Me too?", "form": "form-4"}, Cookie="device=another-kindle")
        assert other.status == 303, "each device has its own"
    assert len(gemini.calls) == 3


def test_a_reader_sees_what_is_left_when_it_gets_short(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, allowed=(1000, None, 7)) as house:
        assert "left for today" not in house.get("/").data.decode()
        path = answered(gemini, house, "Yes.")
        answered(gemini, house, "Yes.")
        for shown in (path, "/", "/?chat=1"):
            assert "5 questions left for today." in house.get(shown).data.decode()
        assert house.send("/api/chat", {"message": 5}).status == 400
        assert "5 questions left" in house.get("/").data.decode(), "what is refused is not counted"
        gemini.default = Reply.answer("Yes.")
        for _ in range(5):
            house.send("/api/chat", {"message": "Script?"})
        assert "questions of this house for today are used up" in house.get("/").data.decode()
        refused = house.post("/ask", {"question": "One more?", "form": "f"})
        assert refused.status == 429 and 0 < int(refused.headers["Retry-After"]) <= 25 * 3600
        assert "One more?</textarea>" in refused.data.decode()
    assert len(gemini.calls) == 7


def test_a_chat_is_deleted_by_two_taps_and_the_first_changes_nothing(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "Forty-two.", "What is the secret?")
    assert '<a href="/chats/1/delete">Delete</a>' in house.get("/chats").data.decode()
    page = house.get("/chats/1/delete").data.decode()
    assert "What is the secret?" in page and "1 question" in page
    assert '<form class="again sure ui" action="/chats/1/delete" method="post">' in page
    assert house.get("/chats/1/1").status == 200
    gone = house.post("/chats/1/delete", {})
    assert (gone.status, gone.headers["Location"]) == (303, "/chats")
    for path in ("/chats/1/1", "/chats/1", "/chats/1/delete", "/answers/1"):
        assert house.get(path).status == 404
    assert house.post("/chats/1/delete", {}).status == 404
    assert "Nothing has been asked yet" in house.get("/chats").data.decode()


def test_a_chat_that_cannot_be_deleted_says_so(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "Forty-two.")
    house.database._writer.execute("PRAGMA query_only = ON")
    refused = house.post("/chats/1/delete", {})
    house.database._writer.execute("PRAGMA query_only = OFF")
    assert refused.status == 503 and "full or read-only" in refused.data.decode()
    assert house.get("/chats/1/1").status == 200


@pytest.mark.parametrize(
    "path",
    ["/chats/9/delete", "/chats/9", "/chats/1/9", "/chats/0/0", "/chats/x/y", f"/chats/{'9' * 40}/1", "/answers/9",
     "/answers/x", f"/answers/{'9' * 15}", "/nothing", "/static/page.js", "/../etc/passwd", "/%00", "/chats/1/1/",
     "/answers/"],
)  # fmt: skip
def test_what_is_not_there_gets_a_short_page(house: House, path: str) -> None:
    response = house.get(path)
    assert response.status == 404 and "There is no such page here." in response.data.decode()


def test_the_list_of_chats_leads_to_the_addresses_of_the_appliance(house: House) -> None:
    assert 'href="/addresses"' in house.get("/chats").data.decode()
    page = house.get("/addresses").data.decode()
    assert f'href="{house.url}/"' in page and "switched off" in page
    assert house.post("/look", {"look": "5", "back": "/addresses"}).headers["Location"] == "/addresses#look"


def test_pages_speak_the_readers_language(house: House) -> None:
    chinese = house.get("/", Accept_Language="zh-CN,zh;q=0.9").data.decode()
    assert '<html lang="zh-CN"' in chinese and "您的问题" in chinese and "Your question" not in chinese
    assert "没有这个页面" in house.get("/nothing", Accept_Language="zh").data.decode()


def test_the_house_can_fix_the_language(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, language="zh-CN") as house:
        assert "您的问题" in house.get("/", Accept_Language="en").data.decode()


def test_the_demo_says_so_on_every_page(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, is_demo=True) as house:
        path = answered(gemini, house, "A demo.")
        for each in ("/", "/chats", path, "/nothing"):
            assert "Demo: these answers are examples" in house.get(each).data.decode()


def test_every_response_is_private_not_to_be_sniffed_not_to_be_framed_and_has_a_policy(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = answered(gemini, house, "A.")
    paths = ("/", path, "/chats", "/nothing", "/answers/1?as=events", "/answers/1", "/answers/1?from=x", "/check")
    responses = [house.get(each) for each in paths]
    responses += [house.post("/ask", {}), house.post("/look", {"look": "3", "back": "/"}), house.post("/chats", {})]
    responses += [house.send("/api/chat", {}), house.send("/check", {}), house.client.request("PUT", house.url)]
    monkeypatch.setattr(house.chats, "recent", lambda most: 1 // 0)
    responses.append(house.get("/chats"))
    assert {each.status for each in responses} == {200, 204, 303, 400, 404, 405, 500}, "of all kinds"
    for each in responses:
        headers = each.headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
        (policy,) = headers.getlist("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; ") and policy.endswith("frame-ancestors 'none'")
        assert ("script-src" in policy) == (b"</html>" in each.data)


def test_the_policy_of_a_page_allows_its_own_script_and_style_and_nothing_else(
    gemini: FakeGemini, house: House
) -> None:
    path = answered(gemini, house, "A.")
    house.ask("Not yet?")
    call = gemini.next_call()
    policies = []
    for each in ("/", path, "/chats/2/1", "/chats", "/check", "/check/reports", "/nothing"):
        response = house.get(each)
        policy = response.headers["Content-Security-Policy"]
        policies.append(policy)
        allowed = dict(re.findall(r"(script|style)-src 'unsafe-inline' '(sha256-[^' ]{44})';", policy))
        for element, allowed_hash in allowed.items():
            (text,) = re.findall(rf"<{element}>(.*?)</{element}>", response.data.decode(), re.DOTALL)
            digest = hashlib.sha256(text.encode()).digest()
            assert f"sha256-{base64.b64encode(digest).decode()}" == allowed_hash
        assert set(allowed) == {"script", "style"} and "unsafe-eval" not in policy
    assert len(set(policies)) == 4, "one for each set of scripts: what differs from page to page is no script"
    call.start()
    call.text("Now.", finish="STOP")
    call.end()


# ---- Following


def test_text_reaches_a_follower_before_the_next_is_written(gemini: FakeGemini, house: House) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    with house.follow("/answers/1?as=events") as follow:
        assert follow.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        for word in ("One", " two", " three"):
            call.text(word)
            follow.read_until(word.strip())
        call.text(".", finish="STOP")
        call.end()
        follow.read_to_end()
    assert follow.state.blocks == ["<p>One two three.</p>"] and follow.state.tail == ""
    assert follow.state.end == {"finish": "complete", "note": "", "model": "model-a"}


def test_a_silent_stream_is_kept_alive_by_comments(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert streams._KEEP_ALIVE_SECONDS == 10
    monkeypatch.setattr("kindle_appliance.web.streams._KEEP_ALIVE_SECONDS", 0.5)
    house.ask("Why?")
    call = gemini.next_call()
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until(" \n\n:\n\n:\n\n")
        call.start()
        call.text("Because.", finish="STOP")
        call.end()
        follow.read_to_end()
    assert follow.state.blocks == ["<p>Because.</p>"]


def test_the_representation_is_chosen_by_query_or_accept_header(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, LONG)
    assert house.get("/answers/1").data.decode() == LONG
    assert house.get("/answers/1").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert house.get("/answers/1?as=text", Accept="text/event-stream").data.decode() == LONG
    by_header = house.get("/answers/1", Accept="text/event-stream").data
    assert b"event: end" in by_header and by_header == house.get("/answers/1?as=events").data


def test_an_offset_takes_up_from_the_last_settled_block(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, LONG)
    whole = PageState()
    whole.feed(house.get("/answers/1?as=events").data.decode())
    blocks = [value for name, value in whole.events if name == "block"]
    for index, block in enumerate(blocks):
        for offset in (block["upto"], block["upto"] + 1):
            rest = PageState()
            rest.feed(house.get(f"/answers/1?as=events&from={offset}").data.decode())
            expected = blocks[index + 1 :] if offset < block["upto"] + 1 or index + 1 < len(blocks) else []
            assert [value for name, value in rest.events if name == "block"] == expected
            assert rest.end == whole.end
    assert house.get("/answers/1?from=5").data.decode() == LONG[5:]
    assert house.get("/answers/1?from=99999").data == b""


def test_asking_without_waiting_gives_what_there_is(gemini: FakeGemini, house: House) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    call.text("Done.\n\nOpen")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("Open")
    for _ in range(2):
        state = PageState()
        state.feed(house.get("/answers/1?as=events&wait=0").data.decode())
        assert (state.blocks, state.tail, state.end) == (["<p>Done.</p>"], "Open", None)
    assert house.get("/answers/1?wait=0").data == b"Done.\n\nOpen"
    call.text("!", finish="STOP")
    call.end()
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    state.feed(house.get(f"/answers/1?as=events&wait=0&from={state.upto}").data.decode())
    assert state.blocks == ["<p>Done.</p>", "<p>Open!</p>"] and state.end is not None


@pytest.mark.parametrize("query", ["from=x", "from=-1", "from=1.5", "from=" + "9" * 30, "as=html", "from=%00"])
def test_a_query_that_makes_no_sense_gets_a_sentence(gemini: FakeGemini, house: House, query: str) -> None:
    answered(gemini, house, "A.")
    response = house.get("/answers/1?" + query)
    assert response.status == 400 and "must be" in response.data.decode()


def test_followers_beyond_the_cap_are_told_to_poll_and_a_seat_is_free_again(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, followers=2) as house:
        house.ask("Why?")
        call = gemini.next_call()
        call.start()
        call.text("Word")
        with house.follow("/answers/1?as=events") as one, house.follow("/answers/1?as=events") as two:
            one.read_until("Word")
            two.read_until("Word")
            third = house.get("/answers/1?as=events").data
            assert b"retry: 2000\n" in third and b"event:" not in third
            assert b"Word" in house.get("/answers/1?as=events&wait=0").data
            assert house.get("/").status == 200, "pages have threads of their own"
            call.text(".", finish="STOP")
            call.end()
            one.read_to_end()
            two.read_to_end()
        with house.follow("/answers/1?as=events") as again:
            assert b"event: end" in again.read_to_end()


def test_a_reader_that_leaves_frees_its_seat_while_the_answer_goes_on(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        house.ask("Why?")
        call = gemini.next_call()
        call.start()
        call.text("Word")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_until("Word")
        pause = threading.Event()
        for _ in range(100):
            with house.follow("/answers/1?as=events") as follow:
                while b"Word" not in follow.body and follow.read():
                    pass
                if b"Word" in follow.body:
                    break
            pause.wait(0.1)
        else:
            raise AssertionError("the seat was not freed")
        call.text(" more", finish="STOP")
        call.end()
        answer = house.desk.find(1)
        assert answer is None or answer.wait_for_end(20)
        assert house.get("/answers/1").data == b"Word more"


# ---- Stopping


def test_stop_keeps_what_has_been_written_and_goes_back_to_the_page(gemini: FakeGemini, house: House) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    call.text("So far")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("So far")
        stopped = house.post("/answers/1/stop", {})
        follow.read_to_end()
    call.wait_gone(5)
    assert (stopped.status, stopped.headers["Location"]) == (303, "/chats/1/1")
    assert follow.state.end and follow.state.end["finish"] == "stopped"
    page = house.get("/chats/1/1").data.decode()
    assert "So far" in page and "You stopped this answer." in page
    assert house.post("/answers/1/stop", {}).status == 303, "twice does no harm"
    assert house.post("/answers/9/stop", {}).status == 404


def test_everything_that_changes_state_is_a_post(gemini: FakeGemini, house: House) -> None:
    for path in ("/ask", "/answers/1/stop", "/api/chat"):
        assert house.get(path).status == 405
    assert house.post("/", {}).status == 405


# ---- The API


def test_the_api_streams_plain_text_as_it_is_written(gemini: FakeGemini, house: House) -> None:
    done = []

    def converse() -> None:
        history = [{"role": "user", "text": "Hi"}, {"role": "model", "text": "Hello."}]
        with house.converse({"message": "Why?", "history": history}) as follow:
            done.append((follow.status, dict(follow.headers)))
            follow.read_until("One")
            seen.set()
            done.append((0, {"body": follow.read_to_end().decode()}))

    seen = threading.Event()
    client = threading.Thread(target=converse)
    client.start()
    call = gemini.next_call()
    assert [each["parts"][0]["text"] for each in call.json["contents"]] == ["Hi", "Hello.", "Why?"]
    call.start()
    call.text("One")
    assert seen.wait(10), "the first word arrives before the second is written"
    call.text(" two 末尾.", finish="STOP")
    call.end()
    client.join(10)
    (status, headers), (_, body) = done
    assert status == 200 and headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert body == {"body": "One two 末尾."}, "nothing padded"
    assert not house.chats.recent(10), "nothing stored"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 60_000, "not valid JSON"),
        ([], "an object with"),
        ("text", "an object with"),
        ({}, "“message” must be a text."),
        ({"message": 5}, "“message” must be a text."),
        ({"message": "   "}, "Please type a question first."),
        ({"message": "x", "history": {}}, "“history” must be a list"),
        ({"message": "x", "history": [{"role": "user", "text": "x"}] * 201}, "at most 200 messages"),
        ({"message": "x", "history": ["x"]}, "“history[0]” must be an object"),
        ({"message": "x", "history": [{"role": "user", "text": "x"}, {"text": "x"}]}, "“history[1].role”"),
        ({"message": "x", "history": [{"role": "system", "text": "x"}]}, "“history[0].role”"),
        ({"message": "x", "history": [{"role": ["user"], "text": "x"}]}, "“history[0].role”"),
        ({"message": "x", "history": [{"role": "user", "text": 1}]}, "“history[0].text”"),
        ({"message": "x", "history": [{"role": "model", "text": " "}]}, "“history[0].text”"),
    ],
)
def test_the_api_names_the_place_that_is_wrong(house: House, body: object, place: str) -> None:
    with house.converse(body) as follow:
        answer = json.loads(follow.read_to_end())
    assert follow.status == 400 and place in answer["error"]
    assert follow.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_api_wants_json_and_says_when_it_is_too_long(house: House) -> None:
    with house.converse(b"message=x", Content_Type="application/x-www-form-urlencoded") as follow:
        assert follow.status == 415 and "application/json" in follow.read_to_end().decode()
    with house.converse({"message": "x" * 4001}) as follow:
        assert follow.status == 413 and "4001" in follow.read_to_end().decode()


def test_the_api_takes_json_with_a_charset(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("ok"))
    with house.converse({"message": "x"}, Content_Type="Application/JSON; charset=utf-8") as follow:
        assert follow.read_to_end() == b"ok"


def test_half_a_surrogate_pair_does_no_harm(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("ok"))
    with house.converse(b'{"message": "a\\ud83d b\\u0000"}') as follow:
        assert follow.read_to_end() == b"ok"
    assert gemini.calls[0].json["contents"][0]["parts"] == [{"text": "a? b\ufffd"}]


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (Reply.error(429, "RESOURCE_EXHAUSTED", "limit", [retry_info("34.4s")]), 503, "Too many questions"),
        (Reply.error(503, "UNAVAILABLE", "busy"), 503, "too much to do"),
        (Reply.error(400, "INVALID_ARGUMENT", "bad"), 502, "did not understand"),
        (Reply.error(401, "UNAUTHENTICATED", "bad"), 502, "does not accept the key"),
        (Reply([chunk(None, "SAFETY")]), 422, "rules"),
        (Reply([chunk(None, "STOP")]), 502, "no answer"),
        (Reply([], ending="stall"), 504, "in time"),
    ],
)
def test_an_early_failure_is_an_honest_status_with_a_sentence(
    gemini: FakeGemini, tmp_path: Path, reply: Reply, status: int, words: str
) -> None:
    gemini.default = reply
    with House(gemini.url, tmp_path, models=("model-a",), clocks=Clocks(5, 0.3, 0.3)) as house:
        with house.converse({"message": "x"}) as follow:
            error = json.loads(follow.read_to_end())["error"]
        assert (follow.status, words in error) == (status, True), error
        assert follow.headers.get("Retry-After") == ("35" if "34.4" in str(reply.body) else None)
        assert KEY not in error


def test_scripts_leave_the_pages_their_threads(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1, allowed=(1000, None, 3)) as house:
        with house.converse_later({"message": "one"}) as first:
            call = gemini.next_call()
            with house.converse({"message": "two"}) as second:
                assert second.status == 503 and second.headers["Retry-After"] == "2"
                assert "too much to do" in json.loads(second.read_to_end())["error"]
            assert house.get("/").status == 200
            call.start()
            call.text("One.", finish="STOP")
            call.end()
            assert first.result(20) == b"One."
        gemini.replies(Reply.error(503, "UNAVAILABLE", "busy"), Reply.error(503, "UNAVAILABLE", "busy"))
        with house.converse({"message": "fails"}) as failed:
            assert failed.status == 503
        gemini.replies(Reply.answer("Three."))
        with house.converse({"message": "three"}) as third:
            assert third.read_to_end() == b"Three.", "every seat is free again, and who found none was not counted"
        for _ in range(2):
            assert house.send("/api/chat", {"message": "four"}).status == 429, "nor does that take a seat"


def test_a_late_failure_cuts_the_body_so_that_clients_notice(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply([chunk("Half of"), error_body(500, "INTERNAL", "oops")]))
    with socket.create_connection(("127.0.0.1", house.server.port)) as client:
        body = b'{"message": "x"}'
        head = (
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}"
        )
        client.sendall(head.encode() + b"\r\n\r\n" + body)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"Half of" in received and b"chunked" in received
    assert not received.endswith(b"0\r\n\r\n"), "the last chunk is missing"


def test_an_api_client_that_leaves_stops_its_answer(gemini: FakeGemini, house: House) -> None:
    def leave_early() -> None:
        with house.converse({"message": "x"}) as follow:
            follow.read_until("One")

    client = threading.Thread(target=leave_early)
    client.start()
    call = gemini.next_call()
    call.start()
    call.text("One")
    client.join(10)
    call.wait_gone(10)


def test_an_api_client_that_leaves_before_the_first_word_stops_its_answer(gemini: FakeGemini, house: House) -> None:
    with socket.create_connection(("127.0.0.1", house.server.port)) as client:
        client.sendall(
            b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 16\r\n\r\n"
            b'{"message": "x"}'
        )
        call = gemini.next_call()
    call.wait_gone(10)


# ---- Checking a browser


def test_the_page_that_checks_a_browser_sets_a_cookie_that_its_script_can_find(house: House) -> None:
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
            assert f"data: {number + 1}".encode() not in follow.body, "it is there before the next is sent"
        assert follow.read_to_end().count(b"data: ") == 3
    assert follow.body.index(b"data: ") > 1024, "a padded start"
    assert time.monotonic() - begun > 1.1, "with silence behind each"


def test_the_check_takes_no_seat_from_those_that_read(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        house.ask("Why?")
        call = gemini.next_call()
        call.start()
        call.text("Word")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_until("Word")
            assert house.get("/check/stream").data == b""
            call.text(".", finish="STOP")
            call.end()
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
def test_what_is_no_report_is_refused_with_a_sentence(house: House, body: object, status: int, words: str) -> None:
    response = house.send("/check", body)
    assert (response.status, words in json.loads(response.data)["error"]) == (status, True), response.data
    assert house.reports.latest() == []


def test_a_report_is_json_and_nothing_that_another_page_could_send(house: House) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = house.send("/check", {"agent": "x"}, Content_Type=content_type)
        assert response.status == 415 and "application/json" in json.loads(response.data)["error"]
    assert house.post("/check/reports", {}).status == house.post("/check/stream", {}).status == 405


def test_a_report_that_cannot_be_stored_is_not_taken_for_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(report: object) -> None:
        raise StorageError(Sentence("The appliance cannot store anything: its card is full or read-only."))

    monkeypatch.setattr(house.reports, "add", fails)
    response = house.send("/check", {})
    assert response.status == 503 and "cannot store" in json.loads(response.data)["error"]


# ---- Mistakes of ours


def test_a_mistake_of_ours_shows_no_traceback_to_the_reader(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(house.chats, "recent", lambda most: 1 // 0)
    response = house.get("/chats")
    page = response.data.decode()
    assert response.status == 500 and "The appliance made a mistake." in page
    assert "Traceback" not in page and "ZeroDivision" not in page
    assert "ZeroDivisionError" in caplog.text, "the log has it"
