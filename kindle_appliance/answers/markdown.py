"""The Markdown library with our rules: which blocks there are, and the HTML of each. No I/O.

A web page may have made the model write what it writes (prompt injection). So only the rules below produce HTML; a
link must lead to a plain host on the web, and shows that host unless its text does; an image becomes such a link.
What old browsers cannot work out is written on the elements: emphasis that must not be italic (class "upright"),
and for tables that are too wide for a screen the column heading of each cell (`data-label`). Tables with many
columns start with the class "stacked".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_core import StateCore, text_join
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .budget import size
from .writing import may_slant

_MAX_COLUMNS = 20
"""A table with more columns stays plain text. The library pads short rows: 100 columns turn 16 KB into 4 MB."""

_DELIMITERS = {"": "-", "text-align:left": ":-", "text-align:center": ":-:", "text-align:right": "-:"}

_MANY_COLUMNS = 5
"""The rows of a table with at least so many columns are stacked, until a script has measured that the columns fit
side by side."""

_LABEL_CHARACTERS = 40
"""The part of a column's heading that is repeated beside each cell: with many short rows, a long heading would make
a huge page."""

_MAX_LEVEL = 12
"""The deepest nesting of quotations (one level each) and lists (two levels each); what is nested deeper stays plain
text. The library's own limit would lose it, and after a list all the text that follows, too (version 4.3.0)."""

_MAX_ADDRESS = 2000
"""The characters of an address, as the library has converted it. What is longer is no link; its text stays."""

_MAX_INLINE = 4000
"""The characters of a text that are parsed for emphasis, links and code together. A longer text is parsed in parts:
the library's time may grow with the square of a text that does not pair its marks, and nothing hints at the pair of
a mark that is so far away."""

_TRIED_SPACES = 40
"""The spaces that are tried as the end of such a part."""

_PAIRS = ("*", "**", "_", "__", "~~", "`")
"""Marks that stand before and after a part of a text."""

_ASCII = re.ASCII | re.IGNORECASE
_WEB = re.compile(r"https?://((?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?)(?=[/?#]|$)", _ASCII)
"""A web address whose host all browsers read the same way. The library has converted it to ASCII; no user name
stands before the host (`http://bank.example@evil.example`); the host has no escaped characters and is not empty."""

_SCHEME = re.compile(r"\Ahttps?://", _ASCII)
_SPACE = re.compile(r"\s")


def parse_blocks(source: str, env: MutableMapping[str, Any]) -> list[Token]:
    """The block tokens of a text; their inline content is not parsed yet. `env`: the library's, with the references
    that are known.
    """
    tokens: list[Token] = []
    _MARKDOWN.block.parse(source, _MARKDOWN, env, tokens)
    return tokens


def render(tokens: Sequence[Token], env: MutableMapping[str, Any], room: int) -> str | None:
    """Render settled block tokens as HTML of at most `room` bytes; None if that is impossible.

    Their inline content is parsed here, and only here. What does not fit into the room is rendered again, first
    without the labels of cells, then with its links as they were written.
    """
    has_links, fits = _parse_inline(_MARKDOWN, tokens, env, room)
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


def _parse_inline(
    markdown: MarkdownIt, tokens: Sequence[Token], env: MutableMapping[str, Any], room: int
) -> tuple[bool, bool]:
    """Parse the inline content of block tokens. Returns whether it has links, and whether it may fit into `room`
    bytes of HTML; breaks off when it cannot.
    """
    has_links = False
    for token in tokens:
        if token.type == "inline":
            token.children = []
            for part in _parts(token.content):
                children = _inline(markdown, part, env)
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
    _check_links(children)
    _set_upright(children)
    return children


def _parts(text: str) -> Iterator[str]:
    """Cut a text so that no part has more than `_MAX_INLINE` characters: at one of the last spaces where all marks
    are paired, or else at the last space.
    """
    start = 0
    while len(text) - start > _MAX_INLINE:
        part = text[start : start + _MAX_INLINE]
        spaces = [match.end() for match in re.finditer(r"\s(?=\S)", part[_MAX_INLINE // 2 :])]
        ends = [_MAX_INLINE // 2 + space for space in spaces[: -_TRIED_SPACES - 1 : -1]] or [_MAX_INLINE]
        end = next((end for end in ends if _is_paired(part[:end])), ends[0])
        yield part[:end]
        start += end
    yield text[start:]


def _is_paired(text: str) -> bool:
    return text.count("[") == text.count("]") and not any(text.count(mark) % 2 for mark in _PAIRS)


def _html(tokens: Sequence[Token], env: MutableMapping[str, Any], room: int) -> str | None:
    html = str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env)).rstrip("\n")
    return html if size(html) <= room else None


def prepare_tables(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> None:
    """Align the cells of tables by class, and label them with their columns' headings, for stacked rows; the first
    cell is its row's own heading.
    """
    if not any(token.type == "table_open" for token in tokens):
        return
    table = tokens[0]
    labels: list[str] = []
    column = 0
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            table, labels = token, []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            labels.append(_label(content.content, env))
            if len(labels) == _MANY_COLUMNS:
                table.attrJoin("class", "stacked")
        elif token.type == "td_open":
            if column and content.content and labels[column]:
                token.attrSet("data-label", labels[column])
            column += 1
        if "style" in token.attrs:
            token.attrSet("class", str(token.attrs.pop("style")).removeprefix("text-align:"))


def _label(heading: str, env: MutableMapping[str, Any]) -> str:
    children = _inline(_MARKDOWN, heading[:_MAX_INLINE], env)
    return _RENDERER.renderInlineAsText(children, _MARKDOWN.options, env)[:_LABEL_CHARACTERS].strip()


def short_head(table: Sequence[Token], env: MutableMapping[str, Any]) -> tuple[str, str]:
    """Two lines that begin a table with the columns and labels of this one, however long its head is."""
    row, delimiters = "|", "|"
    for token, content in pairwise(table):
        if token.type == "th_open":
            row += re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _label(content.content, env)) + " |"
            delimiters += _DELIMITERS[str(token.attrs.get("style", ""))] + "|"
    return row + "\n", delimiters + "\n"


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
    open_emphasis: list[tuple[Token, int]] = []
    upright_count = 0
    if not any(token.type == "em_open" for token in tokens):
        return
    for token in tokens:
        upright_count += not may_slant(token.content)
        if token.type == "em_open":
            open_emphasis.append((token, upright_count))
        elif token.type == "em_close" and open_emphasis:
            opening, count_before = open_emphasis.pop()
            if upright_count > count_before:
                opening.attrSet("class", "upright")


def _is_web(url: str) -> bool:
    """Whether a link leads to a web page, and not to a script, to mail or to this appliance."""
    return len(url) <= _MAX_ADDRESS and _WEB.match(url) is not None


def _link_to(url: str, text: str) -> tuple[dict[str, str | int | float], str]:
    """Return the attributes of a link, and the HTML that follows its text: the host that the link leads to.

    The host is left out if the text is the address, or an address with the same host and another path. Such a text
    and the host are set from left to right: a U+202E before them would turn `bank.com` into `moc.knab`.
    `noreferrer`: the linked site need not know where the link was.
    """
    web = _WEB.match(url)
    if web is None or not _is_web(url):
        return {}, ""
    host = web[1].lower()
    shown = _SCHEME.sub("", text.strip())
    path = shown[len(host) :]
    if shown[: len(host)].lower() == host and (not path or path[0] in "/?#") and not _SPACE.search(path):
        return {"href": url, "rel": "noreferrer", "dir": "ltr"}, ""
    return {"href": url, "rel": "noreferrer"}, f' <span dir="ltr">({escape(host)})</span>'


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
_UNLINKED = _markdown().disable(["link", "image", "autolink"])
_RENDERER = RendererHTML()
