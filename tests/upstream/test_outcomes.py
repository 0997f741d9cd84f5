"""Every way in which Gemini can misbehave, from a question over real sockets to the sentence on the page."""

from __future__ import annotations

import html
import re
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import unavailable
from fakes.gemini import (
    FakeGemini,
    Reply,
    chunk,
    error_body,
    error_info,
    event,
    quota_failure,
    refusing_url,
    retry_info,
)
from fakes.house import House
from fakes.network_namespace import without_network

from kindle_appliance.upstream.call import Clocks

FIRST, BOTH = ["model-a"], ["model-a", "model-b"]
PATIENT = Clocks(connect=10, first_byte=60, progress=60)
SILENT = Clocks(connect=10, first_byte=1, progress=1)


@dataclass(frozen=True)
class Outcome:
    """The replies of Gemini, model after model, and their result. `note`: words of the sentence on the page, "" for
    none; `asked`: the models that got the question; `gate`: opened once the page has been seen waiting.
    """

    replies: list[Reply]
    text: str
    finish: str
    note: str
    asked: list[str]
    gate: threading.Event | None = None
    clocks: Clocks = PATIENT


def answered(reply: Reply, text: str = "Because.", gate: threading.Event | None = None) -> Outcome:
    return Outcome([reply], text, "complete", "", FIRST, gate)


def interrupted(reply: Reply, note: str = "broke off here", clocks: Clocks = PATIENT) -> Outcome:
    return Outcome([reply], "Be", "interrupted", note, FIRST, clocks=clocks)


def ended(reply: Reply, note: str, text: str = "", finish: str = "failed") -> Outcome:
    """The answer has ended, so no other model is asked."""
    return Outcome([reply], text, finish, note, FIRST)


def refused(reply: Reply, note: str, finish: str = "failed", clocks: Clocks = PATIENT) -> Outcome:
    """Every model refuses."""
    return Outcome([reply, reply], "", finish, note, BOTH, clocks=clocks)


def silent(reply: Reply, finish: str = "failed") -> Outcome:
    """The time for the first text has passed."""
    return Outcome([reply], "", finish, "not answer in time", FIRST, clocks=SILENT)


def error(code: int, status: str, *details: dict[str, object], message: str = "In Google's words.") -> Reply:
    return Reply.error(code, status, message, details)


def gated(*pieces: bytes, gate: threading.Event) -> Outcome:
    return answered(Reply([*pieces, gate, chunk("Because.", "STOP")]), gate=gate)


PER_MINUTE, PER_DAY = (f"GenerateRequestsPer{span}PerProjectPerModel-FreeTier" for span in ("Minute", "Day"))
TEN_MEGABYTES = b"data: " + b"x" * 10_000_000
RAW_ERROR = error_body(503, "UNAVAILABLE", "The {model} is overloaded.")
FIRST_BYTE = threading.Event()

OUTCOMES = {
    # Slow answers, and unusual encodings.
    "a slow first byte": answered(replace(Reply.answer("Because."), before=FIRST_BYTE), gate=FIRST_BYTE),
    "silence after the headers": gated(gate=threading.Event()),
    "silence while it thinks": gated(chunk("Hm…", thought=True), gate=threading.Event()),
    "gzip": answered(Reply([chunk("Be"), chunk("cause.", "STOP")], gzip=True)),
    "chunks of one byte": answered(
        Reply([chunk("海水はなぜ", None), chunk("塩辛い?", "STOP")], piece=1), "海水はなぜ塩辛い?"
    ),
    "an answer that closes the connection": answered(Reply([chunk("Because.", "STOP")], framing="close")),
    # Interrupted answers.
    "a raw error in the middle": interrupted(Reply([chunk("Be"), RAW_ERROR])),
    "an error event in the middle": interrupted(Reply([chunk("Be"), event({"error": {"code": 500}})])),
    "an error in an array in the middle": interrupted(Reply([chunk("Be"), b"[" + RAW_ERROR + b"]"])),
    "a reset in the middle": interrupted(Reply([chunk("Be")], ending="reset")),
    "a cut in the middle": interrupted(Reply([chunk("Be")], ending="cut")),
    "a clean end without a reason": interrupted(Reply([chunk("Be")])),
    "a stall in the middle": interrupted(Reply([chunk("Be")], ending="stall"), clocks=SILENT),
    "a line of 10 MB in the middle": interrupted(Reply([chunk("Be"), TEN_MEGABYTES])),
    "a raw error after STOP": answered(Reply([chunk("Because.", "STOP"), RAW_ERROR])),
    "a reset after STOP": answered(Reply([chunk("Because.", "STOP")], ending="reset")),
    "a stall after STOP": Outcome(
        [Reply([chunk("Because.", "STOP")], ending="stall")], "Because.", "complete", "", FIRST, clocks=SILENT
    ),
    # Answers that end for a reason.
    "the greatest length": ended(Reply([chunk("Be", "MAX_TOKENS")]), "greatest length", "Be", "length"),
    "nothing but thinking": refused(Reply([chunk(None, "MAX_TOKENS")]), "no room was left"),
    "a blocked question": ended(
        Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})]),
        "answer this question (SAFETY)",
        "",
        "blocked",
    ),
    "a blocked answer": ended(
        Reply([chunk("Be"), chunk(None, "RECITATION")]), "answer here (RECITATION)", "Be", "blocked"
    ),
    "a reason of 2030": ended(Reply([chunk("Be", "TIRED")]), "reason of its own (TIRED)", "Be"),
    "STOP and no word": refused(Reply([chunk("", "STOP")]), "no answer"),
    "a tool call without tools": refused(Reply([chunk(None, "MALFORMED_FUNCTION_CALL")]), "no answer"),
    # No text at all.
    "silence": silent(Reply(status=None, ending="stall")),
    "thoughts and silence": silent(Reply([chunk("Hm…", thought=True)], ending="stall"), "interrupted"),
    "a cut before the first byte": refused(Reply(status=None, ending="cut"), "connection to Gemini broke"),
    "a reset before the first byte": refused(Reply(status=None, ending="reset"), "connection to Gemini broke"),
    "an empty answer": refused(Reply([]), "no answer"),
    "a raw error at once": refused(Reply([RAW_ERROR]), "too much to do"),
    "a line of 10 MB at once": refused(Reply([TEN_MEGABYTES]), "cannot read"),
    "a web page for an answer": ended(
        Reply([b"<!DOCTYPE html>\n<p>Please log in.\n"], 200, {"Content-Type": "text/html"}, "length"),
        "sign-in page of the network",
    ),
    # Refusals that only the owner can fix.
    "400 for a bad key": ended(error(400, "INVALID_ARGUMENT", error_info("API_KEY_INVALID")), "accept the key"),
    "400 for a region without free questions": ended(error(400, "FAILED_PRECONDITION"), "without billing"),
    "400 for the region": ended(
        error(400, "FAILED_PRECONDITION", message="User location is not supported for the API use."), "A VPN"
    ),
    "401": ended(error(401, "UNAUTHENTICATED", error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")), "accept the key"),
    "402": ended(error(402, "RESOURCE_EXHAUSTED", retry_info("1s")), "credit for Gemini is used up"),
    "429 for credit": ended(
        error(429, "RESOURCE_EXHAUSTED", retry_info("1s"), message="Your prepayment credits are depleted."),
        "credit for Gemini is used up",
    ),
    "403": ended(error(403, "PERMISSION_DENIED"), "let this appliance's key use Gemini"),
    "a redirect": ended(Reply.redirect("http://127.0.0.1:1/login"), "redirects it elsewhere"),
    # Refusals of one model.
    "400": refused(error(400, "INVALID_ARGUMENT"), "did not understand the request"),
    "400 for the length": refused(
        error(400, "INVALID_ARGUMENT", message="The input token count (9) exceeds the maximum number of tokens."),
        "question is too long",
    ),
    "404": refused(error(404, "NOT_FOUND"), "not have this model"),
    "429 for a while": refused(error(429, "RESOURCE_EXHAUSTED", quota_failure(PER_MINUTE)), "Too many questions"),
    "429 for a minute": refused(error(429, "RESOURCE_EXHAUSTED", retry_info("59.5s")), "Too many questions"),
    "429 for the day": refused(error(429, "RESOURCE_EXHAUSTED", quota_failure(PER_DAY)), "today are used up"),
    "429 for good": refused(error(429, "RESOURCE_EXHAUSTED", message="limit: 0"), "today are used up"),
    "499": refused(error(499, "CANCELLED"), "has a problem"),
    "500": refused(error(500, "INTERNAL"), "has a problem"),
    "502 as a web page": refused(Reply.html(502), "has a problem"),
    "503": refused(error(503, "UNAVAILABLE"), "too much to do"),
    "503 in an array": refused(Reply.error(503, "UNAVAILABLE", "Overloaded.", wrapped=True), "too much to do"),
    "503 as a web page": refused(Reply.html(503), "too much to do"),
    "504": refused(error(504, "DEADLINE_EXCEEDED"), "has a problem"),
    # Refusals followed by an answer.
    "503, and another model answers": Outcome(
        [error(503, "UNAVAILABLE"), Reply.answer("Because.")], "Because.", "complete", "", BOTH
    ),
    "429 for a second, and then an answer": Outcome(
        [error(429, "", retry_info("1s")), error(503, "UNAVAILABLE"), Reply.answer("Because.")],
        *("Because.", "complete", "", [*BOTH, "model-a"]),
    ),
}


class Seen(NamedTuple):
    """The text, finish and note that the page of the first turn shows."""

    text: str
    finish: str
    note: str


def seen(house: House, language: str = "en") -> Seen:
    page = house.get("/chats/1/1", Accept_Language=language).data.decode()
    found = re.search(
        r'<body class="reading ended (\w+)[^"]*".*?<div class="text" id="text">(.*?)</div>'
        r'.*?id="ending" role="status">(.*?)</p>',
        page,
        re.DOTALL,
    )
    assert found, page
    return Seen(re.sub("<.*?>", "", html.unescape(found[2])), found[1], html.unescape(found[3]))


def read_to_end(house: House) -> Seen:
    """Follow the answer to its end. Its stream and its page agree, and the Chinese page has a Chinese note."""
    with house.follow("/answers/1?as=events") as follow:
        follow.read_to_end()
    shown = seen(house)
    end = follow.state.end
    assert end is not None and (end["finish"], end["note"]) == (shown.finish, shown.note)
    chinese = seen(house, "zh-CN")
    assert (chinese.text, chinese.finish) == (shown.text, shown.finish)
    assert bool(re.search("[\u4e00-\u9fff]", chinese.note)) == bool(shown.note)
    return shown


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_the_page_has_the_text_and_says_what_happened(outcome: Outcome, gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.replies(*outcome.replies)
    gemini.default = Reply.answer("This was asked once too often.")
    with House(gemini.url, tmp_path, clocks=outcome.clocks) as house:
        house.ask("Why?")
        if outcome.gate is not None:
            gemini.wait_for_calls(1)
            assert 'class="reading writing"' in house.get("/chats/1/1").data.decode()
            outcome.gate.set()
        shown = read_to_end(house)
    assert (shown.text, shown.finish) == (outcome.text, outcome.finish)
    assert outcome.note in shown.note and bool(shown.note) == bool(outcome.note)
    assert [call.model for call in gemini.calls] == outcome.asked


# No server answers


def test_a_refused_connection_is_blamed_on_the_internet(tmp_path: Path) -> None:
    with refusing_url() as url, House(url, tmp_path) as house:
        house.ask("Why?")
        shown = read_to_end(house)
    assert shown.finish == "failed" and "Is the internet working?" in shown.note


def test_a_failed_name_lookup_is_blamed_on_the_internet(tmp_path: Path) -> None:
    """In a namespace without network, so that the DNS query goes nowhere either."""

    def ask() -> Seen:
        with House("http://gemini.invalid", tmp_path) as house:
            house.ask("Why?")
            return read_to_end(house)

    try:
        shown = without_network(ask)
    except PermissionError:
        unavailable("only root may make a network namespace")
    assert shown.finish == "failed" and "Is the internet working?" in shown.note


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_an_untrusted_certificate_is_named(tmp_path: Path) -> None:
    with FakeGemini(tls=True) as gemini, House(gemini.url, tmp_path) as house:
        house.ask("Why?")
        shown = read_to_end(house)
        assert gemini.calls == [], "no question is sent over an insecure connection"
    assert shown.finish == "failed" and "certificate is not trusted" in shown.note
