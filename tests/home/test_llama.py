"""A model at home: llama.cpp's server answers, on the page of an older Kindle's browser, and fails as computers at
home do: it is switched off in the middle, hangs, or is asked by all at once.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from browsers.browser import Browser
from browsers.steps import ENDED, ask, offers, paragraphs, says, shows, text_of
from fakes.llama import LlamaServer

from kindle_appliance.ending import Ending, Finish
from kindle_appliance.upstream.call import Clocks

from .conftest import HouseWith
from .steps import LONG, asked, entry

SHORT = Clocks(connect=2, first_byte=4, progress=2)
SOON = 60.0  # seconds: for what takes one or two on two idle cores
HAS_TEXT = "document.getElementById('text').textContent.length > 40"


def test_an_answer_is_read_while_it_is_written_and_ends(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama, 120))
    ask(browser, house.url, LONG)
    browser.wait_until(HAS_TEXT, SOON)
    assert llama.is_busy and browser.script(f"return !({ENDED})"), "it is read before it ends"
    browser.wait_until(ENDED, SOON)
    assert "greatest length" in text_of(browser, "ending"), "120 tokens were allowed"
    turn = house.chats.find_turn(1, 1)
    assert turn and turn.ending and turn.ending.finish is Finish.LENGTH and turn.ending.tokens > 120
    whole = "".join(turn.answer.split())
    assert "".join("".join(paragraphs(browser)).split()).replace("\xad", "") == whole
    assert asked(house, "Say hi.").finish is Finish.COMPLETE
    assert browser.errors() == []


def test_stop_frees_the_slot_at_once_and_keeps_the_text(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama))
    ask(browser, house.url, LONG)
    browser.wait_until(HAS_TEXT, SOON)
    assert llama.is_busy
    browser.click(browser.find("#stop input"))
    browser.wait_until(ENDED, SOON)
    assert llama.wait_until_idle() < 1, "it writes for nobody"
    turn = house.chats.find_turn(1, 1)
    assert turn and turn.ending and turn.ending.finish is Finish.STOPPED and len(turn.answer) > 40
    assert asked(house, "Say hi.").finish is Finish.COMPLETE


def test_a_question_that_is_stopped_while_it_waits_for_the_slot_never_gets_it(
    llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama))
    first, second = (house.chats.find_turn(*house.ask(LONG)) for _ in range(2))
    assert first and second
    with house.follow(f"/answers/{first.id}?as=text") as follow:
        assert follow.read()
        for turn in (second, first):
            assert house.post(f"/answers/{turn.id}/stop", {}).status == 303
        follow.read_to_end()
    assert llama.wait_until_idle() < 1
    stored = house.chats.find_turn(second.chat, second.number)
    assert stored and stored.ending and (stored.answer, stored.ending.finish) == ("", Finish.STOPPED)


def test_a_computer_that_is_switched_off_in_the_middle_leaves_the_text_and_go_on_works_when_it_is_back(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama))
    ask(browser, house.url, LONG)
    browser.wait_until(HAS_TEXT, SOON)
    before = text_of(browser, "text").strip()
    llama.kill()
    browser.wait_until(ENDED, SOON)
    assert text_of(browser, "text").strip().startswith(before)
    assert offers(browser)[:2] == ["Go on", "Try again"]
    turn = house.chats.find_turn(1, 1)
    assert turn and turn.ending and turn.ending.finish is Finish.INTERRUPTED

    llama.start()
    browser.click(browser.find("button.go-on"))
    browser.wait_until(f"location.pathname === '/chats/1/2' && {HAS_TEXT}", SOON)
    assert llama.is_busy
    browser.click(browser.find("#stop input"))
    browser.wait_until(ENDED, SOON)
    assert browser.errors() == []


def test_a_frozen_computer_is_waited_for_as_long_as_the_clock_allows_and_asked_again_by_the_reader(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama, 16), clocks=SHORT)
    llama.freeze()
    begun = time.monotonic()
    ask(browser, house.url, "Say hi.")
    browser.wait_until(says("state", "smollm2:135m is thinking"))
    browser.wait_until(ENDED, SOON)
    assert SHORT.first_byte - 1 < time.monotonic() - begun < SHORT.first_byte + 8
    turn = house.chats.find_turn(1, 1)
    assert turn and turn.ending and turn.ending.finish is Finish.FAILED
    assert text_of(browser, "ending") and offers(browser) == ["Ask again"]

    llama.thaw()
    assert llama.wait_until_idle() < 5, "the question that was given up is answered to nobody"
    browser.click(browser.find("button.anew"))
    browser.wait_until(f"location.pathname === '/chats/1/2' && {ENDED}", SOON)
    assert browser.script("return " + shows("Hello there!"))


def test_a_computer_that_freezes_in_the_middle_leaves_the_text(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama), clocks=Clocks(connect=2, first_byte=60, progress=2))
    ask(browser, house.url, LONG)
    browser.wait_until(HAS_TEXT, SOON)
    llama.freeze()
    browser.wait_until(ENDED, SOON)
    turn = house.chats.find_turn(1, 1)
    assert turn and turn.ending and turn.ending.finish is Finish.INTERRUPTED and len(turn.answer) > 40
    assert offers(browser)[:2] == ["Go on", "Try again"]
    llama.thaw()
    assert llama.wait_until_idle() < 5


def test_a_key_that_the_server_does_not_accept_is_the_owners_and_the_right_one_mends_it(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    llama.stop()
    llama.start(api_keys=["a-new-key"])
    house = house_with(entry(llama, 16), keys={llama.address: "an-old-key"})
    ask(browser, house.url, "Say hi.")
    browser.wait_until(ENDED, SOON)
    said = text_of(browser, "ending")
    assert llama.address in said and "The owner can store the right one" in said
    assert "an-old-key" not in browser.text and "a-new-key" not in browser.text

    mended = house_with(entry(llama, 16), keys={llama.address: "a-new-key"})
    ask(browser, mended.url, "Say hi.")
    browser.wait_until(ENDED, SOON)
    assert browser.script("return " + shows("Hello there!"))


def test_a_chat_that_is_longer_than_the_context_goes_on_with_its_end(
    llama: LlamaServer, house_with: HouseWith
) -> None:
    """With the size set, the history is cut before; without it, once the server has refused the whole."""
    llama.stop()
    llama.start(n_ctx=256)
    for entry_of_256 in (entry(llama, 16), entry(llama, 16, context=256)):
        house = house_with(entry_of_256)
        turn, _ = house.chats.ask("Who sails?", None, f"form-{entry_of_256}")
        house.chats.store_ending(turn.id, "Anna and Bert sail. " * 80, Ending(Finish.COMPLETE))
        answer = asked(house, "Say hi.", turn.chat)
        assert answer.text and answer.finish is Finish.LENGTH


def test_four_readers_share_one_slot_and_each_gets_an_answer(
    browser: Browser, llama: LlamaServer, house_with: HouseWith
) -> None:
    house = house_with(entry(llama, 16))
    llama.freeze()  # until all have asked
    with ThreadPoolExecutor(3) as readers:
        answers = [readers.submit(asked, house, "Say hi.") for _ in range(3)]
        ask(browser, house.url, "Say hi.")
        browser.wait_until(says("state", "smollm2:135m is thinking"))
        llama.thaw()
        browser.wait_until(f"{ENDED} && {shows('Hello there!')}", SOON)
        for each in answers:
            answer = each.result(SOON)
            assert answer.text.startswith("Hello there!") and answer.finish is Finish.LENGTH
    assert len(llama.slots()) == 1 and browser.errors() == []
