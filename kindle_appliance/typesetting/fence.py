"""An open fence: tells which lines are its code, without the Markdown library. No I/O.

Code is the cheapest of all to set, and the dearest to parse again with each of its lines.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class OpenFence(NamedTuple):
    """A fence that has not ended.

    `prefix` stands before its lines, for the containers around it. `markup` opens it, after `indent` spaces. If it
    has neither prefix nor indent, its lines are its code as they are. `first`: the number of the first of these.
    """

    prefix: str
    indent: int
    markup: str
    first: int

    def holds(self, line: str) -> bool:
        """Whether a line is code for certain: it ends neither the fence nor a container around it."""
        prefix = self.prefix
        if prefix and not line.startswith(prefix):
            return line.rstrip("\n") == prefix.rstrip(" ")  # a blank line in the innermost quotation, or in an item
        return not line[len(prefix) :].lstrip(" \t").startswith(self.markup)

    def ends_with(self, line: str) -> bool:
        """Whether a line ends the fence, and leaves the containers around it open."""
        marks = line[len(self.prefix) :].strip(" \t\n")
        is_inside = bool(self.prefix) and line.startswith(self.prefix)
        return is_inside and marks.startswith(self.markup) and not marks.strip(self.markup[0])

    @property
    def opening(self) -> str:
        """A line that opens such a fence."""
        return f"{self.prefix}{' ' * self.indent}{self.markup}\n"


_FENCE = re.compile("(`{3,})[^`]*\\Z|(~{3,})")


def fence_begun_by(line: str) -> OpenFence | None:
    """The fence that a line without a block before it begins, if it does so without spaces."""
    match = _FENCE.match(line)
    return OpenFence("", 0, match[1] or match[2], 1) if match else None
