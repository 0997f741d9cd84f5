"""An open block in pieces: what has settled of it, and how the rest of its text continues it. No I/O.

Lists, items, quotations, fences, tables and paragraphs can grow without limit. All that stands before the last
paragraph, the last `PIECE_LINES` of a fence or a table, and so on, inside them is a piece that can no longer
change. The rest is parsed by itself: the lines of the *opening*, put before it, make the library see it inside the
same containers. What continues a container, fence, table or paragraph has the class "on". Only the rest of a
paragraph that was cut behind a sentence looks like a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from markdown_it.token import Token

from ..markdown.library import CONTINUED
from ..markdown.tables import short_head
from .fence import OpenFence

PIECE_LINES = 16
"""The number of lines of a fence, or rows of a table, that settle together."""

MANY_TOKENS = 20_000
"""An open block of so many tokens, about 10 MB, settles although it has not ended, if it cannot be split. That
takes a quotation that goes on behind more than three spaces, which only this library accepts."""

_MAX_EMPTY_CELLS = 20_000
"""A table ends behind so many empty cells; further rows are text. The library itself ends one behind 65,536 cells
that it has added to short rows, which take it three seconds."""

_FEW_CONTAINERS = 3
"""A list inside an item settles by its items. What is nested more deeply settles only when the open part has more
than `_MANY_LINES` lines: each piece repeats all its containers."""

_MANY_LINES = 48

_LISTS = ("bullet_list_open", "ordered_list_open")
CONTAINERS = (*_LISTS, "list_item_open", "blockquote_open")

_PLACEHOLDER = 3  # the tokens of a placeholder: a heading, its text and its end

_MARKER = re.compile(r"( {0,3}(?:[-*+]|\d{1,9}[.)]))( {1,4}(?=[^ \n])|(?= {5}| *(?:\n|$)))")
"""The start of an item. CommonMark 0.31, 5.2: its content begins 1 to 4 spaces after the marker, or else one."""

_QUOTE = re.compile(" {0,3}> ?")  # the library also goes on with a quotation after more spaces


class Level(NamedTuple):
    """A container that the open part continues; `number`: of the first item in the open part, if it is a list."""

    kind: str
    number: int


@dataclass(frozen=True)
class Continuation:
    """What the open part continues: the containers from the outermost on, and whether also a fence, a table or a
    paragraph inside.

    The lines of the `opening` have a placeholder for each of the items; `start` stands before the rest of a line.
    `empty_cells`: of a table, so far. `is_new`: the rest of a paragraph is shown as a new one.
    """

    levels: tuple[Level, ...]
    has_leaf: bool
    opening: tuple[str, ...]
    start: str = ""
    empty_cells: int = 0
    is_new: bool = False

    @property
    def is_inside(self) -> bool:
        """Whether the open part goes on inside something, and not with the next item of a list."""
        return len(self.levels) != 1 or self.has_leaf or self.levels[0].kind not in _LISTS

    def mark(self, tokens: Sequence[Token]) -> list[Token] | None:
        """The tokens of the open part as a continuation, without those that come from the opening: placeholders,
        and the head of a table. None if the library has not seen the containers again. Nothing is left if the
        paragraph that they continue has ended where its last piece has.
        """
        marked = []
        at = 0
        for level in self.levels:
            if at >= len(tokens) or tokens[at].type != level.kind:
                return None
            marked.append(_marked(tokens[at], level.number))
            at += _length(level)
        if self.has_leaf:
            if at >= len(tokens) or tokens[at].type not in ("fence", "table_open", "paragraph_open"):
                return None
            if tokens[at].type == "paragraph_open":
                return self._mark_paragraph(marked, tokens[at:])
            marked.append(_marked(tokens[at]))
            if tokens[at].type == "table_open":
                at = next(i for i in range(at, len(tokens)) if tokens[i].type == "thead_close")
            at += 1
        return [*marked, *tokens[at:]]

    def _mark_paragraph(self, containers: Sequence[Token], tokens: Sequence[Token]) -> list[Token] | None:
        opening, content, *others = tokens
        if not content.content.startswith(CONTINUED):
            return None
        content = copied(content)
        content.content = content.content.removeprefix(CONTINUED).lstrip(" \t\n")
        if content.content:
            return [*containers, opening if self.is_new else _marked(opening), content, *others]
        return [*containers, *others[1:]] if any(token.nesting >= 0 for token in others[1:]) else []

    def begins(self) -> list[int]:
        """For each of the containers, the index of its first token that does not come from the opening, once more
        for what is inside the innermost one.
        """
        return list(accumulate((_length(level) for level in self.levels), initial=0))


class Piece(NamedTuple):
    """The tokens of a piece, the library's line at which the rest begins, and what that continues, if anything."""

    tokens: Sequence[Token]
    end: int
    rest: Continuation | None


def top_level(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the tokens of each block that is in no other."""
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[start : index + 1]
            start = index + 1


def leaf_type(block: Sequence[Token]) -> str:
    """The type of the last block inside a block."""
    return next(token.type for token in reversed(block) if token.nesting >= 0 and token.type != "inline")


def closed_at(block: Sequence[Token], lines: Sequence[str]) -> int | None:
    """The line at which the last block ends, if it is complete although no other block follows."""
    first = block[0]
    if first.map is None:
        return None
    if first.type in ("paragraph_open", "footnote_open", "dl_open", "table_open"):
        return len(lines) if not lines[-1].strip(" \t\n") else None
    # After these a link definition may have begun, for which there is no token.
    is_closed = first.type in ("heading_open", "hr", "formula") or (
        first.type == "fence" and _is_closed_fence(first)
    )
    return first.map[1] if is_closed else None


def complete_items(block: Sequence[Token], continued: Continuation | None) -> Iterator[Piece]:
    """The items of a list but the last, each as a piece. `continued`: what the block continues."""
    if block[0].type not in _LISTS:
        return
    items = [index for index, token in enumerate(block) if token.type == "list_item_open" and token.level == 1]
    number = continued.levels[0].number if continued and continued.levels else _number(block[0])
    for item, following in pairwise(items):
        number += 1
        rest = Continuation((Level(block[0].type, number),), False, ())
        yield Piece([block[0], *block[item:following], block[-1]], first_line(block[following]), rest)


def last_item(block: Sequence[Token]) -> Sequence[Token]:
    """A list with its last item only; any other block as it is."""
    if block[0].type not in _LISTS:
        return block
    last = max(index for index, token in enumerate(block) if token.type == "list_item_open" and token.level == 1)
    return [block[0], *block[last:]]


def split(
    block: Sequence[Token], lines: Sequence[str], continued: Continuation | None, env: MutableMapping[str, Any]
) -> Piece | None:
    """Split an open block after all that can no longer change; None if nothing has settled.

    `lines`: what the block was parsed from. `continued`: what the block continues.
    """
    if block[0].type not in (*CONTAINERS, "fence", "table_open"):
        return None
    path = _open_path(block)
    begins = continued.begins() if continued else [0]
    leaf = block[path[-1] : len(block) - len(path) + 1]
    is_on = continued is not None and continued.has_leaf and path[-1] == begins[-1]
    part = _first_lines(leaf)
    place = _place(block, path[:-1], lines, part[1]) if part else None
    opening = _leaf_opening(place, leaf, lines, env) if place else None
    if part and place and opening:
        tokens, end = part
        empty = sum(token.type == "inline" and not token.content for token in tokens)
        empty += continued.empty_cells if continued and is_on else 0
        goes_on = empty <= _MAX_EMPTY_CELLS
        levels = _levels(block, path, begins, continued)
        rest = Continuation(levels, goes_on, (*place.opening, *(opening if goes_on else ())), empty_cells=empty)
        piece = [*block[: path[-1]], *tokens, *_closing(block, len(path) - 1)]
        return Piece(piece, end, rest if levels or goes_on else None)
    deepest = len(path) if len(lines) > _MANY_LINES else _FEW_CONTAINERS
    for depth in range(min(deepest, len(path) - 1) - 1, -1, -1):
        inside = path[depth] + 1
        if continued and depth < len(continued.levels) and path[depth] == begins[depth]:
            inside = begins[depth + 1]
        begun = path[: depth + 1]
        cut = path[depth + 1]
        place = _place(block, begun, lines, first_line(block[cut])) if cut > inside else None
        if place:
            rest = Continuation(_levels(block, path[: depth + 2], begins, continued), False, tuple(place.opening))
            return Piece([*block[:cut], *_closing(block, len(begun))], first_line(block[cut]), rest)
    return None


def cut(block: Sequence[Token], lines: Sequence[str], continued: Continuation | None, is_new: bool) -> Piece | None:
    """An open block up to the end of the lines, which is the place where its last paragraph is cut; None if the
    containers around that are not clear. `is_new`: the rest is shown as a new paragraph.
    """
    path = _open_path(block)
    place = _place(block, path[:-1], lines, first_line(block[path[-1]]))
    if place is None:
        return None
    start = place.prefix + CONTINUED
    levels = _levels(block, path, continued.begins() if continued else [0], continued)
    if lines[-1].endswith("\n"):
        block = _without_break(block, path[-1] + 1)
        rest = Continuation(levels, True, (*place.opening, start + "\n"), is_new=is_new)
    else:
        rest = Continuation(levels, True, tuple(place.opening), start, is_new=is_new)
    return Piece(block, len(lines), rest)


def _without_break(block: Sequence[Token], at: int) -> Sequence[Token]:
    """The block without the backslash that ends the paragraph at a token: a line follows, so it breaks the line."""
    content = block[at].content
    if (len(content) - len(content.rstrip("\\"))) % 2 == 0:
        return block
    paragraph = copied(block[at])
    paragraph.content = content[:-1]
    return [*block[:at], paragraph, *block[at + 1 :]]


def open_paragraph(block: Sequence[Token], lines: Sequence[str]) -> tuple[int, str] | None:
    """The first line, and the content, of the paragraph with which the lines end; None if they end with another
    block.
    """
    at = _open_path(block)[-1]
    if block[at].type != "paragraph_open" or (block[at].map or [0, 0])[1] < len(lines):
        return None
    return first_line(block[at]), block[at + 1].content.removeprefix(CONTINUED)


def _open_path(block: Sequence[Token]) -> list[int]:
    """The indices of the containers that are open at the end of the block, and of the last block inside them."""
    path = [0]
    while block[path[-1]].type in CONTAINERS:
        level = block[path[-1]].level + 1
        inside = range(len(block) - 1, path[-1], -1)
        last = next((index for index in inside if block[index].level == level and block[index].nesting >= 0), None)
        if last is None:
            break
        path.append(last)
    return path


def _first_lines(leaf: Sequence[Token]) -> tuple[list[Token], int] | None:
    """The tokens of the lines of a fence or table that settle, and the library's line after them."""
    if leaf[0].type == "fence":
        content = leaf[0].content.split("\n")[:-1]
        count = (len(content) - 1) // PIECE_LINES * PIECE_LINES
        piece = copied(leaf[0])
        piece.content = "".join(line + "\n" for line in content[:count])
        return ([piece], first_line(leaf[0]) + 1 + count) if count > 0 else None
    if leaf[0].type == "table_open":
        level = leaf[0].level + 2
        rows = [i for i, token in enumerate(leaf) if token.type == "tr_open" and token.level == level][1:]
        count = (len(rows) - 1) // PIECE_LINES * PIECE_LINES
        return ([*leaf[: rows[count]], *leaf[-2:]], first_line(leaf[rows[count]])) if count > 0 else None
    return None


def _levels(
    block: Sequence[Token], path: Sequence[int], begins: Sequence[int], continued: Continuation | None
) -> tuple[Level, ...]:
    """The containers of a path, without its end."""
    levels: list[Level] = []
    levels_before = continued.levels if continued else ()
    for depth, index in enumerate(path[:-1]):
        token = block[index]
        is_on = depth < len(levels_before) and index == begins[depth]
        number = levels_before[depth].number if is_on else _number(token)
        items = (each for each in block[index + 1 : path[depth + 1]] if each.level == token.level + 1)
        number += sum(each.type == "list_item_open" for each in items)
        levels.append(Level(token.type, number))
    return tuple(levels)


def _closing(block: Sequence[Token], count: int) -> Sequence[Token]:
    """The tokens that close the outermost containers, which all end with the block."""
    return block[len(block) - count :]


def open_fence(block: Sequence[Token], lines: Sequence[str]) -> OpenFence | None:
    """The fence that is open at the end of an open block, if one is, and if its lines can be told."""
    path = _open_path(block)
    leaf = block[path[-1]]
    if leaf.type != "fence" or _is_closed_fence(leaf):
        return None
    place = _place(block, path[:-1], lines, first_line(leaf))
    return _fence_in(place, leaf, lines) if place else None


def _is_closed_fence(fence: Token) -> bool:
    """Whether a fence has an end: that line is counted in its map, and not in its content."""
    return fence.map is not None and fence.map[1] - fence.map[0] - 1 > fence.content.count("\n")


class _Place(NamedTuple):
    """The inside of containers: lines that open them; what stands before each line; the containers (`_inside`)."""

    opening: list[str]
    prefix: str
    frames: list[tuple[int, int]]


def _place(block: Sequence[Token], containers: Sequence[int], lines: Sequence[str], end: int) -> _Place | None:
    """The inside of these containers, for the rest of the text, from line `end` on; None if that is not clear.

    The placeholder in an item is a heading, because any block can follow that: a list that does not begin with 1
    could not interrupt a paragraph, and a blank line would make the list loose.
    """
    prefix = ""
    frames: list[tuple[int, int]] = []
    opening: list[str] = []
    for token in (block[index] for index in containers):
        if token.type == "blockquote_open":
            frames.append((-1, 0))
            prefix += "> "
        elif token.type == "list_item_open":
            line = _inside(lines, first_line(token), frames)
            marker = _MARKER.match(line) if line is not None else None
            if marker is None:
                return None
            mark = marker[1] + (marker[2] or " ")
            opening.append(prefix + mark + "# x\n")
            frames.append((first_line(token), len(mark)))
            prefix += " " * len(mark)
    return _Place(opening, prefix, frames) if _inside(lines, end, frames) is not None else None


def _leaf_opening(
    place: _Place, leaf: Sequence[Token], lines: Sequence[str], env: MutableMapping[str, Any]
) -> list[str] | None:
    """Lines that open a fence or table again."""
    if leaf[0].type == "table_open":
        return [place.prefix + line for line in short_head(leaf, env)]
    fence = _fence_in(place, leaf[0], lines)
    return [fence.opening] if fence else None


def _fence_in(place: _Place, fence: Token, lines: Sequence[str]) -> OpenFence | None:
    line = _inside(lines, first_line(fence), place.frames)
    if line is None:
        return None
    return OpenFence(place.prefix, len(line) - len(line.lstrip(" ")), fence.markup, first_line(fence) + 1)


def _inside(lines: Sequence[str], number: int, frames: Sequence[tuple[int, int]]) -> str | None:
    """A line without what belongs to the containers around it; None if that is not clear.

    A frame is the first line and the indentation of an item, or -1 for a quotation.
    """
    line = lines[number].expandtabs(4)
    for first, indentation in frames:
        if first < 0:
            mark = _QUOTE.match(line)
            if mark is None:
                return None
            line = line[mark.end() :]
        elif first == number or not line[:indentation].strip(" "):
            line = line[indentation:]
        else:
            return None
    return line


def _length(level: Level) -> int:
    """The tokens of a continued container, up to those that do not come from the opening."""
    return 1 + (_PLACEHOLDER if level.kind == "list_item_open" else 0)


def _number(opening: Token) -> int:
    return int(opening.attrs.get("start", 1))


def _marked(token: Token, number: int = 0) -> Token:
    token = copied(token)
    token.attrJoin("class", "on")
    if token.type == "ordered_list_open":
        token.attrs["start"] = number
    return token


def copied(token: Token) -> Token:
    """A copy with attributes of its own. (The functions of the modules copy and dataclasses take five times as
    long.)
    """
    copy = Token(token.type, token.tag, token.nesting, dict(token.attrs), token.map, token.level, token.children)
    copy.meta = token.meta
    copy.content, copy.markup, copy.block, copy.hidden = token.content, token.markup, token.block, token.hidden
    return copy


def first_line(token: Token) -> int:
    """The library's number of the line at which a block begins."""
    if token.map is None:
        raise ValueError(f"the Markdown library gave no line numbers for {token.type}")
    return token.map[0]
