"""Thoughts that a server leaves inside the text, between tags at its start. Pure.

Servers with a parser for the model's tags send thoughts apart. Those without one send what the model writes:
`<think>` (Qwen, DeepSeek R1, GLM and most others), `[THINK]` (Mistral's), `<seed:think>` (Seed-OSS), `◁think▷`
(Kimi-VL). Only these count, and only before any text: an answer may speak about a tag or begin with any other.
`<thinking>` is none of them: it is what chat programs and prompts use, and no model's own tag (read 2026-11).
Thoughts whose begin stands in the model's template and is not sent (`Hm… </think>Answer`) are shown: until they end
nothing tells them from an answer.
"""

from __future__ import annotations

from .reader import is_blank

_TAGS = {
    "<think>": "</think>",
    "[THINK]": "[/THINK]",
    "<seed:think>": "</seed:think>",
    "◁think▷": "◁/think▷",
}


class Thoughts:
    """Takes the pieces of a text, cut anywhere, and gives back what is no thought."""

    def __init__(self) -> None:
        self._end = ""  # the tag that ends the thoughts; "" outside of them
        self._held = ""  # the begin of a tag, perhaps
        self._blanks: list[str] = []  # blank text that no other has followed yet
        self._is_text = False  # text has begun, and no tag counts any more
        self._has_thought = False

    @property
    def are_open(self) -> bool:
        """Whether the last piece ended among thoughts."""
        return bool(self._end)

    def feed(self, piece: str) -> str:
        """The text in the next piece. What may still become a tag is held back, blank text before it too."""
        if self._is_text:
            return piece
        rest = self._held + piece
        self._held = ""
        while rest:
            if self._end:
                at = rest.find(self._end)
                if at < 0:
                    self._held = rest[1 - len(self._end) :]
                    return ""
                rest, self._end = rest[at + len(self._end) :], ""
                continue
            blanks = next((at for at, each in enumerate(rest) if not is_blank(each)), len(rest))
            self._blanks.append(rest[:blanks])
            rest = rest[blanks:]
            opened = next((tag for tag in _TAGS if rest.startswith(tag)), "")
            closed = next((tag for tag in _TAGS.values() if rest.startswith(tag)), "")
            if opened or closed:  # an end without a begin: the server has sent the thoughts apart, but not this
                self._blanks.clear()
                self._has_thought = True
                self._end = _TAGS.get(opened, "")
                rest = rest.removeprefix(opened or closed)
            elif any(tag.startswith(rest) for tag in (*_TAGS, *_TAGS.values())):
                self._held = rest
                return ""
            else:
                return self._begin(rest)
        return ""

    def close(self, *, is_whole: bool) -> str:
        """The text that was held back. The begin of a tag is text only if the answer `is_whole`."""
        if self._is_text or self._end:
            return ""
        return self._begin(self._held if is_whole else "")

    def _begin(self, text: str) -> str:
        blanks = "".join(self._blanks)
        if self._has_thought:  # the empty lines between thoughts and text belong to neither
            blanks = blanks[blanks.rfind("\n") + 1 :]
        self._blanks.clear()
        self._held = ""
        self._is_text = True
        return blanks + text
