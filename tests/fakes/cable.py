"""The network between a browser and the appliance: it can be cut, fall asleep, or hold streams back."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: an RST instead of a goodbye


class Cable:
    """Forwards from its own `url` to a port on loopback.

    `pull()` cuts every connection and refuses new ones until `plug()`; `cut_after()` does so in the middle of an
    answer. Between `sleep()` and `wake()` nothing gets
    through, and nobody is told, as with Wi-Fi that has been switched off; `forget()` does that for good to the
    connections that there are, as a router does. With `holds_streams` no byte of a
    streamed answer gets through, as behind a proxy that buffers; polls (`wait=0`) and pages do.
    """

    def __init__(self, port: int, holds_streams: bool = False) -> None:
        self._port = port
        self._holds_streams = holds_streams
        self._is_plugged = True
        self._awake = threading.Event()
        self._awake.set()
        self._lock = threading.RLock()
        self._open: set[socket.socket] = set()
        self._passing: list[threading.Event] = []
        self._forgotten: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._left: int | None = None  # bytes until the cut
        self._cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []

    def __enter__(self) -> Cable:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.wake()
        for passes in self._passing:
            passes.set()
        self.pull()
        for thread in self._threads:
            thread.join(5)

    def pull(self) -> None:
        """Cut everything, at once."""
        with self._lock:
            self._is_plugged = False
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    each.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_plugged = True

    def cut_after(self, count: int) -> threading.Event:
        """Pull behind the next so many bytes of answers, wherever that is; the event tells when it has come."""
        with self._lock:
            self._left, self._cut = count, threading.Event()
            return self._cut

    def sleep(self) -> None:
        """Let nothing through, without a word."""
        self._awake.clear()

    def wake(self) -> None:
        """Let through what has been waiting, and all that follows."""
        self._awake.set()

    def forget(self) -> None:
        """Let nothing through any more on the connections of now; who says something on one finds it reset."""
        self._forgotten = list(self._passing)
        for passes in self._forgotten:
            passes.clear()

    def vanish(self) -> None:
        """The appliance is switched off: old connections are silent, new ones refused."""
        self.forget()
        with self._lock:
            self._is_plugged = False

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="cable", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._is_plugged:
                    browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    browser.close()
                    continue
                appliance = socket.create_connection(("127.0.0.1", self._port))
                self._open |= {browser, appliance}
            passes = threading.Event()
            passes.set()
            self._passing.append(passes)
            self._start(self._upload, browser, appliance, passes)
            self._start(self._download, browser, appliance, passes)

    def _upload(self, browser: socket.socket, appliance: socket.socket, passes: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := browser.recv(65536):
                self._awake.wait()
                if passes in self._forgotten:
                    break
                line = data.partition(b"\r\n")[0]
                self.requests.append(line)
                is_stream = b"/check/stream" in line or (b"/answers/" in line and b"wait=0" not in line)
                if self._holds_streams and is_stream:
                    passes.clear()
                appliance.sendall(data)
        self._drop(browser, appliance, passes)

    def _download(self, browser: socket.socket, appliance: socket.socket, passes: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := appliance.recv(65536):
                passes.wait()
                self._awake.wait()
                browser.sendall(self._before_cut(data))
                if self._left == 0:
                    with self._lock:  # so that who plugs in again knows that it was cut
                        self._left = None
                        self.pull()
                        self._cut.set()
        self._drop(browser, appliance, passes)

    def _before_cut(self, data: bytes) -> bytes:
        with self._lock:
            if self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
            return data

    def _drop(self, browser: socket.socket, appliance: socket.socket, passes: threading.Event) -> None:
        passes.set()
        with self._lock:
            for each in (browser, appliance):
                if each in self._open:
                    self._open.discard(each)
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
                    each.close()
