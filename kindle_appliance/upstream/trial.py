"""A trial of a rung: a real question, as short as its dialect can ask one.

A list of models costs nothing and tries the key, but does not show whether an answer will come: used-up credit, a
spending cap or a region are told only when something is asked.
"""

from __future__ import annotations

from ..errors import ApplianceError, UpstreamError
from . import portal
from .rung import Rung

_MOST_BYTES = 64 * 1024


def find_refusal(rung: Rung) -> ApplianceError | None:
    """Ask the shortest question, which counts as one of the day. Return why there is no answer, or None."""
    place = rung.place
    request = rung.dialect.trial(rung.model, place.key)
    patience = place.upstream.clocks.progress
    call = place.upstream.call()
    try:
        status = call.open(request.path, request.headers, request.body, patience)
        body = call.read_short(_MOST_BYTES, patience)
        portal.check(rung.provider, status, call.headers, body)
        if status != 200:
            return rung.dialect.refusal(status, call.headers, body)
        reader = rung.dialect.reader(rung.model)
        reader.feed(body)
        reader.close()
        if reader.error is None and not (reader.has_text or reader.has_ended):
            return UpstreamError(rung.provider, "neither text nor an ending")
        return reader.error
    except ApplianceError as error:
        return error
    finally:
        call.close()
