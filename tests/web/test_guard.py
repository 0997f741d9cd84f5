"""Admission of requests: through the real server where a loopback socket can send them, else by the guard alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from hypothesis import given
from hypothesis import strategies as st

from kindle_appliance.errors import ReaderError
from kindle_appliance.host.network import names_of_machine
from kindle_appliance.web.guard import Guard, Visit

RESOLVER = "# by the router\nnameserver 192.168.178.1\nsearch fritz.box LAN.\ndomain home\noptions edns0\n"
NAMES = {*names_of_machine("RaspberryPi", RESOLVER), "kindle.local"}
GUARD = Guard(lambda: NAMES, hosts=("Appliance.example.org", "203.0.113.9"), proxies=("127.0.0.9", "127.0.1.0/24"))
EVIL = "http://evil.example"

OUR_HOSTS = [
    *("127.0.0.1", "127.0.0.1:8080", "127.0.0.1:", "127.8.9.1", "10.0.0.1", "10.255.255.254:80", "172.16.0.1"),
    *("172.31.255.254", "192.168.0.1", "192.168.178.23:8080", "169.254.7.7:80", "[::1]", "[::1]:8080", "[fe80::1]"),
    *("[FE80::1]:80", "[fe80::1%25wlan0]:8080", "[fc00::1]", "[fd12:3456::1]:8080", "[::ffff:192.168.1.5]"),
    *("[0:0:0:0:0:0:0:1]", "localhost", "LOCALHOST:8080", "localhost.", "raspberrypi", "RaspberryPi:80"),
    *("raspberrypi.fritz.box", "raspberrypi.fritz.box.:8080", "raspberrypi.lan", "raspberrypi.home"),
    *("raspberrypi.local", "kindle.local", "Kindle.Local.:8080", "appliance.example.org", "203.0.113.9:8080"),
]
OTHER_HOSTS = [
    *("evil.example", "evil.example:8080", "kindle.local.evil.example", "127.0.0.1.evil.example", "kindle-2.local"),
    *("localhost.evil.example", "192.168.178.23.evil.example", "raspberrypi.evil.example", "fritz.box", "local"),
    *(
        ".local",
        "kindle",
        "other.local",
        "appliance.example.org.evil.example",
        "example.org",
        "xn--kndle-dta.local",
    ),
    *("8.8.8.8", "100.64.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1", "192.169.0.1", "11.0.0.1:8080"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.251", "192.0.2.1", "198.18.0.1", "203.0.113.10", "2130706433"),
    *("0x7f.1", "127.1", "127.000.000.001", "[2001:db8::1]", "[::]", "[fec0::1]", "[::ffff:8.8.8.8]:8080"),
    *("[ff02::1]", "[64:ff9b::c0a8:105]"),
]
NO_HOSTS = [
    *("", " ", "[::1", "::1", "fe80::1", "[]", "[:::]", "[::1]8080", "a b", "kindle.local, evil.example", "."),
    *("user@127.0.0.1", "127.0.0.1:80:80", "127.0.0.1:http", "127.0.0.1:999999", "127.0.0.1/x", "http://127.0.0.1"),
    *("<script>", "kindle.local#", "[::1%]", "k\xefndle.local", "kindle.local\x0b"),
]

# Host, further headers of a POST, and whether its page is ours.
SOURCES: list[tuple[str, dict[str, str], bool]] = [
    ("127.0.0.1:8080", {}, True),  # scripts, and old Kindles
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080"}, True),
    ("127.0.0.1:8080", {"Origin": "HTTP://127.0.0.1:8080"}, True),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:9090"}, False),  # another service of this machine
    ("127.0.0.1:8080", {"Origin": "https://127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "http://localhost:8080"}, False),  # it has other cookies, too
    ("127.0.0.1:8080", {"Origin": "null"}, False),
    ("127.0.0.1:8080", {"Origin": "NULL"}, False),
    ("127.0.0.1:8080", {"Origin": "http://"}, False),
    ("127.0.0.1:8080", {"Origin": "127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "//127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "ftp://127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "file://"}, False),
    ("127.0.0.1:8080", {"Origin": "chrome-extension://abcdefgh"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080@evil.example"}, False),
    ("127.0.0.1:8080", {"Origin": "http://evil.example@127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080.evil.example"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1\\.evil.example:8080"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080, http://evil.example"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:port"}, False),
    ("127.0.0.1:8080", {"Origin": "http://[::1"}, False),
    ("127.0.0.1:8080", {"Origin": EVIL}, False),
    ("127.0.0.1:8080", {"Origin": EVIL, "Referer": "http://127.0.0.1:8080/"}, False),
    ("127.0.0.1:8080", {"Origin": "http://127.0.0.1:8080", "Referer": f"{EVIL}/"}, True),
    ("127.0.0.1:8080", {"Origin": "", "Referer": ""}, True),
    ("127.0.0.1:8080", {"Origin": "", "Referer": f"{EVIL}/"}, False),
    ("127.0.0.1:8080", {"Referer": "http://127.0.0.1:8080/chats/1/1"}, True),
    ("127.0.0.1:8080", {"Referer": "http://127.0.0.1:8080"}, True),
    ("127.0.0.1:8080", {"Referer": f"{EVIL}/http://127.0.0.1:8080/"}, False),
    ("127.0.0.1:8080", {"Referer": f"{EVIL}:8080/"}, False),
    ("127.0.0.1:8080", {"Referer": "about:blank"}, False),
    ("127.0.0.1:8080", {"Referer": "/chats/1/1"}, False),
    ("127.0.0.1", {"Origin": "http://127.0.0.1"}, True),
    ("127.0.0.1", {"Origin": "http://127.0.0.1:80"}, True),
    ("127.0.0.1:80", {"Origin": "http://127.0.0.1"}, True),
    ("127.0.0.1", {"Origin": "http://127.0.0.1:443"}, False),
    ("127.0.0.1", {"Origin": "https://127.0.0.1"}, False),
    ("kindle.local", {"Origin": "http://kindle.local"}, True),
    ("Kindle.local.", {"Origin": "http://kindle.local"}, True),
    ("kindle.local", {"Origin": "http://raspberrypi.local"}, False),
    ("kindle.local", {"Origin": "http://evil.kindle.local"}, False),
    ("[::1]:8080", {"Origin": "http://[::1]:8080"}, True),
    ("[::1]:8080", {"Origin": "http://[0:0::1]:8080"}, True),
    ("[::1]:8080", {"Origin": "http://[::2]:8080"}, False),
    ("[::1]:8080", {"Origin": "http://::1:8080"}, False),
    ("[::ffff:127.0.0.1]:8080", {"Origin": "http://127.0.0.1:8080"}, True),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "same-origin"}, True),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "none"}, True),  # a typed address, or a bookmark
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "cross-site"}, False),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "Cross-Site"}, False),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"}, False),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9090"}, False),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}, True),
    ("127.0.0.1:8080", {"Sec-Fetch-Site": "same-origin", "Origin": EVIL}, False),
]
FOREIGN = {"Origin": EVIL, "Referer": f"{EVIL}/", "Sec-Fetch-Site": "cross-site"}

# Safe methods are allowed from foreign pages; all others, known or not, are refused.
METHODS = [("GET", 200), ("HEAD", 200), ("OPTIONS", 405), ("TRACE", 405)]
METHODS += [(method, 403) for method in ("POST", "PUT", "PATCH", "DELETE", "LOOK", "GETNOT")]

OUR_CLIENTS = [
    *("127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.0", "192.168.255.255", "169.254.0.1", "fc00::1", "fdff::1", "fe80::1", "fe80::1%wlan0", "febf::1"),
    *("::ffff:10.1.2.3", "::ffff:127.0.0.1"),
]
OTHER_CLIENTS = [
    *("8.8.8.8", "100.64.0.1", "100.127.255.254", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0"),
    *("192.167.255.255", "192.169.0.0", "169.253.0.1", "0.0.0.0", "192.0.0.8", "198.18.0.1", "203.0.113.1"),
    *("2001:db8::1", "2a00::1", "fec0::1", "fbff::1", "::", "::ffff:8.8.8.8", "64:ff9b::a00:1", "2002:a00:1::"),
    *("", "localhost", "unix:", "127.0.0.1:80", "10.0.0.1.evil.example"),
]

FORWARDED_7239, REAL_IP = {"Forwarded": "for=192.168.1.5"}, {"X-Real-IP": "192.168.1.5"}

# 127.0.0.9 is a trusted proxy. Peer, headers about its client, and the expected status.
FORWARDED: list[tuple[str, dict[str, str], int]] = [
    ("127.0.0.9", {}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5:61000"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "fe80::7"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "[fe80::7]:61000"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "8.8.8.8"}, 403),
    ("127.0.0.9", {"X-Forwarded-For": "2001:db8::1"}, 403),
    ("127.0.0.9", {"X-Forwarded-For": "100.64.3.4"}, 403),
    ("127.0.0.9", {"X-Forwarded-For": "unknown"}, 403),
    ("127.0.0.9", {"X-Forwarded-For": "_hidden"}, 403),
    (
        "127.0.0.9",
        {"X-Forwarded-For": "192.168.1.5, 8.8.8.8"},
        403,
    ),  # the first address may be forged by the client
    ("127.0.0.9", {"X-Forwarded-For": "8.8.8.8, 192.168.1.5"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "8.8.8.8, 127.0.1.4"}, 403),  # two trusted proxies
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5,127.0.1.4,"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5", "X-Forwarded-Host": "kindle.local"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5", "X-Forwarded-Host": "evil.example"}, 421),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5", "X-Forwarded-Host": "evil.example, kindle.local"}, 200),
    ("127.0.0.9", {"X-Forwarded-For": "192.168.1.5", "X-Forwarded-Host": "[::1"}, 400),
    *[("127.0.0.9", {"X-Forwarded-For": "192.168.1.5", **other}, 200) for other in (FORWARDED_7239, REAL_IP)],
    *[
        ("127.0.0.9", other, 403) for other in (FORWARDED_7239, REAL_IP)
    ],  # it forwards for a client without naming it
    ("127.0.0.9", {"X-Forwarded-Host": "kindle.local"}, 403),
    ("127.0.0.9", {"X-Forwarded-Proto": "https"}, 403),
    ("127.0.0.8", {}, 200),
    *[("127.0.0.8", other, 403) for other in (FORWARDED_7239, REAL_IP)],
    ("127.0.0.8", {"X-Forwarded-For": "192.168.1.5"}, 403),
    ("127.0.0.8", {"X-Forwarded-For": "127.0.0.9"}, 403),
    ("127.0.0.8", {"X-Forwarded-Host": "kindle.local"}, 403),
    ("127.0.0.8", {"X-Forwarded-Proto": "https"}, 200),  # has no meaning from there
]
PROXY = {"X-Forwarded-For": "192.168.1.5"}
FORWARDED_SOURCES: list[tuple[dict[str, str], bool]] = [
    ({"Origin": "http://kindle.local"}, True),
    ({"Origin": "https://kindle.local"}, True),  # no header tells the scheme
    ({"Origin": "https://kindle.local", "X-Forwarded-Proto": "https"}, True),
    ({"Origin": "http://kindle.local", "X-Forwarded-Proto": "https"}, False),
    ({"Origin": "https://kindle.local", "X-Forwarded-Proto": "http"}, False),
    ({"Origin": "https://appliance.example.org", "X-Forwarded-Host": "appliance.example.org"}, True),
    ({"Origin": "https://appliance.example.org:8443", "X-Forwarded-Host": "appliance.example.org:8443"}, True),
    ({"Origin": "https://kindle.local", "X-Forwarded-Host": "appliance.example.org"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": EVIL}, False),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with FakeGemini() as gemini, House(gemini.url, tmp_path_factory.mktemp("house"), guard=GUARD) as house:
        yield house


def say(house: House, head: list[str], body: str = "", client: str = "127.0.0.1") -> tuple[int, str]:
    """Send a request with exactly these lines; returns the status and the whole response."""
    lines = [*head, f"Content-Length: {len(body)}", "Content-Type: application/x-www-form-urlencoded"]
    with socket.create_connection(("127.0.0.1", house.server.port), 20, (client, 0)) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", body]).encode("latin-1"))
        response = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(response.split(" ", 2)[1]), response


def head(method: str, path: str, host: str, headers: dict[str, str]) -> list[str]:
    return [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {headers[name]}" for name in headers)]


def refusal(guard: Guard, visit: Visit) -> int:
    """The status of a refused visit; 0 if it is admitted."""
    try:
        guard.admit(visit)
    except ReaderError as error:
        return error.status
    return 0


# ---- The table


@pytest.mark.parametrize("host", OUR_HOSTS)
def test_the_machines_own_names_and_the_addresses_of_the_house_are_answered(house: House, host: str) -> None:
    assert say(house, head("GET", "/", host, {}))[0] == 200
    assert say(house, head("POST", "/look", host, {}), "look=3&back=/")[0] == 303


@pytest.mark.parametrize("host", OTHER_HOSTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_names_and_addresses_are_refused_with_the_setting_that_would_allow_them(
    house: House, method: str, host: str
) -> None:
    status, response = say(house, head(method, "/ask", host, {}), "question=Why%3f")
    assert status == 421 and "setting “hosts”" in response
    assert not house.chats.recent(1)


@pytest.mark.parametrize("host", NO_HOSTS, ids=ascii)
def test_an_invalid_host_is_refused(house: House, host: str) -> None:
    assert say(house, head("GET", "/", host, {}))[0] == 400


@pytest.mark.parametrize("lines", [["GET / HTTP/1.0"], ["GET / HTTP/1.1"], ["GET http://kindle.local/ HTTP/1.1"]])
def test_a_request_without_a_host_is_refused(house: House, lines: list[str]) -> None:
    assert say(house, lines)[0] == 400
    assert say(house, [*lines, "Host: kindle.local", "Host: evil.example"])[0] == 400
    assert say(house, [*lines, "Host: kindle.local"])[0] == 200


@pytest.mark.parametrize(("host", "headers", "is_ours"), SOURCES)
def test_a_state_changing_request_must_come_from_this_hosts_page_or_name_no_source(
    house: House, host: str, headers: dict[str, str], is_ours: bool
) -> None:
    lines = head("POST", "/look", host, headers)
    status, response = say(house, lines, "look=3&back=/")
    assert (status, "sent by another page" in response) == ((303, False) if is_ours else (403, True))
    assert say(house, head("GET", "/chats", host, headers))[0] == 200, "a link from anywhere may lead here"


@pytest.mark.parametrize(("method", "status"), METHODS)
def test_only_safe_methods_may_come_from_a_foreign_page(house: House, method: str, status: int) -> None:
    assert say(house, head(method, "/", "127.0.0.1", FOREIGN))[0] == status


@pytest.mark.parametrize(
    "path", ["/ask", "/look", "/answers/1/stop", "/chats/1/delete", "/api/chat", "/check", "/pin", "/no-such-page"]
)
def test_no_state_changing_request_may_come_from_a_foreign_page(house: House, path: str) -> None:
    for header in FOREIGN:
        status, response = say(house, head("POST", path, "127.0.0.1", {header: FOREIGN[header]}), "question=Why%3f")
        assert status == 403
        assert ('{"error": "This was sent by' in response) == path.startswith("/api/")
    assert not house.chats.recent(1)


@pytest.mark.parametrize("client", OUR_CLIENTS)
def test_clients_of_the_house_may_connect(client: str) -> None:
    for host in ("kindle.local", "192.168.178.23:8080"):
        assert refusal(GUARD, Visit("GET", client, host)) == refusal(GUARD, Visit("POST", client, host)) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [("::ffff:10.1.2.3", "", "10.1.2.3"), ("fe80::1%wlan0", "", "fe80::1"), ("127.0.0.9", "10.1.2.3:5", "10.1.2.3"),
     ("127.0.0.9", "[fe80::7]", "fe80::7"), ("127.0.0.9", "", "127.0.0.9")],
)  # fmt: skip
def test_the_client_is_the_one_behind_the_proxies(peer: str, forwarded: str, client: str) -> None:
    assert GUARD.admit(Visit("GET", peer, "kindle.local", forwarded_for=forwarded)) == client


def test_a_trusted_proxy_is_recognized_by_its_address() -> None:
    assert GUARD.is_proxy("127.0.0.9") and GUARD.is_proxy("::ffff:127.0.1.7")
    assert not any(map(GUARD.is_proxy, ("127.0.0.8", "10.0.0.1", "", "localhost")))


@pytest.mark.parametrize("client", OTHER_CLIENTS)
def test_clients_from_other_networks_are_refused(client: str) -> None:
    for host in ("kindle.local", client):
        with pytest.raises(ReaderError, match="setting “networks”") as error:
            GUARD.admit(Visit("GET", client, host))
        assert error.value.status == 403


@pytest.mark.parametrize(("peer", "headers", "status"), FORWARDED)
def test_a_proxy_is_trusted_only_if_the_settings_name_it(
    house: House, peer: str, headers: dict[str, str], status: int
) -> None:
    found, response = say(house, head("GET", "/", "kindle.local", headers), client=peer)
    assert found == status
    assert ("setting “proxies”" in response) == (peer == "127.0.0.8" and status == 403)
    says_nobody = peer == "127.0.0.9" and headers and "X-Forwarded-For" not in headers
    assert ("does not say in “X-Forwarded-For”" in response) == bool(says_nobody)


@pytest.mark.parametrize(("headers", "is_ours"), FORWARDED_SOURCES)
def test_behind_a_proxy_the_source_must_match_the_host_asked_of_the_proxy(
    house: House, headers: dict[str, str], is_ours: bool
) -> None:
    lines = head("POST", "/look", "kindle.local", {**PROXY, **headers})
    assert say(house, lines, "look=3&back=/", "127.0.0.9")[0] == (303 if is_ours else 403)


# ---- Settings


def test_the_owners_networks_replace_the_usual_ones_but_this_machine_may_always_ask() -> None:
    tailnet = Guard(networks=("100.64.0.0/10", "192.168.178.77/24", "10.1.2.3"))
    for address in ("100.64.0.1", "192.168.178.1", "10.1.2.3", "127.0.0.1", "::1"):
        host = f"[{address}]" if ":" in address else address
        assert refusal(tailnet, Visit("POST", address, host)) == 0
    for address in ("192.168.179.1", "10.1.2.4", "fe80::1", "172.16.0.1"):
        host = f"[{address}]:8080" if ":" in address else address
        assert refusal(tailnet, Visit("GET", address, host)) == 403
        assert refusal(tailnet, Visit("GET", "127.0.0.1", host)) == 421
    assert refusal(Guard(networks=()), Visit("GET", "192.168.178.1", "127.0.0.1")) == 403


def test_under_narrow_networks_the_machine_keeps_its_own_addresses_and_may_ask_itself() -> None:
    kindle_only = Guard(lambda: {"pi", "192.168.178.5"}, networks=("192.168.178.20",))
    for client in ("192.168.178.20", "192.168.178.5", "::ffff:192.168.178.5"):
        assert refusal(kindle_only, Visit("POST", client, "192.168.178.5:8080")) == 0
        assert refusal(kindle_only, Visit("POST", client, "192.168.178.6:8080")) == 421
    assert refusal(kindle_only, Visit("GET", "192.168.178.6", "pi")) == 403


def test_a_name_acquired_later_is_answered_from_then_on() -> None:
    names: set[str] = set()
    guard = Guard(lambda: names)
    assert refusal(guard, Visit("GET", "127.0.0.1", "kindle-2.local")) == 421
    names.add("kindle-2.local")
    assert refusal(guard, Visit("GET", "127.0.0.1", "kindle-2.local")) == 0


@pytest.mark.parametrize(
    ("host_name", "resolver", "names"),
    [
        ("raspberrypi", "", {"raspberrypi", "raspberrypi.local"}),
        ("Pi", "search fritz.box\n", {"pi", "pi.local", "pi.fritz.box"}),
        ("pi.home.arpa", "", {"pi", "pi.local", "pi.home.arpa"}),
        (
            "pi",
            "nameserver 1.1.1.1\n; search no\n#search no\n search\tA.  b. .\n",
            {"pi", "pi.local", "pi.a", "pi.b"},
        ),
        ("pi", "domain\nsearch\n\n\0\n", {"pi", "pi.local"}),
    ],
)
def test_a_machine_has_its_name_bare_under_local_and_under_each_domain_of_its_network(
    host_name: str, resolver: str, names: set[str]
) -> None:
    assert names_of_machine(host_name, resolver) == names


# ---- The page of a refusal


def test_a_refusal_is_a_short_page_in_the_readers_language_and_escapes_sent_text(house: House) -> None:
    for language, words in (("en", "does not know the name “evil-x.example”"), ("zh-CN", "“evil-x.example”")):
        lines = ["GET /chats HTTP/1.1", "Host: evil-x.example:80", f"Accept-Language: {language}"]
        status, response = say(house, lines)
        assert status == 421 and words in response and "script-src" in response
        assert ("不认识" in response) == (language == "zh-CN")
    response = say(house, ["GET /chats HTTP/1.1", f"Host: {'x' * 9000}.example"])[1]
    assert f"“{'x' * 80}…”" in response and "x" * 81 not in response
    response = say(house, head("GET", "/", "kindle.local", {"X-Forwarded-For": "<b>8.8.8.8"}), client="127.0.0.9")[
        1
    ]
    assert "&lt;b&gt;8.8.8.8 is not an address" in response


def test_a_refusal_is_in_the_log_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for _ in range(3):
            say(house, head("GET", "/", "rebound.example", {}))
            say(house, head("POST", "/ask", "127.0.0.1", {"Origin": "http://bait.example"}))
    assert [record.message.count("refused 127.0.0.1") for record in caplog.records] == [1, 1]
    assert "rebound.example" in caplog.text and "bait.example" in caplog.text


# ---- Any input

WORDS = st.text(max_size=40) | st.sampled_from([*OUR_HOSTS, *OTHER_HOSTS, *NO_HOSTS, *OUR_CLIENTS, *OTHER_CLIENTS])


@given(st.lists(WORDS, min_size=8, max_size=10))
def test_any_request_is_admitted_or_refused_with_a_known_status(words: list[str]) -> None:
    guard = Guard(lambda: NAMES, proxies=("0.0.0.0/0", "::/0"))
    assert refusal(guard, Visit("POST", *words)) in (0, 400, 403, 421)
