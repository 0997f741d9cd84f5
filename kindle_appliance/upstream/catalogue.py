"""The models that a place offers. To ask for them costs nothing and tries the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..clock import is_believed
from ..errors import ApplianceError, UpstreamUnreachable
from . import portal
from .dialect import Dialect
from .rung import Place

_MOST_BYTES = 4 * 1024 * 1024  # some 60 models have 60 KB
MODEL_FILE = ".gguf"
"""How the name of a file with a model ends, as llama.cpp lists it."""


@dataclass(frozen=True)
class Catalogue:
    """The names of the models that write answers, and the server's clock if it could be read. `error` is why there
    are none: an `OwnerError` where the server has looked at the key and refuses it, an `UpstreamError` where nobody
    can say, because the server is not reached or has another problem. `contexts`: for the models whose context size
    the server tells, how many tokens question and answer may have together.
    """

    models: tuple[str, ...] = ()
    date: datetime | None = None
    error: ApplianceError | None = None
    contexts: Mapping[str, int] = field(default_factory=dict)

    @property
    def extent(self) -> str:
        """How many models there are, for sentences."""
        return f"{len(self.models)} model{'' if len(self.models) == 1 else 's'}"

    def find(self, model: str) -> str | None:
        """The name in this list of the model that answers under a name. Ollama completes names without a tag;
        llama.cpp lists the file of its only model, and answers under any name.
        """
        is_file = len(self.models) == 1 and self.models[0].endswith(MODEL_FILE)
        names = (model, f"{model}:latest", *(self.models if is_file else ()))
        return next((name for name in names if name in self.models), None)

    def offers(self, model: str) -> bool:
        """Whether the server answers under this name."""
        return self.find(model) is not None


def fetch_catalogue(dialect: Dialect, place: Place) -> Catalogue:
    """Ask a place for its models, with its key."""
    request = dialect.catalogue_request(place.key)
    call = place.upstream.call()
    date = None
    try:
        status = call.open(request.path, request.headers, request.body, place.upstream.clocks.progress)
        headers = call.headers
        date = _date(headers)
        body = call.read_short(_MOST_BYTES, place.upstream.clocks.progress)
        portal.check(dialect.provider, status, headers, body, is_at_home=place.upstream.is_at_home)
        if status == 200:
            listed = dialect.read_catalogue(body)
            sizes = {name: size for name, size in listed.items() if size is not None}
            return Catalogue(tuple(listed), date, contexts=sizes)
        error = dialect.refusal(status, headers, body)
    except ApplianceError as caught:
        status, error = 0, caught
    finally:
        call.close()
    if status < 400 and not isinstance(error, UpstreamUnreachable):
        # A proxy, or a redirect, has no say about the key.
        error = UpstreamUnreachable(dialect.provider, error.detail, sentence=error.sentence)
    return Catalogue(date=date, error=place.without_key(error))


def _date(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock, as a response tells it (RFC 9110, 6.6.1)."""
    try:
        date = parsedate_to_datetime(headers.get("date", "")).replace(tzinfo=UTC)  # HTTP knows no other zone
    except ValueError:
        return None
    return date if is_believed(date.timestamp()) else None
