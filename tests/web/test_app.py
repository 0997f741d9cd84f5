"""Behaviour of every route: malformed headers, methods, short error pages, compression, languages, our own bugs."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from bottle import Bottle
from fakes.gemini import FakeGemini
from fakes.house import House, answered
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kindle_appliance.web.paths import BOOK
from kindle_appliance.web.pin import Gate


@pytest.mark.parametrize(
    "header",
    [
        {"Cookie": "odd=[1, 2]; =none; path=/; look=28; a,b=c; device=abcdefgh"},
        {"Cookie": 'a="b; look=28; é=é; \udcff'},
        {"Cookie": "look=28", "Accept-Language": "\udcff\udcfe"},
        {"Cookie": "look=28", "User-Agent": "\udcff", "Accept": "\udcff", "Content-Type": "a; b; c"},
    ],
)
def test_malformed_headers_do_not_hide_the_others(house: House, header: dict[str, str]) -> None:
    raw = {name: value.encode("utf-8", "surrogateescape") for name, value in header.items()}
    response = house.client.request("GET", house.url + "/", headers=raw)  # type: ignore[arg-type]
    assert response.status == 200 and 'class="size-28"' in response.data.decode()


def test_a_browser_that_takes_no_gzip_gets_none(house: House) -> None:
    for accepted in ("", "deflate", "identity"):
        response = house.get("/", Accept_Encoding=accepted)
        assert "Content-Encoding" not in response.headers and response.headers["Vary"] == "Accept-Encoding"
        assert response.data.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    "path",
    ["/chats/9/delete", "/chats/9", "/chats/1/9", "/chats/0/0", "/chats/x/y", f"/chats/{'9' * 40}/1", "/answers/9",
     "/answers/x", f"/answers/{'9' * 15}", "/nothing", "/static/page.js", "/../etc/passwd", "/%00", "/chats/1/1/",
     "/answers/"],
)  # fmt: skip
def test_an_unknown_path_gets_a_short_page(house: House, path: str) -> None:
    response = house.get(path)
    assert response.status == 404 and "There is no such page here." in response.data.decode()


def test_pages_are_in_the_readers_language(house: House) -> None:
    chinese = house.get("/", Accept_Language="zh-CN,zh;q=0.9").data.decode()
    assert '<html lang="zh-CN"' in chinese and "您的问题" in chinese and "Your question" not in chinese
    assert "没有这个页面" in house.get("/nothing", Accept_Language="zh").data.decode()


def test_the_owner_can_fix_the_language(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, language="zh-CN") as house:
        assert "您的问题" in house.get("/", Accept_Language="en").data.decode()


def test_the_demo_says_so_on_every_page(gemini: FakeGemini, tmp_path: Path) -> None:
    with House(gemini.url, tmp_path, is_demo=True) as house:
        path = answered(gemini, house, "A demo.")
        for each in ("/", "/chats", path, "/nothing"):
            assert "Demo: these answers are examples" in house.get(each).data.decode()


def test_every_state_changing_request_is_a_post(gemini: FakeGemini, house: House) -> None:
    for path in ("/ask", "/answers/1/stop", "/api/chat"):
        assert house.get(path).status == 405
    assert house.post("/", {}).status == 405


def test_a_bug_shows_no_traceback_to_the_reader(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(house.chats, "recent", lambda *_, **__: 1 // 0)
    response = house.get("/chats")
    page = response.data.decode()
    assert response.status == 500 and "The appliance made a mistake." in page
    assert "Traceback" not in page and "ZeroDivision" not in page
    assert "ZeroDivisionError" in caplog.text, "it is in the log"


# ---- Methods

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROXY", "ANY", "X-NEW"]
PATHS = ["/", "/ask", "/chats", "/chats/1", "/chats/1/1", "/chats/1/delete", "/answers/1", "/answers/1?as=events",
         "/answers/1?wait=0", "/answers/1/stop", "/api/chat", "/check", "/check/stream", "/healthz", "/nothing",
         "/answers/1?from=x", "/?chat=9", "http://localhost/chats", "*", "//chats"]  # fmt: skip
GATE = Gate("1234", b"secret")
SESSION = f"pin={GATE.open_session(2e9)}"


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch, gemini: FakeGemini, tmp_path: Path) -> Iterator[dict[str, set[str]]]:
    """The methods of every route of the house, by a path that it takes."""
    found: dict[str, set[str]] = {}
    add = Bottle.add_route

    def noting(app: Bottle, route: object) -> None:
        path = route.rule.replace(f"<name:re:{BOOK}>", "1" * 64)  # type: ignore[attr-defined]
        path = re.sub("<[^>]*(\\[[^]]*][^>]*)?>", "1", path)
        found.setdefault(path, set()).add(route.method)  # type: ignore[attr-defined]
        add(app, route)

    monkeypatch.setattr(Bottle, "add_route", noting)
    with House(gemini.url, tmp_path, gate=GATE):
        pass
    yield found
    assert {"/", "/chats/1/1", "/pin", "/healthz"} <= set(found)


def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(
    routes: dict[str, set[str]], gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, gate=GATE) as house:
        session = {"Cookie": SESSION}
        for path, methods in routes.items():
            allowed = methods | ({"HEAD"} if "GET" in methods else set())
            for method in set(METHODS) - allowed:
                response = house.client.request(method, house.url + path, headers=session)
                assert (response.status, response.headers.get("Allow")) == (405, ", ".join(sorted(allowed))), path
                assert bool(response.data) == (method != "HEAD")
            response = house.client.request("DELETE", house.url + path + "/none", headers=session)
            assert (response.status, "Allow" in response.headers) == (404, False)


def ask_all(
    port: int, requests: list[tuple[str, str]], **headers: str
) -> Iterator[tuple[int, dict[str, str], int]]:
    """Send requests over one connection, all at once; return status, headers and length of each response."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    lines = [f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n" for method, path in requests]
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall("".join(lines).encode())
        with client.makefile("rb") as file:
            for method, _ in requests:
                response = http.client.HTTPResponse(OneFile(file), method=method)  # type: ignore[arg-type]
                response.begin()
                assert method == "HEAD" or response.length is not None or response.chunked
                yield response.status, dict(response.headers.items()), len(response.read())
                if response.headers.get("Connection") == "close":
                    return


class OneFile:
    """A socket for `HTTPResponse`, which closes the file of each: that must not end the next one's."""

    def __init__(self, file: object) -> None:
        self._file = file

    def makefile(self, mode: str) -> OneFile:
        return self

    def __getattr__(self, name: str) -> object:
        return (lambda: None) if name == "close" else getattr(self._file, name)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(st.tuples(st.sampled_from([*METHODS[:2] * 4, *METHODS]), st.sampled_from(PATHS)), max_size=8)
)
@example(requests=[("HEAD", path) for path in PATHS])
@example(requests=[("HEAD", "/answers/1"), ("GET", "/answers/1"), ("GET", "/chats")])
def test_responses_stay_in_step_with_requests_of_any_method(
    gemini: FakeGemini, house: House, requests: list[tuple[str, str]]
) -> None:
    """A body behind a response to HEAD would be read as the beginning of the next response."""
    if not house.chats.recent(1):
        answered(gemini, house, "One.\n\nTwo.")
    found = list(ask_all(house.server.port, [*requests, ("GET", "/healthz")]))
    closing = [number for number, (_, headers, _) in enumerate(found) if headers.get("Connection") == "close"]
    if not closing:
        assert len(found) == len(requests) + 1 and found[-1][0] == 200
    for number in closing:
        assert requests[number][0] != "HEAD", "the connection stays open"


def test_head_has_the_status_and_the_length_of_get_and_no_body(
    routes: dict[str, set[str]], gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path) as house:
        answered(gemini, house, "One.\n\nTwo.")
    with House(gemini.url, tmp_path, gate=GATE) as house:
        for cookie in (f"device=abcdefgh; {SESSION}", "device=abcdefgh"):
            for path in [*routes, "/nothing", "/answers/1?from=x", "/answers/1?as=events", "/answers/1?wait=0"]:
                (get,) = ask_all(house.server.port, [("GET", path)], Cookie=cookie)
                head, after = ask_all(house.server.port, [("HEAD", path), ("GET", "/healthz")], Cookie=cookie)
                if get[0] != 405:
                    assert head[0] == get[0], path
                    assert head[1].get("Content-Length") == get[1].get("Content-Length"), path
                assert head[2] == 0 and after[0] == 200, path


def test_of_a_request_for_a_whole_url_its_host_counts(house: House) -> None:
    """RFC 9112, 3.2.2: the header Host is ignored then."""
    for target, host, status in (
        ("http://localhost/chats", "evil.example", 200),
        ("http://evil.example/chats", "localhost", 421),
        ("http://evil@localhost/chats", "localhost", 400),
    ):
        with socket.create_connection(("127.0.0.1", house.server.port), 20) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert client.recv(100).startswith(f"HTTP/1.1 {status} ".encode()), target
