"""The models that a place offers. To ask for them costs nothing and tries the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..clock import is_believed
from ..errors import ApplianceError, UpstreamUnreachable
from . import portal
from .dialect import Dialect
from .rung import Place

_MOST_BYTES = 4 * 1024 * 1024  # some 60 models have 60 KB


@dataclass(frozen=True)
class Catalogue:
    """The names of the models that write answers, and the server's clock if it could be read. `error` is why there
    are none: an `OwnerError` where the server has looked at the key and refuses it, an `UpstreamError` where nobody
    can say, because the server is not reached or has another problem.
    """

    models: tuple[str, ...] = ()
    date: datetime | None = None
    error: ApplianceError | None = None


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
        portal.check(dialect.provider, status, headers, body)
        if status == 200:
            return Catalogue(dialect.read_catalogue(body), date)
        error = dialect.refusal(status, headers, body)
    except ApplianceError as caught:
        status, error = 0, caught
    finally:
        call.close()
    if status < 400:  # a proxy, or a redirect, has no say about the key
        error = UpstreamUnreachable(dialect.provider, error.detail, sentence=error.sentence)
    return Catalogue(date=date, error=error)


def _date(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock, as a response tells it (RFC 9110, 6.6.1)."""
    try:
        date = parsedate_to_datetime(headers.get("date", "")).replace(tzinfo=UTC)  # HTTP knows no other zone
    except ValueError:
        return None
    return date if is_believed(date.timestamp()) else None
