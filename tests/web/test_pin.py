"""The PIN: entered once, remembered for a year, and safe from guessing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from fakes.secrets import PIN

from kindle_appliance.errors import StorageError
from kindle_appliance.sentences import Sentence
from kindle_appliance.web.guard import Guard
from kindle_appliance.web.pin import ALL_TRIES, FIRST_PAUSE, FORGOTTEN_AFTER, LONGEST_PAUSE, OWN_TRIES, Gate

SECRET = b"s" * 32
NOW = 1_800_000_000.0


SHOWN = pytest.mark.parametrize("pin", ["70413"])
"""For a test that sees the PIN in a page: without script, the page returns the digits pressed so far."""


@pytest.fixture
def pin() -> str:
    return PIN


@pytest.fixture
def locked(gemini: FakeGemini, tmp_path: Path, pin: str) -> Iterator[House]:
    """A house with a PIN."""
    with House(gemini.url, tmp_path, gate=Gate(pin, SECRET)) as house:
        yield house


def enter(house: House, pin: str = PIN, back: str = "/", **more: str) -> urllib3.BaseHTTPResponse:
    return house.post("/pin", {"pin": pin, "back": back, **more})


def signed_in(house: House) -> dict[str, str]:
    """The header of a browser that has entered the PIN."""
    return {"Cookie": enter(house).headers["Set-Cookie"].partition(";")[0]}


def digits(response: urllib3.BaseHTTPResponse) -> str:
    match = re.search(r'<input type="password" id="pin"[^>]* value="(\d*)"', response.data.decode())
    assert match, response.data
    return match[1]


# ---- The gate


def test_a_pass_is_valid_until_it_expires_and_only_unchanged() -> None:
    gate = Gate(PIN, SECRET)
    good = gate.open_session(NOW + 100)
    assert gate.is_session(good, NOW) and gate.is_session(good, NOW + 99)
    assert not gate.is_session(good, NOW + 100)
    end, _, signature = good.partition(".")
    later = f"{int(end) + 1}.{signature}"
    bad = [
        later,
        f"{end}.{signature[:-1]}",
        f"{end}.{signature}0",
        f"{end}.",
        end,
        f"{end}.{signature.upper()}",
        "",
        ".",
    ]
    bad += [f" {good}", f"{end}.é", f"-{good}", f"{'9' * 13}.{signature}", f"١.{signature}", f"{end}.{PIN}", PIN]
    assert [each for each in bad if gate.is_session(each, NOW)] == []


def test_another_pin_and_another_secret_sign_everybody_out() -> None:
    good = Gate(PIN, SECRET).open_session(NOW + 100)
    assert Gate(PIN, SECRET).is_session(good, NOW), "a restart does not"
    assert not Gate("70414", SECRET).is_session(good, NOW)
    assert not Gate(PIN, b"t" * 32).is_session(good, NOW)


def test_after_five_wrong_pins_each_further_one_doubles_the_pause_up_to_an_hour() -> None:
    gate, now, pauses = Gate(PIN, SECRET), 0.0, []
    for _ in range(OWN_TRIES + 8):
        assert not gate.is_right("0000", "192.168.1.7", now)
        pauses.append(gate.pause("192.168.1.7", now))
        assert gate.pause("192.168.1.8", now) == 0, "other addresses may try"
        now += pauses[-1]
    assert pauses[: OWN_TRIES - 1] == [0] * (OWN_TRIES - 1)
    assert pauses[OWN_TRIES - 1 :] == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (60, 3600)


def test_in_a_pause_even_the_right_pin_is_refused_and_no_try_counts() -> None:
    gate = Gate(PIN, SECRET)
    for _ in range(OWN_TRIES):
        gate.is_right("0000", "a", 0)
    for second in range(1, 60):
        assert not gate.is_right(PIN, "a", second) and gate.pause("a", second) == 60 - second
    assert gate.is_right(PIN, "a", 60)
    assert not gate.is_right("0000", "a", 61) and gate.pause("a", 61) == 0, "the right PIN resets the count"


def test_wrong_pins_are_forgotten_after_a_day_without_one() -> None:
    gate = Gate(PIN, SECRET)
    for _ in range(OWN_TRIES + 1):
        gate.is_right("0000", "a", gate.pause("a", 0))
    gate.is_right("0000", "a", 2 * FORGOTTEN_AFTER)
    assert gate.pause("a", 2 * FORGOTTEN_AFTER) == 0


def test_many_addresses_together_find_no_pin_of_four_digits_in_a_month() -> None:
    gate, now, tried = Gate("9999", SECRET), 0.0, 0
    for address in range(10_000):
        now += gate.pause(f"10.0.{address}", now)
        if now > 30 * 86400:
            break
        assert not gate.is_right(f"{address:04}", f"10.0.{address}", now)
        tried += 1
    assert ALL_TRIES < tried < 1000


def test_too_many_wrong_pins_from_all_addresses_cause_a_pause_for_all() -> None:
    gate = Gate(PIN, SECRET)
    for address in range(ALL_TRIES):
        assert gate.pause("another", 0) == 0
        gate.is_right("0000", f"10.0.{address}", 0)
    assert gate.pause("another", 0) == 60 and not gate.is_right(PIN, "another", 59)
    assert gate.is_right(PIN, "another", 60)


def test_wrong_pins_before_the_right_one_do_not_count_against_others() -> None:
    gate = Gate(PIN, SECRET)
    for address in range(ALL_TRIES):
        for _ in range(OWN_TRIES - 1):
            gate.is_right("0000", f"10.0.{address}", 0)
        assert gate.is_right(PIN, f"10.0.{address}", 0)


def test_concurrent_tries_count_like_sequential_ones() -> None:
    gate = Gate(PIN, SECRET)
    pins = [*["0000"] * 50, *[PIN] * 50]
    with ThreadPoolExecutor(16) as threads:
        right = list(threads.map(lambda pin: gate.is_right(pin, "a", 0), ["0000"] * OWN_TRIES + pins))
    assert not any(right) and gate.pause("a", 0) == 60


# ---- The pages


@pytest.mark.parametrize(
    "path", ["/", "/?chat=1", "/chats", "/chats/1/1", "/chats/1/delete", "/check", "/check/reports"]
)
def test_every_page_asks_for_the_pin_first_and_opens_after_it(gemini: FakeGemini, locked: House, path: str) -> None:
    gemini.default = Reply.answer("Secret answer.")
    locked.post("/ask", {"question": "Secret question?", "form": "f"}, **signed_in(locked))
    gemini.wait_for_calls(1)
    page = locked.get(path)
    text = page.data.decode()
    assert page.status == 403 and f'name="back" value="{path}"' in text and 'action="/pin" method="post"' in text
    assert "Secret" not in text and "script-src" in page.headers["Content-Security-Policy"]
    entered = enter(locked, back=path)
    assert (entered.status, entered.headers["Location"]) == (303, path)
    assert locked.get(path, Cookie=entered.headers["Set-Cookie"].partition(";")[0]).status in (200, 303)


def test_the_pass_is_kept_for_a_year_and_no_script_can_read_it(locked: House) -> None:
    cookie = enter(locked).headers["Set-Cookie"]
    assert re.fullmatch(r"pin=\d{10}\.[0-9a-f]{64}; HttpOnly; Max-Age=31536000; Path=/; SameSite=lax", cookie)
    assert PIN not in cookie


@pytest.mark.parametrize("path", ["/nothing", "/answers/1", "/answers/1?as=events", "/addresses/x", "/%00", "/pin"])
def test_no_other_path_answers_without_the_pin(locked: House, path: str) -> None:
    response = locked.get(path)
    assert response.status == 403 and b'name="back" value="/"' in response.data
    assert locked.get(path, **signed_in(locked)).status in (303, 404)


def test_nothing_is_changed_without_the_pin(locked: House) -> None:
    for path in ("/ask", "/look", "/answers/1/stop", "/chats/1/delete", "/check"):
        response = locked.post(path, {"question": "Why?", "form": "f", "look": "3", "back": "/"})
        assert response.status == 403 and "Set-Cookie" not in response.headers
    response = locked.post("/ask", {"question": "Why?", "form": "f"}, Accept="application/json")
    assert (response.status, response.json()) == (401, {"error": "Please enter the PIN of the house first."})
    assert not locked.chats.recent(1)


@pytest.mark.parametrize("back", ["", "//evil.example", "http://evil.example/", "/\\evil.example", "/pin", "/ask"])
def test_entering_the_pin_leads_only_to_our_own_pages(locked: House, back: str) -> None:
    assert enter(locked, back=back).headers["Location"] == "/"


def test_a_wrong_pin_gets_a_sentence_and_after_five_a_waiting_time(locked: House) -> None:
    for _ in range(OWN_TRIES - 1):
        wrong = enter(locked, "0000", "/chats")
        assert wrong.status == 403 and b"That is not the PIN." in wrong.data and digits(wrong) == ""
        assert b'name="back" value="/chats"' in wrong.data and "Set-Cookie" not in wrong.headers
    for pin in ("0000", PIN):
        paused = enter(locked, pin)
        assert paused.status == 429 and b"Please try again in 1 minute." in paused.data
        assert 50 < int(paused.headers["Retry-After"]) <= 60 and "Set-Cookie" not in paused.headers
    assert locked.get("/").status == 429
    good = Gate(PIN, SECRET).open_session(2_000_000_000)
    assert locked.get("/", Cookie=f"pin={good}").status == 200, "a signed-in browser stays signed in"


def test_input_without_digits_counts_as_no_try(locked: House) -> None:
    for pin in ("", " ", "abc", "٤"):
        assert b"Please enter the PIN of the house first." in enter(locked, pin).data
    for _ in range(2 * OWN_TRIES):
        assert enter(locked, "").status == 403


@SHOWN
def test_without_script_each_key_of_the_pad_returns_the_page_with_one_more_digit(locked: House) -> None:
    page = locked.get("/chats")
    keys = re.findall(r'<button name="key" value="(\w+)">', page.data.decode())
    assert sorted(keys) == [*"0123456789", "delete"]
    for key, so_far in (
        ("7", "7"),
        ("1", "71"),
        ("delete", "7"),
        ("0", "70"),
        ("4", "704"),
        ("1", "7041"),
        ("3", "70413"),
    ):
        page = enter(locked, digits(page), "/chats", key=key)
        assert page.status == 200 and digits(page) == so_far and b'name="back" value="/chats"' in page.data
    assert enter(locked, digits(page), "/chats").headers["Location"] == "/chats"
    assert digits(enter(locked, "1" * 12, key="2")) == "1" * 12
    assert digits(enter(locked, "", key="delete")) == digits(enter(locked, "", key="<")) == ""


def test_a_house_without_a_pin_asks_for_none(house: House) -> None:
    assert house.get("/").status == 200
    assert (house.get("/pin").status, enter(house).status) == (404, 404)


def test_another_page_cannot_try_pins(locked: House) -> None:
    for _ in range(2 * OWN_TRIES):
        assert locked.post("/pin", {"pin": "0000"}, Origin="http://evil.example").status == 403
    assert enter(locked).status == 303


def test_without_the_pin_health_is_a_bare_status(locked: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (locked.get("/healthz").status, locked.get("/healthz").json()) == (200, {"status": "ok"})
    for knows in (signed_in(locked), {"Authorization": f"Bearer {PIN}"}):
        assert {"status", "version", "memory_bytes"} <= set(locked.get("/healthz", **knows).json())
    assert locked.get("/healthz", Authorization="Bearer 0000").json() == {"status": "ok"}
    assert locked.post("/healthz", {}).status == 403

    def fails(query: str) -> None:
        raise StorageError(Sentence("The appliance cannot store anything: its card is full or read-only."))

    monkeypatch.setattr(locked.database, "read", fails)
    response = locked.get("/healthz")
    assert (response.status, response.json()) == (503, {"status": "failing"})


# ---- Scripts


def test_a_script_sends_the_pin_as_a_bearer_token(gemini: FakeGemini, locked: House) -> None:
    gemini.default = Reply.answer("Because.")
    refused = locked.send("/api/chat", {"message": "Why?"})
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.json() == {"error": "Please enter the PIN of the house first."}
    assert locked.send("/api/chat", {"message": "Why?"}, Authorization=f"Bearer {PIN}").data == b"Because."
    assert locked.get("/chats", Authorization=f"bearer  {PIN}").status == 200
    for wrong in ("", "Bearer", "Bearer ", f"Basic {PIN}", PIN):
        assert locked.send("/api/chat", {"message": "Why?"}, Authorization=wrong).status == 401
    assert len(gemini.calls) == 1


def test_a_script_with_a_wrong_pin_must_wait_like_every_client(locked: House) -> None:
    body = {"message": "Why?"}
    for _ in range(OWN_TRIES - 1):
        wrong = locked.send("/api/chat", body, Authorization="Bearer \xff0000")
        assert (wrong.status, wrong.json()) == (401, {"error": "That is not the PIN."})
    for pin in ("0000", PIN):
        paused = locked.send("/api/chat", body, Authorization=f"Bearer {pin}")
        assert paused.status == 429 and "1 minute" in paused.json()["error"] and "Retry-After" in paused.headers


@pytest.mark.parametrize(
    ("tries", "same", "another"),
    [
        ([f"10.0.0.{number}, 192.168.1.9" for number in range(OWN_TRIES)], "192.168.1.9", "192.168.1.10"),
        ([f"fe80::{number + 1:x}" for number in range(OWN_TRIES)], "fe80::ffff", "fd00::1"),
    ],
    ids=["a forged address", "many addresses of one IPv6 link"],
)
def test_a_client_with_many_addresses_has_the_tries_of_one(
    gemini: FakeGemini, tmp_path: Path, tries: list[str], same: str, another: str
) -> None:
    """Behind a proxy, wrong PINs count for the last address that it names. The client wrote those before it."""
    guard, gate = Guard(proxies=("127.0.0.1",)), Gate(PIN, SECRET)
    with House(gemini.url, tmp_path, guard=guard, gate=gate) as house:
        for address in tries:
            tried = house.get("/chats", **{"X-Forwarded-For": address, "Authorization": "Bearer 0000"})
        assert tried.status == house.get("/chats", X_Forwarded_For=same).status == 429
        assert house.get("/chats", X_Forwarded_For=another, Authorization=f"Bearer {PIN}").status == 200


def test_the_pin_is_in_no_log_and_in_no_page(locked: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        said = [locked.get("/chats"), enter(locked, "90909"), enter(locked), locked.get("/", **signed_in(locked))]
        said.append(locked.send("/api/chat", {}, Authorization=f"Bearer {PIN}"))
        for _ in range(OWN_TRIES):
            said.append(enter(locked, "80808"))
    told = "".join(f"{each.headers}{each.data.decode()}" for each in said) + caplog.text
    assert not re.search(f"{PIN}|90909|80808", told)
    assert "too many wrong PINs, the last from 127.0.0.1" in caplog.text
