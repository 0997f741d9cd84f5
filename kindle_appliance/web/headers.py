"""The headers that responses share: of pages, of streams, and of what the server refuses before routing."""

from __future__ import annotations

UNBUFFERED = ("X-Accel-Buffering", "no")
"""For a response that goes on: nginx passes each piece at once, and does not collect some KB first."""

TRY_SOON = {"Retry-After": "2"}
"""For a client that found all threads or seats busy. Nobody knows when one is free; a page polls in such intervals,
too.
"""

POLICY = "Content-Security-Policy"

NO_PAGE = (POLICY, "default-src 'none'; frame-ancestors 'none'")
"""For a response that is no page of ours, should a browser take it for one."""

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),  # also makes Chromium show text/plain as it arrives
    ("Cache-Control", "no-store"),
    ("X-Frame-Options", "DENY"),
    # With `no-referrer` Chromium would send `Origin: null` with the forms of our own pages.
    ("Referrer-Policy", "same-origin"),
)
