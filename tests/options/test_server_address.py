"""The address of a model server: whatever people give is understood in one way, or refused in one sentence."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kindle_appliance.options.server_address import ServerAddress

UNDERSTOOD = {
    # As it stands in the notes of the server's own program, on a router's page, or in a browser's bar.
    "pc.local": "http://pc.local/v1",
    "pc.local:11434": "http://pc.local:11434/v1",
    " http://pc.local:11434/ ": "http://pc.local:11434/v1",
    "HTTP://PC.Local:8080/v1/": "http://pc.local:8080/v1",
    "http://pc.local:8080/v1/chat/completions": "http://pc.local:8080/v1",
    "http://pc.local:8080//v1//models/": "http://pc.local:8080/v1",
    "http://pc.local:8080/v1/v1": "http://pc.local:8080/v1",
    "http://pc.local:11434/api/chat": "http://pc.local:11434/v1",
    "http://pc.local:80": "http://pc.local/v1",
    "http://pc.local:443": "http://pc.local:443/v1",
    "pc.local:443": "https://pc.local/v1",
    "pc.local.": "http://pc.local/v1",
    "https://pc.local": "https://pc.local/v1",
    "pc": "http://pc/v1",
    "localhost:1234": "http://localhost:1234/v1",
    "desktop-3f9a.fritz.box:1234": "http://desktop-3f9a.fritz.box:1234/v1",
    "my_pc.lan:1234": "http://my_pc.lan:1234/v1",
    "192.168.1.20:8080": "http://192.168.1.20:8080/v1",
    "[fd00::1]:8080": "http://[fd00::1]:8080/v1",
    "[::1]": "http://[::1]/v1",
    "[::ffff:192.168.1.20]": "http://[::ffff:192.168.1.20]/v1",
    "openrouter.ai/api": "https://openrouter.ai/api/v1",
    "api.groq.com/openai/v1": "https://api.groq.com/openai/v1",
    "http://203.0.113.9:8080": "http://203.0.113.9:8080/v1",
    "https://generativelanguage.googleapis.com/v1beta/openai/": (
        "https://generativelanguage.googleapis.com/v1beta/openai"
    ),
    "https://open.bigmodel.cn/api/paas/v4": "https://open.bigmodel.cn/api/paas/v4",
}

REFUSED = {
    "neither http:// nor https://": "ftp://pc.local ws://pc httpx://pc file:///etc/passwd javascript://pc",
    "its port": "pc.local:0 pc.local:65536 pc.local:http pc.local:-1 pc.local:99999999999",
    "more than": "user@pc user:word@pc @pc.local pc/v1?key=1 pc#top pc/v1,b pc/v1;b pc/a=b pc/<b> pc/' pc/v1?",
    "a character": "my\npc p\tc bücher.local pc.local:８０ 好 pc\N{NO-BREAK SPACE}local",
    "no computer": "/ http:// http:///v1 //pc :80 http:/pc.local http//pc http://http://pc.local https:pc.local"
    " pc..local pc.local.. [fd00::1 [pc] 0.0.0.0:11434 [::] 192.168.1 192.168.1.256 0x7f000001 2130706433 pc.0x8"
    f" 010.0.0.1 [fe80::1%eth0] pc.local\\evil.example {'a' * 64} {'a.' * 127}ab",
    "it": "fd00::1",
}
"""A part of the sentence, and what it refuses."""

INSIDE = (
    *(
        "pc",
        "localhost",
        "pc.local",
        "a.b.local",
        "pc.lan",
        "pc.home",
        "pc.home.arpa",
        "pc.internal",
        "pc.localdomain",
    ),
    *("fritz.box", "pc.fritz.box", "speedport.ip", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1"),
    *("127.0.0.1", "127.8.8.8", "[::1]", "[fd00::1]", "[fe80::1]", "[::ffff:10.0.0.1]"),
)
OUTSIDE = (
    *(
        "openrouter.ai",
        "evilfritz.box",
        "fritz.box.example.com",
        "local.example.com",
        "pc.local.example.com",
        "my.box",
    ),
    *("8.8.8.8", "172.32.0.1", "192.169.0.1", "100.64.0.1", "[2001:db8::1]", "[::ffff:8.8.8.8]", "10.example.com"),
    *("my.box", "thelocal.se", "notlocal.localx", "127.0.0.1.nip.io"),
)


@pytest.mark.parametrize(("given_as", "understood"), UNDERSTOOD.items())
def test_an_address_is_understood_as_people_give_it(given_as: str, understood: str) -> None:
    address = ServerAddress.parse(given_as)
    assert str(address) == understood
    assert ServerAddress.parse(understood) == address


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_address_is_refused_and_not_repeated(reason: str) -> None:
    for text in REFUSED[reason].split(" "):
        with pytest.raises(ValueError, match=re.escape(reason)) as error:
            ServerAddress.parse(text)
        assert text not in str(error.value)


@pytest.mark.parametrize("text", ["", " ", "my pc", "pc.local 8080", "pc.local/a b", "http:// pc"])
def test_neither_nothing_nor_several_words_are_an_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it (names no computer|has a character)"):
        ServerAddress.parse(text)


@pytest.mark.parametrize("host", INSIDE)
def test_a_computer_of_the_house_is_asked_over_plain_http(host: str) -> None:
    address = ServerAddress.parse(f"{host}:8080")
    assert (address.is_private, address.is_secure) == (True, False)


@pytest.mark.parametrize("host", OUTSIDE)
def test_a_server_outside_is_asked_over_https(host: str) -> None:
    address = ServerAddress.parse(f"{host}:8080")
    assert (address.is_private, address.is_secure) == (False, True)
    assert not ServerAddress.parse(f"http://{host}").is_private


@given(
    st.sampled_from(["", "http://", "https://", "HTTP://"]),
    st.sampled_from([*INSIDE, *OUTSIDE]),
    st.sampled_from(["", ":1", ":80", ":443", ":8080", ":11434", ":65535"]),
    st.sampled_from(["", "/v1", "/api", "/openai/v1", "/v1beta/openai", "/a-b.c/~d"]),
    st.sampled_from(["", "/", "//", "/models", "/chat/completions", "/chat/completions/", "/models/models"]),
)
@example("", "pc", "", "", "/chat/chat/completions")
def test_all_ways_to_write_an_address_mean_one_and_it_means_itself(
    scheme: str, host: str, port: str, path: str, end: str
) -> None:
    address = ServerAddress.parse(f"{scheme}{host}{port}{path}{end}")
    assert address == ServerAddress.parse(f"{scheme}{host.upper()}{port}{path}")
    assert ServerAddress.parse(str(address)) == address
    assert address.host == host.strip("[]") and re.search(r"/v1(beta/openai)?$", address.path)
    assert address.name == host + port.removesuffix(":443" if address.is_secure else ":80")
    assert ServerAddress.parse(address.name).host == address.host
    if scheme:
        assert address.is_secure == (scheme == "https://")


@given(st.text(max_size=30) | st.text("htps:/.@[]0x1v%?# -_", max_size=30) | st.from_regex("https?://.{0,20}"))
def test_any_text_is_an_address_that_means_itself_or_is_refused_in_a_sentence(text: str) -> None:
    try:
        address = ServerAddress.parse(text)
    except ValueError as error:
        assert str(error).startswith("it") and str(error).isprintable()
        return
    shown = str(address)
    assert re.fullmatch("https?://[!-~]+", shown) and "@" not in address.name and 0 < address.port < 65536
    assert ServerAddress.parse(shown) == address
