"""The harness itself, tried in every engine against a small scripted server on loopback."""

import contextlib
import os
import signal
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from fakes.debian_packages import SetUpError

from .browser import Browser, DriverError
from .conftest import demand
from .engines import ENGINES, Chromium, CrashError, Engine, PhantomJS, W3m, unpack
from .ghostdriver import GhostDriver

LATE_SECONDS = 0.2
PAGES = {
    "/form": """<title>Ask 问</title><p>Ask me</p>
        <form method="post" action="/ask"><textarea name="question"></textarea><button>Send</button></form>
        <noscript>No script runs here.</noscript><p style="display: none">hidden</p>""",
    "/quiet": "<title>quiet</title><p>All is well.</p>",
    "/broken": """<title>broken</title><script>noSuchThing();</script>
        <script>window.alive = true;</script>""",
    "/too-new": """<title>too new</title><script>let x = (y) => `${y}`;</script>""",
    "/no-picture": """<title>no picture</title><img src="/nothing-here">""",
    "/tall": """<title>tall</title><style>p { margin: 0; height: 1500px; font: 40px serif }</style>
        <p>Good morning, 早上好, おはよう</p><p style="background: #000">down here</p>
        <a href="/quiet">the end</a>""",
    "/covered": """<title>covered</title><a href="/quiet">link</a>
        <div style="position: absolute; top: 0; left: 0; width: 500px; height: 500px">above it</div>""",
    "/stream-reader": """<title>stream</title>
        <form method="post" action="/ask"><input name="question"><button>Send</button></form>
        <script>
        var request = new XMLHttpRequest();
        request.onreadystatechange = function () {
            if (request.readyState === 3 && request.responseText) { window.early = request.responseText; }
            if (request.readyState === 4) { window.whole = request.responseText; }
        };
        request.open('GET', '/stream', true);
        request.send();
        </script>""",
}


class Server(ThreadingHTTPServer):
    """Serves PAGES, records submitted forms, and sends the second half of /stream only after `go_on` is set.

    /late begins after LATE_SECONDS and sends its second half after the same time again.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.questions: list[str] = []
        self.go_on = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stream":
            return self.stream()
        if self.path == "/late":
            return self.late()
        page = PAGES.get(self.path)
        return self.page(page or "<title>missing</title>", 200 if page else 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("ascii")
        self.server.questions += parse_qs(body)["question"]
        self.page("<title>asked</title><p>You asked something.</p>")

    def page(self, page: str, status: int = 200) -> None:
        body = f'<!DOCTYPE html><html><head><meta charset="utf-8">{page}</html>'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("X-Content-Type-Options", "nosniff")  # without it Chromium holds back 1,024 bytes
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk("first 一")
        self.server.go_on.wait(timeout=60)
        with contextlib.suppress(ConnectionError):  # the reader may have left
            self.chunk(" second 二")
            self.chunk("")

    def late(self) -> None:
        time.sleep(LATE_SECONDS)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk("<!DOCTYPE html><title>late</title><p>first half</p>" + 2000 * " ")
        time.sleep(LATE_SECONDS)
        self.chunk("<p>second half</p>")
        self.chunk("")

    def chunk(self, text: str) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text.encode()), text.encode()))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def test_a_page_opens_with_its_address_title_and_visible_text(browser: Browser, server: Server) -> None:
    browser.open(server.address("/form"))
    assert browser.url == server.address("/form")
    assert browser.title == "Ask 问"
    assert "Ask me" in browser.text
    assert "hidden" not in browser.text
    assert browser.errors() == []


def test_typing_chinese_text_into_a_form_reaches_the_server(browser: Browser, server: Server) -> None:
    browser.open(server.address("/form"))
    field = browser.find("textarea")
    browser.type(field, "为什么天是蓝的?")
    browser.type(field, " And why & how, at 100%?")
    browser.click(browser.find("button"))
    browser.wait_until("document.title === 'asked'")
    assert server.questions == ["为什么天是蓝的? And why & how, at 100%?"]


def test_the_page_has_the_asked_size_and_another_one_after_a_resize(browser: Browser, server: Server) -> None:
    browser.open(server.address("/tall"))
    inner = "return [window.innerWidth, window.innerHeight, document.documentElement.clientWidth];"
    assert browser.script(inner) == [600, 706, 600]
    browser.script("window.onresize = function () { window.resized = true; };")
    browser.resize(800, 506)
    browser.wait_until("window.resized")
    assert browser.script(inner) == [800, 506, 800]


def test_a_script_takes_values_and_elements_and_gives_back_values(browser: Browser, server: Server) -> None:
    browser.open(server.address("/form"))
    source = "return {tag: arguments[0].tagName, sum: arguments[1] + 1, text: arguments[2]};"
    assert browser.script(source, browser.find("textarea"), 41, "蓝") == {
        "tag": "TEXTAREA",
        "sum": 42,
        "text": "蓝",
    }
    with pytest.raises(DriverError, match="noSuchThing"):
        browser.script("return noSuchThing;")


def test_a_missing_element_is_an_error_that_names_it(browser: Browser, server: Server) -> None:
    browser.open(server.address("/quiet"))
    with pytest.raises(DriverError, match="#absent"):
        browser.find("#absent")


def test_a_script_error_of_the_page_is_reported_once(browser: Browser, server: Server) -> None:
    browser.open(server.address("/broken"))
    (error,) = browser.errors()
    assert "ReferenceError" in error
    assert "noSuchThing" in error
    assert browser.script("return window.alive;") is True
    assert browser.errors() == []


def test_a_script_error_is_still_reported_after_another_page_was_opened(browser: Browser, server: Server) -> None:
    browser.open(server.address("/broken"))
    browser.open(server.address("/quiet"))
    browser.reload()
    assert len(browser.errors()) == 1


def test_a_missing_picture_is_no_script_error(browser: Browser, server: Server) -> None:
    browser.open(server.address("/no-picture"))
    assert browser.errors() == []


def test_syntax_too_new_for_an_old_engine_is_a_script_error(
    browser: Browser,
    server: Server,
    engine: Engine,
) -> None:
    browser.open(server.address("/too-new"))
    errors = browser.errors()
    if engine.modern:
        assert errors == []
    else:
        (error,) = errors
        assert "SyntaxError" in error


def test_opening_a_page_waits_until_it_is_whole(browser: Browser, server: Server) -> None:
    browser.open(server.address("/late"))
    assert "second half" in browser.text
    browser.script("window.old = true;")
    browser.reload()
    assert browser.script("return !window.old;")
    assert "second half" in browser.text


@pytest.mark.parametrize(
    "engine",
    [each for each in ENGINES if isinstance(each, PhantomJS)],
    indirect=True,
    ids=lambda engine: engine.name,
)
def test_a_click_waits_for_a_page_that_begins_late(engine: Engine, browser: Browser, server: Server) -> None:
    assert isinstance(browser, GhostDriver)
    browser.open(server.address("/form"))
    browser.phantom(
        "var page = this, open = page.open;"
        "page.open = function (url) {"
        f"  setTimeout(function () {{ open.call(page, url); }}, {LATE_SECONDS * 1000});"
        "};"
    )
    browser.open(server.address("/quiet"))
    assert browser.title == "quiet"


def test_opening_another_place_of_the_same_page_loads_nothing(browser: Browser, server: Server) -> None:
    browser.open(server.address("/tall"))
    browser.script("window.old = true;")
    browser.open(server.address("/tall#end"))
    assert browser.url == server.address("/tall#end")
    assert browser.script("return window.old;") is True


def test_an_unreachable_page_is_an_error(browser: Browser, server: Server) -> None:
    browser.open(server.address("/quiet"))
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DriverError):
        browser.open(f"http://127.0.0.1:{port}/")
    browser.open(server.address("/quiet"))
    assert browser.title == "quiet"


painting = pytest.mark.parametrize(
    "engine", [each for each in ENGINES if each.pictures], indirect=True, ids=lambda engine: engine.name
)


@painting
@pytest.mark.parametrize("size", [(600, 706), (758, 899), (1072, 1231)], ids="{0[0]}x{0[1]}".format)
def test_a_screenshot_is_a_png_of_exactly_the_asked_size(
    engine: Engine, server: Server, screenshots: Path, size: tuple[int, int]
) -> None:
    with engine.start(*size) as browser:
        browser.open(server.address("/tall"))
        name = f"harness-{engine.name}-{size[0]}x{size[1]}.png"
        picture = browser.screenshot(screenshots / name).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == size


@painting
def test_a_screenshot_shows_the_scrolled_part(browser: Browser, server: Server, tmp_path: Path) -> None:
    browser.open(server.address("/tall"))
    above = browser.screenshot(tmp_path / "above.png").read_bytes()
    browser.script("window.scrollTo(0, 1500);")
    below = browser.screenshot(tmp_path / "below.png").read_bytes()
    assert above != below
    assert struct.unpack(">II", below[16:24]) == (600, 706)


def test_the_beginning_of_a_slow_response_is_seen_before_its_end(browser: Browser, server: Server) -> None:
    browser.open(server.address("/stream-reader"))
    # The server sends the rest only after this, so this text was seen before the end.
    assert browser.wait_until("window.early") == "first 一"
    assert browser.script("return window.whole === undefined;") is True
    server.go_on.set()
    assert browser.wait_until("window.whole") == "first 一 second 二"


def test_a_form_can_be_sent_during_a_slow_response(browser: Browser, server: Server) -> None:
    browser.open(server.address("/stream-reader"))
    browser.wait_until("window.early")
    browser.type(browser.find("input"), "为什么")
    browser.click(browser.find("button"))
    browser.wait_until("document.title === 'asked'")
    assert server.questions == ["为什么"]


def test_clicking_a_covered_element_is_an_error(browser: Browser, server: Server) -> None:
    browser.open(server.address("/covered"))
    with pytest.raises(DriverError):
        browser.click(browser.find("a"))


def test_a_click_scrolls_to_its_element(browser: Browser, server: Server) -> None:
    browser.open(server.address("/tall"))
    browser.click(browser.find("a"))
    browser.wait_until("document.title === 'quiet'")


def test_a_click_that_loads_no_page_returns_and_its_effect_shows(browser: Browser, server: Server) -> None:
    browser.open(server.address("/quiet"))
    browser.script("document.onclick = function (event) { document.title = event.target.tagName; };")
    browser.click(browser.find("p"))
    browser.wait_until("document.title === 'P'")


def test_a_wait_in_vain_fails_with_the_text_of_the_page(browser: Browser, server: Server) -> None:
    browser.open(server.address("/form"))
    with pytest.raises(AssertionError) as failure:
        browser.wait_until("window.never.comes", seconds=0.1)
    for part in ("window.never.comes", "Ask 问", "Ask me", server.address("/form")):
        assert part in str(failure.value)


def test_without_scripts_a_form_works_and_noscript_shows(scriptless_browser: Browser, server: Server) -> None:
    browser = scriptless_browser
    browser.open(server.address("/broken"))
    assert browser.script("return window.alive === undefined;") is True
    browser.open(server.address("/form"))
    assert "No script runs here." in browser.text
    browser.type(browser.find("textarea"), "蓝")
    browser.click(browser.find("button"))
    browser.wait_until("document.title === 'asked'")
    assert server.questions == ["蓝"]
    assert browser.errors() == []


def test_two_browsers_of_an_engine_share_no_storage(engine: Engine, server: Server) -> None:
    with engine.start(600, 706) as one, engine.start(600, 706) as other:
        for browser in (one, other):
            browser.open(server.address("/quiet"))
            assert browser.script("return !!window.localStorage;") is engine.storage
            assert browser.script("return document.cookie;") == ""
            browser.script("document.cookie = 'kept=1';")
            if engine.storage:
                assert browser.script("return localStorage.getItem('kept');") is None
                browser.script("localStorage.setItem('kept', '1');")


def test_an_engine_ends_when_its_test_fails(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.start(600, 706) as browser:
        raise ZeroDivisionError
    with pytest.raises(DriverError, match="does not answer"):
        browser.open("about:blank")


def test_an_engine_that_crashes_says_so_with_its_last_words(engine: Engine) -> None:
    before = children()
    with pytest.raises(CrashError, match=f"^{engine.name} ended with signal 9:\n"), engine.start(600, 706):
        (process,) = children() - before
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("kind", ["CrashError", "of its connection"])
def test_a_crash_gets_a_second_try(kind: str, tried: list[str]) -> None:
    tried.append(kind)
    if tried.count(kind) == 1:
        raise CrashError("signal 7") if kind == "CrashError" else DriverError("ConnectionClosedError()")


@pytest.fixture(scope="module")
def tried() -> list[str]:
    """What has been tried before."""
    return []


def children() -> set[int]:
    """The numbers of the processes that this one has started."""
    return {
        int(number) for file in Path("/proc/self/task").glob("*/children") for number in file.read_text().split()
    }


def test_the_text_browser_shows_a_page_without_its_scripts(w3m: W3m, server: Server) -> None:
    shown = w3m.dump(server.address("/form"))
    assert "Ask me" in shown
    assert "Send" in shown
    assert "No script runs here." in shown


def test_the_text_browser_sends_a_form(w3m: W3m, server: Server) -> None:
    assert "You asked something." in w3m.dump(server.address("/ask"), urlencode({"question": "为什么 & how?"}))
    assert server.questions == ["为什么 & how?"]


class Absent(Chromium):
    def missing(self) -> str | None:
        return "It is on holiday."


def test_a_missing_engine_skips_its_tests_but_fails_them_in_ci() -> None:
    with pytest.raises(pytest.skip.Exception, match="on holiday"):
        demand(Absent(), in_ci=False)
    with pytest.raises(pytest.fail.Exception, match="on holiday"):
        demand(Absent(), in_ci=True)


def test_a_program_with_a_wrong_checksum_is_refused_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("something else")
    with tarfile.open(tmp_path / "archive.tgz", "w:gz") as archive:
        archive.add(tmp_path / "program", "bin/program")
    with pytest.raises(SetUpError, match="sha256"):
        unpack(tmp_path / "archive.tgz", "bin/program", tmp_path / "set-up" / "program", sha256="0" * 64)
    assert list((tmp_path / "set-up").iterdir()) == []
