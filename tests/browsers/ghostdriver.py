"""PhantomJS, over the WebDriver that is built into it, GhostDriver, in the old JSON wire protocol.

Facts read in github.com/detro/ghostdriver, tag 1.1.0, src/session.js and src/request_handlers/. Selenium has given
up this protocol, hence these few lines over urllib3.
"""

import base64
import contextlib
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import urllib3

from .browser import ANSWER_SECONDS, POLL_SECONDS, Browser, DriverError, Element


class GhostDriver(Browser):
    """PhantomJS 1.9 and 2.1, over the JSON wire protocol.

    GhostDriver's own ways to open and click wait until nothing loads any more, and for this WebKit an
    XMLHttpRequest begun before or in the page's load event is part of loading: a page that follows an answer
    would be waited for until the answer has ended. Hence PhantomJS's WebPage is told to load and to click.
    """

    def __init__(self, driver: str, width: int, height: int) -> None:
        """Opens a session at the driver listening on `driver` ("127.0.0.1:4444")."""
        self._host, _, port = driver.partition(":")
        self._port = int(port)
        opened = self._send("POST", "/session", {"desiredCapabilities": {}})
        self._session = f"/session/{opened['sessionId']}"
        self.resize(width, height)
        # GhostDriver clears its log of errors at every navigation, never by reading; these lists are kept.
        self.phantom(
            "var page = this; page.kept = [];"
            # Not by page.onError, because PhantomJS 2.1.1 reports no syntax error to it.
            "page.onCallback = function (error) { page.kept.push(error); };"
            "page.onInitialized = function () {"
            "  page.evaluate(function () {"
            "    window.addEventListener('error', function (event) {"
            "      var at = event.filename ? ' (' + event.filename + ':' + event.lineno + ')' : '';"
            "      window.callPhantom(event.message + at);"
            "    }, false);"
            "  });"
            "};"
            # A load abandoned for another one ends before the other begins, and does not count.
            "page.onLoadStarted = function () { page.load = 'under way'; };"
            "page.onLoadFinished = function (how) { if (page.load === 'under way') { page.load = how; } };"
        )

    def phantom(self, source: str, *args: Any) -> Any:
        """Runs the body of a function in PhantomJS itself, outside the page, with `this` as its WebPage."""
        return self.command("POST", "/phantom/execute", {"script": source, "args": list(args)})

    def script(self, source: str, *args: Any) -> Any:
        # GhostDriver itself, also for typing and for the address, uses `new Function` in the page, which the
        # page's policy may forbid.
        called = (
            "var cache = document.$wdc_ || {}, i;"  # GhostDriver's cache of found elements
            "for (i = 0; i < args.length; i += 1) {"
            "  if (args[i] && args[i].ELEMENT !== undefined) { args[i] = cache[args[i].ELEMENT]; }"
            "}"
            "try { return JSON.stringify({ value: (function () {" + source + "\n}).apply(window, args) }); }"
            "catch (error) { return JSON.stringify({ error: String(error.message || error) }); }"
        )
        plain = [arg.as_argument() if isinstance(arg, Element) else arg for arg in args]
        text = self.phantom(
            "return this.evaluate(new Function('args', arguments[0]), arguments[1]);", called, plain
        )
        answer = json.loads(text) if text else {"error": "the page does not answer"}
        if "error" in answer:
            raise DriverError(answer["error"])
        return answer.get("value")

    @property
    def url(self) -> str:
        return str(self.script("return location.href;"))

    def find(self, css: str) -> Element:
        return Element(self.command("POST", "/element", {"using": "css selector", "value": css})["ELEMENT"])

    def type(self, element: Element, text: str) -> None:
        self.script(
            "var field = arguments[0], end = field.value.length; field.focus(); field.setSelectionRange(end, end);",
            element,
        )
        self.phantom("this.sendEvent('keypress', arguments[0]);", text)

    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        names = {" ": "Space", "ArrowLeft": "Left", "ArrowUp": "Up", "ArrowRight": "Right", "ArrowDown": "Down"}
        self.phantom(
            "this.sendEvent('keypress', this.event.key[arguments[0]], null, null, arguments[1]);",
            names.get(key, key),
            0x02000000 * shift + 0x04000000 * control,  # Qt::KeyboardModifier
        )

    def resize(self, width: int, height: int) -> None:
        self.command("POST", "/window/current/size", {"width": width, "height": height})
        self.size = (width, height)

    def errors(self) -> list[str]:
        kept: list[str] = self.phantom("var kept = this.kept; this.kept = []; return kept;")
        return kept

    def open(self, url: str) -> None:
        # Without this, an unreachable page would silently leave the page before it in place.
        here, there = urldefrag(self.url), urldefrag(url)
        jumps = here.url == there.url and "#" in url  # within the page: no load
        if self._load("this.open(arguments[0]);", url, begins=not jumps) == "fail":
            raise DriverError(f"{url} cannot be had")

    def reload(self) -> None:
        self._load("this.reload();", begins=True)

    def click(self, element: Element) -> None:
        x, y = self._point(element)
        self._load(
            "this.sendEvent('mousemove', arguments[0], arguments[1]);"
            "this.sendEvent('click', arguments[0], arguments[1]);",
            x,
            y,
            begins=False,
        )

    def choose_file(self, css: str, path: Path) -> None:
        self.phantom("this.uploadFile(arguments[0], arguments[1]);", css, str(path))

    def screenshot(self, path: Path) -> Path:
        # PhantomJS draws the whole document, however tall, unless it is told which part.
        left, top = self.script("return [window.pageXOffset, window.pageYOffset];")
        width, height = self.size
        part = {"left": left, "top": top, "width": width, "height": height}
        self.phantom("this.clipRect = arguments[0];", part)
        path.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))
        return path

    def quit(self) -> None:
        with contextlib.suppress(DriverError):
            self.command("DELETE", "")

    def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Sends one command of this session; returns its value."""
        return self._send(method, self._session + path, body)["value"]

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        # A connection for each command: on a reused one PhantomJS 1.9.8 takes 44 ms instead of 3, because it
        # sends head and body apart (Nagle against delayed acknowledgement). A "Connection: close" header does
        # not help: PhantomJS then closes without an answer when a script leaves the page.
        try:
            with urllib3.HTTPConnectionPool(self._host, self._port, timeout=ANSWER_SECONDS) as pool:
                response = pool.request(
                    method,
                    path,
                    body=None if body is None else json.dumps(body).encode(),
                    headers={"Content-Type": "application/json"},
                    retries=False,
                )
        except urllib3.exceptions.HTTPError as error:
            raise DriverError(f"{method} {path}: the driver does not answer: {error}") from error
        try:
            answer: dict[str, Any] = json.loads(response.data)
        except ValueError:
            raise DriverError(f"{method} {path}: {response.data[:500]!r}") from None
        if response.status >= 400 or answer.get("status"):
            raise DriverError(f"{method} {path}: {_complaint(answer.get('value'))}")
        return answer

    def _load(self, source: str, *args: Any, begins: bool) -> str:
        """Runs a function in PhantomJS that loads a page if `begins`, or else may load one; waits for the page.

        Returns the outcome: "none" (no page was loaded), "success", or "fail" (the old page stays).
        """
        self.script("window.leftBehind = true;")
        self.phantom("this.load = 'none';" + source, *args)
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)  # a form is sent a moment after the click
            how = str(self.phantom("return this.load;"))
            if how == "none" and begins:
                continue  # PhantomJS reports a load from its event loop, which may be busy
            if how in ("none", "fail"):
                return how
            known = "true" if how == "success" else "!window.leftBehind"
            if self.script(f"return {known} && document.readyState === 'complete';"):
                return "success"
        raise DriverError(f"a page was still loading after {ANSWER_SECONDS:g} s")


def _complaint(value: Any) -> str:
    """The sentence in an error's value. GhostDriver's is JSON in JSON and repeats the whole request."""
    message = str(value.get("message", value)) if isinstance(value, dict) else str(value)
    try:
        return str(json.loads(message)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        return message
