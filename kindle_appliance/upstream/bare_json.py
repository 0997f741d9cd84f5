"""JSON documents that stand in an event stream without `data:`, as front ends of model servers write their errors.
Pure.
"""

from __future__ import annotations

import re


class BareJson:
    """JSON documents that stand in a stream line by line without `data:`, found by counting braces outside
    strings, so that a brace in a message does not count. Lines that cannot begin a document are passed over.
    """

    _TOKEN = re.compile(r'[{}\[\]"\\]')

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0
        self._in_string = False

    @property
    def is_open(self) -> bool:
        return bool(self._lines)

    @property
    def unfinished(self) -> str:
        return "\n".join(self._lines)

    def feed(self, line: str) -> list[str]:
        """The documents that this line completes."""
        documents = []
        start = 0
        escaped_at = -1
        for token in self._TOKEN.finditer(line):
            mark, at = token[0], token.start()
            if self._in_string:
                if at == escaped_at:
                    continue
                if mark == "\\":
                    escaped_at = at + 1
                elif mark == '"':
                    self._in_string = False
            elif mark == '"':
                self._in_string = self._depth > 0
            elif mark in "{[":
                if self._depth == 0:
                    start = at
                self._depth += 1
            elif mark in "}]" and self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._lines.append(line[start : at + 1])
                    documents.append("\n".join(self._lines))
                    self._lines.clear()
                    start = at + 1
        if self._depth:
            self._lines.append(line[start:])
        return documents
