"""Asking, in each engine: the field and Send above the keyboard, sending over a network that sleeps, the draft."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import pytest
from fakes.gemini import FakeGemini, Reply, chunk
from fakes.house import House
from fakes.proxy import Proxy

from kindle_appliance.answers.going_on import GO_ON
from kindle_appliance.upstream.call import Clocks

from .browser import Browser
from .engines import Engine
from .steps import (
    ENDED,
    alter_pages,
    answered,
    ask,
    begin,
    finish,
    hurry,
    offers,
    page_number,
    paragraphs,
    says,
    shows,
    sizes,
    take,
    text_of,
    write,
)

LOOKS = ("62", "55", "48", "40b", "34", "28", "22", "17", "13b")
NOT_SENT = says("sent", "Not sent. Your question is still here.")


def field(browser: Browser) -> str:
    return str(browser.script("return document.getElementById('question').value"))


def send(browser: Browser) -> None:
    browser.click(browser.find(".go input"))


def test_the_field_and_send_stand_in_the_upper_part_at_every_text_size(
    engine: Engine, gemini: FakeGemini, tmp_path: Path
) -> None:
    with House(gemini.url, tmp_path, is_demo=True) as house:
        for width, height in sizes(engine):
            with engine.start(width, height) as browser:
                for look in LOOKS:
                    browser.open(house.url + "/")
                    browser.script(f"document.cookie = 'look={look}; path=/'")
                    browser.reload()
                    browser.wait_until("document.documentElement.style.fontSize")
                    bottoms = browser.script(
                        "return [document.getElementById('question').getBoundingClientRect().bottom,"
                        " document.querySelector('.go input').getBoundingClientRect().bottom];"
                    )
                    assert max(bottoms) <= 0.45 * height, f"{width}x{height}, look {look}"
                    assert browser.script("return document.documentElement.scrollWidth") <= width
                assert browser.errors() == []


def test_the_page_stays_until_the_appliance_has_taken_the_question(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        write(browser, proxy.url, "Why is the sea salty? 海 & +")
        proxy.stall()
        send(browser)
        browser.wait_until(says("sent", "Sending ..."))
        assert browser.script("return location.pathname") == "/" and "salty" in field(browser)
        proxy.resume()
        browser.wait_until("location.pathname === '/chats/1/1' && !!document.getElementById('answer')")
        assert text_of(browser, "answer").startswith("Why is the sea salty? 海 & +")
        finish(gemini, "Because.")
        browser.wait_until(shows("Because."))
        posts = [line for line in proxy.requests if line.startswith(b"POST /ask")]
        assert len(posts) == 1
    assert browser.errors() == []


def test_a_question_lost_by_a_sleeping_network_stays_in_the_field_and_is_asked_once(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path
) -> None:
    with Proxy(house.server.port) as proxy:
        write(browser, proxy.url, "Why?")
        proxy.cut()
        send(browser)
        browser.wait_until(NOT_SENT)
        assert field(browser) == "Why?" and not gemini.calls
        take(browser, engine, screenshots / f"not-sent-{engine.name}.png")
        proxy.restore()
        proxy.stall()  # the question gets through later, and the response never
        send(browser)
        browser.wait_until(says("sent", "Sending ..."))
        house.post("/ask", {"question": "Why?", "form": form_id(browser)})
        finish(gemini, "Because.")
        proxy.cut()
        browser.wait_until(NOT_SENT)
        proxy.resume()
        proxy.restore()
        send(browser)
        browser.wait_until("location.pathname === '/chats/1/1'")
        browser.wait_until(ENDED)
    assert len(gemini.calls) == 1, "the appliance recognizes the form"
    assert browser.errors() == []


def form_id(browser: Browser) -> str:
    return str(browser.script("return document.forms[0].elements.form.value"))


def test_sending_over_a_silent_network_is_given_up_after_a_while(browser: Browser, house: House) -> None:
    with Proxy(house.server.port) as proxy:
        write(browser, proxy.url, "Why?")
        # The page's timeout of 20 s in a twentieth of the time.
        hurry(browser, 20)
        proxy.stall()
        send(browser)
        browser.wait_until(NOT_SENT)
        assert field(browser) == "Why?"
    assert browser.errors() == []


def test_a_draft_survives_a_reload_and_is_gone_once_sent(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    answered(house, gemini, "An answer.")
    write(browser, house.url, "A draft for later")
    browser.reload()
    browser.wait_until("document.getElementById('question').value === 'A draft for later'")
    browser.open(house.url + "/?chat=1")
    assert field(browser) == "", "each chat has a draft of its own"
    browser.open(house.url + "/")
    assert field(browser) == "A draft for later"
    send(browser)
    browser.wait_until("location.pathname === '/chats/2/1'")
    finish(gemini, "Yes.")
    browser.wait_until(ENDED)
    browser.open(house.url + "/")
    assert field(browser) == ""
    assert browser.errors() == []


def test_a_draft_survives_without_local_storage(browser: Browser, house: House) -> None:
    browser.open(house.url + "/")
    # Some old browsers throw on access, and every browser does when its storage is full.
    browser.script(
        "var fail = function () { throw new Error('none'); };"
        "if (window.localStorage) { Storage.prototype.setItem = Storage.prototype.getItem = fail; }"
    )
    browser.type(browser.find("textarea"), "Kept")
    assert browser.script("return window.name").startswith("draft :")
    assert browser.script("return window.name").endswith(":Kept")
    browser.reload()
    browser.wait_until("document.getElementById('question').value === 'Kept'")


def test_starters_go_into_the_field(browser: Browser, house: House) -> None:
    write(browser, house.url, "tides")
    browser.click(browser.find(".starters a"))
    browser.wait_until("document.getElementById('question').value === 'Explain: tides'")
    assert browser.script("return location.pathname + location.search") == "/"
    assert browser.errors() == []


def test_a_refused_question_stays_in_the_form(
    browser: Browser, engine: Engine, house: House, screenshots: Path
) -> None:
    question = "x" * 4001
    browser.open(house.url + "/")
    browser.script("document.getElementById('question').value = arguments[0]", question)
    send(browser)
    browser.wait_until(says("sent", "at most 4000 fit"))
    assert field(browser) == question
    take(browser, engine, screenshots / f"too-long-{engine.name}.png")
    assert browser.errors() == []


def test_recent_chats_of_this_device_are_being_answered_ready_or_dated(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    answered(house, gemini, "Of another device.", "Not mine?")
    browser.open(house.url + "/")
    assert "bookmarks" in browser.text and "Not mine?" not in browser.text
    ask(browser, house.url, "Mine?")
    call = begin(gemini)
    browser.open(house.url + "/")
    assert "being answered" in browser.text and "Mine?" in browser.text and "bookmarks" not in browser.text
    assert "riting" not in browser.text, "no word has been written"
    call.finish("Done.")
    with house.follow("/answers/2?as=text") as follow:
        follow.read_to_end()
    browser.reload()
    assert "ready" in browser.text, "no page has shown its end yet"
    browser.open(house.url + "/chats/2/1")
    browser.open(house.url + "/")
    assert "ready" not in browser.text and "today, " in browser.text


def test_an_answer_read_to_its_end_while_written_is_not_offered_as_ready(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    ask(browser, house.url)
    finish(gemini, "Done.")
    browser.wait_until(ENDED)
    browser.open(house.url + "/")
    assert "ready" not in browser.text and "today, " in browser.text


def test_a_failed_answer_is_asked_again_with_one_tap(browser: Browser, gemini: FakeGemini, house: House) -> None:
    gemini.replies(Reply.error(401, "UNAUTHENTICATED", "no"), Reply([chunk("Now it works.", "STOP")]))
    ask(browser, house.url, 'Say "hello" & <b>bye</b>')
    browser.wait_until(ENDED)
    assert browser.script("return " + says("ending", "does not accept the key"))
    browser.click(browser.find(".again .anew"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    browser.wait_until(shows("Now it works."))
    assert gemini.calls[1].json["contents"][-1]["parts"][0]["text"] == 'Say "hello" & <b>bye</b>'
    assert browser.errors() == []


@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "opened later"])
def test_an_interrupted_answer_is_continued_in_a_new_turn_with_one_tap(
    browser: Browser, gemini: FakeGemini, house: House, is_watched: bool
) -> None:
    gemini.replies(
        Reply([chunk("Once upon a time\n\nthere was")], ending="cut"), Reply([chunk("a queen.", "STOP")])
    )
    if is_watched:
        ask(browser, house.url, "Tell me a story")
    else:
        house.ask("Tell me a story")
        with house.follow("/answers/1?as=text") as follow:
            follow.read_to_end()
        browser.open(house.url + "/chats/1/1")
    browser.wait_until(ENDED)
    assert browser.script("return " + says("ending", "broke off here"))
    assert page_number(browser) == (1, 1), "the choices stand on the same page as the end"
    shown = [name for name in ("go-on", "retry", "anew") if is_shown(browser, f"again .{name}")]
    assert shown == ["go-on", "retry"]
    browser.click(browser.find(".again .go-on"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    browser.wait_until(shows("a queen."))
    sent = [part["parts"][0]["text"] for part in gemini.calls[1].json["contents"]]
    assert sent == ["Tell me a story", "Once upon a time\n\nthere was", str(GO_ON)]
    assert browser.errors() == []


def test_an_answer_interrupted_before_its_first_word_cannot_be_continued(
    browser: Browser, gemini: FakeGemini, tmp_path: Path
) -> None:
    gemini.replies(Reply([chunk("Hm", thought=True)], ending="cut"))
    with House(gemini.url, tmp_path, models=("model-a",)) as house:
        ask(browser, house.url)
        browser.wait_until(ENDED)
        assert offers(browser) == ["Ask again"]
        browser.reload()
        assert offers(browser) == ["Ask again"]
    assert browser.errors() == []


@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "opened later"])
def test_an_answer_stopped_before_its_first_word_can_only_be_asked_for_again(
    browser: Browser, engine: Engine, gemini: FakeGemini, house: House, screenshots: Path, is_watched: bool
) -> None:
    ask(browser, house.url)
    gemini.next_call(20)
    if is_watched:
        browser.click(browser.find("#stop input"))
    else:
        house.post("/answers/1/stop", {})
        browser.open(house.url + "/chats/1/1")
    browser.wait_until(ENDED)
    assert browser.script("return " + says("ending", "You stopped this answer."))
    assert offers(browser) == ["Ask again"]
    take(browser, engine, screenshots / f"stopped-before-{engine.name}.png")
    browser.click(browser.find(".again .anew"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    finish(gemini, "Now.")
    browser.wait_until(ENDED)
    assert "Ask again" not in offers(browser) and "New question" in offers(browser)
    assert browser.errors() == []


def is_shown(browser: Browser, name: str) -> bool:
    return bool(browser.script(f"var e = document.querySelector('.{name}'); return !!e && e.offsetHeight > 0"))


def test_a_draft_that_has_already_arrived_is_not_asked_again(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    with Proxy(house.server.port) as proxy:
        write(browser, proxy.url, "Why?")
        house.post("/ask", {"question": "Why?", "form": form_id(browser)})  # it arrives, but its response does not
        finish(gemini, "Because.")
        proxy.cut()
        send(browser)
        browser.wait_until(NOT_SENT)
        proxy.restore()
        browser.reload()
        browser.wait_until("document.getElementById('question').value === 'Why?'")
        send(browser)
        browser.wait_until("location.pathname === '/chats/1/1'")
    assert len(gemini.calls) == 1
    assert browser.errors() == []


@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "opened later"])
def test_after_a_silent_model_asking_again_asks_the_next_one(
    browser: Browser,
    engine: Engine,
    gemini: FakeGemini,
    tmp_path: Path,
    screenshots: Path,
    is_watched: bool,
) -> None:
    gemini.replies(Reply(status=None, ending="stall"), model="model-a")
    gemini.replies(Reply([chunk("Now it works.", "STOP")]), model="model-b")
    with House(gemini.url, tmp_path, clocks=Clocks(connect=10, first_byte=2, progress=30)) as house:
        ask_the_next_model(browser, engine, house, screenshots, is_watched)
    assert [call.model for call in gemini.calls] == ["model-a", "model-b"]


def ask_the_next_model(browser: Browser, engine: Engine, house: House, screenshots: Path, is_watched: bool) -> None:
    question = 'Say "hello" & <b>bye</b>'
    if is_watched:
        ask(browser, house.url, question)
    else:
        house.ask(question)
        with house.follow("/answers/1?as=text") as follow:
            follow.read_to_end()
        browser.open(house.url + "/chats/1/1")
    browser.wait_until(ENDED)
    take(browser, engine, screenshots / f"another-model-{engine.name}.png")
    assert offers(browser) == ["Ask again"] and page_number(browser) == (1, 1)
    browser.script(
        "var send = XMLHttpRequest.prototype.send;"
        "XMLHttpRequest.prototype.send = function (body) { window.name = body || ''; send.call(this, body); };"
    )
    browser.click(browser.find(".again .anew"))
    browser.wait_until("location.pathname === '/chats/1/2'")
    browser.wait_until(ENDED)
    sent = parse_qs(browser.script("return window.name"))
    assert sent.keys() == {"chat", "form", "question", "rung"}
    assert (sent["chat"], sent["question"], sent["rung"]) == (["1"], [question], ["1"])
    assert browser.errors() == []


@pytest.mark.parametrize("stores", [True, False], ids=["localStorage", "no localStorage"])
def test_a_question_in_a_deleted_chat_starts_a_new_chat_and_leaves_the_start_pages_draft(
    browser: Browser, gemini: FakeGemini, house: House, stores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stores:  # writing to it throws; the driver of an engine needs no storage
        alter_pages(monkeypatch, "localStorage.", "noStorage.")
    answered(house, gemini, "An answer.")
    write(browser, house.url, "For later")
    browser.open(house.url + "/?chat=1")
    browser.type(browser.find("textarea"), "And then?")
    with house.database.write() as connection:
        connection.execute("DELETE FROM chats")
    send(browser)
    browser.wait_until(says("sent", "That chat is gone"))
    assert field(browser) == "And then?"
    browser.reload()
    browser.wait_until("document.getElementById('question').value === 'And then?'")
    assert "That chat is gone" in browser.text
    browser.open(house.url + "/")
    browser.wait_until("document.getElementById('question').value === 'For later'")
    browser.open(house.url + "/?chat=1")
    browser.wait_until("document.getElementById('question').value === 'And then?'")
    send(browser)
    browser.wait_until("location.pathname === '/chats/2/1'")
    finish(gemini, "Then that.")
    browser.wait_until(ENDED)
    browser.open(house.url + "/?chat=1")
    assert field(browser) == "", "sent"
    browser.open(house.url + "/")
    assert field(browser) == "For later"
    assert browser.errors() == []


def test_after_a_refusal_the_next_try_from_the_same_page_starts_a_new_chat(
    browser: Browser, gemini: FakeGemini, house: House
) -> None:
    answered(house, gemini, "An answer.")
    write(browser, house.url, "For later")
    browser.open(house.url + "/?chat=1")
    browser.type(browser.find("textarea"), "And then?")
    house.post("/chats/1/delete", {})
    send(browser)
    browser.wait_until(says("sent", "That chat is gone"))
    browser.type(browser.find("textarea"), " And after?")
    send(browser)
    browser.wait_until("location.pathname === '/chats/2/1'")
    browser.wait_until("document.getElementById('answer').textContent.indexOf('And then? And after?') === 0")
    finish(gemini, "Then that.")
    browser.open(house.url + "/")
    assert field(browser) == "For later"
    assert browser.errors() == []


def test_without_json_a_question_is_asked_and_its_answer_followed(
    browser: Browser, gemini: FakeGemini, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # WebKit 528 has no JSON. Removed from the browser itself, the driver would miss it too.
    alter_pages(monkeypatch, "window.JSON ?", "window.noJSON ?")
    ask(browser, house.url, "Why is the sea \u2028 salty?")
    finish(gemini, 'First.\n\nSecond \u2028 \\ "quoted".')
    browser.wait_until(ENDED)
    assert [each.split() for each in paragraphs(browser)] == [["First."], ["Second", "\\", '"quoted".']]
    assert browser.errors() == []
