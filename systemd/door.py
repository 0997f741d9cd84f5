"""Starts `serve` for systemd. While that cannot start, the same process is one page on the same socket.

The page says with status 503, for every path, that the appliance cannot start. It is ready for systemd, and feeds
the watchdog while it answers its own requests. After a minute it runs the launcher again by exec: the process and
the socket stay the same, so no client is ever refused.

This file needs nothing but Python's standard library, because the page must also come when the environment of the
appliance is damaged or gone.

    door.py start LAUNCHER ARGUMENT...   run the appliance; become the page if it ends before it has served
    door.py wait LAUNCHER ARGUMENT...    be the page for a minute, then run the launcher with these arguments
    door.py end LAUNCHER ARGUMENT...     be the page for a minute, then end: after wrong settings, because systemd
                                         reads the owner's files only when it starts a process (LoadCredential=)

The protocols of systemd are those of sd_listen_fds(3) and sd_notify(3).
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

TRY_AGAIN_SECONDS = 60

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_STOPPED, _WRONG_SETTINGS = (0, 130), 2  # exit statuses of the appliance
_START_SECONDS = 120.0  # as TimeoutStartSec= of the unit, which counts only for the first start
_CHECKS_PER_TIMEOUT = 4
_READY_CHECK_SECONDS = 0.05
_NOTIFY_SECONDS = 5.0

_MOST_CLIENTS = 100
_REQUEST_SECONDS = 10.0
_REQUEST_BYTES = 16 * 1024
_REST_SECONDS = 2.0  # for a client that sends more than its answer needs,
_REST_BYTES = 256 * 1024  # and how much of that is read, so that its system does not throw the answer away
_LAST_SECONDS = 3.0  # for those that are here when the minute is over

_STATUS = "Cannot start: serves a page that says so, and tries again every minute."
_ENGLISH = "The appliance cannot start. It tries again every minute. Please come back in a few minutes."
_CHINESE = "设备无法启动，每分钟会再试一次。请过几分钟再来。"
_HTML = f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>503</title></head>
<body>
<p>{_ENGLISH}</p>
<p lang="zh-CN">{_CHINESE}</p>
<p><a href="/">Try again / <span lang="zh-CN">再试一次</span></a></p>
<hr>
<p>The owner can find the cause: <span lang="zh-CN">管理者可查看原因：</span></p>
<p><code>sudo kindle-appliance doctor</code><br><code>sudo journalctl -u kindle-appliance</code></p>
</body>
</html>
"""
_HEAD = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n"
    f"Connection: close\r\nRetry-After: {TRY_AGAIN_SECONDS}\r\nCache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\r\n"
)

_HEAD_END = re.compile(rb"\n\r?\n")
_SCRIPT = re.compile(rb"\S+ +/(api/|healthz)|.*\naccept:[^\n]*application/json", re.IGNORECASE | re.DOTALL)
_READS_CHINESE = re.compile(rb"\naccept-language: *zh", re.IGNORECASE)


def main() -> NoReturn:
    """Do what the command line says. Ends with the exit status of an appliance that has served."""
    mode, launcher, *arguments = sys.argv[1:]
    descriptors = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(os.environ["LISTEN_FDS"]))
    if mode == "start":
        status, has_served = start(arguments, descriptors)
        if status in _STOPPED or has_served:
            sys.exit(status)
        mode = "end" if status == _WRONG_SETTINGS else "wait"
        # In a new process image nothing is left of the one that failed: no thread, lock or memory.
        execute([sys.executable, "-IB", __file__, mode, launcher, *arguments], descriptors)
    Page(descriptors).run(_stop if mode == "end" else lambda: execute([launcher, *arguments], descriptors))


def start(arguments: list[str], descriptors: range) -> tuple[int, bool]:
    """Run the appliance. Returns its exit status, and whether it has served a page; otherwise the descriptors are
    still those that systemd has handed over. An appliance that has served may end with any exception.
    """
    kept = [os.dup(each) for each in descriptors]  # the appliance may close its own
    has_served = threading.Event()
    threading.Thread(target=_feed_until, args=(has_served,), daemon=True).start()
    status = 1
    try:
        from kindle_appliance.__main__ import main as run

        status = run(arguments, has_served.set)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if has_served.is_set() or (isinstance(error, SystemExit) and not error.code):
            raise
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            status = error.code
        else:
            _explain(error)
    for each, copy in zip(descriptors, kept, strict=True):
        os.dup2(copy, each)
    return status, has_served.is_set()


def execute(command: list[str], descriptors: range) -> None:
    """Replace this process by a command that gets the descriptors. Returns only if that is not possible."""
    for each in descriptors:
        os.set_inheritable(each, True)
    sys.stdout.flush()
    try:
        os.execv(command[0], command)  # noqa: S606 - our own words
    except OSError as error:
        _say(f"{command[0]} cannot be run: {error.strerror}")


class Page:
    """The page, on the listening sockets `descriptors`.

    One thread answers all clients, and waits for none of them. A client has 10 seconds and 16 KB for a request;
    then it gets the page, whatever has come. With more than 100 clients, the one that came first is closed.
    """

    def __init__(self, descriptors: range) -> None:
        self._doors = [socket.socket(fileno=each) for each in descriptors]
        self._clients: list[_Client] = []  # in the order in which they came
        self._selector = selectors.DefaultSelector()
        for door in self._doors:
            door.setblocking(False)

    def run(self, try_again: Callable[[], None]) -> NoReturn:
        """Serve until a signal ends the process. Every minute `try_again` is called; it returns if it fails."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _stop)
        while True:
            is_over = threading.Event()
            threading.Thread(target=self._watch, args=(is_over,), daemon=True).start()
            self._serve_for(TRY_AGAIN_SECONDS)
            is_over.set()
            _notify("WATCHDOG=1\nSTATUS=")  # the status would stay when the appliance has started
            try_again()

    def _serve_for(self, seconds: float) -> None:
        """Serve everybody for some time, then those that are here; others wait for what runs next."""
        for door in self._doors:
            self._selector.register(door, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._turn()
        for door in self._doors:
            self._selector.unregister(door)
        while self._clients and time.monotonic() < end + _LAST_SECONDS:
            self._turn()
        for client in [*self._clients]:
            self._close(client)

    def _turn(self) -> None:
        for key, _ in self._selector.select(0.5):
            if isinstance(key.data, _Client):
                if not key.data.is_kept():
                    self._close(key.data)
            elif isinstance(key.fileobj, socket.socket):
                self._accept(key.fileobj)
        now = time.monotonic()
        for client in [each for each in self._clients if each.deadline < now]:
            client.answer()
            self._close(client)

    def _accept(self, door: socket.socket) -> None:
        try:
            connection, _ = door.accept()
        except OSError:  # the client has left
            return
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        if len(self._clients) > _MOST_CLIENTS:
            self._close(self._clients[0])

    def _close(self, client: _Client) -> None:
        if client in self._clients:  # it may have been closed for another one in this very turn
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.connection.close()

    def _watch(self, is_over: threading.Event) -> None:
        """Report to systemd as long as requests to itself are answered."""
        message = f"READY=1\nSTATUS={_STATUS}"
        interval, pause = _watch_interval(), _READY_CHECK_SECONDS
        while not is_over.wait(pause):
            if all(_answers(door, interval) for door in self._doors):
                _notify(message)
                message, pause = "WATCHDOG=1", interval


class _Client:
    """One connection. After `deadline` (time.monotonic()) it is answered, unless it has been, and closed."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.deadline = time.monotonic() + _REQUEST_SECONDS
        self._received = b""
        self._is_answered = False
        self._rest = _REST_BYTES

    def is_kept(self) -> bool:
        """Read what has arrived, and answer a whole request. Returns whether to wait for more."""
        try:
            data = self.connection.recv(_REQUEST_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self._is_answered:
            self._rest -= len(data)
            return bool(data) and self._rest > 0
        seen = len(self._received)
        self._received += data
        if not data or len(self._received) >= _REQUEST_BYTES or _HEAD_END.search(self._received, max(0, seen - 2)):
            return self.answer()
        return True

    def answer(self) -> bool:
        """Answer whatever has come, if anything has and it is not done. Returns whether the client gets it."""
        if self._is_answered or not self._received:
            return False
        self._is_answered = True
        self.deadline = time.monotonic() + _REST_SECONDS
        try:
            self.connection.send(answer(self._received))  # shorter than any buffer of a new connection
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True


def answer(request: bytes) -> bytes:
    """The response to a request, of which the head may be incomplete: the page, or JSON for a script."""
    if _SCRIPT.match(request):
        sentence = _CHINESE if _READS_CHINESE.search(request) else _ENGLISH
        kind, body = "application/json", json.dumps({"status": "failed", "error": sentence}, ensure_ascii=False)
    else:
        kind, body = "text/html", _HTML
    data = body.encode()
    head = _HEAD.format(kind=kind, length=len(data)).encode()
    return head if request.lstrip().startswith(b"HEAD ") else head + data


def _answers(door: socket.socket, seconds: float) -> bool:
    """Whether this page is served at `door`; no step may take longer than `seconds`."""
    try:
        with socket.socket(door.family) as client:
            client.settimeout(seconds)
            client.connect(door.getsockname())  # 0.0.0.0 is this machine, too
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = b"".join(iter(lambda: client.recv(65536), b""))
    except OSError:
        return False
    return received.startswith(b"HTTP/1.1 503 ")


def _watch_interval() -> float:
    return int(os.environ.get("WATCHDOG_USEC", "0") or "60000000") / 1e6 / _CHECKS_PER_TIMEOUT


def _feed_until(has_served: threading.Event) -> None:
    """Feed the watchdog during a start: for systemd the process that tries again has been ready for long."""
    deadline = time.monotonic() + _START_SECONDS
    while not has_served.wait(_watch_interval()) and time.monotonic() < deadline:
        _notify("WATCHDOG=1")


def _notify(message: str) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    # "@" stands for the zero byte of an abstract address.
    address = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(_NOTIFY_SECONDS)
        try:
            client.sendto(message.encode(), address)
        except OSError as error:
            _say(f"systemd cannot be told {message.split()[0]}: {error}")


def _explain(error: BaseException) -> None:
    """One line, once a minute: a whole traceback each time would fill the journal."""
    if isinstance(error, SystemExit):
        _say(str(error.code))
        return
    last = traceback.extract_tb(error.__traceback__)[-1]
    _say(f"it cannot start: {type(error).__name__}: {error} ({last.filename}, line {last.lineno})")


def _say(text: str) -> None:
    print(
        "kindle-appliance:",
        "".join(each if each.isprintable() else " " for each in text),
        file=sys.stderr,
        flush=True,
    )


def _stop(*_: object) -> NoReturn:
    _notify("STOPPING=1")
    os._exit(0)


if __name__ == "__main__":
    main()
