"""The thread that keeps the index up to date, in small steps, so that pages and answers hardly notice."""

from __future__ import annotations

import logging
import threading
import time

from ..errors import StorageError
from .search import SearchIndex

log = logging.getLogger(__name__)

_LEAST_PAUSE_SECONDS = 0.02
_MOST_PAUSE_SECONDS = 60.0
"""A full card is tried ever more seldom."""


class Indexer:
    """Catches up on an index from `start()` to `close()`. Without anything to do it sleeps."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread after the step that it is taking."""
        self._closing.set()
        self._index.wake.set()
        self._thread.join()

    def _run(self) -> None:
        pause = after_failure = _LEAST_PAUSE_SECONDS
        while not self._closing.is_set():  # a step that is taken meanwhile clears `wake`
            self._index.wake.wait()
            if self._closing.wait(pause):
                return
            start = time.monotonic()
            try:
                self._index.catch_up()
                pause = after_failure = max(_LEAST_PAUSE_SECONDS, time.monotonic() - start)  # half of the time
            except StorageError as error:
                log.error("search: cannot index: %s", error)
                self._index.wake.set()
                pause = after_failure = min(4 * max(after_failure, 1.0), _MOST_PAUSE_SECONDS)
            except Exception:
                log.exception("search: a mistake while indexing")
                return
