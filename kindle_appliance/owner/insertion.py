"""A new entry in the list of models of a settings file. Everything else in the file stays as its owner wrote it:
comments, order, line ends. Pure.

It is put in as text, so that nothing is written anew; what comes out is parsed, and refused unless it says the same
as before and the entry. (A library that keeps comments, such as tomlkit, would find the end of a list, too. But it
does not know on which line a comment belongs to an item, nor where the file explains a setting.)
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..options.entries import MODELS, Entry, parse

_BOM = "\ufeff"
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_LIST = re.compile(r"""\s*(?:models|"models"|'models')\s*=\s*\[""")
_HEADER = re.compile(r"\s*\[\[")
_EXPLAINED = re.compile(r"\s*#\s*models\s*=")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|(?P<comment>#[^\n]*)"
    r"|(?P<space>\s+)"
    r"|.",
    re.DOTALL,
)
"""Of a list (https://toml.io/en/v1.0.0)."""
_INDENT = "    "


class CannotInsert(Exception):
    """The list of models has a form that only its owner can change."""


class _Statement(NamedTuple):
    """A comment, an empty line, the head of a table, or a setting over as many lines as it takes."""

    start: int
    text: str
    names: frozenset[str]

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class _List(NamedTuple):
    """Where things are in a list: the begin of its first item, the end of its last one, with its comma, and the
    closing bracket.
    """

    first: int
    last: int
    has_comma: bool
    close: int


def insert(text: str, entry: Entry, others: Sequence[Entry] = (), *, first: bool = False) -> str:
    """The settings file `text` with the `entry` at the end of its list of models, or as the `first` one. `others`:
    what the list holds besides, if the file sets none. Raises `CannotInsert`.
    """
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    statements = list(_statements(text))
    listed = [each for each in statements if "models" in each.names]
    if not listed:
        wanted = [entry, *others] if first else [*others, entry]
        new = _set(text, statements, wanted)
    elif _HEADER.match(listed[0].text):
        new = _add_table(text, statements, listed[0], entry, first)
        wanted = _wanted(text, entry, first)
    else:
        new = _add_item(text, listed[0], entry, first)
        wanted = _wanted(text, entry, first)
    _check(text, new, wanted)
    return mark + new


def _statements(text: str) -> Iterator[_Statement]:
    start, begun = 0, ""
    for line in _LINE.findall(text):
        begun += line
        try:
            names = frozenset(tomllib.loads(begun))
        except (ValueError, RecursionError):
            continue
        yield _Statement(start, begun, names)
        start, begun = start + len(begun), ""


def _wanted(text: str, entry: Entry, first: bool) -> list[Entry]:
    listed = _entries(text)
    return [entry, *listed] if first else [*listed, entry]


def _check(before: str, after: str, wanted: Sequence[Entry]) -> None:
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
        if _entries(after) == list(wanted) and _others(old) == _others(new):
            return
    except (ValueError, RecursionError) as error:
        raise CannotInsert(str(error)) from error
    raise CannotInsert("its list of models cannot be told apart")


def _entries(text: str) -> list[Entry]:
    entries: list[Entry] = MODELS.read(tomllib.loads(text)["models"])
    return entries


def _others(values: dict[str, object]) -> str:
    """All settings but the models, comparable also where a number is none (nan)."""
    return repr({name: value for name, value in values.items() if name != "models"})


def _set(text: str, statements: Sequence[_Statement], entries: Sequence[Entry]) -> str:
    """Set the list: below the comment that explains it, else at the end."""
    end = _line_end(text)
    if len(entries) == 1:
        lines = [f"models = [{_item(entries[0])}]"]
    else:
        lines = ["models = [", *(f"{_INDENT}{_item(each)}," for each in entries), "]"]
    place = next((each.end for each in statements if _EXPLAINED.match(each.text)), len(text))
    return _with(text, place, "".join(line + end for line in lines))


def _add_table(text: str, statements: Sequence[_Statement], head: _Statement, entry: Entry, first: bool) -> str:
    end = _line_end(text)
    lines = [f"{name} = {_value(value)}" for name, value in entry.values.items()]
    table = "".join(line + end for line in ["[[models]]", *lines])
    if not first:
        return _with(text, len(text), f"{end}{table}")
    place = head.start
    for each in reversed(statements[: statements.index(head)]):  # the comment above it belongs to it
        if not each.text.lstrip().startswith("#"):
            break
        place = each.start
    return _with(text, place, f"{table}{end}")


def _add_item(text: str, statement: _Statement, entry: Entry, first: bool) -> str:
    opening = _LIST.match(statement.text)
    if opening is None:
        raise CannotInsert("its list of models cannot be told apart")
    begin, end = statement.start + opening.end(), _line_end(text)
    found = _find(text, begin)
    indent = re.search(r"[ \t]*\Z", text[: found.first])
    has_own_lines = "\n" in text[begin : found.first]
    line = f"{indent[0] if indent else ''}{_item(entry)},{end}"
    if first and has_own_lines:
        return _with(text, text.index("\n", begin) + 1, line)
    if first:
        return _with(text, found.first, f"{_item(entry)}, ")
    if not has_own_lines or "\n" not in text[found.last : found.close]:
        return _with(text, found.last, f"{' ' if found.has_comma else ', '}{_item(entry)}")
    place = text.index("\n", found.last) + 1
    return text[: found.last] + ("" if found.has_comma else ",") + text[found.last : place] + line + text[place:]


def _find(text: str, begin: int) -> _List:
    """The list whose opening bracket ends at `begin`."""
    depth, first, last, has_comma = 0, 0, 0, False
    for token in _TOKEN.finditer(text, begin):
        if token["comment"] or token["space"]:
            continue
        if token[0] == "]" and not depth:
            if not first:
                break
            return _List(first, last, has_comma, token.start())
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        first, last, has_comma = first or token.start(), token.end(), token[0] == ","
    raise CannotInsert("its list of models is empty")


def _with(text: str, place: int, addition: str) -> str:
    """The text with whole lines, or a part of one, put in at a place."""
    is_line = addition.endswith("\n") and place == len(text) and text and not text.endswith("\n")
    return text[:place] + (_line_end(text) if is_line else "") + addition + text[place:]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _item(entry: Entry) -> str:
    """The entry as it stands in a list: on one line of text if that can be read back, else as a table."""
    line = str(entry)
    try:
        if parse(line) == entry:
            return _value(line)
    except ValueError:
        pass
    return "{ " + ", ".join(f"{name} = {_value(value)}" for name, value in entry.values.items()) + " }"


def _value(value: object) -> str:
    """What JSON calls a text, a number or a truth is one in TOML, too."""
    return json.dumps(value, ensure_ascii=False)
