"""Formulas: LaTeX becomes text with sub- and superscripts, as old browsers can show it. No I/O.

What a command means is decided here, with the tables of `symbols.py`; what stands between two signs, in `atoms.py`.
A formula with a command that is not known is not set at all, because without a part of it, it would be a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import escape
from unicodedata import normalize

from . import chemistry
from .atoms import Atom, binomial, bracketed, fraction, in_a_row, joined, root, with_neighbours
from .latex import MAX_DEPTH, NotUnderstoodError, Part, aligned, parsed, rows_of
from .symbols import (
    ACCENTS,
    BINARY,
    CLOSING,
    DOUBLE,
    FUNCTIONS,
    LARGE,
    LETTERS,
    NEGATED,
    OPENING,
    PAIRS,
    RELATIONS,
    SPACES,
    WITHOUT_MEANING,
)

_REMEMBERED = 64
"""The formulas that are remembered, of at most 2,000 characters each: tails set those of their block again."""


@lru_cache(_REMEMBERED)
def set_formula(source: str, display: bool) -> str | None:
    """The HTML of a formula, without a block around it; None if it is not understood. A `display` formula may have
    several lines.
    """
    try:
        return joined(_environment("aligned", parsed(source), 0, compact=False), as_lines=display) or None
    except NotUnderstoodError:
        return None


# Rows and environments

_LINES = re.compile("equation|displaymath|math|align(ed|at|edat)?|flalign|gather(ed)?|multline(d)?|split|eqnarray")
_MATRICES = {
    **dict.fromkeys(("matrix", "smallmatrix", "array", "tabular", "subarray"), ("", "")),
    **{"pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"), "vmatrix": ("|", "|")},
    "Vmatrix": ("‖", "‖"),
}
_CASES = ("cases", "dcases", "rcases")
_WITH_ARGUMENT = ("array", "tabular", "subarray", "alignat", "alignedat")


def _environment(name: str, parts: Sequence[Part], depth: int, compact: bool) -> list[Atom]:
    """Set the content of an environment: rows, or the atoms of a single line."""
    if name in _WITH_ARGUMENT and parts and parts[0].kind == "group":
        parts = parts[1:]
    rows = list(rows_of(parts))
    if _LINES.fullmatch(name):
        lines = [_Row(aligned(cells, name == "eqnarray"), depth, compact).atoms() for cells in rows]
        if len(lines) <= 1:
            return lines[0] if lines else []
        return [Atom("", "lines", rows=tuple((joined(line, compact=compact),) for line in lines))]
    cells = tuple(
        tuple(joined(_Row(cell, depth, compact).atoms(), compact=compact) for cell in row) for row in rows
    )
    if name in _MATRICES:
        return [Atom("", "matrix", rows=cells, brackets=_MATRICES[name])]
    if name in _CASES:
        return [Atom("", "cases", rows=cells)]
    raise NotUnderstoodError


# What is set

_CHARACTERS = {
    **dict.fromkeys("+*/∗·×÷±∓∪∩∧∨∘⊕⊗−", "binary"),
    **dict.fromkeys("=<>≤≥≠≈≡∼≅→←↔⇒⇐⇔∈∉⊂⊆⊃⊇∝↦≔", "relation"),
    **dict.fromkeys("([⟨⌊⌈", "opening"),
    **dict.fromkeys(")]⟩⌋⌉", "closing"),
    **dict.fromkeys(",;:", "mark"),
    **dict.fromkeys("|‖", "bar"),
    **dict.fromkeys("∑∏∫∮⋃⋂", "large"),
}
_KINDS = {
    "letter": LETTERS,
    "sign": BINARY,
    "relation": RELATIONS,
    "large": LARGE,
    "opening": OPENING,
    "closing": CLOSING,
    "function": FUNCTIONS,
}
_SIGNS = {name: Atom(escape(sign), kind) for kind, table in _KINDS.items() for name, sign in table.items()}
_NEGATED = {escape(sign): negated for sign, negated in NEGATED.items()}

_PRIMES = {"′": "′", "∘": "°", "°": "°", "∗": "<sup>*</sup>"}
_WORD = 4
"""So many letters without a space between them are a word: it keeps the spaces around it."""


class _Row:
    """Sets a sequence of parts. `compact`: inside a sub- or superscript. `depth`: of groups and arguments."""

    def __init__(self, parts: Sequence[Part], depth: int, compact: bool = False) -> None:
        if depth > MAX_DEPTH:
            raise NotUnderstoodError
        self._parts = parts
        self._at = 0
        self._depth = depth
        self._compact = compact
        self._atoms: list[Atom] = []

    def atoms(self) -> list[Atom]:
        """Set all parts."""
        while self._at < len(self._parts):
            part = self._parts[self._at]
            if self._is_next("character", "^_'’"):
                self._add_scripts()
            elif part.kind == "command" and part.value in _INFIX:
                below = _Row(self._parts[self._at + 1 :], self._depth + 1, self._compact).atoms()
                return [_INFIX[part.value](self._atoms, below, self._compact)]
            else:
                self._atoms += self._next()
        return with_neighbours(self._atoms)

    def _is_next(self, kind: str, values: str) -> bool:
        part = self._parts[self._at] if self._at < len(self._parts) else None
        return part is not None and part.kind == kind and part.value in values

    def _next(self, *, is_argument: bool = False) -> list[Atom]:
        """Set the next part, with its arguments."""
        if self._at >= len(self._parts):
            raise NotUnderstoodError
        part = self._parts[self._at]
        self._at += 1
        if part.kind == "character":
            return [self._character(part, is_argument)]
        if part.kind == "group":
            atoms = _Row(part.parts, self._depth + 1, self._compact).atoms() or [Atom("", "letter")]
        elif part.kind == "environment":
            atoms = _environment(part.value, part.parts, self._depth + 1, self._compact)
        else:
            atoms = self._command(part.value)
        return [atoms[0]._replace(after_space=part.after_space), *atoms[1:]] if atoms else []

    def _character(self, part: Part, is_argument: bool) -> Atom:
        value = part.value
        if value.isdecimal() and not is_argument:
            value += self._run("0123456789.")
            self._at -= len(value) - len(value.rstrip("."))  # it ends the sentence
            return Atom(value.rstrip("."), "number", part.after_space)
        if value.isalpha() and not is_argument:
            more = self._run("")
            if value + more in FUNCTIONS and more:
                return _SIGNS["bmod"] if more == "od" else _SIGNS[value + more]
            if len(more) + 1 >= _WORD:
                return Atom(escape(value + more), "word", part.after_space)
            self._at -= len(more)
        if value == ":" and self._is_next("character", "="):
            self._at += 1
            return Atom(":=", "relation", part.after_space)
        if value.isdecimal():
            return Atom(value, "number", part.after_space)
        if value == "-":
            return Atom("−", "binary", part.after_space)
        if value in "&~":
            return Atom(" " if value == "~" else "", "space", part.after_space)
        return Atom(escape(value), _CHARACTERS.get(value, "letter"), part.after_space)

    def _run(self, characters: str) -> str:
        """The next parts, as far as they are such characters, or letters, without a space before them."""
        begin = self._at
        while self._at < len(self._parts):
            kind, value, after_space = self._parts[self._at][:3]
            if kind != "character" or after_space or not (value in characters if characters else value.isalpha()):
                break
            self._at += 1
        return "".join(part.value for part in self._parts[begin : self._at])

    def _argument(self, compact: bool | None = None) -> list[Atom]:
        """Set the next argument: a group, a command with its own arguments, or one character."""
        outside = self._compact, self._depth
        self._compact = self._compact if compact is None else compact
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotUnderstoodError
        atoms = self._next(is_argument=True)
        self._compact, self._depth = outside
        return atoms

    def _optional(self) -> list[Atom]:
        """Set an argument in square brackets, if there is one."""
        if not self._is_next("character", "["):
            return []
        inside = self._parts[self._at + 1 :]
        end = next((at for at, part in enumerate(inside) if part[:2] == ("character", "]")), None)
        if end is None:
            raise NotUnderstoodError
        self._at += end + 2
        return _Row(inside[:end], self._depth + 1, compact=True).atoms()

    def _source(self) -> str:
        """The source of the next argument."""
        part = self._parts[self._at] if self._at < len(self._parts) else None
        self._at += 1
        if part is None or part.kind not in ("group", "character"):
            raise NotUnderstoodError
        return part.source or part.value

    def _joined_argument(self, compact: bool | None = None) -> str:
        return joined(self._argument(compact), compact=self._compact if compact is None else compact)

    def _add_scripts(self) -> None:
        """Add what stands below, and above, to the atom before."""
        below = above = ""
        while self._is_next("character", "^_'’"):
            mark = self._parts[self._at].value
            self._at += 1
            if mark in "'’":
                above += "′"
            elif mark == "_":
                below += self._joined_argument(compact=True)
            else:
                above += self._joined_argument(compact=True)
        primes = above[: len(above) - len(above.lstrip("′"))]
        above = above[len(primes) :]
        base = (
            self._atoms.pop()
            if self._atoms and self._atoms[-1].kind not in ("space", "gap")
            else Atom("", "letter")
        )
        base = in_a_row(base)
        if base.kind in ("fraction", "root") and above:
            base = base._replace(html=f"({base.html})", kind="letter")
        html = base.html + primes.replace("′′", "″")
        html += f"<sub>{below}</sub>" if below else ""
        html += "°" if above in ("∘", "°") else f"<sup>{above}</sup>" if above else ""
        self._atoms.append(base._replace(html=html))

    # Commands

    def _command(self, name: str) -> list[Atom]:
        if name in _SIGNS:
            return [_SIGNS[name]]
        if name in SPACES:
            return [Atom(SPACES[name], "gap" if len(SPACES[name]) > 1 else "space")]
        if name in ("left", "right", "middle"):
            return self._delimiter(name)
        if name in WITHOUT_MEANING:
            return []
        if name in ACCENTS:
            return self._accent(ACCENTS[name])
        if name in PAIRS:
            opening, closing = PAIRS[name]
            return [Atom(f"{opening}{self._joined_argument()}{closing}", "letter")]
        command = _COMMANDS.get(name)
        if command is None:
            raise NotUnderstoodError
        return command(self)

    def _delimiter(self, name: str) -> list[Atom]:
        """Set the bracket behind `\\left`, `\\middle` or `\\right`; a dot stands for none."""
        if self._is_next("character", "."):
            self._at += 1
            return []
        atoms = self._next(is_argument=True)
        if len(atoms) != 1:
            raise NotUnderstoodError
        sign = {"&lt;": "⟨", "&gt;": "⟩"}.get(atoms[0].html, atoms[0].html)
        return [Atom(sign, {"left": "opening", "right": "closing", "middle": "sign"}[name])]

    def _accent(self, mark: str) -> list[Atom]:
        """Set a mark on each letter of an argument; `\\not` goes with the sign behind it."""
        atoms = self._argument()
        if mark == "\u0338":
            return [
                atom._replace(html=_NEGATED.get(atom.html, atom.html + mark) if index == 0 else atom.html)
                for index, atom in enumerate(atoms)
            ]
        if any("<" in atom.html or "&" in atom.html for atom in atoms):
            return [Atom(bracketed(atoms, self._compact) + mark, "letter")]
        return [
            atom._replace(html=normalize("NFC", "".join(each + mark for each in atom.html)) if atom.html else mark)
            if atom.kind in ("letter", "number", "word")
            else atom
            for atom in atoms
        ]

    def fraction(self) -> list[Atom]:
        return [fraction(self._argument(), self._argument(), self._compact)]

    def binomial(self) -> list[Atom]:
        return [binomial(self._argument(), self._argument(), self._compact)]

    def root(self) -> list[Atom]:
        degree = self._optional()
        return [root(degree, self._argument(), self._compact)]

    def text(self) -> list[Atom]:
        return [Atom(self._text(self._source()), "word")]

    def bold_text(self) -> list[Atom]:
        return [Atom(f"<strong>{self._text(self._source())}</strong>", "word")]

    def _text(self, source: str) -> str:
        """Set words, and the formulas between dollar signs among them."""
        html = ""
        for match in _TEXT.finditer(source):
            if match["formula"] is not None:
                html += joined(_Row(parsed(match["formula"]), self._depth + 1).atoms())
            elif match["name"] in _SIGNS:
                html += _SIGNS[match["name"]].html
            elif match["name"] in SPACES:
                html += SPACES[match["name"]]
            elif match["name"] and match["name"] not in _TEXT_FONTS:
                raise NotUnderstoodError
            else:
                html += escape(match["text"] or "", quote=False).replace("~", "\u00a0")
        return html

    def upright(self) -> list[Atom]:
        atoms = self._argument()
        if len(atoms) > 1 and all(atom.kind in ("letter", "number", "word") for atom in atoms):
            return [Atom(joined(atoms, compact=self._compact), "word")]
        return atoms

    def content(self) -> list[Atom]:
        return self._argument()

    def operator(self) -> list[Atom]:
        if self._is_next("character", "*"):
            self._at += 1
        return [Atom(joined(self._argument()), "function")]

    def bold(self) -> list[Atom]:
        return [Atom(f"<strong>{self._joined_argument()}</strong>", "letter")]

    def double(self) -> list[Atom]:
        return [
            Atom(DOUBLE.get(atom.html) or f"<strong>{atom.html}</strong>", "letter") for atom in self._argument()
        ]

    def struck(self) -> list[Atom]:
        return [Atom(f"<s>{self._joined_argument()}</s>", "letter")]

    def braced(self) -> list[Atom]:
        return [Atom(bracketed(self._argument(), self._compact), "letter")]

    def script(self, tag: str) -> list[Atom]:
        """Set one argument above, or below, the other."""
        script = self._joined_argument(compact=True)
        base = self._argument()
        last = in_a_row(base[-1]) if base else Atom("", "letter")
        return [*base[:-1], last._replace(html=f"{last.html}<{tag}>{script}</{tag}>")]

    def arrow(self, sign: str) -> list[Atom]:
        """Set an arrow with what stands above and below it."""
        below = joined(self._optional(), compact=True)
        above = self._joined_argument(compact=True)
        html = sign + (f"<sub>{below}</sub>" if below else "") + (f"<sup>{above}</sup>" if above else "")
        return [Atom(html, "relation")]

    def without_one(self) -> list[Atom]:
        self._source()
        return []

    def space(self) -> list[Atom]:
        self._source()
        return [Atom("\u00a0 ", "gap")]

    def coloured(self) -> list[Atom]:
        self._source()
        return self._argument()

    def tag(self) -> list[Atom]:
        return [Atom("\u00a0 ", "gap"), Atom(f"({self._text(self._source())})", "letter")]

    def modulus(self) -> list[Atom]:
        return [Atom(f"(mod {self._joined_argument()})", "sign")]

    def stack(self) -> list[Atom]:
        part = self._parts[self._at] if self._at < len(self._parts) else Part("", "")
        self._at += 1
        rows = _environment("aligned", part.parts, self._depth + 1, self._compact)
        return [Atom(", ".join(cell for row in rows[0].rows for cell in row), "letter")] if len(rows) == 1 else rows

    def chemical(self) -> list[Atom]:
        return self._word(chemistry.chemical(self._source()))

    def number(self) -> list[Atom]:
        return self._word(chemistry.number(self._source()))

    def unit(self) -> list[Atom]:
        return self._word(chemistry.unit(self._source()))

    def quantity(self) -> list[Atom]:
        number, unit = chemistry.number(self._source()), chemistry.unit(self._source())
        return self._word(f"{number}\u00a0{unit}" if number and unit else None)

    def _word(self, html: str | None) -> list[Atom]:
        if html is None:
            raise NotUnderstoodError
        return [Atom(html, "word")]


_INFIX = {"over": fraction, "choose": binomial}
_TEXT = re.compile(r"\$(?P<formula>[^$]*)\$|\\(?P<name>[A-Za-z]+|.)|[{}]|(?P<text>[^\\${}]+|.)", re.DOTALL)
_TEXT_FONTS = ("textbf", "textit", "emph", "textrm", "texttt", "textsf", "bf", "it", "rm", "mathrm", "mathbf")

_NAMED: dict[str, Callable[[_Row], list[Atom]]] = {
    "frac dfrac tfrac cfrac nicefrac sfrac": _Row.fraction,
    "binom dbinom tbinom": _Row.binomial,
    "sqrt": _Row.root,
    "text textrm textnormal textup textit textsf texttt emph mbox hbox intertext": _Row.text,
    "textbf": _Row.bold_text,
    "mathrm mathit mathsf mathtt mathup mathnormal": _Row.upright,
    "ref mathcal mathscr mathfrak ensuremath smash mathclap mathstrut": _Row.content,
    "operatorname operatornamewithlimits": _Row.operator,
    "mathbf boldsymbol bm pmb mathbfit boxed fbox vec overrightarrow overleftarrow": _Row.bold,
    "mathbb Bbb": _Row.double,
    "cancel bcancel xcancel sout": _Row.struck,
    "underbrace overbrace underbracket overbracket": _Row.braced,
    "overset stackrel": lambda row: row.script("sup"),
    "underset": lambda row: row.script("sub"),
    "xrightarrow xRightarrow": lambda row: row.arrow("→"),
    "xleftarrow": lambda row: row.arrow("←"),
    "label color phantom hphantom vphantom vspace": _Row.without_one,
    "hspace": _Row.space,
    "textcolor colorbox": _Row.coloured,
    "tag": _Row.tag,
    "pmod": _Row.modulus,
    "substack": _Row.stack,
    "ce": _Row.chemical,
    "num": _Row.number,
    "si unit": _Row.unit,
    "SI qty": _Row.quantity,
}
_COMMANDS = {name: command for names, command in _NAMED.items() for name in names.split()}
