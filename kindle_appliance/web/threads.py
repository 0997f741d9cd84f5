"""The threads that serve requests: one that waits for the next request, and one for each that is being served.

Waitress's own starts all of them at once and keeps them: forty, each with its share of memory, of which most houses
never need five.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Protocol

log = logging.getLogger(__name__)


class Task(Protocol):
    """What waitress wants to have done: a connection with a request."""

    def service(self) -> object:
        """Answer the request."""

    def cancel(self) -> object:
        """Never answer it: the server ends."""


class Threads:
    """Does the tasks of waitress, `most` of them at once; others wait for their turn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks = deque[Task]()
        self._count = 0
        self._spare = 0  # wait for a task
        self._changed = threading.Condition()

    def add_task(self, task: Task) -> None:
        """Have a thread execute a task as soon as there is one; called by any thread."""
        with self._changed:
            self._tasks.append(task)
            if len(self._tasks) > self._spare and self._count < self._most:
                self._start()
            self._changed.notify()

    def shutdown(self, timeout: float) -> None:
        """Cancel what waits, and end the threads after their tasks, as far as they do in `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._most = 0
            cancelled, self._tasks = self._tasks, deque()
            self._changed.notify_all()
            while self._count and (rest := deadline - time.monotonic()) > 0:
                self._changed.wait(rest)
        for task in cancelled:
            task.cancel()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="web", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no room for it: the task waits for another one
            log.error("web: %s", error)
        else:
            self._count += 1

    def _run(self) -> None:
        while task := self._next():
            try:
                task.service()
            except BaseException:
                log.exception("web: a mistake in a request")

    def _next(self) -> Task | None:
        """The next task; None if this thread is not needed any more."""
        with self._changed:
            if not self._tasks and not self._spare:
                self._spare = 1
                self._changed.wait_for(lambda: self._tasks or not self._most)
                self._spare = 0
            if self._tasks:
                return self._tasks.popleft()
            self._count -= 1
            self._changed.notify_all()
            return None
