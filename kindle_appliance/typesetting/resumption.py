"""What a text begins inside that goes on with another: a fence or a table that is open where that ends. No I/O.

A model that is asked to go on writes the next line of the code, or of the table. Or it opens the fence again, or
repeats the table's head, perhaps below a short sentence. Its first lines tell which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..markdown.library import parse_blocks
from ..markdown.tables import short_head
from .fence import OpenFence
from .pieces import Continuation, Level

FIRST_CHARACTERS = 2000
"""A text shows in so many characters how it begins."""

_FENCE = re.compile(r"((?:[ >]|(?:[-*+]|\d{1,9}[.)]) )*)(`{3,}(?=[^`]*\Z)|~{3,})[ \t]*(\S*)")
_CONTAINER = re.compile("> | {2,5}(?! )| {4}")
_MOST_QUOTATIONS = 3
_DEEPEST_ITEM = 12
"""A fence in more quotations, or behind so many more spaces, goes on as one outside them."""

_DELIMITERS = re.compile(r"[ >]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*(?::?-+:?[ \t]*)?)*\Z")
_SENTENCE = re.compile(
    r"(?=[^\W\d_a-z])(?:[^\s{};=<>|]+ +){2,}[^{};=<>|]*[.:!?…。：！？]\Z|[\u3400-\u9fff].*[。：！？]\Z"
)
_PROSE = ("", "text", "txt", "plain", "markdown", "md")
"""Fences with these names may hold sentences."""


class Opened(NamedTuple):
    """A fence or table that is open at the end of a text: lines that open it again, and a fence's name.

    `prefix` stands before the lines of a fence in a quotation, or in an item beyond the three spaces that a fence
    may have anywhere; `start`, if the text ends inside a line, before the rest of that.
    """

    opening: tuple[str, ...]
    name: str = ""
    prefix: str = ""
    start: str = ""

    @property
    def fence(self) -> OpenFence | None:
        """The fence, if it is one."""
        match = _FENCE.match(self.opening[0].rstrip("\n"))
        if match is None or len(self.opening) > 1:
            return None
        indent = 0 if self.prefix else len(match[1])
        return OpenFence(self.prefix, indent, match[2], len(self.continuation.opening))

    def before(self, line: str) -> Opened:
        """The same for a text that begins with this line: it may go on outside the quotation or item."""
        if line.startswith(self.prefix):
            return self._replace(start="")
        opening = tuple(each.removeprefix(self.prefix) for each in self.opening)
        return self if self.start else self._replace(opening=opening, prefix="")

    @property
    def continuation(self) -> Continuation:
        """What a text continues that goes on here."""
        levels: list[Level] = []
        placeholders: list[str] = []
        before = ""
        for mark in _CONTAINER.findall(self.prefix):
            if mark == "> ":
                levels.append(Level("blockquote_open", 0))
            else:
                levels += [Level("bullet_list_open", 0), Level("list_item_open", 0)]
                placeholders.append(before + "-".ljust(len(mark)) + "# x\n")
            before += mark
        return Continuation(tuple(levels), True, (*placeholders, *self.opening), self.start)


class Beginning(NamedTuple):
    """How a text begins: inside this, if anything, behind so many characters, which are not shown."""

    inside: Opened | None
    skipped: int


def beginning(text: str, opened: Opened, *, is_all: bool) -> Beginning | None:
    """How a text begins that goes on where this was open; None if its first characters do not tell yet. `is_all`:
    no more text will come.
    """
    is_all = is_all or len(text) >= FIRST_CHARACTERS
    lines = text[:FIRST_CHARACTERS].splitlines(keepends=True)
    if not is_all and lines and not lines[-1].endswith("\n"):
        lines.pop()
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return Beginning(None, 0) if is_all else None
    following = lines[first + 1 :]
    ends = [sum(map(len, lines[: first + 1])), sum(map(len, lines[: first + 2]))]
    if opened.fence:
        return _inside_fence(lines[first].rstrip(), following, opened, ends[0], is_all)
    return _inside_table(lines[first], following, opened, ends[1], is_all)


def _inside_fence(line: str, following: Sequence[str], opened: Opened, end: int, is_all: bool) -> Beginning | None:
    again = _FENCE.match(line)
    if again and opened.fence and again[2] != opened.fence.markup and again[2] in opened.fence.markup:
        again = None  # a shorter one is code
    opened = opened.before(line)
    if again:
        if not again[3] and not following and not is_all:
            return None
        is_end = not again[3] and not "".join(following[:1]).strip()
        return Beginning(None if is_end else _opened_by(again, opened.name), end)
    if not _SENTENCE.match(line):
        return Beginning(opened, 0)
    if opened.name.lower() not in _PROSE:
        return Beginning(None, 0)
    below = next((each for each in following if each.strip()), None)
    if below is None and not is_all:
        return None
    return Beginning(None if below and _FENCE.match(below.rstrip()) else opened, 0)


def _inside_table(line: str, following: Sequence[str], opened: Opened, end: int, is_all: bool) -> Beginning | None:
    if "|" not in line:
        return Beginning(None, 0)
    opened = opened.before(line)
    if not following:
        return Beginning(opened, 0) if is_all else None
    again = _DELIMITERS.match(following[0].rstrip())
    if not again:
        return Beginning(opened, 0)
    is_same = _columns(following[0]) == _columns(opened.opening[1])
    return Beginning(opened, end) if is_same else Beginning(None, 0)


def _columns(delimiters: str) -> int:
    return len(re.findall("-+", delimiters))


def opened_at_end(text: str, before: Opened | None) -> Opened | None:
    """The fence or table that is open at the end of a text, which goes on where `before` was open."""
    begun = beginning(text, before, is_all=True) if before else Beginning(None, 0)
    inside, skipped = begun or Beginning(None, 0)
    lines = [line.rstrip("\r") for line in text[skipped:].split("\n")]
    fence = inside if inside and inside.fence else None
    for line in lines:
        match = _FENCE.match(line)
        if fence is None:
            fence = _opened_by(match) if match else None
        elif match and not match[3] and match[2].startswith(fence.opening[0][len(fence.prefix) :].strip()):
            fence = None
    opened = fence or _open_table([*(inside.opening if inside and not inside.fence else ()), *lines])
    return opened._replace(start=opened.prefix) if opened and not text.endswith("\n") else opened


def _opened_by(fence: re.Match[str], name: str = "") -> Opened:
    """The fence that a line begins."""
    quotations = fence[1].count(">")
    depth = len(fence[1].rpartition(">")[2]) - (quotations > 0)
    prefix = "> " * quotations
    if depth > (1 if quotations else 3):
        prefix += " " * depth
    if quotations > _MOST_QUOTATIONS or depth > _DEEPEST_ITEM:
        prefix = ""
    indentation = "" if prefix else " " * max(0, min(3, depth))
    return Opened((prefix + indentation + fence[2] + "\n",), fence[3] or name, prefix)


def _open_table(lines: Sequence[str]) -> Opened | None:
    last = next((number for number in range(len(lines) - 1, -1, -1) if lines[number].strip()), 0)
    if len(lines) - last > 2 or not lines or "|" not in lines[last]:
        return None
    first = next((number + 1 for number in range(last, -1, -1) if not lines[number].strip()), 0)
    for head, delimiters in zip(lines[first:last], lines[first + 1 : last + 1], strict=True):
        if "|" in head and _DELIMITERS.match(delimiters.rstrip()):
            env = {"references": dict[str, object]()}
            table = parse_blocks(f"{head.lstrip(' >').strip()}\n{delimiters.lstrip(' >').strip()}\n", env)
            prefix = "> " * min(_MOST_QUOTATIONS, head[: len(head) - len(head.lstrip(" >"))].count(">"))
            opening = tuple(prefix + line for line in short_head(table, env))
            return Opened(opening, "", prefix) if table and table[0].type == "table_open" else None
    return None
