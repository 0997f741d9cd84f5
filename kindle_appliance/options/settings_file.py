"""The settings file as text (TOML): its values, and a fault shown in it: the line, where in it, and a right one.

A line is shown only as far as it is known to hold no secret. Some type the key where its file belongs, or under a
name of their own.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SettingsError

_SHOWN_CHARACTERS = 90
_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")  # how tomllib ends its sentences
_TWICE = ("Cannot overwrite a value", "Cannot mutate immutable namespace")
"""How tomllib calls a second line for the same setting, or a table beside it."""
_NAME = re.compile(r"""\s*\[*\s*["']?([A-Za-z_][\w-]*)["']?""", re.ASCII)
_SETTING = re.compile(rf"""{_NAME.pattern}(?:\s*[=:]\s*|\s+)""", re.ASCII)
_TABLE = re.compile(r"\s*\[{1,2}[A-Za-z][\w.-]{0,30}\]{1,2}\s*", re.ASCII)
_TOKEN = re.compile(
    r""""{3}(?:\\.|[^\\])*?"{3}|"(?:\\.|[^"\\\n])*"|#[^\n]*|[\[\]{},]|\s+|"""
    r"""'{3}.*?'{3}|'[^'\n]*'|[^\s"'#\[\]{},]+|.""",
    re.DOTALL,
)
_VALUE = re.compile(
    r"""([A-Za-z_][\w-]*)(["']?\s*=\s*)("[^"\n]*"?|'[^'\n]*'?|\{.*\}?|\[.*\]?|[^\s,}\]"']+)""", re.ASCII
)
_SECRETS = re.compile(
    r"""(?:AIza|\bAQ\.)[\w.-]+"""  # Gemini keys
    r"""|(?<![\w-])(?:sk|gsk|hf|xai|nvapi|tgp|csk|pplx)[-_][\w.-]{8,}"""  # those of other servers
    r"""|(?<![^\W_])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}"""  # what nobody calls a model or a file
    r"""|(?<=//)[^"'\n]+(?=@)|[^\s"'=/:]+:(?!//)[^"'\n]+(?=@)"""  # name and password of an address
)
_NAMED_SECRETS = re.compile(
    r"""(\bbearer\s+|(?:key|token|secret|password)["']?\s*[=:]\s*["']?)([^\s"',}]+)""", re.IGNORECASE
)


@dataclass(frozen=True)
class SettingsFile:
    """The file at `path`. `examples`: for each setting that may stand in it, a right line; `hidden`: those of them
    whose values are not shown. `tables`: those that are lists of tables, with a right line for each thing that may
    stand in such a table ("": for the whole list).
    """

    path: Path
    text: str
    examples: Mapping[str, str] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        path: Path,
        examples: Mapping[str, str],
        hidden: frozenset[str],
        tables: Mapping[str, Mapping[str, str]],
    ) -> SettingsFile:
        """Raises `SettingsError` for a file that cannot be read, or is not text."""
        try:
            data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # some editors begin with a byte order mark
        except OSError as error:
            raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
        file = cls(path, data.decode(errors="replace").replace("\r\n", "\n"), examples, hidden, tables)
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

    def origin(self, name: str, item: int = 0, part: str = "") -> str:
        """Where a setting stands, or an item of its list (from 1 on), or a part of that; for a sentence."""
        line, _ = self._find_item(name, item, part) if item else self._find(name)
        return f"{self.path}, line {line}" if line else str(self.path)

    def excerpt(self, name: str, item: int = 0, part: str = "", *, may_stand: bool = True) -> str:
        """The line that sets `name`, an item of its list, or a part (which `may_stand` there); and a right one."""
        line, column = self._find_item(name, item, part) if item else self._find(name)
        if right := self.tables.get(name):
            is_table = self._header(name, item) or "{" in self._line(line)[:column]
            return self._excerpt(line, column, right.get(part if is_table and may_stand else "", right[""]))
        return self._excerpt(line, column, self.examples.get(name) or self._similar(name))

    def is_below_table(self, name: str, item: int) -> bool:
        """Whether an item of a list has its own table, as in [[models]]: what stands below belongs to it."""
        return self._header(name, item) > 0

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
        if near and near[0] in self.tables:
            return self.tables[near[0]][""]
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

    def _header(self, name: str, item: int) -> int:
        """The line of the header [[name]] of an item; else 0."""
        lines = self.text.split("\n")
        for number, line in enumerate(lines, 1):
            found = re.fullmatch(r"""\s*\[\[\s*["']?([\w-]+)["']?\s*\]\]\s*(?:#.*)?""", line)
            if found and found[1] == name and _is_whole("\n".join(lines[: number - 1])):
                item -= 1
                if item == 0:
                    return number
        return 0

    def _find_item(self, name: str, item: int, part: str) -> tuple[int, int]:
        """The line of an item of a list and the column where it begins, or that of a part of it; else zeros."""
        lines = self.text.split("\n")
        if header := self._header(name, item):
            for number, below in enumerate(lines[header:], header + 1):
                found = _SETTING.match(below) or _NAME.match(below)
                if below.lstrip().startswith("["):
                    break
                if found and found[1] == part:
                    return number, (found.end() if part in self.tables[name] else found.start(1)) + 1
            return header, len(lines[header - 1]) - len(lines[header - 1].lstrip()) + 1
        line, column = self._find(name)
        if not line:
            return 0, 0
        begin = self._offset(line, column)
        places = list(_items(self.text, begin))
        if item <= len(places):
            begin, end = places[item - 1]
            pattern = rf"""\b{re.escape(part)}(?:["']?\s*=\s*|\s+)"""
            inner = re.search(pattern, self.text[begin:end]) if part and part != "model" else None
            begin += (inner.end() if part in self.tables[name] else inner.start()) if inner else 0
        before = self.text[:begin]
        return before.count("\n") + 1, begin - before.rfind("\n")

    def _offset(self, line: int, column: int) -> int:
        return sum(len(each) + 1 for each in self.text.split("\n")[: line - 1]) + column - 1

    def _list_around(self, number: int) -> str:
        """The list of tables between whose brackets a line stands; else "", also if the file is not TOML."""
        for name in self.tables if _is_whole(self.text) else ():
            line, column = self._find(name)
            if not 0 < line <= number:
                continue
            begin = self._offset(line, column)
            text = _TOKEN.match(self.text, begin)
            ends = [text.end() if text else begin, *(end for _, end in _items(self.text, begin))]
            if number <= self.text.count("\n", 0, ends[-1]) + 1:
                return name
        return ""

    def _list_above(self, number: int) -> str:
        """The list of tables below whose header [[name]] a line stands; else ""."""
        for line in reversed(self.text.split("\n")[: number - 1]):
            if line.lstrip().startswith("["):
                name = line.partition("#")[0].strip(" \t[]\"'")
                return name if line.lstrip().startswith("[[") and name in self.tables else ""
        return ""

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
        if not setting and re.match(r"""\s*["'\]{]""", line):  # within a list or a text that an earlier line began
            name = next(
                (found[1] for each in range(number - 1, 0, -1) if (found := _SETTING.match(self._line(each)))), ""
            )
        if around := self._list_around(number):
            begun = setting.end() if setting and setting[1] == around else 0
            return mask_secrets(line[:begun] + _mask_parts(line[begun:], self.tables[around]))
        if name and name in self.tables.get(self._list_above(number), ()):
            return mask_secrets(_mask_parts(line, {name: ""}))
        if name.lower() in self.examples and name.lower() not in self.hidden:
            return mask_secrets(line)
        if _TABLE.fullmatch(line):
            return line
        kept = setting.end() if setting and len(name) < 30 else 0
        return line[:kept] + re.sub(r"\S", "*", line[kept:])


def mask_secrets(text: str) -> str:
    """A text without the keys and passwords that show what they are; its length stays the same."""
    text = _NAMED_SECRETS.sub(lambda found: found[1] + "*" * len(found[2]), text)
    return _SECRETS.sub(lambda found: "*" * len(found[0]), text)


def _mask_parts(text: str, known: Mapping[str, str]) -> str:
    """Items of a list, without the values of unknown names and the words that follow an address on one line: some
    type the key there. Its length stays the same.
    """

    def mask_words(found: re.Match[str]) -> str:
        address = re.match(r"\S*", found[2])
        shown = re.sub(r"(?:(?<=//)|^).*(?=@)|(?<=[?#]).+", mask_word, address[0] if address else "")
        return found[1] + shown + re.sub(r"(?<!\S)[^\s=]+(?!\S)", mask_word, found[2][len(shown) :])

    def mask_word(found: re.Match[str]) -> str:
        return "*" * len(found[0])

    text = _VALUE.sub(
        lambda found: found[0] if found[1] in known else found[1] + found[2] + "*" * len(found[3]), text
    )
    return re.sub(r"""(\bat(?:["']?\s*=\s*["']?|\s+))([^,"']*)""", mask_words, text)


def _items(text: str, begin: int) -> Iterator[tuple[int, int]]:
    """Where each item of a list begins and ends; the list begins at `begin`."""
    depth, start, end = 0, -1, -1
    for token in _TOKEN.finditer(text, begin):
        if depth == 1 and start >= 0 and token[0] in (",", "]"):
            yield start, end
            start = -1
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth <= 0:
            return
        if token[0].isspace() or token[0].startswith("#") or (depth == 1 and token[0] in "[,"):
            continue
        start, end = (start if start >= 0 else token.start()), token.end()


def _is_whole(text: str) -> bool:
    """Whether no list and no text is open at its end."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
