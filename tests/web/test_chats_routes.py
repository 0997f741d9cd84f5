"""The list of all chats, and the deletion of one."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

from fakes.gemini import FakeGemini, Reply
from fakes.house import House, answered

from kindle_appliance.ending import Ending, Finish


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
    assert '<a href="/chats/1/edit">Edit</a>' in house.get("/chats").data.decode()
    page = house.get("/chats/1/delete").data.decode()
    assert "What is the secret?" in page and "1 question" in page
    assert '<form class="buttons sure ui" action="/chats/1/delete" method="post">' in page
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


def titles(page: str) -> list[str]:
    """The titles of the chats that a page lists."""
    return re.findall(r'<a href="/chats/\d+/\d+"[^>]*>([^<]*)<small>', page)


def link(page: str, label: str) -> str | None:
    """The address behind a link of the foot."""
    found = re.search(rf'<a href="([^"]*)">(?:&#8249; )?{label}(?: &#8250;)?</a>', page)
    return unescape(found[1]) if found else None


def asked(house: House, *questions: str) -> None:
    """Store chats without an answer."""
    for question in questions:
        turn, _ = house.chats.ask(question, None, question)
        house.chats.store_ending(turn.id, "", Ending(Finish.STOPPED))


# Paging


def test_every_chat_is_reached_by_links_from_the_newest_to_the_oldest_and_back(house: House) -> None:
    questions = [f"Question {number}" for number in range(65)]
    asked(house, *questions)
    page, seen, pages = house.get("/chats").data.decode(), list[str](), 1
    assert link(page, "Newer") is None
    while True:
        seen += titles(page)
        if (older := link(page, "Older")) is None:
            break
        page, pages = house.get(older).data.decode(), pages + 1
    assert seen == questions[::-1] and pages == 4
    back = titles(page)
    while newer := link(page, "Newer"):
        page = house.get(newer).data.decode()
        back = titles(page) + back
    assert len(titles(page)) == 20, "the first page is full"
    assert list(dict.fromkeys(back)) == questions[::-1]
    oldest = link(page, "Oldest")
    assert oldest and titles(house.get(oldest).data.decode()) == questions[19::-1]
    newest = link(house.get(oldest).data.decode(), "Newest")
    assert newest and titles(house.get(newest).data.decode()) == questions[:44:-1]


def test_a_list_that_fits_on_a_page_has_no_links_to_others(house: House) -> None:
    asked(house, *[f"Question {number}" for number in range(20)])
    for path in ("/chats", "/chats?after=0", "/chats?before=900", "/chats?before=x", "/chats?after=-1"):
        page = house.get(path).data.decode()
        assert len(titles(page)) == 20, path
        assert not any(link(page, label) for label in ("Newer", "Newest", "Oldest", "Older")), path


def test_a_page_whose_chats_have_been_deleted_leads_to_the_first(house: House) -> None:
    asked(house, "One", "Two")
    response = house.get("/chats?before=1")
    assert (response.status, response.headers["Location"]) == (303, "/chats")


# Searching


def test_a_search_leads_to_the_turn_that_was_found(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, "Rivers carry **salt** <b>into</b> it.", "Why is the sea salty?")
    answered(gemini, house, "It is 8,849 m high.", "How high is Everest?")
    gemini.replies(Reply.answer("They are 海水."))
    house.ask("And lakes?", 1)
    with house.follow("/answers/3?as=text") as follow:
        follow.read_to_end()
    page = house.get("/chats").data.decode()
    assert '<form class="line ui" action="/chats" method="get">' in page
    page = house.get("/chats?q=SALT").data.decode()
    assert re.findall(r'href="(/chats/\d+/\d+)"', page) == ["/chats/1/1"]
    assert "Rivers carry salt &lt;b&gt;into&lt;/b&gt; it." in page and 'value="SALT"' in page
    page = house.get(f"/chats?q={quote('海水')}").data.decode()
    assert re.findall(r'href="(/chats/\d+/\d+)"', page) == ["/chats/1/2"]
    assert "Nothing was found." in house.get("/chats?q=mountain").data.decode()
    for nothing in ("", "%20", "*%22(", "%FF", "%00"):
        assert "Please type a word to look for." in house.get(f"/chats?q={nothing}").data.decode(), nothing


def test_a_search_with_many_finds_has_pages_too(house: House) -> None:
    questions = [f"Sea {number} & more" for number in range(45)]
    asked(house, *questions)
    page, seen = house.get("/chats?q=sea+%26").data.decode(), list[str]()
    first = titles(page)
    while older := link(page, "Older"):
        seen += titles(page)
        page = house.get(older).data.decode()
    assert [unescape(each) for each in seen + titles(page)] == questions[::-1]
    newest = link(page, "Newest")
    assert newest and titles(house.get(newest).data.decode()) == first


def test_a_reader_is_told_what_cannot_be_found_yet(house: House) -> None:
    asked(house, "Sea")
    house.indexer.close()
    house.chats.index.make_anew()
    page = house.get("/chats?q=sea").data.decode()
    assert "Older chats are still being prepared for the search." in page
    house.chats.index.is_possible = False
    assert "The chats cannot be searched on this machine." in house.get("/chats?q=sea").data.decode()


def test_the_text_size_can_be_changed_on_every_page_of_the_list_and_of_a_search(house: House) -> None:
    asked(house, *[f"Sea {number} 海" for number in range(45)])
    page = house.get("/chats").data.decode()
    starts = [
        link(page, "Older"),
        link(page, "Oldest"),
        f"/chats?q={quote('sea 海 ' + '海' * 190)}",
        "/chats?q=sea",
    ]
    starts += [link(house.get("/chats?q=sea").data.decode(), "Older"), "/chats/1/edit"]
    for start in starts:
        assert start
        page = house.get(start).data.decode()
        back = re.search(r'name="back" value="([^"]*)"', page)
        assert back
        response = house.post("/look", {"look": "5", "back": unescape(back[1])})
        assert response.status == 303, start
        again = house.get(response.headers["Location"].removesuffix("#look")).data.decode()
        assert titles(again) == titles(page), start


# Renaming


def test_a_chat_is_renamed_from_its_page_and_called_so_everywhere(house: House) -> None:
    asked(house, "Why is the sea salty?")
    assert '<a href="/chats/1/edit">Edit</a>' in house.get("/chats").data.decode()
    page = house.get("/chats/1/edit").data.decode()
    assert (
        "Why is the sea salty?" in page and '<form class="line ui" action="/chats/1/rename" method="post"' in page
    )
    assert 'action="/chats/1/delete" method="get"' in page
    renamed = house.post("/chats/1/rename", {"name": "  The <i>sea</i> \r\n at home "})
    assert (renamed.status, renamed.headers["Location"]) == (303, "/chats")
    name = "The &lt;i&gt;sea&lt;/i&gt; at home"
    for path in ("/chats", "/chats?q=salty", "/chats/1/edit", "/chats/1/delete", "/?chat=1"):
        assert name in house.get(path).data.decode(), path
    assert house.post("/chats/1/rename", {"name": " "}).status == 303
    assert titles(house.get("/chats").data.decode()) == ["Why is the sea salty?"]


def test_arabic_in_the_fields_for_words_and_names_runs_from_the_right(house: House) -> None:
    asked(house, "Why?")
    house.chats.rename(1, "ملح البحر (2)")
    for path in ("/chats/1/edit", f"/chats?q={quote('البحر')}"):
        assert re.search(r'<input\s[^>]*value="[^"]*البحر[^"]*" dir="rtl"', house.get(path).data.decode()), path


def test_a_name_that_is_too_long_comes_back_to_be_shortened(house: House) -> None:
    asked(house, "Why?")
    assert house.post("/chats/1/rename", {"name": "名" * 100}).status == 303
    response = house.post("/chats/1/rename", {"name": "x" * 101})
    page = response.data.decode()
    assert response.status == 413 and "at most 100 fit" in page and "x" * 101 in page
    assert titles(house.get("/chats").data.decode())[0].startswith("名名")


def test_renaming_asks_for_a_form_of_ours_and_a_chat_that_is_there(house: House) -> None:
    asked(house, "Why?", "How?")
    house.chats.delete(2)
    assert house.send("/chats/1/rename", {"name": "x"}).status == 415
    assert house.post("/chats/1/rename", {"name": "x"}, Origin="http://elsewhere.example").status == 403
    assert house.post("/chats/2/rename", {"name": "x"}).status == house.get("/chats/2/edit").status == 404
    assert house.get("/chats/3/edit").status == 404
    assert titles(house.get("/chats").data.decode()) == ["Why?"]
