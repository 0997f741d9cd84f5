"""A trial of a rung: a real question, as short as its dialect can ask one.

A list of models costs nothing and tries the key, but does not show whether an answer will come: used-up credit, a
spending cap or a region are told only when something is asked.
"""

from __future__ import annotations

from ..errors import ApplianceError, UpstreamError
from . import portal
from .call import Clocks
from .rung import Rung

_MOST_BYTES = 64 * 1024


def find_refusal(rung: Rung, patience: float = Clocks.first_byte) -> ApplianceError | None:
    """Ask the shortest question, which counts as one of the day. Return why there is no answer within `patience`
    seconds, or None. A server at home may load its model for a minute first.
    """
    place = rung.place
    request = rung.dialect.trial(rung.model, place.key)
    call = place.upstream.call()
    try:
        status = call.open(request.path, request.headers, request.body, patience)
        body = call.read_short(_MOST_BYTES, patience)
        portal.check(rung.provider, status, call.headers, body, is_at_home=place.upstream.is_at_home)
        if status != 200:
            raise rung.dialect.refusal(status, call.headers, body)
        reader = rung.dialect.reader(rung.model)
        reader.feed(body)
        reader.close()
        if reader.error:
            raise reader.error
        if not (reader.has_text or reader.has_ended):
            raise UpstreamError(rung.provider, "neither text nor an ending")
        return None
    except ApplianceError as error:
        return place.without_key(error)
    finally:
        call.close()
