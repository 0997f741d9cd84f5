"""The Markdown library with our rules: which blocks there are, and the HTML of each. No I/O.

A web page may have made the model write what it writes (prompt injection). So only the rules below, and those of
`links.py`, produce HTML. What old browsers cannot work out is written on the elements: emphasis that must not be
italic has the class "upright".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from html import escape, unescape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_core import StateCore, text_join
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from ..text.emoji import code_without_emoji, markdown_without_emoji, without_emoji
from ..text.writing import may_slant
from .budget import size
from .cells import keep_all_cells
from .definitions import add_definitions
from .emphasis import EmphasisParser
from .footnotes import add_footnotes
from .formula_rules import add_formulas, keep_bars
from .labels import add_labels
from .links import add_bare_addresses, check_links, end_of_link, image_as_link, is_web
from .marks import add_open_marks
from .tags import add_tags
from .tail import (
    OPEN,
    add_open_blocks,
    hold_back_row,
    is_incomplete_line,
    mark_open_content,
    without_empty_end,
)

_MAX_COLUMNS = 20
"""A table with more columns stays plain text. The library pads short rows: 100 columns turn 16 KB into 4 MB."""

_MAX_LEVEL = 12
"""The deepest nesting of quotations (one level each) and lists (two levels each); what is nested deeper stays plain
text. The library's own limit would lose it, and after a list all the text that follows, too (version 4.3.0)."""

_MAX_INLINE = 4000
"""The characters of a heading or cell that are parsed for emphasis, links and code together. A longer one is parsed
in parts: the library's time may grow with the square of a text that does not pair its marks, and nothing hints at
the pair of a mark that is so far away."""

_TRIED_SPACES = 40
"""The spaces that are tried as the end of such a part."""

_TAG = re.compile("<[^>]*>")

_LONG_CODE = re.compile(r"^(?=.{8})((?: {4}|\t){0,4}).*\n?", re.MULTILINE)
"""A line of code that may be too long for a line on a screen: at the largest size, seven Han characters are not.
And its levels of indentation, as far as there is room for them."""

_PAIRS = ("*", "**", "_", "__", "~~", "`", "$")
"""Marks that stand before and after a part of a text."""

CONTINUED = "\0"
"""Stands before the rest of a paragraph whose beginning has settled, so that it begins no other block. No text has
this character (`typesetter.py`)."""


def parse_blocks(source: str, env: MutableMapping[str, Any]) -> list[Token]:
    """The block tokens of a text; their inline content is not parsed yet. `env`: the library's, with the references
    that are known.
    """
    tokens: list[Token] = []
    _MARKDOWN.block.parse(source, _MARKDOWN, env, tokens)
    if env.get(OPEN):
        mark_open_content(tokens, source)
    return tokens


def render(tokens: Sequence[Token], env: MutableMapping[str, Any], room: int) -> str | None:
    """Render settled block tokens as HTML of at most `room` bytes; None if that is impossible.

    Their inline content is parsed here, and only here. What does not fit into the room is rendered again, first
    without the labels of cells, then with its links as they were written.
    """
    tokens = _without_emoji(tokens)
    has_links, fits = _parse_inline(_MARKDOWN, tokens, env, room)
    if env.get(OPEN):
        tokens = without_empty_end(tokens)
    if fits:
        html = _html(tokens, env, room)
        if html is not None:
            return html
        labelled = [token for token in tokens if token.attrs.pop("data-label", None) is not None]
        html = _html(tokens, env, room) if labelled else None
        if html is not None:
            return html
    if not has_links:
        return None
    _, fits = _parse_inline(_UNLINKED, tokens, env, room)
    return _html(tokens, env, room) if fits else None


def _without_emoji(tokens: Sequence[Token]) -> list[Token]:
    """The block tokens without emoji, and without the paragraphs and headings of nothing else."""
    shown: list[Token] = []
    is_left_out = False
    for token in tokens:
        if token.type == "inline" and not token.content.isascii():
            content = markdown_without_emoji(token.content)
            if token.meta.get(OPEN) and content != token.content:
                content = content.rstrip("*_~ ")  # marks whose text has not come; others are closed again
            is_left_out = not content and shown[-1].type in ("paragraph_open", "heading_open")
            token.content = content
            if is_left_out:
                shown.pop()
                continue
        if not is_left_out:
            shown.append(token)
        is_left_out = False
    return shown


def _parse_inline(
    markdown: MarkdownIt, tokens: Sequence[Token], env: MutableMapping[str, Any], room: int
) -> tuple[bool, bool]:
    """Parse the inline content of block tokens. Returns whether it has links, and whether it may fit into `room`
    bytes of HTML; breaks off when it cannot.
    """
    has_links = False
    ended = _ended(env)
    for token in tokens:
        if token.type == "inline":
            token.children = []
            for part, is_last in _parts(token.content):
                children = _inline(markdown, part, env if is_last and token.meta.get(OPEN) else ended)
                addresses = sum(
                    len(str(child.attrs.get("href") or child.attrs.get("src") or "")) for child in children
                )
                has_links = has_links or addresses > 0
                room -= addresses
                if room >= 0 and len(part) < len(token.content):  # keep the HTML, which is smaller than its tokens
                    content = Token("inline", "", 0, children=children)
                    html = str(_MARKDOWN.renderer.render([content], _MARKDOWN.options, env))
                    children = [Token("html_inline", "", 0, content=html)]
                    room -= len(html) - addresses
                token.children += children
                if room < 0:
                    return has_links, False
    return has_links, True


def _inline(markdown: MarkdownIt, text: str, env: MutableMapping[str, Any]) -> list[Token]:
    if not markdown.inline.terminator_re.search(text):  # it has no mark
        return [Token("text", "", 0, content=text)]
    content = Token("inline", "", 0, children=markdown.inline.parse(text, markdown, env, []))
    text_join(StateCore("", markdown, env, [content]))
    children = content.children or []
    check_links(children)
    _set_upright(children)
    return children


def _ended(env: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The environment for content that does not go on."""
    return {key: value for key, value in env.items() if key != OPEN} if env.get(OPEN) else env


def inline_text(text: str, env: MutableMapping[str, Any]) -> str:
    """The text of inline content, without its marks."""
    children = _inline(_MARKDOWN, markdown_without_emoji(text[:_MAX_INLINE]), _ended(env))
    for child in children:
        if child.type == "html_inline":  # a formula
            child.type, child.content = "text", unescape(_TAG.sub("", child.content))
    return _RENDERER.renderInlineAsText(children, _MARKDOWN.options, env)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text so that no part has more than `_MAX_INLINE` characters: at one of the last spaces where all marks
    are paired, or else at the last space. Yields each part, and whether it is the last one.
    """
    start = 0
    while len(text) - start > _MAX_INLINE:
        part = text[start : start + _MAX_INLINE]
        spaces = [match.end() for match in re.finditer(r"\s(?=\S)", part[_MAX_INLINE // 2 :])]
        ends = [_MAX_INLINE // 2 + space for space in spaces[: -_TRIED_SPACES - 1 : -1]] or [_MAX_INLINE]
        end = next((end for end in ends if _is_paired(part[:end])), ends[0])
        yield part[:end], False
        start += end
    yield text[start:], True


def _is_paired(text: str) -> bool:
    if text.count("\\(") != text.count("\\)"):
        return False
    return text.count("[") == text.count("]") and not any(text.count(mark) % 2 for mark in _PAIRS)


def _html(tokens: Sequence[Token], env: MutableMapping[str, Any], room: int) -> str | None:
    html = str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env)).rstrip("\n")
    return html if size(html) <= room else None


def _set_upright(tokens: Sequence[Token]) -> None:
    """Mark emphasis on text that cannot be set in italics. Its first letter decides: what follows may come when the
    line of that has been drawn.
    """
    undecided: list[Token] = []
    for token in tokens:
        if token.type == "em_open":
            undecided.append(token)
        elif undecided and (letter := next(filter(str.isalpha, token.content), "")):
            if not may_slant(letter):
                for opening in undecided:
                    opening.attrSet("class", "upright")
            undecided.clear()
        elif token.type == "em_close" and undecided:
            undecided.pop()


class _Markdown(MarkdownIt):
    def __init__(self) -> None:
        super().__init__("zero")
        self.inline = EmphasisParser()
        self.configure("commonmark", {"html": False, "breaks": True})

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return is_web(url)


def _fence_as_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render code without a class for its language: e-ink has no colours to highlight it. A line that may be
    wrapped is an element, so that it can be indented behind its beginning.
    """
    token = tokens[index]
    code = _LONG_CODE.sub(_code_line, escape(code_without_emoji(token.content)))
    return f"<pre{renderer.renderAttrs(token)}><code>{code}</code></pre>\n"


def _code_line(line: re.Match[str]) -> str:
    level = min(4, line[1].count("    ") + 2 * line[1].count("\t"))
    return f'<span class="in{level}">{line[0]}</span>' if level else f"<span>{line[0]}</span>"


def _heading(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render the start of a heading. The first level is the question's: those of its answer are below it. The class
    is that of all headings, see `headings.py`.
    """
    token = tokens[index]
    token.attrJoin("class", "heading")
    level = ' aria-level="2"' if token.tag == "h1" else ""
    return f"<{token.tag}{renderer.renderAttrs(token)}{level}>"


def _text(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Render a text; an emoji in it was an entity, or seemed to be in code."""
    return escapeHtml(without_emoji(tokens[index].content))


def _inline_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return f"<code>{escapeHtml(code_without_emoji(tokens[index].content))}</code>"


_BlockRule = Callable[[StateBlock, int, int, bool], bool]


def _limit_depth(rule: _BlockRule) -> _BlockRule:
    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        # With `silent` the library only asks whether the rule would end a paragraph. The limit is not for that: the
        # block that would follow is nested less deeply again.
        return (silent or state.level <= _MAX_LEVEL) and rule(state, start, end, silent)

    return limited


@keep_bars
def _table_up_to_limit(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    bars = state.src.count("|", state.bMarks[start], state.eMarks[start])
    is_rest = state.src.startswith(CONTINUED, state.bMarks[start] + state.tShift[start])
    if bars > _MAX_COLUMNS + 1 or is_rest or is_incomplete_line(state, start + 1):
        return False
    first = len(state.tokens)
    is_table = table(state, start, end, silent)
    if is_table and not silent:
        keep_all_cells(state, first)
        hold_back_row(state)
    return is_table


def _markdown() -> MarkdownIt:
    # The end of a line is the writer's (verse, an address). What has been drawn as text never becomes a heading:
    # a rule below it is a rule.
    markdown = _Markdown().enable("strikethrough")
    markdown.disable("lheading")
    ruler = markdown.block.ruler
    ruler.at("blockquote", _limit_depth(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    ruler.at("list", _limit_depth(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    # The library tries tables first and finds one in `2. a | b` or `~~~ a | b` with `-|-` below. But a table begins
    # only where a paragraph could begin (GitHub Flavored Markdown 0.29, 4.10).
    ruler.before("paragraph", "table after all else", _table_up_to_limit, {"alt": ["paragraph", "reference"]})
    add_bare_addresses(markdown)
    add_tags(markdown)
    add_footnotes(markdown)
    add_labels(markdown)
    add_definitions(markdown)
    add_formulas(markdown)
    add_open_blocks(markdown)
    add_open_marks(markdown)
    markdown.add_render_rule("heading_open", _heading)
    markdown.add_render_rule("image", image_as_link)
    markdown.add_render_rule("link_close", end_of_link)
    markdown.add_render_rule("fence", _fence_as_code)
    markdown.add_render_rule("code_block", _fence_as_code)
    markdown.add_render_rule("code_inline", _inline_code)
    markdown.add_render_rule("text", _text)
    return markdown


_MARKDOWN = _markdown()
_UNLINKED = _markdown().disable(["link", "image", "autolink", "address"])
_RENDERER = RendererHTML()
