"""The system calls of a program, as strace(1) writes them down; and a program that is killed at one of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import tools
from conftest import unavailable


@dataclass(frozen=True)
class Call:
    """A system call in a trace: its text, and the numbers of the lines in which it began and returned."""

    text: str
    began: int
    returned: int


def calls(trace: str) -> Iterator[Call]:
    """Yields the finished calls in the order of their returns."""
    open_calls: dict[str, tuple[int, str]] = {}  # of each thread
    for number, line in enumerate(trace.splitlines()):
        thread, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            open_calls[thread] = number, text.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            began, beginning = open_calls.pop(thread)
            yield Call(beginning + text[resumed.end() :], began, number)
        else:
            yield Call(text, number, number)


def trace_writes(command: Sequence[str], trace: Path, *, kill_at: int = 0, **environment: str) -> str:
    """Run a program to its end and write its calls that change files, or print, to `trace`. Return its output.
    `kill_at`: it is killed at the beginning of this one of them, so that the call is not made.
    """
    if reason := tools.missing("strace"):
        unavailable(reason)
    changes = "write,pwrite64,fsync,fdatasync,rename,unlink,ftruncate,mkdir,utimensat"
    inject = ["-e", f"inject={changes}:error=EIO:signal=KILL:when={kill_at}"] if kill_at else []
    # With -y each descriptor has its path; -s: enough of what is written to know it.
    strace = ["strace", "-f", "-y", "-qq", "-s", "96", "-e", "signal=none", "-e", f"trace={changes}", *inject]
    done = subprocess.run(
        [*strace, "-o", str(trace), *command],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    if "strace" in done.stderr and "ptrace" in done.stderr:
        unavailable("strace may not trace on this machine")
    assert kill_at or not done.returncode, done.stderr
    return done.stdout
