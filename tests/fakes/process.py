"""The resources of a process, as Linux reports them: threads, descriptors, memory, processor time."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path


class Process:
    """A process by its pid, or the current one."""

    def __init__(self, pid: int | None = None) -> None:
        self._folder = Path("/proc", "self" if pid is None else str(pid))

    def threads(self) -> int:
        return len(list((self._folder / "task").iterdir()))

    def descriptors(self) -> list[str]:
        """The target of each open descriptor, such as "socket" or the path of a file."""
        found = []
        for entry in (self._folder / "fd").iterdir():
            with suppress(OSError):  # the descriptor that lists the folder is closed by now
                found.append(re.sub(r":\[\d+\]$", "", str(entry.readlink())))
        return sorted(found)

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far, in user and system mode."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()  # proc(5): the name may have spaces
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Its private memory in MB, swapped pages included."""
        sizes = re.findall(r"^(?:Private_\w+|Swap): +(\d+) kB", (self._folder / "smaps_rollup").read_text(), re.M)
        return sum(map(int, sizes)) / 1024

    def resident(self) -> float:
        """Its memory in MB, shared libraries included, without swapped pages."""
        (size,) = re.findall(r"^VmRSS:\s+(\d+) kB", (self._folder / "status").read_text(), re.M)
        return int(size) / 1024

    def written(self) -> int:
        """The bytes that it has had written to a disk so far, those included that the kernel still keeps."""
        (size,) = re.findall(r"^write_bytes: (\d+)$", (self._folder / "io").read_text(), re.M)
        return int(size)
