"""An answer's stream, whatever the dialect: events with JSON in, text and one ending out. No I/O.

Everything here holds for each server that streams JSON in server-sent events: what is blank, unreadable, cut or
reported inside the stream. A dialect adds what its chunks and its finish reasons mean.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from ..ending import TOO_LONG, Ending, Finish
from ..errors import ApplianceError, UpstreamError, UpstreamUnreadable
from ..sentences import Sentence
from .bare_json import BareJson
from .sse import MAX_EVENT_BYTES, Event, EventStreamParser, EventTooLarge

log = logging.getLogger(__name__)

_MOST_UNREADABLE = 1000
"""So many unreadable events are skipped. A server that sends more speaks another dialect, and each costs time."""
_NAME_CHARACTERS = 80
"""Of a model's version or a finish reason. The longest that are known have half as many."""

NOT_ALLOWED = Sentence("The rules of %(provider)s allow no answer to this question (%(reason)s).")
"""What readers are told if the rules of a provider refuse a question; `reason`: the rule."""
_BROKEN_OFF = Sentence("%(provider)s's answer broke off here.")
_BROKEN_BEFORE = Sentence("The connection to %(provider)s broke before an answer came.")
_NO_ANSWER = Sentence("%(provider)s sent no answer. Please ask again.")
_ONLY_THOUGHTS = Sentence(
    "%(provider)s thought for so long that no room was left for an answer. Please ask again, for less at once."
)


class AnswerReader(ABC):
    """The body of one 200 response of `model`, as `StreamReader` says. Each dialect says what its chunks mean."""

    ordinary_ends: ClassVar[Mapping[str, Finish]]
    """The finish reasons of answers that came to their end, or to their greatest length."""
    no_reason: ClassVar[Collection[str]] = ("",)
    """What stands in the place of a finish reason while there is none."""
    end_mark: ClassVar[str | None] = None
    """The data of an event that is no JSON and only says that no more come."""

    def __init__(self, provider: str, model: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.progress = 0
        self.model = model
        self.tokens = 0
        self.error: ApplianceError | None = None
        self.has_text = False
        self.provider = provider
        self._blanks: list[str] = []
        self._parser = EventStreamParser(max_event_bytes)
        self._bare = BareJson()
        self._strays_taken = 0
        self._reason = ""
        self._block_reason = ""
        self._most_tokens = 0  # the running count can fall, which is no progress
        self._unreadable = 0  # events that were no JSON, or not of the expected shape

    @abstractmethod
    def take_chunk(self, chunk: Mapping[str, Any]) -> str | None:
        """The answer's text in one chunk, thoughts left out. What else it says goes to `finish()`, `refuse()`,
        `count()`, `fail()` and `model`. None: it is no chunk of this dialect.
        """

    @abstractmethod
    def is_block(self, reason: str) -> bool:
        """Whether this finish reason means that the provider's rules have cut the answer."""

    def take_event(self, event: Event) -> str:
        """The answer's text in one event."""
        return "" if self._is_end_mark(event) else self._take_json(event.data)

    def rules(self, reason: str) -> Sentence:
        """What readers are told of an answer that the provider's rules did not allow."""
        if self.has_text:
            return Sentence(
                "The rules of %(provider)s stopped the answer here (%(reason)s).",
                provider=self.provider,
                reason=reason,
            )
        return NOT_ALLOWED.having(provider=self.provider, reason=reason)

    def last_text(self) -> str:
        """The text that a dialect still holds back at the end of the body."""
        return ""

    @property
    def has_ended(self) -> bool:
        """Whether a finish reason has come. More can follow it."""
        return bool(self._reason or self._block_reason)

    def feed(self, data: bytes) -> str:
        """The answer's text in the next bytes; thoughts and all that is no text are left out."""
        events_before = self._parser.dispatched
        try:
            events = self._parser.feed(data)
        except EventTooLarge as error:
            self.fail(UpstreamUnreadable(self.provider, str(error)))
            return ""
        texts = []
        for number, event in enumerate(events, events_before):
            texts += self._take_strays(number)
            texts.append(self.take_event(event))
        texts += self._take_strays(self._parser.dispatched)
        return self._said("".join(texts))

    def close(self, *, cut: bool = False) -> tuple[str, Ending]:
        """The body has ended, or was cut: the last piece of text, if any, and how the answer ended.

        A finish reason that has been seen stands, whatever comes after it. Without one the text so far is kept:
        the answer was interrupted. A body that ended in good order and brought no text at all is a failure.
        """
        pending: list[Event] = []
        try:
            pending = self._parser.close()
        except EventTooLarge as error:
            self.fail(UpstreamUnreadable(self.provider, str(error)))
        texts = self._take_strays(self._parser.dispatched)
        for event in pending:
            if self._is_end_mark(event) or document_of(event.data) is not None:
                texts.append(self.take_event(event))
            else:
                cut = True  # the end of the stream came in the middle of an event
        if self._bare.is_open:
            cut = True
            if '"error"' in self._bare.unfinished:
                self.fail(UpstreamError(self.provider, "an error whose JSON was cut"))
        text = self._said("".join([*texts, self.last_text()]))
        return text, Ending(*self._ending(cut), self.model, self.tokens)

    def finish(self, reason: str) -> None:
        """The model has said why it wrote no more."""
        if reason not in self.no_reason:
            self._reason = reason

    def refuse(self, reason: str) -> None:
        """The provider's rules do not allow the question."""
        if reason not in self.no_reason:
            self._block_reason = reason

    def count(self, tokens: object) -> None:
        """The server has counted so many tokens up to now; anything but a whole number is passed over."""
        if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 2**53:
            self.tokens = tokens
            if tokens > self._most_tokens:
                self._most_tokens = tokens
                self.progress += 1

    def fail(self, error: ApplianceError) -> None:
        """Keep the first error: what follows it is mostly its consequence."""
        self.error = self.error or error

    def _ending(self, cut: bool) -> tuple[Finish, Sentence | None]:
        if self._block_reason:
            return Finish.BLOCKED, self.rules(self._block_reason)
        if self._reason:
            return self._ending_for(self._reason)
        if self.has_text:
            return Finish.INTERRUPTED, self._about(_BROKEN_OFF)
        if self.error is not None:
            return Finish.FAILED, self.error.sentence
        if cut:
            return Finish.INTERRUPTED, self._about(_BROKEN_BEFORE)
        if self._unreadable:
            return Finish.FAILED, UpstreamUnreadable.describe(self.provider)
        return Finish.FAILED, self._about(_NO_ANSWER)

    def _ending_for(self, reason: str) -> tuple[Finish, Sentence | None]:
        finish = self.ordinary_ends.get(reason)
        if finish is Finish.LENGTH:
            return (finish, TOO_LONG) if self.has_text else (Finish.FAILED, self._about(_ONLY_THOUGHTS))
        if finish is not None:
            return (finish, None) if self.has_text else (Finish.FAILED, self._about(_NO_ANSWER))
        if self.is_block(reason):
            return Finish.BLOCKED, self.rules(reason)
        if not self.has_text:
            return Finish.FAILED, self._about(_NO_ANSWER)
        return Finish.FAILED, Sentence(
            "%(provider)s stopped writing for a reason of its own (%(reason)s).",
            provider=self.provider,
            reason=reason,
        )

    def _about(self, sentence: Sentence) -> Sentence:
        return sentence.having(provider=self.provider)

    def _said(self, text: str) -> str:
        """Blank text is held back until other text follows: an answer of nothing else would be an empty page."""
        if not text:
            return ""
        if not self.has_text and all(map(is_blank, text)):
            self._blanks.append(text)
            return ""
        text = "".join([*self._blanks, text])
        self._blanks.clear()
        self.has_text = True
        self.progress += 1
        return text

    def _take_strays(self, before: int) -> list[str]:
        """The text in bare JSON lines that came before event number `before`."""
        texts: list[str] = []
        strays = self._parser.stray
        while self._strays_taken < len(strays) and strays[self._strays_taken].after <= before:
            line = strays[self._strays_taken].text
            documents = self._bare.feed(line)
            texts += map(self._take_json, documents)
            if line.strip() and not (documents or self._bare.is_open):
                self._skip()
            self._strays_taken += 1
        return texts

    def _is_end_mark(self, event: Event) -> bool:
        return event.data.strip() == self.end_mark

    def _take_json(self, document: str) -> str:
        chunk = document_of(document)
        return "".join(map(self._take_part, chunk if isinstance(chunk, list) else [chunk]))

    def _take_part(self, chunk: object) -> str:
        text = self.take_chunk(chunk) if isinstance(chunk, dict) else None
        if text is None:
            self._skip()
        return text or ""

    def _skip(self) -> None:
        """Skip what cannot be read. It is logged once, since there can be thousands."""
        self._unreadable += 1
        if self._unreadable == 1:
            log.warning("reader: skipped an unreadable event of %s", self.provider)
        elif self._unreadable == _MOST_UNREADABLE:
            self.fail(UpstreamUnreadable(self.provider, f"{_MOST_UNREADABLE} unreadable events"))


def document_of(text: str | bytes) -> Any:
    """A JSON document; None if it is none, or is nested too deeply to be a model server's."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text_of(value: object) -> str:
    """A string of a document, "" for anything else. JSON can spell half a surrogate pair (RFC 8259, 8.2), which no
    UTF-8 can say.
    """
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def name_of(value: object) -> str:
    """A name in a document, such as a finish reason: it is stored and shown with the answer, so it is short."""
    return "".join(filter(str.isprintable, text_of(value)[:_NAME_CHARACTERS]))


def is_blank(character: str) -> bool:
    """Whether it shows nothing, such as a space or a zero-width mark."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
