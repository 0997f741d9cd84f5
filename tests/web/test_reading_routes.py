"""The page of an answer, its streams and Stop, over real sockets."""

from __future__ import annotations

import gzip
import html
import json
import re
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from conftest import Soak
from fakes.gemini import OUT, FakeGemini, Reply, chunk
from fakes.house import House, PageState, answered, begin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kindle_appliance.upstream.sse import Event, EventStreamParser
from kindle_appliance.web import streams

HAN = [chr(0x4E00 + n) for n in range(3000)]
PROSE = """\
The sea is salty because rivers carry dissolved minerals from the rocks of the land into the ocean, and because
the water that evaporates leaves them behind. Rain is slightly acidic: it takes up carbon dioxide from the air,
and as it runs over granite and limestone it dissolves a little of both. Each river brings so little of this
that its water tastes fresh, but the ocean has been collecting it for some three thousand million years.

Not everything that arrives there stays. Calcium is used by corals, molluscs and microscopic algae for their
shells, which sink and become sediment; silica goes the same way. Sodium and chloride are hardly needed by
anything alive and form few minerals under water, so they have accumulated, until about thirty-five grams of
every kilogram of seawater were salt. Volcanoes on the ocean floor contribute some of the chlorine, and hot
springs exchange magnesium for calcium.

Lakes are different. Most of them have an outlet: whatever salt flows in at one end leaves at the other, and the
water is replaced within years or centuries. Where a lake has none, as in the Caspian region, in Utah or along
the river Jordan, evaporation concentrates its minerals exactly as it does in the ocean, and much more quickly.
The Dead Sea now holds nearly ten times as much salt as the Mediterranean, which is itself saltier than the
Atlantic because the summers around it are dry and few large rivers reach it.

"""

LONG = "# One\n\nTwo **three**.\n\n- four\n- five\n\nThe sixth is the last paragraph.\n"


# ---- The page


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("is_written", [True, False])
def test_the_page_of_a_short_answer_fits_the_first_flight_of_a_connection(
    gemini: FakeGemini, tmp_path: Path, language: str, is_written: bool, soak: Soak
) -> None:
    text = PROSE if language == "en" else "".join(Random(1).choice(HAN) for _ in range(1500)) + "\n\n"
    with House(gemini.url, tmp_path, is_demo=True) as house:
        house.hyphenate()
        house.ask("Why is the sea salty, and why are lakes not?")
        call = gemini.next_call()
        call.start()
        call.text(text)
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until(text.strip()[-10:])
        if not is_written:
            call.finish("")
            with house.follow("/answers/1?as=text") as follow:
                follow.read_to_end()
        sizes = []
        for cookie in ("", "Cookie: hyphens=1\r\n"):
            with socket.create_connection(("127.0.0.1", house.server.port)) as browser:
                browser.sendall(
                    f"GET /chats/1/1 HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, deflate\r\n{cookie}"
                    f"Accept-Language: {language}\r\nConnection: close\r\n\r\n".encode()
                )
                received = b"".join(iter(lambda: browser.recv(65536), b""))
            sizes.append(len(received))
    head, _, body = received.partition(b"\r\n\r\n")
    page = gzip.decompress(body).decode()
    assert b"Content-Encoding: gzip" in head and text.strip()[-10:] in page.replace("\u00ad", "")
    assert ("\u00ad" in page) == (language == "en")
    soak.tell(
        f"a page in {language} of {len(text):,} characters: {sizes[0]:,} bytes, {sizes[1]:,} with soft hyphens"
    )
    assert max(sizes) <= 14_600


def test_a_finished_answer_is_a_page_that_needs_no_script(gemini: FakeGemini, house: House) -> None:
    page = house.get(answered(gemini, house, LONG)).data.decode()
    assert (
        '<h1 class="heading" aria-level="2">One</h1>' in page
        and "<strong>three</strong>" in page
        and "last paragraph" in page
    )
    assert "EventReader" not in page and "http-equiv" not in page, "there is no answer to follow"
    assert 'class="reading ended complete"' in page


def test_a_page_opened_while_writing_shows_the_text_so_far_and_reloads_without_script(
    gemini: FakeGemini, house: House
) -> None:
    call = begin(house, gemini, "Settled.\n\nNot *yet* ")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("yet")
    page = house.get("/chats/1/1").data.decode()
    assert '<p>Settled.</p></div><noscript class="text"><p>Not <em>yet</em></p></noscript>' in page
    assert re.search(r'<noscript><meta http-equiv="refresh" content="5"></noscript>', page)
    assert re.search(
        r'<p class="state"><span id="state" role="status"></span> <a id="refresh" href="/chats/1/1">Refresh', page
    )
    answer = re.search(r'<script type="application/json" id="given">(\{.*\})</script>', page)
    assert answer and json.loads(answer[1])["upto"] == len("Settled.\n\n")
    call.finish(".")


def test_a_question_beyond_the_daily_quota_is_kept_and_can_be_asked_again_with_one_tap(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.default = OUT
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
    assert len(gemini.calls) == 2, "each model once, before the restart"


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


def test_an_answer_goes_on_inside_the_fence_in_which_it_broke_off(gemini: FakeGemini, house: House) -> None:
    gemini.replies(
        Reply([chunk("The code:\n\n```python\nfor each in all:\n", "MAX_TOKENS")]),
        Reply([chunk("```python\n    print(*each*)\n", "MAX_TOKENS")]),
        Reply.answer("    # the end\n```\n\nThat is *all*.\n"),
    )
    chat, number = house.ask("How do I print all?")
    for _ in range(2):
        page = read_answer(house, chat, number)
        (question,) = re.findall(r'class="go-on" name="question" value="([^"]*)"', page)
        chat, number = house.ask(html.unescape(question), chat)
    last = read_answer(house, chat, number)
    assert (
        '<pre class="on"><code><span class="in1">    # the end\n</span></code></pre>' in last
        and "<p>That is <em>all</em>.</p>" in last
    )
    middle = house.get(f"/chats/{chat}/{number - 1}").data.decode()
    assert '<pre class="on"><code><span class="in1">    print(*each*)\n</span></code></pre>' in middle
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    with house.follow(f"/answers/{turn.id}?as=events") as follow:
        assert "# the end" in follow.read_to_end().decode()
    house.stop()
    house.start()
    assert (
        '<pre class="on"><code><span class="in1">    # the end\n'
        in house.get(f"/chats/{chat}/{number}").data.decode()
    )
    with house.database.write() as connection:  # the card loses the answer that this one goes on with
        connection.execute("DELETE FROM turns WHERE chat = ? AND number = ?", (chat, number - 1))
    house.stop()
    house.start()
    alone = house.get(f"/chats/{chat}/{number}").data.decode()
    assert "# the end" in alone and "<p>That is <em>all</em>.</p>" in alone


def test_the_last_words_of_an_answer_have_no_sign_of_markdown(gemini: FakeGemini, house: House) -> None:
    broken_off = "Run **this**:\n\n> ```sh\n> cat a_b | grep $x"
    gemini.replies(Reply([chunk(broken_off)]), Reply.answer("Deep."), Reply.answer(" # so"))
    first = house.ask("How do I look for x?")
    read_answer(house, *first)
    read_answer(house, *house.ask("How deep is it?", first[0]))
    page = html.unescape(read_answer(house, *first))
    (question,) = re.findall(r'class="go-on" name="question" value="([^"]*)"', page)
    assert question.endswith("after “… Run this : sh cat a_b grep $x”.")
    on = read_answer(house, *house.ask(question, first[0]))
    assert "<code> # so</code>" in on or "<code># so</code>" in on, "it goes on inside the fence"


def test_a_stopped_answer_shows_no_open_mark(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "Because **the sea ")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("the sea")
        house.send("/answers/1/stop", {})
        assert "**" not in follow.read_to_end().decode()
    call.wait_gone(10)
    house.stop()
    house.start()
    assert "<p>Because <strong>the sea</strong></p>" in house.get("/chats/1/1").data.decode()


def read_answer(house: House, chat: int, number: int) -> str:
    """Return the page of a turn, after its answer has ended."""
    turn = house.chats.find_turn(chat, number)
    assert turn is not None
    with house.follow(f"/answers/{turn.id}?as=text") as follow:
        follow.read_to_end()
    return house.get(f"/chats/{chat}/{number}").data.decode()


# ---- Following


def test_text_reaches_a_follower_before_the_next_is_written(gemini: FakeGemini, house: House) -> None:
    house.ask("Why?")
    call = gemini.next_call()
    call.start()
    with house.follow("/answers/1?as=events") as follow:
        assert follow.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        for word in ("One ", "two ", "three "):
            call.text(word)
            follow.read_until(word.strip())
        call.finish("four.")
        follow.read_to_end()
    assert follow.state.blocks == ["<p>One two three four.</p>"] and follow.state.tail == ""
    assert follow.state.end == {"finish": "complete", "note": "", "model": "model-a", "by": "Answered by model-a."}


def test_a_silent_stream_is_kept_alive_by_comments(
    gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert streams._KEEP_ALIVE_SECONDS == 10
    monkeypatch.setattr("kindle_appliance.web.streams._KEEP_ALIVE_SECONDS", 0.5)
    house.ask("Why?")
    call = gemini.next_call()
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("\n\n:\n\n:\n\n")
        call.start()
        call.finish("Because.")
        follow.read_to_end()
    assert follow.state.blocks == ["<p>Because.</p>"]


def test_the_representation_is_chosen_by_query_or_accept_header(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, LONG)
    assert house.get("/answers/1").data.decode() == LONG
    assert house.get("/answers/1").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert house.get("/answers/1?as=text", Accept="text/event-stream").data.decode() == LONG
    by_header = house.get("/answers/1", Accept="text/event-stream").data
    assert b"event: end" in by_header and by_header == house.get("/answers/1?as=events").data


def test_an_offset_resumes_after_the_last_settled_block(gemini: FakeGemini, house: House) -> None:
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


def test_a_poll_gets_the_answer_so_far(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "Done.\n\nOpen ")
    with house.follow("/answers/1?as=text") as follow:
        follow.read_until("Open")
    for _ in range(2):
        state = PageState()
        state.feed(house.get("/answers/1?as=events&wait=0").data.decode())
        assert (state.blocks, state.tail, state.end) == (["<p>Done.</p>"], "<p>Open</p>", None)
    assert house.get("/answers/1?wait=0").data == b"Done.\n\nOpen "
    call.finish("ends!")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    state.feed(house.get(f"/answers/1?as=events&wait=0&from={state.upto}").data.decode())
    assert state.blocks == ["<p>Done.</p>", "<p>Open ends!</p>"] and state.end is not None


@pytest.mark.parametrize("query", ["from=x", "from=-1", "from=1.5", "from=" + "9" * 30, "as=html", "from=%00"])
def test_an_invalid_query_gets_a_sentence(gemini: FakeGemini, house: House, query: str) -> None:
    answered(gemini, house, "A.")
    response = house.get("/answers/1?" + query)
    assert response.status == 400 and "must be" in response.data.decode()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1000, 1700), max_size=6), start=st.sampled_from([0, 3, 7, 99_999]))
def test_a_client_that_brings_the_last_id_gets_every_event_once_wherever_it_was_cut(
    gemini: FakeGemini, house: House, cuts: list[int], start: int
) -> None:
    if house.desk.find(1) is None:
        answered(gemini, house, LONG)
    whole = events_of(house.get(f"/answers/1?as=events&from={start}").data)
    received, last = [], ""
    for cut in [*cuts, None]:  # an EventSource connects again to the address that it had first
        body = house.get(f"/answers/1?as=events&from={start}", Last_Event_ID=last).data
        received += events_of(body[:cut])
        last = received[-1].id if received else ""
    assert received == whole
    after = house.get(f"/answers/1?as=events&from={start}", Last_Event_ID=last)
    assert (after.status, after.data) == (204, b""), "only this status keeps an EventSource from coming again"


def events_of(body: bytes) -> list[Event]:
    """The events that have arrived with their ends."""
    return EventStreamParser().feed(body)


def test_the_last_id_counts_before_from_in_every_representation(gemini: FakeGemini, house: House) -> None:
    answered(gemini, house, LONG)
    for query in ("as=events", "as=events&wait=0", "as=text", "wait=0"):
        rest = house.get(f"/answers/1?{query}&from=7").data
        assert house.get(f"/answers/1?{query}&from=0", Last_Event_ID="7").data == rest
        assert house.get(f"/answers/1?{query}", Last_Event_ID="7").data == rest
        assert house.get(f"/answers/1?{query}", Last_Event_ID="end").status == 204
    assert house.get("/answers/9", Last_Event_ID="end").status == 404


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "END", "end, end", "7, 7", "9" * 30, "٧", "\x00", "\udcff"])
def test_an_id_that_the_appliance_has_never_given_is_ignored(gemini: FakeGemini, house: House, last: str) -> None:
    """A browser would give up for good after a status of 400 (HTML standard, 9.2.3)."""
    answered(gemini, house, LONG)
    headers = {"Last-Event-ID": last.encode("utf-8", "surrogateescape")}
    if last == "\x00":
        headers["Last-Event-ID"] = b"7%00"
    response = house.client.request("GET", house.url + "/answers/1?from=7", headers=headers)  # type: ignore[arg-type]
    assert (response.status, response.data.decode()) == (200, LONG[7:])


def test_only_blocks_and_the_end_have_an_id(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "Done.\n\nOpen ")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("Open")
        call.finish(".")
        follow.read_to_end()
    ids = re.findall(r"event: (\w+)\n(?:id: (.*)\n)?data:", follow.body.decode())
    told = [each for each in ids if each[0] != "state"]
    assert told[:2] == [("block", "7"), ("tail", "")] and ids[-2:] == [("block", "13"), ("end", "end")]
    assert {name for name, given in ids if not given} <= {"tail", "state"}


def test_streams_ask_proxies_not_to_collect_them(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "Done.\n\nOpen")
    for path in ("/answers/1?as=events", "/answers/1?as=text", "/answers/1", "/check/stream"):
        for method in ("GET", "HEAD"):
            response = house.client.request(method, house.url + path, preload_content=False)
            assert response.headers.getlist("X-Accel-Buffering") == ["no"], f"{method} {path}"
            response.close()
    call.finish(".")
    gemini.replies(Reply.answer("Because."))
    assert house.send("/api/chat", {"message": "Why?"}).headers["X-Accel-Buffering"] == "no"
    for path in ("/", "/answers/1?wait=0", "/answers/9", "/nothing"):
        assert "X-Accel-Buffering" not in house.get(path).headers, "a whole response may be collected"


@pytest.mark.parametrize("query", ["as=events", "as=text", "as=events&from=99", "as=text&wait=0"])
def test_head_neither_waits_for_an_answer_nor_takes_a_seat(gemini: FakeGemini, tmp_path: Path, query: str) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        house.ask("Why?")
        call = gemini.next_call()
        for _ in range(3):
            response = house.client.request("HEAD", f"{house.url}/answers/1?{query}", timeout=10)
            assert response.status == 200 and response.headers.get("Content-Length", "0") == "0"
        with house.follow("/answers/1?as=events") as follow:
            assert house.client.request("HEAD", f"{house.url}/answers/1?{query}", timeout=10).status == 200
            call.start()
            call.finish("Because.")
            assert b"event: end" in follow.read_to_end(), "the only seat was free"


def test_followers_beyond_the_cap_are_told_to_poll_and_a_seat_is_free_again(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, followers=2) as house:
        call = begin(house, gemini, "Word ")
        other = house.at("127.0.0.2")
        with house.follow("/answers/1?as=events") as one, other.follow("/answers/1?as=events") as two:
            one.read_until("Word")
            two.read_until("Word")
            third = house.at("127.0.0.3").get("/answers/1?as=events").data
            assert b"retry: 2000\n" in third and b"event:" not in third
            assert b"Word" in house.get("/answers/1?as=events&wait=0").data
            assert house.get("/").status == 200, "pages have threads of their own"
            call.finish(".")
            one.read_to_end()
            two.read_to_end()
        with house.follow("/answers/1?as=events") as again:
            assert b"event: end" in again.read_to_end()


def test_one_address_has_a_quarter_of_the_seats_and_leaves_the_others(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=8) as house:
        call = begin(house, gemini, "Word ")
        with ExitStack() as stack:
            readers = []
            for number in range(1, 5):
                client = house.at(f"127.0.0.{number}")
                for _ in range(2):
                    readers.append(stack.enter_context(client.follow("/answers/1?as=events")))
                    readers[-1].read_until("Word")
                assert b"retry: 2000\n" in client.get("/answers/1?as=events").data
                assert client.get("/check/stream").status == 503
            assert b"retry: 2000\n" in house.at("127.0.0.9").get("/answers/1?as=events").data, "all are taken"
            call.finish(".")
            for each in readers:
                assert b"event: end" in each.read_to_end()


def test_a_text_follower_without_a_seat_gets_a_status_and_no_part_of_the_answer(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        finished = answered(gemini, house, "Finished.")
        call = begin(house, gemini, "Word ")
        with house.follow("/answers/2?as=text") as follow:
            follow.read_until("Word")
            for path, headers in (("/answers/2?as=text", {}), ("/answers/2", {"Accept": "application/json"})):
                refused = house.get(path, **headers)
                assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
                assert refused.headers["Content-Type"] == "text/plain; charset=utf-8"
                assert refused.data == b"The appliance has too much to do at the moment. Please try again."
            assert "再试" in house.get("/answers/2", Accept_Language="zh-CN").data.decode()
            assert house.get("/answers/2?wait=0").data == b"Word ", "one look needs no seat"
            assert house.get("/answers/1").data == b"Finished.", "nor does an answer that has ended"
            assert b"event: end" in house.get("/answers/1?as=events").data
            assert house.get(finished).status == 200
            call.finish("and end.")
            assert follow.read_to_end() == b"Word and end."
        with house.follow("/answers/2") as again:
            assert again.status == 200 and again.read_to_end() == b"Word and end."


def test_a_response_whose_body_is_not_sent_frees_its_seat(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        call = begin(house, gemini, "Word ")
        for _ in range(3):
            assert house.client.request("HEAD", house.url + "/answers/1?as=events").status == 200
        with house.follow("/answers/1?as=text") as follow:
            follow.read_until("Word")
            call.finish(".")
            follow.read_to_end()


def test_a_reader_that_leaves_frees_its_seat_while_the_answer_goes_on(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        call = begin(house, gemini, "Word ")
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
        call.finish("more")
        answer = house.desk.find(1)
        assert answer is None or answer.wait_for_end(20)
        assert house.get("/answers/1").data == b"Word more"


# ---- Stopping


def test_stop_keeps_what_has_been_written_and_goes_back_to_the_page(gemini: FakeGemini, house: House) -> None:
    call = begin(house, gemini, "So far ")
    with house.follow("/answers/1?as=events") as follow:
        follow.read_until("So far")
        stopped = house.post("/answers/1/stop", {})
        follow.read_to_end()
    call.wait_gone(5)
    assert (stopped.status, stopped.headers["Location"]) == (303, "/chats/1/1")
    assert follow.state.end and follow.state.end["finish"] == "stopped"
    page = house.get("/chats/1/1").data.decode()
    assert "So far" in page and "You stopped this answer." in page
    assert house.post("/answers/1/stop", {}).status == 303, "a second time is harmless"
    assert house.post("/answers/9/stop", {}).status == 404
