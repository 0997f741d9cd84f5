"""Gemini's dialect: the request; every recorded stream whole, byte by byte and cut at every offset; every outcome
that Google documents; and undocumented shapes.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fakes.gemini import chunk, error_body, error_info, event, quota_failure, retry_info
from hypothesis import given, settings
from hypothesis import strategies as st

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import (
    ApplianceError,
    ContextExceeded,
    OwnerError,
    QuotaExhausted,
    RequestRefused,
    SignInPage,
    UnknownModel,
    UpstreamBusy,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnreadable,
)
from kindle_appliance.settings import Settings
from kindle_appliance.upstream.gemini import Gemini, GeminiReader
from kindle_appliance.upstream.sse import MAX_EVENT_BYTES, EventStreamParser

ASKED = "gemini-asked"


def _load(name: str) -> Any:
    """Load the names of tests. Without the folder, the fixture `shared` skips these tests, or fails them in CI."""
    file = ROOT.parent / "shared" / name
    return json.loads(file.read_bytes()) if file.is_file() else {}


_STREAMS: dict[str, Any] = _load("streams/expected.json") or {"absent/absent": {}}
_CLIENT_CASES = _load("sse-cases.json").get("gemini_client_cases") or [{"id": "absent"}]

every_stream = pytest.mark.parametrize(
    "stream", _STREAMS, ids=lambda path: f"{path.partition('/')[0]}/{Path(path).name}"
)


def refusal(status: int, body: bytes) -> ApplianceError:
    return Gemini().refusal(status, {}, body)


@pytest.mark.parametrize("word", ["model ", "API key ", "credit ", "context "])
def test_a_long_message_is_judged_at_once(word: str) -> None:
    """Some patterns take the square of it: 60,000 characters took half a minute."""
    since = time.process_time()
    assert refusal(400, error_body(400, "INVALID_ARGUMENT", word * (60_000 // len(word)))).detail
    assert time.process_time() - since < 3


def read(
    pieces: Iterable[bytes], *, cut: bool = False, max_event_bytes: int = MAX_EVENT_BYTES
) -> tuple[str, Ending, GeminiReader]:
    reader = GeminiReader(ASKED, max_event_bytes=max_event_bytes)
    text = "".join([reader.feed(piece) for piece in pieces])
    last, ending = reader.close(cut=cut)
    return text + last, ending, reader


def ways(data: bytes) -> list[list[bytes]]:
    """Whole, in odd pieces, byte by byte."""
    return [[data[at : at + size] for at in range(0, len(data), size)] for size in (len(data) or 1, 7, 1)]


def said(note: object) -> str:
    return str(note) if note is not None else ""


# ---- The request


def test_a_request_carries_the_conversation_and_has_its_key_in_a_header_only() -> None:
    history = Message("user", "Why?"), Message("model", "Because.\n")
    question = Question("末 “why”?", history)
    asked = Gemini().request("gemini-flash-latest", question, GenerationOptions(), "AQ.secret")
    assert asked.path == "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse"
    assert asked.headers == {"x-goog-api-key": "AQ.secret", "Content-Type": "application/json"}
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in (*history, ("user", "末 “why”?"))]
    assert json.loads(asked.body) == {"contents": contents}
    assert "secret" not in f"{asked!r} {asked} {asked.path} {asked.body!r}"


def test_a_model_name_cannot_change_the_address() -> None:
    asked = Gemini().request("../x?key=1#y", Question("Why?"), GenerationOptions(), "key")
    assert asked.path == "/v1beta/models/..%2Fx%3Fkey%3D1%23y:streamGenerateContent?alt=sse"


_BOTH = GenerationOptions(temperature=0.7, max_output_tokens=9, thinking_level="high", thinking_budget=5)


@pytest.mark.parametrize(
    ("generation", "settings"),
    [
        (GenerationOptions(temperature=0.0), {"temperature": 0.0}),
        (GenerationOptions(max_output_tokens=8192), {"maxOutputTokens": 8192 + 24_576}),
        (GenerationOptions(thinking_level="low"), {"thinkingConfig": {"thinkingLevel": "low"}}),
        (GenerationOptions(thinking_budget=0), {"thinkingConfig": {"thinkingBudget": 0}}),
        (_BOTH, {"temperature": 0.7, "maxOutputTokens": 65_536, "thinkingConfig": {"thinkingLevel": "high"}}),
    ],
    ids=["temperature", "length", "level", "budget", "all, but never both kinds of thinking"],
)
def test_only_what_is_set_is_sent(generation: GenerationOptions, settings: dict[str, Any]) -> None:
    question = Question("Why?", instruction="Be short.")
    contents, instruction = [{"role": "user", "parts": [{"text": "Why?"}]}], {"parts": [{"text": "Be short."}]}
    body = json.loads(Gemini().request(ASKED, question, generation, "key").body)
    assert body == {"contents": contents, "generationConfig": settings, "system_instruction": instruction}


@pytest.mark.parametrize("model", [entry.model for entry in Settings().models])
def test_a_model_of_the_usual_list_thinks_as_little_as_it_can_and_has_room_for_an_answer(model: str) -> None:
    options = Gemini().with_defaults(model, GenerationOptions(max_output_tokens=8192))
    body = json.loads(Gemini().request(model, Question("Why?"), options, "key").body)
    config = body["generationConfig"]
    level = config.get("thinkingConfig", {}).get("thinkingLevel")
    least = {"gemini-3.8-flash": "low", "gemini-4-hydrogen": "low", "gemma-4-31b-it": None}
    aliases = dict.fromkeys(("gemini-flash-latest", "gemini-flash-lite-latest"))
    assert level == {**least, **aliases}.get(model, "minimal"), "a level that a model does not take is an error"
    assert config["maxOutputTokens"] >= 8192 + (0 if model.startswith("gemma") else 24_576)
    assert set(config) <= {"maxOutputTokens", "thinkingConfig"}, "temperature is deprecated since 2026-07"


@pytest.mark.parametrize("set_by_owner", [{"thinking_level": "high"}, {"thinking_budget": 0}])
def test_what_the_owner_has_set_counts_for_every_model(set_by_owner: dict[str, Any]) -> None:
    options = GenerationOptions(**set_by_owner)
    assert Gemini().with_defaults("gemini-3.8-flash", options) == options


@pytest.mark.parametrize(("tokens", "sent"), [(60_000, 65_536), (100_000, 100_000), (1, 24_577)])
def test_the_cap_is_at_most_what_a_model_can_write(tokens: int, sent: int) -> None:
    options = GenerationOptions(max_output_tokens=tokens)
    body = json.loads(Gemini().request("gemini-3.8-flash", Question("Why?"), options, "key").body)
    assert body["generationConfig"]["maxOutputTokens"] == sent


# ---- The recorded streams

_LENGTH = ["MAX_TOKENS", "CONTINUATION"]
_BLOCKED = [
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION",
    "PUP_LIMITED_DISABLED", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
]  # fmt: skip
_FAILED = [
    "OTHER", "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE", "FAKE_ENUM", "SOMETHING_OF_2030",
]  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """The content of a stream's complete documents, read in the simplest way."""

    text: str = ""
    reason: str = ""
    block: str = ""
    error: bool = False
    tokens: int = 0
    model: str = ""

    def then(self, document: Any) -> Heard:
        if "error" in document:
            return replace(self, error=True)
        candidate = document.get("candidates", [{}])[0]
        parts = candidate.get("content", {}).get("parts", [])
        return Heard(
            self.text + "".join(part.get("text", "") for part in parts if not part.get("thought")),
            candidate.get("finishReason", self.reason),
            document.get("promptFeedback", {}).get("blockReason", self.block),
            self.error,
            document.get("usageMetadata", {}).get("totalTokenCount", self.tokens),
            document.get("modelVersion", self.model),
        )

    def finish(self, *, cut: bool) -> Finish:
        if self.block or self.reason in _BLOCKED:
            return Finish.BLOCKED
        if self.reason == "STOP" or self.reason in _LENGTH:
            kind = Finish.COMPLETE if self.reason == "STOP" else Finish.LENGTH
            return kind if self.text else Finish.FAILED
        if self.reason:
            return Finish.FAILED
        return Finish.INTERRUPTED if self.text or (cut and not self.error) else Finish.FAILED


def heard_at_every_offset(data: bytes) -> Iterator[Heard]:
    """The content of data[:0], data[:1] ... In the recordings an event is one line; bare JSON may have many."""
    before, bare, start = Heard(), b"", 0
    for offset in range(len(data) + 1):
        line = data[start:offset]
        document = bare + line if not line.startswith(b"data:") else line.removeprefix(b"data:")
        try:
            heard = before.then(json.loads(document))
            open_bare = b""
        except ValueError:
            open_bare = document if not line.startswith(b"data:") else b""
            heard = replace(before, error=before.error or b'"error"' in open_bare)
        yield heard
        if line.endswith(b"\n"):
            before, bare, start = (before if open_bare.strip() else heard), open_bare, offset


@every_stream
def test_a_recorded_stream_gives_the_expected_answer_whole_and_byte_by_byte(shared: Path, stream: str) -> None:
    data = (shared / "streams" / stream).read_bytes()
    computed = _STREAMS[stream]["computed"]
    framed = b"".join(
        b"data: " + line + b"\r\n\r\n" for line in data.splitlines()
    )  # for recordings of chunks without events
    reason, block = (computed["finish"] or [""])[-1], computed["block"] or ""
    heard = Heard(computed["text"], reason, block, bool(computed["error"]))
    ends = []
    for pieces in ways(data) + (ways(framed) if computed.get("framing") == "json-lines" else []):
        text, ending, reader = read(pieces)
        assert text == computed["text"]
        assert ending.finish is heard.finish(cut=False)
        assert (ending.note is None) == (ending.finish is Finish.COMPLETE)
        assert (ending.tokens, ending.model) == (computed["usage"] or 0, computed["modelVersion"] or ASKED)
        if computed["error"]:
            assert reader.error is not None
            assert reader.error.detail.startswith("{} {}".format(*computed["error"]))
        else:
            assert reader.error is None
        ends.append(ending)
    assert all(ending == ends[0] for ending in ends)


@pytest.mark.slow
@every_stream
def test_a_recorded_stream_cut_anywhere_keeps_the_text_of_its_complete_events(shared: Path, stream: str) -> None:
    """Fed byte by byte. After each byte, a copy of the reader is closed as cut."""
    data = (shared / "streams" / stream).read_bytes()
    whole = _STREAMS[stream]["computed"]["text"]
    reader = GeminiReader(ASKED)
    text = ""
    for offset, heard in enumerate(heard_at_every_offset(data)):
        text += reader.feed(data[offset - 1 : offset]) if offset else ""
        last, ending = copy.deepcopy(reader).close(cut=True)
        assert text + last == heard.text and whole.startswith(heard.text), f"cut at {offset}"
        assert ending.finish is heard.finish(cut=True), f"cut at {offset}"
        assert (ending.tokens, ending.model) == (heard.tokens, heard.model or ASKED), f"cut at {offset}"
    assert heard.text == whole


# ---- Cases from other clients


def documents(data: bytes) -> list[Any]:
    """The JSON documents of a stream in order, from events and from bare lines."""
    parser = EventStreamParser()
    events = [*parser.feed(data), *parser.close()]
    placed = [(line.after, line.text) for line in parser.stray] + [(at + 1, e.data) for at, e in enumerate(events)]
    found = []
    for _, text in sorted(placed, key=lambda each: each[0]):
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


@pytest.mark.parametrize("case", _CLIENT_CASES, ids=lambda case: case["id"])
def test_a_case_of_another_client_gives_the_expected_answer(shared: Path, case: dict[str, Any]) -> None:
    """A stream in another dialect, or without any text, is no answer: it ends as `failed`."""
    pieces = [base64.b64decode(piece) for piece in case["chunks_b64"]]
    data, expected = b"".join(pieces), case["expected"]
    error = expected.get("error")
    if case["http_status"] != 200:
        refused = refusal(case["http_status"], data)
        assert isinstance(refused, UpstreamError)
        assert refused.detail.startswith(f"{error['code']} {error.get('status', '')}".strip())
        if "retryDelay_s" in error:
            assert isinstance(refused, UpstreamError)
            assert not isinstance(refused, QuotaExhausted)
            assert refused.retry_after == error["retryDelay_s"]
        return
    if "objects" in expected:
        assert [document for document in documents(data) if "error" not in document] == expected["objects"]
    if "thoughtSignature_len" in expected:
        (part,) = documents(data)[0]["candidates"][0]["content"]["parts"]
        assert len(part["thoughtSignature"]) == expected["thoughtSignature_len"] > 128 * 1024
    for way in (pieces, *ways(data)):
        text, ending, reader = read(way)
        assert text == expected.get("text", "")
        if "finish" in expected:
            assert ending.finish is Finish.COMPLETE
        else:
            assert ending.finish is (Finish.INTERRUPTED if text else Finish.FAILED) and ending.note
        if isinstance(error, dict):
            assert reader.error is not None and reader.error.detail.startswith(f"{error['code']} {error['status']}")
        if "dialect" in expected:
            assert (reader.error, ending.tokens, ending.model) == (None, 0, ASKED)


# ---- How answers end


@pytest.mark.parametrize("text", ["Hello", ""])
@pytest.mark.parametrize("reason", ["STOP", *_LENGTH, *_BLOCKED, *_FAILED])
def test_every_finish_reason_ends_the_answer_as_documented(reason: str, text: str) -> None:
    seen, ending, reader = read([chunk(text) + chunk("", finish=reason)])
    assert seen == text
    assert ending.finish is Heard(text, reason).finish(cut=False)
    assert (ending.note is None) == (ending.finish is Finish.COMPLETE)
    assert (reason in said(ending.note)) == (reason in _BLOCKED or (reason in _FAILED and bool(text)))
    assert reader.error is None
    assert read([chunk(text) + chunk("", finish=reason)], cut=True)[1] == ending


def test_an_answer_of_thoughts_alone_and_one_that_grew_too_long_have_their_own_sentences() -> None:
    assert "no room was left" in said(read([chunk("Hm.", thought=True) + chunk(None, finish="MAX_TOKENS")])[1].note)
    assert "greatest length" in said(read([chunk("Long.") + chunk(None, finish="MAX_TOKENS")])[1].note)


def test_blank_text_alone_is_no_answer_and_is_kept_before_other_text() -> None:
    for way in ways(chunk("\n") + chunk(" ") + chunk(None, finish="STOP")):
        text, ending, _ = read(way)
        assert (text, ending.finish) == ("", Finish.FAILED), "an empty page"
    for way in ways(chunk("\n") + chunk("    code", finish="STOP")):
        assert read(way)[0] == "\n    code"


@pytest.mark.parametrize("reason", ["", "FINISH_REASON_UNSPECIFIED", None, 5, {"a": 1}])
def test_an_unspecified_finish_reason_does_not_end_the_answer(reason: object) -> None:
    candidate = {"finishReason": reason, "content": {"parts": [{"text": "Half"}]}}
    text, ending, _ = read([event({"candidates": [candidate]})])
    assert (text, ending.finish) == ("Half", Finish.INTERRUPTED)


_BLOCK_REASONS = [
    "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK", "NEW_ONE"
]  # fmt: skip


@pytest.mark.parametrize("reason", _BLOCK_REASONS)
@pytest.mark.parametrize(("text", "words"), [("", "answer this question"), ("Half", "stopped the answer here")])
def test_a_block_reason_ends_the_answer_as_blocked_with_its_name(reason: str, text: str, words: str) -> None:
    blocked = chunk(text) + event({"promptFeedback": {"blockReason": reason}})
    later = event({"promptFeedback": {"safetyRatings": []}}) + chunk("", finish="STOP")
    for stream, cut in [(blocked, False), (blocked, True), (blocked + later, False)]:
        seen, ending, _ = read([stream], cut=cut)
        assert (seen, ending.finish) == (text, Finish.BLOCKED)
        assert reason in said(ending.note) and words in said(ending.note)


def test_a_stop_on_every_chunk_does_not_end_the_reading() -> None:
    text, ending, _ = read([chunk("One ", finish="STOP") + chunk("two.", finish="STOP")])
    assert (text, ending.finish) == ("One two.", Finish.COMPLETE)


def test_a_reader_has_ended_once_a_finish_reason_or_a_block_reason_has_come() -> None:
    blocked, error = event({"promptFeedback": {"blockReason": "SAFETY"}}), error_body(503, "UNAVAILABLE", "x")
    for stream in (b"", chunk("Half"), chunk("Half", finish="FINISH_REASON_UNSPECIFIED"), error):
        assert not read([stream])[2].has_ended
    for stream in (chunk("All.", finish="STOP"), chunk(None, finish="NEW_ONE") + chunk(None), blocked + error):
        assert read([stream])[2].has_ended


def test_a_stream_without_text_has_failed_and_a_cut_one_was_interrupted() -> None:
    nothing = dict.fromkeys((b"", b": comment\n\n", event({"usageMetadata": {}})), "no answer")
    nonsense = dict.fromkeys((b"data: {}\n\n", b"data: [DONE]\n\n", b"data: nonsense\n\n"), "cannot read")
    for stream, words in {**nothing, **nonsense}.items():
        assert read([stream])[1].finish is Finish.FAILED and words in said(read([stream])[1].note)
        assert read([stream], cut=True)[1].finish is Finish.INTERRUPTED


@pytest.mark.parametrize("stream", [chunk("Hi.", finish="STOP")[:-9], b'{"candidates": [\n', b'{"candidates": ['])
def test_a_body_that_ends_inside_json_counts_as_cut(stream: bytes) -> None:
    for way in ways(stream):
        assert read(way)[:2] == read(way, cut=True)[:2]
        assert read(way)[0] == "" and read(way)[1].finish is Finish.INTERRUPTED


def test_a_broken_chunk_is_logged_and_skipped_and_reading_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        text, ending, _ = read([chunk("One ") + b'data: {"candidates": [\n\n' + chunk("two.", finish="STOP")])
    assert (text, ending.finish, len(caplog.records)) == ("One two.", Finish.COMPLETE, 1)


def test_thoughts_and_parts_without_text_are_left_out() -> None:
    parts: list[Any] = [
        {"text": "secret", "thought": True},
        {"text": "One "},
        {"text": "", "thoughtSignature": "AAAA"},
        {"executableCode": {"code": "secret"}},
        {"inlineData": {"data": "secret"}},
        {"functionCall": {"name": "secret"}},
        {"text": "two."},
    ]
    another = {"content": {"parts": [{"text": "secret"}]}}
    text, _, reader = read([event({"candidates": [{"content": {"parts": parts}}, another]})])
    assert text == "One two."
    thoughts = GeminiReader(ASKED)
    assert thoughts.feed(chunk("Hm.", thought=True)) == "" and not thoughts.has_text and reader.has_text


def test_half_a_surrogate_pair_becomes_a_replacement_character_wherever_it_stands() -> None:
    half = "\ud83d"
    parts = [{"text": f"a{half}b"}, {"text": half}, {"text": "\ude00"}, {"text": "\U0001f600"}]
    answer = json.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": half}], "modelVersion": half})
    text, ending, _ = read([b"data: " + answer.encode() + b"\n\n"])
    assert text == "a\ufffdb\ufffd\ufffd\U0001f600"
    assert ending.model == "\ufffd" and "\ufffd" in said(ending.note) and half not in said(ending.note)


def test_progress_grows_with_text_and_with_tokens_and_not_with_repeated_counts() -> None:
    reader = GeminiReader(ASKED)
    steps = [
        (chunk("Hm.", thought=True, usage={"totalTokenCount": 5}), True),
        (chunk(None, usage={"totalTokenCount": 5}), False),
        (chunk(None, usage={"totalTokenCount": 4}), False),
        (chunk(None, usage={"totalTokenCount": 5}), False),
        (chunk("", usage={"promptTokenCount": 9}) + b": ping\n\n", False),
        (chunk(None, usage={"totalTokenCount": 6}), True),
        (chunk("Text.", usage={"totalTokenCount": 6}), True),
    ]
    for stream, grows in steps:
        before = reader.progress
        reader.feed(stream)
        assert (reader.progress > before) == grows, stream
    assert reader.close()[1].tokens == 6


@pytest.mark.parametrize("count", [True, -1, 10**30, 1.5, "9", None])
def test_an_invalid_token_count_is_ignored(count: object) -> None:
    _, ending, reader = read(
        [chunk(None, usage={"totalTokenCount": 7}), chunk(None, usage={"totalTokenCount": count})]
    )
    assert (ending.tokens, reader.progress) == (7, 1)


# ---- Errors inside a stream

_BRACES = 'Use {"a": [1}} or \\" and "{" \\'
_ERRORS = {
    "pretty-printed": error_body(503, "UNAVAILABLE", "Overloaded."),
    "with braces in its strings": error_body(503, "UNAVAILABLE", _BRACES),
    "in an array": error_body(503, "UNAVAILABLE", "Overloaded.", wrapped=True),
    "in an array with braces": error_body(503, "UNAVAILABLE", _BRACES, [error_info(_BRACES)], wrapped=True),
    "with CRLF": error_body(503, "UNAVAILABLE", "Overloaded.").replace(b"\n", b"\r\n"),
    "on one line": b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "{"}}',
    "after junk": b'<p>a "quote}]</p>\n{"error": {"code": 503, "status": "UNAVAILABLE"}}\n',
    "after words": b'failed: {"error": {"code": 503, "status": "UNAVAILABLE"}}\n',
    "as data": event({"error": {"code": 503, "status": "UNAVAILABLE", "message": "Overloaded."}}),
}


@pytest.mark.parametrize("error", _ERRORS.values(), ids=_ERRORS)
def test_an_error_in_a_stream_ends_it_unless_it_had_ended(error: bytes) -> None:
    for stream, text, finish, words in [
        (b"", "", Finish.FAILED, "too much to do"),
        (chunk("Half"), "Half", Finish.INTERRUPTED, "broke off here"),
        (chunk("All.", finish="STOP"), "All.", Finish.COMPLETE, ""),
    ]:
        for way in ways(stream + error):
            seen, ending, reader = read(way)
            assert (seen, ending.finish) == (text, finish)
            assert isinstance(reader.error, UpstreamError) and reader.error.detail.startswith("503 UNAVAILABLE")
            assert words in said(ending.note) and bool(words) == bool(ending.note)


def test_a_cut_error_is_still_an_error() -> None:
    error = error_body(503, "UNAVAILABLE", _BRACES)[:-4]
    for way in ways(error):
        _, ending, reader = read(way)
        assert isinstance(reader.error, UpstreamError)
        assert ending == Ending(Finish.FAILED, reader.error.sentence, ASKED)
    assert read([chunk("All.", finish="STOP") + error])[1].finish is Finish.COMPLETE
    assert read([chunk("Half") + error])[1].finish is Finish.INTERRUPTED


def test_bare_json_is_read_at_the_end_of_its_line_while_the_connection_stays_open() -> None:
    reader = GeminiReader(ASKED)
    assert reader.feed(chunk("two ").removeprefix(b"data: ")) == "two " and reader.error is None
    assert reader.feed(error_body(503, "UNAVAILABLE", "Overloaded.")) == "" and reader.error is not None


def test_text_in_bare_json_alone_or_in_an_array_comes_in_its_order() -> None:
    bare = chunk("two ").removeprefix(b"data: ").strip()
    for lines, text in [(bare, "two "), (b"[" + bare + b",\n" + bare + b"]", "two two ")]:
        for way in ways(chunk("one ") + lines + b"\n" + chunk("three", finish="STOP")):
            assert read(way)[0] == f"one {text}three"


def test_an_event_beyond_the_cap_ends_the_answer_and_keeps_the_text_before_it() -> None:
    reader = GeminiReader(ASKED, max_event_bytes=500)
    assert reader.feed(chunk("Half")) == "Half" and reader.error is None
    assert reader.feed(b"data: " + b"x" * 600) == "" and isinstance(reader.error, UpstreamUnreadable)
    for text, finish in [("Half", Finish.INTERRUPTED), ("", Finish.FAILED)]:
        for tail in (b"", b"\n\n", b"\n\n" + chunk("late")):
            for way in ways(chunk(text) + b"data: " + b"x" * 600 + tail):
                seen, ending, reader = read(way, max_event_bytes=500)
                assert (seen, ending.finish) == (text, finish) and isinstance(reader.error, UpstreamUnreadable)


# ---- Refusals

_OWNER, _GEMINI = OwnerError, UpstreamError
_REFUSALS = [
    (302, "", [], _OWNER, "redirects"),
    (400, "INVALID_ARGUMENT", [], RequestRefused, "did not understand"),
    (401, "UNAUTHENTICATED", [error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")], _OWNER, "not accept the key"),
    (402, "RESOURCE_EXHAUSTED", [retry_info("1s")], _OWNER, "credit"),
    (403, "PERMISSION_DENIED", [], _OWNER, "not let this appliance's key"),
    (404, "NOT_FOUND", [], UnknownModel, "not have this model"),
    (413, "", [], ContextExceeded, "too long"),
    (511, "", [], SignInPage, "sign-in page"),
    (429, "RESOURCE_EXHAUSTED", [], UpstreamRateLimited, "Too many questions"),
    (499, "CANCELLED", [], _GEMINI, "problem"),
    (500, "INTERNAL", [], _GEMINI, "problem"),
    (503, "UNAVAILABLE", [], UpstreamBusy, "too much to do"),
    (504, "DEADLINE_EXCEEDED", [], _GEMINI, "problem"),
    (418, "NEW_ONE", [], _GEMINI, "problem"),
]


_UNSAID = [b"", b"<html>{Bad} gateway</html>", b"\xff\xfe", b"[]", b"null", b'{"error": "x"}', b"[" * 100_000]


@pytest.mark.parametrize(
    ("status", "name", "details", "kind", "words"), _REFUSALS, ids=[f"{r[0]} {r[4]}" for r in _REFUSALS]
)
def test_a_refusal_is_judged_by_its_status_with_any_body(
    status: int, name: str, details: list[Any], kind: type[ApplianceError], words: str
) -> None:
    for wrapped in (False, True):
        refused = refusal(status, error_body(status, name, "A message.", details, wrapped))
        assert type(refused) is kind and words in str(refused.sentence)
        assert refused.detail == " ".join(filter(None, (str(status), name, "A message.")))
    unsaid = UpstreamError if kind is UnknownModel else kind  # a 404 of Gemini's names the model
    for body in _UNSAID:
        refused = refusal(status, body)
        assert type(refused) is unsaid and refused.detail == str(status) and str(refused.sentence)


_TOLD_BY_THE_BODY = [
    ("INVALID_ARGUMENT", [error_info("API_KEY_INVALID")], "x", "not accept the key"),
    ("INVALID_ARGUMENT", [], "API key expired. Please renew the API key.", "not accept the key"),
    ("FAILED_PRECONDITION", [], "x", "without billing"),
    ("FAILED_PRECONDITION", [], "User location is not supported for the API use.", "A VPN"),
    ("INVALID_ARGUMENT", [], "This service is not available in your country.", "A VPN"),
    (
        "FAILED_PRECONDITION",
        [],
        "The free tier is not available in your country. Please enable billing.",
        "billing",
    ),
    (
        "FAILED_PRECONDITION",
        [],
        "User location is not supported for the API use without a billing account linked.",
        "without billing",
    ),
    ("INVALID_ARGUMENT", [], "Not yet available in your territory.", "A VPN"),
    ("FAILED_PRECONDITION", [], "Your prepayment credits are depleted.", "prepaid credit"),
]


@pytest.mark.parametrize(("name", "details", "message", "words"), _TOLD_BY_THE_BODY)
def test_a_400_is_the_owners_if_its_body_says_so(name: str, details: list[Any], message: str, words: str) -> None:
    refused = refusal(400, error_body(400, name, message, details))
    assert type(refused) is OwnerError and words in str(refused.sentence)


_ABOUT_ONE_MODEL = [
    (400, "FAILED_PRECONDITION", "Developer instruction is not enabled for models/gemma-3-27b-it", RequestRefused),
    (400, "FAILED_PRECONDITION", "Thinking level MINIMAL is not supported for this model.", RequestRefused),
    (400, "INVALID_ARGUMENT", "Model gemini-4-hydrogen is not available in your region.", RequestRefused),
    (400, "INVALID_ARGUMENT", "Thinking budget 40000 exceeds the maximum of 24576 tokens.", RequestRefused),
    (400, "INVALID_ARGUMENT", "models/old is not found for API version v1beta.", UnknownModel),
    (403, "PERMISSION_DENIED", "You may not access the model X, or it may not exist.", UnknownModel),
    (410, "", "Gone.", UnknownModel),
]


@pytest.mark.parametrize(("status", "name", "message", "kind"), _ABOUT_ONE_MODEL)
def test_a_refusal_about_one_model_leaves_the_others(
    status: int, name: str, message: str, kind: type[ApplianceError]
) -> None:
    assert type(refusal(status, error_body(status, name, message))) is kind


@pytest.mark.parametrize("code", [None, "429", 8], ids=["no code", "a text", "gRPC's code"])
def test_an_error_in_a_stream_is_judged_by_its_name_where_its_code_says_nothing(code: object) -> None:
    error = {
        "error": {"code": code, "status": "RESOURCE_EXHAUSTED", "message": "Your prepayment credits are depleted."}
    }
    _, _, reader = read([event(error)])
    assert isinstance(reader.error, OwnerError) and "credit" in str(reader.error.sentence)


def test_a_refusal_framed_as_an_event_is_read() -> None:
    body = b"data: " + error_body(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")
    assert isinstance(refusal(429, body), OwnerError)


def test_thousands_of_unreadable_events_are_an_error_and_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for line in (b"data: x\n\n", b"data: {}\n\n", b"Access denied.\n"):
        caplog.clear()
        _, ending, reader = read([line * 5000])
        assert isinstance(reader.error, UpstreamUnreadable) and ending.finish is Finish.FAILED
        assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "body", [b'{"captive": true}', b"Access denied by policy.\n", b'data: {"status": "login"}\n\n']
)
def test_a_body_of_another_kind_is_not_read_as_an_answer(body: bytes) -> None:
    _, ending, _ = read([body])
    assert "cannot read" in said(ending.note)


_CREDIT = [
    "Your project has run out of credits.",
    "Your balance is insufficient.",
    "Your billing account is not active.",
    "Your spend has reached its cap.",
    "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.",
    "Your project has exceeded its monthly spending cap.",
    "Your billing account has exceeded its monthly spending cap. Please go to AI Studio to manage your billing.",
    "The spend cap of this project is reached.",
    "You have insufficient credits.",
]
_QUOTA = [
    "You exceeded your current quota, please check your plan and billing details.",
    "Resource has been exhausted (e.g. check quota).",
    "Quota exceeded for metric: generate_content_free_tier_input_token_count, limit: 16000, model: gemma-4-31b",
    "You exceeded the spend-based rate limit of this model.",
    "Quota exceeded for prepaid tier requests.",
]
_USED_UP = [
    ("Quota exceeded for generate_requests_per_model_per_day.", []),
    ("Quota exceeded.", [{"@type": "x.ErrorInfo", "metadata": {"quota_limit_value": "0"}}]),
    ("Quota exceeded.", [{"@type": "x.ErrorInfo", "metadata": {"quota_limit": "RequestsPerDayPerProject"}}]),
    ("Quota exceeded.", [{"@type": "x.QuotaFailure", "violations": [{"quotaValue": "0"}]}]),
]


@pytest.mark.parametrize(("message", "details"), _USED_UP)
def test_a_quota_of_the_day_is_found_where_older_bodies_have_it(message: str, details: list[Any]) -> None:
    assert type(refusal(429, error_body(429, "RESOURCE_EXHAUSTED", message, details))) is QuotaExhausted


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (503, {}, error_body(503, "UNAVAILABLE", "busy", [retry_info("3s")])),
        (503, {"retry-after": "3"}, b""),
        (429, {"retry-after": "3"}, b"{}"),
        (429, {"retry-after": "60"}, error_body(429, "RESOURCE_EXHAUSTED", "Please retry in 3s.")),
    ],
)
def test_a_retry_delay_is_found_wherever_it_stands(status: int, headers: dict[str, str], body: bytes) -> None:
    refused = Gemini().refusal(status, headers, body)
    assert isinstance(refused, UpstreamBusy) and refused.retry_after == 3


@pytest.mark.parametrize("message", _CREDIT)
def test_a_429_about_credit_is_the_owners(message: str) -> None:
    refused = refusal(429, error_body(429, "RESOURCE_EXHAUSTED", message, [retry_info("1s")]))
    assert type(refused) is OwnerError and refused.sentence == refusal(402, b"").sentence


@pytest.mark.parametrize("message", _QUOTA)
def test_a_429_about_a_quota_is_one(message: str) -> None:
    assert type(refusal(429, error_body(429, "RESOURCE_EXHAUSTED", message))) is UpstreamRateLimited


def test_a_detail_for_the_log_is_short_however_long_the_message() -> None:
    assert len(refusal(500, error_body(500, "INTERNAL", "x" * 10_000)).detail) == 300


def test_the_status_of_the_response_counts_more_than_the_code_in_its_body() -> None:
    assert type(refusal(503, error_body(400, "FAILED_PRECONDITION", "x"))) is UpstreamBusy


_PER_MINUTE, _PER_DAY = (f"GenerateRequestsPer{span}PerProjectPerModel-FreeTier" for span in ("Minute", "Day"))


@pytest.mark.parametrize(
    ("message", "details", "retry_after", "out_for_the_day"),
    [
        ("Quota.", [quota_failure(_PER_MINUTE), retry_info("34.4s")], 34.4, False),
        ("Quota.", [quota_failure(_PER_DAY), retry_info("7s")], 7.0, True),
        ("Quota.", [quota_failure(_PER_MINUTE, _PER_DAY)], None, True),
        ("Quota.", [quota_failure(_PER_DAY), quota_failure(_PER_MINUTE)], None, True),
        ("Quota exceeded, limit: 0, model: gemini-pro", [quota_failure(_PER_MINUTE)], None, True),
        ("Quota exceeded, limit: 20, model: gemini-flash", [quota_failure(_PER_MINUTE)], None, False),
        ("Quota.", [retry_info("soon"), retry_info(""), {"@type": 5}, "x"], None, False),
        ("Quota.", [{"@type": "a.b.QuotaFailure", "violations": [5, {"quotaId": None}]}], None, False),
    ],
    ids=["a minute", "the day", "both", "both, apart", "not free", "free", "bad delays", "bad quotas"],
)
def test_a_quota_error_has_its_retry_delay_and_tells_a_minute_from_a_day(
    message: str, details: list[Any], retry_after: float | None, out_for_the_day: bool
) -> None:
    body = error_body(429, "RESOURCE_EXHAUSTED", message, details)
    for refused in (refusal(429, body), read([body])[2].error):
        assert isinstance(refused, UpstreamError)
        assert (refused.retry_after, isinstance(refused, QuotaExhausted)) == (retry_after, out_for_the_day)
        assert ("for today" in str(refused.sentence)) == out_for_the_day


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("Permission denied: Consumer 'api_key:{}' has been suspended.", "AIza" + "SyNotAKey" * 4),
        ("Permission denied: Consumer 'api_key:{}' has been suspended.", "AQ.Ab8NotAKey-Not_A-Key"),
        ("Permission denied: Consumer 'api_key:{}' has been suspended.", "a-key-of-a-form-to-come"),
        ("The key {} has been suspended.", "AIza" + "SyNotAKey" * 4),
        ("The key {} has been suspended.", "AQ.Ab8NotAKey-Not_A-Key"),
    ],
)
def test_a_key_that_google_quotes_is_removed(words: str, key: str) -> None:
    """The message for a suspended key: github.com/google/generative-ai-docs/issues/356 (read 2026-11)."""
    body = error_body(403, "PERMISSION_DENIED", words.format(key))
    for refused in (refusal(403, body), read([body])[2].error):
        assert refused is not None and "has been suspended" in refused.detail
        assert key not in f"{refused} {refused!r} {refused.detail}"


# ---- Undocumented shapes

_NAMES = [
    "candidates", "content", "parts", "text", "thought", "finishReason", "promptFeedback", "blockReason", "error",
    "usageMetadata", "totalTokenCount", "modelVersion", "code", "message", "status", "details", "@type", "reason",
    "violations", "quotaId", "retryDelay",
]  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d") | st.just(10**30)
_SCALARS |= st.sampled_from(["STOP", "a.RetryInfo", "a.QuotaFailure", "9s"])
_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS, lambda each: st.lists(each) | st.dictionaries(st.sampled_from(_NAMES), each), max_leaves=12
)


def in_its_place(value: Any) -> Iterator[Any]:
    """`value` in the place of each part of a chunk, so that the inner parts are reached too."""
    yield value
    yield {"candidates": value, "usageMetadata": value, "promptFeedback": value, "modelVersion": value}
    yield {"candidates": [{"content": value, "finishReason": value}], "usageMetadata": {"totalTokenCount": value}}
    yield {"candidates": [{"content": {"parts": value}}]}
    yield {"candidates": [{"content": {"parts": [value, {"text": value}]}}]}
    yield {"promptFeedback": {"blockReason": value}}
    yield {"error": value}
    yield {"error": {"code": value, "message": value, "status": value, "details": value}}
    yield {"error": {"code": 429, "details": [{"@type": "a.QuotaFailure", "violations": value, "reason": value}]}}
    yield {"error": {"code": 429, "details": [{"@type": "a.RetryInfo", "retryDelay": value}, value]}}


def can_be_stored(text: str, ending: Ending) -> bool:
    """Whether the database can store it, as UTF-8 and as SQLite's integers, and a page can show it."""
    for words in (text, ending.model, said(ending.note), ending.note.to_json() if ending.note else ""):
        words.encode()
    return type(ending.tokens) is int and 0 <= ending.tokens < 2**63


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(_JSON)
def test_no_json_makes_the_reader_raise(value: Any) -> None:
    for document in in_its_place(value):
        body = json.dumps(document).encode()
        for stream in (b"data: " + body + b"\n\n", b"data: " + body, body):
            for cut in (False, True):
                text, ending, _ = read([chunk("Text.") + stream], cut=cut)
                assert text.startswith("Text.") and can_be_stored(text, ending)
        for status in (400, 429, 500):
            assert str(refusal(status, body).sentence)


_BYTES = [b"data: ", b"\n", b"\n\n", b"{", b"}", b"[", b"]", b'"', b'"error"', b":", b"\\", b'{"error": 1}']


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_BYTES) | st.binary(max_size=9)))
def test_no_bytes_make_the_reader_raise_in_any_chunking(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    text, ending, _ = read([data])
    assert can_be_stored(text, ending)
    assert all(read(way)[:2] == (text, ending) for way in (pieces, *ways(data)))
    assert str(refusal(500, data).sentence)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_deeply_nested_json_is_one_unreadable_event(ending: bytes) -> None:
    for nested in (b"data: " + b"[" * 100_000 + ending, b"[" * 100_000 + b"]" * 100_000 + ending):
        assert read([nested])[1].finish in (Finish.FAILED, Finish.INTERRUPTED)
    assert read([chunk("Half") + b"data: " + b'{"a":' * 100_000 + ending])[:1] == ("Half",)


def test_a_null_error_and_an_unspecified_block_reason_are_ignored() -> None:
    chunk = (
        b'data: {"error": null, "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"},'
        b' "candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "hi"}]}}]}\n\n'
    )
    reader = GeminiReader("model-a")
    assert reader.feed(chunk) == "hi"
    assert reader.close()[1].finish is Finish.COMPLETE
