"""Letting a question wait for a quota, and taking it back: the pages, the lists and the routes."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from fakes.gemini import OUT, Call, FakeGemini, Reply
from fakes.house import House

from kindle_appliance.answers.answer import Answer
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.storage.waiting import MOST_WAITING
from kindle_appliance.web.waiting import WAIT_SECONDS, WAITS_PER_ADDRESS

OFFER = (
    '<form class="ask then buttons" action="/answers/{}/wait" method="post"><button>Answer it then</button></form>'
)
TAKE_BACK = '<form class="buttons" action="/answers/{}/withdraw" method="post"><button>Take back</button></form>'


@pytest.fixture
def house(gemini: FakeGemini, tmp_path: Path) -> House:
    gemini.default = OUT
    return House(gemini.url, tmp_path, models=("model-a",))


def out(house: House, question: str = "Why?", chat: int | str = "") -> str:
    """Ask while the quota is used up, and return the path of the turn, when that has been told."""
    path = "/chats/{}/{}".format(*house.ask(question, chat))
    with house.follow(f"/answers/{house.chats.recent(1)[0].newest}?as=events") as follow:
        follow.read_to_end()
    assert follow.state.end and follow.state.end["out"], "a page that follows offers it"
    return path


def out_of(house: House, device: str) -> None:
    """The first question of the house, asked so by this device."""
    house.post("/ask", {"question": "Why?", "form": "f"}, Cookie=device)
    with house.follow("/answers/1?as=text") as follow:
        follow.read_to_end()


def asked_again(gemini: FakeGemini, house: House) -> Call:
    """The call with which the first question of the house is asked once more, after it has waited."""
    out(house)
    gemini.default = None
    house.post("/answers/1/wait", {})
    house.make_due()
    return gemini.next_call(30)


def body(house: House, path: str, **headers: str) -> str:
    return house.get(path, **headers).data.decode()


def cookie(response_headers: object, name: str) -> str:
    found = re.search(rf"{name}=([\d.]*)", str(response_headers))
    return found[1] if found else "none"


def test_a_question_that_met_used_up_quotas_is_let_wait_and_taken_back_without_script(house: House) -> None:
    with house:
        path = out(house)
        page = body(house, path)
        assert OFFER.format(1) in page and 'class="reading ended failed empty out"' in page and "Ask again" in page
        sent = house.post("/answers/1/wait", {})
        assert (sent.status, sent.headers["Location"]) == (303, path)
        waits = house.chats.waiting.find(1)
        assert waits
        at = datetime.fromtimestamp(waits.at).strftime("%H:%M")
        page = body(house, path)
        told = re.search(
            r'id="ending" role="status">This question waits until (\d\d:\d\d) (today|tomorrow)\. Then', page
        )
        assert told and told[1] == at
        assert TAKE_BACK.format(1) in page and "Answer it then" not in page and "Ask again" not in page
        refresh = re.search(r'<noscript><meta http-equiv="refresh" content="(\d+)"></noscript>', page)
        given = re.search(r'<script type="application/json" id="given">(\{.*\})</script>', page)
        assert refresh and given and 60 <= int(refresh[1]) == json.loads(given[1])["wait"] <= 86400
        sent = house.post("/answers/1/withdraw", {})
        assert (sent.status, sent.headers["Location"]) == (303, path)
        assert OFFER.format(1) in body(house, path)


def test_lists_say_until_when_and_take_it_back(house: House) -> None:
    device = "device=kindle-1"
    with house:
        out_of(house, device)
        out(house, "And why not?", 1)
        for other in ("How?", "When?"):
            out(house, other)
        house.post("/answers/2/wait", {})
        for path in ("/", "/chats"):
            page = body(house, path, Cookie=device)
            assert (
                len(re.findall(r"<small>waits until \d\d:\d\d (today|tomorrow) &#183; 2 questions</small>", page))
                == 1
            )
            form = f'<form action="/answers/2/withdraw" method="post"><button name="back" value="{path}">'
            assert page.count(form) == page.count("Take back") == 1
            sent = house.post("/answers/2/withdraw", {"back": path})
            assert (sent.status, sent.headers["Location"]) == (303, path)
            assert "Take back" not in body(house, path, Cookie=device)
            house.post("/answers/2/wait", {})
        assert house.post("/answers/2/withdraw", {"back": "//evil.example/"}).headers["Location"] == "/chats/1/2"


def test_unread_keeps_it_until_its_answer_is_seen(gemini: FakeGemini, house: House) -> None:
    with house:
        path = out(house)
        sent = house.post("/answers/1/wait", {}, Cookie="unread=7")
        assert cookie(sent.headers["Set-Cookie"], "unread") == "7.1"
        assert "Set-Cookie" not in house.get(path, Cookie="unread=7.1").headers, "it still waits"
        assert "waits until" in body(house, "/chats", Cookie="unread=1")
        taken = house.post("/answers/1/withdraw", {}, Cookie="unread=7.1")
        assert cookie(taken.headers["Set-Cookie"], "unread") == "7"
        again = house.post("/answers/1/withdraw", {}, Cookie="unread=7.1")
        assert cookie(again.headers["Set-Cookie"], "unread") == "7", "a second tap"
        house.post("/answers/1/wait", {})
        gemini.default = Reply.answer("Because.")
        with house.database.write() as connection:
            connection.execute("UPDATE waiting SET at = 1")
            connection.execute("UPDATE quotas SET until = 1")
        house.stop()
        house.start()
        deadline = time.monotonic() + 30
        while "Because." not in body(house, path):
            assert time.monotonic() < deadline
        assert "<small>ready" in body(house, "/chats", Cookie="unread=1")
        assert cookie(house.get(path, Cookie="unread=1").headers["Set-Cookie"], "unread") == ""


@pytest.mark.parametrize("reply", [OUT, Reply.error(503, "UNAVAILABLE", "busy")], ids=["out", "busy"])
def test_who_follows_one_that_waits_again_is_told_so_and_offered_nothing(
    gemini: FakeGemini, house: House, reply: Reply
) -> None:
    with house:
        call = asked_again(gemini, house)
        gemini.default = reply
        with house.follow("/answers/1?as=events") as follow:
            call.play(reply)
            follow.read_to_end()
        assert follow.state.end and "waits" in follow.state.end and "out" not in follow.state.end
        polled = body(house, "/answers/1?as=events&wait=0")
        assert '"waits":true' in polled and '"out"' not in polled
        page = house.get("/chats/1/1", Cookie="unread=1")
        assert "Set-Cookie" not in page.headers and TAKE_BACK.format(1) in page.data.decode()
        house.post("/answers/1/withdraw", {})
        assert '"waits"' not in body(house, "/answers/1?as=events")


def test_a_page_that_is_made_while_it_fails_says_that_it_waits_again(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house:
        call, find = asked_again(gemini, house), house.desk.find

        def fails_before(turn: int) -> Answer | None:
            answer = find(turn)
            assert answer
            call.play(OUT)
            assert answer.wait_for_end(30)
            return answer

        monkeypatch.setattr(house.desk, "find", fails_before)
        page = house.get("/chats/1/1", Cookie="unread=1")
        assert TAKE_BACK.format(1) in page.data.decode() and "Set-Cookie" not in page.headers


def test_taken_back_too_late_it_stays_unread(gemini: FakeGemini, house: House) -> None:
    with house:
        call = asked_again(gemini, house)
        assert "Set-Cookie" not in house.post("/answers/1/withdraw", {}, Cookie="unread=1").headers
        call.play(Reply.answer("Because."))
        with house.follow("/answers/1?as=text") as follow:
            assert follow.read_to_end() == b"Because."
        assert "Set-Cookie" not in house.post("/answers/1/withdraw", {}, Cookie="unread=1").headers
        assert "<small>ready" in body(house, "/chats", Cookie="unread=1")


def row(house: House, path: str, **headers: str) -> tuple[str, str, str]:
    """Where the first chat of a list leads, what stands below its title, and what it takes back."""
    page = body(house, path, **headers)
    listed = page[page.index('<div class="list') :]
    link, small = re.findall(r'<a href="([^"]*)".*?<small>(.*?) &#183;', listed, re.DOTALL)[0]
    taken = re.search(r'action="(/answers/\d+/withdraw)"', listed)
    return link, re.sub(r"\d\d:\d\d \w+", "then", small), taken[1] if taken else ""


def test_lists_lead_to_the_question_that_they_tell_of(gemini: FakeGemini, house: House) -> None:
    device, mine = {"Cookie": "device=kindle-1"}, {"Cookie": "device=kindle-1; unread=1"}
    with house:
        out_of(house, device["Cookie"])
        out(house, "And why not?", 1)
        house.post("/answers/1/wait", {})
        for path in ("/", "/chats"):
            assert row(house, path, **mine) == ("/chats/1/1", "waits until then", "/answers/1/withdraw")
            both = row(house, path, Cookie="device=kindle-1; unread=1.2")
            assert both == ("/chats/1/2", "ready", ""), "that comes first, and takes back nothing else"
        gemini.default = None
        house.desk._fallback._quotas._outages.clear()
        house.ask("What else?", 1)
        third = gemini.next_call()
        for path in ("/", "/chats"):
            assert row(house, path, **mine) == ("/chats/1/3", "being answered", "")
        third.play(Reply.answer("Nothing."))
        house.make_due()
        gemini.next_call(30).play(Reply.answer("Because."))
        for turn in (3, 1):
            with house.follow(f"/answers/{turn}?as=text") as follow:
                follow.read_to_end()
        for path in ("/", "/chats"):
            assert row(house, path, **mine) == ("/chats/1/1", "ready", "")
            link, state, _ = row(house, path, **device)
            assert link == "/chats/1/3" and state.startswith("today")


def test_a_second_tap_another_device_and_a_script_are_told_where_it_is(house: House) -> None:
    with house:
        path = out(house)
        for each in (house, house, house.at("127.0.0.2")):
            sent = each.post("/answers/1/wait", {}, Accept="application/json")
            assert (sent.status, sent.json()) == (201, {"url": path})
        assert [each.turn for each in house.chats.waiting.all()] == [1]
        assert "waits until" in body(house.at("127.0.0.3"), path)
        for _ in range(2):
            assert house.at("127.0.0.2").post("/answers/1/withdraw", {}).status == 303
        assert house.chats.waiting.all() == []


def test_what_cannot_wait_leads_to_its_page_and_what_is_not_there_is_not_found(house: House) -> None:
    with house:
        turn, _ = house.chats.ask("Why?", None, "f")
        house.chats.store_ending(turn.id, "Because.", Ending(Finish.COMPLETE))
        sent = house.post("/answers/1/wait", {})
        assert (sent.status, sent.headers["Location"]) == (303, "/chats/1/1") and "Set-Cookie" not in sent.headers
        assert house.post("/answers/9/wait", {}).status == house.post("/answers/9/withdraw", {}).status == 404
        assert house.get("/answers/1/wait").status == 405
        house.desk.delete(1)
        gone = house.post("/answers/1/wait", {})
        assert gone.status == 404 and "This chat was deleted." in gone.data.decode()


def test_an_offer_whose_time_has_come_is_no_offer_any_more(house: House) -> None:
    with house:
        turn, _ = house.chats.ask("Why?", None, "f")
        house.chats.store_ending(turn.id, "", Ending(Finish.FAILED, back_at=time.time() - 60))
        page = body(house, "/chats/1/1")
        assert "Answer it then" not in page and "Ask again" in page


def let_many_wait(house: House, count: int) -> None:
    """Store so many questions that have met used-up quotas, and let all wait that can."""
    for number in range(1, count + 1):
        turn, _ = house.chats.ask("Why?", None, f"f{number}")
        house.chats.store_ending(turn.id, "", Ending(Finish.FAILED, back_at=time.time() + 3600))
        if number <= MOST_WAITING:
            assert house.post(f"/answers/{number}/wait", {}).status == 303


def test_one_more_than_may_wait_is_told_so_on_a_page_and_as_json(house: House) -> None:
    with house:
        let_many_wait(house, MOST_WAITING + 1)
        refused = house.post(f"/answers/{MOST_WAITING + 1}/wait", {})
        words = "20 questions wait already. Please ask this one later, or take another one back."
        assert refused.status == 409 and words in refused.data.decode()
        refused = house.post(f"/answers/{MOST_WAITING + 1}/wait", {}, Accept="application/json")
        assert refused.status == 409 and refused.json() == {"error": words}


def test_all_can_be_taken_back_and_who_goes_on_so_is_told_when_to_come_again(house: House) -> None:
    with house:
        let_many_wait(house, MOST_WAITING)
        for number in range(1, MOST_WAITING + 1):
            assert house.post(f"/answers/{number}/withdraw", {}).status == 303
        assert house.chats.waiting.all() == []
        for _ in range(WAITS_PER_ADDRESS - MOST_WAITING):
            assert house.post("/answers/1/wait", {}).status == 303
            house.post("/answers/1/withdraw", {})
        refused = house.post("/answers/1/wait", {})
        assert refused.status == 429 and 0 < int(refused.headers["Retry-After"]) <= WAIT_SECONDS + 1
        assert "<html" in refused.data.decode() and house.chats.waiting.all() == []
        refused = house.post("/answers/1/wait", {}, Accept="application/json")
        assert refused.status == 429 and "Retry-After" in refused.headers and "error" in refused.json()
        assert house.at("127.0.0.2").post("/answers/1/wait", {}).status == 303


def test_one_that_is_due_says_that_its_turn_comes(house: House) -> None:
    with house:
        turn, _ = house.chats.ask("Why?", None, "f")
        house.chats.store_ending(turn.id, "", Ending(Finish.FAILED, back_at=time.time() + 3600))
        house.desk._timer.close()
        house.desk._timer.join(10)
        house.chats.waiting.let_wait(1)
        with house.database.write() as connection:
            connection.execute("UPDATE waiting SET at = ?", (time.time() - 5,))
        page = body(house, "/chats/1/1")
        assert "This question is asked when it is its turn." in page and '"wait": 60' in page
        assert "<small>waits for its turn" in body(house, "/chats")
