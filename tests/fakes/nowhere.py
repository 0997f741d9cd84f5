"""A place without network: only a loopback of its own, where nothing leaves the machine and nothing comes in."""

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
    """Do it in a thread that has no network, as have the threads that it starts. Raises PermissionError for those
    who may not make a network namespace: all but root.
    """

    def leave_and_act() -> _T:
        _leave()
        return action()

    with ThreadPoolExecutor(1) as thread:  # one that ends here: it could not come back
        return thread.submit(leave_and_act).result()


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise PermissionError(number, os.strerror(number))
    plug(is_in=True)


def plug(is_in: bool) -> None:
    """Plug the cable of that place in, or pull it: what is connected hears nothing of that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP * is_in))
