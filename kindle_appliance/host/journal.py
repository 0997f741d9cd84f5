"""Formats log lines for the terminal and for systemd's journal: one line for each event, with its level."""

from __future__ import annotations

import logging
import re
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Lines(logging.Formatter):
    """Formats a message as one line: text from outside, such as Gemini's errors, cannot forge a second one.

    Only a bug of the appliance adds more lines: its traceback. `for_journal`: each line begins with its priority
    (sd-daemon(3)); the journal adds time and name itself.
    """

    def __init__(self, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        message = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), record.getMessage())
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        if not self._for_journal:
            return "\n".join([f"{record.levelname} {message}", *trace])
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in (message, *trace))


def start(level: str, stream: TextIO, for_journal: bool) -> None:
    """Log messages of this level and above, a name such as `info`, to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(for_journal))
    logging.basicConfig(level=level.upper(), handlers=[handler])
