"""A thread that works at what is stored, in small steps, so that pages and answers hardly notice.

It takes half of the time, and sleeps when there is nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..errors import StorageError

log = logging.getLogger(__name__)

_LEAST_PAUSE_SECONDS = 0.02
_MOST_PAUSE_SECONDS = 60.0
"""A full card is tried ever more seldom."""


class Worker:
    """Calls `step` from `start()` to `close()`, at once and then whenever `wake` is set.

    `step` clears `wake` before it looks for work. It returns the seconds until it wants to be called without being
    woken, or `None` for never. After a `StorageError` it is called again, ever later; any other error ends the
    thread. `closing` is set when a step that takes long should give up. Log lines begin with `name`; `failed` says
    what a `StorageError` means.
    """

    def __init__(self, name: str, failed: str, wake: threading.Event, step: Callable[[], float | None]) -> None:
        self.closing = threading.Event()
        self._name = name
        self._failed = failed
        self._wake = wake
        self._step = step
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, if it was started, after the step that it is taking."""
        self.closing.set()
        self._wake.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        rest: float | None = 0.0
        pause = after_failure = _LEAST_PAUSE_SECONDS
        while not self.closing.is_set():  # a step that is taken meanwhile clears `wake`
            self._wake.wait(rest)
            if self.closing.wait(pause):
                return
            start = time.monotonic()
            try:
                rest = self._step()
                pause = after_failure = max(_LEAST_PAUSE_SECONDS, time.monotonic() - start)  # half of the time
            except StorageError as error:
                log.error("%s: %s: %s", self._name, self._failed, error)
                rest = 0.0
                pause = after_failure = min(4 * max(after_failure, 1.0), _MOST_PAUSE_SECONDS)
            except Exception:
                log.exception("%s: a mistake in the background", self._name)
                return
