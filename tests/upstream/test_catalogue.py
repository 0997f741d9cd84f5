"""The catalogue of a place, over real sockets: the key is good, it is refused, or nothing is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fakes.gemini import FakeGemini, Reply, error_info, refusing_url
from fakes.secrets import KEY

from kindle_appliance.errors import OwnerError, UpstreamUnreachable
from kindle_appliance.upstream.call import Clocks, Upstream
from kindle_appliance.upstream.catalogue import Catalogue, fetch_catalogue
from kindle_appliance.upstream.gemini import Gemini
from kindle_appliance.upstream.rung import Place

QUICK = Clocks(connect=5, first_byte=5, progress=5)


@pytest.fixture
def upstream(gemini: FakeGemini) -> Iterator[Upstream]:
    upstream = Upstream(gemini.url, QUICK, provider="Gemini")
    yield upstream
    upstream.close()


def test_a_good_key_gets_the_list_of_models_with_one_get_and_no_question(
    gemini: FakeGemini, upstream: Upstream
) -> None:
    moment = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)
    gemini.replies(Reply.models("gemini-a", "gemini-b", date=moment))
    assert fetch_catalogue(Gemini(), Place(upstream, KEY)) == Catalogue(("gemini-a", "gemini-b"), moment)
    (call,) = gemini.calls
    assert (call.method, call.path, call.body) == ("GET", "/v1beta/models?pageSize=1000", b"")
    assert {name: value for name, value in call.headers.items() if KEY in value} == {"x-goog-api-key": KEY}


REFUSALS = {
    "a wrong key": Reply.error(400, "INVALID_ARGUMENT", "API key not valid.", [error_info("API_KEY_INVALID")]),
    "no key": Reply.error(401, "UNAUTHENTICATED", "No key."),
    "a suspended key": Reply.error(403, "PERMISSION_DENIED", f"Consumer 'api_key:{KEY}' has been suspended."),
    "no such region": Reply.error(400, "FAILED_PRECONDITION", "User location is not supported."),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_key_is_an_error_for_the_owner(gemini: FakeGemini, upstream: Upstream, reply: Reply) -> None:
    gemini.replies(reply)
    catalogue = fetch_catalogue(Gemini(), Place(upstream, KEY))
    assert isinstance(catalogue.error, OwnerError)
    assert catalogue.models == ()
    assert KEY not in str(catalogue.error)


OTHER_FAILURES = {
    "too much to do": Reply.error(503, "UNAVAILABLE", "Overloaded."),
    "too many questions": Reply.error(429, "RESOURCE_EXHAUSTED", "Slow down."),
    "a page of the hotel": Reply.html(200),
    "a redirect to it": Reply.redirect("http://hotel.invalid/"),
    "another list": Reply([b'{"files": []}'], 200, framing="length"),
    "half a list": Reply([b'{"models": ['], 200, ending="cut"),
}


@pytest.mark.parametrize("reply", OTHER_FAILURES.values(), ids=OTHER_FAILURES)
def test_a_failure_unrelated_to_the_key_is_no_error_for_the_owner(
    gemini: FakeGemini, upstream: Upstream, reply: Reply
) -> None:
    gemini.replies(reply)
    catalogue = fetch_catalogue(Gemini(), Place(upstream, KEY))
    assert catalogue.error is not None
    assert not isinstance(catalogue.error, OwnerError)
    assert len(gemini.calls) == 1


def test_without_a_connection_the_place_is_unreachable() -> None:
    with refusing_url() as url:
        assert isinstance(
            fetch_catalogue(Gemini(), Place(Upstream(url, QUICK, provider="Gemini"), KEY)).error,
            UpstreamUnreachable,
        )


def test_a_proxy_that_refuses_says_nothing_about_the_key() -> None:
    with refusing_url() as proxy:
        upstream = Upstream("http://gemini.invalid", QUICK, proxy, provider="Gemini")
        catalogue = fetch_catalogue(Gemini(), Place(upstream, KEY))
    assert isinstance(catalogue.error, UpstreamUnreachable)
    assert "proxy" in str(catalogue.error)


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Nov 2026 12:00:00 GMT"])
def test_an_unreadable_date_header_is_no_date(gemini: FakeGemini, upstream: Upstream, date: str) -> None:
    gemini.replies(Reply([b'{"models": []}'], headers={"Date": date}))
    assert fetch_catalogue(Gemini(), Place(upstream, KEY)) == Catalogue()


def test_models_of_an_unexpected_shape_are_skipped() -> None:
    body = b'{"models": [1, {}, {"name": "models/a", "supportedGenerationMethods": null}, {"name": "models/b",'
    assert Gemini().read_catalogue(body + b' "supportedGenerationMethods": ["generateContent"]}]}') == {"b": None}
