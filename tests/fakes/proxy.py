"""A TCP proxy between a browser and the appliance, with the faults of a network: cuts, stalls, buffering."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: an RST instead of a FIN


class Proxy:
    """Forwards from its own `url` to a port on loopback.

    `cut()` resets every connection and refuses new ones until `restore()`; `cut_after()` does so in the middle of
    an answer. Between `stall()` and `resume()` all connections stay open without passing a byte, as with Wi-Fi that
    is switched off; `forget()` stalls the open connections for ever, like a router that loses its NAT table. With
    `buffers_streams` no byte of a streamed answer passes, as behind a buffering proxy; polls (`wait=0`) and pages
    do. `refused` counts the connections that met a cut and have not been waited for.
    """

    def __init__(self, port: int, buffers_streams: bool = False) -> None:
        self._port = port
        self._buffers_streams = buffers_streams
        self._accepts = True
        self._resumed = threading.Event()
        self._resumed.set()
        self._has_ended = False  # what still waits then reaches nobody
        self._lock = threading.RLock()
        self._open: set[socket.socket] = set()
        self._passing: list[threading.Event] = []
        self._forgotten: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._left: int | None = None  # bytes until the cut
        self._is_cut = threading.Event()
        self.refused = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []

    def __enter__(self) -> Proxy:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._has_ended = True
        self.resume()
        for passes in self._passing:
            passes.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        with self._lock:
            self._accepts = False
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    each.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Accept connections again."""
        with self._lock:
            self._accepts = True

    def cut_after(self, count: int) -> threading.Event:
        """Cut after `count` more bytes of answers, at any place. The event is set after the cut."""
        with self._lock:
            self._left, self._is_cut = count, threading.Event()
            return self._is_cut

    def stall(self) -> None:
        """Pass no byte; every connection stays open."""
        self._resumed.clear()

    def resume(self) -> None:
        """Pass the waiting bytes, and all later ones."""
        self._resumed.set()

    def forget(self) -> None:
        """Stall the open connections for ever; the browser's next bytes reset one."""
        self._forgotten = list(self._passing)
        for passes in self._forgotten:
            passes.clear()

    def vanish(self) -> None:
        """Behave like a machine that is switched off: open connections are silent, new ones refused."""
        self.forget()
        with self._lock:
            self._accepts = False

    def lead_to(self, port: int) -> None:
        """Forward new connections to another port."""
        with self._lock:
            self._port = port

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._accepts:
                    browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    browser.close()
                    self.refused.release()
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
                self._resumed.wait()
                if self._has_ended or passes in self._forgotten:
                    break
                line = data.partition(b"\r\n")[0]
                self.requests.append(line)
                is_stream = b"/check/stream" in line or (b"/answers/" in line and b"wait=0" not in line)
                if self._buffers_streams and is_stream:
                    passes.clear()
                appliance.sendall(data)
        self._drop(browser, appliance, passes)

    def _download(self, browser: socket.socket, appliance: socket.socket, passes: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := appliance.recv(65536):
                passes.wait()
                self._resumed.wait()
                browser.sendall(self._before_cut(data))
                if self._left == 0:
                    with self._lock:  # so that restore() cannot come before this cut
                        self._left = None
                        self.cut()
                        self._is_cut.set()
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
