"""One attempt: one rung is asked, once. Yields text, then knows how it ended and what that means for other rungs.

The clocks are kept here. Bytes alone are not enough: a stream without new text or newly counted tokens is stuck,
and until the model has begun to write it gets more time for them.
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
    UpstreamCut,
    UpstreamError,
    UpstreamSilent,
    UpstreamUnreachable,
)
from .history import trim
from .rung import Rung

log = logging.getLogger(__name__)

_ERROR_BODY_BYTES = 64 * 1024
_MOST_CHARACTERS = 1_000_000
"""No model writes as much. An answer beyond it would go on for ever, and fill memory and card."""


class Attempt:
    """Iterate for the text, then read `ending`, and `error` if anything went wrong.

    `cancel()` may come from any thread at any moment and closes the connection at once; the ending is then
    `stopped`.
    """

    def __init__(self, rung: Rung, question: Question) -> None:
        self.rung = rung
        self.ending: Ending | None = None
        self.error: ApplianceError | None = None
        self._question = question
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
        after a finish reason either: the model has answered, if only with nothing.
        """
        if self.ending is None or self.ending.finish is Finish.STOPPED:
            return False
        return not (self._reader.has_text or self._reader.has_ended)

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
        question = trim(self._question, rung.limits.history_characters)
        request = rung.dialect.request(rung.model, question, rung.options, rung.place.key)
        status = self._call.open(request.path, request.headers, request.body)
        if status != 200:
            body = self._call.read_short(_ERROR_BODY_BYTES, rung.place.upstream.clocks.connect)
            raise rung.dialect.refusal(status, self._call.headers, body)
        yield from self._body()

    def _body(self) -> Iterator[str]:
        """The text of a 200 response."""
        reader, clocks = self._reader, self.rung.place.upstream.clocks
        cut: UpstreamError | None = None
        progress, since, length = 0, time.monotonic(), 0
        while reader.error is None and length < _MOST_CHARACTERS:
            if reader.progress != progress:
                progress, since = reader.progress, time.monotonic()
            patience = clocks.progress if reader.has_text else clocks.first_byte
            wait = patience - (time.monotonic() - since)
            if wait <= 0:
                cut = UpstreamSilent(self.rung.provider, "no progress")
                break
            try:
                data = self._call.read(wait)
            except (UpstreamCut, UpstreamSilent) as error:
                cut = error
                break
            if not data:
                break
            text = reader.feed(data)
            length += len(text)
            if text:
                yield text
        text, self.ending = reader.close(cut=cut is not None)
        if cut is not None and self.ending.finish is Finish.INTERRUPTED and not reader.has_text:
            self.ending = replace(self.ending, note=cut.sentence)  # silence is not a broken connection
        if length >= _MOST_CHARACTERS and self.ending.finish is Finish.INTERRUPTED:
            self.ending = replace(self.ending, finish=Finish.LENGTH, note=TOO_LONG)
        self.error = reader.error or cut
        if text:
            yield text
        log.debug("attempt: %s answered: %s, %d tokens", reader.model, self.ending.finish, self.ending.tokens)
