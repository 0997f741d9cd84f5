"""The event parser: the public conformance cases, recorded streams cut anywhere, its caps, and its cost.

The cases and the streams are in the shared folder; each is a test under its name there.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from ratios import assert_usual_ratio

from kindle_appliance.upstream.sse import MAX_EVENT_BYTES, Event, EventStreamParser, EventTooLarge, StrayLine

MIB = 1024 * 1024

_FILE = ROOT.parent / "shared" / "sse-cases.json"
# Without the shared folder one nameless case remains: the fixture `shared` skips it, or fails it in CI.
_CASES: list[dict[str, Any]] = (
    json.loads(_FILE.read_bytes())["sse_cases"] if _FILE.is_file() else [{"id": "absent"}]
)
# Its test puts 10 MiB of text behind the first chunk of this case.
_LARGE = "ld-large-message-in-two-chunks-shape-upstream-uses-2-x-5-mib-random-base64"
_SMALL = [pytest.param(case, id=case["id"]) for case in _CASES if case["id"] != _LARGE]

# The standard discards an unfinished event at the end of a stream; `close()` returns it.
_PENDING = {
    "wpt-a-data-before-final-empty-line": [Event("message", "test2", "test")],
    "rex-even-more-odd-uses-of-comments": [Event("message", "5", "")],
    "hx-whatwg-example-3": [Event("message", "", "")],
}

_TEN_STREAMS = [
    "vertexai-sdk-test-data/mock-responses/googleai/streaming-failure-prompt-blocked-safety.txt",
    "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-basic-reply-short.txt",
    "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-finish-message.txt",
    "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-thinking-reply-thought-summary.txt",
    "vertexai-sdk-test-data/mock-responses/googleai/streaming-success-url-context.txt",
    "deprecated-generative-ai-js/test-utils/mock-responses/streaming-success-utf8.txt",
    "generative-ai-swift/Tests/GoogleAITests/GenerateContentResponses/streaming-failure-error-mid-stream.txt",
    "generative-ai-android/common/src/test/resources/golden-files/streaming/failure-unknown-model.txt",
    "generative-ai-android/common/src/test/resources/golden-files/streaming/success-quotes-escaped.txt",
    "vercel-ai/packages/google/src/__fixtures__/google-text.chunks.txt",
]


class Reading(NamedTuple):
    """The whole output of a parser for one stream."""

    events: list[Event]
    pending: list[Event]
    stray: list[StrayLine]
    retry: int | None


def read(pieces: Iterable[bytes], **caps: int) -> Reading:
    parser = EventStreamParser(**caps)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return Reading(events, parser.close(), parser.stray, parser.retry)


def sliced(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def data_of(events: Iterable[Event]) -> list[str]:
    return [event.data for event in events]


# ---- The public conformance cases


def chunkings(case: dict[str, Any], way: str) -> list[list[bytes]]:
    """The bytes of a case, cut in one way. `also_chunk_sizes` counts characters, as upstream does."""
    named = [base64.b64decode(chunk) for chunk in case["chunks_b64"]]
    whole = b"".join(named)
    if way == "whole":
        return [[whole]]
    if way == "byte by byte":
        return [sliced(whole, 1)]
    text = whole.decode("utf-8", "surrogateescape")
    by_characters = [
        [text[at : at + size].encode("utf-8", "surrogateescape") for at in range(0, len(text), size)]
        for size in case.get("also_chunk_sizes", ())
    ]
    return [named, *by_characters]


def test_the_suite_has_its_140_cases(shared: Path) -> None:
    cases = json.loads((shared / "sse-cases.json").read_bytes())["sse_cases"]
    assert len({case["id"] for case in cases}) == 140
    assert [case["id"] for case in cases if "expand" in case] == [_LARGE]
    assert [case["id"] for case in cases if case.get("eof_pending_discarded")] == list(_PENDING)


@pytest.mark.parametrize("way", ["as named", "whole", "byte by byte"])
@pytest.mark.parametrize("case", _SMALL)
def test_every_case_gives_its_events_in_any_chunking(shared: Path, case: dict[str, Any], way: str) -> None:
    """In two cases a wrong content type must fail the connection (`connection_ok`). The parser sees no header, and
    Gemini's is unreliable (a recorded 404 has `text/event-stream`), so only the bytes of these cases are tested.
    """
    expected = case["expected"] if case.get("connection_ok", True) else [{"event": "message", "data": "data"}]
    for pieces in chunkings(case, way):
        reading = read(pieces)
        seen = [{"event": event.event, "data": event.data, "lastEventId": event.id} for event in reading.events]
        assert len(seen) == len(expected)
        assert seen == [{**event, **wanted} for event, wanted in zip(seen, expected, strict=True)]
        assert reading.pending == _PENDING.get(case["id"], [])
        if "expected_retry" in case:
            assert reading.retry == case["expected_retry"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "size"),
    [(10 * MIB, 20 * MIB), (10 * MIB, 5 * MIB), (10 * MIB, 1000), (MIB, 1)],
    ids=["whole", "two pieces", "small pieces", "byte by byte"],
)
def test_the_case_of_10_mib_passes_under_a_raised_cap(shared: Path, length: int, size: int) -> None:
    case = next(case for case in _CASES if case["id"] == _LARGE)
    opening, ending = (base64.b64decode(chunk) for chunk in case["chunks_b64"])
    text = base64.b64encode(random.Random(140).randbytes(length * 3 // 4))
    reading = read([opening, *sliced(text, size), ending], max_event_bytes=16 * MIB)
    assert [event._replace(data="") for event in reading.events] == [Event("message", "", "")]
    assert reading.events[0].data == text.decode() and not reading.pending


# ---- Any chunking


@pytest.mark.parametrize("stream", _TEN_STREAMS, ids=lambda path: Path(path).name)
def test_a_recorded_stream_cut_in_two_anywhere_gives_the_same_events(shared: Path, stream: str) -> None:
    data = (shared / "streams" / stream).read_bytes()
    computed = json.loads((shared / "streams" / "expected.json").read_bytes())[stream]["computed"]
    whole = read([data])
    assert len(whole.events + whole.pending) == computed.get(
        "events", 0
    )  # one stream has bare lines of JSON instead
    assert whole.events or whole.pending or whole.stray
    for at in range(len(data) + 1):
        assert read([data[:at], data[at:]]) == whole, f"cut at {at}"


_PIECES = [b"data:", b"data", b"event: a", b"id: 7", b"id", b"retry: 9", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n"]
_PIECES += [
    b"",
    b"\xef\xbb",
    b"\xbf",
    "末尾 \N{LINE SEPARATOR}".encode(),
    b"\xff",
    b"\0",
    b"da",
    b"ta: x",
    b'{"a": 1}',
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=2), max_size=30))
def test_any_stream_in_any_chunking_gives_the_same_events(pieces: list[bytes]) -> None:
    whole = read([b"".join(pieces)])
    assert read(pieces) == whole
    assert read(sliced(b"".join(pieces), 1)) == whole
    assert read(piece for byte in sliced(b"".join(pieces), 1) for piece in (byte, b"")) == whole


def test_an_empty_piece_between_cr_and_lf_makes_no_second_line_end() -> None:
    assert read([b"data: a\r", b"", b"\ndata: b\n\n"]).events == [Event("message", "a\nb", "")]


def test_an_event_is_returned_with_the_byte_that_ends_it() -> None:
    parser = EventStreamParser()
    came = [parser.feed(byte) for byte in sliced(b"data: a\r\r\ndata: b\n\n", 1)]
    assert [at for at, events in enumerate(came) if events] == [8, 18]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_one_byte_order_mark_is_dropped_at_the_start_and_nowhere_else(size: int) -> None:
    mark = b"\xef\xbb\xbf"
    assert data_of(read(sliced(mark + b"data: a\n\n" + mark + b"data: b\n\n", size)).events) == ["a"]
    assert data_of(read(sliced(mark + mark + b"data: a\n\ndata: b\n\n", size)).events) == ["b"]
    assert data_of(read(sliced(b"\n" + mark + b"data: a\n\ndata: b\n\n", size)).events) == ["b"]
    assert read(sliced(mark, size)) == Reading([], [], [], None)


# ---- Single fields


def test_the_end_of_the_stream_returns_an_unfinished_event() -> None:
    assert read([b"event: a\nid: 1\ndata: x\ndata: y"]).pending == [Event("a", "x\ny", "1")]
    assert read([b"data: x\n\nevent: a\n"]).pending == []
    parser = EventStreamParser()
    parser.feed(b"data: x")
    assert [parser.close(), parser.close()] == [[Event("message", "x", "")], []]


def test_invalid_utf_8_becomes_replacement_characters() -> None:
    bad = b"a\xffb \xe6\x9c\n"  # a byte that never occurs in UTF-8, and a character without its last byte
    fields = b"event: " + bad + b"id: " + bad + b"data: " + bad + b"\n"
    assert read([fields]).events == [Event(*["a\ufffdb \ufffd"] * 3)]


def test_of_a_repeated_field_the_last_one_counts_and_data_is_joined() -> None:
    fields = b"event: a\nid: 1\nretry: 1\ndata: 1\nevent: b\nid: 2\nretry: 2\ndata: 2\n\ndata: 3\n\n"
    reading = read([fields])
    assert reading.events == [Event("b", "1\n2", "2"), Event("message", "3", "2")] and reading.retry == 2


def test_an_id_with_a_nul_leaves_the_id_as_it_was() -> None:
    assert read([b"id: 7\nid: 8\0\ndata: x\n\n"]).events == [Event("message", "x", "7")]


@pytest.mark.parametrize(
    "value", [b"9" * 5000, b"-1", b"1.5", "٣".encode(), b""], ids=lambda value: value[:4].hex()
)
def test_a_bad_retry_delay_is_ignored(value: bytes) -> None:
    reading = read([b"retry: 20\nretry: " + value + b"\ndata: x\n\n"])
    assert reading.retry == 20 and data_of(reading.events) == ["x"]


# ---- Stray lines and caps


@pytest.mark.parametrize("size", [1, 1000])
def test_stray_lines_are_kept_in_order_with_the_number_of_events_before_them(size: int) -> None:
    stream = b'early\ndata: 1\n\n{\n  "error": 5\n: comment\ndata: 2\n}\n\nfoo: bar\nDATA\ndata: 3\n\nlast: \xff'
    assert read(sliced(stream, size)).stray == [
        StrayLine("early", 0),
        StrayLine("{", 1),
        StrayLine('  "error": 5', 1),
        StrayLine("}", 1),
        StrayLine("foo: bar", 2),
        StrayLine("DATA", 2),
        StrayLine("last: �", 3),
    ]


def test_stray_lines_are_kept_up_to_the_cap_and_not_beyond() -> None:
    kept = read([b"aaaa\nbbbbbb\ncccc\ndata: x\n\n"], max_stray_characters=10)
    assert [line.text for line in kept.stray] == ["aaaa", "bbbbbb"] and data_of(kept.events) == ["x"]
    assert read([b"aaaaa\n"], max_stray_characters=4).stray == []
    by_default = read([b"a" * 1000 + b"\n"] * 1000).stray
    assert (
        sum(len(line.text) for line in by_default) <= 256 * 1024 < sum(len(line.text) for line in by_default) + 1000
    )


_TOO_LARGE = {
    "one line": b"data: " + b"x" * 995,
    "one ended line": b"data: " + b"x" * 995 + b"\n\n",
    "many lines": b"data: " + b"x" * 9 + b"\n" + b"data: 123456789\n" * 100,
    "empty lines": b"data\n" * 1001,
    "a comment": b":" + b"x" * 1000,
    "an event name": b"event: " + b"x" * 1000,
}


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("stream", _TOO_LARGE.values(), ids=_TOO_LARGE)
def test_an_event_beyond_the_cap_is_an_error_in_any_chunking(stream: bytes, size: int) -> None:
    parser = EventStreamParser(max_event_bytes=1000)
    with pytest.raises(EventTooLarge, match="one event exceeds 1000 bytes"):
        for piece in sliced(stream, size):
            parser.feed(piece)


def test_events_before_one_beyond_the_cap_are_returned_first() -> None:
    for more in (b"", b"\n\ndata: late\n\n"):
        parser = EventStreamParser(max_event_bytes=10)
        assert data_of(parser.feed(b"data: x\n\ndata: 12345" + more)) == ["x"]
        with pytest.raises(EventTooLarge):
            parser.close()
        with pytest.raises(EventTooLarge):
            parser.feed(b"\n\ndata: late\n\n")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_any_number_of_events_up_to_the_cap_pass(size: int) -> None:
    stream = b"data: " + b"x" * 994 + b"\n\n" + (b"data: 123\n" * 100 + b"\n") * 3 + b": comment\n" * 500
    assert [len(data) for data in data_of(read(sliced(stream, size), max_event_bytes=1000).events)] == [994] + [
        399
    ] * 3


@pytest.mark.parametrize("size", [4096, 8 * MIB])
def test_the_cap_is_4_mib_unless_set(size: int) -> None:
    largest = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
    assert len(largest) == 4 * MIB and data_of(read(sliced(largest, size)).pending) == ["x" * (4 * MIB - 6)]
    with pytest.raises(EventTooLarge):
        read(sliced(largest + b"x", size))
    assert len(read(sliced(largest + b"x", size), max_event_bytes=5 * MIB).pending) == 1


# ---- Cost


@pytest.mark.untraced
@pytest.mark.slow
def test_a_line_of_64_mib_costs_at_most_1_5_times_as_much_per_byte_as_one_of_1_mib() -> None:
    """Equal numbers of bytes, in turns: so other work of the machine affects both. A parser that reads old bytes
    again would need hours, so the long line has a deadline.
    """
    piece = b"x" * 64

    def seconds(mebibytes: int, deadline: float) -> float:
        parser = EventStreamParser(max_event_bytes=65 * MIB)
        begun = time.process_time()
        parser.feed(b"data: ")
        for _ in range(mebibytes):
            for _ in range(MIB // len(piece)):
                parser.feed(piece)
            assert time.process_time() - begun < deadline, "the cost grows with the length of the line so far"
        (event,) = parser.feed(b"\n\n")
        taken = time.process_time() - begun
        assert len(event.data) == mebibytes * MIB
        return taken

    def of_64_mebibytes() -> tuple[float, float]:
        short = sum(seconds(1, 60) for _ in range(64))
        return short, seconds(64, 5 * short)

    assert_usual_ratio(1.5, of_64_mebibytes, least=3)
