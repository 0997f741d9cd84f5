"""Footnotes: a superscript where the text refers to a note, a small paragraph where the note is written. No I/O.

The note comes later than what refers to it, and a settled block never changes. So neither knows of the other: both
show the label, as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline.state_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .tail import paragraph_upto

_LABEL = r"\[\^([^\s\[\]]{1,100})\]"
_REFERENCE = re.compile(_LABEL + r"(?!\()")
_NOTE = re.compile(_LABEL + r":[ \t]*")

_SHOWN = 20
"""The characters of a label that are shown."""

_LONG_NOTE = 2000
"""A note ends with the line that makes it so long; what follows is a paragraph, which settles in pieces."""


def add_footnotes(markdown: MarkdownIt) -> None:
    """Add the rules to a parser."""
    markdown.inline.ruler.before("link", "footnote", _reference)
    alt = ["paragraph", "reference", "blockquote"]
    markdown.block.ruler.before("reference", "footnote", _note, {"alt": alt})
    markdown.add_render_rule("footnote_open", _beginning_of_note)


def _reference(state: StateInline, silent: bool) -> bool:
    match = _REFERENCE.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "[" else None
    if match is None:
        return False
    state.pos = match.end()
    if not silent:
        is_next = bool(state.tokens) and state.tokens[-1].markup == "[^" and not state.pending
        state.push("sup_open", "sup", 1)
        state.push("text", "", 0).content = ", " * is_next + _shown(match[1])
        state.push("sup_close", "sup", -1).markup = "[^"
    return True


def _note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start):
        return False
    match = _NOTE.match(state.src, state.bMarks[start] + state.tShift[start], state.eMarks[start])
    if match is None or silent:
        return match is not None
    tokens = paragraph_upto(state, start, _limit(state, start))
    if not tokens:
        return True
    opening, content, closing = tokens
    opening.type, closing.type, opening.markup = "footnote_open", "footnote_close", _shown(match[1])
    opening.attrSet("class", "footnote")
    content.content = content.content[len(match[0]) :].lstrip()
    return True


def _limit(state: StateBlock, start: int) -> int:
    """The line before which a note must end."""
    last = state.bMarks[start] + _LONG_NOTE
    line = start + 1
    while line < state.lineMax and state.eMarks[line - 1] < last:
        line += 1
    return line


def _shown(label: str) -> str:
    return label if len(label) <= _SHOWN else label[: _SHOWN - 1] + "…"


def _beginning_of_note(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    return f"<p{renderer.renderAttrs(token)}><sup>{escape(token.markup)}</sup> "
