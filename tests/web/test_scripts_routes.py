"""`POST /api/chat` for scripts, over real sockets: text as it is written, and honest failures."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from fakes.gemini import FakeGemini, Reply, chunk, error_body, retry_info
from fakes.house import House, begin
from fakes.secrets import KEY

from kindle_appliance.upstream.call import Clocks


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
    call.finish(" two 末尾.")
    client.join(10)
    (status, headers), (_, body) = done
    assert status == 200 and headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert body == {"body": "One two 末尾."}, "there is no padding"
    assert not house.chats.recent(10), "it is not stored"


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
def test_the_api_names_the_invalid_field(house: House, body: object, place: str) -> None:
    with house.converse(body) as follow:
        answer = json.loads(follow.read_to_end())
    assert follow.status == 400 and place in answer["error"]
    assert follow.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_api_requires_json_and_says_when_a_question_is_too_long(house: House) -> None:
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
        (Reply.error(400, "INVALID_ARGUMENT", "bad"), 503, "did not understand"),
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
    with House(gemini.url, tmp_path, models=("model-a",), clocks=Clocks(5, 2, 2)) as house:
        with house.converse({"message": "x"}) as follow:
            error = json.loads(follow.read_to_end())["error"]
        assert (follow.status, words in error) == (status, True), error
        assert follow.headers.get("Retry-After") == ("35" if "34.4" in str(reply.body) else None)
        assert KEY not in error


def test_scripts_take_no_threads_from_pages(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1, allowed=(1000, None, 3)) as house:
        with house.converse_later({"message": "one"}) as first:
            call = gemini.next_call()
            with house.converse({"message": "two"}) as second:
                assert second.status == 503 and second.headers["Retry-After"] == "2"
                assert "too much to do" in json.loads(second.read_to_end())["error"]
            assert house.get("/").status == 200
            call.start()
            call.finish("One.")
            assert first.result(20) == b"One."
        gemini.replies(Reply.error(503, "UNAVAILABLE", "busy"), Reply.error(503, "UNAVAILABLE", "busy"))
        with house.converse({"message": "fails"}) as failed:
            assert failed.status == 503
        gemini.replies(Reply.answer("Three."))
        with house.converse({"message": "three"}) as third:
            assert third.read_to_end() == b"Three.", (
                "every seat is free again, and the refused request was not counted"
            )
        for _ in range(2):
            assert house.send("/api/chat", {"message": "four"}).status == 429, (
                "and the rate limit takes no seat either"
            )


def test_a_script_has_a_seat_of_its_own_beside_all_followers(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, followers=1) as house:
        call = begin(house, gemini, "Word ")
        with house.follow("/answers/1?as=events") as follow:
            follow.read_until("Word")
            assert b"retry:" in house.get("/answers/1?as=events").data
            gemini.default = Reply.answer("Because.")
            for address in ("127.0.0.1", "127.0.0.2"):
                assert house.at(address).send("/api/chat", {"message": "Why?"}).data == b"Because."
            call.finish(".")
            follow.read_to_end()
        gemini.default = None
        with house.converse_later({"message": "one"}) as first:
            script = gemini.next_call()
            call = begin(house, gemini, "Another ")
            with house.follow("/answers/2?as=events") as follow:
                follow.read_until("Another")
                call.finish(".")
                assert b"event: end" in follow.read_to_end(), "the script has taken no follower's seat"
            script.start()
            script.finish("One.")
            assert first.result(20) == b"One."


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
