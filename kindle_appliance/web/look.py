"""How a reader wants text: size and weight. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIZES = (62, 55, 48, 40, 34, 28, 22, 17, 13)
"""Text sizes, smallest first: how many letters of English a line of a Kindle's screen has. page.css has a rule for
each.
"""

OFFERED = (55, 48, 34, 22)
"""Those that a reader is offered at first."""

_OLD_SIZES = dict(enumerate((48, 40, 40, 34, 28, 22, 17, 13), 1))
"""Those of version 0.1, which numbered them, and the nearest of ours."""


@dataclass(frozen=True)
class Look:
    """Text size, one of `SIZES`, and weight."""

    size: int = 48
    is_bold: bool = False

    @classmethod
    def of(cls, size: int) -> Look:
        """The look with the size nearest to `size`: letters on a line, or a number that version 0.1 gave to one."""
        wanted = _OLD_SIZES.get(size, size)
        return cls(min(SIZES, key=lambda each: abs(each - wanted)))

    @classmethod
    def read(cls, text: str) -> Look | None:
        """From `str(look)`, which a cookie or a form holds, also of version 0.1; None for anything else."""
        match = re.fullmatch("([0-9]{1,2})(b?)", text, re.ASCII)
        if not match or int(match[1]) not in (*SIZES, *_OLD_SIZES):
            return None
        return cls(cls.of(int(match[1])).size, bool(match[2]))

    def __str__(self) -> str:
        return f"{self.size}{'b' if self.is_bold else ''}"

    def sized(self, step: int) -> Look:
        """The look that is `step` sizes larger, as far as sizes go."""
        at = min(max(SIZES.index(self.size) + step, 0), len(SIZES) - 1)
        return Look(SIZES[at], self.is_bold)

    def in_the_other_weight(self) -> Look:
        """Bold for regular, regular for bold."""
        return Look(self.size, not self.is_bold)


USUAL_LOOK = Look()
