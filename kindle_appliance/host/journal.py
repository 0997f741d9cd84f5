"""Log lines, for the terminal and for systemd's journal: one event is one line, and its level arrives."""

from __future__ import annotations

import logging
import re
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Lines(logging.Formatter):
    """A message as one line: what others have sent, such as Gemini's errors, cannot make up another. Only a mistake
    of ours has more, its traceback. `for_journal`: each line begins with its priority (sd-daemon(3)); the journal
    adds time and name by itself.
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
    """Log to `stream` from now on what is at least of this level, a name such as `info`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(for_journal))
    logging.basicConfig(level=level.upper(), handlers=[handler])
