"""The page to ask on and its form, over real sockets: what becomes a question, what is refused, and the limits."""

from __future__ import annotations

import html
import json
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House, answered

from kindle_appliance.upstream.call import Clocks
from kindle_appliance.web.guard import Guard
from kindle_appliance.web.layout import Layout
from kindle_appliance.web.pages import Pages


def hidden(page: str, name: str) -> str:
    match = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)
    assert match, page
    return match[1]


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
    assert house.ask("Another?", form="the-form") != first, (
        "the same form, with another question, as from a cached page"
    )
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
    assert question.strip() in page, "the typed question is not lost"
    assert not house.chats.recent(10)


def test_the_longest_question_is_asked_whole(gemini: FakeGemini, house: House) -> None:
    question = "海" * 4000
    gemini.replies(Reply.answer("Ja."))
    house.ask(question)
    (call,) = gemini.wait_for_calls(1)
    assert call.json["contents"][-1]["parts"] == [{"text": question}]


def test_line_ends_and_spaces_of_a_form_are_normalised(gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.answer("Ja."))
    house.ask("  a\r\nb\rc\0  ")
    (call,) = gemini.wait_for_calls(1)
    assert call.json["contents"][-1]["parts"] == [{"text": "a\nb\nc\ufffd"}]


@pytest.mark.parametrize("chat", ["7", "0", "-1", "x", "9" * 30, "1 OR 1", "１"])
def test_a_question_in_a_chat_that_is_gone_comes_back(house: House, chat: str) -> None:
    response = house.post("/ask", {"question": "Still here?", "chat": chat, "form": "f"})
    page = response.data.decode()
    assert response.status == 404 and "Still here?" in page and "That chat is gone" in page
    assert hidden(page, "chat") == "", "sent again, the form starts a new chat"
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
def test_a_malformed_form_gets_a_page_and_no_turn(
    house: House, content_type: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = house.client.request("POST", house.url + "/ask", body=body, headers=headers, redirect=False)
    assert response.status == status and "</html>" in response.data.decode()
    assert not house.chats.recent(10)


@pytest.mark.parametrize("start", ["0", "3", "99", "x"])
def test_a_starter_begins_the_question_without_script_too(house: House, start: str) -> None:
    page = house.get(f"/?start={start}").data.decode()
    assert ("\nExplain: </textarea>" in page) == (start == "0")


def test_a_script_that_asks_gets_the_url_of_its_answer_or_an_error(gemini: FakeGemini, house: House) -> None:
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


def test_the_owner_can_set_starters_and_follow_ups(gemini: FakeGemini, tmp_path: Path) -> None:
    pages = Pages(Layout(False), ["In <simple> words:"], ["Why & how?", "Who?", "When?"])
    with House(gemini.url, tmp_path, pages=pages) as house:
        assert '<a href="/?start=0">In &lt;simple&gt; words:</a>' in house.get("/").data.decode()
        assert "In &lt;simple&gt; words: </textarea>" in house.get("/?start=0").data.decode()
        page = house.get(answered(gemini, house, "A.")).data.decode()
        assert re.findall('type="submit" name="question" value="([^"]*)"', page) == [
            "Why &amp; how?",
            "Who?",
            "When?",
        ]
    with House(gemini.url, tmp_path, pages=Pages(Layout(False), [], [])) as house:
        assert "start=0" not in house.get("/").data.decode()
        assert 'name="question" value="Simpler"' not in house.get("/chats/1/1").data.decode()


def test_a_question_beyond_the_rate_limit_comes_back_with_a_retry_delay(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path, allowed=(2, None, None)) as house:
        for number in range(2):
            house.ask("Again?", form=f"form-{number}")
        assert house.post("/ask", {"question": "Again?", "form": "form-1"}).status == 303, (
            "the same form is not counted twice"
        )
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
        assert other.status == 303, "each device has its own limit"
    assert len(gemini.calls) == 3


def test_ten_taps_of_one_form_are_one_question_and_charged_once(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer("Yes.")
    together = threading.Barrier(10)
    with House(gemini.url, tmp_path, allowed=(2, None, 2), ticks=lambda: 0.0) as house:

        def tap(number: int) -> tuple[int, str]:
            together.wait()
            response = house.post("/ask", {"question": "Again?", "form": "the-form"}, Cookie="device=a-kindle")
            return response.status, response.headers["Location"]

        with ThreadPoolExecutor(10) as taps:
            assert set(taps.map(tap, range(10))) == {(303, "/chats/1/1")}
        assert house.post("/ask", {"question": "Last?", "form": "f"}, Cookie="device=a-kindle").status == 303
        assert house.post("/ask", {"question": "More?", "form": "g"}, Cookie="device=a-kindle").status == 429
        assert house.ask("Again?", form="the-form") == (1, 1), "the form is known when nothing is left, too"
        gemini.wait_for_calls(2)
    assert len(gemini.calls) == 2


@pytest.mark.parametrize("by_script", [False, True])
def test_of_two_hundred_questions_at_once_under_made_up_cookies_an_address_gets_four_times_a_devices(
    gemini: FakeGemini, tmp_path: Path, by_script: bool
) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path, allowed=(6, None, 300), followers=64, ticks=lambda: 0.0) as house:

        def ask(number: int) -> int:
            cookie = f"device=made-up-{number}"
            if by_script:
                return house.send("/api/chat", {"message": "Why?"}, Cookie=cookie).status
            return house.post("/ask", {"question": "Why?", "form": f"form-{number}"}, Cookie=cookie).status

        with ThreadPoolExecutor(12) as clients:
            statuses = list(clients.map(ask, range(200)))
        assert statuses.count(200 if by_script else 303) == 24
        assert statuses.count(429) == 176
        other = house.at("127.0.0.2")
        assert other.post("/ask", {"question": "Me too?", "form": "f"}).status == 303, "others go on"
        gemini.wait_for_calls(25)
    assert len(gemini.calls) == 25


def test_behind_a_proxy_the_forwarded_client_counts(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer("Yes.")
    guard = Guard(proxies=("127.0.0.1",))
    clients = ("192.168.1.7", "192.168.1.8", "fd00::1", "fd00::2", "fd00:0:0:1::1", "fe80::1", "fe80::2")
    admitted: Counter[str] = Counter()
    with House(gemini.url, tmp_path, allowed=(1, None, None), ticks=lambda: 0.0, guard=guard) as house:
        for number in range(6):
            for index, client in enumerate(clients):
                fields = {"question": "Why?", "form": f"form-{number}-{index}"}
                cookie = f"device=made-up-{number}-{index}"
                status = house.post("/ask", fields, X_Forwarded_For=client, Cookie=cookie).status
                admitted[client] += status == 303
    assert list(admitted.values()) == [4, 4, 2, 2, 4, 2, 2], "IPv6 addresses of one /64 count as one"


def test_the_rest_of_the_day_is_kept_for_other_addresses_with_a_sentence(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = Reply.answer("Yes.")
    with House(gemini.url, tmp_path, allowed=(1000, None, 8)) as house:
        other = house.at("127.0.0.2")
        other.ask("Mine?")
        for number in range(6):
            house.send("/api/chat", {"message": "Script?"}, Cookie=f"device=made-up-{number}")
        kept = "The rest of today's questions is kept for other devices of this house. New questions from"
        assert kept in html.unescape(house.get("/").data.decode())
        refused = house.post("/ask", {"question": "One more?", "form": "f"})
        assert refused.status == 429 and kept in html.unescape(refused.data.decode())
        assert 0 < int(refused.headers["Retry-After"]) <= 25 * 3600
        assert kept in house.send("/api/chat", {"message": "One more?"}).json()["error"]
        assert "1 question left for today." in other.get("/").data.decode()
        assert other.ask("Mine, too?") == (2, 1)


def test_a_reader_sees_how_many_questions_are_left_when_few_are(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, allowed=(1000, None, 7)) as house:
        assert "left for today" not in house.get("/").data.decode()
        path = answered(gemini, house, "Yes.")
        answered(gemini, house, "Yes.")
        for shown in (path, "/", "/?chat=1"):
            assert "5 questions left for today." in house.get(shown).data.decode()
        assert house.send("/api/chat", {"message": 5}).status == 400
        assert "5 questions left" in house.get("/").data.decode(), "a refused question is not counted"
        gemini.default = Reply.answer("Yes.")
        for _ in range(5):
            house.send("/api/chat", {"message": "Script?"})
        assert "questions of this house for today are used up" in house.get("/").data.decode()
        refused = house.post("/ask", {"question": "One more?", "form": "f"})
        assert refused.status == 429 and 0 < int(refused.headers["Retry-After"]) <= 25 * 3600
        assert "One more?</textarea>" in refused.data.decode()
    assert len(gemini.calls) == 7


def test_after_a_silent_model_asking_again_begins_with_the_next_one(gemini: FakeGemini, tmp_path: Path) -> None:
    """Also after a restart; and a position that the list does not have begins with the first model."""
    gemini.replies(Reply(status=None, ending="stall"), model="model-a")
    gemini.default = Reply.answer("Because.")
    with House(gemini.url, tmp_path, clocks=Clocks(connect=10, first_byte=0.5, progress=10)) as house:
        house.ask("Why?")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_to_end()
        assert follow.state.end is not None and str(follow.state.end["next"]) == "1"
    with House(gemini.url, tmp_path) as house:
        page = house.get("/chats/1/1").data.decode()
        (form,) = re.findall('<form class="ask again buttons".*?</form>', page, re.DOTALL)
        fields = dict(re.findall('name="(\\w+)"[^>]*value="([^"]*)"', form))
        assert fields["question"] == "Why?" and fields["rung"] == "1"
        for turn, rung in ((2, fields["rung"]), (3, "7"), (4, "x"), (5, "")):
            sent = house.post("/ask", {**fields, "form": f"form-{turn}-of-this-test", "rung": rung})
            assert sent.status == 303 and sent.headers["Location"] == f"/chats/1/{turn}"
            with house.follow(f"/answers/{turn}?as=text") as follow:
                follow.read_to_end()
    assert [call.model for call in gemini.calls] == ["model-a", "model-b", "model-a", "model-a", "model-a"]
