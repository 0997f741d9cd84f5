"""A page as simple as can be: HTML set in lines of 46 characters, to compare what stands on each line."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from typing import NamedTuple

WIDTH = 46

_INLINE = ("em", "strong", "s", "code", "a", "span", "sub", "sup")
_CONTAINERS = ("ul", "ol", "li", "blockquote", "dl", "dd", "dt")
_LEAVES = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "tr", "li", "td", "th")
_WORDS = re.compile(r"\s+|[^\s\u0e00-\u0fff\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef]+|.")


class Line(NamedTuple):
    """A line: what stands before it, for all blocks around it, and its characters, each with its style."""

    before: tuple[str, ...]
    characters: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return "".join(character for character, _ in self.characters)


class Page(HTMLParser):
    """`lines`: what is set; `text`: all its characters but spaces."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self._styles: list[str] = []
        self._blocks: list[str] = []
        self._numbers: list[int] = []
        self._marker = ""
        self._content: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        self._end_block()

    @property
    def text(self) -> str:
        return "".join("".join(line.text.split()) for line in self.lines)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _INLINE:
            self._styles.append(" ".join((tag, *(values[name] for name in values if name not in ("href", "rel")))))
            return
        if tag == "br":
            self._end_lines()
            return
        if tag in ("td", "th"):
            self._styles.append(" ".join((tag, *values.values())))
            self._content.append(("\t", self._styles[-1]))
            return
        self._end_block()
        if tag in ("ul", "ol"):
            self._numbers.append(int(values.get("start", 1)) if tag == "ol" else 0)
        elif tag == "li" and "class" not in values:
            self._marker = f"{self._numbers[-1]}." if self._numbers[-1] else "•"
            self._numbers[-1] += 1 if self._numbers[-1] else 0
        elif tag == "hr":
            self.lines.append(Line(("hr", *self._around()), ()))
        if tag != "hr":
            direction = " ".join(values.get(name, "") for name in ("dir", "lang"))
            self._blocks.append(tag if tag in _CONTAINERS else f"{tag} {direction}")

    def handle_endtag(self, tag: str) -> None:
        if tag in (*_INLINE, "td", "th"):
            self._styles.pop()
        elif tag not in ("br", "hr"):
            if tag == "tr":  # a row is a line, however high
                self._add(self._content)
                self._content = []
            self._end_block()
            self._blocks.pop()
            if tag in ("ul", "ol"):
                self._numbers.pop()

    def handle_data(self, data: str) -> None:
        is_text = any(block.split()[0] in _LEAVES for block in self._blocks[-1:])
        if is_text or data.strip():
            style = " ".join(self._styles)
            self._content += [(character, style) for character in data]

    def _around(self) -> tuple[str, ...]:
        # What a list item holds is set alike in tight and in loose lists.
        around = [block for block in self._blocks if block.split()[0] != "p"]
        marker, self._marker = self._marker, ""
        return (marker, *around)

    def _end_block(self) -> None:
        if self._blocks and self._blocks[-1].startswith(("pre", "code")):
            lines = "".join(character for character, _ in self._content).removesuffix("\n").split("\n")
            for line in lines if self._content else ():
                self._wrap([(character, "") for character in line], is_code=True)
            self._content = []
            return
        self._end_lines()

    def _end_lines(self) -> None:
        content, self._content = self._content, []
        if any(not character.isspace() for character, _ in content):
            self._wrap(content)

    def _wrap(self, content: list[tuple[str, str]], *, is_code: bool = False) -> None:
        text = "".join(" " if character.isspace() and not is_code else character for character, _ in content)
        room = WIDTH - 2 * sum(block in ("li", "blockquote") for block in self._blocks)
        words = [content[match.start() : match.end()] for match in _WORDS.finditer(text)]
        line: list[tuple[str, str]] = []
        for word in words:
            if word[0][0].isspace() and not is_code:
                line += [(" ", word[0][1])] if line else []
                continue
            for part in [word[at : at + room] for at in range(0, len(word), room)]:
                if line and _width(line) + _width(part) > room:
                    self._add(line)
                    line = []
                line += part
        self._add(line)

    def _add(self, line: list[tuple[str, str]]) -> None:
        while line and line[-1][0].isspace():
            line.pop()
        self.lines.append(Line(self._around(), tuple(line)))


def _width(line: list[tuple[str, str]]) -> int:
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each, _ in line
    )
