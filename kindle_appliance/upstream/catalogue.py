"""What Google offers to a key: its models. To ask for them costs nothing and tries the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..errors import ApplianceError, UpstreamUnreachable
from .call import Upstream
from .gemini import models_request, read_models, refusal

_MOST_BYTES = 4 * 1024 * 1024  # some 60 models have 60 KB


@dataclass(frozen=True)
class Catalogue:
    """The names of the models that write answers, and Google's clock if it could be read. `error` is why there are
    none: an `OwnerError` where Google has looked at the key and refuses it, a `UpstreamError` where nobody can say,
    because Google is not reached or has another problem.
    """

    models: tuple[str, ...] = ()
    date: datetime | None = None
    error: ApplianceError | None = None


def fetch_catalogue(upstream: Upstream, key: str) -> Catalogue:
    """What Google offers to this key."""
    asked = models_request(key)
    call = upstream.call()
    date = None
    try:
        status = call.open(asked.path, asked.headers, asked.body)
        date = _date(call.date)
        body = call.read_short(_MOST_BYTES, upstream.clocks.progress)
        if status == 200:
            return Catalogue(read_models(body), date)
        error = refusal(status, body)
    except ApplianceError as caught:
        status, error = 0, caught
    finally:
        call.close()
    if status < 400:  # a proxy, or who redirects us, has no say about the key
        error = UpstreamUnreachable(error.sentence, error.detail)
    return Catalogue(date=date, error=error)


def _date(header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC)  # HTTP knows no other zone
    except ValueError:
        return None
