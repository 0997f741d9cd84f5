"""Encodes the news of an answer as an event stream. Pure functions; other modules decide what is sent.

The page reads the event stream (`text/event-stream`). `data` is always JSON on one line:

- `state`: a sentence that says what the answer waits for before it has text, and for how long, every ten seconds;
  empty when it waits no longer.
- `block`: `{"html", "upto"}`; the id is the offset, too. After a block, the tail on the page is empty.
- `tail`: `{"keep", "html"}`, the provisional HTML of the text that has not settled: the first `keep` UTF-16 code
  units of the tail on the page stay, and `html` follows. At the start of a response there is none to keep.
- `end`: `{"finish", "note", "model"}`, once, as the last event; its id is `end`. It has `by` and `why` if the page
  says who answered and offers to say why it was not another model, `deleted` for a deleted chat, `next` if the page
  may offer to ask the model with this number, `out` if it may offer to let the question wait for a quota, and
  `waits` if it waits already, so that the page has to be opened anew.

An EventSource sends the last id back when it connects again (HTML standard, 9.2).
"""

from __future__ import annotations

import json

from ..answers.answer import News, Tail
from ..ending import DELETED, Ending
from .credit import answered_by, why_not

EVENT_STREAM = "text/event-stream; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"

END_ID = "end"
"""The id of the last event, in the place of an offset: a client that brings it has everything."""

PADDING = b":" + b" " * 1024 + b"\n\n"
"""A comment at the start of a stream. Chromium holds the text back until it has 1,024 bytes, unless a header tells
it not to sniff the content type; old builds may ignore that header."""

KEEP_ALIVE = b":\n\n"
"""A comment for an idle stream, so that no router or proxy on the way closes the connection."""


def events(news: News, language: str, waits: bool = False) -> bytes:
    """Encode the news as events, with sentences in the reader's language. `waits`: whether the question waits."""
    frames = [_event("state", state.to(language) if state else "") for state in news.states]
    frames += [_event("block", {"html": block.html, "upto": block.upto}, block.upto) for block in news.blocks]
    if news.tail is not None:
        frames.append(_event("tail", _change(news.tail)))
    if news.ending is not None:
        frames.append(end(news.ending, language, waits))
    return b"".join(frames)


def end(ending: Ending, language: str, waits: bool = False) -> bytes:
    """Encode an ending, the last event of a stream."""
    return _event("end", end_fields(ending, language, waits), END_ID)


def end_fields(ending: Ending, language: str, waits: bool = False) -> dict[str, str | int]:
    """Return the fields of an ending that the page gets."""
    fields: dict[str, str | int] = {
        "finish": ending.finish.value,
        "note": ending.note.to(language) if ending.note else "",
        "model": ending.model,
    }
    if by := answered_by(ending):
        fields["by"] = by.to(language)
    if why := why_not(ending):
        fields["why"] = why.to(language)
    if ending.note == DELETED:
        fields["deleted"] = True
    if waits:
        fields["waits"] = True
    elif ending.back_at:
        fields["out"] = True
    if ending.next_rung:
        fields["next"] = ending.next_rung
    return fields


def _change(tail: Tail) -> dict[str, int | str]:
    """What changes of a tail. Whole characters stay, so that none is sent by half of its UTF-16."""
    low, high = 0, min(len(tail.had), len(tail.html))
    while low < high:
        middle = (low + high + 1) // 2
        if tail.html.startswith(tail.had[:middle]):
            low = middle
        else:
            high = middle - 1
    return {"keep": len(tail.had[:low].encode("utf-16-le")) // 2, "html": tail.html[low:]}


def retry(milliseconds: int) -> bytes:
    """Tell a client, when there are too many followers, to poll with `wait=0` after this time."""
    return b"retry: %d\n\n" % milliseconds


def _event(name: str, data: object, event_id: int | str | None = None) -> bytes:
    # JSON escapes CR and LF, so the data is one line. Unicode's line separators do not end a line of a stream.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" + (f"id: {event_id}\n" if event_id is not None else "")
    return f"{head}data: {text}\n\n".encode()
