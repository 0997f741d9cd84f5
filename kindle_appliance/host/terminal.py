"""Makes text from outside safe to print: a model, a server or a client must not steer the owner's terminal.

Escape sequences (ECMA-48) begin with a control character, so no sequence is parsed here: each such character
becomes visible by itself, also when a sequence comes in pieces. What is printed or logged passes one of:

- `Screen`, around stdout and stderr of the whole process: answers, reports, complaints, a bug's traceback.
- `one_line`, for what must be one line and show no password: log lines, findings, settings.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

MOST_CHARACTERS = 8192
"""Of a line. journald cuts lines after 48 KB, and reads a priority at the beginning of what follows
(journald.conf(5), LineMax)."""

_CONTROLS = r"\x7f-\x9f\ud800-\udfff"  # DEL, C1, and halves of characters that no encoding has
_UNSAFE_IN_TEXT = re.compile(rf"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f{_CONTROLS}\u202d\u202e]")
"""Line ends and tabs are text. So are embeddings and isolates, which Arabic and Hebrew with Latin words may need;
of the bidirectional controls only overrides show letters in an order that no language has (Unicode UAX 9)."""
_UNSAFE_IN_LINE = re.compile(rf"[\x00-\x1f{_CONTROLS}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNSAFE_IN_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f{_CONTROLS}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_PRIORITY = re.compile(r"^<(?=\d{1,3}>)", re.MULTILINE)  # journald takes it off a line (sd-daemon(3))

_PASSWORD = re.compile(
    r"""://[^\s"'<>]{0,500}@"""  # http://name:password@host
    r"""|://[^\s/"'<>:@]{0,100}:(?!\d+(?:[/\s]|$))[^"'<>\n@]{0,500}@"""  # the same with spaces in the password
    r"""|(?<![\w.%+-])[\w.%+-]{0,100}:[^\s@/"'<>]{1,500}@(?=[\w\[])"""  # name:password@host
)
"""Everything that may be the name and password of an address, rather too much than too little."""


def one_line(text: str) -> str:
    """Return `text` as one line of bounded length: control characters as escapes such as `\\x1b`, no password."""
    line = _UNSAFE_IN_LINE.sub(_escape, mask(text[: 2 * MOST_CHARACTERS]))
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…"


def mask(text: str) -> str:
    """Return `text` with the name and password of each address in it replaced by `***`."""
    if "@" not in text:
        return text
    return _PASSWORD.sub(_hide, text)


def mask_address(address: str) -> str:
    """Return what somebody gave as an address, valid or not, without all that may be its name and password."""
    before, at, host = address.rpartition("@")
    scheme = re.match(r"\W{0,2}\w{1,10}://", before)  # it may be quoted
    return f"{scheme[0] if scheme else ''}***@{host}" if at else address


def shown(text: str) -> str:
    """Return a piece of an answer or a report as it may be printed, with U+FFFD for each control character."""
    return _UNSAFE_IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", text).replace("\r\n", "\n")


def complaint(text: str) -> str:
    """Return a complaint of any number of lines: as `one_line`, and none of its lines gives itself a priority."""
    return _PRIORITY.sub(r"\\x3c", _UNSAFE_IN_LINES.sub(_escape, mask(text)))


class Screen:
    """A text stream that passes on only what `clean` leaves of each text that is written to it."""

    def __init__(self, stream: TextIO, clean: Callable[[str], str]) -> None:
        self._stream = stream
        self._clean = clean

    def write(self, text: str) -> int:
        self._stream.write(self._clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Put a `Screen` around stdout and stderr of this process, as far as it has them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows another one
        sys.stdout = cast(TextIO, Screen(sys.stdout, shown))
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = cast(TextIO, Screen(sys.stderr, complaint))


def give_up_stdout() -> None:
    """Write nothing more to stdout, whose reader has gone: else Python would complain again when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _hide(found: re.Match[str]) -> str:
    start = "://" if found[0].startswith("://") else ""
    is_hidden = set(found[0]) <= set(":/*@")  # by whom it was written, sign for sign
    return found[0] if is_hidden else f"{start}***@"


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
