"""The appliance's defences in real browsers: foreign markup, foreign pages, foreign frames."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House
from fakes.proxy import Proxy

from kindle_appliance.answers.answer import News
from kindle_appliance.storage.rows import Turn
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.reader import Reader
from kindle_appliance.web.templates import Page

from .browser import Browser
from .engines import ENGINES
from .steps import answered, begin

KNOWING_HASHES = [each for each in ENGINES if each.name.startswith("chromium")]
NOT_IN_A_FRAME = [each for each in ENGINES if each.pictures]
"""The other one is driven in a frame itself, which a page of another origin would leave."""

# As if the typesetter had let it through.
INJECTED = """
<script>window.ran = 'a script';</script>
<img src="/no-such-picture" onerror="window.ran = 'a handler'">
<svg onload="window.ran = 'an image'"></svg>
<iframe src="javascript:parent.ran = 'a frame'"></iframe>
<object data="/no-such-object"></object>
<link rel="stylesheet" href="/no-such-style">
<style>#turn { visibility: hidden; }</style>
<p id="styled" style="visibility: hidden">Text</p>
<base href="http://127.0.0.1:9/">
<a id="clicked" href="javascript:window.ran = 'a link'">Tap</a>
<form id="foreign" action="http://127.0.0.1:9/" method="post"><input name="question"></form>
"""


@contextmanager
def stranger(page: str) -> Iterator[str]:
    """The address of a foreign page: another port is another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("engine", KNOWING_HASHES, indirect=True, ids=lambda each: each.name)
def test_foreign_markup_on_the_page_runs_loads_and_hides_nothing(
    browser: Browser, gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Pages.reading

    def reading_with_more(
        pages: Pages, reader: Reader, turn: Turn, turns: int, news: News, form: str, *more: object
    ) -> Page:
        page = reading(pages, reader, turn, turns, news, form, *more)  # type: ignore[arg-type]
        assert 'id="text">' in page
        return Page(page.replace('id="text">', f'id="text">{INJECTED}'), page.policy)

    path = answered(house, gemini, "The answer itself.")
    monkeypatch.setattr(Pages, "reading", reading_with_more)
    with Proxy(house.server.port) as proxy:
        browser.open(proxy.url + path)
        browser.wait_until("document.documentElement.className.indexOf('scripted') >= 0")
        browser.script("document.getElementById('clicked').click(); document.getElementById('foreign').submit();")
        seen = browser.script(
            "function shown(id) { return getComputedStyle(document.getElementById(id)).visibility; }"
            "return [window.ran || null, shown('turn'), shown('styled'), document.links[0].host];"
        )
        assert seen == [None, "visible", "visible", proxy.url.removeprefix("http://")]
        assert "The answer itself." in browser.text and browser.url == proxy.url + path
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("engine", NOT_IN_A_FRAME, indirect=True, ids=lambda each: each.name)
def test_a_form_on_a_foreign_page_asks_no_question(browser: Browser, house: House) -> None:
    field = '<input name="question" value="Why?"><input type="submit">'
    form = f'<form action="{house.url}/ask" method="post">{field}</form>'
    with stranger(f"<!DOCTYPE html><title>Prizes</title>{form}") as url:
        browser.open(url)
        browser.click(browser.find("input[type=submit]"))
        browser.wait_until("document.title !== 'Prizes' && !!document.body")
    assert "This was sent by another page." in browser.text
    assert not house.chats.recent(1)


@pytest.mark.parametrize("engine", NOT_IN_A_FRAME, indirect=True, ids=lambda each: each.name)
def test_our_pages_are_not_shown_in_a_frame_of_a_foreign_page(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    path = "/chats/{}/{}".format(*house.ask("Why?"))
    call = begin(gemini)
    with Proxy(house.server.port) as proxy:
        with stranger(f'<!DOCTYPE html><title>Prizes</title><iframe src="{proxy.url}{path}"></iframe>') as url:
            browser.open(url)
            browser.wait_until("document.readyState === 'complete'")
        framed = list(proxy.requests)
        browser.open(proxy.url + path)
        call.finish("Because.")
        browser.wait_until("document.body.className.indexOf('ended') >= 0")
        asked = [line.split()[1].partition(b"?")[0] for line in proxy.requests]
    assert len(framed) == 1 and asked[:3] == [path.encode(), path.encode(), b"/answers/1"], (
        "only one of them follows"
    )
