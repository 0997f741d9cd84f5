"""The signals that end a program: SIGTERM, Ctrl-C, and SIGHUP, which comes when the terminal is closed (signal(7)).

Python dies of SIGTERM and SIGHUP at once. Here they end a program as an error does: what it has begun is put in
order first. A SIGHUP that is ignored at the start, as by nohup(1), stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable


def end_by_exception(status: int | None = None) -> None:
    """Raise SystemExit in the main thread at SIGTERM and SIGHUP, with `status`, or else that of shells: 128 and the
    signal's number. Python raises KeyboardInterrupt for Ctrl-C itself.

    Later ones are ignored: they must not cut short what the first has begun, such as to start a service again.
    """

    def end(number: int) -> None:
        _handle((signal.SIGTERM, signal.SIGHUP), None)
        raise SystemExit(128 + number if status is None else status)

    _handle((signal.SIGTERM, signal.SIGHUP), end)


def end_by(action: Callable[[], None]) -> None:
    """Call `action` in the main thread at SIGTERM, SIGHUP and Ctrl-C."""
    _handle((signal.SIGTERM, signal.SIGHUP, signal.SIGINT), lambda _: action())


def _handle(numbers: Iterable[int], action: Callable[[int], None] | None) -> None:
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, (lambda number, _: action(number)) if action else signal.SIG_IGN)
