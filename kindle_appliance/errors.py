"""The few kinds of error, by whose fault. Each carries a sentence that a reader understands.

The reader's (`ReaderError`), the owner's (`OwnerError`), a model server's (`UpstreamError`, by the role of what
happened, with the provider's name as a value of the sentence). A bug is none of these: it is logged with its
traceback, and the reader's page says only that the appliance made a mistake.
"""

from __future__ import annotations

from typing import ClassVar

from .sentences import Sentence


class ApplianceError(Exception):
    """A foreseen failure. `sentence` is for the reader, `detail` for the log (never a secret)."""

    def __init__(self, sentence: Sentence, detail: str = "") -> None:
        super().__init__(f"{sentence} ({detail})" if detail else str(sentence))
        self.sentence = sentence
        self.detail = detail


class ReaderError(ApplianceError):
    """A request that cannot be served as it was sent. `status` is its HTTP status."""

    def __init__(self, sentence: Sentence, status: int = 400, detail: str = "") -> None:
        super().__init__(sentence, detail)
        self.status = status


class LimitError(ReaderError):
    """More questions or reports than the house allows. `retry_after`: seconds until the next one is allowed."""

    def __init__(self, sentence: Sentence, retry_after: float) -> None:
        super().__init__(sentence, 429)
        self.retry_after = retry_after

    @classmethod
    def too_often(cls, wait: float) -> LimitError:
        """For what can be done again after so many seconds."""
        return cls(
            Sentence(
                "That was a lot at once. Please try again in %(count)d second.",
                plural="That was a lot at once. Please try again in %(count)d seconds.",
                count=int(wait) + 1,
            ),
            wait,
        )


class OwnerError(ApplianceError):
    """Only the owner can mend it: settings, key, billing, disk. Asking again does not help.

    `advice` takes the place of `sentence` on the owner's terminal, where the mending is done.
    """

    def __init__(self, sentence: Sentence, detail: str = "", advice: str = "") -> None:
        super().__init__(sentence, detail)
        self.advice = advice

    def for_owner(self) -> str:
        """The text for the owner's terminal, in English."""
        return f"{self.advice} ({self.detail})" if self.advice and self.detail else self.advice or str(self)


class StorageError(OwnerError):
    """Nothing can be stored: the disk is full, read-only or failing. Reading goes on."""


class SettingsError(Exception):
    """A setting with which the program does not start. The text names key, value, origin and what is allowed; it is
    for the owner's terminal, no reader ever sees it. `excerpt` is several lines: the faulty line of the settings
    file, where the fault is in it, and a right line; "" if the fault is elsewhere.
    """

    def __init__(self, text: str, excerpt: str = "") -> None:
        super().__init__(text)
        self.excerpt = excerpt


class StartError(Exception):
    """The program cannot start on this machine as it is; for the owner's terminal, too."""


class Cancelled(Exception):
    """A reader pressed Stop, or the appliance is stopping: nobody's fault."""


class UpstreamError(ApplianceError):
    """A model server cannot answer now; another model, or the same one later, may.

    `provider` is its name in the sentence. `retry_after`: seconds after which it may be asked again, if it says so;
    a question waits for that only if the server is busy (`UpstreamBusy`), clients are told of it always. `sentence`
    takes the place of the kind's own.
    """

    words: ClassVar[Sentence] = Sentence(
        "%(provider)s has a problem at the moment. Please ask again in a few minutes."
    )

    def __init__(
        self,
        provider: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        sentence: Sentence | None = None,
    ) -> None:
        super().__init__(sentence or self.describe(provider), detail)
        self.provider = provider
        self.retry_after = retry_after

    @classmethod
    def describe(cls, provider: str) -> Sentence:
        """What this kind of failure means to a reader."""
        return cls.words.having(provider=provider)


class UpstreamBusy(UpstreamError):
    """The server has too much to do; until `retry_after`, if it says so.

    Another rung is asked at once. If all refuse, a short delay is waited for.
    """

    words = Sentence("%(provider)s has too much to do at the moment. Please ask again in a few minutes.")


class UpstreamRateLimited(UpstreamBusy):
    """The server was asked more often than this key may ask, until `retry_after`.

    In time it answers this key again, so it is treated as a busy one.
    """

    words = Sentence("Too many questions at once for %(provider)s. Please ask again in a minute.")


class ModelLoading(UpstreamBusy):
    """The server is there and still loads its model. Gemini never says so; servers at home do."""

    words = Sentence("%(provider)s is still loading its model. Please ask again in a minute.")


class QuotaExhausted(UpstreamError):
    """The quota of this model at this place is used up until `until` (Unix time), and is remembered as such."""

    words = Sentence("%(provider)s's free questions for today are used up.")

    def __init__(self, provider: str, detail: str = "", *, until: float, retry_after: float | None = None) -> None:
        super().__init__(provider, detail, retry_after=retry_after)
        self.until = until


class CreditUsedUp(UpstreamError):
    """What was paid for at this server is used up, or is not enough for this model.

    Models that cost nothing may still answer: OpenRouter's do, unless the balance is negative. Only if none does is
    it the owner's.
    """

    words = Sentence("The credit at %(provider)s is used up. The owner can add to it there.")


class UnknownModel(UpstreamError):
    """The server does not have this model, or not any more.

    Others it may have. So this is told to a reader only if nothing better can be: see `generation`.
    """

    words = Sentence("%(provider)s does not have this model. The owner can choose another one.")


class RequestRefused(UpstreamError):
    """The server does not take this request for this model: an option, a field, the system instruction.

    Another model may take it. Only if none does is it the owner's.
    """

    words = Sentence(
        "%(provider)s did not understand the request. The owner can check the settings of the appliance."
    )


class ContextExceeded(UpstreamError):
    """Question, history and instruction are together longer than this model takes.

    The same model is asked once more with less, and then another model. `context`: how many tokens it takes, if it
    has said so.
    """

    words = Sentence("This chat has become too long for %(provider)s. Please begin a new one.")

    def __init__(self, provider: str, detail: str = "", *, context: int | None = None) -> None:
        super().__init__(provider, detail)
        self.context = context


class UpstreamUnreachable(UpstreamError):
    """No connection: no network, no such host, refused, or a certificate that is not valid.

    The other models of this place are not asked: they would fail alike. For a minute, other places are asked first.
    """

    words = Sentence("The appliance does not reach %(provider)s. Is the internet working?")


class ComputerAway(UpstreamUnreachable):
    """A computer of the house is not reached: it is off, asleep, or elsewhere, or no model server runs on it."""

    words = Sentence(
        "The appliance does not reach %(provider)s. Is that computer on, and does its model server run there?"
    )


class WebPage(UpstreamUnreachable):
    """A web page came in the place of an answer: something else than a model server listens there."""

    words = Sentence(
        "%(provider)s sent a web page and no answer, so no model server is at this address. The owner can check it"
        " in the settings."
    )


class SignInPage(WebPage):
    """A web page came in the place of an answer: the network wants a sign-in before it lets anything through, or a
    filter says why it does not.
    """

    words = Sentence(
        "A web page came in the place of %(provider)s's answer, most likely the sign-in page of the network. The"
        " owner can open it with a browser, or connect the appliance to another network."
    )


class UpstreamSilent(UpstreamError):
    """The server took the question and then sent nothing for longer than the clocks allow."""

    words = Sentence("%(provider)s did not answer in time. Please ask again.")


class UpstreamCut(UpstreamError):
    """The connection broke while the server was sending.

    What it had written by then is kept.
    """

    words = Sentence("The connection to %(provider)s broke. Please ask again.")


class UpstreamUnreadable(UpstreamError):
    """The response is not in the server's dialect, or an event of it is larger than the buffer may grow."""

    words = Sentence("%(provider)s sent something that the appliance cannot read.")


NOT_UNDERSTOOD = Sentence("The appliance does not understand this request.")
TOO_MUCH = Sentence("That is too much at once.")
OWN_MISTAKE = Sentence("The appliance made a mistake. Please ask again.")
BUSY = Sentence("The appliance has too much to do at the moment. Please try again.")
"""What is said at more than one place, where no error with a sentence was raised."""
