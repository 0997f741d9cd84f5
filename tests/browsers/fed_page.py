"""The page of an answer that is being written, fed by the test instead of the network.

The page is the real one, with its style, its scripts and its reader of events. Only the `XMLHttpRequest` and the
`setTimeout` of its scripts are the test's: the page draws when the test says so, and a thousand updates do not take
a thousand half seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes.gemini import FakeGemini
from fakes.house import House

from kindle_appliance.answers.answer import News, Tail
from kindle_appliance.ending import Ending, Finish
from kindle_appliance.text.hyphens import Words
from kindle_appliance.typesetting.typesetter import Block, Typesetter
from kindle_appliance.upstream.call import Clocks
from kindle_appliance.web.frames import events

from .browser import Browser
from .steps import alter_pages

_FIRST = "var SIZES = "  # of the page's scripts, which run in one function
_FAKES = """
var timers = [], dropped = 0, streams = [];
function setTimeout(action, ms) { return dropped + timers.push({ run: action, ms: ms }); }
function clearTimeout(number) { if (timers[number - dropped - 1]) { timers[number - dropped - 1].run = null; } }
function XMLHttpRequest() { this.readyState = 1; this.status = 200; this.responseText = ''; }
XMLHttpRequest.prototype.open = XMLHttpRequest.prototype.abort = function () {};
XMLHttpRequest.prototype.send = function () { streams.push(this); };
window.draw = function () {  // now, and whatever else is due within half a second
  var due = timers, i;
  timers = [];
  dropped += due.length;
  for (i = 0; i < due.length; i += 1) {
    if (due[i].run && due[i].ms <= 500) { due[i].run(); }
  }
};
window.feed = function (frames) {
  streams[0].responseText += frames;
  streams[0].onprogress();
  window.draw();
};
"""
_HOURS = 3 * 3600  # how long the answer may be without text
_COUNT = (
    "var holder = document.createElement('div'), count = 0, i;"
    "for (i = 0; i < arguments[0].length; i += 1) {"
    "  holder.innerHTML = arguments[0][i]; count += holder.children.length; }"
    "return count;"
)


class FedPage:
    """An open page in a browser. `begin` opens it anew, for another text, with soft hyphens if the browser breaks
    lines there. `settled` is the number of elements, from the first on, that cannot change any more.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self._url = url
        self.browser.open(url)  # now it has its cookie

    def begin(self) -> None:
        self.browser.open(self._url)
        self.browser.script("window.draw()")
        language = self.browser.script("return JSON.parse(document.getElementById('given').text).hyphens;")
        self._written = Written(_words(language).into if language else str)
        self.settled = 0

    def write(self, text: str) -> None:
        """Let the page draw once with this much more of the answer."""
        self._feed(self._written.more(text))

    def end(self) -> None:
        """Let the page draw the end of the answer."""
        self._feed(self._written.rest())

    def _feed(self, update: Update) -> None:
        self.browser.script("window.feed(arguments[0]);", update.frames)
        if update.settled:
            self.settled += self.browser.script(_COUNT, update.settled)


class Update(NamedTuple):
    """What a follower gets at once, and the HTML of the blocks in it."""

    frames: str
    settled: list[str]


class Written:
    """An answer as it is written: the frames of each update, as a follower gets them. `change`: of its HTML."""

    def __init__(self, change: Callable[[str], str] = str) -> None:
        self._change = change
        self._typesetter = Typesetter()
        self._tail = ""

    def more(self, text: str) -> Update:
        """The update with this much more text."""
        return self._update(self._typesetter.feed(text), self._typesetter.tail())

    def rest(self) -> Update:
        """The update with the end."""
        return self._update(self._typesetter.close(), "", Ending(Finish.COMPLETE))

    def _update(self, blocks: Sequence[Block], tail: str, ending: Ending | None = None) -> Update:
        had = "" if blocks else self._tail
        self._tail = tail
        news = News(blocks, Tail(tail, had) if tail != had else None, ending).with_html(self._change)
        return Update(events(news, "en").decode(), [block.html for block in blocks])


@cache
def _words(language: str) -> Words:
    return Words(language)


@contextmanager
def fed_pages(folder: Path) -> Iterator[str]:
    """The address of the page of an answer of which no text has come, for `FedPage`."""
    patient = Clocks(connect=5, first_byte=_HOURS, progress=_HOURS)
    with (
        pytest.MonkeyPatch.context() as patch,
        FakeGemini() as gemini,
        House(gemini.url, folder, clocks=patient) as house,
    ):
        house.hyphenate()
        alter_pages(patch, _FIRST, _FAKES + _FIRST)
        chat, number = house.ask("Why?")
        call = gemini.next_call()
        call.start()
        yield f"{house.url}/chats/{chat}/{number}"
        call.finish("The end.")
