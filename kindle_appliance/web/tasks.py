"""What waitress runs for a request, in a thread of its own: the application, or a refusal.

A response to HEAD has no body (RFC 9110, 9.3.2), also when it is a refusal.
"""

from __future__ import annotations

import time
from typing import Any, cast

from waitress.task import ErrorTask, Task, WSGITask

from ..sentences import choose_language
from .body import BODY
from .parser import Parser
from .refusals import refusal

WATERMARK_BYTES = 256 * 1024
"""With more that its client has not read, a task waits."""


class _Bodiless(Task):
    """A task that sends no body to HEAD."""

    @property
    def asked(self) -> Parser:
        """The request as it came: after a bug, waitress makes an empty one."""
        request: Any = [*self.channel.requests, self.request][0]
        return cast(Parser, request)

    def write(self, data: bytes) -> None:
        is_head = self.asked.command == "HEAD"
        super().write(b"" if is_head else data)
        if is_head:
            self.chunked_response = False  # the last chunk would be a body, too


class RefusalTask(ErrorTask, _Bodiless):
    """Answers a request that is rejected before routing, with one sentence."""

    def execute(self) -> None:
        asked, channel, request = self.asked, cast(Any, self.channel), cast(Any, self.request)
        is_script = "application/json" in asked.headers.get("ACCEPT", "") or asked.request_uri.startswith("/api/")
        language = choose_language(asked.headers.get("ACCEPT_LANGUAGE", ""), channel.house.language)
        self.status, self.response_headers, body = refusal(request.error.code, language, is_script)
        self.content_length = len(body)
        self.set_close_on_finish()
        self.write(body)


class ApplicationTask(WSGITask, _Bodiless):
    """Answers one request with the application."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        if self.asked.body is not None:
            environ[BODY] = self.asked.body
        return environ

    def set_close_on_finish(self) -> None:
        # Waitress closes every connection whose response has no length. Without a body it needs none.
        is_in_step = self.asked.command == "HEAD" and self.version == "1.1"
        if not is_in_step or self.asked.connection_close:
            super().set_close_on_finish()

    def finish(self) -> None:
        super().finish()
        channel: Any = self.channel
        channel.waiting_since = time.monotonic()
        # A next request that is already here would occupy a thread until the client has read this response.
        self.close_on_finish |= channel.total_outbufs_len > WATERMARK_BYTES // 2
