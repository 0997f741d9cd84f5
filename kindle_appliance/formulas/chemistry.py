"""Chemical formulas and units, as the LaTeX packages `mhchem` and `siunitx` write them: H₂O, 9.81 m/s². No I/O."""

from __future__ import annotations

import re
from html import escape

from .symbols import UNITS

_ARROWS = {"<=>": "⇌", "<->": "↔", "->": "→", "<-": "←", "=>": "⇒"}
_CHEMICAL = re.compile(
    r"(?P<arrow><=>|<->|->|<-|=>)"
    r"|\^(?:\{(?P<above>[^{}]*)\}|(?P<charge>[0-9]*[+-]?))"
    r"|_(?:\{(?P<below>[^{}]*)\}|(?P<index>[0-9]+|[a-z]))"
    r"|(?<=[A-Za-z)\]])(?P<count>[0-9]+)"
    r"|(?<=[A-Za-z0-9)\]}])(?P<sign>[+-])(?=[\s)\]]|$)"
)
_PREFIXES = ("kilo", "milli", "micro", "nano", "pico", "femto", "centi", "deci", "mega", "giga", "tera")
_NAME = re.compile(r"\\([A-Za-z]+)\s*|\^\{?(-?[0-9]+)\}?|(~)")


def chemical(source: str) -> str | None:
    """The HTML of the content of `\\ce{...}`; None if it is not understood."""
    if "\\" in source or "$" in source:
        return None
    html, end = "", 0
    for match in _CHEMICAL.finditer(source):
        html += escape(source[end : match.start()])
        end = match.end()
        below = match["below"] or match["index"] or match["count"]
        above = match["above"] or match["charge"] or match["sign"]
        if match["arrow"]:
            html += f" {_ARROWS[match['arrow']]} "
        elif below:
            html += f"<sub>{escape(below)}</sub>"
        elif above:
            html += f"<sup>{escape(above).replace('-', '−')}</sup>"
    html += escape(source[end:])
    return re.sub(r"[{}]", "", re.sub(r"\s+", " ", html)).strip()


def unit(source: str) -> str | None:
    """The HTML of a unit: `m/s^2`, `\\metre\\per\\second\\squared`; None if it is not understood."""
    html, end, is_new = "", 0, True
    for match in _NAME.finditer(source):
        html += escape(source[end : match.start()])
        end = match.end()
        if match[1]:
            if match[1] not in UNITS:
                return None
            is_sign = match[1] in ("per", "squared", "cubed")
            html += ("" if is_new or is_sign else " ") + UNITS[match[1]]
            is_new = match[1] in _PREFIXES or match[1] == "per"
        elif match[2]:
            html += f"<sup>{match[2].replace('-', '−')}</sup>"
        else:
            html += " "
    html += escape(source[end:])
    return None if re.search(r"[\\{}$]", html) else html.replace(".", "·").strip()


def number(source: str) -> str | None:
    """The HTML of a number: `1.5e-3` is 1.5 · 10⁻³; None if it is not understood."""
    if re.search(r"[\\{}$]", source):
        return None
    html = escape(source.strip()).replace("-", "−").replace("+−", "±")
    return re.sub(r"[eE]([−+]?[0-9]+)", r" · 10<sup>\1</sup>", html)
