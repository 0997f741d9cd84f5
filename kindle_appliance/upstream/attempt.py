"""One attempt: one rung is asked, once. Yields text, then knows how it ended and what that means for other rungs.

Two clocks are kept here. Until the first text there is a deadline, which belongs to the question and not to this
attempt. After it, bytes alone are not enough: a stream without new text or newly counted tokens is stuck.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from ..conversation import Question
from ..ending import STOPPED, TOO_LONG, Ending, Finish
from ..errors import (
    ApplianceError,
    Cancelled,
    OwnerError,
    UpstreamBusy,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
    UpstreamUnreadable,
)
from . import portal
from .rung import Limits, Rung

log = logging.getLogger(__name__)

_ERROR_BODY_BYTES = 64 * 1024
_MOST_CHARACTERS = 1_000_000
"""No model writes as much. An answer beyond it would go on for ever, and fill memory and card."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of a body, unpacked: a million characters in small events, with thoughts between them, have a third. A server may
pack its body although it is asked not to, and 300 KB can become 300 MB.
"""
_MOST_IDLE_BYTES = 8 * 1024 * 1024
"""Without new text or counted tokens: twice the largest event. A server that sends more is stuck."""
_LINGERING_SECONDS = 10.0
"""For so long a stream may be silent after the model has said why it wrote no more. Old recordings say so on every
chunk; new ones only at the end, and then nothing follows.
"""


class Attempt:
    """Iterate for the text, then read `ending`, and `error` if anything went wrong.

    `cancel()` may come from any thread at any moment and closes the connection at once; the ending is then
    `stopped`.
    """

    def __init__(self, rung: Rung, question: Question, deadline: float, limits: Limits | None = None) -> None:
        """`deadline`: for the first text, on time.monotonic(). `limits`: instead of those of the rung."""
        self.rung = rung
        self.question = question
        self.options = (limits or rung.limits).bounded(rung.options)
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None
        self.has_responded = False  # with headers, of whatever status
        self._deadline = deadline
        self._reader = rung.dialect.reader(rung.model)
        self._call = rung.place.upstream.call()
        self._lock = threading.Lock()
        self._is_over = False

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._text()
        except Cancelled:
            self.ending = Ending(Finish.STOPPED, STOPPED, self._reader.model, self._reader.tokens)
        except ApplianceError as error:
            self.error = error
            self.ending = Ending(Finish.FAILED, error.sentence, self._reader.model, self._reader.tokens)
        finally:
            if self.error is not None:
                self.rung.place.without_key(self.error)
            with self._lock:
                self._is_over = True
            self._call.close()

    def cancel(self) -> None:
        """Stop at once; harmless when it is over."""
        with self._lock:
            if not self._is_over:  # else its connection may be another call's by now
                self._call.cancel()

    @property
    def model(self) -> str:
        """The version that answered, as far as the server has named it."""
        return self._reader.model

    @property
    def has_text(self) -> bool:
        return self._reader.has_text

    @property
    def is_refusal(self) -> bool:
        """Whether another rung may be asked instead. Not once text has come: a reader's page never starts over. Not
        if the provider's rules have refused the question either.
        """
        if self.ending is None or self.ending.finish is Finish.STOPPED or self._reader.has_text:
            return False
        return self.is_empty or not self._reader.has_ended

    @property
    def is_empty(self) -> bool:
        """Whether the model has ended its answer in good order without any text. Asked again, it often has some."""
        has_failed = self.ending is not None and self.ending.finish is Finish.FAILED
        return has_failed and self._reader.has_ended and not self._reader.has_text

    @property
    def is_silent(self) -> bool:
        """Whether the deadline for the first text has passed."""
        has_said_nothing = not (self._reader.has_text or self._reader.has_ended)
        return isinstance(self.error, UpstreamSilent) and has_said_nothing

    @property
    def rules_out_place(self) -> bool:
        """Whether the failure is one of the place (its key, its network), so that its other models fail alike."""
        return isinstance(self.error, OwnerError | UpstreamUnreachable)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the rung may be asked again, if it said so."""
        return self.error.retry_after if isinstance(self.error, UpstreamBusy) else None

    def _text(self) -> Iterator[str]:
        rung = self.rung
        request = rung.dialect.request(rung.model, self.question, self.options, rung.place.key)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise UpstreamSilent(rung.provider, "no time left")
        status = self._call.open(request.path, request.headers, request.body, left)
        self.has_responded = True
        if status != 200:
            seconds = min(rung.place.upstream.clocks.connect, max(0.0, self._deadline - time.monotonic()))
            body = self._call.read_short(_ERROR_BODY_BYTES, seconds)
            self._check_for_page(status, body)
            raise rung.dialect.refusal(status, self._call.headers, body)
        yield from self._body()

    def _body(self) -> Iterator[str]:
        """The text of a 200 response."""
        reader = self._reader
        cut: UpstreamError | None = None
        start, size, length = b"", 0, 0
        progress, since, idle = 0, time.monotonic(), 0
        self._check_for_page(200, start)
        while reader.error is None and length < _MOST_CHARACTERS:
            if reader.progress != progress:
                progress, since, idle = reader.progress, time.monotonic(), 0
            wait = self._limit(since) - time.monotonic()
            if wait <= 0:
                cut = UpstreamSilent(self.rung.provider, "no progress")
                break
            try:
                data = self._call.read(wait)
            except UpstreamError as error:
                cut = error
                break
            if not data:
                break
            size, idle = size + len(data), idle + len(data)
            if size > _MOST_BYTES or idle > _MOST_IDLE_BYTES:
                cut = UpstreamUnreadable(self.rung.provider, f"{size} bytes, {idle} of them without progress")
                break
            if not portal.visible(start):
                start = data
                self._check_for_page(200, start)
            text = reader.feed(data)
            length += len(text)
            if text:
                yield text
        text, self.ending = reader.close(cut=cut is not None)
        if cut is not None and self.ending.finish is Finish.INTERRUPTED and not reader.has_text:
            self.ending = replace(self.ending, note=cut.sentence)  # silence is not a broken connection
        if length >= _MOST_CHARACTERS and self.ending.finish is Finish.INTERRUPTED:
            self.ending = replace(self.ending, finish=Finish.LENGTH, note=TOO_LONG)
        self.error = reader.error or (None if reader.has_ended else cut)
        if text:
            yield text
        log.debug("attempt: %s answered: %s, %d tokens", reader.model, self.ending.finish, self.ending.tokens)

    def _check_for_page(self, status: int, start: bytes) -> None:
        upstream = self.rung.place.upstream
        portal.check(self.rung.provider, status, self._call.headers, start, is_at_home=upstream.is_at_home)

    def _limit(self, since: float) -> float:
        """The moment at which an answer counts as stuck whose last progress was at `since`."""
        if self._reader.has_ended:
            return since + _LINGERING_SECONDS
        return since + self.rung.place.upstream.clocks.progress if self._reader.has_text else self._deadline
