"""A network namespace with only a loopback of its own: no packet leaves the machine or comes in."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 1  # linux/if.h


def without_network(action: Callable[[], _T]) -> _T:
    """Run `action` in a thread whose namespace has no network. Threads that it starts share that namespace.

    Raises PermissionError without the right to make a namespace, which only root has.
    """

    def unshare_and_act() -> _T:
        _unshare()
        return action()

    with ThreadPoolExecutor(1) as thread:  # a thread of its own, because it cannot return to the old namespace
        return thread.submit(unshare_and_act).result()


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise PermissionError(number, os.strerror(number))
    set_loopback(is_up=True)


def set_loopback(is_up: bool) -> None:
    """Bring the loopback of this namespace up or down. Open connections get no notice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP * is_up))
