"""The list of all chats, and the deletion of one."""

from __future__ import annotations

import re

from fakes.gemini import FakeGemini, Reply
from fakes.house import House, answered


def test_the_list_has_every_chat_with_a_link_to_its_newest_turn(gemini: FakeGemini, house: House) -> None:
    assert "Nothing has been asked yet." in house.get("/chats").data.decode()
    answered(gemini, house, "A.", "First <b>chat</b>?")
    answered(gemini, house, "B.", "Second chat?")
    gemini.replies(Reply.answer("C."))
    house.ask("More?", 1)
    page = house.get("/chats").data.decode()
    assert re.findall(r'href="(/chats/\d+/\d+)"', page) == ["/chats/1/2", "/chats/2/1"], (
        "the chat with the newest question is first"
    )
    assert "First &lt;b&gt;chat&lt;/b&gt;?" in page and "2 questions" in page and "1 question<" in page


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
        response = house.get(path)
        assert response.status == 404 and "This chat was deleted." in response.data.decode()
    for path in ("/chats/1/delete", "/answers/1/stop"):
        response = house.post(path, {})
        assert response.status == 404 and "This chat was deleted." in response.data.decode()
    assert "There is no such page here." in house.get("/chats/2/1").data.decode(), "nothing has been there"
    assert "Nothing has been asked yet" in house.get("/chats").data.decode()


def test_who_follows_a_deleted_answer_is_told_by_an_end_that_comes_as_404(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "Forty-two.")
    house.post("/chats/1/delete", {})
    for path in ("/answers/1?as=events&from=5", "/answers/1?as=events&wait=0"):
        with house.follow(path, Accept_Language="zh") as follow:
            follow.read_to_end()
        assert follow.status == 404 and follow.headers["Content-Type"].startswith("text/event-stream")
        assert follow.state.end == {
            "finish": "stopped",
            "note": "这个对话已被删除。",
            "model": "",
            "deleted": True,
        }
    with house.follow("/answers/2?as=events") as follow:
        follow.read_to_end()
    assert follow.status == 404 and follow.state.events == [], "nothing has been there"


def test_a_failed_deletion_is_reported(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "Forty-two.")
    house.database._writer.execute("PRAGMA query_only = ON")
    refused = house.post("/chats/1/delete", {})
    house.database._writer.execute("PRAGMA query_only = OFF")
    assert refused.status == 503 and "full or read-only" in refused.data.decode()
    assert house.get("/chats/1/1").status == 200
