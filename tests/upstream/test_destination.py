"""Where a question may go: to the house if it is not encrypted, never where an answer redirects it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from fakes.calls import LONG
from fakes.gemini import FakeGemini, Reply
from fakes.openai import OpenAIServer, answer
from fakes.secrets import KEY

from kindle_appliance.conversation import Question
from kindle_appliance.errors import OwnerError, UpstreamUnreachable
from kindle_appliance.options.entries import Entry, parse
from kindle_appliance.owner.models import open_rungs
from kindle_appliance.settings import Settings
from kindle_appliance.upstream.call import Upstream
from kindle_appliance.upstream.destination import is_at_home
from kindle_appliance.upstream.fallback import Fallback
from kindle_appliance.upstream.generation import Generation
from kindle_appliance.upstream.openai import OpenAI
from kindle_appliance.upstream.quotas import Quotas
from kindle_appliance.upstream.rung import Place, Rung

pytestmark = pytest.mark.usefixtures("nothing_leaks")

OUTSIDE = "192.0.2.1"  # set aside for documentation (RFC 5737)
Names = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Lets the name pc.lan lead to these addresses, as a name server would."""
    system = socket.getaddrinfo

    def lead_to(*addresses: str) -> None:
        def look_up(host: str, *more: Any, **by_name: Any) -> list[Any]:
            hosts = addresses if host == "pc.lan" else (host,)
            return [found for each in hosts for found in system(each, *more, **by_name)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return lead_to


@contextmanager
def asked(url: str, only_at_home: bool = False) -> Iterator[Generation]:
    """A question to a server of the house, which has been read to its end."""
    upstream = Upstream(url, LONG, provider="pc.lan", is_at_home=True, only_at_home=only_at_home)
    try:
        yield Fallback([Rung(OpenAI("pc.lan"), Place(upstream, KEY), "small")], Quotas()).ask(Question("Why?"))
    finally:
        upstream.close()


def test_a_name_that_leads_out_of_the_house_gets_nothing_that_is_not_encrypted(names: Names) -> None:
    names(OUTSIDE, "8.8.8.8")
    with asked("http://pc.lan:8080/v1", only_at_home=True) as generation:
        assert "".join(generation) == ""
    assert isinstance(generation.error, OwnerError) and OUTSIDE in generation.error.detail
    assert generation.ending is not None and "leads out of the house" in str(generation.ending.note)


def test_of_several_addresses_only_those_of_the_house_are_connected_to(names: Names, server: OpenAIServer) -> None:
    server.replies(answer("Because."))
    names(OUTSIDE, "127.0.0.1")
    port = server.url.split(":")[2]
    with asked(f"http://pc.lan:{port}", only_at_home=True) as generation:
        assert "".join(generation) == "Because."
    assert server.calls[0].headers["host"] == f"pc.lan:{port.removesuffix('/v1')}"


def test_a_number_outside_is_refused_too_and_an_encrypted_or_allowed_place_is_not(names: Names) -> None:
    for number in (OUTSIDE, "[2001:db8::1]"):
        with asked(f"http://{number}/v1", only_at_home=True) as generation:
            assert "".join(generation) == "" and isinstance(generation.error, OwnerError)
    places = ("https://203.0.113.9", "192.168.1.9", "http://203.0.113.9 plain_http=yes")
    entries = tuple(parse(f"small at {place}") for place in places)
    with ExitStack() as stops:
        rungs = open_rungs(Settings(models=entries), LONG)
        for url in ("http://pc.local", "https://gemini.example"):
            rungs += open_rungs(Settings(models=(Entry("gemini-1"),), key=KEY, gemini_url=url), LONG)
        for rung in rungs:
            stops.callback(rung.place.upstream.close)
        walls = [(rung.place.upstream.is_at_home, rung.place.upstream.only_at_home) for rung in rungs]
    assert walls == [(False, False), (True, True), (False, False), (False, True), (False, False)]


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("127.0.0.1", True), ("::1", True), ("192.168.1.20", True), ("fe80::1%eth0", True), ("fd12::1", True),
        ("::ffff:10.0.0.5", True), ("::ffff:8.8.8.8", False), ("172.32.0.1", False), ("100.64.0.1", False),
        ("2001:db8::1", False), ("0.0.0.0", False), ("pc.lan", False),
    ],
)  # fmt: skip
def test_the_house_is_what_no_router_sends_on(address: str, is_allowed: bool) -> None:
    assert is_at_home(address) == is_allowed


def test_a_name_that_nobody_knows_is_a_computer_that_is_not_reached() -> None:
    with asked("http://nobody.invalid:8080/v1", only_at_home=True) as generation:
        assert "".join(generation) == "" and isinstance(generation.error, UpstreamUnreachable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_server_is_not_followed(server: OpenAIServer, status: int) -> None:
    with FakeGemini() as elsewhere:
        server.default = Reply.redirect(f"{elsewhere.url}/v1/chat/completions", status)
        with asked(server.url) as generation:
            assert "".join(generation) == ""
        assert elsewhere.calls == []
    assert isinstance(generation.error, OwnerError) and len(server.calls) == 1
