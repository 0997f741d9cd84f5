"""Whom a page is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .look import USUAL_LOOK, Look


@dataclass(frozen=True)
class Reader:
    """`unread`: answers whose end this device has not yet seen; `places`: where it left some: page, of how many."""

    language: str
    look: Look = USUAL_LOOK
    unread: tuple[int, ...] = ()
    places: Mapping[int, tuple[int, int]] = field(default_factory=dict)
