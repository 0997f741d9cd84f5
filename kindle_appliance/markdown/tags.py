"""The HTML that models write instead of Markdown: line breaks, subscripts, superscripts. No I/O.

Only `<br>`, `<sub>` and `<sup>` without attributes are markup. All other HTML stays text. A subscript without an
end, or an end without a beginning, is text, too: tags are paired as the library pairs the marks of emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_inline.state_inline import Delimiter, StateInline

_TAG = re.compile(r"<(?:br[ \t]*/?>[ \t]*\n?[ \t]*|(/?)(su[bp])[ \t]*>)", re.IGNORECASE)
"""A line break takes the line end behind it along: it is one new line, not two."""

_MARKERS = {"sub": 1, "sup": 2}
"""What stands for the character of a mark in the library's list of marks; no character has these numbers there."""

_TAGS = {marker: tag for tag, marker in _MARKERS.items()}


def add_tags(markdown: MarkdownIt) -> None:
    """Add the rules to a parser."""
    markdown.inline.ruler.before("autolink", "tag", _tag)
    markdown.inline.ruler2.after("emphasis", "tag", _set_pairs)


def _tag(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    match = _TAG.match(state.src, state.pos, state.posMax)
    if match is None or (silent and match[2]):
        return False
    state.pos = match.end()
    if silent:
        return True
    if not match[2]:
        state.pending = state.pending.rstrip(" \t")
        state.push("hardbreak", "br", 0)
        return True
    token = state.push("text", "", 0)
    token.content = match[0]
    state.delimiters.append(
        Delimiter(
            marker=_MARKERS[match[2].lower()],
            length=0,
            token=len(state.tokens) - 1,
            end=-1,
            open=not match[1],
            close=bool(match[1]),
        )
    )
    return True


def _set_pairs(state: StateInline) -> None:
    """Make elements of the tags that the library has paired."""
    _set(state, state.delimiters)
    for meta in state.tokens_meta:
        if meta and "delimiters" in meta:
            _set(state, meta["delimiters"])


def _set(state: StateInline, delimiters: Sequence[Delimiter]) -> None:
    for delimiter in delimiters:
        tag = _TAGS.get(delimiter.marker)
        if tag and delimiter.end >= 0:
            opening, closing = (state.tokens[each.token] for each in (delimiter, delimiters[delimiter.end]))
            opening.type, opening.tag, opening.nesting, opening.content = f"{tag}_open", tag, 1, ""
            closing.type, closing.tag, closing.nesting, closing.content = f"{tag}_close", tag, -1, ""
