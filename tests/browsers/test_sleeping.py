"""A Kindle that sleeps again and again still shows the whole answer."""

from __future__ import annotations

import random

import pytest
from conftest import Soak
from fakes.endless_answer import CUTS, EndlessAnswer
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from fakes.proxy import Proxy
from fakes.reader import page_of

from .browser import Browser
from .engines import ENGINES
from .steps import ENDED, ask, hurry, text_of

# The elements of an answer set at once, and of the one on the page, in their order and with their text. (The page
# changes the attributes of a table that would not fit.)
SAID = """
    function read(node) {
      var all = node.getElementsByTagName('*'), said = [], i;
      for (i = 0; i < all.length; i += 1) {   // a DIV is a part of a long text
        if (all[i].nodeName !== 'DIV') { said.push(all[i].nodeName + ' ' + all[i].textContent); }
      }
      return said;
    }
    var whole = document.createElement('div');
    whole.innerHTML = arguments[0];
    return [read(whole), read(document.getElementById('text'))];
"""


@pytest.mark.parametrize("engine", [each for each in ENGINES if each.name == "phantomjs-1.9.8"], indirect=True)
def test_a_page_with_many_cut_connections_shows_the_whole_answer(
    browser: Browser, gemini: FakeGemini, house: House, soak: Soak
) -> None:
    cuts = soak(12, full=CUTS)
    chance = random.Random(4)
    endless = EndlessAnswer(chance)
    gemini.replies(Reply(endless))
    with Proxy(house.server.port) as proxy:
        ask(browser, proxy.url)
        # The page retries after a second, or asks for news after three: here in a fifth of the time.
        hurry(browser, 5)
        for _ in range(cuts):
            assert proxy.cut_after(chance.randrange(4000)).wait(20)
            proxy.restore()
        endless.enough.set()
        browser.wait_until(ENDED, 20)
    expected, shown = browser.script(SAID, "\n".join(page_of(endless.text)))
    assert len(shown) > 20 and shown == expected
    assert text_of(browser, "state") == ""
    assert browser.errors() == []
    soak.tell(f"cut {cuts} times in PhantomJS 1.9.8: {len(endless.text)} characters, as if it had never slept")
