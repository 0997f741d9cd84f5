"""systemd's side of its protocols: the socket for notifications, and the start of a service with a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from conftest import ROOT

_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
own = str(os.getpid())
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": own, "WATCHDOG_PID": own})
"""


class Notified:
    """The socket on which systemd receives its services' notifications."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)

    def next(self, seconds: float = 20) -> str:
        self._socket.settimeout(seconds)
        return self._socket.recv(1000).decode()

    def next_but(self, message: str) -> str:
        """The next one that is another."""
        while (said := self.next()) == message:
            pass
        return said

    def nothing_more(self) -> bool:
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            return self._socket.recv(1000) == b""
        return True

    def close(self) -> None:
        self._socket.close()
        Path(self.address).unlink(missing_ok=True)


@contextmanager
def service(
    command: Sequence[str | Path], door: socket.socket, environment: Mapping[str, str], errors: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command with `door` as its descriptor 3. An intermediate step sets the process ids, as systemd would.

    `errors`: the file for its stderr, else that of the tests.
    """
    with errors.open("ab") if errors else nullcontext() as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _HAND_OVER, str(door.fileno()), *command],
            cwd=ROOT,
            env=environment,
            pass_fds=[door.fileno()],
            stdout=subprocess.PIPE,
            stderr=file,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
