"""Chromium of any age, over the DevTools protocol.

One websocket to one page. Answers come in the order of their commands, with events in between. Both are read
only while a caller waits for an answer or an event, so there is no thread here. Facts: chromedevtools.github.io/
devtools-protocol, tried with Chromium 75 and 156.
"""

import base64
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import urllib3
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from .browser import ANSWER_SECONDS, KEYS, Browser, DriverError, Element

ENTER = {"text": "\r", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}


class DevTools(Browser):
    """A page of a Chromium that was started with --remote-debugging-port."""

    def __init__(self, driver: str, width: int, height: int) -> None:
        """Opens a page in the browser at `driver` ("127.0.0.1:4444")."""
        page = urllib3.request("PUT", f"http://{driver}/json/new", timeout=ANSWER_SECONDS).json()
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            connect(
                page["webSocketDebuggerUrl"],
                compression=None,
                max_size=None,
                proxy=None,
                close_timeout=1,
                ping_interval=None,  # Chromium 75 closes the connection when it is pinged, by default after 20 s
            )
        )
        self._sent = 0
        self._errors: list[str] = []
        self._loading = ""  # the id of the document of the last navigation that got an answer
        self._loaded: set[str] = set()  # the ids of all documents whose load event is over
        self._busy = False  # between the start and the end of a navigation
        self.requests: list[str] = []  # the addresses that pages have asked for; a test may empty it
        self._frame = page["id"]  # that of the page is also that of its outermost frame
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.devtools(f"{domain}.enable")
        self.devtools("Page.setLifecycleEventsEnabled", enabled=True)
        self.resize(width, height)

    def devtools(self, method: str, **params: Any) -> Any:
        """Sends a command, for instance `Emulation.setPageScaleFactor`; returns its result."""
        self._sent += 1
        number = self._sent
        try:
            self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        except (OSError, WebSocketException) as error:
            raise DriverError(f"{method}: the browser does not answer: {error}") from error
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            message = self._receive(deadline, method)
            if message.get("id") == number:
                break
        if "error" in message:
            raise DriverError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _receive(self, deadline: float, what: str) -> dict[str, Any]:
        """Receives the next message and handles its event. Raises DriverError at the deadline."""
        try:
            message: dict[str, Any] = json.loads(self._socket.recv(max(0.0, deadline - time.monotonic())))
        except (OSError, WebSocketException) as error:
            raise DriverError(f"{what}: the browser does not answer: {error!r}") from error
        event, params = message.get("method"), message.get("params", {})
        if event == "Runtime.exceptionThrown":
            self._errors.append(_complaint(params["exceptionDetails"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            # A refused or failed request is no fault of a script.
            if params["entry"]["source"] != "network":
                self._errors.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Page.lifecycleEvent" and params["frameId"] == self._frame:
            if params["name"] == "init":
                self._loading = params["loaderId"]
            elif params["name"] == "load":
                self._loaded.add(params["loaderId"])
        elif event == "Page.frameStartedLoading" and params["frameId"] == self._frame:
            self._busy = True
        elif event == "Page.frameStoppedLoading" and params["frameId"] == self._frame:
            self._busy = False
        return message

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

    def choose_file(self, css: str, path: Path) -> None:
        root = self.devtools("DOM.getDocument")["root"]["nodeId"]
        field = self.devtools("DOM.querySelector", nodeId=root, selector=css)["nodeId"]
        self.devtools("DOM.setFileInputFiles", files=[str(path)], nodeId=field)

    def disable_scripts(self) -> None:
        self.devtools("Emulation.setScriptExecutionDisabled", value=True)

    def errors(self) -> list[str]:
        self.devtools("Page.getFrameTree")  # earlier events arrive before the answer
        errors, self._errors = self._errors, []
        return errors

    def open(self, url: str) -> None:
        begun = self.devtools("Page.navigate", url=url)
        if begun.get("errorText"):
            raise DriverError(f"{url} cannot be had: {begun['errorText']}")
        if "loaderId" in begun:  # without it the address is another place of the same page
            deadline = time.monotonic() + ANSWER_SECONDS
            while begun["loaderId"] not in self._loaded:
                self._receive(deadline, f"loading {url}")

    def reload(self) -> None:
        old = self._loading
        self.devtools("Page.reload")
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._loading == old or self._loading not in self._loaded:
            self._receive(deadline, "reloading")

    @property
    def url(self) -> str:
        return str(self.script("return location.href;"))

    def find(self, css: str) -> Element:
        found = self._call("return document.querySelector(arguments[0]);", [css], by_value=False)
        if "objectId" not in found:
            raise DriverError(f"no element matches {css}")
        return Element(found["objectId"])

    def type(self, element: Element, text: str) -> None:
        self.script(
            "var field = arguments[0], end = field.value.length; field.focus();field.setSelectionRange(end, end);",
            element,
        )
        for character in text:
            key: dict[str, Any] = ENTER if character == "\n" else {"text": character, "key": character}
            self.devtools("Input.dispatchKeyEvent", type="keyDown", **key)
            self.devtools("Input.dispatchKeyEvent", type="keyUp", **{**key, "text": ""})

    def click(self, element: Element) -> None:
        x, y = self._point(element)
        at = {"x": x, "y": y, "button": "left", "clickCount": 1}
        self.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.devtools("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.devtools("Input.dispatchMouseEvent", type="mouseReleased", **at)
        self.devtools("Page.getFrameTree")  # the event of a navigation by this click arrives before the answer
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._busy:
            self._receive(deadline, "loading after a click")

    def script(self, source: str, *args: Any) -> Any:
        return self._call(source, list(args), by_value=True).get("value")

    def _call(self, source: str, args: list[Any], *, by_value: bool) -> dict[str, Any]:
        function = f"function () {{ {source}\n}}"
        elements = [arg for arg in args if isinstance(arg, Element)]
        if elements:
            arguments = [
                {"objectId": arg.reference} if isinstance(arg, Element) else {"value": arg} for arg in args
            ]
            answer = self.devtools(
                "Runtime.callFunctionOn",
                functionDeclaration=function,
                objectId=elements[0].reference,  # determines the page in which the function runs
                arguments=arguments,
                returnByValue=by_value,
                awaitPromise=True,
            )
        else:
            # In one command, because the page may go between two.
            expression = f"({function}).apply(null, {json.dumps(args)})"
            answer = self.devtools(
                "Runtime.evaluate", expression=expression, returnByValue=by_value, awaitPromise=True
            )
        if "exceptionDetails" in answer:
            raise DriverError(_complaint(answer["exceptionDetails"]))
        result: dict[str, Any] = answer["result"]
        return result

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.devtools("Page.captureScreenshot", format="png")["data"]))
        return path

    def quit(self) -> None:
        with contextlib.suppress(OSError, WebSocketException):
            self._open.close()


def _complaint(details: dict[str, Any]) -> str:
    """The first line of an exception, and where it was thrown."""
    thrown = details.get("exception", {})
    message = str(thrown.get("description") or thrown.get("value") or details["text"]).splitlines()[0]
    return f"{message} ({details.get('url', '')}:{details['lineNumber'] + 1})"
