"""Ports for the programs that tests start."""

import contextlib
import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_CHOICE = random.SystemRandom()  # tests that seed the other one would all look at the same ports


def free_port() -> int:
    """A port that nothing uses on 127.0.0.1, and that the kernel gives to no connection by itself. It does so with
    those of `ip_local_port_range` (man 7 ip), also while the program that shall listen there is being started.
    """
    below = max(int(_EPHEMERAL.read_text().split()[0]), 2 * _LOWEST)
    while True:
        port = _CHOICE.randrange(_LOWEST, below)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
