"""Text as a reader sees it: white space is one space, and signs that are not seen are out. Pure."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Controls, soft hyphens, what has no width, directions, and what is no character. The joiners U+200C and U+200D
stay: Persian, Indic scripts and emoji look different without them.
"""

_MORE = "…"


def seen(text: str) -> str:
    """The text without the signs that are not seen."""
    return _UNSEEN.sub("", text)


def line(text: str, most: int) -> str:
    """The text as one line of at most so many characters, with "…" where it is cut."""
    words = " ".join(seen(text).split())
    return words if len(words) <= most else words[: most - 1].rstrip() + _MORE
