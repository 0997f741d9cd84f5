"""A command at a terminal: a test reads what it shows, and types."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from conftest import ROOT

from .secret_scanner import SCANNER


class Terminal:
    """`with Terminal(command, environment) as terminal:` runs the command; the end of the context waits for it.

    `shown` is all that it has shown so far. Typed text is shown, too, unless the command turns that off.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.shown = ""
        self._answered = 0  # so much was shown at the last answer
        ours, theirs = pty.openpty()
        self._screen = os.fdopen(ours, "r+b", buffering=0)
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.wait(timeout=30)
        self._screen.close()

    def answer(self, prompt: str, text: str) -> None:
        """Wait for a prompt, and type a line."""
        while not self.shown[self._answered :].endswith(prompt):
            piece = self._read()
            assert piece, self.shown
        self._answered = len(self.shown)
        self._screen.write(f"{text}\n".encode())

    def end(self) -> int:
        """Read until the command ends; returns its exit status."""
        while self._read():
            pass
        SCANNER.scan("output", self.shown)
        return self._process.wait(timeout=30)

    def _read(self) -> str:
        try:
            piece = self._screen.read(1000).decode().replace("\r\n", "\n")
        except OSError:  # the terminal ends with the program
            piece = ""
        self.shown += piece
        return piece
