"""Our server with the test's own application."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from kindle_appliance.web.server import USUAL_LIMITS, Limits, Server


@contextmanager
def serving(
    application: Callable[..., Iterable[bytes]],
    followers: int = 4,
    limits: Limits = USUAL_LIMITS,
    is_proxy: Callable[[str], bool] = lambda address: False,
    language: str | None = None,
    uploads: Collection[str] = (),
) -> Iterator[Server]:
    """Serve a WSGI application with our server, on a free port."""
    server = Server(application, "127.0.0.1", 0, followers, (), limits, is_proxy, language, uploads)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
        server.close(2)
