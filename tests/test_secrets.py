"""The scanner finds the key and the PIN in every place for output of the program; see fakes/secret_scanner.py.

fakes/secret_check.py fails a run in which it finds them. test_main.py looks at the list of processes.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from fakes.gemini import FakeGemini, Reply
from fakes.house import House
from fakes.program import Appliance, run
from fakes.secret_scanner import SCANNER, secrets_in
from fakes.secrets import KEY, PIN

LEAK = f"They say that {KEY} opens it, and {PIN} too."
DISGUISES: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "quoted for an address": lambda text: quote(text, safe="").encode(),
    "percent-encoded throughout": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "JSON": lambda text: json.dumps([text]).encode(),
    "JSON, escaped throughout": lambda text: "".join(f"\\u{ord(each):04x}" for each in text).encode(),
    "HTML, escaped throughout": lambda text: "".join(f"&#{ord(each)};" for each in text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, shifted by one": lambda text: base64.urlsafe_b64encode(b" " + text.encode()),
    "base64, shifted by two": lambda text: base64.b64encode(b"  " + text.encode()),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "half of the key": lambda text: text.replace(KEY, KEY[20:]).encode(),
}
BOTH = {"the key", "the PIN"}


def names(found: list[str]) -> set[str]:
    """The secrets that were found."""
    return {each.partition(",")[0] for each in found}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_secret_is_found_in_every_disguise(disguise: Callable[[str], bytes]) -> None:
    assert names(secrets_in(disguise(LEAK))) == BOTH
    assert secrets_in(disguise(LEAK.replace(KEY, "AIza").replace(PIN, PIN[::-1]))) == []


def test_a_secret_in_two_pieces_is_found(tmp_path: Path) -> None:
    for cut in range(len(LEAK)):
        with SCANNER.aside() as found:
            stream = SCANNER.stream("output")
            for piece in (LEAK[:cut], LEAK[cut:]):
                stream.feed(piece.encode())
        assert names(found) == BOTH, cut


def test_a_secret_in_a_log_record_and_in_its_traceback_is_found() -> None:
    log = logging.getLogger("kindle_appliance.web.app")
    with SCANNER.aside() as found:
        log.debug("opened with %s", KEY)
        try:
            raise ValueError(PIN)
        except ValueError:
            log.info("not opened", exc_info=True)
    assert names(found) == BOTH and all(" in a log " in each for each in found)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_secret_in_a_page_and_in_the_chats_is_found(gemini: FakeGemini, tmp_path: Path, coding: str) -> None:
    SCANNER.exempt(tmp_path)
    gemini.default = Reply.answer("I see.")
    with SCANNER.aside() as found, House(gemini.url, tmp_path) as house:
        chat, number = house.ask(LEAK)
        assert not found, "its redirect does not contain it"
        page = house.get(f"/chats/{chat}/{number}", Accept_Encoding=coding)
        assert page.headers.get("Content-Encoding", "identity") == coding and KEY in page.data.decode()
    assert names(found) == BOTH and all(" in a response " in each for each in found)
    with SCANNER.aside() as found:
        SCANNER.scan_files(tmp_path)
    assert names(found) == BOTH


def test_a_secret_in_an_answer_is_found_while_it_is_streamed(gemini: FakeGemini, tmp_path: Path) -> None:
    gemini.default = Reply.answer(LEAK[:25], LEAK[25:])
    with SCANNER.aside() as found, House(gemini.url, tmp_path) as house:
        assert house.send("/api/chat", {"message": "What opens it?"}).data.decode() == LEAK
    assert names(found) == BOTH


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_secret_in_a_file_is_found_unless_the_file_holds_nothing_else(tmp_path: Path, packed: bool) -> None:
    pack = gzip.compress if packed else bytes
    file = tmp_path / "file"
    with SCANNER.aside() as found:
        file.write_bytes(pack(b"\0" * ((1 << 20) - 10) + LEAK.encode()))
        SCANNER.scan_files(tmp_path)
        assert names(found) == BOTH and all(str(file) in each for each in found)
        file.rename(tmp_path / KEY)
        found.clear()
        (tmp_path / KEY).write_bytes(b"")
        SCANNER.scan_files(tmp_path)
        assert names(found) == {"the key"}, "in its name"
        (tmp_path / KEY).rename(file)
        found.clear()
        for alone in (f"{KEY}\n", PIN, ""):
            file.write_text(alone)
            SCANNER.scan_files(tmp_path)
        assert not found


@pytest.mark.slow
def test_a_secret_in_a_response_or_output_of_another_process_is_found(gemini: FakeGemini, tmp_path: Path) -> None:
    SCANNER.exempt(tmp_path)
    gemini.default = Reply.answer(LEAK)
    with closing(Appliance(tmp_path, "--gemini-url", gemini.url, GEMINI_API_KEY="another-key")) as appliance:
        with SCANNER.aside() as found:
            assert run(tmp_path, "ask", "What opens it?")[1] == f"{LEAK}\n"
        assert names(found) == BOTH and all(" in a output " in each for each in found)
        with SCANNER.aside() as found:
            appliance.ask(LEAK)
            assert appliance.get("/chats/1/1").read().decode().count(KEY)
        assert names(found) == BOTH and all(" in a response " in each for each in found)
        with SCANNER.aside() as found:
            assert appliance.get("/chats/1/1").status == 200
            appliance.close()
        assert names(found) == BOTH, "the rest was unread"
