"""Formats log lines for the terminal and for systemd's journal: one line for each event, with its level."""

from __future__ import annotations

import logging
from typing import TextIO

from .terminal import one_line

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Lines(logging.Formatter):
    """Formats a message as one line: text from outside, such as Gemini's errors, cannot forge a second one.

    Only a bug of the appliance adds more lines: its traceback, indented, because an error in it may quote text
    from outside. `for_journal`: each line begins with its priority (sd-daemon(3)); the journal adds time and name
    itself.
    """

    def __init__(self, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        message = one_line(record.getMessage())
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        trace = [f"    {one_line(line)}" for line in trace]
        if not self._for_journal:
            return "\n".join([f"{record.levelname} {message}", *trace])
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in (message, *trace))


def start(level: str, stream: TextIO, for_journal: bool) -> None:
    """Log messages of this level and above, a name such as `info`, to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(for_journal))
    logging.basicConfig(level=level.upper(), handlers=[handler])
