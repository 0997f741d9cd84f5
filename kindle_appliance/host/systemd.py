"""systemd's service protocols, without its library: socket activation, readiness and the watchdog.

systemd hands over listening sockets (sd_listen_fds(3)). The appliance reports that it serves pages, still serves
them, and stops (sd_notify(3), sd_watchdog_enabled(3)). Addresses and process ids come from environment variables;
the environment is passed in. Without systemd nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_START_CHECK_SECONDS = 0.05
_CHECKS_PER_TIMEOUT = 4


def handed_over_sockets(environment: Mapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd has opened for this service; none without systemd.

    systemd keeps them open while the service restarts.
    """
    if not _is_for_us(environment, "LISTEN_PID"):
        return []
    descriptors = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(environment.get("LISTEN_FDS", "0")))
    sockets = [socket.socket(fileno=each) for each in descriptors]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


class Watch:
    """Reports to systemd that pages are served: once at the start (readiness), then regularly (watchdog).

    `is_serving` takes a timeout in seconds and returns whether a page was served. While it returns False, the
    watchdog gets no report; after its timeout systemd restarts the service. `on_ready` is called when readiness has
    been reported.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        is_serving: Callable[[float], bool],
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = _is_for_us(environment, "WATCHDOG_PID", otherwise=True)
        self._timeout = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if watched else 0.0
        self._is_serving = is_serving
        self._on_ready = on_ready
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start the checks; `is_serving` is called in a separate thread."""
        if self._address:
            self._thread.start()

    def close(self) -> None:
        """End the checks and report that the service stops."""
        self._is_closing.set()
        self._notify("STOPPING=1")

    def _run(self) -> None:
        interval = self._timeout / _CHECKS_PER_TIMEOUT
        while not self._check(interval or 1.0):
            if self._is_closing.wait(_START_CHECK_SECONDS):
                return
        self._notify("READY=1")
        self._on_ready()
        was_serving = True
        while interval and not self._is_closing.wait(interval):
            is_serving = self._check(interval)
            if is_serving:
                self._notify("WATCHDOG=1")
            if is_serving != was_serving and not self._is_closing.is_set():
                log.log(
                    logging.INFO if is_serving else logging.ERROR,
                    "systemd: the appliance %s its own request",
                    "answers again" if is_serving else "does not answer",
                )
            was_serving = is_serving

    def _check(self, seconds: float) -> bool:
        try:
            return self._is_serving(seconds)
        except OSError:
            return False

    def _notify(self, message: str) -> None:
        if not self._address:
            return
        # "@" stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            try:
                notify.sendto(message.encode(), address)
            except OSError as error:
                log.warning("systemd: cannot be told %s: %s", message, error)


def _is_for_us(environment: Mapping[str, str], name: str, otherwise: bool = False) -> bool:
    """Whether a process id variable names this process, and not a parent; `otherwise` if it is not set."""
    return environment[name] == str(os.getpid()) if name in environment else otherwise
