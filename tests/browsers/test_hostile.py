"""Answers and questions may be attacks: in the oldest engine and in today's, none of them runs a script, loads
anything, or changes the page around it.

The payloads are 1,500 from a public collection, and some of our own in Markdown's shapes. They take the ways of
all text: in an answer of Gemini, live and stored, in a question, and in the title of a chat.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import IN_CI
from fakes.gemini import FakeGemini, Reply
from fakes.house import House

from kindle_appliance.storage.chats import clean

from .browser import Browser, DriverError
from .conftest import KINDLE_4, demand
from .devtools import DevTools
from .engines import CHROMIUM, ENGINES, Engine
from .ghostdriver import GhostDriver
from .steps import ENDED, LONG, begin

pytestmark = pytest.mark.timeout(300)

LETTERS = 3500  # of payloads in one question, which may have 4,000
IN_AN_ANSWER = 300
LISTED = 200  # chats in the list
REPORTED = 20 * 36  # values in the stored reports


OLDEST = next(engine for engine in ENGINES if engine.name == "phantomjs-1.9.8")


@pytest.fixture(scope="module", params=[OLDEST, CHROMIUM], ids=lambda engine: engine.name)
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    engine: Engine = request.param
    demand(engine, IN_CI)
    with engine.start(*KINDLE_4) as browser:
        yield Watched(browser)


@pytest.fixture(scope="module")
def payloads(shared: Path) -> list[str]:
    collected = (shared / "xss-payloads.txt").read_text(encoding="utf-8").splitlines()
    assert len(collected) == 1500
    return [*collected, *markdown()]


def markdown() -> Iterator[str]:
    """Attacks in the shapes of Markdown: every place for an address, with every dangerous address."""
    shapes = (
        "[a]({})",
        "[a](<{}>)",
        '[a]({} "onclick=alert(1)")',
        "![a]({})",
        "[![a]({})]({})",
        "<{}>",
        "[a]: {}\n\n[a]",
    )
    script = "javascript:alert(1)"
    for address in (
        *(
            script,
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            "&#106;avascript:alert(1)",
            "javascript&colon;alert(1)",
        ),
        *(
            "\x01javascript:alert(1)",
            "vbscript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "//beacon.invalid/",
        ),
        *("data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "file:///etc/passwd", "/answers/1/stop"),
        *(
            'http://x.invalid/"onmouseover="alert(1)',
            "http://x.invalid/'><script>alert(1)</script>",
            "http:javascript:alert(1)",
        ),
        *(
            "http://x.invalid/`onload=alert(1)`",
            "view-source:javascript:alert(1)",
            "http://a@b.invalid",
            "blob:x",
            "%",
        ),
    ):
        yield from (shape.format(address, address) for shape in shapes)
    for inside in (
        "<script>alert(1)</script>",
        "<img src=//beacon.invalid onerror=alert(1)>",
        '" onload="alert(1)',
        "]]>-->",
    ):
        yield from (
            f"```{inside}\n{inside}\n```",
            f"~~~html onclick={inside}\n{inside}",
            f"    {inside}",
            f"`{inside}`",
        )
        yield from (f"# {inside}", f"> {inside}", f"- {inside}", f"1. {inside}", f"**{inside}**", f"~~{inside}~~")
        yield from (
            f"| {inside} | b |\n|---|:-:|\n| {inside} | c |",
            f"[{inside}](http://x.invalid)",
            f"![{inside}](http://x.invalid)",
        )
        yield from (
            f"\\{inside}",
            inside.replace("<", "&lt;"),
            inside.replace("<", "&#60;"),
            f"[a]: http://x.invalid '{inside}'\n\n[a]",
        )
        yield from (
            f"</div></body>{inside}",
            f"</textarea></title></style>{inside}",
            f"$script ${{Ask}} {inside}",
            f"\u202e{inside}\u2028",
        )


class Watched:
    """A browser that records suspicious script calls and all network requests."""

    # The functions that a foreign script would call first; ours call none of them.
    CANARIES = ("alert", "confirm", "prompt", "print", "open", "showModalDialog", "execScript", "importScripts")
    HOOKS = (
        "window.ran = [];"
        f"var names = {list(CANARIES)}, i;"
        "function hook(owner, name) { owner[name] = function () { window.ran.push(name); return null; }; }"
        "for (i = 0; i < names.length; i += 1) { hook(window, names[i]); }"
        "hook(document, 'write'); hook(document, 'writeln'); hook(console, 'log');"
    )
    # The frame: each element outside of `arguments[0]`, without its texts. Then the kinds of elements inside.
    LOOK = """
        var part = arguments[0] && document.querySelector(arguments[0]), all = document.getElementsByTagName('*');
        var frame = [], inside = {}, i, j, attribute, names, each;
        for (i = 0; i < all.length; i += 1) {
          each = all[i];
          names = [];
          for (j = 0; j < each.attributes.length; j += 1) {
            attribute = each.attributes[j];
            names.push(attribute.name + (attribute.name === 'href' ? '=' + attribute.value.slice(0, 7) : ''));
          }
          names = [each.nodeName].concat(names.sort()).join(' ');
          if (part && part !== each && part.contains(each)) {
            inside[names] = true;
          } else {  // what has a class, a language, a direction for its own sake
            frame.push(names.replace(/ (class|dir|lang)(?= |$)/g, '') + '#' + each.id);
          }
        }
        return [window.ran, frame, Object.keys(inside), location.href, window.frames.length];
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        if isinstance(browser, GhostDriver):
            browser.phantom(
                "var page = this, begin = page.onInitialized, hooks = arguments[0];"
                "page.asked = [];"
                "page.onInitialized = function () { begin(); page.evaluate(hooks); };"
                "page.onResourceRequested = function (request) { page.asked.push(request.url); };",
                f"function () {{ {self.HOOKS} }}",
            )
        elif isinstance(browser, DevTools):
            browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=f"(function () {{ {self.HOOKS} }}());")
        self.asked()  # forget the requests of its start

    def asked(self) -> list[str]:
        """The addresses requested since the last call."""
        if isinstance(self.browser, GhostDriver):
            found: list[str] = self.browser.phantom("var asked = this.asked; this.asked = []; return asked;")
            return found
        assert isinstance(self.browser, DevTools)
        found, self.browser.requests = self.browser.requests, []
        return found

    def open(self, house: House, path: str, part: str = "") -> tuple[list[str], set[str]]:
        """Open a page and look at it."""
        self.browser.open(house.url + path)
        return self.look(house, part)

    def look(self, house: House, part: str = "") -> tuple[list[str], set[str]]:
        """The frame of the page and the kinds of elements in this part of it. Asserts that no script has run and
        that all requests went to the appliance.
        """
        ran, frame, inside, address, frames = self.browser.script(self.LOOK, part)
        assert ran == [], f"ran on {address}"
        assert address.startswith(house.url + "/") and frames == 0
        strangers = [url for url in self.asked() if not url.startswith((house.url + "/", "data:,"))]
        assert strangers == []
        assert self.browser.errors() == []
        return list(frame), set(inside)


FIGURES = ("device", "engine", "page", "keyboard", "screen", "lacks", "agent", "row")
ANSWER = (
    r"(P|H[1-6]|BLOCKQUOTE|UL|OL|LI|PRE|TABLE|THEAD|TBODY|TR|CODE|STRONG|S|BR|HR|EM)( class| dir| lang| start)*"
    r"|T[HD]( class| data-label| style)*|A( dir)? href=https?:/{1,2} rel|SPAN( class| dir)?|DIV"
)
LIST = "(DIV|TABLE|TBODY|TR|TD)( class| role)?|A( dir)? href=/chats/( lang)?|SMALL"
REPORTS = "(H2|TABLE|TBODY|TR|TH|TD|P)( class)?"


def check(inside: set[str], allowed: str) -> None:
    """Asserts that all elements are of allowed kinds."""
    strange = {each for each in inside if not re.fullmatch(allowed, each)}
    assert not strange


def batches(payloads: Sequence[str]) -> Iterator[str]:
    """All payloads, each batch as large as fits into one question."""
    batch: list[str] = []
    for payload in payloads:
        if len("\n".join([*batch, payload])) > LETTERS:
            yield "\n".join(batch)
            batch = []
        batch.append(payload)
    yield "\n".join(batch)


def test_scripts_requests_and_added_elements_are_noticed(watched: Watched, house: House) -> None:
    watched.open(house, "/")
    watched.browser.script("alert(1); console.log(2);")
    with pytest.raises(AssertionError, match="ran on"):
        watched.look(house)
    with contextlib.suppress(DriverError):  # no server listens there
        watched.browser.open("http://127.0.0.9:50009/beacon")
    assert "http://127.0.0.9:50009/beacon" in watched.asked()
    frame, _ = watched.open(house, "/")
    watched.browser.script("document.body.appendChild(document.createElement('b'));")
    assert watched.look(house)[0] != frame


def test_an_answer_of_gemini_is_only_text(
    watched: Watched, gemini: FakeGemini, house: House, payloads: list[str]
) -> None:
    shown: list[tuple[list[str], set[str]]] = []
    for start in range(0, len(payloads), IN_AN_ANSWER):
        path = "/chats/{}/{}".format(*house.ask("Why?"))
        watched.browser.open(house.url + path)
        call = begin(gemini)
        if not start:
            call.text(LONG)
        for payload in payloads[start : start + IN_AN_ANSWER] if start else ():
            call.text(payload + "\n\n")
        call.finish("The end.")
        watched.browser.wait_until(ENDED, 60)
        shown.append(watched.look(house, "#text"))  # as it arrived
        shown.append(watched.open(house, path, "#text"))  # as it is stored
        watched.open(house, f"/answers/{start // IN_AN_ANSWER + 1}?as=text")
    for frame, inside in shown:
        assert frame in (shown[0][0], shown[1][0]), "the frame is that of a harmless answer"
        check(inside, ANSWER)
    assert any(each.startswith("A href=http://") for _, inside in shown for each in inside), (
        "the Markdown is rendered"
    )


def test_a_question_is_only_text(watched: Watched, gemini: FakeGemini, house: House, payloads: list[str]) -> None:
    gemini.default = Reply.answer("Fine.")
    frames: dict[str, list[list[str]]] = {"turn": [], "more": [], "refused": []}
    shows = "return document.querySelector(arguments[0])[arguments[1]].replace(/\\r\\n/g, '\\n');"
    refused = (
        "var field = document.getElementById('question'), form = field.form;"
        "field.value = decodeURIComponent(arguments[0]);"
        "form.elements.chat.value = '999'; window.isOld = true; setTimeout(function () { form.submit(); }, 0);"
    )
    watched.open(house, "/")  # a first visit has more: it offers text sizes
    for question in ("Why?", *batches(payloads)):
        chat, _ = house.ask(question)
        with house.follow(f"/answers/{chat}?as=text") as follow:
            follow.read_to_end()
        frames["turn"].append(watched.open(house, f"/chats/{chat}/1")[0])
        assert watched.browser.script(shows, ".question", "textContent") == clean(question)
        frames["more"].append(watched.open(house, f"/?chat={chat}")[0])
        watched.browser.script(
            refused, quote(question)
        )  # quoted, because GhostDriver writes a U+2028 into a program as it is
        watched.browser.wait_until("!window.isOld && document.readyState === 'complete'")
        frames["refused"].append(watched.look(house)[0])
        assert watched.browser.script(shows, "#question", "value").strip() == clean(question)
    for page, seen in frames.items():
        for frame in seen:
            assert without_language(frame) == without_language(seen[0]), page


def without_language(frame: list[str]) -> list[str]:
    """The frame without the attributes of a question's language and direction."""
    return [re.sub(" (dir|lang)(?= )", "", each).replace(" upright", "") for each in frame]


def test_a_title_is_only_text(watched: Watched, house: House, payloads: list[str]) -> None:
    frames = []
    for start in range(0, len(payloads), LISTED):
        for payload in payloads[start : start + LISTED]:
            house.chats.ask(clean(payload) or "-", None, payload)
        frame, inside = watched.open(house, "/chats", ".column")
        check(inside, LIST)
        frames.append(frame)
    assert all(frame == frames[0] for frame in frames)


def test_a_report_is_only_text(watched: Watched, house: House, payloads: list[str]) -> None:
    for start in range(0, len(payloads), REPORTED):
        some = payloads[start : start + REPORTED]
        for first in range(0, len(some), 36):
            values = [payload[:200] for payload in some[first : first + 36]]
            house.send("/check", dict(zip((*FIGURES, *values), values, strict=False)))
        _, inside = watched.open(house, "/check/reports", ".checking")
        check(inside, REPORTS)
