"""The OpenAI-compatible dialect: the request; every recorded stream whole, byte by byte and cut at every offset;
other servers' ways as generated streams; thoughts; endings; errors in the stream; the list of models.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Soak
from fakes.openai import DONE, chunk, event, recorded
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.conversation import GenerationOptions, Message, Question
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.errors import (
    ApplianceError,
    ContextExceeded,
    OwnerError,
    RequestRefused,
    UnknownModel,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamUnreadable,
)
from kindle_appliance.upstream.dialect import OptionError
from kindle_appliance.upstream.openai import OpenAI, OpenAIReader
from kindle_appliance.upstream.reader import is_blank
from kindle_appliance.upstream.sse import MAX_EVENT_BYTES

ASKED = "model-asked"
SERVER = "pc.local:8080"


def _load() -> Any:
    """The names of tests. Without the folder, the fixture `shared` skips these tests, or fails them in CI."""
    file = ROOT.parent / "shared" / "openai-streams" / "expected.json"
    return json.loads(file.read_bytes()) if file.is_file() else {"absent/absent": {}}


_STREAMS: dict[str, Any] = _load()
every_stream = pytest.mark.parametrize(
    "stream", _STREAMS, ids=lambda path: f"{path.partition('/')[0]}/{Path(path).name.partition('.')[0]}"
)


def read(
    pieces: Iterable[bytes], *, cut: bool = False, max_event_bytes: int = MAX_EVENT_BYTES
) -> tuple[str, Ending, OpenAIReader]:
    reader = OpenAIReader(SERVER, ASKED, max_event_bytes=max_event_bytes)
    text = "".join([reader.feed(piece) for piece in pieces])
    last, ending = reader.close(cut=cut)
    return text + last, ending, reader


def ways(data: bytes) -> list[list[bytes]]:
    """Whole, in odd pieces, byte by byte."""
    return [[data[at : at + size] for at in range(0, len(data), size)] for size in (len(data) or 1, 7, 1)]


# ---- The request


def body(options: GenerationOptions, server: str = SERVER) -> dict[str, Any]:
    question = Question("Why?", (Message("user", "Hm"), Message("model", "Hm.\n")), "Be short.")
    asked: dict[str, Any] = json.loads(OpenAI(server).request("qwen3:8b", question, options, "key").body)
    return asked


def test_a_request_carries_the_conversation_and_has_its_key_in_a_header_only() -> None:
    asked = OpenAI(SERVER).request("qwen3:8b", Question("末 “why”?"), GenerationOptions(), "sk-secret")
    assert asked.path == "/chat/completions"
    assert asked.headers == {"Content-Type": "application/json", "Authorization": "Bearer sk-secret"}
    assert json.loads(asked.body) == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "末 “why”?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "secret" not in f"{asked!r} {asked} {asked.path} {asked.body!r}"
    assert "Authorization" not in OpenAI(SERVER).request("m", Question("?"), GenerationOptions(), "").headers
    assert body(GenerationOptions())["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hm"},
        {"role": "assistant", "content": "Hm.\n"},
        {"role": "user", "content": "Why?"},
    ]


@pytest.mark.parametrize(
    ("options", "server", "sent"),
    [
        (GenerationOptions(), SERVER, {"stream_options": {"include_usage": True}}),
        (GenerationOptions(temperature=0.0), "api.mistral.ai", {"temperature": 0.0}),
        (
            GenerationOptions(max_output_tokens=900, thinking_level="low"),
            SERVER,
            {"stream_options": {"include_usage": True}, "max_tokens": 900, "reasoning_effort": "low"},
        ),
        (
            GenerationOptions(max_output_tokens=900),
            "api.openai.com",
            {"stream_options": {"include_usage": True}, "max_completion_tokens": 900},
        ),
    ],
    ids=["nothing", "temperature, at Mistral", "length and level", "length, at OpenAI"],
)
def test_only_what_is_set_is_sent(options: GenerationOptions, server: str, sent: dict[str, Any]) -> None:
    asked = body(options, server)
    assert {name: asked[name] for name in asked if name not in ("model", "messages", "stream")} == sent


def test_a_budget_for_thinking_is_no_option_of_these_servers() -> None:
    with pytest.raises(OptionError) as refused:
        OpenAI(SERVER).check_options(GenerationOptions(thinking_budget=5))
    assert refused.value.options == ("thinking_budget",)
    OpenAI(SERVER).check_options(GenerationOptions(1.0, 5, "high"))


# ---- The recorded streams


@dataclass(frozen=True)
class Heard:
    """The content of a stream's complete documents, read in the simplest way."""

    text: str = ""
    reason: str = ""
    error: bool = False
    tokens: int = 0
    model: str = ""

    def then(self, document: Any) -> Heard:
        choice = (document.get("choices") or [{}])[0]
        content = choice.get("delta", {}).get("content") or ""
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part["type"] == "text")
        return Heard(
            self.text + content,
            choice.get("finish_reason") or self.reason,
            self.error or "error" in document,
            (document.get("usage") or {}).get("total_tokens", self.tokens),
            document.get("model") or self.model,
        )

    def finish(self, *, cut: bool) -> Finish:
        if self.reason in ("stop", "length"):
            kind = Finish.COMPLETE if self.reason == "stop" else Finish.LENGTH
            return kind if self.text else Finish.FAILED
        if self.reason:
            return Finish.FAILED
        return Finish.INTERRUPTED if self.text or (cut and not self.error) else Finish.FAILED


def heard_at_every_offset(data: bytes) -> Iterator[Heard]:
    """The content of data[:0], data[:1] ... In the recordings an event is one line."""
    before, start = Heard(), 0
    for offset in range(len(data) + 1):
        line = data[start:offset]
        try:
            heard = before.then(json.loads(line.removeprefix(b"data:")))
        except (ValueError, AttributeError):
            heard = before
        yield heard
        if line.endswith(b"\n"):
            before, start = heard, offset


@every_stream
def test_a_recorded_stream_gives_the_expected_answer_whole_and_byte_by_byte(shared: Path, stream: str) -> None:
    data, expected = recorded(shared, stream), _STREAMS[stream]
    heard = Heard(expected["text"], expected["last_finish_reason"] or "", bool(expected["error"]))
    ends = []
    for pieces in (*ways(data), *ways(data.replace(b"\n", b"\r\n")), [data.rstrip()], [data + DONE]):
        text, ending, reader = read(pieces)
        assert text == expected["text"]
        assert ending.finish is heard.finish(cut=False)
        assert (ending.note is None) == (ending.finish is Finish.COMPLETE)
        assert (ending.tokens, ending.model) == (expected["total_tokens"] or 0, expected["model"])
        if expected["error"]:
            assert reader.error is not None and expected["error"]["message"] in reader.error.detail
        else:
            assert reader.error is None
        assert reader.progress > 0 or not (expected["text"] or expected["thought_characters"])
        ends.append(ending)
    assert all(ending == ends[0] for ending in ends)


@pytest.mark.slow
@every_stream
def test_a_recorded_stream_cut_anywhere_keeps_the_text_of_its_complete_events(
    shared: Path, soak: Soak, stream: str
) -> None:
    """Fed byte by byte. After each byte, a copy of the reader is closed as cut; of a long stream, outside of
    `make soak`, after each byte around the ends of lines, and elsewhere after each eighth.
    """
    data, whole = recorded(shared, stream), _STREAMS[stream]["text"]
    reader = OpenAIReader(SERVER, ASKED)
    text, every = "", 1 if len(data) < 8000 else soak(8, full=1)
    for offset, heard in enumerate(heard_at_every_offset(data)):
        text += reader.feed(data[offset - 1 : offset]) if offset else ""
        if offset % every and b"\n" not in data[max(offset - 8, 0) : offset + 8]:
            continue
        last, ending = pickle.loads(pickle.dumps(reader)).close(cut=True)  # much faster than a deepcopy
        assert text + last == heard.text and whole.startswith(heard.text), f"cut at {offset}"
        assert ending.finish is heard.finish(cut=True), f"cut at {offset}"
        assert (ending.tokens, ending.model) == (heard.tokens, heard.model or ASKED), f"cut at {offset}"
    assert heard.text == whole


# ---- Other servers' ways, generated


WORDS = st.text(st.sampled_from('ab 末é😊<>/[]{}"\\\n:'), max_size=12)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
NOTHING: list[Any] = [None, {}, {"content": None}, {"content": ""}, {"role": "assistant"}, {"content": []}]
AROUND: list[Any] = [
    {},
    {"system_fingerprint": None, "obfuscation": "x", "logprobs": None, "service_tier": "default"},
    {"provider": "X", "x_groq": {"id": "req"}, "usage": None, "timings": {"predicted_n": 1}},
    {"prompt_filter_results": [{"prompt_index": 0}], "citations": ["https://a.invalid"], "nvext": {"error": None}},
]


def documents(draw: st.DrawFn, words: list[str], finish: str | None) -> Iterator[dict[str, Any]]:
    """The chunks of an answer of these words, in ways that the recordings do not have."""

    def document(delta: object, **choice: object) -> dict[str, Any]:
        inner = {"index": 0, "delta": delta, "finish_reason": draw(st.sampled_from([None, ""])), **choice}
        inner |= draw(st.sampled_from([{}, {"logprobs": None}, {"content_filter_results": {"hate": {}}}]))
        order = draw(st.permutations(list(inner)))
        return {**draw(st.sampled_from(AROUND)), "choices": [{name: inner[name] for name in order}], "model": "m"}

    def thought() -> dict[str, Any]:
        said = draw(WORDS)
        return draw(
            st.sampled_from(
                [
                    {"reasoning": said, "content": ""},
                    {"reasoning_content": said, "content": None},
                    {"reasoning": said, "reasoning_content": said, "reasoning_details": [{"text": said}]},
                    {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": said}]}]},
                ]
            )
        )

    def between() -> Iterator[dict[str, Any]]:
        kind = draw(st.sampled_from(["none", "none", "nothing", "thought", "no choices", "no delta"]))
        if kind == "nothing":
            yield document(draw(st.sampled_from(NOTHING)))
        elif kind == "thought":
            yield document(thought())
        elif kind == "no choices":
            yield {**draw(st.sampled_from(AROUND)), "choices": draw(st.sampled_from([[], None])), "model": ""}
        elif kind == "no delta":
            yield {"choices": [{"index": 0, "finish_reason": None}]}

    for number, word in enumerate(words):
        yield from between()
        delta: dict[str, Any] = {"content": word}
        if draw(st.booleans()):
            delta = {"content": [{"type": "text", "text": word}]}
        delta |= draw(st.sampled_from([{}, {"role": "assistant"}, {"reasoning": None}, {"tool_calls": None}]))
        is_last = finish is not None and number == len(words) - 1
        yield document(delta, **({"finish_reason": finish} if is_last and draw(st.booleans()) else {}))
    yield from between()
    if finish is not None:
        yield document(draw(st.sampled_from(NOTHING)), finish_reason=finish)
    yield {"choices": draw(st.sampled_from([[], [{"index": 0, "delta": {}}]])), "usage": USAGE}


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], str, str | None]:
    """A stream in pieces, its text, and its finish reason."""
    finish = draw(st.sampled_from(["stop", "length", "content_filter", "tool_calls", "something_new", None]))
    words = draw(st.lists(WORDS, max_size=5))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines: list[str] = []
    for document in documents(draw, words, finish):
        lines += draw(st.sampled_from([[], [": keep-alive", ""], [":", ""], ["event: message"], ["id: 1"]]))
        space = draw(st.sampled_from(["", " "]))
        lines += [f"data:{space}{json.dumps(document, ensure_ascii=draw(st.booleans()))}", ""]
    lines += draw(st.sampled_from([["data: [DONE]", ""], ["data: [DONE]"], []]))
    text = end.join(lines) + draw(st.sampled_from(["", end, end + end]))
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:stop] for start, stop in pairwise([0, *cuts, len(data)])]
    return pieces, "".join(words), finish


@given(streams())
def test_an_answer_in_any_servers_way_gives_its_text_and_one_ending(
    stream: tuple[list[bytes], str, str | None],
) -> None:
    pieces, words, finish = stream
    text, ending, reader = read(pieces)
    visible = words if any(not is_blank(each) for each in words) else ""
    if finish is None and any(tag.startswith(words.lstrip()) for pair in TAGS for tag in pair):
        visible = ""  # the begin of a tag, perhaps: nothing is lost by asking another model
    assert text == visible
    if finish is None:
        assert ending.finish is (Finish.INTERRUPTED if visible else Finish.FAILED)
    elif finish == "content_filter":
        assert ending.finish is Finish.BLOCKED
    else:
        kinds = {"stop": Finish.COMPLETE, "length": Finish.LENGTH}
        assert ending.finish is (kinds.get(finish, Finish.FAILED) if visible else Finish.FAILED)
    assert (ending.tokens, reader.error) == (7, None)
    assert read([b"".join(pieces)])[:2] == (text, ending), "however it is cut"


# ---- Thoughts inside the text


def said(*contents: str, finish: str | None = "stop") -> bytes:
    return b"".join([*map(chunk, contents), chunk(None, finish) if finish else b"", DONE])


TAGS = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
]

INSIDE: dict[str, tuple[str, str]] = {
    "thoughts, then text": ("<think>Hm.</think>Because.", "Because."),
    "empty thoughts": ("<think>\n\n</think>\n\nBecause.", "Because."),
    "blank text before": ("\n \ufeff<think>Hm.</think> Because.", " Because."),
    "indented text after": ("<think>Hm.</think>\n\n    code", "    code"),
    "twice": ("<think>Hm.</think>\n<think>Hm!</think>\nBecause.", "Because."),
    "a tag in thoughts": ("<think>a <think> < </thin b</think>Because.", "Because."),
    "an end without a begin": ("\n</think>\n\nBecause.", "Because."),
    "a tag in the text": ("Use <think>this</think>.", "Use <think>this</think>."),
    "a tag in quotes": ("`<think>` begins thoughts.", "`<think>` begins thoughts."),
    "a tag after thoughts and text": ("<think>Hm.</think>A <think>b</think>", "A <think>b</think>"),
    "other tags": ("<b>Bold</b>", "<b>Bold</b>"),
    "a longer tag": ("<thinking>is a tag", "<thinking>is a tag"),
    "a shorter tag": ("<thin> ice", "<thin> ice"),
    "the begin of a tag": ("<thi", "<thi"),
    "a sign": ("<", "<"),
    "blank text and a sign": ("\n  <", "\n  <"),
    "a list": ("[THIS] and [THAT]", "[THIS] and [THAT]"),
    "smaller": ("< 5, since 3 < 5", "< 5, since 3 < 5"),
    "a heart": ("<3", "<3"),
}


@pytest.mark.parametrize(("content", "text"), INSIDE.values(), ids=INSIDE)
def test_thoughts_at_the_start_of_the_text_are_left_out_wherever_it_is_cut(content: str, text: str) -> None:
    for at in range(len(content) + 1):
        for other in range(at, len(content) + 1, 5):
            heard, ending, _ = read([said(content[:at], content[at:other], content[other:])])
            assert (heard, ending.finish) == (text, Finish.COMPLETE)
    assert read([said(*content)])[0] == text


@pytest.mark.parametrize(("opened", "closed"), TAGS)
def test_each_models_tags_are_known(opened: str, closed: str) -> None:
    assert read([said(*f"{opened}Hm. {closed[:-1]} Hm.{closed}\nBecause.")])[0] == "Because."
    assert read([said(*f"{opened}Hm. {closed[:-1]} Hm.")])[0] == ""


@pytest.mark.parametrize(
    "content", ["<think>Hm. Why?", "\n<think>", "<think>Hm.</think>", "<think>Hm.</think>\n\n"]
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_thoughts_without_an_answer_are_a_failure_without_text(content: str, finish: str) -> None:
    text, ending, _ = read([said(*content, finish=finish)])
    assert (text, ending.finish) == ("", Finish.FAILED)
    assert ("no room was left" in str(ending.note)) == (finish == "length")


@pytest.mark.parametrize("at", range(len("<think>Hm.</think>Because.") + 1))
def test_a_cut_among_thoughts_shows_nothing_of_them(at: int) -> None:
    """Not even the begin of their tag."""
    content = "<think>Hm.</think>Because."[:at]
    text, ending, _ = read([b"".join(map(chunk, content))], cut=True)
    assert text == content.partition("</think>")[2]
    assert ending.finish is Finish.INTERRUPTED


@given(
    st.text(st.sampled_from("<>/thinkgTHINK[]◁▷ \n\ufeffa"), max_size=30), st.lists(st.integers(0, 30), max_size=6)
)
def test_text_that_begins_with_no_tag_is_never_lost(content: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    text, _, _ = read([said(*(content[start:stop] for start, stop in pairwise(bounds)))])
    begin = content.lstrip(" \n\ufeff")
    if not begin.startswith(tuple(tag for pair in TAGS for tag in pair)):
        assert text == (content if begin else "")


# ---- Progress


def test_thoughts_of_every_form_and_counted_tokens_are_progress() -> None:
    reader = OpenAIReader(SERVER, ASKED)
    for data in (
        chunk(None, reasoning="Hm."),
        chunk("", reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]),
        chunk([{"type": "thinking", "thinking": []}]),
        event({"choices": [{"delta": {"reasoning": "Hm."}}]}),
        chunk(None, usage={"total_tokens": 5}),
        chunk("<think>"),
        chunk("Hm."),
        chunk("</think>Because."),
    ):
        before = reader.progress
        reader.feed(data)
        assert reader.progress > before, data


def test_what_says_nothing_is_no_progress() -> None:
    reader = OpenAIReader(SERVER, ASKED)
    for data in (
        b": OPENROUTER PROCESSING\n\n",
        chunk(None, role="assistant"),
        chunk("", reasoning=""),
        chunk("\n"),
        chunk(None, usage={"total_tokens": 0}),
        event({"choices": [], "usage": None}),
    ):
        reader.feed(data)
        assert reader.progress == 0, data


# ---- How answers end


@pytest.mark.parametrize(
    ("reason", "with_text", "without"),
    [
        ("stop", Finish.COMPLETE, Finish.FAILED),
        ("eos", Finish.COMPLETE, Finish.FAILED),
        ("length", Finish.LENGTH, Finish.FAILED),
        ("content_filter", Finish.BLOCKED, Finish.BLOCKED),
        ("tool_calls", Finish.FAILED, Finish.FAILED),
        ("function_call", Finish.FAILED, Finish.FAILED),
        ("something_of_2030", Finish.FAILED, Finish.FAILED),
        ("", Finish.INTERRUPTED, Finish.FAILED),
    ],
)
def test_each_finish_reason_ends_the_answer_as_it_should(reason: str, with_text: Finish, without: Finish) -> None:
    for text, finish in (("Be", with_text), ("", without)):
        heard, ending, reader = read([chunk(text) + chunk(None, reason) + DONE])
        assert (heard, ending.finish, reader.error) == (text, finish, None)
        assert (ending.note is None) == (finish is Finish.COMPLETE)
        assert read([chunk(text, reason)], cut=True)[1].finish is finish or not reason
    assert (reason in str(ending.note)) == (reason in ("content_filter", ""))


def test_an_answer_that_is_not_streamed_is_read_all_the_same() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Because."}, "finish_reason": "stop"}
    whole = {"object": "chat.completion", "model": "m", "usage": USAGE, "choices": [choice]}
    for pieces in ways(json.dumps(whole, indent=1).encode()):
        text, ending, _ = read(pieces)
        assert (text, ending.finish, ending.tokens) == ("Because.", Finish.COMPLETE, 7)


def test_what_a_model_declines_in_words_is_its_answer() -> None:
    assert read([chunk(None, refusal="I cannot.") + chunk(None, "stop")])[0] == "I cannot."


# ---- Errors in the stream

WRONG = {"message": "Provider disconnected", "code": 502}
ERRORS: dict[str, tuple[bytes, type[ApplianceError]]] = {
    "as a field": (event({"error": WRONG}), UpstreamError),
    "as a field, with a finish reason": (
        event({"error": WRONG, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}),
        UpstreamError,
    ),
    "as text": (event({"error": "the model has crashed"}), UpstreamError),
    "as an event": (b"event: error\n" + event({"error": WRONG}), UpstreamError),
    "as an event of another shape": (b"event: error\n" + event({"message": "overloaded", "code": 429}),
                                     UpstreamRateLimited),
    "as a field, with a status of its own": (
        event({"error": {"message": "no such model", "type": "x", "http_status_code": 404}}), UnknownModel
    ),
    "as an event of text": (b"event: error\ndata: the model has crashed\n\n", UpstreamError),
    "as a document": (b'{"error": "Unexpected endpoint or method. (POST /chat)", "code": 404}', UnknownModel),
    "as an object": (event({"object": "error", "message": "The prompt is too long", "code": 400}), ContextExceeded),
    "of the context": (
        event({"error": {"message": "Trying to keep the first 9 tokens when context the overflows. However, the"
                         " model is loaded with context length of only 8 tokens, which is not enough."}}),
        ContextExceeded,
    ),
    "of the model": (event({"error": {"message": "No models loaded. Please load a model."}}), UnknownModel),
    "of the key": (event({"error": {"message": "Invalid API Key", "code": "401"}}), OwnerError),
    "of the request": (event({"error": {"message": "no", "type": "invalid_request_error"}}), RequestRefused),
}  # fmt: skip


@pytest.mark.parametrize(("error", "kind"), ERRORS.values(), ids=ERRORS)
def test_an_error_in_the_stream_has_its_meaning_and_keeps_the_text(
    error: bytes, kind: type[ApplianceError]
) -> None:
    for after in (b"", DONE):
        for pieces in ways(error + after):
            text, ending, reader = read(pieces)
            assert (text, ending.finish, type(reader.error)) == ("", Finish.FAILED, kind)
            assert reader.error is not None and ending.note == reader.error.sentence
        text, ending, reader = read([chunk("Be"), error + after])
        assert (text, ending.finish, type(reader.error)) == ("Be", Finish.INTERRUPTED, kind)
    assert read([chunk("Be", "stop"), error])[1].finish is Finish.COMPLETE, "its end has come before"


def test_an_end_without_a_finish_reason_is_interrupted_even_with_the_end_mark() -> None:
    """So Ollama ends after an error, whose chunk its own layer has emptied."""
    empty = event({"id": "", "object": "chat.completion.chunk", "model": "", "choices": [{"delta": {}}]})
    for end in (b"", empty, DONE, empty + DONE, b"data: [DONE]", b"data: [DONE] \r\n\r\n"):
        text, ending, reader = read([chunk("Be"), end])
        assert (text, ending.finish, reader.error) == ("Be", Finish.INTERRUPTED, None)
        assert "sent no answer" in str(read([end])[1].note)


def test_an_empty_error_is_none() -> None:
    empty: tuple[Any, ...] = (None, "", {})
    for nothing in empty:
        assert read([event({"error": nothing, "choices": [{"delta": {"content": "Be"}}]})])[0] == "Be"


def test_another_dialect_is_unreadable() -> None:
    gemini = event({"candidates": [{"content": {"parts": [{"text": "Be"}]}}]})
    text, ending, _ = read([gemini])
    assert (text, ending.finish) == ("", Finish.FAILED)
    assert ending.note == UpstreamUnreadable.describe(SERVER)


def test_an_event_beyond_the_cap_fails_and_keeps_the_text() -> None:
    text, ending, reader = read([chunk("Be"), chunk("x" * 2000)], max_event_bytes=1000)
    assert (text, ending.finish, type(reader.error)) == ("Be", Finish.INTERRUPTED, UpstreamUnreadable)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "finish_reason",
                    "usage",
                    "total_tokens",
                    "error",
                    "message",
                    "model",
                    "type",
                    "text",
                    "reasoning",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)


@given(st.lists(ANY_JSON, max_size=4), st.booleans())
def test_whatever_comes_is_text_and_one_ending(chunks: list[Any], cut: bool) -> None:
    text, ending, reader = read([event(each) for each in chunks], cut=cut)
    assert reader.has_text == bool(text)
    assert (ending.note is None) == (ending.finish is Finish.COMPLETE)
    assert text or ending.finish not in (Finish.COMPLETE, Finish.LENGTH)
    assert f"{text} {ending.model} {ending.note}".encode(), "half a character, which no encoding has"


# ---- The list of models


LISTS: dict[str, tuple[object, dict[str, int | None]]] = {
    "llama.cpp": (
        {"object": "list", "models": [{"name": "a"}], "data": [
            {"id": "/models/a.gguf", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}]},
        {"/models/a.gguf": 2048},
    ),
    "vLLM": ({"data": [{"id": "a", "max_model_len": 4096}]}, {"a": 4096}),
    "OpenRouter": (
        {"data": [
            {"id": "a/b:free", "context_length": 131_072, "architecture": {"output_modalities": ["text"]}},
            {"id": "a/image", "context_length": 9, "architecture": {"output_modalities": ["image"]}},
        ]},
        {"a/b:free": 131_072},
    ),
    "Groq": ({"data": [{"id": "a", "context_window": 8192, "active": True}]}, {"a": 8192}),
    "Together": ([{"id": "a", "type": "chat", "context_length": 4096}, {"id": "b", "type": "image"}], {"a": 4096}),
    "Mistral": (
        {"data": [
            {"id": "a", "max_context_length": 32_768, "capabilities": {"completion_chat": True}},
            {"id": "b", "max_context_length": 8192, "capabilities": {"completion_chat": False}},
        ]},
        {"a": 32_768},
    ),
    "LM Studio": (
        {"data": [
            {"id": "a", "type": "llm", "max_context_length": 131_072, "loaded_context_length": 4096},
            {"id": "text-embedding-nomic"},
        ]},
        {"a": 4096},
    ),
    "Ollama": ({"object": "list", "data": [{"id": "qwen3:8b", "owned_by": "library"}]}, {"qwen3:8b": None}),
    "Ollama without models": ({"object": "list", "data": None}, {}),
    "odd entries": (
        {"data": [1, {}, {"id": None}, {"id": "a", "meta": 1},
                  {"id": "b", "context_length": "9"}, {"id": "c", "context_length": -1},
                  {"id": "d", "context_length": 0, "context_window": 512}, {"id": "e", "context_length": True}]},
        {"a": None, "b": None, "c": None, "d": 512, "e": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("listed", "models"), LISTS.values(), ids=LISTS)
def test_a_list_of_models_gives_names_and_the_context_sizes_that_are_told(
    listed: object, models: dict[str, int | None]
) -> None:
    assert OpenAI(SERVER).read_catalogue(json.dumps(listed).encode()) == models


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"data": 1}', b'{"data": null}', b'"a"', b'{"error": "x"}']
)
def test_anything_else_is_no_list_of_models(body: bytes) -> None:
    with pytest.raises(UpstreamUnreadable):
        OpenAI(SERVER).read_catalogue(body)


@given(ANY_JSON)
def test_any_list_is_read_or_is_unreadable(listed: Any) -> None:
    inner = {"meta": listed, "capabilities": listed, "architecture": {"output_modalities": listed}}
    for body in (listed, {"data": listed}, {"data": [{"id": "a", **inner}]}):
        try:
            models = OpenAI(SERVER).read_catalogue(json.dumps(body).encode())
        except UpstreamUnreadable:
            continue
        assert all(isinstance(name, str) and name for name in models)
