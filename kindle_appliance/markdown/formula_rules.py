"""The Markdown rules that find formulas: `$...$`, `$$...$$`, `\\(...\\)`, `\\[...\\]` and environments. No I/O.

They come before the rules of escapes and emphasis, so that no backslash, star or underscore of a formula is lost. A
formula on lines of its own is a block, which may interrupt a paragraph; any other one is a part of a text.

Money stays money. As in pandoc, `$` begins a formula if no space follows it. The next `$` of the line ends it if no
space comes before it and no letter or digit behind it. What reads as an amount or as words is no formula, either.

While a text grows, a formula on several lines that has not ended is a block that does not settle. It waits for at
most `MAX_DISPLAY` characters; then it is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .tail import OPEN

GROWING = "growing"
"""The key in the library's environment that says that further lines may follow."""

OPEN_FORMULA = "formula_open"
"""The type of a block that may become a formula, or text: its end has not come."""

MAX_DISPLAY = 2000
"""The characters of a formula on several lines. It must have ended by then."""

_DISPLAY = re.compile(
    r"\$\$(?!\$)|\\\[|\\begin\{((?:equation|align|gather|multline|eqnarray|alignat|flalign)\*?)\}"
)
_CLOSING = {"$$": "$$", "\\[": "\\]"}
_PUNCTUATION = re.compile(r"[ \t]*[.,;:!?]?[ \t]*\Z")
_BEGINS_BLOCK = re.compile(r"(?:[-+*]|\d{1,9}[.)]|#{1,6})(?:[ \t]|\Z)|>|```|~~~|([-*_])(?:[ \t]*\1){2,}[ \t]*\Z")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_DOLLAR = re.compile(r"(?:[^\\$\n`]+|\\(?:[^\n]|\Z))*")
_ENDING = re.compile(r"(?![0-9A-Za-z_$])|(?:th|st|nd|rd|s)\b")
"""What may stand behind a formula: no digit or letter, unless it is that of `$n$th`."""

_MARK = re.compile(r"[\\^_={}<>+*|/~≤≥≠∈→√±×·−]")
_NAMES = r"(?:mod|sin|cos|tan|cot|log|ln|exp|lim|max|min|gcd|lcm|div)\b"
_WORD = re.compile(rf"(?<![^\W\d_])(?!{_NAMES})[^\W\d_]{{2,}}")
_PLAIN = r"[^\s\\^_={}<>+*$]"
_AMOUNT = re.compile(
    rf"[0-9]{_PLAIN}*\s+(?:{_PLAIN}{{1,3}}\s+)?(?!{_NAMES})[^\W\d_]{{2,}}"
    "|[0-9][0-9.,]*[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]"
    rf"|[A-Za-z_]{{2,}}\s+(?!{_NAMES})[A-Za-z]{{2,}}"
)
"""What begins like money, or like the name of a variable of the shell."""

_BAR = "\ufdd0"
"""Stands for a bar inside a formula, so that it does not end a cell: a character that no text may have."""

_IN_CELL = re.compile(r"(?<![\\$0-9A-Za-z])\$(?![\s$])([^$\n`]*)(?<!\s)\$(?![0-9A-Za-z$])|\\\(([^\n]{0,300}?)\\\)")


def add_formulas(markdown: MarkdownIt) -> None:
    """Add the rules to a parser."""
    alternatives = ["paragraph", "reference", "blockquote", "list"]
    markdown.block.ruler.before("fence", "formula", _block, {"alt": alternatives})
    markdown.block.ruler.before("paragraph", "lines of a formula", _keep_lines)
    markdown.inline.ruler.before("escape", "formula", _inline)
    markdown.add_render_rule("formula", _render)


# Blocks


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own. What begins like one and goes on below ends a paragraph, even if it has no end
    or is none: before that is known, the paragraph has settled.
    """
    begin = state.bMarks[start] + state.tShift[start]
    opening = _DISPLAY.match(state.src, begin, state.eMarks[start])
    if opening is None or state.is_code_block(start):
        return False
    is_alone = not state.src[opening.end() : state.eMarks[start]].strip()
    last, close = _find_end(state, start, opening, is_alone)
    if close < 0:
        if not _may_go_on(state, last, opening):
            return silent
        if silent:
            return True
        if not state.env.get(OPEN):
            state.push(OPEN_FORMULA, "", 0).map = [start, state.lineMax]
        state.line = state.lineMax
        return True
    closing = _closing(opening)
    lines = [state.src[state.bMarks[line] : state.eMarks[line]] for line in range(start + 1, last)]
    if last == start:
        lines = [state.src[opening.end() : close]]
    else:
        lines = [state.src[opening.end() : state.eMarks[start]], *lines, state.src[state.bMarks[last] : close]]
    punctuation = state.src[close + len(closing) : state.eMarks[last]]
    content = "\n".join(line.strip() for line in lines).strip()
    if not _PUNCTUATION.match(punctuation) or not _is_display(opening[0], "\n".join(lines)):
        return silent and last > start
    if not silent:
        token = state.push("formula", "p", 0)
        token.map = [start, last + 1]
        token.content = f"{opening[0]}{content}{closing}" if opening[1] else content
        token.info = punctuation.strip()
        state.line = last + 1
    return True


def _closing(opening: re.Match[str]) -> str:
    return _CLOSING.get(opening[0]) or f"\\end{{{opening[1]}}}"


def _find_closing(source: str, opening: re.Match[str], limit: int) -> int:
    """Where the sign stands that closes a formula; -1 if there is none before the limit."""
    at = source.find(_closing(opening), opening.end(), limit)
    return -1 if at >= 0 and opening[0] == "$$" and source.startswith("$", at + 2) else at


def _find_end(state: StateBlock, start: int, opening: re.Match[str], is_alone: bool) -> tuple[int, int]:
    """The line in which a formula ends, and where; -1 if it does not, and the line after those that it may have."""
    limit = min(opening.end() + MAX_DISPLAY, state.eMarks[state.lineMax - 1])
    close = _find_closing(state.src, opening, limit)
    if close < 0 and not _may_go_on(state, state.lineMax, opening):
        return start, -1
    for line in range(start, state.lineMax):
        if line > start and not _goes_on(state, line, is_alone):
            return line, -1
        if 0 <= close < state.eMarks[line]:
            return line, close
    return state.lineMax, -1


def may_end_formula(line: str) -> bool:
    """Whether the end of a formula may be in a line."""
    return "$$" in line or "\\]" in line or "\\end{" in line


def _goes_on(state: StateBlock, line: int, is_alone: bool) -> bool:
    """Whether a line may belong to a formula that began before it. Blank lines only do if its sign stands alone."""
    if state.isEmpty(line):
        return is_alone
    if 0 <= state.sCount[line] < state.blkIndent:
        return not _BEGINS_BLOCK.match(state.src, state.bMarks[line] + state.tShift[line])
    return True


def _may_go_on(state: StateBlock, after: int, opening: re.Match[str]) -> bool:
    """Whether a formula without an end may still get one: it is the last block of the text, and not too long."""
    is_last = after == state.lineMax == len(state.bMarks) - 1
    is_growing = bool(state.env.get(OPEN) or state.env.get(GROWING))
    return is_last and is_growing and len(state.src) - opening.end() <= MAX_DISPLAY


def _keep_lines(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Let the lines of a formula inside a paragraph begin no other block. This never is a block itself.

    The library tries no rule on a line that seems to have less than no indentation: one of a quotation, usually.
    """
    line = start
    at = state.bMarks[start]
    limit = state.bMarks[start] + MAX_DISPLAY
    while not silent and line < state.lineMax and not state.isEmpty(line) and state.bMarks[line] < limit:
        begin = state.bMarks[line] + state.tShift[line]
        if line > start and at <= begin and _BEGINS_BLOCK.match(state.src, begin, state.eMarks[line]):
            break
        opening = _DISPLAY.search(state.src, max(at, begin), state.eMarks[line])
        if opening is None:
            line += 1
            continue
        last, close = _find_end(state, line, opening, is_alone=False)
        if close < 0 and not _may_go_on(state, last, opening):
            break
        for each in range(line + 1, last + (close >= 0)):
            state.sCount[each] = -1
        line, at = (last, close + 2) if close >= 0 else (last, len(state.src))
    return False


def _set(source: str, display: bool) -> str | None:
    from ..formulas.formula import set_formula  # here: until the first formula, none of it is in memory

    return set_formula(source, display)


def _render(renderer: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A formula with lines of its own; as it was written, if it is not understood."""
    token = tokens[index]
    html = _set(token.content, display=True)
    if html is None:
        html = "<code>" + "<br />".join(map(escape, token.content.split("\n"))) + "</code>"
    token.attrJoin("class", "formula")
    return f"<p{renderer.renderAttrs(token)}>{html}{token.info}</p>\n"


# Inside blocks


def _inline(state: StateInline, silent: bool) -> bool:
    character = state.src[state.pos]
    if character == "$" and not state.src.startswith("$$", state.pos):
        return _between_dollars(state, silent)
    if character == "\\" and state.src.startswith("(", state.pos + 1):
        return _between_brackets(state, silent)
    opening = _DISPLAY.match(state.src, state.pos, state.posMax) if character in "$\\" else None
    if opening is None:
        return _hold_if(state, character == "\\" and "\\begin{".startswith(state.src[state.pos : state.posMax]))
    return _display_inline(state, opening, silent)


def _between_dollars(state: StateInline, silent: bool) -> bool:
    begin = state.pos + 1
    before = state.src[state.pos - 1 : state.pos]
    if before == "$" or (before.isascii() and before.isalnum()):
        return False
    match = _DOLLAR.match(state.src, begin, state.posMax)
    content, end = (match[0], match.end()) if match else ("", begin)
    if not state.src.startswith("$", end, state.posMax):
        is_clear = end < state.posMax or content[:1].isspace() or _AMOUNT.match(content)
        return _hold_if(state, not is_clear)
    if content != content.strip() or _AMOUNT.match(content) or _is_words(content):
        return False
    if not _ENDING.match(state.src, end + 1) or (content[0] in "({" and state.src.startswith(content[0], end + 1)):
        return False
    return _add(state, content, end + 1, silent)


def _between_brackets(state: StateInline, silent: bool) -> bool:
    begin = state.pos + 2
    line_end = state.src.find("\n", begin, state.posMax)
    line_end = line_end if line_end >= 0 else state.posMax
    end = state.src.find("\\)", begin, line_end)
    if end < 0:
        return _hold_if(state, line_end == state.posMax)
    content = state.src[begin:end].strip()
    if not content or _is_words(content):
        return False
    return _add(state, content, end + 2, silent)


def _display_inline(state: StateInline, opening: re.Match[str], silent: bool) -> bool:
    closing = _closing(opening)
    begin = opening.end()
    end = _find_closing(state.src, opening, min(state.posMax, begin + MAX_DISPLAY))
    if end < 0 and state.posMax - begin <= MAX_DISPLAY and _hold_if(state, True):
        return True
    content = state.src[begin:end]
    if end < 0 or not _is_display(opening[0], content):
        if opening[0] != "$$":
            return False
        if not silent:
            state.append_pending("$$")
        state.pos = begin
        return True
    content = f"{opening[0]}{content}{closing}" if opening[1] else content.strip()
    return _add(state, content, end + len(closing), silent, display=True)


def _hold_if(state: StateInline, is_unclear: bool) -> bool:
    """Leave out the rest of an open text, if its meaning is not clear yet."""
    if is_unclear and state.env.get(OPEN):
        state.pos = state.posMax
        return True
    return False


def _add(state: StateInline, content: str, end: int, silent: bool, display: bool = False) -> bool:
    """Add a formula that ends there; as code, if it is not understood."""
    start, state.pos = state.pos, end
    if silent:
        return True
    html = _set(content, display)
    if html is None:
        state.push("code_inline", "code", 0).content = content.replace("\n", " ")
        return True
    if "<br />" in html:  # its lines are its own
        html = "<br />" * (start > 0 and state.src[start - 1] != "\n") + html
        html += "<br />" * (end < state.posMax and state.src[end] != "\n")
    if _RIGHT_TO_LEFT.search(state.src):
        html = f'<span dir="ltr">{html}</span>'
    token = state.push("html_inline", "", 0)
    token.content = html
    token.markup = "$"
    return True


# What is no formula


def _is_words(content: str) -> bool:
    """Whether a text between two signs reads as words, or as nothing."""
    return not content.strip() or (
        _MARK.search(content) is None and " " in content.strip() and _WORD.search(content) is not None
    )


def _is_display(opening: str, content: str) -> bool:
    """Whether a text between the signs of a display formula is one. `\\[1\\]` has escaped brackets."""
    if _is_words(content):
        return False
    if opening == "$$":
        return _MARK.search(content) is not None or _WORD.search(content) is None
    is_apart = content[:1].isspace() and content[-1:].isspace()
    return opening != "\\[" or is_apart or _MARK.search(content) is not None or "-" in content


# Bars in cells


def keep_bars(rule: Callable[[StateBlock, int, int, bool], bool]) -> Callable[[StateBlock, int, int, bool], bool]:
    """The library's rule for tables, with the bars of formulas inside their cells."""

    def kept(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        source = state.src
        hidden = _without_bars(source, state.env)
        if hidden is source:
            return rule(state, start, end, silent)
        count = len(state.tokens)
        state.src = hidden
        try:
            return rule(state, start, end, silent)
        finally:
            state.src = source
            for token in state.tokens[count:]:
                token.content = token.content.replace(_BAR, "|")

    return kept


def _without_bars(source: str, env: MutableMapping[str, Any]) -> str:
    """The text with other characters for the bars of formulas; remembered for the other tables of the text."""
    known = env.get("without bars")
    if known is None or known[0] is not source:
        hidden = _IN_CELL.sub(lambda match: match[0].replace("|", _BAR), source) if "|" in source else source
        known = env["without bars"] = (source, hidden if _BAR in hidden else source)
    return str(known[1])
