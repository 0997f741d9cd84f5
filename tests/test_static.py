"""What goes to the Kindle's browser is old enough for it: ES5 script, CSS of 2010, nothing loaded besides."""

from __future__ import annotations

import re

import pytest
from calmjs.parse import es5
from calmjs.parse.exceptions import ECMASyntaxError

from kindle_appliance.pages import SCRIPT_SENTENCES, STATIC

SCRIPT = (STATIC / "page.js").read_text(encoding="utf-8")
STYLE = (STATIC / "page.css").read_text(encoding="utf-8")
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.html")}

# Absent or broken in WebKit 528-534, or failing on Kindles.
FORBIDDEN_NAMES = (
    "let", "const", "Promise", "fetch", "Symbol", "Map", "Set", "WeakMap", "Proxy", "URLSearchParams", "FormData",
    "bind", "classList", "dataset", "localStorage", "sessionStorage", "EventSource", "WebSocket", "timeout",
    "requestAnimationFrame", "matchMedia", "visibilityState", "hidden", "scrollTo", "alert", "confirm", "prompt",
    "userAgent", "navigator", "ontouchstart", "addEventListener", "endsWith", "startsWith", "includes", "padStart",
    "assign", "from", "entries", "values", "find", "fill", "repeat", "parseISO", "console",
)  # fmt: skip
RESERVED = ("delete", "class", "default", "new", "catch", "finally", "return", "throw", "typeof", "in", "do", "if")
FORBIDDEN_CSS = (
    "flex", "grid", "calc(", "var(", "vh", "vw", "vmin", "rem;", "position: fixed", "sticky", ":hover",
    "transition", "animation", " transform:", "box-shadow", "text-shadow", "opacity", "rgba", "gradient",
    "@import", "@font-face", "url(", "currentColor", "clip-path", "object-fit",
)  # fmt: skip


def without_words(script: str) -> str:
    """The script without its comments and strings, which may say anything."""
    return re.sub(r"/\*.*?\*/|//[^\n]*|'(?:[^'\\\n]|\\.)*'", "''", script, flags=re.DOTALL)


def test_the_script_is_es5() -> None:
    es5(SCRIPT)


@pytest.mark.parametrize("newer", ["const a = 1;", "let a = 1;", "var f = () => 1;", "var s = `x`;", "class A {}"])
def test_the_check_for_es5_rejects_what_is_newer(newer: str) -> None:
    with pytest.raises(ECMASyntaxError):
        es5(SCRIPT + newer)


@pytest.mark.parametrize("name", FORBIDDEN_NAMES)
def test_the_script_uses_no_name_that_old_engines_lack(name: str) -> None:
    assert not re.search(rf"\b{name}\b", without_words(SCRIPT))


def test_no_reserved_word_is_the_name_of_a_property() -> None:
    # WebKit 533.3: a syntax error that stops the whole script.
    code = without_words(SCRIPT)
    for word in RESERVED:
        assert not re.search(rf"\.{word}\b|[{{,]\s*{word}\s*:", code), word
    assert not re.search(r",\s*[}\]]", code), "a comma at the end of a list"


@pytest.mark.parametrize("word", FORBIDDEN_CSS)
def test_the_style_uses_nothing_newer_than_the_oldest_engine(word: str) -> None:
    assert word not in re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)


def test_there_are_two_inks() -> None:
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", STYLE)) == {"#000", "#fff"}


def test_templates_load_nothing_and_run_nothing_by_attribute() -> None:
    assert len(TEMPLATES) >= 5
    for name, text in TEMPLATES.items():
        assert not re.search(r"\bsrc=|<link(?! rel=\"icon\" href=\"data:,\")|<iframe|<img", text), name
        assert not re.search(r"\son\w+=|style=", text), name


def test_every_sentence_of_the_script_is_given_to_it() -> None:
    assert set(re.findall(r"\bsay\.(\w+)", SCRIPT)) == set(SCRIPT_SENTENCES)


def test_all_of_it_can_be_read_in_one_sitting() -> None:
    assert sum(len(text.splitlines()) for text in (SCRIPT, STYLE, *TEMPLATES.values())) < 600
