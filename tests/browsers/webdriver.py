"""A browser as a test sees it: open a page, type, click, run a script, take a picture.

Tests use `Browser`. Two dialects of WebDriver stand behind it here: `GhostDriver` speaks the old JSON wire
protocol, as built into PhantomJS (facts read in github.com/detro/ghostdriver, tag 1.1.0, src/session.js and
src/request_handlers/), and `ChromeDriver` speaks W3C WebDriver (Recommendation of 5 June 2018) with
Chromium's extensions. Selenium has given up the first, hence these few lines over urllib3. Engines without
WebDriver have a module each beside this one. No process is started here: `engines` does that.
"""

import base64
import contextlib
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import urllib3

# Longer than our slowest page takes on a loaded machine; a hanging driver must not hang the test run.
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.02
TEXT_SHOWN = 2000
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36,
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip
"""The `keyCode` of keys, by their names (W3C, UI Events KeyboardEvent key Values)."""
W3C_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, section 11, "web element identifier"


class WebDriverError(Exception):
    """The driver refused a command, or does not answer. The message names the command and the cause."""


@dataclass(frozen=True)
class Element:
    """An element of the current page; invalid after the next page is opened."""

    reference: str

    def as_argument(self) -> dict[str, str]:
        """The element as a script's argument: each dialect looks for its own key and ignores the other."""
        return {"ELEMENT": self.reference, W3C_ELEMENT: self.reference}


class Browser(ABC):
    """One window of exactly `size` = (width, height) CSS pixels, one device pixel each, without scroll bars.

    Every method raises WebDriverError when the driver refuses, for instance when there is no such element.
    """

    size: tuple[int, int]

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Gives the page another size in CSS pixels; the page gets its `resize` event."""

    @abstractmethod
    def errors(self) -> list[str]:
        """The script errors of all pages opened since the last call, oldest first."""

    def disable_scripts(self) -> None:
        """Turns the scripts of pages off from the next page on; `script`, `text` and `wait_until` go on working."""
        raise WebDriverError("this engine cannot be driven without JavaScript")

    @abstractmethod
    def open(self, url: str) -> None:
        """Opens a page and returns when it has loaded. No answer is an error, an answer like 404 is not."""

    @abstractmethod
    def reload(self) -> None:
        """Loads the page again and returns when it has loaded. Repeats the POST if the page came from a form."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address of the page."""

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self.script("return document.title"))

    @property
    def text(self) -> str:
        """The visible text of the page, without hidden elements."""
        return str(self.script("return document.body ? document.body.innerText : ''"))

    @abstractmethod
    def find(self, css: str) -> Element:
        """The first element that matches this CSS selector. Does not wait: use `wait_until` before it."""

    @abstractmethod
    def type(self, element: Element, text: str) -> None:
        """Appends to the element's text, key by key."""

    @abstractmethod
    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        """Presses a key of `KEYS` where the focus is, and lets it go."""

    @abstractmethod
    def click(self, element: Element) -> None:
        """Clicks in the middle of the element; an error if it is hidden or something lies above it.

        Usually waits for a page load that the click starts, but no engine promises it: `wait_until` something
        that only the new page has.
        """

    @abstractmethod
    def script(self, source: str, *args: Any) -> Any:
        """Runs the body of a function in the page (ES5 for the old engines) and returns its result.

        Arguments arrive as `arguments[0]` and so on: JSON values and Elements. Raises WebDriverError with the
        page's message when the script throws.
        """

    def _point(self, element: Element) -> tuple[float, float]:
        """Scrolls to the element; returns the point of the page for a click on it."""
        # The middle of the first box is where W3C WebDriver clicks (section 11.1, "in-view center point").
        x, y, hit = self.script(
            "var element = arguments[0], box, x, y, hit; element.scrollIntoViewIfNeeded();"
            "box = element.getClientRects()[0]; if (!box) { return [0, 0, false]; }"
            "x = box.left + box.width / 2; y = box.top + box.height / 2;"
            "hit = document.elementFromPoint(x, y); return [x, y, element.contains(hit)];",
            element,
        )
        if not hit:
            raise WebDriverError(f"the element at {x:g}, {y:g} is hidden, or another one would get the click")
        return x, y

    def wait_until(self, expression: str, seconds: float = 10.0) -> Any:
        """Waits until a JavaScript expression is truthy in the page, and gives back its value.

        An expression that throws counts as not yet true. Raises AssertionError after `seconds`, with the text of
        the page and its errors.
        """
        deadline = time.monotonic() + seconds
        while True:
            thrown = ""
            try:
                value = self.script(f"return ({expression});")
                if value:
                    return value
            except WebDriverError as error:
                value, thrown = None, f"\nit threw: {error}"
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not true within {seconds:g} s: {expression}\nit was: {value!r}{thrown}\n"
                    f"page: {self.url}\ntitle: {self.title}\nerrors: {self.errors()}\n"
                    f"text: {self.text[:TEXT_SHOWN]}"
                )
            time.sleep(POLL_SECONDS)

    @abstractmethod
    def screenshot(self, path: Path) -> Path:
        """Writes the window's view as a PNG of exactly `size` pixels; returns its path."""

    @abstractmethod
    def quit(self) -> None:
        """Closes the window. Ignores a driver that has died: its window is gone anyway."""


class ChromiumBrowser(Browser):
    """A Chromium, however it is driven."""

    @abstractmethod
    def devtools(self, method: str, **params: Any) -> Any:
        """Sends a DevTools command, for instance `Emulation.setPageScaleFactor`; returns its result."""

    def resize(self, width: int, height: int) -> None:
        # A window's size includes its frame and is at least 500 pixels wide; this sets the page's alone.
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.size = (width, height)

    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        text = {"Enter": "\r", " ": " "}.get(key, "")
        pressed = {"key": key, "code": key.strip() or "Space", "windowsVirtualKeyCode": KEYS[key]}
        pressed |= {"modifiers": 8 * shift + 2 * control}
        if text and not control:
            self.devtools("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        else:
            self.devtools("Input.dispatchKeyEvent", type="rawKeyDown", **pressed)
        self.devtools("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def disable_scripts(self) -> None:
        self.devtools("Emulation.setScriptExecutionDisabled", value=True)


class WebDriver(Browser):
    """The common part of both dialects of WebDriver."""

    def __init__(self, driver: str, width: int, height: int, capabilities: dict[str, Any]) -> None:
        """Opens a session at the driver listening on `driver` ("127.0.0.1:4444") with these capabilities."""
        self._host, _, port = driver.partition(":")
        self._port = int(port)
        self._session = f"/session/{self._new_session(capabilities)}"
        self.resize(width, height)

    @abstractmethod
    def _new_session(self, capabilities: dict[str, Any]) -> str: ...

    def open(self, url: str) -> None:
        self.command("POST", "/url", {"url": url})

    def reload(self) -> None:
        self.command("POST", "/refresh", {})

    @property
    def url(self) -> str:
        return str(self.command("GET", "/url"))

    def find(self, css: str) -> Element:
        found = self.command("POST", "/element", {"using": "css selector", "value": css})
        return Element(found.get(W3C_ELEMENT) or found["ELEMENT"])

    def type(self, element: Element, text: str) -> None:
        self.command("POST", f"/element/{element.reference}/value", {"text": text})

    def click(self, element: Element) -> None:
        self.command("POST", f"/element/{element.reference}/click", {})

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))
        return path

    def quit(self) -> None:
        with contextlib.suppress(WebDriverError):
            self.command("DELETE", "")

    def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Sends one WebDriver command of this session; returns its value."""
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
            raise WebDriverError(f"{method} {path}: the driver does not answer: {error}") from error
        try:
            answer: dict[str, Any] = json.loads(response.data)
        except ValueError:
            raise WebDriverError(f"{method} {path}: {response.data[:500]!r}") from None
        if response.status >= 400 or answer.get("status"):
            raise WebDriverError(f"{method} {path}: {_complaint(answer.get('value'))}")
        return answer


class GhostDriver(WebDriver):
    """PhantomJS 1.9 and 2.1, over the JSON wire protocol.

    GhostDriver's own ways to open and click wait until nothing loads any more, and for this WebKit an
    XMLHttpRequest begun before or in the page's load event is part of loading: a page that follows an answer
    would be waited for until the answer has ended. Hence PhantomJS's WebPage is told to load and to click.
    """

    def __init__(self, driver: str, width: int, height: int, capabilities: dict[str, Any]) -> None:
        super().__init__(driver, width, height, capabilities)
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

    def _new_session(self, capabilities: dict[str, Any]) -> str:
        return str(self._send("POST", "/session", {"desiredCapabilities": capabilities})["sessionId"])

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
            raise WebDriverError(answer["error"])
        return answer.get("value")

    @property
    def url(self) -> str:
        return str(self.script("return location.href;"))

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
            raise WebDriverError(f"{url} cannot be had")

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

    def screenshot(self, path: Path) -> Path:
        # PhantomJS draws the whole document, however tall, unless it is told which part.
        left, top = self.script("return [window.pageXOffset, window.pageYOffset];")
        width, height = self.size
        part = {"left": left, "top": top, "width": width, "height": height}
        self.phantom("this.clipRect = arguments[0];", part)
        return super().screenshot(path)

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
        raise WebDriverError(f"a page was still loading after {ANSWER_SECONDS:g} s")


class ChromeDriver(ChromiumBrowser, WebDriver):
    """Chromium of today, over W3C WebDriver."""

    def script(self, source: str, *args: Any) -> Any:
        plain = [arg.as_argument() if isinstance(arg, Element) else arg for arg in args]
        return self.command("POST", "/execute/sync", {"script": source, "args": plain})

    def _new_session(self, capabilities: dict[str, Any]) -> str:
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        return str(answer["value"]["sessionId"])

    def devtools(self, method: str, **params: Any) -> Any:
        return self.command("POST", "/goog/cdp/execute", {"cmd": method, "params": params})

    def errors(self) -> list[str]:
        # A refused or failed request is logged as SEVERE too, by the network and not by a script. Chromium's own
        # first tab (chrome://...) sometimes complains that it is left in the middle: seen with Chromium 156.
        log = self.command("POST", "/se/log", {"type": "browser"})
        ours = (entry["message"] for entry in log if entry.get("source") != "network")
        return [message for message in ours if not message.startswith("chrome://")]


def _complaint(value: Any) -> str:
    """The sentence in an error's value. GhostDriver's is JSON in JSON and repeats the whole request."""
    message = str(value.get("message", value)) if isinstance(value, dict) else str(value)
    try:
        return str(json.loads(message)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        return message
