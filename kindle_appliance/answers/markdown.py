"""The Markdown library with our rules: which blocks there are, and the HTML of each. No I/O.

A web page may have made the model write what it writes (prompt injection). So only the rules below produce HTML; a
link must lead to a plain host on the web, and shows that host unless its text does; an image becomes such a link.
What old browsers cannot work out is written on the elements: emphasis that must not be italic (class "upright"),
and for tables that are too wide for a screen the column heading of each cell (`data-label`). Tables with many
columns start with the class "stacked".
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_core import StateCore, inline, text_join
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .writing import may_slant

_MAX_COLUMNS = 20
"""A table with more columns stays plain text. The library pads short rows: 100 columns turn 16 KB into 4 MB."""

_MANY_COLUMNS = 5
"""The rows of a table with at least so many columns are stacked, until a script has measured that the columns fit
side by side."""

_LABEL_CHARACTERS = 40
"""The part of a column's heading that is repeated beside each cell: with many short rows, a long heading would make
a huge page."""

_MAX_LEVEL = 12
"""The deepest nesting of quotations (one level each) and lists (two levels each); what is nested deeper stays plain
text. The library's own limit would lose it, and after a list all the text that follows, too (version 4.3.0)."""

_ASCII = re.ASCII | re.IGNORECASE
_WEB = re.compile(r"https?://((?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?)(?=[/?#]|$)", _ASCII)
"""A web address whose host all browsers read the same way. The library has converted it to ASCII; no user name
stands before the host (`http://bank.example@evil.example`); the host has no escaped characters and is not empty."""


def parse_blocks(source: str, env: MutableMapping[str, Any]) -> list[Token]:
    """The block tokens of a text; their inline content is not parsed yet. `env`: the library's, with the references
    that are known.
    """
    tokens: list[Token] = []
    _MARKDOWN.block.parse(source, _MARKDOWN, env, tokens)
    return tokens


def render(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> str:
    """Render settled block tokens as HTML. Their inline content is parsed here, and only here."""
    state = StateCore("", _MARKDOWN, env, list(tokens))
    inline(state)
    text_join(state)
    for token in state.tokens:
        _check_links(token.children or ())
        _set_upright(token.children or ())
        style = token.attrs.pop("style", None) if token.type in ("th_open", "td_open") else None
        if isinstance(style, str):
            token.attrSet("class", style.removeprefix("text-align:"))
    html = _MARKDOWN.renderer.render(state.tokens, _MARKDOWN.options, env)
    return str(html).rstrip("\n")


def label_cells(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> None:
    """Label the cells with their columns' headings, for stacked rows; the first cell is its row's own heading."""
    table = tokens[0]
    heads: list[str] = []
    column = 0
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            table, heads = token, []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            children = _MARKDOWN.parseInline(content.content, env)[0].children
            heads.append(_RENDERER.renderInlineAsText(children, _MARKDOWN.options, env))
            if len(heads) == _MANY_COLUMNS:
                table.attrJoin("class", "stacked")
        elif token.type == "td_open":
            if column and content.content and heads[column]:
                token.attrSet("data-label", heads[column][:_LABEL_CHARACTERS])
            column += 1


def _check_links(tokens: Sequence[Token]) -> None:
    """Check each link, add its host at its end, and mark images that are inside a link.

    The check is needed for `[text]()`, whose address the library does not validate.
    """
    address: str | None = None
    opening, text = None, list[str]()
    for token in tokens:
        if token.type == "link_open":
            address, opening, text = str(token.attrs.get("href", "")), token, []
        elif token.type == "link_close" and opening is not None and address is not None:
            opening.attrs, token.meta["host"] = _link_to(address, "".join(text))
            address = None
        elif token.type == "image":
            token.meta["is in a link"] = address is not None
        text.append(token.content)


def _set_upright(tokens: Sequence[Token]) -> None:
    """Mark emphasis on text that cannot be set in italics."""
    open_emphasis: list[int] = []
    for index, token in enumerate(tokens):
        if token.type == "em_open":
            open_emphasis.append(index)
        elif token.type == "em_close" and open_emphasis:
            start = open_emphasis.pop()
            if not may_slant("".join(each.content for each in tokens[start:index])):
                tokens[start].attrSet("class", "upright")


def _is_web(url: str) -> bool:
    """Whether a link leads to a web page, and not to a script, to mail or to this appliance."""
    return _WEB.match(url) is not None


def _link_to(url: str, text: str) -> tuple[dict[str, str | int | float], str]:
    """Return the attributes of a link, and the HTML that follows its text: the host that the link leads to.

    The host is left out if the text is the address, or an address with the same host and another path. Such a text
    and the host are set from left to right: a U+202E before them would turn `bank.com` into `moc.knab`.
    `noreferrer`: the linked site need not know where the link was.
    """
    web = _WEB.match(url)
    if web is None:
        return {}, ""
    if re.fullmatch(rf"\s*(?:https?://)?{re.escape(web[1])}(?:[/?#]\S*)?\s*", text, re.IGNORECASE):
        return {"href": url, "rel": "noreferrer", "dir": "ltr"}, ""
    return {"href": url, "rel": "noreferrer"}, f' <span dir="ltr">({escape(web[1].lower())})</span>'


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return _is_web(url)


def _image_as_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render an image as a link with its text: images are not loaded."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    text = renderer.renderInlineAsText(token.children, options, env) or source
    if token.meta.get("is in a link") or not _is_web(source):
        return escape(text)
    attributes, host = _link_to(source, text)
    opening = Token("link_open", "a", 1, attrs=attributes)
    return f"<a{renderer.renderAttrs(opening)}>{escape(text)}{host}</a>"


def _end_of_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render the end of a link, after the host that it leads to."""
    return f"{tokens[index].meta.get('host', '')}</a>"


def _fence_as_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render code without a class for its language: e-ink has no colours to highlight it."""
    token = tokens[index]
    return f"<pre{renderer.renderAttrs(token)}><code>{escape(token.content)}</code></pre>\n"


_BlockRule = Callable[[StateBlock, int, int, bool], bool]


def _limit_depth(rule: _BlockRule) -> _BlockRule:
    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        # With `silent` the library only asks whether the rule would end a paragraph. The limit is not for that: the
        # block that would follow is nested less deeply again.
        return (silent or state.level <= _MAX_LEVEL) and rule(state, start, end, silent)

    return limited


def _table_up_to_limit(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    bars = state.src.count("|", state.bMarks[start], state.eMarks[start])
    return bars <= _MAX_COLUMNS + 1 and table(state, start, end, silent)


def _markdown() -> MarkdownIt:
    markdown = _Markdown("commonmark", {"html": False}).enable("strikethrough")
    ruler = markdown.block.ruler
    ruler.at("blockquote", _limit_depth(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    ruler.at("list", _limit_depth(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    # The library tries tables first and finds one in `2. a | b` or `~~~ a | b` with `-|-` below. But a table begins
    # only where a paragraph could begin (GitHub Flavored Markdown 0.29, 4.10).
    ruler.before("lheading", "table after all else", _table_up_to_limit, {"alt": ["paragraph", "reference"]})
    markdown.add_render_rule("image", _image_as_link)
    markdown.add_render_rule("link_close", _end_of_link)
    markdown.add_render_rule("fence", _fence_as_code)
    markdown.add_render_rule("code_block", _fence_as_code)
    return markdown


_MARKDOWN = _markdown()
_RENDERER = RendererHTML()
