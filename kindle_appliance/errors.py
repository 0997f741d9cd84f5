"""The few kinds of error, by whose fault they are. Each carries a sentence that a reader understands.

The reader's (`ReaderError`), the owner's (`OwnerError`), Gemini's (`UpstreamError`). A bug is none of these: it is
logged with its traceback, and the reader gets a page that says only that the appliance made a mistake.
"""

from __future__ import annotations

from .sentences import Sentence


class ApplianceError(Exception):
    """Something that was foreseen. `sentence` is for the reader, `detail` for the log (never a secret)."""

    def __init__(self, sentence: Sentence, detail: str = "") -> None:
        super().__init__(f"{sentence} ({detail})" if detail else str(sentence))
        self.sentence = sentence
        self.detail = detail


class ReaderError(ApplianceError):
    """The request cannot be done as it was sent. `status` is the HTTP status that says so."""

    def __init__(self, sentence: Sentence, status: int = 400, detail: str = "") -> None:
        super().__init__(sentence, detail)
        self.status = status


class LimitError(ReaderError):
    """More than the house allows. `retry_after`: seconds after which it may be tried again."""

    def __init__(self, sentence: Sentence, retry_after: float) -> None:
        super().__init__(sentence, 429)
        self.retry_after = retry_after


class OwnerError(ApplianceError):
    """Only the owner of the appliance can mend it: settings, key, billing, disk. Asking again does not help."""


class SettingsError(Exception):
    """A setting that the program does not start with. The text names key, value, origin and what is allowed; it is
    for the owner's terminal, no reader ever sees it.
    """


class StartError(Exception):
    """The program cannot start on this machine as it is; for the owner's terminal, too."""


class UpstreamError(ApplianceError):
    """Gemini cannot answer now. Another model, or the same one later, may.

    `retry_after`: seconds after which Gemini says it may be asked again; `out_for_the_day`: the day's quota of
    this model is used up.
    """

    def __init__(
        self,
        sentence: Sentence,
        detail: str = "",
        *,
        retry_after: float | None = None,
        out_for_the_day: bool = False,
    ) -> None:
        super().__init__(sentence, detail)
        self.retry_after = retry_after
        self.out_for_the_day = out_for_the_day


class UnknownModel(UpstreamError):
    """Gemini does not have this model, or not any more; the others it may."""


class UpstreamUnreachable(UpstreamError):
    """No connection to Gemini: no network, no such host, refused, or a certificate that does not hold."""


class UpstreamSilent(UpstreamError):
    """Gemini took the question and then sent nothing for longer than the clocks allow."""


class UpstreamCut(UpstreamError):
    """The connection broke while Gemini was sending."""


class EventTooLarge(UpstreamError):
    """One event of the stream is larger than the line buffer may grow."""


class Cancelled(Exception):
    """Somebody pressed Stop, or the appliance is stopping: nobody's fault."""


class StorageError(OwnerError):
    """Nothing can be stored: the disk is full, read-only or failing. Reading goes on."""


NOT_UNDERSTOOD = Sentence("The appliance does not understand this request.")
TOO_MUCH = Sentence("That is too much at once.")
OWN_MISTAKE = Sentence("The appliance made a mistake. Please ask again.")
BUSY = Sentence("The appliance has too much to do at the moment. Please try again.")
"""What is said at more than one place, where no error that has a sentence was raised."""
