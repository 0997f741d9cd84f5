"""Marks without their other half, in a text that may go on: its emphasis, code and links. No I/O.

A model is writing the text, and most likely the other half is on its way. So emphasis and code are closed for the
moment, and a link waits for its address. These are variants of the library's rules of the same names; with a text
that has ended they do what the library does.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, autolink, backtick, escape, image, link
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from .tail import OPEN, shows

_LONG_LABEL = 300
_LONG_LINK = 2500
"""What may become a link waits for so many characters, or with its address for so many."""

_AUTOLINK = re.compile(r"<[A-Za-z][\w+.-]*(?::[^\s<>]*)?\Z")
_DEFINITION = re.compile(r"""\s*(?:\S+\s+(?:"[^"]*|'[^']*|\([^)]*))?\Z""")
_REST_OF_TITLE = re.compile(r"""\s+(?:"[^"]*"?|'[^']*'?|\([^()]*\)?)?\s*\Z|\Z""")

_Rule = Callable[[StateInline, bool], bool]


def add_open_marks(markdown: MarkdownIt) -> None:
    """Give the library our variants of its rules."""
    rules = markdown.inline.ruler
    rules.at("backticks", _code)
    rules.at("escape", _escape)
    rules.at("link", _if_decided(link, "["))
    rules.at("image", _if_decided(image, "!["))
    rules.at("autolink", _autolink)
    markdown.inline.ruler2.after("balance_pairs", "open marks", _close_marks)


def hold_back(state: StateInline) -> bool:
    """Leave out the rest of an open text, whose meaning is not clear yet; for a rule to return."""
    state.pos = state.posMax
    return True


def _code(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not (state.env.get(OPEN) and state.src[start] == "`"):
        return backtick(state, silent)
    marks = re.compile("`+").match(state.src, start, state.posMax)
    backtick(state, True)
    end, state.pos = state.pos, start
    if marks is None or end > marks.end():
        return backtick(state, silent)
    content = state.src[marks.end() : state.posMax].replace("\n", " ")
    if not silent and content.strip():
        code = state.push("code_inline", "code", 0)
        code.markup = marks[0]
        code.content = content.removeprefix(" ")
    return hold_back(state)


def _escape(state: StateInline, silent: bool) -> bool:
    if state.env.get(OPEN) and state.src[state.pos] == "\\" and state.pos + 1 == state.posMax:
        return hold_back(state)
    return escape(state, silent)


def _autolink(state: StateInline, silent: bool) -> bool:
    may_be_short = state.env.get(OPEN) and state.posMax - state.pos <= _LONG_LINK
    if may_be_short and _AUTOLINK.match(state.src, state.pos, state.posMax):
        return hold_back(state)
    return autolink(state, silent)


def _if_decided(rule: _Rule, opening: str) -> _Rule:
    """The library's rule for what begins so, if it is clear whether a link does; else hold back."""

    def decided(state: StateInline, silent: bool) -> bool:
        start = state.pos
        if not (state.env.get(OPEN) and state.src.startswith(opening, start)):
            return rule(state, silent)
        # A label ends before the text does, so nothing in it is open.
        state.env[OPEN] = False
        try:
            has_address = rule(state, True) and state.src[state.pos - 1] == ")"
            state.pos = start
            if not has_address and _may_become_link(state, start + len(opening) - 1):
                return hold_back(state)
            return rule(state, silent)
        finally:
            state.env[OPEN] = True

    return decided


def _may_become_link(state: StateInline, start: int) -> bool:
    length = state.posMax - start
    if length > _LONG_LINK:
        return False
    src, helpers = state.src, state.md.helpers
    label_end = src.find("](", start)
    if length > _LONG_LABEL and label_end < 0:
        return False
    end = helpers.parseLinkLabel(state, start)
    if end < 0 or end + 1 == state.posMax:
        return length <= _LONG_LABEL
    if src[end + 1] == "[":
        return length <= _LONG_LABEL and "]" not in src[end + 1 : state.posMax]
    if src[end + 1] == ":":
        return start == 0 and bool(_DEFINITION.match(src, end + 2, state.posMax))
    return src[end + 1] == "(" and _may_become_address(state, end + 2)


def _may_become_address(state: StateInline, start: int) -> bool:
    rest = state.src[start : state.posMax].lstrip()
    if rest.startswith("<"):
        return re.search("[>\n]", rest) is None
    address = state.md.helpers.parseLinkDestination(rest, 0, len(rest))
    if not address.ok:
        return not re.search(r"\s", rest)
    return bool(_REST_OF_TITLE.match(rest, address.pos))


def _close_marks(state: StateInline) -> None:
    """Close, for the moment, the emphasis that is open; leave out its marks if they have no text yet."""
    if not state.env.get(OPEN):
        return
    tokens, delimiters = state.tokens, state.delimiters
    openers = _open_marks(state)
    marks = {opener.token for opener in openers}
    shown = max((index for index, token in enumerate(tokens) if index not in marks and shows(token)), default=-1)
    for token in tokens[shown + 1 :]:
        if token.type in ("softbreak", "hardbreak"):
            token.type, token.content = "text", ""
    if shown >= 0 and tokens[shown].type == "text":
        tokens[shown].content = tokens[shown].content.rstrip()
    for opener in reversed(openers):
        if opener.token > shown:
            tokens[opener.token].content = ""
            continue
        state.push("text", "", 0)
        opener.end, opener.close = len(delimiters), False
        delimiters.append(Delimiter(opener.marker, opener.length, len(tokens) - 1, -1, False, True))


def _open_marks(state: StateInline) -> list[Delimiter]:
    """The marks that begin emphasis, and that no pair of marks encloses."""
    found = []
    enclosed = -1
    for index, delimiter in enumerate(state.delimiters):
        if delimiter.end >= 0:
            enclosed = max(enclosed, delimiter.end)
        elif delimiter.open and index > enclosed and not _is_sign(delimiter, state.tokens):
            found.append(delimiter)
    return found


def _is_sign(delimiter: Delimiter, tokens: list[Token]) -> bool:
    """Whether a mark rather is a sign in a word or a number, such as 2*3."""
    if delimiter.length != 1 or not 0 < delimiter.token < len(tokens) - 1:
        return False
    sides = tokens[delimiter.token - 1].content[-1:] + tokens[delimiter.token + 1].content[:1]
    return len(sides) == 2 and sides.isascii() and sides.isalnum()
