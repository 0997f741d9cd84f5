"""The settings file as text (TOML): its values, and a fault shown in it: the line, where in it, and a right one.

A line is shown only as far as it is known to hold no secret. Some type the key where its file belongs, or under a
name of their own.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import SettingsError

_SHOWN_CHARACTERS = 90
_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")  # how tomllib ends its sentences
_TWICE = "Cannot overwrite a value"  # how tomllib calls a second line for the same setting
_NAME = re.compile(r"""\s*\[*\s*["']?([A-Za-z_][\w-]*)["']?""", re.ASCII)
_SETTING = re.compile(rf"""{_NAME.pattern}(?:\s*[=:]\s*|\s+)""", re.ASCII)
_TABLE = re.compile(r"\s*\[{1,2}[A-Za-z][\w.-]{0,30}\]{1,2}\s*", re.ASCII)
_SECRETS = re.compile(
    r"""(?:AIza|\bAQ\.)[\w.-]+"""  # Gemini keys
    r"""|(?<=//)[^"'\n]+(?=@)|[^\s"'=/:]+:(?!//)[^"'\n]+(?=@)"""  # name and password of an address
)


@dataclass(frozen=True)
class SettingsFile:
    """The file at `path`. `examples`: for each setting that may stand in it, a right line; `hidden`: those of them
    whose values are not shown.
    """

    path: Path
    text: str
    examples: Mapping[str, str] = field(repr=False)
    hidden: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path, examples: Mapping[str, str], hidden: frozenset[str]) -> SettingsFile:
        """Raises `SettingsError` for a file that cannot be read, or is not text."""
        try:
            data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # some editors begin with a byte order mark
        except OSError as error:
            raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
        file = cls(path, data.decode(errors="replace").replace("\r\n", "\n"), examples, hidden)
        try:
            data.decode()
        except UnicodeDecodeError as error:
            good = data[: error.start].decode().replace("\r\n", "\n")
            line, column = good.count("\n") + 1, len(good) - good.rfind("\n")
            raise file._invalid(f"line {line} is not UTF-8 text", line, column) from error
        return file

    def parse(self) -> dict[str, Any]:
        """Its values by name. Raises `SettingsError` if it is not TOML."""
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            place = _PLACE.search(str(error))
            if place is None:
                raise self._invalid(str(error)) from error
            last = len(self.text.rstrip().split("\n"))
            line, column = int(place[1] or last), int(place[2] or len(self._line(last)) + 1)
            raise self._invalid(str(error), line, column) from error

    def origin(self, name: str) -> str:
        """Where a setting stands, for a sentence."""
        line, _ = self._find(name)
        return f"{self.path}, line {line}" if line else str(self.path)

    def excerpt(self, name: str) -> str:
        """The line that sets `name`, and a right one."""
        return self._excerpt(*self._find(name), self.examples.get(name) or self._similar(name))

    def _invalid(self, why: str, line: int = 0, column: int = 0) -> SettingsError:
        named = _NAME.match(self._line(line))
        if named and why.startswith(_TWICE):
            why = f"sets {mask_secrets(named[1])} a second time in line {line}. Take one of the two lines out."
            return SettingsError(
                f"The settings file {self.path} {why}", self._excerpt(line, named.start(1) + 1, "")
            )
        example = self._similar(named[1]) if named else ""
        excerpt = self._excerpt(line, column, example or next(iter(self.examples.values()), ""))
        return SettingsError(f"The settings file {self.path} is not valid TOML: {why}.", excerpt)

    def _similar(self, name: str) -> str:
        """A right line for what was most likely meant; "" if nothing is near."""
        from difflib import get_close_matches  # here: only a mistake needs it

        near = get_close_matches(name.lower(), self.examples, 1)
        return self.examples[near[0]] if near else ""

    def _line(self, number: int) -> str:
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _find(self, name: str) -> tuple[int, int]:
        """The line of a setting, and the column of its value, or of a name that is no setting; else zeros."""
        lines = self.text.split("\n")
        for number, line in enumerate(lines, 1):
            found = _SETTING.match(line) or _NAME.match(line)
            if found and found[1] == name and _is_whole("\n".join(lines[: number - 1])):
                return number, (found.end() if name in self.examples else found.start(1)) + 1
        return 0, 0

    def _excerpt(self, line: int, column: int, example: str) -> str:
        shown = []
        if line:
            text = self._masked(line)
            start = max(0, column - _SHOWN_CHARACTERS * 2 // 3)
            before = "".join("\u3000" if _is_wide(each) else " " for each in text[start : column - 1])
            part = text[start : start + _SHOWN_CHARACTERS]
            shown = [f"Line {line} of {self.path}:", f"    {part}", f"    {before}^"]
        if example:
            shown += ["A right line, for example:", f"    {example}"]
        return "\n".join(shown)

    def _masked(self, number: int) -> str:
        """A line without its secrets, of the same length, and without characters that move the cursor."""
        line = "".join(each if each.isprintable() else " " for each in self._line(number))
        setting = _SETTING.match(line)
        name = setting[1] if setting else ""
        if not setting and re.match(r"""\s*["'\]]""", line):  # within a list or a text that an earlier line began
            name = next(
                (found[1] for each in range(number - 1, 0, -1) if (found := _SETTING.match(self._line(each)))), ""
            )
        if name.lower() in self.examples and name.lower() not in self.hidden:
            return mask_secrets(line)
        if _TABLE.fullmatch(line):
            return line
        kept = setting.end() if setting and len(name) < 30 else 0
        return line[:kept] + re.sub(r"\S", "*", line[kept:])


def mask_secrets(text: str) -> str:
    """A text without the keys and passwords that show what they are; its length stays the same."""
    return _SECRETS.sub(lambda found: "*" * len(found[0]), text)


def _is_whole(text: str) -> bool:
    """Whether no list and no text is open at its end."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
