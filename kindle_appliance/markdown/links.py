"""Links: which addresses become one, and what a reader sees of it. No I/O.

A web page may have made the model write what it writes (prompt injection). So a link must lead to a plain host on
the web, and shows that host unless its text does; an image becomes such a link, and so does an address that begins
with `http://` or `https://`. (The library's own rule for that needs another library, and links `README.md`, too.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline.state_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_MAX_ADDRESS = 1900
"""The characters of an address, as the library has converted it. What is longer is no link; its text stays. A
paragraph is cut when it has a hundred more."""

_ASCII = re.ASCII | re.IGNORECASE
_WEB = re.compile(r"https?://((?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]+)?)(?=[/?#]|$)", _ASCII)
"""A web address whose host all browsers read the same way. The library has converted it to ASCII; no user name
stands before the host (`http://bank.example@evil.example`); the host has no escaped characters and is not empty."""

_BARE_SCHEME = re.compile(r"(?<![a-z0-9+.-])https?\Z", _ASCII)
_BARE_REST = re.compile(
    r"://(?:[a-z0-9\u00c0-\u0dff_.-]++(?::[0-9]++)?|\[[0-9a-f:.]++\](?::[0-9]++)?)"
    r"""(?![@%\\]|:[^\s])(?:[/?#][^\s<>"`|\\^{}\[\]]*)?""",
    re.IGNORECASE,
)
"""An address behind its scheme: a host that is not ambiguous, then all but spaces, quotation marks and brackets of
Markdown."""

_NEVER_IN_ADDRESS = re.compile(
    "[\x00-\x20\x7f-\xa0\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u2000-\u206f\u2e80-\ufdcf\ufe10-\U0010ffff]"
)
"""What ends an address: typographic marks, invisible characters, and the scripts that write no space behind it."""

_AFTER_ADDRESS = ".,:;!?'*_~"
"""Punctuation and marks at the end of an address are the sentence's."""

_SCHEME = re.compile(r"\Ahttps?://", _ASCII)
_SPACE = re.compile(r"\s")


def add_bare_addresses(markdown: MarkdownIt) -> None:
    """Add the rule for addresses that are written as they are."""
    markdown.inline.ruler.after("text", "address", _address)


def _address(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != ":" or state.linkLevel:
        return False
    before = state.src[max(0, state.pos - 6) : state.pos] if silent else state.pending[-6:]
    scheme = _BARE_SCHEME.search(before)
    rest = _BARE_REST.match(state.src, state.pos, min(state.posMax, state.pos + _MAX_ADDRESS)) if scheme else None
    if scheme is None or rest is None:
        return False
    end = _end_of_address(rest[0])
    url = scheme[0] + rest[0][:end]
    address = state.md.normalizeLink(url) if len(url) <= _MAX_ADDRESS else url
    state.pos += end
    if silent:
        return True
    if not state.md.validateLink(address):
        state.append_pending(rest[0][:end])  # what was read once is not read again: it may hold many such schemes
        return True
    state.pending = state.pending[: -len(scheme[0])]
    state.push("link_open", "a", 1).attrs = {"href": address}
    state.push("text", "", 0).content = url
    state.push("link_close", "a", -1)
    return True


def _end_of_address(text: str) -> int:
    """Where an address ends, without the sentence's punctuation, and a bracket that began before it."""
    foreign = _NEVER_IN_ADDRESS.search(text)
    end = foreign.start() if foreign else len(text)
    excess = text.count(")", 0, end) - text.count("(", 0, end)
    while end:
        last = text[end - 1]
        if last == ")" and excess > 0:
            excess -= 1
        elif last not in _AFTER_ADDRESS:
            break
        end -= 1
    return end


def is_web(url: str) -> bool:
    """Whether a link leads to a web page, and not to a script, to mail or to this appliance."""
    return len(url) <= _MAX_ADDRESS and _WEB.match(url) is not None


def _link_to(url: str, text: str) -> tuple[dict[str, str | int | float], str]:
    """Return the attributes of a link, and the HTML that follows its text: the host that the link leads to.

    The host is left out if the text is the address, or an address with the same host and another path. Such a text
    and the host are set from left to right: a U+202E before them would turn `bank.com` into `moc.knab`.
    `noreferrer`: the linked site need not know where the link was.
    """
    web = _WEB.match(url)
    if web is None or not is_web(url):
        return {}, ""
    host = web[1].lower()
    shown = _SCHEME.sub("", text.strip())
    path = shown[len(host) :]
    if shown[: len(host)].lower() == host and (not path or path[0] in "/?#") and not _SPACE.search(path):
        return {"href": url, "rel": "noreferrer", "dir": "ltr"}, ""
    return {"href": url, "rel": "noreferrer"}, f' <span dir="ltr">({escape(host)})</span>'


def check_links(tokens: Sequence[Token]) -> None:
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


def image_as_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render an image as a link with its text: images are not loaded."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    text = renderer.renderInlineAsText(token.children, options, env) or source
    if token.meta.get("is in a link") or not is_web(source):
        return escape(text)
    attributes, host = _link_to(source, text)
    opening = Token("link_open", "a", 1, attrs=attributes)
    return f"<a{renderer.renderAttrs(opening)}>{escape(text)}{host}</a>"


def end_of_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Render the end of a link, after the host that it leads to."""
    return f"{tokens[index].meta.get('host', '')}</a>"
