"""Emoji, which old fonts lack: left out of pages, or replaced by a sign that old fonts have. Pure functions.

Old are the symbols of Unicode 5.1 (2008), such as arrows, ✓ ☑ ★ ⚠ ❤. All newer ones count as emoji; they are those
that Unicode shows in colour by default (Emoji_Presentation), and everything from U+1F000 on.
"""

from __future__ import annotations

import re

_EMOJI = (
    "\u231a\u231b\u23e9-\u23fa\u26bd-\u26bf\u26c4-\u26ff\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\U0001f000-\U0001fbff"
)
"""Among them are thick arrows, which have thin ones for a sign."""

_CHANGES = "[\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f]"
"""Invisible characters that make an emoji, a text, a key or a flag of what stands before them."""

_UNIT = re.compile(f"\u200d?([{_EMOJI}]){_CHANGES}*(?:\u200d[{_EMOJI}\u2190-\u2bff]{_CHANGES}*)*|{_CHANGES}+")
"""An emoji with all that is joined to it. U+200D elsewhere belongs to the letters of a language."""

_SIGNS = {
    emoji: sign
    for signs in (
        *("✓✅", "✗❌❎⛔🚫", "★⭐🌟", "→➡👉", "←⬅👈", "↑⬆👆", "↓⬇👇", "↗⤴", "↘⤵", "+➕", "−➖", "÷➗", "?❓❔"),
        *(
            "!❗❕",
            "○⭕",
            "●🔴🟠🟡🟢🔵🟣🟤🔘",
            "■⬛🟥🟧🟨🟩🟦🟪🟫🔳",
            "□⬜🔲",
            "◆🔶🔷🔸🔹",
            "▲🔺🔼",
            "▼🔻🔽",
            "1🥇",
            "2🥈",
            "3🥉",
        ),
    )
    for sign in signs[0]
    for emoji in signs[1:]
} | {"🔟": "10"}
"""The nearest old sign of those that mean something where they stand, mostly at the start of an item."""

_UNKNOWN = "□"
"""Stands for an emoji in code, where a character must not go."""

_BEGINS = "([{“‘„«「『（\"'"
_ENDS = ")]}”’»」』）\"'.,:;!?…"
_MARKS = "*_~"
_LONG_RUN = 20
"""Beyond so many marks nobody means emphasis."""

_BACKTICKS = re.compile(r"(\\*)(`+)|\\+")
"""The second part keeps the search linear."""


def without_emoji(text: str) -> str:
    """A text as it is shown without emoji, and without the spaces that stood beside them only."""
    return _without_emoji(text, []) if _has_emoji(text) else text


def markdown_without_emoji(text: str) -> str:
    """A Markdown text likewise. What is code in it keeps its emoji, for `code_without_emoji`."""
    return _without_emoji(text, _codes(text)) if _has_emoji(text) else text


def _has_emoji(text: str) -> bool:
    return not text.isascii() and _UNIT.search(text) is not None


def _without_emoji(text: str, codes: list[tuple[int, int]]) -> str:
    """The text without emoji but for those in the codes, of which the first is the last of the list."""
    parts = [""]
    start = 0
    for match in _UNIT.finditer(text):
        first, end = match.span()
        while codes and codes[-1][1] <= first:
            codes.pop()
        if codes and codes[-1][0] <= first:
            continue
        if start < first:
            parts.append(text[start:first])
        start = end
        sign = _SIGNS.get(match[1] or "")
        if sign:
            parts.append(sign)
        elif match[1] and text[end : end + 1] in (" ", "\t"):
            start += _is_beginning(text, first, parts[-1][-1:])
        elif match[1] and parts[-1].endswith(" ") and _is_end(text, end):
            parts[-1] = parts[-1][:-1]
        while match[1] and not sign and (count := _marks_around(parts[-1], text, start)):
            parts[-1] = parts[-1][:-count]
            start += count
    parts.append(text[start:])
    return "".join(parts)


def code_without_emoji(code: str) -> str:
    """The characters of a code, without emoji."""
    if code.isascii():
        return code
    return _UNIT.sub(lambda match: _SIGNS.get(match[1], _UNKNOWN) if match[1] else "", code)


def _is_beginning(text: str, at: int, before: str) -> bool:
    """Whether the text, or something in it, begins at an emoji; `before`: what is shown before it."""
    if not before or before.isspace() or before in _BEGINS:
        return True
    if before not in _MARKS:
        return False
    outside = text[max(0, at - _LONG_RUN) : at].rstrip(_MARKS)[-1:]
    return not outside or outside.isspace() or outside in _BEGINS or bool(_UNIT.match(outside))


def _is_end(text: str, at: int) -> bool:
    """Whether the text, or something in it, ends at an emoji that ends before the character `at`."""
    after = text[at : at + 1]
    if after and after in _MARKS:
        after = next((character for character in text[at : at + _LONG_RUN] if character not in _MARKS), "")
        return not after.isalnum() and after not in _BEGINS if after else True
    return not after or after.isspace() or after in _ENDS


def _marks_around(before: str, text: str, at: int) -> int:
    """How many marks at the end of `before` and at the character `at` would be emphasis of nothing."""
    mark = text[at : at + 1]
    if not mark or mark not in _MARKS:
        return 0
    after, before = text[at : at + _LONG_RUN], before[-_LONG_RUN:]
    count = len(after) - len(after.lstrip(mark))
    return count if count < _LONG_RUN and count == len(before) - len(before.rstrip(mark)) else 0


def _codes(text: str) -> list[tuple[int, int]]:
    """Where codes stand in a text, the last one first.

    After a backslash, a backtick opens none; it may end one (CommonMark 0.31, 6.1).
    """
    runs = [match for match in _BACKTICKS.finditer(text) if match[2]]
    further: dict[int, list[int]] = {}
    for index in range(len(runs) - 1, -1, -1):
        further.setdefault(len(runs[index][2]), []).append(index)
    codes = []
    index = 0
    while index < len(runs):
        is_escaped = len(runs[index][1]) % 2
        same = further.get(len(runs[index][2]) - is_escaped, [])
        while same and same[-1] <= index:
            same.pop()
        if same:
            codes.append((runs[index].start(2) + is_escaped, runs[same[-1]].end(2)))
            index = same[-1]
        index += 1
    return codes[::-1]
