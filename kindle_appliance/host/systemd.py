"""What systemd and the appliance tell each other, spoken directly: the sockets that it hands over
(sd_listen_fds(3)), and that pages are served, still are, or will not be any more (sd_notify(3),
sd_watchdog_enabled(3)).

Where to and for whom stands in the environment, which is passed in. Without systemd nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_START_BEAT_SECONDS = 0.05
_LOOKS_PER_TIMEOUT = 4


def handed_over_sockets(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd holds for us, open also while we are not there; none without systemd."""
    if not _is_for_us(environment, "LISTEN_PID"):
        return []
    descriptors = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(environment.get("LISTEN_FDS", "0")))
    sockets = [socket.socket(fileno=each) for each in descriptors]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


class Watch:
    """Tells systemd that pages are served: first when they are, then again and again for its watchdog, as long as
    `is_serving` (seconds that it may take -> whether a page came) says so. A watchdog that is not fed restarts us.
    """

    def __init__(self, environment: Mapping[str, str], is_serving: Callable[[float], bool]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = _is_for_us(environment, "WATCHDOG_PID", otherwise=True)
        self._timeout = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if watched else 0.0
        self._is_serving = is_serving
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Look from now on; `is_serving` is asked in a thread of its own."""
        if self._address:
            self._thread.start()

    def close(self) -> None:
        """Tell systemd that this is the end."""
        self._is_closing.set()
        self._tell("STOPPING=1")

    def _run(self) -> None:
        beat = self._timeout / _LOOKS_PER_TIMEOUT
        while not self._look(beat or 1.0):
            if self._is_closing.wait(_START_BEAT_SECONDS):
                return
        self._tell("READY=1")
        was_serving = True
        while beat and not self._is_closing.wait(beat):
            is_serving = self._look(beat)
            if is_serving:
                self._tell("WATCHDOG=1")
            if is_serving != was_serving and not self._is_closing.is_set():
                log.log(
                    logging.INFO if is_serving else logging.ERROR,
                    "systemd: the appliance %s its own request",
                    "answers again" if is_serving else "does not answer",
                )
            was_serving = is_serving

    def _look(self, seconds: float) -> bool:
        try:
            return self._is_serving(seconds)
        except OSError:
            return False

    def _tell(self, message: str) -> None:
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
    """Whether what goes with this variable is meant for this process, and not for a parent of it."""
    return environment[name] == str(os.getpid()) if name in environment else otherwise
