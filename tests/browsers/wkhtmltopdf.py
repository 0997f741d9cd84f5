"""A WebKit with neither driver nor window, inside a program that only prints pages: wkhtmltopdf.

It uses `Proxy` as its proxy. At the address /__driver__/ of every site the proxy serves the driver's page: a frame
and a script, which asks the proxy for commands and runs them in the frame. The tested page is in the frame, which
has the wanted size. It comes through the proxy byte by byte as the site sent it, without the header that forbids
frames. For the tested page the only difference from a window is that `window.top` is another one. Nothing is drawn,
so there are no pictures. Tried with wkhtmltopdf 0.10.0 rc2 (Qt 4.7.1, WebKit 533.3).
"""

import contextlib
import json
import queue
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

from .browser import ANSWER_SECONDS, KEYS, POLL_SECONDS, Browser, DriverError, Element

OWN = "/__driver__/"
IDLE_SECONDS = 20.0
RECEIVE_BYTES = 65536

# A command for the page is run from a timer of the page: only then does this WebKit resolve the addresses in
# scripts, and in click handlers, against the page. A timer is lost with its page: set it again.
# And a function belongs to the page of the script that makes it, also if it uses another page's Function.
DRIVER = """<!DOCTYPE html><html><body>
<iframe id="page" frameborder="0" scrolling="no"></iframe>
<script>
var driver = {frame: document.getElementById('page'), elements: [], pending: null};
driver.ask = function (answer) {
    var request = new XMLHttpRequest();
    request.onreadystatechange = function () {
        if (request.readyState === 4) {
            setTimeout(function () { driver.obey(JSON.parse(request.responseText)); }, 0);
        }
    };
    request.open('POST', '/__driver__/', true);
    request.send(JSON.stringify(answer));
};
driver.obey = function (command) {
    if (!command) { return driver.ask(null); }
    if (command.leaveFor) { return location.replace(command.leaveFor); }
    driver.pending = command;
    if (command.inPage) { driver.nudge(); } else { driver.run(window, Function); }
};
driver.nudge = function () {
    if (driver.pending && driver.pending.inPage) {
        driver.frame.contentWindow.setTimeout(
            'parent.driver.run(window, function (source) { return new Function(source); });', 0);
    }
};
driver.run = function (where, compile) {
    var command = driver.pending, answer = {id: command && command.id}, args = [], i, value;
    if (!command) { return; }
    driver.pending = null;
    try {
        args = where.JSON.parse(JSON.stringify(command.args));
        for (i = 0; i < args.length; i += 1) {
            if (args[i] && args[i].ELEMENT !== undefined) { args[i] = driver.elements[args[i].ELEMENT]; }
        }
        value = compile(command.source).apply(where, args);
        answer.value = value === undefined ? null : JSON.parse(where.JSON.stringify(value));
    } catch (error) {
        answer.error = String(error);
    }
    driver.ask(answer);
};
setInterval(driver.nudge, 100);
driver.ask({hello: true});
</script></body></html>"""


class Proxy(ThreadingHTTPServer):
    """Hands commands to the driver's page, and passes all other requests on to their sites."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.unreachable: set[str] = set()  # the addresses without an answer
        self.closed = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serves in threads meanwhile."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self.closed.set()
            self.commands.put({})  # for a request that still waits
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        if urlsplit(self.path).path == OWN:
            self._answer(200, DRIVER, "text/html")
        else:
            self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if urlsplit(self.path).path != OWN:
            return self._pass_on(body)
        answer, command = json.loads(body), None
        if answer:
            self.server.answers.put(answer)
        with contextlib.suppress(queue.Empty):
            command = self.server.commands.get(timeout=IDLE_SECONDS)
        return self._answer(200, json.dumps(command), "application/json")

    def _answer(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def _pass_on(self, body: bytes) -> None:
        """Sends the request to its site, and the site's bytes back as they come, until one side closes."""
        url = urlsplit(self.path)
        try:
            site = socket.create_connection((url.hostname, url.port or 80), timeout=ANSWER_SECONDS)
        except OSError as error:
            self.server.unreachable.add(self.path)
            return self._answer(502, str(error), "text/plain")
        head = [f"{self.command} {url._replace(scheme='', netloc='').geturl() or '/'} HTTP/1.1"]
        dropped = ("connection", "proxy-connection", "keep-alive")
        head += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in dropped]
        head += ["Connection: close", "", ""]
        with site:
            try:
                site.sendall("\r\n".join(head).encode("latin-1") + body)
                # In the response too, or the next request may go into a closing connection.
                status, *headers, rest = _head(site)
                headers = [each for each in headers if not each.lower().startswith(b"x-frame-options:")]
                self.connection.sendall(b"\r\n".join([status, b"Connection: close", *headers, b"", rest]))
                while not self.server.closed.is_set():
                    ready, _, _ = select.select([site, self.connection], [], [], 1.0)
                    if self.connection in ready and not self.connection.recv(1, socket.MSG_PEEK):
                        break  # the reader has left
                    if site in ready:
                        data = site.recv(RECEIVE_BYTES)
                        if not data:
                            break
                        self.connection.sendall(data)
            except OSError:
                # A cut response must not look like a complete one.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


def _head(site: socket.socket) -> list[bytes]:
    """Receives until the head is complete; returns its lines and the bytes received behind it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = site.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("no answer")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return [*head.split(b"\r\n"), rest]


class FramedBrowser(Browser):
    """The page in the frame of the driver's page, which the browser behind `proxy` opens at its start."""

    def __init__(self, proxy: Proxy, log: Path, width: int, height: int) -> None:
        """Waits for the browser; `log` is its output with --debug-javascript."""
        self._proxy = proxy
        self._log = log
        self._read = 0
        self._sent = 0
        self._site = ""
        self._receive("starting")
        self.resize(width, height)

    def _receive(self, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._proxy.closed.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                return self._proxy.answers.get(timeout=1.0)
        raise DriverError(f"{what}: the browser does not answer")

    def _command(self, source: str, args: list[Any], *, in_page: bool) -> Any:
        self._sent += 1
        plain = [arg.as_argument() if isinstance(arg, Element) else arg for arg in args]
        self._proxy.commands.put({"id": self._sent, "inPage": in_page, "source": source, "args": plain})
        answer: dict[str, Any] = {}
        while answer.get("id") != self._sent:
            answer = self._receive(source)
        if "error" in answer:
            raise DriverError(answer["error"])
        return answer.get("value")

    def _driver(self, source: str, *args: Any) -> Any:
        """Runs the body of a function in the driver's page."""
        return self._command(source, list(args), in_page=False)

    def script(self, source: str, *args: Any) -> Any:
        return self._command(source, list(args), in_page=True)

    def resize(self, width: int, height: int) -> None:
        self._driver(
            "driver.frame.width = arguments[0]; driver.frame.height = arguments[1];"
            "driver.frame.offsetWidth;",  # lays out anew
            width,
            height,
        )
        self.size = (width, height)

    def errors(self) -> list[str]:
        # Console messages of scripts count too: this WebKit prints both alike.
        self._driver("")  # earlier errors have been printed by now
        with self._log.open("rb") as log:
            log.seek(self._read)
            printed = log.read()
        self._read += len(printed)
        lines = printed.decode(errors="replace").splitlines()
        found = (re.fullmatch(r"Warning: (\S+:\d+) (.*?)\s*", line) for line in lines)
        return [f"{each[2]} ({each[1]})" for each in found if each]

    def open(self, url: str) -> None:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site != self._site:
            # The driver's page can only access pages of its own site. It makes no request before it leaves:
            # nobody would receive the reply.
            self._proxy.commands.put({"leaveFor": site + OWN})
            while not self._receive(f"opening {url}").get("hello"):
                pass
            self._site = site
            self.resize(*self.size)
        here, there = urldefrag(self.url), urldefrag(url)
        jumps = here.url == there.url and "#" in url  # within the page: no load
        self._proxy.unreachable.clear()
        self._load("driver.frame.contentWindow.location.href = arguments[0];", url, begins=not jumps)
        if there.url in self._proxy.unreachable:
            raise DriverError(f"{url} cannot be had")

    def reload(self) -> None:
        self._load("driver.frame.contentWindow.location.reload();", begins=True)

    def _load(self, source: str, *args: Any, begins: bool) -> None:
        if not begins:
            self._driver(source, *args)
            return
        self._driver("driver.frame.contentWindow.document.leftBehind = true;" + source, *args)
        deadline = time.monotonic() + ANSWER_SECONDS
        shown = "var page = driver.frame.contentWindow.document;"
        while not self._driver(shown + "return !page.leftBehind && page.readyState === 'complete';"):
            if time.monotonic() > deadline:
                raise DriverError(f"a page was still loading after {ANSWER_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    @property
    def url(self) -> str:
        return str(self._driver("return driver.frame.contentWindow.location.href;"))

    def find(self, css: str) -> Element:
        number = self.script(
            "var found = document.querySelector(arguments[0]);"
            "return found ? parent.driver.elements.push(found) - 1 : null;",
            css,
        )
        if number is None:
            raise DriverError(f"no element matches {css}")
        return Element(str(number))

    def type(self, element: Element, text: str) -> None:
        self.script(
            "var field = arguments[0], text = arguments[1], end = field.value.length, i;"
            "function press(type) {"
            "  var event = document.createEvent('HTMLEvents');"
            "  event.initEvent(type, true, true); return field.dispatchEvent(event);"
            "}"
            "field.focus(); field.setSelectionRange(end, end);"
            "for (i = 0; i < text.length; i += 1) {"
            "  if (press('keydown')) {"
            "    var event = document.createEvent('TextEvent');"
            "    event.initTextEvent('textInput', true, true, window, text.charAt(i));"
            "    field.dispatchEvent(event);"
            "  }"
            "  press('keyup');"
            "}",
            element,
            text,
        )

    def press(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        # The event is a made one, so what the engine itself does with a key is done here: Tab moves the focus to
        # the next control in the order of the document, Enter and Space press. A made event at a link would follow
        # it, whatever the key, hence its parent.
        self.script(
            """
            var key = arguments[0], isBack = arguments[1], at = document.activeElement || document.body;
            var event = document.createEvent('HTMLEvents'), all, each, next = null, i;
            event.initEvent('keydown', true, true);
            event.keyCode = key; event.shiftKey = isBack; event.ctrlKey = arguments[2];
            if (!(at.nodeName === 'A' ? at.parentNode : at).dispatchEvent(event)) { return; }
            if (key === 13 && at.nodeName === 'A' || (key === 13 || key === 32) && at.type) {
              event = document.createEvent('MouseEvents');
              event.initMouseEvent('click', true, true, window, 0, 0, 0, 0, 0, false, false, false, false, 0, null);
              at.dispatchEvent(event);
            }
            if (key !== 9) { return; }
            all = document.querySelectorAll('a[href], input, button, textarea');
            for (i = 0; i < all.length; i += 1) {
              each = all[i];
              if (each.tabIndex < 0 || each.type === 'hidden' || !each.offsetHeight
                  || window.getComputedStyle(each, null).visibility !== 'visible'
                  || !(at.compareDocumentPosition(each) & (isBack ? 2 : 4))) { continue; }
              if (isBack || !next) { next = each; }
            }
            if (next) { next.focus(); } else { at.blur(); }
            """,
            KEYS[key],
            shift,
            control,
        )

    def click(self, element: Element) -> None:
        x, y = self._point(element)
        self.script(
            "var x = arguments[0], y = arguments[1], hit = document.elementFromPoint(x, y);"
            "function fire(type) {"
            "  var event = document.createEvent('MouseEvents');"
            "  event.initMouseEvent(type, true, true, window, 1, x, y, x, y,"
            "    false, false, false, false, 0, null);"
            "  return hit.dispatchEvent(event);"
            "}"
            "fire('mousemove'); if (fire('mousedown')) { hit.focus(); } fire('mouseup'); fire('click');",
            x,
            y,
        )

    def screenshot(self, path: Path) -> Path:
        raise DriverError("this engine has no window to take a picture of")

    def quit(self) -> None:
        self._proxy.closed.set()
