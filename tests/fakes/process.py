"""What a process holds, as Linux tells it: threads, descriptors, memory."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path


class Process:
    """A process by its number, or the one that asks."""

    def __init__(self, pid: int | None = None) -> None:
        self._folder = Path("/proc", "self" if pid is None else str(pid))

    def threads(self) -> int:
        return len(list((self._folder / "task").iterdir()))

    def descriptors(self) -> list[str]:
        """What each open descriptor leads to, such as "socket" or the path of a file."""
        found = []
        for entry in (self._folder / "fd").iterdir():
            with suppress(OSError):  # the one that lists the folder is gone again
                found.append(re.sub(r":\[\d+\]$", "", str(entry.readlink())))
        return sorted(found)

    def memory(self) -> float:
        """What would be free again without it, in MB: pages of its own, those on the swap among them."""
        sizes = re.findall(r"^(?:Private_\w+|Swap): +(\d+) kB", (self._folder / "smaps_rollup").read_text(), re.M)
        return sum(map(int, sizes)) / 1024
