"""The OpenAI-compatible dialect, as model servers at home and outside speak it. No I/O.

Sources: https://github.com/ggml-org/llama.cpp/tree/master/tools/server,
https://docs.ollama.com/api/openai-compatibility and
https://platform.openai.com/docs/api-reference/chat-streaming (read 2026-11) for request, chunk and finish reasons;
recorded streams of eleven providers for what is not written there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..clock import Clock, now
from ..conversation import GenerationOptions, Question
from ..ending import Finish
from ..errors import ApplianceError, UpstreamUnreadable
from .dialect import OptionError, Request
from .openai_refusals import refusal, reported_error
from .reader import AnswerReader, document_of, name_of, text_of
from .sse import MAX_EVENT_BYTES, Event
from .thoughts import Thoughts

_WITHOUT_STREAM_OPTIONS = ("api.mistral.ai",)
"""Servers that refuse this field (422, "Extra inputs are not permitted"), and tell the usage without it."""
_LENGTH_FIELDS = {"api.openai.com": "max_completion_tokens"}
"""Where the greatest length has another name: newer models there refuse `max_tokens`, other servers the newer name
(Mistral's API, LiteLLM issue 9583).
"""
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Fields with thoughts, beside the text: of DeepSeek, llama.cpp and xAI; of Ollama, Groq and OpenRouter; of
OpenRouter, where they are encrypted; of relays.
"""
_CONTEXTS = ("loaded_context_length", "max_model_len", "context_length", "context_window", "max_context_length")
"""Fields with the context size: LM Studio, vLLM, OpenRouter and Together, Groq, Mistral. llama.cpp has
`meta.n_ctx`; what its model was trained with (`n_ctx_train`) is not what the server has room for.
"""
_OTHER_TYPES = ("embedding", "embeddings", "image", "rerank", "moderation", "audio", "transcribe", "video")


class OpenAI:
    """The dialect, for `Rung`. `provider`: what the server is called in sentences; `path`: that of its base URL."""

    has_aliases = False  # OpenRouter has a model that stands for any free one
    unknown_seconds = 0.0  # its owner may be adding the model at this moment

    def __init__(self, provider: str, clock: Clock = now) -> None:
        self.provider = provider
        self._clock = clock

    def check_options(self, options: GenerationOptions) -> None:
        if options.thinking_budget is not None:
            raise OptionError("no such server knows that. Allowed is thinking_level.", "thinking_budget")

    def with_defaults(self, model: str, options: GenerationOptions) -> GenerationOptions:
        return options

    def request(self, model: str, question: Question, options: GenerationOptions, key: str) -> Request:
        roles = {"user": "user", "model": "assistant"}
        messages = [{"role": roles[each.role], "content": each.text} for each in question.messages]
        if question.instruction:
            messages.insert(0, {"role": "system", "content": question.instruction})
        body: dict[str, Any] = {"model": model, "messages": messages}
        if options.max_output_tokens is not None:
            body[self._length_field] = options.max_output_tokens
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.thinking_level is not None:
            # llama.cpp knows "none" since 2026-07 (pull request 26045).
            body["reasoning_effort"] = options.thinking_level
        return self._request(body, key)

    def trial(self, model: str, key: str) -> Request:
        """One token, thoughts included: the answer has most likely no text."""
        messages = [{"role": "user", "content": "Hi"}]
        return self._request({"model": model, "messages": messages, self._length_field: 1}, key)

    def reader(self, model: str) -> OpenAIReader:
        return OpenAIReader(self.provider, model, clock=self._clock)

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
        return refusal(self.provider, status, headers, body, self._clock)

    def catalogue_request(self, key: str) -> Request:
        return Request("/models", _headers(key), b"")

    def read_catalogue(self, body: bytes) -> dict[str, int | None]:
        """Most servers list a `data`; it is null at an Ollama without models. Together lists the models alone."""
        document = document_of(body)
        models = document
        if isinstance(document, dict):
            models = document.get("data", ...)
            models = [] if models is None and document.get("object") == "list" else models
        if not isinstance(models, list):
            raise UpstreamUnreadable(self.provider, "no list of models")
        return dict(filter(None, map(_listed, models)))

    def _request(self, body: dict[str, Any], key: str) -> Request:
        streamed = {**body, "stream": True}
        if self.provider not in _WITHOUT_STREAM_OPTIONS:
            streamed["stream_options"] = {"include_usage": True}
        return Request("/chat/completions", _headers(key), json.dumps(streamed).encode())

    @property
    def _length_field(self) -> str:
        return _LENGTH_FIELDS.get(self.provider, "max_tokens")


class OpenAIReader(AnswerReader):
    """The body of one 200 response. Servers report an error as a field of a chunk (OpenRouter, vLLM), as an event
    of that name (Groq, LM Studio), or only by an end without a finish reason (Ollama).
    """

    ordinary_ends: ClassVar = {
        "stop": Finish.COMPLETE,
        "eos": Finish.COMPLETE,  # Together
        "length": Finish.LENGTH,
        "model_length": Finish.LENGTH,  # Mistral: of question and answer together
    }
    end_mark: ClassVar = "[DONE]"

    def __init__(
        self, provider: str, model: str, *, clock: Clock = now, max_event_bytes: int = MAX_EVENT_BYTES
    ) -> None:
        super().__init__(provider, model, max_event_bytes)
        self._clock = clock
        self._thoughts = Thoughts()

    def is_block(self, reason: str) -> bool:
        return reason in ("content_filter", "sensitive")  # the latter: Z.ai

    def take_event(self, event: Event) -> str:
        if event.event != "error":
            return super().take_event(event)
        document = document_of(event.data)
        self._report(event.data if document is None else document)
        return ""

    def take_chunk(self, chunk: Mapping[str, Any]) -> str | None:
        is_error = bool(chunk.get("error")) or chunk.get("object") == "error"
        if not is_error and not chunk.keys() & {"choices", "usage"}:
            return None
        self.model = name_of(chunk.get("model")) or self.model
        self._count(chunk.get("usage"))
        if is_error:
            self._report(chunk)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        if not is_error:  # else its finish reason is "error", or none
            self.finish(name_of(choice.get("finish_reason")))
        delta = choice.get("delta", choice.get("message"))  # the latter: an answer that is not streamed at all
        return self._take_delta(delta) if isinstance(delta, dict) else ""

    def last_text(self) -> str:
        return self._thoughts.close(is_whole=self.has_ended)

    def _take_delta(self, delta: Mapping[str, Any]) -> str:
        if any(delta.get(field) for field in _THOUGHTS):
            self.progress += 1
        texts = []
        for part in _parts(delta.get("content")):
            if part is None:
                self.progress += 1
            else:
                texts.append(self._thoughts.feed(part))
                self.progress += self._thoughts.are_open
        return "".join([*texts, text_of(delta.get("refusal"))])

    def _count(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        total = usage.get("total_tokens")
        parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        known = [part for part in parts if isinstance(part, int)]
        self.count(sum(known) if total is None and len(known) == len(parts) else total)

    def _report(self, document: object) -> None:
        self.fail(reported_error(self.provider, document, self._clock))


def _headers(key: str) -> dict[str, str]:
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


def _parts(content: object) -> Iterator[str | None]:
    """The pieces of text, with None in the place of thoughts."""
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, dict):
            yield text_of(part)
        elif part.get("type") in ("text", "output_text"):
            yield text_of(part.get("text"))
        elif part.get("type") in ("thinking", "reasoning"):
            yield None


def _listed(model: object) -> tuple[str, int | None] | None:
    """The name of a model of the list, and its context size; None for one that writes no answers, as far as the
    server says so.
    """
    if not isinstance(model, dict) or not (name := text_of(model.get("id"))):
        return None
    abilities, architecture = model.get("capabilities"), model.get("architecture")
    kinds = architecture.get("output_modalities") if isinstance(architecture, dict) else None
    writes = [
        not (isinstance(abilities, dict) and abilities.get("completion_chat") is False),  # Mistral
        not (isinstance(kinds, list) and kinds and "text" not in kinds),
        model.get("type") not in _OTHER_TYPES,
        not name.startswith("text-embedding-"),
    ]
    meta = model.get("meta")
    sizes = [meta.get("n_ctx") if isinstance(meta, dict) else None, *(model.get(field) for field in _CONTEXTS)]
    size = next((each for each in sizes if type(each) is int and 0 < each < 2**53), None)
    return (name, size) if all(writes) else None
