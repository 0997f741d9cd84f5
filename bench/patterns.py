"""Texts as a model may write them, ordinary and hostile, in any length: more than a hundred patterns.

A pattern is a head and a part that repeats. Patterns of blocks also stand inside items and quotations.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

Pattern = Callable[[int], str]
"""Makes a text of so many characters."""

PROSE = (
    "A sentence of **plain** prose, with `code` and *weight* and [a link](https://example.org/), as models write. "
    "Another one follows it; and a third, which is a little longer than the first two were, ends the paragraph.\n\n"
)

_BLOCKS: dict[str, tuple[str, str]] = {
    "paragraphs": ("", PROSE),
    "one paragraph": ("", "A line of one and the same paragraph, which goes on and on\n"),
    "prose in one line": ("", "A sentence of **plain** prose, with `code` and *weight* in a line without an end. "),
    "verse": ("", "A short line,\n"),
    "lines of one character": ("", "a\n"),
    "paragraphs of one character": ("", "a\n\n"),
    "paragraphs of short lines": ("", "a\n" * 60 + "\n"),
    "open fence": ("```python\n", "    print('a line of a program that does not end', 1 < 2)\n"),
    "open fence, short lines": ("~~~\n", "a\n"),
    "open fence, blank lines": ("```\n", "\n"),
    "open fence, almost closed": ("`````\n", "````\n"),
    "closed fences": ("", "```\ncode = 1 < 2\n```\n"),
    "table": ("| number | name | remark |\n|---|:-:|--:|\n", "| 123456 | *somebody* | `nothing` in particular |\n"),
    "narrow table": ("a|b\n-|-\n", "1|2\n"),
    "short rows": ("|a" * 20 + "\n" + "|-" * 20 + "\n", "b|\n"),
    "long labels": ("|" + "&" * 60 + "|" + '"' * 60 + "\n|-|-\n", "a|b\n"),
    "tables": ("", "a|b\n-|-\n1|2\n\n"),
    "almost a table": ("", "a|b\n-|-|-\n"),
    "delimiter rows": ("a\n", "-|-\n"),
    "bullets": ("", "- an item of a list, *as usual*\n"),
    "empty bullets": ("", "-\n"),
    "bullets of one character": ("", "* a\n"),
    "loose list": ("", "- an item\n\n"),
    "numbers": ("", "1. an item of a list\n"),
    "empty numbers": ("", "1.\n"),
    "other numbers": ("a\n", "2. a\n"),
    "changing bullets": ("", "- a\n* a\n+ a\n"),
    "nested list": ("", "- one\n  - two\n    - three\n  - two\n"),
    "list in one item": ("- one\n", "  - two\n"),
    "list in a list in one item": ("- one\n  - two\n", "    - three\n"),
    "steps with code": ("", "1. A step:\n\n   ```sh\n   command --option\n   ```\n"),
    "item of paragraphs": ("- a\n", "\n  a paragraph of this very item\n"),
    "item of lines": ("- a\n", "  and a line that goes on with this very item of the list\n"),
    "ever deeper": ("", "".join("  " * depth + "- a\n" for depth in range(30))),
    "headings": ("", "# a\n"),
    "headings below": ("", "a\n===\n"),
    "rules": ("", "***\n"),
    "indented code": ("", "    code = 1 < 2\n"),
    "code after tabs": ("", "\ta\n"),
    "blank lines": ("a", "\n"),
    "spaces": ("a\n", "   \n"),
    "definitions": ("", "[a]: http://b.example 'title'\n"),
    "open title": ("[a]: http://b.example 'title\n", "a\n"),
    "terms": ("", "a term\n: its definition\n\n"),
    "terms without blank lines": ("", "a\n: b\n"),
    "definitions of one term": ("a\n", ": its definition\n"),
    "definition of lines": ("a\n: b\n", "and a line that goes on with this very definition\n"),
    "colons": ("", ":\n"),
    "tasks": ("", "- [ ] a task\n"),
    "tasks without text": ("", "- [x]\n"),
    "alerts": ("", "> [!NOTE]\n> a\n\n"),
    "alerts without text": ("", "> [!a]\n\n"),
    "notes": ("", "[^1]: a note\n"),
    "notes without text": ("", "[^1]:\n"),
    "note of lines": ("[^1]: a note\n", "    and a line that goes on with this very note\n"),
    "notes, parted": ("", "a[^1]\n\n[^1]: a note\n\n"),
    "formulas in blocks": ("", "$$\nx = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}\n$$\n"),
    "formulas of matrices": ("", "\\[\n\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}\n\\]\n"),
    "signs of formulas": ("", "$$\n"),
    "begun formulas": ("", "\\[\n"),
    "open formula": ("$$\n", "a_1\n"),
    "open formulas in lines": ("", "text \\[ a\n"),
    "formulas between lists": ("", "- a\n$$a$$\n"),
    "raw html": ("", "<div onclick='x()'>a</div>\n"),
    "html comments": ("", "<!-- a\n"),
}

_BLOCKS["mixture"] = ("", "".join(head + part + "\n" for head, part in _BLOCKS.values()))

_FRAMES: dict[str, tuple[str, str]] = {
    "{}": ("", ""),
    "{} in an item": ("- ", "  "),
    "{} in a quotation": ("> ", "> "),
    "{} in a quotation's item": ("> - ", ">   "),
}
_FRAMED = (
    *(
        "paragraphs",
        "one paragraph",
        "prose in one line",
        "verse",
        "lines of one character",
        "paragraphs of one character",
        "open fence",
    ),
    *(
        "open fence, short lines",
        "closed fences",
        "table",
        "short rows",
        "formulas in blocks",
        "open formula",
        "bullets",
        "empty bullets",
        "empty numbers",
    ),
    *("nested list", "steps with code", "headings", "indented code", "definitions", "notes", "note of lines"),
    *("terms without blank lines", "definitions of one term", "definition of lines"),
)
"""The patterns of blocks that also stand inside others."""

_INLINE: dict[str, str] = {
    **{
        f"run of {unit}": unit
        for unit in ("[", "![", "]", "*", "_", "`", "<", "&", '"', "|", "\\", "~~", "](", "!")
    },
    **{
        f"words {unit}": unit
        for unit in ("*a* ", "**a** ", "~~a~~ ", "`a` ", "*a ", "a_ ", "*a_ ", "a**b", "*[", "[a] ")
    },
    **{
        f"words {unit}": unit
        for unit in ("[a](", "[a]() ", "[a][b] ", "`a``b ", "<a ", "<!-- ", "<http://a> ", "&amp; ")
    },
    **{
        f"words {unit}": unit
        for unit in ("&quot;", "\\* ", "***a* ", "a  \n", "a\\\n", "*a\n", "[a\n", "`a\n", "a\r\n")
    },
    "formulas": "$x_1^2 = 5$ and ",
    "short formulas": "$^a$",
    "formulas in brackets": "\\(a\\) \\[b\\] ",
    "money": "$5 and ",
    **{
        f"words {unit}": unit
        for unit in ("$a ", "$$a$$ ", "$$a ", "\\(a ", "\\[a ", "$a$b ", "$<$ ", "$\\foo$ ", "$\\hat a$", "${$ ")
    },
    **{f"run of {unit}": unit for unit in ("$", "\\(", "\\[", "$$$")},
    "links": "[a](http://a.example) ",
    "links with titles": '[a](http://a.example "&&&&&&&&&&") ',
    "images": "![a](http://a.example) ",
    "images in links": "[![a](http://a.example)](http://b.example) ",
    "addresses": "<http://a.example/?b&c> ",
    "Chinese": "海水为什么是咸的？**因为**有盐。",
    "Chinese emphasis": "*海*",
    "Chinese emphasis and punctuation": "**（海）：**海",
    "Chinese marks without a pair": "**（海",
    "Chinese without signs": "海水",
    "sentences that do not end": "A *word [a `word. ",
    "Japanese and Korean": "海は青い。바다는 짜다.\n\n",
    "Arabic": "فقرة مع *تشديد* ",
    "Arabic lines": "ف\n\n",
    "emoji": "🌊👩‍🚀 ",
    "run of emoji": "🌊",
    "changes of emoji": "\ufe0f",
    "joined emoji": "👩\u200d",
    "emoji in emphasis": "**🌊 a** ",
    "emoji behind stars": "*🌊",
    "emoji in code": "`🌊 ",
    "emoji behind backticks": "🌊``a` ",
    "emoji and spaces": "🌊  ",
    "signs": "✅ a ",
    "other line ends": "a\u2028b\x85c\fd",
    "nul": "\0",
    "bare addresses": "http://a.example ",
    "short bare addresses": "http://a,",
    "bare addresses without an end": "http://",
    "bare addresses in one another": "http://a/",
    "bare addresses of dear characters": "http://\u00e4/",
    "bare addresses in brackets": "(http://a.example/(a)) ",
    "bare addresses in a label": "[http://a ",
    "bare addresses before Chinese": "http://a.example/海海",
    "almost bare addresses": "http:/a xhttp://a http://@ ",
    "line breaks": "a<br>",
    "references to notes": "[^1]",
    "run of [^": "[^",
    "words [^a ": "a[^a ",
    "subscripts": "H<sub>2</sub>O ",
    "run of <sub>": "<sub>",
    "run of </sup>": "</sup>",
    "words <sub>*": "<sub>*a ",
    "crossing tags": "<sub>a<sup>b</sub>c</sup> ",
}
_LINES = (
    "run of [",
    "run of *",
    "run of `",
    "words *a ",
    "words [a] ",
    "words $a ",
    "formulas",
    "links",
    "images",
    "Chinese",
    "words &amp; ",
)
"""The inline patterns that also stand in headings, cells, items and quotations, as one long line."""


def repeated(head: str, part: str) -> Pattern:
    return lambda size: (head + part * (size // len(part) + 1))[:size]


def _framed(head: str, part: str, first: str, further: str) -> Pattern:
    def make(size: int) -> str:
        lines = repeated(head, part)(size).split("\n")
        return (first + ("\n" + further).join(lines))[:size]

    return make


def _defined(unit: str, part: str, definition: str = "[a]: http://a.example/{}") -> Pattern:
    """Refer to one definition with a long part: as long as a link may be, but at most an eighth of the text."""
    return lambda size: repeated(definition.format(unit * min(1900, size // 8)) + "\n\n", part)(size)


def _counted(form: str) -> Pattern:
    """Repeat `form` with a number in it."""

    def make(size: int) -> str:
        parts, length, numbers = [], 0, count()
        while length < size:
            parts.append(form.format(n=next(numbers)))
            length += len(parts[-1])
        return "".join(parts)[:size]

    return make


def _nested(opening: str, closing: str) -> Pattern:
    return lambda size: opening * (half := size // (len(opening) + len(closing))) + "a" + closing * half


def _rising(unit: str) -> Pattern:
    """Ever longer runs of `unit`."""
    return lambda size: "".join("a" + unit * length for length in range(int((2 * size) ** 0.5) + 2))[:size]


def _patterns() -> dict[str, Pattern]:
    made: dict[str, Pattern] = {}
    for name, (head, part) in _BLOCKS.items():
        for frame, (first, further) in _FRAMES.items():
            if frame == "{}" or name in _FRAMED:
                made[frame.format(name)] = _framed(head, part, first, further) if first else repeated(head, part)
    for name, part in _INLINE.items():
        made[name] = repeated("", part)
    for name in _LINES:
        part = _INLINE[name].replace("|", "")
        for place, head in (
            ("a heading", "# "),
            ("a cell", "a|b\n-|-\n"),
            ("an item", "- "),
            ("a quotation", "> "),
        ):
            made[f"{name} in {place}"] = repeated(head, part)
        made[f"{name} in lines"] = repeated("", part * (60 // len(part)) + "\n")
    made |= {
        "links to one long address": _defined("b", "[a] "),
        "links to one address of entities": _defined("&", "[a] "),
        "images of one long address": _defined("b", "![a]"),
        "links by paragraph": _defined("b", "[a]\n\n"),
        "links to one long host": _defined("b", "[a] ", "[a]: http://{}.example"),
        "links to one long title": _defined("&", "[a] ", "[a]: http://a.example '{}'"),
        "links to longer addresses": repeated("", f"[a]: http://a.example/{'b' * 2000}\n\n{'[a] ' * 500}\n\n"),
        "many definitions": _counted("[a{n}]: http://b.example/{n}\n"),
        "many definitions and links": _counted("[a{n}]: http://b.example/{n}\n\n[a{n}]\n\n"),
        "numbered list": _counted("{n}. an item\n"),
        "nested brackets": _nested("[", "](u)"),
        "nested pairs of brackets": _nested("[", "]"),
        "nested images": _nested("![", "](http://a.example)"),
        "other hosts": _counted("[a](http://a{n}.example) "),
        "long head": lambda size: (f"|{'a *b* ' * (size // 12)}|b|\n|-|-|\n" + "a|b\n" * size)[:size],
        "long fence": lambda size: "`" * (size // 2) + "\n" * (size // 2),
        "long spaces": repeated("", " " * 1000 + "\n"),
        "long spaces in quotations": repeated("", "> " * 10 + " " * 300 + "\n"),
        "numbers of nine digits": repeated("", "999999999. a\n"),
        "other formulas": _counted("$x_{{{n}}}^2$ and "),
        "nested fractions": lambda size: (("$" + "\\frac{" * 300 + "$ ") * (size // 1800 + 1))[:size],
        "nested emphasis": _nested("*a ", "b* "),
        "one long bare address": repeated("http://a.example/", "(a)."),
        "closing brackets of a bare address": repeated("http://a.example/", ")"),
        "nested superscripts": _nested("a<sup>", "</sup>"),
        "rising backticks": _rising("`"),
        "rising stars": _rising("*"),
        "emoji behind many stars": lambda size: ("*" * (size // 2) + "🌊 " * size)[:size],
        "paragraphs of emoji": repeated("", "🌊\n\n"),
        "fence of emoji": repeated("```\n", "🌊 ✅\n"),
        "nested quotations": lambda size: "> " * (size // 2 - 1) + "a",
        "deep quotations": repeated("", "> " * 12 + "a\n"),
        "deeper quotations": repeated("", "> " * 30 + "a\n\n"),
        "tight quotations": repeated("", ">" * 12 + "a\n\n"),
        "quotations, lazy": repeated("> a\n", "a\n"),
        "quotations, parted": repeated("", "> a\n\n"),
        "quotations of lists": repeated("", "> - a\n> - b\n\n"),
        "bullets in a line": repeated("", "- - - - - a\n"),
        "bullets without end": lambda size: ("- " * size)[:size],
        "numbers in a line": repeated("", "1. 1. 1. a\n"),
        "depth of quotations and lists": repeated("", "> - > 1. > a\n\n"),
        "Arabic bullets": repeated("", "- ف\n"),
        "Chinese numbers": repeated("", "1. 海\n"),
        "Chinese bullets in Chinese quotations": repeated("", "> - 海\n\n"),
        "wide table": repeated("|a" * 20 + "\n" + "|-" * 20 + "\n", "|b" * 20 + "\n"),
        "tables of a head": repeated("", "|a" * 20 + "\n" + "|-" * 20 + "\n\n"),
        "rows longer than the head": repeated("a|b\n-|-\n", "|c|d|e|f|\n"),
        "rows of many cells": repeated("a|b\n-|-\n", "|c" * 100 + "\n"),
        "row of many cells": repeated("a|b\n-|-\n", "|c"),
        "row of many codes": repeated("a|b\n-|-\n", "|`c"),
        "row of empty cells": repeated("a|b\n-|-\nc", "|"),
        "too wide table": repeated("|a" * 100 + "\n" + "|-" * 100 + "\n", "b|\n"),
        "Chinese table": repeated("|行星|日|\n|-|-|\n", "|金星|长|\n"),
        "aligned short rows": repeated("|a" * 20 + "\n" + "|:-:" * 20 + "\n", "b\n"),
        "long cell": repeated("a|b\n-|-\n", "c d "),
        "long line": repeated("", "word "),
        "long word": repeated("", "a"),
        "long line of spaces": repeated("a", " "),
        "heading of spaces": repeated("# a", " "),
        "fence of a long line": repeated("```\n", "a b "),
        "fence with a long name": repeated("```", "a b "),
        "indented long line": repeated("    ", "a b "),
        "answer": repeated(
            "",
            "## Why the sea is *salty*\n\n" + PROSE + "- **Rivers** carry salt\n- Volcanoes, too\n\n"
            "1. Boil:\n   ```sh\n   boil --sea\n   ```\n2. Taste\n\n| Sea | Salt |\n|---|--:|\n| Dead | 34 % |\n"
            "| Baltic | 1 % |\n\n> Water, *water*, everywhere\n\n```python\nprint('salt')\n```\n\n" + PROSE,
        ),
    }  # fmt: skip
    return made


PATTERNS = _patterns()
