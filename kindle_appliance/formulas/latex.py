"""LaTeX as a tree: characters, commands, groups and environments. No I/O.

The library `pylatexenc` finds them; it is loaded with the first formula. No command has arguments here: as in TeX,
what follows it decides. The braces are counted first, because the library calls itself for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

MAX_DEPTH = 20
"""What is nested more deeply, in braces, environments or arguments, is not understood."""

_NESTED = re.compile(r"\\(begin|end)\b|\\.|([{}])", re.DOTALL)
_PERCENT = re.compile(r"(\\.)|%", re.DOTALL)
_ROW_GAP = re.compile(r"\*?(?:\[-?[\d.]+[a-z]{2}\])?")
_IGNORED_IN_ROWS = ("hline", "nonumber", "notag", "toprule", "midrule", "bottomrule")


class NotUnderstoodError(Exception):
    """A formula cannot be set."""


def _is_shallow(source: str) -> bool:
    """Whether braces and environments are paired, and not nested too deeply."""
    depth = 0
    for match in _NESTED.finditer(source):
        depth += (match[1] == "begin" or match[2] == "{") - (match[1] == "end" or match[2] == "}")
        if not 0 <= depth <= MAX_DEPTH:
            return False
    return depth == 0


class Part(NamedTuple):
    """A character, a command (`\\name`), a group or an environment; `after_space`: in the source."""

    kind: str
    value: str
    after_space: bool = False
    parts: Sequence[Part] = ()
    source: str = ""


def parsed(source: str) -> list[Part]:
    """The parts of a formula; raises `NotUnderstoodError`."""
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError
    from pylatexenc.macrospec import LatexContextDb

    if not _is_shallow(source):
        raise NotUnderstoodError
    source = _PERCENT.sub(lambda match: match[1] or "\\%", source)  # models write no comments into formulas
    walker = LatexWalker(source, latex_context=LatexContextDb(), tolerant_parsing=False)
    try:
        nodes, _, _ = walker.get_latex_nodes()
    except LatexWalkerError as error:
        raise NotUnderstoodError from error
    return list(_parts(nodes))


def _parts(nodes: Iterable[Any]) -> Iterator[Part]:
    """The nodes of the parser as parts. No command has arguments yet: the parser is told of none that has."""
    after_space = False
    for node in nodes:
        kind = type(node).__name__
        if kind == "LatexCharsNode":
            for character in node.chars:
                if not character.isspace():
                    yield Part("character", character, after_space)
                after_space = character.isspace()
            continue
        if kind == "LatexMacroNode":
            yield Part("command", node.macroname, after_space)
        elif kind == "LatexGroupNode":
            yield Part("group", "", after_space, list(_parts(node.nodelist)), node.latex_verbatim()[1:-1])
        elif kind == "LatexEnvironmentNode":
            yield Part("environment", node.environmentname.rstrip("*"), after_space, list(_parts(node.nodelist)))
        elif kind == "LatexMathNode":
            yield Part("group", "", after_space, list(_parts(node.nodelist)))
        else:
            raise NotUnderstoodError
        after_space = kind == "LatexMacroNode" and bool(node.macro_post_space)


def rows_of(parts: Sequence[Part]) -> Iterator[list[list[Part]]]:
    """The parts of each cell of each row; rows without any part are left out."""
    row: list[list[Part]] = [[]]
    at = 0
    while at < len(parts):
        part = parts[at]
        at += 1
        if part.kind == "command" and part.value in ("\\", "cr", "newline"):
            gap = _ROW_GAP.match("".join(each.value[:1] for each in parts[at : at + 12]))
            at += gap.end() if gap else 0
            if any(row):
                yield row
            row = [[]]
        elif part.kind == "character" and part.value == "&":
            row.append([])
        elif part.kind != "command" or part.value not in _IGNORED_IN_ROWS:
            row[-1].append(part)
    if any(row):
        yield row


def aligned(cells: Sequence[list[Part]], is_array: bool) -> list[Part]:
    """The parts of a line. Behind every second sign of alignment, another column begins."""
    line: list[Part] = []
    for index, cell in enumerate(cells):
        if index and index % 2 == 0 and not is_array:
            line.append(Part("command", "quad"))
        line += cell
    return line
