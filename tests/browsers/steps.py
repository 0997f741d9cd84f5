"""The actions and the view of a reader, as functions for tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fakes.gemini import Call, FakeGemini
from fakes.house import House

from kindle_appliance.web.templates import _TIGHT_IN_SCRIPTS, STATIC, Page, Templates, _packed

from .browser import Browser
from .devtools import DevTools
from .engines import CHROMIUM, Engine

ENDED = "document.body.className.indexOf('ended') >= 0"
LONG = "\n\n".join(
    f"Paragraph {n} goes on for a while, so that a page of a book is full after some of it. " * 2 for n in range(24)
)


def write(browser: Browser, url: str, question: str) -> None:
    """Type a question on the page, without sending it."""
    browser.open(url + "/")
    browser.type(browser.find("textarea"), question)


def ask(browser: Browser, url: str, question: str = "Why is the sea salty?") -> None:
    """Ask on the page itself; returns on the page of the new turn."""
    write(browser, url, question)
    browser.click(browser.find(".go input"))
    browser.wait_until("location.pathname.indexOf('/chats/') === 0 && !!document.getElementById('answer')")


def begin(gemini: FakeGemini) -> Call:
    """The call that Gemini gets for a question, with its answer begun."""
    call = gemini.next_call(20)
    call.start()
    return call


def begin_on_page(browser: Browser, gemini: FakeGemini, text: str) -> Call:
    """Begin an answer with this text, which ends behind a word; returns once the page shows its last paragraph."""
    call = begin(gemini)
    call.text(text)
    browser.wait_until(shows(text.rpartition("\n\n")[2].strip()))
    return call


def hurry(browser: Browser, times: int) -> None:
    """Run the page's timers this many times faster from now on."""
    browser.script(
        "var set = window.setTimeout, times = arguments[0];"
        "window.setTimeout = function (action, ms) { return set(action, ms / times); };",
        times,
    )


def finish(gemini: FakeGemini, text: str) -> None:
    """Answer Gemini's next call with this text, to its end."""
    call = begin(gemini)
    call.finish(text)


def read(browser: Browser, house: House, gemini: FakeGemini, text: str, question: str = "Why?") -> str:
    """Open the page of a finished answer; returns its address."""
    address = house.url + answered(house, gemini, text, question)
    browser.open(address)
    return address


def answered(house: House, gemini: FakeGemini, text: str, question: str = "Why?", chat: int | str = "") -> str:
    """Ask and let Gemini finish the answer; returns the path of the turn."""
    path = "/chats/{}/{}".format(*house.ask(question, chat))
    finish(gemini, text)
    turn = house.chats.recent(1)[0].newest
    with house.follow(f"/answers/{turn}?as=text") as follow:
        follow.read_to_end()
    return path


def alter_pages(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Serve pages with `new` in place of `old`, so that the page misses a feature that the browser's driver needs.
    An engine that lacks the feature has no content security policy either. `old` is of a template, or of a script
    as it stands in its file.
    """
    page, packed = Templates.page, _packed(old, _TIGHT_IN_SCRIPTS)
    scripts = "".join(_packed(path.read_text(encoding="utf-8"), _TIGHT_IN_SCRIPTS) for path in STATIC.glob("*.js"))
    templates = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.html"))
    found = packed if packed in scripts else old
    assert found in scripts + templates, f"no page has {old!r}"

    def altered(*args: Any, **values: Any) -> Page:
        return Page(page(*args, **values).replace(found, new), "")

    monkeypatch.setattr(Templates, "page", altered)


def text_of(browser: Browser, identity: str) -> str:
    return str(browser.script(f"return document.getElementById('{identity}').textContent"))


def paragraphs(browser: Browser) -> list[str]:
    """The paragraphs of the answer, settled or not."""
    source = "var found = document.getElementById('text').getElementsByTagName('p'), texts = [];"
    source += "for (var i = 0; i < found.length; i += 1) { texts.push(found[i].textContent); } return texts;"
    return list(browser.script(source))


def shows(words: str) -> str:
    """A JavaScript condition: the answer, settled or not, has these words."""
    return f"document.getElementById('text').textContent.indexOf({json.dumps(words)}) >= 0"


def says(identity: str, words: str) -> str:
    """A JavaScript condition: this element has these words, and a reader sees them."""
    return (
        f"(function (element) {{ return element.textContent.indexOf({json.dumps(words)}) >= 0"
        " && element.offsetHeight > 0 && window.getComputedStyle(element, null).visibility === 'visible'; }"
        f"(document.getElementById('{identity}')))"
    )


def offers(browser: Browser) -> list[str]:
    """The links and buttons below the answer that a reader sees."""
    return list(
        browser.script(
            "var all = document.querySelectorAll('#after a[href], #after input, #after button'), seen = [], i;"
            "for (i = 0; i < all.length; i += 1) {"
            "  if (all[i].offsetHeight) { seen.push(all[i].textContent || all[i].value); } }"
            "return seen"
        )
    )


def choose_look(browser: Browser, url: str, look: str) -> None:
    """Have pages in this size and weight from now on, as after a tap on Aa: `48b` is bold."""
    browser.open(url + "/no")
    browser.script(f"document.cookie = 'look={look}; path=/'")


def page_number(browser: Browser) -> tuple[int, int]:
    """The current page of the answer and the number of pages: "2 of 5"."""
    page, pages = re.findall(r"\d+", text_of(browser, "count"))
    return int(page), int(pages)


def turn(browser: Browser, way: str) -> None:
    """Turn by the big button, "next" or "back"."""
    browser.click(browser.find(f"#{way}"))


def tap(browser: Browser, part: float, y: float | None = None) -> None:
    """Tap like a finger, by a click: at this part of the page's width, in the middle of its height or at `y`."""
    browser.script(
        "var leaf = document.getElementById('leaf'), box = leaf.getBoundingClientRect();"
        "var x = arguments[0] * document.documentElement.clientWidth;"
        "var y = arguments[1] === null ? (box.top + box.bottom) / 2 : arguments[1];"
        "var event = document.createEvent('MouseEvents');"
        "event.initMouseEvent('click', true, true, window, 1, x, y, x, y, false, false, false, false, 0, null);"
        "(document.elementFromPoint(x, y) || leaf).dispatchEvent(event);",
        part,
        y,
    )


def zoom(browser: Browser) -> None:
    """Magnify the page as a double tap does. Old WebKit cannot: there, set the window's width, read by the page."""
    if isinstance(browser, DevTools):
        browser.devtools("Emulation.setPageScaleFactor", pageScaleFactor=2)
    else:
        browser.script("window.innerWidth = document.documentElement.clientWidth / 2;")
    browser.wait_until(
        "window.visualViewport ? window.visualViewport.scale === 2"
        " : window.innerWidth * 2 === document.documentElement.clientWidth"
    )


def lines_shown(browser: Browser) -> list[str]:
    """The pieces of text on the current page; fails if a line is cut at the page's edge.

    A line's text lies within its boxes. A box partly inside and partly outside of the clipping box is cut, apart
    from the height by which a tall font exceeds its line, and from a tenth of a line below a subscript.
    """
    shown, cut = browser.script(
        """
        var clip = document.getElementById('clip').getBoundingClientRect(), shown = [], cut = [];
        var line = parseFloat(window.getComputedStyle(document.getElementById('answer'), null).lineHeight);
        function look(text, box, isSubscript) {
          var height = box.bottom - box.top;
          var allowed = Math.max(isSubscript ? line / 10 : 2, (height - line) / 2 + 2);
          var inside = Math.min(box.bottom, clip.bottom) - Math.max(box.top, clip.top);
          if (inside <= allowed) { return; }
          if (inside < height - allowed) { cut.push([text.slice(0, 30), inside, height, line]); }
          shown.push(text);
        }
        function walk(node) {
          var child, range, boxes, i;
          for (child = node.firstChild; child; child = child.nextSibling) {
            if (child.nodeType === 1) { walk(child); }
            if (child.nodeType !== 3 || !/\\S/.test(child.nodeValue)) { continue; }
            range = document.createRange();
            range.selectNodeContents(child);
            boxes = range.getClientRects();
            for (i = 0; i < boxes.length; i += 1) { look(child.nodeValue, boxes[i], node.nodeName === 'SUB'); }
          }
        }
        walk(document.getElementById('answer'));
        return [shown, cut];
        """
    )
    assert not cut, f"cut at the edge of the page: {cut}"
    return [text.replace("\xad", "") for text in shown]  # without soft hyphens: they come after the first page


KINDLES = ((600, 706), (758, 899), (1072, 1231))
OTHERS = ((390, 844), (1280, 800))


def sizes(engine: Engine) -> tuple[tuple[int, int], ...]:
    """The screen sizes for this engine, in CSS pixels."""
    return KINDLES + (OTHERS if engine is CHROMIUM else ())


def take(browser: Browser, engine: Engine, path: Path) -> None:
    """Take a picture if the engine can; the page must be none of a mistake of the appliance's, have no script error
    and be no wider than the screen.
    """
    if engine.pictures:
        browser.screenshot(path)
    width = browser.script("return document.documentElement.scrollWidth")
    assert width <= browser.size[0], f"{path.name} is {width} wide"
    errors = browser.errors()
    assert not errors, f"{path.name}: {errors}"
    assert not browser.script("return /The appliance made a mistake/.test(document.body.innerHTML)"), path.name
