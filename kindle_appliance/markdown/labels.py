"""Labels with which items and quotations begin: the box of a task, and the kind of an alert. No I/O.

`- [x] done` has a box in the place of its bullet. `> [!TIP]` is a quotation whose first line is "Tip", in bold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_BOX = re.compile(r"\[([ xX])\](?:[ \t]+|(?=\n)|\Z)")
_BOXES = {" ": "☐", "x": "☑", "X": "☑"}

_ALERT = re.compile(r"\[!([A-Za-z]{1,20})\](?![(\[:])\s*")


def add_labels(markdown: MarkdownIt) -> None:
    """Add the rule that renders them to a parser."""
    markdown.add_render_rule("alert_open", _beginning_of_alert)


def set_labels(tokens: Sequence[Token], *, is_open: bool) -> None:
    """Set the labels of the items and quotations that begin in a piece. What continues an earlier piece has none.

    `is_open`: whether the text may go on; then a box waits for its text.
    """
    for container, paragraph, content in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if paragraph.type != "paragraph_open" or container.attrs.get("class") == "on":
            continue
        if container.type == "list_item_open":
            box = _BOX.match(content.content)
            if box:
                container.attrSet("class", "task")
                text = content.content[box.end() :]
                content.content = f"{_BOXES[box[1]]} {text}".rstrip() if text or not is_open else ""
        elif container.type == "blockquote_open":
            alert = _ALERT.match(content.content)
            if alert:
                paragraph.type, paragraph.markup = "alert_open", alert[1].capitalize()
                content.content = content.content[alert.end() :]


def _beginning_of_alert(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    line_end = "<br />\n" if tokens[index + 1].content else ""
    return f"<p{renderer.renderAttrs(token)}><strong>{token.markup}</strong>{line_end}"
