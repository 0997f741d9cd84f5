"""An answer as bytes for a reader. Pure: what to say is decided elsewhere.

The event stream (`text/event-stream`) is what the page reads. `data` is always JSON on one line:

- `state`: what is being waited for before there is text, a sentence; empty: nothing any more.
- `text`: more raw text, a string.
- `block`: `{"html", "upto"}`, with the offset as id too. After a block the reader's raw tail is empty.
- `end`: `{"finish", "note", "model"}`, once and last.
"""

from __future__ import annotations

import json

from ..answers.answer import News
from ..ending import Ending

EVENT_STREAM = "text/event-stream; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"

PADDING = b":" + b" " * 1024 + b"\n\n"
"""A comment to open a stream with: Chromium holds text back until 1,024 bytes have come, unless it is told not to
sniff; old builds are not trusted to listen."""

KEEP_ALIVE = b":\n\n"
"""A comment for a silent stream, so that nothing on the way takes it for dead."""


def events(news: News, language: str) -> bytes:
    """What is new as events; sentences in the reader's language."""
    frames = [_event("state", state.to(language) if state else "") for state in news.states]
    frames += [_event("block", {"html": block.html, "upto": block.upto}, block.upto) for block in news.blocks]
    if news.text:
        frames.append(_event("text", news.text))
    if news.ending is not None:
        frames.append(_event("end", end_fields(news.ending, language)))
    return b"".join(frames)


def end_fields(ending: Ending, language: str) -> dict[str, str]:
    """An ending as the page gets it."""
    return {"finish": ending.finish.value, "note": ending.words(language), "model": ending.model}


def retry(milliseconds: int) -> bytes:
    """Too many follow already: come back after this time and ask with `wait=0`."""
    return b"retry: %d\n\n" % milliseconds


def _event(name: str, data: object, identity: int | None = None) -> bytes:
    # JSON escapes CR and LF, so the data is one line; separators of Unicode do not end lines of a stream.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" + (f"id: {identity}\n" if identity is not None else "")
    return f"{head}data: {text}\n\n".encode()
