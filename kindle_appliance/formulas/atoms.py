"""The atoms of a formula, and what stands between them: spaces, brackets, the slash of a fraction. No I/O.

A binary sign has a space on each side if it has one in the source, a relation always; neither has any inside a sub-
or superscript (`compact`). Brackets stand where a formula in one line would be read wrongly without them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Atom(NamedTuple):
    """What is set as one.

    `kind`: number, letter, word, function, large (a sign with bounds), binary, sign (a binary one that keeps its
    spaces), relation, opening, closing, bar, mark (of punctuation), space, gap (a wide space), fraction, root, or
    one of the kinds of `rows`: lines, matrix, cases. `after_space`: in the source. `rows` hold their cells.
    """

    html: str
    kind: str
    after_space: bool = False
    rows: tuple[tuple[str, ...], ...] = ()
    brackets: tuple[str, str] = ("", "")


ROWS = ("lines", "matrix", "cases")

_ENDS_FACTOR = ("number", "letter", "closing", "word", "root", "fraction", "bar")
_ENDS_TERM = (*_ENDS_FACTOR, "lines", "matrix", "cases")
_BEGINS_FACTOR = ("number", "letter", "opening", "word", "root", "fraction", "large", "function")
_SIMPLE = ("number", "letter")
_DIFFERENTIALS = ("d", "∂", "<strong>d</strong>")
_FUNCTION_LETTERS = tuple("EFGHPfghpuvφψΓζ")
"""Letters before brackets that are a function rather than a factor."""

_NUMBERS = re.compile(r"[0-9]+/[0-9]+")
_GAP = "\u00a0 "


def joined(atoms: Sequence[Atom], *, compact: bool = False, as_lines: bool = False) -> str:
    """The HTML of a sequence of atoms. `as_lines`: rows may stand on lines of their own."""
    atoms = _with_brackets(_even(atoms))
    lines = as_lines and sum(atom.kind in ROWS for atom in atoms) == 1
    html: list[str] = []
    before = Atom("", "opening")
    is_unary = False
    for each in atoms:
        atom = _set_rows(each, lines, is_first=not html) if each.kind in ROWS else each
        html.append(_between(before, atom, is_unary, compact) + atom.html)
        if atom.kind != "space":
            is_unary = atom.kind == "binary" and before.kind not in _ENDS_TERM
            before = atom
    return re.sub(" +(?=<br />)", "", re.sub(" {2,}", " ", "".join(html))).strip(" ")


def _even(atoms: Sequence[Atom]) -> list[Atom]:
    """The atoms, with a space on both sides of a binary sign, or of none; and of a bar if the source has two."""
    result = list(atoms)
    for index, (atom, following) in enumerate(pairwise(atoms)):
        if atom.kind == "binary":
            result[index] = atom._replace(after_space=atom.after_space or following.after_space)
        elif atom.kind == "bar" and atom.after_space and following.after_space:
            result[index] = atom._replace(kind="sign")
    return result


def _between(before: Atom, atom: Atom, is_unary: bool, compact: bool) -> str:
    """The space between two atoms; `is_unary`: whether the first is the sign of a number."""
    kinds = (before.kind, atom.kind)
    if before.kind == "opening" or atom.kind in ("closing", "mark", "space", "gap"):
        return ""
    if before.kind == "mark":
        return " " * (atom.after_space or (not compact and atom.kind != "number"))
    if "relation" in kinds or "sign" in kinds:
        return "" if compact or is_unary else " "
    if before.kind == "binary":
        return " " * (before.after_space and not compact and not is_unary)
    if atom.kind == "binary":
        return " " * (atom.after_space and not compact)
    if before.kind == "function":
        return "" if atom.kind == "opening" else " "
    if before.kind == "large":
        return " " * (not compact)
    if atom.kind in ("function", "large", *ROWS) or before.kind in ROWS:
        return " "
    if "word" in kinds or atom.html == "d":
        return " " * (atom.after_space and not compact)
    is_apart = kinds in (("number", "number"), ("number", "fraction"))
    return " " * (is_apart or (before.kind == "root" and atom.kind in _BEGINS_FACTOR))


def _with_brackets(atoms: Sequence[Atom]) -> list[Atom]:
    """The atoms, with brackets around each fraction that is a factor of a product."""
    result: list[Atom] = []
    for index, atom in enumerate(atoms):
        if atom.kind == "fraction":
            before = next((each for each in reversed(atoms[:index]) if each.kind != "space"), None)
            after = next((each for each in atoms[index + 1 :] if each.kind != "space"), None)
            is_mixed = before is not None and before.kind == "number" and _NUMBERS.fullmatch(atom.html) is not None
            is_factor = before is not None and before.kind in (*_ENDS_FACTOR, "function") and not is_mixed
            if is_factor or (after is not None and after.kind in _BEGINS_FACTOR):
                result.append(atom._replace(html=f"({atom.html})", kind="letter"))
                continue
        result.append(atom)
    return result


def _set_rows(atom: Atom, lines: bool, is_first: bool) -> Atom:
    """Rows as lines, or one behind the other."""
    opening, closing = atom.brackets
    if atom.kind == "lines":
        rows = [" ".join(cells) for cells in atom.rows]
    elif atom.kind == "matrix" and lines:
        rows = [opening + _GAP.join(cells) + closing for cells in atom.rows]
    elif atom.kind == "matrix":
        return atom._replace(html=opening + "; ".join(map(", ".join, atom.rows)) + closing, kind="letter")
    else:
        rows = [("\u00a0" * 3 if lines else "") + _case(cells) for cells in atom.rows]
    if not lines:
        html = "; ".join(rows)
        return atom._replace(html=f"{{{html}}}" if atom.kind == "cases" else html)
    return atom._replace(html="<br />" * (not is_first) + "<br />".join(rows))


def in_a_row(atom: Atom) -> Atom:
    """An atom that is set on one line in any case."""
    return _set_rows(atom, lines=False, is_first=True)._replace(kind="letter") if atom.kind in ROWS else atom


def with_neighbours(atoms: Sequence[Atom]) -> list[Atom]:
    """The atoms, with the brackets beside rows as those of the rows."""
    result: list[Atom] = []
    rest = list(reversed(atoms))
    while rest:
        atom = rest.pop()
        if (
            atom.kind in ("matrix", "lines")
            and atom.brackets == ("", "")
            and result
            and result[-1].kind == "opening"
        ):
            is_closed = bool(rest) and rest[-1].kind == "closing"
            if is_closed and atom.kind == "matrix":
                atom = atom._replace(brackets=(result.pop().html, rest.pop().html))
            elif not is_closed and result[-1].html == "{":
                result.pop()
                atom = atom._replace(kind="cases")
        result.append(atom)
    return result


def _case(cells: Sequence[str]) -> str:
    """A row of `cases`: a value and its condition."""
    filled = [cell.strip(" \u00a0") for cell in cells if cell.strip(" \u00a0")]
    return re.sub(",{2,}", ",", ", ".join(filled))


def fraction(above: Sequence[Atom], below: Sequence[Atom], compact: bool) -> Atom:
    """One sequence divided by another, with a slash."""
    top, bottom = bracketed(above, compact), joined(below, compact=compact)
    if not _is_factor(below):
        bottom = f"({bottom})"
    is_wide = any(atom.kind == "sign" or atom.after_space for atom in _terms(above)[1:])
    return Atom(top + (" / " if is_wide and not compact else "/") + bottom, "fraction")


def binomial(above: Sequence[Atom], below: Sequence[Atom], compact: bool) -> Atom:
    """How many ways there are to choose so many: C(n, k)."""
    comma = "," if compact else ", "
    return Atom(f"C({joined(above, compact=True)}{comma}{joined(below, compact=True)})", "letter")


def root(degree: Sequence[Atom], content: Sequence[Atom], compact: bool) -> Atom:
    """The root of a sequence of atoms."""
    html = joined(content, compact=compact)
    is_simple = len(content) == 1 and content[0].kind in _SIMPLE and "<sup>" not in html
    index = f"<sup>{joined(degree, compact=True)}</sup>" if degree else ""
    return Atom(f"{index}√{html}" if is_simple or _is_bracketed(content) else f"{index}√({html})", "root")


def bracketed(atoms: Sequence[Atom], compact: bool) -> str:
    """A sequence that is written as one, with brackets if it needs them for that."""
    html = joined(atoms, compact=compact)
    return f"({html})" if _is_sum(atoms) else html


def _terms(atoms: Sequence[Atom]) -> list[Atom]:
    """The atoms that part a sequence into terms, and the one that begins it. Those in brackets part nothing."""
    found = list(atoms[:1])
    depth = 0
    for atom in atoms:
        depth += (atom.kind == "opening") - (atom.kind == "closing")
        if depth == 0 and atom.kind in ("binary", "relation", "sign", "mark") and atom is not atoms[0]:
            found.append(atom)
    return found


def _is_sum(atoms: Sequence[Atom]) -> bool:
    """Whether a sequence is more than a product of simple factors."""
    is_many = len(atoms) > 1
    return len(_terms(atoms)) > 1 or any(
        atom.kind in ("fraction", *ROWS)
        or (atom.kind in ("function", "large") and is_many)
        or (atom.kind == "word" and " " in atom.html.strip())
        for atom in atoms
    )


def _is_factor(atoms: Sequence[Atom]) -> bool:
    """Whether a sequence can stand behind a slash without brackets."""
    if len(atoms) == 1:
        return atoms[0].kind in (*_SIMPLE, "root", "function") or (atoms[0].kind == "word" and not _is_sum(atoms))
    is_differential = len(atoms) == 2 and atoms[0].html in _DIFFERENTIALS and atoms[1].kind == "letter"
    is_factorial = len(atoms) == 2 and atoms[1].html == "!"
    is_value = len(atoms) > 1 and atoms[0].html.rstrip("′″") in _FUNCTION_LETTERS and _is_bracketed(atoms[1:])
    return is_differential or is_factorial or is_value or _is_bracketed(atoms)


def _is_bracketed(atoms: Sequence[Atom]) -> bool:
    """Whether a sequence is one pair of brackets."""
    depth = 0
    for index, atom in enumerate(atoms):
        depth += (atom.kind == "opening") - (atom.kind == "closing")
        if depth == 0:
            return atom.kind == "closing" and index == len(atoms) - 1 and index > 0
    return False
