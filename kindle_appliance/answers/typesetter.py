"""Markdown in as Gemini writes it, settled HTML blocks out. No I/O; the only module with the Markdown library.

A block is *settled* when nothing that may follow can change it: it is rendered once, raw HTML disabled, and
never touched again, so that what is being read does not move. The library decides where blocks end, not a cutter
of ours: the open part of the text is parsed after each line, and every top-level block but the last is settled.
Three kinds of block may grow without an end and would hang back; they settle piece by piece: lists by the item and
by what stands inside an item, fences and tables by `PIECE_LINES`. A piece that goes on with the one before it, and
an item that goes on with the one before it, has the class "on".

What only the whole text can tell is written on the blocks, because old browsers cannot find it out: the direction,
the language whose glyphs East Asian text wants, emphasis that must not slant (class "upright"), and for tables too
wide for a screen the heading of each cell (`data-label`); those of many columns begin as class "stacked".

What Gemini writes may be what some page told it to. So nothing of it becomes HTML but what the rules below write; a
link leads to a plain host of the web, and shows which unless its text does; an image is such a link.

All decisions are made at line ends and depend on the text only, so any chunking gives the same blocks and the
same offsets, also when an answer is typeset again after a restart. A long open part is parsed only when it has
grown by a quarter, which keeps the cost linear.

Known differences from rendering the whole text at once, all accepted: a link reference that is defined further
down stays unresolved, and a list item does not know whether its list turns out loose (the style sheet makes tight
and loose look alike).
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_core import StateCore, inline, text_join
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from .writing import east_asian_language, is_right_to_left, may_slant

PIECE_LINES = 16
"""Lines of a fence, or rows of a table, that settle together."""

_SMALL = 400
"""Characters up to which the open part is parsed after every line: most paragraphs. Lines of one character each
make 2,048 ten times as slow."""

_MAX_COLUMNS = 20
"""Of a table: a wider one stays text. The library fills short rows up, so 100 columns turn 16 KB into 4 MB."""

_MANY_COLUMNS = 5
"""Of a table: from here on its rows are stacked until a script has measured that they fit side by side."""

_LABEL_CHARACTERS = 40
"""Of a column's heading, beside each cell: a long one would make a huge page of many short rows."""

_MAX_LEVEL = 12
"""Of nested quotations (one level each) and lists (two): what lies deeper stays text. The library's own limit would
lose it, and behind a list all that follows too (4.3.0)."""

_GROWTH = 1.25
"""How much a larger open part must have grown before it is parsed again."""


class Block(NamedTuple):
    """A settled block: its HTML, and the offset in the raw text (in characters) up to which all is settled."""

    html: str
    upto: int


@dataclass(frozen=True)
class _Unfinished:
    """What the open part is inside of: the lines that open it, repeated before each parse.

    For a list, `number` is that of the first item in the open part. If that item has begun before, a placeholder
    opens it (`in_item`); if a list inside it has begun before too (`in_inner`), its next item has `inner_number`.
    """

    opening: tuple[str, ...] = ()
    number: int | None = None
    in_item: bool = False
    in_inner: bool = False
    inner_number: int | None = None


class Typesetter:
    """Sets one answer. `blocks` holds all that has settled so far."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._partial: list[str] = []  # the line whose end has not come yet
        self._lines: list[str] = []  # complete lines that have not settled
        self._size = 0  # their characters
        self._parsed_size = 0  # of the open part when it was last parsed
        self._kind = ""  # of the last block of the open part when it was last parsed
        self._offset = 0  # where the open part begins in the raw text
        self._unfinished: _Unfinished | None = None
        self._is_rtl: bool | None = None  # the block that settles piece by piece, once a letter has told
        self._language: str | None = None  # of the last East Asian piece
        self._references: dict[str, Any] = {}  # of settled link reference definitions

    def feed(self, text: str) -> list[Block]:
        """Take the next piece of the text, cut anywhere; returns the blocks that it settles (often none)."""
        count = len(self.blocks)
        start = 0
        # Only "\n" ends a line: splitlines() would also cut at U+2028, form feeds and the like.
        while (end := text.find("\n", start)) >= 0:
            self._partial.append(text[start : end + 1])
            self._take_line()
            start = end + 1
        if start < len(text):
            self._partial.append(text[start:])
        return self.blocks[count:]

    def close(self) -> list[Block]:
        """The text has ended: the blocks of all that is left. The last block ends where the text ends."""
        count = len(self.blocks)
        if self._partial:
            self._add_line()
        if self._lines:
            self._settle(at_end=True)
        return self.blocks[count:]

    def _take_line(self) -> None:
        self._add_line()
        has_grown = self._size <= _SMALL or self._size >= self._parsed_size * _GROWTH
        if has_grown or _may_end(self._kind, self._lines[-1]):
            self._settle(at_end=False)
            self._parsed_size = self._size

    def _add_line(self) -> None:
        line = "".join(self._partial)
        self._partial.clear()
        self._lines.append(line)
        self._size += len(line)

    def _settle(self, *, at_end: bool) -> None:
        """Parse the open part and settle what can be settled of it."""
        opening = self._unfinished.opening if self._unfinished else ()
        source = "".join(_for_parser(line) for line in (*opening, *self._lines))
        fresh: dict[str, Any] = {}
        env: MutableMapping[str, Any] = {"references": ChainMap(fresh, self._references)}
        tokens: list[Token] = []
        _MARKDOWN.block.parse(source, _MARKDOWN, env, tokens)
        tops = list(_top_level(tokens))
        setting = _Setting(self, env, len(opening))
        for number, top in enumerate(tops):
            begin = tops[number + 1][0].map if number + 1 < len(tops) else None
            if begin is not None:
                setting.whole(top, begin[0])
            elif at_end:
                setting.whole(top, len(opening) + len(self._lines))
            elif _is_closed(top, self._lines[-1]):
                # Behind a heading, a rule or a fence a definition may have begun, which makes no token.
                ends_blank = top[0].type in ("paragraph_open", "table_open")
                setting.whole(top, len(opening) + len(self._lines) if ends_blank else _lines(top[0])[1])
            else:
                setting.piecewise(top, self._lines)
        self._kind = tops[-1][0].type if tops else ""
        if at_end and setting.settled_lines < len(self._lines):  # blank lines, or definitions only
            setting.add("", len(self._lines))
        self._advance(setting, fresh, len(opening))

    def _advance(self, setting: _Setting, fresh: dict[str, Any], opening: int) -> None:
        if not setting.settled_lines:
            return
        for label, reference in fresh.items():
            if reference["map"][1] - opening <= setting.settled_lines:
                self._references.setdefault(label, reference)
        del self._lines[: setting.settled_lines]
        self._size = sum(map(len, self._lines))
        self._unfinished = setting.unfinished


_LISTS = ("bullet_list_open", "ordered_list_open")


class _Setting:
    """One pass over the parsed open part. Line numbers are the parser's; `opening` lines stand before ours."""

    def __init__(self, typesetter: Typesetter, env: MutableMapping[str, Any], opening: int) -> None:
        self.settled_lines = 0
        self.unfinished = typesetter._unfinished
        self._typesetter = typesetter
        self._env = env
        self._opening = opening

    def add(self, html: str, lines: int) -> None:
        """Settle everything before our line number `lines` with `html` as its last piece."""
        raw = self._typesetter._lines[self.settled_lines : lines]
        self._typesetter._offset += sum(map(len, raw))
        self._typesetter.blocks.append(Block(html, self._typesetter._offset))
        self.settled_lines = lines

    def whole(self, top: Sequence[Token], until: int) -> None:
        """A block that is complete; the next one begins at line `until`."""
        goes_on, self.unfinished = self.unfinished, None
        until = max(until - self._opening, 0)
        self.add(self._render(top, goes_on), until)

    def piecewise(self, top: Sequence[Token], lines: Sequence[str]) -> None:
        """The last block, which may grow: what of it can no longer change."""
        first = top[0]
        if first.type in _LISTS:
            self._list_pieces(top, lines)
        elif first.type == "fence":
            self._fence_pieces(first, lines)
        elif first.type == "table_open":
            self._table_pieces(top, lines)

    def _list_pieces(self, top: Sequence[Token], lines: Sequence[str]) -> None:
        items = list(_children(top, "list_item_open"))
        number = _first_number(top[0], self.unfinished.number if self.unfinished else None)
        for item, following in pairwise(items):
            html = self._render([top[0], *item, top[-1]], self.unfinished)
            number = None if number is None else number + 1
            self.unfinished = _Unfinished(number=number)
            self.add(html, _line(following[0]) - self._opening)
        self._item_pieces(top, items[-1], number, lines)

    def _item_pieces(
        self, top: Sequence[Token], item: Sequence[Token], number: int | None, lines: Sequence[str]
    ) -> None:
        """The last item of a list: all that stands in it but its last block; of a list, all but its last item."""
        goes_on = self.unfinished if self.unfinished and self.unfinished.in_item else None
        opening = goes_on.opening if goes_on else _placeholder(lines[_line(item[0]) - self._opening])
        children = list(_top_level(item[1:-1], level=2))
        begun = 1 if goes_on else 0  # children that are on the page already: the placeholder
        if opening is None or len(children) <= begun:
            return
        last = children[-1]
        inner: list[Sequence[Token]] = []
        inner_number = None
        if last[0].type in _LISTS:
            inner = list(_children(last, "list_item_open", 3))
            is_begun = goes_on is not None and goes_on.in_inner and len(children) == begun + 1
            inner_number = _first_number(last[0], goes_on.inner_number if goes_on and is_begun else None)
        settled = [token for child in children[:-1] for token in child]
        if len(inner) > 1:
            settled += [last[0], *(token for each in inner[:-1] for token in each), last[-1]]
        elif len(children) == begun + 1:
            return
        html = self._render([top[0], item[0], *settled, item[-1], top[-1]], self.unfinished)
        rest = inner[-1] if len(inner) > 1 else last
        if inner_number is not None:
            inner_number += len(inner) - 1
        self.unfinished = _Unfinished(opening, number, True, len(inner) > 1, inner_number)
        self.add(html, _line(rest[0]) - self._opening)

    def _fence_pieces(self, block: Token, lines: Sequence[str]) -> None:
        content = block.content.split("\n")[:-1]
        opening = self.unfinished.opening if self.unfinished else (lines[_line(block) - self._opening],)
        content_line = _line(block) + 1 - self._opening
        while len(content) > PIECE_LINES:
            piece = copy(block)
            piece.content = "\n".join(content[:PIECE_LINES]) + "\n"
            del content[:PIECE_LINES]
            content_line += PIECE_LINES
            html = self._render([piece], self.unfinished)
            self.unfinished = _Unfinished(opening)
            self.add(html, content_line)

    def _table_pieces(self, top: Sequence[Token], lines: Sequence[str]) -> None:
        rows = [row for row in _children(top, "tr_open", 2) if _line(row[0]) >= _line(top[0]) + 2]
        at = _line(top[0]) - self._opening
        opening = self.unfinished.opening if self.unfinished else (lines[at], lines[at + 1])
        while len(rows) > PIECE_LINES:
            piece = [token for row in rows[:PIECE_LINES] for token in row]
            end = _line(rows[PIECE_LINES][0]) - self._opening
            del rows[:PIECE_LINES]
            body = next(i for i, token in enumerate(top) if token.type == "tbody_open")
            whole = [*top[: body + 1], *piece, *top[-2:]]
            html = self._render(whole, self.unfinished)
            self.unfinished = _Unfinished(opening)
            self.add(html, end)

    def _render(self, top: Sequence[Token], goes_on: _Unfinished | None) -> str:
        """A piece as HTML, in the direction of the first piece of its block that has any."""
        _label_cells(top, self._env)
        piece = _continued(top, goes_on)
        text = "".join(token.content for token in piece if token.type == "inline")
        carried_on = self._typesetter._is_rtl if goes_on else None
        self._typesetter._is_rtl = is_rtl = is_right_to_left(text) if carried_on is None else carried_on
        language = east_asian_language(text, self._typesetter._language)
        self._typesetter._language = language or self._typesetter._language
        if is_rtl:
            piece[0].attrSet("dir", "rtl")
        if language:
            piece[0].attrSet("lang", language)
        return _render(piece, self._env)


def _for_parser(line: str) -> str:
    """A line as the library is to see it: one line, whatever is in it, so that its line numbers are ours."""
    end = "\n" if line.endswith("\n") else ""
    return line.removesuffix("\n").removesuffix("\r").replace("\r", " ").replace("\0", "\ufffd") + end


def _label_cells(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> None:
    """Give each cell the heading of its column, for rows that are stacked; the first one heads its row itself."""
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


def _render(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> str:
    """Settled block tokens as HTML: their inline content is parsed now, once."""
    state = StateCore("", _MARKDOWN, env, list(tokens))
    inline(state)
    text_join(state)
    for token in state.tokens:
        _mend_links(token.children or ())
        _set_upright(token.children or ())
        style = token.attrs.pop("style", None) if token.type in ("th_open", "td_open") else None
        if isinstance(style, str):
            token.attrSet("class", style.removeprefix("text-align:"))
    html = _MARKDOWN.renderer.render(state.tokens, _MARKDOWN.options, env)
    return str(html).rstrip("\n")


def _mend_links(tokens: Sequence[Token]) -> None:
    """Take the address from `[text]()`, which the library does not validate, say at the end of each link where it
    leads, and tell images that are in a link.
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
    """Mark emphasis on what must not slant."""
    begun: list[int] = []
    for index, token in enumerate(tokens):
        if token.type == "em_open":
            begun.append(index)
        elif token.type == "em_close" and begun:
            start = begun.pop()
            if not may_slant("".join(each.content for each in tokens[start:index])):
                tokens[start].attrSet("class", "upright")


def _top_level(tokens: Sequence[Token], level: int = 0) -> Iterator[Sequence[Token]]:
    """The tokens of each block at `level`."""
    start = 0
    for index, token in enumerate(tokens):
        if token.level == level and token.nesting <= 0:
            yield tokens[start : index + 1]
            start = index + 1


def _children(top: Sequence[Token], kind: str, level: int = 1) -> Iterator[Sequence[Token]]:
    """The tokens of each `kind` directly inside `top`."""
    start = 0
    for index, token in enumerate(top):
        if token.level != level:
            continue
        if token.type == kind:
            start = index
        elif token.nesting < 0 and top[start].type == kind:
            yield top[start : index + 1]


def _may_end(kind: str, line: str) -> bool:
    """Whether this line is likely to end a block of this kind, so that it can settle at once."""
    if kind == "fence":
        return line.lstrip().startswith(("```", "~~~"))
    return kind in ("paragraph_open", "table_open") and _is_blank(line)


def _is_blank(line: str) -> bool:
    return not line.strip(" \t\r\n")


def _is_closed(top: Sequence[Token], last_line: str) -> bool:
    """Whether a last block is known to be complete already."""
    first = top[0]
    if first.type in ("heading_open", "hr"):
        return True
    if first.type in ("paragraph_open", "table_open"):
        return _is_blank(last_line)
    if first.type == "fence" and first.map:  # its closing line has no part in its content
        return first.map[1] - first.map[0] - 1 > first.content.count("\n")
    return False


def _continued(top: Sequence[Token], goes_on: _Unfinished | None) -> list[Token]:
    """The block as one that goes on with the piece before it, if there is one: no second table head, numbers
    carried on, and nothing of what only opened it for the parser.
    """
    if goes_on is None:
        return list(top)
    rest = list(top[1:])
    if top[0].type == "table_open":
        rest = rest[next(i for i, token in enumerate(rest) if token.type == "thead_close") + 1 :]
    if goes_on.in_item:
        item, rest = rest[0], rest[4:]  # without the three tokens of the placeholder
        if goes_on.in_inner:
            rest[0] = _on(rest[0], goes_on.inner_number)
        rest.insert(0, _on(item, None))
    return [_on(top[0], goes_on.number), *rest]


def _on(token: Token, number: int | None) -> Token:
    token = copy(token)
    token.attrs = dict(token.attrs)
    token.attrJoin("class", "on")
    if number is not None:
        token.attrs["start"] = number
    return token


def _placeholder(line: str) -> tuple[str, str] | None:
    """Lines that open an item like the one that begins with `line`; None if its indentation is by tabs.

    CommonMark 0.31, 5.2: content begins 1 to 4 spaces behind the marker, else one. The blank line behind the
    placeholder lets any block follow; a list that does not begin with 1 could not interrupt a paragraph.
    """
    match = re.match(r"( {0,3}(?:[-*+]|\d{1,9}[.)]))( {1,4}(?=[^ \t\n])|(?= {5}| *\n))", line)
    return (match[1] + (match[2] or " ") + "x\n", "\n") if match else None


def _first_number(opening: Token, carried_on: int | None) -> int | None:
    if opening.type != "ordered_list_open":
        return None
    return int(opening.attrs.get("start", 1)) if carried_on is None else carried_on


def _line(token: Token) -> int:
    return _lines(token)[0]


def _lines(token: Token) -> list[int]:
    if token.map is None:
        raise ValueError(f"the library gave {token.type} no lines")
    return token.map


_ASCII = re.ASCII | re.IGNORECASE
_WEB = re.compile(r"https?://((?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?)(?=[/?#]|$)", _ASCII)
"""An address on the web whose host every browser reads alike: the library has made ASCII of it, no name stands
before it (`http://bank.example@evil.example`), nothing in it is quoted or missing."""


def _is_web(url: str) -> bool:
    """Whether a link leads to the web: not to a script, to mail, or to this appliance."""
    return _WEB.match(url) is not None


def _link_to(url: str, text: str) -> tuple[dict[str, str | int | float], str]:
    """The attributes of a link, and what is to stand behind its text, as HTML: the host that it leads to, unless
    the text is its address, or has its host and another path. That one runs from left to right, whatever stands
    before it: U+202E would make `moc.knab` of `bank.com`. The other end need not know where the link was.
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
    """Images are not loaded: their text stands instead, linked."""
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
    """The end of a link, behind the host that it leads to."""
    return f"{tokens[index].meta.get('host', '')}</a>"


def _fence_as_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Code without a class for its language: nobody colours it on e-ink."""
    token = tokens[index]
    return f"<pre{renderer.renderAttrs(token)}><code>{escape(token.content)}</code></pre>\n"


_BlockRule = Callable[[StateBlock, int, int, bool], bool]


def _unless_deep(rule: _BlockRule) -> _BlockRule:
    def limited(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        # Asked silently, whether it would end a paragraph, it always may: what follows lies less deep again.
        return (silent or state.level <= _MAX_LEVEL) and rule(state, start, end, silent)

    return limited


def _table_unless_wide(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    bars = state.src.count("|", state.bMarks[start], state.eMarks[start])
    return bars <= _MAX_COLUMNS + 1 and table(state, start, end, silent)


def _markdown() -> MarkdownIt:
    markdown = _Markdown("commonmark", {"html": False}).enable("strikethrough")
    ruler = markdown.block.ruler
    ruler.at("blockquote", _unless_deep(blockquote), {"alt": ["paragraph", "reference", "blockquote", "list"]})
    ruler.at("list", _unless_deep(list_block), {"alt": ["paragraph", "reference", "blockquote"]})
    # The library looks for tables first, and finds one in `2. a | b` or `~~~ a | b` with `-|-` below. A table
    # begins where a paragraph would (GitHub Flavored Markdown 0.29, 4.10).
    ruler.before("lheading", "table after all else", _table_unless_wide, {"alt": ["paragraph", "reference"]})
    markdown.add_render_rule("image", _image_as_link)
    markdown.add_render_rule("link_close", _end_of_link)
    markdown.add_render_rule("fence", _fence_as_code)
    markdown.add_render_rule("code_block", _fence_as_code)
    return markdown


_MARKDOWN = _markdown()
_RENDERER = RendererHTML()
