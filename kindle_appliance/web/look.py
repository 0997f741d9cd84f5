"""How a reader wants text: size and weight. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIZES = range(1, 9)
"""Text sizes: from about 50 characters a line down to 13. The style sheet has what each means."""


@dataclass(frozen=True)
class Look:
    """Text size, one of `SIZES`, and weight."""

    size: int = 3
    is_bold: bool = False

    @classmethod
    def read(cls, text: str) -> Look | None:
        """From `str(look)`, which a cookie or a form holds; None for anything else."""
        match = re.fullmatch("([1-8])(b?)", text, re.ASCII)
        return cls(int(match[1]), bool(match[2])) if match else None

    def __str__(self) -> str:
        return f"{self.size}{'b' if self.is_bold else ''}"

    def sized(self, step: int) -> Look:
        """The look that is `step` sizes larger, as far as sizes go."""
        return Look(min(max(self.size + step, SIZES[0]), SIZES[-1]), self.is_bold)

    def in_the_other_weight(self) -> Look:
        """Bold for regular, regular for bold."""
        return Look(self.size, not self.is_bold)


USUAL_LOOK = Look()
