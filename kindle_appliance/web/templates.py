"""The templates of static/, compiled once, and the pages that come of them with the policy of each.

They are bottle's: `{{name}}` is a value as text, `{{!name}}` one that is HTML already, and a line that begins with
`%` is Python. `{{_("Some words")}}` is a sentence of the catalogue in the reader's language. Only the files are
compiled: a value is never read as a template.

A page is one response: style and scripts are inlined, nothing else is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bottle import SimpleTemplate

from ..sentences import Sentence

_PACKAGE = Path(__file__).parent.parent
STATIC = _PACKAGE / "static" if (_PACKAGE / "static").is_dir() else _PACKAGE.parent / "static"
"""Beside the package in a checkout, inside it once installed."""


_STRING = r""""[^"\n]*"|'(?:[^'\\\n]|\\.)*'"""
_REGULAR_EXPRESSION = r"/(?![/* ])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/"
_COMMENT = r"/\*.*?\*/|\s*//[^\n]*"
_TIGHT_IN_SCRIPTS = r"\s*([{}()[\];,=!?:<>&|*/+-])"
_TIGHT_IN_STYLES = r"(?:;?\s*(?=})|\s*(?=[{;,])|(?=:))([{};,:])"  # a space before a colon means a descendant


class Page(str):
    """A whole page, and its Content Security Policy (W3C 2016): only the script and the style with these hashes
    run and apply.
    """

    __slots__ = ("policy",)
    policy: str

    def __new__(cls, html: str, policy: str) -> Page:
        page = super().__new__(cls, html)
        page.policy = policy
        return page


class Templates:
    """The compiled templates of a folder, with the style and the scripts that its pages bring along."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._compiled: dict[str, SimpleTemplate] = {}
        for path in folder.glob("*.html"):
            template = SimpleTemplate(name=path.name, lookup=[str(folder)])
            template.cache = self._compiled  # where `include` and `rebase` look first: no file is read later
            _ = template.co  # compiled at its first use: a mistake in a template stops the start, not a reader
            self._compiled[path.name] = template
        self._styles = {
            path.stem: _packed(path.read_text(encoding="utf-8"), _TIGHT_IN_STYLES) for path in folder.glob("*.css")
        }
        self._scripts = {
            path.stem: _packed(path.read_text(encoding="utf-8"), _TIGHT_IN_SCRIPTS) for path in folder.glob("*.js")
        }

    def page(
        self,
        name: str,
        language: str,
        styles: Sequence[str],
        scripts: Sequence[str],
        given: Mapping[str, Any],
        **values: Any,
    ) -> Page:
        """The page of the template `name`, with these styles and scripts of static/; `given` is what the scripts
        find as JSON.
        """
        style = "\n".join(self._styles[each] for each in styles)
        script = self._compiled["script.html"].render(scripts="\n".join(self._scripts[each] for each in scripts))
        html = self._compiled[name].render(
            _=_say_in(language),
            language=language,
            style=style,
            script=script,
            given=_json(given),
            **values,
        )
        return Page(html, _policy(script, style))


def refusal(language: str, title: str, sentence: str) -> str:
    """The page for a request that the server refuses before any route sees it: no style, no script."""
    return str(_compiled_refusal().render(language=language, title=title, sentence=sentence))


@cache
def _compiled_refusal() -> SimpleTemplate:
    return SimpleTemplate(name="refusal.html", lookup=[str(STATIC)])


def _say_in(language: str) -> Callable[..., str]:
    """What templates call `_`: the words of a sentence and its values, or a `Sentence` that was made elsewhere."""

    def say(sentence: str | Sentence | None, /, **values: Any) -> str:
        if isinstance(sentence, str):
            sentence = Sentence(sentence, **values)
        return sentence.to(language) if sentence else ""

    return say


def _packed(source: str, tight: str) -> str:
    """A script or a style without its comments, and without white space beside what the pattern `tight` matches: a
    page must fit the first flight of a connection. Nor has a brace a semicolon before it, so a script needs braces
    around an empty statement. Strings stay, and so do regular expressions, which begin with no space.
    """
    return re.sub(
        rf"""({_STRING}|{_REGULAR_EXPRESSION})|{_COMMENT}|;(?:\s|{_COMMENT})*(?=}})"""
        rf"""|{tight}(?:\s|{_COMMENT})*|\s*(\n)\s*""",
        lambda match: "".join(each or "" for each in match.groups()),
        source,
        flags=re.DOTALL,
    )


def _policy(script: str, style: str) -> str:
    """Engines that know hashes ignore 'unsafe-inline' beside them; older ones (PhantomJS 2.1.1) would run nothing
    without it. A style that a script sets on an element is no attribute, and allowed.
    """
    return (
        f"default-src 'none'; script-src 'unsafe-inline' {_hash(script)}; style-src 'unsafe-inline' {_hash(style)};"
        " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that may stand in a script element (HTML standard, 4.12.1.3: no "</" and no "<!--")."""
    return json.dumps(value).replace("<", "\\u003c")
