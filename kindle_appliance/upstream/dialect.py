"""What every dialect of model servers offers: a question as a request, a stream of bytes as text and one ending, a
refusal as what it means. No I/O.

A dialect is one module. Everything after it (`attempt`, `fallback`, the desk, the pages, the owner's commands)
knows this protocol and nothing of a provider. So a new kind of server costs one module, and a line
where the dialect of an entry is chosen (`dialects`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..conversation import GenerationOptions, Question
from ..ending import Ending
from ..errors import ApplianceError


@dataclass(frozen=True)
class Request:
    """A POST of `body` to `path`; without a body, a GET. `headers` may carry the key and are never shown."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class OptionError(ValueError):
    """Generation options that a dialect refuses. `options`: their names; the text says why and what is allowed."""

    def __init__(self, text: str, *options: str) -> None:
        super().__init__(text)
        self.options = options


class StreamReader(Protocol):
    """Reads the body of one 200 response: feed it the bytes as they arrive, then close it, once.

    `progress` grows with each piece of text and with each token that the server counts, thoughts included: a stream
    whose progress stands still is stuck, even if bytes still come. `error` is what the server reported inside the
    stream, if anything. `model` and `tokens` are what it said so far.
    """

    progress: int
    model: str
    tokens: int
    error: ApplianceError | None
    has_text: bool

    @property
    def has_ended(self) -> bool:
        """Whether the server has said why it wrote no more."""

    def feed(self, data: bytes) -> str:
        """The answer's text in the next bytes; thoughts are left out."""

    def close(self, *, cut: bool = False) -> tuple[str, Ending]:
        """The last piece of text, if any, and how the answer ended. `cut`: the body did not end by itself."""


class Dialect(Protocol):
    """How to speak to one kind of model server. `provider` is its name in sentences for readers. A model that a
    server does not know is not asked for again for `unknown_seconds`. `has_aliases`: a name always leads to the
    version that an answer names, so that both are one model; a router chooses anew for each question.
    """

    provider: str
    has_aliases: bool
    unknown_seconds: float

    def check_options(self, options: GenerationOptions) -> None:
        """Raise `OptionError` for options that exclude each other or that this dialect does not know."""

    def with_defaults(self, model: str, options: GenerationOptions) -> GenerationOptions:
        """These options, and for what they leave open the ones that suit this model."""

    def request(self, model: str, question: Question, options: GenerationOptions, key: str) -> Request:
        """The request for an answer of `model`, streamed."""

    def trial(self, model: str, key: str) -> Request:
        """The request for the shortest answer of `model` that there is."""

    def reader(self, model: str) -> StreamReader:
        """A reader for the response to `request()` or `trial()`."""

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ApplianceError:
        """The meaning of a response other than 200, by role.

        `UpstreamBusy` (for so many seconds), `QuotaExhausted` (until a moment), `UnknownModel`, `ContextExceeded`,
        `ModelLoading`, any other `UpstreamError` where another model or a later time may help; `OwnerError` where
        only the owner can. `headers`: names in lower case.
        """

    def catalogue_request(self, key: str) -> Request:
        """The request for the list of models; it costs nothing and tries the key."""

    def read_catalogue(self, body: bytes) -> Mapping[str, int | None]:
        """The models that write answers, by name, from the response to `catalogue_request()`; with each the context
        size in tokens, if the server tells it. Raises `UpstreamUnreadable` for anything else, such as the sign-in
        page of a network.
        """
