"""Scripts, style and templates suit the Kindle's old browser: ES5, CSS of 2010, and no further requests."""

from __future__ import annotations

import re

import pytest
from calmjs.parse import es5
from calmjs.parse.exceptions import ECMASyntaxError
from calmjs.parse.unparsers.es5 import minify_print

from kindle_appliance.answers.answer import News
from kindle_appliance.storage.rows import Place, Turn
from kindle_appliance.web.layout import FIRST_SCRIPTS, SCRIPT_SENTENCES, Layout
from kindle_appliance.web.layout import SCRIPTS as PAGE_SCRIPTS
from kindle_appliance.web.pages import Pages
from kindle_appliance.web.reader import Reader
from kindle_appliance.web.templates import STATIC

SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
CHECK_SCRIPT = SCRIPTS["check.js"]
SCRIPT = "\n".join(SCRIPTS[f"{name}.js"] for name in (*FIRST_SCRIPTS, *PAGE_SCRIPTS["writing"]))
STYLES = [path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css"))]
STYLE = "\n".join(STYLES)
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.html")}

# Absent or broken in WebKit 528-534, or failing on Kindles.
FORBIDDEN_NAMES = (
    "let", "const", "Promise", "fetch", "Symbol", "Map", "Set", "WeakMap", "Proxy", "URLSearchParams", "FormData",
    "bind", "classList", "dataset", "sessionStorage", "EventSource", "WebSocket", "timeout",
    "requestAnimationFrame", "matchMedia", "visibilityState", "hidden", "scrollTo", "alert", "confirm", "prompt",
    "userAgent", "navigator", "ontouchstart", "addEventListener", "endsWith", "startsWith", "includes", "padStart",
    "assign", "from", "entries", "values", "find", "fill", "repeat", "parseISO", "console",
)  # fmt: skip
ALLOWED_NAMES = {
    "adding.js": {"FormData"},  # asked for first; without it the browser sends the form itself
    "check.js": {"navigator", "userAgent", "localStorage"},  # it reports them, and no decision depends on them
    "live.js": {"hidden"},  # of a document; where it is missing, the page counts as shown
}
RESERVED = ("delete", "class", "default", "new", "catch", "finally", "return", "throw", "typeof", "in", "do", "if")
FORBIDDEN_CSS = (
    "flex", "grid", "calc(", "var(", "vh", "vw", "vmin", "rem;", "position: fixed", "sticky", ":hover", ":empty",
    "transition", "animation", " transform:", "box-shadow", "text-shadow", "opacity", "rgba", "gradient",
    "@import", "@font-face", "url(", "currentColor", "clip-path", "object-fit",
)  # fmt: skip


def without_words(script: str) -> str:
    """The script without its comments and strings, which may have any words."""
    return re.sub(r"/\*.*?\*/|//[^\n]*|'(?:[^'\\\n]|\\.)*'", "''", script, flags=re.DOTALL)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_is_es5(script: str) -> None:
    es5(SCRIPTS[script])


def test_the_scripts_are_sent_unchanged_without_their_comments() -> None:
    page = Pages(Layout(False)).reading(
        Reader("en"), Turn(1, 1, 1, "Why?", 0, "", None), Place(1, 0, 0), News([], None, None), "f"
    )
    sent = page.partition("<script>")[2].partition("</script>")[0]
    first, *_, last = sent.strip().splitlines()
    assert minify_print(es5(sent)) == minify_print(es5(f"{first}\n{SCRIPT}\nfit();\n{last}"))
    assert "//" not in sent and "/*" not in page


@pytest.mark.parametrize("newer", ["const a = 1;", "let a = 1;", "var f = () => 1;", "var s = `x`;", "class A {}"])
def test_the_check_for_es5_rejects_what_is_newer(newer: str) -> None:
    with pytest.raises(ECMASyntaxError):
        es5(SCRIPT + newer)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", FORBIDDEN_NAMES)
def test_the_script_uses_no_name_that_old_engines_lack(script: str, name: str) -> None:
    if name not in ALLOWED_NAMES.get(script, ()):
        assert not re.search(rf"\b{name}\b", without_words(SCRIPTS[script]))


def test_storage_is_touched_where_it_may_throw() -> None:
    lines = [line for line in SCRIPTS["drafts.js"].splitlines() if "localStorage." in line]
    assert lines and all(line.strip().startswith("try {") and "catch (" in line for line in lines)


def test_the_user_agent_is_read_once_and_only_to_be_reported() -> None:
    code = without_words(CHECK_SCRIPT)
    assert code.count("navigator") == code.count("userAgent") == 1
    assert code.count("found.agent") == 2, "it is set and sent"


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_reserved_word_is_the_name_of_a_property(script: str) -> None:
    # WebKit 533.3: a syntax error that stops the whole script.
    code = without_words(SCRIPTS[script])
    for word in RESERVED:
        assert not re.search(rf"\.{word}\b|[{{,]\s*{word}\s*:", code), word
    assert not re.search(r",\s*[}\]]", code), "a comma at the end of a list"


@pytest.mark.parametrize("word", FORBIDDEN_CSS)
def test_the_style_uses_nothing_newer_than_the_oldest_engine(word: str) -> None:
    assert word not in re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)


def test_the_style_has_two_colours() -> None:
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", STYLE)) == {"#000", "#fff"}


def test_templates_load_nothing_and_run_nothing_by_attribute() -> None:
    assert len(TEMPLATES) >= 5
    for name, text in TEMPLATES.items():
        assert not re.search(r"\bsrc=|<link(?! rel=\"icon\" href=\"data:,\")|<iframe|<img", text), name
        assert not re.search(r"\son\w+=|style=", text), name


def test_every_sentence_of_the_script_is_given_to_it() -> None:
    assert set(re.findall(r"\bsay\.(\w+)", SCRIPT)) == set(SCRIPT_SENTENCES)
    given = re.findall(r'<input type="hidden" name="(\w+)"', TEMPLATES["check.html"])
    assert set(re.findall(r"\bsay\.(\w+)", CHECK_SCRIPT)) == set(given)


def test_every_figure_of_a_report_has_its_place_on_the_owners_page() -> None:
    found = set(re.findall(r"\bfound\.(\w+)", CHECK_SCRIPT)) - {"row"}
    assert found == set(re.findall(r'<td>\{\{report\.figures\["(\w+)"\]', TEMPLATES["reports.html"]))


def test_all_of_it_can_be_read_in_one_sitting() -> None:
    sizes = [len(text.splitlines()) for text in (*SCRIPTS.values(), *STYLES, *TEMPLATES.values())]
    assert max(sizes) < 300 and sum(sizes) < 2600
